"""The explorer of the three dimensions: what depth, width and resolution each cost and see."""

import math
from functools import cache

from ..cost import count_cost
from ..receptive import receptive_field
from ..scaling import compound_scaling
from ..studies import published_study
from ..variants import Variant, get_variant, scale_by
from .element import Explorer, model_base, table

#: (smallest, largest) of the sliders; their steps are 0.01.
RANGES = {"depth": (0.5, 8.0), "width": (0.5, 3.0), "resolution": (0.5, 3.0)}

#: The ways to spend a budget, in the order of the buttons.
WAYS = ("depth", "width", "resolution", "all three")

#: Bytes of one activation in float32.
BYTES = 4


def dimensions_explorer() -> Explorer:
    """A figure in which depth, width and resolution of B0 can be dragged, each by itself.

    It shows the law d · w² · r² as areas, four kinds of cost beside what the law says, and
    how much of the picture one pixel of each stage sees.
    """
    return Explorer(
        "dimensions",
        _data(),
        _static(),
        ("model.js", "dimensions.js"),
        "explorer of depth, width and resolution (shows itself in a notebook)",
        ("dimensions.css",),
    )


def _data() -> dict:
    base = get_variant("b0")
    return {
        "base": model_base(base),
        "ranges": RANGES,
        "bytes": BYTES,
        "budgets": [[f"{times}", f"{times} × B0", budget(times)] for times in (2, 4, 8)]
        + [["paper", "as the paper did", published()]],
        "accuracy": {row.dimension: row.accuracy for row in published_study()},
        "source": published_study()[0].source,
    }


@cache
def budget(times: float) -> dict[str, tuple[float, float, float]]:
    """(depth, width, resolution) that spend ``times`` the multiply-adds of B0 in each way.

    In steps of 0.05, those whose network comes nearest **as counted**. "All three" grow as in
    the paper, by 1.2, 1.1 and 1.15 per unit of φ.
    """
    goal = math.log(times * count_cost("b0").multiply_adds)

    def missed(factors) -> tuple[float, float]:
        """In logarithms: by count, and by the law, where several factors make one network."""
        depth, width, resolution = factors
        counted = math.log(count_cost(_scaled(factors)).multiply_adds)
        return abs(counted - goal), abs(math.log(depth * width**2 * resolution**2 / times))

    found = {}
    for place, (name, (_, high)) in enumerate(RANGES.items()):
        steps = [1 + step / 20 for step in range(round(20 * (high - 1)) + 1)]
        alone = [tuple(step if i == place else 1.0 for i in range(3)) for step in steps]
        found[name] = min(alone, key=missed)
    scalings = [compound_scaling(step / 50) for step in range(250)]
    together = [(round(s.depth, 2), round(s.width, 2), round(s.resolution, 2)) for s in scalings]
    return found | {"all three": min(together, key=missed)}


def published() -> dict[str, tuple[float, float, float]]:
    """The four networks that the paper compares."""
    return {row.dimension: (row.depth, row.width, row.resolution) for row in published_study()[1:]}


def _scaled(factors: tuple[float, float, float]) -> Variant:
    depth, width, resolution = factors
    return scale_by("b0", depth=depth, width=width, resolution=resolution)


def _static() -> str:
    """B0 and every preset, in numbers."""
    rows = [_row("B0", (1.0, 1.0, 1.0))]
    for key, label, ways in _data()["budgets"]:
        words = "the paper’s" if key == "paper" else f"{key} × by"
        rows += [_row(f"{words} {way}", factors) for way, factors in ways.items()]
    figures = table(
        ["Network", "Depth ×", "Width ×", "Resolution ×", "Multiply-adds", "Parameters", "Activations", "Sees"],
        rows,
        "EfficientNet-B0, grown by one dimension and by all three",
    )
    return (
        f"{figures}<p>Activations: outputs of all convolutions and linear layers for one image. Sees: side of the "
        "square of the image, in pixels, from which the convolutions before one pixel of the last map draw.</p>"
    )


def _row(name: str, factors: tuple[float, float, float]) -> list:
    variant = _scaled(factors)
    cost = count_cost(variant)
    field = receptive_field(variant)[-1].size
    counts = (cost.multiply_adds, cost.parameters, cost.activations)
    return [name, *factors, *(f"{count:,}" for count in counts), f"{field:,} of {variant.resolution}"]
