"""What each class weighs in the loss. Nothing here needs more than the standard library."""

import json

from .errors import ConfigError


def read_class_weights(text: str, classes: tuple[str, ...] | None = None) -> list[float] | None:
    """The numbers in ``class_weights``; None for ``none`` and ``balanced``.

    Args:
        text: ``none``, ``balanced``, numbers in the order of the classes (``1,2,0.5`` or a JSON list), or a
            JSON object from class to number, where the others have 1.
        classes: names of the classes; None checks what can be checked without them, and gives the numbers alone.

    Raises:
        ConfigError: it is none of these, or does not fit the classes.
    """
    if text in ("none", "balanced"):
        return None
    wanted = 'class_weights must be none, balanced, numbers such as 1,2,0.5, or {"class": number}'
    try:
        said = json.loads(text if text.lstrip().startswith(("[", "{")) else f"[{text}]")
    except (ValueError, RecursionError):
        raise ConfigError(f"{wanted}; got {text!r:.60}") from None
    numbers = list(said.values()) if isinstance(said, dict) else said
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1e9:
            raise ConfigError(f"class_weights must be numbers between 0 and 1e9, got {number!r:.40}")
    if not any(numbers):
        raise ConfigError(f"class_weights = {text!r:.60} has no number above 0: give one for each class")
    if classes is None:
        return numbers
    if isinstance(said, dict):
        if unknown := [name for name in said if name not in classes]:
            raise ConfigError(f"class_weights names {unknown[0]!r:.60}, which is no class: {', '.join(classes)}")
        return [float(said.get(name, 1.0)) for name in classes]
    if len(said) != len(classes):
        raise ConfigError(f"class_weights has {len(said)} numbers, and there are {len(classes)} classes: give one for each")
    return [float(number) for number in said]


def make_class_weights(
    text: str, counts: list[int], total: int, classes: tuple[str, ...], multi_label: bool = False
) -> list[float] | None:
    """What each class weighs in the loss; None where all weigh 1.

    ``balanced`` gives a class with n of N training images, of C classes, the weight N / (C · n): the sum over
    its images is then the same for every class, and the mean over all images is 1. With several labels for an
    image it is (N − n) / n, the weight of the images that have the label at which they count as much as
    those that have it not.

    Args:
        text: ``none``, ``balanced`` or what ``read_class_weights`` reads.
        counts: training images of each class.
        total: training images.
        classes: names of the classes.
        multi_label: whether an image can have several.

    Raises:
        ConfigError: the text does not fit the classes, or a class to be balanced has no training image.

    >>> make_class_weights("balanced", [30, 10], 40, ("cat", "dog"))
    [0.6666666666666666, 2.0]
    >>> make_class_weights("balanced", [30, 10], 40, ("cat", "dog"), multi_label=True)
    [0.3333333333333333, 3.0]
    """
    if text != "balanced":
        return read_class_weights(text, classes)
    if 0 in counts:
        raise ConfigError(f"class_weights = balanced: the class {classes[counts.index(0)]!r} has no training image")
    if multi_label:
        return [(total - n) / n if n < total else 1.0 for n in counts]
    return [total / (len(classes) * n) for n in counts]
