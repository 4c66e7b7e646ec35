"""Answers to the exercises of chapter 6, the family."""

import math

from ..explore.family import RECORD, choose, frontier
from ..published import IMAGES, list_accuracies
from ..records import recorded
from .exercise import Exercise


def _standard_error(top1: float, images: int = IMAGES) -> float:
    return math.sqrt(top1 * (100 - top1) / images)


def _told_apart(first: float, second: float, images: int) -> float:
    return abs(first - second) / math.hypot(_standard_error(first, images), _standard_error(second, images))


def _editions_of(network: str, top1: float) -> tuple[str, ...]:
    return tuple(sorted(one.edition.key for one in list_accuracies(network) if f"{one.top1:.1f}" == f"{top1:.1f}"))


def _paired(only_first: int, only_second: int, images: int) -> tuple[float, float]:
    return 100 * (only_first - only_second) / images, 100 * math.sqrt(only_first + only_second) / images


def _equal_b(top1: float) -> str:
    return next(one.network for one in list_accuracies(edition="v5") if one.network[0] == "b" and one.top1 >= top1)


def _rate(name: str) -> float:
    row = next(row for row in recorded(RECORD)["networks"] if (row["name"], row["way"]) == (name, "as built"))
    return row["multiply_adds"] / row["seconds"] / 1e9


def _frontier(points) -> tuple[str, ...]:
    return tuple(frontier(points))


#: (network, milliseconds, top-1), made up.
_POINTS = (("a", 10.0, 75.0), ("b", 12.0, 74.0), ("c", 30.0, 80.0), ("d", 30.0, 79.0), ("e", 50.0, 80.0), ("f", 90.0, 81.5))

EXERCISES = {
    "6.1": Exercise(
        lambda: _standard_error(90.0, 2500),
        "√(p · (1 − p) / n) with p = 0.9 and n = 2,500, times 100 for points.",
        tolerance=2e-2,
    ),
    "6.2": Exercise(
        lambda: (66 / 60, 66 / 5.3),
        "B7 over ResNet-152, and B7 over B0, each from the parameters as printed in millions.",
        tolerance=1e-2,
    ),
    "6.3": Exercise(
        _editions_of,
        "go through list_accuracies(network), compare figures rounded to one decimal, sort the keys, return a tuple.",
        inputs=(("b2", 80.3), ("b6", 84.0), ("b7", 84.4), ("b1", 78.8), ("b2", 79.8), ("b0", 50.0)),
    ),
    "6.4": Exercise(
        _equal_b,
        "go through list_accuracies(edition='v5') in its order; take the first B whose top1 is at least this.",
        inputs=((76.13,), (80.858,), (82.284,), (84.2,)),
    ),
    "6.5": Exercise(
        _told_apart,
        "the difference over √(e₁² + e₂²), where e is each figure's standard error in points.",
        inputs=((84.3, 84.4, 50_000), (77.1, 76.0, 50_000), (96.0, 96.5, 10_000)),
        tolerance=1e-6,
    ),
    "6.6": Exercise(
        _paired,
        "the difference is 100 · (a − b) / n points, its standard error about 100 · √(a + b) / n.",
        inputs=((2100, 1900, 50_000), (500, 500, 50_000), (30, 10, 10_000)),
        tolerance=1e-6,
    ),
    "6.7": Exercise(
        _rate,
        "find the row with this name whose way is 'as built'; multiply_adds / seconds / 1e9.",
        inputs=(("b0",), ("resnet50",), ("v2_s",)),
        tolerance=1e-6,
    ),
    "6.8": Exercise(
        _frontier,
        "sort by cost, the more accurate first where costs are equal; keep a point if it beats the best so far.",
        inputs=((_POINTS,), (_POINTS[::-1],), (_POINTS[3:4],)),
    ),
    "6.9": Exercise(
        lambda points, budget: choose(points, budget)[0] or "none",
        "of the points whose cost is at most the budget, the one with the largest accuracy; of equals the cheaper.",
        inputs=((_POINTS, 60.0), (_POINTS, 30.0), (_POINTS, 11.0), (_POINTS, 5.0)),
    ),
}
