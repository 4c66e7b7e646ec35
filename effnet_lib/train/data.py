"""Images and labels: where they come from, how they are split, and in which order they are seen.

Small sets lie on the device as bytes; large ones are read from disk by worker processes. The
order of an epoch and all randomness of an image follow from (seed, epoch, image) alone, so
that they do not depend on the number of workers or processes, or on where a run was resumed.
"""

import contextlib
import hashlib
import os
import random
import urllib.error
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, default_collate
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.transforms import v2

from ..files import shown
from ..images import Preprocessing, check_shape, resize_bytes
from ..images import read_image as read_any
from ..packages import need
from .checking import BadImages, check_images, describe_bad, find_fault, forget, memory_of
from .config import Config
from .distributed import Group
from .errors import ConfigError, RunError
from .folders import find_tree, read_tree
from .labels import LABELS_FILE, load_labelled
from .manifest import SPLITS, Manifest, reconcile
from .processes import AHEAD, METHOD, count_workers, end_workers, explain_reading, start_reading, start_worker
from .sampling import balanced_order

#: Mean and standard deviation of ImageNet's channels, in bytes, which pretrained weights expect.
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

#: Sets of one image size and at most this many bytes are kept in memory.
MEMORY_LIMIT = 2 * 2**30

#: Share of each class that is the test set, where a folder has none of its own.
TEST_SHARE = 0.15


@dataclass(frozen=True)
class Split:
    """Images with labels, as ``images`` (bytes, (N, C, H, W)), or to be read from ``paths`` where that is None.

    ``labels`` are class indices (N,), or 1 and 0 for each class, (N, classes), where an image has several.
    """

    labels: Tensor
    images: Tensor | None = None
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Split":
        """These images only."""
        images = None if self.images is None else self.images[indices]
        paths = tuple(self.paths[i] for i in indices.tolist()) if self.paths else ()
        return Split(self.labels[indices], images, paths)


@dataclass(frozen=True)
class DataSet:
    """A data set, split in three.

    Attributes:
        id: its name in records.
        sha256: of images and labels, or of file names and sizes (see ``hash_of``).
        hash_of: ``contents`` or ``names and sizes``.
        classes: names, in the order of the labels.
        train, validation, test: the test images are looked at once, at the end.
        channels: 1 or 3.
        size: side of the images in pixels; None where they differ or stream.
        mean, std: of the training images' channels, in bytes.
        root: the folder that the images' paths begin with; None for a set that is no folder.
        skipped: names of images, from ``root`` on, that cannot be read and are left out.
        lost, replaced: the same for images that a run began with, and that are gone or others now.
        found, warnings: what there is to say about the folder, a line each.

    Raises:
        ConfigError: a label is out of range, or a split is empty.
    """

    id: str
    sha256: str
    hash_of: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    channels: int
    size: int | None
    mean: list[float]
    std: list[float]
    root: Path | None = None
    skipped: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def multi_label(self) -> bool:
        """Whether an image can have several labels, or none: labels are then multi-hot, (N, classes)."""
        return self.train.labels.ndim == 2

    def __post_init__(self):
        if len(self.classes) < 2 and not self.multi_label:
            raise ConfigError(f"data set {self.id}: at least two classes are needed, got {len(self.classes)}")
        for name in ("train", "validation", "test"):
            labels = getattr(self, name).labels
            if not len(labels):
                raise ConfigError(
                    f"data set {self.id}: there are no images for {name}: give it more, or folders of their own for "
                    "train, val and test"
                )
            if self.multi_label:
                if labels.shape[1:] != (len(self.classes),) or not ((labels == 0) | (labels == 1)).all():
                    raise ConfigError(f"data set {self.id}, {name}: labels must be 0 or 1 for each of {len(self.classes)} classes")
                continue
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= len(self.classes):
                raise ConfigError(
                    f"data set {self.id}, {name}: labels go from {low} to {high}, and with "
                    f"{len(self.classes)} classes they must lie between 0 and {len(self.classes) - 1}"
                )


