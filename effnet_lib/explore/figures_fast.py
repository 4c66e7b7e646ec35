"""Figures of the chapter on fast inference, from the records in ``results``. They need matplotlib."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ..records import recorded
from .figures import COLORS, house_style

if TYPE_CHECKING:
    from torch import Tensor

#: The steps that are shown, in order, as the record names them.
STEPS = (
    "as built", "channels_last", "batch norm folded", "folded, channels_last", "optimised", "optimised, bfloat16",
    "ONNX Runtime",
)  # fmt: skip

#: torchvision's families, the colour and the mark of each, and the names in the record.
FAMILIES = {
    "EfficientNet": (COLORS["width"], "o", ("efficientnet_b0", "efficientnet_b4")),
    "EfficientNetV2": (COLORS["depth"], "s", ("efficientnet_v2_s",)),
    "RegNetY": (COLORS["resolution"], "^", ("regnet_y_1_6gf", "regnet_y_8gf")),
    "ConvNeXt": ("#7a5195", "D", ("convnext_tiny", "convnext_base")),
    "MaxViT": (COLORS["ink"], "P", ("maxvit_t",)),
    "ResNet": (COLORS["soft"], "v", ("resnet50",)),
    "MobileNetV3": (COLORS["soft"], "X", ("mobilenet_v3_large",)),
}
LABELS = {
    "efficientnet_b0": "B0", "efficientnet_b4": "B4", "efficientnet_v2_s": "V2-S", "regnet_y_1_6gf": "1.6GF",
    "regnet_y_8gf": "8GF", "convnext_tiny": "tiny", "convnext_base": "base", "maxvit_t": "tiny", "resnet50": "50",
    "mobilenet_v3_large": "large",
}  # fmt: skip


#: Where a label stands beside its point, where the usual place is taken.
OFFSETS = {
    "efficientnet_b4": (-19, -3), "efficientnet_v2_s": (-14, 7), "regnet_y_1_6gf": (-36, 1), "maxvit_t": (8, -2),
    "resnet50": (7, -6), "mobilenet_v3_large": (8, -3), "convnext_tiny": (8, -5),
}  # fmt: skip


def plot_steps() -> Figure:
    """B0, step by step faster: milliseconds an image at batch 1 and batch 8, medians with quartiles."""
    cases = {(case["batch_size"], case["resolution"]): case for case in recorded("steps-xeon-one-thread")["steps"]}
    with house_style():
        figure = Figure(figsize=(7, 3.6))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, batch in zip(panels, (1, 8)):
            rows = {row["step"]: row for row in cases[batch, 224]["results"]}
            for place, step in enumerate(STEPS):
                row, scale = rows[step], 1e3 / batch
                low, high = (scale * value for value in row["seconds_quartiles"])
                color = COLORS["resolution" if step == "ONNX Runtime" else "depth"]
                axes.barh(place, scale * row["seconds"], color=color, height=0.66,
                          xerr=[[scale * row["seconds"] - low], [high - scale * row["seconds"]]],
                          error_kw={"ecolor": COLORS["ink"], "elinewidth": 1})  # fmt: skip
                axes.annotate(f"{scale * row['seconds']:.1f}", (max(high, scale * row["seconds"]), place), (4, 0),
                              textcoords="offset points", va="center", fontsize=10)  # fmt: skip
            axes.set_title(f"batch {batch}", fontsize=10.5)
            axes.grid(axis="y", visible=False)
            axes.margins(x=0.16)
            axes.set_xlabel("ms an image")
        panels[0].set_yticks(range(len(STEPS)), STEPS, color=COLORS["ink"])
        panels[0].invert_yaxis()
    return figure


def plot_later_families() -> Figure:
    """Accuracy of torchvision's best weights, over multiply-adds and over measured milliseconds."""
    from torchvision.models import get_model_weights

    seconds = {
        row["network"]: row["seconds"]
        for row in recorded("steps-xeon-one-thread")["families"]
        if row["runtime"] == "ONNX Runtime"
    }
    with house_style():
        figure = Figure(figsize=(7.2, 4))
        panels = figure.subplots(1, 2, sharey=True)
        for family, (color, mark, names) in FAMILIES.items():
            meta = [get_model_weights(name).DEFAULT.meta for name in names]
            top1 = [one["_metrics"]["ImageNet-1K"]["acc@1"] for one in meta]
            for axes, costs in zip(panels, ([one["_ops"] for one in meta], [1e3 * seconds[name] for name in names])):
                axes.plot(costs, top1, marker=mark, color=color, markersize=6, linewidth=1, label=family)
                for name, cost, accuracy in zip(names, costs, top1):
                    axes.annotate(LABELS[name], (cost, accuracy), OFFSETS.get(name, (5, -11)), textcoords="offset points", color=color, fontsize=9)
        for axes, ticks, label in zip(
            panels, ((0.3, 1, 3, 10, 30), (10, 30, 100, 300, 1000)), ("multiply-adds, in billions", "ms for one image")
        ):
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.set_xlabel(label)
            axes.margins(x=0.12, y=0.09)
        panels[0].set_ylabel("top-1 accuracy, per cent")
        panels[1].legend(loc="lower right", fontsize=9)
    return figure


def plot_channel_ranges(weight: "Tensor") -> Figure:
    """The largest weight of each channel of a depthwise convolution, beside one step for them all.

    Args:
        weight: (channels, 1, k, k).
    """
    largest = weight.detach().abs().amax((1, 2, 3)).sort(descending=True).values
    step = largest[0].item() / 127
    with house_style():
        figure = Figure(figsize=(7, 2.9))
        axes = figure.add_subplot()
        axes.bar(range(len(largest)), largest.tolist(), color=COLORS["depth"], width=0.8)
        axes.axhline(step, color=COLORS["width"], linewidth=1.5)
        axes.annotate("one step, if all channels share it", (len(largest) - 1, step), (-8, 96), ha="right",
                      textcoords="offset points", color=COLORS["width"], fontsize=10.5,
                      arrowprops={"arrowstyle": "-", "color": COLORS["width"], "linewidth": 1})  # fmt: skip
        axes.set_yscale("log")
        axes.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
        axes.set_xlabel("channel, the largest first")
        axes.set_ylabel("largest weight")
        axes.grid(axis="x", visible=False)
    return figure
