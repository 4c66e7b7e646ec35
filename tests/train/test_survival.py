"""Killed anywhere, damaged, refused: what a run survives, and what it says."""

import errno
import itertools
import json
import os
import pickle
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from runs import assert_same, command, finish, outcome, start
from tiny import make_tree, tiny_config

from effnet_lib import files
from effnet_lib.cli import main
from effnet_lib.train import ConfigError, RunError, engine, train
from effnet_lib.train.checkpoint import list_checkpoints, load_latest, save_checkpoint
from effnet_lib.train.config import change_config

SAVING = {"checkpoint_every": 1, "epochs": 6, "keep": 2, "policy": "trivial", "cutmix": 1.0, "mix_probability": 0.5}


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    """A run that nothing interrupts, with everything that draws random numbers."""
    output = tmp_path_factory.mktemp("whole")
    config = tiny_config(tree, **SAVING, dropout=0.3, stochastic_depth_rate=0.3)
    finish(config, output)
    return config, output


def test_killed_at_random_times(whole, tmp_path):
    """One run killed 20 times, then left alone: the bits are those of a run never killed."""
    config = change_config(whole[0], {"epochs": 40})
    reference, output = tmp_path / "reference", tmp_path / "run"
    finish(config, reference)
    history = json.loads((reference / "record.json").read_text())["epochs"]
    step_time = sum(entry["seconds"] for entry in history) / history[-1]["step"]
    numbers, kills, steps = random.Random(0), 0, []
    while kills < 20:
        process = start(config, output, resume=True)
        log = output / "log.jsonl"
        size = log.stat().st_size if log.exists() else 0
        deadline = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < deadline:  # until it has begun to train
            if log.exists() and log.stat().st_size != size:
                break
            time.sleep(0.002)
        time.sleep(numbers.random() * 2 * step_time)
        assert process.is_alive(), f'the run ended after {kills} kills: give it more epochs'
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        steps.append(max((step for step, _ in list_checkpoints(output / "checkpoints")), default=0))
    finish(config, output, resume=True)
    # How many kills fall between two checkpoints is the machine's affair, that they are spread is not.
    assert json.loads((output / "record.json").read_text())["resumed"] > 3
    assert len(set(steps)) > 3, steps
    assert_same(reference, output)


def test_killed_at_every_point_of_writing(whole, tmp_path):
    """Killed before and after each fsync and rename, and half-way through each write."""
    config, reference = whole
    config = change_config(config, {"checkpoint_every": 2})
    output = tmp_path / "run"
    for at in itertools.chain(range(1, 22), (28, 35)):
        process = start(config, output, resume=True, die_at=at)
        process.join(120)
        assert process.exitcode in (-signal.SIGKILL, 0), at
        if process.exitcode == 0:
            break
    finish(config, output, resume=True)
    assert_same(reference, output)


def test_the_end_is_done_again_if_it_was_cut_off(whole, tmp_path):
    config, reference = whole
    output = tmp_path / "run"
    finish(config, output)
    (output / "record.json").unlink()
    finish(config, output, resume=True)
    assert_same(reference, output)
    before = (output / "record.json").read_text()
    finish(config, output, resume=True)  # and a finished run is left alone
    assert (output / "record.json").read_text() == before


