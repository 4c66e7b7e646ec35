"""The two explorers of chapter 11 in a real browser."""

import random

import pytest

from effnet_lib import budget_explorer, count_cost, training_budget, training_explorer
from effnet_lib.explore.budget import LIMITS, NETWORKS

from .conftest import SET

OUTPUTS = """() => Object.fromEntries([...document.querySelectorAll("output[data-field]")].map(
  (output) => [output.dataset.field, Number(output.dataset.value)]))"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorers")
    explorers = {"training": training_explorer, "budget": budget_explorer}
    return {name: make().save(folder / f"{name}.html").as_uri() for name, make in explorers.items()}


@pytest.fixture
def open_page(open_saved, addresses):
    return lambda name, hash="", **options: open_saved(addresses[name], hash, ("data:",), **options)


def settings(choose):
    values = {name: round(choose.uniform(low, high) / step) * step for name, (low, high, step, _) in LIMITS.items()}
    values |= {name: max(LIMITS[name][0], round(values[name])) for name in ("bud_rate", "bud_gpus", "bud_epochs", "bud_kilobytes")}
    return {name: round(value, 6) for name, value in values.items()} | {"bud_network": choose.choice(NETWORKS)}


def expected(s):
    budget = training_budget(
        s["bud_rate"], s["bud_gpus"], s["bud_epochs"], s["bud_price"], loss=s["bud_loss"] / 100,
        bytes_per_image=1000 * s["bud_kilobytes"], multiply_adds=count_cost(s["bud_network"]).multiply_adds,
    )  # fmt: skip
    names = ("hours", "gpu_hours", "cost", "disk_bytes", "read_bytes_per_second", "multiply_adds_per_second")
    return {name: getattr(budget, name) for name in names}


def test_the_script_equals_the_library_on_random_settings(open_page):
    choose, page = random.Random(0), open_page("budget")
    many = [settings(choose) for _ in range(1000)]
    results = page.evaluate(
        """([many, images, networks]) => many.map((s) => EffnetBudget.of(images, s.bud_rate, s.bud_gpus, s.bud_epochs,
          s.bud_price, s.bud_loss / 100, 1000 * s.bud_kilobytes, networks[s.bud_network]))""",
        [many, budget_explorer().data["images"], budget_explorer().data["networks"]],
    )
    for one, result in zip(many, results, strict=True):
        for name, value in expected(one).items():
            assert result[name] == pytest.approx(value, rel=1e-12), (one, name)


def test_what_the_budget_shows(open_page):
    page, choose = open_page("budget"), random.Random(1)
    for _ in range(15):
        one = settings(choose)
        page.evaluate(SET, one)
        shown = page.evaluate(OUTPUTS)
        assert {name: shown[name] for name in expected(one)} == pytest.approx(expected(one), rel=1e-9)
        assert f"{one['bud_gpus']} GPUs for" in page.locator("svg[role=img]").get_attribute("aria-label")


def test_the_area_is_the_price(open_page):
    """Drawn rows × drawn length follows GPU-hours while the axis stands still."""
    page = open_page("budget")
    page.evaluate(SET, {"bud_loss": 0, "bud_gpus": 8, "bud_rate": 2000})
    box = "() => document.querySelector('.bud-drawing .useful').getBBox().width"
    full = page.evaluate(box)
    page.evaluate(SET, {"bud_gpus": 7})
    assert page.evaluate(box) == pytest.approx(full * 8 / 7, rel=1e-3)
    assert page.locator(".bud-drawing path.lost").get_attribute("d") == ""


def test_examples_typed_values_address_and_reset(open_page):
    page = open_page("budget")
    page.get_by_role("button", name="B4, 64 A100").click()
    assert page.evaluate(OUTPUTS)["hours"] == pytest.approx(350 * 1_281_167 / 18900 / 3600, rel=5e-3)
    page.wait_for_function("location.hash.includes('bud_gpus=64')")
    page.reload()
    assert page.evaluate(OUTPUTS)["gpu_hours"] == pytest.approx(64 * page.evaluate(OUTPUTS)["hours"])
    field = page.get_by_label("Price of a GPU for an hour", exact=True)
    field.fill("-3")
    field.press("Enter")
    assert page.evaluate(OUTPUTS)["cost"] == 0 and "goes from 0 to 10" in page.locator(".effnet-note").inner_text()
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate(OUTPUTS)["cost"] == pytest.approx(expected({n: v[3] for n, v in LIMITS.items()} | {"bud_network": "b0"})["cost"])


def test_every_epoch_is_shown_as_recorded(open_page):
    data, page = training_explorer().data, open_page("training")
    n = len(data["classes"])
    for place, epoch in enumerate(data["epochs"], 1):
        page.evaluate(SET, {"tr_epoch": place})
        shown = page.evaluate(OUTPUTS)
        assert (shown["tr_train"], shown["tr_validation"]) == (epoch["train_loss"], epoch["validation_loss"])
        assert shown["tr_right"] == epoch["right"] and shown["tr_wrong"] == data["images"] - epoch["right"]
        assert shown["tr_rate"] == [lr for time, _, lr in data["steps"] if time <= epoch["epoch"] + 1e-9][-1]
        cells = page.locator(".tr-matrix tbody td").all_inner_texts()
        assert [int(cell or 0) for cell in cells] == epoch["confusion"] and len(cells) == n * n
        texts = page.locator(".tr-tiles li:visible span").all_inner_texts()
        assert texts == [f"{data['classes'][label]} → {data['classes'][said]}" for _, label, said, _ in epoch["mistakes"]]
        assert f"After epoch {epoch['epoch']}:" in page.locator("svg[role=img]").get_attribute("aria-label")


def test_a_tile_is_its_picture(open_page):
    """The brightness of each tile is that of its part of the sprite."""
    import base64
    import io

    from PIL import Image, ImageStat

    data, page = training_explorer().data, open_page("training")
    sprite, size = Image.open(io.BytesIO(base64.b64decode(data["sprite"]))), data["size"]
    page.evaluate(SET, {"tr_epoch": 1})
    page.wait_for_function("document.querySelector('effnet-training-explorer').sprite.complete")
    means = page.evaluate(
        """() => [...document.querySelectorAll(".tr-tiles li:not([hidden]) canvas")].map((canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let sum = 0;
          for (let i = 0; i < data.length; i += 4) sum += data[i];
          return (4 * sum) / data.length;
        })"""
    )
    for mean, (tile, *_) in zip(means, data["epochs"][0]["mistakes"], strict=True):
        part = sprite.crop((tile * size, 0, (tile + 1) * size, size))
        assert mean == pytest.approx(ImageStat.Stat(part).mean[0], abs=1)


def test_dragging_along_the_curves_playing_and_reset(open_page):
    page, last = open_page("training"), len(training_explorer().data["epochs"])
    box = page.locator(".tr-curves svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 60, steps=4)
    page.mouse.up()
    slider = page.locator("input[name=tr_epoch]")
    assert slider.input_value() == "1"
    page.wait_for_function("location.hash === '#tr_epoch=1'")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("Number(document.querySelector('input[name=tr_epoch]').value) >= 3")
    page.get_by_role("button", name="Stop").click()
    assert 3 <= int(slider.input_value()) < last
    page.get_by_role("button", name="Reset").click()
    assert slider.input_value() == str(last)


def test_narrow_pages_do_not_scroll_sideways(open_page):
    for name in ("training", "budget"):
        page = open_page(name, viewport={"width": 360, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
