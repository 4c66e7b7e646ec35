"""From a picture to what a network reads: opened, resized, cropped, normalised."""

import numbers
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .files import find_file, shown
from .packages import need
from .scaling import positive_int

#: An image that grows beyond this many pixels in resizing is refused: it is a thread, not a picture.
MAX_PIXELS = 2**26


@dataclass(frozen=True)
class Preprocessing:
    """How images are prepared for a network: ``preprocessing(image)`` does it.

    Attributes:
        resize: the shorter side after resizing, in pixels.
        crop: side of the square that is cut from the middle.
        interpolation: ``"bilinear"`` or ``"bicubic"``, both with antialiasing.
        mean, std: of the channels, where 0 is black and 1 is white. Three for RGB, one for grey;
            images of any other number must be tensors.
        squash: resize both sides to ``resize``, whatever the shape of the image.

    Raises:
        TypeError, ValueError: a value is of the wrong kind or out of range.

    >>> Preprocessing(256, 224)(torch.zeros(3, 300, 400, dtype=torch.uint8)).shape
    torch.Size([1, 3, 224, 224])
    """

    resize: int
    crop: int
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    squash: bool = False

    def __post_init__(self):
        for name in ("resize", "crop"):
            value = positive_int(name, getattr(self, name))
            if value > 8192:
                raise ValueError(f"{name} must be at most 8192 pixels, got {value}")
            object.__setattr__(self, name, value)
        if not isinstance(self.interpolation, str) or self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation must be 'bilinear' or 'bicubic', got {self.interpolation!r:.60}")
        if not isinstance(self.squash, bool):
            raise TypeError(f"squash must be True or False, got {self.squash!r:.60}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ValueError(f"{name} must be three numbers for RGB, or one for each channel, got {values!r:.60}")
            if not all(isinstance(v, numbers.Real) and not isinstance(v, bool) and abs(v) < 1e3 for v in values):
                raise ValueError(f"{name} must be finite numbers, got {values!r:.60}")
            object.__setattr__(self, name, tuple(map(float, values)))
        if len(self.mean) not in (1, 3, len(self.std)):
            raise ValueError(f"mean must be three numbers for RGB, or one for each channel as std, got {self.mean}")
        if len(self.mean) != len(self.std) or min(self.std) < 1e-6:
            raise ValueError(f"std must be as many numbers as mean and above 0, got {self.std}")

    def with_channels(self, channels: int) -> "Preprocessing":
        """The same for another number of channels, with mean and std repeated.

        Channels beyond a whole number of repeats get the averages: one channel has those of RGB.

        >>> Preprocessing(256, 224).with_channels(1).mean
        (0.449,)
        """
        repeats, rest = divmod(channels, len(self.mean))
        mean, std = (
            values * repeats + (round(sum(values) / len(values), 12),) * rest for values in (self.mean, self.std)
        )
        return replace(self, mean=mean, std=std)

    def __call__(self, image) -> Tensor:
        """The network's input: float32, (N, C, crop, crop), where one image makes N = 1.

        Does the same, bit for bit, as torchvision's ``weights.transforms()`` and timm's
        ``create_transform`` with the same settings, on images that need no conversion. A
        picture is first turned upright by its EXIF tag, laid on white where it is
        transparent, and converted to the channels that ``mean`` has.

        Args:
            image: a path, a PIL image of any mode, or a tensor of shape (C, H, W) or
                (N, C, H, W), either bytes (uint8) or floating point between 0 and 1.

        Raises:
            TypeError: it is none of these.
            ImportError: Pillow or torchvision is missing.
            ValueError: a file is missing, damaged or no image; a tensor has another shape
                or values out of range.
        """
        need("PIL.Image", "preparing images")  # without it torchvision cannot be imported either
        transforms = need("torchvision.transforms", "preparing images")
        functional = transforms.functional
        channels = len(self.mean)
        if isinstance(image, Tensor):
            image = _check_tensor(image, channels)
            height, width = image.shape[-2:]
        elif channels not in (1, 3):
            raise TypeError(
                f"the network takes images of {channels} channels, which no picture has: give a tensor of shape "
                f"({channels}, height, width)"
            )
        else:
            image = read_image(image, "L" if channels == 1 else "RGB")
            width, height = image.size
        if not self.squash and self.resize**2 * max(width, height) // min(width, height) > MAX_PIXELS:
            raise ValueError(
                f"an image of {width} × {height} pixels, resized so that its shorter side has "
                f"{self.resize}, would be too large: cut it first"
            )
        size = [self.resize] * (2 if self.squash else 1)
        image = functional.resize(image, size, transforms.InterpolationMode(self.interpolation), antialias=True)
        image = functional.center_crop(image, [self.crop])
        if not isinstance(image, Tensor):
            image = functional.pil_to_tensor(image)
        image = functional.convert_image_dtype(image, torch.float32)
        image = functional.normalize(image, self.mean, self.std)
        return image if image.ndim == 4 else image[None]


def _check_tensor(image: Tensor, channels: int) -> Tensor:
    expected = f"expected an image tensor of shape ({channels}, height, width) or (N, {channels}, height, width)"
    if image.ndim not in (3, 4) or image.shape[-3] != channels or 0 in image.shape:
        raise ValueError(f"{expected}, got {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise ValueError(f"{expected} of uint8, or of floating point between 0 and 1; got {image.dtype}")
    image = image.float()
    low, high = image.aminmax()
    if not (low >= 0 and high <= 1):  # not a number is neither
        raise ValueError(
            f"a floating-point image must lie between 0 and 1, got {low:.4g} to {high:.4g}: "
            "give bytes as uint8, and an image that is not normalised yet"
        )
    return image


def read_image(source, mode: str = "RGB"):
    """The picture in a file, or a PIL image, upright, without transparency, in ``mode``.

    Of an animation it is the first frame, or the one that the PIL image stands at.

    Args:
        source: a path or a PIL image of any mode.
        mode: ``"RGB"`` or ``"L"`` (grey).

    Raises:
        TypeError: it is neither.
        ValueError: there is no such file, or it cannot be read as an image.
    """
    need("PIL.Image", "reading pictures")
    from PIL import Image, ImageOps

    if isinstance(source, Image.Image):
        named, opened = "the image", source
    elif isinstance(source, (str, os.PathLike)):
        path = find_file(source, "the path of an image")
        named, opened = shown(path), None
    else:
        raise TypeError(
            f"expected a path, a PIL image or a tensor, got {type(source).__name__}"
            + (": use torch.from_numpy(array).permute(2, 0, 1)" if type(source).__name__ == "ndarray" else "")
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of large pictures, and refuses huge ones
            opened = opened or Image.open(path)
            if opened.format == "EPS":  # Pillow would hand it to Ghostscript, which runs it
                raise ValueError("it is a program that draws, in PostScript: give its picture as PNG or JPEG")
            if 0 in opened.size:
                raise ValueError(f"it has no pixels: its size is {opened.width} × {opened.height}")
            return _flatten(ImageOps.exif_transpose(opened)).convert(mode)
    except Image.DecompressionBombError:
        raise ValueError(f"{named} would unpack to more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: refused") from None
    except PermissionError:
        raise ValueError(f"{named} may not be read: check its permissions") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"{named} is not an image that Pillow can read") from None
    except MemoryError:
        raise ValueError(f"{named} does not fit into memory") from None
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{named} cannot be read as an image: {reason[0]}") from None
    finally:
        if opened is not None and opened is not source:
            opened.close()


def _flatten(image):
    """The picture laid on white where it is transparent, and 16-bit grey as bytes."""
    from PIL import Image

    if image.mode.startswith("I"):  # mostly 16 bits a pixel, which a plain conversion would clip at 255
        sixteen, image = image.mode != "I", image.convert("I")
        low, high = image.getextrema()
        if low < 0 or high > 65535:
            raise ValueError(f"its pixels go from {low} to {high}, where 0 to 65535 are expected")
        if sixteen or high > 255:
            image = image.point(lambda value: value * (1 / 257))
        return image.convert("L")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers: give a tensor with values between 0 and 1")
    if image.mode == "La":  # grey that is multiplied by its opacity
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image
