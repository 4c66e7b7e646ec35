"""What all explorers share: a custom element that needs no kernel, no network and no library.

Python writes the data, a complete static table, the style and the script into one piece of
HTML. The script (``base.js`` and the explorer's own) turns it into something to drag. Without
scripts, and on paper, the table stands.
"""

import html
import json
from functools import cache
from importlib import resources
from pathlib import Path

from ..variants import Variant


class Explorer:
    """A figure to drag. The last expression of a cell shows it; :meth:`save` writes a page.

    Args:
        name: of the custom element, ``effnet-<name>-explorer``.
        data: whatever the element's script reads, as JSON.
        static: HTML that stands in its place without scripts and on paper.
        scripts: the files, in this folder, that make it live.
        styles: the files that dress it, besides ``base.css``.
        summary: one line for a terminal.
    """

    def __init__(
        self, name: str, data: dict, static: str, scripts: tuple[str, ...], summary: str, styles: tuple[str, ...] = ()
    ):
        self.tag = f"effnet-{name}-explorer"
        self.data = data
        self.static = static
        self.scripts = scripts
        self.styles = styles
        self.summary = summary

    def _repr_html_(self) -> str:
        # "</" would end the script element in the middle of the data.
        data = json.dumps(self.data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
        script = "\n".join(_file(name) for name in ("base.js", *self.scripts))
        style = "\n".join(_file(name) for name in ("base.css", *self.styles))
        return (
            f'<{self.tag} class="effnet-explorer">'
            f"<style>{style}</style>"
            f'<script type="application/json">{data}</script>'
            f'<div class="effnet-static">{self.static}</div>'
            f"</{self.tag}>\n<script>{script}</script>"
        )

    def __repr__(self) -> str:
        return self.summary

    def save(self, path: str | Path, title: str = "EfficientNet, hands on") -> Path:
        """Write a page of its own to ``path``, which works from disk without a network."""
        path = Path(path)
        path.write_text(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title>"
            "<style>:root{color-scheme:light dark}@media print{:root{color-scheme:light}}"
            "body{max-width:54rem;margin:2rem auto;padding:0 1rem;"
            "font-family:-apple-system,'Segoe UI',Roboto,'Noto Sans','Liberation Sans','effnet DejaVu',system-ui,sans-serif}"
            f"</style></head><body>{self._repr_html_()}</body></html>",
            encoding="utf-8",
        )
        return path


def table(header: list[str], rows: list[list], caption: str) -> str:
    """A plain HTML table in a box that scrolls by itself; the first cell of a row is its head."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(first))}</th>'
        + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    label = html.escape(caption, quote=True)
    return (
        f'<div class="effnet-scroll" role="region" tabindex="0" aria-label="{label}">'
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def model_base(variant: Variant) -> dict:
    """A variant as ``model.js`` takes it, to scale and to count."""
    return {
        "resolution": variant.resolution,
        "stem": variant.stem_channels,
        "head": variant.head_channels,
        "round_limit": variant.round_limit,
        "stages": [
            [s.operator, s.kernel_size, s.stride, s.expand_ratio, s.channels, s.layers, s.se_ratio]
            for s in variant.stages
        ],
    }


@cache
def _file(name: str) -> str:
    """A script or style of this folder, as it goes into the page."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
