"""The two explorers of squeeze-and-excitation in a real browser."""

import base64
import random
import struct
from dataclasses import replace

import pytest

from effnet_lib import count_cost, gates_explorer, get_variant, se_explorer
from effnet_lib.explore.se import CHANNELS, EXPANSIONS, RATIOS, with_squeeze

from .conftest import SET

OUTPUTS = """() => Object.fromEntries([...document.querySelectorAll("output[data-field]")].map(
  (output) => [output.dataset.field, Number(output.dataset.value)]))"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorers")
    return {name: make().save(folder / f"{name}.html").as_uri() for name, make in (("se", se_explorer), ("gates", gates_explorer))}


@pytest.fixture
def open_page(open_saved, addresses):
    return lambda name, hash="", **options: open_saved(addresses[name], hash, ("data:",), **options)


# What a setting costs, counted by the library: a network of one block, with its SE and without.


def se_cost(channels, expansion, ratio, base):
    b0 = get_variant("b0")
    stage = replace(b0.stages[2], expand_ratio=expansion, layers=1, channels=8, se_ratio=1 / ratio)
    one = replace(b0, stem_channels=channels, stages=(stage,))
    with_se = count_cost(with_squeeze(one, 1 / ratio, base == "expanded"), 32)
    without = count_cost(with_squeeze(one, 0), 32)
    return with_se.parameters - without.parameters, with_se.multiply_adds - without.multiply_adds


def test_the_script_equals_the_library_on_random_settings(open_page):
    choose = random.Random(0)
    settings = [
        (choose.randint(1, 700), choose.choice(EXPANSIONS), choose.choice(RATIOS), choose.choice(["input", "expanded"]))
        for _ in range(3000)
    ]
    results = open_page("se").evaluate(
        """(settings) => settings.map(([input, expansion, ratio, base]) =>
          EffnetSE.cost(input * expansion, EffnetSE.squeeze(input, expansion, ratio, base)))""",
        settings,
    )
    for setting, result in zip(settings, results):
        assert tuple(result) == se_cost(*setting), setting


def test_what_is_shown(open_page):
    page, choose = open_page("se"), random.Random(1)
    for _ in range(25):
        channels = choose.randrange(CHANNELS[0], CHANNELS[1] + 1, 8)
        expansion, ratio, base = choose.choice(EXPANSIONS), choose.choice(RATIOS), choose.choice(["input", "expanded"])
        page.evaluate(SET, {"se_channels": channels, "se_expansion": expansion, "se_ratio": ratio, "se_base": base})
        shown = page.evaluate(OUTPUTS)
        other = "input" if base == "expanded" else "expanded"
        assert (shown["se_parameters"], shown["se_multiply_adds"]) == se_cost(channels, expansion, ratio, base)
        assert shown["se_other"] == se_cost(channels, expansion, ratio, other)[0]
        assert shown["se_width"] == channels * expansion
        total = count_cost(with_squeeze(get_variant("b0"), 1 / ratio, base == "expanded")).parameters
        assert shown["se_total"] == total
        assert ("mistake" in page.locator(".se-verdict").inner_text()) == (base == "expanded")
        label = page.locator("svg[role=img]").get_attribute("aria-label")
        assert f"{channels * expansion} maps" in label and f"reduces them to {shown['se_squeeze']:.0f}," in label


def test_blocks_of_b0_and_reset(open_page):
    page = open_page("se")
    page.get_by_role("button", name="Block 16 of B0").click()
    shown = page.evaluate(OUTPUTS)
    assert (shown["se_width"], shown["se_squeeze"], shown["se_parameters"]) == (1152, 48, 111_792)
    assert page.locator("[aria-pressed=true]").count() == 4  # 13 to 16 are alike
    page.get_by_role("radio", name="expanded channels").check()
    assert "8,423,848 parameters instead of 5,288,548" in page.locator(".se-verdict").inner_text()
    page.wait_for_function("location.hash === '#se_channels=192&se_base=expanded'")
    page.reload()
    assert page.evaluate(OUTPUTS)["se_squeeze"] == 288
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate(OUTPUTS)["se_squeeze"] == 6


def test_the_drawing_is_to_scale(open_page):
    page = open_page("se", "#se_channels=192")
    heights = page.evaluate("['average', 'squeeze', 'open'].map((c) => document.querySelector(`svg .${c}`).getBBox().height)")
    assert heights[0] == heights[2] and heights[1] / heights[0] == pytest.approx(48 / 1152, rel=0.01)


def test_typed_channels_are_whole_and_clamped(open_page):
    page = open_page("se")
    number = page.locator("[data-control=se_channels] input[type=number]")
    for typed, value, why in (("100", 100, ""), ("33.4", 33, "in whole numbers; it is now 33"), ("9999", 320, "from 8 to 320"), ("", 320, "it is now 320")):
        number.fill(typed)
        number.press("Enter")
        assert why in page.locator(".effnet-note").inner_text() and float(number.input_value()) == value
        assert page.evaluate(OUTPUTS)["se_width"] == 6 * value


def unpack(block):
    data = base64.b64decode(block["gates"])
    return struct.unpack(f"<{len(data) // 2}H", data)


def shown_gates(page):
    return page.evaluate("[...document.querySelectorAll('.gates-row output')].map((o) => [Number(o.dataset.value), o.textContent])")


def test_every_gate_that_is_read_is_the_networks(open_page):
    """Through blocks, orders and channels; and the strips are drawn in the same order."""
    page, data, choose = open_page("gates"), gates_explorer().data, random.Random(2)
    for _ in range(30):
        number, kind, place = choose.randint(1, len(data["blocks"])), choose.choice(["average", "spread", "network"]), choose.randint(0, 100)
        page.evaluate(SET, {"gates_block": number, "gates_order": kind, "gates_place": place})
        block = data["blocks"][number - 1]
        channels, gates = block["channels"], unpack(block)
        columns = [gates[c::channels] for c in range(channels)]
        mean = [sum(column) / len(column) for column in columns]
        spread = [sum((g - m) ** 2 for g in column) for column, m in zip(columns, mean)]
        keys = {"network": range(channels), "average": [-m for m in mean], "spread": [-round(s, 6) for s in spread]}[kind]
        order = sorted(range(channels), key=lambda c: (keys[c], c))
        at = min(channels - 1, place * channels // 100)
        shown = [value for value, _ in shown_gates(page)]
        if kind == "network":
            assert shown == [g / 65535 for g in columns[order[at]]]
        else:  # equal keys may stand in another order
            values = {tuple(g / 65535 for g in columns[c]) for c in range(channels) if keys[c] == pytest.approx(keys[order[at]], abs=1e-6)}
            assert tuple(shown) in values
        assert page.locator(".gates-words").inner_text().startswith(f"Block {number} has {channels} gates")
        assert page.locator("canvas").first.get_attribute("width") == str(channels)


def test_colours_grow_brighter_with_the_gate(open_page):
    light = open_page("gates").evaluate("""() => {
      const { colours } = document.querySelector("effnet-gates-explorer");
      return colours.map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b);
    }""")
    assert len(light) == 256 and light[255] - light[0] > 150
    assert all(b - a > -0.5 for a, b in zip(light, light[1:]))  # but for rounding


def test_colours_can_be_stretched_to_the_block(open_page):
    page, block = open_page("gates", "#gates_block=7&gates_order=network"), gates_explorer().data["blocks"][6]
    ends = page.locator(".gates-legend span")
    page.get_by_role("radio", name="0 to 1").check()
    assert ends.all_inner_texts() == ["0: closed", "1: open"]
    page.get_by_role("radio", name="least gate").check()
    gates = unpack(block)
    low, high = min(gates), max(gates)
    assert ends.all_inner_texts() == [f"{low / 65535:.3f}", f"{high / 65535:.3f}"]
    drawn = page.evaluate("""() => [...document.querySelectorAll("canvas")].flatMap((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1);
      return Array.from({ length: canvas.width }, (_, x) => [...data.slice(4 * x, 4 * x + 3)].join());
    })""")
    colours = page.evaluate("document.querySelector('effnet-gates-explorer').colours.map((c) => c.join())")
    assert drawn == [colours[int(255 * (gate - low) / (high - low) + 0.5)] for gate in gates]


def test_reading_with_the_pointer_and_the_chart(open_page):
    page = open_page("gates")
    canvas = page.locator("canvas").nth(2)
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 5)
    assert page.locator("[name=gates_place]").input_value() == "90"
    page.get_by_role("button", name="Block 7").click()
    assert page.locator("[name=gates_block]").input_value() == "7"
    assert page.locator(".gates-bar[aria-pressed=true]").inner_text() == "7"
    page.get_by_role("button", name="Reset").click()
    assert page.locator("[name=gates_block]").input_value() == "1"


@pytest.mark.parametrize("width", [360, 1280])
def test_a_line_stands_in_each_strip_at_the_channel_that_is_read(open_page, width):
    page = open_page("gates", "#gates_place=20", viewport={"width": width, "height": 740})
    boxes = page.evaluate("""() => [...document.querySelectorAll(".gates-strip")].map((strip) =>
      [strip.querySelector("canvas"), strip.querySelector("i")].map((e) => { const b = e.getBoundingClientRect(); return [b.x, b.width, b.top, b.bottom]; }))""")
    channels = gates_explorer().data["blocks"][0]["channels"]
    assert len(boxes) == 6
    for (x, across, *ends), (at, thick, *line_ends) in boxes:
        assert (thick, line_ends) == (2, pytest.approx(ends))
        assert at + 1 == pytest.approx(x + across * (channels * 20 // 100 + 0.5) / channels, abs=0.2)


def test_the_bars_are_the_spreads(open_page):
    page, blocks = open_page("gates"), gates_explorer().data["blocks"]
    heights = page.evaluate("[...document.querySelectorAll('.gates-bar i')].map((bar) => bar.getBoundingClientRect().height)")
    most = max(max(block["between_images"], block["many"]) for block in blocks)
    tallest = max(heights) / max(block["between_images"] for block in blocks)
    assert heights == pytest.approx([block["between_images"] * tallest for block in blocks], abs=0.6)
    assert max(heights) <= 120 and most * tallest <= 120


WORDS = {"se": ("se_channels", "112", "672 expanded channels, squeezed to 28"), "gates": ("gates_block", "5", "Block 5 has")}


@pytest.mark.parametrize("name", WORDS)
def test_words_width_and_ids(open_page, name):
    control, value, words = WORDS[name]
    page = open_page(name, viewport={"width": 360, "height": 740})
    page.evaluate(SET, {control: value})
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    assert words in page.locator("[aria-live=polite]").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", WORDS)
def test_without_scripts_and_on_paper_the_table_stands(open_page, name):
    page = open_page(name, java_script_enabled=False)
    assert page.locator("table").is_visible() and page.locator("input, button").count() == 0
    paper = open_page(name)
    assert not paper.locator(".effnet-static table").is_visible()
    paper.emulate_media(media="print")
    assert paper.locator(".effnet-static table").is_visible() and not paper.locator("input").first.is_visible()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_both_on_one_page_of_the_book(visit, scheme):
    page = visit().open("chapters/03_squeeze_excitation.html", scheme)
    page.evaluate(SET, {"se_channels": 80, "gates_block": 3})
    assert page.evaluate(OUTPUTS)["se_parameters"] == 19_700
    assert page.locator(".gates-words").inner_text().startswith("Block 3")
    page.wait_for_function("location.hash.includes('gates_block=3')")
