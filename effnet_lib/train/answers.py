"""What a run answered, image by image: at its end, and after every epoch whose checkpoint was kept.

    answers = run_answers("runs/digits", "test")
    answers.accuracy, answers.confusion, answers.worst(12)
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .checkpoint import load_checkpoints
from .config import config_from_json
from .data import load_data
from .distributed import join
from .engine import Run, open_source, predict
from .errors import ConfigError
from .manifest import NAME as MANIFEST
from .manifest import read_manifest
from .progress import Progress
from .report import confusion_matrix, worst_mistakes
from .tasks import accuracy


@dataclass(frozen=True)
class Answers:
    """One split, and what the averaged weights of one epoch say to it.

    Attributes:
        epoch: of the run, from 0.
        classes: names, in the order of the labels.
        images: bytes (N, channels, height, width); None where the data stream from disk.
        labels, predicted: class indices (N,); 1 and 0 (N, classes) where an image has several labels.
        probability: of the predicted class (N,), or of each label (N, classes).
        loss: cross-entropy in nats (N,); with several labels their mean binary cross-entropy.
    """

    epoch: int
    classes: tuple[str, ...]
    images: Tensor | None
    labels: Tensor
    predicted: Tensor
    probability: Tensor
    loss: Tensor

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return accuracy(self.predicted, self.labels)

    @property
    def confusion(self) -> list[list[int]]:
        """Row: true class; column: answer; entry: number of images."""
        return confusion_matrix(self.predicted, self.labels, len(self.classes))

    def worst(self, count: int = 12) -> list[int]:
        """Indices of wrong answers, the largest loss first."""
        return worst_mistakes(self.predicted, self.labels, self.loss, count)


def run_answers(folder: str | Path, split: str = "test") -> Answers:
    """The answers of a run's last checkpoint.

    Args:
        folder: of the run; its data must still be where they were.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ConfigError: no run is there, it has no checkpoint, or there is no such split.
        RunError: a checkpoint or the data cannot be read.
    """
    *_, last = _replay(folder, split, only_last=True)
    return last


def watch_epochs(folder: str | Path, split: str = "validation") -> list[Answers]:
    """The answers after every epoch whose checkpoint was kept, the first epoch first.

    ``keep`` of :class:`Config` says how many are kept: ``--set keep=14`` keeps fourteen.
    Arguments and errors as for :func:`run_answers`.
    """
    return _replay(folder, split)


def _replay(folder: str | Path, split: str, only_last: bool = False) -> list[Answers]:
    folder = Path(folder)
    if split not in ("train", "validation", "test"):
        raise ConfigError(f"split must be train, validation or test, got {split!r}")
    try:
        config = config_from_json((folder / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{folder} holds no run: config.json: {error.strerror}") from None
    answers = []
    with (
        join(config.device) as group, Progress(folder, False, True, False) as silent,
        contextlib.ExitStack() as ending,
    ):  # fmt: skip
        source = open_source(config)
        manifest = read_manifest(folder / MANIFEST)
        data = load_data(config, None, source and source.weights.preprocessing, manifest=manifest)
        run = Run(config, data, group, folder, silent, source)
        chosen = getattr(data, split)
        ending.enter_context(contextlib.closing(run))
        for state in load_checkpoints(folder / "checkpoints", only_last):
            if state["step"] % run.steps_per_epoch:
                continue  # within an epoch
            run.ema.load_state_dict(state["ema"])
            predicted, probability, loss = predict(run.ema.module, chosen, run)
            epoch = state["step"] // run.steps_per_epoch - 1
            images = None if chosen.images is None else chosen.images.cpu()
            answers.append(
                Answers(epoch, data.classes, images, chosen.labels.cpu(), predicted, probability, loss)
            )
    if not answers:
        raise ConfigError(f"{folder} has no checkpoint of a whole epoch: train it first")
    return sorted(answers, key=lambda one: one.epoch)
