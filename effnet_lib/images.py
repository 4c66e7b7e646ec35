"""From a picture to what a network reads: opened, resized, cropped, normalised."""

import numbers
import os
import threading
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

#: What to do with images of integers where a network expects its input.
SCALE_BYTES = "divide bytes by 255 and normalize them, x.float() / 255, or let model.preprocess do both"


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
        ``create_transform`` with the same settings, on images that need no conversion. Others
        are read by :func:`read_image`: upright, on white where they are transparent, and with
        the channels that ``mean`` has.

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
        source = image
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
        if not self.squash:
            check_shape(source, width, height, self.resize)
        size = [self.resize] * (2 if self.squash else 1)
        image = functional.resize(image, size, transforms.InterpolationMode(self.interpolation), antialias=True)
        image = functional.center_crop(image, [self.crop])
        if not isinstance(image, Tensor):
            image = functional.pil_to_tensor(image)
        image = functional.convert_image_dtype(image, torch.float32)
        image = functional.normalize(image, self.mean, self.std)
        return image if image.ndim == 4 else image[None]


def resize_bytes(images: Tensor, size: int) -> Tensor:
    """Square images of bytes, (N, C, side, side), at ``size`` pixels, to the bits of :class:`Preprocessing`.

    Pillow resizes them, one by one on the CPU, since torch rounds elsewhere: a network that is
    evaluated in training then sees what it will see when it classifies the same files.
    """
    if images.shape[-1] == size:
        return images
    functional = need("torchvision.transforms.functional", "preparing images")
    bilinear = functional.InterpolationMode.BILINEAR
    resized = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    for image, out in zip(images.cpu(), resized):
        picture = functional.resize(functional.to_pil_image(image), [size, size], bilinear, antialias=True)
        out.copy_(functional.pil_to_tensor(picture))
    return resized.to(images.device)


