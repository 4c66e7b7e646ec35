"""The explorer of depth, width and resolution in a real browser: its figures and its controls."""

import random
from functools import partial

import pytest

from effnet_lib import count_cost, dimensions_explorer, published_study, receptive_field, scale_by
from effnet_lib.explore.dimensions import BYTES, RANGES, WAYS, budget, published

NAMES = list(RANGES)
FIELDS = ("layers", "channels", "resolution", "parameters", "multiply_adds", "activations")

READ = """() => ({
  outputs: Object.fromEntries([...document.querySelectorAll("output[data-field]")].map((out) => [out.dataset.field, Number(out.dataset.value)])),
  sees: [...document.querySelectorAll(".effnet-sees tbody tr")].map((tr) => [...tr.querySelectorAll("td")].map((td) => td.textContent)),
  resolution: document.querySelector("effnet-dimensions-explorer").network.resolution,
})"""
SET = """(values) => {
  for (const [name, value] of Object.entries(values)) {
    const range = document.querySelector(`input[type=range][name=dim_${name}]`);
    range.value = value;
    range.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return dimensions_explorer().save(tmp_path_factory.mktemp("explorer") / "dimensions.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    return partial(open_saved, address)


def assert_shows(page, **factors):
    variant, shown = scale_by(**factors), page.evaluate(READ)
    cost, fields = count_cost(variant), receptive_field(variant)
    assert shown["outputs"] == {
        "multiply_adds": cost.multiply_adds,
        "parameters": cost.parameters,
        "activations": cost.activations,
        "field": fields[-1].size,
    }
    assert shown["resolution"] == variant.resolution
    pixels, shares = shown["sees"]
    assert [int(text) for text in pixels] == [field.size for field in fields]
    for text, field in zip(shares, fields):
        share = 100 * field.size / variant.resolution
        if share >= 100:
            assert text == "all"
        else:
            assert float(text) == pytest.approx(share, abs=0.5)


def test_the_script_equals_the_library_on_ten_thousand_settings(open_page):
    """model.js against effnet_lib.variants, .cost and .receptive; integers to the integer."""
    choose = random.Random(0)
    settings = [
        [round(choose.uniform(*RANGES[name]), 2) if i % 2 else choose.uniform(*RANGES[name]) for name in NAMES]
        for i in range(10_000)
    ]
    results = open_page().evaluate(
        """(settings) => {
          const { base } = document.querySelector("effnet-dimensions-explorer").data;
          return settings.map((setting) => EffnetModel.count(base, ...setting));
        }""",
        settings,
    )
    for setting, rows in zip(settings, results):
        variant = scale_by(**dict(zip(NAMES, setting)))
        sizes = [field.size for field in receptive_field(variant)]
        expected = [[getattr(row, field) for field in FIELDS] for row in count_cost(variant).stages]
        assert rows == [row + [size] for row, size in zip(expected, [*sizes, sizes[-1]])], setting


def test_sliders_show_the_library(open_page):
    page, choose = open_page(), random.Random(1)
    assert_shows(page)
    for _ in range(25):
        factors = {name: round(20 * choose.uniform(*RANGES[name])) / 20 for name in NAMES}
        page.evaluate(SET, factors)
        assert_shows(page, **factors)


def test_presets_spend_what_they_say(open_page):
    """Counted, each way comes within a few per cent of the budget, and the page shows it."""
    page, base = open_page(), count_cost("b0").multiply_adds
    for times in (2, 4, 8):
        page.get_by_role("radio", name=f"{times} × B0").check()
        for way in WAYS:
            page.get_by_role("button", name=way, exact=True).click()
            factors = dict(zip(NAMES, budget(times)[way]))
            assert_shows(page, **factors)
            assert count_cost(scale_by(**factors)).multiply_adds / base == pytest.approx(times, rel=0.04)
            assert page.locator("[data-way][aria-pressed=true]").inner_text() == way
            others = [factor for name, factor in factors.items() if name != way]
            assert way == "all three" or others == [1, 1]


def test_another_budget_takes_the_network_along(open_page):
    page = open_page()
    page.get_by_role("button", name="width", exact=True).click()
    page.get_by_role("radio", name="8 × B0").check()
    assert_shows(page, width=budget(8)["width"][1])


def lit(page):
    """The budget and the way that are pressed."""
    return page.evaluate(
        """[document.querySelector('[data-control=dim_budget] input:checked')?.value,
            document.querySelector('[data-way][aria-pressed=true]')?.dataset.way]"""
    )


def test_a_budget_is_lit_only_while_it_is_spent(open_page):
    page = open_page()
    assert lit(page) == [None, None]
    page.get_by_role("radio", name="8 × B0").check()  # no preset before: on all three
    assert_shows(page, **dict(zip(NAMES, budget(8)["all three"])))
    assert lit(page) == ["8", "all three"]
    page.evaluate(SET, {"depth": 3})  # no longer a preset
    assert lit(page) == [None, None]
    page.get_by_role("button", name="width", exact=True).click()
    assert_shows(page, width=budget(4)["width"][1])
    assert lit(page) == ["4", "width"]
    page.get_by_role("button", name="Reset").click()
    assert lit(page) == [None, None]


def test_the_papers_networks_tell_their_accuracy(open_page):
    page = open_page()
    why = page.locator(".effnet-why")
    page.get_by_role("radio", name="as the paper did").check()
    for row in published_study()[1:]:
        page.get_by_role("button", name=row.dimension, exact=True).click()
        assert_shows(page, **row.factors)
        assert f"reached {row.accuracy:.1f} %" in why.inner_text() and "Table 7" in why.inner_text()
    page.evaluate(SET, {"depth": 1})
    assert "In the paper" not in why.inner_text()
    assert published() == {row.dimension: tuple(row.factors.values()) for row in published_study()[1:]}


def test_bars_show_law_and_count(open_page):
    """One doubling is one fifteenth of a track, from 1/32 to 1024; growth right, shrinking left."""
    page = open_page("#dim_depth=2&dim_width=2&dim_resolution=0.5")

    def place(field, part):
        left, width = page.locator(f"[data-bar={field}] {part}").evaluate("(e) => [e.style.left, e.style.width]")
        return float(left[:-1]) * 0.15 - 5, float(width[:-1] or 0) * 0.15 if width else 0

    assert place("multiply_adds", "i.depth") == pytest.approx((0, 1), abs=0.01)
    assert place("multiply_adds", "i.width") == pytest.approx((1, 2), abs=0.01)
    assert place("multiply_adds", "i.resolution") == pytest.approx((-2, 2), abs=0.01)
    assert place("parameters", "i.width") == pytest.approx((1, 2), abs=0.01)
    assert place("activations", "i.width") == pytest.approx((1, 1), abs=0.01)
    assert place("field", "i.width")[1] == place("parameters", "i.resolution")[1] == 0
    ratio = count_cost(scale_by(depth=2, width=2, resolution=0.5)).multiply_adds / count_cost("b0").multiply_adds
    assert 2 ** place("multiply_adds", "b")[0] == pytest.approx(ratio, rel=0.01)


def test_the_picture_is_to_scale(open_page):
    page = open_page("#dim_resolution=2")
    image = page.locator(".effnet-picture svg svg").bounding_box()
    for i, field in enumerate(receptive_field("b0")[3:5], 3):
        box = page.locator(".effnet-picture rect.line").nth(i).bounding_box()
        assert box["width"] / image["width"] == pytest.approx(field.size / 448, abs=0.02)
        assert box["x"] + box["width"] / 2 == pytest.approx(image["x"] + image["width"] / 2, abs=1)
    for i, field in enumerate(receptive_field("b0")):  # none beyond the first that holds the image
        assert page.locator(".effnet-picture rect.line").nth(i).is_visible() == (field.size <= 339), i
    assert page.locator("canvas").evaluate("(c) => [c.width, c.height]") == [64, 64]
    # The glass shows the scene: an eye has a light and a dark place.
    tones = page.locator("canvas").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, 64, 64).data].filter((_, i) => i % 4 === 0)"
    )
    assert min(tones) < 60 and max(tones) > 230


@pytest.mark.parametrize("resolution", [1, 1.5, 1.9, 2.5, 3])
def test_squares_leave_room_for_the_caption(open_page, resolution):
    page = open_page(f"#dim_resolution={resolution}")
    picture = page.locator(".effnet-picture > div > svg").bounding_box()
    caption = page.locator(".effnet-picture .caption").last.bounding_box()
    squares = [square.bounding_box() for square in page.locator(".effnet-picture rect.line").all() if square.is_visible()]
    assert min(box["y"] for box in squares) >= picture["y"]
    assert max(box["y"] + box["height"] for box in squares) <= caption["y"] - 2


def test_the_address_keeps_the_state_and_reset_clears_it(open_page):
    page = open_page()
    page.get_by_role("radio", name="8 × B0").check()
    page.get_by_role("button", name="width", exact=True).click()
    page.wait_for_function("location.hash.includes('dim_budget=8') && location.hash.includes('dim_width')")
    page.reload()
    assert lit(page) == ["8", "width"]
    page.evaluate(SET, {"depth": 2, "width": 1.5})
    page.evaluate(SET, {"resolution": 1.25})
    page.wait_for_function("location.hash.includes('dim_resolution=1.25')")
    page.reload()
    assert_shows(page, depth=2, width=1.5, resolution=1.25)
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("location.hash === ''")
    assert_shows(page)


def test_words_for_a_screen_reader(open_page):
    page = open_page()
    page.evaluate(SET, {"resolution": 3})
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    words = page.locator("[aria-live=polite]").inner_text()
    assert "resolution 3" in words and "672 pixels" in words and "after stage 7" in words
    pictures = [svg.get_attribute("aria-label") for svg in page.locator("svg[role=img]").all()]
    assert "672 by 672 pixels" in pictures[0] and "square of side 3 for the pixels" in pictures[1]
    assert page.locator("[name=dim_resolution]").get_attribute("aria-valuetext") == "resolution times 3"


def test_keyboard(open_page):
    page = open_page()
    page.locator("[name=dim_width]").focus()
    for key, width in (("ArrowRight", 1.05), ("End", 3), ("Home", 0.5)):
        page.keyboard.press(key)
        assert_shows(page, width=width)


def test_without_scripts_and_on_paper_the_table_stands(open_page):
    page = open_page(java_script_enabled=False)
    caption = "EfficientNet-B0, grown by one dimension and by all three"
    assert page.get_by_text(caption).is_visible() and page.locator("input, button").count() == 0
    for times in (2, 4, 8):
        for way in WAYS:
            cost = count_cost(scale_by(**dict(zip(NAMES, budget(times)[way]))))
            assert page.get_by_text(f"{cost.multiply_adds:,}").first.is_visible()
    paper = open_page()
    assert not paper.get_by_text(caption).is_visible()
    paper.emulate_media(media="print")
    assert paper.get_by_text(caption).is_visible()


@pytest.mark.parametrize("hash", ["", "#dim_depth=8&dim_width=3&dim_resolution=3", "#dim_depth=0.5&dim_width=0.5"])
def test_nothing_is_wider_than_a_phone(open_page, hash):
    page = open_page(hash, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate(
        """[...document.querySelectorAll('.effnet-live *')].filter((e) => {
          const box = e.getBoundingClientRect();
          return box.width && box.right > 361 && !e.closest('.effnet-status, svg');
        }).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert not wide


def test_two_on_a_page_have_ids_of_their_own(open_page):
    page = open_page()
    page.evaluate("document.body.append(document.querySelector('effnet-dimensions-explorer').cloneNode(true))")
    assert page.locator("effnet-dimensions-explorer[data-live]").count() == 2
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_in_the_built_book(visit, scheme):
    page = visit().open("chapters/01_why_scale.html", scheme)
    page.evaluate(SET, {"depth": 2, "width": 1.5})
    assert_shows(page, depth=2, width=1.5)
    page.wait_for_function("location.hash.includes('dim_width=1.5')")
    memory = page.locator("output[data-field=activations]").inner_text()
    count = BYTES * count_cost(scale_by(depth=2, width=1.5)).activations
    assert memory.startswith(f"{count / 1e6:.1f}") and memory.endswith("MB")
