"""Runs that read with worker processes: signals, deaths, resuming; and the process they leave behind."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import assert_same
from tiny import make_tree, tiny_config

from effnet_lib.cli import main
from effnet_lib.train import ConfigError, engine, processes, train
from effnet_lib.train.checkpoint import list_checkpoints
from effnet_lib.train.config import change_config, config_from_json, count_cores
from effnet_lib.train.data import StreamLoader, load_data
from effnet_lib.train.distributed import Group
from effnet_lib.train.processes import as_found, count_workers, free_shared_memory

ALONE = Group(0, 1, torch.device("cpu"))
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
WORKERS = {"storage": "stream", "workers": 1, "crop": "resized", "policy": "trivial"}


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(processes, "count_cores", lambda: 2)


def begin(config, output, *arguments, env=None):
    """``effnet train`` as a user starts it, in a process group of its own."""
    file = output.with_suffix(".json")
    file.write_text(config.to_json())
    return subprocess.Popen(
        [sys.executable, "-m", "effnet_lib", "train", "--quiet", "--config", str(file), "--output", str(output), *arguments],
        start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found
    return found


def gone(pids) -> bool:
    return not any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids)


def state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "Z"


def training(process, output):
    """The workers, once the run has made two steps."""
    log = output / "log.jsonl"
    until(lambda: process.poll() is not None or (log.exists() and log.read_text().count("\n") > 1))
    assert process.poll() is None, process.stderr.read()
    assert children(process.pid)
    return children(process.pid)


@linux
@pytest.mark.parametrize("way", ["group", "timeout", "parent", "terminal"])
def test_a_signal_saves_and_leaves_no_worker_behind(tree, tmp_path, way):
    """SIGTERM to the group, twice as ``timeout`` sends it, to the main process alone; Ctrl-C to the group."""
    config, output = tiny_config(tree, **WORKERS, epochs=500), tmp_path / "run"
    process = begin(config, output)
    workers = training(process, output)
    number = signal.SIGINT if way == "terminal" else signal.SIGTERM
    if way in ("timeout", "parent"):
        os.kill(process.pid, number)
    if way != "parent":
        os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert err.count("\n") == 1 and f"{number.name}: saved after step" in err
    until(lambda: gone(workers), 5)
    steps = [json.loads(line)["step"] for line in (output / "log.jsonl").read_text().splitlines()]
    assert list_checkpoints(output / "checkpoints")[0][0] == max(steps)  # not a step is lost


@linux
@pytest.mark.parametrize("number", processes.SIGNALS[2:], ids=lambda number: number.name)
def test_every_signal_that_asks_to_stop_is_heard(tree, tmp_path, number):
    config, output = tiny_config(tree, **WORKERS, epochs=500), tmp_path / "run"
    process = begin(config, output)
    workers = training(process, output)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and f"{number.name}: saved after step" in err, err
    assert list_checkpoints(output / "checkpoints") and until(lambda: gone(workers), 5)


def test_a_closing_terminal_is_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with processes.listening() as stop:
            stop.wait(lambda text: None)
            signal.raise_signal(signal.SIGHUP)
            assert not stop.number
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_finished_run_needs_its_data_no_more(tmp_path):
    config, output = tiny_config(make_tree(tmp_path / "tree"), epochs=1), tmp_path / "run"
    record = train(config, output, quiet=True)
    (tmp_path / "tree").rename(tmp_path / "elsewhere")
    assert train(config, output, resume=True, quiet=True) == record


@linux
def test_a_killed_run_leaves_no_worker_and_a_killed_worker_loses_nothing(tree, tmp_path):
    config, output = tiny_config(tree, **WORKERS, epochs=500), tmp_path / "run"
    process = begin(config, output)
    workers = training(process, output)
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err.count("\n") == 1, err
    for part in (f"pid {workers[0]}", "SIGKILL", "memory runs out", "--resume --workers 0"):
        assert part in err
    steps = [json.loads(line)["step"] for line in (output / "log.jsonl").read_text().splitlines()]
    saved = list_checkpoints(output / "checkpoints")[0][0]
    assert saved == max(steps)

    process = begin(config, output, "--resume")
    until(lambda: process.poll() is not None or len((output / "log.jsonl").read_text().splitlines()) > len(steps) + 1)
    workers = children(process.pid)
    assert workers
    process.kill()
    process.communicate()
    until(lambda: gone(workers), 4)


def test_a_run_with_workers_stopped_anywhere_ends_as_if_it_had_not_been(tree, tmp_path, monkeypatch):
    """At the first step, within an epoch, at its end, in a validation, in a save, at the end of it all."""
    config = tiny_config(tree, **WORKERS, epochs=4, checkpoint_every=3, validation=0.2)
    whole, output = tmp_path / "whole", tmp_path / "run"
    train(change_config(config, {"workers": 0}), whole, quiet=True)
    stopped, places = [], iter(["training_step", "predict", "save", "training_step", "save", "predict", "report"])
    real = {name: getattr(engine, name) for name in ("training_step", "predict")} | {"save": engine.Run.save}
    place = None

    def raising(name):
        def wrapped(*args, **kwargs):
            nonlocal place
            if place == name:
                place = None
                signal.raise_signal(signal.SIGTERM)
            return real[name](*args, **kwargs)

        return wrapped

    monkeypatch.setattr(engine, "training_step", raising("training_step"))
    monkeypatch.setattr(engine, "predict", raising("predict"))
    monkeypatch.setattr(engine.Run, "save", raising("save"))
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    for place in places:
        try:
            train(config, output, resume=True, quiet=True)
        except engine.Interrupted as stop:
            assert stop.status == 143 and "saved after step" in str(stop)
            stopped.append(list_checkpoints(output / "checkpoints")[0][0])
        assert handlers == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    assert len(stopped) >= 4 and len(set(stopped)) >= 3, stopped
    train(config, output, resume=True, quiet=True)
    assert_same(whole, output)
    assert not processes._running


def begin_two(config, output):
    """Two processes that share each batch, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [begin(config, output, env=group | {"RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(2)]


@linux
def test_two_processes_with_workers_stop_together(tree, tmp_path):
    output = tmp_path / "run"
    both = begin_two(tiny_config(tree, **WORKERS, epochs=500, log_every=50), output)
    until(lambda: both[0].poll() is not None or (output / "log.jsonl").exists() and (output / "log.jsonl").read_text())
    workers = [pid for process in both for pid in children(process.pid)]
    assert len(workers) >= 2
    os.killpg(both[1].pid, signal.SIGTERM)  # one hears it, and both stop
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [143, 143], errors
    assert all("SIGTERM: saved after step" in err and err.count("\n") == 1 for err in errors), errors
    assert len(list_checkpoints(output / "checkpoints")) == 1
    until(lambda: gone(workers), 5)


@linux
@pytest.mark.parametrize("case", ["bad file", "bad setting"])
def test_the_others_of_a_group_say_that_one_failed_and_why(tmp_path, case):
    tree = make_tree(tmp_path / "tree")
    config = tiny_config(tree, **WORKERS | {"crop": "pad"}, epochs=500)
    if case == "bad setting":
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "log.jsonl").write_text("{}")  # what the first process alone looks at
    else:
        broken = Path(load_data(config).train.paths[7])
        broken.write_bytes(broken.read_bytes()[:40])
    both = begin_two(config, tmp_path / "run")
    errors = [process.communicate(timeout=90)[1] for process in both]
    assert [process.returncode for process in both] == [2, 2] if case == "bad setting" else [1, 1], errors
    named = [("cannot be read" in err or "holds a run already" in err) for err in errors]
    others = [("of the group failed" in err or "process of the group has ended" in err) for err in errors]
    assert any(named) and all(a or b for a, b in zip(named, others)), errors
    assert not any("a fault in" in err or "Traceback" in err for err in errors), errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_loading_ends_at_once(tree, tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(engine, "load_data", lambda *args: signal.raise_signal(number))
    file = tmp_path / "c.json"
    file.write_text(tiny_config(tree).to_json())
    assert main(["train", "--config", str(file), "--output", str(tmp_path / "run")]) == 128 + number
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "stopped before the training began" in err


def test_a_second_signal_ends_at_once(tmp_path):
    """Even where the main thread hangs; one that comes with the first belongs to it."""
    code = (
        "import os, signal, time\nfrom effnet_lib.train.processes import *\n"
        "with listening() as stop:\n    stop.wait(lambda text: print(text, flush=True))\n"
        "    for pause in (0, 2 * MOMENT, 0):\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('alive', stop.number, flush=True)\n        time.sleep(pause)\n    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 143, done.stderr
    assert done.stdout.count("alive") in (2, 3) and done.stdout.count("finishing the step") == 1


def test_a_bad_file_found_by_a_worker_is_one_line_and_what_was_done_is_saved(tmp_path, monkeypatch, capsys):
    tree = make_tree(tmp_path / "tree")
    config, output, file = tiny_config(tree, **WORKERS, epochs=3), tmp_path / "run", tmp_path / "c.json"
    file.write_text(config.to_json())
    real, broken = engine.Run.begin_epoch, tree / "train" / "dark"

    def damage(run, epoch):
        for path in broken.iterdir() if epoch == 1 else ():
            path.write_bytes(path.read_bytes()[:40])
        return real(run, epoch)

    monkeypatch.setattr(engine.Run, "begin_epoch", damage)
    assert main(["train", "--config", str(file), "--output", str(output), "--quiet"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and str(broken) in err and "Traceback" not in err
    assert list_checkpoints(output / "checkpoints")[0][0] >= 2
    assert not processes._running


@linux
@pytest.mark.parametrize("number, words", [
    (signal.SIGBUS, "SIGBUS.*shared memory.*--shm-size.*--workers 0"),
    (signal.SIGSEGV, "SIGSEGV.*damaged image"),
])  # fmt: skip
def test_a_worker_that_dies_says_why(tree, monkeypatch, number, words):
    config = tiny_config(tree, **WORKERS)
    split = load_data(config).train
    loader = StreamLoader(split, config, ALONE)
    loader.loader.dataset._crop = lambda *args: os.kill(os.getpid(), number)
    with pytest.raises(engine.ReadingError, match=words):
        list(loader.epoch(0, 0, 16))
    loader.close()


@pytest.mark.parametrize("error, words", [
    (RuntimeError("Caught RuntimeError: unable to write to file </torch_1_2>: No space left on device (28)"), "shm-size"),
    (RuntimeError("Too many open files. Communication with the workers"), "ulimit -n"),
    (OSError(11, "Resource temporarily unavailable"), "no process .* can be started"),
    (MemoryError(), "out of memory in reading images"),
])  # fmt: skip
def test_what_stops_a_loader_is_said_in_one_line(tree, monkeypatch, error, words):
    config = tiny_config(tree, **WORKERS)
    loader = StreamLoader(load_data(config).train, config, ALONE)

    def fail(loader):
        raise error

    monkeypatch.setattr("effnet_lib.train.data.start_reading", fail)
    with pytest.raises(engine.ReadingError, match=f"{words}.*--workers 0"):
        list(loader.epoch(0, 0, 16))


def test_a_fault_of_ours_is_not_explained_away(tree, monkeypatch):
    config = tiny_config(tree, **WORKERS)
    loader = StreamLoader(load_data(config).train, config, ALONE)
    monkeypatch.setattr(loader.loader.dataset, "_crop", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(loader.epoch(0, 0, 16))
    loader.close()


@linux
def test_one_evaluation_keeps_workers_at_a_time_and_a_forgotten_loader_none(tree, monkeypatch):
    config = tiny_config(tree, **WORKERS)
    data = load_data(config)
    before = set(children(os.getpid()))
    loader = StreamLoader(data.train, config, ALONE)
    list(loader.epoch(0, 0, 16))
    assert len(set(children(os.getpid())) - before) == 1
    del loader
    until(lambda: gone(set(children(os.getpid())) - before), 10)


def test_machine_limits_warn_and_never_refuse(monkeypatch):
    said = []
    config = tiny_config("digits", workers=9999)
    monkeypatch.setattr(processes, "free_shared_memory", lambda: None)
    assert count_workers(config, 1, warn=said.append) == 2
    assert "workers = 9999 are more than the cores" in said.pop()
    assert count_workers(change_config(config, {"workers": "none"}), 1, 2, said.append) == 1  # cores are shared
    monkeypatch.setattr(processes, "free_shared_memory", lambda: 64 * 2**20)
    for size, count in ((2**20, 2), (20 * 2**20, 1), (30 * 2**20, 0)):
        assert count_workers(change_config(config, {"workers": 2}), size, warn=said.append) == count
    assert len(said) == 2 and "64 MiB free" in said[0] and "the main process will read" in said[1]
    monkeypatch.undo()
    assert free_shared_memory() is None or free_shared_memory() >= 0


def test_a_run_goes_on_on_another_machine(tree, tmp_path, monkeypatch, capsys):
    """Fewer cores, other folders of the run and of the data, another precision: said, and not refused."""
    moved = make_tree(tmp_path / "elsewhere" / tree.name)
    config = tiny_config(tree, **WORKERS | {"workers": 2}, epochs=2, precision="bf16")
    train(config, tmp_path / "run", quiet=True)
    (tmp_path / "run" / "record.json").unlink()
    output = (tmp_path / "run").rename(tmp_path / "elsewhere" / "again")
    monkeypatch.setattr(processes, "count_cores", lambda: 1)
    again = ["train", "--resume", "--output", str(output), "--data", str(moved), "--quiet"]
    assert main([*again, "--set", "precision=fp32"]) == 0
    err = capsys.readouterr().err
    assert "workers = 2 are more than the cores of this machine: 1" in err
    assert "begun in bf16 on cpu, and goes on in fp32 on cpu" in err
    (output / "record.json").unlink()
    assert main([*again, "--workers", "1", "--seed", "3"]) == 2
    assert "seed was 0, now 3" in capsys.readouterr().err


def test_changes_apply_before_saved_settings_are_checked():
    saved = json.dumps(json.loads(tiny_config("digits").to_json()) | {"lr": -1})
    with pytest.raises(ConfigError, match="lr"):
        config_from_json(saved)
    assert config_from_json(saved, {"lr": "0.1"}).lr == 0.1
    assert config_from_json(tiny_config("digits", workers=count_cores() + 1).to_json(), {}).workers > count_cores()


def test_more_epochs_after_the_end_are_refused_with_advice_that_works(tree, tmp_path, monkeypatch, capsys):
    import shlex

    output = tmp_path / "a run"
    train(tiny_config(tree, epochs=2), output, quiet=True)
    assert main(["train", "--resume", "--output", str(output), "--epochs", "3"]) == 2
    err = capsys.readouterr().err
    assert "epochs = 2, not 3" in err and "weights.safetensors" in err and err.count("\n") == 1
    command = shlex.split(err.partition("from its weights: ")[2])
    assert main([*command[1:], "--quiet"]) == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "a run-on" / "record.json").read_text())
    assert len(record["epochs"]) == 1 and record["config"]["weights"].endswith("weights.safetensors")


def test_more_epochs_before_the_end(tree, tmp_path, monkeypatch):
    config = tiny_config(tree, epochs=3)
    real = engine.Run.begin_epoch
    monkeypatch.setattr(engine.Run, "begin_epoch", lambda run, epoch: (run.stop.hear(15, None), real(run, epoch))[1])
    with pytest.raises(engine.Interrupted):
        train(config, tmp_path / "run", quiet=True)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="go on with --resume --epochs 3, and after its end train on"):
        train(change_config(config, {"epochs": 9}), tmp_path / "run", resume=True, quiet=True)
    train(config, tmp_path / "run", resume=True, quiet=True)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_process_is_left_as_it_was_found(device, fails):
    def look():
        return (
            torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision(), torch.get_num_threads(),
            torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist(), threading.active_count(),
            [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        )  # fmt: skip

    before = look()
    with contextlib.suppress(ZeroDivisionError), as_found(torch.device(device)):
        inside = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
        assert inside == ((True, "high") if device == "cuda" else before[:2])
        torch.manual_seed(1), random.seed(1), np.random.seed(1)
        if fails:
            1 / 0
    assert look() == before


def test_training_leaves_no_trace(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    file = tmp_path / "c.json"
    file.write_text(tiny_config(tree, **WORKERS, epochs=1).to_json())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    environment, handlers = dict(os.environ), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    for settings in ([], ["--batch-size", "4096"]):
        assert main(["train", "--config", str(file), "--output", str(tmp_path / f"r{len(settings)}"), "--quiet", *settings]) in (0, 2)
    assert dict(os.environ) == environment
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    assert torch.equal(torch.rand(3), expected)
