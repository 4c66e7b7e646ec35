"""An id for every code cell, so that a link can lead to it: ``LABEL-cell-N``.

LABEL is that of the innermost labelled section around the cell, which no other page has; N counts
the cells of that section from 1, those of unlabelled sections within it and of solutions too.
"""

from __future__ import annotations

from collections import Counter

from docutils import nodes
from sphinx.application import Sphinx

CELLS = "cells"  # in a page's metadata, which is kept with it from build to build


def name_cells(app: Sphinx, doctree: nodes.document) -> None:
    labels = {doctree.nameids[name] for name, explicit in doctree.nametypes.items() if explicit}
    counts: Counter[str] = Counter()
    names = []
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        section, place = cell.parent, None
        while section is not None and place is None:
            known = section["ids"] if isinstance(section, nodes.section) else ()
            place, section = next((name for name in known if name in labels), None), section.parent
        if place is None:
            continue
        counts[place] += 1
        names.append(f"{place}-cell-{counts[place]}")
        cell["ids"].append(names[-1])
    app.env.metadata[app.env.docname][CELLS] = names


def page_of(app: Sphinx, name: str) -> str | None:
    """The page that has the cell, or None."""
    return next((page for page, known in app.env.metadata.items() if name in known.get(CELLS, ())), None)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", name_cells)
