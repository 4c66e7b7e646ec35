"""What is in a file of weights: the sets of tensors whose names are known, wherever they stand.

Training scripts save more than a network: an optimizer, arguments, averaged weights, a loss with
weights of its own. Here a file is read as data (nothing in it is run), and searched, at most two
mappings deep, for tensors under the names of one of the four schemes of :mod:`effnet_lib.naming`.
"""

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .files import shown
from .naming import NORM, SCHEMES, find_networks
from .packages import need
from .pickles import Damaged, Global, Inert, Stored, read_pickled, walk
from .releases import WeightsError, WeightsPackageError, is_timm_name

KEY = "effnet_lib"  # under which a file holds what is to know about its weights

#: Where a network's own tensors mostly stand, the likeliest first.
_USUAL = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "weights", "params")

#: A part of a name that tells of averaged weights, which answer better than those they are averaged from.
_AVERAGED = re.compile(r"(^|[._-])(ema|swa|averaged?|shadow)([._-]|$)", re.IGNORECASE)

#: What wrappers put before the names of a module inside a network.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")

_TRUSTED = (
    "Where you trust it, read it with torch.load(..., weights_only=False), save the state dict in it alone with "
    "torch.save, and give that file"
)


@dataclass(frozen=True)
class State:
    """Tensors of a network, found in a file.

    Attributes:
        entry: where they stand, such as ``state_dict`` or ``state_dict.model``; empty for the whole file.
        scheme: whose names they have.
        tensors: by these names; a tensor may still be in the file.
        came_from: by the same names, how the file calls them.
        left_out: names beside them that are not this network's.
        said: what the file says about them.
    """

    entry: str
    scheme: str
    tensors: dict[str, Tensor | Stored]
    came_from: dict[str, str]
    left_out: tuple[str, ...]
    said: str | None

    @property
    def averaged(self) -> bool:
        return bool(_AVERAGED.search(self.entry))


def read_states(content: bytes, path: Path) -> tuple[list[State], list[str]]:
    """The networks in a file, the one to prefer first, and timm's names of them that it tells.

    Averaged weights come before others, then the usual names of an entry (``state_dict``,
    ``model``, ``model_state_dict``, ...) before unusual ones, then the file's own order.

    Raises:
        WeightsError: it is damaged, refused, or holds none.
        MemoryError: it does not fit into memory.
    """
    if not content:
        raise WeightsError(f"{path} is empty")
    said = None
    if content[8:9] == b"{":
        top, said = _read_safetensors(content, path)
    else:
        top = _read_torch(content, path)
    states = []
    for entry, mapping, outer, metadata in _mappings(top):
        told = [said, outer.get(KEY), metadata.get(KEY)]
        states += _networks(entry, mapping, next((text for text in told if isinstance(text, str)), None), path)
    if not states:
        raise WeightsError(_why_none(top, path))

    def rank(state: State) -> tuple:
        last = state.entry.rpartition(".")[2]
        return not state.averaged, _USUAL.index(last) if last in _USUAL else len(_USUAL)

    return sorted(states, key=rank), _told_architectures(top)


# Where the tensors are


def _plain(mapping: object) -> dict:
    """The items of any dictionary; a file may give one attributes that hide its methods."""
    return dict(dict.items(mapping)) if isinstance(mapping, dict) else {}


def _mappings(top: object, depth: int = 2) -> Iterator[tuple[str, dict, dict, dict]]:
    """(place, mapping, the mapping around it, its metadata), the outer ones first; optimizers hold no network."""
    waiting, seen = [("", top, {}, 0)], set()
    for entry, found, outer, level in waiting:  # which grows meanwhile
        if not isinstance(found, dict) or id(found) in seen:
            continue
        seen.add(id(found))
        mapping = _plain(found)
        yield entry, mapping, outer, _plain(getattr(found, "_metadata", None))
        if level < depth:
            waiting += [
                (f"{entry}.{key}" if entry else key, inner, mapping, level + 1)
                for key, inner in mapping.items()
                if isinstance(key, str) and not key.startswith("optim")
            ]


