"""The two building blocks: MBConv (V1 and V2) and Fused-MBConv (V2)."""

from collections.abc import Callable

from torch import Tensor, nn

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


def _squeeze_excite(channels: int, squeeze_channels: int, activation: str) -> nn.Module:
    return SqueezeExcite(channels, squeeze_channels, activation) if squeeze_channels else nn.Identity()
