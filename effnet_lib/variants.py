"""The EfficientNet families as data: V1 (B0–B8, L2), V2 and Lite, and any φ in between.

A :class:`Variant` says all that there is to say about a network: its cost
(:func:`effnet_lib.count_cost`), the network itself (:func:`effnet_lib.build_model`) and its
picture in the book are all made from it. Nothing here needs more than the standard library.

Sources: V1 from tensorflow/tpu ``efficientnet_builder.py`` and arXiv:1905.11946v5; V2 from
google/automl ``effnetv2_configs.py`` and arXiv:2104.00298; Lite from tensorflow/tpu
``lite/efficientnet_lite_builder.py`` and its README.
"""

import math
from dataclasses import dataclass, replace

from .near import suggest
from .scaling import (
    ALPHA,
    BETA,
    GAMMA,
    MAX_DEPTH,
    MAX_RESOLUTION,
    MAX_WIDTH,
    accepted_phi,
    compound_scaling,
    out_of_range,
    positive_int,
    positive_number,
    real_number,
    round_channels,
    round_repeats,
    round_resolution,
)

#: Five halvings bring 32 pixels to one; a smaller image has nothing left to look at.
MIN_RESOLUTION = 32


@dataclass(frozen=True)
class Stage:
    """A run of blocks with one setting. Only the first block strides and changes channels.

    Attributes:
        operator: ``"mbconv"`` or ``"fused_mbconv"``.
        kernel_size: side of the depthwise (or fused) kernel.
        stride: stride of the first block.
        expand_ratio: channels inside the block over channels at its input.
        channels: channels at the output.
        layers: number of blocks.
        se_ratio: squeeze channels over the block's **input** channels; 0 for no
            squeeze-and-excitation.
    """

    operator: str
    kernel_size: int
    stride: int
    expand_ratio: int
    channels: int
    layers: int
    se_ratio: float

    @property
    def label(self) -> str:
        """The operator as a table prints it, such as ``MBConv6 5×5``."""
        name = {"mbconv": "MBConv", "fused_mbconv": "Fused-MBConv"}[self.operator]
        return f"{name}{self.expand_ratio} {self.kernel_size}×{self.kernel_size}"

    def squeeze_channels(self, in_channels: int) -> int:
        """Channels in the middle of squeeze-and-excitation, 0 where the stage has none.

        A quarter of the block's input channels, never of the expanded ones. Source:
        tensorflow/tpu, ``efficientnet_model.MBConvBlock``.
        """
        return max(1, int(in_channels * self.se_ratio)) if self.se_ratio else 0


@dataclass(frozen=True)
class Published:
    """What the authors report for the released network.

    Attributes:
        top1: ImageNet top-1 accuracy in per cent.
        parameters, multiply_adds: as printed, in units; None where none is printed.
        source: the document and the table, with the training data where it is not
            ImageNet-1k alone.
    """

    top1: float
    parameters: float | None
    multiply_adds: float | None
    source: str


