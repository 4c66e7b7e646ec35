"""The ``corrections`` directive: statements that are often repeated, and what is true instead.

They stand in a data file, so that no row can be dropped unseen: every group of the file must
be shown on the page, every label that a row refers to must exist, and each claim's number is
an anchor, by which a test holds the page against the list of all claims.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from . import cells
from .links import linked
from .problems import report

VERDICTS = ("wrong", "imprecise", "unsupported", "inconsistent")
FIELDS = {"ids": list, "verdict": str, "claim": str, "truth": str, "source": str, "see": list}


class shown_in(nodes.General, nodes.Inline, nodes.Element):
    """Links to the sections that show a row: those that must be there, those in writing; and to cells."""


def wrong_with(row: dict) -> str | None:
    """What is wrong with a row of the file, or None."""
    for field, kind in FIELDS.items():
        if not isinstance(row.get(field), kind):
            return f"its {field} is missing, or no {kind.__name__}"
    unknown = set(row) - set(FIELDS) - {"later", "cells"}
    if unknown:
        return f"it has an unknown field: {', '.join(sorted(unknown))}"
    if row["verdict"] not in VERDICTS:
        return f"its verdict is {row['verdict']!r}, none of {', '.join(VERDICTS)}"
    if not row["ids"] or not all(re.fullmatch(r"C\d{2,3}", str(one)) for one in row["ids"]):
        return "its ids are not like C12"
    if not row["see"] and not row.get("later"):
        return "it names no section that shows it"
    return None


class Corrections(SphinxDirective):
    """``file.yml group``: the rows of one group of the file, which stands beside the page."""

    required_arguments = 2
    option_spec: dict = {}

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        groups = yaml.safe_load(Path(path).read_text("utf-8"))
        group = self.arguments[1]
        if group not in groups:
            self.wrong(f"{relative} has no group {group!r}")
            return []
        shown = self.env.temp_data.setdefault("effnet_corrections", {})
        shown.setdefault(relative, (set(groups), set()))[1].add(group)
        rows = []
        for row in groups[group]:
            why = wrong_with(row)
            if why:
                name = str(row.get("ids") or row.get("claim"))
                self.wrong(f"{relative}, {name}: {why}")
            else:
                rows.append(self.drawn(row))
        return rows

    def drawn(self, row: dict) -> nodes.Element:
        box = nodes.container(classes=["correction"], ids=[*row["ids"]])
        claim = nodes.paragraph(classes=["claim"])
        claim += nodes.inline("", row["verdict"], classes=["verdict", row["verdict"]])
        claim += nodes.Text(" ")
        claim += self.inline(row["claim"])
        claim += nodes.reference("", "#", refuri=f"#{row['ids'][0]}", internal=True,
                                 classes=["headerlink"], reftitle="Link to this correction")  # fmt: skip
        box += claim
        truth = nodes.container(classes=["truth"])
        lines = StringList(row["truth"].splitlines(), self.arguments[0])
        self.state.nested_parse(lines, self.lineno, truth)
        box += truth
        foot = nodes.paragraph(classes=["source"])
        foot += self.inline(row["source"])
        foot += shown_in(see=row["see"], later=row.get("later", []), cells=row.get("cells", []), row=", ".join(row["ids"]))
        box += foot
        return box

    def inline(self, text: str) -> list[nodes.Node]:
        children, messages = self.state.inline_text(text, self.lineno)
        return [*children, *messages]

    def wrong(self, message: str) -> None:
        report(self.env, self.env.docname, self.lineno, f"corrections: {message}")


def check_groups(app: Sphinx, doctree: nodes.document) -> None:
    for file, (groups, shown) in app.env.temp_data.pop("effnet_corrections", {}).items():
        for group in sorted(groups - shown):
            report(app.env, app.env.docname, None, f"corrections: {file}: the group {group!r} is not shown")


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(shown_in)):
        links: list[nodes.Node] = []
        for label in [*node["see"], *node["later"]]:
            link = linked(app, docname, label)
            if link:
                links += [nodes.Text(" and " if links else "; shown in "), link]
            elif label in node["see"]:
                report(app.env, docname, None, f"corrections: {node['row']}: there is no section {label!r}")
        for i, name in enumerate(node["cells"]):
            page = cells.page_of(app, name)
            if page is None:
                report(app.env, docname, None, f"corrections: {node['row']}: there is no cell {name!r}")
                continue
            uri = f"{app.builder.get_relative_uri(docname, page)}#{name}"
            links += [nodes.Text(" and " if i else "; computed by " if links else "; "),
                      nodes.reference("", "this one" if i else "this cell", refuri=uri, internal=True, classes=["cell-link"])]  # fmt: skip
        node.replace_self(links)


def setup(app: Sphinx) -> None:
    app.add_directive("corrections", Corrections)
    app.add_node(shown_in)
    app.connect("doctree-read", check_groups)
    app.connect("doctree-resolved", resolve)
