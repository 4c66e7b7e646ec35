"""The two building blocks, MBConv (V1 and V2) and Fused-MBConv (V2), and a stage of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .layers import ConvNormAct, SqueezeExcite, StochasticDepth


class MBConv(nn.Module):
    """Mobile inverted bottleneck: expand, depthwise, squeeze-and-excite, project, skip.

    Shape: (N, in, H, W) → (N, out, H/stride, W/stride), rounded up. The skip exists where input and
    output have the same shape; an expansion of 1 has no expanding convolution; the
    projection is linear.

    Args:
        in_channels, out_channels, kernel_size, stride, expand_ratio: of the block.
        squeeze_channels: width inside squeeze-and-excitation, 0 for none.
        stochastic_depth_rate: probability of dropping the branch of this block while training (a
            :class:`Variant` has the p that all blocks' rates are made from).
        conv: makes a convolution with norm and activation (:class:`ConvNormAct`).
        activation: inside squeeze-and-excitation.

    Source: Sandler et al. 2018, arXiv:1801.04381, Table 1; Tan & Le 2019, §4.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: int = 6,
        squeeze_channels: int = 0,
        stochastic_depth_rate: float = 0.0,
        conv: Callable[..., nn.Module] = ConvNormAct,
        activation: str = "silu",
    ):
        super().__init__()
        width = in_channels * expand_ratio
        self.expand = conv(in_channels, width) if expand_ratio != 1 else nn.Identity()
        self.depthwise = conv(width, width, kernel_size, stride, groups=width)
        self.se = _squeeze_excite(width, squeeze_channels, activation)
        self.project = conv(width, out_channels, activation=None)
        self.has_skip = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(stochastic_depth_rate if self.has_skip else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.project(self.se(self.depthwise(self.expand(x))))
        return x + self.drop(branch) if self.has_skip else branch


class FusedMBConv(nn.Module):
    """MBConv with expansion and depthwise convolution fused into one regular convolution.

    Shape: (N, in, H, W) → (N, out, H/stride, W/stride), rounded up. An expansion of 1 is a single k×k
    convolution with activation. The released networks have no squeeze-and-excitation here.

    Args: as for :class:`MBConv`.

    Source: Tan & Le 2021, arXiv:2104.00298, §3.2 and Figure 2; google/automl
    ``effnetv2_model.FusedMBConvBlock``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: int = 4,
        squeeze_channels: int = 0,
        stochastic_depth_rate: float = 0.0,
        conv: Callable[..., nn.Module] = ConvNormAct,
        activation: str = "silu",
    ):
        super().__init__()
        width = in_channels * expand_ratio
        if expand_ratio != 1:
            self.expand = conv(in_channels, width, kernel_size, stride)
            project = conv(width, out_channels, activation=None)
        else:
            self.expand = nn.Identity()
            project = conv(in_channels, out_channels, kernel_size, stride)
        self.se = _squeeze_excite(width, squeeze_channels, activation)
        self.project = project
        self.has_skip = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(stochastic_depth_rate if self.has_skip else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.project(self.se(self.expand(x)))
        return x + self.drop(branch) if self.has_skip else branch


class BlockSequence(nn.Sequential):
    """The blocks of a stage, one after another: (N, in, H, W) → (N, out, H/stride, W/stride), rounded up.

    With ``gradient_checkpointing`` only the input of each block is kept for the backward pass, which
    computes the rest again: less memory, about a third more computation, the same gradients. Random
    numbers are drawn as in the first pass, and batch norm's running statistics change once.

    Source: Chen et al. 2016, arXiv:1604.06174.
    """

    gradient_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = _recomputed(block, x) if self.gradient_checkpointing and _keeps_a_graph(x) else block(x)
        return x


def _keeps_a_graph(x: Tensor) -> bool:
    """Whether a backward pass may follow, and nothing is being traced."""
    tracing = torch.compiler.is_exporting() or torch.jit.is_tracing() or not isinstance(x, Tensor)
    return torch.is_grad_enabled() and not tracing


def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """What ``block`` gives; all between is computed again in the backward pass."""
    if torch.compiler.is_compiling():  # a compiled graph writes its statistics once, at its end
        return checkpoint(block, x, use_reentrant=False)
    return checkpoint(
        block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), keep_statistics(block))
    )


@contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms write their running statistics and counters to copies, which are dropped."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [dict(norm._buffers) for norm in norms]
    try:
        for norm in norms:
            norm._buffers.update({name: buffer.clone() for name, buffer in norm._buffers.items()})
        yield
    finally:
        for norm, buffers in zip(norms, kept):
            norm._buffers.update(buffers)


def _squeeze_excite(channels: int, squeeze_channels: int, activation: str) -> nn.Module:
    return SqueezeExcite(channels, squeeze_channels, activation) if squeeze_channels else nn.Identity()
