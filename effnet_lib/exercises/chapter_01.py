"""Answers to the exercises of chapter 1, why scale."""

import math

from ..cost import count_cost
from ..receptive import receptive_field
from ..variants import get_variant, scale_by
from .exercise import Exercise

_BYTES = 4  # float32


def _law(depth: float, width: float, resolution: float) -> tuple[float, float, float]:
    return depth * width**2 * resolution**2, depth * width**2, depth * width * resolution**2


def _field(layers) -> int:
    size = stride = 1
    for kernel_size, layer_stride in layers:
        size += (kernel_size - 1) * stride
        stride *= layer_stride
    return size


def _largest_image(budget: float) -> int:
    size = get_variant("b0").resolution
    while count_cost("b0", size + 1).multiply_adds <= budget:
        size += 1
    return size


def _first_stage(name: str) -> int:
    resolution = get_variant(name).resolution
    return next(field.stage for field in receptive_field(name) if field.size >= resolution)


def _largest_batch(name: str, gigabytes: float) -> int:
    cost = count_cost(name)
    return int((gigabytes * 1e9 - 16 * cost.parameters) / (3.3 * _BYTES * cost.activations))


def _equal_cost(dimension: str) -> float:
    goal = 3 * count_cost("b0").multiply_adds
    factors = [1 + step / 20 for step in range(61)]

    def missed(factor: float) -> float:
        return abs(math.log(count_cost(scale_by(**{dimension: factor})).multiply_adds / goal))

    return min(factors, key=missed)


EXERCISES = {
    "1.1": Exercise(
        lambda: _law(1.5, 2, 1.5),
        "multiply-adds grow by d·w²·r², parameters by d·w², activations by d·w·r².",
        tolerance=1e-6,
    ),
    "1.2": Exercise(
        lambda: _field([(3, 2), (3, 1), (3, 2), (3, 1)]),
        "start with size 1 and stride 1; each layer adds (k − 1) · stride, and then multiplies the stride by its own.",
    ),
    "1.3": Exercise(
        _field,
        "two variables, size and stride, both 1; first widen by (k − 1) · stride, then multiply the stride.",
        inputs=(([(3, 1)],), ([(3, 2), (3, 2), (5, 1)],), ([(7, 2), (1, 1), (3, 2)],), ([(3, 1)] * 10,)),
    ),
    "1.4": Exercise(
        _largest_image,
        "count_cost('b0', size) counts B0 on images of that size; go up while it fits.",
        inputs=((1e9,), (2 * count_cost("b0").multiply_adds,)),
    ),
    "1.5": Exercise(
        _largest_batch,
        "what is left after 16 bytes for each parameter, divided by 3.3 · 4 bytes for each activation, cut to a whole number.",
        inputs=(("b0", 16), ("b4", 16), ("b7", 80)),
    ),
    "1.6": Exercise(
        _first_stage,
        "the first entry of receptive_field(name) whose size is at least get_variant(name).resolution.",
        inputs=(("b0",), ("b3",), ("b7",), ("v2_xl",)),
    ),
    "1.7": Exercise(
        _equal_cost,
        "try the factors 1.00, 1.05, … 4.00 and keep the one whose count is nearest to 3 × B0's, in ratio.",
        inputs=(("depth",), ("width",), ("resolution",)),
        tolerance=1e-6,
    ),
}