@dataclass(frozen=True)
class Variant:
    """One network, written down.

    Attributes:
        name, family: such as ``"b3"`` and ``"v1"`` (or ``"v2"``, ``"lite"``).
        stem_channels: output of the first 3×3 convolution.
        stages: the stages between stem and head.
        head_channels: output of the last 1×1 convolution.
        resolution: side of the square image for evaluation, in pixels.
        train_resolution: the same for training (the last stage, where it grows).
        dropout: rate before the classifier.
        stochastic_depth_rate: p, towards which the drop rate rises: block i of N, counted from 0, has
            p · i / N (1 minus the papers' "survival probability"). The first has 0 and the last
            p · (N − 1) / N; a block without a skip connection drops nothing.
        activation: ``"silu"``, ``"relu"`` or ``"relu6"``.
        norm_eps, norm_momentum: of batch norm, in PyTorch's sense of momentum
            (TensorFlow's 0.99 is 0.01 here).
        round_limit: see :func:`effnet_lib.round_channels`.
        scale_ends: whether scaling also touches stem, head, and the layers of the first
            and the last stage (Lite leaves them alone).
        stem_stride: 2, or 1 for small images.
        depth, width: the multipliers that made it from its base; 1 for a base and for the
            searched V2-S to XL.
        phi: the compound coefficient, for a variant made by :func:`scale_variant`.
        published: the authors' figures, for a released variant.
    """

    name: str
    family: str
    stem_channels: int
    stages: tuple[Stage, ...]
    head_channels: int
    resolution: int
    train_resolution: int
    dropout: float
    stochastic_depth_rate: float = 0.2
    activation: str = "silu"
    norm_eps: float = 1e-3
    norm_momentum: float = 0.01
    round_limit: float = 0.9
    scale_ends: bool = True
    stem_stride: int = 2
    depth: float = 1.0
    width: float = 1.0
    phi: float | None = None
    published: Published | None = None

    @property
    def layers(self) -> int:
        """Number of blocks between stem and head."""
        return sum(stage.layers for stage in self.stages)

    @property
    def output_stride(self) -> int:
        """Pixels of the image per pixel of the last feature map."""
        stride = self.stem_stride
        for stage in self.stages:
            stride *= stage.stride
        return stride

    def with_output_stride(self, output_stride: int) -> "Variant":
        """The same network with its first strides set to 1, for small images.

        The stem goes first, then the strided stages in their order, so that every stage
        keeps the work it was designed for: at 8, a 32-pixel image meets the stages at
        the sizes that a 128-pixel image meets them at 32. Parameters do not change.

        Args:
            output_stride: 32, 16 or 8, at most the present one.

        Raises:
            TypeError, ValueError: any other value.
        """
        positive_int("output_stride", output_stride)
        allowed = [stride for stride in (32, 16, 8) if stride <= self.output_stride]
        if output_stride not in allowed:
            raise ValueError(f"output_stride must be one of {allowed}, got {output_stride}")
        surplus = self.output_stride // output_stride
        stem_stride, stages = self.stem_stride, []
        if surplus > 1 and stem_stride == 2:
            stem_stride, surplus = 1, surplus // 2
        for stage in self.stages:
            if surplus > 1 and stage.stride == 2:
                stage, surplus = replace(stage, stride=1), surplus // 2
            stages.append(stage)
        return replace(self, stem_stride=stem_stride, stages=tuple(stages))


# The tables. A row is (kernel, stride, expansion, channels, layers).

_V1_STAGES = tuple(
    Stage("mbconv", *row, se_ratio=0.25)
    for row in (
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    )
)


def _v2_stages(*rows: tuple[int, int, int, int]) -> tuple[Stage, ...]:
    """Rows of (stride, expansion, channels, layers): three fused stages, then MBConv with SE."""
    return tuple(
        Stage("fused_mbconv" if i < 3 else "mbconv", 3, *row, se_ratio=0 if i < 3 else 0.25)
        for i, row in enumerate(rows)
    )


_V2_BASE = _v2_stages(
    (1, 1, 16, 1), (2, 4, 32, 2), (2, 4, 48, 2), (2, 4, 96, 3), (1, 6, 112, 5), (2, 6, 192, 8)
)
_V2_S = _v2_stages(
    (1, 1, 24, 2), (2, 4, 48, 4), (2, 4, 64, 4), (2, 4, 128, 6), (1, 6, 160, 9), (2, 6, 256, 15)
)
_V2_M = _v2_stages(
    (1, 1, 24, 3), (2, 4, 48, 5), (2, 4, 80, 5), (2, 4, 160, 7),
    (1, 6, 176, 14), (2, 6, 304, 18), (1, 6, 512, 5),
)  # fmt: skip
_V2_L = _v2_stages(
    (1, 1, 32, 4), (2, 4, 64, 7), (2, 4, 96, 7), (2, 4, 192, 10),
    (1, 6, 224, 19), (2, 6, 384, 25), (1, 6, 640, 7),
)  # fmt: skip
_V2_XL = _v2_stages(
    (1, 1, 32, 4), (2, 4, 64, 8), (2, 4, 96, 8), (2, 4, 192, 16),
    (1, 6, 256, 24), (2, 6, 512, 32), (1, 6, 640, 8),
)  # fmt: skip

