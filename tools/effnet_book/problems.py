"""What is wrong with the book's sources, gathered while building, told all at once.

Sphinx forgets a page's warnings once the page is cached: a second build of an unchanged
book would pass. Problems are kept with the page in the environment, are logged as errors
by every build and make it end with status 1 until the page is mended.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


def report(env: BuildEnvironment, docname: str, line: int | None, message: str) -> None:
    """Notes a problem; ``line`` counts from 1 in the page's source, None if unknown."""
    problems = _problems(env).setdefault(docname, [])
    if (line, message) not in problems:
        problems.append((line, message))


def _problems(env: BuildEnvironment) -> dict[str, list[tuple[int | None, str]]]:
    if not hasattr(env, "effnet_problems"):
        env.effnet_problems = {}
    return env.effnet_problems


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _problems(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other) -> None:
    _problems(env).update({name: _problems(other).get(name, []) for name in docnames})


def _stop(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None:
        return
    for docname, problems in _problems(app.env).items():
        for line, message in problems:
            LOGGER.error(message, location=(docname, line))
            app.statuscode = 1


def setup(app: Sphinx) -> None:
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("build-finished", _stop)
