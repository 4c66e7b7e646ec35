"""Answers to the exercises of chapter 11, training for real."""

import math
from statistics import mean, stdev

from ..budget import IMAGENET_TRAIN
from ..cost import count_cost
from ..variants import get_variant
from .exercise import Exercise

#: A made-up confusion matrix: rows what it is, columns what the network says.
CONFUSION = ((8, 1, 1), (0, 6, 2), (3, 0, 9))


def _most_confused(confusion) -> tuple[int, int]:
    pairs = [(i, j) for i in range(len(confusion)) for j in range(len(confusion)) if i != j]
    return max(pairs, key=lambda pair: confusion[pair[0]][pair[1]])


def _stride_price(name: str, resolution: int) -> float:
    variant = get_variant(name)
    costs = [count_cost(variant.with_output_stride(stride), resolution, 10).multiply_adds for stride in (8, 32)]
    return costs[0] / costs[1]


def _share(batch_size: int, gpus: int, accumulate: int) -> int:
    return batch_size // (gpus * accumulate) if batch_size % (gpus * accumulate) == 0 else 0


def _apart(first, second) -> float:
    error = math.sqrt(stdev(first) ** 2 / len(first) + stdev(second) ** 2 / len(second))
    return (mean(second) - mean(first)) / error


EXERCISES = {
    "11.1": Exercise(
        lambda rate, gpus, epochs: epochs * IMAGENET_TRAIN / (rate * gpus) / 3600,
        "images in all, by images a second, by 3600.",
        inputs=((2489, 1, 350), (331, 8, 350), (1000, 64, 90)),
        tolerance=1e-6,
    ),
    "11.2": Exercise(
        lambda confusion: tuple(row[i] / sum(row) for i, row in enumerate(confusion)),
        "the diagonal by the sum of its row.",
        inputs=((CONFUSION,), (((1, 3), (0, 4)),)),
    ),
    "11.3": Exercise(
        _most_confused,
        "leave the diagonal out; compare the counts of all other places.",
        inputs=((CONFUSION,), (((5, 1), (2, 5)),), (((1, 0, 4), (3, 9, 0), (2, 2, 7)),)),
    ),
    "11.4": Exercise(
        lambda accuracy, error: math.ceil(accuracy * (1 - accuracy) / error**2 - 1e-9),
        "solve error = √(p (1 − p) / n) for n, and round up.",
        inputs=((0.96, 0.002), (0.96, 0.001), (0.5, 0.01), (0.99, 0.005)),
    ),
    "11.5": Exercise(
        _stride_price,
        "count_cost(get_variant(name).with_output_stride(8), resolution, 10), by the same with 32.",
        inputs=(("b0", 32), ("b0", 64), ("b3", 32), ("v2_b0", 32)),
        tolerance=1e-6,
    ),
    "11.6": Exercise(
        _share,
        "gpus × accumulate parts; 0 if the batch cannot be cut into so many alike.",
        inputs=((512, 8, 1), (512, 8, 4), (2048, 32, 2), (500, 8, 1), (512, 3, 1)),
    ),
    "11.7": Exercise(
        _apart,
        "the variance of each by its number of runs, added; the root of it divides the difference.",
        inputs=(((95.9, 96.1, 96.0), (96.2, 96.1, 96.3)), ((95.0, 96.0, 97.0), (95.5, 96.5, 97.5, 96.5))),
        tolerance=1e-6,
    ),
    "11.8": Exercise(
        lambda gpus, alone, together: 1 - (together / (gpus * alone)) ** (1 / math.log2(gpus)),
        "what is left after log₂(gpus) doublings is together / (gpus · alone); take the root.",
        inputs=((8, 2489, 16652), (16, 2489, 29332), (64, 331, 18900), (2, 100, 180)),
        tolerance=1e-6,
    ),
}
