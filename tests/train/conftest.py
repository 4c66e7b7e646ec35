"""What the tests of training share: a network and data so small that a run takes seconds."""

import random

import pytest
import torch
from PIL import Image

from effnet_lib.train import make_config


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TINY = {
    "variant": "phi=-13", "output_stride": 32, "resolution": 16, "epochs": 3, "batch_size": 16,
    "lr": 0.05, "lr_batch": 0, "warmup_epochs": 1.0, "pad": 1, "crop": "pad", "flip": True,
    "policy": "none", "cutout": 0, "cutmix": 0.0, "plain_epochs": 0, "evaluate_every": 1,
    "log_every": 1, "device": "cpu", "workers": 0, "channels_last": False, "output_stride": 32,
}  # fmt: skip


def tiny_config(data, **changes):
    """A run of a few seconds on the tree ``data``."""
    return make_config("cifar", {**TINY, "data": str(data), **changes})


def make_tree(root, splits=(("train", 24), ("test", 6)), classes=("dark", "light"), side=16, suffix="png"):
    """An ImageFolder tree of noise, brighter from class to class."""
    numbers = random.Random(0)
    for split, count in splits:
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                level = 80 * label + 40
                pixels = bytes(min(255, level + numbers.randrange(60)) for _ in range(side * side * 3))
                Image.frombytes("RGB", (side, side), pixels).save(folder / f"{i:03}.{suffix}")
    return root


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("data") / "noise")
