"""Published accuracies on ImageNet, each with its edition, its resolution and its source.

A network has no accuracy of its own: a figure belongs to weights, and these to a recipe. So
every figure stands here under an *edition*: a version of a paper, a row of a repository's
table, or a set of weights. What the authors print for a released variant is in
:attr:`effnet_lib.Variant.published`, what torchvision records with its weights in
``data/torchvision.json`` (written by ``tools/record_torchvision.py``); both are read here, not
repeated. Parameters and multiply-adds are counted, GPipe's aside. Nothing here needs more than
the standard library.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .cost import count_cost
from .variants import get_variant, list_variants

#: Photographs in ImageNet's validation set, on which all of these accuracies were measured.
IMAGES = 50_000

#: Written by ``tools/record_torchvision.py``.
PATH_OF_TORCHVISION = Path(__file__).parent / "data" / "torchvision.json"

_PAPER = "arXiv:1905.11946"
_README = "tensorflow/tpu, models/official/efficientnet/README.md"
_LITE = "tensorflow/tpu, models/official/efficientnet/lite/README.md"
_V2 = "google/automl, efficientnetv2/README.md"
_BLOG = "Vryniotis 2021, How to Train State-Of-The-Art Models Using TorchVision's Latest Primitives"


@dataclass(frozen=True)
class Edition:
    """Accuracies that were published together, of weights that were trained alike.

    Attributes:
        key, name: for code and for readers.
        year: of publication.
        recipe: what sets it apart, in a phrase.
        source: the document.
        extra_images: what it was trained on besides ImageNet's 1.28 million photographs; empty
            for nothing.
    """

    key: str
    name: str
    year: int
    recipe: str
    source: str
    extra_images: str = ""


@dataclass(frozen=True)
class Accuracy:
    """One published figure, with what is needed to read it.

    Attributes:
        network: a released variant's name, or ``"resnet50"``, ``"resnet152"``,
            ``"mobilenet_v3_large"``, ``"gpipe"``.
        edition: where it comes from.
        top1: share of ImageNet's validation photographs that are named right, in per cent.
        resolution: side of the images at evaluation, in pixels.
        parameters, multiply_adds: counted for that resolution; of GPipe as printed, or None.
    """

    network: str
    edition: Edition
    top1: float
    resolution: int
    parameters: int
    multiply_adds: int | None

    @property
    def standard_error(self) -> float:
        """Of ``top1``, in points, as for a share p of n independent photographs: √(p (1 − p) / n)."""
        return math.sqrt(self.top1 * (100 - self.top1) / IMAGES)


_EDITIONS = {
    edition.key: edition
    for edition in (
        Edition("icml2019", "first paper, 2019", 2019, "as in the paper's first version", f"{_PAPER}v1–v4, Table 2"),
        Edition("autoaugment2019", "AutoAugment, July 2019", 2019,
                "AutoAugment, trained to the end", f"{_README}, July 2019"),
        Edition("baseline", "plain augmentation, 2020", 2020,
                "ResNet's augmentation, stopped by held-out training images", f"{_README}, July 2020"),
        Edition("v5", "paper, version 5, 2020", 2020,
                "AutoAugment, stopped by held-out training images", f"{_PAPER}v5, Table 2"),
        Edition("randaugment", "RandAugment", 2019, "RandAugment in place of AutoAugment", _README),
        Edition("advprop", "AdvProp", 2019,
                "trained on adversarial images as well, with a batch norm of their own", _README),
        Edition("noisystudent", "NoisyStudent", 2020,
                "taught by a larger network that labels more photographs", _README, "130 million images pseudo-labeled from 300 million"),
        Edition("v2", "V2, 2021", 2021, "progressive learning (S, M, L); V1's way (B0 to B3)", _V2),
        Edition("v2_21k", "V2, ImageNet-21k first", 2021,
                "pretrained on ImageNet-21k, then fine-tuned", _V2, "ImageNet-21k, 13 million photographs"),
        Edition("lite", "Lite, 2020", 2020, "as V1, in 32-bit numbers", _LITE),
        Edition("lite_int8", "Lite in eight bits", 2020, "the same weights, quantised after training", _LITE),
        Edition("mobilenetv3", "MobileNetV3's paper", 2019, "as in its paper", "arXiv:1905.02244, Table 3"),
        Edition("torchvision1", "torchvision, first weights", 2016,
                "torchvision's first weights of each network", "torchvision {}, IMAGENET1K_V1"),
        Edition("torchvision2", "torchvision, second weights", 2021,
                "torchvision's newer recipe, where there are such weights", "torchvision {}, IMAGENET1K_V2"),
    )
}  # fmt: skip

# Top-1 in per cent of B0, B1, … in this order; B0–B7 of version 5, V2 and Lite are in variants.py.
_B = {
    "icml2019": (76.3, 78.8, 79.8, 81.1, 82.6, 83.3, 84.0, 84.4),
    "autoaugment2019": (77.3, 79.2, 80.3, 81.7, 83.0, 83.7, 84.2, 84.5),
    "baseline": (76.7, 78.7, 79.8, 81.1, 82.5, 83.1),
    "randaugment": (None, None, None, None, None, 83.7, None, 84.7),
    "advprop": (77.6, 79.6, 80.5, 81.9, 83.3, 84.3, 84.8, 85.2),
    "noisystudent": (78.8, 81.5, 82.4, 84.1, 85.3, 86.1, 86.4, 86.9),
}
_OTHERS = {
    # The paper reprints these three without change in all of its versions.
    "icml2019": {"resnet50": 76.0, "resnet152": 77.8, "gpipe": 84.3},
    "v5": {"resnet50": 76.0, "resnet152": 77.8, "gpipe": 84.3},
    "v2_21k": {"v2_s": 84.9, "v2_m": 86.2, "v2_l": 86.9},
    "lite_int8": {"lite0": 74.4, "lite1": 75.9, "lite2": 77.0, "lite3": 79.0, "lite4": 80.2},
    "mobilenetv3": {"mobilenet_v3_large": 75.2},
}
#: Of GPipe nothing can be counted here. Parameters: the paper's Table 2; resolution: Huang et al. 2019.
_GPIPE = (480, 557_000_000, None)


def accuracy_editions() -> tuple[Edition, ...]:
    """All editions, those of V1 first."""
    return tuple(_edition(key) for key in _EDITIONS)


@cache
def list_accuracies(network: str | None = None, edition: str | None = None) -> tuple[Accuracy, ...]:
    """Published accuracies: all, those of one network, those of one edition, or the one of both.

    Args:
        network: as in :class:`Accuracy`.
        edition: an edition's key, such as ``"v5"``.

    Raises:
        ValueError: unknown network or edition.

    >>> [accuracy.top1 for accuracy in list_accuracies("b7", "icml2019")]
    [84.4]
    """
    known = {accuracy.network: None for accuracy in _all()}
    if network is not None and network not in known:
        raise ValueError(f"no accuracies of {network!r:.60}: there are {', '.join(known)}")
    if edition is not None and edition not in _EDITIONS:
        raise ValueError(f"unknown edition {edition!r:.60}: there are {', '.join(_EDITIONS)}")
    return tuple(
        one for one in _all() if network in (None, one.network) and edition in (None, one.edition.key)
    )


@cache
def _all() -> tuple[Accuracy, ...]:
    found = []
    for key, figures in _B.items():
        found += [_accuracy(f"b{i}", key, top1) for i, top1 in enumerate(figures) if top1]
    for name in list_variants():
        variant = get_variant(name)
        found.append(_accuracy(name, _home(name, variant.family), variant.published.top1))
    for key, figures in _OTHERS.items():
        found += [_accuracy(name, key, top1) for name, top1 in figures.items()]
    for name, entry in recorded_torchvision()["networks"].items():
        for member, weights in entry["weights"].items():
            key = {"IMAGENET1K_V1": "torchvision1", "IMAGENET1K_V2": "torchvision2"}[member]
            short = name.removeprefix("efficientnet_")
            found.append(_accuracy(short, key, weights["top1"], weights["crop"]))
    order = list(_EDITIONS)
    return tuple(sorted(found, key=lambda one: order.index(one.edition.key)))


def _home(name: str, family: str) -> str:
    """The edition of what :attr:`Variant.published` holds."""
    return {"b8": "advprop", "l2": "noisystudent", "v2_xl": "v2_21k"}.get(name, {"v1": "v5"}.get(family, family))


def _accuracy(network: str, edition: str, top1: float, resolution: int | None = None) -> Accuracy:
    if network == "gpipe":
        return Accuracy(network, _edition(edition), top1, *_GPIPE)
    reference = recorded_torchvision()["networks"].get(network)
    if reference:
        weights = next(iter(reference["weights"].values()))  # all of them take the same images
        cost = (weights["crop"], reference["parameters"], weights["multiply_adds"])
        return Accuracy(network, _edition(edition), top1, *cost)
    resolution = resolution or get_variant(network).resolution
    cost = count_cost(network, resolution)
    return Accuracy(network, _edition(edition), top1, resolution, cost.parameters, cost.multiply_adds)


@cache
def _edition(key: str) -> Edition:
    edition = _EDITIONS[key]
    version = recorded_torchvision()["torchvision"]
    return Edition(**{**vars(edition), "source": edition.source.format(version)})


@cache
def recorded_torchvision() -> dict:
    """What ``tools/record_torchvision.py`` wrote down: accuracies, crops and costs of torchvision's weights."""
    return json.loads(PATH_OF_TORCHVISION.read_text(encoding="utf-8"))


