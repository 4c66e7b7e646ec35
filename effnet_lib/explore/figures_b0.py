"""Figures of the chapter on EfficientNet-B0. They need matplotlib."""

from matplotlib.figure import Figure

from ..cost import count_cost
from ..variants import get_variant, list_variants
from .figures import COLORS, house_style

#: Networks of other authors as published, (name, multiply-adds in billions, top-1 in per cent):
#: Howard et al. 2019, arXiv:1905.02244, Table 3; Tan et al. 2019, arXiv:1807.11626, Table 1;
#: ResNet-50 as printed by Tan & Le 2019, arXiv:1905.11946, Table 2.
OTHERS = (("MobileNetV3-Large", 0.219, 75.2), ("MnasNet-A1", 0.312, 75.2), ("ResNet-50", 4.1, 76.0))


def plot_reward(w: float = -0.07) -> Figure:
    """Accuracy over multiply-adds, with curves of equal reward ACC · cost^w: what a doubling must bring."""
    low, high = 0.1, 60
    costs = [low * (high / low) ** (i / 100) for i in range(101)]
    base, base_cost = get_variant("b0").published.top1, count_cost("b0").multiply_adds / 1e9
    with house_style():
        figure = Figure(figsize=(7, 4))
        axes = figure.add_subplot()
        for factor in (0.7, 0.8, 0.9, 1, 1.1, 1.2):
            top1 = [factor * base * (cost / base_cost) ** -w for cost in costs]
            axes.plot(costs, top1, color=COLORS["depth"] if factor == 1 else "#c3ccd5", linewidth=1.8 if factor == 1 else 1)
        names = [name for name in list_variants("v1") if name <= "b7"]
        points = [(count_cost(name).multiply_adds / 1e9, get_variant(name).published.top1) for name in names]
        axes.plot(*zip(*points), "o-", color=COLORS["width"], markersize=5, linewidth=1, zorder=3)
        for name, point in zip(names, points):
            axes.annotate(name.upper(), point, (5, -14), textcoords="offset points", color=COLORS["width"], fontsize=10.5)
        for name, cost, top1 in OTHERS:
            axes.plot(cost, top1, "s", color=COLORS["resolution"], markersize=5, zorder=3)
            offset = {"MobileNetV3-Large": (-26, 58), "MnasNet-A1": (14, -30)}.get(name, (8, -4))
            leader = dict(arrowstyle="-", color=COLORS["resolution"], linewidth=0.7, shrinkA=1, shrinkB=4) if abs(offset[1]) > 9 else None
            axes.annotate(name, (cost, top1), offset, textcoords="offset points", color=COLORS["resolution"], fontsize=10.5,
                          arrowprops=leader)  # fmt: skip
        axes.annotate(f"as good as B0:\n+{2**-w - 1:.0%} for each doubling", (1.8, base * (1.8 / base_cost) ** -w), (-6, 3),
                      textcoords="offset points", color=COLORS["depth"], fontsize=10.5, ha="right", va="bottom",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yticks(range(70, 91, 5))
        ticks = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlim(low, high)
        axes.set_ylim(70, 90)
        axes.set_xlabel("multiply-adds, in billions")
        axes.set_ylabel("top-1 accuracy, per cent")
    return figure
