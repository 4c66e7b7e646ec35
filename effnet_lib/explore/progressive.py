"""The progressive-learning explorer: images and regularisation that grow together, epoch by epoch."""

import base64
import json
import math
from functools import cache
from importlib import resources

from ..cost import count_cost
from ..train.progressive import EPOCHS, RELEASED_CODE, RULES, STAGES, TABLE_6, Stage, progressive_stages, training_cost
from .element import Explorer, table

#: (smallest, largest, step) of the sliders, in pixels and in stages. They hold every limit of
#: the authors, and the two sizes cannot cross.
FIRST, LAST, MOST_STAGES = (96, 256, 4), (256, 384, 4), 8

#: What RandAugment's magnitude of 10 means, by operation, as in ``effnet_lib.train.augment``
#: (which needs torchvision; a test holds the two equal).
STRONGEST = {
    "rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "brightness": 0.9, "color": 0.9, "contrast": 0.9,
    "posterize": 4.0, "solarize": 255.0,
}  # fmt: skip

#: Two operations for each photograph, as RandAugment draws them, with the sign of their level.
DRAWS = (
    ("cat", (("rotate", 1), ("color", -1))),
    ("flower", (("shear_x", 1), ("brightness", -1))),
    ("pavilion", (("rotate", -1), ("contrast", 1))),
    ("coffee", (("shear_y", -1), ("posterize", 1))),
    ("portrait", (("contrast", -1), ("shear_x", -1))),
    ("rocket", (("solarize", 1), ("rotate", 1))),
)

#: Points that regularisation gained when it grew with the image instead of standing still.
GAIN = (0.7, "Tan & Le 2021, arXiv:2104.00298, section 6.3")

_LABELS = {"v2_s": "V2-S", "v2_m": "V2-M", "v2_l": "V2-L"}
_RULES = {"paper": "the paper’s", "code": "the released code’s"}


def progressive_explorer() -> Explorer:
    """A figure of V2's training: image size, RandAugment, dropout and mixup by epoch, and the cost.

    A photograph stands there at the size of the epoch and with its RandAugment, beside what
    the run has computed so far. Schedules and costs are those of
    :func:`effnet_lib.train.progressive_stages` and :func:`effnet_lib.count_cost`.
    """
    return Explorer(
        "progressive", _data(), _static(), ("progressive.js",),
        "progressive-learning explorer (shows itself in a notebook)", ("progressive.css",),
    )  # fmt: skip


def mixed_in(alpha: float) -> float:
    """The mean share of the second picture in mixup: of min(λ, 1 − λ), with λ from Beta(α, α).

    >>> mixed_in(1.0)
    0.25
    """
    if not alpha:
        return 0.0
    beta = math.gamma(alpha) ** 2 / math.gamma(2 * alpha)
    return 0.5 - 1 / (alpha * 4**alpha * beta)


@cache
def _data() -> dict:
    folder = resources.files(__package__.rpartition(".")[0]) / "data"
    credits = {credit["name"]: credit for credit in json.loads((folder / "photographs.json").read_text(encoding="utf-8"))}
    low, high = FIRST[0], LAST[1]
    return {
        "epochs": EPOCHS,
        "stages": [1, MOST_STAGES, STAGES],
        "first": FIRST,
        "last": LAST,
        "variants": [
            {
                "name": name,
                "label": label,
                "sizes": {"paper": TABLE_6[name][0], "code": RELEASED_CODE[name][0]},
                # multiply-adds of the forward pass, from the smallest image on
                "costs": [count_cost(name, size).multiply_adds for size in range(low, high + 1)],
                "strengths": {rule: [_strengths(name, rule, m) for m in range(1, MOST_STAGES + 1)] for rule in RULES},
            }
            for name, label in _LABELS.items()
        ],
        "rules": [[rule, _RULES[rule]] for rule in RULES],
        "strongest": STRONGEST,
        "gain": GAIN,
        "draws": [
            {
                "name": name,
                "title": credits[name]["title"],
                "credit": f"{credits[name]['title']}: {credits[name]['by']}, {credits[name]['licence']}",
                "jpeg": base64.b64encode((folder / f"{name}.jpg").read_bytes()).decode(),
                "operations": operations,
            }
            for name, operations in DRAWS
        ],
    }


def _strengths(name: str, rule: str, stages: int) -> list[list[float]]:
    """RandAugment, dropout, mixup, CutMix and the share mixed in, stage by stage."""
    return [
        [s.magnitude, s.dropout, s.mixup, s.cutmix, mixed_in(s.mixup)]
        for s in progressive_stages(name, rule, stages=stages)
    ]


def _static() -> str:
    """All six schedules, stage by stage, and what each computes."""
    rows, totals = [], []
    for name, label in _LABELS.items():
        for rule in RULES:
            stages = progressive_stages(name, rule)
            rows += [[f"{label}, {_RULES[rule]}", i, *_row(stage)] for i, stage in enumerate(stages, 1)]
            spent, fixed = (training_cost(name, s) for s in (stages, stages[-1:]))
            totals.append([f"{label}, {_RULES[rule]}", f"{spent / 1e12:.2f}", f"{fixed / 1e12:.2f}", f"{spent / fixed:.0%}"])
    header = ["Schedule", "Stage", "Image, pixels", "RandAugment", "Dropout", "Mixup α", "CutMix α"]
    each = table(header, rows, f"Progressive learning of V2 on ImageNet, {EPOCHS} epochs in {STAGES} stages of equal length")
    cost = table(
        ["Schedule", "Progressive, 10¹²", "At the last size, 10¹²", "Share"],
        totals,
        "Multiply-adds of the forward pass for one training image, over all epochs",
    )
    return each + cost


def _row(stage: Stage) -> list:
    strengths = (stage.magnitude, stage.dropout, stage.mixup, stage.cutmix)
    return [stage.resolution, *(f"{value:.2f}".rstrip("0").rstrip(".") for value in strengths)]
