"""The time for one image: the whole family and three networks that it is compared with.

    .venv/bin/python -m benchmarks.latency                        # a table
    .venv/bin/python -m benchmarks.latency --json results/latency-NAME.json

Each network takes one image at its own resolution, in single precision and eval mode, with
freshly made weights. The networks are too many to be held at once, so they come one after
another, and beside each the same B0 has its turns: its time says whether the machine was as
fast for one network as for the next. All but the largest come three times, minutes apart.
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
#: Multiply-adds from which on a network takes so long that it has its turns only once.
LARGE = 20e9
#: How often the others have theirs: minutes apart, so that a slow minute is outvoted.
PASSES = 3


def step(network: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            network(images)

    return run


def measure(name: str, yardstick: Callable[[], None], recorder: Recorder) -> tuple[dict, dict[str, list[float]]]:
    """What there is to say of a network, and the seconds of its turns, as built and optimised, and the yardstick's."""
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
    if multiply_adds > LARGE:  # seconds an image: fewer turns say as much
        rounds = max(2, rounds // 3)
    said = {
        "library": library, "resolution": resolution, "parameters": parameters, "multiply_adds": multiply_adds,
    }  # fmt: skip
    return said, take_turns(turns | {"yardstick": yardstick}, rounds, clock=recorder.clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_arguments(parser, rounds=9, threads=1)
    recorder = Recorder("benchmarks.latency", "effnet-latency-1", parser.parse_args())
    torch.manual_seed(0)
    yardstick = step(optimize_for_inference(build_model("b0").eval()), torch.randn(1, 3, 224, 224))
    print(f"{device_name(torch.device('cpu'))}, {recorder.arguments.threads} threads, one image")
    rows = {}
    for number in range(PASSES):
        for name in [*list_variants(), *OTHERS]:
            if number and rows[name][0]["multiply_adds"] > LARGE:
                continue
            said, seconds = measure(name, yardstick, recorder)
            _, before = rows.setdefault(name, (said, {way: [] for way in seconds}))
            for way, took in seconds.items():
                before[way] += took
            shown = ", ".join(f"{way} {1e3 * statistics.median(took):.1f}" for way, took in seconds.items())
            print(f"  {name:<20} {said['resolution']:>4} px  ms: {shown}", flush=True)
    recorder.write(
        yardstick="b0, optimised", passes=PASSES,
        networks=[row for name, (said, seconds) in rows.items() for row in summed_up(name, said, seconds)],
    )  # fmt: skip


def summed_up(name: str, said: dict, seconds: dict[str, list[float]]) -> list[dict]:
    """One row for each way that a network was run, over all its turns."""
    rows = []
    for way, took in seconds.items():
        if way != "yardstick":
            first, median, third = statistics.quantiles(took, n=4, method="inclusive")
            rows.append(
                {
                    "name": name, "way": way, **said, "rounds": len(took), "seconds": median,
                    "seconds_quartiles": [first, third], "yardstick_seconds": statistics.median(seconds["yardstick"]),
                }
            )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