def make_seed(*numbers: int) -> int:
    """A seed that depends on every one of ``numbers``; near ones give unrelated seeds.

    >>> make_seed(0, 1) != make_seed(1, 0)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7], "big")


def reseed(*numbers: int) -> None:
    """Seed torch (every device), Python and NumPy from ``numbers``."""
    seed = make_seed(*numbers)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def hold_out(labels: Tensor, share: float, salt: int) -> tuple[Tensor, Tensor]:
    """Indices of what stays and of what is held out, ``share`` of every class, at least one of two and more.

    The choice depends on ``salt`` alone, not on the run's seed: runs with different seeds are
    compared on the same images.
    """
    generator = torch.Generator().manual_seed(make_seed(salt))
    held = []
    for label in labels.unique().tolist():
        where = (labels == label).nonzero().flatten()
        count = min(max(1, round(share * len(where))), len(where) - 1)  # no class without a training image
        held.append(where[torch.randperm(len(where), generator=generator)[:count]])
    held = torch.cat(held).sort().values
    stays = torch.ones(len(labels), dtype=torch.bool)
    stays[held] = False
    return stays.nonzero().flatten(), held


def choose_few(labels: Tensor, per_class: int, seed: int) -> Tensor:
    """Indices of ``per_class`` images of every class, in order, chosen by ``seed``.

    With one seed a smaller choice is part of a larger one, so that a curve over the number of
    labels adds images and does not exchange them.

    Raises:
        ConfigError: a class has fewer.
    """
    chosen = []
    for label in labels.unique().tolist():
        where = (labels == label).nonzero().flatten()
        if len(where) < per_class:
            raise ConfigError(f"per_class = {per_class}, and class {label} has {len(where)} training images")
        order = torch.randperm(len(where), generator=torch.Generator().manual_seed(make_seed(seed, label, 3)))
        chosen.append(where[order[:per_class]])
    return torch.cat(chosen).sort().values


def load_data(
    config: Config, data_id: str | None = None, preprocessing: Preprocessing | None = None,
    manifest: Manifest | None = None, progress=None, bad: tuple[str, ...] | None = None, tick=None,
) -> DataSet:
    """The data set that ``config.data`` names, split by ``config.validation``.

    Every image file is decoded once, or known to be good from an earlier time, before this returns.

    Args:
        config: of the run.
        data_id: a name for records, in place of the folder's.
        preprocessing: of the weights that the run starts from; RGB images take its mean and
            standard deviation.
        manifest: images of a run that goes on: each stays in its split, whatever has become of others.
        progress: of the run (``Progress``), which shows how far the check of the files is.
        bad: names of the images that cannot be read, where another process has looked.
        tick: called from time to time while files are checked.

    Raises:
        ConfigError: unknown name, a tree that lacks something, labels out of range.
        BadImages: files that cannot be read, where ``config.on_bad_image`` is ``stop``.
        RunError: a folder that cannot be read, a download that failed.
    """  # fmt: skip
    if config.data == "digits":
        data = _load_digits(config)
    elif config.data in ("cifar10", "cifar100"):
        data = _load_cifar(config)
    else:
        path = find_tree(config.data)
        load = load_labelled if (path / LABELS_FILE).exists() else _load_tree
        data = load(config, path, data_id or path.resolve().name, manifest, progress, bad, tick)
    kept = manifest is not None and data.root is not None
    if kept:
        data = replace(data, skipped=tuple(sorted({*data.skipped, *manifest.skipped})))
    if changed := kept and data.sha256 != manifest.sha256:
        data = _keep_splits(data, manifest)
    elif config.per_class:
        data = replace(data, train=data.train.take(choose_few(data.train.labels, config.per_class, config.seed)))
    if changed or preprocessing is None or len(preprocessing.mean) != data.channels:
        return data
    mean, std = ([255 * v for v in values] for values in (preprocessing.mean, preprocessing.std))
    return replace(data, mean=mean, std=std)


def _load_digits(config: Config) -> DataSet:
    """1,797 handwritten digits of 8 × 8 pixels, enlarged; a fifth is the test set."""
    digits = need("sklearn.datasets", "data 'digits'").load_digits()
    size = config.resolution or 32
    small = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
    images = F.interpolate(small, (size, size), mode="bilinear").round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    known, test = hold_out(labels, 0.2, salt=1)
    everything = Split(labels, images)
    return _in_memory(
        config, "digits", tuple("0123456789"), everything.take(known), everything.take(test),
        digits.images.astype(np.uint8).tobytes(),
    )  # fmt: skip


def data_folder() -> Path:
    """Where downloads go: ``$EFFNET_DATA``, or ``~/.cache/effnet_lib``."""
    return Path(os.environ.get("EFFNET_DATA") or Path.home() / ".cache" / "effnet_lib")


def _load_cifar(config: Config) -> DataSet:
    """CIFAR-10 or CIFAR-100, downloaded by torchvision, which compares the MD5 of every file."""
    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[config.data]
    folder = data_folder()
    splits = []
    try:
        for train in (True, False):
            part = kind(folder, train=train, download=True)
            images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
            splits.append(Split(torch.tensor(part.targets), images))
    except (OSError, urllib.error.URLError, RuntimeError) as error:
        raise RunError(
            f"cannot get {config.data} into {folder}: {error}; download {kind.url} by hand and put it there"
        ) from error
    return _in_memory(config, config.data, tuple(part.classes), *splits)


def _in_memory(
    config: Config,
    name: str,
    classes: tuple[str, ...],
    known: Split,
    test: Split,
    contents: bytes | None = None,
    validation: Split | None = None,
) -> DataSet:
    digest = hashlib.sha256(contents or b"")
    for split in (known, test, *([validation] if validation else [])):
        if contents is None:
            digest.update(split.images.numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    train = known
    if validation is None:
        stays, held = hold_out(known.labels, config.validation, salt=2)
        train, validation = known.take(stays), known.take(held)
    channels = train.images.shape[1]
    mean, std = IMAGENET
    if not (config.weights and channels == 3):
        # exact sums of bytes: the same figures on every machine
        pixels = train.images.permute(1, 0, 2, 3).flatten(1).long()
        first, second = pixels.sum(1).double(), pixels.square().sum(1).double()
        average = first / pixels.shape[1]
        deviation = (second / pixels.shape[1] - average.square()).clamp_min(1).sqrt()
        mean, std = ([round(v, 3) for v in values.tolist()] for values in (average, deviation))
    return DataSet(
        name, digest.hexdigest(), "contents", classes, train, validation, test,
        channels, train.images.shape[-1], mean, std,
    )  # fmt: skip


# Folders of images


def _load_tree(
    config: Config, root: Path, name: str, manifest: Manifest | None, progress, bad: tuple[str, ...] | None, tick
) -> DataSet:
    """A folder of images: classes under train and test or val, or classes alone.

    ``test`` is the test set. Where there is only ``val``, as in ImageNet (whose test labels are not public), it
    is the test set, and validation images are held out of ``train``. Where there is neither, test images are
    held out too.
    """
    tree = read_tree(root)
    parts = {
        part: Split(torch.tensor([label for label, _ in files]), None, tuple(path for _, path in files))
        for part, files in tree.files.items()
    }
    parts, skipped = without_bad(config, root, parts, manifest, progress, bad, tick)
    for part, split in parts.items():
        if emptied := [c for i, c in enumerate(tree.classes) if not (split.labels == i).any()]:
            folder = tree.folders.get(part, root) / emptied[0]
            raise ConfigError(
                f"no image in the class folder {shown(folder)} can be read: replace them, or remove the class"
            )

    known, validation = parts["train"], parts["val"] if len(parts) == 3 else None
    if len(parts) == 1:
        stays, held = hold_out(known.labels, TEST_SHARE, salt=1)
        known, test = known.take(stays), known.take(held)
    else:
        test = parts.get("test", parts.get("val"))
    if known.images is not None:
        data = _in_memory(config, name, tree.classes, known, test, None, validation)
    else:
        digest = hashlib.sha256()
        for split in [known, test] + ([validation] if validation else []):
            for path, image in zip(split.paths, _names(split, root)):
                digest.update(f"{image} {os.path.getsize(path)}\n".encode(errors="surrogateescape"))
        train = known
        if validation is None:
            stays, held = hold_out(known.labels, config.validation, salt=2)
            train, validation = known.take(stays), known.take(held)
        data = DataSet(
            name, digest.hexdigest(), "names and sizes", tree.classes, train, validation, test, 3, None, *IMAGENET
        )
    sources = _sources(tree.folders, config.validation)
    warnings = tree.warnings + _few_images(data) + warn_of_skipped(skipped)
    return replace(data, root=root, skipped=skipped, found=(*tree.found, sources), warnings=tuple(warnings))


def _sources(folders: dict[str, Path], share: float) -> str:
    """Where validation and test images come from."""
    validation = f"{100 * share:g}% of each class are held out of the training images to validate"
    if "val" in folders and "test" in folders:
        return f"{shown(folders['val'].name)}/ is to validate, {shown(folders['test'].name)}/ to test"
    if len(folders) == 2:
        role = "test" if "test" in folders else "val"
        return f"{shown(folders[role].name)}/ is to test; {validation}"
    return f"{100 * TEST_SHARE:g}% of each class are held out to test; {validation}"


def _few_images(data: DataSet) -> list[str]:
    """A warning for classes that have too few images for all three splits."""
    out = []
    for part, do in (("validation", "validated"), ("test", "tested")):
        there = set(getattr(data, part).labels.tolist())
        if absent := [shown(c, 40) for i, c in enumerate(data.classes) if i not in there]:
            names = ", ".join(absent[:5]) + (f" and {len(absent) - 5:,} more" if len(absent) > 5 else "")
            out.append(f"too few images in {names}: all of them stay for training, and none is {do}")
    return out


def without_bad(
    config: Config, root: Path, parts: dict[str, Split], manifest: Manifest | None, progress, known, tick
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits without images that cannot be read, in memory where they fit, and the names of those."""
    total = sum(map(len, parts.values()))
    if known is not None:
        parts = {part: _leave_out(split, root, set(known)) for part, split in parts.items()}
    storage = config.storage
    if manifest is not None:  # a run goes on in the way it began
        storage = "stream" if manifest.hash_of == "names and sizes" else "memory"
    read, bad = _read_all(list(parts.values()), storage, progress)
    if read is not None:
        parts = dict(zip(parts, read))
    elif known is None:
        paths = [path for split in parts.values() for path in split.paths]
        bad = check_images(paths, check_memory(root), progress, tick)
    if bad and config.on_bad_image == "stop":
        which, rows = ("it", "its row") if len(bad) == 1 else ("them", "their rows")
        remove = f"remove {which} and {rows} in {LABELS_FILE}" if (root / LABELS_FILE).exists() else f"remove {which}"
        advice = f"replace or {remove}, then go on with --resume; or leave {which} out with --set on_bad_image=skip"
        raise BadImages(describe_bad(bad, total, advice), bad)
    names = {_name(path, root) for path in bad}
    parts = {part: _leave_out(split, root, names) for part, split in parts.items()}
    return parts, tuple(sorted(names | set(known or ())))


