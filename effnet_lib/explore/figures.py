"""The book's figures, in one house style. They need matplotlib.

Each function returns a matplotlib figure; a notebook shows it as the last expression of a cell.
"""

from contextlib import contextmanager

import matplotlib
from matplotlib.figure import Figure

from ..cost import count_cost
from ..scaling import compound_scaling
from ..variants import get_variant, scale_variant
from .phi import RELEASED, nearest_phi

#: The colours of the three dimensions, the same throughout the book, and two neutrals.
COLORS = {
    "depth": "#0072b2",
    "width": "#b84a00",
    "resolution": "#00785a",
    "ink": "#1c2733",
    "soft": "#6b7783",
}

STYLE = {
    "axes.edgecolor": COLORS["soft"],
    "axes.grid": True,
    "axes.labelcolor": COLORS["ink"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    # White, for notebooks whose theme is dark; the book's style blends it into the page.
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#e3e8ed",
    "legend.frameon": False,
    "svg.hashsalt": "effnet",  # the same figure gives the same file
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["soft"],
    "ytick.color": COLORS["soft"],
}


@contextmanager
def house_style():
    """Figures drawn inside look like the book's, and a notebook shows them as sharp SVG."""
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")
    except (ImportError, AttributeError):  # not in a notebook
        pass
    with matplotlib.rc_context(STYLE):
        yield


def plot_cost_steps(highest: float = 7.0) -> Figure:
    """Cost over φ: the formula's smooth curve, the counted steps, and the released networks."""
    base = count_cost("b0").multiply_adds
    phis = [step / 50 for step in range(int(highest * 50) + 1)]
    formula = [compound_scaling(phi).multiply_adds for phi in phis]
    counted = [count_cost(scale_variant(phi)).multiply_adds / base for phi in phis]
    with house_style():
        figure = Figure(figsize=(7, 3.8))
        axes = figure.add_subplot()
        axes.plot(phis, formula, color=COLORS["soft"], linestyle="--", label="by the formula, 1.92^φ")
        axes.plot(phis, counted, color=COLORS["depth"], label="counted on the rounded network")
        for name in RELEASED:
            variant = get_variant(name)
            x, y = nearest_phi(variant), count_cost(variant).multiply_adds / base
            axes.plot(x, y, "o", color=COLORS["width"], markersize=5, zorder=3)
            axes.annotate(name.upper(), (x, y), (5, -11), textcoords="offset points", color=COLORS["width"])
        axes.set_yscale("log", base=2)
        axes.set_yticks([2**power for power in range(8)], [f"{2**power}×" for power in range(8)])
        axes.set_xlabel("compound coefficient φ")
        axes.set_ylabel("multiply-adds relative to B0")
        axes.legend(loc="upper left")
    return figure


def plot_growth_shares() -> Figure:
    """How one unit of φ divides its growth in cost between depth, width and resolution."""
    import math

    scaling = compound_scaling(1)
    growth = {"depth": scaling.depth, "width": scaling.width**2, "resolution": scaling.resolution**2}
    total = math.log(scaling.multiply_adds)
    labels = {"depth": "α", "width": "β²", "resolution": "γ²"}
    with house_style():
        figure = Figure(figsize=(7, 1.15))
        axes = figure.add_subplot()
        left = 0.0
        for name, factor in growth.items():
            share = math.log(factor) / total
            axes.barh(0, share, left=left, color=COLORS[name], edgecolor="white", linewidth=2)
            text = f"{name}: {labels[name]} = {factor:.3f}\n{share:.0%} of the growth"
            axes.text(left + share / 2, 0, text, color="white", ha="center", va="center", fontsize=9)
            left += share
        axes.axis("off")
    return figure
