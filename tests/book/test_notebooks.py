"""The notebooks for Colab: made from the chapters, whole, and running from top to bottom alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(ROOT.glob("chapters/*.ipynb"))
RAW = re.compile(r"```\{|:::|\{(ref|doc|eq|cite|term|math|numref)[:}]|\]\((?!https?://)|^---$", re.M)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def test_every_chapter_has_its_notebook(book):
    made = sorted(path.name for path in (book.parent / "notebooks").glob("*.ipynb"))
    chapters = sorted(path.with_suffix(".ipynb").name for path in ROOT.glob("chapters/*.md"))
    assert made == chapters == [path.name for path in NOTEBOOKS]


def test_it_is_what_its_chapter_makes(book, notebook):
    made = (book.parent / "notebooks" / notebook.name).read_text()
    assert notebook.read_text() == made, "the chapter has changed: run `make notebooks`"


def test_it_is_a_plain_notebook(notebook):
    nbformat.validate(read := nbformat.read(notebook, as_version=4))
    ids = [cell.id for cell in read.cells]
    assert len(set(ids)) == len(ids)
    assert "widgets" not in read.metadata
    assert read.cells[0].cell_type == "markdown" and read.cells[0].source.startswith("# ")
    assert read.cells[1].id == "install"
    for cell in read.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
        else:
            text = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
            assert not (found := RAW.search(text)), (cell.id, found)


def test_its_code_is_that_of_the_page(notebook):
    """Every cell of the source is there, in its order; solutions as text."""
    source = notebook.with_suffix(".md").read_text()
    cells = re.findall(r"^```\{code-cell\}[^\n]*\n(?:---\n.*?^---\n|(?::[^\n]*\n)*)(.*?)^```$", source, re.M | re.S)
    assert len(cells) > 5
    text = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    at = 0
    for cell in cells:
        at = text.index(cell.strip(), at)


def test_it_runs_alone(notebook, tmp_path):
    """From top to bottom, in an empty folder, with the library installed."""
    read = nbformat.read(notebook, as_version=4)
    client = NotebookClient(read, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = "".join(out.get("text", "") for cell in read.cells for out in cell.get("outputs", []))
    assert "nothing to install" in printed
    assert "not answered yet" in printed  # the exercises are the reader's
    json.dumps(read)  # what was shown can be saved
