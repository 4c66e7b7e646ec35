"""Looking inside a network: feature maps, class activation maps, and the gates of SE.

    maps = feature_maps(model, images)                # what leaves each stage
    where = activation_map(model, images, classes=3)  # where the network sees class 3
    gates = se_gates(model, images, block=16)         # how far each channel is let through

Each function runs the network once, in eval mode and without gradients, and leaves it as it
was: every module in the mode it had, no hook behind, even if the run fails.
"""

import numbers
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .blocks import FusedMBConv, MBConv
from .layers import SqueezeExcite
from .model import EfficientNet


def feature_maps(model: EfficientNet, images: Tensor) -> dict[str, Tensor]:
    """What leaves the stem, each stage and the head's convolution.

    The stages have the numbers of the stage table (arXiv:1905.11946, Table 1), in which the
    stem is row 1.

    Args:
        model: of any family.
        images: (N, in_channels, H, W), prepared as for the network.

    Returns:
        ``"stem"``, ``"stage 2"``, … ``"head"``, in order; each (N, channels, height, width).

    Raises:
        TypeError, ValueError: ``model`` is no :class:`EfficientNet`, or ``images`` are not
            such a batch.
    """
    with _looking(model, images):
        maps = model.forward_stages(images)
        names = ["stem", *(f"stage {number}" for number in range(2, len(maps) + 1)), "head"]
        return dict(zip(names, [*maps, model.head(maps[-1])]))


def activation_map(
    model: EfficientNet, images: Tensor, classes: int | Sequence[int] | Tensor | None = None
) -> Tensor:
    """Class activation maps: how much each place of the last feature map adds to a logit.

    The classifier is a linear layer on the average of the last feature map f, so a logit is
    itself an average: logit_c = mean over places of (Σ_k w_ck · f_k) + b_c. The map is the
    term in brackets. That is exact for these networks; nothing is approximated, and

        activation_map(model, images, c).mean((1, 2)) + model.classifier.bias[c]

    is the logit of class c in eval mode. A value may be negative: that place speaks against
    the class. For a picture, enlarge the map to the image; it has one value for
    ``output_stride`` × ``output_stride`` pixels, and each value has seen far more of the
    image than that square.

    Args:
        model: of any family.
        images: (N, in_channels, H, W), prepared as for the network.
        classes: one class for all images, one for each image (a list, a tensor or a NumPy
            array), or None for the class that the network itself ranks first.

    Returns:
        (N, height, width) of the last feature map.

    Raises:
        TypeError, ValueError: as for :func:`feature_maps`; a class is not an integer from 0
            to num_classes - 1; there are not as many classes as images.

    Source: Zhou et al. 2016, arXiv:1512.04150, equation 2; used for Figure 7 of
    arXiv:1905.11946.
    """
    with _looking(model, images):
        if not isinstance(model.classifier, nn.Linear):
            got = type(model.classifier).__name__
            raise TypeError(f"activation maps need a classifier that is one linear layer, got {got}")
        chosen = None if classes is None else _classes(classes, len(images), len(model.classifier.weight))
        features = model.forward_features(images)
        if chosen is None:
            chosen = model.classifier(features.mean((2, 3))).argmax(1)
        weights = model.classifier.weight[chosen.to(features.device)]
        return torch.einsum("nkhw,nk->nhw", features, weights)


def se_gates(
    model: EfficientNet, images: Tensor, block: int | None = None
) -> Tensor | dict[int, Tensor]:
    """The gates that squeeze-and-excitation multiplies the channels by, each in (0, 1).

    (In single precision one very near an end is rounded to it.)

    Blocks are counted from 1, through all stages; B0 has 16.

    Args:
        model: with squeeze-and-excitation, that is, of V1 or V2; as built or optimised for inference.
        images: (N, in_channels, H, W), prepared as for the network.
        block: one block, or None for all that have squeeze-and-excitation.

    Returns:
        (N, channels) for one block, where channels is the expanded width; for None a
        dictionary from the number of the block to its gates.

    Raises:
        TypeError, ValueError: as for :func:`feature_maps`; the network has no
            squeeze-and-excitation (Lite); the block does not exist or has none (the fused
            blocks of V2).
    """
    with _looking(model, images) as hook:
        wanted = _se_of(model, block)
        parts: dict[int, list[Tensor]] = {number: [] for number in wanted}

        def read(number: int) -> Callable:
            def before(module: SqueezeExcite, inputs: tuple[Tensor]) -> None:
                parts[number].append(module.gates(inputs[0]).flatten(1))

            return before

        for number, module in wanted.items():
            hook(module, read(number))
        model(images)
        # An optimised network takes a large batch in pieces, so a layer may have run several times.
        gates = {number: torch.cat(pieces) for number, pieces in parts.items()}
    return gates if block is None else gates[block]


