"""The API reference, made from the docstrings: every public name, whoever added it.

A page asks for modules of the library, ``*`` for those that no other page asks for::

    ```{api} scaling variants
    ```

and ``{api-names}`` lists every name with the first sentence of its docstring. Both are
replaced by what autodoc needs before the page is parsed, so that headings are headings.
"""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

LIBRARY = "effnet_lib"
#: Types of torch that signatures print without their module.
UNQUALIFIED = ("AveragedModel", "Module")
FENCE = re.compile(r"^```\{(api|api-names)\}(.*)\n```$", re.MULTILINE)


@cache
def modules() -> dict[str, tuple[str, ...]]:
    """The public names of each module, such as ``{"cost": (...), "train.engine": (...)}``."""
    library = importlib.import_module(LIBRARY)
    train = importlib.import_module(f"{LIBRARY}.train")
    found = dict(library._PUBLIC)
    return found | {f"train.{name}": names for name, names in train._PUBLIC.items()}


def wanted(arguments: str) -> list[str]:
    """The modules that a page names; ``train`` stands for all in that package."""
    found = []
    for name in arguments.split():
        inside = [module for module in modules() if module == name or module.startswith(f"{name}.")]
        if not inside and name != "*":
            raise ValueError(f"api: {LIBRARY} has no public module {name!r}")
        found += inside
    return found


def pages_of(app: Sphinx) -> dict[str, str]:
    """On which page each module stands."""
    found, rest = {}, None
    for path in sorted(Path(app.srcdir).glob("appendices/api*/*.md")):
        page = path.relative_to(app.srcdir).with_suffix("").as_posix()
        for kind, arguments in FENCE.findall(path.read_text("utf-8")):
            if kind == "api":
                found.update(dict.fromkeys(wanted(arguments), page))
                rest = page if "*" in arguments.split() else rest
    return found | {module: rest for module in modules() if module not in found}


def documented(module: str) -> str:
    """A module's heading, what it says of itself, and autodoc's directive for each name."""
    full = f"{LIBRARY}.{module}"
    text = [f"(api-{module.replace('.', '-').replace('_', '-')})=", f"## `{full}`", "", "````{eval-rst}"]
    text += [summary(importlib.import_module(full)), ""]
    for name in modules()[module]:
        value = getattr(importlib.import_module(full), name)
        if inspect.isclass(value):
            text += [f".. autoclass:: {full}.{name}", "   :members:"]
        elif callable(value):
            text += [f".. autofunction:: {full}.{name}"]
        else:
            text += [f".. py:data:: {full}.{name}", "", f"   {comment(full, name)}"]
        text += [""]
    return "\n".join([*text, "````"])


def comment(module: str, name: str) -> str:
    """What the source says of a constant, in the ``#:`` lines before it."""
    found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
    if not found:
        raise ValueError(f"api: {module}.{name} has no comment that begins with #:")
    return " ".join(found).strip()


def summary(value: object) -> str:
    """The first sentence of a docstring, without the name that a package's begins with."""
    first = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.?])\s", first.split("::")[0])[0]


def names(app: Sphinx) -> str:
    pages, text = pages_of(app), []
    for page in dict.fromkeys(pages[module] for module in modules()):
        text += [f"## {title(app, page)}", "", "```{eval-rst}"]
        for module in (one for one in modules() if pages[one] == page):
            full = f"{LIBRARY}.{module}"
            for name in modules()[module]:
                value = getattr(importlib.import_module(full), name)
                says = summary(value) if callable(value) else comment(full, name)
                text += [f"* :py:obj:`{name} <{full}.{name}>`: {says}"]
        text += ["", "```", ""]
    return "\n".join(text)


def title(app: Sphinx, page: str) -> str:
    source = (Path(app.srcdir) / page).with_suffix(".md").read_text("utf-8")
    return re.search(r"^# (.+)$", source, re.MULTILINE)[1]


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    def replaced(match: re.Match) -> str:
        if match[1] == "api-names":
            return names(app)
        chosen = wanted(match[2])
        if "*" in match[2].split():
            chosen += [module for module, page in pages_of(app).items() if page == docname and module not in chosen]
        return "\n\n".join(documented(module) for module in chosen)

    source[0] = FENCE.sub(replaced, source[0])


def find(app: Sphinx, env, node, contnode) -> nodes.Node | None:
    """Names as annotations and docstrings write them: ours by their last part, others as words."""
    if node.get("refdomain") != "py":
        return None
    target, domain = node["reftarget"].removeprefix("~"), env.get_domain("py")
    for name in domain.objects:
        if name.endswith(f".{target.removeprefix(f'{LIBRARY}.')}"):
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    # A field of a docstring is sought as an object, and is explained where it stands.
    return contnode if node["reftype"] == "obj" or exists(target) else None


def exists(target: str) -> bool:
    """Whether a name that is not in the reference means something: Python's, torch's, one of ours."""
    module, _, name = target.rpartition(".")
    try:
        return hasattr(importlib.import_module(module or "builtins"), name) or target in UNQUALIFIED
    except ImportError:
        return False


def process_property(app: Sphinx, what: str, name: str, obj, options, lines: list[str]) -> None:
    """A property like a function; napoleon takes what stands before its first colon for a type."""
    if what == "property":
        lines[:] = GoogleDocstring(inspect.getdoc(obj) or "", app.config, app, "function", name, obj).lines()


def configure(app: Sphinx, config: Config) -> None:
    config.autodoc_member_order = "bysource"
    config.autodoc_typehints = "signature"
    config.autodoc_typehints_format = "short"
    config.autodoc_preserve_defaults = True
    config.napoleon_numpy_docstring = False
    # As "a, b: what they are"; napoleon's own style would take a for the type of b.
    config.napoleon_custom_sections = [("Attributes", "params_style")]
    config.python_display_short_literal_types = True
    config.python_maximum_signature_line_length = 70
    config.add_module_names = False
    config.toc_object_entries_show_parents = "hide"


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("autodoc-process-docstring", process_property, priority=600)  # after napoleon
    app.connect("config-inited", configure, priority=700)
    app.connect("source-read", expand)
    app.connect("missing-reference", find)
