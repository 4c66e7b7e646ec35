"""The roofline: the least time that a processor needs for a network, layer by layer.

A layer takes at least as long as its multiply-adds take at the processor's peak, and at least
as long as its bytes take through memory. Which of the two counts is decided by its arithmetic
intensity, multiply-adds per byte. Nothing here needs more than the standard library; the two
limits of a processor are measured by ``python -m benchmarks.inference``.

Source: Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model
for multicore architectures", CACM 52(4), doi:10.1145/1498765.1498785.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from .scaling import positive_int, positive_number
from .variants import MIN_RESOLUTION, Variant, as_variant


@dataclass(frozen=True)
class LayerBound:
    """One convolution or linear layer under the roofline, for a whole batch.

    Attributes:
        stage: row of the stage table, as in :class:`effnet_lib.StageCost`; the stem is 1.
        block: number of the block inside its stage, from 1 (1 for stem and head).
        name: ``stem``, ``expand``, ``depthwise``, ``reduce``, ``restore`` (the two layers of
            squeeze-and-excitation), ``project``, ``head`` or ``classifier``.
        multiply_adds: of the layer.
        bytes: input, weights and output, each once, and the skip where it is added; unfused,
            those of the passes behind it as well.
        seconds: the larger of multiply_adds / peak and bytes / bandwidth; passes come on top.
        bound: what takes longer by itself, ``"compute"`` or ``"memory"``.
    """

    stage: int
    block: int
    name: str
    multiply_adds: int
    bytes: int
    seconds: float
    bound: str

    @property
    def intensity(self) -> float:
        """Multiply-adds per byte."""
        return self.multiply_adds / self.bytes


@dataclass(frozen=True)
class Roofline:
    """A network under the roofline of a processor.

    Attributes:
        peak: multiply-adds per second that the processor can do.
        bandwidth: bytes per second that its memory can move.
        batch_size: images that go through together.
        layers: every convolution and linear layer, in order.
    """

    peak: float
    bandwidth: float
    batch_size: int
    layers: tuple[LayerBound, ...]

    @property
    def ridge(self) -> float:
        """Multiply-adds per byte from which on computing, not memory, sets the limit."""
        return self.peak / self.bandwidth

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def bytes(self) -> int:
        return sum(layer.bytes for layer in self.layers)

    @property
    def seconds(self) -> float:
        """Least time for the batch, whose layers follow one another."""
        return sum(layer.seconds for layer in self.layers)

    def stage_seconds(self) -> dict[int, float]:
        """Least time for each row of the stage table, by its number."""
        out: dict[int, float] = {}
        for layer in self.layers:
            out[layer.stage] = out.get(layer.stage, 0.0) + layer.seconds
        return out


def roofline(
    variant: Variant | str,
    peak: float,
    bandwidth: float,
    resolution: int | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
    batch_size: int = 1,
    bytes_per_number: int = 4,
    fused: bool = True,
) -> Roofline:
    """Arithmetic intensity and least time of every layer of a variant.

    Batch norm counts as folded; activations, the scaling of squeeze-and-excitation and its
    pooling as fused with the convolution beside them, free of charge. A network run layer by
    layer cannot be faster; one whose feature maps stay in a cache can beat the bandwidth of
    main memory, so give the bandwidth of the memory that they lie in.

    With ``fused=False`` each of these steps is a pass over memory of its own, which computes
    nothing: batch norm and activation read and write the map once each, pooling reads it, the
    scaling and the skip read and write it. Pooling counts with ``reduce`` (that of the head
    with ``classifier``), the scaling with ``restore``.

    Args:
        variant: a variant or its name.
        peak: multiply-adds per second of the processor (half its FLOP/s), positive.
        bandwidth: bytes per second of its memory, positive.
        resolution: side of the image in pixels; the variant's own if None.
        num_classes, in_channels, batch_size: at least 1.
        bytes_per_number: 4 for float32, 2 for bfloat16, 1 for int8.
        fused: whether batch norm, activations, gates and skips ride along with a convolution.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    >>> bound = roofline("b0", peak=100e9, bandwidth=10e9)
    >>> bound.multiply_adds, bound.ridge
    (385814752, 10.0)
    >>> {layer.bound for layer in bound.layers if layer.name == "depthwise"}
    {'memory'}
    """
    variant = as_variant(variant)
    size = variant.resolution if resolution is None else resolution
    size = positive_int("resolution", size, MIN_RESOLUTION)
    peak = positive_number("peak", peak)
    bandwidth = positive_number("bandwidth", bandwidth)
    num_classes = positive_int("num_classes", num_classes)
    in_channels = positive_int("in_channels", in_channels)
    batch_size = positive_int("batch_size", batch_size)
    width = positive_int("bytes_per_number", bytes_per_number)

    rows = []
    for stage, block, name, c_in, c_out, kernel, groups, side, out_side, skip, extra in layer_shapes(
        variant, size, num_classes, in_channels
    ):
        weights, outputs = c_in // groups * c_out * kernel**2, c_out * out_side**2
        multiply_adds = batch_size * weights * out_side**2
        maps = c_in * side**2 + outputs * (2 if skip and fused else 1)
        moved = width * (batch_size * maps + weights + c_out)
        passes = 0 if fused else width * batch_size * extra
        computing, moving, passing = multiply_adds / peak, moved / bandwidth, passes / bandwidth
        bound = "compute" if computing >= moving + passing else "memory"
        rows.append(LayerBound(stage, block, name, multiply_adds, moved + passes, max(computing, moving) + passing, bound))
    return Roofline(peak, bandwidth, batch_size, tuple(rows))


@functools.lru_cache(maxsize=256)
def largest_map(variant: Variant, height: int, width: int) -> int:
    """Numbers in the largest feature map for one image of ``height`` × ``width`` pixels."""
    largest = 0
    for _, _, _, _, c_out, _, _, _, _, stride in _shapes(variant, 1, 1):
        height, width = -(-height // stride), -(-width // stride)
        largest = max(largest, c_out * height * width)
    return largest


def _shapes(variant: Variant, num_classes: int, in_channels: int) -> Iterator[tuple]:
    """(stage, block, name, inputs, outputs, kernel, groups, skip, linear, stride) of every layer, in order.

    The stride of the layers on a single pixel, those of squeeze-and-excitation and the
    classifier, is 1 as well.
    """
    yield 1, 1, "stem", in_channels, variant.stem_channels, 3, 1, False, False, variant.stem_stride
    channels = variant.stem_channels
    for number, stage in enumerate(variant.stages, 2):
        for block in range(1, stage.layers + 1):
            stride = stage.stride if block == 1 else 1
            expanded, k = channels * stage.expand_ratio, stage.kernel_size
            skip = stride == 1 and channels == stage.channels
            project = 1, 1  # kernel and stride
            linear = True  # but for a block that is a single convolution
            if stage.operator == "mbconv":
                if stage.expand_ratio != 1:
                    yield number, block, "expand", channels, expanded, 1, 1, False, False, 1
                yield number, block, "depthwise", expanded, expanded, k, expanded, False, False, stride
            elif stage.expand_ratio != 1:
                yield number, block, "expand", channels, expanded, k, 1, False, False, stride
            else:
                project, linear = (k, stride), False
            if squeeze := stage.squeeze_channels(channels):
                yield number, block, "reduce", expanded, squeeze, 1, 1, False, False, 1
                yield number, block, "restore", squeeze, expanded, 1, 1, False, False, 1
            yield number, block, "project", expanded, stage.channels, project[0], 1, skip, linear, project[1]
            channels = stage.channels
    last = len(variant.stages) + 2
    yield last, 1, "head", channels, variant.head_channels, 1, 1, False, False, 1
    yield last, 1, "classifier", variant.head_channels, num_classes, 1, 1, False, True, 1


def layer_shapes(variant: Variant, size: int, num_classes: int = 1000, in_channels: int = 3) -> Iterator[tuple]:
    """Every layer as (stage, block, name, inputs, outputs, kernel, groups, side, out side, skip, extra).

    ``extra``: numbers that the passes around it read and write for one image, where each is
    taken by itself; see :func:`roofline`.
    """
    for *layer, skip, linear, stride in _shapes(variant, num_classes, in_channels):
        name, c_in, c_out = layer[2:5]
        if name in ("reduce", "restore", "classifier"):
            gated = c_out if name == "restore" else c_in
            yield *layer, 1, 1, skip, (2 if name == "restore" else 1) * gated * size**2
        else:
            out_size = -(-size // stride)
            outputs = c_out * out_size**2
            # Batch norm, then the activation, then the sum with the skip.
            yield *layer, size, out_size, skip, outputs * (2 + (0 if linear else 2) + (3 if skip else 0))
            size = out_size
