"""The ``question`` directive: a question that the reader answers on the page.

A radio group, an explanation for each choice; it works without scripts, because style
alone shows the explanation of the choice that is marked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from .problems import report

CHOICE = re.compile(r"- \[( |x|X)\] +(\S.*)")


@dataclass
class Choice:
    """One answer: its text, and the explanation's lines with their offsets."""

    right: bool
    text: list[str]
    offset: int
    why: list[str] = field(default_factory=list)
    why_offset: int = 0


def parse_choices(lines: list[str]) -> tuple[list[str], list[Choice]]:
    """What stands before the choices, and the choices, from a question's source.

    ``- [ ] text`` begins a wrong choice, ``- [x] text`` a right one, and the indented
    ``: text`` under it begins its explanation, which goes on while it is indented.
    Raises ValueError with the line's offset in front: ``3: a choice must …``.
    """
    before: list[str] = []
    choices: list[Choice] = []
    for offset, line in enumerate(lines):
        if match := CHOICE.fullmatch(line.rstrip()):
            choices.append(Choice(match[1] != " ", [match[2]], offset))
        elif not choices:
            before.append(line)
        elif line.strip() and not line.startswith("  "):
            raise ValueError(f"{offset}: a line under a choice is indented by two spaces")
        elif line.startswith("  : ") and not choices[-1].why:
            choices[-1].why = [line[4:]]
            choices[-1].why_offset = offset
        elif choices[-1].why:
            choices[-1].why.append(line[4:] if line.startswith("    ") else line[2:])
        elif line.strip():
            choices[-1].text.append(line[2:])
    for choice in choices:
        if not "".join(choice.why).strip():
            raise ValueError(f"{choice.offset}: the choice {choice.text[0]!r} has no explanation")
    if len(choices) < 2:
        raise ValueError("0: a question needs two choices or more")
    if not any(choice.right for choice in choices):
        raise ValueError("0: no choice is marked right with [x]")
    if all(choice.right for choice in choices):
        raise ValueError("0: no choice is wrong")
    return before, choices


class question_node(nodes.General, nodes.Element):
    """The whole question: a legend, what stands before the choices, the choices."""


class legend_node(nodes.Part, nodes.TextElement):
    """The question itself."""


class choice_node(nodes.Part, nodes.Element):
    """A choice: its text, then its explanation."""


class choice_text_node(nodes.Part, nodes.TextElement):
    """The text beside the radio button."""


class why_node(nodes.Part, nodes.Element):
    """The explanation."""


class QuestionDirective(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: dict = {}

    def run(self) -> list[nodes.Node]:
        try:
            before, choices = parse_choices(list(self.content))
        except ValueError as error:
            offset, message = str(error).split(": ", 1)
            line = self.lineno + self.content_offset + int(offset) + 1
            report(self.env, self.env.docname, line, f"question: {message}")
            return []
        number = self.env.new_serialno("effnet-question") + 1
        question = question_node(ids=[f"question-{number}"])
        self.set_source_info(question)
        legend = legend_node()
        legend += self.inline(self.arguments[0])
        question += legend
        self.block(before, 0, question)
        for index, choice in enumerate(choices, start=1):
            node = choice_node(right=choice.right, group=f"question-{number}", index=index)
            text = choice_text_node()
            text += self.inline("\n".join(choice.text).strip())
            why = why_node(right=choice.right)
            self.block(choice.why, choice.why_offset, why)
            node += [text, why]
            question += node
        return [question]

    def inline(self, text: str) -> list[nodes.Node]:
        children, messages = self.state.inline_text(text, self.lineno)
        return children + messages

    def block(self, lines: list[str], offset: int, parent: nodes.Element) -> None:
        content = StringList(lines, self.state.document.current_source or "")
        self.state.nested_parse(content, self.content_offset + offset, parent)


def visit_question(self, node: question_node) -> None:
    self.body.append(self.starttag(node, "fieldset", CLASS="question"))


def depart_question(self, node: question_node) -> None:
    self.body.append("</fieldset>\n")


def visit_legend(self, node: legend_node) -> None:
    self.body.append('<legend><span class="box-kind">Question</span> ')


def depart_legend(self, node: legend_node) -> None:
    self.body.append("</legend>\n")


def visit_choice(self, node: choice_node) -> None:
    name, index = node["group"], node["index"]
    kind = "right" if node["right"] else "wrong"
    self.body.append(
        f'<div class="choice {kind}"><input type="radio" name="{name}" id="{name}-{index}">'
    )


def depart_choice(self, node: choice_node) -> None:
    self.body.append("</div>\n")


def visit_choice_text(self, node: choice_text_node) -> None:
    self.body.append(f'<label for="{node.parent["group"]}-{node.parent["index"]}">')


def depart_choice_text(self, node: choice_text_node) -> None:
    self.body.append("</label>\n")


def visit_why(self, node: why_node) -> None:
    # The outer box is there from the start, so that what appears in it is announced.
    word = "Right." if node["right"] else "Not right."
    self.body.append(
        f'<div aria-live="polite"><div class="why"><p class="verdict">{word}</p>'
    )


def depart_why(self, node: why_node) -> None:
    self.body.append("</div></div>\n")


def setup(app: Sphinx) -> None:
    app.add_directive("question", QuestionDirective)
    app.add_node(question_node, html=(visit_question, depart_question))
    app.add_node(legend_node, html=(visit_legend, depart_legend))
    app.add_node(choice_node, html=(visit_choice, depart_choice))
    app.add_node(choice_text_node, html=(visit_choice_text, depart_choice_text))
    app.add_node(why_node, html=(visit_why, depart_why))
