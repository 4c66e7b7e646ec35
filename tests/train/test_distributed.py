"""Two processes on one CPU: the same figures as one, and a worker that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from runs import assert_same, finish, finish_together, outcome
from tiny import tiny_config

from effnet_lib.cli import main
from effnet_lib.train import ConfigError, augment, train
from effnet_lib.train.data import load_data
from effnet_lib.train.distributed import Group, choose_device, join
from effnet_lib.train.engine import check_batches, choose_precision, make_scaler
from effnet_lib.train.record import device_name, peak_memory

# What is random or depends on who shares a batch: statistics of the batch norm.
STILL = {"freeze_norm": True, "dropout": 0.0, "stochastic_depth_rate": 0.0, "crop": "none", "flip": False}


@pytest.mark.parametrize("size, accumulate", [(2, 1), (2, 2)])
def test_two_processes_equal_one(tree, tmp_path, size, accumulate):
    config = tiny_config(tree, **STILL, epochs=3, lr=0.02)
    finish(config, tmp_path / "one")
    shared = tiny_config(tree, **STILL, epochs=3, lr=0.02, accumulate=accumulate)
    finish_together(shared, tmp_path / "two", size)
    (one, metrics), (two, other_metrics) = outcome(tmp_path / "one"), outcome(tmp_path / "two")
    moved = 0
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), two[name].float(), rtol=0, atol=1e-6), name
        moved += name.startswith("model") and not torch.equal(tensor, one["ema.module." + name[6:]])
    assert moved > 10  # it has trained
    final, other = metrics["final"], other_metrics["final"]
    for name in ("test_accuracy", "validation_accuracy", "confusion"):
        assert final[name] == other[name]
    assert final["test_loss"] == pytest.approx(other["test_loss"], abs=1e-6)
    losses = [[e["train_loss"] for e in m["epochs"]] for m in (metrics, other_metrics)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    record = json.loads((tmp_path / "two" / "record.json").read_text())
    assert record["device"]["processes"] == size


def test_two_processes_equal_one_with_a_frozen_start(tree, tmp_path):
    finish(tiny_config(tree, **STILL, epochs=1), tmp_path / "source")
    weights = str(tmp_path / "source" / "weights.safetensors")
    config = tiny_config(tree, **STILL, epochs=4, freeze_epochs=2, weights=weights, lr=0.02)
    finish(config, tmp_path / "one")
    finish_together(config, tmp_path / "two", 2)
    (one, _), (two, _) = outcome(tmp_path / "one"), outcome(tmp_path / "two")
    start = torch.load(tmp_path / "source" / "weights.pt", weights_only=True)
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), two[name].float(), rtol=0, atol=1e-6), name
    assert not torch.equal(one["model.stem.0.weight"], start["stem.0.weight"])  # thawed, and trained


def test_uneven_shares_count_no_image_twice(tree, tmp_path):
    """12 test and 4 validation images among three processes."""
    config = tiny_config(tree, batch_size=15, epochs=1)
    finish_together(config, tmp_path / "three", 3)
    record = json.loads((tmp_path / "three" / "record.json").read_text())
    assert sum(map(sum, record["final"]["confusion"])) == record["dataset"]["test"] == 12


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc to find the worker")
def test_a_killed_worker_ends_where_an_uninterrupted_run_ends(tree, tmp_path):
    """torchrun starts the group again; it resumes by itself, with augmentation and batch norm on."""
    config = tiny_config(
        tree, epochs=40, checkpoint_every=1, policy="trivial", dropout=0.3, stochastic_depth_rate=0.3
    )
    finish_together(config, tmp_path / "whole", 2)
    (tmp_path / "c.json").write_text(config.to_json())
    output = tmp_path / "run"
    agent = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "--max-restarts=2", "-m", "effnet_lib", "train", "--quiet",
            "--config", str(tmp_path / "c.json"), "--output", str(output),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(output.glob("checkpoints/step-*.pt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    worker = max(children(agent.pid))
    os.kill(worker, signal.SIGKILL)
    text, _ = agent.communicate(timeout=150)
    assert agent.returncode == 0, text
    assert json.loads((output / "record.json").read_text())["resumed"] == 1, text
    assert_same(tmp_path / "whole", output)


def test_batches_that_cannot_be_shared(tree):
    config = tiny_config(tree, batch_size=16, accumulate=2)
    data = load_data(config)
    with pytest.raises(ConfigError, match="cannot be shared by 3 processes in 2 parts each: choose a multiple of 6"):
        check_batches(config, data, Group(0, 3, torch.device("cpu")))
    with pytest.raises(ConfigError, match="44 training images are too few for one batch of 64: try --batch-size 16"):
        check_batches(tiny_config(tree, batch_size=64), data, Group(0, 1, torch.device("cpu")))


def test_the_gpu_of_a_mac(monkeypatch):
    mps = torch.device("mps")
    for name in ("mps", "mps:0", "mps:1"):
        with pytest.raises(ConfigError, match=f"device {name}: torch finds no Apple GPU|one GPU"):
            choose_device(name)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == choose_device("mps:0") == mps
    with pytest.raises(ConfigError, match="one GPU"):
        choose_device("mps:1")
    assert choose_precision("auto", mps) == choose_precision("fp32", mps) == "fp32"
    for half in ("fp16", "bf16"):
        with pytest.raises(ConfigError, match=f"precision {half} is not for device mps: use fp32 or auto"):
            choose_precision(half, mps)
    assert not make_scaler(mps, "fp32").is_enabled()
    assert Group(0, 1, mps).exact.type == "cpu" and Group(0, 1, torch.device("cuda", 0)).exact.type == "cuda"
    with join("mps") as group:
        assert (group.rank, group.size, group.device) == (0, 1, mps)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="mps trains in one process, and there are 2"), join("mps"):
        pass
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 123)
    assert peak_memory(mps) == 123 and isinstance(device_name(mps), str)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has one")
@pytest.mark.parametrize("command", [["train", "--recipe", "digits"], ["bench"]])
def test_a_gpu_of_a_mac_that_is_not_there(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--device", "mps"]) == 2
    assert "device mps: torch finds no Apple GPU on this machine: use cpu or auto" in capsys.readouterr().err


@pytest.mark.parametrize("storage, policy, crop", [("memory", "rand", "resized"), ("stream", "trivial", "pad")])
def test_sums_and_resampling_on_the_cpu_change_nothing(tree, tmp_path, monkeypatch, storage, policy, crop):
    """What a Mac's GPU cannot do is done on the CPU: those paths, where the CPU is the device, too."""
    config = tiny_config(tree, epochs=1, storage=storage, policy=policy, crop=crop, resolution=12)
    plain = train(config, tmp_path / "plain", quiet=True)["final"]
    monkeypatch.setattr(Group, "exact", property(lambda group: torch.device("cpu")))
    monkeypatch.setattr(augment, "lacks_resampling", lambda device: True)
    assert train(config, tmp_path / "mac", quiet=True)["final"] == plain


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("tpu!", "meta", f"cuda:{torch.cuda.device_count()}"):
        with pytest.raises(ConfigError, match="device"):
            choose_device(name)


def test_precision_is_what_the_device_does(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert choose_precision("auto", cpu) == "fp32" and choose_precision("bf16", cpu) == "bf16"
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        choose_precision("fp16", cpu)
    for capability, chosen in (((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert choose_precision("auto", gpu) == chosen
    with pytest.raises(ConfigError, match="8.0"):
        choose_precision("bf16", gpu)
