"""What each tensor of a network is called, here and elsewhere, and which shape it has.

A weight file is a list of names and tensors. Four families of names are known: ours,
torchvision's, timm's, and those of Luke Melas-Kyriazi's ``efficientnet_pytorch``. Each
follows from the stage table, so that no network has to be built to tell whether a file fits.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .files import shown
from .variants import Variant, get_variant, list_variants

#: What the tensors of a batch norm are called, everywhere.
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

#: The first tensor of a network, by which the names are recognised.
_FIRST = {
    "effnet_lib": "stem.0.weight",
    "torchvision": "features.0.0.weight",
    "timm": "conv_stem.weight",
    "lukemelas": "_conv_stem.weight",
}
SCHEMES = tuple(_FIRST)

# timm numbers the norms of a block, and names its convolutions by what the block is.
_TIMM = {
    ("mbconv", True): {
        "expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")
    },
    ("mbconv", False): {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")},
    ("fused_mbconv", True): {"expand": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")},
    ("fused_mbconv", False): {"project": ("conv", "bn1")},
}  # fmt: skip
_LUKEMELAS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


class TensorName(NamedTuple):
    """One tensor: its name in each scheme (None where a scheme has no such block), its shape."""

    effnet_lib: str
    torchvision: str
    timm: str
    lukemelas: str | None
    shape: tuple[int, ...]


class Names(NamedTuple):
    """Whose names those in a file are: one of ``SCHEMES``, and what stands before every one."""

    scheme: str
    prefix: str


def tensor_names(variant: Variant, num_classes: int = 1000, in_channels: int = 3) -> Iterator[TensorName]:
    """Every tensor of the network of ``variant``, in order, as ``build_model`` makes them.

    With ``num_classes=0`` there is no classifier.

    >>> next(tensor_names(get_variant("b0")))[:3]
    ('stem.0.weight', 'features.0.0.weight', 'conv_stem.weight')
    """

    def conv_norm(places: tuple, channels: int, *kernel: int) -> Iterator[TensorName]:
        """A convolution and its batch norm; ``places`` are pairs of their names."""
        yield _named("weight", [place[0] for place in places], (channels, *kernel))
        for kind in NORM:
            shape = () if kind == "num_batches_tracked" else (channels,)
            yield _named(kind, [place[1] for place in places], shape)

    def pair(name: str) -> tuple[str, str]:
        return f"{name}.0", f"{name}.1"

    stem = (pair("stem"), pair("features.0"), ("conv_stem", "bn1"), ("_conv_stem", "_bn0"))
    yield from conv_norm(stem, variant.stem_channels, in_channels, 3, 3)
    channels, index = variant.stem_channels, 0
    for s, stage in enumerate(variant.stages):
        fused, expands = stage.operator == "fused_mbconv", stage.expand_ratio != 1
        for b in range(stage.layers):
            width, squeeze, k = channels * stage.expand_ratio, stage.squeeze_channels(channels), stage.kernel_size
            se = ("se", width, squeeze)
            if fused and not expands:
                parts = [se, ("project", stage.channels, channels, k, k)]
            elif fused:
                parts = [("expand", width, channels, k, k), se, ("project", stage.channels, width, 1, 1)]
            else:
                parts = [("expand", width, channels, 1, 1)] if expands else []
                parts += [("depthwise", width, 1, k, k), se, ("project", stage.channels, width, 1, 1)]
            parts = [part for part in parts if part[0] != "se" or squeeze]
            ours, theirs = f"stages.{s}.{b}", f"features.{s + 1}.{b}.block"
            timm, lukemelas = f"blocks.{s}.{b}", f"_blocks.{index}"
            for position, (part, *sizes) in enumerate(parts):
                if part == "se":
                    for (o, v, t, m), shape in (
                        (("reduce", "fc1", "conv_reduce", "_se_reduce"), (squeeze, width)),
                        (("expand", "fc2", "conv_expand", "_se_expand"), (width, squeeze)),
                    ):
                        names = f"{ours}.se.{o}", f"{theirs}.{position}.{v}", f"{timm}.se.{t}", f"{lukemelas}.{m}"
                        yield _named("weight", names, (*shape, 1, 1))
                        yield _named("bias", names, shape[:1])
                    continue
                places = (
                    pair(f"{ours}.{part}"),
                    pair(f"{theirs}.{position}"),
                    tuple(f"{timm}.{name}" for name in _TIMM[stage.operator, expands][part]),
                    (None, None) if fused else tuple(f"{lukemelas}.{name}" for name in _LUKEMELAS[part]),
                )
                yield from conv_norm(places, *sizes)
            channels, index = stage.channels, index + 1
    features = f"features.{len(variant.stages) + 1}"
    head = (pair("head"), pair(features), ("conv_head", "bn2"), ("_conv_head", "_bn1"))
    yield from conv_norm(head, variant.head_channels, channels, 1, 1)
    if num_classes == 0:
        return
    classifier = ("classifier", "classifier.1", "classifier", "_fc")
    yield _named("weight", classifier, (num_classes, variant.head_channels))
    yield _named("bias", classifier, (num_classes,))


def _named(kind: str, modules, shape: tuple[int, ...]) -> TensorName:
    return TensorName(*(module and f"{module}.{kind}" for module in modules), shape)


def recognise_names(names) -> Names | None:
    """Whose names these are; None if nobody's that we know.

    >>> recognise_names(["module.conv_stem.weight"])
    Names(scheme='timm', prefix='module.')
    """
    for name in names:
        for scheme, first in _FIRST.items():
            prefix = name.removesuffix(first)
            # a name of ours may end in another's: _conv_stem.weight in conv_stem.weight
            if prefix != name and (not prefix or prefix.endswith(".")):
                return Names(scheme, prefix)
    return None


def classifier_names(scheme: str) -> tuple[str, str]:
    """Names of the classifier's weight and bias."""
    module = {"torchvision": "classifier.1", "lukemelas": "_fc"}.get(scheme, "classifier")
    return f"{module}.weight", f"{module}.bias"


