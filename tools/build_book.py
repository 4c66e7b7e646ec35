"""Run every chapter and build the book into _build/html; any warning is an error.

Pages are always written all anew, for a page cannot know that what it refers to has
changed. What cells print is kept for as long as nothing that could alter it does.
"""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

from tools.progress import ROOT, disk_full, run_logged

BUILD = ROOT / "_build"
BOOK = BUILD / "html" / "index.html"
LOG = BUILD / "build.log"
CELLS_STAMP = BUILD / "cells.stamp"  # what the cells were run with
BOOK_STAMP = BUILD / "book.stamp"  # what the whole book was made of, once it is built

# What a cell prints depends on its own text and on these ...
CELLS = (".venv/ready", "_config.yml", "effnet_lib", "results")
# ... and what a page looks like on all that stands here, but for these.
ASIDE = ("_build", "benchmarks", "tests")

STEPS = (
    (r"reading sources\.\.\. \[ *(\d+%)\] (\S+)", "running the chapters: {}, {}"),
    (r"writing output\.\.\. \[ *(\d+%)\] (\S+)", "writing the pages: {}, {}"),
)


def main():
    BUILD.mkdir(exist_ok=True)
    lock = open(BUILD / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # one build at a time: a second one waits, then looks
    cells, book = stamps()
    if BOOK.exists() and read(BOOK_STAMP) == book:
        print("The book is up to date.")
    else:
        started = time.time()
        build(cells)
        if stamps() == (cells, book):  # nothing was edited meanwhile
            BOOK_STAMP.write_text(book)
        print(f"The book is built, in {time.time() - started:.0f} s.")
    print(f"  open it:      {BOOK.as_uri()}\n  or serve it:  make serve")


def build(cells):
    clear(keep=[".jupyter_cache"] if read(CELLS_STAMP) == cells else [])
    CELLS_STAMP.write_text(cells)
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    status, output = run_logged(
        [sys.executable, jupyter_book, "build", ".", "-W", "-n", "--keep-going"],
        LOG, STEPS, environment(),
    )
    if status:
        sys.exit(account(output.replace(f"{ROOT}/", "")))
    for page, seconds in re.findall(r"(\S+): Executed notebook in (\S+) seconds", output):
        print(f"  {float(seconds):5.1f} s  {Path(page).name}")


def stamps():
    """What the cells and what the whole book is made of, as of now."""
    cells = fingerprint(ROOT / name for name in CELLS)
    return cells, cells + fingerprint(
        path for path in ROOT.iterdir() if path.name[0] != "." and path.name not in ASIDE
    )


def fingerprint(places):
    """One line that differs when any file in these places does."""
    digest = hashlib.sha256()
    for place in sorted(places):
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and not re.search("__pycache__|[.]ipynb_checkpoints", str(file)):
                digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest() + "\n"


def read(path):
    return path.read_text() if path.exists() else ""


def clear(keep):
    """Empty _build, but for the lock and these names in it."""
    for path in BUILD.iterdir():
        if path.name not in ["lock", *keep]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def environment():
    """The reader's, less their own taste in Jupyter, matplotlib, colours and widths."""
    taste = ("JUPYTER", "IPYTHON", "MPL", "MATPLOTLIBRC", "COLUMNS", "FORCE_COLOR", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(taste)}
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    tools = os.path.dirname(sys.executable)  # so that a cell finds .venv's commands
    return {
        **kept,
        **{name: str(ROOT / ".venv" / "settings" / name.lower()) for name in places},
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PATH": os.pathsep.join([tools, os.environ.get("PATH", os.defpath)]),
        "PYTHONUTF8": "1",
    }


def account(output):
    """Show what went wrong, and return the line to end with, which names the page."""
    warnings = re.findall(r"^(?:.*\.\.\. )?(.*(?:WARNING|ERROR|CRITICAL): .*)$", output, re.M)
    pages = re.findall(r"^(.*): Executing notebook using", output, re.M)
    errors = re.findall(r"^[\w.]*(?:Error|Exception): .+$", output, re.M)
    cell = re.search(r"^nbclient\.\S+: (.*?)\n\s*(?:The |\[mystnb)", output, re.M | re.S)

    show = functools.partial(print, sep="\n", file=sys.stderr)
    show(*warnings)
    if cell:
        show(cell.group(1).strip())
        why = f"a cell of {pages[-1]} failed"
    elif disk_full(output):
        why = "the disk is full; make room, then try again"
    elif errors or not warnings:
        show(*output.splitlines()[-20:])
        why = (errors or ["no reason given"])[-1]
    else:
        why = f"{len(warnings)} warning(s), the first from {warnings[0].split(': ')[0]}"
    return f"The book is not built: {why} (the whole log: {LOG.relative_to(ROOT)})"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted: the book is not built")
