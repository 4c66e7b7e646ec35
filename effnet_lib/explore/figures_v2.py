"""Figures of the chapter on EfficientNetV2. They need matplotlib."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ..cost import block_cost, count_cost
from ..studies_v2 import ProgressiveRun, progressive_study, published_size_study
from .figures import COLORS, house_style

_FUSED, _PLAIN = COLORS["width"], COLORS["depth"]


def plot_stage_costs(names: tuple[str, ...] = ("b0", "v2_b0"), resolution: int = 224) -> Figure:
    """Multiply-adds and activations of each stage, of networks beside one another at one size."""
    with house_style():
        figure = Figure(figsize=(4.8, 4.4))
        for axes, field in zip(figure.subplots(2, 1), ("multiply_adds", "activations")):
            unit = 1e6
            for place, name in enumerate(names):
                rows = count_cost(name, resolution).stages
                fused = ["Fused" in row.operator for row in rows]
                # What is no stage of blocks, stem and head, is grey.
                colors = [COLORS["soft"] if "Conv " in row.operator and "MB" not in row.operator else _FUSED if f else _PLAIN
                          for row, f in zip(rows, fused)]  # fmt: skip
                left, gap = 0.0, 0.004 * sum(getattr(row, field) for row in rows) / unit
                for row, color, is_fused in zip(rows, colors, fused):
                    length = getattr(row, field) / unit
                    style = {"edgecolor": "white", "linewidth": 1.2, "hatch": "//" if is_fused else None}
                    axes.barh(-place, length, left=left, color=color, height=0.62, **style)
                    if length > 12 * gap:
                        label = axes.text(left + length / 2, -place, str(row.stage), ha="center", va="center", color="white", fontsize=9)
                        label.set_bbox({"facecolor": color, "edgecolor": "none", "pad": 1.2})
                    left += length
                axes.text(left, -place, f" {left:.0f}" if left > 50 else f" {left:.2f}", va="center", fontsize=9.5)
            axes.set_yticks([-place for place in range(len(names))], [_name(name) for name in names])
            axes.set_title(f"{field.replace('_', '-')}, millions", fontsize=10, loc="left")
            axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
            axes.grid(axis="y", visible=False)
            axes.set_axisbelow(True)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
        figure.supxlabel("hatched: Fused-MBConv, blue: MBConv, grey: stem and head", fontsize=9.5)
    return figure


def _name(variant: str) -> str:
    return variant.upper().replace("_", "-")


def fused_ratios(record: dict, mode: str, other: str = "MBConv") -> dict[tuple[int, int], float]:
    """Time of Fused-MBConv over that of ``other``, by (channels, side), from a record of benchmarks/fused.py."""
    return {
        (row["channels"], row["side"]): row["fused_over_this"]
        for row in record["results"]
        if row["mode"] == mode and row["block"] == other
    }


def fused_roofline(channels: int, side: int, balance: float, batch: int = 4, bytes_per_value: int = 4) -> float:
    """The same ratio as the roofline has it, with squeeze-and-excitation in MBConv alone.

    Args:
        channels, side: of the block, expansion ratio 4, kernel 3, stride 1.
        balance: multiply-adds that the machine does while it moves a byte.
        batch, bytes_per_value: of the images, and 4 for single precision.
    """

    def time(operator: str, squeeze: int) -> float:
        layers = block_cost(operator, channels, channels, 3, 1, 4, squeeze, resolution=side).layers
        return sum(max(batch * l.multiply_adds / balance, l.bytes_moved(batch, bytes_per_value)) for l in layers)

    return time("fused_mbconv", 0) / time("mbconv", channels // 4)


def plot_fused_times(record: dict) -> Figure:
    """How many times as long Fused-MBConv takes as MBConv, shape by shape: measured, and by the roofline."""
    shapes = list(fused_ratios(record, "inference"))
    limits = record.get("limits")
    with house_style():
        figure = Figure(figsize=(4.8, 3.7))
        axes = figure.add_subplot()
        places = range(len(shapes))
        axes.axhline(1, color=COLORS["ink"], linewidth=1)
        axes.axhspan(0, 1, color=_FUSED, alpha=0.08, linewidth=0)
        axes.text(len(shapes) - 0.6, 0.94, "Fused-MBConv is faster", ha="right", va="top", color=_FUSED, fontsize=9.5)
        counted = [block_cost("fused_mbconv", c, c, 3, 1, 4, resolution=s).multiply_adds
                   / block_cost("mbconv", c, c, 3, 1, 4, c // 4, resolution=s).multiply_adds for c, s in shapes]  # fmt: skip
        axes.plot(places, counted, ":", color=COLORS["soft"], label="multiply-adds, counted")
        if limits:
            balance = limits["multiply_adds_per_second"] / limits["memory_bytes_per_second"]
            bound = [fused_roofline(*shape, balance, record["batch_size"]) for shape in shapes]
            axes.plot(places, bound, "--", color=COLORS["soft"], label=f"roofline, $b$ = {balance:.1f}")
        for mode, style, color in (("inference", "o-", _PLAIN), ("training", "s-", COLORS["resolution"])):
            label = "forwards" if mode == "inference" else "forwards and backwards"
            axes.plot(places, list(fused_ratios(record, mode).values()), style, color=color, markersize=5, label=label)
        axes.set_xticks(places, [f"{channels}\n{side}" for channels, side in shapes])
        axes.set_xlabel("channels, and side of the map in pixels")
        axes.set_ylabel("time, Fused-MBConv over MBConv")
        axes.set_ylim(0, max(counted) * 1.28)
        axes.legend(loc="upper left", fontsize=9, ncols=2)
    return figure


def plot_size_study(runs: Sequence[ProgressiveRun] | None = None) -> Figure:
    """Accuracy over RandAugment's magnitude at three image sizes (V2's Table 5), and our own runs if recorded.

    Args:
        runs: our own comparison of schedules; :func:`effnet_lib.studies_v2.progressive_study` if
            None. While it is empty, the paper's figures stand alone.
    """
    runs = progressive_study() if runs is None else runs
    study = published_size_study()
    with house_style():
        figure = Figure(figsize=(4.8, 5.4 if runs else 3.3))
        panels = figure.subplots(2 if runs else 1, 1, squeeze=False)[:, 0]
        axes = panels[0]
        for (size, rows), color in zip(study.items(), (COLORS["soft"], COLORS["depth"], COLORS["resolution"])):
            best = max(accuracy for accuracy, _ in rows.values())
            losses = [accuracy - best for accuracy, _ in rows.values()]
            spread = [deviation for _, deviation in rows.values()]
            axes.errorbar(list(rows), losses, spread, color=color, marker="o", markersize=4, capsize=2)
            shift = {128: (6, -4), 192: (6, -9), 300: (6, 1)}[size]
            axes.annotate(f"{size} px, best {best:.1f}", (15, losses[-1]), shift, textcoords="offset points", color=color, fontsize=9.5)
        axes.set_xticks(list(rows))
        axes.set_xlim(4.5, 19.5)
        axes.set_ylim(-0.88, 0.2)
        axes.set_xlabel("magnitude of RandAugment")
        axes.set_ylabel("points below the best")
        if runs:
            labels = {"none": "one size", "size": "image alone grows", "paper": "paper’s schedule", "code": "code’s schedule"}
            for run in runs:
                axes = panels[1]
                axes.plot([run.minutes] * len(run.runs), run.runs, "o", color=COLORS["depth"])
                axes.annotate(labels[run.schedule], (run.minutes, run.accuracy), (8, -3), textcoords="offset points", fontsize=9.5)
            panels[1].set_xlabel("minutes of training")
            panels[1].set_ylabel("top-1 on test images, %")
            panels[1].set_xlim(0, 1.35 * max(run.minutes for run in runs))
            panels[1].set_title("our own runs", fontsize=10, loc="left")
    return figure
