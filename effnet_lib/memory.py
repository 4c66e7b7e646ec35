"""The memory that training takes, counted in closed form, without building the network.

    >>> memory = training_memory("b0", batch_size=64)
    >>> f"{memory.total / 1e9:.1f} GB, of which activations {memory.activations / 1e9:.1f} GB"
    '5.7 GB, of which activations 5.6 GB'

What autograd keeps for the backward pass follows from the stage table: each layer keeps its input,
batch norm the output of its convolution, SiLU and ReLU6 a copy of their own input. Nothing here
needs more than the standard library.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from .bounds import layer_shapes
from .naming import NORM, tensor_names
from .scaling import positive_int
from .variants import Variant, as_variant

#: Numbers that an optimizer keeps per parameter; None is an optimizer without a state.
OPTIMIZER_STATE = {"sgd": 1, "rmsprop_tf": 2, "adamw": 2, None: 0}
#: Bytes of a number in a feature map.
PRECISIONS = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class TrainingMemory:
    """Memory of a training step at its peak, in bytes; the parts add up to ``total``.

    The peak is where feature maps, and the gradients that exist by then, take most together: near the
    beginning of the backward pass for large images, further on for large networks, and in the step of
    the optimizer for a small batch.

    Attributes:
        parameters: learned numbers and batch norm's statistics.
        optimizer: momentum and other state of the optimizer.
        ema: the exponential moving average of parameters and statistics.
        gradients: of the parameters behind the place of the peak.
        activations: the images, and what is kept for the backward pass. Under autocast the weights
            in half precision are among it.
        workspace: gradients of feature maps at the place of the peak, or the optimizer's temporary tensors.
    """

    parameters: int
    optimizer: int
    ema: int
    gradients: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """All parts together."""
        return self.parameters + self.optimizer + self.ema + self.gradients + self.activations + self.workspace

    def __str__(self) -> str:
        """The parts as a table, in megabytes (10⁶ bytes)."""
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__} | {"total": self.total}
        return "\n".join(f"{name:<12}{value / 1e6:>12,.1f} MB" for name, value in parts.items())


def training_memory(
    variant: Variant | str,
    batch_size: int,
    resolution: int | None = None,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    precision: str = "fp32",
    optimizer: str | None = "sgd",
    ema: bool = True,
    gradient_checkpointing: bool = False,
    frozen_backbone: bool = False,
) -> TrainingMemory:
    """Memory of a training step of PyTorch at its peak.

    It counts tensors. Python, PyTorch itself and a GPU's context take some hundred megabytes more;
    an allocator keeps gaps, and libraries of convolutions their own scratch space. The tests hold
    it within 15% of the peak that PyTorch's allocator records on a CPU.

    Args:
        variant: a variant or its name.
        batch_size: images that go through the network together on one device, so a recipe's
            ``batch_size`` over its processes and ``accumulate``.
        resolution: side of the square image in pixels, at least the output stride; the variant's
            own for training if None.
        num_classes: 0 is a network without a classifier.
        in_channels: of the images.
        precision: ``"fp32"``, or ``"bf16"`` or ``"fp16"`` under autocast.
        optimizer: ``"sgd"`` with momentum, ``"rmsprop_tf"``, ``"adamw"``, or None for no state.
        ema: whether an average of the weights is kept.
        gradient_checkpointing: whether each block keeps its input only; see
            :func:`effnet_lib.build_model`.
        frozen_backbone: whether the classifier alone is trained, as in ``freeze_epochs`` of a recipe.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    >>> whole, less = (training_memory("b4", 16, gradient_checkpointing=c).total for c in (False, True))
    >>> f"{less / whole:.0%}"
    '24%'
    """
    variant = as_variant(variant)
    batch_size = positive_int("batch_size", batch_size)
    size = variant.train_resolution if resolution is None else resolution
    size = positive_int("resolution", size, variant.output_stride)
    num_classes = positive_int("num_classes", num_classes, 0)
    in_channels = positive_int("in_channels", in_channels)
    for name, value, known in (("precision", precision, PRECISIONS), ("optimizer", optimizer, OPTIMIZER_STATE)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r:.60}")

    layers = list(_layers(variant, size, num_classes, in_channels))
    trained = [layer.parameters for layer in layers if not frozen_backbone or layer.name == "classifier"]
    tensors = tensor_names(variant, num_classes, in_channels)
    whole = 4 * sum(prod(tensor.shape) for tensor in tensors if not tensor.effnet_lib.endswith(NORM[-1]))
    images = 4 * batch_size * in_channels * size**2
    if frozen_backbone:
        moments = _frozen(layers, batch_size, precision)
    else:
        moments = _backward(layers, batch_size, precision, gradient_checkpointing)
    # A step of the optimizer: two tensors beside a gradient, or beside all gradients at once.
    beside = sum(trained) if optimizer == "rmsprop_tf" else max(trained, default=0)
    step = (4 * sum(trained), 0, 8 * beside)
    gradients, activations, workspace = max([*moments, step], key=sum)
    return TrainingMemory(
        parameters=whole,
        optimizer=4 * OPTIMIZER_STATE[optimizer] * sum(trained),
        ema=whole if ema else 0,
        gradients=gradients,
        activations=images + activations,
        workspace=workspace,
    )


def largest_batch(variant: Variant | str, memory: int, resolution: int | None = None, **options) -> int:
    """The largest batch whose training step takes at most ``memory`` bytes; 0 if not even one image fits.

    Args:
        variant, resolution: as for :func:`training_memory`.
        memory: in bytes.
        options: any other argument of :func:`training_memory` by name.

    Raises:
        TypeError, ValueError: as :func:`training_memory`.

    >>> largest_batch("b0", 16 * 10**9), largest_batch("b0", 16 * 10**9, precision="bf16")
    (180, 357)
    """
    positive_int("memory", memory)

    def fits(batch: int) -> bool:
        return training_memory(variant, batch, resolution, **options).total <= memory

    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


class _Layer(NamedTuple):
    """One convolution or linear layer with what follows it; numbers are per image.

    Attributes:
        block: (row of the stage table, block in it).
        weights, parameters: numbers in the weight alone, and with norm or bias.
        kept: numbers that stay for the backward pass.
        inputs, outputs: numbers in its feature maps.
        working: numbers that its backward pass holds besides.
        ends: whether its output is that of its block.
    """

    block: tuple[int, int]
    name: str
    weights: int
    parameters: int
    kept: int
    inputs: int
    outputs: int
    working: int
    ends: bool


def _layers(variant: Variant, size: int, num_classes: int, in_channels: int) -> Iterator[_Layer]:
    """Every layer, with the feature maps that autograd keeps.

    The output of a layer counts with it, though it is the next layer that keeps it.
    """
    # SiLU and ReLU6 in place keep a copy of their input, ReLU its output, which is kept anyway.
    copies = variant.activation != "relu"
    pixels = size**2
    for stage, block, name, c_in, c_out, kernel, groups, side, out, skip, _ in layer_shapes(
        variant, size, num_classes or 1, in_channels
    ):
        if name == "classifier" and num_classes == 0:
            return
        inputs, outputs = c_in * side**2, c_out * out**2
        weights = c_in // groups * c_out * kernel**2
        parameters, skipped = weights + 2 * c_out, 0
        if name == "reduce":
            parameters, kept = weights + c_out, inputs + (1 + copies) * outputs
        elif name == "restore":
            scaled = c_out * pixels
            parameters, kept, skipped = weights + c_out, outputs + scaled, 2 * scaled
        elif name == "classifier":
            parameters, kept = weights + c_out, 2 * inputs + 2 * outputs
        elif name == "project":
            row = variant.stages[stage - 2]
            activated = row.operator == "fused_mbconv" and row.expand_ratio == 1
            kept = outputs * (2 + (activated and (copies or skip)))
            skipped = outputs * skip
        elif name == "head":  # the average keeps nothing of its input
            kept = 2 * outputs
        else:
            kept = outputs * (2 + copies)
        if name not in ("reduce", "restore", "classifier"):
            pixels = out**2
        # Gradients at batch norm, and at the convolution, where the layer's own maps are gone already.
        working = skipped + max(outputs, outputs + inputs + max(inputs, outputs) - kept)
        yield _Layer((stage, block), name, weights, parameters, kept, inputs, outputs, working, name == "project")


def _backward(
    layers: list[_Layer], batch_size: int, precision: str, checkpointing: bool
) -> Iterator[tuple[int, int, int]]:
    """(gradients, activations, workspace) in bytes at each layer of the backward pass, from the last on."""
    width, ends = PRECISIONS[precision], (layers[0].block[0], layers[-1].block[0])  # stem and head

    def kept(layer: _Layer) -> int:
        return width * batch_size * layer.kept + (width * layer.weights if width < 4 else 0)

    def remains(layer: _Layer) -> int:
        """What a layer keeps while a later block is at work."""
        if not checkpointing or layer.block[0] in ends:
            return kept(layer)
        return width * batch_size * layer.outputs if layer.ends else 0

    held, earlier, own, left, block = [], 0, 0, 0, None
    for layer in layers:
        if layer.block != block:
            earlier, own, left, block = earlier + left, 0, 0, layer.block
        own, left = own + kept(layer), left + remains(layer)
        held.append(earlier + own)
    gradients = 0
    for layer, activations in zip(reversed(layers), reversed(held)):
        gradients += 4 * layer.parameters
        yield gradients, activations, width * batch_size * layer.working


def _frozen(layers: list[_Layer], batch_size: int, precision: str) -> Iterator[tuple[int, int, int]]:
    """The same where nothing is kept but for the classifier: each layer of the forward pass by itself."""
    width = PRECISIONS[precision]
    for layer in layers:
        if layer.name == "classifier":
            yield 4 * layer.parameters, width * batch_size * layer.kept, 0
        else:
            yield 0, 0, width * batch_size * (layer.inputs + 2 * layer.outputs)
