"""Finding files, and writing them so that they survive a crash."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a crash leaves the old file or the new, never a part.

    Raises:
        OSError: the disk is full, or the folder cannot be written to; the old file is whole.
    """
    aside = path.with_name(path.name + ".part")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself is on the disk only now
        finally:
            os.close(folder)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def find_file(path: str | os.PathLike, wanted: str, kind: type[ValueError] = ValueError) -> Path:
    """The path, if there is a file.

    Raises:
        ValueError: there is none, in words; or a subclass, ``kind``.
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        what = "a directory" if path.is_dir() else "not a file" if path.exists() else None
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        raise kind(f"there is no file {str(path)[:80]!r}: {getattr(error, 'strerror', None) or error}") from None
    if what:
        raise kind(f"{path} is {what}: give {wanted}")
    raise kind(f"there is no file {path}")
