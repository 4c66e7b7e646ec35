"""The training explorer: a run, epoch by epoch, with its curves, its confusions and its mistakes."""

import base64
import io
import json
import math
from importlib import resources
from pathlib import Path

from .element import Explorer, table

#: Wrong answers shown for an epoch, the worst first.
SHOWN = 12

#: Points of the curves by step: longer runs are thinned to about so many.
POINTS = 600


def training_explorer(run: str | Path | None = None) -> Explorer:
    """A run to drag through: its loss, accuracy and learning rate, and what it got wrong after each epoch.

    Args:
        run: the folder that :func:`effnet_lib.train.train` wrote to, with the checkpoints of the
            epochs to be shown (``keep`` of the settings), and its data; at most 20 classes. None
            shows a short run on the digits that comes with the library.

    Raises:
        ConfigError: no run is there, or none of this kind.
        RunError: a checkpoint or the data cannot be read.

    Needs torch and Pillow where a folder is given.
    """
    if run is None:
        data = json.loads((resources.files("effnet_lib") / "data" / "digits_run.json").read_text(encoding="utf-8"))
    else:
        data = training_data(run)
    return Explorer(
        "training", data, _static(data), ("training.js",), "training explorer (shows itself in a notebook)",
        ("training.css",),
    )  # fmt: skip


def training_data(run: str | Path) -> dict:
    """What the explorer shows of a run: its log, and the answers to the validation images."""
    from ..train import ConfigError, read_record, watch_epochs

    run = Path(run)
    record, answers = read_record(run), watch_epochs(run, "validation")
    classes = record["dataset"]["classes"]
    if len(classes) > 20 or answers[0].images is None:
        raise ConfigError(f"{run}: a run with at most 20 classes and images in memory is needed")
    tiles: dict[int, int] = {}  # number of the image → place in the sprite
    epochs = []
    for one in answers:
        entry = record["epochs"][one.epoch]
        worst = one.worst(SHOWN)
        mistakes = [
            [tiles.setdefault(i, len(tiles)), int(one.labels[i]), int(one.predicted[i]), round(float(one.probability[i]), 3)]
            for i in worst
        ]
        epochs.append(
            {
                "epoch": one.epoch + 1,
                "train_loss": round(entry["train_loss"], 4),
                "validation_loss": round(float(one.loss.mean()), 4),
                "right": int((one.predicted == one.labels).sum()),
                "confusion": [count for row in one.confusion for count in row],
                "mistakes": mistakes,
            }
        )
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    steps = steps[:: max(1, math.ceil(len(steps) / POINTS))]
    size = answers[0].images.shape[-1]
    return {
        "name": f"{record['model']['variant']} on {record['dataset']['id']}, seed {record['seed']}",
        "classes": classes,
        "images": len(answers[0].labels),
        "total": len(record["epochs"]),
        "epochs": epochs,
        # time in epochs, loss, learning rate
        "steps": [
            [round(line["step"] * len(record["epochs"]) / record["epochs"][-1]["step"], 4), round(line["loss"], 4), round(line["lr"], 6)]
            for line in steps
        ],
        "size": size,
        "sprite": _sprite(answers[0].images[list(tiles)]) if tiles else "",
    }


def _sprite(images) -> str:
    """Images side by side as one PNG, in base64."""
    from PIL import Image

    count, channels, height, width = images.shape
    strip = images.permute(2, 0, 3, 1).reshape(height, count * width, channels).contiguous()
    picture = Image.frombytes("RGB" if channels == 3 else "L", (count * width, height), strip.numpy().tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def _static(data: dict) -> str:
    images = data["images"]
    rows = [
        [
            e["epoch"], f"{e['train_loss']:.3f}", f"{e['validation_loss']:.3f}",
            f"{100 * e['right'] / images:.1f} %", images - e["right"],
        ]
        for e in data["epochs"]
    ]  # fmt: skip
    caption = f"{data['name']}: {images:,} validation images after each epoch"
    return table(["Epoch", "Training loss", "Validation loss", "Right", "Wrong"], rows, caption)
