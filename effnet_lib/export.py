"""Networks for other runtimes: written aside, run, compared, and only then put in place.

    export_model(model, "b0.onnx")

The formats are ONNX, ``torch.export``'s program, and safetensors, which holds weights alone
(``build_model(weights="b0.safetensors")`` makes the network again; those of an optimised one
fit another optimised one, through ``load_state_dict``).
"""

import contextlib
import copy
import io
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from .deploy import InferenceNet
from .files import aside, check_target
from .layers import Conv2dSame
from .model import EfficientNet
from .packages import need
from .scaling import positive_int
from .variants import Variant
from .weights import count_classes, encode_safetensors, encode_weights

T = TypeVar("T")

#: Format and the suffix that stands for it.
FORMATS = {"onnx": ".onnx", "exported-program": ".pt2", "safetensors": ".safetensors"}
#: How far outputs may lie from the network's own, relative to the largest of them.
TOLERANCE = 1e-4

# Of ONNX: what PyTorch's exporter writes at least, and to what _lower_opset can go from there.
_WRITTEN_OPSET, _LOWEST_OPSET = 18, 13
_LARGEST_SIDE = 2**14  # of an image, in pixels; the first feature map of B0 then has 8.6 GB


class ExportError(RuntimeError):
    """The file could not be made, or did not give the network's outputs; nothing was kept."""

    exit_status = 1  # of a command: its arguments were right


@dataclass(frozen=True)
class Exported:
    """What :func:`export_model` wrote.

    Attributes:
        path, format, bytes: of the file.
        checked_by: the runtime that ran it, with its version; None if it was not there.
        largest_difference: between the outputs of the file and of the network, relative to
            the largest output, over all inputs tried; None where nothing was run.
        inputs: shapes of the inputs tried.
    """

    path: str
    format: str
    bytes: int
    checked_by: str | None
    largest_difference: float | None
    inputs: tuple[tuple[int, ...], ...]


