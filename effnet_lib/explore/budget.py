"""The budget explorer: GPUs, hours, disks and money of a training run on ImageNet."""

from ..budget import IMAGENET_TRAIN, training_budget
from ..cost import count_cost
from .element import Explorer, table

#: Networks whose multiply-adds the page knows.
NETWORKS = ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7")

#: Measured examples: network, GPUs, images per second of one GPU alone, and of all together.
#: Source: NVIDIA, DeepLearningExamples, PyTorch/Classification/ConvNets/efficientnet, README,
#: "Training performance: NVIDIA A100 (8x A100 80GB)", mixed precision.
MEASURED = (
    ("b0", 1, 2489, 2489), ("b0", 8, 2489, 16652), ("b0", 16, 2489, 29332),
    ("b4", 1, 331, 331), ("b4", 8, 331, 2570), ("b4", 64, 331, 18900),
)  # fmt: skip

#: Control: smallest, largest, step, default. Price and file size are examples to be overwritten.
LIMITS = {
    "bud_rate": (10, 10_000, 1, 2489),
    "bud_gpus": (1, 64, 1, 8),
    "bud_loss": (0, 20, 0.1, 5.8),
    "bud_epochs": (1, 600, 1, 350),
    "bud_price": (0, 10, 0.05, 2),
    "bud_kilobytes": (1, 500, 1, 110),
}


def budget_explorer() -> Explorer:
    """A figure in which GPUs, their rate, epochs and a price are dragged, and the bill follows.

    Every value is the reader's to set; those that stand there first are examples: the rate and
    its loss as NVIDIA measured them for B0 on eight A100, the price and the size of a file made
    up. The page computes :func:`effnet_lib.training_budget` itself; the tests hold the two equal.
    """
    data = {
        "images": IMAGENET_TRAIN,
        "limits": LIMITS,
        "networks": {name: count_cost(name).multiply_adds for name in NETWORKS},
        "examples": [
            [name, gpus, alone, round(100 * loss_per_doubling(gpus, alone, together), 1)]
            for name, gpus, alone, together in MEASURED
            if gpus > 1
        ],
    }
    return Explorer(
        "budget", data, _static(), ("budget.js",), "training budget explorer (shows itself in a notebook)", ("budget.css",)
    )


def loss_per_doubling(gpus: int, alone: float, together: float) -> float:
    """The ``loss`` of :func:`effnet_lib.training_budget` that turns ``gpus`` × ``alone`` into ``together``.

    >>> round(loss_per_doubling(8, 2489, 16652), 3)
    0.058
    """
    import math

    return 1 - (together / (gpus * alone)) ** (1 / math.log2(gpus)) if gpus > 1 else 0.0


def _static() -> str:
    rows = []
    for name, gpus, alone, together in MEASURED:
        budget = training_budget(alone, gpus, 350, loss=loss_per_doubling(gpus, alone, together))
        rows.append([name.upper(), gpus, f"{together:,}", f"{budget.hours:.1f}", f"{budget.gpu_hours:.0f}"])
    caption = "350 epochs of ImageNet on A100 GPUs at the rates that NVIDIA measured, training alone"
    return table(["Network", "GPUs", "Images a second", "Hours", "GPU-hours"], rows, caption)