def warn_of_skipped(skipped: tuple[str, ...]) -> list[str]:
    """A line that names the first of the images that are left out; none if there are none."""
    if not skipped:
        return []
    first = ", ".join(shown(one, 60) for one in skipped[:5])
    more = f" and {len(skipped) - 5:,} more" if len(skipped) > 5 else ""
    what = "1 image" if len(skipped) == 1 else f"{len(skipped):,} images"
    return [f"skipped {what} that cannot be read: {first}{more}"]


def _leave_out(split: Split, root: Path, names: set[str]) -> Split:
    if not names:
        return split
    good = [i for i, name in enumerate(_names(split, root)) if name not in names]
    return split.take(torch.tensor(good, dtype=torch.long))


def check_memory(root: Path) -> Path | None:
    """The file that keeps which images under ``root`` are good; None where there is no place for it."""
    try:
        return memory_of(data_folder(), root)
    except (OSError, RuntimeError):  # no home directory
        return None


def forget_check(data: DataSet) -> None:
    """Have every image of a folder checked again next time."""
    if data.root is not None:
        forget(check_memory(data.root))


def _name(path: str, root: Path) -> str:
    return path[len(str(root / "x")) - 1 :]  # root may be ., which its paths do not begin with


def _names(split: Split, root: Path) -> list[str]:
    start = len(str(root / "x")) - 1
    return [path[start:] for path in split.paths]


