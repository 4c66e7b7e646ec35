"""Each chapter as a notebook for Colab, written beside the page from the same source.

The page's document tree, references resolved, becomes Markdown and code cells: directives turn
into what every notebook shows, cross-references into words or links to the published book, and
a solution into a ``<details>`` that holds its code as text. Outputs are left out, since the
reader is to make them. What has no form in a notebook stops the build.

``_build/notebooks`` holds the result; ``make notebooks`` copies it beside the chapters.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from myst_nb.core.read import create_nb_reader
from sphinx import addnodes
from sphinx.application import Sphinx

from .chapter_head import chapter_head_node
from .details import details_node, summary_node
from .problems import report
from .question import choice_node, question_node

FOLDER = "notebooks"
#: Commands of our own in formulas, in the colours that they have on the page.
COLOURS = {"depth": "#0072b2", "width": "#b84a00", "resolution": "#00785a"}

SETUP = '''\
# Installs the library of this book where it is not there yet.
import importlib.util
import sys

VERSION = "{version}"
if sys.version_info < (3, 11):
    raise SystemExit("This notebook needs Python 3.11 or newer: "
                     f"this runtime has {{sys.version.split()[0]}}")
if importlib.util.find_spec("effnet_lib") is None:
    %pip install -q --no-deps {packages}
    importlib.invalidate_caches()
    if importlib.util.find_spec("effnet_lib") is None:
        raise SystemExit("The library was not installed: see pip's message "
                         "above, then run this cell again")
    print(f"Installed effnet_lib {{VERSION}} and torchinfo")
else:
    print("effnet_lib is here already: nothing to install")
import effnet_lib

if effnet_lib.__version__ != VERSION:
    print(f"This notebook was made for effnet_lib {{VERSION}}; "
          f"here is {{effnet_lib.__version__}}")'''


class Unfit(Exception):
    """Something that a notebook cannot show."""


class Writer:
    """The cells of one page.

    Args:
        resolve: gives the address of a link target in the published book.
    """

    def __init__(self, resolve):
        self.resolve = resolve
        self.cells: list[dict] = []
        self.pending: list[str] = []
        self.place = ["start"]  # the sections around, for the ids of cells
        self.counts: dict[str, int] = {}

    # Cells

    def flush(self) -> None:
        text = "\n\n".join(part for part in self.pending if part.strip())
        self.pending = []
        if text:
            self.cells.append(self.cell("markdown", text))

    def code(self, source: str) -> None:
        self.flush()
        self.cells.append(self.cell("code", source) | {"execution_count": None, "outputs": []})

    def cell(self, kind: str, source: str) -> dict:
        base = f"{self.place[-1][:50]}-{'text' if kind == 'markdown' else 'code'}"
        self.counts[base] = self.counts.get(base, 0) + 1
        lines = source.splitlines(keepends=True)
        return {"cell_type": kind, "id": f"{base}-{self.counts[base]}", "metadata": {}, "source": lines}

    # Blocks

    def page(self, document: nodes.document) -> list[dict]:
        for child in document.children:
            self.block(child, 1)
        self.flush()
        return self.cells

    def block(self, node: nodes.Node, level: int) -> None:
        """A block at the top, where code cells are cells of the notebook."""
        if isinstance(node, nodes.section):
            title = node[0]
            names = [i for i in node["ids"] if not i.startswith("id")] or ["section"]
            self.flush()
            self.place.append(re.sub(r"[^a-zA-Z0-9_-]", "-", names[0]))
            self.pending.append(f"{'#' * min(level, 6)} {self.inline(title)}")
            for child in node.children[1:]:
                self.block(child, level + 1)
            self.flush()
            self.place.pop()
        elif is_cell(node):
            self.code(code_of(node))
        elif isinstance(node, nodes.Admonition) and has_cells(node):
            self.flush()
            title, *body = node.children
            self.pending.append(f"{'#' * min(level, 6)} {self.inline(title)}")
            for child in flat(body):
                self.block(child, level + 1)
        elif transparent(node):
            for child in node.children:
                self.block(child, level)
        else:
            self.pending.append(self.text(node))

    def text(self, node: nodes.Node) -> str:
        """A block as Markdown; code cells inside are shown as text."""
        if isinstance(node, INVISIBLE):
            return ""
        if is_cell(node):
            return f"```python\n{code_of(node)}\n```"
        if isinstance(node, nodes.paragraph):
            return self.inline(node)
        if isinstance(node, nodes.math_block):
            tag = rf" \tag{{{node['number']}}}" if node.get("number") else ""
            latex = macros(node.astext().strip())
            return f"$$\n{latex}{tag}\n$$"
        if isinstance(node, nodes.literal_block):
            return f"```{node.get('language', '') if node.get('language') != 'none' else ''}\n{node.astext()}\n```"
        if isinstance(node, (nodes.bullet_list, nodes.enumerated_list)):
            numbered = isinstance(node, nodes.enumerated_list)
            return "\n".join(
                indented(self.blocks(item.children), f"{i}. " if numbered else "- ")
                for i, item in enumerate(node.children, node.get("start", 1))
            )
        if isinstance(node, nodes.definition_list):
            parts = []
            for item in node.children:
                terms = [self.inline(t) for t in item.children if isinstance(t, nodes.term)]
                body = self.blocks(d for t in item.children if isinstance(t, nodes.definition) for d in t.children)
                parts.append(f"**{', '.join(terms)}**: {body}")
            return "\n\n".join(parts)
        if isinstance(node, nodes.table):
            return self.table(node)
        if isinstance(node, nodes.block_quote):
            return "\n".join(f"> {line}".rstrip() for line in self.blocks(node.children).splitlines())
        if isinstance(node, details_node):
            summary, *body = node.children
            return details(self.inline(summary), self.blocks(flat(body)))
        if isinstance(node, question_node):
            return self.question(node)
        if isinstance(node, nodes.Admonition):
            title, *body = node.children if isinstance(node[0], nodes.title) else (None, *node.children)
            name = self.inline(title) if title is not None else type(node).__name__.capitalize()
            return "\n".join(f"> {line}".rstrip() for line in f"**{name}**\n\n{self.blocks(flat(body))}".splitlines())
        if isinstance(node, nodes.figure):
            return self.blocks(node.children)
        if isinstance(node, nodes.caption):
            return f"*{self.inline(node)}*"
        if isinstance(node, nodes.image):
            return self.inline_node(node)
        if isinstance(node, nodes.rubric):
            return f"**{self.inline(node)}**"
        if isinstance(node, nodes.transition):
            return "---"
        if isinstance(node, nodes.section):  # of an exercise's or a solution's body
            return self.blocks(node.children)
        if isinstance(node, nodes.title):
            return f"**{self.inline(node)}**"
        if transparent(node):
            return self.blocks(node.children)
        raise Unfit(f"{type(node).__name__} has no form in a notebook: {node.astext()[:60]!r}")

    def blocks(self, children) -> str:
        return "\n\n".join(filter(None, (self.text(child) for child in children)))

    def question(self, node: question_node) -> str:
        legend, *rest = node.children
        parts = [f"**Question.** {self.inline(legend)}"]
        parts += [self.text(child) for child in rest if not isinstance(child, choice_node)]
        for choice in rest:
            if isinstance(choice, choice_node):
                text, why = choice.children
                verdict = "Right." if choice["right"] else "Not right."
                parts.append(details(self.inline(text), f"**{verdict}** {self.blocks(why.children)}"))
        return "\n\n".join(parts)

    def table(self, node: nodes.table) -> str:
        group = next(node.findall(nodes.tgroup))
        rows = [
            [" ".join(self.blocks(entry.children).split()).replace("|", r"\|") for entry in row.children]
            for row in group.findall(nodes.row)
        ]
        if not any(isinstance(child, nodes.thead) for child in group.children):
            rows.insert(0, [""] * len(rows[0]))
        ends = []
        for cell in next(group.findall(nodes.row)).children:
            ends.append("---:" if "text-right" in " ".join(cell.get("classes", [])) else "---")
        lines = [f"| {' | '.join(row)} |" for row in rows]
        lines.insert(1, f"|{'|'.join(ends)}|")
        caption = [f"*{self.inline(child)}*\n" for child in node.children if isinstance(child, nodes.title)]
        return "\n".join([*caption, *lines])

    # Words

    def inline(self, node: nodes.Element) -> str:
        return "".join(self.inline_node(child) for child in node.children)

    def inline_node(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Text):
            return escaped(node.astext())
        if isinstance(node, INVISIBLE):
            return ""
        if isinstance(node, nodes.math):
            return f"${macros(node.astext().strip())}$"
        if isinstance(node, nodes.literal):
            fence = "``" if "`" in node.astext() else "`"
            return f"{fence}{node.astext()}{fence}"
        if isinstance(node, nodes.emphasis):
            return marked("*", self.inline(node))
        if isinstance(node, nodes.strong):
            return marked("**", self.inline(node))
        if isinstance(node, nodes.reference):
            target = self.resolve(node)
            return f"[{self.inline(node)}]({target})" if target else self.inline(node)
        if isinstance(node, nodes.image):
            return f"![{node.get('alt', '')}]({self.resolve(node)})"
        if isinstance(node, nodes.superscript):
            return f"<sup>{self.inline(node)}</sup>"
        if isinstance(node, nodes.subscript):
            return f"<sub>{self.inline(node)}</sub>"
        if isinstance(node, (nodes.inline, nodes.generated, nodes.abbreviation)):
            return self.inline(node)
        if isinstance(node, nodes.paragraph):
            return self.inline(node)
        raise Unfit(f"{type(node).__name__} has no form in a line of a notebook: {node.astext()[:60]!r}")


INVISIBLE = (
    nodes.comment, nodes.target, nodes.system_message, nodes.substitution_definition, addnodes.index,
    nodes.raw, nodes.footnote,
)  # fmt: skip


def is_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def code_of(cell: nodes.container) -> str:
    for part in cell.findall(nodes.container):
        if part.get("nb_element") == "cell_code_source":
            return part.astext().rstrip()
    return cell["notebook_source"]  # its input is not shown; see keep_sources


def has_cells(node: nodes.Node) -> bool:
    return any(is_cell(part) for part in node.findall(nodes.container))


def flat(children):
    """Blocks of an exercise or a solution without the section that sphinx-exercise puts around them."""
    for child in children:
        if isinstance(child, nodes.section) and not isinstance(child[0], nodes.title):
            yield from flat(child.children)
        else:
            yield child


def transparent(node: nodes.Node) -> bool:
    known = (nodes.container, nodes.section, nodes.compound, chapter_head_node, nodes.legend, nodes.topic)
    return isinstance(node, known)


def details(summary: str, body: str) -> str:
    return f"<details>\n<summary>{summary_html(summary)}</summary>\n\n{body}\n\n</details>"


def marked(mark: str, text: str) -> str:
    """``text`` between marks, which Markdown wants close to it."""
    inner = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}{mark}{inner}{mark}{after}"


def summary_html(markdown: str) -> str:
    """A line of Markdown as a summary shows it, where Markdown is not read everywhere."""
    line = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", markdown)
    line = re.sub(r"(?<!\*)\*([^*]+)\*", r"<i>\1</i>", line)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", line)


def indented(text: str, mark: str) -> str:
    first, *rest = text.splitlines() or [""]
    return "\n".join([mark + first, *((" " * len(mark) + line).rstrip() for line in rest)])


def escaped(text: str) -> str:
    text = re.sub(r"([\\`*_\[\]$])", r"\\\1", text.replace("\n", " "))
    return text.replace("<", "&lt;").replace(">", "&gt;")


def macros(latex: str) -> str:
    r"""``\depth{d}`` and the like in colours that MathJax and KaTeX know."""
    for name, colour in COLOURS.items():
        latex = re.sub(rf"\\{name}\{{", rf"\\textcolor{{{colour}}}{{", latex)
    return latex


def keep_sources(app: Sphinx, doctree: nodes.document) -> None:
    """Remember the code of cells whose input the page hides."""
    docname = app.env.docname
    cells = [node for node in doctree.findall(nodes.container) if is_cell(node)]
    if not cells:
        return
    path = app.env.doc2path(docname)
    text = Path(path).read_text(encoding="utf-8")
    reader = create_nb_reader(path, app.env.myst_config, app.env.mystnb_config, text)
    notebook = reader.read(text)
    for cell in cells:
        cell["notebook_source"] = notebook.cells[cell["cell_index"]].source.rstrip()


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.name != "html":
        return
    folder = Path(app.outdir).parent / FOLDER
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.ipynb"):
        old.unlink()
    for docname in sorted(app.env.found_docs):
        if docname.startswith("chapters/"):
            doctree = app.env.get_and_resolve_doctree(docname, app.builder)
            try:
                notebook = make_notebook(app, docname, doctree)
            except Unfit as error:
                report(app.env, docname, None, f"notebook: {error}")
                continue
            text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            (folder / f"{Path(docname).name}.ipynb").write_text(text, encoding="utf-8")


def make_notebook(app: Sphinx, docname: str, doctree: nodes.document) -> dict:
    published = app.config.html_baseurl or ""
    here = urljoin(published, app.builder.get_target_uri(docname))

    def resolve(node: nodes.Element) -> str | None:
        if isinstance(node, nodes.image):
            return urljoin(published, f"_images/{Path(node['uri']).name}")
        target = node.get("refuri")
        if not target or target.startswith("#"):
            return None  # within the page: the words alone
        return target if urlsplit(target).scheme else urljoin(here, target)

    writer = Writer(resolve)
    cells = writer.page(doctree)
    gpu, besides = (app.env.metadata[docname].get(key) for key in ("gpu", "packages"))
    first = writer.cell("code", setup_cell(app, besides)) | {"execution_count": None, "outputs": [], "id": "install"}
    cells.insert(1, first)
    colab = {"provenance": [], "toc_visible": True} | ({"gpuType": "T4"} if gpu else {})
    return {
        "cells": cells,
        "metadata": {
            "colab": colab,
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        } | ({"accelerator": "GPU"} if gpu else {}),
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def setup_cell(app: Sphinx, besides: str | None) -> str:
    """The first cell; ``besides`` are packages that the page's own head asks for (``packages:``)."""
    import effnet_lib

    version = effnet_lib.__version__
    address = app.config.html_theme_options["repository_url"]
    packages = f'"effnet_lib @ git+{address}@v{version}" torchinfo==1.8.0'
    packages += f" {besides}" if besides else ""
    return SETUP.format(version=version, packages=packages)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", keep_sources, priority=800)
    app.connect("build-finished", write_notebooks, priority=300)  # before problems are told
