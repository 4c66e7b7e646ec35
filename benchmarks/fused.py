"""MBConv beside Fused-MBConv: the same shape, forwards, and forwards and backwards.

    .venv/bin/python -m benchmarks.fused                               # a table: CPU, one thread
    .venv/bin/python -m benchmarks.fused --json results/fused-NAME.json
    .venv/bin/python -m benchmarks.fused --device cuda --precision bf16 --batch-size 128

Eight shapes, from the large maps of few channels of early stages to the small ones of many
channels of late stages: kernel 3, stride 1, expansion ratio 4, as many channels out as in. At each,
three blocks have their turn in every round (``effnet_lib.bench.take_turns``): Fused-MBConv,
MBConv with squeeze-and-excitation at a quarter, as EfficientNetV2 has them, and MBConv without
it, which leaves one difference only. On a CPU processor time is counted, on one thread, so
that other programs do not count, and the processor's limits are measured for a roofline; on a
GPU, the clock on the wall.
"""

import argparse
import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from effnet_lib import FusedMBConv, MBConv, block_cost
from effnet_lib.bench import summarise, take_turns
from effnet_lib.files import write_atomically
from effnet_lib.train.record import commit, device_name, versions

from .inference import measure_limits

#: (channels, side of the map in pixels)
SHAPES = ((24, 112), (48, 56), (64, 28), (96, 28), (128, 14), (160, 14), (192, 7), (256, 7))
EXPANSION = 4

#: What is compared: the operator, and whether it has squeeze-and-excitation.
BLOCKS = {"Fused-MBConv": ("fused_mbconv", False), "MBConv": ("mbconv", True), "MBConv without SE": ("mbconv", False)}
MODES = ("inference", "training")


def make_block(name: str, channels: int) -> nn.Module:
    operator, has_se = BLOCKS[name]
    kind = {"mbconv": MBConv, "fused_mbconv": FusedMBConv}[operator]
    return kind(channels, channels, 3, 1, EXPANSION, channels // 4 if has_se else 0)


def make_step(block: nn.Module, x: torch.Tensor, mode: str, precision: str) -> Callable[[], None]:
    """One pass of a batch; in training, with the gradients of input and weights."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def autocast():
        return torch.autocast(x.device.type, dtype=half, enabled=half is not None)

    def inference() -> None:
        with torch.inference_mode(), autocast():
            block(x)

    def training() -> None:
        block.zero_grad()
        entering = x.detach().requires_grad_()
        with autocast():
            y = block(entering)
        y.backward(y.detach())

    block.train(mode == "training")
    return {"inference": inference, "training": training}[mode]


def measure(channels: int, side: int, arguments, clock) -> list[dict]:
    """A row for each block and mode, at one shape."""
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    x = torch.randn(arguments.batch_size, channels, side, side, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    rows = []
    for mode in MODES:
        blocks = {name: make_block(name, channels).to(device, memory_format=torch.channels_last) for name in BLOCKS}
        steps = {name: make_step(block, x, mode, arguments.precision) for name, block in blocks.items()}
        seconds = take_turns(steps, arguments.rounds, arguments.steps, device, clock=clock)
        for name, row in summarise(seconds, "Fused-MBConv").items():
            operator, has_se = BLOCKS[name]
            cost = block_cost(
                operator, channels, channels, 3, 1, EXPANSION, channels // 4 if has_se else 0, resolution=side
            )
            rows.append(
                {
                    "channels": channels, "side": side, "block": name, "mode": mode,
                    "seconds": row["seconds"], "seconds_quartiles": row["seconds_quartiles"],
                    # the time of Fused-MBConv over this block's: above 1, Fused-MBConv is slower
                    "fused_over_this": row["ratio"], "fused_over_this_quartiles": row["ratio_quartiles"],
                    "parameters": cost.parameters, "multiply_adds": cost.multiply_adds,
                }
            )  # fmt: skip
    return rows


def print_rows(rows: list[dict]) -> None:
    line = "{:>12} {:<10} {:>14} {:>14} {:>20} {:>22}".format
    print(line("shape", "mode", "fused, ms", "MBConv, ms", "fused over MBConv", "over MBConv without SE"))
    for channels, side in dict.fromkeys((row["channels"], row["side"]) for row in rows):
        for mode in MODES:
            found = {r["block"]: r for r in rows if (r["channels"], r["side"], r["mode"]) == (channels, side, mode)}
            low, high = found["MBConv"]["fused_over_this_quartiles"]
            print(
                line(
                    f"{channels} × {side} px", mode,
                    *(f"{1e3 * found[name]['seconds']:.2f}" for name in ("Fused-MBConv", "MBConv")),
                    f"{found['MBConv']['fused_over_this']:.2f} ({low:.2f} to {high:.2f})",
                    f"{found['MBConv without SE']['fused_over_this']:.2f}",
                )
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the record")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="default: fp32")
    parser.add_argument("--batch-size", type=int, default=4, help="images a step (default: 4)")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each (default: 11)")
    parser.add_argument("--steps", type=int, default=2, help="steps timed in a turn (default: 2)")
    arguments = parser.parse_args()
    for name in ("batch_size", "rounds", "steps"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(arguments, name)}")
    if arguments.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {arguments.device}: torch sees no GPU here; leave the option out for the CPU")
    device, on_cpu = torch.device(arguments.device), arguments.device == "cpu"
    torch.set_num_threads(1)
    started, load = _now(), os.getloadavg()
    print(f"{device_name(device)}, batch {arguments.batch_size}, {arguments.precision}")
    clock = time.process_time if on_cpu else None
    limits = measure_limits(clock) if on_cpu else None
    rows = []
    for channels, side in SHAPES:
        rows += measure(channels, side, arguments, clock)
    print_rows(rows)
    if arguments.json:
        given = {k: v for k, v in vars(arguments).items() if v != parser.get_default(k)}
        command = "python -m benchmarks.fused" + "".join(f" --{k.replace('_', '-')} {v}" for k, v in given.items())
        record = {
            "schema": "effnet-fused-1", "command": command, "commit": commit(), "started": started,
            "finished": _now(), "clock": "processor time" if on_cpu else "wall",
            "device": {
                "name": device_name(device), "threads": torch.get_num_threads(), "processors": os.cpu_count(),
                "load_before": load[0], "load_after": os.getloadavg()[0],
                "capability": torch.backends.cpu.get_cpu_capability(),
            },
            "versions": versions(), "memory_format": "channels_last", "precision": arguments.precision,
            "batch_size": arguments.batch_size, "rounds": arguments.rounds, "steps": arguments.steps,
            "kernel_size": 3, "expand_ratio": EXPANSION, "limits": limits, "results": rows,
        }  # fmt: skip
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.json, (json.dumps(record, indent=1) + "\n").encode())


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