_PAPER_V1 = "Tan & Le 2019, arXiv:1905.11946v5, Table 2"
_README_V1 = "tensorflow/tpu, models/official/efficientnet/README.md"
_README_V2 = "google/automl, efficientnetv2/README.md"
_README_LITE = "tensorflow/tpu, models/official/efficientnet/lite/README.md"

# name: (width, depth, resolution, dropout), (top-1, parameters in millions, multiply-adds in
# billions, source)
_V1 = {
    "b0": ((1.0, 1.0, 224, 0.2), (77.1, 5.3, 0.39, _PAPER_V1)),
    "b1": ((1.0, 1.1, 240, 0.2), (79.1, 7.8, 0.70, _PAPER_V1)),
    "b2": ((1.1, 1.2, 260, 0.3), (80.1, 9.2, 1.0, _PAPER_V1)),
    "b3": ((1.2, 1.4, 300, 0.3), (81.6, 12, 1.8, _PAPER_V1)),
    "b4": ((1.4, 1.8, 380, 0.4), (82.9, 19, 4.2, _PAPER_V1)),
    "b5": ((1.6, 2.2, 456, 0.4), (83.6, 30, 9.9, _PAPER_V1)),
    "b6": ((1.8, 2.6, 528, 0.5), (84.0, 43, 19, _PAPER_V1)),
    "b7": ((2.0, 3.1, 600, 0.5), (84.3, 66, 37, _PAPER_V1)),
    "b8": ((2.2, 3.6, 672, 0.5), (85.5, None, None, _README_V1 + ", AdvProp")),
    "l2": (
        (4.3, 5.3, 800, 0.5),
        (88.4, 480, None, "Xie et al. 2020, arXiv:1911.04252, Table 2 (300 M more images)"),
    ),
}
# Trained at another size than it is evaluated at: Xie et al. 2020, arXiv:1911.04252, Table 7.
_TRAIN_RESOLUTION = {"l2": 475}
_LITE = {
    "lite0": ((1.0, 1.0, 224, 0.2), (75.1, 4.7, 0.407, _README_LITE)),
    "lite1": ((1.0, 1.1, 240, 0.2), (76.7, 5.4, 0.631, _README_LITE)),
    "lite2": ((1.1, 1.2, 260, 0.3), (77.6, 6.1, 0.899, _README_LITE)),
    "lite3": ((1.2, 1.4, 280, 0.3), (79.8, 8.2, 1.44, _README_LITE)),
    "lite4": ((1.4, 1.8, 300, 0.3), (81.5, 13.0, 2.64, _README_LITE)),
}
# name: (width, depth, resolution, dropout), training resolution, published
_V2_SCALED = {
    "v2_b0": ((1.0, 1.0, 224, 0.2), 192, (78.7, 7.1, 0.72, _README_V2)),
    "v2_b1": ((1.0, 1.1, 240, 0.2), 192, (79.8, 8.1, 1.2, _README_V2)),
    "v2_b2": ((1.1, 1.2, 260, 0.3), 208, (80.5, 10.1, 1.7, _README_V2)),
    "v2_b3": ((1.2, 1.4, 300, 0.3), 240, (82.1, 14.4, 3.0, _README_V2)),
}
# name: stages, stem channels, training and evaluation resolution, dropout, published
_V2_SEARCHED = {
    "v2_s": (_V2_S, 24, 300, 384, 0.2, (83.9, 21.5, 8.4, _README_V2)),
    "v2_m": (_V2_M, 24, 384, 480, 0.3, (85.2, 54.1, 24.7, _README_V2)),
    "v2_l": (_V2_L, 32, 384, 480, 0.4, (85.7, 119.5, 56.3, _README_V2)),
    "v2_xl": (
        _V2_XL, 32, 384, 512, 0.4,
        (87.2, 208, 94, _README_V2 + " (ImageNet-21k first); size: arXiv:2104.00298, Table 7"),
    ),
}  # fmt: skip


def _published(top1, parameters, multiply_adds, source) -> Published:
    return Published(
        top1,
        None if parameters is None else parameters * 1e6,
        None if multiply_adds is None else multiply_adds * 1e9,
        source,
    )


