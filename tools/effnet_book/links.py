"""Links to sections that may still be in writing.

``{section}`label` `` is the section's title, linked, as soon as the section is there, and
"to come" until then. A link that must be there is written ``{ref}`label` ``.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole


class section_link(nodes.General, nodes.Inline, nodes.Element):
    """A link by label, made when all pages have been read."""


class Section(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [section_link(label=self.text)], []


def linked(app: Sphinx, docname: str, label: str) -> nodes.reference | None:
    """A reference from a page to a labelled place, by its section's title; None where there is none."""
    known = app.env.domaindata["std"]
    if label in known["labels"]:
        page, anchor, title = known["labels"][label]
    elif label in known["anonlabels"]:  # within a section
        page, anchor = known["anonlabels"][label]
        title = section_of(app.env.get_doctree(page), anchor)
    else:
        return None
    uri = app.builder.get_relative_uri(docname, page) + (f"#{anchor}" if anchor else "")
    return nodes.reference("", title, refuri=uri, internal=True, classes=["section"])


def section_of(doctree: nodes.document, anchor: str) -> str:
    """The title of the innermost section around the node with this id."""
    node = next(node for node in doctree.findall(nodes.Element) if anchor in node.get("ids", ()))
    while not isinstance(node, nodes.section):
        node = node.parent
    return node[0].astext()


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for link in list(doctree.findall(section_link)):
        link.replace_self(linked(app, docname, link["label"]) or nodes.Text("to come"))


def setup(app: Sphinx) -> None:
    app.add_role("section", Section())
    app.add_node(section_link)
    app.connect("doctree-resolved", resolve)
