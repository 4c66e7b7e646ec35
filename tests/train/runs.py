"""Runs in processes of their own, which a test may kill."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from effnet_lib import files
from effnet_lib.train import checkpoint
from effnet_lib.train.config import Config
from effnet_lib.train.errors import Interrupted

# A forkserver imports torch once; each run then starts in some 20 ms.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "torchvision.transforms.v2", "effnet_lib.train.engine"])


def _train(config: Config, output: str, resume: bool, die_at: int | None) -> None:
    torch.set_num_threads(1)
    from effnet_lib.train.engine import train

    if die_at is not None:
        die_in_the_disk(die_at)
    sys.stdout = open(os.devnull, "w")
    try:
        train(config, output, resume, quiet=True)
    except Interrupted as stop:
        os._exit(stop.status)


def die_in_the_disk(at: int) -> None:
    """Kill this process at the ``at``-th operation of the file system in saving: open, write
    (half of it), fsync, rename, unlink."""
    import builtins
    import signal

    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    class Half:
        """A file that dies in the middle of writing."""

        def __init__(self, file):
            self.file = file

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            tick()
            return self.file.write(content[len(content) // 2 :])

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

    def wrap(function):
        def wrapped(*args, **kwargs):
            tick()
            out = function(*args, **kwargs)
            tick()
            return out

        return wrapped

    class Os:
        fsync, replace = staticmethod(wrap(os.fsync)), staticmethod(wrap(os.replace))

        def __getattr__(self, name):
            return getattr(os, name)

    files.os = Os()
    files.open = lambda path, mode="r": Half(builtins.open(path, mode))
    Path.unlink = wrap(Path.unlink)


def start(config: Config, output: Path, resume: bool = False, die_at: int | None = None):
    """A process that trains."""
    process = FORKS.Process(target=_train, args=(config, str(output), resume, die_at))
    process.start()
    return process


def finish(config: Config, output: Path, resume: bool = False) -> None:
    """Train to the end in a process of its own."""
    process = start(config, output, resume)
    process.join(120)
    assert process.exitcode == 0


def outcome(output: Path) -> tuple[dict, dict]:
    """What must be the same bit for bit: (tensors, metrics and log)."""
    state = checkpoint.load_latest(output / "checkpoints")
    tensors = {}

    def collect(name, value):
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                collect(f"{name}.{key}", inner)

    for part in ("model", "ema", "optimizer"):
        collect(part, state[part])
    for name, value in torch.load(output / "weights.pt", weights_only=True).items():
        tensors[f"weights.{name}"] = value
    record = json.loads((output / "record.json").read_text())
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    timed = ("seconds", "images_per_second")
    plain = [{k: v for k, v in entry.items() if k not in timed} for entry in log]
    epochs = [{k: v for k, v in entry.items() if k not in timed} for entry in record["epochs"]]
    metrics = {"final": record["final"], "epochs": epochs, "log": plain, "step": state["step"]}
    return tensors, metrics | {"scheduler": state["scheduler"], "best": state["best"]}


def assert_same(one: Path, other: Path) -> None:
    """Both runs ended with the same bits."""
    (tensors, metrics), (others, other_metrics) = outcome(one), outcome(other)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    assert metrics == other_metrics


def command(*arguments, env: dict | None = None, timeout: float = 120) -> subprocess.CompletedProcess:
    """``effnet`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "effnet_lib", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}),
    )  # fmt: skip


def _train_as(config: Config, output: str, rank: int, size: int, port: int) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    _train(config, output, False, None)


def finish_together(config: Config, output: Path, size: int) -> None:
    """Train in ``size`` processes that share each batch, as under torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = [FORKS.Process(target=_train_as, args=(config, str(output), r, size, port)) for r in range(size)]
    for process in group:
        process.start()
    for process in group:
        process.join(120)
    assert [process.exitcode for process in group] == [0] * size
