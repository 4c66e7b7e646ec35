"""Figures of chapter 1: the three dimensions, what they gain, and what a pixel really sees."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from ..cost import count_cost
from ..receptive import ReceptiveField
from ..studies import DIMENSIONS, SATURATION, ScaledNetwork, dimension_study, published_study
from ..variants import Variant, scale_by
from .figures import COLORS, house_style

_ALL = (*DIMENSIONS, "all three")
_COLOR = {name: COLORS[name] for name in DIMENSIONS} | {"none": COLORS["soft"], "all three": COLORS["ink"]}


def plot_three_words() -> Figure:
    """B0, and B0 with twice the depth, the width, and the resolution, drawn to one scale.

    A box is a stage: its length the layers, its height the side of the map that enters, its
    thickness the channels that leave, the last two by their square roots.
    """
    networks = {"B0": (scale_by(), COLORS["soft"])}
    for name in DIMENSIONS:
        networks[f"twice the {name}"] = scale_by(**{name: 2}), COLORS[name]
    with house_style():
        figure = Figure(figsize=(7, 3.5))
        for place, (title, (variant, color)) in enumerate(networks.items()):
            axes = figure.add_subplot(2, 2, place + 1)
            _draw_network(axes, variant, color)
            axes.set_xlim(-4, 262)
            axes.set_ylim(-80, 94)
            axes.set_aspect("equal")
            axes.axis("off")
            axes.set_title(title, color=color if place else COLORS["ink"], fontsize=10, loc="left", y=0.93)
    return figure


def _draw_network(axes, variant: Variant, color: str) -> None:
    """The stages as boxes in a row, in the same projection as the φ explorer's."""
    x = 0.0
    for row in count_cost(variant).stages:
        length, height, thick = 6.0 * row.layers, 7.0 * row.resolution**0.5, 0.55 * row.channels**0.5
        dx, dy, bottom = thick, 0.6 * thick, -3.5 * row.resolution**0.5
        style = {"edgecolor": "white", "linewidth": 0.6, "facecolor": color, "joinstyle": "round"}
        side = [(x + length, bottom), (x + length + dx, bottom + dy), (x + length + dx, bottom + dy + height)]
        top = [(x, bottom + height), (x + dx, bottom + dy + height), (x + length + dx, bottom + dy + height)]
        axes.add_patch(Polygon([*side, (x + length, bottom + height)], **style, alpha=0.95))
        axes.add_patch(Polygon([*top, (x + length, bottom + height)], **style, alpha=0.35))
        axes.add_patch(Rectangle((x, bottom), length, height, **style, alpha=0.6))
        x += length + 4 + 0.35 * dx


def plot_dimension_gains() -> Figure:
    """What about four times the cost gains in top-1 accuracy, in each of four ways, by the paper."""
    titles = {
        "b0": "EfficientNet-B0",
        "mobilenet_v1": "MobileNetV1",
        "mobilenet_v2": "MobileNetV2",
        "resnet50": "ResNet-50",
    }
    with house_style():
        figure = Figure(figsize=(4.8, 3.9))
        panels = figure.subplots(2, 2, sharey=True, sharex=True)
        for axes, (base, title) in zip(panels.flat, titles.items()):
            none, *rows = published_study(base)
            tried = {row.dimension: row.accuracy for row in rows}
            for place, name in enumerate(_ALL):
                if name not in tried:
                    axes.text(0.12, -place, "not tried", va="center", fontsize=9, color=COLORS["soft"])
                    continue
                gain = tried[name] - none.accuracy
                axes.barh(-place, gain, color=_COLOR[name], height=0.66)
                axes.text(gain + 0.12, -place, f"{tried[name]:.1f}", va="center", fontsize=9)
            axes.set_title(f"{title}, {none.accuracy:.1f} %", fontsize=10, loc="left")
            axes.set_yticks([-place for place in range(4)], _ALL)
            axes.set_xlim(0, 6.9)
            axes.set_xticks(range(7))
            axes.grid(axis="y", visible=False)
            axes.set_axisbelow(True)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
        for label in (label for axes in panels[:, 0] for label in axes.get_yticklabels()):
            label.set_color(_COLOR[label.get_text()])
        figure.supxlabel("points of ImageNet top-1 gained; at the bars: top-1, %", fontsize=9.5)
    return figure


def plot_single_dimensions(study: Sequence[ScaledNetwork] | None = None) -> Figure:
    """Accuracy over counted cost: the paper's B0, scaled in four ways, and our own runs if recorded.

    Args:
        study: our own comparison; :func:`effnet_lib.dimension_study` if None. While it is
            empty, the paper's stands alone.
    """
    study = dimension_study() if study is None else study
    with house_style():
        # One above the other, so that both can be read on a phone.
        figure = Figure(figsize=(4.8, 6.6 if study else 3.5))
        panels = figure.subplots(2 if study else 1, 1, squeeze=False)[:, 0]
        _plot_published(panels[0])
        if study:
            _plot_study(panels[1], study)
    return figure


