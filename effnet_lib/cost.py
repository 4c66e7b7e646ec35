"""What a network costs, counted in closed form, without building it.

Parameters, multiply-adds and activations follow from the stage table by a few products.
The tests hold them, to the integer, against hooks on the built network.
"""

from dataclasses import dataclass

from .scaling import positive_int
from .variants import Stage, Variant, as_variant


@dataclass(frozen=True)
class StageCost:
    """The cost of one row of the stage table.

    Attributes:
        stage: number of the row as in Table 1 of arXiv:1905.11946; the stem is 1.
        operator: such as ``MBConv6 3×3``.
        layers: number of blocks (1 for stem and head).
        channels: channels at the output.
        resolution, output_resolution: side of the feature map at input and output, in pixels.
        parameters, multiply_adds, activations: of the whole stage, as in :class:`Cost`.
    """

    stage: int
    operator: str
    layers: int
    channels: int
    resolution: int
    output_resolution: int
    parameters: int
    multiply_adds: int
    activations: int


@dataclass(frozen=True)
class Cost:
    """The cost of a network, for one image.

    Attributes:
        parameters: learned numbers; batch norm has two per channel.
        multiply_adds: of all convolutions and linear layers. Papers call them FLOPs.
        activations: outputs of all convolutions and linear layers (Radosavovic et al.
            2020, arXiv:2003.13678, §3), a guide to memory traffic.
        stages: one row for the stem, each stage, and the head.
    """

    parameters: int
    multiply_adds: int
    activations: int
    stages: tuple[StageCost, ...]

    def __str__(self) -> str:
        """The stage table, as the terminal and a notebook print it."""
        line = "{:>5} {:<18} {:>6} {:>8} {:>6} {:>11} {:>15}".format
        rows = [line("stage", "operator", "layers", "channels", "pixels", "parameters", "multiply-adds")]
        for row in self.stages:
            counts = f"{row.parameters:,}", f"{row.multiply_adds:,}"
            rows.append(line(row.stage, row.operator, row.layers, row.channels, row.resolution, *counts))
        rows.append(line("", "in all", "", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"))
        return "\n".join(rows)


def count_cost(
    variant: Variant | str,
    resolution: int | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> Cost:
    """Parameters, multiply-adds and activations of a variant, in all and per stage.

    Args:
        variant: a variant or its name.
        resolution: side of the square image in pixels, at least the variant's output
            stride (32, but for small images); its own evaluation resolution if None.
        num_classes, in_channels: at least 1.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    >>> count_cost("b0").parameters, count_cost("b0").multiply_adds
    (5288548, 385814752)
    """
    variant = as_variant(variant)
    if resolution is None:
        resolution = variant.resolution
    size = positive_int("resolution", resolution, variant.output_stride)
    num_classes = positive_int("num_classes", num_classes)
    channels = positive_int("in_channels", in_channels)

    rows = []

    def add(operator: str, layers: int, out_channels: int, out_size: int, counts) -> None:
        nonlocal channels, size
        rows.append(
            StageCost(len(rows) + 1, operator, layers, out_channels, size, out_size, *counts)
        )
        channels, size = out_channels, out_size

    out_size = _strided(size, variant.stem_stride)
    stem = _conv(channels, variant.stem_channels, 3, out_size)
    add("Conv 3×3", 1, variant.stem_channels, out_size, stem)

    for stage in variant.stages:
        out_size = _strided(size, stage.stride)
        first = _block(stage, channels, size, out_size)
        other = _block(stage, stage.channels, out_size, out_size) if stage.layers > 1 else first
        counts = tuple(a + (stage.layers - 1) * b for a, b in zip(first, other))
        add(stage.label, stage.layers, stage.channels, out_size, counts)

    conv = _conv(channels, variant.head_channels, 1, size)
    linear = _linear(variant.head_channels, num_classes)
    head = tuple(a + b for a, b in zip(conv, linear))
    add("Conv 1×1, pool, FC", 1, variant.head_channels, size, head)

    totals = (sum(getattr(row, field) for row in rows) for field in _COUNTS)
    return Cost(*totals, tuple(rows))


# Each helper below returns these three counts, in this order.
_COUNTS = ("parameters", "multiply_adds", "activations")


def _strided(size: int, stride: int) -> int:
    """Output side of a padded convolution: with either kind of padding, size / stride, up."""
    return -(-size // stride)


def _conv(c_in: int, c_out: int, kernel: int, size: int, groups: int = 1):
    """A k×k convolution without bias, and its batch norm; ``size`` is that of the output."""
    weights = c_in // groups * c_out * kernel**2
    return weights + 2 * c_out, weights * size**2, c_out * size**2


def _linear(c_in: int, c_out: int):
    """A linear layer with bias, which is also a biased 1×1 convolution of a single pixel."""
    return c_in * c_out + c_out, c_in * c_out, c_out


def _block(stage: Stage, c_in: int, size: int, out_size: int):
    """One MBConv or Fused-MBConv block from ``c_in`` channels at side ``size``."""
    k, c_out, expanded = stage.kernel_size, stage.channels, c_in * stage.expand_ratio
    parts, last_kernel = [], 1
    if stage.operator == "mbconv":
        if stage.expand_ratio != 1:
            parts.append(_conv(c_in, expanded, 1, size))
        parts.append(_conv(expanded, expanded, k, out_size, groups=expanded))
    elif stage.expand_ratio != 1:
        parts.append(_conv(c_in, expanded, k, out_size))
    else:
        last_kernel = k
    if squeeze := stage.squeeze_channels(c_in):
        parts += [_linear(expanded, squeeze), _linear(squeeze, expanded)]
    parts.append(_conv(expanded, c_out, last_kernel, out_size))
    return tuple(map(sum, zip(*parts)))
