"""Answers to the exercises of chapter 3, squeeze-and-excitation."""

from dataclasses import replace

from ..cost import count_cost
from ..variants import get_variant
from .exercise import Exercise


def _by_hand() -> tuple[int, int, int]:
    return 6 * 48, 48 // 4, _parameters(48, 6)


def _parameters(in_channels: int, expand_ratio: int) -> int:
    expanded = in_channels * expand_ratio
    squeeze = get_variant("b0").stages[0].squeeze_channels(in_channels)
    return 2 * expanded * squeeze + expanded + squeeze


def _share(name: str) -> float:
    variant = get_variant(name)
    without = replace(variant, stages=tuple(replace(stage, se_ratio=0) for stage in variant.stages))
    return 1 - count_cost(without).parameters / count_cost(variant).parameters


def _gates(x, w1, b1, w2, b2):
    from torch.nn import functional as F

    return F.linear(F.silu(F.linear(x.mean((2, 3)), w1, b1)), w2, b2).sigmoid()


def _random(*shapes: tuple[int, ...]):
    """Tensors of these shapes, the same every time."""
    import torch

    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _maps_and_weights():
    return (
        _random((2, 12, 5, 5), (3, 12), (3,), (12, 3), (12,)),
        _random((1, 8, 7, 4), (2, 8), (2,), (8, 2), (8,)),
    )


def _weights_and_gates():
    weight, gates = _random((3, 8, 1, 1), (8,))
    square, others = _random((6, 6, 1, 1), (6,))
    return (weight, gates.sigmoid()), (square, others.sigmoid())


def _liveliest_gate() -> int:
    import torch

    from ..inside import se_gates
    from ..samples import cifar_small, sample_photographs

    network = cifar_small()
    *_, last = se_gates(network.model, network.prepare(torch.stack(list(sample_photographs(32).values())))).values()
    return int((last.amax(0) - last.amin(0)).argmax())


EXERCISES = {
    "3.1": Exercise(_by_hand, "C is 6 times 48; s is a quarter of the 48, not of C; then 2·C·s + C + s."),
    "3.2": Exercise(
        _parameters,
        "s = max(1, a quarter of in_channels, rounded down), C = in_channels · expand_ratio.",
        inputs=((24, 6), (32, 1), (192, 6), (23, 4), (3, 6)),
    ),
    "3.3": Exercise(
        lambda expand_ratio: 4 * expand_ratio,
        "the width is e · in // reduction, and should be in // 4.",
        inputs=((6,), (1,), (4,)),
    ),
    "3.4": Exercise(
        _gates,
        "average over axes 2 and 3, multiply by w1 transposed, SiLU, multiply by w2 transposed, sigmoid.",
        inputs=_maps_and_weights,
    ),
    "3.5": Exercise(
        _share,
        "count the variant, and the variant whose stages have se_ratio=0.",
        inputs=(("b0",), ("b7",), ("v2_s",), ("lite0",)),
        tolerance=1e-6,
    ),
    "3.6": Exercise(
        lambda weight, gates: weight * gates[None, :, None, None],
        "each gate multiplies the weights of one input channel, the second axis.",
        inputs=_weights_and_gates,
    ),
    "3.7": Exercise(
        _liveliest_gate,
        "for the gates g of the last block, the largest of g.amax(0) - g.amin(0).",
    ),
}
