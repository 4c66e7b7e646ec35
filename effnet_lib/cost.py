"""What a network costs, counted in closed form, without building it.

Parameters, multiply-adds and activations follow from the stage table by a few products.
The tests hold them, to the integer, against hooks on the built network.
"""

from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer of a block, for one image. Batch norm and activation belong to it.

    Attributes:
        name: such as ``expand``, ``depthwise``, ``project``; ``SE pool``, ``SE scale`` and
            ``add`` compute next to nothing, but read and write whole maps.
        kernel_size, stride, groups, in_channels, out_channels: as in ``torch.nn.Conv2d``.
        resolution, output_resolution: side of the map at input and output, in pixels.
        parameters, multiply_adds, activations: as in :class:`Cost`.
        inputs, outputs: numbers that are read, besides the parameters, and written.
    """

    name: str
    kernel_size: int
    stride: int
    groups: int
    in_channels: int
    out_channels: int
    resolution: int
    output_resolution: int
    parameters: int
    multiply_adds: int
    activations: int
    inputs: int
    outputs: int

    def bytes_moved(self, batch: int = 1, bytes_per_value: int = 4) -> int:
        """Bytes to and from memory if each number crosses once, the parameters once a batch.

        A lower bound for a layer that runs by itself; 4 bytes are single precision.
        """
        positive_int("batch", batch)
        positive_int("bytes_per_value", bytes_per_value)
        return bytes_per_value * (batch * (self.inputs + self.outputs) + self.parameters)

    def arithmetic_intensity(self, batch: int = 1, bytes_per_value: int = 4) -> float:
        """Multiply-adds for each byte moved (Williams et al. 2009 count both operations: twice that)."""
        return batch * self.multiply_adds / self.bytes_moved(batch, bytes_per_value)


@dataclass(frozen=True)
class BlockCost:
    """The cost of one block, for one image.

    Attributes:
        operator: as given to :func:`block_cost`.
        has_skip: whether the input is added to the output.
        parameters, multiply_adds, activations: as in :class:`Cost`.
        layers: one :class:`LayerCost` for each step, in order.
    """

    operator: str
    has_skip: bool
    parameters: int
    multiply_adds: int
    activations: int
    layers: tuple[LayerCost, ...]

    def bytes_moved(self, batch: int = 1, bytes_per_value: int = 4) -> int:
        """The sum over the layers, each run by itself; see :meth:`LayerCost.bytes_moved`."""
        return sum(layer.bytes_moved(batch, bytes_per_value) for layer in self.layers)

    def arithmetic_intensity(self, batch: int = 1, bytes_per_value: int = 4) -> float:
        """Multiply-adds for each byte moved, of the block as a whole."""
        return batch * self.multiply_adds / self.bytes_moved(batch, bytes_per_value)

    def __str__(self) -> str:
        """The layers as a table, as the terminal and a notebook print it."""
        line = "{:<13} {:>9} {:>7} {:>10} {:>13} {:>11} {:>6}".format
        rows = [line("layer", "channels", "pixels", "parameters", "multiply-adds", "activations", "MB")]
        for layer in self.layers:
            kernel = f" {layer.kernel_size}×{layer.kernel_size}" if layer.kernel_size > 1 else ""
            rows.append(
                line(
                    f"{layer.name}{kernel}",
                    f"{layer.in_channels}→{layer.out_channels}",
                    f"{layer.resolution}→{layer.output_resolution}",
                    f"{layer.parameters:,}",
                    f"{layer.multiply_adds:,}",
                    f"{layer.activations:,}",
                    f"{layer.bytes_moved() / 1e6:.2f}",
                )
            )
        counts = (f"{getattr(self, field):,}" for field in _COUNTS)
        rows.append(line("in all", "", "", *counts, f"{self.bytes_moved() / 1e6:.2f}"))
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
        num_classes: 0 is a network without a classifier.
        in_channels: at least 1.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    >>> count_cost("b0").parameters, count_cost("b0").multiply_adds
    (5288548, 385814752)
    """
    variant = as_variant(variant)
    if resolution is None:
        resolution = variant.resolution
    size = positive_int("resolution", resolution, variant.output_stride)
    num_classes = positive_int("num_classes", num_classes, 0)
    channels = positive_int("in_channels", in_channels)

    rows = []

    def add(operator: str, layers: int, out_channels: int, out_size: int, counts) -> None:
        nonlocal channels, size
        rows.append(
            StageCost(len(rows) + 1, operator, layers, out_channels, size, out_size, *counts)
        )
        channels, size = out_channels, out_size

    def counts(cost: LayerCost | BlockCost, times: int = 1):
        return tuple(times * getattr(cost, field) for field in _COUNTS)

    out_size = _strided(size, variant.stem_stride)
    stem = _conv("convolution", channels, variant.stem_channels, 3, variant.stem_stride, 1, size)
    add("Conv 3×3", 1, variant.stem_channels, out_size, counts(stem))

    for stage in variant.stages:
        out_size = _strided(size, stage.stride)
        first = _stage_block(stage, channels, stage.stride, size)
        other = _stage_block(stage, stage.channels, 1, out_size) if stage.layers > 1 else first
        sums = map(sum, zip(counts(first), counts(other, stage.layers - 1)))
        add(stage.label, stage.layers, stage.channels, out_size, sums)

    conv = _conv("convolution", channels, variant.head_channels, 1, 1, 1, size)
    linear = _conv("linear", variant.head_channels, num_classes, 1, 1, 1, 1, extra=1)
    add("Conv 1×1, pool, FC" if num_classes else "Conv 1×1, pool", 1, variant.head_channels, size, map(sum, zip(counts(conv), counts(linear))))

    totals = (sum(getattr(row, field) for row in rows) for field in _COUNTS)
    return Cost(*totals, tuple(rows))


