"""Answers to the exercises of chapter 2, compound scaling."""

import itertools
import math
from functools import cache

from ..cost import count_cost
from ..scaling import ALPHA, BETA, GAMMA, compound_scaling, round_channels, round_repeats
from ..variants import get_variant, scale_variant
from .exercise import Exercise

def _multipliers() -> tuple:
    scaling = compound_scaling(-1)
    return scaling.depth, scaling.width, scaling.resolution


def _phi_for_cost(factor: float) -> float:
    return math.log(factor) / math.log(compound_scaling(1).multiply_adds)


def _scale_stage(channels: int, layers: int, phi: float) -> tuple[int, int]:
    scaling = compound_scaling(phi)
    return round_channels(channels, scaling.width), round_repeats(layers, scaling.depth)


def _implied_phi(name: str) -> tuple[float, float, float]:
    variant, base = get_variant(name), get_variant("b0")
    return (
        math.log(variant.depth, ALPHA),
        math.log(variant.width, BETA),
        math.log(variant.resolution / base.resolution, GAMMA),
    )


def _linear_share() -> float:
    one = count_cost("b0").multiply_adds
    two = count_cost(scale_variant(1, alpha=1, beta=2, gamma=1)).multiply_adds
    return (4 * one - two) / 2 / one  # one = a + b and two = 2a + 4b


def _phi_for_budget(budget: float) -> float:
    affordable = (
        phi
        for phi in (step / 10 for step in range(71))
        if count_cost(scale_variant(phi)).multiply_adds <= budget
    )
    return max(affordable)


@cache
def _count_triples() -> int:
    grid = [1 + step / 20 for step in range(20)]
    return sum(
        abs(alpha * beta**2 * gamma**2 - 2) <= 0.1
        for alpha, beta, gamma in itertools.product(grid, repeat=3)
    )


EXERCISES = {
    "2.1": Exercise(_multipliers, "raise 1.2, 1.1 and 1.15 to the power of −1.", tolerance=1e-3),
    "2.2": Exercise(
        _phi_for_cost,
        "solve (α·β²·γ²)^φ = factor for φ with a logarithm.",
        inputs=((2,), (4,), (10,)),
        tolerance=1e-3,
    ),
    "2.3": Exercise(
        _scale_stage,
        "channels go to the nearest multiple of 8, one step up if that loses over 10 %; layers go up.",
        inputs=((80, 3, 1.5), (16, 1, 2), (192, 4, 1), (24, 2, 1), (320, 1, 7)),
    ),
    "2.4": Exercise(
        lambda: _implied_phi("b8"),
        "α^φ = depth means φ = log(depth) / log(α); the resolution counts relative to 224.",
        tolerance=1e-3,
    ),
    "2.5": Exercise(
        _phi_for_budget,
        "try φ = 0.0, 0.1, … 7.0 and keep the largest whose counted multiply-adds fit.",
        inputs=((1e9,), (386e6,), (10e9,)),
    ),
    "2.6": Exercise(
        _linear_share,
        "if one part grows as w and the other as w², then m(1) = a + b and m(2) = 2a + 4b.",
        tolerance=1e-3,
    ),
    "2.7": Exercise(
        _count_triples,
        "three nested loops over 1.00, 1.05, … 1.95, and a test of |α·β²·γ² − 2| ≤ 0.1.",
    ),
}
