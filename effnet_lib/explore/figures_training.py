"""Figures of chapter 11: a run while it trains, its confusions and mistakes, and what seeds do."""

import math
from collections.abc import Sequence
from statistics import mean, stdev

from matplotlib.figure import Figure

from ..studies import ScratchRun, cifar_study
from .figures import COLORS, house_style


def plot_run(history: Sequence[dict], epochs: int | None = None) -> Figure:
    """Loss and accuracy over the epochs of a run, finished or not.

    Args:
        history: entries of a record's ``epochs``.
        epochs: that the run will have, so that the axis stands still; as many as there are if None.
    """
    known = [entry for entry in history if entry["validation_accuracy"] is not None]
    at = [entry["epoch"] + 1 for entry in known]
    with house_style():
        figure = Figure(figsize=(7, 2.7))
        left, right = figure.subplots(1, 2)
        numbers = [entry["epoch"] + 1 for entry in history]
        left.plot(numbers, [e["train_loss"] for e in history], color=COLORS["depth"], marker=".", label="training")
        left.plot(at, [e["validation_loss"] for e in known], "--", color=COLORS["width"], marker=".", label="validation")
        right.plot(at, [100 * e["validation_accuracy"] for e in known], color=COLORS["ink"], marker=".")
        left.set_title("loss", fontsize=10, loc="left")
        right.set_title("validation images named rightly, %", fontsize=10, loc="left")
        # Running statistics that lag may begin with a loss in the hundreds: the axis is the training loss's.
        left.set_ylim(0, 1.15 * max(e["train_loss"] for e in history))
        right.set_ylim(0, 101)
        left.legend()
        last = epochs or len(history)
        for axes in (left, right):
            axes.set_xlim(0, last + 0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlabel(f"epoch, of {last}")
    return figure


def plot_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """What each class was taken for. Rows: what it is; columns: the answer; shade: share of the row.

    Args:
        confusion: counts, as in a record's ``final``.
        classes: their names.
    """
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    side = 2.2 + 0.32 * len(classes)
    with house_style():
        figure = Figure(figsize=(side, side))
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                if count:
                    color = "white" if shares[i][j] > 0.5 else COLORS["ink"] if i == j else COLORS["width"]
                    axes.text(j, i, count, ha="center", va="center", color=color, fontsize=8)
        axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="the network says", ylabel="it is")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def plot_mistakes(answers, count: int = 8) -> Figure:
    """The worst mistakes of :func:`effnet_lib.train.run_answers`: what each is, and what it was taken for.

    Args:
        answers: of a run whose images lie in memory.
        count: at most so many.
    """
    worst = answers.worst(count)
    columns = 4
    rows = max(1, math.ceil(len(worst) / columns))
    with house_style():
        figure = Figure(figsize=(5.6, 1.75 * rows + 0.1))
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for axes in panels:
            axes.axis("off")
        for axes, i in zip(figure.axes, worst):
            pixels = answers.images[i].permute(1, 2, 0).numpy()
            axes.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray", vmin=0, vmax=255)
            true, said = answers.classes[int(answers.labels[i])], answers.classes[int(answers.predicted[i])]
            axes.set_title(f"{true} → {said}, {float(answers.probability[i]):.0%}", fontsize=9)
        if not worst:
            figure.suptitle("no mistakes")
    return figure


def plot_seeds(records: Sequence[dict]) -> Figure:
    """Test accuracy of runs that differ in their seed, their mean, and two kinds of uncertainty.

    Above: each run, and the mean with the standard deviation of the runs. Below: how far a single
    figure is uncertain because the test set is finite, one standard error.
    """
    values = [100 * record["final"]["test_accuracy"] for record in records]
    middle, images = mean(values), records[0]["dataset"]["test"]
    with house_style():
        figure = Figure(figsize=(7, 2.2))
        axes = figure.add_subplot()
        stacked: dict[float, int] = {}
        for value in values:
            level = stacked[round(value, 3)] = stacked.get(round(value, 3), -1) + 1
            axes.plot(value, 2 + 0.28 * level, "o", color=COLORS["depth"], markersize=6)
        rows = [("test images, ± 1 standard error", 0, standard_error(middle / 100, images) * 100, COLORS["width"])]
        if len(values) > 1:
            rows.append(("seeds, ± 1 standard deviation", 1, stdev(values), COLORS["ink"]))
        for _, y, reach, color in rows:
            axes.errorbar(middle, y, xerr=reach, fmt="D", color=color, markersize=5, capsize=4, linewidth=2)
        axes.set_yticks([y for _, y, _, _ in rows] + [2], [label for label, *_ in rows] + [f"{len(values)} runs"])
        axes.set_ylim(-0.5, 2.6 + 0.28 * max(stacked.values()))
        axes.set_xlabel("test accuracy, %")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy counted on so many images, drawn at random: √(p(1 − p)/n).

    >>> round(standard_error(0.96, 10_000), 4)
    0.002
    """
    return math.sqrt(accuracy * (1 - accuracy) / images)


def plot_cifar(study: Sequence[ScratchRun] | None = None) -> Figure:
    """CIFAR-10: what others reached, and our own recorded runs, each run a dot, where there are some.

    Args:
        study: :func:`effnet_lib.cifar_study` if None.
    """
    study = cifar_study() if study is None else study
    with house_style():
        figure = Figure(figsize=(7, 0.6 + 0.34 * len(study)))
        axes = figure.add_subplot()
        labels = []
        for place, row in enumerate(study):
            color = COLORS["soft"] if row.how == "fine-tuned" else COLORS["depth"]
            if row.runs:
                color = COLORS["width"]
                axes.plot(row.runs, [-place] * len(row.runs), "o", color=color, alpha=0.45, markersize=5)
            axes.plot(row.accuracy, -place, "D" if row.runs else "o", color=color)
            spread = f" ± {row.spread:.2f}" if row.spread is not None else ""
            axes.annotate(
                f"{row.accuracy:.2f}{spread}" if row.runs else f"{row.accuracy:.1f}", (row.accuracy, -place),
                (9, 0), textcoords="offset points", va="center", fontsize=9.5, color=color,
            )  # fmt: skip
            labels.append(f"{row.name}, {'our runs' if row.runs else row.how}")
        axes.set_yticks([-place for place in range(len(study))], labels)
        axes.set_xlim(min(84, min(row.accuracy for row in study) - 2), 100.8)
        axes.set_xlabel("CIFAR-10 test accuracy, %")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def plot_stage_sizes(counts: dict[str, Sequence]) -> Figure:
    """The side of the map that enters each stage, for the same network in several settings.

    Args:
        counts: name of the setting to the stages of its :func:`effnet_lib.count_cost`.
    """
    colors = [COLORS["width"], COLORS["soft"], COLORS["depth"], COLORS["resolution"], COLORS["ink"]]
    with house_style():
        figure = Figure(figsize=(7, 3))
        axes = figure.add_subplot()
        for (name, stages), color, marker in zip(counts.items(), colors, "osD^v"):
            sides = [row.resolution for row in stages]
            axes.plot(range(1, len(sides) + 1), sides, color=color, marker=marker, markersize=5, label=name)
        axes.set_yscale("log", base=2)
        ticks = [2**power for power in range(9)]
        axes.set_yticks(ticks, ticks)
        axes.set_ylim(0.8, 300)
        axes.set_xlabel("stage")
        axes.set_title("side of the map that enters, pixels", fontsize=10, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
