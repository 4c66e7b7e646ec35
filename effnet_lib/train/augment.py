"""Augmentation of whole batches on the device that trains.

Each function takes images as floats from 0 to 255, shape (N, C, H, W), and parameters of
shape (N,), one for each image. The parameters are drawn on the CPU, so that every device
sees the same images for the same seed; the pixels never leave the device. The operations of
TrivialAugment and RandAugment are torchvision's, which the tests hold them against.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import CutMix, MixUp
from torchvision.transforms.v2 import functional as vision

from .config import Config

GEOMETRY = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLOUR = ("brightness", "color", "contrast", "sharpness")
OPERATIONS = ("identity", *GEOMETRY, *COLOUR, "posterize", "solarize", "autocontrast", "equalize")

# What the strongest level means: (TrivialAugmentWide, RandAugment) in torchvision. Shears are
# slopes, RandAugment's translations shares of the side, the others pixels; rotations degrees;
# colours are factors 1 ± level; posterize takes away bits.
_STRONGEST = {
    "shear_x": (0.99, 0.3), "shear_y": (0.99, 0.3),
    "translate_x": (32.0, 150 / 331), "translate_y": (32.0, 150 / 331),
    "rotate": (135.0, 30.0),
    "brightness": (0.99, 0.9), "color": (0.99, 0.9), "contrast": (0.99, 0.9), "sharpness": (0.99, 0.9),
    "posterize": (6.0, 4.0), "solarize": (255.0, 255.0),
}  # fmt: skip


def random_crop(images: Tensor, pad: int, top: Tensor, left: Tensor) -> Tensor:
    """Reflect ``pad`` pixels around and cut the old size out at (``top``, ``left``), 0 … 2·pad."""
    n, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, (pad,) * 4, mode="reflect")
    rows = (top[:, None] + torch.arange(height)).to(device)[:, None, :, None]
    columns = (left[:, None] + torch.arange(width)).to(device)[:, None, None, :]
    which = torch.arange(n, device=device)[:, None, None, None]
    return padded[which, torch.arange(channels, device=device)[None, :, None, None], rows, columns]


def resized_crop(images: Tensor, size: int, boxes: Tensor) -> Tensor:
    """Cut the boxes (N, 4: top, left, height, width in pixels) out and bring them to ``size``.

    Bilinear without antialiasing, which is what enlarging wants; images that are mostly made
    smaller stream through torchvision's ``RandomResizedCrop`` instead.
    """
    height, width = images.shape[2:]
    top, left, tall, wide = boxes.T
    x = 2 * (left + wide / 2) / width - 1
    y = 2 * (top + tall / 2) / height - 1
    zero = torch.zeros_like(x)
    theta = torch.stack([wide / width, zero, x, zero, tall / height, y], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta.to(images.device), [len(images), images.shape[1], size, size], False)
    return _sample(images, grid, "bilinear", "border")


def _sample(images: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    """Pixels at the places of the grid; on the CPU where the device (a Mac's GPU) lacks the operation."""
    where = images.device
    if lacks_resampling(where):
        images, grid = images.cpu(), grid.cpu()
    return F.grid_sample(images, grid, mode, padding, align_corners=False).to(where)


def lacks_resampling(device: torch.device) -> bool:
    """Whether the CPU must do what the device cannot: sample at a border, and shrink with antialiasing."""
    return device.type == "mps"


def random_boxes(n: int, height: int, width: int, min_area: float) -> Tensor:
    """``n`` boxes of ``min_area`` … 1 of the image and aspect 3/4 … 4/3, as in Inception.

    A box too tall or too wide is cut down to the image, where torchvision tries ten times.
    """
    area = torch.empty(n).uniform_(min_area, 1) * height * width
    ratio = torch.empty(n).uniform_(math.log(3 / 4), math.log(4 / 3)).exp()
    tall = (area / ratio).sqrt().clamp(1, height)
    wide = (area * ratio).sqrt().clamp(1, width)
    top, left = torch.rand(n) * (height - tall), torch.rand(n) * (width - wide)
    return torch.stack([top, left, tall, wide], 1)


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror left and right where ``mirrored``."""
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(-1), images)


def cutout(images: Tensor, side: int, y: Tensor, x: Tensor) -> Tensor:
    """Zero a square of ``side`` pixels about (``y``, ``x``), cut off at the border.

    Source: DeVries & Taylor 2017, arXiv:1708.04552.
    """
    height, width = images.shape[2:]

    def inside(centre: Tensor, length: int) -> Tensor:
        start = (centre - side // 2).to(images.device)[:, None]
        at = torch.arange(length, device=images.device)
        return (at >= start) & (at < start + side)

    hole = inside(y, height)[:, None, :, None] & inside(x, width)[:, None, None, :]
    return images.masked_fill(hole, 0.0)


def apply_operation(images: Tensor, name: str, level: Tensor) -> Tensor:
    """One operation of TrivialAugment or RandAugment on every image, each at its own level.

    Levels are signed, in the units of the table above: a slope, pixels, degrees, a change of
    the factor 1, bits taken away, or how far the threshold of solarize lies below 255.
    """
    if name == "identity":
        return images
    if name in GEOMETRY:
        return _affine(images, name, level)
    if name in ("autocontrast", "equalize"):
        return getattr(vision, name)(images.to(torch.uint8)).float()
    level = level.to(images.device)[:, None, None, None]
    if name == "posterize":
        step = 2.0 ** level.round().clamp(0, 7)
        return (images / step).floor() * step
    if name == "solarize":
        return torch.where(images >= 255 - level, 255 - images, images)
    return _blend(images, _blend_partner(images, name), (1 + level).clamp_min(0))


def _blend_partner(images: Tensor, name: str) -> Tensor:
    """What a factor of 0 would leave: black, grey, the mean grey, or a blurred image."""
    if name == "brightness":
        return torch.zeros_like(images)
    if name == "sharpness":
        return vision.adjust_sharpness(images.to(torch.uint8), 0.0).float()
    if images.shape[1] == 3:
        weights = images.new_tensor([0.2989, 0.587, 0.114])[:, None, None]
        grey = (images * weights).sum(1, keepdim=True).floor()
    else:
        grey = images
    return grey if name == "color" else grey.mean((1, 2, 3), keepdim=True)


def _blend(images: Tensor, partner: Tensor, factor: Tensor) -> Tensor:
    """factor · images + (1 − factor) · partner, as bytes are: cut to 0 … 255 and down."""
    return (images * factor + partner * (1 - factor)).clamp(0, 255).floor()


def _affine(images: Tensor, name: str, level: Tensor) -> Tensor:
    """Shift, shear or turn by looking up, for each new pixel, the old one nearest to its origin."""
    height, width = images.shape[2:]
    one, zero = torch.ones_like(level), torch.zeros_like(level)
    if name == "rotate":
        angle = torch.deg2rad(level)
        rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero]
    else:  # the corner stays in place, not the middle: hence the shift by half an image
        rows = {
            "shear_x": [one, level, level * height / 2, zero, one, zero],
            "shear_y": [one, zero, zero, level, one, level * width / 2],
            "translate_x": [one, zero, -level.trunc(), zero, one, zero],
            "translate_y": [one, zero, zero, zero, one, -level.trunc()],
        }[name]
    # affine_grid counts in halves of the image
    scale = torch.tensor([1, height / width, 2 / width, width / height, 1, 2 / height])
    theta = (torch.stack(rows, 1) * scale).view(-1, 2, 3).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), False)
    return _sample(images, grid, "nearest", "zeros")


def _strongest(name: str, policy: str, side: int) -> float:
    trivial, rand = _STRONGEST.get(name, (0.0, 0.0))
    if policy == "trivial":
        return trivial
    return rand * side if name.startswith("translate") else rand


def apply_policy(images: Tensor, policy: str, share: Tensor) -> Tensor:
    """One random operation for each image, at ``share`` (N,) of the policy's strongest level."""
    n = len(images)
    chosen = torch.randint(len(OPERATIONS), (n,))
    sign = torch.randint(2, (n,)) * 2.0 - 1
    out = images.clone()
    for number, name in enumerate(OPERATIONS):
        which = (chosen == number).nonzero().flatten()
        if name == "identity" or not len(which):
            continue
        side = images.shape[-1 if name.endswith("x") else -2]
        level = share[which] * _strongest(name, policy, side)
        if name in GEOMETRY or name in COLOUR:
            level = level * sign[which]
        where = which.to(images.device)
        out[where] = apply_operation(images[where], name, level)
    return out


def trivial_augment(images: Tensor) -> Tensor:
    """One operation an image, at a level drawn from 31.

    Source: Müller & Hutter 2021, arXiv:2103.10158, wide space.
    """
    return apply_policy(images, "trivial", torch.randint(31, (len(images),)) / 30)


def rand_augment(images: Tensor, magnitude: float, operations: int = 2) -> Tensor:
    """``operations`` operations an image, all at ``magnitude``; 10 is torchvision's strongest.

    EfficientNetV2's released code goes to 15 and beyond; levels go on growing in a straight line.
    Source: Cubuk et al. 2020, arXiv:1909.13719.
    """
    for _ in range(operations):
        images = apply_policy(images, "rand", torch.full((len(images),), magnitude / 10))
    return images


class Augment:
    """From a batch of bytes to what the network sees, by the settings of a run.

    Args:
        config: the run's settings.
        mean, std: of each channel, in bytes.
        num_classes: for labels that mixing turns into probabilities.
    """

    def __init__(self, config: Config, mean: list[float], std: list[float], num_classes: int):
        self.config = config
        self.mean, self.std = mean, std
        self.num_classes = num_classes

    def normalise(self, images: Tensor) -> Tensor:
        """Mean 0 and standard deviation 1 for each channel, in the memory layout of the run."""
        mean = images.new_tensor(self.mean)[:, None, None]
        std = images.new_tensor(self.std)[:, None, None]
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        return ((images - mean) / std).contiguous(memory_format=layout)

    def evaluate(self, images: Tensor, size: int) -> Tensor:
        """Bytes (N, C, H, W) to network input at ``size`` pixels, without augmentation."""
        return self.normalise(resize(images.float(), size))

    def train(self, images: Tensor, labels: Tensor, stage, cropped: bool, mix: bool):
        """Bytes and labels to network input and targets (labels, or probabilities if mixed).

        Args:
            images: bytes, (N, C, H, W).
            labels: (N,), or (N, classes) where an image has several.
            stage: a :class:`~effnet_lib.train.progressive.Stage`: size and strengths.
            cropped: the images have been cropped and mirrored already, by a streaming worker.
            mix: whether mixup and CutMix may be used in this epoch.
        """
        cfg, n = self.config, len(images)
        images = images.float()
        height, width = images.shape[2:]
        if not cropped:
            if cfg.crop == "pad" and cfg.pad:
                offsets = torch.randint(2 * cfg.pad + 1, (2, n))
                images = random_crop(images, cfg.pad, *offsets)
            elif cfg.crop == "resized":
                images = resized_crop(images, stage.resolution, random_boxes(n, height, width, cfg.min_area))
            if cfg.flip:
                images = flip(images, torch.rand(n) < 0.5)
        images = resize(images, stage.resolution).round()
        if cfg.policy == "trivial":
            images = trivial_augment(images)
        elif cfg.policy == "rand":
            images = rand_augment(images, stage.magnitude)
        images = self.normalise(images)
        if cfg.cutout:
            images = cutout(images, cfg.cutout, *torch.randint(stage.resolution, (2, n)))
        if mix:
            images, labels = self._mix(images, labels, stage)
        return images, labels

    def _mix(self, images: Tensor, labels: Tensor, stage) -> tuple[Tensor, Tensor]:
        kinds = [(kind, alpha) for kind, alpha in ((MixUp, stage.mixup), (CutMix, stage.cutmix)) if alpha]
        if not kinds or torch.rand(()) >= self.config.mix_probability:
            return images, labels
        kind, alpha = kinds[int(torch.randint(len(kinds), ()))]
        mixer = kind(alpha=alpha, num_classes=self.num_classes, labels_getter=lambda pair: pair[1])
        return mixer(images, labels)


def resize(images: Tensor, size: int) -> Tensor:
    """Float images to ``size`` × ``size`` pixels, bilinear; antialiased where they shrink."""
    if images.shape[-2:] == (size, size):
        return images
    shrinks, where = size < max(images.shape[-2:]), images.device
    if shrinks and lacks_resampling(where):
        images = images.cpu()
    return F.interpolate(images, (size, size), mode="bilinear", antialias=shrinks).to(where)
