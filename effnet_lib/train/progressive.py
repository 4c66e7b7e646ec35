"""Progressive learning: small images and little regularisation first, both growing by stages.

The V2 paper and the released code differ, and both rules are here under their names.
Source: Tan & Le 2021, arXiv:2104.00298, Algorithm 1 and Table 6; google/automl,
``efficientnetv2/main.py``, ``effnetv2_configs.py`` and ``hparams.py``. Nothing here needs more
than the standard library.
"""

from dataclasses import dataclass, replace

from ..cost import count_cost
from ..scaling import positive_int
from ..variants import Variant, as_variant
from .config import Config

#: Epochs of the authors' runs on ImageNet, and their number of stages: paper, section 5.1.
EPOCHS, STAGES = 350, 4

RULES = ("paper", "code")


@dataclass(frozen=True)
class Stage:
    """What one stage of training uses.

    Attributes:
        resolution: side of the images in pixels.
        magnitude: of RandAugment.
        dropout: rate before the classifier.
        mixup: α of mixup.
        cutmix: α of CutMix.
    """

    resolution: int
    magnitude: float
    dropout: float
    mixup: float
    cutmix: float = 0.0


# name: (smallest and largest) resolution, RandAugment, dropout, mixup. Paper, Table 6.
TABLE_6 = {
    "v2_s": ((128, 300), (5, 15), (0.1, 0.3), (0, 0)),
    "v2_m": ((128, 380), (5, 20), (0.1, 0.4), (0, 0.2)),
    "v2_l": ((128, 380), (5, 25), (0.1, 0.5), (0, 0.5)),
}

# The same in the released code; its CutMix grows as its mixup does. Dropout has a single value,
# since its ramp is commented out.
RELEASED_CODE = {
    "v2_s": ((128, 300), (5, 10), (0.2, 0.2), (0, 0)),
    "v2_m": ((128, 384), (5, 15), (0.3, 0.3), (0, 0.2)),
    "v2_l": ((128, 384), (5, 20), (0.4, 0.4), (0, 0.5)),
}


def paper_rule(low: float, high: float, stage: int, stages: int) -> float:
    """low + (high − low) · i / (M − 1): the first stage has ``low``, the last ``high``.

    Source: arXiv:2104.00298, Algorithm 1. The released code takes it for the strengths of
    augmentation (``np.linspace``), and not for the image size.

    >>> [round(paper_rule(128, 300, i, 4)) for i in range(4)]
    [128, 185, 243, 300]
    """
    return high if stages == 1 else low + (high - low) * stage / (stages - 1)


def code_rule(low: float, high: float, stage: int, stages: int) -> float:
    """low + (high − low) · (i + 1) / M: no stage has ``low`` itself. The code's image size.

    Source: google/automl, ``efficientnetv2/main.py``, ``ratio = (stage + 1) / total_stages``.

    >>> [int(code_rule(128, 300, i, 4)) for i in range(4)]
    [171, 214, 257, 300]
    """
    return low + (high - low) * (stage + 1) / stages


def image_size(low: int, high: int, stage: int, stages: int, rule: str = "paper") -> int:
    """Side of the images in a stage, in pixels: the paper's is rounded, the code's cut off.

    >>> [image_size(128, 380, i, 4) for i in range(4)]
    [128, 212, 296, 380]
    """
    if rule == "paper":
        return round(paper_rule(low, high, stage, stages))
    return int(code_rule(low, high, stage, stages))


