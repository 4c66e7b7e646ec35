"""Images and labels: where they come from, how they are split, and in which order they are seen.

Small sets lie on the device as bytes; large ones are read from disk by worker processes. The
order of an epoch and all randomness of an image follow from (seed, epoch, image) alone, so
that they do not depend on the number of workers or processes, or on where a run was resumed.
"""

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
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from ..files import find_folder, shown
from ..images import Preprocessing
from ..packages import need
from .config import Config
from .distributed import Group
from .errors import ConfigError, RunError
from .processes import AHEAD, METHOD, count_workers, end_workers, explain_reading, start_reading, start_worker

#: Mean and standard deviation of ImageNet's channels, in bytes, which pretrained weights expect.
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

#: Sets of one image size and at most this many bytes are kept in memory.
MEMORY_LIMIT = 2 * 2**30


@dataclass(frozen=True)
class Split:
    """Images with labels, either as ``images`` (bytes, (N, C, H, W)) or as ``paths``."""

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

    def __post_init__(self):
        if len(self.classes) < 2:
            raise ConfigError(f"data set {self.id}: at least two classes are needed, got {len(self.classes)}")
        for name in ("train", "validation", "test"):
            labels = getattr(self, name).labels
            if not len(labels):
                raise ConfigError(f"data set {self.id}: there are no images for {name}")
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
    """Indices of what stays and of what is held out, ``share`` of every class, at least one.

    The choice depends on ``salt`` alone, not on the run's seed: runs with different seeds are
    compared on the same images.
    """
    generator = torch.Generator().manual_seed(make_seed(salt))
    held = []
    for label in labels.unique().tolist():
        where = (labels == label).nonzero().flatten()
        count = max(1, round(share * len(where)))
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


def load_data(config: Config, data_id: str | None = None, preprocessing: Preprocessing | None = None) -> DataSet:
    """The data set that ``config.data`` names, split by ``config.validation``.

    Args:
        config: of the run.
        data_id: a name for records, in place of the folder's.
        preprocessing: of the weights that the run starts from; RGB images take its mean and
            standard deviation.

    Raises:
        ConfigError: unknown name, a tree that lacks something, labels out of range.
        RunError: a file that cannot be read, a download that failed.
    """
    data = _load(config, data_id)
    if config.per_class:
        data = replace(data, train=data.train.take(choose_few(data.train.labels, config.per_class, config.seed)))
    if preprocessing is None or len(preprocessing.mean) != data.channels:
        return data
    mean, std = ([255 * v for v in values] for values in (preprocessing.mean, preprocessing.std))
    return replace(data, mean=mean, std=std)


def _load(config: Config, data_id: str | None) -> DataSet:
    if config.data == "digits":
        return _load_digits(config)
    if config.data in ("cifar10", "cifar100"):
        return _load_cifar(config)
    path = find_folder(config.data, "digits, cifar10, cifar100 or the path of an ImageFolder tree as data", ConfigError)
    return _load_tree(config, path, data_id or path.resolve().name)


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


# ImageFolder trees


def _load_tree(config: Config, root: Path, name: str) -> DataSet:
    """A tree of images: classes under train/ and test/ or val/, or classes alone.

    ``test`` is the test set. Where there is only ``val``, as in ImageNet (whose test labels
    are not public), it is the test set, and validation images are held out of ``train``.
    """
    folders = {part: root / part for part in ("train", "val", "test") if (root / part).is_dir()}
    if "train" not in folders:
        if folders:
            raise ConfigError(f"{root} has {' and '.join(folders)} but no train folder")
        classes, everything = _scan(root)
        stays, held = hold_out(everything.labels, 0.15, salt=1)
        known, test, validation = everything.take(stays), everything.take(held), None
    else:
        if len(folders) == 1:
            raise ConfigError(f"{root} has a train folder, and needs a test or val folder beside it")
        classes, known = _scan(folders["train"])
        test = _scan(folders.get("test", folders.get("val")), classes)[1]
        validation = _scan(folders["val"], classes)[1] if len(folders) == 3 else None

    splits = [known, test] + ([validation] if validation else [])
    if (read := _read_all(splits, config.storage)) is not None:
        known, test, *rest = read
        return _in_memory(config, name, classes, known, test, None, rest[0] if rest else None)

    digest = hashlib.sha256()
    for split in splits:
        for path in split.paths:
            relative = Path(path).relative_to(root).as_posix()
            digest.update(f"{relative} {os.path.getsize(path)}\n".encode())
    train = known
    if validation is None:
        stays, held = hold_out(known.labels, config.validation, salt=2)
        train, validation = known.take(stays), known.take(held)
    return DataSet(
        name, digest.hexdigest(), "names and sizes", classes, train, validation, test, 3, None, *IMAGENET
    )


