"""How fast a network answers: ours optimised, other libraries and runtimes, and the processor's limits.

    .venv/bin/python -m benchmarks.inference                       # a table
    .venv/bin/python -m benchmarks.inference --json results/inference-NAME.json

Goals, on two CPU cores, at batch 1 and batch 8, 224 pixels: the optimised B0 takes at most a
third of the time of torchvision's B0 as it comes, and at most 1.1 times ONNX Runtime's.

First the processor's limits are measured: multiply-adds per second in a large matrix product,
bytes per second of a copy in main memory and in cache. Then every contestant has its turn in
every round (``effnet_lib.bench.take_turns``). At last the optimised network is timed stage by
stage, beside the least time that the roofline allows. On a machine that others use, let
waiting threads sleep, ``OMP_WAIT_POLICY=PASSIVE``, or count processor time, ``--cpu-time``.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch

from effnet_lib import build_model, count_cost, optimize_for_inference, roofline
from effnet_lib.bench import OPTIMISED, compare_inference, take_turns
from effnet_lib.train.record import device_name

from .record import Recorder, add_arguments

#: (variant, batch size, resolution or None for its own)
CASES = (("b0", 1, None), ("b0", 8, None), ("b4", 1, None), ("v2_s", 1, None))


def best(step: Callable[[], object], clock: Callable[[], float], seconds: float = 1.5) -> float:
    """Shortest time of a step within about so many seconds: a limit is what the machine can do."""
    step()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = clock()
        step()
        shortest = min(shortest, clock() - start)
    return shortest


def measure_limits(clock: Callable[[], float]) -> dict:
    """Peak multiply-adds per second in float32, and bytes per second of a copy (read and written)."""
    side = 2048
    a, b, out = (torch.randn(side, side) for _ in range(3))
    limits = {"matmul_side": side, "multiply_adds_per_second": side**3 / best(lambda: torch.mm(a, b, out=out), clock)}
    for name, megabytes in (("memory", 512), ("cache", 1)):
        source = torch.randn(megabytes * 2**18)
        target = torch.empty_like(source)
        repeats = max(1, 64 // megabytes)
        took = best(lambda: [target.copy_(source) for _ in range(repeats)], clock) / repeats
        limits[f"{name}_bytes_per_second"] = 2 * source.numel() * 4 / took
        limits[f"{name}_megabytes"] = megabytes
    return limits


def measure_stages(variant: str, batch_size: int, resolution: int, limits: dict, rounds: int, clock) -> list[dict]:
    """Median seconds of each stage of the optimised network, and its share of what the roofline allows."""
    network = optimize_for_inference(build_model(variant).eval())
    images = torch.randn(batch_size, 3, resolution, resolution).contiguous(memory_format=torch.channels_last)

    def head(x: torch.Tensor) -> torch.Tensor:
        return network.classifier(network.head(x).mean((2, 3)))

    parts, steps, x = [network.stem, *network.stages, head], {}, images
    with torch.inference_mode():
        for number, part in enumerate(parts, 1):
            steps[number] = lambda part=part, x=x: part(x)
            x = part(x)
        seconds = take_turns(steps, rounds, clock=clock)
    bounds = {
        name: roofline(
            variant, limits["multiply_adds_per_second"], limits[f"{name}_bytes_per_second"], resolution,
            batch_size=batch_size,
        )
        for name in ("memory", "cache")
    }  # fmt: skip
    rows = []
    for row in count_cost(variant, resolution).stages:
        median = statistics.median(seconds[row.stage])
        layers = [layer for layer in bounds["memory"].layers if layer.stage == row.stage]
        rows.append(
            {
                "stage": row.stage, "operator": row.operator, "seconds": median,
                "multiply_adds": sum(layer.multiply_adds for layer in layers),
                "bytes": sum(layer.bytes for layer in layers),
                "attained_multiply_adds_per_second": batch_size * row.multiply_adds / median,
                "fraction_of_peak": batch_size * row.multiply_adds / median / limits["multiply_adds_per_second"],
                "fraction_of_roofline": bounds["memory"].stage_seconds()[row.stage] / median,
                "fraction_of_cache_roofline": bounds["cache"].stage_seconds()[row.stage] / median,
            }
        )  # fmt: skip
    whole = sum(row["seconds"] for row in rows)
    total = sum(row["multiply_adds"] for row in rows)
    rows.append(
        {
            "stage": None, "operator": "in all", "seconds": whole, "multiply_adds": total,
            "bytes": sum(row["bytes"] for row in rows),
            "attained_multiply_adds_per_second": total / whole,
            "fraction_of_peak": total / whole / limits["multiply_adds_per_second"],
            "fraction_of_roofline": bounds["memory"].seconds / whole,
            "fraction_of_cache_roofline": bounds["cache"].seconds / whole,
        }
    )  # fmt: skip
    return rows


def print_case(case: dict) -> None:
    print(f"\n{case['variant']}, {case['resolution']} pixels, batch {case['batch_size']}, {case['rounds']} turns")
    for row in case["results"]:
        low, high = row["seconds_quartiles"]
        print(
            f"  {row['implementation']:<27} {1e3 * row['seconds']:8.2f} ms ({1e3 * low:.2f} to {1e3 * high:.2f})"
            f"   time over {OPTIMISED}'s: {1 / row['ratio_to_optimised']:.2f}"
        )
    print("  stage                         ms   G multiply-adds/s   of peak   of roofline (memory, cache)")
    for row in case["stages"]:
        print(
            f"  {row['stage'] or '':<2} {row['operator']:<20} {1e3 * row['seconds']:8.3f} "
            f"{row['attained_multiply_adds_per_second'] / 1e9:19.1f} {100 * row['fraction_of_peak']:8.0f} % "
            f"{100 * row['fraction_of_roofline']:8.0f} % {100 * row['fraction_of_cache_roofline']:6.0f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_arguments(parser, rounds=25, threads=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", metavar="VARIANT", help="one variant of the list")
    arguments = parser.parse_args()
    recorder = Recorder("benchmarks.inference", "effnet-inference-1", arguments)
    clock = recorder.clock
    limits = measure_limits(clock)
    print(
        f"{device_name(torch.device('cpu'))}, {arguments.threads} threads: "
        f"{limits['multiply_adds_per_second'] / 1e9:.0f} G multiply-adds/s, "
        f"{limits['memory_bytes_per_second'] / 1e9:.1f} GB/s in memory, "
        f"{limits['cache_bytes_per_second'] / 1e9:.1f} GB/s in cache"
    )
    cases = []
    for variant, batch_size, resolution in CASES:
        if arguments.only not in (None, variant):
            continue
        rounds = arguments.rounds if (variant, batch_size) == ("b0", 1) else max(5, arguments.rounds // 3)
        case = compare_inference(variant, resolution, batch_size, rounds, clock=clock)
        case["stages"] = measure_stages(variant, batch_size, case["resolution"], limits, rounds, clock)
        print_case(case)
        cases.append(case)
    recorder.write(limits=limits, cases=cases)


if __name__ == "__main__":
    main()
