"""What scaling gains in accuracy, and what CIFAR-10 was trained to: published, and our own.

The paper's figures stand here as data; our own are read from the records of training runs.
Nothing here needs more than the standard library.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from .records import RESULTS

#: The accuracy near which the gains of a single dimension flatten, B0 scaled, in per cent.
#: Source: Tan & Le 2019, arXiv:1905.11946v5, Figure 3.
SATURATION = 80.0

DIMENSIONS = ("depth", "width", "resolution")


@dataclass(frozen=True)
class ScaledNetwork:
    """One network of a study: a base, scaled, and how accurate it became.

    Attributes:
        dimension: what was scaled: ``"depth"``, ``"width"``, ``"resolution"``, ``"all three"``,
            or ``"none"`` for the base itself.
        accuracy: top-1 accuracy on held-out images in per cent; the mean, where there are runs.
        multiply_adds: as printed, or as recorded.
        depth, width, resolution: the factors, where the study prints them.
        runs: the accuracy of each run, where there are records.
        source: the document and the table, or the names of the records.
    """

    dimension: str
    accuracy: float
    multiply_adds: float
    depth: float | None = None
    width: float | None = None
    resolution: float | None = None
    runs: tuple[float, ...] = ()
    source: str = ""

    @property
    def factors(self) -> dict[str, float]:
        """The factors as :func:`effnet_lib.scale_by` takes them; empty where none are printed."""
        factors = {name: getattr(self, name) for name in DIMENSIONS}
        return {name: factor for name, factor in factors.items() if factor is not None}


# base: table, rows of (multiply-adds in billions, top-1) for none, depth, width, resolution, all;
# None where the paper has no such row.
_PUBLISHED = {
    "b0": ("7", (0.4, 77.3), (1.8, 79.0), (1.8, 78.9), (1.9, 79.1), (1.8, 81.1)),
    "mobilenet_v1": ("3", (0.6, 70.6), None, (2.2, 74.2), (2.2, 72.7), (2.3, 75.6)),
    "mobilenet_v2": ("3", (0.3, 72.0), (1.2, 76.8), (1.1, 76.4), (1.2, 74.8), (1.3, 77.4)),
    "resnet50": ("3", (4.1, 76.0), (16.2, 78.1), (14.7, 77.7), (16.4, 77.5), (16.7, 78.8)),
}
# The factors of "all three" are printed for MobileNetV1 and for B0, and are the same there.
_FACTORS = {
    "none": (1.0, 1.0, 1.0),
    "depth": (4.0, 1.0, 1.0),
    "width": (1.0, 2.0, 1.0),
    "resolution": (1.0, 1.0, 2.0),
    "all three": (1.4, 1.2, 1.3),
}


def published_study(base: str = "b0") -> tuple[ScaledNetwork, ...]:
    """The paper's comparison of ways to spend about four times the cost of one network.

    Args:
        base: ``"b0"`` (Table 7), ``"mobilenet_v1"``, ``"mobilenet_v2"`` or ``"resnet50"``
            (Table 3). For ``"mobilenet_v1"`` the paper has no network scaled by depth alone.

    Raises:
        ValueError: the paper has no such comparison.

    Source: Tan & Le 2019, arXiv:1905.11946v5, Tables 3 and 7. Compare accuracies within a
    table only: Table 2 gives B0 77.1, since training was stopped by held-out images there.

    >>> [network.accuracy for network in published_study()]
    [77.3, 79.0, 78.9, 79.1, 81.1]
    """
    if base not in _PUBLISHED:
        raise ValueError(f"no published study of {base!r}: choose one of {', '.join(_PUBLISHED)}")
    table, *rows = _PUBLISHED[base]
    source = f"Tan & Le 2019, arXiv:1905.11946v5, Table {table}"
    return tuple(
        ScaledNetwork(name, row[1], round(row[0] * 1e9), *factors, source=source)
        for (name, factors), row in zip(_FACTORS.items(), rows)
        if row is not None
    )


def dimension_study(place: str | Path | None = None, tag: str = "compound") -> tuple[ScaledNetwork, ...]:
    """Our own comparison, read from the records of runs; empty while there are none.

    A record belongs to the study if ``tag`` stands in its path below ``place``. Records of one
    network differ only in their seeds and make one row. The network with the fewest
    multiply-adds is the base, and what the others scale is seen by comparing with it: the
    ``depth=`` and ``width=`` of the recorded variant, and the resolution.

    Args:
        place: a folder of records; ``results`` in the package or beside it if None.
        tag: part of the names of the study's records; ``effnet experiment compound`` writes
            them to ``results/compound``.

    Returns:
        The base first, then the others by dimension and cost.

    Raises:
        ConfigError: ``place`` does not exist.
    """
    from .train.record import find_records

    places = [folder for folder in RESULTS if folder.is_dir()] if place is None else [place]
    networks = defaultdict(list)
    for name, record in find_records([str(folder) for folder in places]):
        model, config = record["model"], record["config"]
        if tag in name and model["multiply_adds"]:
            networks[config.get("variant", model["variant"]), model["resolution"]].append((name, record))
    if not networks:
        return ()

    def cost(key) -> int:
        return networks[key][0][1]["model"]["multiply_adds"]

    base = min(networks, key=cost)
    rows = []
    for key, found in networks.items():
        runs = tuple(100 * record["final"]["test_accuracy"] for _, record in found)
        names = ", ".join(name for name, _ in found)
        rows.append(ScaledNetwork(_scaled_dimension(key, base), mean(runs), cost(key), runs=runs, source=names))
    order = ("none", *DIMENSIONS, "all three")
    return tuple(sorted(rows, key=lambda row: (order.index(row.dimension), row.multiply_adds)))


def _scaled_dimension(network: tuple[str, int], base: tuple[str, int]) -> str:
    """What makes ``network`` larger than ``base``; each is (variant as recorded, resolution)."""
    (variant, resolution), (base_variant, base_resolution) = network, base
    changed = {"resolution"} if resolution != base_resolution else set()
    if variant != base_variant:
        named = {part.partition("=")[0] for part in set(variant.split(",")) - set(base_variant.split(","))}
        # Another φ changes layers and channels both.
        changed |= named & {"depth", "width"} if named <= {"depth", "width"} else {"depth", "width"}
    return "none" if not changed else changed.pop() if len(changed) == 1 else "all three"


@dataclass(frozen=True)
class PhoneNetwork:
    """A Lite network on a telephone, in single precision and in eight bits, as its authors report it.

    Attributes:
        name: of the variant.
        top1, int8_top1: ImageNet top-1 accuracy in per cent.
        milliseconds, int8_milliseconds: for one image, on the processor of a Pixel 4, 4 threads.
        source: the document.
    """

    name: str
    top1: float
    int8_top1: float
    milliseconds: float
    int8_milliseconds: float
    source: str


def phone_study() -> tuple[PhoneNetwork, ...]:
    """EfficientNet-Lite on a Pixel 4, in TensorFlow Lite: what eight bits cost and gain.

    Source: tensorflow/tpu, models/official/efficientnet/lite/README.md.

    >>> [(row.name, row.top1, row.int8_top1) for row in phone_study()][0]
    ('lite0', 75.1, 74.4)
    """
    rows = (
        ("lite0", 75.1, 74.4, 12, 6.5),
        ("lite1", 76.7, 75.9, 18, 9.1),
        ("lite2", 77.6, 77.0, 26, 12),
        ("lite3", 79.8, 79.0, 41, 18),
        ("lite4", 81.5, 80.2, 76, 30),
    )
    return tuple(PhoneNetwork(*row, source="tensorflow/tpu, models/official/efficientnet/lite/README.md") for row in rows)


@dataclass(frozen=True)
class ScratchRun:
    """How accurate one kind of training makes a network on CIFAR-10's test images.

    Attributes:
        name: of the network.
        how: ``"fine-tuned"`` from ImageNet weights or ``"from scratch"``.
        accuracy: top-1 on the test images in per cent; the mean, where there are runs.
        runs: the accuracy of each run, where there are records.
        device, seconds: of the records: the machine, and the mean time on its clock.
        data: the name of the data set in the records.
        source: the document, or the names of the records.
    """

    name: str
    how: str
    accuracy: float
    runs: tuple[float, ...] = ()
    device: str = ""
    seconds: float | None = None
    data: str = "cifar10"
    source: str = ""

    @property
    def spread(self) -> float | None:
        """Standard deviation over the runs, in points; None for fewer than two."""
        return stdev(self.runs) if len(self.runs) > 1 else None


#: Source: Tan & Le 2019, arXiv:1905.11946v5, Table 5; K. Jordan, cifar10-airbench, README (means of
#: many runs). No solid public result of an EfficientNet-B0 trained from scratch is known to us.
_CIFAR = (
    ScratchRun("EfficientNet-B7", "fine-tuned", 98.9, source="Tan & Le 2019, Table 5"),
    ScratchRun("EfficientNet-B0", "fine-tuned", 98.1, source="Tan & Le 2019, Table 5"),
    ScratchRun("airbench96", "from scratch", 96.0, source="cifar10-airbench"),
    ScratchRun("ResNet-18", "from scratch", 96.0, source="cifar10-airbench"),
)


def cifar_study(place: str | Path | None = None, tag: str = "scratch") -> tuple[ScratchRun, ...]:
    """CIFAR-10: what others reached, then our own recorded runs; the latter only where there are some.

    A record belongs to the study if a folder named ``tag`` holds it and its data are CIFAR-10,
    with all training images. Records of one network and one recipe differ only in their seeds and make one row.

    Args:
        place: a folder of records; ``results`` in the package or beside it if None.
        tag: the folder's name; ``effnet experiment scratch`` writes to ``results/scratch``.

    Raises:
        ConfigError: ``place`` does not exist.
    """
    from .train.record import find_records

    places = [folder for folder in RESULTS if folder.is_dir()] if place is None else [place]
    networks = defaultdict(list)
    for name, record in find_records([str(folder) for folder in places]):
        folders = Path(name).parts[:-1]
        if tag in folders and record["dataset"]["id"].startswith("cifar10") and not record["config"].get("per_class"):
            settings = {k: v for k, v in record["config"].items() if k != "seed"}
            networks[json.dumps([record["dataset"]["id"], settings], sort_keys=True)].append((name, record))
    rows = []
    for found in networks.values():
        names, records = zip(*found)
        runs = tuple(100 * record["final"]["test_accuracy"] for record in records)
        first = records[0]
        rows.append(
            ScratchRun(
                first["model"]["variant"], "fine-tuned" if first["config"].get("weights") else "from scratch",
                mean(runs), runs, first["device"]["name"], mean(record["wall_time_s"] for record in records),
                first["dataset"]["id"], ", ".join(names),
            )
        )  # fmt: skip
    return _CIFAR + tuple(sorted(rows, key=lambda row: -row.accuracy))
