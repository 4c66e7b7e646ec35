"""An id for every code cell, so that a link can lead to it: ``SECTION-cell-N``.

N counts the cells of the innermost section around it, from 1; solutions count too.
"""

from __future__ import annotations

from collections import Counter

from docutils import nodes
from sphinx.application import Sphinx

CELLS = "cells"  # in a page's metadata, which is kept with it from build to build


def name_cells(app: Sphinx, doctree: nodes.document) -> None:
    counts: Counter[str] = Counter()
    names = []
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        section = cell.parent
        while section.parent is not None and not (isinstance(section, nodes.section) and section["ids"]):
            section = section.parent
        place = next((name for name in section["ids"] if not name.startswith("id")), "page")
        counts[place] += 1
        names.append(f"{place}-cell-{counts[place]}")
        cell["ids"].append(names[-1])
    app.env.metadata[app.env.docname][CELLS] = names


def page_of(app: Sphinx, name: str) -> str | None:
    """The page that has the cell, or None."""
    return next((page for page, known in app.env.metadata.items() if name in known.get(CELLS, ())), None)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", name_cells)
