"""Images a second on a GPU: training and inference, beside torchvision and timm, in every way of running.

    python -m benchmarks.throughput --json results/throughput-NAME.json
    python -m benchmarks.throughput --ways eager "eager, contiguous" --json …      # a part of it

At 224 pixels B0, V2-S and ResNet-50 stand beside one another, each of this library,
torchvision and timm where they have it; at 32 pixels B0 and V2-B0 of this library at output
stride 8. Each way of running is one table: in every round each network has its turn
(``effnet_lib.bench.take_turns``), and beside them the *yardstick*, this library's B0 run
eagerly in channels_last, so that the tables can be compared. The optimiser is SGD with
momentum, fused; precision is bfloat16 unless told.

The limits of the device are measured in the same run: multiply-adds a second of a large
matrix product, bytes a second of a large copy, and the time to start a kernel that does
next to nothing. With them each of this library's rows says what share of the least time its
arithmetic and its bytes would take (``effnet_lib.roofline``, for inference). The record is
written after every table, so that a run that is cut off keeps what it has.
"""

import argparse
import gc
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from effnet_lib import build_model, roofline
from effnet_lib.bench import _implementations, _steps, summarise, take_turns
from effnet_lib.files import write_atomically
from effnet_lib.train.engine import choose_precision
from effnet_lib.train.record import commit, device_name, versions

from .record import now

MODES = ("training", "inference")
#: How a network is run: its memory format, and how `torch.compile` is called, if it is.
WAYS = {
    "eager": (torch.channels_last, None),
    "eager, contiguous": (torch.contiguous_format, None),
    "compiled": (torch.channels_last, "default"),
    "compiled, contiguous": (torch.contiguous_format, "default"),
    "compiled, CUDA graphs": (torch.channels_last, "reduce-overhead"),
}
YARDSTICK = "yardstick"


def networks(resolution: int, stride: int) -> dict[str, Callable[[], nn.Module]]:
    """Makers of the networks of a case, by 'network, library'."""
    if stride != 32:
        return {f"{n}, effnet_lib": lambda n=n: build_model(n, output_stride=stride) for n in ("b0", "v2_b0")}
    makers = {f"{n}, {library}": make for n in ("b0", "v2_s") for library, make in _implementations(n).items()}
    try:
        import torchvision

        makers["resnet50, torchvision"] = torchvision.models.resnet50
    except ImportError:
        pass
    try:
        import timm

        makers["resnet50, timm"] = lambda: timm.create_model("resnet50")
    except ImportError:
        pass
    return makers


def run_table(way: str, resolution: int, stride: int, batch_size: int, arguments, device: torch.device) -> list[dict]:
    """A row for each network and mode, run in one way at one resolution."""
    layout, compiled = WAYS[way]
    torch.manual_seed(0)
    labels = torch.randint(1000, (batch_size,), device=device)
    images = torch.randn(batch_size, 3, resolution, resolution, device=device)

    def steps_of(make, layout, compiled) -> dict[str, Callable[[], None]]:
        model = make().to(device, memory_format=layout)
        if compiled:
            model.compile(mode=compiled)
        return _steps(model, images.contiguous(memory_format=layout), labels, arguments.precision, False)

    makers = networks(resolution, stride)
    contestants = {YARDSTICK: steps_of(makers["b0, effnet_lib"], torch.channels_last, None)}
    contestants |= {name: steps_of(make, layout, compiled) for name, make in makers.items()}
    rows = []
    for mode in MODES:
        memory = {}

        def after(name: str) -> None:
            if device.type == "cuda":
                memory[name] = torch.cuda.max_memory_allocated(device)
                torch.cuda.reset_peak_memory_stats(device)

        turns = {name: steps[mode] for name, steps in contestants.items()}
        seconds = take_turns(turns, arguments.rounds, arguments.steps, device, after)
        for name, row in summarise(seconds, YARDSTICK).items():
            network, _, library = name.partition(", ")
            rows.append(
                {
                    "network": network, "library": library or None, "way": way, "mode": mode,
                    "resolution": resolution, "output_stride": stride, "batch_size": batch_size,
                    "seconds": row["seconds"], "seconds_quartiles": row["seconds_quartiles"],
                    "images_per_second": batch_size / row["seconds"],
                    "times_the_yardstick": row["ratio"], "times_the_yardstick_quartiles": row["ratio_quartiles"],
                    "peak_memory_bytes": memory.get(name),
                }
            )  # fmt: skip
    return rows


