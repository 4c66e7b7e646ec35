"""Progressive learning: small images and little regularisation first, both growing by stages.

The V2 paper and the released code differ, and both rules are here under their names.
Source: Tan & Le 2021, arXiv:2104.00298, Algorithm 1 and Table 6; google/automl,
``efficientnetv2/main.py`` and ``hparams.py``.
"""

from dataclasses import dataclass

from .config import Config


@dataclass(frozen=True)
class Stage:
    """What one stage of training uses.

    Attributes:
        resolution: side of the images in pixels.
        magnitude: of RandAugment.
        dropout: rate before the classifier.
        mixup: α of mixup.
    """

    resolution: int
    magnitude: float
    dropout: float
    mixup: float


# name: (smallest and largest) resolution, RandAugment, dropout, mixup. Paper, Table 6.
TABLE_6 = {
    "v2_s": ((128, 300), (5, 15), (0.1, 0.3), (0, 0)),
    "v2_m": ((128, 380), (5, 20), (0.1, 0.4), (0, 0.2)),
    "v2_l": ((128, 380), (5, 25), (0.1, 0.5), (0, 0.5)),
}


def paper_rule(low: float, high: float, stage: int, stages: int) -> float:
    """low + (high − low) · i / (M − 1): the first stage has ``low``, the last ``high``.

    Source: arXiv:2104.00298, Algorithm 1.

    >>> [round(paper_rule(128, 300, i, 4)) for i in range(4)]
    [128, 185, 243, 300]
    """
    return high if stages == 1 else low + (high - low) * stage / (stages - 1)


def code_rule(low: float, high: float, stage: int, stages: int) -> float:
    """low + (high − low) · (i + 1) / M: no stage has ``low`` itself.

    Source: google/automl, ``efficientnetv2/main.py``, ``ratio = (stage + 1) / total``.

    >>> [int(code_rule(128, 300, i, 4)) for i in range(4)]
    [171, 214, 257, 300]
    """
    return low + (high - low) * (stage + 1) / stages


def make_stages(config: Config, resolution: int, dropout: float) -> list[Stage]:
    """The stages of a run; a single one unless ``config.progressive`` asks for more.

    By the paper's rule everything grows: the image side from ``min_resolution`` to
    ``resolution``, RandAugment from 5 to ``magnitude``, dropout from 0.1 to ``dropout``, mixup
    from 0 to ``config.mixup``. The released code grows the same but leaves dropout alone,
    where its ramp is commented out.
    """
    if config.progressive == "none":
        return [Stage(resolution, config.magnitude, dropout, config.mixup)]
    paper = config.progressive == "paper"
    rule = paper_rule if paper else code_rule
    stages = []
    for i in range(config.stages):

        def grown(low: float, high: float) -> float:
            return rule(min(low, high), high, i, config.stages)

        size = grown(config.min_resolution, resolution)
        stages.append(
            Stage(
                # the paper's sizes are rounded, the code's cut off
                round(size) if paper else int(size),
                grown(5.0, config.magnitude),
                grown(0.1, dropout) if paper else dropout,
                grown(0.0, config.mixup),
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
