"""The network explorer in a real browser: its figures, its controls, and what it is without scripts."""

import re
from functools import partial

import pytest

from effnet_lib import count_cost, get_variant, network_explorer
from effnet_lib.explore.network import COUNTS, NETWORKS

DATA = network_explorer().data["networks"]

READ = """() => ({
  here: [...document.querySelectorAll(".effnet-card output")].map((out) => Number(out.dataset.value)),
  soFar: [...document.querySelectorAll(".effnet-card")].map((card) => Number(card.dataset.sofar)),
  parts: [...document.querySelectorAll(".effnet-parts tbody tr:not(.empty)")].map((row) =>
    [...row.querySelectorAll("td[data-value]")].map((cell) => Number(cell.dataset.value))),
  title: document.querySelector(".effnet-title").textContent,
  step: Number(document.querySelector("[name=walk_step]").value),
  last: Number(document.querySelector("[name=walk_step]").max),
})"""
SET = """(value) => {
  const range = document.querySelector("input[type=range][name=walk_step]");
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return network_explorer().save(tmp_path_factory.mktemp("explorer") / "network.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    return partial(open_saved, address, viewport={"width": 1000, "height": 1200})


def steps(name):
    """What the page should show at each step: the parts, their sum, and the sum so far."""
    so_far, found = [0, 0, 0], [([[0, 0, 0]], [0, 0, 0], [0, 0, 0])]
    for unit in DATA[name]["units"]:
        for _ in range(unit["repeat"]):
            parts = [part[3:] for part in unit["parts"]]
            here = [sum(column) for column in zip(*parts)]
            so_far = [a + b for a, b in zip(so_far, here)]
            found.append((parts, here, so_far))
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_shows_the_library(open_page, name):
    page = open_page(f"#walk_network={name}")
    expected = steps(name)
    cost = count_cost(name)
    assert expected[-1][2] == [getattr(cost, count) for count in COUNTS]
    for at, (parts, here, so_far) in enumerate(expected):
        page.evaluate(SET, at)
        shown = page.evaluate(READ)
        assert (shown["step"], shown["last"]) == (at, len(expected) - 1)
        assert (shown["here"], shown["soFar"], shown["parts"]) == (here, so_far, parts), (name, at)


def test_words_of_a_block(open_page):
    page = open_page("#walk_step=8")
    story = page.locator(".effnet-story").inner_text()
    assert page.locator(".effnet-title").inner_text() == "Stage 5, block 2 of 3: MBConv6 3×3"
    assert "expands 80 channels to 480" in story.lower() and "20 squeeze channels" in story
    assert f"probability {0.2 * 6 / 16:g}" in story
    page.evaluate(SET, 7)
    story = page.locator(".effnet-story").inner_text()
    assert "halves the map, from 28 to 14" in story and "No skip" in story
    page.evaluate(SET, 20)
    assert f"dropout at rate {get_variant('b0').dropout}" in page.locator(".effnet-story").inner_text()


@pytest.mark.parametrize("name", NETWORKS)
def test_titles_follow_the_stage_table(open_page, name):
    page = open_page(f"#walk_network={name}&walk_step=1")
    titles = []
    for at in range(1, page.evaluate(READ)["last"] + 1):
        page.evaluate(SET, at)
        titles.append(page.locator(".effnet-title").inner_text())
    for row in count_cost(name).stages[1:-1]:
        own = [title for title in titles if title.startswith(f"Stage {row.stage}, block")]
        assert len(own) == row.layers
        assert all(row.operator in title and f"of {row.layers}:" in title for title in own)
        strided = row.resolution != row.output_resolution
        assert ["stride 2" in title for title in own] == [strided] + [False] * (row.layers - 1)


def test_keyboard_and_buttons(open_page):
    page = open_page()
    step = lambda: page.evaluate(READ)["step"]  # noqa: E731
    assert step() == 3
    page.locator("[name=walk_step]").focus()
    for key, at in (("ArrowRight", 4), ("Home", 0), ("ArrowLeft", 0), ("End", 20)):
        page.keyboard.press(key)
        assert step() == at
    page.get_by_role("button", name="Next").click()
    assert step() == 20
    page.get_by_role("button", name="Back").click()
    assert step() == 19
    page.get_by_role("radio", name="B7", exact=True).check()
    assert page.evaluate(READ)["last"] == 58 + 1
    page.get_by_role("button", name="Reset").click()
    assert (step(), page.evaluate(READ)["last"]) == (3, 20)


def test_another_network_is_entered_at_the_same_place(open_page):
    page = open_page("#walk_step=9")
    page.get_by_role("radio", name="B7", exact=True).check()
    assert page.evaluate(READ)["title"] == "Stage 5, block 3 of 10: MBConv6 3×3"
    page.evaluate(SET, 59)
    page.get_by_role("radio", name="Lite0", exact=True).check()
    assert "classifier" in page.evaluate(READ)["title"]
    page.evaluate(SET, 0)
    page.get_by_role("radio", name="V2-S", exact=True).check()
    assert page.evaluate(READ)["title"] == "The image"


def test_typed_values_are_clamped_and_explained(open_page):
    page = open_page()
    number = page.locator("[data-control=walk_step] input[type=number]")
    for typed, at, why in (("5", 5, ""), ("99", 20, "from 0 to 20 in whole numbers; it is now 20"), ("-3", 0, "it is now 0"), ("", 0, "it is now 0")):
        number.fill(typed)
        number.press("Enter")
        assert why in page.locator(".effnet-note").inner_text()
        assert float(number.input_value()) == at == page.evaluate(READ)["step"]
    page.get_by_role("radio", name="B7", exact=True).check()
    number.fill("99")
    number.press("Enter")
    assert "from 0 to 59" in page.locator(".effnet-note").inner_text()


def test_play_walks_to_the_end_and_stops(open_page):
    page = open_page("#walk_step=17", reduced_motion="reduce")
    page.evaluate("() => { const set = setInterval; window.setInterval = (f) => set(f, 60); }")
    play = page.locator(".effnet-play")
    play.click()
    assert play.inner_text() == "Pause"
    page.wait_for_function("document.querySelector('[name=walk_step]').value === '20'")
    page.wait_for_function("document.querySelector('.effnet-play').textContent === 'Play'")
    play.click()  # from the end it starts again
    page.wait_for_function("Number(document.querySelector('[name=walk_step]').value) < 20")
    page.evaluate(SET, 10)  # a hand on the slider stops it
    assert play.inner_text() == "Play"
    page.wait_for_timeout(200)
    assert page.evaluate(READ)["step"] == 10


def test_the_strip_follows_the_finger(open_page):
    page = open_page()
    box = page.locator(".effnet-strip svg").bounding_box()
    for at in (0, 7, 20):
        page.mouse.move(box["x"] + 13 + at / 20 * (box["width"] - 26), box["y"] + 30)
        page.mouse.down()
        page.mouse.up()
        assert page.evaluate(READ)["step"] == at
        assert page.locator(".effnet-strip g.now").count() == 1
    page.mouse.down()
    page.mouse.move(box["x"] + 13 + 12 / 20 * (box["width"] - 26), box["y"] + 30, steps=5)
    assert page.evaluate(READ)["step"] == 12
    page.mouse.up()
    assert page.locator(".effnet-strip g.past").count() == 12


def test_the_address_keeps_the_state(open_page):
    page = open_page("#walk_network=b7&walk_step=50")
    assert page.evaluate(READ)["step"] == 50
    page.evaluate(SET, 51)
    page.wait_for_function("location.hash === '#walk_network=b7&walk_step=51'")
    page.reload()
    assert page.evaluate(READ)["step"] == 51
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("location.hash === ''")


@pytest.mark.parametrize(
    "hash, at", [("#walk_step=99", 20), ("#walk_step=-1", 0), ("#walk_step=x", 3), ("#walk_step=4.4", 4), ("#walk_network=b9", 3)]
)
def test_a_bad_address_is_harmless(open_page, hash, at):
    page = open_page(hash)
    shown = page.evaluate(READ)
    assert shown["step"] == at and shown["here"] == steps("b0")[at][1]


def test_words_for_a_screen_reader(open_page):
    page = open_page()
    page.evaluate(SET, 8)
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    words = page.locator("[aria-live=polite]").inner_text()
    assert "Stage 5, block 2 of 3" in words and "102,900 parameters" in words and "15,918,720 multiply-adds" in words
    assert page.locator("[name=walk_step]").get_attribute("aria-valuetext").startswith("Step 8 of 20: Stage 5")
    picture = page.locator(".effnet-zoom svg").get_attribute("aria-label")
    assert "14×14×80, then 14×14×480, then 14×14×480, then 14×14×80" in picture and "skip" in picture


def test_the_drawing_follows_and_keeps_still_when_asked(open_page):
    def last(page):
        return page.locator(".effnet-zoom .front").nth(3).evaluate("(path) => path.getBBox().width")

    still = open_page("#walk_step=1", reduced_motion="reduce")
    before = last(still)
    still.evaluate(SET, 18)
    at_once = last(still)
    assert at_once > 3 * before
    still.wait_for_timeout(300)
    assert last(still) == at_once
    moving = open_page("#walk_step=1")
    moving.evaluate(SET, 18)
    moving.wait_for_function(f"Math.abs(document.querySelectorAll('.effnet-zoom .front')[3].getBBox().width - {at_once}) < 0.5")


def test_boxes_and_words_stay_in_the_picture(open_page):
    """At every step of the longest and the widest networks, on a phone and on a desk."""
    for width in (360, 1000):
        page = open_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
        for name in ("b0", "b7", "v2_s"):
            page.evaluate("(name) => document.querySelector(`input[value=${name}]`).click()", name)
            for at in range(0, page.evaluate(READ)["last"] + 1):
                page.evaluate(SET, at)
                outside = page.evaluate("""() => {
                  const svg = document.querySelector(".effnet-zoom svg"), frame = svg.getBoundingClientRect();
                  return [...svg.querySelectorAll("path, text")].filter((part) => {
                    if (part.closest("[style*='none']") || !part.getBBox().width) return false;
                    const box = part.getBoundingClientRect();
                    return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
                  }).map((part) => part.outerHTML);
                }""")
                assert not outside, (width, name, at, outside)


def test_light_and_dark_follow_the_text_around(open_page):
    page = open_page()
    page.evaluate("document.body.style.color = 'white'")
    page.wait_for_function("document.querySelector('effnet-network-explorer').dataset.tone === 'dark'")


def test_removed_while_playing_it_stops(open_page):
    page = open_page("#walk_step=5")
    page.locator(".effnet-play").click()
    stopped = page.evaluate("""() => {
      const gone = document.querySelector("effnet-network-explorer");
      gone.remove();
      return gone.playing;
    }""")
    assert not stopped


def test_two_on_a_page_and_a_cell_run_twice(open_page):
    page = open_page()
    page.evaluate(
        """(html) => {
          const cell = document.body.appendChild(document.createElement("div"));
          cell.innerHTML = html;
          cell.querySelectorAll("script:not([type])").forEach((script) => {
            const copy = document.createElement("script");
            copy.textContent = script.textContent;
            script.replaceWith(copy);
          });
        }""",
        network_explorer()._repr_html_(),
    )
    assert page.locator("effnet-network-explorer[data-live]").count() == 2
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))
    second = page.locator("effnet-network-explorer").nth(1)
    second.get_by_role("button", name="Next").click()
    assert "Stage 3, block 2" in second.locator(".effnet-title").inner_text()
    assert "Stage 3, block 1" in page.locator(".effnet-title").first.inner_text()


def test_without_scripts_and_on_paper_the_table_stands(open_page):
    page = open_page(java_script_enabled=False)
    assert page.get_by_text("EfficientNet-B0 step by step").is_visible()
    assert page.locator("input, button").count() == 0
    paper = open_page()
    assert not paper.get_by_text("EfficientNet-B0 step by step").is_visible()
    paper.emulate_media(media="print")
    assert paper.get_by_text("EfficientNet-B0 step by step").is_visible()
    assert not paper.locator("[name=walk_step]").is_visible()


def test_nothing_is_wider_than_a_phone(open_page):
    page = open_page("#walk_network=b7&walk_step=50", viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate("""[...document.querySelectorAll('.effnet-live *')].filter((e) => {
      const box = e.getBoundingClientRect();
      return box.width && box.right > 361 && !e.closest('.effnet-status');
    }).map((e) => e.outerHTML.slice(0, 80))""")
    assert not wide
    # No cell's text runs into the next.
    overflow = page.evaluate("[...document.querySelectorAll('.effnet-parts :is(th, td)')].filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)")
    assert not overflow


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_in_the_built_book(visit, scheme):
    page = visit().open("chapters/05_efficientnet_b0.html", scheme)
    expected = steps("b0")
    for at in (0, 1, 9, 20):
        page.evaluate(SET, at)
        shown = page.evaluate(READ)
        assert (shown["parts"], shown["here"], shown["soFar"]) == expected[at]
    page.wait_for_function("location.hash.startsWith('#walk_step=')")
    assert re.fullmatch(r"#walk_step=\d+", page.evaluate("location.hash"))
