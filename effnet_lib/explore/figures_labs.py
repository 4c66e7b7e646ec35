"""The figures of the labs, in the book's house style. They need matplotlib."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..cost import count_cost
from ..variants import Variant
from .figures import COLORS, house_style


def draw_scaled(base: Variant, variant: Variant) -> Figure:
    """Layers, channels and maps of each stage, of ``base`` dashed and of ``variant`` filled."""
    columns = {"depth": ("layers", "layers"), "width": ("channels", "channels"), "resolution": ("resolution", "pixels in")}
    with house_style():
        figure = Figure(figsize=(7, 1.75))
        for axes, (dimension, (field, label)) in zip(figure.subplots(1, 3), columns.items()):
            before, now = ([getattr(row, field) for row in count_cost(v).stages] for v in (base, variant))
            places = range(1, len(now) + 1)
            axes.bar(places, now, width=0.8, color=COLORS[dimension], alpha=0.55)
            edges = [place - 0.5 for place in (*places, len(now) + 1)]
            axes.stairs(before, edges, color=COLORS["ink"], linestyle="--", linewidth=1)
            axes.set_title(label, fontsize=10, color=COLORS["ink"])
            axes.set_xticks(list(places))
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.grid(axis="x", visible=False)
        figure.supxlabel("stage (dashed: B0)", fontsize=9, color=COLORS["ink"])
    return figure


def draw_times(rows: dict[str, dict]) -> Figure:
    """Milliseconds of each network, as bars with the middle half of the measurements."""
    with house_style():
        figure = Figure(figsize=(6, 0.7 + 0.4 * len(rows)))
        axes = figure.add_subplot()
        for place, (name, row) in enumerate(rows.items()):
            colour = COLORS["soft"] if place == 0 else COLORS["depth"]
            middle = 1e3 * row["seconds"]
            low, high = (1e3 * value for value in row["seconds_quartiles"])
            axes.barh(name, middle, height=0.6, color=colour, alpha=0.75)
            axes.plot([low, high], [place, place], color=COLORS["ink"], linewidth=2)
        axes.set_xlim(left=0)
        axes.set_xlabel("milliseconds", color=COLORS["ink"])
        axes.tick_params(axis="y", labelcolor=COLORS["ink"])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    return figure


#: Runs are told apart by their line as well as by their colour.
LINES = (("depth", "-"), ("width", "--"), ("resolution", "-."), ("ink", ":"))


def draw_losses(runs: list[dict], names: dict[str, str], chance: float) -> Figure:
    """The loss of each run by step, up to twice what guessing gives."""
    with house_style():
        figure = Figure(figsize=(6, 2.6))
        axes = figure.add_subplot()
        axes.axhline(chance, color=COLORS["soft"], linewidth=1)
        axes.annotate("guessing", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                      fontsize=8, color=COLORS["ink"])  # fmt: skip
        for (colour, line), (number, run) in zip(LINES, enumerate(runs, 1)):
            label = f"{number}  {names[run['optimizer']]}, {run['lr']:.2g}"
            steps = range(1, len(run["losses"]) + 1)
            axes.plot(steps, run["losses"], color=COLORS[colour], linestyle=line, label=label)
        axes.set_ylim(0, 2 * chance)
        axes.set_xlim(left=1)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("step", color=COLORS["ink"])
        axes.set_ylabel("loss (cross-entropy)", color=COLORS["ink"])
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
    return figure
