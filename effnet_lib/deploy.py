"""A network made fast for inference: the same numbers from fewer and better passes over memory.

    fast = optimize_for_inference(model)

Three things are done, none of which changes what is computed. Batch norm, a multiplication
and an addition with constants in eval mode, moves into the convolution before it
(:func:`fold_batch_norm`). Feature maps lie in ``channels_last``, where the channels of a
pixel are neighbours, so that 1×1 convolutions are plain matrix products. And on an x86
processor the activation of a large map is applied by the convolution itself (oneDNN), while
its output is still in registers: by itself it takes as long as the convolution.
"""

import copy
import functools
import platform

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import FusedMBConv, MBConv
from .layers import Conv2dSame, ConvNormAct, SqueezeExcite
from .model import EfficientNet
from .bounds import largest_map

# The C library gives larger blocks back to the system at once, and each page of a new one
# costs a fault (glibc's largest M_MMAP_THRESHOLD).
_LARGEST_BLOCK = 32 * 2**20

# A call of oneDNN's convolution costs some 25 µs before it begins, a matrix product 3. Below
# so many outputs that is more than what a second pass, for the activation, costs in cache.
_SMALL_MAP = 2**18


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does what ``conv`` and ``norm`` do in eval mode.

    Batch norm gives γ (y − μ) / √(σ² + ε) + β. With y = W ∗ x + b that is a convolution again:
    W γ / √(σ² + ε), and the bias (b − μ) γ / √(σ² + ε) + β. Computed in double precision.

    Returns:
        Weight (out, in / groups, k, k) and bias (out,), in the precision of ``conv``.

    Raises:
        ValueError: the norm has another number of channels, or keeps no running statistics.
    """
    if norm.num_features != conv.out_channels:
        raise ValueError(
            f"the norm has {norm.num_features} channels and the convolution {conv.out_channels}: "
            "only a norm right behind a convolution can be folded into it"
        )
    if norm.running_var is None:
        raise ValueError("the norm keeps no running statistics (track_running_stats=False): nothing to fold")
    dtype = conv.weight.dtype
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * norm.weight.double()
    bias = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean.double()
    bias = bias * factor
    if norm.affine:
        bias = bias + norm.bias.double()
    weight = conv.weight.double() * factor.view(-1, 1, 1, 1)
    return weight.detach().to(dtype), bias.detach().to(dtype)


class ConvAct(nn.Module):
    """What becomes of a :class:`ConvNormAct`: one convolution with bias, and its activation.

    Shape: (N, in, H, W) → (N, out, H/stride, W/stride), rounded up.

    ``weight`` and ``bias`` are ordinary parameters without gradient. Where oneDNN computes
    the activation inside the convolution, it wants the weight in an order of its own; that
    copy is made at the first call, again after a change of the weight, and is in no file.
    """

    def __init__(self, layer: ConvNormAct):
        super().__init__()
        conv, norm, *activation = layer
        weight, bias = fold_batch_norm(conv, norm)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.kernel_size, self.stride, self.groups = conv.kernel_size, list(conv.stride), conv.groups
        self.padding = list(conv.padding)
        self.same = isinstance(conv, Conv2dSame)
        self.pointwise = self.kernel_size == (1, 1) and self.stride == [1, 1] and self.groups == 1
        self.activation = {nn.SiLU: "silu", nn.ReLU: "relu", nn.ReLU6: "relu6"}[type(activation[0])] if activation else None
        self._packed = None

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = Conv2dSame.pad(self, x)
        weight = self.weight
        if _runs_here(x):
            outputs = x.numel() // x.shape[1] * len(weight)
            if self.pointwise and (self.activation is None or outputs < _SMALL_MAP):
                y = F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), self.bias)
                return self._activate(y.permute(0, 3, 1, 2))
            if not (x.requires_grad or weight.requires_grad) and _fusable(x.dtype):
                name, scalars = _ONEDNN_NAMES[self.activation]
                return torch.ops.mkldnn._convolution_pointwise.default(
                    x, self._packed_weight(weight, x), self.bias, self.padding, self.stride, [1, 1],
                    self.groups, name, scalars, None,
                )  # fmt: skip
        return self._activate(F.conv2d(x, weight, self.bias, self.stride, self.padding, 1, self.groups))

    def _activate(self, x: Tensor) -> Tensor:
        if self.activation == "silu":
            return F.silu(x, inplace=True)
        if self.activation == "relu":
            return F.relu(x, inplace=True)
        return F.hardtanh(x, 0.0, 6.0, inplace=True) if self.activation else x

    def _packed_weight(self, weight: Tensor, x: Tensor) -> Tensor:
        # A tensor made in inference mode counts no changes of itself. What was packed is held,
        # so that no other tensor can come to lie at its address.
        version, held = 0 if weight.is_inference() else weight._version, self._packed
        if held is None or held[0] != version or held[1].data_ptr() != weight.data_ptr() or held[1].dtype != weight.dtype:
            packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
                weight.detach().contiguous().to_mkldnn(), self.padding, self.stride, [1, 1], self.groups, list(x.shape)
            )
            self._packed = held = version, weight.detach(), packed
        return held[2]

    def _load_from_state_dict(self, *arguments, **options) -> None:
        self._packed = None
        super()._load_from_state_dict(*arguments, **options)

    def _apply(self, fn, recurse: bool = True) -> nn.Module:
        self._packed = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), "_packed": None}

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape[0], self.weight.shape[1] * self.groups
        text = f"{inputs}, {outputs}, kernel_size={self.kernel_size}, stride={tuple(self.stride)}"
        return text + f", groups={self.groups}, activation={self.activation}"


class FastSqueezeExcite(nn.Module):
    """:class:`SqueezeExcite` as two matrix products, scaling the map in place where it may.

    Shape: (N, C, H, W) → (N, C, H, W), each channel times its gate.

    Args:
        se: what it replaces.
        inplace: whether the map is the block's own, and not its input, which the skip needs.
    """

    def __init__(self, se: SqueezeExcite, inplace: bool):
        super().__init__()
        self.inplace = inplace
        self.reduce, self.expand = _linear(se.reduce), _linear(se.expand)
        self.activation = se.activation

    def gates(self, x: Tensor) -> Tensor:
        """The factor for each channel, shape (N, C, 1, 1)."""
        gates = self.expand(self.activation(self.reduce(x.mean((2, 3))))).sigmoid()
        return gates[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        gates = self.gates(x)
        in_place = self.inplace and isinstance(x, Tensor) and not x.requires_grad  # a tracer has a proxy here
        return x.mul_(gates) if in_place else x * gates


class InferenceNet(EfficientNet):
    """An :class:`EfficientNet` for inference only, as :func:`optimize_for_inference` returns it."""

    def __init__(self, model: EfficientNet):
        nn.Module.__init__(self)
        vars(self).update(vars(copy.deepcopy(model)))  # with all that the model carries
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, ConvNormAct):
                    setattr(parent, name, ConvAct(child))
                elif isinstance(child, SqueezeExcite):
                    own = hasattr(parent, "depthwise") or not isinstance(parent.expand, nn.Identity)
                    setattr(parent, name, FastSqueezeExcite(child, inplace=own))
            if isinstance(parent, (MBConv, FusedMBConv)):
                parent.drop = nn.Identity()
        self.dropout = nn.Identity()
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "InferenceNet":
        """Eval mode is the only one.

        Raises:
            RuntimeError: training was asked for.
        """
        if mode:
            raise RuntimeError(
                "an optimised network is for inference: its batch norm is folded away. "
                "Train the original, then call optimize_for_inference again"
            )
        return super().train(False)

    def reset_classifier(self, num_classes: int) -> None:
        """Not for an optimized network.

        Raises:
            RuntimeError: always; a new classifier wants to be trained.
        """
        raise RuntimeError(
            "an optimized network is for inference: reset_classifier of the original, train it, "
            "then call optimize_for_inference again"
        )

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """Feature maps after the stem and after each stage, largest first, in ``channels_last``."""
        self._check(x)
        return super().forward_stages(x.contiguous(memory_format=torch.channels_last))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map before pooling: (N, head_channels, H/s, W/s), in ``channels_last``."""
        self._check(x)
        return super().forward_features(x.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        traced = torch.compiler.is_compiling() or isinstance(x, torch.fx.Proxy) or torch.jit.is_tracing()
        if traced or x.device.type != "cpu" or len(x) == 0:
            return super().forward(x)
        image = largest_map(self.variant, *x.shape[2:]) * x.element_size()
        pieces = -(-len(x) * image // _LARGEST_BLOCK)
        if min(pieces, len(x)) <= 1:
            return super().forward(x)
        return torch.cat([super(InferenceNet, self).forward(part) for part in x.chunk(pieces)])


def optimize_for_inference(model: EfficientNet) -> InferenceNet:
    """A copy of ``model`` that gives the same outputs faster; the original is left alone.

    What comes back is an ordinary module, and an :class:`EfficientNet` still: any batch, any
    image size, ``forward_features`` and ``forward_stages``, ``to``, ``deepcopy``, pickle,
    ``torch.compile`` and ``torch.export`` work. Three things are different. It stays in eval
    mode. Its parameters want no gradient (that of the input can be had). And its
    ``state_dict`` has other names than the original's, with no batch norm in it: it fits
    another optimised network of the same variant.

    On a CPU a large batch goes through in pieces of a few images, whose feature maps the C
    library can keep and reuse. Squeeze-and-excitation scales its input in place, after a hook on
    the layer before it has seen the map: a hook that keeps it must keep ``output.clone()``.
    (What ``forward_stages``, ``forward_features`` and :func:`effnet_lib.feature_maps` return stays
    as it is.) Do not change weights behind autograd's back, through
    ``.data``, once the network has run: ``load_state_dict`` and ``copy_`` are seen.

    Args:
        model: a network of :func:`build_model`, on any device, in float32, bfloat16, float16
            or float64; its eval mode is what is kept.

    Raises:
        TypeError: ``model`` is not an :class:`EfficientNet`.

    Sources: folding as in Jacob et al. 2018, arXiv:1712.05877, §3.2.

    >>> from effnet_lib import build_model
    >>> fast = optimize_for_inference(build_model("b0"))
    >>> sum(p.numel() for p in fast.parameters())    # of 5,288,548, a bias for two numbers of each norm
    5267540
    """
    if not isinstance(model, EfficientNet):
        raise TypeError(f"expected a network of build_model, got {type(model).__name__}")
    if isinstance(model, InferenceNet):
        return copy.deepcopy(model)
    with torch.inference_mode(False), torch.no_grad():
        return InferenceNet(model)


def _linear(conv: nn.Conv2d) -> nn.Linear:
    """The linear layer that a 1×1 convolution of a single pixel is."""
    weight = conv.weight.detach().flatten(1).clone()
    linear = nn.Linear(conv.in_channels, conv.out_channels, device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(conv.bias.detach().clone())
    return linear


# Convolution and activation in one, where oneDNN has it

_ONEDNN_NAMES = {None: ("none", []), "silu": ("swish", []), "relu": ("relu", []), "relu6": ("hardtanh", [0.0, 6.0])}


def _runs_here(x: Tensor) -> bool:
    """Whether ``x`` is computed with now and on this processor: not on a GPU, and no graph is being made."""
    return (
        type(x) is Tensor  # and no proxy of a tracer
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and torch.autograd.forward_ad._current_level < 0  # oneDNN knows no forward derivatives
    )


@functools.cache
def _fusable(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor have the operator, and it gives the right numbers."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():
        return False
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        if dtype == torch.float16 and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
            return False
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            return False
        with torch.inference_mode(False), torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(1, 16, 5, 5, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
            weight = torch.randn(16, 1, 3, 3, generator=generator).to(dtype)
            bias = torch.randn(16, generator=generator).to(dtype)
            packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
                weight.to_mkldnn(), [1, 1], [1, 1], [1, 1], 16, list(x.shape)
            )
            fused = torch.ops.mkldnn._convolution_pointwise.default
            expected = F.conv2d(x.float(), weight.float(), bias.float(), 1, 1, 1, 16)
            for (name, scalars), function in (
                (_ONEDNN_NAMES[None], lambda y: y),
                (_ONEDNN_NAMES["silu"], F.silu),
                (_ONEDNN_NAMES["relu"], F.relu),
                (_ONEDNN_NAMES["relu6"], F.relu6),
            ):
                got = fused(x, packed, bias, [1, 1], [1, 1], [1, 1], 16, name, scalars, None).float()
                tolerance = 1e-4 if dtype == torch.float32 else 0.1
                if not torch.allclose(got, function(expected), rtol=tolerance, atol=tolerance):
                    return False
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
