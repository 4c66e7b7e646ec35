"""The notebooks for Colab: made from the chapters, whole, and running from top to bottom alone."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
import readers
from bs4 import BeautifulSoup
from effnet_book import colab
from effnet_book.notebook import pinned
from IPython.core.inputtransformer2 import TransformerManager
from tools import stamp

import effnet_lib

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
COLAB_LIST = (ROOT / "tests" / "colab" / "colab-2026-08.txt").read_text("utf-8")
NOTEBOOKS = sorted(ROOT.glob("chapters/*.ipynb"))
RAW = re.compile(r"```\{|:::|\{(ref|doc|eq|cite|term|math|numref)[:}]|\]\((?!https?://)|^---$", re.M)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def test_every_chapter_has_its_notebook(book):
    made = sorted(path.name for path in (book.parent / "notebooks").glob("*.ipynb"))
    chapters = sorted(path.with_suffix(".ipynb").name for path in ROOT.glob("chapters/*.md"))
    assert made == chapters == [path.name for path in NOTEBOOKS]


def test_it_is_what_its_chapter_makes(book, notebook):
    made = (book.parent / "notebooks" / notebook.name).read_text()
    assert notebook.read_text() == made, "the chapter has changed: run `make notebooks`"


def test_it_is_a_plain_notebook(notebook):
    nbformat.validate(read := nbformat.read(notebook, as_version=4))
    ids = [cell.id for cell in read.cells]
    assert len(set(ids)) == len(ids)
    assert "widgets" not in read.metadata
    assert read.cells[0].cell_type == "markdown" and read.cells[0].source.startswith("# ")
    assert read.cells[1].id == "install"
    for cell in read.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
        else:
            text = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
            assert not (found := RAW.search(text)), (cell.id, found)


def test_its_code_is_that_of_the_page(notebook):
    """Every cell of the source is there, in its order; solutions as text."""
    source = notebook.with_suffix(".md").read_text()
    cells = re.findall(r"^```\{code-cell\}[^\n]*\n(?:---\n.*?^---\n|(?::[^\n]*\n)*)(.*?)^```$", source, re.M | re.S)
    assert len(cells) > 5
    text = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    at = 0
    for cell in cells:
        at = text.index(cell.strip(), at)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return readers.installed(tmp_path_factory.mktemp("library"))


def test_it_runs_alone(notebook, library, tmp_path):
    """From top to bottom in an empty folder, with nothing of ours but the library as pip installs it."""
    env = readers.environment(tmp_path, PYTHONPATH=str(library))
    read, took = readers.run_notebook(sys.executable, notebook, tmp_path, env)
    assert took < readers.LONGEST
    assert "nothing to install" in readers.printed(read)
    assert "not answered yet" in readers.printed(read)  # the exercises are the reader's
    assert not [path for path in tmp_path.iterdir() if path.suffix not in ("", ".ipynb")]
    json.dumps(read)  # what was shown can be saved


def test_the_library_of_these_runs_is_not_this_folder(library):
    code = "import effnet_lib; print(effnet_lib.__file__)"
    env = {"PYTHONPATH": str(library), "PATH": ""}
    shown = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", capture_output=True, text=True, check=True)
    assert shown.stdout.startswith(str(library))


def test_training_chapters_ask_for_a_gpu_and_no_others(notebook):
    read = nbformat.read(notebook, as_version=4)
    front = notebook.with_suffix(".md").read_text("utf-8").split("---")[1]
    gpu = re.search(r"^gpu: true$", front, re.M) is not None
    assert gpu == (notebook.stem in ("10_training_recipe", "11_train_on_gpu"))
    assert (read.metadata.get("accelerator") == "GPU") == gpu
    assert read.metadata["colab"].get("gpuType") == ("T4" if gpu else None)


def test_equations_are_where_the_text_sends_its_reader(book, notebook):
    """By the numbers of the published book, in which they run through all chapters."""
    text = "".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "markdown")
    page = BeautifulSoup((book / "chapters" / f"{notebook.stem}.html").read_text("utf-8"), "html.parser")
    links = page.select("article a.reference.internal[href^='#equation-']")
    numbers = {link.text.strip(" ()") for link in links}
    assert numbers <= (tags := set(re.findall(r"\\tag\{(\d+)\}", text)))
    assert tags == {number.text.strip(" ()#¶") for number in page.select("article .eqno")}


def test_a_small_edit_gives_a_small_difference(notebook):
    """Ids come from the section and a count within it, so that cells elsewhere keep theirs."""
    ids = [cell.id for cell in nbformat.read(notebook, as_version=4).cells]
    assert all(re.fullmatch(r"install|[a-zA-Z0-9_-]+-(text|code)-\d+", name) for name in ids)
    assert all(len(name) <= 64 for name in ids)  # nbformat's limit


# The first cell -----------------------------------------------------------------------------


HARNESS = """
import importlib.metadata, json, sys, types
from pathlib import Path

