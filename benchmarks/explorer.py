"""How long an explorer takes from an input event to the finished layout, in headless Chromium.

    .venv/bin/python -m benchmarks.explorer

The slider is swept through all its positions, on a page of its own and in the built chapter.
With reduced motion the drawing is finished inside the event as well; otherwise it glides on in
the frames that follow, whose script time is measured too. Goal: a median under 4 ms, the 95th
percentile under 8 ms.
"""

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from effnet_lib import phi_explorer
from tools.browser import ensure_browser

CHAPTER = Path("_build/html/chapters/02_compound_scaling.html")

SWEEP = """async () => {
  const range = document.querySelector("input[type=range][name=phi]");
  const explorer = range.closest("effnet-phi-explorer"), times = [], frames = [];
  const draw = explorer.drawing.step.bind(explorer.drawing);
  explorer.drawing.step = () => { const start = performance.now(); draw(); frames.push(performance.now() - start); };
  for (let sweep = 0; sweep < 5; sweep++) for (let step = 0; step <= 70; step++) {
    range.value = step / 10;
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
        print(f"{label:<48} median {statistics.median(times):5.2f} ms   95th percentile {p95:5.2f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        own = phi_explorer().save(Path(folder) / "phi.html")
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        for name, path in (("own page", own), ("chapter", CHAPTER.resolve())):
            if not path.exists():
                print(f"{name}: not built; run `make book`")
                continue
            for motion in ("reduce", "no-preference"):
                page = browser.new_page(reduced_motion=motion, viewport={"width": 1280, "height": 900})
                page.goto(path.as_uri())
                page.wait_for_timeout(500)
                times, frames = page.evaluate(SWEEP)
                report(f"{name}, motion {motion}: event to layout", times)
                report(f"{name}, motion {motion}: script of a frame", frames)
                page.close()


if __name__ == "__main__":
    main()
