"""What each step makes faster, and how long networks of later families take, on one thread.

    .venv/bin/python -m benchmarks.steps --cpu-time --json results/steps-NAME.json

On one thread, in four parts, with turns (``effnet_lib.bench.take_turns``):

* the limits of the processor: multiply-adds per second in a matrix product in float32,
  bfloat16 and eight bits, bytes per second of a copy;
* the steps from B0 as built to B0 optimised, one at a time, and ONNX Runtime, at batch 1 and
  8, and at 32 pixels, where there is next to nothing to compute and what remains is the cost
  of the calls;
* torchvision's networks of several families, at the resolution of their default weights, as
  they come and in ONNX Runtime;
* B0 under ``torch.compile``, as it comes and with its weights frozen into the code. Last, since
  compiling takes minutes; the record is written before it too.

Weights are random; batch norm's statistics are measured on noise first, since in eval mode a
fresh network would fade to denormal numbers, which are slow.
"""

import os

os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # what compiling takes the first time

import argparse
import copy
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from effnet_lib import build_model, fold_batch_norm, optimize_for_inference
from effnet_lib.bench import _half_step, summarise, take_turns
from effnet_lib.export import _quietly, export_model, onnx_session
from effnet_lib.layers import ConvNormAct

from .inference import best, measure_limits
from .record import Recorder, add_arguments

#: (batch size, side in pixels)
STEPS = ((1, 224), (8, 224), (1, 32))

#: torchvision's names: some EfficientNets, and what came before and after them.
FAMILIES = (
    "mobilenet_v3_large", "efficientnet_b0", "efficientnet_b4", "efficientnet_v2_s", "resnet50",
    "regnet_y_1_6gf", "regnet_y_8gf", "convnext_tiny", "convnext_base", "maxvit_t",
)  # fmt: skip


def more_limits(clock: Callable[[], float]) -> dict:
    """Multiply-adds per second in bfloat16, and of unsigned by signed bytes in ONNX Runtime."""
    import numpy
    import onnx
    import onnxruntime

    side, limits = 2048, {}
    a, b, out = (torch.randn(side, side).bfloat16() for _ in range(3))
    limits["bfloat16_multiply_adds_per_second"] = side**3 / best(lambda: torch.mm(a, b, out=out), clock)
    rng = numpy.random.default_rng(0)
    weight = onnx.numpy_helper.from_array(rng.integers(-128, 128, (side, side)).astype(numpy.int8), "b")
    make, kinds = onnx.helper, onnx.TensorProto
    graph = make.make_graph(
        [make.make_node("MatMulInteger", ["a", "b"], ["y"])], "product",
        [make.make_tensor_value_info("a", kinds.UINT8, [side, side])],
        [make.make_tensor_value_info("y", kinds.INT32, [side, side])], [weight],
    )  # fmt: skip
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    array = rng.integers(0, 256, (side, side)).astype(numpy.uint8)
    limits["int8_multiply_adds_per_second"] = side**3 / best(lambda: session.run(None, {"a": array}), clock)
    return limits


def with_statistics(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """The network in eval mode, its batch norms fitted to a batch like ``images``."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            # Large enough that the last maps have more than a pixel to take a variance of.
            side = max(128, images.shape[-1])
            network.train()(torch.randn(4, images.shape[1], side, side))
    return network.eval()


def folded(model: nn.Module) -> nn.Module:
    """A copy whose batch norms are folded, and nothing else."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in [m for m in model.modules() if isinstance(m, ConvNormAct)]:
            conv, norm = layer[0], layer[1]
            weight, bias = fold_batch_norm(conv, norm)
            conv.weight.copy_(weight)
            conv.bias = nn.Parameter(bias)
            layer[1] = nn.Identity()
    return model


def step_of(network: Callable, images: torch.Tensor) -> Callable[[], None]:
    def step() -> None:
        with torch.inference_mode():
            network(images)

    return step


def measure_steps(batch_size: int, side: int, rounds: int, clock) -> dict:
    """B0 in every stage of its tuning, and in other runtimes."""
    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, side, side)
    last = images.contiguous(memory_format=torch.channels_last)
    model = with_statistics(build_model("b0"), images)
    bare, fast = folded(model), optimize_for_inference(model)
    turns = {
        "as built": step_of(model, images),
        "channels_last": step_of(copy.deepcopy(model).to(memory_format=torch.channels_last), last),
        "batch norm folded": step_of(bare, images),
        "folded, channels_last": step_of(copy.deepcopy(bare).to(memory_format=torch.channels_last), last),
        "optimised": step_of(fast, images),
    }
    if half := _half_step(fast, images):
        turns["optimised, bfloat16"] = half
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b0.onnx"
        export_model(model, path, resolution=side)
        session, array = onnx_session(path), images.numpy()
        turns["ONNX Runtime"] = lambda: session.run(None, {"images": array})
        seconds = take_turns(turns, rounds, clock=clock)
    rows = summarise(seconds, "as built")
    return {
        "batch_size": batch_size, "resolution": side, "rounds": rounds,
        "results": [{"step": name, **row} for name, row in rows.items()],
    }  # fmt: skip


