"""Answers to the exercises of chapter 8, pretrained networks."""

import math
import statistics

from ..cost import count_cost
from ..records import recorded
from ..variants import get_variant
from .exercise import Exercise

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _crop() -> tuple[int, float]:
    width = 256 * 600 // 400
    return width, 224 * 224 / (width * 256)


def _column(values):
    import torch

    return torch.tensor(values).view(3, 1, 1)


def _to_pixels(x, mean, std):
    return (x * _column(std) + _column(mean)).clamp(0, 1)


def _convert(x):
    mean, std = _IMAGENET
    return (x * _column(std) + _column(mean) - 127 / 255) / (128 / 255)


def _random(*shapes: tuple[int, ...]):
    """Tensors of these shapes, the same every time."""
    import torch

    generator = torch.Generator().manual_seed(8)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _normalised():
    (x,), half = _random((2, 3, 5, 4)), (0.5, 0.4, 0.6)
    return (x, *_IMAGENET), (3 * x, half, (0.25, 0.5, 0.2))


def _maps_and_weight():
    one, weight, other, narrow = _random((12, 7, 7), (10, 12), (5, 3, 4), (2, 5))
    return (one, weight, 3), (other, narrow, 1)


def _trained_share(name: str, classes: int) -> float:
    head = (get_variant(name).head_channels + 1) * classes
    return head / count_cost(name, num_classes=classes).parameters


def _standard_errors() -> tuple[float, ...]:
    return tuple(100 * math.sqrt(p * (1 - p) / n) for p, n in ((0.75, 2000), (0.97, 10_000), (0.97, 359)))


def _labels_saved() -> int:
    rows = recorded("transfer-features")["rows"]
    mean = {(row.get("resolution"), row["per_class"]): statistics.mean(row["accuracy"]) for row in rows}
    return min(count for (size, count), value in mean.items() if size == 224 and value > mean[None, 500])


EXERCISES = {
    "8.1": Exercise(
        _crop, "the sides keep the ratio 3 : 2; the share is 224² over the area after resizing.", tolerance=1e-3
    ),
    "8.2": Exercise(_to_pixels, "multiply by std, add mean, each as (3, 1, 1), then clamp(0, 1).", inputs=_normalised),
    "8.3": Exercise(
        _convert,
        "times the old std, plus the old mean gives pixels; minus 127/255, over 128/255.",
        inputs=lambda: tuple((x,) for x in _random((2, 3, 4, 5), (1, 3, 2, 2))),
    ),
    "8.4": Exercise(
        lambda features, weight, c: (weight[c].view(-1, 1, 1) * features).sum(0),
        "multiply each channel by its weight in row c, and sum over the channels.",
        inputs=_maps_and_weight,
    ),
    "8.5": Exercise(
        _trained_share,
        "(features + 1) · classes, over the parameters counted with num_classes=classes.",
        inputs=(("b0", 10), ("lite0", 5), ("b7", 100), ("v2_s", 2)),
        tolerance=1e-6,
    ),
    "8.6": Exercise(_standard_errors, "100 · √(p · (1 − p) / n), with p as a share.", tolerance=1e-2),
    "8.7": Exercise(_labels_saved, "compare the means for each count at 224 pixels with the mean of 500 on pixels."),
}
