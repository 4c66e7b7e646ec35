"""The paper's search for α, β and γ in miniature: a tiny network, real digits, a few seconds a run.

The paper fixed φ = 1, tried values with α · β² · γ² ≈ 2 on B0, and kept the best (Tan & Le
2019, arXiv:1905.11946, §3.3 and §4, step 1). Here the base is a network of 49,000 parameters
that sees handwritten digits at 6 pixels, so that a laptop can do it, and so that one can also
do what no paper prints: run every candidate with several seeds, and look at the spread.
"""

import math
from dataclasses import dataclass, replace

from ..cost import count_cost
from ..scaling import round_channels, round_repeats
from ..variants import MIN_RESOLUTION, Stage, Variant, get_variant

#: Side of the images of the base in pixels. The digits are stored at 8: larger images hold no more.
SEARCH_RESOLUTION = 6

#: Channels are rounded to multiples of this; of 8, as in B0, they would hardly move.
DIVISOR = 4

#: The settings of every run, as changes to the recipe ``digits``: 78 steps of 32 images.
SETTINGS = {
    "resolution": 8, "validation": 0.7, "batch_size": 32, "lr": 0.05, "lr_batch": 0, "epochs": 6,
    "warmup_epochs": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One triple of the search, and the network that it makes of the base.

    Attributes:
        alpha, beta, gamma: factors on layers, channels and pixels.
        variant: the network, its layers rounded up, its channels to multiples of 4.
        resolution: side of its images in pixels.
        multiply_adds: counted, for one image.
    """

    alpha: float
    beta: float
    gamma: float
    variant: Variant
    resolution: int
    multiply_adds: int


def search_candidate(alpha: float = 1.0, beta: float = 1.0, gamma: float = 1.0) -> Candidate:
    """The base grown by these three factors; by 1, 1 and 1 the base itself.

    Raises:
        ValueError: a factor is below 1, which would not be growth, or above 4.
    """
    for name, factor in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if not 1 <= factor <= 4:
            raise ValueError(f"{name} must lie between 1 and 4, got {factor!r:.60}")

    def channels(count: int) -> int:
        return round_channels(count, beta, DIVISOR)

    stages = tuple(
        Stage("mbconv", 3, stride, 4, channels(count), round_repeats(2, alpha), se_ratio=0.25)
        for stride, count in ((1, 16), (2, 24), (1, 40))
    )
    variant = replace(
        get_variant("b0"), name="tiny", stem_channels=channels(16), stages=stages, head_channels=channels(64),
        resolution=MIN_RESOLUTION, train_resolution=MIN_RESOLUTION, stem_stride=1, dropout=0.0,
        stochastic_depth_rate=0.0, norm_momentum=0.1, depth=alpha, width=beta, published=None,
    )  # fmt: skip
    resolution = round(SEARCH_RESOLUTION * gamma)
    return Candidate(alpha, beta, gamma, variant, resolution, count_cost(variant, resolution, 10, 1).multiply_adds)


def search_grid() -> tuple[Candidate, ...]:
    """The candidates: every α of 1, 1.5, 2 and image of 6, 7, 8 pixels, and the β that the constraint leaves.

    β = √(2 / (α · γ²)), where that is at least 1 (a hundredth less counts as 1): six triples.

    >>> [(c.alpha, round(c.beta, 2), c.resolution) for c in search_grid()]
    [(1.0, 1.41, 6), (1.0, 1.21, 7), (1.0, 1.06, 8), (1.5, 1.15, 6), (1.5, 1.0, 7), (2.0, 1.0, 6)]
    """
    grid = []
    for alpha in (1.0, 1.5, 2.0):
        for side in (6, 7, 8):
            gamma = side / SEARCH_RESOLUTION
            beta = math.sqrt(2 / (alpha * gamma**2))
            if beta >= 0.985:
                grid.append(search_candidate(alpha, max(1.0, beta), gamma))
    return tuple(grid)


def search_run(candidate: Candidate, seed: int) -> dict[str, float]:
    """Train the candidate once, on 432 digits, and try it on 1,006 held-out ones and on the test digits.

    A search looks at ``validation`` only; ``test`` is for the end, once, for the winner.

    Args:
        candidate: from :func:`search_grid` or :func:`search_candidate`.
        seed: of the first weights and of the order of the images. Which images are held out
            does not depend on it.

    Returns:
        The accuracies ``validation`` and ``test``, from 0 to 1, and the last ``loss``.
    """
    import torch
    from torch.nn import functional as F

    from ..model import build_model
    from .config import make_config
    from .data import epoch_order, load_data
    from .optim import make_optimizer, make_scheduler

    config = make_config("digits", SETTINGS)
    data = load_data(config)

    def prepare(split):
        images, side = (split.images.float() - data.mean[0]) / data.std[0], candidate.resolution
        if side != images.shape[-1]:
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=side < images.shape[-1])
        return images, split.labels

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(candidate.variant, 10, 1)
    images, labels = prepare(data.train)
    optimizer = make_optimizer(model, config)
    scheduler = make_scheduler(optimizer, config, len(labels) // config.batch_size)
    for epoch in range(config.epochs):
        order = epoch_order(len(labels), seed, epoch)
        for which in order.split(config.batch_size)[: len(labels) // config.batch_size]:
            loss = F.cross_entropy(model(images[which]), labels[which])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    result = {"loss": loss.item()}
    model.eval()
    with torch.no_grad():
        for name in ("validation", "test"):
            x, y = prepare(getattr(data, name))
            result[name] = (model(x).argmax(1) == y).double().mean().item()
    return result
