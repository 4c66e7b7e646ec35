"""The compound scaling rule: one number, φ, becomes depth, width and resolution.

Nothing here needs more than the standard library. Source of the rule: Tan & Le 2019,
"EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
arXiv:1905.11946, equation 3; of the rounding: the authors' code,
tensorflow/tpu, ``efficientnet_model.py``, ``round_filters`` and ``round_repeats``.
"""

import math
import numbers
from dataclasses import dataclass

#: α, β and γ as found by the paper's grid search at φ = 1 (§4).
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15

#: No network is scaled beyond these multipliers, up or down. The largest published one,
#: EfficientNet-L2, stands at 5.3, 4.3 and 3.6.
MAX_DEPTH, MAX_WIDTH, MAX_RESOLUTION = 64.0, 16.0, 32.0


@dataclass(frozen=True)
class Scaling:
    """The multipliers that a compound coefficient φ stands for.

    Attributes:
        phi, alpha, beta, gamma: what was asked for.
        depth: α^φ, the factor on the number of layers in each stage.
        width: β^φ, the factor on the number of channels of each layer.
        resolution: γ^φ, the factor on the side of the input image.
        multiply_adds: (α·β²·γ²)^φ, the factor on the cost **by the formula**. The counted
            cost of the network is mostly larger, since layers are rounded up.
    """

    phi: float
    alpha: float
    beta: float
    gamma: float
    depth: float
    width: float
    resolution: float
    multiply_adds: float


def compound_scaling(
    phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA
) -> Scaling:
    """Multipliers for depth, width, resolution and cost at compound coefficient ``phi``.

    Args:
        phi: any real number, negative ones included; φ = 0 is the base network.
        alpha, beta, gamma: growth of depth, width and resolution per unit of φ, each at least 1.

    Raises:
        TypeError: an argument is not a real number.
        ValueError: an argument is not finite, α, β or γ is below 1, or φ lies outside
            :func:`accepted_phi`.

    Source: arXiv:1905.11946, equation 3.

    >>> compound_scaling(1).depth
    1.2
    """
    phi = real_number("phi", phi)
    low, high = accepted_phi(alpha, beta, gamma)
    if not low <= phi <= high:
        raise out_of_range(phi, alpha, beta, gamma, low, high)
    depth, width, resolution = (float(base) ** phi for base in (alpha, beta, gamma))
    cost = depth * width**2 * resolution**2
    return Scaling(phi, float(alpha), float(beta), float(gamma), depth, width, resolution, cost)


def out_of_range(phi, alpha, beta, gamma, low, high) -> ValueError:
    """The error for a φ outside ``low`` to ``high``."""
    return ValueError(
        f"phi = {phi:g} asks for a network that could not be built: with alpha={alpha:g}, "
        f"beta={beta:g}, gamma={gamma:g}, phi must lie between {low:.1f} and {high:.1f}"
    )


def accepted_phi(
    alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA
) -> tuple[float, float]:
    """The smallest and the largest φ that :func:`compound_scaling` takes.

    The bounds are those at which depth, width or resolution first leaves
    ``MAX_DEPTH``, ``MAX_WIDTH`` or ``MAX_RESOLUTION`` (or its inverse). They are cut to
    one decimal, inwards, so that the figures printed in an error are themselves accepted. A network
    of small images has a higher lower bound; :func:`effnet_lib.scale_variant` names it.

    Raises:
        TypeError, ValueError: α, β or γ is not a finite number of at least 1.

    >>> accepted_phi()
    (-22.8, 22.8)
    """
    high = math.inf
    for name, base, limit in (
        ("alpha", alpha, MAX_DEPTH),
        ("beta", beta, MAX_WIDTH),
        ("gamma", gamma, MAX_RESOLUTION),
    ):
        base = real_number(name, base)
        if base < 1:
            raise ValueError(f"{name} must be at least 1 (a factor of growth), got {base:g}")
        if base > 1:
            high = min(high, math.log(limit) / math.log(base))
    high = _cut(high)
    return 0.0 - high, high


def _cut(bound: float) -> float:
    """``bound`` cut to one decimal towards 0, where it is finite."""
    return math.trunc(bound * 10) / 10 if math.isfinite(bound) else bound


def round_channels(
    channels: int, width: float = 1.0, divisor: int = 8, round_limit: float = 0.9
) -> int:
    """``channels · width`` as the nearest multiple of ``divisor`` that is not much smaller.

    The nearest multiple is raised by one step where it would fall below ``round_limit`` of
    the exact value. V1 uses 0.9 ("never more than 10 % down"); the released code of V2
    does without the rule, which is ``round_limit=0``.

    Args:
        channels: number of channels of the base network, at least 1.
        width: multiplier β^φ, positive.
        divisor: the result is a multiple of it, at least 1.
        round_limit: between 0 and 1.

    Raises:
        TypeError: a count is not an integer, or a factor not a number.
        ValueError: a value lies outside the range given above.

    Source: tensorflow/tpu, ``efficientnet_model.round_filters``.

    >>> round_channels(40, 1.1), round_channels(24, 1.1)
    (48, 24)
    """
    exact = _product(positive_int("channels", channels), positive_number("width", width))
    divisor = positive_int("divisor", divisor)
    if not 0 <= real_number("round_limit", round_limit) <= 1:
        raise ValueError(f"round_limit must lie between 0 and 1, got {round_limit:g}")
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    if rounded < round_limit * exact:
        rounded += divisor
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """``repeats · depth`` layers, rounded up.

    Raises:
        TypeError, ValueError: ``repeats`` is not a positive integer or ``depth`` not a
            positive number.

    Source: tensorflow/tpu, ``efficientnet_model.round_repeats``.

    >>> round_repeats(4, 1.2)
    5
    """
    return math.ceil(_product(positive_int("repeats", repeats), positive_number("depth", depth)))


def round_resolution(base: int, resolution: float, multiple: int = 1) -> int:
    """The image side nearest to ``base · resolution``, in pixels, as a multiple of ``multiple``.

    The paper gives no rule; the released B1–B7 were rounded by hand.

    >>> round_resolution(224, 1.15), round_resolution(224, 1.15, multiple=32)
    (258, 256)
    """
    multiple = positive_int("resolution_multiple", multiple)
    exact = positive_int("resolution", base) * positive_number("resolution", resolution)
    return max(1, math.floor(exact / multiple + 0.5)) * multiple


def _product(count: int, factor: float) -> float:
    """``count · factor``, as long as integers near it are exact."""
    if count > 2**53 or count * factor > 2**53:
        raise ValueError(f"{_shown(count)} times {factor:g} is too large for a network")
    return count * factor


# Checks of arguments, shared by the whole library. Each returns what it has checked.


def real_number(name: str, value: float) -> float:
    """``value`` as a finite float, or a TypeError or ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {_shown(value)}")
    return number


def positive_number(name: str, value: float) -> float:
    """``value`` as a finite float above 0, or an error that names it."""
    if real_number(name, value) <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return float(value)


def rate(name: str, value: float) -> float:
    """``value`` as a float of at least 0 and below 1, or an error that names it."""
    if not 0 <= real_number(name, value) < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}")
    return float(value)


def positive_int(name: str, value: int, minimum: int = 1) -> int:
    """``value`` as an int of at least ``minimum``, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {_shown(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {_shown(value)}")
    return int(value)


def _shown(value) -> str:
    """A value for an error message: one line, and not a long one."""
    return " ".join(repr(value).split())[:60]
