"""EfficientNet: one class for V1, V2, Lite and every φ between them."""

from dataclasses import replace
from functools import partial

import torch
import torch.fx
from torch import Tensor, nn

from .blocks import BlockSequence, FusedMBConv, MBConv
from .images import SCALE_BYTES
from .layers import ConvNormAct, SqueezeExcite
from .scaling import positive_int, positive_number, rate
from .variants import Variant, as_variant
from .weights import classify, describe, needed_preprocessing, open_weights

BLOCKS = {"mbconv": MBConv, "fused_mbconv": FusedMBConv}


class ImageNetwork(nn.Module):
    """What networks and backbones have in common: how they take images and meet PyTorch's tracers."""

    def __setattr__(self, name: str, value) -> None:
        if name == "classifier" and getattr(self, "weights", None) and value is not getattr(self, name, None):
            # A new classifier has classes of its own: the old names and accuracy would be lies.
            self.weights = replace(self.weights, categories=None, top1=None, top5=None, multi_label=False)
        super().__setattr__(name, value)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether each block is computed again in the backward pass, which saves memory; may be set."""
        return all(stage.gradient_checkpointing for stage in self.stages)

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"gradient_checkpointing must be True or False, got {value!r:.60}")
        for stage in self.stages:
            stage.gradient_checkpointing = value

    def __prepare_scriptable__(self):
        raise RuntimeError(
            "torch.jit.script cannot compile this network, and TorchScript is deprecated in PyTorch: use "
            "torch.export.export(model, (images,)), or torch.jit.trace(model, images) where that is needed"
        )

    def _check(self, x: Tensor) -> None:
        if isinstance(x, torch.fx.Proxy) or torch.jit.is_tracing():
            return  # a tracer records what is computed, not what is asked about its input
        if not isinstance(x, Tensor):
            raise TypeError(f"expected a tensor of images, got {type(x).__name__}")
        if not x.is_floating_point():
            raise TypeError(f"expected images of floating-point numbers, got {x.dtype}: {SCALE_BYTES}")
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"expected images of shape (N, {self.in_channels}, height, width), got {tuple(x.shape)}"
            )


class EfficientNet(ImageNetwork):
    """The network that a :class:`Variant` describes: (N, in_channels, H, W) → (N, num_classes).

    With ``num_classes=0`` there is no classifier, and it gives :meth:`embeddings`. ``stem``,
    ``stages`` (a list of lists of blocks), ``head`` and ``classifier`` are the rows of the stage
    table, in order. ``weights`` says what weights it started from, if any (a
    :class:`Weights`). Use :func:`build_model`, which checks its arguments.
    """

    def __init__(
        self, variant: Variant, num_classes: int = 1000, in_channels: int = 3, padding: str = "symmetric"
    ):
        super().__init__()
        self.variant = variant
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.padding = padding
        self.weights = None
        conv = partial(
            ConvNormAct, activation=variant.activation, norm_eps=variant.norm_eps,
            norm_momentum=variant.norm_momentum, padding=padding,
        )  # fmt: skip
        self.stem = conv(in_channels, variant.stem_channels, 3, variant.stem_stride)

        self.stages = nn.Sequential()
        channels, index = variant.stem_channels, 0
        for stage in variant.stages:
            blocks = BlockSequence()
            for layer in range(stage.layers):
                block = BLOCKS[stage.operator](
                    channels, stage.channels, stage.kernel_size, stage.stride if layer == 0 else 1,
                    stage.expand_ratio, stage.squeeze_channels(channels),
                    variant.stochastic_depth_rate * index / variant.layers, conv, variant.activation,
                )  # fmt: skip
                blocks.append(block)
                channels, index = stage.channels, index + 1
            self.stages.append(blocks)

        self.head = conv(channels, variant.head_channels)
        self.dropout = nn.Dropout(variant.dropout)
        self.classifier = _classifier(variant.head_channels, num_classes)
        self.apply(_initialize)
        _set_running_variance(self)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """Feature maps after the stem and after each stage, largest first."""
        self._check(x)
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map before pooling: (N, head_channels, H/s, W/s), rounded up, s the output stride."""
        self._check(x)
        return self.head(self.stages(self.stem(x)))

    def embeddings(self, x: Tensor) -> Tensor:
        """The last feature map averaged over its pixels: (N, head_channels), what the classifier reads."""
        return self.forward_features(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.embeddings(x)  # which no dropout touches: it belongs to the classifier
        return pooled if isinstance(self.classifier, nn.Identity) else self.classifier(self.dropout(pooled))

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new classifier in place of the present one, for other classes; 0 leaves none.

        It begins as that of :func:`build_model`: random, or with zeros on top of pretrained
        weights. ``weights`` forget the names of their classes and their accuracy.

        Raises:
            TypeError, ValueError: ``num_classes`` is not an integer of at least 0.
        """
        self.num_classes = positive_int("num_classes", num_classes, 0)
        layer = _classifier(self.variant.head_channels, num_classes)
        _initialize(layer)
        if self.weights and num_classes:
            nn.init.zeros_(layer.weight)
        self.classifier = layer.to(next(self.head.parameters())).train(self.training)  # device and precision
        if self.weights:
            self.weights = replace(self.weights, num_classes=num_classes)

    def preprocess(self, images) -> Tensor:
        """Images as the weights want them; see :class:`Preprocessing`."""
        return needed_preprocessing(self)(images)

    def classify(self, images, k: int = 5, preprocessing=None) -> list:
        """The ``k`` likeliest classes of an image, or of each image; see :func:`effnet_lib.classify`."""
        return classify(self, images, k, preprocessing)


def build_model(
    variant: Variant | str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    *,
    weights=None,
    new_head: bool = False,
    sha256: str | None = None,
    output_stride: int | None = None,
    padding: str | None = None,
    dropout: float | None = None,
    stochastic_depth_rate: float | None = None,
    norm_eps: float | None = None,
    norm_momentum: float | None = None,
    gradient_checkpointing: bool = False,
) -> EfficientNet:
    """Build the network of ``variant``, freshly initialised or from ``weights``, in training mode.

    Args:
        variant: a variant or the name of a released one; may be left out where the weights
            say what they are of.
        num_classes: outputs of the classifier; 0 for none, so that the network gives
            :meth:`~EfficientNet.embeddings`. Those of the weights, or else 1000.
        in_channels: at least 1; those of the weights, or else 3. For other channels than the weights
            have, the kernels of the stem are repeated, and the channels that remain get their mean
            (one channel: the sum of all), scaled so that the response keeps its size; preprocessing
            follows (see :func:`effnet_lib.weights.fit_channels`).
        weights: None, or one of

            - ``"torchvision"``, ``"timm"`` or ``"lite"``, with an architecture, a tag or both
              after a colon where the default will not do: ``"torchvision:IMAGENET1K_V1"``,
              ``"timm:tf_efficientnet_b0.ns_jft_in1k"`` (:func:`list_weights` lists them);
            - a member of one of torchvision's ``Weights`` enumerations;
            - the path of a file: safetensors, or a state dict or checkpoint of ``torch.save``,
              with the names of this library, torchvision, timm or ``efficientnet_pytorch``. Of a
              checkpoint with averaged weights these are taken; ``"file.pth::model"`` names another
              entry, and a warning tells what is left out.

            Padding and batch norm follow the weights, unless they are given here.
        new_head: begin with a classifier of zeros, for other classes than those of the weights.
        sha256: expected SHA-256 of the file of the weights, at least its first 8 digits.
        output_stride: 32, 16 or 8; smaller values suit small images (see
            :meth:`Variant.with_output_stride`).
        padding: ``"symmetric"`` (the default without weights), or ``"same"`` as TensorFlow.
        dropout, stochastic_depth_rate, norm_eps, norm_momentum: in place of the variant's own.
        gradient_checkpointing: keep only the input of each block for the backward pass, and compute
            the rest again there: less memory, about a third more time
            (:func:`effnet_lib.training_memory` tells how much).

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range; the message
            names it. A :class:`WeightsError` says what is wrong with the weights.
        DownloadError: the weights cannot be fetched.

    >>> sum(p.numel() for p in build_model("b0").parameters())
    5288548
    """
    if padding not in ("symmetric", "same", None):
        raise ValueError(f"padding must be 'symmetric' or 'same', got {padding!r}")
    changes = {
        "dropout": (rate, dropout),
        "stochastic_depth_rate": (rate, stochastic_depth_rate),
        "norm_eps": (positive_number, norm_eps),
        "norm_momentum": (rate, norm_momentum),
    }
    given = {name: check(name, value) for name, (check, value) in changes.items() if value is not None}
    sizes = {
        name: positive_int(name, value, least)
        for name, value, least in (("num_classes", num_classes, 0), ("in_channels", in_channels, 1))
        if value is not None
    }
    if variant is not None:
        named = as_variant(variant)
    elif weights is None:
        raise TypeError("a variant is needed, such as 'b0', or weights that say what they are of")
    loaded = None
    if weights is not None:
        loaded = open_weights(weights, variant, sha256, padding, norm_eps)
        named, padding = loaded.weights.variant, padding or loaded.weights.padding
        classes = loaded.weights.num_classes or (1000 if new_head or loaded.no_head else 0)
        sizes = {"num_classes": classes, "in_channels": loaded.in_channels} | sizes
    elif new_head or sha256 is not None:
        raise ValueError(f"{'new_head' if new_head else 'sha256'} goes with weights: there are none")
    if output_stride is not None:
        named = named.with_output_stride(output_stride)
    sizes = {"num_classes": 1000, "in_channels": 3} | sizes
    model = EfficientNet(replace(named, **given), **sizes, padding=padding or "symmetric")
    model.gradient_checkpointing = gradient_checkpointing
    if loaded:
        loaded.copy_to(model, new_head)
        model.weights = describe(loaded, model, new_head)
    return model


def _classifier(features: int, num_classes: int) -> nn.Module:
    return nn.Linear(features, num_classes) if num_classes else nn.Identity()


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    """Initial weights as in the released TensorFlow code.

    A convolution draws from a normal distribution of variance 2 / fan_out, and the fan_out
    of a depthwise one is k², a single output channel per group. Taking k² · channels, as
    PyTorch's ``kaiming_normal_(mode="fan_out")`` does, leaves so little signal that a fresh
    network in eval mode answers nearly zero.

    Source: tensorflow/tpu, ``efficientnet_model.conv_kernel_initializer`` and
    ``dense_kernel_initializer``.
    """
    if isinstance(module, nn.Conv2d):
        kernel_height, kernel_width = module.kernel_size
        fan_out = kernel_height * kernel_width * module.out_channels // module.groups
        module.weight.normal_(0, (2 / fan_out) ** 0.5)
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, nn.Linear):
        bound = module.out_features**-0.5
        module.weight.uniform_(-bound, bound)
        module.bias.zero_()


# What a layer leaves of the second moment of a standard normal signal. Fresh gates lie
# between all half open (1/4) and half of them open (1/2): the geometric mean.
_SECOND_MOMENT = {nn.SiLU: 0.3558, nn.ReLU: 0.5, nn.ReLU6: 0.5, SqueezeExcite: 8**-0.5}


@torch.no_grad()
def _set_running_variance(model: EfficientNet) -> None:
    """Start each batch norm's running variance near where the fresh weights will put it.

    TensorFlow and PyTorch start it at 1. In eval mode the signal then vanishes or explodes
    over dozens of layers (logits of 4e-6 for B0, 4e6 for V2-L) until training has moved the
    statistics. But what a random convolution does to the second moment of its input is
    known beforehand: it multiplies it by the sum of its squared weights. The estimate is
    rough, since channels are correlated, and it keeps eval mode in a range that makes sense.
    """

    def through(layer: nn.Module, moment: float) -> float:
        """Second moment after the layer, given the one before it."""
        if isinstance(layer, ConvNormAct):
            convolution, norm, *activation = layer
            norm.running_var.copy_(convolution.weight.square().sum((1, 2, 3)) * moment)
            return _SECOND_MOMENT[type(activation[0])] if activation else 1.0
        return moment * _SECOND_MOMENT.get(type(layer), 1.0)

    moment = through(model.stem, 1.0)
    for block in model.stages.modules():
        if isinstance(block, tuple(BLOCKS.values())):
            branch = moment
            for layer in block.children():
                branch = through(layer, branch)
            moment = moment + branch if block.has_skip else branch
    through(model.head, moment)
