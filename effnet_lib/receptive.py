"""How much of the image one output pixel can see: the receptive field, stage by stage.

It follows from kernel sizes and strides by one sum, without building the network. The tests
hold it, pixel by pixel, against the gradient of a built network.
"""

from dataclasses import dataclass

from .variants import Variant, as_variant


@dataclass(frozen=True)
class ReceptiveField:
    """What a pixel at the output of one row of the stage table sees of the input image.

    With symmetric padding, output pixel (i, j) sees the square of ``size`` pixels around
    pixel (i · ``stride``, j · ``stride``) of the image, as far as it lies inside it.

    Attributes:
        stage: number of the row as in Table 1 of arXiv:1905.11946; the stem is 1.
        operator: such as ``MBConv6 3×3``.
        size: side of the square, in pixels of the image; always odd.
        stride: pixels of the image from one output pixel to the next.
    """

    stage: int
    operator: str
    size: int
    stride: int


def receptive_field(variant: Variant | str) -> tuple[ReceptiveField, ...]:
    """The receptive field after stem and stages; the head, a 1×1 convolution, adds nothing.

    A k×k convolution widens the field by (k − 1) · stride, where stride counts the pixels of
    the image between two pixels at its input. The field depends on depth, kernels and
    strides; width and resolution do not enter. It is that of the convolutions: a gate of
    squeeze-and-excitation averages over the whole map, and so lets every pixel in, though
    without its place.

    Args:
        variant: a variant or its name.

    Raises:
        TypeError, ValueError: there is no such variant.

    Source: Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill, doi:10.23915/distill.00021.

    >>> [field.size for field in receptive_field("b0")]
    [3, 7, 19, 67, 147, 339, 787, 851]
    """
    variant = as_variant(variant)
    size, stride = 1, 1
    rows = []

    def add(operator: str, kernel_size: int, first_stride: int, layers: int) -> None:
        nonlocal size, stride
        size += (kernel_size - 1) * stride
        stride *= first_stride
        size += (layers - 1) * (kernel_size - 1) * stride
        rows.append(ReceptiveField(len(rows) + 1, operator, size, stride))

    add("Conv 3×3", 3, variant.stem_stride, 1)
    for stage in variant.stages:
        add(stage.label, stage.kernel_size, stage.stride, stage.layers)
    return tuple(rows)
