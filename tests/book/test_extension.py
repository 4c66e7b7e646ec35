"""The extension by itself: formulas, questions, and the rules that end a build.

Small books are built with the settings of the real one: one that breaks every rule at
once, one whose cell raises, one in which nothing is wrong.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from docutils import nodes
from effnet_book import gates, mathml, streams, styles
from effnet_book.gates import is_meaningful
from effnet_book.mathml import MathError, expand_colours, to_mathml
from effnet_book.question import parse_choices

import effnet_lib

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
%s
---
"""


# Formulas -------------------------------------------------------------------------


def drawn(latex: str, display: bool = False) -> str:
    """What stands inside the math element."""
    text = to_mathml(latex, display)
    ElementTree.fromstring(text)  # well formed
    return re.fullmatch(r"<math[^>]*>(.*)</math>", text, re.DOTALL)[1]


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"x", "<mi>x</mi>"),
        (r"\varphi^2_i", "<msubsup><mi>φ</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"1.15", "<mn>1.15</mn>"),
        (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"),
        (r"\mathbf{x}\mathbb{E}\mathcal{L}", "<mi>𝐱</mi><mi>𝔼</mi><mi>ℒ</mi>"),
        (r"\text{a b $c$}", "<mrow><mtext>a b\xa0</mtext><mi>c</mi></mrow>"),
        (r"\depth{d}", '<mrow class="effnet-depth"><mi>d</mi></mrow>'),
        (r"\textcolor{#B84A00}{w}", '<mrow class="effnet-width"><mi>w</mi></mrow>'),
        (r"a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (r"x'", '<mrow><mi>x</mi><mo lspace="0" rspace="0">′</mo></mrow>'),
    ],
)
def test_formula(latex, expected):
    assert drawn(latex) == expected


def test_limits_stand_under_and_over():
    assert drawn(r"\sum_{i}^{n}").startswith("<munderover>")
    assert drawn(r"\max_x").startswith("<munder>")
    assert drawn(r"\int_0^1").startswith("<msubsup>")
    assert drawn(r"\underbrace{x}_{y}").startswith("<munder><munder>")


def test_brackets_stretch_only_between_left_and_right():
    assert drawn(r"\left( x \right)").count('stretchy="true"') == 2
    assert drawn(r"(x) \lceil y \rceil").count('stretchy="false"') == 4


def test_aligned_rows_and_cells():
    table = ElementTree.fromstring(to_mathml(r"\begin{aligned} a &= b \\ &+ c \end{aligned}"))
    rows = table.findall(".//mtr")
    assert [len(row) for row in rows] == [2, 2]
    assert rows[1][1][0].get("form") == "infix"  # a sum that goes on, not a sign
    assert rows[0][0].get("class") == "math-r"


def test_functions_are_spaced_as_in_tex():
    thin = f'rspace="{mathml.THIN}"'
    assert thin in drawn(r"\log x")
    assert thin not in drawn(r"\log(x)")


def test_no_space_before_what_starts_a_formula():
    assert drawn(r"\approx 2") == '<mo lspace="0">≈</mo><mn>2</mn>'
    assert drawn(r"\times 3") == '<mo lspace="0" rspace="0">×</mo><mn>3</mn>'


def test_latex_stays_beside_the_drawing():
    assert 'alttext="\\alpha &lt; 1"' in to_mathml(r"\alpha < 1")


@pytest.mark.parametrize(
    "latex",
    [r"\foo", r"\begin{foo} x \end{foo}", r"\frac{1}", r"{x", r"x}", r"\left( x", r"x^1^2",
     r"a & b", r"\mathbb{\alpha}", r"\textcolor{red}{x}", r"\text{\foo}", r"\left\foo x \right)",
     r"\mathbf{", "\\unknown{x}", r"\begin{aligned} x \end{cases}", "☃"],
)  # fmt: skip
def test_what_is_not_understood_is_an_error(latex):
    with pytest.raises(MathError):
        to_mathml(latex)


def test_the_font_was_cut_for_every_symbol():
    """A symbol that is new to the tables must come into the font: see math_font.py."""
    from effnet_book.math_font import HELD, characters

    assert characters() == {int(code, 16) for code in HELD.read_text().split()}


def test_colours_for_other_renderers():
    assert expand_colours(r"\depth{d}^2 \widthx") == r"\textcolor{#0072B2}{d}^2 \widthx"


# Questions --------------------------------------------------------------------------


def test_choices_are_parsed():
    before, choices = parse_choices(
        ["Think first.", "- [ ] one", "  more", "  : why not", "", "    two paragraphs",
         "- [x] two", "  : why"]
    )  # fmt: skip
    assert before == ["Think first."]
    assert [choice.right for choice in choices] == [False, True]
    assert choices[0].text == ["one", "more"]
    assert choices[0].why == ["why not", "", "two paragraphs"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["- [ ] a", "  : b", "- [ ] c", "  : d"], "0: no choice is marked right"),
        (["- [x] a", "  : b", "- [x] c", "  : d"], "0: no choice is wrong"),
        (["- [x] a", "  : b", "- [ ] c"], "2: the choice 'c' has no explanation"),
        (["- [x] a", "  : b"], "0: a question needs two choices"),
        (["- [x] a", "not indented", "- [ ] c", "  : d"], "1: a line under a choice"),
    ],
)
def test_what_is_wrong_with_choices_is_said(lines, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_choices(lines)


@pytest.mark.parametrize("alt", ["", "plot", "a" * 64, "my picture.png"])
def test_alternative_text_that_says_nothing(alt):
    assert not is_meaningful(alt)


def test_a_page_that_ran_in_no_time():
    """As one does whose outputs come from somewhere else than its cells."""
    env = SimpleNamespace(metadata={"page": {}}, nb_metadata={"page": {}}, effnet_problems={})
    app = SimpleNamespace(env=env)
    outputs = nodes.container(nb_element="cell_code", cell_index=1)
    outputs += nodes.container(nb_element="cell_code_output")
    for runtime, problems in ((0.0001, 1), (None, 1), (0.8, 0)):
        env.nb_metadata["page"]["exec_data"] = {"succeeded": True, "runtime": runtime}
        env.effnet_problems.clear()
        gates.check_execution(app, "page", [outputs])
        assert len(env.effnet_problems.get("page", [])) == problems


# Styles ------------------------------------------------------------------------------


def test_rules_that_no_page_can_use_are_left_out():
    css = """@import "x.css"; /* .a */ .a{b:url(data:x;y)} .gone{c:d} .a,.gone>p{e:"}"}
        @media print{.gone{f:g}} @media screen{.a:not(.gone){h:i}} [data-gone] p{j:k}
        @font-face{src:url("a.woff2")} p:is(.gone,p){l:m}"""
    assert styles.used(css, {"a", "data-theme"}) == (
        '.a{b:url(data:x;y)}.a{e:"}"}@media screen{.a:not(.gone){h:i}}'
        '@font-face{src:url("a.woff2")}p:is(.gone,p){l:m}'
    )


# Cells -------------------------------------------------------------------------------


def test_the_pieces_of_a_stream_are_joined():
    def printed(text, name="stdout"):
        return {"output_type": "stream", "name": name, "text": text}

    picture = {"output_type": "display_data"}
    pieces = [printed("a"), printed("!", "stderr"), picture, printed("\nb\n"), printed("?", "stderr")]
    whole = [printed("a\nb\n"), printed("!?", "stderr"), picture]
    assert streams.joined(pieces) == whole == streams.joined(pieces)  # the notebook's own are left alone


# Books --------------------------------------------------------------------------------


class Built:
    """A small book, built by Jupyter Book with the settings of the real one."""

    def __init__(self, folder: Path, files: dict[str, str]):
        self.folder = folder
        (folder / "tools").symlink_to(ROOT / "tools")
        (folder / "_static").symlink_to(ROOT / "_static")
        (folder / "_config.yml").write_text((ROOT / "_config.yml").read_text("utf-8"), "utf-8")
        (folder / "chapters").mkdir()
        (folder / "chapters" / "references.bib").touch()
        rest = "".join(f"  - file: {name[:-3]}\n" for name in files if name.endswith(".md") and name != "index.md")
        toc = "format: jb-book\nroot: index\n" + (f"chapters:\n{rest}" if rest else "")
        (folder / "_toc.yml").write_text(toc, "utf-8")
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        self.build()

    def build(self) -> None:
        jupyter_book = Path(sys.executable).with_name("jupyter-book")
        result = subprocess.run(
            [sys.executable, jupyter_book, "build", ".", "-W", "-n", "--keep-going"],
            cwd=self.folder, capture_output=True, text=True, encoding="utf-8",
        )  # fmt: skip
        self.status = result.returncode
        self.output = re.sub(r"\x1b\[[\d;]*m", "", result.stdout + result.stderr)

    def errors(self, page: str) -> str:
        return "\n".join(
            line.split(f"{page}:", 1)[1].strip()
            for line in self.output.splitlines()
            if f"{page}:" in line and "ERROR" in line
        )

    def html(self, page: str) -> str:
        return (self.folder / "_build" / "html" / page).read_text("utf-8")


def cell(code: str, *options: str) -> str:
    return "\n".join(["```{code-cell} ipython3", *options, code, "```", ""])


BAD = {
    "index.md": "# Bad\n\n$\\foo$\n\n```{toctree}\n```\n".replace("```{toctree}\n```\n", ""),
    "question.md": "# Question\n\n```{question} Why?\n- [ ] a\n  : b\n- [ ] c\n  : d\n```\n",
    "head.md": "# Head\n\n```{chapter-head}\nno list\n```\n",
    "picture.md": "# Picture\n\n![](plot.png)\n",
    "plot.md": NOTEBOOK % "" + "# Plot\n\n" + cell(
        "from IPython.display import Image, display\n"
        "display(Image(filename='plot.png'))"
    ),
    "long.md": NOTEBOOK % "" + "# Long\n\n" + cell("print(1)\n" * 26, ":tags: [remove-input]"),
    "not_run.md": NOTEBOOK % "mystnb: {execution_mode: 'off'}" + "# Not run\n\n" + cell("print(1)"),
    "excused.md": NOTEBOOK % "mystnb: {execution_mode: 'off'}\nnot-run: it needs a GPU for an hour"
    + "# Excused\n\n" + cell("print(1)"),
    "map.md": "# Map\n\n```{book-map}\nhead: a sentence\nno colon\nhead: again\n```\n",
    "claims.yml": "one:\n- {ids: [C01], verdict: wrong, claim: a, truth: b, source: c, see: [nowhere]}\n"
    "- {ids: [C02], verdict: false, claim: a, truth: b, source: c, see: [nowhere]}\n"
    "two: []\n",
    "claims.md": "# Claims\n\n```{corrections} claims.yml one\n```\n",
    "mute.md": NOTEBOOK % "" + "# Mute\n\n" + cell("print(1)") + cell("x = 1"),
}  # fmt: skip
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fea735810e0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "plot.png").write_bytes(PIXEL)
    return Built(folder, BAD)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("index.md", r"3: ERROR: formula '\\\\foo': \\foo is not known"),
        ("question.md", r"\d+: ERROR: question: no choice is marked right"),
        ("head.md", r"3: ERROR: chapter-head: a list is missing"),
        ("picture.md", r"3: ERROR: the picture plot.png has no alternative text"),
        ("plot.md", r"ERROR: the picture \w+.png has no alternative text .*\(cell 1"),
        ("long.md", r"ERROR: cell 1 has 26 lines of code, more than 25"),
        ("not_run.md", r"ERROR: its code cells did not run; .* front matter as not-run"),
        ("map.md", r"5: ERROR: book-map: expected 'page: a sentence', got 'no colon'"),
        ("map.md", r"6: ERROR: book-map: head stands twice"),
        ("map.md", r"ERROR: book-map: no sentence for question"),
        ("claims.md", r"ERROR: corrections: C01: there is no section 'nowhere'"),
        ("claims.md", r"ERROR: corrections: claims.yml, \['C02'\]: its verdict is missing"),
        ("claims.md", r"ERROR: corrections: claims.yml: the group 'two' is not shown"),
        ("mute.md", r"ERROR: cell 2 prints nothing: .* not-run"),
    ],
)
def test_a_broken_rule_ends_the_build(bad, page, message):
    assert bad.status != 0
    assert re.search(message, bad.errors(page)), bad.output[-4000:]


