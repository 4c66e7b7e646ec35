"""Hidden solutions as ``<details>``: they open without scripts and print in full.

sphinx-exercise writes an admonition that sphinx-togglebutton hides by script. Here every
solution, and every admonition with ``:class: dropdown``, becomes a ``<details>``.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import is_exercise_node, is_solution_node


class details_node(nodes.General, nodes.Element):
    """A box that opens and closes."""


class summary_node(nodes.Part, nodes.TextElement):
    """Its title, always to be seen."""


class HideSolutions(SphinxPostTransform):
    """Runs last, when sphinx-exercise has written the titles."""

    default_priority = 999
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for node in list(self.document.findall(nodes.Admonition)):
            if is_exercise_node(node) or is_solution_node(node):
                self.name(node)
                for section in node.findall(nodes.section):
                    # sphinx-exercise gives all of them the same id, which is none
                    section["ids"] = [i for i in section["ids"] if not i.endswith("-content")]
            if is_solution_node(node) or "dropdown" in node.get("classes", []):
                node.replace_self(self.details(node))

    def name(self, node: nodes.Element) -> None:
        """``Exercise (2.1 Multipliers)`` becomes ``Exercise 2.1 Multipliers``."""
        for text in list(node[0].findall(nodes.Text)):
            if text in (" (", ")"):  # as sphinx-exercise puts them around the title
                text.parent.replace(text, nodes.Text(text.strip("()")))

    def details(self, node: nodes.Element) -> details_node:
        classes = [name for name in node["classes"] if name != "dropdown"]
        details = details_node(ids=node["ids"], classes=classes)
        title, *body = node.children
        summary = summary_node()
        for reference in list(title.findall(nodes.reference)):
            reference.replace_self(reference.children)  # a link in a button opens nothing
        summary += title.children
        details += [summary, *body]
        return details


def visit_details(self, node: details_node) -> None:
    self.body.append(self.starttag(node, "details", CLASS="admonition"))


def depart_details(self, node: details_node) -> None:
    self.body.append("</details>\n")


def visit_summary(self, node: summary_node) -> None:
    self.body.append('<summary>')


def depart_summary(self, node: summary_node) -> None:
    self.body.append("</summary>\n")


def setup(app: Sphinx) -> None:
    app.add_node(details_node, html=(visit_details, depart_details))
    app.add_node(summary_node, html=(visit_summary, depart_summary))
    app.add_post_transform(HideSolutions)
