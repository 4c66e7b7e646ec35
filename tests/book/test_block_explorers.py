"""The explorers of the chapter on MBConv in a real browser: figures, controls, and without scripts."""

import random

import pytest

from effnet_lib import block_cost, block_explorer, stochastic_depth_explorer
from effnet_lib.explore import block, depth

from .conftest import SET

CHAPTER = "chapters/04_mbconv.html"
EXPLORERS = {"block": block_explorer, "depth": stochastic_depth_explorer}

TABLE = """() => Object.fromEntries([...document.querySelectorAll("effnet-block-explorer tr[data-kind]")].map((row) =>
  [row.dataset.kind, [...row.querySelectorAll("td")].map((cell) => Number(cell.dataset.value))]))"""
CARDS = """() => Object.fromEntries([...document.querySelectorAll("effnet-depth-explorer output[data-field]")].map((out) =>
  [out.dataset.field, Number(out.dataset.value)]))"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorers")
    return {name: make().save(folder / f"{name}.html").as_uri() for name, make in EXPLORERS.items()}


@pytest.fixture
def open_page(open_saved, addresses):
    return lambda name, hash="", **options: open_saved(addresses[name], hash, **options)


def random_position(choose):
    ranges = {name: choose.randrange(low, high + 1) for name, (low, high, _) in block.RANGES.items()}
    if choose.random() < 0.4:
        ranges["mb_out"] = ranges["mb_in"]
    return ranges | {
        "mb_kernel": str(choose.choice(block.KERNELS)),
        "mb_stride": choose.choice("12"),
        "mb_se": choose.choice(["yes", "no"]),
    }


def assert_table(page, position):
    shown = page.evaluate(TABLE)
    for kind in block.KINDS:
        cost = block.cost_at(position, kind)
        counts = [cost.parameters, cost.multiply_adds, cost.activations, cost.bytes_moved()]
        assert shown[kind][:4] == counts, (kind, position)
        assert shown[kind][4] == pytest.approx(cost.arithmetic_intensity(), rel=1e-12)


def test_layers_equal_the_library_on_five_thousand_settings(open_page):
    choose, settings = random.Random(0), []
    for _ in range(5000):
        kind = choose.choice(list(block.KINDS))
        squeeze = choose.choice([0, 1, choose.randint(1, 80)]) if kind.endswith("mbconv") else 0
        c_in = choose.randint(1, 320)
        settings.append([kind, c_in, choose.choice([c_in, choose.randint(1, 320)]), choose.choice([1, 3, 5, 7]),
                         choose.choice([1, 2]), choose.randint(1, 8), squeeze, choose.randint(1, 240)])  # fmt: skip
    layers = open_page("block").evaluate("(all) => all.map((s) => EffnetBlock.layers(...s))", settings)
    for (*arguments, side), shown in zip(settings, layers):
        cost = block_cost(*arguments, resolution=side)
        fields = [(x["name"], x["kernel"], x["cIn"], x["cOut"], x["size"], x["out"], x["parameters"],
                   x["multiply_adds"], x["activations"], x["bytes"]) for x in shown]  # fmt: skip
        assert fields == [
            (x.name, x.kernel_size, x.in_channels, x.out_channels, x.resolution, x.output_resolution,
             x.parameters, x.multiply_adds, x.activations, x.bytes_moved()) for x in cost.layers
        ], (arguments, side)  # fmt: skip


def test_the_table_shows_the_library(open_page):
    page, choose = open_page("block"), random.Random(1)
    assert_table(page, block_explorer().data["blocks"][1])
    for _ in range(40):
        position = random_position(choose)
        for name in ("mb_in", "mb_out"):  # a slider goes by eights
            position[name] = position[name] // 8 * 8 or 8
        if choose.random() < 0.5:
            position["mb_out"] = position["mb_in"]
        page.evaluate(SET, position)
        assert_table(page, position)
        skip = position["mb_in"] == position["mb_out"] and position["mb_stride"] == "1"
        note = page.locator(".mb-panel[data-kind=mbconv] figcaption span").inner_text()
        assert (note == "") == skip
        assert ("stride is 2" in note) == (position["mb_stride"] == "2")
        assert page.locator(".mb-panel[data-kind=mbconv] .plus").count() == skip
        assert page.locator(".mb-panel[data-kind=mbconv] .gate").count() == (position["mb_se"] == "yes")


def test_bars_are_as_long_as_the_costs(open_page):
    page = open_page("block", "#mb_measure=bytes", reduced_motion="reduce")
    bars = page.evaluate("""() => [...document.querySelectorAll(".mb-panel")].flatMap((panel) =>
        [...panel.querySelectorAll(".bar")].map((bar) => Number(bar.getAttribute("height"))))""")
    costs = []
    for kind in block.KINDS:
        layers = block.cost_at(block_explorer().data["blocks"][1], kind).layers
        se = [layer.bytes_moved() for layer in layers if layer.name.startswith("SE")]
        plain = [layer.bytes_moved() for layer in layers if not layer.name.startswith("SE")]
        costs += plain[:-1] + [sum(se), plain[-1]] if se else plain
    assert bars == pytest.approx([72 * cost / max(costs) for cost in costs], abs=0.06)


def test_presets_and_reset(open_page):
    page = open_page("block")
    for index, position in enumerate(block_explorer().data["blocks"]):
        page.locator(f"[data-block='{index}']").click()
        assert_table(page, position)
        assert page.locator("[aria-pressed=true]").all_inner_texts() == [str(position["stage"])]
    page.get_by_role("button", name="Reset").click()
    assert_table(page, block_explorer().data["blocks"][1])


def test_typed_channels_are_whole_and_explained(open_page):
    page = open_page("block")
    number = page.locator("[data-control=mb_in] input[type=number]")
    for typed, value, why in (("20", 20, ""), ("20.4", 20, "from 8 to 320 in whole numbers; it is now 20"),
                              ("9999", 320, "it is now 320"), ("", 320, "it is now 320")):  # fmt: skip
        number.fill(typed)
        number.press("Enter")
        assert why in page.locator(".effnet-note").inner_text()
        assert float(number.input_value()) == value
        assert_table(page, block_explorer().data["blocks"][1] | {"mb_in": value})


def test_boxes_glide_and_keep_still_when_asked(open_page):
    width = "document.querySelectorAll('.mb-panel[data-kind=mbconv] .front')[1].getBBox().width"
    still = open_page("block", reduced_motion="reduce")
    before = still.evaluate(width)
    still.evaluate(SET, {"mb_in": "48", "mb_out": "48"})
    at_once = still.evaluate(width)
    still.wait_for_timeout(200)
    assert still.evaluate(width) == at_once != before
    moving = open_page("block")
    moving.evaluate(SET, {"mb_in": "48", "mb_out": "48"})
    moving.wait_for_function(f"Math.abs({width} - {at_once}) < 0.5")


def test_nothing_in_the_drawing_overlaps_or_leaves_it(open_page):
    """Labels of a panel keep apart, and inside, at every preset and at the ends of the sliders."""
    extremes = [{"mb_in": 8, "mb_out": 8, "mb_expand": 1}, {"mb_in": 320, "mb_out": 8, "mb_expand": 8},
                {"mb_in": 8, "mb_out": 320, "mb_expand": 1, "mb_resolution": 112, "mb_stride": "2"},
                {"mb_in": 320, "mb_out": 320, "mb_expand": 8, "mb_resolution": 7}]  # fmt: skip
    for size in (360, 800):
        page = open_page("block", viewport={"width": size, "height": 900}, reduced_motion="reduce")
        for position in [*block_explorer().data["blocks"], *extremes]:
            for measure in ("multiply_adds", "bytes"):
                page.evaluate(SET, {k: v for k, v in position.items() if k.startswith("mb_")} | {"mb_measure": measure})
                wrong = page.evaluate("""() => [...document.querySelectorAll(".mb-panel svg")].flatMap((svg) => {
                  const frame = svg.getBoundingClientRect();
                  const values = [...svg.querySelectorAll(".value")].map((text) => text.getBoundingClientRect());
                  const found = [];
                  values.forEach((a, i) => values.slice(i + 1).forEach((b) => {
                    if (a.left < b.right - 1 && b.left < a.right - 1) found.push("overlap");
                  }));
                  for (const part of svg.querySelectorAll("text, rect, path, circle")) {
                    const box = part.getBoundingClientRect();
                    if (box.width && (box.left < frame.left - 4 || box.right > frame.right + 4)) found.push(part.outerHTML);
                  }
                  return found;
                })""")
                assert not wrong, (size, position, measure, wrong)


def test_random_numbers_and_means_equal_the_library(open_page):
    page = open_page("depth")
    count = depth.DRAWS * depth.SAMPLES * len(depth.blocks())
    assert page.evaluate(f"[...EffnetDepth.uniform({count})]") == depth.uniform(count)
    assert page.evaluate("[...EffnetDepth.uniform(50, 7)]") == depth.uniform(50, seed=7)
    for rate in (0.0, 0.2, 0.55, 0.9):
        page.evaluate(SET, {"sd_rate": str(rate)})
        for way in depth.WAYS:
            shown = page.evaluate(f"[...document.querySelector('effnet-depth-explorer').means.{way}]")
            assert shown == pytest.approx(depth.simulate(rate, depth.DRAWS, way)[1], rel=1e-12)


def test_the_batch_that_is_shown(open_page):
    page = open_page("depth")
    for rate, draws, way in ((0.2, 1, "scaled"), (0.5, 37, "plain"), (0.9, 300, "skip"), (0.8, 5, "scaled")):
        page.evaluate(SET, {"sd_rate": str(rate), "sd_draws": str(draws), "sd_way": way})
        masks, means = depth.simulate(rate, draws, way)
        drop = depth.rates(rate)
        cells = page.evaluate("[...document.querySelectorAll('.sd-batch rect:not(.ramp)')].map((box) => box.getAttribute('class'))")
        expected = [
            "fixed" if not entry["skip"] else "kept" if keep or way == "skip" else "dropped"
            for mask in masks
            for keep, entry in zip(mask, depth.blocks())
        ]
        assert cells == expected
        cuts = page.locator(".sd-batch .cross:not(.none)").count()
        assert cuts == (sum(not keep for mask in masks for keep in mask) if way == "skip" else 0)
        outputs = page.locator(".sd-batch .out").all_text_contents()
        assert [float(text) for text in outputs] == pytest.approx([depth.signal(mask, drop, way)[-1] for mask in masks], abs=0.051)
        cards = page.evaluate(CARDS)
        assert cards["sd_mean"] == pytest.approx(means[-1]) and cards["sd_evaluation"] == 10
        assert cards["sd_expected"] == pytest.approx(depth.expected(rate, way))
        assert cards["sd_depth"] == pytest.approx(16 if way == "skip" else depth.expected_depth(rate))


def test_draw_buttons_end_and_reset(open_page):
    page = open_page("depth")
    draws = page.locator("[data-control=sd_draws] input[type=number]")
    page.get_by_role("button", name="Draw a batch").click()
    assert draws.input_value() == "11"
    page.get_by_role("button", name="Draw 50").click()
    assert draws.input_value() == "61"
    page.evaluate(SET, {"sd_draws": "290", "sd_way": "skip"})
    page.get_by_role("button", name="Draw 50").click()
    assert draws.input_value() == "300"
    assert "Reset starts again" in page.locator(".effnet-note").inner_text()
    page.get_by_role("button", name="Reset").click()
    assert draws.input_value() == "10" and page.evaluate(CARDS)["sd_expected"] == pytest.approx(10)


def test_a_draw_sweeps_through_only_where_motion_is_welcome(open_page):
    for motion, name in (("no-preference", "sd-"), ("reduce", "none")):
        page = open_page("depth", reduced_motion=motion)
        page.get_by_role("button", name="Draw a batch").click()
        animation = page.evaluate("getComputedStyle(document.querySelector('.sd-batch .boxes')).animationName")
        assert animation.startswith(name)


@pytest.mark.parametrize("name, hash, field, value", [
    ("block", "#mb_in=40&mb_kernel=5&mb_measure=bytes", "mb_kernel", "5"),
    ("depth", "#sd_rate=0.5&sd_draws=20&sd_way=skip", "sd_way", "skip"),
])  # fmt: skip
def test_the_address_keeps_the_state(open_page, name, hash, field, value):
    page = open_page(name, hash)
    state = f"document.querySelector('effnet-{name}-explorer').state"
    assert page.evaluate(state)[field] == value
    before = page.evaluate(state)
    page.reload()
    assert page.evaluate(state) == before


@pytest.mark.parametrize("name", EXPLORERS)
def test_words_for_a_screen_reader(open_page, name):
    page = open_page(name)
    page.evaluate(SET, {"mb_in": "40"} if name == "block" else {"sd_rate": "0.5"})
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    words = page.locator("[aria-live=polite]").inner_text()
    assert ("Fused-MBConv" in words) if name == "block" else ("expected depth 13.59 of 16" in words)
    pictures = [svg.get_attribute("aria-label") for svg in page.locator("svg[role=img]").all()]
    assert len(pictures) == (4 if name == "block" else 2) and all(len(text.split()) > 8 for text in pictures)


@pytest.mark.parametrize("name", EXPLORERS)
def test_nothing_is_wider_than_a_phone(open_page, name):
    page = open_page(name, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate("""[...document.querySelectorAll('.effnet-live *')].filter((e) => {
      const box = e.getBoundingClientRect();
      return box.width && box.right > 361 && !e.closest('.effnet-status');
    }).map((e) => e.outerHTML.slice(0, 90))""")
    assert not wide


@pytest.mark.parametrize("name, caption", [("block", "Last block of stage 3 of B0"), ("depth", "Stochastic depth in B0 at rate 0.2")])
def test_without_scripts_and_on_paper_the_tables_stand(open_page, name, caption):
    page = open_page(name, java_script_enabled=False)
    assert page.get_by_text(caption).first.is_visible()
    assert page.locator("input, button").count() == 0
    paper = open_page(name)
    assert not paper.get_by_text(caption).first.is_visible()
    paper.emulate_media(media="print")
    assert paper.get_by_text(caption).first.is_visible()
    assert not paper.locator(".effnet-live").is_visible()


def test_in_the_built_book(visit):
    page = visit().open(CHAPTER)
    page.evaluate(SET, {"mb_in": "40", "mb_out": "40", "mb_kernel": "5", "sd_rate": "0.5"})
    position = block_explorer().data["blocks"][1] | {"mb_in": 40, "mb_out": 40, "mb_kernel": "5"}
    assert_table(page, position)
    assert page.evaluate(CARDS)["sd_depth"] == pytest.approx(depth.expected_depth(0.5))
    # Both keep their place in one address, and come back from it.
    page.wait_for_function("location.hash.includes('mb_in=40') && location.hash.includes('sd_rate=0.5')")
    page.reload()
    assert_table(page, position)
    assert page.evaluate(CARDS)["sd_depth"] == pytest.approx(depth.expected_depth(0.5))
    # The style of one explorer does not undo that of the other.
    assert "gradient" in page.evaluate("getComputedStyle(document.querySelector('.mb-table td')).backgroundImage")
    columns = page.evaluate("getComputedStyle(document.querySelector('.sd-cards')).gridTemplateColumns")
    assert len(columns.split()) == 4
