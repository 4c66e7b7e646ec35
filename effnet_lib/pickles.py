"""Files of torch.save, read as data: containers, numbers, text and tensors, and nothing is run.

A pickle is a small program for a stack machine. Its dangerous instructions name a function or a
class and call it. Here a name stays a name and a call is written down as an :class:`Inert`,
whatever it is; no module is imported, no class is made. So files that hold a training's
``argparse.Namespace``, NumPy numbers, paths or settings can be read for their tensors.

Source: ``pickletools`` for the instructions, ``torch/serialization.py`` for the two formats.
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_LIBRARIES = (
    "accelerate addict box easydict fastcore lightning lightning_fabric lightning_utilities ml_collections mmengine "
    "munch omegaconf pytorch_lightning torchmetrics yacs"
).split()

#: What training scripts leave in their files, and what means no harm: it is passed over.
_HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace"
    r"|collections\.(OrderedDict|defaultdict|Counter|deque)"
    r"|datetime\.(date|datetime|time|timedelta|timezone)|zoneinfo\.ZoneInfo(\._unpickle)?"
    r"|decimal\.Decimal|fractions\.Fraction|uuid\.(UUID|SafeUUID)"
    r"|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    r"|numpy\.(dtype|ndarray|bool_?|(u?int|float|complex)\w*|(u?long|datetime|timedelta|str|bytes)\w*|void)"
    r"|numpy\.dtypes\.\w+DType|numpy\._?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)"
    r"|numpy\.random\._pickle\.__\w+_ctor|numpy\.random\._\w+\.\w+"
    r"|torch\.(\w*Tensor|\w+Storage|Size|Generator|device|dtype|b?float\w*|[qu]*int\w*|long|short|half|double|bool)"
    r"|torch\.(cuda|storage)\.\w+Storage|torch\.(_utils|_tensor)\._rebuild_\w+|torch\.serialization\._get_layout"
    r"|torch\.(complex\w+|per_\w+_affine|strided|sparse_\w+|channels_last|\w+_format)"
    r"|torch\.nn\.parameter\.(Parameter|Buffer)|torch(\.cuda)?\.(optim|amp)\.[\w.]+"
    r"|typing\.\w+|_codecs\.encode|copyreg\._reconstructor"
    r"|(builtins|__builtin__)\.(bool|bytearray|bytes|complex|dict|float|frozenset|getattr|int|list|object|range|set"
    r"|slice|str|tuple|unicode|xrange)"
    r"|timm\.(data|optim|scheduler|task|utils)\.[\w.]+"
    rf"|({'|'.join(_LIBRARIES)})\.[\w.]+"
)

_DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
}  # fmt: skip

#: The numbers with which torch.save began its files before version 1.6.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Damaged(ValueError):
    """The file is none of torch.save's, or not whole."""


class Mapping(dict):
    """Any kind of dictionary, with what torch says beside a state dict."""

    _metadata = None


@dataclass(eq=False, slots=True)
class Inert:
    """A value of some class, or what a function would return: its name, and what was given to it."""

    name: str
    arguments: object = ()
    state: object = None


@dataclass(eq=False, slots=True)
class Global:
    """The name of a class or function."""

    name: str


