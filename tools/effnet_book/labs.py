"""Labs on a page: a picture of how they begin, and a link to the notebook in which they run.

A lab is asked for a picture (``effnet_lib.explore.labs``) by the environment of the cells that
the build runs. The address of the page's notebook is filled in here, where it is known.
"""

from __future__ import annotations

import os
import re

from sphinx.application import Sphinx

from effnet_lib.explore.labs import NOTEBOOK, STILL

from .problems import report


def linked(app: Sphinx, pagename: str, body: str, colab: str | None) -> str:
    """The body with the links of its labs; ``colab`` is the address behind the page's button."""
    if NOTEBOOK not in body:
        return body
    if colab is None:
        report(app.env, pagename, None, "a lab has nowhere to run: set repository and launch_buttons in _config.yml")
        return body
    return body.replace(NOTEBOOK, re.sub(r"\.md$", ".ipynb", colab))  # a new page's notebook is yet to be made


def setup(app: Sphinx) -> None:
    os.environ[STILL] = "1"  # the kernels that run the cells inherit it
