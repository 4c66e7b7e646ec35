"""The book's experiments: what they run, and that they go on where they were stopped."""

import json
import math
import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from effnet_lib import build_model, count_cost
from effnet_lib.train import ConfigError, RunError, make_config, make_variant, plan, train
from effnet_lib.train.anchors import build_anchor, measure_cost
from effnet_lib.train.experiments import CPU_BASE, GPU_BASE, REHEARSAL, all_experiments, grow, run, summarise
from effnet_lib.train.record import read_record


def effnet(*arguments, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "effnet_lib", *map(str, arguments)], capture_output=True, text=True, cwd=cwd
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name, cpu", [(name, cpu) for cpu in (False, True) for name in all_experiments(cpu)])
def test_every_run_has_settings_and_a_network(name, cpu):
    for job in plan(name, cpu=cpu):
        if job.config.variant == "resnet18":
            continue
        variant = make_variant(job.config.variant)
        if job.config.output_stride:
            variant = variant.with_output_stride(job.config.output_stride)
        assert count_cost(variant, job.config.resolution or 32, 10).parameters > 0


def test_the_edition_for_one_core_stays_on_it_and_apart():
    for name, experiment in all_experiments(cpu=True).items():
        assert experiment.core_hours > 0
        for job in plan(name, cpu=True):
            assert job.config.device == "cpu" and not job.config.compile
            assert job.record.parts[-3:-1] == ("cpu", name) and job.output.parts[-3:-1] == ("cpu", name)
    (small,) = plan("small", cpu=True)
    variant = make_variant(small.config.variant).with_output_stride(small.config.output_stride)
    assert count_cost(variant, 32, 10).parameters <= 1_200_000


def test_the_command_of_a_run_gives_its_settings(tmp_path):
    for job in plan("parts", str(tmp_path), seeds=[3]):
        status, out, error = effnet(*job.command[1:], "--print")
        assert status == 0, error
        assert json.loads(out) == json.loads(job.config.to_json())


@pytest.mark.parametrize("axis", ["depth", "width", "resolution", "compound"])
@pytest.mark.parametrize("base, factor", [(GPU_BASE, 2), (GPU_BASE, 4), (GPU_BASE, 8), (CPU_BASE, 2), (CPU_BASE, 4)])
def test_growing_costs_what_it_should_and_along_its_axis_only(base, axis, factor):
    start = base.grown(1, 1)
    settings = grow(axis, factor, base)
    grown = make_variant(settings["variant"]).with_output_stride(base.output_stride)
    ratio = (
        count_cost(grown, settings["resolution"], 10).multiply_adds
        / count_cost(start, base.resolution, 10).multiply_adds
    )
    assert ratio == pytest.approx(factor, rel=0.11)
    same = {
        "depth": grown.layers == start.layers,
        "width": grown.stages[-1].channels == start.stages[-1].channels,
        "resolution": settings["resolution"] == base.resolution,
    }
    if axis == "compound":
        assert not same["width"] and not same["resolution"]
        assert factor == 2 or not same["depth"]  # at twice the cost one layer more in each stage is out of proportion
    else:
        assert [name for name, kept in same.items() if not kept] == [axis]


def test_variants_with_a_part_taken_out():
    plain, without = make_variant("b0"), make_variant("b0,se=0")
    assert count_cost(without).parameters == sum(p.numel() for p in build_model(without).parameters())
    assert count_cost(without).parameters < count_cost(plain).parameters
    relu = build_model(make_variant("b0,activation=relu"))
    kinds = {type(m) for m in relu.modules()}
    assert torch.nn.ReLU in kinds and torch.nn.SiLU not in kinds
    with torch.no_grad():
        logits = relu.eval()(torch.randn(2, 3, 64, 64))
    assert 1e-4 < logits.std() < 100
    deep = make_variant("phi=-4,depth=2,width=1.5")
    assert deep.layers > make_variant("phi=-4").layers
    assert deep.dropout == make_variant("phi=-4").dropout


@pytest.mark.parametrize(
    "name, message",
    [
        ("b0,depth=0.5", "at least 1"),
        ("b0,depth=x", "after depth= a number is expected, got 'x'"),
        ("b0,se=1", "se=0 leaves"),
        ("b0,activation=tanh", "unknown activation 'tanh'"),
        ("b0,colour=3", "'colour' is none of"),
        ("b0,base=b1", "there is no phi="),
    ],
)
def test_variants_that_there_are_not(name, message):
    with pytest.raises(ConfigError, match=message):
        make_variant(name)


def test_the_anchor_is_the_usual_one():
    model = build_anchor("resnet18", 10, 3)
    parameters, multiply_adds = measure_cost(model, 32, 3)
    assert parameters == 11_173_962  # kuangliu/pytorch-cifar, ResNet18
    assert multiply_adds == pytest.approx(0.556e9, rel=0.01)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert next(model.parameters()).device.type == "cpu"


def test_measured_cost_equals_counted_cost():
    model = build_model("b0", 10)
    cost = count_cost("b0", 64, 10)
    assert measure_cost(model, 64, 3) == (cost.parameters, cost.multiply_adds)
    assert FlopCounterMode  # the counter is PyTorch's


