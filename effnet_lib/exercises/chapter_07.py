"""Answers to the exercises of chapter 7, EfficientNetV2."""

from ..cost import block_cost, count_cost
from ..train.progressive import image_size, paper_rule, progressive_stages, training_cost
from ..variants import Variant, as_variant, get_variant
from .exercise import Exercise


def _fused_ratio(channels: int, expand: int, kernel: int) -> float:
    shape = channels, channels, kernel, 1, expand
    fused, plain = (block_cost(kind, *shape, resolution=8).multiply_adds for kind in ("fused_mbconv", "mbconv"))
    return fused / plain


def _needed_gain(time: float, parameters: float) -> float:
    return time**0.07 * parameters**0.05 - 1


def _strength(low: float, high: float, stages: int, epochs: int, epoch: int) -> float:
    return paper_rule(low, high, epoch * stages // epochs, stages)


def tensorflow_count(variant: Variant | str) -> int:
    """Parameters with the running mean and variance of each channel that batch norm sees."""
    variant = as_variant(variant)
    channels, seen = variant.stem_channels, variant.stem_channels + variant.head_channels
    for stage in variant.stages:
        for _ in range(stage.layers):
            cost = block_cost(stage.operator, channels, stage.channels, expand_ratio=stage.expand_ratio, resolution=8)
            seen += sum(layer.out_channels for layer in cost.layers if layer.parameters)
            channels = stage.channels
    return count_cost(variant).parameters + 2 * seen


def _share(name: str, first: int, last: int, stages: int) -> float:
    plan = progressive_stages(name, stages=stages, first_resolution=first, last_resolution=last)
    return training_cost(name, plan, epochs=stages) / training_cost(name, plan[-1:], epochs=stages)


def _first_size(budget: float) -> int:
    return max(size for size in range(32, 301) if _share("v2_s", size, 300, 4) <= budget)


def _fused_stages(balance: float, batch: int = 32, bytes_per_value: int = 2) -> int:
    """Of V2-S at 224 pixels, the stages from the second on, whose block is faster fused, before the first that is not."""

    def time(operator: str, channels: int, expand: int, squeeze: int, side: int) -> float:
        layers = block_cost(operator, channels, channels, 3, 1, expand, squeeze, resolution=side).layers
        return sum(max(batch * l.multiply_adds / balance, l.bytes_moved(batch, bytes_per_value)) for l in layers)

    rows, count = count_cost("v2_s", 224).stages[2:-1], 0
    for stage, row in zip(get_variant("v2_s").stages[1:], rows):
        shape = stage.channels, stage.expand_ratio
        fused = time("fused_mbconv", *shape, 0, row.output_resolution)
        if fused > time("mbconv", *shape, stage.channels // 4, row.output_resolution):
            break
        count += 1
    return count


EXERCISES = {
    "7.1": Exercise(
        lambda: tuple(image_size(192, 480, i, 4) for i in range(4)),
        "three steps lead from 192 to 480; round each size.",
    ),
    "7.2": Exercise(
        _needed_gain,
        "the reward must not fall: solve (1 + gain) · time^(-0.07) · parameters^(-0.05) = 1.",
        inputs=((2, 1), (1, 2), (2, 2), (0.5, 1)),
        tolerance=1e-3,
    ),
    "7.3": Exercise(
        _fused_ratio,
        "per pixel, MBConv does e·C² + k²·e·C + e·C² multiply-adds, Fused-MBConv k²·e·C² + e·C².",
        inputs=((24, 4, 3), (256, 6, 3), (48, 4, 5), (8, 2, 3)),
        tolerance=1e-3,
    ),
    "7.4": Exercise(
        _strength,
        "the stage is epoch * stages // epochs; it has taken stage of stages - 1 steps. One stage has the last value.",
        inputs=((5, 15, 4, 350, 0), (5, 15, 4, 350, 100), (5, 15, 4, 350, 349), (0.1, 0.5, 4, 350, 200), (0, 0.5, 1, 90, 3)),
        tolerance=1e-3,
    ),
    "7.5": Exercise(
        tensorflow_count,
        "batch norm keeps two more numbers a channel, and follows each convolution but those of SE.",
        inputs=(("v2_s",), ("v2_b0",), ("b0",)),
    ),
    "7.6": Exercise(
        _share,
        "the mean of the stages' multiply-adds, over those of the last.",
        inputs=(("v2_s", 128, 300, 4), ("v2_m", 128, 380, 4), ("v2_s", 224, 300, 2), ("v2_l", 300, 300, 3)),
        tolerance=1e-3,
    ),
    "7.7": Exercise(
        _first_size,
        "try sizes downwards from 300 until the share of exercise 7.6 is at most the budget.",
        inputs=((0.7,), (0.6,), (0.5,), (0.9,)),
    ),
    "7.8": Exercise(
        _fused_stages,
        "a layer's time is the larger of batch · multiply-adds / balance and its bytes; count until a stage is slower fused.",
        inputs=((100,), (60,), (30,), (300,)),
    ),
}
