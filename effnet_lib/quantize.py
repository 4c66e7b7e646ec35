"""Eight bits: an ONNX file whose convolutions multiply integers, by ONNX Runtime's quantiser.

    images = load_images("photos", model.preprocess)
    quantize_model(model, "b0-int8.onnx", images)

Every weight is rounded to one of 255 steps, with a step of its own for each output channel;
every feature map to one of 256, with one step for the whole map, chosen from the maps of the
calibration images. That is where EfficientNets lose: a map whose channels differ a hundredfold
in range, as after a gate of squeeze-and-excitation, leaves the quiet ones with a step or two.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .export import ExportError, _for_export, _quietly, export_model, onnx_session
from .files import aside, check_target, shown
from .images import Preprocessing
from .model import EfficientNet
from .packages import need
from .pictures import find_pictures
from .scaling import positive_int
from .weights import count_classes

METHODS = ("minmax", "percentile")

_TINY = torch.finfo(torch.float32).tiny  # a new head answers zeros


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize_model` wrote, and how far it lies from the network.

    Attributes:
        path, bytes: of the file; ``float_bytes`` of the same network in ONNX unquantised.
        images: number of calibration images, on which the rest was measured.
        top1_agreement: share of them with the same best class.
        top5_overlap: mean share of the five best classes that are the same.
        signal_to_noise_db: 10 log10 of the power of the logits, less their mean over the
            classes, over the power of the error.
        largest_difference: over all logits, relative to the largest.
    """

    path: str
    bytes: int
    float_bytes: int
    images: int
    top1_agreement: float
    top5_overlap: float
    signal_to_noise_db: float
    largest_difference: float


def load_images(folder: str | Path, preprocessing: Preprocessing, limit: int = 256) -> Tensor:
    """Pictures below ``folder`` as a batch (N, C, crop, crop), in the order of their names.

    Args:
        folder: searched to the bottom (:func:`effnet_lib.pictures.find_pictures`); a picture that
            cannot be read is passed over.
        preprocessing: as the network wants them; ``model.preprocess`` of one with weights.
        limit: how many at most.

    Raises:
        ImportError: Pillow or torchvision is missing.
        TypeError, ValueError: an argument is of the wrong kind; there is no folder, or no
            picture in it that can be read.
    """
    need("PIL.Image", "reading pictures")  # without it torchvision cannot be imported either
    need("torchvision", "reading pictures")
    if not callable(preprocessing):
        raise TypeError(f"preprocessing must be a Preprocessing, or model.preprocess, got {preprocessing!r:.60}")
    limit = positive_int("limit", limit)
    images = []
    for path in find_pictures(folder):
        try:
            images.append(preprocessing(path))
        except ImportError:
            raise
        except (OSError, ValueError):
            continue
        if len(images) == limit:
            break
    if not images:
        raise ValueError(f"no picture in {shown(folder)} can be read: calibration needs a few dozen")
    return torch.cat(images)


def quantize_model(
    model: EfficientNet,
    path: str | Path,
    images: Tensor,
    *,
    method: str = "minmax",
    float_layers: Iterable[str] = (),
) -> Quantized:
    """Write ``model`` as an eight-bit ONNX file with a free batch, and compare the two on ``images``.

    Args:
        model: a network of :func:`build_model`, trained.
        path: the file, ending in ``.onnx``; its folder exists.
        images: (N, in_channels, side, side), prepared as in training; a few dozen that are like
            what the network will see.
        method: how the range of a map follows from the images: ``"minmax"`` takes all of it,
            ``"percentile"`` cuts the rarest values off. (ONNX Runtime's entropy method has as
            many bins as steps, and takes all of it as well.)
        float_layers: parts of the network to leave in single precision, by the names of their
            modules, such as ``"stem"`` or ``"stages.0"``; ``"se"`` means every
            squeeze-and-excitation.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind.
        ImportError: onnx, onnxscript or onnxruntime is missing.
        ExportError: the file does not run, or gives numbers that are not finite.
        OSError: it cannot be written.
    """
    if not isinstance(model, EfficientNet):
        raise TypeError(f"expected a network of build_model, got {type(model).__name__}")
    path, layers = check_quantization(path, method, float_layers)
    check_parts(model, layers)
    if count_classes(model) == 0:
        raise ValueError("the network has no classifier (num_classes=0), and quantization compares predicted classes")
    images = _check_images(model, images)
    need("onnx", "quantisation")
    need("onnxruntime", "quantisation")
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            # All of one size: the histograms' calibrators want that.
            self.batches = iter(images.split(max(n for n in range(1, 9) if len(images) % n == 0)))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    reference = _for_export(model)
    with tempfile.TemporaryDirectory() as folder, aside(path) as new:
        plain, prepared = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        exported = export_model(reference, plain, resolution=images.shape[-1])

        _quietly(
            "quantisation",
            lambda: quant_pre_process(os.fspath(plain), os.fspath(prepared), skip_symbolic_shape=True),
        )
        left_alone = _nodes(prepared, layers)
        _quietly(
            "quantisation",
            lambda: quantize_static(
                os.fspath(prepared), os.fspath(new), Reader(),
                quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                calibrate_method={
                    "minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile,
                }[method],
                nodes_to_exclude=left_alone,
            ),
        )  # fmt: skip
        session = _quietly("quantisation", lambda: onnx_session(new))
        with torch.inference_mode():
            expected = torch.cat([reference(part) for part in images.split(8)])
        got = torch.cat(
            [torch.from_numpy(session.run(None, {"images": part.numpy()})[0]) for part in images.split(3)]
        )
        if got.shape != expected.shape or not got.isfinite().all():
            raise ExportError(f"the eight-bit file gives {tuple(got.shape)}, or numbers that are not finite")
    return Quantized(
        str(path), path.stat().st_size, exported.bytes, len(images), **agreement(expected, got),
        largest_difference=((got - expected).abs().max() / expected.abs().max().clamp_min(_TINY)).item(),
    )


