"""The search for α, β and γ in miniature: every candidate with several seeds, and how far seeds differ.

    .venv/bin/python -m benchmarks.search                       # a table, some two minutes
    .venv/bin/python -m benchmarks.search --json results/search-digits.json

``effnet_lib.train.search`` says what is searched. Validation accuracy decides; the test
accuracy stands in the record beside it and is for the winner.
"""

import argparse
import dataclasses
import statistics
from pathlib import Path

from effnet_lib import count_cost
from effnet_lib.train.search import SETTINGS, search_candidate, search_grid, search_run

from .record import Recorder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each candidate (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    arguments = parser.parse_args()
    arguments.cpu_time = False
    recorder = Recorder("benchmarks.search", "effnet-search-1", arguments)
    candidates = (search_candidate(), *search_grid())
    runs = [[] for _ in candidates]
    for seed in range(arguments.seeds):  # an early end would leave every candidate as often as the others
        for candidate, done in zip(candidates, runs):
            done.append({"seed": seed} | search_run(candidate, seed))
    rows = []
    for candidate, done in zip(candidates, runs):
        row = {name: getattr(candidate, name) for name in ("alpha", "beta", "gamma", "resolution", "multiply_adds")}
        row["parameters"] = count_cost(candidate.variant, candidate.resolution, 10, 1).parameters
        row["channels"] = [stage.channels for stage in candidate.variant.stages]
        row["layers"] = candidate.variant.layers
        rows.append(row | {"runs": done})
        values = [run["validation"] for run in done]
        spread = f" ± {statistics.stdev(values):.2%}" if len(values) > 1 else ""
        print(f"alpha {candidate.alpha:.2f}, beta {candidate.beta:.2f}, {candidate.resolution} px, "
              f"{candidate.multiply_adds:9,} multiply-adds: {statistics.mean(values):.2%}{spread}")  # fmt: skip
    base = dataclasses.asdict(candidates[0].variant)
    recorder.write(settings=SETTINGS, base=base, candidates=rows)


if __name__ == "__main__":
    main()
