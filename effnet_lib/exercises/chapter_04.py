"""Answers to the exercises of chapter 4, the MBConv block."""

import itertools
import math

from ..cost import block_cost, conv_cost
from ..variants import get_variant
from .exercise import Exercise


def _depthwise() -> tuple[int, int, int]:
    cost = conv_cost(144, 144, 5, stride=2, groups=144, resolution=56, norm=False)
    return cost.parameters, cost.multiply_adds, cost.activations


def _channels_for(share: float, kernel: int) -> int:
    return next(channels for channels in itertools.count(1) if _separable_share(channels, kernel) <= share)


def _separable_share(channels: int, kernel: int) -> float:
    shape = channels, channels, kernel
    separable, standard = (block_cost(kind, *shape, resolution=8) for kind in ("separable", "conv"))
    return separable.multiply_adds / standard.multiply_adds


def _shapes(c_in: int, c_out: int, stride: int, expand: int, side: int) -> tuple:
    layers = block_cost("mbconv", c_in, c_out, 3, stride, expand, resolution=side).layers
    after = [(layer.out_channels, layer.output_resolution) for layer in layers if layer.name != "add"]
    return tuple(after if expand != 1 else [(c_in, side), *after])


def _parameters(c_in: int, c_out: int, kernel: int, expand: int) -> int:
    return block_cost("mbconv", c_in, c_out, kernel, 1, expand, c_in // 4, resolution=8).parameters


def _forget(momentum: float, share: float) -> tuple[float, int]:
    return 1 - momentum, math.ceil(math.log(share) / math.log(momentum))


def _dropped():
    import torch

    return torch.tensor([0, 2.5, 3.75, 5]).reshape(4, 1, 1, 1).expand(4, 2, 3, 3)


def _expected_depth(name: str, rate: float) -> float:
    variant = get_variant(name)
    channels, index, depth = variant.stem_channels, 0, 0.0
    for stage in variant.stages:
        for layer in range(stage.layers):
            has_skip = channels == stage.channels and (layer > 0 or stage.stride == 1)
            depth += 1 - rate * index / variant.layers if has_skip else 1
            channels, index = stage.channels, index + 1
    return depth


def _crossover(side: int) -> int:
    channels = 8
    while True:
        fused, plain = (
            block_cost(kind, channels, channels, 3, 1, 4, resolution=side) for kind in ("fused_mbconv", "mbconv")
        )
        if fused.bytes_moved() > plain.bytes_moved():
            return channels
        channels += 8


EXERCISES = {
    "4.1": Exercise(
        _depthwise,
        "one 5×5 kernel a channel; multiply-adds and activations go by the pixels of the output, 28 × 28.",
    ),
    "4.2": Exercise(
        _channels_for,
        "the share is 1/C + 1/k²: solve it for C and round up.",
        inputs=((0.2, 3), (0.15, 3), (0.07, 5), (0.03, 7)),
    ),
    "4.3": Exercise(
        _shapes,
        "the expansion changes the channels, the depthwise convolution the side (rounded up), the projection the channels.",
        inputs=((24, 24, 1, 6, 56), (24, 40, 2, 6, 56), (32, 16, 1, 1, 112), (80, 112, 2, 4, 15)),
    ),
    "4.4": Exercise(
        _parameters,
        "three convolutions with two numbers of batch norm per output channel, and two linear layers with a bias; "
        "no first convolution if expand is 1.",
        inputs=((24, 24, 3, 6), (24, 40, 5, 6), (32, 16, 3, 1), (192, 320, 3, 6)),
    ),
    "4.5": Exercise(
        _forget,
        "PyTorch's momentum is 1 − TensorFlow's; after n steps the start has the share momentumⁿ.",
        inputs=((0.99, 0.5), (0.99, 0.01), (0.9, 0.01)),
        tolerance=1e-9,
    ),
    "4.6": Exercise(
        _dropped,
        "compare the noise, in shape (N, 1, 1, 1), with the rate, and divide what is kept by 1 − rate.",
    ),
    "4.7": Exercise(
        _expected_depth,
        "a block with a skip connection acts with probability 1 − rate · i / N, any other always.",
        inputs=(("b0", 0.2), ("b0", 0.8), ("b7", 0.2), ("v2_s", 0.2)),
        tolerance=1e-6,
    ),
    "4.8": Exercise(
        _crossover,
        "try 8, 16, 24, … channels and compare bytes_moved() of the two blocks.",
        inputs=((7,), (14,), (28,)),
    ),
}