def export_model(
    model: EfficientNet,
    path: str | Path,
    format: str | None = None,
    *,
    resolution: int | tuple[int, int] | None = None,
    dynamic_size: bool = False,
    batch_size: int | None = None,
    opset: int | None = None,
) -> Exported:
    """Write ``model`` to ``path``, read it back, run it beside the original, and keep it if they agree.

    The batch is free unless ``batch_size`` fixes it; ``images`` and ``logits`` are the names in ONNX
    (``embeddings`` where the network has no classifier). The device and the mode of ``model`` do not change; what is written computes on any device.

    Args:
        model: a network of :func:`build_model`, or one optimised for inference.
        path: the file; its folder exists, and ``~`` is your home directory.
        format: ``"onnx"``, ``"exported-program"`` or ``"safetensors"``; None to go by the suffix.
        resolution: side of the images in pixels, or (height, width), each at least the output
            stride; the variant's own if None.
        dynamic_size: leave height and width free as well; with symmetric padding only, and not
            for safetensors, which hold no computation.
        batch_size: the only number of images that the file takes; None leaves it free. Some runtimes
            for small devices want it fixed, most often to 1.
        opset: version of ONNX's operators, for runtimes that know no newer one; None leaves the choice
            to PyTorch. For ONNX only.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.
        ImportError: a package that the format needs is missing; the message says which.
        ExportError: the file's outputs differ, or the exporter failed.
        OSError: the file cannot be written. What stood there before is untouched.
    """
    if not isinstance(model, EfficientNet):
        raise TypeError(f"expected a network of build_model, got {type(model).__name__}")
    path, format = check_output(path, format, dynamic_size, batch_size, opset)
    height, width = check_size(model.variant.resolution if resolution is None else resolution, model.variant)
    if dynamic_size and any(isinstance(m, Conv2dSame) or getattr(m, "same", False) for m in model.modules()):
        raise ValueError("dynamic_size needs symmetric padding: SAME pads by the size of the image")

    reference = _for_export(model)
    shapes = [(batch, model.in_channels, height, width) for batch in ([batch_size] if batch_size else [1, 3])]
    if dynamic_size:
        shapes.append((batch_size or 2, model.in_channels, height + 32, width + 16))
    free = {} if batch_size else {0: torch.export.Dim("batch", min=1)}
    if dynamic_size:
        free |= {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    example = torch.randn(batch_size or 2, *shapes[-1][1:])
    write, open_file = {
        "onnx": (_write_onnx, _run_onnx),
        "exported-program": (_write_program, _run_program),
        "safetensors": (_write_safetensors, _run_safetensors),
    }[format]
    with aside(path) as new:
        _quietly(format, lambda: write(reference, new, example, free, opset))
        runtime, run = _quietly(format, lambda: open_file(new, reference))
        difference = _quietly(format, lambda: _compare(reference, run, shapes)) if run else None
    return Exported(str(path), format, path.stat().st_size, runtime, difference, tuple(shapes) if run else ())


def check_output(
    path: str | Path,
    format: str | None = None,
    dynamic_size: bool = False,
    batch_size: int | None = None,
    opset: int | None = None,
) -> tuple[Path, str]:
    """Path and format as :func:`export_model` takes them, before there is a network to write.

    Raises:
        TypeError, ValueError: as for :func:`export_model`.
    """
    path = check_target(path)
    if format is None:
        format = {suffix: name for name, suffix in FORMATS.items()}.get(path.suffix.lower())
        if format is None:
            raise ValueError(f"no format for {path.name!r}: give one of {', '.join(FORMATS)}")
    if not isinstance(format, str) or format not in FORMATS:
        raise ValueError(f"unknown format {format!r:.60}: choose one of {', '.join(FORMATS)}")
    if not isinstance(dynamic_size, bool):
        raise TypeError(f"dynamic_size must be True or False, got {dynamic_size!r:.60}")
    if dynamic_size and format == "safetensors":
        raise ValueError("dynamic_size is for onnx and exported-program: safetensors hold weights, which fit any size")
    if batch_size is not None:
        positive_int("batch_size", batch_size)
        if format == "safetensors":
            raise ValueError("batch_size is for onnx and exported-program: safetensors hold weights, which fit any batch")
    if opset is not None:
        if format != "onnx":
            raise ValueError(f"opset is for onnx: {format} has no version of ONNX's operators")
        latest = need("onnx", "ONNX").defs.onnx_opset_version()
        if not _LOWEST_OPSET <= positive_int("opset", opset) <= latest:
            raise ValueError(f"opset must lie between {_LOWEST_OPSET} and {latest}, the latest of this onnx, got {opset}")
    return path, format


def check_size(resolution: int | tuple[int, int], variant: Variant) -> tuple[int, int]:
    """Height and width of the images in pixels, checked.

    Raises:
        TypeError, ValueError: as for :func:`export_model`.
    """
    sides = resolution if isinstance(resolution, (tuple, list)) else (resolution, resolution)
    if len(sides) != 2:
        raise ValueError(f"resolution must be a side or (height, width), got {len(sides)} numbers")
    for side in sides:  # the last feature map keeps a pixel
        if positive_int("resolution", side, variant.output_stride) > _LARGEST_SIDE:
            raise ValueError(f"resolution must be at most {_LARGEST_SIDE} pixels, got {side}")
    return tuple(sides)


def _for_export(model: EfficientNet) -> EfficientNet:
    """A copy on the CPU, in eval mode and single precision.

    Raises:
        ValueError: the network has shapes only, and no numbers.
    """
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise ValueError("the model is on the meta device, where weights have no numbers: build it on another one")
    with torch.inference_mode(False):
        return copy.deepcopy(model).cpu().float().eval().requires_grad_(False)


def _quietly(format: str, do: Callable[[], T]) -> T:
    """What an exporter or a runtime gives, without its chatter, and with its errors in one line."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return do()
    except (OSError, ImportError, MemoryError, ExportError):
        raise
    except Exception as error:  # exporters raise what they like
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ExportError(f"{format}: {type(error).__name__}: {reason}") from error
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _compare(model: EfficientNet, run: Callable[[Tensor], Tensor], shapes) -> float:
    """The largest relative difference between ``run`` and ``model``.

    Raises:
        ExportError: it is too large.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for shape in shapes:
        images = torch.randn(shape, generator=generator)
        with torch.inference_mode():
            expected, got = model(images), run(images)
        if got.shape != expected.shape:
            raise ExportError(f"for images {shape} the file gives {tuple(got.shape)}, not {tuple(expected.shape)}")
        scale = expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)  # a new head answers zeros
        difference = ((got - expected).abs().max() / scale).item()
        if not difference <= TOLERANCE:  # a NaN is no agreement either
            raise ExportError(
                f"for images {shape} the file's outputs differ by {difference:.1e} of the largest, "
                f"more than {TOLERANCE:.0e}"
            )
        largest = max(largest, difference)
    return largest