def check_quantization(
    path: str | Path, method: str = "minmax", float_layers: Iterable[str] = ()
) -> tuple[Path, tuple[str, ...]]:
    """Path and layers as :func:`quantize_model` takes them, before there is a network.

    Raises:
        TypeError, ValueError: as for :func:`quantize_model`.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"unknown method {method!r:.60}: choose one of {', '.join(METHODS)}")
    if isinstance(float_layers, str) or not isinstance(float_layers, Iterable):
        raise TypeError(f"float_layers must be a list of names, such as ['stem'], got {float_layers!r:.60}")
    float_layers = tuple(float_layers)
    for layer in float_layers:
        if not isinstance(layer, str):
            raise TypeError(f"float_layers must be names, such as 'stem' or 'stages.0', got {layer!r:.60}")
    path = check_target(path)
    if path.suffix.lower() != ".onnx":
        raise ValueError(f"an eight-bit network is an ONNX file: {path.name!r} should end in .onnx")
    return path, float_layers


def check_parts(model: EfficientNet, layers: Iterable[str]) -> None:
    """See that the network has the parts that shall keep their precision.

    Raises:
        ValueError: it has no part of such a name.
    """
    parts = {name for name, _ in model.named_modules() if name}
    for layer in layers:
        if layer not in parts and not (layer == "se" and any(part.endswith(".se") for part in parts)):
            raise ValueError(
                f"float_layers: the network has no part {layer!r:.60}; it has {', '.join(dict(model.named_children()))}, "
                "their parts, such as stages.0, and se where there is squeeze-and-excitation"
            )


def _check_images(model: EfficientNet, images: Tensor) -> Tensor:
    """The images as the runtime takes them: single precision, on the CPU."""
    side = "(N, channels, side, side)"
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of shape {side}, N at least 1, got {got}")
    model._check(images)
    if images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be square, of shape {side}, got {tuple(images.shape)}: the file has one size")
    images = images.detach().cpu().float()
    if not images.isfinite().all():
        raise ValueError("images hold numbers that are not finite: nothing can be measured on them")
    return images


def agreement(expected: Tensor, got: Tensor) -> dict[str, float]:
    """How alike two sets of logits (N, classes) are: see :class:`Quantized`."""
    k = min(5, expected.shape[1])
    best, other = expected.topk(k).indices, got.topk(k).indices
    centred = expected - expected.mean(1, keepdim=True)
    error = (got - got.mean(1, keepdim=True)) - centred
    noise = error.square().mean().item()
    decibel = 10 * torch.log10(centred.square().mean() / noise).item() if noise else float("inf")
    return {
        "top1_agreement": (best[:, 0] == other[:, 0]).double().mean().item(),
        "top5_overlap": (best[:, :, None] == other[:, None]).any(2).double().mean().item(),
        "signal_to_noise_db": decibel,
    }


def _nodes(path: Path, layers: tuple[str, ...]) -> list[str]:
    """Names of the nodes that belong to the named parts; the exporter wrote down whose they are."""
    import ast

    import onnx

    if not layers:
        return []
    found: dict[str, list[str]] = {layer: [] for layer in layers}
    for node in onnx.load(os.fspath(path), load_external_data=False).graph.node:
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        modules = [scope for scope in ast.literal_eval(scopes) if scope]
        for layer in layers:
            if any(
                m == layer or m.startswith(layer + ".") or (layer == "se" and "se" in m.split(".")) for m in modules
            ):
                found[layer].append(node.name)
    for layer, nodes in found.items():
        if not nodes:
            raise ValueError(f"float_layers: there is nothing to quantise in {layer!r}")
    return sorted({name for nodes in found.values() for name in nodes})
