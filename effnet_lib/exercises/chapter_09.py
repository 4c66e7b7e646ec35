"""Answers to the exercises of chapter 9, fast inference."""

from statistics import median

from ..bounds import roofline
from ..variants import get_variant
from .exercise import Exercise

#: The networks of exercise 9.8, in its order.
CANDIDATES = ("lite0", "b0", "lite4", "b4", "v2_s", "b7", "v2_l")


def _depthwise() -> tuple[int, int, float]:
    layer = next(row for row in roofline("b0", 1.0, 1.0).layers if row.name == "depthwise" and row.stage == 3)
    return layer.multiply_adds, layer.bytes, layer.intensity


def _fold(weight: float, mean: float, variance: float, gamma: float, beta: float, eps: float) -> tuple[float, float]:
    factor = gamma / (variance + eps) ** 0.5
    return weight * factor, beta - mean * factor


def _first_compute_bound(ridge: float, inputs: int = 1280, outputs: int = 1000) -> int:
    batch = 1
    while batch * inputs * outputs < ridge * 4 * (batch * (inputs + outputs) + inputs * outputs + outputs):
        batch += 1
    return batch


def _quantise(x: float, low: float, high: float) -> tuple[int, int, float]:
    scale = (high - low) / 255
    zero = round(-low / scale)
    q = min(255, max(0, round(x / scale) + zero))
    return zero, q, (q - zero) * scale


def _best_high(numbers: tuple, candidates: tuple) -> float:
    return min(candidates, key=lambda high: sum((x - _quantise(x, 0.0, high)[2]) ** 2 for x in numbers))


def _best(seconds: float, peak: float, bandwidth: float) -> int:
    fits = [i for i, name in enumerate(CANDIDATES) if roofline(name, peak, bandwidth).seconds <= seconds]
    return max(fits, key=lambda i: get_variant(CANDIDATES[i]).published.top1, default=-1)


EXERCISES = {
    "9.1": Exercise(
        _depthwise,
        "96 channels; 112 pixels go in, 56 come out; 4 bytes each for input, output, 9 weights and a bias a channel.",
        tolerance=1e-3,
    ),
    "9.2": Exercise(
        _fold,
        "the factor is gamma / sqrt(variance + eps); the bias is beta minus the mean times the factor.",
        inputs=((2.0, 1.0, 3.0, 4.0, 0.5, 1.0), (-0.5, 0.0, 0.99, 1.0, 0.0, 0.01), (1.0, -2.0, 0.0, 0.1, 1.0, 1e-3)),
        tolerance=1e-6,
    ),
    "9.3": Exercise(
        lambda kernel, width: kernel**2 / (5 * width),
        "for each number that is written: k² multiply-adds, and four numbers read.",
        inputs=((3, 4), (5, 4), (3, 2), (5, 1)),
        tolerance=1e-6,
    ),
    "9.4": Exercise(
        lambda mine, theirs: median(t / m for m, t in zip(mine, theirs)),
        "divide within each round first, then take the median of the ratios.",
        inputs=(
            ((1.0, 2.0, 1.0, 1.1), (2.1, 4.0, 2.0, 2.2)),
            ((10.0, 10.0, 30.0), (20.0, 21.0, 33.0)),
            ((3.0,), (1.5,)),
        ),
        tolerance=1e-6,
    ),
    "9.5": Exercise(
        _best_high,
        "scale = high / 255; q = round(x / scale), kept within 0 to 255; compare x with scale · q, squared and added up.",
        inputs=(
            (tuple(0.01 * n for n in range(600)), (3, 6, 12)), ((0.1, 0.2, 7.0), (6, 7, 14)),
            (tuple(0.01 * n for n in range(300)) * 30 + (6.5,), (2, 3, 6.5, 13)),
        ),
    ),
    "9.6": Exercise(
        lambda name, peak, bandwidth: roofline(name, peak, bandwidth, fused=False).seconds
        / roofline(name, peak, bandwidth).seconds,
        "two calls of roofline, one with fused=False; divide their seconds.",
        inputs=(("b0", 1e11, 1e10), ("v2_s", 1e11, 1e10), ("lite0", 1e10, 1e11)),
        tolerance=1e-6,
    ),
    "9.7": Exercise(
        _first_compute_bound,
        "N · 1280 · 1000 multiply-adds over 4 · (N · 2280 + 1280 · 1000 + 1000) bytes must reach the ridge.",
        inputs=((1.0,), (6.0,), (10.0,), (100.0,)),
    ),
    "9.8": Exercise(
        _best,
        "keep the networks whose roofline(...).seconds fit; of those, the highest published.top1.",
        inputs=((0.008, 8e10, 1.4e10), (0.05, 8e10, 1.4e10), (0.12, 8e10, 1.4e10), (1e-3, 3e13, 3e12), (1e-9, 1e9, 1e9)),
    ),
}
