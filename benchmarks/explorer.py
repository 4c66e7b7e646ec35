"""How long an explorer takes from an event to the finished layout, in headless Chromium.

    .venv/bin/python -m benchmarks.explorer                   # every control, some ten minutes
    .venv/bin/python -m benchmarks.explorer --json FILE

Of each explorer every slider is swept through its positions, and every choice and the buttons
are pressed in turn, on a page of its own and in the built chapters. With reduced motion the
drawing is finished inside the event as well; otherwise it may glide on in the frames that
follow, whose script time is measured too. Goal for each: a median under 4 ms, the 95th
percentile under 8 ms; where it is missed the exit status is 1.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import effnet_lib
from tools.browser import ensure_browser

from .record import Recorder

CHAPTERS = Path("_build/html/chapters")
MEDIAN, P95 = 4, 8  # milliseconds

#: What can be timed: the controls by their names, and the buttons together.
CONTROLS = """(tag) => {
  const { live } = document.querySelector(tag);
  const names = [...live.querySelectorAll("[data-control]")]
    .map((box) => [box.dataset.control, box.querySelector("input[type=range]") ? "slider" : "choice"]);
  return live.querySelector("button") ? [...names, ["buttons", "buttons"]] : names;
}"""

TIME = """async ([tag, name, rounds]) => {
  const explorer = document.querySelector(tag), { live } = explorer, times = [], frames = [];
  const drawing = explorer.drawing ?? explorer, draw = drawing.step?.bind(drawing);
  if (draw) drawing.step = () => { const start = performance.now(); draw(); frames.push(performance.now() - start); };
  explorer.set(explorer.defaults);
  const box = name === "buttons" ? live : live.querySelector(`[data-control=${name}]`), first = { ...explorer.state };
  for (let part = box; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  for (const radio of live.querySelectorAll("input[type=radio]")) { // some controls wait for a choice
    if (box.checkVisibility()) break;
    explorer.set(first);
    radio.click();
  }
  const range = name === "buttons" ? null : box.querySelector("input[type=range]");
  const low = Number(range?.min), step = Number(range?.step), steps = Math.round((range?.max - low) / step);
  const keys = [...box.querySelectorAll(name === "buttons" ? "button:not([class*=play])" : "input[type=radio]")];
  for (let i = 0; i < rounds; i++) {
    const at = i % (2 * steps);  // up and down again
    if (range) range.value = low + step * (at <= steps ? at : 2 * steps - at);
    const start = performance.now();
    if (range) range.dispatchEvent(new Event("input", { bubbles: true }));
    else keys[i % keys.length].click();
    explorer.getBoundingClientRect();  // forces the layout
    times.push(performance.now() - start);
    await new Promise((done) => setTimeout(done, 4));
  }
  delete drawing.step;
  return { "event to layout": times, "script of a frame": frames };
}"""


def places(folder: Path, only: list[str] | None):
    """Each explorer's element, and the pages to time it on."""
    for name in effnet_lib._PUBLIC["explore"]:
        if name.endswith("_explorer") and (only is None or name.removesuffix("_explorer") in only):
            explorer = getattr(effnet_lib, name)()
            built = [path.resolve() for path in sorted(CHAPTERS.glob("*.html")) if f"<{explorer.tag} " in path.read_text("utf-8")]
            if not built:
                sys.exit(f"no built chapter shows {name}; run `make book`")
            yield explorer.tag, {"own page": explorer.save(folder / f"{name}.html")} | {path.stem: path for path in built}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    parser.add_argument("--rounds", type=int, default=200, help="events for each control (default: 200)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these explorers, such as phi (default: all)")
    arguments = parser.parse_args()
    arguments.cpu_time, arguments.threads = False, None
    recorder = Recorder("benchmarks.explorer", "effnet-explorer-1", arguments)
    results, missed = [], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        version = f"{browser.browser_type.name} {browser.version}"
        for tag, paths in places(Path(folder), arguments.only):
            for where, path in paths.items():
                for motion in ("reduce", "no-preference"):
                    page = browser.new_page(reduced_motion=motion, viewport={"width": 1280, "height": 900})
                    page.goto(path.as_uri())
                    page.wait_for_timeout(500)
                    for control, kind in page.evaluate(CONTROLS, tag):
                        for what, times in page.evaluate(TIME, [tag, control, arguments.rounds]).items():
                            if len(times) < 2:
                                continue  # nothing glides
                            median, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
                            line = (f"{tag.split('-')[1]} {control}, {where}, motion {motion}: {what}".ljust(84)
                                    + f" median {median:5.2f} ms   95th percentile {p95:5.2f} ms")  # fmt: skip
                            print(line, flush=True)
                            if median >= MEDIAN or p95 >= P95:
                                missed.append(line)
                            results.append({
                                "explorer": tag, "control": control, "kind": kind, "page": where, "motion": motion, "what": what,
                                "times": len(times), "median_ms": round(median, 3), "p95_ms": round(p95, 3),
                            })  # fmt: skip
                    page.close()
    recorder.write(browser=version, goal={"median_ms": MEDIAN, "p95_ms": P95}, controls=results)
    if missed:
        sys.exit("\n".join([f"missed, a median under {MEDIAN} ms and a 95th percentile under {P95} ms:", *missed]))


if __name__ == "__main__":
    main()
