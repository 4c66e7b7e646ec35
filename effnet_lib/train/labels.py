"""Several labels for an image: ``labels.csv`` beside the images, what it must look like, and its errors.

    file,labels,split
    beach/001.jpg,sea;sky,train
    beach/002.jpg,,train
    city/17.jpg,"sky;street, wet",test

``file`` is relative to the folder; labels are separated by ``;`` or ``|``, and an image may have none.
``split`` (train, validation or test) may be left out: images for testing and validation are held out
then, in equal shares of every label.
"""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import torch
from torch import Tensor

from ..files import read_text, shown
from .config import Config
from .errors import ConfigError
from .folders import split_of

#: The file that makes a folder of images one with several labels an image.
LABELS_FILE = "labels.csv"

_LARGEST = 2**28  # bytes: some three million images
_REQUIRED, _OPTIONAL = ("file", "labels"), ("split",)
_SPLITS = {"train": "train", "val": "validation", "test": "test"}  # as folders are named, and as rows of this file are


@dataclass(frozen=True)
class Row:
    """One line of the file: an image, its labels, and the split that it belongs to, if the file says so."""

    line: int
    file: str
    labels: frozenset[str]
    split: str | None


def read_labels(root: Path, known: frozenset[str] = frozenset()) -> list[Row]:
    """The rows of ``root/labels.csv``, each checked, in their order.

    Args:
        root: the folder.
        known: names of files that a run began with: rows of those that are gone are passed over.

    Raises:
        ConfigError: it is not such a file; the message names the line, and what should stand there.
    """
    path = root / LABELS_FILE
    text = read_text(path, _LARGEST, ConfigError).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, seen, columns = [], {}, None
    while True:
        line = reader.line_num + 1  # where the row begins: quotes may hold line breaks
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ConfigError(f"{shown(path)}, line {line}: {error}: see that its quotes are closed") from None
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{shown(path)}, line {line}"
        if columns is None:
            columns = _columns(cells, where)
            continue
        if len(cells) != len(columns):
            raise ConfigError(
                f"{where}: {len(columns)} columns are expected ({','.join(columns)}), got {len(cells)}: "
                "separate labels by ; and put what holds a comma in double quotes"
            )
        cells = dict(zip(columns, cells))
        if "/".join(_parts(cells["file"].strip())) in known and not _is_file(root / cells["file"].strip()):
            continue
        row = _row(cells, root, line, where)
        if row.file in seen:
            raise ConfigError(
                f"{where}: {shown(row.file)} has a row already, in line {seen[row.file]}: give each file one row, "
                "its labels separated by ;"
            )
        seen[row.file] = line
        rows.append(row)
    if columns is None:
        raise ConfigError(f"{shown(path)} is empty: its first line must be file,labels or file,labels,split")
    if not rows:
        raise ConfigError(f"{shown(path)} names no images: give each a row with its file and its labels")
    return rows


def _columns(cells: list[str], where: str) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    unknown = [name for name in columns if name not in _REQUIRED + _OPTIONAL]
    lacking = [name for name in _REQUIRED if name not in columns]
    twice = [name for name in columns if columns.count(name) > 1]
    if unknown or lacking or twice:
        wrong = (
            f"there is no column {lacking[0]}" if lacking
            else f"the column {shown(unknown[0], 40)!r} is unknown" if unknown
            else f"the column {twice[0]} stands twice"
        )  # fmt: skip
        raise ConfigError(
            f"{where}: {wrong}: the first line must be file,labels or file,labels,split, with commas between, "
            f"and it is {shown(','.join(cells), 80)!r}. Rename the file if it is another kind of list"
        )
    return columns


def _row(cells: dict[str, str], root: Path, line: int, where: str) -> Row:
    name, split = cells["file"].strip(), cells.get("split", "").strip()
    if not name:
        raise ConfigError(f"{where}: there is no file name")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or ".." in _parts(name):
        raise ConfigError(f"{where}: {shown(name)} leads out of the folder: name files relative to {shown(root)}, without ..")
    file = name if (there := _is_file(root / name)) else "/".join(_parts(name))  # as Windows writes it
    if not (there or _is_file(root / file)):
        raise ConfigError(f"{where}: there is no file {shown(name)} in {shown(root)}: correct the row or remove it")
    if "split" in cells and split_of(split) is None:
        raise ConfigError(
            f"{where}: split must be train, validation or test, got {shown(split, 40)!r}: correct it, or leave the "
            "column out to have images held out"
        )
    labels = (label.strip() for label in cells["labels"].replace("|", ";").split(";"))
    known = frozenset(label for label in labels if label)
    return Row(line, PurePosixPath(file).as_posix(), known, _SPLITS.get(split_of(split)))


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def multi_hot(rows: Iterable[Row], classes: tuple[str, ...]) -> Tensor:
    """The labels as float32, (images, classes): 1 where an image has the label, else 0."""
    index = {name: i for i, name in enumerate(classes)}
    rows = list(rows)
    targets = torch.zeros(len(rows), len(classes))
    for i, row in enumerate(rows):
        targets[i, [index[label] for label in row.labels]] = 1.0
    return targets


