"""How long the network that runs in the page takes, stage by stage, in headless Chromium on one core.

    .venv/bin/python -m benchmarks.live
    .venv/bin/python -m benchmarks.live --json FILE --rounds 200 --sizes 96,224,320
    .venv/bin/python -m benchmarks.live --throttle 6      # a processor of a sixth of the speed

The engines take turns, run by run: WebAssembly with relaxed SIMD, with SIMD, and plain JavaScript. Goal at
224 px: 45 ms with relaxed SIMD, 400 ms in plain JavaScript. Minima and medians are told; on a busy machine
only the minima say something.
"""

import argparse
import statistics
from pathlib import Path

from playwright.sync_api import sync_playwright

from effnet_lib import count_cost
from effnet_lib.live import live_files, worker_source
from tools.browser import ensure_browser

from .record import Recorder

LOAD = """async ([file, kinds]) => {
  window.networks = [];
  for (const kind of kinds) networks.push(await unpackFile(JSON.parse(file), [kind]));
  return networks.map((network) => network.engine.kind);
}"""

#: One run of each engine; milliseconds of each stage.
RUN = """([side, few]) => networks.filter((network) => !few || network.engine.kind !== "plain").map((network) => {
  const pixels = Float32Array.from({ length: side * side * 3 }, () => 2 * Math.random() - 1);
  return network.run(pixels, side, side).milliseconds;
})"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    parser.add_argument("--rounds", type=int, default=60, help="runs of each engine (default: 60; a tenth of plain JavaScript)")
    parser.add_argument("--sizes", default="224", help="resolutions in pixels (default: 224)")
    parser.add_argument("--throttle", type=float, help="how many times slower the processor is made (default: as it is)")
    arguments = parser.parse_args()
    arguments.cpu_time, arguments.threads = False, None
    recorder = Recorder("benchmarks.live", "effnet-live-1", arguments)
    results = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure_browser(), args=["--no-sandbox"])
        version = f"{browser.browser_type.name} {browser.version}"
        page = browser.new_page()
        page.add_script_tag(content=worker_source())
        if arguments.throttle:
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": arguments.throttle})
        engines = page.evaluate(LOAD, [live_files()["lite0"], ["relaxed", "simd", "plain"]])
        stages = [f"{row.stage} {row.operator}" for row in count_cost("lite0").stages]
        for side in map(int, arguments.sizes.split(",")):
            page.evaluate(RUN, [side, False])
            runs = {engine: [] for engine in engines}
            for i in range(arguments.rounds):
                for engine, times in zip(engines, page.evaluate(RUN, [side, i % 10 > 0])):
                    runs[engine].append([*times[:-2], times[-2] + times[-1]])  # the classifier is in the head's row
            for engine, times in runs.items():
                totals, columns = [sum(one) for one in times], list(zip(*times))
                print(f"{engine:<8} {side:4} px   least {min(totals):6.1f} ms   median {statistics.median(totals):6.1f} ms", flush=True)
                print("".join(f"    {name:<20} {min(c):5.1f} {statistics.median(c):5.1f}\n" for name, c in zip(stages, columns)))
                results.append({
                    "engine": engine, "side": side, "runs": len(times), "least_ms": round(min(totals), 2),
                    "median_ms": round(statistics.median(totals), 2),
                    "stages": [{"name": name, "least_ms": round(min(c), 2), "median_ms": round(statistics.median(c), 2)} for name, c in zip(stages, columns)],
                })  # fmt: skip
        browser.close()
    recorder.write(browser=version, goal={"relaxed_ms": 45, "plain_ms": 400}, networks=results)


if __name__ == "__main__":
    main()
