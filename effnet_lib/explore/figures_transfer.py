"""Figures of what ImageNet's weights are worth on another set of images, from recorded runs.

Each function returns a matplotlib figure with an attribute ``alt``, a text that says what it
shows. They need matplotlib.
"""

import statistics

from matplotlib.figure import Figure

from ..records import list_recorded, recorded
from .figures import COLORS, house_style

FEATURES = "transfer-features"


def transfer_features(resolution: int | None = None) -> dict[int, list[float]]:
    """Accuracies of a linear classifier by images of each class: of the recorded benchmark, one a choice.

    Args:
        resolution: side to which the images were enlarged for Lite0; None for the classifier
            on the pixels themselves.

    Raises:
        ValueError: it was not measured at that resolution.
    """
    rows = [row for row in recorded(FEATURES)["rows"] if row.get("resolution") == resolution]
    if not rows:
        sizes = sorted({row["resolution"] for row in recorded(FEATURES)["rows"] if "resolution" in row})
        raise ValueError(f"resolution must be one of {', '.join(map(str, sizes))}, or None, got {resolution!r:.40}")
    return {row["per_class"]: row["accuracy"] for row in rows}


def transfer_runs() -> dict[str, dict[int, list[float]]]:
    """Test accuracies of the recorded runs of ``effnet experiment transfer``, one a seed.

    Returns:
        ``"fine-tune"`` and ``"scratch"`` to the number of images of each class, to accuracies;
        empty while nothing is recorded.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for name in list_recorded():
        folder, _, run = name.partition("/")
        if folder == "transfer":
            arm, count, _ = run.rsplit("-", 2)
            found.setdefault(arm, {}).setdefault(int(count), []).append(recorded(name)["final"]["test_accuracy"])
    return found


def plot_few_labels(resolution: int = 224) -> Figure:
    """Accuracy over the number of labelled images, on features of Lite0, on pixels, and of whole networks."""
    lines = {
        f"classifier on Lite0's features, {resolution} px": (transfer_features(resolution), COLORS["depth"], "o"),
        "classifier on the pixels": (transfer_features(), COLORS["soft"], "s"),
    }
    names = {"fine-tune": "Lite0 fine-tuned whole, 96 px", "scratch": "Lite0 from scratch, 32 px"}
    colors = {"fine-tune": COLORS["resolution"], "scratch": COLORS["width"]}
    lines |= {names[arm]: (rows, colors[arm], "D^"[i]) for i, (arm, rows) in enumerate(transfer_runs().items())}
    with house_style():
        figure = Figure(figsize=(6.2, 4.2))
        axes = figure.add_subplot()
        for label, (rows, color, marker) in lines.items():
            counts = sorted(rows)
            means = [100 * statistics.fmean(rows[n]) for n in counts]
            axes.plot(counts, means, color=color, marker=marker, markersize=5, label=label)
            for n in counts:  # a bar from the worst choice to the best
                axes.plot([n, n], [100 * min(rows[n]), 100 * max(rows[n])], color=color, linewidth=3, alpha=0.35)
        axes.axhline(10, color=COLORS["soft"], linestyle=":", linewidth=1)
        axes.text(1, 10.8, "guessing", color=COLORS["soft"], fontsize=8.5)
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 500], ["1", "2", "5", "10", "20", "50", "100", "200", "500"])
        axes.minorticks_off()
        axes.set_ylim(0, 100)
        axes.set_xlabel("labelled images of each of the ten classes")
        axes.set_ylabel("right on test images, %")
        axes.legend(loc="upper left", fontsize=8.5)
    parts = []
    for label, (rows, _, _) in lines.items():
        first, last = min(rows), max(rows)
        parts.append(
            f"{label}: {statistics.fmean(rows[first]):.0%} with {first}, {statistics.fmean(rows[last]):.0%} with {last}"
        )
    figure.alt = f"Accuracy over labelled images of each class, on a scale of powers. {'; '.join(parts)}"
    return figure


def plot_transfer_sizes(counts: tuple[int, ...] = (10, 100, 500)) -> Figure:
    """Accuracy over the size to which images of 32 pixels are enlarged before Lite0 sees them."""
    sizes = sorted({row["resolution"] for row in recorded(FEATURES)["rows"] if "resolution" in row})
    shades = (COLORS["resolution"], COLORS["depth"], COLORS["width"])
    with house_style():
        figure = Figure(figsize=(6.2, 3.6))
        axes = figure.add_subplot()
        for n, color, marker in zip(counts, shades, "o^s"):
            values = [transfer_features(size)[n] for size in sizes]
            axes.plot(sizes, [100 * statistics.fmean(v) for v in values], color=color, marker=marker, label=f"{n} images of each class")
        axes.set_xticks(sizes)
        axes.set_ylim(0, 100)
        axes.set_xlabel("side after enlarging, in pixels (32 as stored)")
        axes.set_ylabel("right on test images, %")
        axes.legend(loc="lower right", fontsize=8.5)
    low, high = (statistics.fmean(transfer_features(size)[counts[-1]]) for size in (sizes[0], sizes[-1]))
    figure.alt = (
        f"Accuracy rises with the size to which images of 32 pixels are enlarged: with {counts[-1]} images of each "
        f"class from {low:.0%} at {sizes[0]} pixels to {high:.0%} at {sizes[-1]}"
    )
    return figure
