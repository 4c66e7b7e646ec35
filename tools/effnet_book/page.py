"""What a page loads: only what its reader needs, and nothing from elsewhere.

The theme brings 800 KB of FontAwesome, Bootstrap's script and its own, which logs to
the console and injects buttons. ``templates/`` replaces the few parts that need them,
``_static/effnet-book.js`` does the work, ``_static/effnet-book.css`` draws the icons, and
``styles.py`` makes one small style sheet of all.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import imagesize
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from . import labs

TEMPLATES = Path(__file__).with_name("templates")
# Scripts that a page loads only if its body holds the text beside them; None: never.
ONLY_WITH = {
    "design-tabs.js": "sd-tab-",
    "copybutton.js": "highlight",
    "clipboard.min.js": "highlight",
    "sphinx-book-theme.js": None,
}
# What docutils and myst-nb write that is no longer, or never was, accessible.
ACCESSIBLE = {
    ' role="doc-biblioentry"': ' role="listitem"',
    ' role="doc-backlink"': "",
    ' aria-label="Toggle hidden content"': "",  # the toggle names itself, in other words
}
# A signature of many lines is no list of terms, though Sphinx writes it as one.
SIGNATURE = re.compile(r'(<span class="sig-paren">\(</span>\s*)<dl>(.*?)</dl>', re.DOTALL)
# Names, brackets and blanks of code are drawn in the colour of the text around them: to mark
# each would double the number of elements on a page.
PLAIN_CODE = re.compile(r'<span class="[npw]">([^<]*)</span>')
# Explorers carry their pictures with them, wherever they are shown. In the book the text comes
# first: a reader on a slow line does not wait for pictures further down.
EMBEDDED = re.compile(r'(<img )?(src=")?data:image/(webp|jpeg|png);base64,([A-Za-z0-9+/=]{2000,})')
# Copied into every book by the theme, loaded by none of our pages.
NEEDLESS = ["vendor", "scripts", "styles", "locales", "images", "webpack-macros.html",
            "sbt-webpack-macros.html"]  # fmt: skip


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
    context["css_files"][:] = []  # styles.py makes them one
    context["preview"] = preview(app, pagename, context, description(doctree))
    # Fetched beside the style sheet, not after it; only what the page is sure to use.
    fonts = [("inter-book", ""), ("stix-two-text-latin-400-normal", "<p>"), ("stix-two-math-book", "<math"),
             ("jetbrains-mono-book", "<code")]  # fmt: skip
    context["fonts"] = [name for name, sign in fonts if doctree and sign in body]
    body = sized(app, body)
    for old, new in ACCESSIBLE.items():
        body = body.replace(old, new)
    colab = colab_link(context)
    context["colab_link"] = colab if notebook_of(app, pagename) else None
    body = labs.linked(app, pagename, body, colab)
    body = EMBEDDED.sub(lambda match: separated(app, context, match), body)
    context["body"] = PLAIN_CODE.sub(r"\1", SIGNATURE.sub(plain_lines, body))


def separated(app: Sphinx, context: dict, match: re.Match) -> str:
    """The address of a picture that was embedded, now a file of its own beside the pages."""
    tag, attribute, kind, encoded = match.groups("")
    content = base64.b64decode(encoded)
    name = f"{hashlib.sha256(content).hexdigest()}.{kind}"
    path = Path(app.outdir) / app.builder.imagedir / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    lazily = 'loading="lazy" ' if tag and attribute else ""
    return tag + lazily + attribute + context["pathto"](f"{app.builder.imagedir}/{name}", 1)


def description(doctree: nodes.document | None) -> str:
    """A page's first paragraph in plain words, for those who list pages."""
    for node in doctree.findall(nodes.paragraph) if doctree else ():
        if isinstance(node.parent, nodes.section) and not node.next_node(nodes.math):
            return " ".join(node.astext().split())[:200]
    return ""


def plain_lines(match: re.Match) -> str:
    return match[1] + match[2].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")


def preview(app: Sphinx, pagename: str, context: dict, text: str) -> list[tuple[str, str]]:
    """What other sites show beside a link to this page, as names and contents of meta tags."""
    book, base = app.config.html_title or app.config.project, app.config.html_baseurl
    title = re.sub("<[^>]+>", "", context.get("title", "")) or book
    tags = [
        ("description", text),
        ("og:type", "website" if pagename == app.config.root_doc else "article"),
        ("og:site_name", book),
        ("og:title", title),
        ("og:description", text),
    ]
    if base:  # other sites take absolute addresses only
        tags += [
            ("og:url", f"{base}{pagename}.html"),
            ("og:image", f"{base}_static/preview.png"),
            ("og:image:width", "1200"),
            ("og:image:height", "630"),
            ("og:image:alt", f"{book}: the layers of B0 to B7 as bars, one network before the other"),
            ("twitter:card", "summary_large_image"),
        ]
    return [(name, content) for name, content in tags if content]


def missing_page(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """404.html, which GitHub Pages and others show where there is no such page."""
    static = Path(app.srcdir) / "_static"
    yield "404", {
        "title": "There is no such page",
        "root": urlsplit(app.config.html_baseurl).path or "/",
        "html_baseurl": app.config.html_baseurl,
        "covers": [(theme, (static / f"cover-{theme}.svg").read_text("utf-8")) for theme in ("light", "dark")],
    }, "404.html"  # fmt: skip


def sized(app: Sphinx, body: str) -> str:
    """The body with each picture's size in pixels, so that nothing moves when it comes."""
    sources = {name: uri for uri, name in app.builder.images.items()}

    def add(match: re.Match) -> str:
        source = sources.get(match["name"])
        if source is None or re.search(r" (width|height|style)=", match[0]):
            return match[0]
        width, height = imagesize.get(Path(app.srcdir) / source)
        size = f' width="{width}" height="{height}"' if width > 0 else ""
        return f'<img{size} loading="lazy" decoding="async"{match[0][4:]}'

    return re.sub(r'<img\b[^>]* src="(?:[^"]*/)?_images/(?P<name>[^"/]+)"[^>]*>', add, body)


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
    app.connect("html-collect-pages", missing_page)
    app.connect("html-page-context", trim, priority=950)
    app.connect("build-finished", remove_needless, priority=900)
