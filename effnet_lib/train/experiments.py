"""The book's experiments: each is a set of training runs, and one command makes them all.

    effnet experiment compound --data cifar10
    effnet experiment compound --cpu          # made for one processor core, in hours

Every run is an ``effnet train`` command of its own, which its record names, so that one can be
repeated alone. Records go to ``results/EXPERIMENT/ARM-SEED.json``; a run that has its record is
not made again, and one that was interrupted goes on from its checkpoint.
"""

import functools
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ..cost import count_cost
from ..files import expand
from ..scaling import ALPHA, BETA, GAMMA
from ..variants import Variant
from .checkpoint import write_atomically
from .config import Config, config_from_json, make_config, make_variant
from .errors import ConfigError, Interrupted, RunError
from .record import read_record


class Base(NamedTuple):
    """Where growing starts in ``compound``: a network at a resolution, both small enough to grow."""

    variant: str
    resolution: int
    output_stride: int

    def grown(self, depth: float, width: float) -> Variant:
        """The network with its depth and width multiplied by these factors, then rounded."""
        parts = dict(part.split("=") for part in self.variant.split(","))
        factors = {"depth": depth * float(parts.pop("depth", 1)), "width": width * float(parts.pop("width", 1))}
        name = ",".join(f"{key}={value}" for key, value in (parts | {k: f"{v:g}" for k, v in factors.items() if v > 1}).items())
        return replace(make_variant(name).with_output_stride(self.output_stride), name=name)


#: On a GPU eight times its cost trains in minutes; on a processor core four times its cost in under an hour.
GPU_BASE, CPU_BASE = Base("phi=-6", 16, 8), Base("phi=-13,depth=2", 16, 8)


@dataclass(frozen=True)
class Experiment:
    """What is asked, and the runs that answer.

    Attributes:
        question: in one sentence.
        recipe: from which every arm starts.
        changes: what all arms change in it.
        arms: name of each arm to what it changes besides.
        seeds: each arm runs once with each.
        data: that it is made for, as in :class:`Config`.
        core_hours: estimated beforehand, for all runs on one processor core; None for a GPU.
    """

    question: str
    recipe: str
    changes: dict[str, object]
    arms: dict[str, dict[str, object]]
    seeds: tuple[int, ...]
    data: str = "cifar10"
    core_hours: float | None = None

    def config(self, arm: str, seed: int, data: str, changes: dict[str, object] | None = None) -> Config:
        """The settings of one run; ``changes`` come last."""
        settings = self.changes | self.arms[arm] | {"seed": seed, "data": data} | (changes or {})
        return make_config(self.recipe, settings)


AXES = ("depth", "width", "resolution", "compound")


def grow(axis: str, factor: float, base: Base = GPU_BASE) -> dict[str, object]:
    """Settings that multiply the counted cost of ``base`` by about ``factor`` along one axis.

    Channels go in eights, layers are whole and resolutions even, so along one dimension the nearest
    cost is taken; its record has the exact count. ``compound`` takes, among the networks of about
    that cost, the one whose layers, channels and resolution *after rounding* come nearest to the
    proportions of the paper (α = 1.2, β = 1.1, γ = 1.15): in small networks rounding up can double
    the depth where the rule asks for a fifth more.

    >>> grow("resolution", 4)
    {'variant': 'phi=-6', 'resolution': 32}
    """
    steps = [1 + step / 20 for step in range(241)]
    sizes = range(base.resolution, 5 * base.resolution, 2)
    goal = math.log(factor)
    start = base.grown(1, 1)
    cost = count_cost(start, base.resolution, 10).multiply_adds

    def miss(variant: Variant, resolution: int) -> float:
        return abs(math.log(count_cost(variant, resolution, 10).multiply_adds / cost) - goal)

    if axis == "resolution":
        return {"variant": base.variant, "resolution": min(sizes, key=lambda size: miss(start, size))}
    if axis in ("depth", "width"):
        candidates = [base.grown(*((step, 1) if axis == "depth" else (1, step))) for step in steps]
        best = min(candidates, key=lambda variant: miss(variant, base.resolution))
        return {"variant": best.name, "resolution": base.resolution}

    phi = goal / math.log(ALPHA * BETA**2 * GAMMA**2)
    wanted = [phi * math.log(constant) for constant in (ALPHA, BETA, GAMMA)]

    def shape(variant: Variant, resolution: int) -> list[float]:
        channels = [sum(stage.channels for stage in each.stages) for each in (variant, start)]
        ratios = (variant.layers / start.layers, channels[0] / channels[1], resolution / base.resolution)
        return [math.log(ratio) for ratio in ratios]

    few = {(v.layers, tuple(s.channels for s in v.stages)): v for v in (base.grown(d, w) for d in steps[:41:2] for w in steps[:31:2])}
    near = [
        (variant, size) for variant in few.values() for size in sizes
        if size <= 2 * base.resolution and miss(variant, size) < 0.1
    ]  # fmt: skip
    best, size = min(near, key=lambda found: math.dist(shape(*found), wanted))
    return {"variant": best.name, "resolution": size}


