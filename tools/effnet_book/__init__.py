r"""The book's Sphinx extension: what authors write, and what a page must be.

For authors, in MyST Markdown:

``chapter-head``, under the title. The reading time is computed::

    ```{chapter-head}
    :prerequisites: Convolutions; [the first chapter](01_foundations.md)

    - tell what $\varphi$ is, and what it is not
    - scale one stage by hand
    ```

``question``, answered on the page. A wrong choice begins with ``- [ ]``, a right one
with ``- [x]``; under each, indented by two spaces, ``: `` and its explanation, which may
go on in more lines and paragraphs, indented by four. Text before the choices is shown
before them. Formulas and markup work everywhere::

    ```{question} What does raising $\varphi$ by 1 do to the formula's cost?
    - [ ] It doubles it exactly.
      : Nearly: $1.2 \cdot 1.1^2 \cdot 1.15^2 \approx 1.92$.
    - [x] It multiplies it by about 1.92.
      : Right, by the definition of $\alpha$, $\beta$ and $\gamma$.
    ```

``book-map`` (book_map.py), ``corrections`` (corrections.py), ``api`` (api.py) and the role
``section`` (links.py) are explained in their modules; ``{{ repository }}`` in address.py.

Solutions (``solution``, ``solution-start``) and admonitions with ``:class: dropdown``
are closed boxes that open on a click, without scripts too, and print in full.

Formulas are drawn as MathML; ``\depth{d}``, ``\width{w}`` and ``\resolution{r}``
give them the colour of their dimension. An unknown command stops the build: see
``mathml.py``, where it can be added.

Rules, see ``gates.py``: a page with cells has run, or its front matter says
``not-run: "why"``; a cell has at most 25 lines; each picture has alternative text.
"""

from __future__ import annotations

from sphinx.application import Sphinx

from . import (
    address, api, book_map, cells, chapter_head, corrections, details, formulas, gates, labs, links, live,
    notebook, page, problems, question, scripts, search, streams, styles,
)  # fmt: skip


def setup(app: Sphinx) -> dict:
    for part in (problems, address, formulas, question, details, chapter_head, book_map, corrections,
                 links, live, api, cells, gates, labs, page, scripts, search, streams, styles, notebook):  # fmt: skip
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 3}
