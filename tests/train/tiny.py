"""A network and data so small that a run takes a second."""

import random

from PIL import Image

from effnet_lib.train import make_config

TINY = {
    "variant": "phi=-13", "output_stride": 32, "resolution": 16, "epochs": 3, "batch_size": 16,
    "lr": 0.05, "lr_batch": 0, "warmup_epochs": 1.0, "pad": 1, "crop": "pad", "flip": True,
    "policy": "none", "cutout": 0, "cutmix": 0.0, "plain_epochs": 0, "evaluate_every": 1,
    "log_every": 1, "device": "cpu", "workers": 0, "channels_last": False,
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
