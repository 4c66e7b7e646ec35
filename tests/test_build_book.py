"""The build: what stops it, and what it does again after which change."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CONFIG = """
title: A book
only_build_toc_files: true
execute: {execute_notebooks: cache, raise_on_error: true}
"""
PAGE = """---
file_format: mystnb
kernelspec: {name: python3}
---
# A page

```{code-cell}
%s
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of one page, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("book") / "Caffè e libri"
    shutil.copytree(ROOT / "tools", folder / "tools")
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text("{format: jb-book, root: index}")
    (folder / "effnet_lib").mkdir()
    (folder / "effnet_lib" / "__init__.py").write_text("")
    return folder


def build(folder, cell=None):
    """Build the book with this one cell: the exit status, and what it said, progress aside."""
    if cell is not None:
        (folder / "index.md").write_text(PAGE % cell)
    done = subprocess.run(
        [sys.executable, "-m", "tools.build_book"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **taste(folder)},
    )
    return done.returncode, re.sub(r"(?m)^  \d+:\d\d  .*\n", "", done.stdout).splitlines()


def taste(folder):
    """A reader's own set-up that would break the book, were it heeded."""
    home = folder / "home"
    kernel = home / ".local/share/jupyter/kernels/python3/kernel.json"
    startup = home / ".ipython/profile_default/startup/broken.py"
    for path, text in (kernel, '{"argv": ["false"], "language": "python"}'), (startup, "print = None"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"HOME": str(home), "JUPYTER_PATH": str(home / ".local/share/jupyter")}


def test_the_build(book):
    status, said = build(book, "print(6 * 7)\nraise ValueError('no such stage')")
    assert status != 0
    assert any("ValueError: no such stage" in line for line in said)
    assert said[-1] == "The book is not built: a cell of index.md failed (the whole log: _build/build.log)"
    assert build(book)[0] != 0  # and so again: a failure is no book

    status, said = build(book, "import sys; print(6 * 7, sys.executable)")
    assert status == 0 and "s  index.md" in said[0] and said[1].startswith("The book is built")
    page = (book / "_build/html/index.html").read_text()
    assert "42 " in page and str(Path(sys.executable).parent) in page

    status, said = build(book)
    assert status == 0 and said[0] == "The book is up to date."

    (book / "appendices").mkdir()
    (book / "appendices" / "table.csv").write_text("a page may show this")
    assert build(book)[1][0].startswith("The book is built")  # no cell was run again

    with (book / "index.md").open("a") as page:
        page.write("\nSee [nothing](nowhere.md).\n")
    status, said = build(book)
    assert status != 0 and "1 warning(s), the first from index.md" in said[-1]

    build(book, "import sys; print(6 * 7, sys.executable)")
    (book / "effnet_lib" / "__init__.py").write_text("# changed")
    status, said = build(book)
    assert status == 0 and "s  index.md" in said[0]  # its cell was run again
