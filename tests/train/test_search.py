"""The search for α, β and γ in miniature, and its record."""

import math

import pytest
import torch

from effnet_lib import build_model, count_cost, recorded
from effnet_lib.train import search_candidate, search_grid, search_run


def test_the_grid_keeps_the_constraint():
    grid = search_grid()
    assert len(grid) == 6 == len({(c.variant.stages, c.resolution) for c in grid})
    for c in grid:
        assert min(c.alpha, c.beta, c.gamma) >= 1
        assert c.alpha * c.beta**2 * c.gamma**2 == pytest.approx(2, rel=0.03)
        assert c.gamma == c.resolution / 6


def test_it_holds_every_pair_that_leaves_something_for_beta():
    pairs = {(c.alpha, c.resolution) for c in search_grid()}
    for alpha in (1.0, 1.5, 2.0):
        for side in (6, 7, 8):
            assert ((alpha, side) in pairs) == (2 / (alpha * (side / 6) ** 2) >= 0.97)


def test_a_candidate_is_what_it_counts():
    base = search_candidate()
    assert (base.resolution, base.variant.layers, [s.channels for s in base.variant.stages]) == (6, 6, [16, 24, 40])
    wide = search_candidate(beta=math.sqrt(2))
    assert [s.channels for s in wide.variant.stages] == [24, 32, 56]  # multiples of 4
    assert search_candidate(alpha=1.2).variant.layers == 9  # rounded up
    for c in (base, wide):
        model = build_model(c.variant, 10, 1).eval()
        assert model(torch.zeros(1, 1, c.resolution, c.resolution)).shape == (1, 10)
        cost = count_cost(c.variant, c.resolution, 10, 1)
        assert cost.multiply_adds == c.multiply_adds
        assert cost.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("wrong", [{"alpha": 0.9}, {"beta": 0.0}, {"gamma": 5.0}, {"alpha": math.nan}])
def test_what_is_no_growth_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)) + " must lie between 1 and 4"):
        search_candidate(**wrong)


def test_a_run_repeats_itself_learns_and_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one = search_run(search_candidate(), seed=0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one == search_run(search_candidate(), seed=0)
    assert one["validation"] > 0.8 and one["test"] > 0.8 and one["loss"] < 1


def test_the_record_is_of_this_search():
    record = recorded("search-digits")
    candidates = (search_candidate(), *search_grid())
    assert len(record["candidates"]) == len(candidates)
    for row, c in zip(record["candidates"], candidates):
        assert (row["alpha"], row["beta"], row["gamma"], row["resolution"], row["multiply_adds"]) == (
            c.alpha, c.beta, c.gamma, c.resolution, c.multiply_adds
        )  # fmt: skip
        assert [run["seed"] for run in row["runs"]] == list(range(len(row["runs"]))) and len(row["runs"]) >= 4


def test_what_the_chapter_says_of_the_record():
    """Chapter 10: what is beyond the noise, and what is not."""
    from statistics import mean, variance

    rows = recorded("search-digits")["candidates"]
    runs = [[run["validation"] for run in row["runs"]] for row in rows]
    base, means = mean(runs[0]), [mean(values) for values in runs[1:]]
    error = math.sqrt(mean(map(variance, runs[1:])) * 2 / len(runs[0]))
    named = {(row["alpha"], row["resolution"]): value for row, value in zip(rows[1:], means)}
    best = max(means)
    assert best - named[1.0, 8] > 3 * error and best - named[2.0, 6] > 3 * error
    top = sorted(means)[-3:]
    assert top[-1] - top[0] < error
    assert min(means) < base < best
    winners = {max(range(6), key=lambda i: runs[1:][i][seed]) for seed in range(len(runs[0]))}
    assert len(winners) > 1
    costs = [row["multiply_adds"] / rows[0]["multiply_adds"] for row in rows[1:]]
    assert (round(min(costs), 1), round(max(costs), 1)) == (1.9, 2.4)