def _scan(folder: Path, classes: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], Split]:
    """Class names and image files of one split; ``classes`` are those it must have."""
    found = tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))
    if not found:
        raise ConfigError(f"{folder} has no class folders")
    if unreadable := [name for name in found if not name.isascii() and not _is_text(name)]:
        raise ConfigError(f"the class folder {shown(unreadable[0])!r} in {folder} has a name that is no UTF-8: rename it")
    if classes is not None and found != classes:
        if missing := sorted(set(classes) - set(found)):
            raise ConfigError(f"{folder} lacks the class folder {missing[0]!r}, which the training images have")
        extra = sorted(set(found) - set(classes))
        raise ConfigError(f"{folder} has the class folder {extra[0]!r}, which the training images lack")
    paths, labels = [], []
    for label, name in enumerate(found):
        files = sorted(
            str(Path(where) / file)
            for where, _, files in os.walk(folder / name, followlinks=True)
            for file in files
            if file.lower().endswith(IMG_EXTENSIONS)
        )
        if not files:
            raise ConfigError(
                f"the class folder {folder / name} holds no images ({', '.join(IMG_EXTENSIONS)})"
            )
        paths += files
        labels += [label] * len(files)
    return found, Split(torch.tensor(labels), None, tuple(paths))


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:  # bytes of another encoding, as the file system has them
        return False


def read_image(path: str) -> Image.Image:
    """The image in RGB.

    Raises:
        RunError: it cannot be read, or is cut off.
    """
    try:
        with Image.open(path) as image:
            if image.format == "EPS":  # Pillow would hand it to Ghostscript, which runs it
                raise ValueError("it is a program that draws, in PostScript")
            return image.convert("RGB")
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        raise RunError(
            f"the image {shown(path)} cannot be read ({error}): replace or remove it, then go on with --resume"
        ) from None


def _read_all(splits: list[Split], storage: str) -> list[Split] | None:
    """The splits in memory, or None where the set should stream."""
    if storage == "stream":
        return None
    width, height = read_image(splits[0].paths[0]).size
    total = sum(map(len, splits)) * 3 * width * height
    same = width == height
    if same and (total <= MEMORY_LIMIT or storage == "memory"):
        out = []
        for split in splits:
            images = torch.empty(len(split), 3, height, width, dtype=torch.uint8)
            for i, path in enumerate(split.paths):
                image = read_image(path)
                if image.size != (width, height):
                    same = False
                    break
                images[i] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            if not same:
                break
            out.append(replace(split, images=images, paths=()))
        if same:
            return out
    if storage == "memory":
        raise ConfigError("storage = memory needs square images of one size: use stream or auto")
    return None


# The order of images, and batches


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of ``count`` images in one epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(make_seed(seed, epoch)))


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

    def epoch(self, epoch: int, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Training batches of this process, from the step ``start`` of the epoch on."""
        cfg = self.config
        order = epoch_order(len(self.labels), cfg.seed, epoch).to(self.group.device)
        for step in range(start, len(order) // cfg.batch_size):
            which = rank_batch(order, step, cfg.batch_size, self.group)
            yield self.images[which], self.labels[which]

    def once(self, batch_size: int, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Every image once over all processes: (indices, images, labels)."""
        mine = torch.arange(self.group.rank, len(self.labels), self.group.size)
        for which in mine.to(self.group.device).split(batch_size):
            yield which, self.images[which], self.labels[which]

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
            except Exception as error:
                if (known := explain_reading(error, self.loader)) is error:
                    raise
                raise known from None
            labels = torch.tensor(labels)
            yield torch.tensor(which), images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def epoch(self, epoch: int, start: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As :meth:`MemoryLoader.epoch`; images are cropped to ``size`` and mirrored."""
        cfg = self.config
        order = epoch_order(self.count, cfg.seed, epoch)
        self.plan.batches = [
            [(i, epoch, size) for i in rank_batch(order, step, cfg.batch_size, self.group).tolist()]
            for step in range(start, self.count // cfg.batch_size)
        ]
        for _, images, labels in self._batches():
            yield images, labels

    def once(self, batch_size: int, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """As :meth:`MemoryLoader.once`; the middle of every image, at ``size``."""
        mine = torch.arange(self.group.rank, self.count, self.group.size)
        self.plan.batches = [[(i, None, size) for i in part.tolist()] for part in mine.split(batch_size)]
        yield from self._batches()


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


def _collate(items: list[tuple]) -> tuple[list[int], Tensor, list[int]]:
    """Images go through shared memory, and nothing else needs it."""
    which, images, labels = zip(*items)
    return list(which), default_collate(images), [int(label) for label in labels]


class _Images:
    """Reads one image of a plan: (index, epoch or None for evaluation, size)."""

    def __init__(self, split: Split, config: Config):
        self.split, self.config = split, config

    def __getitem__(self, item: tuple) -> tuple[int, Tensor, Tensor]:
        index, epoch, size = item
        try:
            image = read_image(self.split.paths[index])
        except RunError as error:  # an exception with one plain argument crosses the process border
            raise RunError(str(error)) from None
        with torch.random.fork_rng(devices=[]):
            if epoch is not None:
                torch.manual_seed(make_seed(self.config.seed, epoch, index))
            pixels = v2.functional.pil_to_tensor(self._crop(epoch is not None, size)(image))
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
