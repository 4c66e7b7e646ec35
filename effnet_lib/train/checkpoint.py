"""Checkpoints that survive: written aside, flushed, renamed, and known by their hash.

A checkpoint is one file, ``step-00000120.3fa9c1d21b7e4a05.pt``: the step, and the first 16
hexadecimal digits of the SHA-256 of its bytes. Since the name appears in one rename, a file
under such a name is either whole or has been damaged later, and the hash tells which.
"""

import hashlib
import io
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from .. import files
from .errors import RunError

_NAME = re.compile(r"step-(\d+)\.([0-9a-f]{16})\.pt")


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a crash leaves the old file or the new, never a part.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    try:
        files.write_atomically(path, content)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}. What was saved before is whole: "
            "make room, then go on with --resume"
        ) from error


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of every checkpoint, the latest first."""
    found = [(int(m[1]), p) for p in folder.glob("step-*.pt") if (m := _NAME.fullmatch(p.name))]
    return sorted(found, key=lambda pair: (pair[0], pair[1].stat().st_mtime_ns), reverse=True)


def save_checkpoint(folder: Path, step: int, state: dict, keep: int, best_step: int | None) -> Path:
    """Write ``state`` and remove old checkpoints, but for the last ``keep`` and the best.

    Raises:
        RunError: it cannot be written; the older ones are still there.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:08d}.{hashlib.sha256(content).hexdigest()[:16]}.pt"
    write_atomically(path, content)
    for old_step, old in list_checkpoints(folder)[keep:]:
        if old_step != best_step and old != path:
            old.unlink(missing_ok=True)
    for leftover in folder.glob("*.part"):  # of a run that was killed while it wrote
        leftover.unlink(missing_ok=True)
    return path


def load_latest(folder: Path, warn=print) -> dict | None:
    """The state of the latest whole checkpoint; None where there is no checkpoint.

    Damaged ones are named through ``warn`` and passed over.

    Raises:
        RunError: there are checkpoints and all are damaged, or one holds more than data.
    """
    for state in load_checkpoints(folder, warn=warn):
        return state
    if checkpoints := list_checkpoints(folder):
        raise RunError(
            f"all {len(checkpoints)} checkpoints in {folder} are damaged: start again in another directory"
        )
    return None


def load_checkpoints(folder: Path, only_last: bool = False, warn=print) -> Iterator[dict]:
    """The states of all whole checkpoints, the latest first; damaged ones are named through ``warn``.

    Args:
        folder: the checkpoints of a run, ``RUN/checkpoints``.
        only_last: stop after the latest whole one.
        warn: called with one line for each damaged file, which is passed over.

    Yields:
        What the run saved: state dicts under ``model``, ``ema``, ``optimizer``, ``scheduler`` and ``scaler``,
        beside them ``config``, ``step``, ``history`` and the rest that resuming needs.

    Raises:
        RunError: one holds more than data.
    """
    for _, path in list_checkpoints(folder):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:16] != _NAME.fullmatch(path.name)[2]:
            warn(f"{path} is damaged (its SHA-256 does not match its name): using the one before")
            continue
        yield _load(content, path)
        if only_last:
            return


def _load(content: bytes, path: Path) -> dict:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise RunError(
            f"{path} is refused: it holds more than numbers and text, and reading it could run code"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise RunError(f"{path} is not a file of torch.save: {str(error).splitlines()[0]}") from None
