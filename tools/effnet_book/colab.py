"""What is known to break in Colab, found before a reader does.

Colab has ipywidgets 7.7.1 and IPython 7.34 (2026-08), an output frame for each cell, and one
set of packages that everything there shares. So: no widget or argument that came with
ipywidgets 8, no callback that runs while a slider is being dragged, no widget library of
one's own, and no ``pip`` that touches what is there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

#: Packages that Colab has and other packages there are built against.
THEIRS = "torch|torchvision|torchaudio|numpy|scipy|matplotlib|ipywidgets|ipykernel|ipython|notebook|jupyterlab|tornado"
#: Widgets that came with ipywidgets 8.
NEW_WIDGETS = {
    "Stack", "TagsInput", "ColorsInput", "FloatsInput", "IntsInput", "TimePicker", "DatetimePicker", "NaiveDatetimePicker",
}  # fmt: skip
#: Arguments that came with it; those of some widgets only stand with a name before the point.
NEW_ARGUMENTS = {"tabbable", "description_allow_html", "Tab.titles", "Accordion.titles"} | {
    f"Layout.border_{side}" for side in ("top", "right", "bottom", "left")
}
#: Libraries that need a widget manager or a page of their own.
LIBRARIES = {"anywidget", "ipympl", "bqplot", "ipyvolume", "ipycanvas", "ipyleaflet", "plotly", "bokeh", "panel", "pythreejs"}
NAMES = {
    "jslink": "links widgets in the page, which Colab does not always do: use observe",
    "jsdlink": "links widgets in the page, which Colab does not always do: use observe",
    "is_bf16_supported": "says yes on a T4, which only emulates it: ask for compute capability 8.0",
}  # fmt: skip
MAGICS = (
    (r"%matplotlib\s+(?!inline\b)\w+", "only the inline plots of matplotlib show there"),
    (r"%(load_ext\s+)?autoreload|%aimport", "autoreload makes classes of which old objects are no instances"),
    (r"!\s*(\S*python\S*\s+-m\s+)?pip\b", "!pip may be the pip of another Python: write %pip"),
    (r"%pip\s+install(?!.*--no-deps)", "pip without --no-deps may change what is there"),
    (r"%pip\s+install.*--(upgrade|force-reinstall)|%pip\s+install.*\s-U\b", "changes what is there"),
    (rf"%pip\s+install.*\s[\"']?({THEIRS})(?![\w-])", "changes what is there, and others are built against it"),
    (r"%pip\s+uninstall|%conda|!\s*(apt|apt-get|conda)\b", "changes what is there"),
)


def notebook_faults(notebook: dict) -> Iterator[str]:
    """What would break, cell by cell, and what a notebook must not carry along."""
    if "widgets" in notebook["metadata"]:
        yield "the state of widgets is saved in it, which GitHub does not show"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            for fault in faults("".join(cell["source"])):
                yield f"cell {cell['id']}: {fault}"


def faults(source: str) -> Iterator[str]:
    """What in a cell, or in a module, would break in Colab; each in words."""
    lines = []
    for line in source.splitlines():
        if re.match(r"\s*[%!]", line):
            for pattern, why in MAGICS:
                if re.search(pattern, line):
                    yield f"{line.strip()}: {why}"
            line = re.match(r"\s*", line)[0] + "pass"
        lines.append(line)
    for node in ast.walk(ast.parse("\n".join(lines))):
        yield from _import_faults(node)
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in NAMES:
            yield f"{name} {NAMES[name]}"
        if name in NEW_WIDGETS:
            yield f"{name} came with ipywidgets 8"
        if isinstance(node, ast.Call):
            yield from _call_faults(node)


def _import_faults(node: ast.AST) -> Iterator[str]:
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [node.module or ""]
        for alias in node.names:
            if alias.name in NAMES:
                yield f"{alias.name} {NAMES[alias.name]}"
            if node.module == "ipywidgets" and alias.name in NEW_WIDGETS:
                yield f"{alias.name} came with ipywidgets 8"
    for name in names:
        if name.split(".")[0] in LIBRARIES:
            yield f"{name} wants a widget manager of its own"
        if name.split(".")[0] == "google":
            yield f"{name} is there only: a notebook must run elsewhere too"


def _call_faults(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    for argument in arguments:
        if argument in NEW_ARGUMENTS or f"{name}.{argument}" in NEW_ARGUMENTS:
            yield f"{name}({argument}=) came with ipywidgets 8"
    if name.endswith("Slider"):
        if "tooltip" in arguments:
            yield f"{name}(tooltip=) came with ipywidgets 8"
        value = arguments.get("continuous_update")
        if not (isinstance(value, ast.Constant) and value.value is False):
            yield f"{name} without continuous_update=False: what it draws piles up while it is dragged"
    if name in ("interact", "interactive", "interactive_output"):
        for value in arguments.values():
            if isinstance(value, (ast.Tuple, ast.Constant)) and not isinstance(getattr(value, "value", None), (bool, str)):
                yield f"{name} makes a slider that answers while it is dragged: give one with continuous_update=False"
