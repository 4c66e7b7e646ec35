"""How long an explorer takes from an input event to the finished layout, in headless Chromium.

    .venv/bin/python -m benchmarks.explorer

The sliders of each explorer are swept through their positions, on a page of its own and in the
built chapter. With reduced motion the drawing is finished inside the event as well; otherwise
it may glide on in the frames that follow, whose script time is measured too. Goal: a median
under 4 ms, the 95th percentile under 8 ms.
"""

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from effnet_lib import (
    augmentation_explorer,
    block_explorer,
    budget_explorer,
    dimensions_explorer,
    family_explorer,
    gates_explorer,
    inside_explorer,
    network_explorer,
    phi_explorer,
    progressive_explorer,
    recipe_explorer,
    roofline_explorer,
    se_explorer,
    stochastic_depth_explorer,
    training_explorer,
)
from tools.browser import ensure_browser

CHAPTERS = Path("_build/html/chapters")

#: The explorer, the slider that is swept, and the chapter that shows it.
EXPLORERS = (
    (dimensions_explorer, "dim_depth", "01_why_scale"),
    (dimensions_explorer, "dim_width", "01_why_scale"),
    (dimensions_explorer, "dim_resolution", "01_why_scale"),
    (phi_explorer, "phi", "02_compound_scaling"),
    (se_explorer, "se_channels", "03_squeeze_excitation"),
    (gates_explorer, "gates_block", "03_squeeze_excitation"),
    (gates_explorer, "gates_place", "03_squeeze_excitation"),
    (block_explorer, "mb_in", "04_mbconv"),
    (block_explorer, "mb_resolution", "04_mbconv"),
    (stochastic_depth_explorer, "sd_rate", "04_mbconv"),
    (stochastic_depth_explorer, "sd_draws", "04_mbconv"),
    (network_explorer, "walk_step", "05_efficientnet_b0"),
    (family_explorer, "fam_budget", "06_family"),
    (training_explorer, "tr_epoch", "11_train_on_gpu"),
    (budget_explorer, "bud_gpus", "11_train_on_gpu"),
    (budget_explorer, "bud_rate", "11_train_on_gpu"),
    (progressive_explorer, "prog_epoch", "07_efficientnet_v2"),
    (progressive_explorer, "prog_stages", "07_efficientnet_v2"),
    (progressive_explorer, "prog_last", "07_efficientnet_v2"),
    (recipe_explorer, "rx_at", "10_training_recipe"),
    (recipe_explorer, "rx_epochs", "10_training_recipe"),
    (augmentation_explorer, "ag_level", "10_training_recipe"),
    (roofline_explorer, "roof_batch", "09_fast_inference"),
    (roofline_explorer, "roof_layer", "09_fast_inference"),
    (inside_explorer, "in_stage", "08_pretrained"),
    (inside_explorer, "in_strength", "08_pretrained"),
)

SWEEP = """async (slider) => {
  const range = document.querySelector(`input[type=range][name=${slider}]`);
  const explorer = range.closest(".effnet-explorer"), times = [], frames = [];
  const drawing = explorer.drawing ?? explorer, draw = drawing.step?.bind(drawing);
  if (draw) drawing.step = () => { const start = performance.now(); draw(); frames.push(performance.now() - start); };
  const low = Number(range.min), step = Number(range.step), steps = Math.round((range.max - low) / step);
  for (let i = 0; i < 350; i++) {
    const at = i % (2 * steps);  // up and down again
    range.value = low + step * (at <= steps ? at : 2 * steps - at);
    const start = performance.now();
    range.dispatchEvent(new Event("input", { bubbles: true }));
    explorer.getBoundingClientRect();  // forces the layout
    times.push(performance.now() - start);
    await new Promise((done) => setTimeout(done, 4));
  }
  return [times, frames];
}"""


def report(label: str, times: list[float]) -> None:
    if times:
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{label:<64} median {statistics.median(times):5.2f} ms   95th percentile {p95:5.2f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        for explorer, slider, chapter in EXPLORERS:
            own = explorer().save(Path(folder) / "own.html")
            for name, path in (("own page", own), ("chapter", (CHAPTERS / f"{chapter}.html").resolve())):
                if not path.exists():
                    print(f"{name}: not built; run `make book`")
                    continue
                for motion in ("reduce", "no-preference"):
                    page = browser.new_page(reduced_motion=motion, viewport={"width": 1280, "height": 900})
                    page.goto(path.as_uri())
                    page.wait_for_timeout(500)
                    times, frames = page.evaluate(SWEEP, slider)
                    report(f"{slider}, {name}, motion {motion}: event to layout", times)
                    report(f"{slider}, {name}, motion {motion}: script of a frame", frames)
                    page.close()


if __name__ == "__main__":
    main()