_GPU = {"compile": True, "validation": 0.02}
_SHORT = {"epochs": 30, "warmup_epochs": 2.0, "plain_epochs": 3, "evaluate_every": 10}


def all_experiments(cpu: bool = False) -> dict[str, Experiment]:
    """All of them, by name: those made for a GPU, or those made for one processor core."""
    return _cpu_experiments() if cpu else _gpu_experiments()


@functools.cache
def _gpu_experiments() -> dict[str, Experiment]:
    grown = {f"{axis}-{factor}": grow(axis, factor) for axis in AXES for factor in (2, 4, 8)}
    return {
        "scratch": Experiment(
            "How far does an EfficientNet come on CIFAR-10, from scratch, in ten minutes?",
            "cifar", _GPU | {"epochs": 180},
            {
                "b0": {"variant": "b0", "output_stride": 8},
                "v2-b0": {"variant": "v2_b0", "output_stride": 8},
                "resnet18": {"variant": "resnet18"},
            },
            (0, 1, 2),
        ),
        "published": Experiment(
            "What does the network as published cost and give, on enlarged images?",
            "cifar", _GPU | _SHORT | {"variant": "b0", "output_stride": 32, "epochs": 60},
            {"128": {"resolution": 128, "cutout": 32}, "224": {"resolution": 224, "cutout": 56}},
            (0,),
        ),
        "compound": Experiment(
            "Is growing depth, width and resolution together better than growing one of them?",
            "cifar",
            # Not compiled: thirteen networks would take longer to compile than to train.
            _GPU | _SHORT | {
                "compile": False, "output_stride": GPU_BASE.output_stride, "cutout": 0, "cutmix": 0.0, "plain_epochs": 0, "policy": "none",
                "dropout": 0.0, "stochastic_depth_rate": 0.0,
            },
            {"base": {"variant": GPU_BASE.variant, "resolution": GPU_BASE.resolution}} | grown,
            (0, 1, 2),
        ),
        "parts": Experiment(
            "What does each part of network and recipe buy?",
            "cifar", _GPU | _SHORT | {"output_stride": 8},
            {
                "whole": {"variant": "b0"},
                "without-se": {"variant": "b0,se=0"},
                "relu": {"variant": "b0,activation=relu"},
                "without-stochastic-depth": {"variant": "b0", "stochastic_depth_rate": 0.0},
                "without-augmentation": {
                    "variant": "b0", "policy": "none", "cutout": 0, "cutmix": 0.0, "crop": "none", "flip": False,
                },
                "rmsprop": {
                    "variant": "b0", "optimizer": "rmsprop_tf", "lr": 0.016, "lr_batch": 256,
                    "weight_decay": 1e-5, "schedule": "staircase",
                },
            },
            (0, 1),
        ),
        "progressive": Experiment(
            "What does progressive learning buy, in accuracy and in time?",
            "cifar",
            # RandAugment grows from 5; by the recipe's 5 it would stand still.
            _GPU | _SHORT | {"variant": "v2_b0", "output_stride": 8, "epochs": 60, "policy": "rand", "magnitude": 10.0},
            {
                "fixed": {},
                "size": {"progressive": "size", "min_resolution": 16},
                "paper": {"progressive": "paper", "min_resolution": 16},
                "code": {"progressive": "code", "min_resolution": 16},
            },
            (0, 1),
        ),
        "seeds": Experiment(
            "How far apart are runs that differ in nothing but their seed?",
            "digits", {"epochs": 8}, {"digits": {}}, tuple(range(10)), data="digits",
        ),
        "transfer": Experiment(
            "What do ImageNet's weights give on few labelled images, against starting afresh?",
            # Lite0, whose weights come without a download. Enlarged to 96 pixels is what a processor
            # can do; from scratch it sees the images as they are, at an output stride to suit.
            "cifar",
            {
                "variant": "lite0", "validation": 0.004, "policy": "none", "cutout": 0, "cutmix": 0.0,
                "plain_epochs": 0, "stochastic_depth_rate": 0.0, "warmup_epochs": 1.0, "ema_decay": 0.98, "lr_batch": 64,
                "evaluate_every": 1000,
            },
            {
                f"{start}-{count}": {"per_class": count, "batch_size": batch, "epochs": epochs} | settings
                for start, settings, runs in (
                    (
                        "fine-tune",
                        {"weights": "lite", "output_stride": 32, "resolution": 96, "crop": "resized", "min_area": 0.35,
                         "lr": 0.05, "weight_decay": 1e-4},
                        ((10, 20, 30), (50, 50, 10), (500, 50, 4)),
                    ),
                    ("scratch", {"output_stride": 16, "lr": 0.1}, ((10, 20, 100), (50, 50, 40), (500, 50, 8))),
                )
                for count, batch, epochs in runs
            },
            (0, 1, 2),
        ),
    }  # fmt: skip


