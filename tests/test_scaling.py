import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet_lib import accepted_phi, compound_scaling, round_channels, round_repeats
from effnet_lib.scaling import round_resolution


def test_paper_constants_by_hand():
    one = compound_scaling(1)
    assert (one.depth, one.width, one.resolution) == (1.2, 1.1, 1.15)
    assert one.multiply_adds == pytest.approx(1.2 * 1.21 * 1.3225)
    two = compound_scaling(2)
    assert (two.depth, two.width, two.resolution) == pytest.approx((1.44, 1.21, 1.3225))


def test_phi_zero_is_the_base():
    zero = compound_scaling(0)
    assert (zero.depth, zero.width, zero.resolution, zero.multiply_adds) == (1, 1, 1, 1)


@given(st.floats(-10, 10), st.floats(1, 1.3), st.floats(1, 1.3), st.floats(1, 1.3))
def test_multipliers_are_the_formula(phi, alpha, beta, gamma):
    scaling = compound_scaling(phi, alpha, beta, gamma)
    assert scaling.depth == alpha**phi
    assert scaling.width == beta**phi
    assert scaling.resolution == gamma**phi
    assert scaling.multiply_adds == pytest.approx((alpha * beta**2 * gamma**2) ** phi)


def test_frozen():
    with pytest.raises(AttributeError):
        compound_scaling(1).depth = 2


@pytest.mark.parametrize("phi", [np.float32(0.5), np.int64(2), 2])
def test_any_real_number_is_taken(phi):
    assert compound_scaling(phi).depth == 1.2 ** float(phi)


@pytest.mark.parametrize("phi", ["1", None, True, 1j, [1], np.ones(1)])
def test_phi_must_be_a_number(phi):
    with pytest.raises(TypeError, match="phi must be a real number"):
        compound_scaling(phi)


@pytest.mark.parametrize("phi", [math.nan, math.inf, -math.inf, 10**400])
def test_phi_must_be_finite(phi):
    with pytest.raises(ValueError, match="phi must be a finite number"):
        compound_scaling(phi)


@pytest.mark.parametrize("phi", [1e3, -1e3, 23, 1e300])
def test_phi_out_of_range_names_the_range(phi):
    with pytest.raises(ValueError, match="between -22.8 and 22.8"):
        compound_scaling(phi)


def test_the_bounds_named_are_themselves_accepted():
    low, high = accepted_phi()
    assert compound_scaling(high).depth <= 64 < 1.2 ** (high + 0.1)
    assert compound_scaling(low).depth >= 1 / 64
    assert accepted_phi(1, 1, 1) == (-math.inf, math.inf)
    assert compound_scaling(1e9, 1, 1, 1).multiply_adds == 1


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("value, error", [(0.99, ValueError), (-1, ValueError), (math.nan, ValueError), ("1.2", TypeError)])
def test_constants_below_one(name, value, error):
    with pytest.raises(error, match=name):
        compound_scaling(1, **{name: value})


@pytest.mark.parametrize(
    "channels, width, rounded",
    [
        (32, 1.0, 32), (40, 1.1, 48), (24, 1.1, 24), (80, 1.1, 88), (1280, 1.2, 1536),
        (1, 1.0, 8), (16, 1.2, 24), (320, 1.4, 448), (11, 1.0, 16), (32, 4.3, 136),
    ],
)  # fmt: skip
def test_round_channels_by_hand(channels, width, rounded):
    assert round_channels(channels, width) == rounded


def test_without_the_ten_per_cent_rule():
    # The stem block of V2-B3: 16 · 1.2 = 19.2 stays at 16, 17 % down.
    assert round_channels(16, 1.2, round_limit=0) == 16


@given(st.integers(1, 5000), st.floats(0.05, 10), st.integers(1, 64))
def test_round_channels_properties(channels, width, divisor):
    rounded = round_channels(channels, width, divisor)
    assert rounded % divisor == 0
    assert rounded >= 0.9 * channels * width
    assert rounded < channels * width + 1.5 * divisor + 1e-9


@pytest.mark.parametrize(
    "arguments, name",
    [((0,), "channels"), ((-8,), "channels"), ((8, 0.0), "width"), ((8, -1.0), "width"), ((8, math.inf), "width"),
     ((8, 1.0, 0), "divisor"), ((8, 1.0, -8), "divisor"), ((8, 1.0, 8, 1.1), "round_limit")],
)  # fmt: skip
def test_round_channels_bad_values(arguments, name):
    with pytest.raises(ValueError, match=name):
        round_channels(*arguments)


@pytest.mark.parametrize("function", [round_channels, round_repeats])
@pytest.mark.parametrize("arguments", [(32, 1e308), (10**30, 1.0), (10**400, 0.5)])
def test_more_than_a_network_can_have(function, arguments):
    with pytest.raises(ValueError, match="too large"):
        function(*arguments)


def test_errors_are_one_short_line():
    with pytest.raises(TypeError) as error:
        compound_scaling(np.ones((50, 50)))
    assert len(str(error.value)) < 120 and "\n" not in str(error.value)


@pytest.mark.parametrize("arguments", [(8.5,), ("8",), (8, "1"), (8, 1.0, 8.0), (True,)])
def test_round_channels_bad_types(arguments):
    with pytest.raises(TypeError):
        round_channels(*arguments)


def test_round_repeats_rounds_up():
    assert [round_repeats(n, 1.2) for n in (1, 2, 3, 4)] == [2, 3, 4, 5]
    assert round_repeats(4, 1.0) == 4
    assert round_repeats(3, 0.1) == 1


@pytest.mark.parametrize("arguments", [(0, 1.0), (1, 0.0), (1, -1.0), (1, math.nan)])
def test_round_repeats_bad_values(arguments):
    with pytest.raises(ValueError):
        round_repeats(*arguments)


def test_round_resolution():
    assert round_resolution(224, 1.15) == 258
    assert round_resolution(224, 1.15, multiple=32) == 256
    assert round_resolution(3, 0.5) == 2  # halves go up, as in the page's script
