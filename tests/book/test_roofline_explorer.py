"""The roofline explorer in a real browser: its figures, its marks and its controls."""

import math
import random
from functools import partial

import pytest

from effnet_lib import get_variant, recorded, roofline, roofline_explorer
from effnet_lib.explore.roofline import BATCH, NETWORKS, PRECISIONS, YOURS, layer_groups, machines, measured, title

from .conftest import SET

NAMES = [name for family in NETWORKS.values() for name in family]

READ = """() => {
  const explorer = document.querySelector("effnet-roofline-explorer");
  return {
    cards: Object.fromEntries([...explorer.querySelectorAll("output[data-field]")].map((out) => [out.dataset.field, out.dataset.value])),
    sums: explorer.sums, rows: explorer.rows, state: explorer.state,
  };
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return roofline_explorer().save(tmp_path_factory.mktemp("explorer") / "roofline.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    return partial(open_saved, address)


def computed(state):
    """The same setting in Python."""
    if state["roof_machine"] == "yours":
        peak, bandwidth = 1e9 * state["roof_peak"], 1e9 * state["roof_bandwidth"]
    else:
        machine = machines()[state["roof_machine"]]
        peak, bandwidth = machine["peaks"][state["roof_precision"]], machine["bandwidth"]
    return roofline(
        state["roof_network"], peak, bandwidth, batch_size=state["roof_batch"],
        bytes_per_number=PRECISIONS[state["roof_precision"]], fused=state["roof_fused"] == "fused",
    )  # fmt: skip


def assert_shows(page, **state):
    shown = page.evaluate(READ)
    assert shown["state"] == shown["state"] | state
    bound = computed(shown["state"])
    assert float(shown["cards"]["seconds"]) == pytest.approx(bound.seconds, rel=1e-12)
    assert float(shown["cards"]["computing"]) == pytest.approx(bound.multiply_adds / bound.peak, rel=1e-12)
    assert float(shown["cards"]["moving"]) == pytest.approx(bound.bytes / bound.bandwidth, rel=1e-12)
    waiting = sum(layer.seconds for layer in bound.layers if layer.bound == "memory") / bound.seconds
    assert float(shown["cards"]["waiting"]) == pytest.approx(waiting, rel=1e-9)
    assert sum(row["times"] for row in shown["rows"]) == len(bound.layers)


def test_the_script_equals_the_library_on_a_thousand_settings(open_page):
    """roofline.js against effnet_lib.bounds, layer by layer."""
    choose, settings = random.Random(0), []
    for _ in range(1000):
        low, high, _ = YOURS["peak"]
        peak = low * (high / low) ** choose.random()
        low, high, _ = YOURS["bandwidth"]
        bandwidth = low * (high / low) ** choose.random()
        settings.append(
            [choose.choice(NAMES), peak, bandwidth, choose.randint(*BATCH[:2]), choose.choice([1, 2, 4]), choose.random() < 0.5]
        )
    results = open_page().evaluate(
        """(settings) => {
          const { networks } = document.querySelector("effnet-roofline-explorer").data;
          return settings.map(([name, ...rest]) => EffnetRoofline.bounds(networks[name], ...rest)
            .map((row) => [row.stage, row.first, row.times, row.name, row.multiply_adds, row.bytes, row.seconds, row.bound]));
        }""",
        settings,
    )
    for setting, rows in zip(settings, results):
        name, peak, bandwidth, batch, width, fused = setting
        bound = roofline(name, peak, bandwidth, batch_size=batch, bytes_per_number=width, fused=fused)
        expected = {(layer.stage, layer.block, layer.name): layer for layer in bound.layers}
        seen = 0
        for stage, first, times, layer_name, multiply_adds, moved, seconds, kind in rows:
            for block in range(first, first + times):
                layer = expected[stage, block, layer_name]
                assert (layer.multiply_adds, layer.bytes, layer.bound) == (multiply_adds, moved, kind), setting
                assert layer.seconds == pytest.approx(seconds, rel=1e-12)
                seen += 1
        assert seen == len(expected) == len(bound.layers)


def test_controls_show_the_library(open_page):
    page, choose = open_page(), random.Random(1)
    assert_shows(page, roof_network="b0", roof_machine="xeon", roof_batch=1)
    for _ in range(20):
        state = {
            "roof_network": choose.choice(NAMES), "roof_machine": choose.choice(["xeon", "h100"]),
            "roof_precision": choose.choice(list(PRECISIONS)), "roof_fused": choose.choice(["fused", "passes"]),
        }  # fmt: skip
        exponent = choose.randint(0, 9)
        page.evaluate(SET, state | {"roof_batch": exponent})
        assert_shows(page, **state, roof_batch=2**exponent)


def test_a_machine_of_your_own(open_page):
    page = open_page()
    assert not page.locator("[data-control=roof_peak]").is_visible()
    page.get_by_role("radio", name="yours").check()
    assert page.locator("[data-control=roof_peak]").is_visible()
    assert_shows(page, roof_peak=YOURS["peak"][2] / 1e9, roof_bandwidth=YOURS["bandwidth"][2] / 1e9)
    page.evaluate(SET, {"roof_peak": 3, "roof_bandwidth": 1})
    assert_shows(page, roof_peak=1000, roof_bandwidth=10)
    number = page.locator("[data-control=roof_peak] input[type=number]")
    for typed, value, why in (
        ("85", 85, ""), ("0.2", 1, "from 1 to 1000000; it is now 1"), ("", 1, "it is now 1"), ("5e9", 1e6, "it is now 1000000"),
    ):  # fmt: skip
        number.fill(typed)
        number.press("Enter")
        assert why in page.locator(".effnet-note").inner_text()
        assert_shows(page, roof_peak=value)
        place = float(page.locator("[name=roof_peak]").input_value())
        assert place == pytest.approx(math.log10(value), abs=0.011)
    batch = page.locator("[data-control=roof_batch] input[type=number]")
    for typed, value in (("100", 100), ("2.6", 3), ("9999", 512), ("0", 1)):
        batch.fill(typed)
        batch.press("Enter")
        assert_shows(page, roof_batch=value)


def test_marks_stand_where_the_library_puts_them(open_page):
    """Positions, read back through the axes; clamped where a mark lies outside the window."""
    page = open_page("#roof_network=v2_s")
    found = page.evaluate(
        """() => {
          const { plot, rows } = document.querySelector("effnet-roofline-explorer");
          const ticks = [...plot.grid.querySelectorAll(":scope > text:not(.axis)")].map((t) => [Number(t.textContent), Number(t.getAttribute("x"))]);
          const rungs = [...plot.rungs.querySelectorAll("text")].map((t) => [t.textContent, Number(t.getAttribute("y")) - 4]);
          const marks = [...plot.marks.children].map((m) => m.getAttribute("transform").match(/-?[\\d.]+/g).map(Number));
          return { ticks, rungs, marks, rows };
        }"""
    )
    (one, x1), (ten, x2) = found["ticks"][:2]
    assert (one, ten) == (1, 10)
    unit = {"M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
    (low, y1), (high, y2) = [(float(t.split()[0]) * unit[t.split()[1]], y) for t, y in found["rungs"][:2]]
    assert high == 10 * low
    total = sum(row["times"] * row["seconds"] for row in found["rows"])
    inside = 0
    for (x, y, scale), row in zip(found["marks"], found["rows"], strict=True):
        intensity, rate = row["multiply_adds"] / row["bytes"], row["multiply_adds"] / row["seconds"]
        if intensity > 0.13 and rate > 1.8e8:
            assert math.log10(intensity) == pytest.approx((x - x1) / (x2 - x1), abs=0.01)
            assert math.log10(rate / low) == pytest.approx((y - y1) / (y2 - y1), abs=0.01)
            inside += 1
        share = row["times"] * row["seconds"] / total
        assert scale == pytest.approx(0.9 * (2 + 26 * math.sqrt(share)), abs=0.01)
    assert inside > 25


def test_the_band_adds_up_to_the_whole(open_page):
    page = open_page("#roof_network=b4")
    edges, rows, left, right = page.evaluate(
        """() => {
          const { band, rows } = document.querySelector("effnet-roofline-explorer");
          return [band.edges, rows, band.left, band.right];
        }"""
    )
    bound = computed(page.evaluate(READ)["state"])
    assert edges[-1] == pytest.approx(right, abs=0.01)
    width = edges[0] - left
    assert width / (right - left) == pytest.approx(bound.layers[0].seconds / bound.seconds, rel=1e-6)
    assert len(edges) == len(rows) == sum(len(group[3]) for group in layer_groups(get_variant("b4")))


def test_bills_show_the_shares_of_the_kinds(open_page):
    page = open_page()
    bound = computed(page.evaluate(READ)["state"])
    kinds = {"pointwise": ("expand", "project", "head"), "depthwise": ("depthwise",), "standard": ("stem",)}
    for field in ("multiply_adds", "bytes", "seconds"):
        whole = getattr(bound, field)
        for kind, names in kinds.items():
            share = sum(getattr(layer, field) for layer in bound.layers if layer.name in names) / whole
            width = page.locator(f"[data-bill={field}] .{kind}").evaluate("(e) => parseFloat(e.style.width)")
            assert width == pytest.approx(100 * share, abs=0.01)


def test_measured_times_are_those_of_the_records(open_page):
    page, known = open_page(), measured()
    assert set(known) == set(NAMES)
    for case in recorded("inference-xeon-one-thread")["cases"]:
        seconds = {row["implementation"]: row["seconds"] for row in case["results"]}
        for fused, way in (("fused", "effnet_lib optimised"), ("passes", "effnet_lib")):
            page.evaluate(SET, {
                "roof_network": case["variant"], "roof_batch": math.log2(case["batch_size"]), "roof_fused": fused,
            })  # fmt: skip
            assert float(page.evaluate(READ)["cards"]["measured"]) == seconds[way]
            circles = page.locator(".found circle").count()
            assert circles == (len(case["stages"]) - 1 if fused == "fused" else 0)
    page.evaluate(SET, {"roof_batch": 6})
    assert page.evaluate(READ)["cards"]["measured"] == ""
    assert "no record" in page.locator("output[data-field=measured] + small").inner_text()
    page.evaluate(SET, {"roof_batch": 0, "roof_machine": "h100"})
    assert page.evaluate(READ)["cards"]["measured"] == ""


def test_a_layer_is_picked_by_slider_tap_and_band(open_page):
    page = open_page()
    text = page.locator(".roof-layer")
    assert text.inner_text().startswith("Stage 3, block 1: depthwise. A depthwise convolution 3×3, 112×112×96 to 56×56×96")
    page.locator("[name=roof_layer]").focus()
    page.keyboard.press("ArrowLeft")
    assert text.inner_text().startswith("Stage 3, block 1: expansion")
    assert "expansion" in page.locator("[name=roof_layer]").get_attribute("aria-valuetext")
    page.keyboard.press("End")
    assert text.inner_text().startswith("Stage 9, the classifier. A linear layer, 1280 to 1000")
    band = page.locator(".roof-line svg").bounding_box()
    page.mouse.click(band["x"] + 62, band["y"] + 30)
    assert text.inner_text().startswith("Stage 1, the stem. A standard convolution 3×3, 224×224×3 to 112×112×32")
    spot = page.locator(".roof-plot .depthwise").first.bounding_box()
    page.mouse.click(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2)
    assert "depthwise" in text.inner_text()


def test_a_smaller_network_keeps_a_layer_that_exists(open_page):
    page = open_page("#roof_network=b7")
    page.locator("[name=roof_layer]").focus()
    page.keyboard.press("End")
    page.get_by_role("radio", name="Lite0").check()
    shown = page.evaluate(READ)
    assert shown["state"]["roof_layer"] == len(shown["rows"]) == int(page.locator("[name=roof_layer]").get_attribute("max"))


def test_the_address_keeps_the_state_and_reset_clears_it(open_page):
    page = open_page()
    page.get_by_role("radio", name="V2-M").check()
    page.get_by_role("radio", name="yours").check()
    page.evaluate(SET, {"roof_batch": 5, "roof_peak": 2})
    page.wait_for_function("location.hash.includes('roof_peak=100') && location.hash.includes('roof_batch=32')")
    page.reload()
    assert_shows(page, roof_network="v2_m", roof_machine="yours", roof_batch=32, roof_peak=100)
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("location.hash === ''")
    assert_shows(page, roof_network="b0", roof_machine="xeon", roof_batch=1)


def test_words_for_a_screen_reader(open_page):
    page = open_page()
    page.evaluate(SET, {"roof_network": "b4", "roof_batch": 0})
    page.wait_for_function("document.querySelector('.effnet-status').textContent")
    words = page.locator(".effnet-status").inner_text()
    assert words.startswith("B4, 1 at a time, fp32: least time") and "wait for memory. Measured, optimised:" in words
    pictures = [svg.get_attribute("aria-label") for svg in page.locator("svg[role=img]").all()]
    assert "different layers" in pictures[0] and "two lanes" in pictures[1]
    assert page.locator("[name=roof_batch]").get_attribute("aria-valuetext") == "1 image at a time"


def test_without_scripts_and_on_paper_the_table_stands(open_page):
    page = open_page(java_script_enabled=False)
    caption = "The least time for an image, in milliseconds, by the roofline"
    assert page.get_by_text(caption).is_visible() and page.locator("input, button").count() == 0
    xeon = machines()["xeon"]
    for name in NAMES:
        bound = roofline(name, xeon["peaks"]["fp32"], xeon["bandwidth"])
        row = page.locator("tr", has=page.get_by_role("rowheader", name=title(name), exact=True))
        assert f"{1e3 * bound.seconds:.3g}" in row.inner_text()
    paper = open_page()
    assert not paper.get_by_text(caption).is_visible()
    paper.emulate_media(media="print")
    assert paper.get_by_text(caption).is_visible()


@pytest.mark.parametrize("hash", ["", "#roof_machine=yours&roof_network=v2_l&roof_batch=512&roof_fused=passes"])
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
    page.evaluate("document.body.append(document.querySelector('effnet-roofline-explorer').cloneNode(true))")
    assert page.locator("effnet-roofline-explorer[data-live]").count() == 2
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_in_the_built_book(visit, scheme):
    page = visit().open("chapters/09_fast_inference.html", scheme)
    page.evaluate(SET, {"roof_network": "v2_s", "roof_batch": 4})
    assert_shows(page, roof_network="v2_s", roof_batch=16)
    page.wait_for_function("location.hash.includes('roof_network=v2_s')")
