"""Draw the cover, the icon and the preview for other sites, from the networks themselves.

    .venv/bin/python -m tools.cover

Each bar is a layer: stem, blocks and head of B0 to B7, from left to right. A bar is as tall
as the side of the map that enters the layer (by its square root, or the last layers could
not be seen), and all eight networks stand on the same axis, B0 in front. The last layer,
which gives the answer, has a colour of its own.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from effnet_lib import count_cost, get_variant

STATIC = Path(__file__).parents[1] / "_static"
TITLE = "EfficientNet, hands on"
SUBTITLE = "An interactive book and a tested PyTorch library"
NAMES = [f"b{i}" for i in range(8)]

#: From the largest network, behind, to B0, in front; then the answer's bar; paper, ink and soft ink.
THEMES = {
    "light": {
        "bars": ["#dce9f3", "#cbe0ee", "#b8d5e9", "#9ec6e1", "#7fb4d7", "#5b9fca", "#3489bd", "#0072b2"],
        "answer": "#b84a00",
        "paper": "#fdfdfb",
        "ink": "#1f242b",
        "soft": "#545d69",
    },
    "dark": {
        "bars": ["#1a2c3a", "#1e384b", "#22465f", "#285675", "#30698e", "#3a7faa", "#4898c7", "#5ab4e5"],
        "answer": "#f29a5b",
        "paper": "#15181c",
        "ink": "#dfe3e8",
        "soft": "#a5aeb9",
    },
}


def layers(name: str) -> list[int]:
    """The side of the map that enters each layer of a network: stem, every block, head."""
    sizes = []
    for row in count_cost(name).stages:
        sizes.append(row.resolution)
        sizes += [row.output_resolution] * (row.layers - 1)
    return sizes


def bars(theme: str, width: float, height: float) -> str:
    """All networks in a box of this size, as SVG without its frame."""
    colours = THEMES[theme]
    columns = max(len(layers(name)) for name in NAMES)
    step = width / columns
    scale = height / get_variant(NAMES[-1]).resolution ** 0.5
    drawn, answers = [], []
    for name, colour in zip(reversed(NAMES), colours["bars"]):
        path = ""
        for index, size in enumerate(sides := layers(name)):
            tall = size**0.5 * scale
            bar = f"M{index * step:.2f} {(height - tall) / 2:.2f}h{step * 0.72:.2f}v{tall:.2f}h-{step * 0.72:.2f}z"
            if index < len(sides) - 1:
                path += bar
            else:
                answers.append(bar)
        drawn.append(f'<path fill="{colour}" d="{path}"/>')
    drawn.append(f'<path fill="{colours["answer"]}" d="{"".join(answers)}"/>')
    return "".join(drawn)


def cover(theme: str) -> str:
    width, height = 960, 270
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"{bars(theme, width, height)}</svg>\n"
    )


def icon() -> str:
    """B0 in five bars, each on whole pixels of an icon that is 16 pixels wide."""
    colours = THEMES["dark"]
    sides = sorted(set(layers("b0")), reverse=True)
    sides = [*sides[:4], sides[-1]]
    drawn = ""
    for index, side in enumerate(sides):
        tall = 4 * max(1, round(6 * (side / sides[0]) ** 0.5))
        colour = colours["answer"] if index == 4 else colours["bars"][-1]
        drawn += f'<path fill="{colour}" d="M{2 + 6 * index} {16 - tall // 2}h4v{tall}h-4z"/>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="6" fill="{colours["paper"]}"/>{drawn}</svg>\n'
    )


def icon_page(size: int) -> str:
    return f"<style>body{{margin:0}}svg{{display:block;width:{size}px}}</style>{icon()}"


def preview_page() -> str:
    """What other sites show beside a link to the book: 1200 by 630 pixels."""
    colours = THEMES["dark"]
    font = (STATIC / "fonts" / "stix-two-text-latin-{}-normal.woff2").as_uri()
    return f"""<!doctype html><meta charset="utf-8"><style>
        @font-face {{ font-family: Book; src: url("{font.replace("%7B%7D", "400")}"); }}
        @font-face {{ font-family: Book; font-weight: 600; src: url("{font.replace("%7B%7D", "600")}"); }}
        body {{ margin: 0; width: 1200px; height: 630px; background: {colours["paper"]}; color: {colours["ink"]};
                font-family: Book; overflow: hidden; position: relative; }}
        h1 {{ margin: 0; position: absolute; left: 80px; top: 62px; font-size: 84px; line-height: 1; letter-spacing: -1px; }}
        p {{ margin: 0; position: absolute; left: 82px; top: 168px; font-size: 33px; color: {colours["soft"]}; }}
        svg {{ position: absolute; left: 80px; top: 262px; }}
        </style><h1>{TITLE}</h1><p>{SUBTITLE}</p>
        <svg width="1040" height="300">{bars("dark", 1040, 300)}</svg>"""


#: The files that are vectors, and those that a browser makes of a page: its text, width, height.
VECTORS = {
    "cover-light.svg": lambda: cover("light"),
    "cover-dark.svg": lambda: cover("dark"),
    "favicon.svg": icon,
}
PICTURES = {
    "favicon-32.png": (lambda: icon_page(32), 32, 32),
    "icon-180.png": (lambda: icon_page(180), 180, 180),
    "preview.png": (preview_page, 1200, 630),
}


def digest(page: str) -> str:
    """Names what a picture was made from, wherever the book lies; kept in the picture."""
    return hashlib.sha256(page.replace(STATIC.as_uri(), "").encode()).hexdigest()


def main() -> None:
    from PIL import Image, PngImagePlugin
    from playwright.sync_api import sync_playwright

    from tools.browser import ensure_browser

    for name, draw in VECTORS.items():
        (STATIC / name).write_text(draw(), "utf-8")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        for name, (draw, width, height) in PICTURES.items():
            source = Path(folder) / "page.html"
            source.write_text(draw(), "utf-8")
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(source.as_uri())
            page.evaluate("document.fonts.ready.then(() => true)")
            page.screenshot(path=STATIC / name, omit_background=True)
            note = PngImagePlugin.PngInfo()
            note.add_text("made-from", digest(draw()))
            Image.open(STATIC / name).save(STATIC / name, pnginfo=note, optimize=True)
        browser.close()
    for name in (*VECTORS, *PICTURES):
        print(f"drawn: _static/{name} ({(STATIC / name).stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main()
