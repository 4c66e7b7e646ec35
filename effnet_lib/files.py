"""Finding files, and writing them so that they survive a crash."""

import contextlib
import functools
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from .packages import need


def expand(path: str | os.PathLike) -> Path:
    """The path as a shell would take it: ``~`` is the home directory.

    Raises:
        TypeError: it is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"expected a path, got {type(path).__name__}")
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user: then it is a name like any other
        return path


def check_target(path: str | os.PathLike, kind: type[Exception] = ValueError) -> Path:
    """The path, with ``~`` expanded, if a file can be put there.

    A link leads to what it points to, as it does when a file is opened.

    Raises:
        ValueError: its folder is not there, or something stands there that is no file: a
            directory, a device, a pipe; or another error, ``kind``.
    """
    if path == "":
        raise kind("an empty name cannot be written to: give the name of a file")
    path = expand(path)
    mode = None
    try:
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        reason = None if path.parent.is_dir() else f"there is no folder {shown(path.parent)}"
        if not reason:
            with contextlib.suppress(FileNotFoundError):
                mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        reason = getattr(error, "strerror", None) or error
    if reason:
        raise kind(f"cannot write {shown(path)}: {reason}")
    if mode is not None and stat.S_ISDIR(mode):
        raise kind(f"{shown(path)} is a folder: give the name of a file")
    if mode is not None and not stat.S_ISREG(mode):
        raise kind(f"{shown(path)} is a device or a pipe, which cannot be replaced: give the name of a file")
    return path


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A new path beside ``path`` to write to, which takes its name in one step at the end.

    Nothing stays of it after an error. Its name is its own, so that two processes that write
    the same file do each other no harm: the last one to end wins.

    Raises:
        OSError: the disk is full, the folder cannot be written to, or ``path`` is no file; what
            stood there is whole.
    """
    path = check_target(path, OSError)
    new = path.with_name(f"{path.name[:40]}.{uuid.uuid4().hex}.part")
    try:
        yield new
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself is on the disk only now
        finally:
            os.close(folder)
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a crash leaves the old file or the new, never a part.

    Raises:
        OSError: as for :func:`aside`.
    """
    with aside(path) as new:
        new.write_bytes(content)


def find_file(path: str | os.PathLike, wanted: str, kind: type[ValueError] = ValueError) -> Path:
    """The path, with ``~`` expanded, if there is a file.

    Raises:
        ValueError: there is none, in words; or a subclass, ``kind``.
    """
    if path == "":
        raise kind(f"there is no file '': an empty name is that of no file or directory; give {wanted}")
    path = expand(path)
    try:
        if path.is_file():
            return path
        what = "a directory" if path.is_dir() else "not a file" if path.exists() else None
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        raise kind(f"there is no file {str(path)[:80]!r}: {getattr(error, 'strerror', None) or error}") from None
    if what:
        raise kind(f"{shown(path)} is {what}: give {wanted}")
    raise kind(f"there is no file {shown(path)}")


def find_folder(path: str | os.PathLike, wanted: str, kind: type[ValueError] = ValueError) -> Path:
    """The path, with ``~`` expanded, if there is a folder.

    Raises:
        ValueError: there is none; or a subclass, ``kind``. ``wanted`` ends the message.
    """
    folder = expand(path)
    try:
        if path != "" and folder.is_dir():
            return folder
        reason = ""
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        reason = f" ({getattr(error, 'strerror', None) or error})"
    raise kind(f"there is no folder {shown('' if path == '' else folder, 80)!r}{reason}: give {wanted}")


def read_whole(path: Path, limit: int, kind: type[ValueError] = ValueError) -> bytes:
    """The bytes of a file that is at most ``limit`` bytes long.

    Raises:
        ValueError: it is longer, or cannot be read; or a subclass, ``kind``.
        MemoryError: it does not fit into memory.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= limit:
                return file.read(size)
    except OSError as error:
        raise kind(f"{shown(path)} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise MemoryError(f"{shown(path)} does not fit into memory: it has {size:,} bytes") from None
    raise kind(f"{shown(path)} is too large: it has {size:,} bytes, and at most {limit:,} are expected")


def read_text(path: Path, limit: int, kind: type[ValueError] = ValueError) -> str:
    """The text in a file that is at most ``limit`` bytes long.

    Raises:
        ValueError, MemoryError: as for :func:`read_whole`; it is no text in UTF-8.
    """
    try:
        return read_whole(path, limit, kind).decode()
    except UnicodeDecodeError:
        raise kind(f"{shown(path)} is not text") from None


def shown(text: object, length: int = 300) -> str:
    """A name for a message: on one line, and not a long one.

    >>> shown("a\\nb")
    'a?b'
    """
    text = "".join(c if c.isprintable() else "?" for c in str(text))
    return text if len(text) <= length else f"{text[: length - 1]}…"


# Formats that Pillow names, and that are programs, films, tables, or read only with a helper of one's own.
_NOT_IMAGES = {"EPS", "PDF", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC"}


@functools.cache
def image_endings() -> frozenset[str]:
    """Endings of file names that the installed Pillow reads as images, such as ``.jpg``, in lower case.

    Raises:
        ImportError: Pillow is missing.
    """
    image = need("PIL.Image", "reading pictures")
    endings = image.registered_extensions()  # loads all of Pillow's formats
    known = {e for e, kind in endings.items() if kind in image.OPEN and kind not in _NOT_IMAGES}
    return frozenset(known | {".mpo"})  # several JPEGs in a file, which Pillow opens as JPEG