# The three counts of a cost, in the order in which they are summed.
_COUNTS = ("parameters", "multiply_adds", "activations")


def conv_cost(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    *,
    resolution: int,
    norm: bool = True,
    bias: bool = False,
    name: str = "convolution",
) -> LayerCost:
    """The cost of one convolution, padded by k // 2, with its batch norm.

    Args:
        in_channels, out_channels, kernel_size, stride, groups: as in ``torch.nn.Conv2d``;
            ``groups=in_channels`` is a depthwise convolution. A biased 1×1 convolution at
            resolution 1 is a linear layer.
        resolution: side of the square map that enters, in pixels.
        norm, bias: whether two numbers per channel of batch norm, or one of bias, are added.

    Raises:
        TypeError, ValueError: an argument is not an integer of at least 1, or ``groups``
            does not divide the channels.

    >>> conv_cost(24, 144, resolution=56, norm=False).multiply_adds  # 56 · 56 · 24 · 144
    10838016
    """
    given = locals()
    for argument in ("in_channels", "out_channels", "kernel_size", "stride", "groups", "resolution"):
        positive_int(argument, given[argument])
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups must divide the channels: {groups} does not divide {in_channels} and {out_channels}"
        )
    return _conv(name, in_channels, out_channels, kernel_size, stride, groups, resolution, 2 * norm + bias)


def block_cost(
    operator: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    expand_ratio: int = 6,
    squeeze_channels: int = 0,
    *,
    resolution: int,
) -> BlockCost:
    """The cost of one block, layer by layer.

    Args:
        operator: ``"mbconv"`` or ``"fused_mbconv"``; to compare with, ``"conv"`` (one k×k
            convolution) or ``"separable"`` (a depthwise and a 1×1 convolution), which take
            neither expansion nor squeeze-and-excitation.
        in_channels, out_channels, kernel_size, stride, expand_ratio, squeeze_channels: as in
            :class:`effnet_lib.MBConv`; ``squeeze_channels`` may be 0.
        resolution: side of the square map that enters, in pixels.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    >>> block = block_cost("mbconv", 24, 24, squeeze_channels=6, resolution=56)
    >>> [layer.name for layer in block.layers]
    ['expand', 'depthwise', 'SE pool', 'SE reduce', 'SE expand', 'SE scale', 'project', 'add']
    >>> block.parameters
    10710
    """
    if operator not in OPERATORS:
        raise ValueError(f"operator must be one of {', '.join(map(repr, OPERATORS))}, got {operator!r}")
    given = locals()
    for argument in ("in_channels", "out_channels", "kernel_size", "stride", "expand_ratio", "resolution"):
        positive_int(argument, given[argument])
    positive_int("squeeze_channels", squeeze_channels, 0)
    return _block(
        operator, in_channels, out_channels, kernel_size, stride, expand_ratio, squeeze_channels, resolution
    )


