"""Sphinx's own scripts, with what they get wrong for a reader mended as the pages are written.

Each mend is a piece of the script and what stands in its place. A piece that is not there stops the build:
another version of Sphinx then needs another mend, or none.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# Where a browser blocks storage, the very mention of it throws; with it went the whole search.
STORAGE = """var keptStorage = {};
for (const does of ["getItem", "setItem", "removeItem"]) {
  keptStorage[does] = (...given) => { try { return localStorage[does](...given); } catch { return null; } };
}
"""
MENDS = {
    "sphinx_highlight.js": [("localStorage.", "keptStorage.")],
    "searchtools.js": [
        ("localStorage.", "keptStorage."),
        # "224" is a word of this book; of one or two digits there are some on every page.
        (r"queryTerm.match(/^\d+$/)", r"queryTerm.match(/^\d{1,2}$/)"),
        # A summary is of the article: the main part of a page begins with its table of contents.
        ("""querySelector('[role="main"]')""", "querySelector('article')"),
        ('[".headerlink", "script", "style"]', '[".headerlink", "script", "style", "nav", ".effnet-static"]'),
        ("const text = Search.htmlToText(htmlText, anchor);", r'const text = Search.htmlToText(htmlText, anchor).trim().replace(/\s+/g, " ");'),
        ("Math.max(actualStartPosition - 120, 0)", "Math.max((actualStartPosition ?? 0) - 120, 0)"),
        # A term of the glossary is called by its name, as it is spelt there, and not by that of its page.
        ("""            docNames[file],
            titles[file],
            id ?""", """            docNames[file],
            `${titles[file]}: ${[...entry].map((c, i) => (id?.[i + 5]?.toLowerCase() === c ? id[i + 5] : c)).join("")}`,
            id ?"""),
    ],
}  # fmt: skip


def mended(name: str, script: str) -> str:
    for old, new in MENDS[name]:
        if old not in script:
            raise ExtensionError(f"{name} of this Sphinx has no {old!r}: see tools/effnet_book/scripts.py")
        script = script.replace(old, new)
    return STORAGE + script


def mend(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for name in MENDS:
        path = Path(app.outdir) / "_static" / name
        path.write_text(mended(name, path.read_text("utf-8")), "utf-8")


def setup(app: Sphinx) -> None:
    app.connect("build-finished", mend, priority=700)
