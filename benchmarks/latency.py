"""The time for one image: the whole family and three networks that it is compared with.

    .venv/bin/python -m benchmarks.latency                        # a table
    .venv/bin/python -m benchmarks.latency --json results/latency-NAME.json

Each network takes one image at its own resolution, in single precision and eval mode, with
freshly made weights. The networks are too many to be held at once, so they come one after
another, and beside each the same B0 has its turns: its time says whether the machine was as
fast for one network as for the next.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from effnet_lib import build_model, count_cost, get_variant, list_variants, optimize_for_inference, take_turns
from effnet_lib.train.record import device_name

from .record import Recorder, add_arguments

#: torchvision's, at the resolution of their usual figures.
OTHERS = {"mobilenet_v3_large": 224, "resnet50": 224, "resnet152": 224}


def step(network: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            network(images)

    return run


def measure(name: str, yardstick: Callable[[], None], recorder: Recorder) -> list[dict]:
    """One row for each way that a network is run, as built and optimised, or the one there is."""
    if name in OTHERS:
        resolution, library = OTHERS[name], f"torchvision {torchvision.__version__}"
        network = torchvision.models.get_model(name).eval()
        ways = {"as built": network}
        parameters = sum(p.numel() for p in network.parameters())
        with FlopCounterMode(display=False) as counter:  # an operation is a multiplication or an addition
            step(network, torch.randn(1, 3, resolution, resolution))()
        multiply_adds = counter.get_total_flops() // 2
    else:
        cost = count_cost(name)
        resolution, library = get_variant(name).resolution, "effnet_lib"
        network = build_model(name).eval()
        ways = {"as built": network, "optimised": optimize_for_inference(network)}
        parameters, multiply_adds = cost.parameters, cost.multiply_adds
    images = torch.randn(1, 3, resolution, resolution)
    turns = {way: step(network, images) for way, network in ways.items()}
    rounds = recorder.arguments.rounds
    if multiply_adds > 20e9:  # seconds an image: fewer turns say as much
        rounds = max(2, rounds // 3)
    seconds = take_turns(turns | {"yardstick": yardstick}, rounds, clock=recorder.clock)
    beside = statistics.median(seconds.pop("yardstick"))
    rows = []
    for way, took in seconds.items():
        first, median, third = statistics.quantiles(took, n=4, method="inclusive")
        rows.append(
            {
                "name": name, "library": library, "way": way, "resolution": resolution,
                "parameters": parameters, "multiply_adds": multiply_adds,
                "rounds": rounds, "seconds": median, "seconds_quartiles": [first, third], "yardstick_seconds": beside,
            }
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_arguments(parser, rounds=9, threads=1)
    recorder = Recorder("benchmarks.latency", "effnet-latency-1", parser.parse_args())
    torch.manual_seed(0)
    yardstick = step(optimize_for_inference(build_model("b0").eval()), torch.randn(1, 3, 224, 224))
    print(f"{device_name(torch.device('cpu'))}, {recorder.arguments.threads} threads, one image")
    rows = []
    for name in [*list_variants(), *OTHERS]:
        for row in measure(name, yardstick, recorder):
            rows.append(row)
            low, high = row["seconds_quartiles"]
            print(
                f"  {name:<20} {row['resolution']:>4} px  {row['way']:<10} {1e3 * row['seconds']:9.1f} ms "
                f"({1e3 * low:.1f} to {1e3 * high:.1f})   B0 optimised beside it {1e3 * row['yardstick_seconds']:.1f}",
                flush=True,
            )
    recorder.write(yardstick="b0, optimised", networks=rows)


if __name__ == "__main__":
    main()
