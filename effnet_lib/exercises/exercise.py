"""One exercise, and how an answer to it is judged."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """What :func:`effnet_lib.check` compares with.

    Attributes:
        expected: gives the answer; for an exercise that asks for a function, takes each of
            ``inputs`` and gives what that function should return.
        hint: printed after a wrong answer.
        inputs: arguments to try a function with, or a function that makes them (tensors, which
            want torch); None where a value is asked for.
        tolerance: allowed relative difference between numbers.
    """

    expected: Callable
    hint: str
    inputs: tuple[tuple, ...] | Callable[[], tuple[tuple, ...]] | None = None
    tolerance: float = 0.0


def judge(exercise: Exercise, answer) -> str:
    if answer is None or answer is ...:
        return "not answered yet."
    if exercise.inputs is None:
        return _compare(exercise, answer, exercise.expected(), "") or "right."
    if not callable(answer):
        return f"a function was expected, got {answer!r:.80}."
    for arguments in exercise.inputs() if callable(exercise.inputs) else exercise.inputs:
        call = f"{getattr(answer, '__name__', 'answer')}({', '.join(map(_brief, arguments))})"
        try:
            got = answer(*arguments)
        except Exception as error:  # the reader's own mistake, told rather than thrown
            return f"{call} raised {type(error).__name__}: {error}\nHint: {exercise.hint}"
        if got is None or got is ...:
            return "not answered yet."
        if wrong := _compare(exercise, got, exercise.expected(*arguments), f" for {call}"):
            return wrong
    return "right."


def _compare(exercise: Exercise, got, expected, where: str) -> str:
    """An empty string, or how ``got`` differs."""
    if _same(got, expected, exercise.tolerance):
        return ""
    return f"got {_shown(got)}{where}, expected {_shown(expected)}.\nHint: {exercise.hint}"


def _same(got, expected, tolerance: float) -> bool:
    if hasattr(expected, "allclose"):  # a tensor; this module does without torch
        same_kind = type(got) is type(expected) and got.shape == expected.shape
        return same_kind and got.to(expected.dtype).allclose(expected, rtol=tolerance or 1e-5, atol=1e-6)
    if isinstance(expected, str):
        return got == expected
    if isinstance(expected, tuple):
        try:
            got = tuple(got)
        except TypeError:
            return False
        return len(got) == len(expected) and all(_same(g, e, tolerance) for g, e in zip(got, expected))
    if isinstance(got, bool) or not isinstance(got, numbers.Real):
        return False
    return math.isclose(got, expected, rel_tol=tolerance or 1e-9, abs_tol=1e-12)


def _shown(value) -> str:
    """A value as a reader would write it: three decimals are enough to see a difference."""
    if hasattr(value, "allclose"):
        values = value.flatten()[:6].tolist()
        more = ", …" * (value.numel() > 6)
        return f"a tensor of shape {tuple(value.shape)}: {', '.join(map(_shown, values))}{more}"
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, numbers.Integral)):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_shown, value))})"
    return f"{value!r:.80}"


def _brief(argument) -> str:
    """An argument as it stands in a call; of a tensor, the shape."""
    if hasattr(argument, "allclose"):
        return f"tensor of shape {tuple(argument.shape)}"
    return str(argument)