def test_killed_while_the_network_is_frozen_and_after(whole, tree, tmp_path):
    """Fine-tuning with a frozen start, killed 4 times while it writes: the same bits at the end."""
    _, source = whole
    weights = str(source / "weights.safetensors")
    config = tiny_config(tree, **SAVING | {"weights": weights, "freeze_epochs": 3, "dropout": 0.3}, ema_decay=0.9)
    reference, output = tmp_path / "reference", tmp_path / "run"
    finish(config, reference)
    steps = []
    for at in (13, 34, 45, 45):
        process = start(config, output, resume=True, die_at=at)
        process.join(120)
        assert process.exitcode in (-signal.SIGKILL, 0), at
        steps.append(max((step for step, _ in list_checkpoints(output / "checkpoints")), default=0))
    half = json.loads((reference / "record.json").read_text())["epochs"][2]["step"]
    assert 0 < steps[1] < half < max(steps), steps  # killed in both parts
    finish(config, output, resume=True)
    assert_same(reference, output)


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_save_and_leave(whole, tmp_path, number, status):
    config, reference = whole
    config = change_config(config, {"checkpoint_every": 0})
    output = tmp_path / "run"
    process = start(config, output)
    while not (log := output / "log.jsonl").exists() or log.read_text().count("\n") < 8:
        time.sleep(0.005)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == status
    written = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert list_checkpoints(output / "checkpoints")[0][0] == max(written)  # not a step is lost
    finish(config, output, resume=True)
    assert_same(reference, output)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(whole, tmp_path, capsys):
    config, reference = whole
    output = tmp_path / "run"
    finish(change_config(config, {}), output)
    (output / "record.json").unlink()
    latest = list_checkpoints(output / "checkpoints")[0][1]
    content = bytearray(latest.read_bytes())
    content[len(content) // 2] ^= 1
    latest.write_bytes(content)
    latest.with_name("step-99999999.0123456789abcdef.pt").write_bytes(b"cut o")
    train(config, output, resume=True, quiet=True)
    err = capsys.readouterr().err
    assert latest.name in err and "step-99999999" in err and "damaged" in err
    assert_same(reference, output)


def test_all_checkpoints_damaged(tmp_path):
    (tmp_path / "step-00000001.0123456789abcdef.pt").write_bytes(b"x")
    with pytest.raises(RunError, match="all 1 checkpoints"):
        load_latest(tmp_path, warn=lambda text: None)
    assert load_latest(tmp_path / "none") is None


def test_the_last_few_and_the_best_are_kept(tmp_path):
    for step in range(1, 9):
        (tmp_path / "step-9.pt.part").write_bytes(b"of a killed run")
        save_checkpoint(tmp_path, step, {"step": step}, keep=2, best_step=3 if step >= 3 else None)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [8, 7, 3]
    assert load_latest(tmp_path)["step"] == 8
    assert not list(tmp_path.glob("*.part"))


class Evil:
    """A pickle that runs code where it is read."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    mark = tmp_path / "was_here"
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save_checkpoint(folder, 1, {"model": Evil(mark)}, 3, None)  # with a name and a hash that fit
    with pytest.raises(RunError, match="refused"):
        load_latest(folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()  # it was a real one


def test_not_finite(tree, tmp_path, capsys):
    output = tmp_path / "run"
    arguments = ["train", "--output", str(output), "--config", str(tmp_path / "c.json"), "--quiet"]
    config = tiny_config(tree, epochs=4, lr=1e30, warmup_epochs=0.0, checkpoint_every=1)
    (tmp_path / "c.json").write_text(config.to_json())
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    for part in ("step", "epoch 0", "learning rate of 1e+30", "clip_norm", "warm-up", "last good checkpoint"):
        assert part in err
    state = load_latest(output / "checkpoints")
    assert state is None or all(t.isfinite().all() for t in state["model"].values())


def test_weights_that_are_not_finite_are_never_saved(tree, tmp_path, monkeypatch):
    calls = itertools.count()
    real = engine.Run.after_step

    def poison(run):
        if next(calls) == 4:
            with torch.no_grad():
                run.model.classifier.bias[0] = float("nan")
        real(run)

    monkeypatch.setattr(engine.Run, "after_step", poison)
    with pytest.raises(RunError, match="weights are not finite at step 4"):
        train(tiny_config(tree, epochs=4, checkpoint_every=1), tmp_path / "run", quiet=True)
    assert load_latest(tmp_path / "run" / "checkpoints")["step"] <= 4


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError(),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory")])  # fmt: skip
def test_out_of_memory_says_what_to_try(tree, tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", fail)
    with pytest.raises(RunError, match="accumulate=2 .*8 images at a time.*--batch-size 8"):
        train(tiny_config(tree), tmp_path / "run", quiet=True)


def test_disk_full(tree, tmp_path, monkeypatch, capsys):
    """The third checkpoint meets a full disk; the second is whole, and a resume goes on from it."""
    config = tiny_config(tree, epochs=4, checkpoint_every=1)
    whole, output = tmp_path / "whole", tmp_path / "run"
    train(config, whole, quiet=True)
    real, calls = os.fsync, itertools.count()

    def full(descriptor):
        if next(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device.*--resume"):
        train(config, output, quiet=True)
    monkeypatch.undo()
    assert list_checkpoints(output / "checkpoints") and not list(output.rglob("*.part"))
    train(config, output, resume=True, quiet=True)
    assert_same(whole, output)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_log_on_a_full_disk(tree, tmp_path, monkeypatch):
    from effnet_lib.train import progress

    monkeypatch.setattr(progress, "open", lambda *a: open("/dev/full", "a"), raising=False)
    with pytest.raises(RunError, match="cannot write .*log.jsonl: No space left"):
        train(tiny_config(tree), tmp_path / "run", quiet=True)


def test_output_that_cannot_be_written(tree, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write to"):
        train(tiny_config(tree), tmp_path / "file" / "run", quiet=True)


def test_another_configuration_names_the_fields(whole, tmp_path):
    config, _ = whole
    output = tmp_path / "run"
    finish(config, output)
    with pytest.raises(ConfigError, match=r"seed was 0, now 3; lr was 0.05, now 0.1"):
        train(change_config(config, {"seed": 3, "lr": 0.1}), output, resume=True, quiet=True)
    with pytest.raises(ConfigError, match="holds a run already.*--resume"):
        train(config, output, quiet=True)


def test_other_data_are_noticed(whole, tmp_path):
    config, _ = whole
    output = tmp_path / "run"
    finish(config, output)
    (output / "record.json").unlink()
    other = make_tree(tmp_path / "other", side=16, classes=("dark", "light"), splits=(("train", 25), ("test", 6)))
    with pytest.raises(ConfigError, match="the data have changed"):
        train(change_config(config, {"data": str(other)}), output, resume=True, quiet=True)


def test_the_command_killed_and_resumed(tree, tmp_path):
    """The same through the command line, as a user would."""
    whole, output = tmp_path / "whole", tmp_path / "run"
    (tmp_path / "c.json").write_text(tiny_config(tree, epochs=3, checkpoint_every=2).to_json())
    common = ("train", "--config", tmp_path / "c.json", "--quiet", "--output")
    assert command(*common, whole).returncode == 0
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "effnet_lib", *map(str, common), str(output)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while not list(output.glob("checkpoints/step-*.pt")) and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = command("train", "--resume", "--output", output)
    assert done.returncode == 0, done.stderr
    assert_same(whole, output)
    tensors, _ = outcome(output)
    assert any(name.startswith("ema.") for name in tensors)