def hold_out_labels(targets: Tensor, share: float, salt: int) -> tuple[Tensor, Tensor]:
    """Indices of what stays and of what is held out: ``share`` of the images of every label.

    An image counts for the rarest of its labels, so that rare ones are shared out as well as they can
    be, and of every label at least one image stays. The choice depends on ``salt`` alone, not on the run's seed.
    """
    from .data import make_seed  # which needs this module itself

    generator = torch.Generator().manual_seed(make_seed(salt))
    counts = targets.sum(0)
    rarest = torch.where(targets > 0, counts, torch.inf).argmin(1)
    stratum = torch.where(targets.sum(1) > 0, rarest, -1)
    held = []
    for label in stratum.unique().tolist():
        where = (stratum == label).nonzero().flatten()
        count = min(len(where) - 1, max(1, round(share * len(where))))
        held.append(where[torch.randperm(len(where), generator=generator)[:count]])
    stays = torch.ones(len(targets), dtype=torch.bool)
    stays[torch.cat(held)] = False
    for label in counts.nonzero().flatten().tolist():  # all of its images may have been held out for rarer ones
        if not targets[stays, label].any():
            stays[targets[:, label].nonzero()[0]] = True
    return stays.nonzero().flatten(), (~stays).nonzero().flatten()


def load_labelled(config: Config, root: Path, name: str, manifest=None, progress=None, bad=None, tick=None):
    """The data set of a folder with ``labels.csv``: classes are all labels, in alphabetical order.

    Arguments are those of :func:`effnet_lib.train.data.load_data`: images are checked and remembered as in
    trees of folders. ``test`` is the test set. Where the file names validation images and no test images, they are the
    test set, as in trees of folders, and others are held out of the training images to validate.

    Raises:
        ConfigError: the file is wrong, no image has a label, or a split would be empty or lack every label;
            or ``config.per_class`` is given.
    """
    from .data import IMAGENET, DataSet, Split, _in_memory, warn_of_skipped, without_bad

    path = root / LABELS_FILE
    if config.per_class:
        raise ConfigError("per_class takes images of each class, and with labels.csv an image can be of several: leave it out")
    begun = [name for part in manifest.splits.values() for name, _, _ in part] + [*manifest.skipped] if manifest else []
    rows = read_labels(root, frozenset(begun))
    classes = tuple(sorted(set().union(*(row.labels for row in rows))))
    if not classes:
        raise ConfigError(f"{shown(path)}: no image has a label: there is nothing to learn")
    everything = Split(multi_hot(rows, classes), None, tuple(str(root / row.file) for row in rows))
    if rows[0].split is None:
        parts = {"train": everything}
    else:
        places = {kind: [i for i, row in enumerate(rows) if row.split == kind] for kind in ("train", "validation", "test")}
        parts = {kind: everything.take(torch.tensor(place, dtype=torch.long)) for kind, place in places.items() if place}
    parts, skipped = without_bad(config, root, parts, manifest, progress, bad, tick)
    if rows[0].split is None:
        stays, held = hold_out_labels(parts["train"].labels, 0.15, salt=1)
        known, test, validation = parts["train"].take(stays), parts["train"].take(held), None
    else:
        empty = everything.take(torch.tensor([], dtype=torch.long))
        known, validation, test = (parts.get(kind, empty) for kind in ("train", "validation", "test"))
        if not len(known):
            raise ConfigError(f"{shown(path)}: no row has the split train")
        if not len(test):
            test, validation = validation, test
        if not len(test):
            raise ConfigError(f"{shown(path)}: no row has the split test or validation: mark some, or leave the column out")
        validation = validation if len(validation) else None
    if validation is None:
        stays, held = hold_out_labels(known.labels, config.validation, salt=2)
        known, validation = known.take(stays), known.take(held)
    for kind, split in (("train", known), ("validation", validation), ("test", test)):
        if not len(split) or not split.labels.any():
            raise ConfigError(
                f"{shown(path)}: of the {len(split)} images for {kind} none has a label: label more images, or say in a "
                "column split which are for what"
            )
    if unseen := [label for label, count in zip(classes, known.labels.sum(0).tolist()) if not count]:
        first = next(row.line for row in rows if unseen[0] in row.labels)
        raise ConfigError(
            f"{shown(path)}, line {first}: no training image has the label {shown(unseen[0], 80)!r}: add some, or take "
            "the label out"
        )
    splits = [known, validation, test]
    about = {
        "root": root, "skipped": skipped, "warnings": tuple(warn_of_skipped(skipped)),
        "found": (f"{len(rows):,} images in {LABELS_FILE}, labels: {', '.join(shown(c, 40) for c in classes[:20])}" + ", …" * (len(classes) > 20),),
    }  # fmt: skip
    if known.images is not None:
        return replace(_in_memory(config, name, classes, known, test, None, validation), **about)
    digest = hashlib.sha256()
    for split in splits:
        for file, labels in zip(split.paths, split.labels.tolist()):
            size = Path(file).stat().st_size
            digest.update(f"{Path(file).relative_to(root).as_posix()} {size} {labels}\n".encode())
    return DataSet(name, digest.hexdigest(), "names and sizes", classes, *splits, 3, None, *IMAGENET, **about)
