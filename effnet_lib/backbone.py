"""The network as a feature backbone, for detection, segmentation and all else that reads feature maps.

    backbone = build_backbone("b0", weights="torchvision", strides=(8, 16, 32))
    pyramid = FeaturePyramidNetwork(backbone.channels, 256)
    pyramid(backbone(images))["0"]    # (N, 256, H/8, W/8)
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .deploy import InferenceNet
from .features import FeatureInfo, select_features
from .model import EfficientNet, ImageNetwork, build_model
from .variants import Variant


class FeatureBackbone(ImageNetwork):
    """The part of a network that computes some of its feature maps: (N, in_channels, H, W) → a dictionary.

    ``forward`` returns an ordered dictionary from names to feature maps, largest first, as
    torchvision's ``FeaturePyramidNetwork``, detectors and segmentation heads take it. Layers behind
    the last feature map are left out; the others are those of ``model``, shared with it, and have the
    same names in the state dict. Use :func:`build_backbone`, which builds the network too.

    Attributes:
        features: a :class:`FeatureInfo` for each feature map, in order.
        names: their names in the dictionary.
        channels, strides: of each, in order.
        out_channels: of the only feature map; there is none where there are several, for which
            torchvision's detectors want a feature pyramid.

    Args:
        model: a network of :func:`effnet_lib.build_model`, or one optimized for inference.
        stages, strides: which feature maps; see :func:`effnet_lib.select_features`.
        names: a name for each; ``"0"``, ``"1"``, … if None, as torchvision's detectors expect them.
            Its segmentation heads expect ``"out"``.
        freeze_norm: keep batch norm in eval mode and its scale and shift without gradients, also
            while the rest is trained: for detection, with few images in a batch.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind, or the network has no such feature map.
    """

    def __init__(
        self,
        model: EfficientNet,
        stages: int | Iterable[int] | None = None,
        strides: int | Iterable[int] | None = None,
        names: Sequence[str] | None = None,
        freeze_norm: bool = False,
    ):
        if not isinstance(model, EfficientNet):
            raise TypeError(f"expected a network of build_model, got {type(model).__name__}")
        super().__init__()
        self.features = select_features(model.variant, stages=stages, strides=strides)
        self.names = _check_names(names, self.features)
        self.channels = [info.channels for info in self.features]
        self.strides = [info.stride for info in self.features]
        if len(self.features) == 1:
            self.out_channels = self.channels[0]
        self.variant, self.in_channels, self.weights = model.variant, model.in_channels, model.weights
        self.layout = torch.channels_last if isinstance(model, InferenceNet) else torch.preserve_format
        self.freeze_norm = freeze_norm

        last = self.features[-1].stage
        self.stem = model.stem
        self.stages = model.stages[: last - 1]
        if last > len(model.stages) + 1:
            self.head = model.head
        if freeze_norm:
            for norm in self._norms():
                norm.requires_grad_(False)
        self.train(model.training)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self._check(x)
        x = x.to(memory_format=self.layout)
        names = dict(zip((info.stage for info in self.features), self.names))
        maps = OrderedDict()
        layers = [self.stem, *self.stages, *([self.head] if hasattr(self, "head") else [])]
        for stage, layer in enumerate(layers, 1):
            x = layer(x)
            if stage in names:
                maps[names[stage]] = x
        return maps

    def train(self, mode: bool = True) -> "FeatureBackbone":
        """Set training or eval mode; frozen batch norms stay in eval mode."""
        super().train(mode)
        if self.freeze_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]


def build_backbone(
    variant: Variant | str | None = None,
    *,
    stages: int | Iterable[int] | None = None,
    strides: int | Iterable[int] | None = None,
    names: Sequence[str] | None = None,
    freeze_norm: bool = False,
    **options,
) -> FeatureBackbone:
    """Build the network of ``variant`` as a backbone that returns feature maps, in training mode.

    Channels and strides are known beforehand: :func:`effnet_lib.select_features` takes the same
    ``stages``, ``strides`` and ``output_stride``, and builds nothing.

    Args:
        variant: as for :func:`effnet_lib.build_model`.
        stages: numbers of the rows of the stage table, increasing; the stem is 1, and the head, whose
            feature map the classifier reads, is the last.
        strides: increasing, such as ``(8, 16, 32)``; the four largest if neither is given.
        names, freeze_norm: as for :class:`FeatureBackbone`.
        options: any other argument of :func:`effnet_lib.build_model` by name, such as ``weights``,
            ``in_channels``, ``output_stride``, ``padding`` and ``gradient_checkpointing``. A
            classifier in the weights is left out.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range; the message names it.
            A :class:`WeightsError` says what is wrong with the weights.
        DownloadError: the weights cannot be fetched.

    >>> backbone = build_backbone("b0", strides=(8, 16, 32))
    >>> backbone.channels, backbone.strides
    ([40, 112, 320], [8, 16, 32])
    """
    for name in ("num_classes", "new_head", "dropout"):
        if name in options:
            raise TypeError(f"a backbone has no classifier: leave {name} out")
    if variant is not None:  # a wrong choice is told before weights are downloaded
        select_features(variant, stages=stages, strides=strides, output_stride=options.get("output_stride"))
    model = build_model(variant, 0, **options)
    return FeatureBackbone(model, stages, strides, names, freeze_norm)


def _check_names(names: Sequence[str] | None, features: tuple[FeatureInfo, ...]) -> list[str]:
    """A name for each feature map."""
    if names is None:
        return [str(index) for index in range(len(features))]
    if isinstance(names, str):
        names = [names]
    if len(names) != len(features) or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"names must be {len(features)} different strings, one per feature map, got {names!r:.80}")
    return list(names)