def test_a_written_reason_excuses(bad):
    assert bad.errors("excused.md") == ""


def test_a_broken_rule_is_not_forgotten(bad):
    """An unchanged page is not read again, but what is wrong with it still is."""
    bad.build()
    assert bad.status != 0
    assert "is not known" in bad.errors("index.md")
    assert "more than 25" in bad.errors("long.md")


def test_a_cell_that_raises_stops_the_build(tmp_path):
    page = NOTEBOOK % "" + "# Raises\n\n" + cell("print(1)") + cell("1 / 0")
    built = Built(tmp_path, {"index.md": page})
    assert built.status != 0
    assert "ZeroDivisionError" in built.output


GOOD = NOTEBOOK % "" + r"""
# Good

```{chapter-head}
:prerequisites: the [other page](other.md)

- see that $\depth{d}$ has a colour
```

$$ a = b $$ (eq-good)

By {eq}`eq-good`. With $p$, without ($q$) and $r$ alone.

```{exercise-start} 1.1 Named
:label: ex-named
:nonumber:
```
Do.
```{exercise-end}
```

```{question} Is $x$ **bold**?
- [ ] $y$
  : No, see {eq}`eq-good`.
- [x] yes
  : Right.

    A second paragraph.
```

````{exercise}
:label: ex-good
Try.
````

````{solution} ex-good
:label: sol-good
Done.
````

:::{admonition} More
:class: dropdown
Hidden.
:::

""" + cell("print(1)") + cell(
    "import sys\n"
    "for piece in ('in ', 'pieces', '\\n', '  next'):\n"
    "    sys.stdout.write(piece)\n"
    "    sys.stdout.flush()"
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Built:
    built = Built(tmp_path_factory.mktemp("good"), {"index.md": GOOD, "other.md": "# Other\n\nText.\n"})
    assert built.status == 0, built.output[-4000:]
    return built


def test_a_good_page(good):
    from bs4 import BeautifulSoup

    page = BeautifulSoup(good.html("index.html"), "html.parser")
    assert "minutes" in page.select_one(".chapter-head .reading-time").text
    assert page.select_one(".chapter-head a[href='other.html']")
    equation = page.select_one("div.math#equation-eq-good")
    assert equation.select_one("math[display=block]")
    assert equation.select_one(".eqno a.headerlink[href='#equation-eq-good']")
    question = page.select_one("fieldset.question")
    assert question.legend.strong.text == "bold"
    assert [label["for"] for label in question.find_all("label")] == [
        radio["id"] for radio in question.find_all("input")
    ]
    assert len(question.select(".choice.right .why p")) == 3  # the verdict and two
    assert question.select_one(".choice.wrong .why a[href='#equation-eq-good']")
    titles = [box.summary.text for box in page.select("details.admonition")]
    assert titles == ["Solution to Exercise 1", "More"]
    assert not page.select("details a[href='#ex-good']")
    # A formula keeps its comma and its brackets; one without neighbours needs no box.
    kept = [box.find(string=True, recursive=False) for box in page.select("span.nobreak:has(math)")]
    assert kept == [",", "("] and not page.find("math", string="r").find_parent(class_="nobreak")
    assert "Exercise 1.1 Named" in [title.text for title in page.select(".admonition-title")]


def test_a_cells_output_is_shown_as_it_was_printed(good):
    """Though the kernel sends it in pieces."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(good.html("index.html"), "html.parser")
    assert [out.text.rstrip() for out in page.select(".cell_output .stream")] == ["1", "in pieces\n  next"]


def test_a_page_loads_little(good):
    """No script or style of what the book does without, and nothing from elsewhere."""
    html = good.html("index.html")
    for name in ("fontawesome", "bootstrap.js", "pydata-sphinx-theme.js", "thebe", "togglebutton",
                 "mathjax@", "mathjax.js", "require.js", "sphinx-design", "https://cdn", "unpkg"):  # fmt: skip
        assert name not in html.lower()
    other = good.html("other.html")
    assert "copybutton" in html and "copybutton" not in other
    assert not (good.folder / "_build" / "html" / "_static" / "vendor").exists()


def test_colab_is_offered_only_where_a_notebook_stands(good):
    assert "colab" not in good.html("index.html")
    (good.folder / "index.ipynb").write_text('{"cells": []}')
    (good.folder / "index.md").write_text(GOOD + "\n")
    good.build()
    link = re.search(r'href="(https://colab[^"]*)"', good.html("index.html"))[1]
    address = re.search(r"url: https://github.com/(\S+)", (ROOT / "_config.yml").read_text())[1]
    assert link == f"https://colab.research.google.com/github/{address}/blob/v{effnet_lib.__version__}/index.ipynb"