def _keys(split: Split) -> list[str]:
    """What changes when the contents of an image do: a digest of its pixels in memory, else its size."""
    if split.images is None:
        return [str(os.path.getsize(path)) for path in split.paths]
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=8).hexdigest() for image in split.images]


def make_manifest(data: DataSet) -> Manifest:
    """The list of the images of ``data``, which must be a folder."""
    splits = {}
    for part in SPLITS:
        split = getattr(data, part)
        labels = split.labels.int().tolist()
        labels = [tuple(each) for each in labels] if data.multi_label else labels
        splits[part] = list(zip(_names(split, data.root), labels, _keys(split)))
    return Manifest(data.sha256, data.hash_of, data.classes, data.mean, data.std, splits, data.skipped)


def _keep_splits(data: DataSet, manifest: Manifest) -> DataSet:
    """The images of ``data`` in the splits that ``manifest`` has them in."""
    here = make_manifest(data)
    places = [(name, part, i) for part in SPLITS for i, (name, _, _) in enumerate(here.splits[part])]
    present = {name: key for part in SPLITS for name, _, key in here.splits[part]}
    changes = reconcile(manifest, present, data.classes)
    where = {name: i for i, (name, _, _) in enumerate(places)}
    paths = [path for part in SPLITS for path in getattr(data, part).paths]
    images = None
    if data.train.images is not None:
        images = torch.cat([getattr(data, part).images for part in SPLITS])
    splits = {}
    for part, rows in changes.rows.items():
        indices = [where[name] for _, name in rows]
        splits[part] = Split(
            torch.tensor([label for label, _ in rows], dtype=getattr(data, part).labels.dtype),
            None if images is None else images[torch.tensor(indices)],
            tuple(paths[i] for i in indices),
        )
    what = {
        "gone (others of their class take their places in training)": len(changes.lost),
        "others now": len(changes.replaced), "new and not used": changes.new,
    }  # fmt: skip
    counted = ", ".join(f"{'1 image is' if n == 1 else f'{n:,} images are'} {text}" for text, n in what.items() if n)
    known = {name: label for part in SPLITS for name, label, _ in manifest.splits[part]}
    other = sum(known.get(name, label) != label for part in SPLITS for name, label, _ in here.splits[part])
    if other:
        counted += ", " * bool(counted) + f"{'1 image has' if other == 1 else f'{other:,} images have'} other labels now"
        counted += " (those at the beginning are used)"
    warning = f"the data have changed since the run began: {counted or 'files have other names or another order'}"
    return replace(
        data, **splits, sha256=manifest.sha256, mean=manifest.mean, std=manifest.std, warnings=(*data.warnings, warning),
        lost=changes.lost, replaced=changes.replaced,
    )  # fmt: skip