# Flips and shifts alone: networks this small, trained this briefly, learn less under more. Rates are
# for batches of 64, which run fastest on one core. Chosen on the validation images, then fixed.
_CPU = {
    "device": "cpu", "output_stride": 16, "batch_size": 64, "lr": 0.1, "lr_batch": 64, "epochs": 20, "warmup_epochs": 2.0,
    "policy": "none", "cutout": 0, "cutmix": 0.0, "plain_epochs": 0, "dropout": 0.0, "stochastic_depth_rate": 0.0,
    "evaluate_every": 4, "checkpoint_every": 400, "keep": 1,
}  # fmt: skip


@functools.cache
def _cpu_experiments() -> dict[str, Experiment]:
    grown = {f"{axis}-{factor}": grow(axis, factor, CPU_BASE) for factor in (4, 2) for axis in AXES}  # the clearer first
    return {
        "small": Experiment(
            "How far does a network of 1.2 million parameters come on CIFAR-10 in a night on one core?",
            "cifar",
            _CPU | {
                "variant": "phi=-4", "epochs": 100, "warmup_epochs": 5.0, "lr": 0.05, "cutout": 8, "dropout": 0.1,
                "stochastic_depth_rate": 0.05,
            },
            {"phi-4": {}}, (0,), core_hours=7,
        ),
        "phi": Experiment(
            "What does the compound coefficient give and cost, below B0?",
            "cifar", _CPU | {"stochastic_depth_rate": 0.05},
            {f"phi{phi}": {"variant": f"phi={phi}"} for phi in (-12, -10, -8, -6, -4)},
            (0, 1, 2), core_hours=13,
        ),
        "compound": Experiment(
            "Is growing depth, width and resolution together better than growing one of them?",
            "cifar", _CPU | {"output_stride": CPU_BASE.output_stride},
            {"base": {"variant": CPU_BASE.variant, "resolution": CPU_BASE.resolution}} | grown,
            (0, 1, 2), core_hours=40,
        ),
        "parts": Experiment(
            "What does each part of network and recipe buy?",
            "cifar", _CPU | {"variant": "phi=-8", "stochastic_depth_rate": 0.05, "cutout": 8},
            {
                "whole": {},
                "without-se": {"variant": "phi=-8,se=0"},
                "relu": {"variant": "phi=-8,activation=relu"},
                "without-stochastic-depth": {"stochastic_depth_rate": 0.0},
                "without-ema": {"ema_decay": 0.0},
                "without-augmentation": {"cutout": 0, "crop": "none", "flip": False},
                "rmsprop": {
                    "optimizer": "rmsprop_tf", "lr": 0.016, "lr_batch": 256, "weight_decay": 1e-5, "schedule": "staircase",
                },
            },
            (0, 1, 2), core_hours=15,
        ),
        "progressive": Experiment(
            "What does progressive learning buy, in accuracy and in time?",
            # RandAugment grows from 5; by the recipe's 5 it would stand still.
            "cifar", _CPU | {"variant": "phi=-8", "policy": "rand", "magnitude": 10.0},
            {
                "fixed": {},
                "size": {"progressive": "size", "min_resolution": 16},
                "code": {"progressive": "code", "min_resolution": 16},
            },
            (0, 1, 2), core_hours=7,
        ),
    }  # fmt: skip


