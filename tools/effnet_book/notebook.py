"""Each chapter as a notebook for Colab, written beside the page from the same source.

The page's document tree, references resolved, becomes Markdown and code cells: directives turn
into what every notebook shows, cross-references into words or links to the published book, and
a solution into a ``<details>`` that holds its code as text. Outputs are left out, since the
reader is to make them. What has no form in a notebook stops the build, and so does what is known
to break in Colab (``colab.py``).

In a chapter's front matter ``gpu: true`` asks Colab for a GPU, and ``packages: NAME, NAME`` has
the first cell install what Colab lacks, at the version of ``requirements.txt``.

``_build/notebooks`` holds the result; ``make notebooks`` copies it beside the chapters.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from myst_nb.core.read import create_nb_reader
from sphinx import addnodes
from sphinx.application import Sphinx

from . import colab
from .address import repository
from .chapter_head import chapter_head_node
from .details import details_node
from .problems import report
from .question import choice_node, question_node

FOLDER = "notebooks"
ROOT = Path(__file__).resolve().parents[2]
#: Commands of our own in formulas, in the colours that they have on the page.
COLOURS = {"depth": "#0072b2", "width": "#b84a00", "resolution": "#00785a"}

SETUP = '''\
# Installs the library of this book, at the version that this notebook was made for, and what
# this runtime lacks besides. What is here already stays as it is.
import importlib.util
import sys
from importlib import metadata

VERSION = "{version}"
PACKAGES = {{
{packages}
}}


class Stop(Exception):
    def _render_traceback_(self):  # one line in place of a traceback
        return [str(self)]


def version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def install():
    running = None  # the version of the library that this session has
    if importlib.util.find_spec("effnet_lib"):
        from effnet_lib import __version__ as running
    lacking = [name for name in PACKAGES if name != "effnet_lib" and not version(name)]
    lacking += ["effnet_lib"] if running != VERSION else []
    absent = [name for name in {base} if not importlib.util.find_spec(name)]
    torch = version("torch") or "0"
    if sys.version_info < {python}:
        raise Stop("This runtime is too old: the notebook needs Python {python_text} or newer, "
                   f"and here is {{sys.version.split()[0]}}")
    if absent:
        raise Stop(f"There is no {{' and no '.join(absent)}} here: install first, with "
                   f"%pip install {{' '.join(absent)}}")
    if [int(part) for part in torch.split(".")[:2]] < {torch}:
        raise Stop("This runtime is too old: the notebook needs torch {torch_text} or newer, "
                   f"and here is {{torch}}")
    if not lacking:
        print(f"effnet_lib {{VERSION}} is here already: nothing to install")
        return
    addresses = " ".join(PACKAGES[name] for name in lacking)
    %pip install -q --no-deps {{addresses}}
    importlib.invalidate_caches()
    failed = [name for name in lacking
              if not version(name) or name == "effnet_lib" and version(name) != VERSION]
    if failed:
        raise Stop(f"Not installed: {{', '.join(failed)}}. See pip's message above, then run "
                   "this cell again")
    if running and running != VERSION:
        raise Stop(f"effnet_lib {{VERSION}} is installed, but {{running}} still runs: restart the "
                   "runtime (in Colab: Runtime, Restart session), then run this cell again")
    print("Installed:", ", ".join(f"{{name}} {{version(name)}}" for name in sorted(lacking)))


install()'''
#: What a notebook needs and does not install: Colab has them, and changing them there breaks others.
BASE = ("torch", "torchvision", "matplotlib", "ipywidgets")
#: What Colab lacks; a chapter's front matter may name more under ``packages``.
PACKAGES = ("torchinfo",)


class Unfit(Exception):
    """Something that a notebook cannot show."""


class Writer:
    """The cells of one page.

    Args:
        resolve: gives the address of a link target in the published book.
        equations: the numbers of the page's equations in the book, by their ids.
    """

    def __init__(self, resolve, equations):
        self.resolve, self.equations = resolve, equations
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
            tag = rf" \tag{{{'.'.join(map(str, self.equations[node['ids'][0]]))}}}" if node.get("number") else ""
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
            for fault in colab.notebook_faults(notebook):
                report(app.env, docname, None, f"breaks in Colab: {fault}")
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

    writer = Writer(resolve, app.env.toc_fignumbers.get(docname, {}).get("displaymath", {}))
    cells = writer.page(doctree)
    gpu = app.env.metadata[docname].get("gpu")
    packages = [name.strip() for name in app.env.metadata[docname].get("packages", "").split(",") if name.strip()]
    first = writer.cell("code", setup_cell(app, packages)) | {"execution_count": None, "outputs": [], "id": "install"}
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


def setup_cell(app: Sphinx, packages: Sequence[str] = ()) -> str:
    """The first cell, stamped with version, address and requirements, each from its one place."""
    import effnet_lib

    version = effnet_lib.__version__
    addresses = {"effnet_lib": f"git+{repository(app.config)}@v{version}"}
    addresses |= {name: f"{name}=={pinned(name)}" for name in (*PACKAGES, *packages)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    python = project["requires-python"].removeprefix(">=")
    torch = next(need for need in project["dependencies"] if need.startswith("torch>=")).removeprefix("torch>=")
    return SETUP.format(
        version=version, base=BASE, python=numbers(python), python_text=python, torch=list(numbers(torch)), torch_text=torch,
        packages="\n".join(f'    "{name}": "{address}",' for name, address in addresses.items()),
    )  # fmt: skip


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def pinned(package: str) -> str:
    """The version of a package that the book is tested with."""
    found = re.search(rf"^{re.escape(package)}==([\w.]+)", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
    if not found:
        raise Unfit(f"a notebook can install only what requirements.txt pins, and {package} is not there")
    return found[1]


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", keep_sources, priority=800)
    app.connect("build-finished", write_notebooks, priority=300)  # before problems are told