def test_the_anchor_trains(tree, tmp_path):
    config = make_config("cifar", {
        **REHEARSAL, "data": str(tree), "variant": "resnet18", "output_stride": None, "cutmix": 0.0, "policy": "none",
    })  # fmt: skip
    record = train(config, tmp_path / "run", quiet=True)
    assert record["model"]["variant"] == "resnet18"
    assert record["model"]["multiply_adds"] > 1e8
    assert math.isfinite(record["final"]["test_loss"])


def rehearsal(tree, tmp_path, **options):
    return plan(
        "parts", str(tree), changes=REHEARSAL | options.pop("changes", {}), only=["whole", "relu"], seeds=[0],
        runs=tmp_path / "runs", results=tmp_path / "results", **options,
    )  # fmt: skip


def test_runs_are_made_once_and_compared(tree, tmp_path):
    jobs, said = rehearsal(tree, tmp_path), []
    assert run(jobs, at_once=2, say=said.append) == []
    assert sum("starts" in text for text in said) == 2
    rows = summarise(jobs)
    assert [row["arm"] for row in rows] == ["whole", "relu"]
    for job, row in zip(jobs, rows):
        record = read_record(job.record)
        assert row["test_accuracy"] == record["final"]["test_accuracy"]
        assert row["standard_deviation"] is None and row["runs"] == 1
        assert record["command"].split()[-3:] == ["--output", str(job.output), "--resume"]
    said.clear()
    assert run(jobs, say=said.append) == [] and not said


def test_a_run_that_fails_is_named_and_the_others_are_made(tree, tmp_path):
    good, bad = rehearsal(tree, tmp_path)
    bad.command[bad.command.index("--data") + 1] = str(tmp_path / "nothing")
    with pytest.raises(RunError, match=f"1 of 2 runs failed: {bad.name}"):
        run([bad, good], say=lambda text: None)
    assert good.record.exists() and not bad.record.exists()
    assert "nothing" in (bad.output / "output.txt").read_text()


def test_late_runs_save_and_go_on(tree, tmp_path):
    jobs = rehearsal(tree, tmp_path, changes={"epochs": 2000})
    assert run(jobs, minutes=0, say=lambda text: None) == jobs  # nothing starts after the end
    left = run(jobs[:1], minutes=0.2, say=lambda text: None)
    assert left == jobs[:1] and not jobs[0].record.exists()
    assert list((jobs[0].output / "checkpoints").glob("step-*.pt"))


def test_spread_over_seeds(tree, tmp_path):
    jobs = rehearsal(tree, tmp_path)[:1]
    run(jobs, say=lambda text: None)
    record = read_record(jobs[0].record)
    values = (0.5, 0.75)
    for name, value in zip(("whole-0", "whole-1"), values):
        record["final"]["test_accuracy"], record["config"]["seed"] = value, int(name[-1])
        (tmp_path / "results" / "parts" / f"{name}.json").write_text(json.dumps(record))
    both = plan(
        "parts", str(tree), changes=REHEARSAL, only=["whole"], seeds=[0, 1],
        runs=tmp_path / "runs", results=tmp_path / "results",
    )  # fmt: skip
    (row,) = summarise(both)
    assert row["test_accuracy"] == 0.625 and row["standard_deviation"] == pytest.approx(0.25 / math.sqrt(2))


def test_by_command(tree, tmp_path):
    status, out, _ = effnet("experiment")
    assert status == 0 and all(name in out for name in all_experiments())
    options = ["--data", tree, "--only", "fixed", "--seeds", "0", "--rehearse", "--json"]
    status, out, error = effnet("experiment", "progressive", *options, cwd=tmp_path)
    assert status == 0, error
    (row,) = json.loads(out)
    assert row["arm"] == "fixed" and 0 <= row["test_accuracy"] <= 1
    assert not (tmp_path / "results").exists()  # a rehearsal leaves the real records alone


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nonsense"], "unknown experiment 'nonsense'"),
        (["parts", "--only", "x"], "no arm 'x'"),
        (["parts", "--at-once", "0"], "--at-once must be at least 1"),
        (["parts", "--set", "lr"], "NAME=VALUE"),
        (["parts", "--set", "lr=-1"], "lr must be"),
    ],
)
def test_bad_arguments(arguments, message):
    status, _, error = effnet("experiment", *arguments)
    assert status == 2 and message in error and len(error.splitlines()) == 1


def test_a_record_of_other_settings_is_not_taken_for_the_run(tree, tmp_path):
    job, _ = rehearsal(tree, tmp_path)
    run([job], say=lambda text: None)
    other, _ = rehearsal(tree, tmp_path, changes={"epochs": 3})
    for use in (lambda: run([other]), lambda: summarise([other])):
        with pytest.raises(ConfigError, match="epochs was 2, now 3"):
            use()


def test_seeds_and_arms_are_each_made_once():
    jobs = plan("parts", only=["whole", "whole", "relu"], seeds=[1, 1])
    assert [job.name for job in jobs] == ["whole-1", "relu-1"]
    for field in ("seed", "data"):
        with pytest.raises(ConfigError, match=f"{field} is set by --{field}"):
            plan("parts", changes={field: "7"})


def test_an_experiment_names_its_own_data():
    assert {job.config.data for job in plan("seeds")} == {"digits"}
    assert {job.config.data for job in plan("parts")} == {"cifar10"}
    assert {job.config.data for job in plan("seeds", "cifar100", seeds=[0])} == {"cifar100"}
    assert plan("seeds", seeds=[4])[0].command[:6] == ["effnet", "train", "--recipe", "digits", "--data", "digits"]