def measure_compiled(rounds: int, clock) -> dict:
    """B0 compiled, in turns with B0 as built and optimised."""
    torch.manual_seed(0)
    images = torch.randn(1, 3, 224, 224)
    model = with_statistics(build_model("b0"), images)
    turns = {"as built": step_of(model, images), "optimised": step_of(optimize_for_inference(model), images)}
    for name, options in {"torch.compile": {}, "torch.compile, freezing": {"freezing": True}}.items():
        torch._dynamo.reset()
        turns[name] = step_of(torch.compile(model, options=options), images)
        turns[name]()
    rows = summarise(take_turns(turns, rounds, clock=clock), "as built")
    return {
        "batch_size": 1, "resolution": 224, "rounds": rounds,
        "results": [{"step": name, **row} for name, row in rows.items()],
    }  # fmt: skip


def measure_families(rounds: int, clock) -> list[dict]:
    """One image through each network of ``FAMILIES``: as it comes, and in ONNX Runtime."""
    from torchvision.models import get_model, get_model_weights

    torch.manual_seed(0)
    turns, sides = {}, {}
    for name in FAMILIES:
        side = get_model_weights(name).DEFAULT.transforms().crop_size[0]
        images = torch.randn(1, 3, side, side)
        network, sides[name] = with_statistics(get_model(name), images), side
        turns[name, "PyTorch"] = step_of(network, images)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"

            def write(network=network, images=images, path=path) -> None:
                program = torch.onnx.export(network, (images,), dynamo=True, verbose=False, input_names=["images"])
                program.save(path, external_data=False)

            _quietly("onnx", write)
            session = onnx_session(path)
        turns[name, "ONNX Runtime"] = lambda s=session, a=images.numpy(): s.run(None, {"images": a})
        print(f"  {name} is ready", flush=True)
    seconds = take_turns(turns, rounds, clock=clock)
    return [
        {
            "network": name, "runtime": runtime, "resolution": sides[name],
            "seconds": statistics.median(took), "seconds_quartiles": _quartiles(took),
        }
        for (name, runtime), took in seconds.items()
    ]  # fmt: skip


def _quartiles(took: list[float]) -> list[float]:
    first, _, third = statistics.quantiles(took, n=4, method="inclusive")
    return [first, third]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add_arguments(parser, rounds=21, threads=1)
    recorder = Recorder("benchmarks.steps", "effnet-steps-1", parser.parse_args())
    rounds, clock = recorder.arguments.rounds, recorder.clock
    limits = measure_limits(clock) | more_limits(clock)
    print({name: f"{value:.3g}" for name, value in limits.items()}, flush=True)
    steps = []
    for batch_size, side in STEPS:
        steps.append(measure_steps(batch_size, side, rounds if batch_size == 1 else max(3, rounds // 2), clock))
        print(f"\nB0, {side} pixels, batch {batch_size}")
        for row in steps[-1]["results"]:
            low, high = row["seconds_quartiles"]
            print(f"  {row['step']:<26} {1e3 * row['seconds']:8.2f} ms ({1e3 * low:.2f} to {1e3 * high:.2f})", flush=True)
    families = measure_families(max(3, rounds // 3), clock)
    for row in families:
        print(f"  {row['network']:<20} {row['runtime']:<14} {row['resolution']} px {1e3 * row['seconds']:9.1f} ms")
    recorder.write(limits=limits, steps=steps, families=families)
    compiled = measure_compiled(rounds, clock)
    print("\nB0, compiled")
    for row in compiled["results"]:
        print(f"  {row['step']:<26} {1e3 * row['seconds']:8.2f} ms")
    recorder.write(limits=limits, steps=steps, families=families, compiled=compiled)


if __name__ == "__main__":
    main()
