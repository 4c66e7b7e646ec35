"""The progressive-learning explorer in a real browser."""

import random
import re

import pytest
import torch

from effnet_lib import count_cost, progressive_explorer, sample_photographs
from effnet_lib.explore.progressive import FIRST, LAST, MOST_STAGES, STRONGEST
from effnet_lib.train.augment import apply_operation
from effnet_lib.train.progressive import EPOCHS, RULES, TABLE_6, image_size, progressive_stages, stage_at, training_cost

from .conftest import SET

OUTPUTS = """() => Object.fromEntries([...document.querySelectorAll("output[data-field]")].map(
  (output) => [output.dataset.field, Number(output.dataset.value)]))"""
LANES = "() => [...document.querySelectorAll('.prog-lanes .value')].map((text) => Number(text.dataset.value))"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return progressive_explorer().save(tmp_path_factory.mktemp("explorer") / "progressive.html").as_uri()


@pytest.fixture
def open_page(open_saved, address):
    def open_page(hash="", **options):
        page = open_saved(address, hash, ("data:",), **options)
        page.wait_for_function("document.querySelector('.prog-picture figcaption').textContent !== ''")
        return page

    return open_page


def test_sizes_equal_the_librarys_on_random_settings(open_page):
    choose = random.Random(0)
    settings = [(*sorted(choose.sample(range(32, 800), 2)), choose.choice(RULES), choose.randint(1, 12)) for _ in range(4000)]
    settings = [(low, high, choose.randrange(count), count, rule) for low, high, rule, count in settings]
    sizes = open_page().evaluate("(all) => all.map((one) => EffnetProgressive.imageSize(...one))", settings)
    assert sizes == [image_size(*one) for one in settings]


@pytest.mark.parametrize("name", STRONGEST)
def test_pictures_equal_the_librarys(open_page, name):
    """Byte by byte, but for the few pixels that lie between two others after turning and shearing."""
    choose, page = random.Random(1), open_page()
    for title, photograph in list(sample_photographs(32).items())[:3]:
        images = (photograph * 255).round()[None]
        level = choose.uniform(0, 2.5) * STRONGEST[name] * (1 if name in ("posterize", "solarize") else choose.choice((-1, 1)))
        expected = apply_operation(images, name, torch.tensor([level]))[0]
        bytes_ = torch.cat([images[0], torch.full((1, 32, 32), 255.0)]).permute(1, 2, 0).flatten().int().tolist()
        got = page.evaluate("([p, n, l]) => [...EffnetProgressive.operate(new Uint8ClampedArray(p), 32, n, l)]", [bytes_, name, level])
        got = torch.tensor(got).view(32, 32, 4)[..., :3].permute(2, 0, 1)
        differ = ((got - expected).abs() > 1).any(0).float().mean()
        assert differ <= (0.03 if name in ("rotate", "shear_x", "shear_y") else 0), (title, level)


def test_what_is_shown(open_page):
    page, choose = open_page(), random.Random(2)
    for _ in range(40):
        name, rule, count = choose.choice(list(TABLE_6)), choose.choice(RULES), choose.randint(1, MOST_STAGES)
        low, high = choose.randrange(*FIRST), choose.randrange(*LAST)
        epoch, strength = choose.randint(1, EPOCHS), choose.choice(("grows", "fixed"))
        page.evaluate(SET, {"prog_variant": name, "prog_rule": rule, "prog_strength": strength})
        page.evaluate(SET, {"prog_stages": count, "prog_first": low, "prog_last": high, "prog_epoch": epoch})
        stages = progressive_stages(name, rule, stages=count, first_resolution=low, last_resolution=high)
        stage = stage_at(stages, epoch - 1, EPOCHS)
        strong = stages[-1] if strength == "fixed" else stage
        cost = {s: count_cost(name, s.resolution).multiply_adds for s in stages}
        shown = page.evaluate(OUTPUTS)
        assert (shown["prog_size"], shown["prog_image"]) == (stage.resolution, cost[stage])
        assert shown["prog_run"] == training_cost(name, stages)
        assert shown["prog_spent"] == sum(cost[stage_at(stages, e, EPOCHS)] for e in range(epoch))
        assert page.evaluate(LANES) == pytest.approx([stage.resolution, cost[stage], strong.magnitude, strong.dropout, strong.mixup])
        share = training_cost(name, stages) / training_cost(name, stages[-1:])
        small = page.locator("output[data-field=prog_run]").inner_text()
        assert abs(int(small.split()[0]) - 100 * share) <= 0.51
        plain = strength == "fixed" and count > 1
        assert ("plain progressive resizing" in page.locator(".prog-words").inner_text()) == plain


