"""The ``chapter-head`` directive: how long a chapter takes and what it teaches."""

from __future__ import annotations

import math
import re

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx_exercise.nodes import is_exercise_node

from .problems import report

WORDS_A_MINUTE = 180  # a technical text, read with thought
SECONDS_A_LINE = 3  # of code
SECONDS_A_FORMULA = 12  # a displayed one
SECONDS_AN_EXERCISE = 180


class chapter_head_node(nodes.General, nodes.Element):
    """The box; its reading time is filled in when the page is complete."""


class ChapterHead(SphinxDirective):
    has_content = True
    option_spec = {"prerequisites": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        head = chapter_head_node()
        time = nodes.paragraph(classes=["reading-time"])
        head += time
        if "prerequisites" in self.options:
            before = nodes.paragraph()
            before += nodes.strong(text="Before this: ")
            children, messages = self.state.inline_text(self.options["prerequisites"], self.lineno)
            before += children + messages
            head += before
        head += nodes.paragraph("", "", nodes.strong(text="After it you will be able to"))
        start = len(head)
        self.state.nested_parse(self.content, self.content_offset, head)
        if not any(isinstance(child, nodes.bullet_list) for child in head.children[start:]):
            report(self.env, self.env.docname, self.lineno, "chapter-head: a list is missing: "
                   "what will the reader be able to do?")  # fmt: skip
        return [head]


def minutes(doctree: nodes.document) -> int:
    """Estimated reading time of a page, exercises included, in steps of five minutes."""
    seconds = 0.0
    for node in doctree.findall(nodes.Text):
        if not isinstance(node.parent, (nodes.literal_block, nodes.math_block, nodes.raw)):
            seconds += len(node.astext().split()) * 60 / WORDS_A_MINUTE
    for block in doctree.findall(nodes.literal_block):
        seconds += len(block.astext().splitlines()) * SECONDS_A_LINE
    seconds += len(list(doctree.findall(nodes.math_block))) * SECONDS_A_FORMULA
    exercises = filter(is_exercise_node, doctree.findall(nodes.Admonition))
    seconds += len(list(exercises)) * SECONDS_AN_EXERCISE
    return max(5, 5 * math.ceil(seconds / 300))


def chapter_number(docname: str) -> int | None:
    """2 for ``chapters/02_compound_scaling``; None for a page that is no chapter."""
    found = re.fullmatch(r"chapters/(\d+)_\w+", docname)
    return int(found[1]) if found else None


def fill_time(app: Sphinx, doctree: nodes.document) -> None:
    number = chapter_number(app.env.docname)
    chapter = f"Chapter {number}, about" if number is not None else "About"
    for head in doctree.findall(chapter_head_node):
        head[0] += nodes.Text(f"{chapter} {minutes(doctree)} minutes, exercises included")


def visit_head(self, node: chapter_head_node) -> None:
    self.body.append(self.starttag(node, "div", CLASS="chapter-head"))


def depart_head(self, node: chapter_head_node) -> None:
    self.body.append("</div>\n")


def setup(app: Sphinx) -> None:
    app.add_directive("chapter-head", ChapterHead)
    app.add_node(chapter_head_node, html=(visit_head, depart_head))
    app.connect("doctree-read", fill_time, priority=900)
