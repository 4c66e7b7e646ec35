"""Measurements and training runs that were recorded once and come with the library.

A record says what ran (command, commit), on what (device, versions) and what came out; it is
written by a benchmark or a run and never edited. Nothing here needs more than the standard
library.
"""

import json
from pathlib import Path

#: Where records are looked for: inside the installed package, or beside it in a checkout.
RESULTS = (Path(__file__).parent / "results", Path(__file__).parents[1] / "results")


def list_recorded() -> tuple[str, ...]:
    """Names of the records, as :func:`recorded` takes them, in the order of the alphabet."""
    return tuple(sorted(_files()))


def recorded(name: str) -> dict:
    """One record as it was written.

    Args:
        name: its path below ``results`` without the ending, such as
            ``"latency-xeon-one-thread"``, or ``"compound/depth-2-seed-0"`` for a run.

    Returns:
        dict: what the file holds. In a benchmark's are ``schema``, ``command``, ``commit``,
        ``started``, ``finished``, ``clock``, ``device``, ``versions`` and its results; a
        training run's follows the schema of :mod:`effnet_lib.train.record`.

    Raises:
        ValueError: there is no such record; the message lists what there is.

    >>> recorded("latency-xeon-one-thread")["device"]["threads"]
    1
    """
    files = _files()
    if name not in files:
        known = ", ".join(sorted(files)) or "none"
        raise ValueError(f"no record is named {name!r}: there is {known}")
    return json.loads(files[name].read_text(encoding="utf-8"))


def _files() -> dict[str, Path]:
    return {
        path.relative_to(place).with_suffix("").as_posix(): path
        for place in RESULTS
        if place.is_dir()
        for path in place.rglob("*.json")
    }
