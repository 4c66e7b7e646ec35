"""Writing files that survive a crash."""

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
