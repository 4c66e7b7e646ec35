"""What is wrong with the book's sources, gathered while building, told all at once.

Sphinx forgets a page's warnings once the page is cached: a second build of an unchanged
book would pass. Problems are kept with the page in the environment and end every build
until the page is mended.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError


class BookError(SphinxError):
    """The book breaks its own rules; the message lists where."""

    category = "The book was not built"


def report(env: BuildEnvironment, docname: str, line: int | None, message: str) -> None:
    """Notes a problem; ``line`` counts from 1 in the page's source, None if unknown."""
    path = env.doc2path(docname, base=False)
    where = f"{path}:{line}" if line else str(path)
    _problems(env).setdefault(docname, []).append(f"{where}: {message}")


def _problems(env: BuildEnvironment) -> dict[str, list[str]]:
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
    problems = [line for lines in _problems(app.env).values() for line in lines]
    if problems:
        raise BookError("\n".join([f"{len(problems)} problem(s)", *problems]))


def setup(app: Sphinx) -> None:
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("build-finished", _stop)