def _scaled(base: Variant, depth: float, width: float, **changes) -> Variant:
    """``base`` with layers times ``depth`` and channels times ``width``, officially rounded."""
    last = len(base.stages) - 1

    def channels(count: int) -> int:
        return round_channels(count, width, round_limit=base.round_limit)

    def layers(i: int, count: int) -> int:
        return round_repeats(count, depth) if base.scale_ends or 0 < i < last else count

    stages = tuple(
        replace(stage, channels=channels(stage.channels), layers=layers(i, stage.layers))
        for i, stage in enumerate(base.stages)
    )
    if base.scale_ends:
        changes |= {
            "stem_channels": channels(base.stem_channels),
            "head_channels": channels(base.head_channels),
        }
    return replace(base, stages=stages, depth=depth, width=width, **changes)


def _release_all() -> dict[str, Variant]:
    """Every released variant, by name."""
    v1 = Variant("b0", "v1", 32, _V1_STAGES, 1280, 224, 224, 0.2)
    # Lite is V1 without squeeze-and-excitation, with ReLU6, and with fixed ends.
    lite = replace(
        v1,
        family="lite",
        stages=tuple(replace(stage, se_ratio=0) for stage in _V1_STAGES),
        activation="relu6",
        scale_ends=False,
    )
    # The released V2 code uses a momentum of 0.9 (0.1 here), though its paper says 0.99.
    v2 = replace(v1, family="v2", stages=_V2_BASE, norm_momentum=0.1, round_limit=0.0)

    released = {}
    for base, rows in ((v1, _V1), (lite, _LITE)):
        for name, (scaling, figures) in rows.items():
            width, depth, resolution, dropout = scaling
            released[name] = _scaled(
                base, depth, width, name=name, dropout=dropout,
                resolution=resolution, train_resolution=_TRAIN_RESOLUTION.get(name, resolution),
                published=_published(*figures),
            )  # fmt: skip
    for name, ((width, depth, resolution, dropout), train, figures) in _V2_SCALED.items():
        released[name] = _scaled(
            v2, depth, width, name=name, dropout=dropout,
            resolution=resolution, train_resolution=train, published=_published(*figures),
        )  # fmt: skip
    for name, (stages, stem, train, resolution, dropout, figures) in _V2_SEARCHED.items():
        released[name] = replace(
            v2, name=name, stem_channels=stem, stages=stages, dropout=dropout,
            resolution=resolution, train_resolution=train, published=_published(*figures),
        )  # fmt: skip
    return released


_VARIANTS = _release_all()


def list_variants(family: str | None = None) -> list[str]:
    """Names of the released variants, of all families or of ``"v1"``, ``"v2"`` or ``"lite"``.

    Raises:
        ValueError: unknown family.
    """
    families = list(dict.fromkeys(variant.family for variant in _VARIANTS.values()))
    if family is not None and family not in families:
        raise ValueError(f"unknown family {family!r}: choose one of {', '.join(families)}")
    return [name for name, v in _VARIANTS.items() if family in (None, v.family)]


def get_variant(name: str) -> Variant:
    """The released variant of that name; ``EfficientNet-B0``, ``b0`` and ``B0`` are the same.

    Raises:
        TypeError: ``name`` is not a string.
        ValueError: no variant has that name; the near ones are listed.

    >>> get_variant("b0").resolution
    224
    """
    if not isinstance(name, str):
        raise TypeError(f"a variant's name must be a string such as 'b0', got {' '.join(repr(name).split()):.60}")
    key = name.strip().lower().replace("-", "_")
    for prefix in ("tf_", "efficientnet_", "efficientnet"):
        key = key.removeprefix(prefix)
    if key in ("v2s", "v2m", "v2l", "v2xl") or (key.startswith("v2b") and len(key) == 4):
        key = f"v2_{key[2:]}"
    key = key.replace("lite_", "lite")
    if key in _VARIANTS:
        return _VARIANTS[key]
    raise ValueError(f"unknown variant {name!r:.60}: {suggest(key, _VARIANTS)}")