def test_a_network_or_a_schedule_brings_its_sizes(open_page):
    page = open_page()
    page.get_by_role("radio", name="V2-M").check()
    assert page.locator("[name=prog_last]").input_value() == "380"
    page.get_by_role("radio", name="the released code’s").check()
    assert page.locator("[name=prog_last]").input_value() == "384"
    assert "CutMix" in page.locator(".prog-lanes").text_content()
    page.wait_for_function("location.hash.includes('prog_last=384')")
    page.reload()
    assert page.evaluate(OUTPUTS)["prog_size"] == 192


def test_next_stage_another_picture_and_reset(open_page):
    page = open_page()
    sizes = []
    for _ in range(4):
        sizes.append(int(page.evaluate(OUTPUTS)["prog_size"]))
        page.get_by_role("button", name="Next stage").click()
    assert sizes == [128, 185, 243, 300] and page.evaluate(OUTPUTS)["prog_size"] == 128
    caption = page.locator(".prog-picture figcaption")
    assert caption.inner_text().startswith("Chelsea the cat: turned by 15°")
    page.get_by_role("button", name="Another picture").click()
    assert caption.inner_text().startswith("A dahlia: sheared sideways by 0.15, brightness × 0.55")
    page.evaluate(SET, {"prog_epoch": 350})
    assert "0.45" in caption.inner_text()
    page.get_by_role("button", name="Reset").click()
    assert page.locator("[name=prog_epoch]").input_value() == "1" and "cat" in caption.inner_text()


def test_the_drawing_is_to_scale(open_page):
    page = open_page("#prog_epoch=100")
    widths = page.evaluate("[...document.querySelectorAll('.prog-picture rect')].map((r) => [r.getAttribute('class'), r.getAttribute('visibility'), r.width.baseVal.value])")
    drawn = [width for kind, visible, width in widths if kind == "now" or visible == "visible"]
    assert [width / drawn[-1] for width in drawn] == pytest.approx([243 / 185, 300 / 185, 1], rel=2e-3)
    canvas, frame = (page.locator(s).bounding_box() for s in (".prog-picture canvas", ".prog-picture .now"))
    assert canvas["width"] == pytest.approx(frame["width"], abs=4)


def test_the_chart_can_be_dragged(open_page):
    page = open_page()
    box = page.locator(".prog-lanes").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 50)
    page.mouse.up()
    assert int(page.locator("[name=prog_epoch]").input_value()) == pytest.approx(350 * 0.755, abs=6)
    assert page.evaluate(OUTPUTS)["prog_size"] in (243, 300)


def test_said_to_a_screen_reader(open_page):
    page = open_page("#prog_epoch=90")
    page.evaluate(SET, {"prog_epoch": 340})
    page.wait_for_function("document.querySelector('.effnet-status').textContent.includes('stage 4 of 4: 300 pixels, RandAugment 15, dropout 0.3, no mixup')")
    label = page.locator(".prog-lanes").get_attribute("aria-label")
    assert "128, 185, 243, 300 pixels" in label and "RandAugment 5, 8.3, 11.7, 15" in label
    assert "square of 300 pixels" in page.locator(".prog-picture svg").get_attribute("aria-label")


@pytest.mark.parametrize("width", [360, 600, 1000])
def test_fits(open_page, width):
    page = open_page("#prog_variant=v2_l&prog_last=380&prog_epoch=300", viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_tables_stand(open_saved, address):
    page = open_saved(address, java_script_enabled=False)
    assert page.locator("table").count() == 2
    assert re.search(r"V2-S, the paper’s\s+2\s+185", page.locator("table").first.inner_text())