def _plot_published(axes) -> None:
    none, *rows = published_study()
    base = count_cost("b0").multiply_adds
    axes.axhline(SATURATION, color=COLORS["soft"], linestyle="--", linewidth=1)
    axes.text(10.6, SATURATION + 0.07, "one dimension flattens here", color=COLORS["soft"], fontsize=9, ha="right")
    for row in rows:
        cost = count_cost(scale_by(**row.factors)).multiply_adds / base
        color = _COLOR[row.dimension]
        # Dotted, to tell what belongs together: between the two points nothing was measured.
        axes.plot([1, cost], [none.accuracy, row.accuracy], color=color, linestyle=":", linewidth=0.9)
        axes.plot(cost, row.accuracy, "o", color=color)
        shift = {"depth": (9, -7), "width": (9, -19), "resolution": (9, 5)}.get(row.dimension, (9, -3))
        label = f"{row.dimension}  {row.accuracy:.1f}"
        axes.annotate(label, (cost, row.accuracy), shift, textcoords="offset points", color=color, fontsize=9.5)
    axes.plot(1, none.accuracy, "o", color=COLORS["soft"])
    axes.annotate(f"B0  {none.accuracy:.1f}", (1, none.accuracy), (9, -7), textcoords="offset points", fontsize=9.5)
    _cost_axis(axes, (0.9, 11))
    axes.set_ylim(76.8, 81.7)
    axes.set_ylabel("ImageNet top-1, %")
    axes.set_title("B0 scaled four ways (Table 7)", fontsize=10, loc="left")


def _plot_study(axes, study: Sequence[ScaledNetwork]) -> None:
    """A line for each dimension through the means of its runs, and a bar from the worst to the best."""
    none, *rows = study
    for name in _ALL:
        points = [none, *(row for row in rows if row.dimension == name)]
        if len(points) == 1:
            continue
        costs = [row.multiply_adds / none.multiply_adds for row in points]
        means = [row.accuracy for row in points]
        reach = [[m - min(row.runs or (m,)) for m, row in zip(means, points)],
                 [max(row.runs or (m,)) - m for m, row in zip(means, points)]]  # fmt: skip
        axes.errorbar(costs, means, reach, color=_COLOR[name], marker="o", markersize=4, capsize=2, label=name)
    _cost_axis(axes, (0.9, 1.1 * max(row.multiply_adds for row in study) / none.multiply_adds))
    axes.set_ylabel("top-1 on test images, %")
    runs = max(len(row.runs) for row in study)
    axes.set_title(f"our own runs, {runs} of each" if runs > 1 else "our own runs", fontsize=10, loc="left")
    axes.legend(loc="lower right", fontsize=9)


def _cost_axis(axes, limits: tuple[float, float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(*limits)
    ticks = [factor for factor in (1, 2, 4, 8, 16) if factor <= limits[1]]
    axes.set_xticks(ticks, [f"{factor}×" for factor in ticks])
    axes.set_xlabel("multiply-adds, relative to the base")


def influence_side(influence, field: ReceptiveField, share: float = 0.9) -> int:
    """Side of the square around the middle pixel that holds ``share`` of the influence, in pixels.

    Args:
        influence: array of shape (size, size), not negative: how strongly each pixel of the
            image moves the middle pixel of a map.
        field: the map's entry of :func:`effnet_lib.receptive_field`.
    """
    influence = np.asarray(influence)
    middle = _middle(len(influence), field)
    away = np.abs(np.arange(len(influence)) - middle)
    ring = np.maximum.outer(away, away)
    within = np.cumsum(np.bincount(ring.ravel(), influence.ravel()))
    return 2 * int(np.searchsorted(within, share * within[-1])) + 1


def _middle(size: int, field: ReceptiveField) -> int:
    """Where the middle pixel of a map looks: its row and column in an image of ``size`` pixels."""
    outputs = -(-size // field.stride)
    return (outputs - 1) // 2 * field.stride


def plot_influence(influence: Sequence, fields: Sequence[ReceptiveField], share: float = 0.9) -> Figure:
    """How strongly each pixel of the image moves the middle pixel of each map.

    Two squares are drawn: what the convolutions could see at most, and what holds ``share``
    of the influence. Arguments as for :func:`influence_side`, one of each for every map.
    """
    with house_style():
        figure = Figure(figsize=(4.8, 4.8 / len(influence) + 0.35))
        for axes, heat, field in zip(figure.subplots(1, len(influence)), influence, fields):
            heat = np.asarray(heat)
            size, middle = len(heat), _middle(len(heat), field)
            axes.imshow(np.sqrt(heat / heat.max()), cmap="Greys", vmax=0.8, interpolation="antialiased")
            for side, color in ((field.size, "depth"), (influence_side(heat, field, share), "width")):
                corner = (middle - side / 2, middle - side / 2)
                axes.add_patch(Rectangle(corner, side, side, fill=False, color=COLORS[color], linewidth=1.8))
            axes.set_title(f"stage {field.stage}, {size} px", fontsize=9.5)
            axes.set(xticks=[], yticks=[], xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
            axes.grid(False)
            axes.spines[:].set_visible(True)
    return figure
