"""What EfficientNetV2's paper measured of its parts, and what our own runs say of progressive learning.

The paper's figures stand here as data, each once; our own are read from the records of runs.
Nothing here needs more than the standard library.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from .records import RESULTS

_PAPER = "Tan & Le 2021, arXiv:2104.00298"


@dataclass(frozen=True)
class FusedNetwork:
    """An EfficientNet-B4 in which the first stages of blocks use Fused-MBConv.

    Attributes:
        fused: how many stages of blocks are fused, from the front; B4 has seven.
        parameters, multiply_adds: as printed, in units.
        top1: ImageNet top-1 accuracy in per cent.
        tpu, v100: images per second in training, on one core of a TPUv3 and on a V100 GPU.
        source: the document and the table.
    """

    fused: int
    parameters: float
    multiply_adds: float
    top1: float
    tpu: int
    v100: int
    source: str = f"{_PAPER}, Table 3"


def published_fused_study() -> tuple[FusedNetwork, ...]:
    """EfficientNet-B4 with Fused-MBConv in none, three, five and all seven of its stages.

    Source: Tan & Le 2021, arXiv:2104.00298, Table 3.

    >>> [network.v100 for network in published_fused_study()]
    [155, 216, 223, 206]
    """
    rows = (
        (0, 19.3, 4.5, 82.8, 262, 155),
        (3, 20.0, 7.5, 83.1, 362, 216),
        (5, 43.4, 21.3, 83.1, 327, 223),
        (7, 132.0, 34.4, 81.7, 254, 206),
    )
    return tuple(FusedNetwork(n, round(p * 1e6), round(m * 1e9), *rest) for n, p, m, *rest in rows)


def published_size_study() -> dict[int, dict[int, tuple[float, float]]]:
    """Accuracy by image size and strength of RandAugment, for one network of V2's search space.

    Returns:
        The mean of three runs and their standard deviation, ImageNet top-1 in per cent, under the side
        of the image in pixels, and under the magnitude of RandAugment.

    Source: Tan & Le 2021, arXiv:2104.00298, Table 5.

    >>> published_size_study()[128][5]
    (78.3, 0.16)
    """
    rows = {
        5: ((78.3, 0.16), (81.2, 0.06), (82.5, 0.05)),
        10: ((78.0, 0.08), (81.6, 0.08), (82.7, 0.08)),
        15: ((77.7, 0.15), (81.5, 0.05), (83.2, 0.09)),
    }
    return {size: {magnitude: row[i] for magnitude, row in rows.items()} for i, size in enumerate((128, 192, 300))}


@dataclass(frozen=True)
class ProgressiveRun:
    """Our own runs with one schedule; see :func:`progressive_study`.

    Attributes:
        schedule: ``"none"``, ``"size"``, ``"paper"`` or ``"code"``, as in a run's settings.
        accuracy: mean top-1 accuracy on test images in per cent.
        minutes: mean time of a run.
        runs: the accuracy of each run.
        source: names of the records.
    """

    schedule: str
    accuracy: float
    minutes: float
    runs: tuple[float, ...]
    source: str


def progressive_study(place: str | Path | None = None, tag: str = "progressive") -> tuple[ProgressiveRun, ...]:
    """Our own comparison of schedules, from the records of runs; empty while there are none.

    ``effnet experiment progressive`` makes the runs and writes their records to
    ``results/progressive``.

    Args:
        place: a folder of records; ``results`` in the package or beside it if None.
        tag: part of the names of the study's records.

    Raises:
        ConfigError: ``place`` does not exist.
    """
    from .train.record import find_records

    places = [folder for folder in RESULTS if folder.is_dir()] if place is None else [place]
    found = defaultdict(list)
    for name, record in find_records([str(folder) for folder in places]):
        if tag in name and "progressive" in record["config"]:
            found[record["config"]["progressive"]].append((name, record))
    return tuple(
        ProgressiveRun(
            schedule,
            mean(100 * record["final"]["test_accuracy"] for _, record in found[schedule]),
            mean(record["wall_time_s"] for _, record in found[schedule]) / 60,
            tuple(100 * record["final"]["test_accuracy"] for _, record in found[schedule]),
            ", ".join(name for name, _ in found[schedule]),
        )
        for schedule in ("none", "size", "paper", "code")
        if found[schedule]
    )
