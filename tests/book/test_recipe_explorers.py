"""The explorers of the recipe and of augmentation in a real browser."""

import random

import pytest

from effnet_lib import augmentation_explorer, recipe_explorer
from effnet_lib.explore.augmentation import LEVELS, WAYS
from effnet_lib.explore.recipe import BATCHES, DECAYS, IMAGES, SCHEDULES, ema_remaining
from effnet_lib.train import lr_factor, make_config

from .conftest import SET

OUTPUTS = """() => Object.fromEntries([...document.querySelectorAll("output[data-field]")].map(
  (output) => [output.dataset.field, Number(output.dataset.value)]))"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorers")
    makers = {"recipe": recipe_explorer, "augmentation": augmentation_explorer}
    return {name: make().save(folder / f"{name}.html").as_uri() for name, make in makers.items()}


@pytest.fixture
def open_page(open_saved, addresses):
    return lambda name, hash="", **options: open_saved(addresses[name], hash, ("data:",), **options)


def random_run(choose):
    epochs = choose.randint(1, 350)
    return {
        "rx_images": choose.choice(list(IMAGES)), "rx_epochs": epochs, "rx_batch": choose.choice(BATCHES),
        "rx_lr": choose.randint(1, 400) / 1000, "rx_warmup": min(epochs, choose.randint(0, 40) / 2),
        "rx_schedule": choose.choice(list(SCHEDULES)), "rx_decay": choose.choice(DECAYS), "rx_at": choose.randint(0, 200) / 2,
    }  # fmt: skip


def expected(run):
    """Peak, rate at the line, steps in all and step, by the library."""
    batch = int(run["rx_batch"])
    config = make_config("paper", {
        "epochs": run["rx_epochs"], "batch_size": batch, "lr": run["rx_lr"], "schedule": run["rx_schedule"],
        "warmup_epochs": float(run["rx_warmup"]),
    })  # fmt: skip
    steps = max(1, IMAGES[run["rx_images"]] // batch)
    total = steps * config.epochs
    step = min(total - 1, int(run["rx_at"] / 100 * total + 0.5))
    return config.peak_lr, config.peak_lr * lr_factor(config, steps)(step), total, step


def test_the_figure_equals_the_library_on_random_runs(open_page):
    page, choose = open_page("recipe"), random.Random(0)
    for _ in range(120):
        run = random_run(choose)
        page.evaluate(SET, run)
        shown = page.evaluate(OUTPUTS)
        peak, rate, total, step = expected(run)
        assert shown["rx_peak"] == pytest.approx(peak, rel=1e-9)
        assert shown["rx_rate"] == pytest.approx(rate, rel=1e-9, abs=1e-15), run
        assert shown["rx_steps"] == total
        decay, back = float(run["rx_decay"]), int(shown["rx_half"])
        if step:
            assert ema_remaining(decay, step + 1 - back, step + 1) >= 0.5
            assert step - back < 1 or ema_remaining(decay, step - back, step + 1) < 0.5


def test_every_step_equals_the_library(open_page):
    """The functions themselves, on steps and runs of all kinds."""
    page, choose = open_page("recipe"), random.Random(1)
    for _ in range(30):
        config = make_config("paper", {
            "epochs": choose.randint(2, 60), "schedule": choose.choice(list(SCHEDULES)), "warmup_epochs": choose.randint(0, 4) / 2,
        })  # fmt: skip
        per_epoch = choose.randint(1, 900)
        factor, total = lr_factor(config, per_epoch), per_epoch * config.epochs
        steps = sorted({0, total - 1, *(choose.randrange(total) for _ in range(60))})
        run = {"total": total, "perEpoch": per_epoch, "schedule": config.schedule, "decay": config.decay,
               "decayEpochs": config.decay_epochs, "warmup": round(config.warmup_epochs * per_epoch)}  # fmt: skip
        got = page.evaluate("([run, steps]) => steps.map((step) => EffnetRecipe.factor(run, step))", [run, steps])
        assert got == pytest.approx([factor(step) for step in steps], rel=1e-12, abs=1e-15)
        assert page.evaluate("(x) => EffnetRecipe.round(x)", config.warmup_epochs * per_epoch) == run["warmup"]
    spans = [(float(choose.choice(DECAYS)), *sorted((choose.randint(1, 99_999), choose.randint(1, 99_999)))) for _ in range(300)]
    got = page.evaluate("(spans) => spans.map((span) => EffnetRecipe.remaining(...span))", spans)
    assert got == pytest.approx([ema_remaining(*span) for span in spans], rel=1e-6, abs=1e-300)


def test_recipes_pointer_and_reset(open_page):
    page = open_page("recipe")
    page.get_by_role("button", name="Digits").click()
    assert page.locator("[name=rx_epochs]").input_value() == "14"
    assert page.evaluate(OUTPUTS)["rx_peak"] == pytest.approx(0.1)
    box = page.locator(".rx-chart svg").bounding_box()
    page.mouse.move(box["x"] + 46, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + 60)
    page.mouse.up()
    assert page.locator("[name=rx_at]").input_value() == "100"
    assert page.evaluate(OUTPUTS)["rx_rate"] < 1e-4
    page.get_by_role("button", name="Reset").click()
    assert page.locator("[name=rx_epochs]").input_value() == "350" and page.evaluate(OUTPUTS)["rx_peak"] == pytest.approx(0.128)


def test_the_hill_ends_at_the_line_and_the_curve_is_the_rate(open_page):
    page = open_page("recipe", "#rx_schedule=constant&rx_warmup=0&rx_at=50")
    line = page.locator("path.rate").get_attribute("d")
    heights = {point.split(" ")[1] for point in line.replace("M", "L").split("L")[1:]}
    assert len(heights) == 1
    cursor = page.evaluate("document.querySelector('path.cursor').getBBox().x")
    hill = page.evaluate("(() => { const b = document.querySelector('path.memory').getBBox(); return b.x + b.width; })()")
    assert hill == pytest.approx(cursor, abs=1)


def test_every_position_shows_its_row_and_its_labels(open_page):
    page, data = open_page("augmentation"), augmentation_explorer().data
    for way in WAYS:
        for level in (0, 3, LEVELS - 1):
            page.evaluate(SET, {"ag_way": way, "ag_level": level})
            assert data["ways"][way]["levels"][level] in page.locator(".ag-said").inner_text()
            captions = page.locator(".ag-picture span").all_inner_texts()
            for caption, row in zip(captions, data["ways"][way]["labels"][level], strict=True):
                assert caption == (row[0][0] if len(row) == 1 else ", ".join(f"{name} {share:.2f}" for name, share in row))
            boxes = page.evaluate("""() => [...document.querySelectorAll(".ag-window")].map((w) => {
              const [a, b] = [w, w.querySelector("img")].map((e) => e.getBoundingClientRect());
              return [(a.x - b.x) / a.width, (a.y - b.y) / a.height, b.width / a.width, b.height / a.height];
            })""")
            for column, box in enumerate(boxes):
                assert box == pytest.approx([column, level, 6, LEVELS], abs=0.03)
            sources = page.evaluate("[...document.querySelectorAll('.ag-window img')].map((img) => img.src)")
            sheets = page.evaluate("[...document.querySelectorAll('.effnet-static img')].map((img) => img.src)")
            assert set(sources) == {sheets[list(WAYS).index(way)]}
            alts = page.evaluate("[...document.querySelectorAll('.ag-window img')].map((img) => img.alt)")
            assert alts[0] == f"cat after {data['ways'][way]['name']}, {data['ways'][way]['levels'][level]}" and len(set(alts)) == 6


CONTROLS = {"recipe": ("rx_epochs", 100, "of 100"), "augmentation": ("ag_level", 6, "magnitude 25")}


@pytest.mark.parametrize("name", CONTROLS)
def test_words_width_and_address(open_page, name):
    control, value, words = CONTROLS[name]
    page = open_page(name, viewport={"width": 360, "height": 740})
    page.evaluate(SET, {control: value})
    page.wait_for_function("document.querySelector('[aria-live=polite]').textContent")
    assert words in page.locator("[aria-live=polite]").inner_text()
    page.wait_for_function(f"location.hash.includes('{control}={value}')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("name", CONTROLS)
def test_without_scripts_and_on_paper_something_complete_stands(open_page, name):
    part = ".effnet-static table" if name == "recipe" else ".effnet-static img"
    page = open_page(name, java_script_enabled=False)
    assert page.locator(part).first.is_visible() and page.locator("input, button").count() == 0
    paper = open_page(name)
    assert not paper.locator(part).first.is_visible()
    paper.emulate_media(media="print")
    assert paper.locator(part).first.is_visible() and not paper.locator("input").first.is_visible()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_both_on_the_page_of_the_book(visit, scheme):
    page = visit().open("chapters/10_training_recipe.html", scheme)
    page.evaluate(SET, {"rx_epochs": 100, "ag_way": "cutmix", "ag_level": 4})
    assert page.evaluate(OUTPUTS)["rx_steps"] == 62_500
    assert "CutMix" in page.locator(".ag-said").inner_text()
    page.wait_for_function("location.hash.includes('rx_epochs=100') && location.hash.includes('ag_level=4')")
