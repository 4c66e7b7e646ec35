"""The stochastic-depth explorer: which branches of B0 a batch keeps, draw after draw."""

from functools import cache

from ..variants import get_variant
from .element import Explorer, table

SAMPLES = 8
DRAWS = 300
RATES = (0.0, 0.9, 0.05)  # smallest, largest, step

#: What can be done with a draw. The first is the library's; the last two are common mistakes.
WAYS = {
    "scaled": "drop the branch, divide by 1 − p",
    "plain": "drop the branch only",
    "skip": "drop the skip instead",
}


def stochastic_depth_explorer() -> Explorer:
    """A figure of 8 samples on their way through the 16 blocks of B0, while branches are dropped.

    A toy signal shows the expectation: it starts at 1, and every branch that has a skip
    connection beside it adds 1. The random numbers are seeded, so that the same position
    shows the same draw to every reader.
    """
    data = {
        "blocks": blocks(),
        "samples": SAMPLES,
        "draws": DRAWS,
        "rates": RATES,
        "rate": get_variant("b0").stochastic_depth_rate,
        "ways": WAYS,
    }
    summary = "stochastic-depth explorer (shows itself in a notebook)"
    return Explorer("depth", data, _static(), ("depth.js",), summary, ("depth.css",))


@cache
def blocks() -> list[dict]:
    """B0's blocks in order: their stage, and whether they have a skip connection."""
    found = []
    for number, stage in enumerate(get_variant("b0").stages, start=2):
        for layer in range(stage.layers):
            found.append({"stage": number, "operator": stage.label, "skip": layer > 0})
    # A first block has a skip where its stage keeps size and channels; in B0, none does.
    return found


def rates(rate: float) -> list[float]:
    """The rate at which each block's branch is dropped: rate · i / N, and 0 where there is no skip."""
    return [rate * i / len(blocks()) if block["skip"] else 0.0 for i, block in enumerate(blocks())]


def uniform(count: int, seed: int = 1) -> list[float]:
    """Numbers from [0, 1) by mulberry32, a generator small enough to be the same in the page."""
    numbers, state = [], seed
    for _ in range(count):
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = ((state ^ state >> 15) * (state | 1)) & 0xFFFFFFFF
        t = (t + ((t ^ t >> 7) * (t | 61)) & 0xFFFFFFFF) ^ t
        numbers.append((t ^ t >> 14) / 2**32)
    return numbers


def simulate(rate: float, draws: int, way: str) -> tuple[list[list[bool]], list[float]]:
    """Masks of the last batch, (SAMPLES, blocks), and the running mean of the output after each draw."""
    drop, noise = rates(rate), iter(uniform(draws * SAMPLES * len(blocks())))
    total, means = 0.0, []
    for draw in range(draws):
        masks = [[next(noise) >= p for p in drop] for _ in range(SAMPLES)]
        total += sum(signal(mask, drop, way)[-1] for mask in masks)
        means.append(total / (SAMPLES * (draw + 1)))
    return masks, means


def signal(mask: list[bool], drop: list[float], way: str) -> list[float]:
    """The toy signal after each block: 1 before the first, and 1 more from every branch beside a skip."""
    value, after = 1.0, []
    for keep, p, block in zip(mask, drop, blocks()):
        if block["skip"]:
            if way == "skip":
                value = 1 + (value if keep else 0)
            elif keep:
                value += 1 / (1 - p) if way == "scaled" else 1
        after.append(value)
    return after


def expected(rate: float, way: str) -> float:
    """The mean that the running mean approaches."""
    value = 1.0
    for p, block in zip(rates(rate), blocks()):
        if block["skip"]:
            value = 1 + value * (1 - p) if way == "skip" else value + (1 if way == "scaled" else 1 - p)
    return value


def expected_depth(rate: float) -> float:
    """The mean number of blocks that act on a sample."""
    return sum(1 - p for p in rates(rate))


def _static() -> str:
    rate = get_variant("b0").stochastic_depth_rate
    rows = [
        [number, f"{block['stage']} {block['operator']}", "yes" if block["skip"] else "no", f"{p:.4f}"]
        for number, (block, p) in enumerate(zip(blocks(), rates(rate)), start=1)
    ]
    header = ["Block", "Stage", "Skip connection", "Probability that its branch is dropped"]
    each = table(header, rows, f"Stochastic depth in B0 at rate {rate}")
    means = table(
        ["With a draw, do this", *(f"rate {r}" for r in (0.0, 0.2, 0.5, 0.8))],
        [[way, *(f"{expected(r, key):.2f}" for r in (0.0, 0.2, 0.5, 0.8))] for key, way in WAYS.items()],
        "Mean output of the toy signal while training; the evaluation output is 10",
    )
    depth = f"<p>At rate {rate}, {expected_depth(rate):.2f} of the {len(blocks())} blocks act on a sample, on average.</p>"
    return each + means + depth
