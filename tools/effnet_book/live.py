"""The network that runs in a page: what its reader asks for lies in the book's own folder, ``_static/live``."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

EXPLORER = "<effnet-live-explorer "


def write(app: Sphinx, exception: Exception | None) -> None:
    folder = Path(app.outdir)
    if exception is None and any(EXPLORER in page.read_text("utf-8") for page in folder.rglob("*.html")):
        from effnet_lib.live import write_live_files

        write_live_files(folder / "_static" / "live")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", write)