#: What makes an experiment small enough to try on any machine. Its records say so.
REHEARSAL = {
    "variant": "phi=-13", "output_stride": 32, "epochs": 2, "batch_size": 16, "warmup_epochs": 1.0,
    "plain_epochs": 0, "resolution": 16, "compile": False, "evaluate_every": 1, "min_resolution": 8,
    "validation": 0.2, "device": "cpu", "workers": 0, "weights": None, "per_class": None,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Job:
    """One run of an experiment: its settings, its command, and where its record goes."""

    name: str
    config: Config
    command: list[str]
    output: Path
    record: Path

    @property
    def is_done(self) -> bool:
        """Whether its record is there.

        Raises:
            ConfigError: a record is there, and of other settings.
        """
        if not self.record.exists():
            return False
        differences = config_from_json(json.dumps(read_record(self.record)["config"])).differences(self.config)
        if differences:
            raise ConfigError(
                f"{self.record} is of other settings ({'; '.join(differences)}): move it, or give another --results"
            )
        return True


def plan(
    name: str,
    data: str | None = None,
    *,
    data_id: str | None = None,
    only: list[str] | None = None,
    seeds: list[int] | None = None,
    changes: dict[str, object] | None = None,
    runs: str | Path = "runs",
    results: str | Path = "results",
    cpu: bool = False,
) -> list[Job]:
    """The runs of an experiment, seed by seed, so that an early end leaves every arm once.

    Args:
        name: of the experiment.
        data: as in :class:`Config`; the experiment's own if None.
        data_id: a name for the data in the records.
        only: arms to run; all if None.
        seeds: in place of the experiment's own.
        changes: settings that replace those of every arm, as text or values.
        runs, results: folders for what the runs write, and for their records.
        cpu: plan the edition for one processor core; its records lie below ``results/cpu``.

    Raises:
        ConfigError: unknown experiment or arm, or settings that do not fit.
    """
    known = all_experiments(cpu)
    if name not in known:
        raise ConfigError(f"unknown experiment {name!r}: there are {', '.join(known)}")
    experiment, folder = known[name], Path("cpu" if cpu else "") / name
    data = experiment.data if data is None else data
    for field, option in (("seed", "--seeds"), ("data", "--data")):
        if field in (changes or {}):
            raise ConfigError(f"{field} is set by {option}, not by --set: the runs differ in their seeds")
    only = list(dict.fromkeys(only or experiment.arms))
    seeds = list(dict.fromkeys(experiment.seeds if seeds is None else seeds))
    for arm in only:
        if arm not in experiment.arms:
            raise ConfigError(f"experiment {name} has no arm {arm!r}: it has {', '.join(experiment.arms)}")
    jobs = []
    for seed in seeds:
        for arm in only:
            config = experiment.config(arm, seed, data, changes)
            settings = experiment.changes | experiment.arms[arm] | (changes or {})
            output = expand(runs) / folder / f"{arm}-{seed}"
            command = ["effnet", "train", "--recipe", experiment.recipe, "--data", data, "--seed", str(seed)]
            command += ["--data-id", data_id] if data_id else []
            for key, value in settings.items():
                command += ["--set", f"{key}={_text(value)}"]
            command += ["--output", str(output), "--resume"]
            jobs.append(Job(f"{arm}-{seed}", config, command, output, expand(results) / folder / f"{arm}-{seed}.json"))
    return jobs


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def run(jobs: list[Job], at_once: int = 1, minutes: float = math.inf, say=print) -> list[Job]:
    """Make the runs that have no record yet; returns those that are left.

    Args:
        jobs: from :func:`plan`.
        at_once: runs side by side on the device; small networks leave a GPU idle alone.
        minutes: after these, running ones are asked to save and stop, and no other starts.
        say: told of each start and end.

    Raises:
        RunError: a run failed (its output names the cause); the others were finished first.
        Interrupted: after Ctrl-C or SIGTERM; running ones have saved.
    """
    end = time.monotonic() + 60 * minutes
    waiting = [job for job in jobs if not job.is_done]
    running: dict[Job, subprocess.Popen] = {}
    failed, left, asked = [], [], set()
    stopped = 0

    def stop(number, _):
        nonlocal stopped
        stopped = number

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while waiting or running:
            late = stopped or time.monotonic() > end
            if late:
                left, waiting = left + waiting, []
                for job in running.keys() - asked:  # once: a second signal would end it while it saves
                    running[job].terminate()
                    asked.add(job)
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                say(f"{job.name} starts: {shlex.join(job.command)}")
                running[job] = _start(job)
            for job, process in list(running.items()):
                try:
                    status = process.wait(60 if late else 0.2)
                except subprocess.TimeoutExpired:
                    continue
                del running[job]
                if status == 0:
                    job.record.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(job.record, (job.output / "record.json").read_bytes())
                    say(f"{job.name}: test accuracy {read_record(job.record)['final']['test_accuracy']:.2%}")
                elif late and status in (128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGTERM):
                    left.append(job)  # the last: it was still starting, and had nothing to save
                    say(f"{job.name} has saved and stopped")
                else:
                    failed.append(job)
                    say(f"{job.name} failed, status {status}: see {job.output / 'output.txt'}")
    finally:
        for process in running.values():
            process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)
    if failed:
        raise RunError(f"{len(failed)} of {len(jobs)} runs failed: {', '.join(job.name for job in failed)}")
    if stopped:
        raise Interrupted("stopped; the same command goes on", 128 + stopped)
    return left


