"""``effnet bench``: our network beside torchvision's and timm's, in one process, taking turns.

Clocks drift and machines are shared, so figures from separate runs do not compare. Here every
round times each network once, in turn; what is reported is the median over the rounds, and
the median of the ratios to our network within the same round.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..cost import count_cost
from ..model import build_model
from ..scaling import positive_int
from ..variants import get_variant
from .distributed import choose_device
from .engine import choose_precision
from .errors import ConfigError
from .record import device_name, versions


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
        (forward pass only), and on a GPU the peak memory in bytes.

    Raises:
        ConfigError: an argument is out of range.
    """
    try:
        for name, value in (("batch_size", batch_size), ("rounds", rounds), ("steps", steps)):
            positive_int(name, value)
        chosen = get_variant(variant)
        cost = count_cost(chosen, resolution)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    where = choose_device(device)
    kind = choose_precision(precision, where)
    size = cost.stages[0].resolution
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
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        memory: dict[str, int] = dict.fromkeys(contestants, 0)
        for turn in range(-1, rounds):  # turn -1 warms up: compilation, algorithm choice
            for name, step_of in contestants.items():
                if where.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(where)
                took = _time(step_of[mode], steps, where)
                if turn >= 0:
                    seconds[name].append(took / steps)
                if where.type == "cuda":
                    memory[name] = max(memory[name], torch.cuda.max_memory_allocated(where))
        for name, took in seconds.items():
            rate = batch_size / statistics.median(took)
            ratios = [ours / theirs for ours, theirs in zip(seconds["effnet_lib"], took)]
            rows.append(
                {
                    "implementation": name, "mode": mode, "images_per_second": rate,
                    "ratio_to_ours": statistics.median(ratios),
                    "multiply_adds_per_second": rate * cost.multiply_adds,
                    "peak_memory_bytes": memory[name] or None,
                }
            )  # fmt: skip
    return {
        "variant": chosen.name, "resolution": size, "batch_size": batch_size, "rounds": rounds,
        "steps": steps, "precision": kind, "channels_last": channels_last, "compile": compile,
        "device": device_name(where), "threads": torch.get_num_threads(), "versions": versions(),
        "multiply_adds": cost.multiply_adds, "results": rows,
    }  # fmt: skip


def _implementations(name: str) -> dict[str, Callable[[], nn.Module]]:
    """Makers of the same network, ours first, and of others where they are installed."""
    makers = {"effnet_lib": lambda: build_model(name)}
    try:
        import torchvision

        theirs = f"efficientnet_{name}"
        if theirs in torchvision.models.list_models():
            makers["torchvision"] = lambda: torchvision.models.get_model(theirs)
    except ImportError:
        pass
    try:
        import timm

        other = f"efficientnet{name[0:2]}_{name[3:]}" if name.startswith("v2_") else f"efficientnet_{name}"
        other = f"efficientnet_{name}" if name.startswith("lite") else other
        known = [n for n in (f"tf_{other}", other) if n in timm.list_models()]
        if known:  # the one with symmetric padding, as ours, where there are both
            makers["timm"] = lambda: timm.create_model(known[-1])
    except ImportError:
        pass
    return makers


def _steps(model: nn.Module, images, labels, precision: str, compile: bool) -> dict[str, Callable[[], None]]:
    """One training step and one inference step of a network."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    device = images.device.type
    on_gpu = device == "cuda"
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, fused=on_gpu)
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
    network = torch.compile(model) if compile else model

    def training() -> None:
        network.train()
        with torch.autocast(device, dtype=kind, enabled=kind is not None):
            logits = network(images)
        scaler.scale(F.cross_entropy(logits.float(), labels)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    def inference() -> None:
        network.eval()
        with torch.inference_mode(), torch.autocast(device, dtype=kind, enabled=kind is not None):
            network(images)

    return {"training": training, "inference": inference}


def _time(step: Callable[[], None], steps: int, device: torch.device) -> float:
    def wait() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    start = wait()
    for _ in range(steps):
        step()
    return wait() - start
