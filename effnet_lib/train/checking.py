"""Images checked before a run needs them: every file is decoded once, and remembered while it stays as it is.

What was found good is kept as one digest per file, of its path, size, time of change, and the versions of
this check and of Pillow. A file that changes in one of them is decoded again.
"""

import contextlib
import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import files
from ..files import shown
from ..images import read_image
from .config import count_cores
from .errors import ReadingError

VERSION = 1  # of the check: raise it when another kind of image is refused

_CHUNK = 2048  # images between two looks at the clock
_BYTES = 16  # of a digest
_HEAD = b"effnet checked images 1\n"


class BadImages(ReadingError):
    """Images that cannot be read; ``reasons`` by path, where they are known."""

    def __init__(self, message: str, reasons: dict[str, str] | None = None):
        super().__init__(message)
        self.reasons = reasons or {}


def check_images(
    paths: Iterable[str], memory: Path | None = None, progress=None, tick: Callable[[], object] | None = None
) -> dict[str, str]:
    """Decode every image, in parallel, and return what is wrong with the bad ones.

    Args:
        paths: of the images.
        memory: file that keeps what was found good; None, or one that cannot be written, keeps nothing.
        progress: of the run (``Progress``), which shows how far the check is.
        tick: called every few seconds, so that other processes know that this one is at work.

    Returns:
        Path to reason, in the order of ``paths``; empty if all are good.
    """
    from PIL import Image

    Image.init()  # loads its formats: once, not in every thread
    keys = {path: _key(path) for path in paths}
    known = _remembered(memory)
    good = {key for key in keys.values() if key in known}
    waiting = [path for path, key in keys.items() if key is None or key not in known]
    bad: dict[str, str] = {}
    if not waiting:
        return bad
    saved = time.monotonic()
    counting = (
        progress.counting(len(waiting), "images checked")
        if progress
        else contextlib.nullcontext(lambda n: None)
    )
    # Each read silences Pillow's warnings, which is no matter of one thread: what was before comes back here.
    with counting as count, warnings.catch_warnings(), ThreadPoolExecutor(min(16, count_cores())) as pool:
        try:
            for start in range(0, len(waiting), _CHUNK):
                chunk = waiting[start : start + _CHUNK]
                for path, reason in zip(chunk, pool.map(find_fault, chunk)):
                    count(1)
                    if reason is None:
                        good.add(keys[path])
                    else:
                        bad[path] = reason
                if tick:
                    tick()
                if time.monotonic() - saved > 30:
                    _remember(memory, good)
                    saved = time.monotonic()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C: what waits is not begun
            _remember(memory, good)
    return bad


def find_fault(path: str) -> str | None:
    """Why the image cannot be read, in one line that names it; None if it can."""
    try:
        read_image(path)
    except ValueError as error:
        return str(error)
    return None


def describe_bad(bad: dict[str, str], total: int, advice: str) -> str:
    """One line for an error: what cannot be read, the first few by name, and what to do.

    >>> describe_bad({"a.png": "a.png is not an image that Pillow can read"}, 9, "remove it")
    'the image a.png cannot be read (it is not an image that Pillow can read): remove it'
    """
    first, *others = [(shown(path), _without_name(path, reason)) for path, reason in list(bad.items())[:5]]
    text = "the image {} cannot be read ({})".format(*first)
    if others:
        more = ", ".join("{} ({})".format(*other) for other in others) + ", …" * (len(bad) > 5)
        text += f", nor can {len(bad) - 1:,} more of {total:,}: {more}"
    return f"{text}: {advice}"


def _without_name(path: str, reason: str) -> str:
    reason = shown(reason, 400)
    if not reason.startswith(name := shown(path)):
        return reason
    return ("it" + reason.removeprefix(name)).removeprefix("it cannot be read as an image: ")


def memory_of(folder: Path, root: Path) -> Path:
    """The file in ``folder`` that keeps what was found good under ``root``."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return folder / "checked" / name


def forget(memory: Path | None) -> None:
    """Check all again next time: a file was bad that had been found good."""
    if memory is not None:
        with contextlib.suppress(OSError):
            memory.unlink(missing_ok=True)


def _key(path: str) -> bytes | None:
    """A digest of all that the check depends on; None where there is no file."""
    import PIL

    try:
        status = os.stat(path)
    except OSError:
        return None
    parts = (VERSION, PIL.__version__, os.fsencode(os.path.abspath(path)), status.st_size, status.st_mtime_ns)
    return hashlib.blake2b(repr(parts).encode(), digest_size=_BYTES).digest()


def _remembered(memory: Path | None) -> set[bytes]:
    if memory is None:
        return set()
    try:
        content = memory.read_bytes()
    except OSError:
        return set()
    body = content[len(_HEAD) :]
    if not content.startswith(_HEAD) or len(body) % _BYTES:
        return set()
    return {body[i : i + _BYTES] for i in range(0, len(body), _BYTES)}


def _remember(memory: Path | None, good: set[bytes]) -> None:
    if memory is None or not good:
        return
    with contextlib.suppress(OSError):  # without a memory the next run checks again
        memory.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(memory, _HEAD + b"".join(sorted(good)))
