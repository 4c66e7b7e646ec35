"""Hours, money and disks of a training run."""

import math

import pytest

from effnet_lib import count_cost, training_budget
from effnet_lib.budget import IMAGENET_TRAIN
from effnet_lib.explore.budget import MEASURED, loss_per_doubling


def test_by_hand():
    budget = training_budget(100, gpus=4, epochs=9, price=1.5, images=40_000, bytes_per_image=1000, multiply_adds=10**9)
    assert budget.images == 360_000 and budget.images_per_second == 400
    assert budget.hours == 0.25 and budget.gpu_hours == 1 and budget.cost == 1.5
    assert budget.disk_bytes == 4e7 and budget.read_bytes_per_second == 4e5
    assert budget.multiply_adds_per_second == budget.operations_per_second == 3e11
    assert training_budget(100).multiply_adds_per_second is None and training_budget(100).images == 350 * IMAGENET_TRAIN


def test_each_doubling_loses_its_share():
    one, two, eight = (training_budget(100, gpus=n, loss=0.1) for n in (1, 2, 8))
    assert two.images_per_second == pytest.approx(180) and eight.images_per_second == pytest.approx(800 * 0.9**3)
    assert one.cost == 0 and two.gpu_hours / one.gpu_hours == pytest.approx(1 / 0.9)


@pytest.mark.parametrize(("name", "gpus", "alone", "together"), MEASURED)
def test_the_measured_rates_come_back(name, gpus, alone, together):
    loss = loss_per_doubling(gpus, alone, together)
    budget = training_budget(alone, gpus, multiply_adds=count_cost(name).multiply_adds, loss=loss)
    assert budget.images_per_second == pytest.approx(together) and 0 <= loss < 0.15


def test_whole_runs_took_longer_than_the_formula_but_not_by_half():
    """NVIDIA prints 11 hours for 400 epochs of B0 on eight A100, and 66 for B4."""
    for together, printed in ((16652, 11), (2570, 66)):
        assert 1.1 < printed / training_budget(together / 8, 8, 400).hours < 1.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images_per_second": 0}, "images_per_second must be a number above 0, got 0"),
        ({"images_per_second": math.nan}, "images_per_second .* got nan"),
        ({"images_per_second": "fast"}, "images_per_second .* got 'fast'"),
        ({"gpus": 0}, "gpus must be a whole number of at least 1, got 0"),
        ({"gpus": 1.5}, "gpus must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"price": -1}, "price must be a number of at least 0, got -1"),
        ({"bytes_per_image": math.inf}, "bytes_per_image .* got inf"),
        ({"loss": 1}, "loss must be a number from 0 to below 1, got 1"),
        ({"loss": None}, "loss must be"),
    ],
)
def test_bad_values_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        training_budget(**{"images_per_second": 100} | changes)
