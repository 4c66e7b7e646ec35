"""The layout on machines with other fonts: one browser that sees DejaVu only, one Liberation, one Noto.

A fontconfig file of the test's own says which fonts there are; nothing is installed or removed.
DejaVu comes with matplotlib; the others must be installed, and a set that is not is skipped by name.
"""

from __future__ import annotations

import html
import os
import sys
from pathlib import Path

import matplotlib
import pytest
from effnet_book.text_fonts import CUTS, FONTS

import effnet_lib

from .conftest import launch, pages
from .test_explorers import SMALL
from .test_frame import CUT_OFF
from .test_pages import UNFOLD, WIDE

#: Of each set the families that stand for sans-serif, serif and monospace, and the package of Debian that has them.
SETS = {
    "DejaVu": ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "fonts-dejavu-core"),
    "Liberation": ("Liberation Sans", "Liberation Serif", "Liberation Mono", "fonts-liberation"),
    "Noto": ("Noto Sans", "Noto Serif", "Noto Sans Mono", "fonts-noto-core"),
}
PLACES = (
    Path(matplotlib.get_data_path()) / "fonts" / "ttf",
    *(Path(place).expanduser() for place in ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")),
)
EXPLORERS = [name for name in effnet_lib._PUBLIC["explore"] if name.endswith("_explorer")]

#: In every explorer: text that the edge of its drawing cuts off, numbers wider than their card, cells wider than
#: their column, and buttons too small for a finger. Numbers in the drawings of "number" and "found" stand where the
#: data put them, some outside the picture.
CROWDED = """() => [...document.querySelectorAll(".effnet-explorer[data-live] .effnet-live")].flatMap((live) => {
  const seen = (selector) => [...live.querySelectorAll(selector)].filter((node) => node.checkVisibility());
  const cut = seen("svg").flatMap((svg) => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text:not(.number, .found text)")].filter((text) => {
      const box = text.getBoundingClientRect();
      return box.width && (box.left < frame.left - 1.5 || box.right > frame.right + 1.5 || box.bottom > frame.bottom + 3);
    }).map((text) => `cut off: ${text.textContent}`);
  });
  const wide = seen("output, td, th, button:not(.fam-point), label, legend, .effnet-choice span, .roof-shares i, .effnet-card")
    .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1)
    .map((node) => `too wide: ${node.outerHTML.slice(0, 100)}`);
  return [...cut, ...wide];
})"""


def fonts_of(name: str) -> list[Path]:
    return sorted({path.name: path for place in PLACES for path in place.rglob(f"{name}*") if path.is_file()}.values())


def configuration(name: str, folder: Path) -> Path:
    """A fontconfig file in ``folder`` with these fonts and no others."""
    (folder / "fonts").mkdir()
    for font in fonts_of(name):
        (folder / "fonts" / font.name).symlink_to(font)
    sans, serif, mono, _ = SETS[name]
    kinds = {"sans-serif": sans, "serif": serif, "monospace": mono, "system-ui": sans}
    aliases = "".join(
        f'<alias binding="strong"><family>{kind}</family><prefer><family>{family}</family></prefer></alias>'
        for kind, family in kinds.items()
    )
    path = folder / "fonts.conf"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd"><fontconfig>'
        f"<dir>{html.escape(str(folder / 'fonts'))}</dir><cachedir>{html.escape(str(folder / 'cache'))}</cachedir>"
        f"{aliases}</fontconfig>",
        "utf-8",
    )
    return path


@pytest.fixture(scope="module", params=SETS)
def machine(request, driver, tmp_path_factory):
    """A browser that sees the fonts of one set."""
    name = request.param
    if sys.platform != "linux":
        pytest.skip("fonts are chosen with fontconfig, which browsers use on Linux alone")
    if not any(path.stem.startswith(SETS[name][0].replace(" ", "")) for path in fonts_of(name)):
        pytest.skip(f"not tested with {name}: it is not installed here (Debian: apt-get install {SETS[name][3]})")
    file = configuration(name, tmp_path_factory.mktemp(name))
    browser = launch(driver, env={**os.environ, "FONTCONFIG_FILE": str(file)})
    page = browser.new_page()
    page.set_content("<p style='font-family: sans-serif'>words, </p><p style='font-family: Arial, system-ui'>words</p>")
    seen = {font for tag in (0, 1) for font, _ in drawn_with(page, f"document.querySelectorAll('p')[{tag}]")}
    assert seen and all(font.startswith(name) for font in seen), seen
    page.close()
    yield browser
    browser.close()


def drawn_with(page, expression: str, session=None) -> set[tuple[str, bool]]:
    """The fonts that an element's text is drawn with, and whether the page brought them."""
    session = session or page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    session.send("DOM.getDocument")
    found = session.send("Runtime.evaluate", {"expression": expression})["result"]["objectId"]
    node = session.send("DOM.requestNode", {"objectId": found})["nodeId"]
    fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return {(font["familyName"], font["isCustomFont"]) for font in fonts}