def _networks(entry: str, mapping: dict, said: str | None, path: Path) -> Iterator[State]:
    """The networks among the tensors of one mapping, told apart by what stands before their names.

    Raises:
        WeightsError: two tensors would have one name, or what should be a tensor is none.
    """
    clean = {name: _WRAPPERS.sub("", name) for name in mapping if isinstance(name, str)}
    networks = list(dict.fromkeys(find_networks(clean.values())))[:16]  # no training has more
    for network in networks:
        inside = tuple(n.prefix for n in networks if n != network and n.prefix.startswith(network.prefix))
        tensors, came_from, beside = {}, {}, []
        for name, short in clean.items():
            value = mapping[name]
            if not short.startswith(network.prefix) or short.startswith(inside):
                if isinstance(value, _TENSOR):
                    beside.append(name)
                continue
            short = short.removeprefix(network.prefix)
            if not isinstance(value, _TENSOR):
                if short.rpartition(".")[2] in NORM:
                    raise WeightsError(_no_tensor(name, value, path))
            elif short in tensors:
                raise WeightsError(_twice(short, came_from[short], name, path))
            else:
                tensors[short], came_from[short] = value, name
        for name in beside:
            theirs = [n.prefix for n in networks if n != network and clean[name].startswith(n.prefix)]
            if clean[name] in tensors and all(_unwrapped(p) == _unwrapped(network.prefix) for p in theirs):
                raise WeightsError(_twice(clean[name], came_from[clean[name]], name, path))
        if all(0 in tensor.shape for tensor in tensors.values() if len(tensor.shape)):
            raise WeightsError(
                f"{path} holds empty tensors, as DeepSpeed's ZeRO 3 leaves them: gather the shards with its "
                "zero_to_fp32.py, and give the file that it writes"
            )
        place = ".".join(part for part in (entry, network.prefix.rstrip(".")) if part)
        left_out = tuple(name for name in beside if name != "n_averaged")  # of torch's AveragedModel
        yield State(place, network.scheme, tensors, came_from, left_out, said)


_TENSOR = (Tensor, Stored)


def _unwrapped(prefix: str) -> str:
    """What stands before the names, without the wrappers of many devices."""
    return re.sub(r"(^|(?<=\.))module\.", "", prefix)


def _twice(short: str, first: str, second: str, path: Path) -> str:
    return (
        f"{path} holds two tensors that are both {shown(short, 80)}: {shown(first, 80)} and {shown(second, 80)}. "
        "Keep one of the two sets"
    )


def _no_tensor(name: str, value: object, path: Path) -> str:
    kind = value.name if isinstance(value, Inert) else type(value).__name__
    if "_rebuild_" in kind:
        return f"{path}: {shown(name, 80)} is not a plain tensor of numbers: {PLAIN}"
    return (
        f"{path} does not hold named tensors: {shown(name, 80)} is a {shown(kind, 80)}. Save the network's own "
        "state_dict() with torch.save"
    )


#: What to do where a tensor is sparse, quantised, or on no device.
PLAIN = "save the network's weights dense and in floating point, before it is quantised"


def _why_none(top: object, path: Path) -> str:
    """Why there is no network in a file that was read."""
    if not _plain(top):
        return f"{path} does not hold named tensors: save the network's state_dict() with torch.save"
    for entry, mapping, *_ in _mappings(top):
        names = [name for name, value in mapping.items() if isinstance(name, str) and isinstance(value, _TENSOR)]
        if {"stem.weight", "head.weight", "classifier.weight"} <= set(names):
            return (
                f"{path} are of a network that was optimised for inference, which only load_state_dict of another "
                "such network takes: save the original, and optimise after loading"
            )
        if any(re.search(r"(^|[._])flat_param(_\d+)?$", name) for name in names):
            return (
                f"{path} is a shard of FSDP's, whose tensors are laid flat: gather them with "
                "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
                "options=StateDictOptions(full_state_dict=True)), and save those"
            )
        if any("." in name for name in names):
            where = f"{path}, in {shown(entry, 80)}," if entry else f"{path}"
            examples = ", ".join(shown(name, 80) for name in names[:3])
            return (
                f"{where} are of another network: their names, such as {examples}, belong to none of "
                f"{', '.join(SCHEMES)}. Rename them, or build the network that they are of"
            )
    entries = ", ".join(shown(key, 40) for key in list(top)[:5] if isinstance(key, str))
    return (
        f"{path} does not hold named tensors: its entries are {entries or 'no text'}. Save the network's "
        "state_dict() with torch.save"
    )


