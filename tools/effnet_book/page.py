"""What a page loads: only what its reader needs, and nothing from elsewhere.

The theme brings 800 KB of FontAwesome, Bootstrap's script and its own, which logs to
the console and injects buttons. ``templates/`` replaces the few parts that need them,
``_static/effnet-book.js`` does the work, ``_static/effnet-book.css`` draws the icons.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

TEMPLATES = Path(__file__).with_name("templates")
# Files that a page loads only if its body holds the text beside them.
ONLY_WITH = {
    "sphinx-design.min.css": 'class="sd-',
    "design-tabs.js": "sd-tab-",
    "copybutton.css": "highlight",
    "copybutton.js": "highlight",
    "clipboard.min.js": "highlight",
    "exercise.css": None,  # never: effnet-book.css draws the boxes
    "sphinx-book-theme.js": None,
}
# What docutils and myst-nb write that is no longer, or never was, accessible.
ACCESSIBLE = {
    ' role="doc-biblioentry"': ' role="listitem"',
    ' role="doc-backlink"': "",
    ' aria-label="Toggle hidden content"': "",  # the toggle names itself, in other words
}
# Copied into every book by the theme, loaded by none of our pages.
NEEDLESS = ["vendor", "scripts", "locales", "images", "webpack-macros.html",
            "sbt-webpack-macros.html", "exercise.css"]  # fmt: skip


def use_templates(app: Sphinx, config: Config) -> None:
    config.templates_path.insert(0, str(TEMPLATES))  # before the theme's own
    # Light where scripts are off; with them the first script in the page sets the theme.
    config.html_context.setdefault("default_mode", "light")


def trim(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Edits the lists of files in place, after all other extensions had their say."""
    body = context.get("body", "")

    def wanted(asset) -> bool:
        filename = str(getattr(asset, "filename", asset) or "")
        if not filename:  # the theme's inline scripts, for parts that are not here
            return False
        name = filename.split("?")[0].rsplit("/", 1)[-1]
        if name not in ONLY_WITH:
            return True
        return ONLY_WITH[name] is not None and ONLY_WITH[name] in body

    scripts = context["script_files"]
    scripts[:] = [script for script in scripts if wanted(script)]
    for script in scripts:
        script.attributes.setdefault("defer", "defer")
    styles = context["css_files"]
    styles[:] = [style for style in styles if wanted(style)]
    for old, new in ACCESSIBLE.items():
        body = body.replace(old, new)
    context["body"] = body
    colab = colab_link(context)
    context["colab_link"] = colab if notebook_of(app, pagename) else None


def notebook_of(app: Sphinx, pagename: str) -> bool:
    """Whether a notebook for Colab, which opens nothing else, stands beside the page."""
    return (Path(app.srcdir) / pagename).with_suffix(".ipynb").exists()


def colab_link(context: dict) -> str | None:
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                return button["url"]
    return None


def remove_needless(app: Sphinx, exception: Exception | None) -> None:
    for name in NEEDLESS:
        path = Path(app.outdir) / "_static" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def setup(app: Sphinx) -> None:
    # Jupyter Book sets this for sphinx-comments, which the book does without.
    app.add_config_value("comments_config", {}, "")
    app.connect("config-inited", use_templates, priority=900)
    app.connect("html-page-context", trim, priority=950)
    app.connect("build-finished", remove_needless, priority=900)