#: The elements that hold a character of interface, table or code that no element before them held.
NEW_LETTERS = """(known) => {
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (words.nextNode()) {
    const parent = words.currentNode.parentElement;
    if (!parent.checkVisibility() || parent.closest("script, style, math")) continue;
    const family = getComputedStyle(parent).fontFamily;
    if (!/^"(Inter|JetBrains)/.test(family)) continue;
    const letters = [...words.currentNode.data].filter((letter) => /\\S/.test(letter) && !known.includes(family[1] + letter));
    if (letters.length) { known.push(...letters.map((letter) => family[1] + letter)); found.push([parent, letters]); }
  }
  window.found = found;
  return [known, found.map(([, letters]) => letters.join(""))];
}"""


@pytest.mark.parametrize("machine", ["DejaVu"], indirect=True)
def test_the_fonts_of_the_book_have_every_character(machine, book):
    """Whatever a page shows in interface, tables and code is drawn with what the book brings."""
    page = machine.new_page(viewport={"width": 1280, "height": 900})
    known, foreign = [], []
    for path in pages():
        page.goto((book / path).as_uri())
        if path == "404.html":  # loads nothing, at whatever depth it is shown
            continue
        page.evaluate(UNFOLD)
        page.evaluate("document.fonts.ready.then(() => true)")
        known, found = page.evaluate(NEW_LETTERS, known)
        session = page.context.new_cdp_session(page)
        for i, letters in enumerate(found):
            for font, ours in drawn_with(page, f"window.found[{i}][0]", session):
                if not ours:
                    foreign.append(f"{path}: {letters!r} in {font}")
        session.detach()
    page.close()
    assert len([letter for letter in known if letter[0] == "I"]) > 90, "no page was set in Inter"
    assert not foreign, "add them to tools/effnet_book/text_fonts.py:\n" + "\n".join(foreign)


@pytest.mark.parametrize("file", CUTS)
def test_the_cut_fonts_hold_what_they_were_cut_for(machine, book, file):
    page = machine.new_page()
    page.goto((book / "search.html").as_uri())
    letters = html.escape(CUTS[file][3].replace(" ", "").replace("\u00a0", ""))
    assert (FONTS / file).read_bytes() == (book / "_static" / "fonts" / file).read_bytes()
    page.evaluate("""([file, letters]) => {
        document.head.insertAdjacentHTML("beforeend", `<style>@font-face { font-family: Cut; src: url(_static/fonts/${file}); }</style>`);
        document.body.innerHTML = `<p style="font-family: Cut, serif">${letters}</p>`;
        return document.fonts.load("16px Cut").then(() => true);
    }""", [file, letters])  # fmt: skip
    fonts = drawn_with(page, "document.querySelector('p')")
    page.close()
    assert {ours for _, ours in fonts} == {True}


@pytest.mark.parametrize("shipped", [True, False], ids=["fonts-of-the-book", "fonts-of-the-machine"])
def test_every_page_holds(machine, book, shipped):
    """On a phone, a desk and paper, with the fonts of the book and before they are there."""
    context = machine.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    if not shipped:
        context.route("**/*.woff2", lambda route: route.abort())
    page = context.new_page()
    faults = []
    for path in pages(made=False):
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto((book / path).as_uri())
        page.evaluate("document.fonts.ready.then(() => true)")
        looks = {}
        explorers = "effnet-explorer" in (book / path).read_text("utf-8")
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 900})
            if explorers:
                page.wait_for_timeout(120)  # observers of sizes answer a little later
                looks[f"explorers at {width}"] = page.evaluate(CROWDED) + small(page)
        page.evaluate(UNFOLD)
        looks["on a phone"] = page.evaluate(WIDE)
        page.set_viewport_size({"width": 660, "height": 960})
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        looks["on paper"] = page.evaluate(CUT_OFF)
        faults += [f"{path} {where}: {fault}" for where, found in looks.items() for fault in found]
    context.close()
    assert not faults, "\n".join(faults)


def small(page) -> list[str]:
    return [f"small: {target}" for explorer in page.locator(".effnet-explorer[data-live]").all() for target in explorer.evaluate(SMALL)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Each explorer as a page of its own, which has the fonts of the machine only."""
    folder = tmp_path_factory.mktemp("saved")
    return [getattr(effnet_lib, name)().save(folder / f"{name}.html") for name in EXPLORERS]


def test_every_saved_explorer_holds(machine, saved):
    context = machine.new_context(viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    faults = []
    for path in saved:
        looks = {}
        page.emulate_media(media="screen")
        page.goto(path.as_uri())
        for width in (1000, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(120)
            wide = ["the page scrolls to the side"] if page.evaluate("document.documentElement.scrollWidth > innerWidth") else []
            looks[f"at {width}"] = page.evaluate(CROWDED) + small(page) + wide
        page.set_viewport_size({"width": 660, "height": 960})
        page.emulate_media(media="print")
        looks["on paper"] = page.evaluate(CUT_OFF)
        faults += [f"{path.stem} {where}: {fault}" for where, found in looks.items() for fault in found]
    context.close()
    assert not faults, "\n".join(faults)
