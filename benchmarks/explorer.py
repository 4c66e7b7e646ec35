"""How long an explorer takes from an input event to the finished layout, in headless Chromium.

    .venv/bin/python -m benchmarks.explorer [NAME ...]

Every slider named below is swept through its positions, on a page of the explorer's own and in
the built chapter. With reduced motion a drawing is finished inside the event as well; otherwise
it may glide on in the frames that follow, whose script time is measured too. Goal: a median
under 4 ms, the 95th percentile under 8 ms.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from effnet_lib import dimensions_explorer, phi_explorer
from tools.browser import ensure_browser

CHAPTERS = Path("_build/html/chapters")

#: name: (function, chapter, {slider: (lowest, highest, step)})
EXPLORERS = {
    "phi": (phi_explorer, "02_compound_scaling", {"phi": (0, 7, 0.1)}),
    "dimensions": (
        dimensions_explorer,
        "01_why_scale",
        {"dim_depth": (0.5, 8, 0.1), "dim_width": (0.5, 3, 0.05), "dim_resolution": (0.5, 3, 0.05)},
    ),
}

SWEEP = """async ([name, low, high, step]) => {
  const range = document.querySelector(`input[type=range][name=${name}]`);
  const explorer = range.closest(".effnet-explorer"), times = [], frames = [];
  const draw = explorer.drawing?.step?.bind(explorer.drawing);
  if (draw) explorer.drawing.step = () => { const start = performance.now(); draw(); frames.push(performance.now() - start); };
  for (let sweep = 0; sweep < 5; sweep++) for (let value = low; value < high + step / 2; value += step) {
    range.value = value.toFixed(2);
    const start = performance.now();
    range.dispatchEvent(new Event("input", { bubbles: true }));
    explorer.getBoundingClientRect();  // forces the layout
    times.push(performance.now() - start);
    await new Promise((done) => setTimeout(done, 4));
  }
  if (draw) explorer.drawing.step = draw;
  return [times, frames];
}"""


def report(label: str, times: list[float]) -> None:
    if times:
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{label:<60} median {statistics.median(times):5.2f} ms   95th percentile {p95:5.2f} ms")


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        for name in names or EXPLORERS:
            function, chapter, sliders = EXPLORERS[name]
            own = function().save(Path(folder) / f"{name}.html")
            for place, path in (("own page", own), ("chapter", (CHAPTERS / f"{chapter}.html").resolve())):
                if not path.exists():
                    print(f"{place}: not built; run `make book`")
                    continue
                for motion in ("reduce", "no-preference"):
                    page = browser.new_page(reduced_motion=motion, viewport={"width": 1280, "height": 900})
                    page.goto(path.as_uri())
                    page.wait_for_timeout(500)
                    for slider, span in sliders.items():
                        times, frames = page.evaluate(SWEEP, [slider, *span])
                        report(f"{slider}, {place}, motion {motion}: to layout", times)
                        report(f"{slider}, {place}, motion {motion}: frame", frames)
                    page.close()


if __name__ == "__main__":
    main(sys.argv[1:])
