"""Rules that a page must keep, or the book is not built.

* A page with code cells has run: its recorded time is not nothing, and every cell gave an
  output. Otherwise the front matter says why: ``not-run: "the reason, in a sentence"``.
* A code cell has at most 25 lines.
* Every picture has alternative text that tells what it shows. On a code cell:
  ``mystnb: {image: {alt: "…"}}``.

A cell that raises stops the build by myst-nb's own ``raise_on_error``.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from myst_nb.core.read import create_nb_reader
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx

from .problems import report

MOST_LINES = 25
LEAST_SECONDS = 0.05  # a kernel takes longer to start
REASON = "not-run"


def is_meaningful(alt: str) -> bool:
    """Whether alternative text says something: not a file's name, hash or path."""
    alt = alt.strip()
    return len(alt.split()) >= 2 and not re.search(r"\.(png|svg|jpe?g|webp)$", alt)


def check_page(app: Sphinx, doctree: nodes.document) -> None:
    docname = app.env.docname
    cells = [n for n in doctree.findall(nodes.container) if n.get("nb_element") == "cell_code"]
    if cells:
        check_execution(app, docname, cells)
        check_lengths(app, docname)
    for image in doctree.findall(nodes.image):
        if not is_meaningful(image.get("alt", "")):
            report(app.env, docname, image.line or (image.parent and image.parent.line),
                   f"the picture {Path(image['uri']).name} has no alternative text that tells "
                   "what it shows" + in_cell(image))  # fmt: skip


def in_cell(node: nodes.Node) -> str:
    """Which code cell a node came out of, and what to write there."""
    while node is not None:
        if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
            return f" (cell {node['cell_index']}: set mystnb: {{image: {{alt: …}}}})"
        node = node.parent
    return ""


def check_execution(app: Sphinx, docname: str, cells: list[nodes.container]) -> None:
    if str(app.env.metadata[docname].get(REASON, "")).strip():
        return
    data = NbMetadataCollector.get_exec_data(app.env, docname)
    excuse = f"; if that is meant, give the reason in the front matter as {REASON}: …"
    if data is None:
        report(app.env, docname, None, "its code cells did not run" + excuse)
    elif data["succeeded"] and (data["runtime"] or 0) < LEAST_SECONDS:
        report(app.env, docname, None, f"its code cells ran in {data['runtime']} s" + excuse)
    for cell in cells:
        if not any(n.get("nb_element") == "cell_code_output" for n in cell.findall(nodes.container)):
            report(app.env, docname, cell.line,
                   f"cell {cell['cell_index']} prints nothing: end it with what shows that it works{excuse}")  # fmt: skip


def check_lengths(app: Sphinx, docname: str) -> None:
    """Counts in the source: a cell whose input the page hides counts too."""
    path = app.env.doc2path(docname)
    text = Path(path).read_text(encoding="utf-8")
    reader = create_nb_reader(path, app.env.myst_config, app.env.mystnb_config, text)
    if reader is None:
        return
    notebook = reader.read(text)
    lines = notebook.metadata.get("source_map", [])
    for index, cell in enumerate(notebook.cells):
        length = len(cell.source.rstrip().splitlines())
        if cell.cell_type == "code" and length > MOST_LINES:
            line = lines[index] + 1 if index < len(lines) else None
            report(app.env, docname, line,
                   f"cell {index} has {length} lines of code, more than {MOST_LINES}")  # fmt: skip


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", check_page)
