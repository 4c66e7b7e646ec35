"""Folders of pictures: found, read ahead in threads, and classified in batches."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from .files import find_folder, image_endings, shown
from .images import Preprocessing
from .scaling import positive_int
from .weights import Prediction, classify_prepared, needed_preprocessing

def find_pictures(folder: str | os.PathLike) -> list[Path]:
    """The picture files below ``folder``, to the bottom, in the order of their names.

    Hidden files and folders, whose names begin with a dot, are passed over, and so is what has no
    ending of a picture. Links are followed, and each real folder once.

    Raises:
        TypeError, ValueError: it is no folder, or there is no picture in it.
        OSError: a folder below it may not be read.
        ImportError: Pillow is missing.
    """
    folder = find_folder(folder, "one with pictures")
    suffixes, seen, found = image_endings(), set(), []

    def refuse(error: OSError):
        raise error

    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = os.path.realpath(where)
        if real in seen:  # a link leads back
            folders.clear()
            continue
        seen.add(real)
        paths = (Path(where, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in suffixes]
    if not found:
        raise ValueError(f"there is no picture in {shown(folder)}: expected files such as .jpg, .png, .webp or .tiff")
    return sorted(found)


def prepare_pictures(
    paths: Iterable[str | os.PathLike], preprocessing: Preprocessing, threads: int = 4
) -> Iterator[tuple[str | os.PathLike, Tensor | ValueError]]:
    """Each path with the network's input, (1, C, crop, crop), or with the error that says what is wrong with it.

    Pictures are read ahead in threads, a few for each thread, so that the memory needed does not
    grow with their number.
    """

    def prepare(path) -> Tensor | ValueError:
        try:
            return preprocessing(path)
        except ImportError:
            raise
        except ValueError as error:
            return error

    ahead, waiting, pool = 2 * threads, deque(), ThreadPoolExecutor(threads)
    try:
        for path in paths:
            waiting.append((path, pool.submit(prepare, path)))
            if len(waiting) > ahead:
                path, future = waiting.popleft()
                yield path, future.result()
        for path, future in waiting:
            yield path, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def classify_pictures(
    model: nn.Module, paths: Iterable[str | os.PathLike], k: int = 5, batch_size: int | None = None
) -> Iterator[tuple[str | os.PathLike, list[Prediction] | ValueError]]:
    """Each path with its ``k`` likeliest classes, or with the error that says what is wrong with it.

    Args:
        model: with weights that carry their preprocessing.
        paths: of picture files.
        k: how many classes.
        batch_size: how many pictures go through the network at once; the default is as many as have
            the pixels of eight at 224 × 224. Probabilities agree to rounding whatever it is.

    Raises:
        TypeError, ValueError: as for :func:`effnet_lib.classify`, but for what is wrong with a file.
    """
    preprocessing = needed_preprocessing(model)
    batch_size = positive_int("batch_size", batch_size or max(1, 8 * 224**2 // preprocessing.crop**2))
    prepared = prepare_pictures(paths, preprocessing)
    while part := list(islice(prepared, batch_size)):
        inputs = [x for _, x in part if isinstance(x, Tensor)]
        answers = iter(classify_prepared(model, [torch.cat(inputs)], k) if inputs else [])
        for path, x in part:
            yield path, next(answers) if isinstance(x, Tensor) else x