def _rows(source: str, columns: tuple[str, ...], *rows: tuple) -> tuple[dict, ...]:
    return tuple(dict(zip(columns, row)) | {"source": source} for row in rows)


_TABLES = {
    "latency": _rows(
        f"{_PAPER}v5, Table 4 (batch 1, one core of a Xeon E5-2690, mean of 20 runs)",
        ("network", "seconds"),
        ("resnet152", 0.554), ("b1", 0.098), ("gpipe", 19.0), ("b7", 3.1),
    ),
    "resnet50_recipe": _rows(
        _BLOG,
        ("step", "top1"),
        ("first recipe, 90 epochs", 76.130), ("learning rate and its schedule", 76.494),
        ("TrivialAugment", 76.806), ("600 epochs", 78.606), ("random erasing", 78.796),
        ("label smoothing", 79.114), ("mixup", 79.232), ("CutMix", 79.510),
        ("weight decay tuned", 80.036), ("trained at 176 pixels", 80.196), ("averaged weights (EMA)", 80.450),
        ("test images resized to 232, not 256", 80.674), ("repeated augmentation", 80.858),
    ),
    "transfer": (
        *_rows(
            f"{_PAPER}, Table 5",
            ("network", "dataset", "top1"),
            ("b0", "CIFAR-10", 98.1), ("b0", "CIFAR-100", 88.1), ("b7", "CIFAR-10", 98.9), ("b7", "CIFAR-100", 91.7),
            ("gpipe", "CIFAR-10", 99.0), ("gpipe", "CIFAR-100", 91.3),
        ),
        *_rows(
            "arXiv:2104.00298, section 5.3",
            ("network", "dataset", "top1"),
            ("v2_s", "CIFAR-10", 98.7), ("v2_s", "CIFAR-100", 91.5), ("v2_m", "CIFAR-10", 99.0),
            ("v2_m", "CIFAR-100", 92.2), ("v2_l", "CIFAR-10", 99.1), ("v2_l", "CIFAR-100", 92.3),
        ),
    ),
    "lite_phone": _rows(
        f"{_LITE} (Pixel 4, batch 1; processor: four threads)",
        ("network", "cpu_ms", "gpu_ms", "int8_cpu_ms"),
        ("lite0", 12, 9.0, 6.5), ("lite1", 18, 12, 9.1), ("lite2", 26, 16, 12), ("lite3", 41, 23, 18),
        ("lite4", 76, 36, 30),
    ),
}  # fmt: skip


def published_table(name: str) -> tuple[dict, ...]:
    """A table of a paper or a repository that is no list of accuracies on ImageNet; rows are dictionaries.

    Args:
        name: ``"latency"`` (Tan & Le 2019, Table 4: seconds for an image), ``"resnet50_recipe"``
            (Vryniotis 2021: top-1 of one ResNet-50 as its recipe grows, each step on top of those
            before), ``"transfer"`` (top-1 after fine-tuning) or ``"lite_phone"`` (the Lite
            variants' milliseconds on a Pixel 4, single precision on processor and GPU, and eight
            bits on the processor).

    Returns:
        Rows in the order of the source, each with its ``"source"``.

    Raises:
        ValueError: there is no such table.
    """
    if name not in _TABLES:
        raise ValueError(f"no table {name!r:.60}: there are {', '.join(_TABLES)}")
    return tuple(dict(row) for row in _TABLES[name])
