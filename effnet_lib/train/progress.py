"""What a run shows while it trains: a bar or lines, log.jsonl, TensorBoard, a live plot."""

import contextlib
import json
import sys
import time
from pathlib import Path

from ..files import shown
from ..packages import MissingPackage
from .checkpoint import write_atomically
from .errors import RunError


class Progress:
    """The eyes on a run. Only rank 0 writes and prints.

    Args:
        output: folder of the run.
        is_main: whether this process is rank 0.
        quiet: print nothing.
        tensorboard: write events to ``output/tensorboard``.
        on_epoch: called with the history after each epoch.

    Raises:
        MissingPackage: TensorBoard is asked for and not installed.
    """

    def __init__(self, output: Path, is_main: bool, quiet: bool, tensorboard: bool, on_epoch=None):
        self.path = output / "log.jsonl"
        self.is_main, self.quiet, self.on_epoch = is_main, quiet, on_epoch
        self.file = self.bar = self.board = None
        if tensorboard and is_main:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise MissingPackage("--tensorboard needs tensorboard: pip install tensorboard") from None
            self.board = SummaryWriter(output / "tensorboard")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        for thing in (self.bar, self.board, self.file):
            if thing is not None:
                with contextlib.suppress(OSError):  # every line was flushed; a full disk has been told
                    thing.close()

    def begin(self, run) -> None:
        """Take the log back to where the run stands, and say what is about to happen."""
        if not self.is_main:
            return
        kept = _lines_until(self.path, run.step, len(run.history))
        write_atomically(self.path, "".join(kept).encode())
        self.file = open(self.path, "a")
        cfg, data = run.config, run.data
        self.say(
            f"{run.name} on {data.id}: {len(data.train):,} images to train, {len(data.validation):,} to "
            f"validate, {len(data.test):,} to test; {run.resolution} pixels, batches of {cfg.batch_size}, "
            f"{run.group.size} × {run.group.device.type} in {run.precision}"
        )
        if run.step:
            self.say(f"going on after step {run.step} of {cfg.epochs * run.steps_per_epoch}")
        if not self.quiet and sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return  # lines do as well
            total, per_step = cfg.epochs * run.steps_per_epoch * cfg.batch_size, cfg.batch_size
            self.bar = tqdm(total=total, initial=run.step * per_step, unit=" images", unit_scale=True)

    def step(self, entry: dict, run) -> None:
        """The losses up to a step have been looked at."""
        if not self.is_main:
            return
        self._log(entry)
        if self.bar is not None:
            self.bar.update(entry["step"] * run.config.batch_size - self.bar.n)
            self.bar.set_postfix(epoch=entry["epoch"] + 1, loss=f"{entry['loss']:.3f}")
        if self.board is not None:
            self.board.add_scalar("train/loss", entry["loss"], entry["step"])
            self.board.add_scalar("train/lr", entry["lr"], entry["step"])

    def epoch(self, entry: dict, run) -> None:
        """An epoch has ended."""
        if not self.is_main:
            return
        self._log(entry)
        done, epochs = len(run.history), run.config.epochs
        left = run.wall / done * (epochs - done)
        text = f"epoch {done}/{epochs}  loss {entry['train_loss']:.4f}"
        if entry["validation_accuracy"] is not None:
            mean = entry.get("validation_mean_average_precision")
            text += f"  validation {100 * entry['validation_accuracy']:.2f} %" if mean is None else f"  validation mAP {100 * mean:.2f} %"
            if self.board is not None:
                for name in [name for name in entry if name.startswith("validation_")]:
                    self.board.add_scalar(name.replace("_", "/", 1), entry[name], entry["step"])
        text += f"  {entry['images_per_second']:.0f} images/s  {time.strftime('%H:%M:%S', time.gmtime(left))} left"
        self.say(text)
        if self.on_epoch is not None:
            self.on_epoch(run.history)

    def end(self, record: dict) -> None:
        """The run is finished."""
        final, classes = record["final"], record["dataset"]["classes"]
        several = "test_mean_average_precision" in final
        metric = "mean_average_precision" if several else "accuracy"
        self.say(
            f"\n{'mAP' if several else '':17}validation     test\n"
            f"EMA weights        {100 * final[f'validation_{metric}']:7.2f} %"
            f"{100 * final[f'test_{metric}']:7.2f} %\n"
            f"without EMA        {100 * final[f'validation_{metric}_without_ema']:7.2f} %"
            f"{100 * final[f'test_{metric}_without_ema']:7.2f} %\n"
        )
        if len(classes) <= 20:
            pairs = zip(classes, final["per_class_average_precision" if several else "per_class_accuracy"])
            self.say("by class: " + ", ".join(f"{shown(c, 60)} {100 * a:.1f} %" for c, a in pairs if a is not None))
        self.say(f"{record['wall_time_s']:.0f} s; all of it is in {self.path.parent}")

    @contextlib.contextmanager
    def counting(self, total: int, what: str):
        """Show how many of ``total`` are done; what it gives is called with how many were added.

        A bar in a terminal, else a line for every tenth part of a thousand and more.
        """
        bar, done, told = None, 0, 0
        if self.is_main and not self.quiet and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                bar = tqdm(total=total, unit=" images", desc=what, leave=False)

        def add(count: int) -> None:
            nonlocal done, told
            done += count
            if bar is not None:
                bar.update(count)
            elif total >= 1000 and done * 10 // total > told:
                told = done * 10 // total
                self.say(f"{done:,} of {total:,} {what}")

        try:
            yield add
        finally:
            if bar is not None:
                bar.close()

    def say(self, text: str) -> None:
        """Print a line, beside the bar if there is one."""
        if self.is_main and not self.quiet:
            with contextlib.suppress(BrokenPipeError):  # `| head` must not end a run
                self.bar.write(text) if self.bar is not None else print(text, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning, quiet or not."""
        if self.is_main:
            print(f"warning: {text}", file=sys.stderr, flush=True)

    def _log(self, entry: dict) -> None:
        try:
            self.file.write(json.dumps(entry) + "\n")
            self.file.flush()
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; the checkpoints are whole") from error


def _lines_until(path: Path, step: int, epochs: int) -> list[str]:
    """The lines of the log that a run standing at ``step`` has written; a cut-off last one is not."""
    kept = []
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        late = entry["epoch"] >= epochs if entry["event"] == "epoch" else entry["step"] > step
        if line.endswith("\n") and not late:
            kept.append(line)
    return kept


class LivePlot:
    """A plot of loss and accuracy that redraws itself in a notebook after each epoch.

    Pass it as ``on_epoch`` to :func:`effnet_lib.train.train`. Needs matplotlib and IPython.

    Args:
        epochs: of the run, so that the plot says how far it is and the axes stand still.
        draw: makes the figure from the history so far (and from ``epochs``, where it is given);
            :func:`plot_history` if None.
    """

    def __init__(self, epochs: int | None = None, draw=None):
        from IPython.display import display

        self.epochs, self.draw, self.begun = epochs, draw or plot_history, time.monotonic()
        self.text = display({"text/plain": "training …"}, raw=True, display_id=True)
        self.handle = None

    def __call__(self, history: list[dict]) -> None:
        from IPython.display import display

        figure = self.draw(history, self.epochs) if self.epochs else self.draw(history)
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)
        figure.clear()
        if self.text is not None:  # outside a notebook there is nothing to update
            self.text.update({"text/plain": self.status(len(history))}, raw=True)

    def status(self, done: int) -> str:
        """How far the run is; how long it still takes only while it runs."""
        if not self.epochs or done >= self.epochs:
            return f"{done} epochs"
        left = (time.monotonic() - self.begun) / done * (self.epochs - done)
        return f"epoch {done} of {self.epochs}, about {time.strftime('%H:%M:%S', time.gmtime(left))} left"


def plot_history(history: list[dict], epochs: int | None = None):
    """Loss and validation accuracy by epoch, as a matplotlib figure with room for ``epochs``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = [entry["epoch"] + 1 for entry in history]
    left.plot(numbers, [entry["train_loss"] for entry in history], label="training")
    known = [entry for entry in history if entry["validation_accuracy"] is not None]
    at = [entry["epoch"] + 1 for entry in known]
    left.plot(at, [entry["validation_loss"] for entry in known], label="validation")
    several = any("validation_mean_average_precision" in entry for entry in known)
    metric = "validation_mean_average_precision" if several else "validation_accuracy"
    right.plot(at, [100 * entry[metric] for entry in known], color="C1")
    left.set(xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="validation mAP, %" if several else "validation accuracy, %")
    left.legend()
    if epochs:
        for axes in (left, right):
            axes.set_xlim(0, epochs + 0.5)
    return figure
