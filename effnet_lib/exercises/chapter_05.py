"""Answers to the exercises of chapter 5, EfficientNet-B0."""

import math
from dataclasses import replace

from ..cost import count_cost
from ..variants import Variant, get_variant
from .exercise import Exercise

#: Strides of stages 2 to 8 as an early version of the paper printed its resolutions.
MISPRINTED = (1, 2, 2, 1, 2, 2, 1)


def _inside() -> tuple[int, int, int]:
    b0, rows = get_variant("b0"), count_cost("b0").stages
    stage, channels = b0.stages[5], b0.stages[4].channels
    return channels * stage.expand_ratio, stage.squeeze_channels(channels), rows[6].output_resolution


def _misprinted() -> Variant:
    b0 = get_variant("b0")
    return replace(b0, stages=tuple(replace(s, stride=n) for s, n in zip(b0.stages, MISPRINTED)))


def _misprint_factors() -> tuple[float, float]:
    right, wrong = count_cost("b0").stages, count_cost(_misprinted()).stages
    return tuple(wrong[i].multiply_adds / right[i].multiply_adds for i in (4, 5))


def _sides(resolution: int) -> tuple[int, ...]:
    return tuple(row.output_resolution for row in count_cost("b0", resolution).stages[:-1])


def suspicious_counts() -> dict[int, int]:
    """The parameters of B0 with each mistake of exercise 5.6, by the mistake's number."""
    b0, right = get_variant("b0"), count_cost("b0").parameters

    def altered(change) -> int:
        stages = tuple(replace(stage, **change(i, stage)) for i, stage in enumerate(b0.stages))
        return count_cost(replace(b0, stages=stages)).parameters

    # A bias is one number per channel that leaves a convolution: half of what batch norm has.
    channels, biases = b0.stem_channels, b0.stem_channels
    for stage in b0.stages:
        for _ in range(stage.layers):
            inside = channels * stage.expand_ratio
            biases += inside * (1 if stage.expand_ratio == 1 else 2) + stage.channels
            channels = stage.channels
    biases += b0.head_channels
    return {
        1: right + biases,
        2: altered(lambda i, stage: {"se_ratio": 0}),
        3: altered(lambda i, stage: {"se_ratio": 0} if i == 1 else {}),
        4: altered(lambda i, stage: {"se_ratio": stage.se_ratio * stage.expand_ratio}),
        5: right - (b0.head_channels + 1) * 1000,
    }


def _suspects() -> tuple[int, ...]:
    by_count = {count: mistake for mistake, count in suspicious_counts().items()}
    return tuple(by_count[count] for count in (8_423_848, 5_285_802, 5_309_556, 4_652_008, 4_007_548))


def _winner(target: float) -> int:
    def pay(i: int) -> float:
        cost = count_cost(f"b{i}").multiply_adds
        return get_variant(f"b{i}").published.top1 * (cost / target) ** (0 if cost <= target else -1)

    return max(range(8), key=pay)


EXERCISES = {
    "5.1": Exercise(_inside, "the block's input has the channels of stage 6; expand, quarter, halve."),
    "5.2": Exercise(
        lambda num_classes: count_cost("b0", num_classes=num_classes).parameters,
        "a class has 1,280 weights and one bias.",
        inputs=((1000,), (10,), (100,), (1,)),
    ),
    "5.3": Exercise(
        lambda gain: -math.log2(1 + gain),
        "solve (1 + gain) · 2^w = 1 for w.",
        inputs=((0.05,), (0.02,), (0.5,)),
        tolerance=1e-3,
    ),
    "5.4": Exercise(
        _misprint_factors,
        "stages[4] is stage 5: the stem is stages[0]. Divide misprinted by released.",
        tolerance=1e-2,
    ),
    "5.5": Exercise(
        _sides,
        "strides are 2, then 1 2 2 2 1 2 1; each division rounds up.",
        inputs=((224,), (300,), (225,), (97,)),
    ),
    "5.6": Exercise(
        _suspects,
        "order the mistakes by what they add or take away; what has two blocks of SE, what has sixteen?",
    ),
    "5.7": Exercise(
        _winner,
        "w is 0 where the cost is at most the target, and -1 above it; take the best of eight rewards.",
        inputs=((4e8,), (7e8,), (1e9,), (5e9,), (1e8,), (4e10,)),
    ),
    "5.8": Exercise(
        lambda name: count_cost(name).parameters,
        "stem_channels, stages, head_channels: whatever was a constant stands in the variant.",
        inputs=(("b0",), ("b1",), ("b3",), ("b6",)),
    ),
}
