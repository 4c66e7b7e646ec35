"""What holds for every explorer of the built book, found by its element: names, room for a finger,
words for a screen reader, typed values, the address, Reset."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from .conftest import BOOK, WRAP, pages

EXPLORERS = [
    pytest.param(path, tag, id=f"{tag.removeprefix('effnet-').removesuffix('-explorer')}-{path.rsplit('/', 1)[-1]}")
    for path in pages(made=False)
    for tag in dict.fromkeys(re.findall(r"<(effnet-[a-z-]+-explorer)\b", (BOOK / path).read_text("utf-8")))
] or [pytest.param("no-page", "no-explorer")]  # without a build the fixture of the book fails and says so
every_explorer = pytest.mark.parametrize("path, tag", EXPLORERS)

#: Opens what is folded, and makes choices until each control is to be seen; names those that stay hidden.
REVEAL = """(explorer) => {
  explorer.querySelectorAll("details").forEach((box) => { box.open = true; });
  const hidden = () => [...explorer.live.querySelectorAll("[data-control]")].filter((box) => !box.checkVisibility());
  for (const radio of explorer.live.querySelectorAll("input[type=radio]")) {
    const before = hidden().length, was = explorer.state;
    if (!before) break;
    radio.click();
    if (hidden().length >= before) explorer.set({ ...was });
  }
  return hidden().map((box) => box.dataset.control);
}"""

SMALL = """(explorer) => [...explorer.live.querySelectorAll("button, input, select, textarea, summary")].filter((target) => {
  const { width, height } = target.getBoundingClientRect();
  return target.checkVisibility() && (width < 24 || height < 24);
}).map((target) => target.outerHTML)"""

#: Takes a control elsewhere, as a hand would.
CHANGE = """(explorer, name) => {
  const box = explorer.live.querySelector(`[data-control=${name}]`), range = box.querySelector("input[type=range]");
  if (!range) return [...box.querySelectorAll("input[type=radio]")].findLast((radio) => !radio.checked).click();
  range.value = Number(range.value) === Number(range.max) ? range.min : range.max;
  range.dispatchEvent(new Event("input", { bubbles: true }));
}"""

#: Types into the field of a control; what stands there then, its limits, and what is told.
TYPE = """(explorer, [name, typed]) => {
  const field = explorer.live.querySelector(`[data-control=${name}] input[type=number]`);
  field.value = typed === "low" ? field.min - 1 : typed === "high" ? Number(field.max) + 1 : typed;
  field.dispatchEvent(new Event("change", { bubbles: true }));
  const note = explorer.live.querySelector(".effnet-note");
  return [Number(field.value), Number(field.min), Number(field.max), note.checkVisibility() ? note.textContent : ""];
}"""

#: All that is to be seen in it, as far as it is text or the value of a control.
FACE = """(explorer) => JSON.stringify([explorer.state,
  [...explorer.live.children].filter((part) => part !== explorer.status).map((part) => part.innerText),
  [...explorer.live.querySelectorAll("input")].map((input) => input.type === "radio" ? input.checked : input.value)])"""


@pytest.fixture
def opened(visit):
    """Opens an explorer of the book: the page and the element."""

    def opened(path, tag, **options):
        page = visit(reduced_motion="reduce", **options).open(path)
        explorer = page.locator(f"{tag}[data-live]").first
        explorer.scroll_into_view_if_needed()
        before, face = None, ""
        while face != before:  # observers of sizes and decoded pictures answer a little later
            page.wait_for_timeout(100)
            before, face = face, explorer.evaluate(FACE)
        return page, explorer

    return opened


def controls(explorer, part: str = "input") -> list[str]:
    """The names of its controls, or of those that hold ``part``."""
    return explorer.evaluate(
        "(e, part) => [...e.live.querySelectorAll('[data-control]')].filter((box) => box.querySelector(part)).map((box) => box.dataset.control)",
        part,
    )


@every_explorer
def test_controls_have_names_and_room_for_a_finger(opened, path, tag):
    page, explorer = opened(path, tag, viewport={"width": 360, "height": 740})
    assert controls(explorer)
    assert explorer.evaluate(REVEAL) == []
    # The names that the browser hands to a screen reader.
    session = page.context.new_cdp_session(page)
    found = session.send("Runtime.evaluate", {"expression": f"document.querySelector('{tag}').live"})
    nodes = session.send("Accessibility.queryAXTree", {"objectId": found["result"]["objectId"]})["nodes"]
    reached = [node for node in nodes for each in node.get("properties", ()) if each["name"] == "focusable"]
    assert len(reached) >= len(controls(explorer))
    assert [node for node in reached if not node["name"]["value"].strip()] == []
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        page.wait_for_timeout(200)  # observers of sizes answer a little later
        assert explorer.evaluate(SMALL) == []


@every_explorer
def test_it_speaks_corrects_and_begins_again(opened, path, tag):
    """Three things on one visit: a page takes longer to open than to be asked."""
    page, explorer = opened(path, tag)
    first = explorer.evaluate(FACE)
    assert explorer.evaluate(REVEAL) == []
    changes_are_announced(explorer)
    typed_values_are_clamped_and_explained(explorer)
    reset_restores_the_first_state(page, explorer, first)


def changes_are_announced(explorer):
    """After each change the region says the state in words; they differ unless nothing that they say did."""
    region = explorer.locator("[aria-live=polite]")
    assert region.count() == 1
    first, told = explorer.evaluate("(e) => ({ ...e.state })"), set()
    for name in controls(explorer):
        before = explorer.evaluate("(e, first) => { e.set(first); e.status.textContent = ''; return e.words(); }", first)
        explorer.evaluate(CHANGE, name)
        words = explorer.evaluate("(e) => e.words()")
        expect(region).to_have_text(words)
        assert words.strip(), name
        told |= {name} if words != before else set()
    assert told
    explorer.evaluate("(e, first) => e.set(first)", first)


def typed_values_are_clamped_and_explained(explorer):
    for name in controls(explorer, "input[type=number]"):
        for typed in ("low", "high", ""):
            value, low, high, note = explorer.evaluate(TYPE, [name, typed])
            assert value == (low if typed == "low" else high), name
            assert "goes from" in note and f"it is now {value:.12g}." in note, name
        assert explorer.evaluate(TYPE, [name, str(high)]) == [high, low, high, ""], name  # nothing to explain


def reset_restores_the_first_state(page, explorer, first):
    explorer.evaluate("(e) => e.live.querySelectorAll('button').forEach((button) => button.click())")
    for name in controls(explorer):
        explorer.evaluate(CHANGE, name)
    assert explorer.evaluate(FACE) != first
    page.wait_for_function("location.hash.includes('=')")
    explorer.get_by_role("button", name="Reset", exact=True).click()
    explorer.evaluate("(e) => e.querySelectorAll('details').forEach((box) => { box.open = false; })")
    page.wait_for_function("location.hash === ''")
    page.wait_for_timeout(700)  # what plays sees at its next step that it is at its end
    assert json.loads(explorer.evaluate(FACE)) == json.loads(first)


@every_explorer
def test_a_bad_address_is_harmless(opened, path, tag):
    """Neither when it is opened nor when it comes later; the visit hears what the console is told."""
    page, explorer = opened(path, tag)
    first, names = explorer.evaluate(FACE), controls(explorer)
    for bad in ("abc", "", "NaN", "1e999", "%E0%A4%A", "-1e9", "1e9"):
        page.evaluate("""(hash) => new Promise((done) => {
          window.addEventListener("hashchange", () => done(), { once: true });
          location.hash = hash;
        })""", "&".join(f"{name}={bad}" for name in [*names, "nobody"]))  # fmt: skip
        if "e9" not in bad or "99" in bad:
            assert explorer.evaluate(FACE) == first, bad
        assert explorer.evaluate("""(e) => [...e.live.querySelectorAll("input:invalid")].map((input) => input.outerHTML)""") == []
        assert not re.search("NaN|undefined|Infinity", explorer.inner_text()), bad
    page.evaluate("(hash) => history.replaceState(null, '', hash)", "#" + "&".join(f"{name}=abc" for name in names))
    page.reload()
    assert page.evaluate("location.hash").count("abc") == len(names)
    page.wait_for_timeout(100)
    assert explorer.evaluate(FACE) == first


#: All that it says, in drawings too.
SAYS = """(explorer) => [...explorer.live.children].filter((part) => part !== explorer.status).map((part) => part.textContent)"""


@every_explorer
def test_a_translated_page_says_what_is_true(opened, path, tag):
    """What is new is said in elements that the translation has wrapped as it is in others, after every change."""
    _, explorer = opened(path, tag)
    assert explorer.evaluate(REVEAL) == []
    first, changed = explorer.evaluate("(e) => ({ ...e.state })"), False
    for name in controls(explorer):
        explorer.evaluate("(e, first) => e.set(first)", first)
        before = explorer.evaluate(SAYS)
        explorer.evaluate(CHANGE, name)
        said = explorer.evaluate(SAYS)
        explorer.evaluate("(e, first) => e.set(first)", first)
        explorer.evaluate(WRAP)
        explorer.evaluate(CHANGE, name)
        assert explorer.evaluate(SAYS) == said, name
        changed |= said != before
    assert changed


@every_explorer
def test_a_scroll_that_begins_on_a_slider_moves_nothing(opened, path, tag):
    """A finger goes down on it, to the side of its thumb, and up the page: the page moves and nothing else."""
    page, explorer = opened(path, tag, viewport={"width": 390, "height": 740}, has_touch=True)
    assert explorer.evaluate(REVEAL) == []
    session, moved = page.context.new_cdp_session(page), 0
    for part in explorer.locator(".effnet-live input[type=range], .effnet-live svg, .effnet-live canvas").all():
        if not part.is_visible() or part.evaluate("(node) => getComputedStyle(node).touchAction") != "pan-y":
            continue
        part.evaluate("(node) => node.scrollIntoView({ block: 'center' })")
        before, face, top = explorer.evaluate("(e) => ({ ...e.state })"), explorer.evaluate(FACE), page.evaluate("scrollY")
        box = part.bounding_box()
        x, y = box["x"] + box["width"] * 0.55, box["y"] + box["height"] / 2
        for kind, up in (("touchStart", 0), *(("touchMove", 10 * i) for i in range(1, 13)), ("touchEnd", None)):
            points = [] if up is None else [{"x": x, "y": y - up}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(50)
        moved += page.evaluate("scrollY") != top
        assert explorer.evaluate("(e) => ({ ...e.state })") == before
        assert explorer.evaluate(FACE) == face
    assert moved or not explorer.locator(".effnet-live input[type=range]").count()
