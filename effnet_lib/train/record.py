"""The record of a run: one JSON file that says what ran, on what, and what came out.

The book draws its figures from these files. ``SCHEMA`` is JSON Schema; :func:`check_record`
understands the part of it that is used here, so that reading a record needs no package.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ..files import expand, find_file, read_text, shown
from .errors import ConfigError

_LARGEST = 2**26  # bytes; the confusion of a thousand classes is a million numbers

_TEXT, _NUMBER, _COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_OPTIONAL = {"type": ["number", "null"]}
_LEFT_OUT = ("skipped", "lost", "replaced")


def _object(required: dict, optional: dict | None = None) -> dict:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
        "additionalProperties": False,
    }


#: The JSON schema of a record.
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Record of a training run, version 1",
} | _object(
    {
        "schema": {"type": "string", "enum": ["effnet-record-1"]},
        "command": _TEXT,
        "commit": {"type": ["string", "null"]},
        "started": _TEXT,
        "finished": _TEXT,
        "seed": _COUNT,
        "config": {"type": "object", "required": ["recipe"], "properties": {"recipe": _TEXT}},
        "dataset": _object(
            {
                "id": _TEXT, "sha256": _TEXT, "hash_of": _TEXT, "classes": {"type": "array", "items": _TEXT},
                "train": _COUNT, "validation": _COUNT, "test": _COUNT,
            },
            {"multi_label": {"type": "boolean"}, "train_per_class": {"type": "array", "items": _COUNT}}
            | {name: _object({"count": _COUNT, "names": {"type": "array", "items": _TEXT}}) for name in _LEFT_OUT},
        ),
        "model": _object(
            {
                "variant": _TEXT, "parameters": _COUNT, "multiply_adds": {"type": ["integer", "null"], "minimum": 0},
                "resolution": _COUNT, "output_stride": _COUNT,
            }
        ),
        "device": _object(
            {"name": _TEXT, "type": _TEXT, "processes": _COUNT, "threads": _COUNT, "precision": _TEXT}
        ),
        "versions": {"type": "object"},
        "epochs": {
            "type": "array",
            "items": _object(
                {
                    "epoch": _COUNT, "step": _COUNT, "resolution": _COUNT, "lr": _NUMBER,
                    "train_loss": _NUMBER, "validation_loss": _OPTIONAL, "validation_accuracy": _OPTIONAL,
                    "images_per_second": _NUMBER, "seconds": _NUMBER,
                },
                {"validation_mean_average_precision": _SHARE, "validation_f1": _SHARE},
            ),
        },
        "images_per_second": _NUMBER,
        "wall_time_s": _NUMBER,
        "peak_memory_bytes": _COUNT,
        "resumed": _COUNT,
        "final": _object(
            {
                "test_accuracy": _SHARE, "test_loss": _NUMBER,
                "validation_accuracy": _SHARE, "validation_loss": _NUMBER,
                "test_accuracy_without_ema": _SHARE, "validation_accuracy_without_ema": _SHARE,
                "best_epoch": _COUNT, "best_validation_accuracy": _SHARE,
                "per_class_accuracy": {"type": "array", "items": {"type": ["number", "null"]}},
                "confusion": {"type": "array", "items": {"type": "array", "items": _COUNT}},
            },
            {
                **{
                    f"{split}_{metric}{which}": _SHARE
                    for split in ("validation", "test")
                    for metric in ("mean_average_precision", "f1")
                    for which in ("", "_without_ema")
                },
                "best_validation_mean_average_precision": _SHARE,
                "per_class_average_precision": {"type": "array", "items": {"type": ["number", "null"]}},
            },
        ),
    },
    {"class_weights": {"type": "array", "items": {"type": "number", "minimum": 0}}},
)  # fmt: skip

_KINDS = {
    "object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "null": type(None), "boolean": bool,
}  # fmt: skip


def check_record(record, schema: dict = SCHEMA, where: str = "record") -> None:
    """Compare ``record`` with the schema.

    Raises:
        ConfigError: they differ; the message names the place, what stands there and what should.
    """
    kinds = schema.get("type", list(_KINDS))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(record, bool) != (kinds == ["boolean"]) or not isinstance(record, tuple(_KINDS[kind] for kind in kinds)):
        raise ConfigError(f"{where} must be {' or '.join(kinds)}, got {record!r:.60}")
    if "enum" in schema and record not in schema["enum"]:
        raise ConfigError(f"{where} must be one of {schema['enum']}, got {record!r:.60}")
    if isinstance(record, (int, float)) and not isinstance(record, bool):
        low, high = schema.get("minimum", -float("inf")), schema.get("maximum", float("inf"))
        if not low <= record <= high:
            raise ConfigError(f"{where} must lie between {low} and {high}, got {record}")
    if isinstance(record, dict):
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in record:
                raise ConfigError(f"{where}.{name} is missing")
        for name, value in record.items():
            if name in properties:
                check_record(value, properties[name], f"{where}.{name}")
            elif schema.get("additionalProperties", True) is False:
                raise ConfigError(f"{where}.{name} is not a field of a record")
    if isinstance(record, list) and "items" in schema:
        for i, value in enumerate(record):
            check_record(value, schema["items"], f"{where}[{i}]")


def read_record(path: str | Path) -> dict:
    """The record in a file, or in the directory of a run; checked.

    Raises:
        ConfigError: there is none, or it is not one.
    """
    path = expand(path)
    if path.is_dir():
        path = path / "record.json"
    path = find_file(path, "the record of a run", ConfigError)
    text = read_text(path, _LARGEST, ConfigError)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    try:
        check_record(record)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return record


def find_records(places: list[str]) -> list[tuple[str, dict]]:
    """(name, record) of every record in the files and folders, searched to the bottom.

    JSON files that are no records are passed over in folders, and are errors if named.
    """
    found = []
    for place in map(expand, places):
        try:
            there = place.exists()
        except OSError as error:  # a name that is too long
            raise ConfigError(f"there is no {shown(place, 80)}: {error.strerror}") from None
        if not there:
            raise ConfigError(f"there is no {shown(place)}")
        if place.is_file() or (place / "record.json").exists():
            found.append((str(place), read_record(place)))
            continue
        for path in sorted(place.rglob("*.json")):
            try:
                found.append((str(path.relative_to(place)), read_record(path)))
            except ConfigError:
                continue
    return found


def compare(records: list[tuple[str, dict]]) -> list[tuple]:
    """Rows for a table: one a record, best test accuracy first.

    Of a run with several labels for an image it is the mean average precision, marked as mAP.
    """
    ordered = sorted(records, key=lambda pair: -main_metric(pair[1])[0])
    return [
        (
            name, r["config"]["recipe"], r["model"]["variant"], r["dataset"]["id"], r["seed"],
            *(f"{100 * value:.2f}{unit}" for value, unit in (main_metric(r), main_metric(r, "validation"))),
            len(r["epochs"]), f"{r['images_per_second']:.0f}", f"{r['wall_time_s']:.0f}", r["device"]["name"],
        )
        for name, r in ordered
    ]  # fmt: skip


def main_metric(record: dict, split: str = "test") -> tuple[float, str]:
    """What a run is judged by, from 0 to 1, and its unit: accuracy, or the mean average precision."""
    if record["dataset"].get("multi_label"):
        return record["final"][f"{split}_mean_average_precision"], " mAP"
    return record["final"][f"{split}_accuracy"], ""


COLUMNS = (
    "name", "recipe", "variant", "data", "seed", "test %", "validation %",
    "epochs", "images/s", "seconds", "device",
)  # fmt: skip


def images_left_out(*names: Iterable[str], limit: int = 20) -> dict:
    """What a record's ``dataset`` says of images that could not be read, are gone, or became others.

    Args:
        names: of images that were skipped, lost and replaced, in this order.
        limit: the record has the first so many; the number is that of all.

    >>> images_left_out(["a.png", "b.png"], [], [], limit=1)
    {'skipped': {'count': 2, 'names': ['a.png']}}
    """
    pairs = zip(_LEFT_OUT, map(list, names))
    return {what: {"count": len(n), "names": [shown(name) for name in n[:limit]]} for what, n in pairs if n}


# What a record says about the machine and the code


def device_name(device) -> str:
    """Such as ``NVIDIA A100-SXM4-40GB`` or the name of the processor."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if sys.platform == "darwin":  # one chip: the name of the processor is that of its GPU, too
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory(device) -> int:
    """Most bytes in use so far: of tensors on a CUDA GPU, of the process on a CPU.

    On Apple's GPU torch counts no peak: what its driver holds now, which it seldom gives back.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Versions of what took part."""
    out = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy", "timm", "scikit-learn", "onnx", "onnxruntime", "openvino"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    from .. import __version__

    return out | {"effnet_lib": __version__}


def commit() -> str | None:
    """The commit of the library's source, ``-dirty`` if files differ; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not some other repository around us
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def command_line() -> str:
    """The command as it could be typed again."""
    import shlex

    name = os.path.basename(sys.argv[0])
    start = "python -m effnet_lib" if name == "__main__.py" else name
    return " ".join([start, *map(shlex.quote, sys.argv[1:])])