def read_image(path: str, resize: int | None = None) -> Image.Image:
    """The image in RGB, as :func:`effnet_lib.images.read_image` reads it everywhere.

    Args:
        path: of the file.
        resize: what its shorter side will be resized to, in pixels.

    Raises:
        RunError: it cannot be read, is cut off, or would be huge when resized.
    """
    try:
        image = read_any(path)
        if resize is not None:
            check_shape(path, *image.size, resize)
        return image
    except ValueError as error:
        raise RunError(describe_bad({path: str(error)}, 1, "replace or remove it, then go on with --resume")) from None


def _read_all(splits: list[Split], storage: str, progress) -> tuple[list[Split] | None, dict[str, str]]:
    """The splits in memory, without images that cannot be read, and what is wrong with those.

    None in place of the splits where the set should stream; what is wrong is not known then.
    """
    if storage == "stream":
        return None, {}
    total = sum(map(len, splits))
    out, bad, first, side = [], {}, "", 0
    counting = progress.counting(total, "images read") if progress else contextlib.nullcontext(lambda n: None)
    with counting as count:
        for split in splits:
            images, good = None, []
            for i, path in enumerate(split.paths):
                count(1)
                try:
                    image = read_image(path)
                except (RunError, ValueError) as error:
                    bad[path] = find_fault(path) or str(error)
                    continue
                first, side = (first, side) if side else (path, image.width)
                if image.size != (side, side) or (storage == "auto" and total * 3 * side**2 > MEMORY_LIMIT):
                    if storage == "memory":
                        raise ConfigError(
                            "storage = memory needs square images of one size: "
                            + (f"{shown(first)} is {side} pixels wide, and " if path != first else "")
                            + f"{shown(path)} has {image.width} × {image.height}: give it the size of the others, "
                            "remove it, or begin a run with storage = stream or auto"
                        )
                    return None, {}
                if images is None:
                    images = torch.empty(len(split), 3, side, side, dtype=torch.uint8)
                images[i] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
                good.append(i)
            if images is None:
                return None, {}
            whole = replace(split, images=images)
            out.append(whole if len(good) == len(split) else whole.take(torch.tensor(good)))
    return out, bad


