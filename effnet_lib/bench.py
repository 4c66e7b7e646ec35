"""``effnet bench``: networks beside one another, in one process, taking turns.

Clocks drift and machines are shared, so figures from separate runs do not compare. Here every
round times each network once, in turn (:func:`take_turns`); what is reported is the median
over the rounds with its quartiles, and the median of the ratios within the same round.
"""

import contextlib
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from .cost import count_cost
from .model import build_model
from .scaling import positive_int
from .train.distributed import choose_device
from .train.engine import choose_precision, make_scaler
from .train.errors import ConfigError
from .train.record import device_name, versions
from .variants import get_variant

OURS, OPTIMISED = "effnet_lib", "effnet_lib optimised"


def take_turns(
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    steps: int = 1,
    device: torch.device | str = "cpu",
    after: Callable[[str], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Seconds a step of each contestant, one value a round, all rounds in the same order.

    One round in advance warms up (compilation, algorithm choice, memory). A turn begins with
    a step that is not timed, so that caches hold the contestant's own data and the threads
    of the one before have gone to sleep.

    Args:
        contestants: what to run, by name.
        rounds: how often each has its turn.
        steps: steps timed in a turn.
        device: where they compute, to wait for it.
        after: called with the name after each turn.
        clock: gives seconds; ``time.perf_counter`` unless told. With a single thread,
            ``time.process_time`` leaves out what other programs take of the processor.
    """
    device = torch.device(device)
    clock = clock or time.perf_counter

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        return clock()

    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(-1, rounds):
        for name, step in contestants.items():
            step()
            start = now()
            for _ in range(steps):
                step()
            took = (now() - start) / steps
            if turn >= 0:
                seconds[name].append(took)
            if after:
                after(name)
    return seconds


def summarise(seconds: dict[str, list[float]], reference: str) -> dict[str, dict]:
    """Median and quartiles of each contestant, and how many times faster than ``reference`` it is.

    ``ratio`` is the median of the ratios within a round, with ``ratio_quartiles``: above 1 is
    faster than the reference.
    """
    out = {}
    for name, took in seconds.items():
        ratios = [theirs / own for theirs, own in zip(seconds[reference], took)]
        out[name] = {
            "seconds": statistics.median(took), "seconds_quartiles": _quartiles(took),
            "ratio": statistics.median(ratios), "ratio_quartiles": _quartiles(ratios),
        }  # fmt: skip
    return out


def _quartiles(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return [first, third]


def benchmark(
    variant: str = "b0",
    resolution: int | None = None,
    batch_size: int = 32,
    rounds: int = 10,
    steps: int = 3,
    device: str = "auto",
    precision: str = "auto",
    channels_last: bool = True,
    compile: bool = False,
) -> dict:
    """Images per second of training and inference, memory, and multiply-adds per second.

    Args:
        variant: a released variant.
        resolution: side of the images in pixels; the variant's own if None.
        batch_size: images a step.
        rounds: how often each network has its turn.
        steps: steps timed in a turn.
        device, precision, channels_last, compile: as in a run's configuration.

    Returns:
        Settings, and under ``results`` a row for each network and each of ``training`` and
        ``inference``: median images per second, ratio to ours, multiply-adds per second
        (forward pass only), seconds with quartiles, and on a GPU the peak memory in bytes.

    Raises:
        ConfigError: an argument is out of range.
    """
    setting = _setting(variant, resolution, batch_size, rounds, steps, device)
    chosen, cost, size, where = setting
    kind = choose_precision(precision, where)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, size, size, device=where).contiguous(memory_format=layout)
    labels = torch.randint(1000, (batch_size,), device=where)

    contestants = {}
    for name, make in _implementations(chosen.name).items():
        model = make().to(where, memory_format=layout)
        contestants[name] = _steps(model, images, labels, kind, compile)

    rows = []
    for mode in ("training", "inference"):
        memory: dict[str, int] = dict.fromkeys(contestants, 0)

        def after(name: str) -> None:
            if where.type == "cuda":
                memory[name] = max(memory[name], torch.cuda.max_memory_allocated(where))
                torch.cuda.reset_peak_memory_stats(where)

        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats(where)
        turns = {name: step_of[mode] for name, step_of in contestants.items()}
        seconds = take_turns(turns, rounds, steps, where, after)
        rows += _rows(mode, seconds, batch_size, cost.multiply_adds, memory)
    return _described(setting, batch_size, rounds, steps) | {
        "precision": kind, "channels_last": channels_last, "compile": compile, "results": rows,
    }  # fmt: skip


def compare_inference(
    variant: str = "b0",
    resolution: int | None = None,
    batch_size: int = 1,
    rounds: int = 20,
    steps: int = 1,
    device: str = "cpu",
    clock: Callable[[], float] | None = None,
) -> dict:
    """Inference in single precision: ours, ours optimised, other libraries, other runtimes.

    (And ours optimised in bfloat16 where the device has it; its outputs are coarser.)

    Torch networks are taken as they come, in eval mode under ``torch.inference_mode``. ONNX
    Runtime and OpenVINO run our network exported to ONNX, on the CPU, with torch's number of
    threads. What is not installed is left out.

    Args, raises: as for :func:`benchmark`; ``clock`` as for :func:`take_turns`.

    Returns:
        Settings, and under ``results`` a row for each network, as of :func:`benchmark`, with
        ``ratio_to_optimised`` besides.
    """
    setting = _setting(variant, resolution, batch_size, rounds, steps, device)
    chosen, cost, size, where = setting
    from .deploy import optimize_for_inference

    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, size, size, device=where)
    networks = {name: make().eval().to(where) for name, make in _implementations(chosen.name).items()}
    ours = networks.pop(OURS)
    networks = {OURS: ours, OPTIMISED: optimize_for_inference(ours)} | networks

    def torch_step(network: nn.Module) -> Callable[[], None]:
        def step() -> None:
            with torch.inference_mode():
                network(images)

        return step

    turns = {name: torch_step(network) for name, network in networks.items()}
    if half := _half_step(networks[OPTIMISED], images):
        turns[f"{OPTIMISED}, bf16"] = half
    with tempfile.TemporaryDirectory() as folder:
        if where.type == "cpu":
            turns |= _runtimes(ours, images, Path(folder))
        seconds = take_turns(turns, rounds, steps, where, clock=clock)
    rows = _rows("inference", seconds, batch_size, cost.multiply_adds, {})
    optimised = summarise(seconds, OPTIMISED)
    for row in rows:
        row["ratio_to_optimised"] = optimised[row["implementation"]]["ratio"]
    return _described(setting, batch_size, rounds, steps) | {"precision": "fp32", "results": rows}


def _setting(variant, resolution, batch_size, rounds, steps, device):
    """Checked: the variant, its cost, the side of the image, the device."""
    try:
        for name, value in (("batch_size", batch_size), ("rounds", rounds), ("steps", steps)):
            positive_int(name, value)
        chosen = get_variant(variant)
        cost = count_cost(chosen, resolution)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    return chosen, cost, cost.stages[0].resolution, choose_device(device)


def _described(setting, batch_size: int, rounds: int, steps: int) -> dict:
    chosen, cost, size, where = setting
    return {
        "variant": chosen.name, "resolution": size, "batch_size": batch_size, "rounds": rounds,
        "steps": steps, "device": device_name(where), "threads": torch.get_num_threads(),
        "versions": versions(), "multiply_adds": cost.multiply_adds,
    }  # fmt: skip


def _rows(mode: str, seconds: dict[str, list[float]], batch_size: int, multiply_adds: int, memory) -> list[dict]:
    rows = []
    for name, row in summarise(seconds, OURS).items():
        rate = batch_size / row["seconds"]
        rows.append(
            {
                "implementation": name, "mode": mode, "images_per_second": rate,
                "seconds": row["seconds"], "seconds_quartiles": row["seconds_quartiles"],
                "ratio_to_ours": row["ratio"], "ratio_quartiles": row["ratio_quartiles"],
                "multiply_adds_per_second": rate * multiply_adds,
                "peak_memory_bytes": memory.get(name) or None,
            }
        )  # fmt: skip
    return rows


def _implementations(name: str) -> dict[str, Callable[[], nn.Module]]:
    """Makers of the same network, ours first, and of others where they are installed."""
    makers = {OURS: lambda: build_model(name)}
    try:
        import torchvision

        theirs = f"efficientnet_{name}"
        if theirs in torchvision.models.list_models():
            makers["torchvision"] = lambda: torchvision.models.get_model(theirs)
    except Exception:  # it is not there, or does not fit this torch
        pass
    try:
        import timm

        other = f"efficientnet{name[0:2]}_{name[3:]}" if name.startswith("v2_") else f"efficientnet_{name}"
        other = f"efficientnet_{name}" if name.startswith("lite") else other
        known = [n for n in (f"tf_{other}", other) if n in timm.list_models()]
        if known:  # the one with symmetric padding, as ours, where there are both
            makers["timm"] = lambda: timm.create_model(known[-1])
    except Exception:  # timm needs torchvision
        pass
    return makers


def _runtimes(model: nn.Module, images: torch.Tensor, folder: Path) -> dict[str, Callable[[], object]]:
    """Steps of the other runtimes that are installed, on an ONNX file of ``model``."""
    from .export import export_model, onnx_session

    path = folder / "network.onnx"
    try:
        export_model(model, path, resolution=images.shape[-1])
    except ImportError:  # onnx or onnxscript is missing
        return {}
    array, steps = images.numpy(), {}
    try:
        session = onnx_session(path)
        steps["ONNX Runtime"] = lambda: session.run(None, {"images": array})
    except ImportError:
        pass
    try:
        import openvino
    except ImportError:
        return steps
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(path), "CPU", options).create_infer_request()
    steps["OpenVINO"] = lambda: request.infer([array])
    return steps


def _half_step(network: nn.Module, images: torch.Tensor) -> Callable[[], None] | None:
    """A step of the network in bfloat16, where the device computes in it rather than emulates it."""
    if images.device.type == "mps":
        able = False
    elif images.device.type == "cuda":
        able = torch.cuda.get_device_capability(images.device) >= (8, 0)
    else:
        able = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    if not able:
        return None
    network = copy.deepcopy(network).to(torch.bfloat16)

    def step() -> None:
        with torch.inference_mode():
            network(images.to(torch.bfloat16))

    return step


def _steps(model: nn.Module, images, labels, precision: str, compile: bool) -> dict[str, Callable[[], None]]:
    """One training step and one inference step of a network."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    device = images.device.type
    on_gpu = device == "cuda"
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, fused=on_gpu)
    scaler = make_scaler(images.device, precision)
    cast = partial(torch.autocast, device, dtype=kind) if kind else contextlib.nullcontext
    network = torch.compile(model) if compile else model

    def training() -> None:
        network.train()
        with cast():
            logits = network(images)
        scaler.scale(F.cross_entropy(logits.float(), labels)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    def inference() -> None:
        network.eval()
        with torch.inference_mode(), cast():
            network(images)

    return {"training": training, "inference": inference}
