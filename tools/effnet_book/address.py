"""Where the project lives: said once, in ``_config.yml``, and read from there.

In a page ``{{ repository }}`` stands for the repository's address, in code and in links
too, ``{{ version }}`` for the library's version, and ``{{ pinned PACKAGE }}`` for a package at
the version that the book is tested with. The book's own address is ``html: baseurl`` or, if that is not set, the one that GitHub
Pages gives a repository. It is needed where a relative address will not do: in the previews
that other sites make of a page, and on the page that stands for a missing one.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.config import Config

import effnet_lib


def repository(config: Config) -> str:
    return config.html_theme_options.get("repository_url", "").rstrip("/")


def pages_address(repository_url: str) -> str:
    """Where GitHub Pages puts the site of a repository; empty for one that is elsewhere."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository_url)
    if not found:
        return ""
    owner, name = found.groups()
    root = f"https://{owner.lower()}.github.io/"
    return root if f"{name.lower()}/" == root.removeprefix("https://").lower() else f"{root}{name}/"


def set_base(app: Sphinx, config: Config) -> None:
    base = config.html_baseurl or pages_address(repository(config))
    config.html_baseurl = base and base.rstrip("/") + "/"
    # Links to Colab lead to the notebooks of this very version, which install this very version.
    config.html_theme_options["repository_branch"] = f"v{effnet_lib.__version__}"


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    from .notebook import pinned

    text = source[0].replace("{{ repository }}", repository(app.config)).replace("{{ version }}", effnet_lib.__version__)
    source[0] = re.sub(r"\{\{ pinned ([\w-]+) \}\}", lambda found: f"{found[1]}=={pinned(found[1])}", text)


def setup(app: Sphinx) -> None:
    app.connect("config-inited", set_base, priority=900)
    app.connect("source-read", expand)
