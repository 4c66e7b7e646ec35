"""Formulas in the page: Sphinx's math nodes drawn by ``mathml.py``.

A formula that cannot be drawn stops the build and names page and line.
"""

from __future__ import annotations

import html
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.math import get_node_equation_number

from .mathml import MathError, to_mathml
from .problems import report


def _render(node: nodes.Element, display: bool) -> str:
    latex = node.astext()
    parts = [part for part in latex.split("\n\n") if part.strip()]
    if len(parts) > 1:  # blank lines part the lines of one display, as in Sphinx
        latex = r"\begin{gathered}" + r"\\".join(parts) + r"\end{gathered}"
    elif display and r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return to_mathml(latex, display, named=not display and _stands_alone(node))


def _stands_alone(node: nodes.Element) -> bool:
    """Whether a heading, a label or a cell of a table holds formulas and nothing else."""
    others = [child for child in node.parent.children if not isinstance(child, nodes.math)]
    return not "".join(child.astext() for child in others).strip()


def visit_math(self, node: nodes.math) -> None:
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(_drawn(self, node, display=False))
    self.body.append("</span>")
    raise nodes.SkipNode


class KeepPunctuation(SphinxPostTransform):
    """Keep a formula and the comma behind it on one line; a browser would part them."""

    default_priority = 998
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for math in list(self.document.findall(nodes.math)):
            siblings = math.parent.children
            place = math.parent.index(math)
            before = siblings[place - 1] if place else None
            after = siblings[place + 1] if place + 1 < len(siblings) else None
            kept = nodes.inline(classes=["nobreak"])
            math.parent.replace(math, kept)
            if isinstance(before, nodes.Text) and (opening := OPENING.search(before)):
                kept += nodes.Text(opening[0])
                before.parent.replace(before, nodes.Text(before[: opening.start()]))
            kept += math
            if isinstance(after, nodes.Text) and (closing := CLOSING.match(after)):
                kept += nodes.Text(closing[0])
                after.parent.replace(after, nodes.Text(after[closing.end() :]))
            if len(kept) == 1:
                kept.parent.replace(kept, math)


OPENING = re.compile(r"[(\[“]+$")
CLOSING = re.compile(r"[,.;:?!)\]”’-]+")


def visit_math_block(self, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    # The formula scrolls in a box of its own; its number stays where it is.
    self.body.append(f'<div class="math-box">{_drawn(self, node, display=True)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _drawn(translator, node: nodes.Element, display: bool) -> str:
    builder = translator.builder
    return _attempt(builder.env, builder.current_docname, node, display)


def _attempt(env: BuildEnvironment, docname: str, node: nodes.Element, display: bool) -> str:
    """The formula as MathML, or its problem noted, which ends the build."""
    try:
        return _render(node, display)
    except MathError as error:
        line = node.line or (node.parent and node.parent.line)
        report(env, docname, line, f"formula {node.astext()!r}: {error}")
        return f"<code>{html.escape(node.astext())}</code>"


def check_formulas(app: Sphinx, doctree: nodes.document) -> None:
    """Tries every formula when its page is read: what comes later is not remembered."""
    for kind, display in ((nodes.math, False), (nodes.math_block, True)):
        for node in doctree.findall(kind):
            _attempt(app.env, app.env.docname, node, display)


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-read", check_formulas)
    app.add_post_transform(KeepPunctuation)