def sizes_of(shapes: Mapping[str, tuple[int, ...]], scheme: str) -> tuple[int | None, int | None]:
    """(number of classes, input channels) of tensors with these shapes; None where they do not tell."""
    weight = shapes.get(classifier_names(scheme)[0], ())
    stem = shapes.get(_FIRST[scheme], ())
    return (weight[0] if len(weight) == 2 else None), (stem[1] if len(stem) == 4 else None)


def find_variant(shapes: Mapping[str, tuple[int, ...]], scheme: str) -> Variant | None:
    """The released variant whose tensors have these names and shapes, the classifier aside."""
    num_classes, in_channels = sizes_of(shapes, scheme)
    for name in list_variants():
        variant = get_variant(name)
        if not differences(variant, num_classes or 1, in_channels or 1, shapes, scheme, head=False):
            return variant
    return None


def differences(
    variant: Variant,
    num_classes: int,
    in_channels: int,
    shapes: Mapping[str, tuple[int, ...]],
    scheme: str,
    head: bool = True,
) -> list[str]:
    """Where tensors of these shapes differ from the network of ``variant``, in words.

    Counters of batches may be missing: old files have none.

    Args:
        shapes: of the file, by name, in ``scheme``.
        head: whether the classifier is looked at, too.
    """
    classifier = () if head else classifier_names(scheme)
    found, known = [], set(classifier)
    for tensor in tensor_names(variant, num_classes, in_channels):
        name = getattr(tensor, scheme)
        if name is None:
            return [f"{scheme} has no names for the blocks of {variant.name}"]
        known.add(name)
        if name in classifier or (name not in shapes and name.endswith(NORM[-1])):
            continue
        if name not in shapes:
            found.append(f"{name} is missing")
        elif tuple(shapes[name]) != tensor.shape:
            found.append(f"{name} has shape {tuple(shapes[name])} in the file and {tensor.shape} in the network")
    return found + [f"{shown(name, 80)} is not in the network" for name in shapes if name not in known]