def progressive_stages(
    variant: str = "v2_s",
    rule: str = "paper",
    *,
    stages: int = STAGES,
    first_resolution: int | None = None,
    last_resolution: int | None = None,
) -> list[Stage]:
    """The stages in which the authors train V2-S, M or L on ImageNet.

    Args:
        variant: ``"v2_s"``, ``"v2_m"`` or ``"v2_l"``.
        rule: ``"paper"``: Algorithm 1 with the limits of Table 6; or ``"code"``: the image
            size, the limits and the constant dropout of the released code.
        stages: their number; 4 in both.
        first_resolution, last_resolution: other limits of the image size, in pixels.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range, or the
            authors give no schedule for the variant.

    >>> [stage.resolution for stage in progressive_stages("v2_s")]
    [128, 185, 243, 300]
    >>> [round(stage.magnitude, 1) for stage in progressive_stages("v2_s", "code")]
    [5.0, 6.7, 8.3, 10.0]
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {rule!r:.60}")
    name = as_variant(variant).name
    table = TABLE_6 if rule == "paper" else RELEASED_CODE
    if name not in table:
        raise ValueError(f"the authors give no progressive schedule for {name!r}: choose one of {', '.join(table)}")
    sizes, magnitude, dropout, mixup = table[name]
    low = sizes[0] if first_resolution is None else positive_int("first_resolution", first_resolution, 32)
    high = sizes[1] if last_resolution is None else positive_int("last_resolution", last_resolution, 32)
    if low > high:
        raise ValueError(f"images must not shrink: first_resolution = {low} is above last_resolution = {high}")
    positive_int("stages", stages)
    cutmix = mixup if rule == "code" else (0, 0)
    return [
        Stage(
            image_size(low, high, i, stages, rule),
            *(paper_rule(*limits, i, stages) for limits in (magnitude, dropout, mixup, cutmix)),
        )
        for i in range(stages)
    ]


def training_cost(variant: Variant | str, stages: list[Stage], epochs: int = EPOCHS) -> int:
    """Multiply-adds of the forward pass for one training image, summed over all epochs.

    The backward pass costs about twice as much again, at any size, so that ratios of this count
    are ratios of the whole. They are not ratios of time.

    Raises:
        TypeError, ValueError: ``epochs`` is not a number of at least 1, or there are no stages.

    >>> round(training_cost("v2_s", progressive_stages()) / (350 * count_cost("v2_s", 300).multiply_adds), 2)
    0.56
    """
    positive_int("epochs", epochs)
    if not stages:
        raise ValueError("there are no stages: at least one is needed")
    costs = {stage: count_cost(variant, stage.resolution).multiply_adds for stage in stages}
    return sum(costs[stage_at(stages, epoch, epochs)] for epoch in range(epochs))


def make_stages(config: Config, resolution: int, dropout: float) -> list[Stage]:
    """The stages of a run; a single one unless ``config.progressive`` asks for more.

    By the paper's rule everything that it names grows: the image side from ``min_resolution`` to
    ``resolution``, RandAugment from 5 to ``magnitude``, dropout from 0.1 to ``dropout``, mixup
    from 0 to ``config.mixup``. The released code gives the images other sizes, leaves dropout
    alone, where its ramp is commented out, and lets CutMix grow as well. ``"size"`` takes the
    paper's sizes and nothing else.
    """
    last = Stage(resolution, config.magnitude, dropout, config.mixup, config.cutmix)
    if config.progressive == "none":
        return [last]
    paper = config.progressive != "code"
    stages = []
    for i in range(config.stages):

        def grown(low: float, high: float) -> float:
            return paper_rule(min(low, high), high, i, config.stages)

        smallest = min(config.min_resolution, resolution)
        size = image_size(smallest, resolution, i, config.stages, "paper" if paper else "code")
        if config.progressive == "size":
            stages.append(replace(last, resolution=size))
            continue
        stages.append(
            Stage(
                size,
                grown(5.0, config.magnitude),
                grown(0.1, dropout) if paper else dropout,
                grown(0.0, config.mixup),
                config.cutmix if paper else grown(0.0, config.cutmix),
            )
        )
    return stages


def stage_at(stages: list[Stage], epoch: int, epochs: int) -> Stage:
    """The stage that ``epoch`` (counted from 0) of ``epochs`` belongs to; stages are equally long.

    >>> stages = [Stage(size, 5, 0.1, 0) for size in (128, 185, 243, 300)]
    >>> [stage_at(stages, epoch, 8).resolution for epoch in range(8)]
    [128, 128, 185, 185, 243, 243, 300, 300]
    """
    return stages[epoch * len(stages) // epochs]
