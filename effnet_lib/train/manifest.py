"""Which image files a run uses, and for what: written when it begins, and looked at when it goes on.

Files get lost, are replaced, or turn out to be damaged while a run lasts. With this list it goes on: every
image stays in the split it was in, so that no test image is ever trained on, and the number of training
images stays the same, since another one of the class takes the place of one that is gone.
"""

import gzip
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from ..files import shown
from .errors import ConfigError, RunError

Label = int | tuple[int, ...]

#: Its name in the folder of a run.
NAME = "files.json.gz"

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Manifest:
    """The images of a run that was begun.

    Attributes:
        sha256, hash_of, classes, mean, std: of the data set, as in :class:`DataSet`.
        splits: by ``train``, ``validation`` and ``test``, a row for each image, in order: its name (the path
            from the folder of the data set on), its label, and a key that changes with its contents. Where an
            image has several labels, the label is a tuple of 0 and 1 for each class.
        skipped: names of the images that were left out, as they could not be read.
    """

    sha256: str
    hash_of: str
    classes: tuple[str, ...]
    mean: list[float]
    std: list[float]
    splits: dict[str, list[tuple[str, Label, str]]]
    skipped: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """As compressed JSON; the same bytes for the same content."""
        text = json.dumps(self.__dict__, separators=(",", ":"))
        return gzip.compress(text.encode(), compresslevel=4, mtime=0)


@dataclass(frozen=True)
class Changes:
    """How the files that are there differ from those that a run began with.

    Attributes:
        rows: by split, the label of each image and the name of the file it is read from now.
        lost: names of files that are gone, or cannot be read any more.
        replaced: names of files with other contents.
        new: number of files that the run did not begin with, and leaves alone.
    """

    rows: dict[str, list[tuple[Label, str]]]
    lost: tuple[str, ...]
    replaced: tuple[str, ...]
    new: int


def read_manifest(path: Path) -> Manifest | None:
    """The list in a file; None where there is none.

    Raises:
        RunError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        fields = json.loads(gzip.decompress(path.read_bytes()))
        fields["splits"] = {
            part: [(name, tuple(label) if isinstance(label, list) else label, key) for name, label, key in fields["splits"][part]]
            for part in SPLITS
        }
        fields |= {name: tuple(fields[name]) for name in ("classes", "skipped")}
        return Manifest(**fields)
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"{shown(path)} cannot be read ({reason}): remove it; the run then goes on if its data are as "
            "they were"
        ) from None


def reconcile(manifest: Manifest, present: dict[str, str], classes: tuple[str, ...]) -> Changes:
    """Go on with the images of ``manifest`` as far as they are there.

    In ``train`` the next image of the same class takes the place of one that is gone; in ``validation`` and
    ``test``, which are counted image by image, it is left out.

    Args:
        manifest: of the run.
        present: name and key of every image that is there and can be read.
        classes: of the data that are there.

    Raises:
        ConfigError: so much has changed that these are other data.
    """
    rows = [row for part in SPLITS for row in manifest.splits[part]]
    lost = tuple(name for name, _, _ in rows if name not in present)
    replaced = tuple(name for name, _, key in rows if name in present and present[name] != key)
    new = len(present.keys() - {name for name, _, _ in rows} - set(manifest.skipped))
    what = f"of the {len(rows):,} images it was begun with {len(lost):,} are gone and {len(replaced):,} have other contents"
    if classes != manifest.classes:
        what = f"it was begun with {len(manifest.classes)} classes, and there are {len(classes)}, or under other names"
    if classes != manifest.classes or 2 * len(lost) > len(rows) or len(replaced) > max(3, len(rows) / 10):
        raise ConfigError(
            f"the data have changed: {what}. Give the run its data back, or begin another with a new --output"
        )
    use: dict[str, list[tuple[Label, str]]] = {}
    for part in SPLITS:
        there = [(label, name) for name, label, _ in manifest.splits[part] if name in present]
        use[part] = there if part != "train" else _fill(manifest, present)
        if not use[part]:
            raise ConfigError(
                f"the data have changed: no {part} image is left. Begin another run with a new --output"
            )
    return Changes(use, lost, replaced, new)


def _fill(manifest: Manifest, present: dict[str, str]) -> list[tuple[Label, str]]:
    """The training images, with the next one of the class in the place of each that is gone.

    Where images have several labels, it is the next one with the same labels, or else any other.

    Raises:
        ConfigError: none of a class is left, or none at all.
    """
    rows = manifest.splits["train"]
    there = [(label, name) for name, label, _ in rows if name in present]
    by_class: dict[Label, list[int]] = {}
    for i, (_, label, _) in enumerate(rows):
        by_class.setdefault(label, []).append(i)
    out: list[tuple[Label, str]] = [(label, name) for name, label, _ in rows]
    for label, where in by_class.items():
        following = next((rows[i][0] for i in where if rows[i][0] in present), None)  # after the last, the first
        if following is None and isinstance(label, tuple) and there:
            for i, other in zip(where, itertools.cycle(there)):
                out[i] = other
        elif following is None:
            which = f" of the class {manifest.classes[label]!r}" if isinstance(label, int) else ""
            raise ConfigError(
                f"the data have changed: no training image{which} is left. Begin another run with a new --output"
            )
        else:
            for i in reversed(where):
                if rows[i][0] in present:
                    following = rows[i][0]
                out[i] = label, following
    return out