def _start(job: Job) -> subprocess.Popen:
    """The run's command, by this interpreter, in a process group of its own (Ctrl-C is ours to pass on).

    On a CPU it takes one core, unless ``OMP_NUM_THREADS`` says otherwise: several at once then share
    the machine without waiting for each other.
    """
    job.output.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1"} if job.config.device == "cpu" else {}
    with open(job.output / "output.txt", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "effnet_lib", *job.command[1:]],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            env=threads | os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip


def summarise(jobs: list[Job]) -> list[dict]:
    """For each arm that has records: its cost, and mean and spread of the test accuracy over seeds."""
    arms: dict[str, list[dict]] = {}
    for job in jobs:
        if job.is_done:
            arms.setdefault(job.name.rpartition("-")[0], []).append(read_record(job.record))
    return [_summary(arm, records) for arm, records in arms.items()]


def _summary(arm: str, records: list[dict]) -> dict:
    values = [record["final"]["test_accuracy"] for record in records]
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else None
    return {
        "arm": arm,
        "runs": len(values),
        "test_accuracy": mean,
        "standard_deviation": spread,
        "parameters": records[0]["model"]["parameters"],
        "multiply_adds": records[0]["model"]["multiply_adds"],
        "seconds": math.fsum(record["wall_time_s"] for record in records) / len(records),
    }

