"""The φ explorer: one slider, and depth, width, resolution, cost and picture follow."""

import math

from ..cost import count_cost
from ..scaling import ALPHA, BETA, GAMMA, compound_scaling
from ..variants import Variant, get_variant, list_variants, scale_variant
from .element import Explorer, model_base, table

RELEASED = [name for name in list_variants("v1") if name <= "b7"]

#: Positions of the slider.
PHI = [round(step / 10, 1) for step in range(71)]

#: (smallest, largest) of the other sliders; their steps are 0.01. At φ = 7 the largest values
#: still make networks that :func:`effnet_lib.compound_scaling` accepts.
RANGES = {"alpha": (1.0, 1.8), "beta": (1.0, 1.4), "gamma": (1.0, 1.4)}


def phi_explorer() -> Explorer:
    """A figure in which φ, α, β and γ can be dragged, and what becomes of B0 is seen.

    It shows itself as the last expression of a notebook cell, and in the built book. The
    figures of every position of the slider are counted by this library; those for other
    α, β and γ by the same closed form in the page's script, which the tests hold equal.
    """
    return Explorer(
        "phi", _data(), _static(), ("model.js", "phi.js"), "φ explorer (shows itself in a notebook)", ("phi.css",)
    )


def _data() -> dict:
    base = get_variant("b0")
    return {
        "base": model_base(base),
        "operators": [row.operator for row in count_cost(base).stages],
        "constants": {"alpha": ALPHA, "beta": BETA, "gamma": GAMMA},
        "ranges": RANGES,
        "positions": {str(phi): _position(phi) for phi in PHI},
        "released": [_released(name) for name in RELEASED],
        "source": f"ImageNet, per cent, as published ({base.published.source})",
    }


def _position(phi: float) -> list:
    """Multipliers, resolution, totals, and the rows of the stage table at one φ."""
    scaling, variant = compound_scaling(phi), scale_variant(phi)
    cost = count_cost(variant)
    return [
        [scaling.depth, scaling.width, scaling.resolution, scaling.multiply_adds],
        cost.parameters,
        cost.multiply_adds,
        [[r.layers, r.channels, r.resolution, r.parameters, r.multiply_adds] for r in cost.stages],
    ]


def _released(name: str) -> dict:
    variant, cost = get_variant(name), count_cost(name)
    return {
        "name": name.upper(),
        "phi": nearest_phi(variant),
        "depth": variant.depth,
        "width": variant.width,
        "resolution": variant.resolution,
        "layers": variant.layers,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "top1": variant.published.top1,
    }


def nearest_phi(variant: Variant) -> float:
    """The position of the slider whose network costs about as many multiply-adds."""
    goal = math.log(count_cost(variant).multiply_adds)
    return min(PHI, key=lambda phi: abs(math.log(count_cost(scale_variant(phi)).multiply_adds) - goal))


def _static() -> str:
    """The released networks in two tables: what scripts and slider add to is already complete."""
    variants = [get_variant(name) for name in RELEASED]
    costs = [count_cost(variant) for variant in variants]
    family = table(
        ["Network", "Depth ×", "Width ×", "Resolution", "Blocks", "Parameters", "Multiply-adds", "Top-1 %"],
        [
            [v.name.upper(), v.depth, v.width, v.resolution, v.layers]
            + [f"{c.parameters:,}", f"{c.multiply_adds:,}", v.published.top1]
            for v, c in zip(variants, costs)
        ],
        "EfficientNet B0 to B7 as released",
    )
    stages = table(
        ["Stage"] + [v.name.upper() for v in variants],
        [
            [f"{rows[0].stage} {rows[0].operator}"] + [f"{r.layers} × {r.channels}" for r in rows]
            for rows in zip(*(cost.stages for cost in costs))
        ],
        "Layers × channels of each stage",
    )
    source = get_variant("b0").published.source
    return f"{family}{stages}<p>Accuracy on ImageNet: {source}. Parameters and multiply-adds: counted.</p>"
