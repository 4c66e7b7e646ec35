"""What comes with the library to try things on: six photographs and a small trained network.

Both lie in ``effnet_lib/data``, so they need no download. The photographs are there twice: as
squares of 128 pixels, and whole. The network is an EfficientNet at
φ = −4, trained on CIFAR-10 at 32 pixels; its training record lies beside its weights. It is
here to be looked into. For photographs of a normal size take released weights.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from io import BytesIO

import torch
from torch import Tensor
from torch.nn import functional as F

from .images import read_image
from .model import EfficientNet, build_model
from .variants import scale_variant

_DATA = resources.files(__package__) / "data"

#: Side of the photographs as they are stored, in pixels.
PHOTOGRAPH_SIZE = 128


def photograph_credits() -> list[dict[str, str]]:
    """Name, title, photographer, licence and source of each photograph, in order."""
    return json.loads((_DATA / "photographs.json").read_text(encoding="utf-8"))


def photograph_file(name: str, whole: bool = False) -> bytes:
    """The JPEG of a photograph: 128 × 128 pixels of it, or the whole.

    Raises:
        ValueError: there is none of that name; the names are listed.
    """
    names = [credit["name"] for credit in photograph_credits()]
    if name not in names:
        raise ValueError(f"no photograph {name!r:.60}: there are {', '.join(names)}")
    return (_DATA / f"{name}{'_whole' * whole}.jpg").read_bytes()


def open_photograph(name: str):
    """One of the six photographs, whole, as a PIL image like one of your own.

    Its shorter side has 300 to 512 pixels, and it is not square.

    Raises:
        ValueError: there is none of that name; the names are listed.
        ImportError: Pillow is missing.

    >>> open_photograph("cat").size
    (451, 300)
    """
    content = photograph_file(name, whole=True)
    with _pillow("open_photograph").open(BytesIO(content)) as image:
        return read_image(image)


def _pillow(needed_by: str):
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{needed_by} needs Pillow: pip install pillow") from None
    return Image


def sample_photographs(size: int = PHOTOGRAPH_SIZE) -> dict[str, Tensor]:
    """Six photographs, by name: a cat, a flower, a cup, a rocket, a pavilion, a portrait.

    Args:
        size: side in pixels, a divisor of 128; smaller ones are averages of squares.

    Returns:
        For each, a tensor (3, size, size) of numbers from 0 to 1.

    Raises:
        ValueError: ``size`` does not divide 128.
        ImportError: Pillow is missing.

    >>> sample_photographs(32)["cat"].shape
    torch.Size([3, 32, 32])
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or PHOTOGRAPH_SIZE % size:
        raise ValueError(f"size must divide {PHOTOGRAPH_SIZE}, got {size!r:.60}")
    Image = _pillow("sample_photographs")
    photographs = {}
    for name in (credit["name"] for credit in photograph_credits()):
        with Image.open(BytesIO(photograph_file(name))) as image:
            pixels = torch.frombuffer(bytearray(read_image(image).tobytes()), dtype=torch.uint8)
        pixels = pixels.view(PHOTOGRAPH_SIZE, PHOTOGRAPH_SIZE, 3).permute(2, 0, 1) / 255
        photographs[name] = F.avg_pool2d(pixels, PHOTOGRAPH_SIZE // size)
    return photographs


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with what one must know to use it.

    Attributes:
        model: in eval mode.
        classes: names, in the order of the logits.
        size: side of the images that it was trained on, in pixels.
        mean, std: of the training images' channels, on a scale from 0 to 1.
        record: of its training: what ran, on what, with which seed, what came out.
    """

    model: EfficientNet
    classes: tuple[str, ...]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    record: dict

    @cached_property
    def test_accuracy(self) -> float:
        """Share of the test images that it names rightly, from the record."""
        return self.record["final"]["test_accuracy"]

    def prepare(self, images: Tensor) -> Tensor:
        """Images with numbers from 0 to 1, (N, 3, height, width), as the network expects them.

        They are reduced or enlarged to ``size`` and normalised like the training images.

        Raises:
            TypeError, ValueError: not such a tensor.
        """
        if not isinstance(images, Tensor) or not images.is_floating_point():
            got = images.dtype if isinstance(images, Tensor) else type(images).__name__
            advice = ": divide bytes by 255, images.float() / 255" if isinstance(images, Tensor) else ""
            raise TypeError(f"expected a tensor of numbers from 0 to 1, got {got}{advice}")
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise ValueError(f"expected images (N, {len(self.mean)}, height, width), got {tuple(images.shape)}")
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        mean, std = (images.new_tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (images - mean) / std


def cifar_small() -> TrainedNetwork:
    """The small network that comes with the library: φ = −4, CIFAR-10, 32 pixels.

    Its weights are stored in half precision (2 MB) and computed with in single precision.

    Raises:
        ImportError: safetensors is missing.
    """
    try:
        from safetensors.torch import load
    except ImportError:
        raise ImportError("cifar_small needs safetensors: pip install safetensors") from None
    facts = json.loads((_DATA / "cifar_small.json").read_text(encoding="utf-8"))
    record, size = facts["record"], facts["record"]["model"]["resolution"]
    classes = tuple(record["dataset"]["classes"])
    variant = scale_variant(float(record["config"]["variant"].removeprefix("phi=")))
    model = build_model(variant, len(classes), output_stride=record["model"]["output_stride"])
    state = load((_DATA / "cifar_small.safetensors").read_bytes())
    model.load_state_dict({name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()})
    return TrainedNetwork(model.eval(), classes, size, tuple(facts["mean"]), tuple(facts["std"]), record)


def cifar_small_gates() -> dict:
    """What the gates of :func:`cifar_small` do on the 10,000 test images, as measured.

    Returns:
        ``images``: how many; ``blocks``: for each block its ``channels``, the ``mean`` of all
        gates, and two root mean squares of deviations: ``between_channels`` of a channel's
        average gate from the mean of all, ``between_images`` of a gate from its channel's
        average. Then accuracies with gates held at their averages: on ``fixed_images`` of
        them, with ``fixed_none``, with those of one block (``fixed_one``), with ``fixed_all``.
    """
    return json.loads((_DATA / "cifar_small.json").read_text(encoding="utf-8"))["gates"]