#: What :func:`block_cost` knows.
OPERATORS = ("conv", "separable", "mbconv", "fused_mbconv")


def _strided(size: int, stride: int) -> int:
    """Output side of a padded convolution: with either kind of padding, size / stride, up."""
    return -(-size // stride)


def _conv(name: str, c_in: int, c_out: int, kernel: int, stride: int, groups: int, size: int, extra: int = 2):
    """A convolution with ``extra`` parameters per channel: 2 for batch norm, 1 for a bias."""
    out = _strided(size, stride)
    weights, outputs = c_in // groups * c_out * kernel**2, c_out * out**2
    parameters = weights + extra * c_out
    return LayerCost(
        name, kernel, stride, groups, c_in, c_out, size, out,
        parameters, weights * out**2, outputs, c_in * size**2, outputs,
    )  # fmt: skip


def _stage_block(stage: Stage, c_in: int, stride: int, size: int):
    """One block of a stage, from ``c_in`` channels at side ``size``."""
    return _block(
        stage.operator, c_in, stage.channels, stage.kernel_size, stride,
        stage.expand_ratio, stage.squeeze_channels(c_in), size,
    )  # fmt: skip


def _move(name: str, channels: int, size: int, out_size: int, inputs: int):
    """A step that computes next to nothing but reads and writes maps."""
    return LayerCost(
        name, 1, 1, channels, channels, channels, size, out_size, 0, 0, 0, inputs, channels * out_size**2
    )


@lru_cache(4096)  # a network repeats its blocks, and so do its neighbours in size
def _block(operator: str, c_in: int, c_out: int, k: int, stride: int, expand: int, squeeze: int, size: int):
    """As :func:`block_cost`, unchecked; what :func:`count_cost` adds up."""
    out, layers = _strided(size, stride), []
    width = c_in * expand

    def squeeze_excite(at: int) -> None:
        if squeeze:
            layers.extend((
                _move("SE pool", width, at, 1, width * at**2),
                _conv("SE reduce", width, squeeze, 1, 1, 1, 1, extra=1),
                _conv("SE expand", squeeze, width, 1, 1, 1, 1, extra=1),
                _move("SE scale", width, at, at, width * at**2 + width),
            ))  # fmt: skip

    if operator == "conv":
        layers.append(_conv("convolution", c_in, c_out, k, stride, 1, size))
    elif operator == "separable":
        layers.append(_conv("depthwise", c_in, c_in, k, stride, c_in, size))
        layers.append(_conv("pointwise", c_in, c_out, 1, 1, 1, out))
    elif operator == "mbconv":
        if expand != 1:
            layers.append(_conv("expand", c_in, width, 1, 1, 1, size))
        layers.append(_conv("depthwise", width, width, k, stride, width, size))
        squeeze_excite(out)
        layers.append(_conv("project", width, c_out, 1, 1, 1, out))
    elif expand != 1:
        layers.append(_conv("expand", c_in, width, k, stride, 1, size))
        squeeze_excite(out)
        layers.append(_conv("project", width, c_out, 1, 1, 1, out))
    else:
        squeeze_excite(size)
        layers.append(_conv("convolution", c_in, c_out, k, stride, 1, size))
    has_skip = operator.endswith("mbconv") and stride == 1 and c_in == c_out
    if has_skip:
        layers.append(_move("add", c_out, out, out, 2 * c_out * out**2))
    totals = (sum(getattr(layer, field) for layer in layers) for field in _COUNTS)
    return BlockCost(operator, has_skip, *totals, tuple(layers))
