"""Links to sections that may still be in writing.

``{section}`label` `` is the section's title, linked, as soon as the section is there, and
"to come" until then. A link that must be there is written ``{ref}`label` ``.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxRole


class section_link(nodes.General, nodes.Inline, nodes.Element):
    """A link by label, made when all pages have been read."""


class Section(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [section_link(label=self.text)], []


def linked(app: Sphinx, docname: str, label: str) -> nodes.reference | None:
    """A reference from a page to a labelled section, with its title; None where there is none."""
    found = app.env.domaindata["std"]["labels"].get(label)
    if not found:
        return None
    page, anchor, title = found
    uri = app.builder.get_relative_uri(docname, page) + (f"#{anchor}" if anchor else "")
    return nodes.reference("", title, refuri=uri, internal=True, classes=["section"])


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for link in list(doctree.findall(section_link)):
        link.replace_self(linked(app, docname, link["label"]) or nodes.Text("to come"))


def setup(app: Sphinx) -> None:
    app.add_role("section", Section())
    app.add_node(section_link)
    app.connect("doctree-resolved", resolve)
