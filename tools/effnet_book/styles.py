"""One style sheet for the book, with the theme's rules that some page can use.

The theme and its extensions bring 400 KB of rules in nine files, and a browser draws
nothing before it has them all. When the pages are written, the rules that name a class or
an id which no page and no script mentions are left out, and the rest becomes one file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

BUNDLE = "book.css"
# In the order in which they override one another; the names may hold a hash.
THEME = ["styles/bootstrap.css", "basic.css", "styles/pydata-sphinx-theme.css", "pygments.css",
         "styles/sphinx-book-theme.css", "mystnb*.css", "sphinx-design.min.css",
         "copybutton.css"]  # fmt: skip
OURS = "effnet-book.css"
HEAD = """/* The rules of Bootstrap 5 (MIT), pydata-sphinx-theme and sphinx-book-theme (BSD-3-Clause),
   Sphinx (BSD-2-Clause) and its extensions that this book uses; then the book's own. */
"""

# WebKit's process dies of text wrapped so, where a line holds code that does not wrap.
DEADLY = re.compile(r"text-wrap(?:-style)?\s*:[^;}]*\bpretty\b[^;}]*;?")

# What may hold any sign without meaning it: strings and addresses.
OPAQUE = re.compile(r""" "(?:\\.|[^\\"])*" | '(?:\\.|[^\\'])*' | url\([^"')]*\) """, re.VERBOSE | re.DOTALL)


def rules(css: str) -> Iterator[tuple[str, str | None]]:
    """The rules of a style sheet as (what stands before the braces, what between)."""
    start = depth = body = position = 0
    while position < len(css):
        if skipped := OPAQUE.match(css, position):
            position = skipped.end()
            continue
        letter = css[position]
        if letter == "{":
            depth += 1
            body = position if depth == 1 else body
        elif letter == "}":
            depth -= 1
            if depth == 0:
                yield css[start:body].strip(), css[body + 1 : position]
                start = position + 1
        elif letter == ";" and depth == 0:
            yield css[start:position].strip(), None
            start = position + 1
        position += 1


def used(css: str, words: set[str]) -> str:
    """The rules whose every class and id is among the words."""
    kept = []
    for before, body in rules(re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)):
        if body is None:  # @charset; @import of a file that is in the bundle already
            continue
        if re.match(r"@(media|supports|layer|container)", before):
            inner = used(body, words)
            if inner:
                kept.append(f"{before}{{{inner}}}")
        elif before.startswith("@"):
            kept.append(f"{before}{{{body}}}")
        else:
            selectors = [one for one in re.split(r",(?![^(]*\))", before) if matches(one, words)]
            if selectors:
                kept.append(f"{','.join(selectors)}{{{body}}}")
    return "".join(kept)


def matches(selector: str, words: set[str]) -> bool:
    """Whether some page may hold what a selector asks for; a negation asks for nothing."""
    plain = re.sub(r":(not|is|where|has)\((?:[^()]|\([^()]*\))*\)", "", selector)
    names = re.findall(r"\[(data-[\w-]+)", plain)
    names += re.findall(r"[.#](-?[A-Za-z_][\w-]*)", re.sub(r"\[[^\]]*\]", "", plain))
    return all(name in words for name in names)


def without_unused_variables(css: str, words: set[str]) -> str:
    """The style sheet less the custom properties that neither it nor a page refers to."""
    declared = re.compile(r"""(--[\w-]+)\s*:(?:"[^"]*"|'[^']*'|[^;{}"'])*(?:;|(?=}))""")
    while True:  # what only a dropped variable referred to goes in the next round
        needed = words | set(re.findall(r"var\(\s*(--[\w-]+)", css))
        shorter = declared.sub(lambda found: found[0] if found[1] in needed else "", css)
        if shorter == css:
            return css
        css = shorter


def bundle(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    out, static = Path(app.outdir), Path(app.outdir) / "_static"
    words: set[str] = set()
    for path in [*out.rglob("*.html"), *static.glob("*.js")]:
        words.update(re.findall(r"[\w-]+", path.read_text("utf-8")))
    files = [path for name in THEME for path in sorted(static.glob(name))]
    sheets = [used(path.read_text("utf-8"), words) for path in files]
    ours = (static / OURS).read_text("utf-8") if (static / OURS).exists() else ""
    sheets.append(re.sub(r"/\*.*?\*/", "", ours, flags=re.DOTALL))
    css = without_unused_variables(DEADLY.sub("", "".join(sheets)), words)
    (static / BUNDLE).write_text(HEAD + re.sub(r"\s+", " ", css), "utf-8")
    for path in static.rglob("*.css"):
        if path.name != BUNDLE:
            path.unlink()


def setup(app: Sphinx) -> None:
    app.connect("build-finished", bundle, priority=800)