# The order of images, and batches


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of ``count`` images in one epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(make_seed(seed, epoch)))


def training_order(labels: Tensor, config: Config, epoch: int) -> Tensor:
    """The images of one epoch in order, by ``config.sampling``: the same for any number of processes."""
    if config.sampling == "balanced":
        return balanced_order(labels, torch.Generator().manual_seed(make_seed(config.seed, epoch, 4)))
    return epoch_order(len(labels), config.seed, epoch)


def rank_batch(order: Tensor, step: int, batch_size: int, group: Group) -> Tensor:
    """What this process takes of the batch number ``step``: every ``group.size``-th image."""
    return order[step * batch_size : (step + 1) * batch_size][group.rank :: group.size]


class MemoryLoader:
    """Batches of a split that lies on the device."""

    cropped = False

    def __init__(self, split: Split, config: Config, group: Group):
        self.config, self.group = config, group
        self.images = split.images.to(group.device)
        self.labels = split.labels.to(group.device)
        self.targets = split.labels.cpu()

    def epoch(self, epoch: int, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Training batches of this process, from the step ``start`` of the epoch on."""
        cfg = self.config
        order = training_order(self.targets, cfg, epoch).to(self.group.device)
        for step in range(start, len(order) // cfg.batch_size):
            which = rank_batch(order, step, cfg.batch_size, self.group)
            yield self.images[which], self.labels[which]

    def once(self, batch_size: int, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Every image once over all processes: (indices, images at ``size``, labels)."""
        mine = torch.arange(self.group.rank, len(self.labels), self.group.size)
        for which in mine.to(self.group.device).split(batch_size):
            yield which, resize_bytes(self.images[which], size), self.labels[which]

    def close(self) -> None:
        """Nothing runs."""


class StreamLoader:
    """Batches of a split that is read from disk by worker processes, cropped there.

    The workers start with the first batch, and stay until :meth:`close`, or until the loader is gone.

    Args:
        split: with paths.
        config: of the run.
        group: that shares the batches.
        warn: told in one line where there will be fewer workers than were asked for.
        size: the largest side of a crop, from which the room in shared memory is reckoned.
    """

    cropped = True

    def __init__(
        self, split: Split, config: Config, group: Group, warn: Callable[[str], None] | None = None, size: int = 0,
    ):  # fmt: skip
        self.config, self.group, self.count = config, group, len(split)
        self.labels = split.labels
        self.plan = _Plan()
        batch_bytes = 3 * size**2 * config.batch_size // group.size
        workers = count_workers(config, batch_bytes, group.local_size, warn)
        self.loader = DataLoader(
            _Images(split, config),
            batch_sampler=self.plan,
            num_workers=workers,
            pin_memory=group.device.type == "cuda",
            collate_fn=_collate,
            **(_as_workers() if workers else {}),
        )
        weakref.finalize(self, end_workers, self.loader).atexit = False

    def close(self) -> None:
        """End the workers; they start again with the next batch."""
        end_workers(self.loader)

    def _batches(self) -> Iterator:
        if not self.plan.batches:
            return
        device = self.group.device
        batches = None
        while True:
            try:
                batches = batches or start_reading(self.loader)
                which, images, labels = next(batches)
            except StopIteration:
                return
            except RunError as error:  # a worker's arrives with its traceback: the last line says it
                raise BadImages(str(error).strip().splitlines()[-1].partition("RunError: ")[2] or str(error)) from None
            except Exception as error:
                if (known := explain_reading(error, self.loader)) is error:
                    raise
                raise known from None
            labels = torch.tensor(labels)
            yield torch.tensor(which), images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def epoch(self, epoch: int, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As :meth:`MemoryLoader.epoch`; images are cropped to ``size`` and mirrored."""
        cfg = self.config
        order = training_order(self.labels, cfg, epoch).tolist()
        draws, places = number_draws(order), torch.arange(self.count)
        self.plan.batches = [
            [
                (order[at], (epoch, *draws[at]), size)
                for at in rank_batch(places, step, cfg.batch_size, self.group).tolist()
            ]
            for step in range(start, self.count // cfg.batch_size)
        ]
        for _, images, labels in self._batches():
            yield images, labels

    def once(self, batch_size: int, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """As :meth:`MemoryLoader.once`; the middle of every image, at ``size``."""
        mine = torch.arange(self.group.rank, self.count, self.group.size)
        self.plan.batches = [[(i, None, size) for i in part.tolist()] for part in mine.split(batch_size)]
        yield from self._batches()


def number_draws(order: list[int]) -> list[tuple[int, ...]]:
    """For each place of an epoch how often its image came before, if it did, so that each time is cropped anew."""
    seen: dict[int, int] = {}
    draws = []
    for image in order:
        seen[image] = seen.get(image, -1) + 1
        draws.append((seen[image],) if seen[image] else ())
    return draws


class _Plan:
    """The batches that the loader shall read next; iterated in the main process."""

    def __init__(self):
        self.batches: list[list[tuple]] = []

    def __iter__(self):
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _as_workers() -> dict:
    """How the loader's processes start, and what each does first."""
    return {
        "persistent_workers": True, "prefetch_factor": AHEAD, "multiprocessing_context": METHOD,
        "worker_init_fn": partial(start_worker, os.getpid()),
    }  # fmt: skip


def _collate(items: list[tuple]) -> tuple[list[int], Tensor, list]:
    """Images go through shared memory, and nothing else needs it."""
    which, images, labels = zip(*items)
    return list(which), default_collate(images), [label.tolist() for label in labels]


class _Images:
    """Reads one image of a plan: (index, (epoch, draw if not the first) or None for evaluation, size)."""

    def __init__(self, split: Split, config: Config):
        self.split, self.config = split, config

    def __getitem__(self, item: tuple) -> tuple[int, Tensor, Tensor]:
        index, key, size = item
        try:
            image = read_image(self.split.paths[index], enlarged(size))
        except RunError as error:  # an exception with one plain argument crosses the process border
            raise RunError(str(error)) from None
        with torch.random.fork_rng(devices=[]):
            if key is not None:
                torch.manual_seed(make_seed(self.config.seed, key[0], index, *key[1:]))
            pixels = v2.functional.pil_to_tensor(self._crop(key is not None, size)(image))
        return index, pixels, self.split.labels[index]

    def _crop(self, train: bool, size: int) -> v2.Transform:
        cfg = self.config
        if not train:
            return v2.Compose([v2.Resize(enlarged(size)), v2.CenterCrop(size)])
        crop = {
            "resized": v2.RandomResizedCrop(size, (cfg.min_area, 1.0)),
            "pad": v2.Compose(
                [v2.Resize(size), v2.CenterCrop(size), v2.RandomCrop(size, cfg.pad, padding_mode="reflect")]
            ),
            "none": v2.Compose([v2.Resize(size), v2.CenterCrop(size)]),
        }[cfg.crop]
        return v2.Compose([crop, v2.RandomHorizontalFlip(0.5 if cfg.flip else 0.0)])


def enlarged(size: int) -> int:
    """The side to which an image is resized before its middle is cut out.

    torchvision's and the authors' habit for evaluation: the middle 7/8 of the image.
    """
    return round(size * 8 / 7)


def make_loader(
    split: Split, config: Config, group: Group, warn: Callable[[str], None] | None = None, size: int = 0,
) -> MemoryLoader | StreamLoader:  # fmt: skip
    """The loader that suits the split; ``warn`` and ``size`` are for :class:`StreamLoader`."""
    if split.images is None:
        return StreamLoader(split, config, group, warn, size)
    return MemoryLoader(split, config, group)