def check_shape(source, width: int, height: int, resize: int) -> None:
    """See that an image, a path or a thing, does not become huge when its shorter side gets ``resize`` pixels.

    Raises:
        ValueError: it does.
    """
    if resize**2 * max(width, height) // min(width, height) > MAX_PIXELS:
        named = shown(source) if isinstance(source, (str, os.PathLike)) else "the image"
        raise ValueError(
            f"{named} has {width} × {height} pixels: resized so that its shorter side has {resize}, it would be "
            "too large: cut it first"
        )


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

    Training, evaluation, calibration and classification all read pictures here, so that they see
    the same pixels or refuse a file in the same words:

    - it is turned as its EXIF or XMP orientation says; one that is damaged is ignored;
    - what is transparent lies on white;
    - grey of more than 8 bits goes from 0, black, to 65535, white (4095 for 12 bits). Where the
      format does not say how many bits are used (32-bit integers), a picture without a number
      above 255 is taken for bytes. Floating-point pixels are refused: nothing says what is white;
    - of an animation it is the first frame, or the one that the PIL image stands at;
    - color profiles are not applied.

    Args:
        source: a path or a PIL image of any mode, which is left as it is.
        mode: ``"RGB"`` or ``"L"`` (grey).

    Raises:
        TypeError: it is neither.
        ValueError: there is no such file, or it cannot be read as an image.
    """
    need("PIL.Image", "reading pictures")
    from PIL import Image

    if isinstance(source, Image.Image):
        path = None
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path.startswith("~") or not os.path.isfile(path):  # a look that costs little, for a million files
            path = find_file(source, "the path of an image")
    else:
        raise TypeError(
            f"expected a path, a PIL image or a tensor, got {type(source).__name__}"
            + (": use torch.from_numpy(array).permute(2, 0, 1)" if type(source).__name__ == "ndarray" else "")
        )
    try:
        with _SILENCE:
            if path is None:
                return _decode(source, mode, keep=True)
            # Given a name, Pillow maps plain files into memory, and scrambles such a TIFF when it turns it.
            with open(path, "rb") as file, Image.open(file) as image:
                return _decode(image, mode, keep=False)
    except Exception as error:  # decoders raise whatever a damaged file makes them raise
        named = "the image" if path is None else shown(path)
        raise ValueError(f"{named} {_explain(error)}") from None


def _explain(error: Exception) -> str:
    """Why a file is refused, to follow its name."""
    from PIL import Image

    if isinstance(error, Image.DecompressionBombError):
        return f"would unpack to more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: refused"
    if isinstance(error, PermissionError):
        return "may not be read: check its permissions"
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not an image that Pillow can read"
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return f"cannot be read as an image: {reason[0]}"


class _Silence:
    """No warnings, in as many threads as there are: ``catch_warnings`` alone would mix up their filters.

    Pillow warns of large pictures and damaged metadata; what matters of these is an error here.
    """

    def __init__(self):
        self.lock, self.inside, self.caught = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            if not self.inside:
                self.caught = warnings.catch_warnings(action="ignore")
                self.caught.__enter__()
            self.inside += 1

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.caught.__exit__()


_SILENCE = _Silence()


def _decode(image, mode: str, keep: bool):
    """The pixels of an opened image in ``mode``; a copy where the image shall be kept as it is."""
    if image.format == "EPS":  # Pillow would hand it to Ghostscript, which runs it
        raise ValueError("it is a program that draws, in PostScript: give its picture as PNG or JPEG")
    if 0 in image.size:
        raise ValueError(f"it has no pixels: its size is {image.width} × {image.height}")
    transparency, (white, inverted) = _transparent_color(image), _scale(image)
    image.load()
    upright = _turn(image)
    if upright is image and keep:
        upright = image.copy()
    if transparency is not None:
        upright.info["transparency"] = transparency
    if upright.mode.startswith("I"):
        upright = _as_bytes(upright, white, inverted)
    flat = _on_white(upright)
    if flat.mode == "LAB":  # Pillow converts it to RGB only
        flat = flat.convert("RGB")
    return flat if flat.mode == mode else flat.convert(mode)  # a plain picture is not copied


def _turn(image):
    """The picture as its orientation says, or itself where it stands upright."""
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # metadata is damaged more often than pixels
        return image
    if orientation not in range(2, 9):
        return image
    turned = image.transpose(_TURNS[int(orientation) - 2])
    turned.info = {}  # or it would be turned again when it is read again
    return turned


# Values of PIL.Image.Transpose for the orientations 2 to 8: mirrored, upside down, both, and so on.
_TURNS = (0, 3, 1, 5, 4, 6, 2)


def _transparent_color(image):
    """What the file calls transparent, on the scale of the pixels that Pillow makes of it.

    In a PNG it has the depth of the file, which is not that of the pixels for grey of 2 and 4 bits
    and for RGB of 16.
    """
    color = image.info.get("transparency")
    if color is None or image.format != "PNG":
        return color
    raw = image.tile[0][3] if image.tile else image.mode
    if raw == "RGB;16B":
        return tuple(value >> 8 for value in color)
    if raw in ("L;2", "L;4"):
        top = 2 ** int(raw[2]) - 1
        return (color & top) * 255 // top
    return color


def _scale(image) -> tuple[int | None, bool]:
    """The number that is white where grey has more than 8 bits, None if unknown; whether it is black."""
    tags = getattr(image, "tag_v2", {})  # of TIFF
    known = image.mode != "I" or image.format in ("PNG", "PPM")
    white = 4095 if tags.get(258) == (12,) else 65535 if known else None
    return white, tags.get(262) == 0


def _as_bytes(image, white: int | None, inverted: bool):
    """Grey of more than 8 bits as bytes, which a plain conversion would clip at 255."""
    from PIL import ImageChops

    transparent = image.info.get("transparency")
    image = image.convert("I")
    low, high = image.getextrema()
    most = white or 65535
    if low < 0 or high > most:
        raise ValueError(f"its pixels go from {low} to {high}, where 0 to {most} are expected")
    white = white or (255 if high <= 255 else most)
    slope, black = (-255 / white, 255.5) if inverted else (255 / white, 0.5)
    grey = image.point(lambda value: value * slope + black).convert("L")
    grey.info = {}
    if isinstance(transparent, int):
        above = image.point(lambda value: value * 1 + -transparent).convert("L")  # negative numbers become 0
        below = image.point(lambda value: value * -1 + transparent).convert("L")
        grey.putalpha(ImageChops.add(above, below).point(lambda distance: 255 if distance else 0))
    return grey


def _on_white(image):
    """The picture without transparency: it lies on white."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers, and nothing says which is white: save it with 8 or 16 bits a "
            "pixel, or give a tensor with values between 0 and 1"
        )
    if image.mode == "La":  # grey that is multiplied by its opacity
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image
