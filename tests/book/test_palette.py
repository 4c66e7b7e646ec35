"""The palette by computation: text can be read on its ground, and colours told apart by everyone.

Colours are read from the style sheets themselves; those of figures, formulas, explorers and
the cover must be the same ones.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from effnet_book.mathml import expand_colours
from tools import cover

from effnet_lib.explore.figures import COLORS

ROOT = Path(__file__).resolve().parents[2]
CSS = (ROOT / "_static" / "effnet-book.css").read_text("utf-8")
EXPLORER = (ROOT / "effnet_lib" / "explore" / "base.css").read_text("utf-8")
THEMES = ("light", "dark")
TEXT = ("ink", "ink-soft", "accent", "depth", "width", "resolution", "right", "wrong")
DIMENSIONS = ("depth", "width", "resolution")

# Machado, Oliveira and Fernandes 2009, Table 1, severity 1.0: what each deficiency makes of
# linear red, green and blue.
DEFICIENCIES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def palette(theme: str) -> dict[str, str]:
    """The book's colours by name, from the style sheet."""
    block = re.search(rf'html\[data-theme="{theme}"\] \{{(.*?)\}}', CSS, re.DOTALL)[1]
    return dict(re.findall(r"--effnet-([\w-]+): (#[0-9a-f]{6});", block))


def linear(colour: str) -> list[float]:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, success criterion 1.4.3."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def lab(channels: list[float]) -> tuple[float, float, float]:
    """CIE 1976 L*a*b* of linear sRGB under D65."""
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(a * max(0.0, c) for a, c in zip(row, channels)) for row in rows]
    f = [t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116
         for t in (value / white for value, white in zip(xyz, (0.9505, 1.0, 1.089)))]  # fmt: skip
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def difference(one: str, other: str, deficiency: str | None = None) -> float:
    """Distance in L*a*b*, as seen with a deficiency of colour vision; about 2 is just visible."""
    seen = []
    for colour in (one, other):
        channels = linear(colour)
        if deficiency:
            channels = [sum(a * c for a, c in zip(row, channels)) for row in DEFICIENCIES[deficiency]]
        seen.append(lab(channels))
    return sum((a - b) ** 2 for a, b in zip(*seen)) ** 0.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["paper", "tint"])
def test_text_stands_out_from_its_ground(theme, ground):
    colours = palette(theme)
    low = {name: round(contrast(colours[name], colours[ground]), 2) for name in TEXT}
    assert min(low.values()) >= 4.5, low


@pytest.mark.parametrize("theme", THEMES)
def test_marked_text_can_be_read(theme):
    colours = palette(theme)
    assert contrast(colours["ink"], colours["mark"]) >= 4.5
    assert contrast(colours["ink"], colours["accent-tint"]) >= 4.5


@pytest.mark.parametrize("deficiency", [None, *DEFICIENCIES])
@pytest.mark.parametrize("theme", THEMES)
def test_the_dimensions_can_be_told_apart(theme, deficiency):
    colours = palette(theme)
    for one, other in combinations(DIMENSIONS, 2):
        assert difference(colours[one], colours[other], deficiency) > 10, (one, other)


@pytest.mark.parametrize("deficiency", [None, *DEFICIENCIES])
@pytest.mark.parametrize("theme", THEMES)
def test_right_and_wrong_can_be_told_apart(theme, deficiency):
    colours = palette(theme)
    assert difference(colours["right"], colours["wrong"], deficiency) > 15


def test_one_palette_for_all():
    light, dark = palette("light"), palette("dark")
    plain, toned = (dict(re.findall(r"--([\w-]+): ?(#[0-9a-f]{3,6})", block))
                    for block in re.findall(r"\.effnet-explorer(?:\[data-tone=\"dark\"\])? \{(.*?)\}", EXPLORER, re.DOTALL)[:2])  # fmt: skip
    for name in DIMENSIONS:
        assert COLORS[name] == light[name] == plain[name]
        assert toned[name] == dark[name]
        assert light[name] in expand_colours(f"\\{name}{{x}}").lower()
    for theme, colours in (("light", light), ("dark", dark)):
        drawn = cover.THEMES[theme]
        assert (drawn["paper"], drawn["ink"], drawn["soft"]) == (
            colours["paper"], colours["ink"], colours["ink-soft"])  # fmt: skip
        assert (drawn["bars"][-1], drawn["answer"]) == (colours["depth"], colours["width"])


def test_the_palette_is_written_down():
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for theme in THEMES:
        for name, colour in palette(theme).items():
            assert colour in guide, f"--effnet-{name} of the {theme} theme"
