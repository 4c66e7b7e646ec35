"""What a cell prints, joined as it was printed.

A kernel sends it in pieces, cut wherever a fifth of a second had passed. MyST-NB ends each piece
with a newline when it merges them, so a slow machine would put line breaks where there are none.
"""

from __future__ import annotations

from copy import copy

from myst_nb.core import render
from myst_nb.core.utils import coalesce_streams
from sphinx.application import Sphinx


def joined(outputs: list) -> list:
    """``outputs`` with the pieces of each stream in the place of its first; they stay as they are."""
    whole, streams = [], {}
    for output in outputs:
        if output["output_type"] == "stream" and output["name"] in streams:
            streams[output["name"]]["text"] += output["text"]
            continue
        whole.append(copy(output))
        if output["output_type"] == "stream":
            streams[output["name"]] = whole[-1]
    return whole


def setup(app: Sphinx) -> None:
    render.coalesce_streams = lambda outputs: coalesce_streams(joined(outputs))
