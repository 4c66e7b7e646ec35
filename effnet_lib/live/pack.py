"""A network packed for the browser: a plan of its layers, and weights of one byte each.

Batch norm is folded into the convolutions first (:func:`effnet_lib.optimize_for_inference`). The weights of
large 1×1 convolutions, and of the classifier, then become integers from −127 to 127 times a scale for each
output channel. The few of other layers are stored in half precision, biases in FP32. What is packed is a network again (:attr:`Packed.model`), which PyTorch runs: what the browser
computes is compared with it.
"""

import zlib
from base64 import b64encode
from dataclasses import asdict, dataclass
from importlib import resources

import torch
from torch import Tensor, nn

from ..cost import count_cost
from ..deploy import ConvAct, FastSqueezeExcite, InferenceNet, optimize_for_inference
from ..model import EfficientNet
from .build import BINARIES

#: A layer with no more weights than this keeps them in half precision: the first ones, whose errors go furthest.
_FEW = 2**14

#: The classifier is a quarter of Lite0. Its errors pass through no other layer, and fewer levels deflate better.
_CLASSIFIER_LEVELS = 63

_ACTIVATIONS = {nn.SiLU: "silu", nn.ReLU: "relu", nn.ReLU6: "relu6"}


@dataclass(frozen=True)
class Packed:
    """A network as the browser runs it.

    Attributes:
        plan: the layers, stage by stage, with the places of their numbers in ``weights``; see ``network.js``.
        weights: biases and scales (float32), and weights (int8 or float16), one behind the other.
        model: the same network in PyTorch, with exactly these weights.
    """

    plan: dict
    weights: bytes
    model: InferenceNet

    def file(self) -> dict:
        """What the page loads: the plan, the names of the classes, and the weights with the engine behind them.

        The bytes are deflated (zlib) and written in base 64.
        """
        content, binaries = bytearray(self.weights), {}
        for name in BINARIES:
            binary = resources.files(__package__).joinpath(f"{name}.wasm").read_bytes()
            binaries[name] = [len(content), len(binary)]
            content += binary
        weights = self.model.weights
        return {
            "plan": self.plan | {"binaries": binaries},
            "categories": weights and weights.categories,
            "weights": b64encode(zlib.compress(bytes(content), 9)).decode(),
        }


def pack_network(model: EfficientNet) -> Packed:
    """Pack a network of any variant, with any weights.

    Args:
        model: of :func:`effnet_lib.build_model`, or one made fast; it is left alone.

    Raises:
        TypeError: ``model`` is not an :class:`EfficientNet`.
        ValueError: its channels are not multiples of 8, or its numbers are not finite.
    """
    model = optimize_for_inference(model).float().cpu()
    costs, writer = count_cost(model.variant).stages, _Writer()
    stages = []
    for row, part in enumerate([model.stem, *model.stages, model.head]):
        name = "stem" if part is model.stem else "head" if part is model.head else f"stage {row + 1}"
        blocks = part if isinstance(part, nn.Sequential) else [part]
        stages.append({"name": name, "operator": costs[row].operator, "blocks": [writer.block(block) for block in blocks]})
    classifier = writer.layer("classifier", model.classifier, None)
    plan = {
        "variant": model.variant.name,
        "resolution": model.variant.resolution,
        "channels": model.in_channels,
        "classes": model.num_classes,
        "padding": model.padding,
        "preprocessing": model.weights and model.weights.preprocessing and asdict(model.weights.preprocessing),
        "widest": writer.widest,
        "stages": stages,
        "classifier": classifier,
    }
    return Packed(plan, bytes(writer.content), model)


class _Writer:
    """Writes the numbers of one layer after the other, and puts back into the layer what was written."""

    def __init__(self):
        self.content = bytearray()
        self.widest = 0

    def block(self, block: nn.Module) -> dict:
        """A block, or the stem or the head, which is one layer."""
        if isinstance(block, ConvAct):
            layers = [self.layer("conv", block, block.activation)]
            return {"skip": False, "out": layers[-1]["out"], "layers": layers}
        layers = []
        for name in ("expand", "depthwise", "se", "project"):
            layer = getattr(block, name, None)
            if isinstance(layer, ConvAct):
                layers.append(self.layer(name, layer, layer.activation))
            elif isinstance(layer, FastSqueezeExcite):
                if not layers:
                    raise ValueError("squeeze-and-excitation on the input of a fused block cannot be packed")
                activation = _ACTIVATIONS[type(layer.activation)]
                layers += [
                    self.layer("SE reduce", layer.reduce, activation, "gate"),
                    self.layer("SE expand", layer.expand, "sigmoid", "gate"),
                ]
        return {"skip": block.has_skip, "out": layers[-1]["out"], "layers": layers}

    @torch.no_grad()
    def layer(self, name: str, layer: ConvAct | nn.Linear, activation: str | None, kind: str | None = None) -> dict:
        """A convolution or a linear layer: (out, in / groups, k, k) in the order in which it is read."""
        weight = layer.weight if layer.weight.ndim == 4 else layer.weight[:, :, None, None]
        if not (weight.isfinite().all() and layer.bias.isfinite().all()):
            raise ValueError(f"the weights of {name} are not finite: only numbers can be packed")
        out, inputs, kernel, _ = weight.shape
        groups = getattr(layer, "groups", 1)
        if kind is None:
            kind = "depthwise" if groups > 1 else "convolution" if kernel > 1 else "pointwise"
        if groups not in (1, out) or kind != "gate" and name != "classifier" and (out | inputs * (kind == "pointwise")) % 8:
            raise ValueError(f"{name} has {inputs * groups} → {out} channels: only multiples of 8 can be packed")
        # The squeezed channels and the classes may be any number: zeros fill the last eight.
        padded = torch.zeros(_by_eight(out), inputs if kind == "convolution" or groups > 1 else _by_eight(inputs), kernel, kernel)
        padded[:out, :inputs] = weight
        bias = torch.zeros(len(padded))
        bias[:out] = layer.bias
        whole = kind == "pointwise" and weight.numel() > _FEW
        if whole:
            levels = _CLASSIFIER_LEVELS if name == "classifier" else 127
            scales = padded.abs().amax((1, 2, 3)).clamp_min(1e-12) / levels
            stored = (padded / scales[:, None, None, None]).round()
            padded = stored * scales[:, None, None, None]
        else:
            scales, stored = None, padded.half()
            padded = stored.float()
        layer.weight.copy_(padded[:out, :inputs].reshape(layer.weight.shape))
        read = stored.permute(2, 3, 1, 0)  # (k, k, in, out)
        if kind != "depthwise":
            read = read.reshape(-1, len(padded) // 8, 8).transpose(0, 1)
        described = {
            "name": name,
            "kind": kind,
            "in": padded.shape[1] if groups == 1 else out,
            "out": len(padded),
            "kernel": kernel,
            "stride": getattr(layer, "stride", [1])[0],
            "activation": activation or "linear",
            "multiply_adds": weight.numel(),  # for one position of its output
            "count": padded.numel(),
            "weights": self.write(read.to(torch.int8 if whole else torch.half)),
            "scales": None if scales is None else self.write(scales),
            "bias": self.write(bias),
        }
        self.widest = max(self.widest, described["in"], described["out"])
        return described

    def write(self, values: Tensor) -> int:
        """Where the bytes begin: at a multiple of 4."""
        at = len(self.content)
        self.content += values.contiguous().numpy().tobytes()
        self.content += bytes(-len(self.content) % 4)
        return at


def _by_eight(channels: int) -> int:
    return -(-channels // 8) * 8
