"""The feature maps of a network, known before it is built: stage, channels and stride of each.

    >>> [(info.channels, info.stride) for info in select_features("b0")]
    [(24, 4), (40, 8), (112, 16), (320, 32)]

Detection and segmentation read several of them; :func:`effnet_lib.build_backbone` returns them.
Nothing here needs more than the standard library.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .scaling import positive_int
from .variants import Variant, as_variant


@dataclass(frozen=True)
class FeatureInfo:
    """One feature map, as :func:`effnet_lib.build_backbone` can return it.

    Attributes:
        stage: number of the row as in Table 1 of arXiv:1905.11946; the stem is 1, the head the last.
        module: name of the module that computes it, such as ``"stages.1"``.
        channels: of the feature map.
        stride: pixels of the image per pixel of the feature map, in height and in width; its sides
            are those of the image divided by it, rounded up.
    """

    stage: int
    module: str
    channels: int
    stride: int


def feature_info(variant: Variant | str, output_stride: int | None = None) -> tuple[FeatureInfo, ...]:
    """Every feature map of a variant, in the order of computation: stem, each stage, head.

    Args:
        variant: a variant or its name.
        output_stride: 32, 16 or 8, as for :func:`effnet_lib.build_model`; the variant's own if None.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    >>> feature_info("b0")[2]
    FeatureInfo(stage=3, module='stages.1', channels=24, stride=4)
    """
    variant = as_variant(variant)
    if output_stride is not None:
        variant = variant.with_output_stride(output_stride)
    stride = variant.stem_stride
    found = [FeatureInfo(1, "stem", variant.stem_channels, stride)]
    for index, stage in enumerate(variant.stages):
        stride *= stage.stride
        found.append(FeatureInfo(index + 2, f"stages.{index}", stage.channels, stride))
    return (*found, FeatureInfo(len(found) + 1, "head", variant.head_channels, stride))


def select_features(
    variant: Variant | str,
    *,
    stages: int | Iterable[int] | None = None,
    strides: int | Iterable[int] | None = None,
    output_stride: int | None = None,
) -> tuple[FeatureInfo, ...]:
    """The feature maps of a variant that are asked for, by stage or by stride.

    Args:
        variant: a variant or its name.
        stages: numbers of the rows of the stage table, increasing; the stem is 1.
        strides: increasing. Of several feature maps with one stride, the last before the head is
            taken, which has seen most of the image. Without ``stages`` and ``strides`` it is the
            four largest strides: 4, 8, 16 and 32 at an output stride of 32.
        output_stride: as for :func:`feature_info`.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind, the network has no such feature
            map, or both ``stages`` and ``strides`` are given.

    >>> [info.stage for info in select_features("b0", strides=(8, 16, 32))]
    [4, 6, 8]
    """
    every = feature_info(variant, output_stride)
    if stages is not None and strides is not None:
        raise ValueError("choose feature maps by stages or by strides, not by both")
    if stages is not None:
        return _pick("stages", stages, {info.stage: info for info in every})
    by_stride = {info.stride: info for info in every[:-1]}
    return _pick("strides", sorted(by_stride)[-4:] if strides is None else strides, by_stride)


def _pick(name: str, wanted: int | Iterable[int], known: dict[int, FeatureInfo]) -> tuple[FeatureInfo, ...]:
    """The feature maps of these numbers, checked."""
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        wanted = (wanted,)
    numbers = [positive_int(name, number) for number in wanted]
    if not numbers or numbers != sorted(set(numbers)):
        raise ValueError(f"{name} must be one or more increasing numbers, got {tuple(numbers)}")
    for number in numbers:
        if number not in known:
            has = ", ".join(map(str, known))
            raise ValueError(f"the network has no feature map for {name} = {number}: it has {has}")
    return tuple(known[number] for number in numbers)
