"""Automatic checks for the book's exercises: what you got, what was expected, and a hint.

    check("2.1", my_answer)

Every expected answer is computed by the library when it is asked for. Each chapter's are in a
module of their own, ``chapter_02`` for chapter 2.
"""

import importlib
import pkgutil

from .exercise import Exercise, judge

EXERCISES: dict[str, Exercise] = {}
for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    if _module.startswith("chapter_"):
        EXERCISES |= importlib.import_module(f".{_module}", __name__).EXERCISES


def check(exercise: str, answer) -> None:
    """Print whether ``answer`` solves the exercise, and if not, what was expected.

    Args:
        exercise: its number in the book, such as ``"2.1"``.
        answer: a value or a function, as the exercise asks.

    Raises:
        ValueError: the book has no exercise of that number.
    """
    if exercise not in EXERCISES:
        raise ValueError(f"no exercise {exercise!r}: there are {', '.join(EXERCISES)}")
    print(f"Exercise {exercise}: {judge(EXERCISES[exercise], answer)}")
