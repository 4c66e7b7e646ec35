"""Figures of chapter 6, the family. They need matplotlib."""

from matplotlib.figure import Figure

from ..published import list_accuracies, published_table
from ..variants import get_variant
from .family import OTHERS, display_name, measured_times, own_figure
from .figures import COLORS, house_style

_FAMILY = {"v1": ("V1", "depth", "o"), "v2": ("V2", "width", "s"), "lite": ("Lite", "resolution", "D")}

#: Editions of V1 in the picture: (key, label, marker, colour).
_EDITIONS = (
    ("icml2019", "first paper", "o", "soft"),
    ("autoaugment2019", "AutoAugment, July 2019", "^", "soft"),
    ("v5", "paper, version 5", "o", "depth"),
    ("torchvision1", "torchvision, first", "s", "width"),
    ("advprop", "AdvProp", "D", "resolution"),
    ("noisystudent", "NoisyStudent, more images", "*", "ink"),
)


def plot_editions() -> Figure:
    """What has been published for B0 to B7, beside version 5 of the paper, in points of top-1."""
    names = [f"b{i}" for i in range(8)]
    base = {one.network: one.top1 for one in list_accuracies(edition="v5")}
    with house_style():
        figure = Figure(figsize=(4.8, 4.2))
        axes = figure.add_subplot()
        axes.axhline(0, color=COLORS["depth"], linewidth=1)
        for key, label, marker, color in _EDITIONS:
            found = {one.network: one.top1 for one in list_accuracies(edition=key)}
            points = [(i, found[name] - base[name]) for i, name in enumerate(names) if name in found]
            axes.plot(*zip(*points), marker, color=COLORS[color], label=label, markersize=9 if marker == "*" else 6)
        axes.set_xticks(range(8), [f"{name.upper()}\n{base[name]}" for name in names])
        axes.set_ylabel("points above version 5")
        axes.set_xlabel("network, and its top-1 in version 5, %")
        axes.set_ylim(-1.1, 4.6)
        axes.legend(loc="upper center", fontsize=8.5, ncols=2, columnspacing=1)
    return figure


def plot_recipe() -> Figure:
    """One ResNet-50 as its recipe grows, and B0 to B3 of the paper for scale."""
    steps = published_table("resnet50_recipe")
    with house_style():
        figure = Figure(figsize=(4.8, 4.4))
        axes = figure.add_subplot()
        for i in range(3):
            top1 = get_variant(f"b{i}").published.top1
            axes.axvline(top1, color=COLORS["depth"], linewidth=1, linestyle="--")
            axes.text(top1, -1.0, f"B{i}", color=COLORS["depth"], ha="center", va="bottom", fontsize=9.5)
        for place, step in enumerate(steps):
            before = steps[place - 1]["top1"] if place else step["top1"]
            axes.plot([before, step["top1"]], [place, place], color=COLORS["width"], linewidth=5, solid_capstyle="butt")
            axes.plot(step["top1"], place, "o", color=COLORS["width"], markersize=5)
        axes.set_yticks(range(len(steps)), [step["step"] for step in steps], fontsize=8.5)
        axes.set_ylim(len(steps) - 0.4, -1.1)
        axes.set_xlim(75.6, 81.3)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("top-1 of one ResNet-50, %")
    return figure


def plot_rates(way: str = "as built") -> Figure:
    """How many multiply-adds a second each network does, over how many it takes for an image."""
    times = {name: seconds for (name, chosen), (_, seconds) in measured_times().items() if chosen == way}
    named = {"b0": (8, -3), "b4": (0, -13), "b7": (0, 6), "l2": (0, -13), "lite0": (-8, 3), "lite4": (8, -3), "v2_b0": (0, 6),
             "v2_b3": (0, 6), "v2_s": (8, -4), "v2_m": (8, -3), "v2_l": (-8, -3), "v2_xl": (8, -6), "resnet50": (-8, -3),
             "resnet152": (8, -2), "mobilenet_v3_large": (-6, -14)}  # fmt: skip
    with house_style():
        figure = Figure(figsize=(4.8, 3.8))
        axes = figure.add_subplot()
        seen, top = set(), 0
        for name, seconds in times.items():
            label, color, marker = ("others", "soft", "^") if name in OTHERS else _FAMILY[get_variant(name).family]
            x = own_figure(name).multiply_adds / 1e9
            y = x / seconds
            top = max(top, y)
            axes.plot(x, y, marker, color=COLORS[color], markersize=6, label=None if label in seen else label)
            seen.add(label)
            if name in named:
                right = named[name][0]
                side = "left" if right > 0 or name == "mobilenet_v3_large" else "right" if right else "center"
                axes.annotate(display_name(name), (x, y), named[name], textcoords="offset points", fontsize=8.5,
                              color=COLORS[color], ha=side)  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlim(0.13, 800)
        axes.set_xticks([0.2, 1, 5, 20, 100, 500], ["0.2", "1", "5", "20", "100", "500"])
        axes.minorticks_off()
        axes.set_ylim(0, 1.25 * top)
        axes.set_xlabel("multiply-adds for one image, billions")
        axes.set_ylabel(f"billions of them a second, {way}")
        axes.legend(loc="upper left", fontsize=9, ncols=4, columnspacing=1, handletextpad=0.2)
    return figure
