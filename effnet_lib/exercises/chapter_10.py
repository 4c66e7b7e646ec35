"""Answers to the exercises of chapter 10, the training recipe."""

import math

from .exercise import Exercise


def _first_step(lr: float, decay: float, start: float, gradient: float) -> float:
    return lr * gradient / math.sqrt(decay * start + (1 - decay) * gradient**2)


def _moved(steps: int, decay: float, momentum: float) -> float:
    square = velocity = moved = 0.0
    for _ in range(steps):
        square = decay * square + (1 - decay)
        velocity = momentum * velocity + 1 / math.sqrt(square)
        moved += velocity
    return moved


def _smoothing(classes: int, gap: float) -> float:
    return classes / (math.exp(gap) - 1 + classes)


def _epochs_until(share: float) -> float:
    return 2.4 * math.ceil(math.log(share) / math.log(0.97))


def _cutmix_label(side: int, y: int, x: int, box: int) -> float:
    tall, wide = (min(side, at + box // 2) - max(0, at - box // 2) for at in (y, x))
    return 1 - tall * wide / side**2


EXERCISES = {
    "10.1": Exercise(
        lambda: (0.004, 0.032, 0.064),
        "0.016 times the batch, divided by 256.",
        tolerance=1e-6,
    ),
    "10.2": Exercise(
        _first_step,
        "the new mean square is decay · start + (1 − decay) · gradient²; divide by its root.",
        inputs=((0.1, 0.99, 0.0, 1e-3), (0.1, 0.9, 0.0, 2.0), (0.016, 0.9, 1.0, 1e-2), (0.016, 0.9, 1.0, 10.0)),
        tolerance=1e-6,
    ),
    "10.3": Exercise(
        _moved,
        "with a constant gradient of 1: s ← decay · s + 1 − decay, m ← momentum · m + 1/√s, and the way is the sum of all m.",
        inputs=((1, 0.99, 0.9), (2, 0.99, 0.9), (2, 0.9, 0.0), (10, 0.9, 0.9)),
        tolerance=1e-6,
    ),
    "10.4": Exercise(
        _smoothing,
        "the gap is ln(q / (ε/K)) with q = 1 − ε + ε/K; solve it for ε.",
        inputs=((10, 4.5), (1000, 9.1), (2, 3.0), (100, 5.0)),
        tolerance=1e-6,
    ),
    "10.5": Exercise(
        _epochs_until,
        "after n falls the rate is 0.97ⁿ of the peak; n must be whole, and each fall takes 2.4 epochs.",
        inputs=((0.5,), (0.1,), (0.02,)),
        tolerance=1e-6,
    ),
    "10.6": Exercise(
        lambda images, batch, epochs: 1 - 10 / (images // batch * epochs),
        "count whole batches only; a horizon of a tenth of the steps is 1/(1 − decay).",
        inputs=((45_000, 512, 200), (1_295, 64, 14), (1_281_167, 2048, 350)),
        tolerance=1e-9,
    ),
    "10.7": Exercise(
        _cutmix_label,
        "cut the box off at the border first; the share is 1 minus its area over the image's.",
        inputs=((32, 16, 16, 16), (32, 0, 0, 16), (32, 30, 16, 8), (224, 100, 5, 112)),
        tolerance=1e-9,
    ),
    "10.8": Exercise(
        lambda difference, spread: math.ceil(round(8 * (spread / difference) ** 2, 9)),
        "the difference of two means of n runs has a standard error of spread · √(2/n); set twice that equal to the difference.",
        inputs=((1.0, 1.0), (0.5, 1.0), (2.0, 0.4), (0.1, 0.3)),
    ),
}  # fmt: skip