@dataclass(eq=False, slots=True)
class Stored:
    """A tensor that is still in the file: ``load`` reads the numbers under ``key``."""

    load: Callable
    dtype: torch.dtype
    key: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor; views of one storage stay views of one.

        Raises:
            ValueError, RuntimeError, TypeError: the numbers do not reach that far.
        """
        return self.load(self.key, self.dtype).as_strided(self.shape, self.stride, self.offset)


def read_pickled(content: bytes) -> tuple[object, list[Global]]:
    """What a file of ``torch.save`` holds, and the names in it that are not known to be harmless.

    Raises:
        Damaged: it is no such file, or not whole.
        MemoryError: it does not fit into memory.
    """
    try:
        return _read_zip(content) if content[:2] == b"PK" else _read_old(content)
    except (MemoryError, Damaged):
        raise
    except Exception as error:  # whatever a damaged file makes the readers raise
        raise Damaged(str(error)) from None


def _read_zip(content: bytes) -> tuple[object, list[Global]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise Damaged("a file of torch.save has one data.pkl")
    folder = names[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise Damaged("its numbers are big-endian")
    storages: dict[str, Tensor] = {}

    def load(key: str, dtype: torch.dtype) -> Tensor:
        if key not in storages:
            storages[key] = _as_tensor(archive.read(f"{folder}data/{key}"), dtype)
        return storages[key]

    return _run(io.BytesIO(archive.read(names[0])), load)


def _read_old(content: bytes) -> tuple[object, list[Global]]:
    """The format before torch 1.6: five pickles in a row, and the numbers of each storage."""
    file, sizes, places = io.BytesIO(content), {}, {}

    def load(key: str, dtype: torch.dtype) -> Tensor:
        start, count = places[key]
        length = count * dtype.itemsize
        if start + length > len(content):
            raise Damaged("it is cut off")
        return _as_tensor(content[start : start + length], dtype)

    if _run(file, load)[0] != _MAGIC or _run(file, load)[0] != _PROTOCOL:
        raise Damaged("it is no file of torch.save")
    _run(file, load)  # of which machine
    top, unknown = _run(file, load, sizes)
    position = None
    for key in _run(file, load)[0]:
        position = file.tell() if position is None else position
        count = int.from_bytes(content[position : position + 8], "little")
        places[key] = position + 8, count
        position += 8 + count * sizes[key].itemsize
    return top, unknown


def _as_tensor(content: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _run(file: io.BytesIO, load: Callable, dtypes: dict | None = None) -> tuple[object, list[Global]]:
    """Follow the instructions of one pickle, to its value and the names that are not harmless.

    Args:
        file: stands at its first byte; afterwards behind its last.
        load: reads the numbers of a storage.
        dtypes: filled with the kind of number of each storage.
    """
    stack, marks, memo, unknown = [], [], {}, []
    dtypes = {} if dtypes is None else dtypes

    def since_mark() -> list:
        start = marks.pop()
        found = stack[start:]
        del stack[start:]
        return found

    def name(module: str, attribute: str) -> Global:
        if not (isinstance(module, str) and isinstance(attribute, str)):  # what else would print may have no end
            raise Damaged("a name is no text")
        found = Global(f"{module}.{attribute}")
        if not _HARMLESS.fullmatch(found.name):
            unknown.append(found)
        return found

    def call(function: object, arguments: object) -> object:
        called = function.name if isinstance(function, Global) else "?"
        given = arguments if isinstance(arguments, tuple) else ()
        if called in ("collections.OrderedDict", "collections.Counter", "builtins.dict", "__builtin__.dict"):
            return _fill(Mapping(), given[0] if given else ())
        if called == "collections.defaultdict":
            return Mapping()
        if called in ("builtins.getattr", "__builtin__.getattr") and isinstance(given[0], Global):  # protocol 2 for a name with dots
            return name(given[0].name, given[1])
        if called in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
            storage, offset, shape, stride = given[:4]
            if not isinstance(storage, tuple):  # no plain one
                return Inert(called, given)
            if not all(type(size) is int and size >= 0 for size in (offset, *shape, *stride)):
                raise Damaged("a shape is none")
            return Stored(load, *storage, offset, tuple(shape), tuple(stride))
        if called in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
            return given[0]
        if called == "torch._tensor._rebuild_from_type_v2":
            return call(given[0], given[2])
        return Inert(called, arguments)

    def persistent(found: tuple) -> object:
        what, kind, key = found[:3]
        if what == "module":  # a class with its source, in the old format
            return kind
        if not isinstance(key, str):
            raise Damaged("the name of a storage is no text")
        dtype = _DTYPES.get(kind.name.rpartition(".")[2].removesuffix("Storage"))
        if what != "storage" or dtype is None or (len(found) > 5 and found[5] is not None):
            return Inert(kind.name)
        dtypes[key] = dtype
        return dtype, key

    for instruction, argument, _ in pickletools.genops(file):
        match instruction.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction.name])
            case "EMPTY_DICT":
                stack.append(Mapping())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_SET":
                stack.append(Inert("builtins.set"))
            case "LIST":
                stack.append(since_mark())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "FROZENSET":
                stack.append(Inert("builtins.frozenset", since_mark()))
            case "DICT":
                stack.append(_fill(Mapping(), _pairs(since_mark())))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(instruction.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                _extend(stack[-2], [stack.pop()])
            case "APPENDS" | "ADDITEMS":
                items = since_mark()
                _extend(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _fill(stack[-1], [(key, value)])
            case "SETITEMS":
                items = since_mark()
                _fill(stack[-1], _pairs(items))
            case "POP":
                stack.pop()
            case "POP_MARK":
                since_mark()
            case "DUP":
                stack.append(stack[-1])
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GLOBAL":
                stack.append(name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(name(module, attribute))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(call(function, arguments))
            case "NEWOBJ_EX":
                named, arguments, function = stack.pop(), stack.pop(), stack.pop()
                stack.append(Inert(getattr(function, "name", "?"), (arguments, named)))
            case "INST":
                stack.append(call(name(*argument.split(" ", 1)), tuple(since_mark())))
            case "OBJ":
                function, *arguments = since_mark()
                stack.append(call(function, tuple(arguments)))
            case "BUILD":
                _build(stack[-2], stack.pop())
            case "BINPERSID":
                stack.append(persistent(stack.pop()))
            case "PERSID" | "EXT1" | "EXT2" | "EXT4":
                raise Damaged(f"torch.save writes no {instruction.name}")
            case _ if instruction.arg is not None and instruction.stack_before == []:
                stack.append(argument)  # a number or text
            case other:
                raise Damaged(f"{other} is not known")
    return stack.pop(), unknown


def _pairs(items: list) -> Iterator[tuple]:
    return zip(items[::2], items[1::2], strict=True)


def _fill(mapping: object, items) -> object:
    """Put items into a dictionary; what is no dictionary here, or no plain key, is kept beside it."""
    if isinstance(mapping, Mapping):
        for key, value in items.items() if isinstance(items, dict) else items:
            # Others may be objects, or tuples in tuples whose hash would take for ever.
            mapping[key if isinstance(key, (str, int, float, bytes, type(None))) else Inert("key", key)] = value
    elif isinstance(mapping, Inert):
        mapping.state = (mapping.state, list(items))
    else:
        raise Damaged("it sets items of something that has none")
    return mapping


def _extend(target: object, items: list) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, Inert):
        target.state = (target.state, items)
    else:
        raise Damaged("it adds to something that is no list")


def _build(target: object, state: object) -> None:
    if isinstance(target, Mapping) and isinstance(state, dict):
        target._metadata = state.get("_metadata")
    elif isinstance(target, Inert):
        target.state = state if target.state is None else (target.state, state)


def walk(top: object) -> Iterator[tuple[str, object]]:
    """Every value with the place where it stands, such as ``args.lr`` or ``history[3]``, the outer ones first."""
    waiting, seen = [("", top)], set()
    for where, value in waiting:  # which grows meanwhile
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield where, value
        where = where[:200]  # things in things make it grow without end
        if isinstance(value, dict):
            for key, inner in value.items():
                label = key[:200] if isinstance(key, str) else str(key) if type(key) is int and abs(key) < 10**9 else "?"
                waiting.append((f"{where}.{label}" if where else label, inner))
                if isinstance(key, Inert):
                    waiting.append((f"{where} (a key)", key))
            waiting.append((f"{where}._metadata".lstrip("."), getattr(value, "_metadata", None)))
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{where}[{i}]", inner) for i, inner in enumerate(value)]
        elif isinstance(value, Inert):
            waiting += [(where, value.arguments), (where, value.state)]
