"""The ``book-map`` directive: every page of the book, with what is in it and how long it takes.

The parts and their pages come from ``_toc.yml``, the reading times from the chapters. The
author writes the sentence for each page, and the parts that are still to come.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from .chapter_head import chapter_head_node, chapter_number, minutes
from .problems import report

ENTRY = re.compile(r"(?P<name>[^:\s][^:]*): +(?P<text>\S.*)$")
TO_COME = "to come, "


class book_map_node(nodes.General, nodes.Element):
    """The whole map; titles and times are filled in when every page has been read."""


class map_link(nodes.General, nodes.Element):
    """A page's number, title and reading time, once they are known."""


def parts(app: Sphinx) -> list[tuple[str, list[str]]]:
    """The parts of the book as (caption, pages), from the table of contents."""
    site_map = app.config.external_site_map
    return [(part.caption or "", [str(item) for item in part.items]) for part in site_map.root.subtrees]


class BookMap(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Each line is ``page: a sentence`` or, for a part without pages, ``to come, Name: …``.

        The parts to come stand before the part whose page follows. A sentence for a page
        that is not in ``_toc.yml`` waits until it is.
        """
        captions = {page: caption for caption, pages in parts(self.env.app) for page in pages}
        sentences: dict[str, nodes.paragraph] = {}
        to_come: list[tuple[str, nodes.paragraph]] = []
        before: dict[str, list[tuple[str, nodes.paragraph]]] = {}
        for offset, line in enumerate(self.content):
            lineno = self.lineno + 1 + offset
            found = ENTRY.match(line)
            if not found:
                if line.strip():
                    self.wrong(lineno, f"expected 'page: a sentence', got {line!r}")
                continue
            name = found["name"]
            children, messages = self.state.inline_text(found["text"], lineno)
            sentence = nodes.paragraph("", "", *children, *messages)
            if name.startswith(TO_COME):
                to_come.append((name.removeprefix(TO_COME), sentence))
                continue
            if name in sentences:
                self.wrong(lineno, f"{name} stands twice")
            sentences[name] = sentence
            if name in captions and to_come:
                before.setdefault(captions[name], []).extend(to_come)
                to_come = []
        return [self.drawn(sentences, before, to_come)]

    def drawn(self, sentences, before, at_the_end) -> book_map_node:
        box = book_map_node(classes=["book-map"])
        for caption, pages in parts(self.env.app):
            for name, sentence in before.get(caption, ()):
                box += self.to_come(name, sentence)
            box += nodes.paragraph(caption, caption, classes=["part"])
            listing = nodes.bullet_list()
            for page in pages:
                sentence = sentences.get(page)
                if sentence is None:
                    self.wrong(self.lineno, f"no sentence for {page}")
                    continue
                title = nodes.paragraph("", "", map_link(page=page), classes=["page"])
                listing += nodes.list_item("", title, sentence)
            box += listing
        for name, sentence in at_the_end:
            box += self.to_come(name, sentence)
        return box

    def to_come(self, name: str, sentence: nodes.paragraph) -> list[nodes.Node]:
        title = nodes.paragraph("", name, classes=["part", "to-come"])
        title += nodes.inline("", "to come", classes=["minutes"])
        return [title, nodes.bullet_list("", nodes.list_item("", sentence))]

    def wrong(self, lineno: int, message: str) -> None:
        report(self.env, self.env.docname, lineno, f"book-map: {message}")


def remember_minutes(app: Sphinx, doctree: nodes.document) -> None:
    times = reading_times(app.env)
    times.pop(app.env.docname, None)
    if any(doctree.findall(chapter_head_node)):
        times[app.env.docname] = minutes(doctree)


def reading_times(env: BuildEnvironment) -> dict[str, int]:
    if not hasattr(env, "effnet_minutes"):
        env.effnet_minutes = {}
    return env.effnet_minutes


def merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    times = reading_times(other)
    reading_times(env).update({name: times[name] for name in docnames if name in times})


def number_in_the_sidebar(app: Sphinx, doctree: nodes.document) -> None:
    """A chapter's number before its title in every table of contents, so that "Exercise 2.1" is found."""
    number = chapter_number(app.env.docname)
    if number is None:
        return
    for reference in app.env.tocs[app.env.docname].findall(nodes.reference):
        reference.insert(0, nodes.inline("", f"{number} ", classes=["chapter-number"]))
        return


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for link in list(doctree.findall(map_link)):
        page = link["page"]
        number = chapter_number(page)
        reference = nodes.reference(
            "", "", internal=True, refuri=app.builder.get_relative_uri(docname, page)
        )
        if number is not None:
            reference += nodes.inline("", f"{number} ", classes=["chapter-number"])
        reference += nodes.Text(app.env.titles[page].astext())
        found: list[nodes.Node] = [reference]
        if page in reading_times(app.env):
            found.append(nodes.inline("", f"{reading_times(app.env)[page]} min", classes=["minutes"]))
        link.replace_self(found)
    for box in list(doctree.findall(book_map_node)):
        box.replace_self(nodes.container("", *box.children, classes=box["classes"]))


def rewritten(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The map is written again whenever any page was read again."""
    return [name for name in env.all_docs if name == app.config.root_doc]


def setup(app: Sphinx) -> None:
    app.add_directive("book-map", BookMap)
    app.add_node(book_map_node)
    app.add_node(map_link)
    app.connect("doctree-read", remember_minutes, priority=890)  # as chapter-head counts: before its text is there
    app.connect("doctree-read", number_in_the_sidebar, priority=910)
    app.connect("doctree-resolved", resolve)
    app.connect("env-merge-info", merge)
    app.connect("env-purge-doc", lambda app, env, docname: reading_times(env).pop(docname, None))
    app.connect("env-updated", rewritten)