def as_variant(variant: Variant | str) -> Variant:
    """``variant`` itself, or the released variant of that name."""
    return variant if isinstance(variant, Variant) else get_variant(variant)


def scale_variant(
    phi: float,
    base: Variant | str = "b0",
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    resolution_multiple: int = 1,
) -> Variant:
    """``base`` scaled by the compound coefficient ``phi``, with the official rounding.

    Layers are rounded up, channels to multiples of 8, the resolution to the nearest
    multiple of ``resolution_multiple``. φ is not the B-number: φ = 1 has the channels and
    layers of B2. Dropout rises with φ from the base's rate by 0.3 over 7, up to 0.5,
    as it does from B0 to B7 (arXiv:1905.11946, §5.2: "linearly").

    Args:
        phi: any real number; 0 gives the base, negative values a smaller network.
        base: a variant or its name.
        alpha, beta, gamma: growth per unit of φ, each at least 1.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: φ is not finite, or asks for a network that could not be built or for
            images under 32 pixels (the message names the range); α, β or γ is below 1; the
            name is unknown.

    >>> scale_variant(1).resolution, scale_variant(1).stages[2].channels
    (258, 48)
    """
    base, phi = as_variant(base), real_number("phi", phi)
    low, high = accepted_phi(alpha, beta, gamma)
    if gamma > 1:  # below this the image has fewer than 32 pixels
        floor = math.log(MIN_RESOLUTION / base.resolution) / math.log(gamma)
        low = max(low, math.ceil(floor * 10) / 10)
    if not low <= phi <= high:
        raise out_of_range(phi, alpha, beta, gamma, low, high)
    scaling = compound_scaling(phi, alpha, beta, gamma)
    resolution = round_resolution(base.resolution, scaling.resolution, resolution_multiple)
    train_share = base.train_resolution / base.resolution
    dropout = base.dropout + 0.3 * max(scaling.phi, 0) / 7
    return _scaled(
        base,
        scaling.depth,
        scaling.width,
        name=f"{base.name} at phi = {scaling.phi:g}",
        resolution=resolution,
        train_resolution=max(MIN_RESOLUTION, round(resolution * train_share)),
        dropout=max(base.dropout, min(0.5, dropout)),
        phi=scaling.phi,
        published=None,
    )


def scale_by(
    base: Variant | str = "b0", *, depth: float = 1.0, width: float = 1.0, resolution: float = 1.0
) -> Variant:
    """``base`` with each dimension multiplied by a factor of its own, officially rounded.

    What :func:`scale_variant` does by one number, φ, this does by three. Layers are rounded
    up, channels to multiples of 8, the resolution to the nearest pixel; everything else,
    dropout included, stays as it is in the base.

    Args:
        base: a variant or its name.
        depth, width, resolution: factors on layers, channels and the side of the image;
            positive, and below 1 for a smaller network.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: a factor is out of range, or the image would have fewer than 32 pixels.

    >>> scale_by("b0", depth=2).layers, scale_by(resolution=0.5).resolution
    (32, 112)
    """
    base = as_variant(base)
    factors = {"depth": depth, "width": width, "resolution": resolution}
    for (name, factor), limit in zip(factors.items(), (MAX_DEPTH, MAX_WIDTH, MAX_RESOLUTION)):
        if not 1 / limit <= positive_number(name, factor) <= limit:
            raise ValueError(f"{name} must be a factor from 1/{limit:g} to {limit:g}, got {factor!r}")
    size = round_resolution(base.resolution, resolution)
    if size < MIN_RESOLUTION:
        raise ValueError(
            f"resolution = {resolution:g} makes images of {size} pixels from {base.resolution}: "
            f"at least {MIN_RESOLUTION} are needed"
        )
    words = [f"{name} × {factor:g}" for name, factor in factors.items() if factor != 1]
    return _scaled(
        base,
        float(depth),
        float(width),
        name=", ".join([base.name, *words]),
        resolution=size,
        train_resolution=max(MIN_RESOLUTION, round_resolution(base.train_resolution, resolution)),
        phi=None,
        published=None,
    )