def _told_architectures(top: object) -> list[str]:
    """timm's names of the network that a training wrote beside the weights, at the top or among its settings."""
    found, top = [], _plain(top)
    for place in [top] + [top.get(key) for key in ("args", "hyper_parameters", "config", "cfg")]:
        settings = _plain(place.state if isinstance(place, Inert) else place)
        values = [settings.get(key) for key in ("arch", "architecture", "model", "model_name", "backbone")]
        found += [value.partition(".")[0] for value in values if isinstance(value, str)]
    return [name for name in found if is_timm_name(name)]


# Reading


def _read_torch(content: bytes, path: Path) -> object:
    """What a file of ``torch.save`` holds.

    torch's own restricted reader goes first. It refuses all classes; where they are harmless ones of
    a training, :mod:`effnet_lib.pickles` reads round them.
    """
    if zipped := content[:2] == b"PK":
        _check_zip(content, path)
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory") from None
    except Exception:  # a damaged file makes the reader raise nearly anything
        pass
    try:
        top, unknown = read_pickled(content)
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory") from None
    except Damaged:
        raise WeightsError(
            f"{path} is not a file of weights, or is cut off or damaged: "
            + ("torch.save did not write it so" if zipped else "neither safetensors nor a file of torch.save")
        ) from None
    if unknown:
        raise WeightsError(_refusal(top, {name.name for name in unknown}, content, path))
    return top


def _refusal(top: object, unknown: set[str], content: bytes, path: Path) -> str:
    """Why a file with these classes or functions in it is not read: where the first stands, and what to do."""
    found = ((where, value) for where, value in walk(top) if isinstance(value, (Inert, Global)) and value.name in unknown)
    where, value = next(found, ("", Global(min(unknown))))
    name, place = shown(value.name, 80), f"its entry {shown(where, 120)}" if where else "it"
    if isinstance(value, Inert) and isinstance(value.state, dict) and "_modules" in value.state:
        return (
            f"{path} is refused: {place} is a whole pickled network ({name}), and reading it could run code. Where "
            "you trust it, read it with torch.load(..., weights_only=False), save its state_dict() with torch.save, "
            "and give that file"
        )
    if value.name.startswith("torch.distributed"):
        return (
            f"{path} is refused: {place} holds a {name}, a shard of a network on many devices: gather it with "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True)), and save that"
        )
    return (
        f"{path} is refused: {place} holds {name}, which is more than numbers and text, and reading it could run "
        f"code. {_TRUSTED}"
    )


def _check_zip(content: bytes, path: Path) -> None:
    """Look at the directory of a zip file before it is unpacked.

    Raises:
        WeightsError: it is damaged, or would unpack to more than it is. ``torch.save`` compresses nothing.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except Exception:  # as many kinds as there are ways to be damaged; what cannot be checked is not unpacked
        raise WeightsError(f"{path} is not a file of weights, or is cut off or damaged") from None
    if any("/code/" in member.filename for member in members):
        raise WeightsError(
            f"{path} is refused: it is a TorchScript program. Where you trust it, save "
            "torch.jit.load(...).state_dict() with torch.save, and give that file"
        )
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise WeightsError(f"{path} is refused: its parts are compressed, which torch.save never does")
    if sum(member.file_size for member in members) > len(content):
        raise WeightsError(f"{path} is refused: it would unpack to more than it is")


def _read_safetensors(content: bytes, path: Path) -> tuple[dict[str, Tensor], str | None]:
    load = need("safetensors.torch", str(path), WeightsPackageError).load
    length = int.from_bytes(content[:8], "little")
    try:
        state = load(content)
        said = json.loads(content[8 : 8 + length], object_pairs_hook=_once).get("__metadata__", {}).get(KEY)
    except MemoryError:
        raise MemoryError(f"{path} does not fit into memory") from None
    except Exception as error:  # safetensors' own errors share no base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} is not a safetensors file, or is damaged: {reason}") from None
    return state, said


def _once(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object, none of whose names comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names {next(name for name in names if names.count(name) > 1)!r:.80} twice")
    return found


def explain_folder(path: Path) -> str | None:
    """What to do where the path of weights is a folder of shards, or holds the file that is meant; None if neither."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return None
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return (
            "is a checkpoint in shards: put them together with "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(FOLDER, 'weights.pth'), and give that file"
        )
    if "zero_to_fp32.py" in names or "latest" in names:
        return "is a checkpoint of DeepSpeed's: run its zero_to_fp32.py on it, and give the file that it writes"
    whole = [name for name in names if name.endswith((".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar"))]
    return f"is a directory: give one of its files, such as {shown(path / whole[0])}" if whole else None