def _write_onnx(model: EfficientNet, path: Path, example: Tensor, free: dict, opset: int | None) -> None:
    onnx = need("onnx", "ONNX")
    need("onnxscript", "ONNX")
    program = torch.onnx.export(
        model, (example,), dynamo=True, verbose=False, opset_version=opset and max(opset, _WRITTEN_OPSET),
        input_names=["images"], output_names=["logits" if count_classes(model) else "embeddings"],
        dynamic_shapes=(free or None,),
    )  # fmt: skip
    program.save(path, external_data=False)
    if opset is not None and opset < _WRITTEN_OPSET:
        onnx.save(_lower_opset(onnx, onnx.load(path), opset), path)


def _lower_opset(onnx, model, opset: int):
    """The network in operators of version 13 to 17, which differ from those of 18 in the averages alone.

    ONNX's own converter knows no way from 14 to 13, and leaves an attribute that 17 does not have.
    """
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "ReduceMean":
            images, axes = node.input
            del node.input[1:]
            kept = [attribute for attribute in node.attribute if attribute.name == "keepdims"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("axes", numbers[axes].tolist())])
    (used,) = (known for known in model.opset_import if known.domain in ("", "ai.onnx"))
    used.version = opset
    onnx.checker.check_model(model, full_check=True)
    return model


def _run_onnx(path: Path, model: EfficientNet):
    try:
        import onnxruntime
    except ImportError:
        return None, None
    session = onnx_session(path)
    name = session.get_inputs()[0].name
    return (
        f"onnxruntime {onnxruntime.__version__}",
        lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0]),
    )


def onnx_session(path: str | Path, threads: int | None = None):
    """An ONNX Runtime session on the CPU, with as many threads as torch has unless told."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


def _write_program(model: EfficientNet, path: Path, example: Tensor, free: dict, opset: None) -> None:
    program = torch.export.export(model, (example,), dynamic_shapes=(free or None,))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())


def _run_program(path: Path, model: EfficientNet):
    with open(path, "rb") as file:
        program = torch.export.load(io.BytesIO(file.read())).module()
    return f"torch {torch.__version__}", program


def _write_safetensors(model: EfficientNet, path: Path, example: Tensor, free: dict, opset: None) -> None:
    if not isinstance(model, InferenceNet):
        path.write_bytes(encode_weights(model))
        return
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    path.write_bytes(encode_safetensors(state, optimized=model.variant.name))


def _run_safetensors(path: Path, model: EfficientNet):
    import safetensors
    from safetensors.torch import load

    other = copy.deepcopy(model)
    for tensor in other.state_dict().values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))  # every number must come from the file
    other.load_state_dict(load(path.read_bytes()))
    return f"safetensors {safetensors.__version__}", other
