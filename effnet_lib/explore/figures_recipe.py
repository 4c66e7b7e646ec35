"""Figures of the chapter on the training recipe. They need matplotlib."""

from statistics import mean, stdev

from matplotlib.figure import Figure

from ..records import recorded
from .figures import COLORS, house_style


def plot_search(record: str = "search-digits") -> Figure:
    """Every run of the recorded search as a dot, candidate by candidate, with means and spreads.

    Raises:
        ValueError: there is no such record.
    """
    candidates = recorded(record)["candidates"]
    with house_style():
        figure = Figure(figsize=(7, 3.4))
        axes = figure.add_subplot()
        for row, candidate in enumerate(candidates):
            values = [100 * run["validation"] for run in candidate["runs"]]
            color = COLORS["soft"] if row == 0 else COLORS["depth"]
            axes.plot(values, [row] * len(values), "o", color=color, alpha=0.55, markersize=6)
            if len(values) > 1:
                middle, spread = mean(values), stdev(values)
                axes.plot([middle - spread, middle + spread], [row, row], color=color, linewidth=1.2)
            axes.plot([mean(values)] * 2, [row - 0.3, row + 0.3], color=COLORS["width"], linewidth=3)
        axes.set_yticks(range(len(candidates)), [candidate_name(c) for c in candidates])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("validation accuracy in per cent")
    return figure


def candidate_name(candidate: dict) -> str:
    """A candidate of the record in a few words."""
    alpha, beta, gamma = (candidate[name] for name in ("alpha", "beta", "gamma"))
    if alpha == beta == gamma == 1:
        return "the base"
    return f"α {alpha:.1f}, β {beta:.2f}, γ {gamma:.2f}"
