"""The φ explorer in a real browser: its figures, its controls, and what it is without scripts."""

import random
import re
from functools import partial

import pytest

from effnet_lib import compound_scaling, count_cost, phi_explorer, scale_variant
from effnet_lib.explore.phi import RANGES

from .conftest import SET

FIELDS = ("layers", "channels", "resolution", "parameters", "multiply_adds")

# Everything that the explorer shows, as numbers.
READ = """() => {
  const number = (element) => Number(element.dataset.value);
  const output = (field) => number(document.querySelector(`output[data-field=${field}]`));
  return {
    outputs: Object.fromEntries(["depth", "width", "resolution", "formula_multiply_adds", "parameters",
      "multiply_adds"].map((field) => [field, output(field)])),
    rows: [...document.querySelectorAll("table.effnet-stages tr[data-stage]")].map((row) =>
      [...row.querySelectorAll("td[data-field]")].map((cell) => [cell.dataset.field, number(cell)])),
  };
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return phi_explorer().save(tmp_path_factory.mktemp("explorer") / "phi.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    return partial(open_saved, address)


def assert_shows(page, phi, **constants):
    variant, scaling = scale_variant(phi, **constants), compound_scaling(phi, **constants)
    cost, shown = count_cost(variant), page.evaluate(READ)
    expected = {
        "depth": scaling.depth,
        "width": scaling.width,
        "resolution": scaling.resolution,
        "formula_multiply_adds": scaling.multiply_adds,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
    }
    exact = not constants
    assert shown["outputs"] == (expected if exact else pytest.approx(expected, rel=1e-12))
    assert [dict(row) for row in shown["rows"]] == [
        {field: getattr(row, field) for field in FIELDS} for row in cost.stages
    ]


def test_the_script_equals_the_library_on_ten_thousand_settings(open_page):
    """model.js against effnet_lib.scaling, .variants and .cost; integers to the integer."""
    choose = random.Random(0)
    settings = [
        [round(choose.uniform(0, 7), 1)] + [round(choose.uniform(*RANGES[name]), 2) for name in RANGES]
        if i % 2
        else [choose.uniform(0, 7)] + [choose.uniform(*RANGES[name]) for name in RANGES]
        for i in range(10_000)
    ]
    page = open_page()
    results = page.evaluate(
        """(settings) => {
          const { base } = document.querySelector("effnet-phi-explorer").data;
          return settings.map((setting) => EffnetModel.scale(base, ...setting));
        }""",
        settings,
    )
    for (phi, *constants), (multipliers, parameters, multiply_adds, rows) in zip(settings, results):
        scaling, cost = compound_scaling(phi, *constants), count_cost(scale_variant(phi, "b0", *constants))
        assert multipliers == pytest.approx(
            [scaling.depth, scaling.width, scaling.resolution, scaling.multiply_adds], rel=1e-12
        )
        assert (parameters, multiply_adds) == (cost.parameters, cost.multiply_adds), (phi, constants)
        assert rows == [[getattr(row, field) for field in FIELDS] for row in cost.stages], (phi, constants)


def test_the_script_equals_the_library_at_every_position(open_page):
    page = open_page()
    same = page.evaluate(
        """() => {
          const { base, positions, constants: c } = document.querySelector("effnet-phi-explorer").data;
          return Object.entries(positions).map(([phi, [, p, m, rows]]) => {
            const [, p2, m2, rows2] = EffnetModel.scale(base, Number(phi), c.alpha, c.beta, c.gamma);
            return p === p2 && m === m2 && JSON.stringify(rows) === JSON.stringify(rows2);
          });
        }"""
    )
    assert same == [True] * 71


def test_every_position_shows_the_library(open_page):
    page = open_page()
    for step in range(71):
        page.evaluate(SET, {"phi": str(step / 10)})
        assert_shows(page, step / 10)


def test_other_constants_show_the_library(open_page):
    page, choose = open_page(), random.Random(1)
    for _ in range(20):
        constants = {name: round(choose.uniform(*RANGES[name]), 2) for name in RANGES}
        phi = round(choose.uniform(0, 7), 1)
        page.evaluate(SET, {"phi": str(phi)} | {name: str(value) for name, value in constants.items()})
        assert_shows(page, phi, **constants)
        product = constants["alpha"] * constants["beta"] ** 2 * constants["gamma"] ** 2
        shown = page.locator("output[data-field=constraint]").get_attribute("data-value")
        assert float(shown) == pytest.approx(product)


def test_keyboard(open_page):
    page = open_page()
    page.get_by_label("Compound coefficient").first.focus()
    for key, phi in (("ArrowRight", 0.1), ("End", 7), ("ArrowLeft", 6.9), ("Home", 0)):
        page.keyboard.press(key)
        assert_shows(page, phi)
    page.keyboard.press("Tab")  # slider → first button; the number field stands before the slider
    assert page.evaluate("document.activeElement.textContent") == "B0"


def test_typed_values_are_clamped_and_explained(open_page):
    page = open_page()
    number = page.locator("[data-control=phi] input[type=number]")
    for typed, phi, why in (
        ("2.5", 2.5, ""), ("2.55", 2.55, ""), ("99", 7, "from 0 to 7; it is now 7"),
        ("-3", 0, "from 0 to 7; it is now 0"), ("", 0, "from 0 to 7; it is now 0"),
    ):  # fmt: skip
        number.fill(typed)
        number.press("Enter")
        assert why in page.locator(".effnet-note").inner_text()
        assert bool(why) == page.locator(".effnet-note").is_visible()
        assert float(number.input_value()) == phi
        shown = page.evaluate(READ)
        assert shown["outputs"]["depth"] == pytest.approx(1.2**phi)
        assert shown["outputs"]["multiply_adds"] == count_cost(scale_variant(phi)).multiply_adds
    page.evaluate(SET, {"phi": "1"})
    assert not page.locator(".effnet-note").is_visible()


def test_buttons_and_reset(open_page):
    page = open_page("#phi=3&alpha=1.5")
    page.get_by_role("button", name="B7").click()
    assert_shows(page, 6.9)
    assert page.locator("button.near").inner_text() == "B7"
    assert page.locator("button[aria-pressed=true]").inner_text() == "B7"
    assert page.locator(".released th").inner_text() == "B7"
    page.evaluate(SET, {"phi": "2", "gamma": "1.3"})
    assert page.locator("button[aria-pressed=true]").count() == 0  # other constants
    page.get_by_role("button", name="Reset").click()
    assert_shows(page, 0)
    assert page.locator(".effnet-stages .changed").count() == 0


def test_why_formula_and_count_differ(open_page):
    page = open_page()
    why = page.locator(".effnet-why")
    for values, words in (
        ({"phi": "0"}, "This is B0"),
        ({"phi": "0.1"}, "asks for 16.3 blocks and gets 23"),
        ({"phi": "3.8"}, "outweighs the rounding"),
        ({"phi": "1", "alpha": "1"}, "rounded to what a network can have"),
    ):
        page.evaluate(SET, values)
        assert words in why.inner_text()


def test_what_changed_is_marked(open_page):
    page = open_page("#phi=1")
    marked = page.locator("tr[data-stage='4'] .changed")
    assert [cell.get_attribute("data-was") for cell in marked.all()] == ["2", "40", "56"]


def test_the_address_keeps_the_state(open_page):
    page = open_page("#phi=2.5")
    assert_shows(page, 2.5)
    page.evaluate(SET, {"phi": "4.2", "beta": "1.2"})
    page.wait_for_function("location.hash === '#phi=4.2&beta=1.2'")
    page.reload()
    assert_shows(page, 4.2, beta=1.2)
    page.evaluate("location.hash = '#phi=1.5'")
    page.wait_for_function("document.querySelector('[name=phi]').value === '1.5'")
    assert_shows(page, 1.5)
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("location.hash === ''")


@pytest.mark.parametrize("hash, phi", [("#phi=99", 7), ("#phi=-1", 0), ("#phi=abc", 0), ("#phi=", 0), ("#other", 0), ("#phi=NaN&alpha=x", 0)])
def test_a_bad_address_is_harmless(open_page, hash, phi):
    page = open_page(hash)
    assert_shows(page, phi)


def test_following_a_heading_keeps_the_position(open_page):
    page = open_page("#phi=3&alpha=1.5")
    page.evaluate("location.hash = '#some-heading'")
    page.wait_for_timeout(100)
    assert_shows(page, 3, alpha=1.5)


def test_an_explorer_that_was_removed_lets_go(open_page):
    page = open_page()
    page.evaluate(SET, {"phi": "3"})
    page.evaluate("""() => {
      window.gone = document.querySelector("effnet-phi-explorer");
      gone.remove();
      document.body.className = "changed";
      location.hash = "#phi=1";
    }""")
    page.wait_for_timeout(400)
    assert page.evaluate("[gone.state.phi, location.hash]") == [3, "#phi=1"]
    page.evaluate("document.body.append(gone); document.body.style.color = 'white'")
    page.wait_for_function("gone.dataset.tone === 'dark'")
    page.evaluate(SET, {"phi": "2"})
    assert_shows(page, 2)


def test_a_copy_of_a_live_page_comes_to_life_once(open_page):
    page = open_page("#phi=2")
    page.evaluate("document.body.append(document.querySelector('effnet-phi-explorer').cloneNode(true))")
    assert page.locator(".effnet-live").count() == 2
    page.evaluate("document.querySelectorAll('[name=phi]')[1].value = 5")
    second = page.locator("effnet-phi-explorer").nth(1)
    second.get_by_role("button", name="B2").click()
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash") == "#phi=2"  # the address is the first one's


def test_the_address_of_a_heading_is_left_alone(open_page):
    page = open_page("#some-heading")
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash") == "#some-heading"


def test_words_for_a_screen_reader(open_page):
    page = open_page()
    page.evaluate(SET, {"phi": "2"})
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    words = page.locator("[aria-live=polite]").inner_text()
    assert "φ = 2" in words and "×1.44" in words and "26 blocks" in words
    assert page.locator("[name=phi]").get_attribute("aria-valuetext") == "φ = 2"
    picture = page.locator("svg[role=img]").get_attribute("aria-label")
    assert "296 to 10 pixels" in picture and "9 boxes" in picture


def test_the_drawing_follows_and_keeps_still_when_asked(open_page):
    def width(page):
        return page.locator("svg .front").nth(6).evaluate("(path) => path.getBBox().width")

    still = open_page(reduced_motion="reduce")
    before = width(still)
    still.evaluate(SET, {"phi": "7"})
    at_once = width(still)
    assert at_once > 2 * before
    still.wait_for_timeout(300)
    assert width(still) == at_once
    moving = open_page()
    moving.evaluate(SET, {"phi": "7"})
    moving.wait_for_function(
        f"Math.abs(document.querySelectorAll('svg .front')[6].getBBox().width - {at_once}) < 0.5"
    )


def test_light_and_dark_follow_the_text_around(open_page):
    page = open_page()
    explorer = page.locator("effnet-phi-explorer")
    assert explorer.get_attribute("data-tone") == "light"
    page.evaluate("document.body.style.color = 'white'")
    page.wait_for_function("document.querySelector('effnet-phi-explorer').dataset.tone === 'dark'")


def test_two_on_a_page_and_a_cell_run_twice(open_page):
    page = open_page()
    html = phi_explorer()._repr_html_()
    page.evaluate(
        """(html) => {
          const cell = document.body.appendChild(document.createElement("div"));
          cell.innerHTML = html;  // as a notebook does: the scripts are run afterwards
          cell.querySelectorAll("script:not([type])").forEach((script) => {
            const copy = document.createElement("script");
            copy.textContent = script.textContent;
            script.replaceWith(copy);
          });
        }""",
        html,
    )
    assert page.locator("effnet-phi-explorer[data-live]").count() == 2
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))
    second = page.locator("effnet-phi-explorer").nth(1)
    second.get_by_role("button", name="B2").click()
    assert second.locator("output[data-field=depth]").inner_text() == "×1.20"
    assert page.locator("output[data-field=depth]").first.inner_text() == "×1.00"


def test_without_scripts_and_on_paper_the_tables_stand(open_page):
    page = open_page(java_script_enabled=False)
    assert page.get_by_text("EfficientNet B0 to B7 as released").is_visible()
    assert page.get_by_text(f"{count_cost('b7').multiply_adds:,}").is_visible()
    assert page.locator("input, button").count() == 0
    paper = open_page()
    assert not paper.get_by_text("EfficientNet B0 to B7 as released").is_visible()
    paper.emulate_media(media="print")
    assert paper.get_by_text("EfficientNet B0 to B7 as released").is_visible()
    assert not paper.locator("[name=phi]").is_visible()


def test_nothing_is_wider_than_a_phone(open_page):
    page = open_page("#phi=7", viewport={"width": 360, "height": 740})
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate(
        """[...document.querySelectorAll('.effnet-live *')].filter((e) => {
          const box = e.getBoundingClientRect();
          return box.width && box.right > 361 && !e.closest('.effnet-status');
        }).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert not wide


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_in_the_built_book(visit, scheme):
    for path in ("index.html", "chapters/02_compound_scaling.html"):
        page = visit().open(path, scheme)
        choose = random.Random(path + scheme)
        for phi in [step / 10 for step in choose.sample(range(71), 10)]:
            page.evaluate(SET, {"phi": str(phi)})
            assert_shows(page, phi)
        page.wait_for_function("location.hash.startsWith('#phi=')")
        assert re.fullmatch(r"#phi=\d(\.\d)?", page.evaluate("location.hash"))