case = json.loads(sys.argv[1])
place = Path(case["place"])
sys.path.insert(0, str(place))


def add(name, version):
    (place / name).mkdir(exist_ok=True)
    (place / name / "__init__.py").write_text(f"__version__ = {version!r}")
    for old in place.glob(f"{name}-*.dist-info"):
        (old / "METADATA").unlink(); old.rmdir()
    info = place / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")


for name, version in case["here"].items():
    add(name, version)
if case.get("python"):
    sys.version_info, sys.version = tuple(case["python"]), ".".join(map(str, case["python"]))
calls = []


def run_line_magic(magic, line):
    line = line.format(**sys._getframe(1).f_locals)  # as IPython fills in
    calls.append(f"{magic} {line}")
    for name, version in case.get("installs", {}).items():
        add(name, version)


space = {"get_ipython": lambda: types.SimpleNamespace(run_line_magic=run_line_magic)}
stop = None
try:
    exec(case["cell"], space)
except Exception as error:
    stop = [type(error).__name__, *error._render_traceback_()]
print(json.dumps({"calls": calls, "stop": stop}))
"""

HERE = {"torch": "2.11.0", "torchvision": "0.26.0", "matplotlib": "3.10.0", "ipywidgets": "7.7.1"}


@pytest.fixture
def first_cell(tmp_path):
    """Runs the first cell beside packages that are made up, and no others, with a pip that is made up too."""
    cell = TransformerManager().transform_cell(nbformat.read(NOTEBOOKS[0], as_version=4).cells[1].source)

    def run(**case):
        case = {"cell": cell, "place": str(tmp_path), "here": HERE} | case
        command = [sys.executable, "-I", "-S", "-c", HARNESS, json.dumps(case)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        *said, result = done.stdout.splitlines()
        return types.SimpleNamespace(said="\n".join(said), **json.loads(result))

    return run


OURS = {"effnet_lib": effnet_lib.__version__, "torchinfo": "1.8.0"}


def test_first_cell_installs_what_is_lacking_and_says_so(first_cell):
    ran = first_cell(installs=OURS)
    address = CONFIG["repository"]["url"]
    (call,) = ran.calls
    assert call.startswith("pip install -q --no-deps ")
    assert set(call.split()[4:]) == {f"git+{address}@v{effnet_lib.__version__}", f"torchinfo=={pinned('torchinfo')}"}
    assert ran.stop is None
    assert ran.said == f"Installed: effnet_lib {effnet_lib.__version__}, torchinfo 1.8.0"


def test_first_cell_leaves_alone_what_is_there(first_cell):
    ran = first_cell(here=HERE | OURS)
    assert ran.calls == [] and ran.stop is None
    assert ran.said == f"effnet_lib {effnet_lib.__version__} is here already: nothing to install"


def test_first_cell_adds_only_what_is_missing(first_cell):
    ran = first_cell(here=HERE | {"effnet_lib": effnet_lib.__version__}, installs={"torchinfo": "1.8.0"})
    assert ran.calls == [f"pip install -q --no-deps torchinfo=={pinned('torchinfo')}"]
    assert ran.said == "Installed: torchinfo 1.8.0"


@pytest.mark.parametrize("case, words", [
    ({"installs": {}}, "Not installed: torchinfo, effnet_lib. See pip's message"),
    ({"installs": {"torchinfo": "1.8.0"}}, "Not installed: effnet_lib. See pip's message"),
    ({"python": [3, 10, 12]}, "too old: the notebook needs Python 3.11 or newer, and here is 3.10.12"),
    ({"here": HERE | {"torch": "2.3.1"}}, "too old: the notebook needs torch 2.4 or newer, and here is 2.3.1"),
    ({"here": {"torch": "2.11.0", "ipywidgets": "8.1.5"}}, "no torchvision and no matplotlib here: install first"),
    ({"here": HERE | OURS | {"effnet_lib": "0.0.1"}, "installs": OURS}, "0.0.1 still runs: restart the runtime"),
    ({"here": HERE | OURS | {"effnet_lib": "0.0.1"}}, "Not installed: effnet_lib. See pip's message"),
])  # fmt: skip
def test_first_cell_stops_with_one_line(first_cell, case, words):
    kind, *lines = first_cell(**case).stop
    assert kind == "Stop" and len(lines) == 1 and "\n" not in lines[0]
    assert words in lines[0]


def test_address_and_version_are_the_same_everywhere():
    for name in stamp.PLACES:
        assert stamp.stamped(name) == (ROOT / name).read_text("utf-8"), "run `make notebooks`"
    for notebook in NOTEBOOKS:
        for address in re.findall(r"https://[\w.]*github[^\s\"\\)@]*", notebook.read_text("utf-8")):
            owner, name = CONFIG["repository"]["url"].split("/")[-2:]
            if name in address:
                assert owner in address


# What breaks in Colab -----------------------------------------------------------------------


BREAKS = """
import plotly.express as px
from ipywidgets import TagsInput
import anywidget
from google.colab import files
%matplotlib widget
%load_ext autoreload
%autoreload 2
!pip install torchinfo
%pip install torchinfo
%pip install --no-deps numpy==2.0
%pip install --no-deps --upgrade torchinfo
!apt-get install graphviz
widgets.jslink((a, "value"), (b, "value"))
widgets.Stack([a, b])
widgets.Tab(children, titles=["a"])
widgets.Layout(border_top="1px solid")
widgets.IntSlider(tooltip="how many", continuous_update=False)
widgets.FloatSlider(value=1.0)
interact(show, phi=(0, 7))
torch.cuda.is_bf16_supported()
""".strip().splitlines()
FINE = """
%pip install -q --no-deps torchinfo==1.8.0
%matplotlib inline
from effnet_lib import phi_lab
widgets.FloatSlider(value=1.0, continuous_update=False)
widgets.Dropdown(options=["a", "b"], description="which")
widgets.Layout(border="1px solid", width="50%")
interact(show, name=["a", "b"])
import torch, torchvision, ipywidgets
widgets.Button(tooltip="starts it")
""".strip().splitlines()


@pytest.mark.parametrize("line", BREAKS)
def test_lint_finds(line):
    assert list(colab.faults(f"x = 1\n{line}\n"))
    assert list(colab.faults(f"def f():\n    {line}\n"))


@pytest.mark.parametrize("line", FINE)
def test_lint_accepts(line):
    assert list(colab.faults(line)) == []


def test_nothing_that_breaks_in_colab():
    for notebook in NOTEBOOKS:
        assert list(colab.notebook_faults(json.loads(notebook.read_text("utf-8")))) == []
    for module in (ROOT / "effnet_lib").rglob("*.py"):
        assert list(colab.faults(module.read_text("utf-8"))) == [], module


def test_notebooks_import_only_what_colab_has():
    """Or what the first cell installs."""
    have = {re.sub("[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", COLAB_LIST, re.M)}
    of = metadata.packages_distributions()
    for notebook in NOTEBOOKS:
        cells = nbformat.read(notebook, as_version=4).cells
        wanted = set(re.findall(r'^    "([\w-]+)": "', cells[1].source, re.M))
        code = "\n".join(re.sub(r"^\s*[%!].*", "", cell.source, flags=re.M) for cell in cells[2:] if cell.cell_type == "code")
        for node in ast.walk(ast.parse(code)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", []) if isinstance(node, ast.Import)]
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                distributions = {re.sub("[-_.]+", "-", found).lower() for found in of.get(name, [name])}
                assert distributions & have or name in wanted, (notebook.name, name)
