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

from .export import ExportError, _aside, _for_export, _need, _quietly, export_model, onnx_session
from .images import Preprocessing
from .model import EfficientNet
from .scaling import positive_int

METHODS = ("minmax", "percentile")


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
        folder: searched to the bottom; what is no picture, or a damaged one, is passed over.
        preprocessing: as the network wants them; ``model.preprocess`` of one with weights.
        limit: how many at most.

    Raises:
        ImportError: Pillow or torchvision is missing.
        ValueError: there is no folder, or no picture in it that can be read.
    """
    _need("torchvision", "reading pictures")
    image_module = _need("PIL.Image", "reading pictures")
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give one with pictures to calibrate on")
    limit = positive_int("limit", limit)
    endings, images = set(image_module.registered_extensions()), []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in endings):
        try:
            images.append(preprocessing(path))
        except (OSError, ValueError):
            continue
        if len(images) == limit:
            break
    if not images:
        raise ValueError(f"no picture in {folder} can be read: calibration needs a few dozen")
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
        path: the file, ending in ``.onnx``.
        images: (N, in_channels, H, W), prepared as in training; a few dozen that are like
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
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        raise ValueError("images must be a tensor of shape (N, channels, height, width), N at least 1")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"an eight-bit network is an ONNX file: {path.name!r} should end in .onnx")
    _need("onnxruntime", "quantisation")
    _need("onnx", "quantisation")
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            # All of one size: the histograms' calibrators want that.
            self.batches = iter(images.float().split(max(n for n in range(1, 9) if len(images) % n == 0)))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch.numpy()}

    reference = _for_export(model)
    with tempfile.TemporaryDirectory() as folder, _aside(path) as aside:
        plain, prepared = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        exported = export_model(reference, plain, resolution=images.shape[-1])

        _quietly(
            "quantisation",
            lambda: quant_pre_process(os.fspath(plain), os.fspath(prepared), skip_symbolic_shape=True),
        )
        left_alone = _nodes(prepared, tuple(float_layers))
        _quietly(
            "quantisation",
            lambda: quantize_static(
                os.fspath(prepared), os.fspath(aside), Reader(),
                quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                calibrate_method={
                    "minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile,
                }[method],
                nodes_to_exclude=left_alone,
            ),
        )  # fmt: skip
        session = onnx_session(aside)
        with torch.inference_mode():
            expected = torch.cat([reference(part.float()) for part in images.split(8)])
        got = torch.cat(
            [torch.from_numpy(session.run(None, {"images": p.float().numpy()})[0]) for p in images.split(3)]
        )
        if got.shape != expected.shape or not got.isfinite().all():
            raise ExportError(f"the eight-bit file gives {tuple(got.shape)}, or numbers that are not finite")
    return Quantized(
        str(path), path.stat().st_size, exported.bytes, len(images), **agreement(expected, got),
        largest_difference=((got - expected).abs().max() / expected.abs().max()).item(),
    )


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
            raise ValueError(f"float_layers: the network has no part {layer!r}")
    return sorted({name for nodes in found.values() for name in nodes})
