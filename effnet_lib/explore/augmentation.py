"""The augmentation explorer: six photographs, changed by the library's own augmentations."""

import base64
import html
import io
from functools import cache

from .element import Explorer

#: Side of a picture in pixels, as it is stored.
TILE = 104

LEVELS = 7

#: What can be chosen, and the strength at each position of the slider, in the units of the recipe.
STRENGTHS = {
    "crop": (1.0, 0.8, 0.6, 0.4, 0.25, 0.15, 0.08),
    "rand": (0, 2, 5, 10, 15, 20, 25),
    "trivial": (1, 2, 3, 4, 5, 6, 7),
    "cutout": (0, 16, 32, 48, 64, 80, 96),
    "mixup": (1.0, 0.9, 0.8, 0.7, 0.6, 0.55, 0.5),
    "cutmix": (1.0, 0.9, 0.8, 0.7, 0.6, 0.55, 0.5),
}

#: Name of each way; what its strength is called, with a place for it; what is done.
WAYS = {
    "crop": ("Crop and flip", "crops of at least {:.0%} of the area", "A random part of the image, enlarged; half of them mirrored."),
    "rand": ("RandAugment", "magnitude {}", "Two random operations, at one magnitude. 10 is torchvision’s strongest; V2’s paper goes on to 25."),
    "trivial": ("TrivialAugment", "draw {}", "One random operation, at a random strength. There is nothing to set: the slider draws again."),
    "cutout": ("Cutout", "a square of {} of 128 pixels", "A square of the mean colour, cut off at the border."),
    "mixup": ("Mixup", "about {:.0%} of the first image", "A weighted mean of two images, and of their labels."),
    "cutmix": ("CutMix", "about {:.0%} of the first image", "A box of one image is replaced by another’s; labels go by area."),
}  # fmt: skip


def augmentation_explorer() -> Explorer:
    """A figure in which the strength of an augmentation is dragged, over six real photographs.

    Every picture is made by the functions that training uses (:mod:`effnet_lib.train.augment`,
    and torchvision's MixUp and CutMix) when the figure is made. Needs torch, torchvision and
    Pillow.
    """
    sheets = _sheets()
    data = {
        "ways": {
            way: {
                "name": name,
                "does": does,
                "levels": [said.format(value) for value in STRENGTHS[way]],
                "labels": sheets[way][1],
            }
            for way, (name, said, does) in WAYS.items()
        },
    }
    figures = "".join(
        f'<figure><img src="data:image/webp;base64,{base64.b64encode(sheets[way][0]).decode()}" width="{6 * TILE}" '
        f'height="{LEVELS * TILE}" alt="{html.escape(f"{name}: six photographs in columns, in seven rows; {does}", quote=True)}">'
        f"<figcaption>{html.escape(name)}. {html.escape(does)} Rows: {', '.join(data['ways'][way]['levels'])}.</figcaption></figure>"
        for way, (name, _, does) in WAYS.items()
    )
    return Explorer(
        "augmentation", data, figures, ("augmentation.js",), "augmentation explorer (shows itself in a notebook)",
        ("augmentation.css",),
    )  # fmt: skip


@cache
def _sheets() -> dict[str, tuple[bytes, list]]:
    """For each way: a picture with a row for each strength, and the labels of each image of each row."""
    from ..samples import sample_photographs

    names = list(sample_photographs())
    sheets = {}
    for way in WAYS:
        rows = [augmented(way, level) for level in range(LEVELS)]
        labels = [[[[names[i], round(share, 2)] for i, share in row] for row in labels] for _, labels in rows]
        sheets[way] = _webp([images for images, _ in rows]), labels
    return sheets


def augmented(way: str, level: int, seed: int = 7):
    """The six photographs after an augmentation, as bytes in floats, (6, 3, 128, 128), and their labels.

    The labels of an image are pairs of its photograph's number and its share, largest first.

    Raises:
        ValueError: there is no such way or level.
    """
    import torch

    from ..samples import sample_photographs
    from ..train import augment

    if way not in WAYS:
        raise ValueError(f"no augmentation {way!r:.60}: there are {', '.join(WAYS)}")
    if not 0 <= level < LEVELS:
        raise ValueError(f"level must lie between 0 and {LEVELS - 1}, got {level!r:.60}")
    strength = STRENGTHS[way][level]
    images = 255 * torch.stack(list(sample_photographs().values()))
    n, side = len(images), images.shape[-1]
    labels = torch.eye(n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + (level if way == "trivial" else 0))
        if way == "crop" and level:
            images = augment.resized_crop(images, side, augment.random_boxes(n, side, side, strength))
            images = augment.flip(images, torch.rand(n) < 0.5)
        elif way == "rand" and strength:
            images = augment.rand_augment(images.round(), strength)
        elif way == "trivial":
            images = augment.trivial_augment(images.round())
        elif way == "cutout" and strength:
            mean = images.mean((0, 2, 3), keepdim=True)
            images = augment.cutout(images - mean, strength, *torch.randint(side, (2, n))) + mean
        elif way in ("mixup", "cutmix") and level:
            images, labels = _mixed(way, strength, images)
    shares = [sorted(((i, s) for i, s in enumerate(row) if s > 0.005), key=lambda p: -p[1]) for row in labels.tolist()]
    return images.clamp(0, 255), shares


def _mixed(way: str, share: float, images):
    """As training mixes them; of 200 draws, the one that keeps a share closest to ``share``."""
    import torch
    from torchvision.transforms.v2 import CutMix, MixUp

    mixer = {"mixup": MixUp, "cutmix": CutMix}[way](
        alpha=1.0, num_classes=len(images), labels_getter=lambda pair: pair[1]
    )
    best = None
    for seed in range(200):
        torch.manual_seed(seed)
        mixed, labels = mixer(images, torch.arange(len(images)))
        off = abs(float(labels[0, 0]) - share)
        if best is None or off < best[0] - 1e-9:
            best = off, mixed, labels
    return best[1:]


def _webp(rows: list) -> bytes:
    """Rows of images, (6, 3, 128, 128) each, as one picture."""
    import torch
    from PIL import Image
    from torch.nn import functional as F

    small = [F.interpolate(images, (TILE, TILE), mode="bilinear", antialias=True) for images in rows]
    sheet = torch.cat([torch.cat(list(images), 2) for images in small], 1)
    pixels = sheet.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()
    image = Image.frombytes("RGB", (pixels.shape[1], pixels.shape[0]), bytes(pixels.flatten().tolist()))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=62, method=6)
    return file.getvalue()