def se_blocks(model: EfficientNet) -> dict[int, SqueezeExcite]:
    """The squeeze-and-excitation layers by the number of their block, counted from 1.

    Empty for networks without. Those of an optimised network are
    :class:`~effnet_lib.deploy.FastSqueezeExcite`, with the same ``gates``.
    """
    blocks = (m for m in model.stages.modules() if isinstance(m, (MBConv, FusedMBConv)))
    return {n: b.se for n, b in enumerate(blocks, 1) if not isinstance(b.se, nn.Identity)}


@contextmanager
def _looking(model: EfficientNet, images: Tensor) -> Iterator[Callable]:
    """Eval mode and no gradients inside; gives a function that hooks something before a module.

    On the way out every hook goes and every module has its own mode again. (They may differ:
    fine-tuning keeps batch norms in eval mode inside a network in training mode.)
    """
    if not isinstance(model, EfficientNet):
        inner = ": pass its .module" if isinstance(getattr(model, "module", None), EfficientNet) else ""
        raise TypeError(f"model must be an EfficientNet, got {type(model).__name__}{inner}")
    model._check(images)
    if not images.numel():
        raise ValueError(f"expected at least one image of at least one pixel, got shape {tuple(images.shape)}")
    modes = [(module, module.training) for module in model.modules()]
    hooks = []

    def hook(module: nn.Module, before: Callable) -> None:
        hooks.append(module.register_forward_pre_hook(before))

    try:
        model.eval()
        with torch.no_grad():
            yield hook
    finally:
        for handle in hooks:
            handle.remove()
        for module, training in modes:
            module.training = training


def _classes(classes, images: int, num_classes: int) -> Tensor:
    """One class index for each image, checked."""
    if isinstance(classes, Tensor):
        if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
            raise TypeError(f"classes must be integers, got a tensor of {classes.dtype}")
    if hasattr(classes, "tolist"):  # a tensor, or NumPy's array or number
        classes = classes.tolist()
    if isinstance(classes, numbers.Integral) and not isinstance(classes, bool):
        classes = [classes] * images
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        raise TypeError(f"classes must be an integer, one for each image, or None, got {classes!r:.60}")
    for value in classes:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"classes must be integers, got {value!r:.60}")
        if not 0 <= value < num_classes:
            raise ValueError(f"class {value} does not exist: the network has classes 0 to {num_classes - 1}")
    if len(classes) != images:
        raise ValueError(f"expected one class for each of {images} images, got {len(classes)}")
    return torch.tensor([int(value) for value in classes])


def _se_of(model: EfficientNet, block: int | None) -> dict[int, SqueezeExcite]:
    """The layers to read, or an error that says what there is."""
    found = se_blocks(model)
    name, layers = model.variant.name, model.variant.layers
    if not found:
        raise ValueError(f"{name} has no squeeze-and-excitation, so no gates (Lite networks do without)")
    if block is None:
        return found
    if isinstance(block, bool) or not isinstance(block, numbers.Integral):
        raise TypeError(f"block must be an integer or None, got {block!r:.60}")
    if not 1 <= block <= layers:
        raise ValueError(f"block {block} does not exist: {name} has blocks 1 to {layers}")
    if block not in found:
        first, last = min(found), max(found)
        raise ValueError(
            f"block {block} of {name} has no squeeze-and-excitation: blocks {first} to {last} have it"
        )
    return {int(block): found[block]}