def measure_limits(device: torch.device, precision: str) -> dict:
    """Multiply-adds and bytes a second, and seconds to start a kernel, as this device has them."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    small = device.type == "cpu"
    side, megabytes, starts = (512, 16, 100) if small else (8192, 2048, 1000)
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    source = torch.empty(megabytes * 2**18, device=device)
    target, one = torch.empty_like(source), torch.zeros(1, device=device)
    steps = {
        "matmul": lambda: torch.mm(a, b), "copy": lambda: target.copy_(source),
        "start": lambda: [one.add_(1) for _ in range(starts)],
    }  # fmt: skip
    best = {name: min(took) for name, took in take_turns(steps, 10, device=device).items()}
    return {
        "matmul_side": side, "copy_megabytes": megabytes, "precision": precision,
        "multiply_adds_per_second": side**3 / best["matmul"],
        "memory_bytes_per_second": 2 * source.nbytes / best["copy"],
        "seconds_per_kernel": best["start"] / starts,
    }  # fmt: skip


def account(row: dict, limits: dict) -> dict:
    """What the least time of a network is made of, beside the time that it took."""
    if row["library"] != "effnet_lib" or row["mode"] != "inference" or row["output_stride"] != 32:
        return {}
    least = {
        key: roofline(
            row["network"], limits["multiply_adds_per_second"], limits["memory_bytes_per_second"], row["resolution"],
            batch_size=row["batch_size"], bytes_per_number=4 if limits["precision"] == "fp32" else 2, fused=fused,
        )
        for key, fused in (("fused", True), ("layer by layer", False))
    }  # fmt: skip
    return {
        "least_seconds": {key: bound.seconds for key, bound in least.items()},
        "arithmetic_seconds": least["fused"].multiply_adds / limits["multiply_adds_per_second"],
        "bytes": {key: bound.bytes for key, bound in least.items()},
    }


def print_rows(rows: list[dict]) -> None:
    first = rows[0]
    print(f"\n{first['way']}, {first['resolution']} px, batch {first['batch_size']}")
    line = "{:<24} {:<10} {:>12} {:>18} {:>10}".format
    print(line("", "", "images/s", "of the yardstick", "MiB"))
    for row in rows:
        name = row["network"] + (f", {row['library']}" if row["library"] else "")
        memory = f"{row['peak_memory_bytes'] / 2**20:,.0f}" if row["peak_memory_bytes"] else ""
        print(line(name, row["mode"], f"{row['images_per_second']:,.0f}", f"{row['times_the_yardstick']:.2f}", memory))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu, for a rehearsal")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="bf16", help="default: bf16")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="default: all")
    parser.add_argument("--batch-sizes", nargs=2, type=int, default=[256, 1024], metavar="N",
                        help="at 224 and at 32 pixels (default: 256 1024)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=10, help="turns of each (default: 10)")
    parser.add_argument("--steps", type=int, default=5, help="steps timed in a turn (default: 5)")
    arguments = parser.parse_args()
    given = {"rounds": [arguments.rounds], "steps": [arguments.steps], "batch-sizes": arguments.batch_sizes}
    for name, values in given.items():
        if min(values) < 1:
            parser.error(f"--{name} must be at least 1, got {min(values)}")
    if arguments.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {arguments.device}: torch sees no GPU here; --device cpu rehearses")
    device = torch.device(arguments.device)
    arguments.precision = choose_precision(arguments.precision, device)
    record = {
        "schema": "effnet-throughput-1",
        "command": shlex.join(["python", "-m", "benchmarks.throughput", *sys.argv[1:]]),
        "commit": commit(), "started": now(), "clock": "wall",
        "device": {"name": device_name(device), "processors": os.cpu_count()}, "versions": versions(),
        "precision": arguments.precision, "rounds": arguments.rounds, "steps": arguments.steps,
        "limits": measure_limits(device, arguments.precision), "results": [],
    }  # fmt: skip
    print(f"{record['device']['name']}, {arguments.precision}")
    for (resolution, stride), batch_size in zip(((224, 32), (32, 8)), arguments.batch_sizes):
        for way in arguments.ways:
            rows = run_table(way, resolution, stride, batch_size, arguments, device)
            record["results"] += [row | account(row, record["limits"]) for row in rows]
            print_rows(rows)
            if arguments.json:
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                content = json.dumps(record | {"finished": now()}, indent=1) + "\n"
                write_atomically(arguments.json, content.encode())
            torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
