"""The three small layers that every block is made of."""

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F

from .scaling import rate as checked_rate

ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6}


@torch.fx.wrap  # the padding depends on the size, which is not known while a graph is traced
def pad_same(x: Tensor, kernel_size: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """``x`` with zeros around it as TensorFlow's SAME has them, as many as its size needs."""
    padding = []
    for size, kernel, step in zip(x.shape[:-3:-1], kernel_size, stride):
        total = max((-(-size // step) - 1) * step + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding)


@torch.fx.wrap  # the number of samples is not known while a graph is traced
def drop_samples(x: Tensor, rate: float, training: bool) -> Tensor:
    """``x``, while training with each sample zeroed with probability ``rate`` or else divided by 1 − rate."""
    if not training or rate == 0:
        return x
    keep = torch.rand(x.shape[:1] + (1,) * (x.ndim - 1), device=x.device) >= rate
    return x * (keep / (1 - rate)).to(x.dtype)


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: the odd pixel goes right and below.

    At stride 2 and even sizes, symmetric padding looks one pixel further left and up;
    weights trained with one kind of padding want the same kind.
    """

    def pad(self, x: Tensor) -> Tensor:
        """``x`` with zeros around it, as many as this kernel and stride want at its size."""
        return pad_same(x, self.kernel_size, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.pad(x), self.weight, self.bias, self.stride, 0, 1, self.groups)


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, activation: (N, in, H, W) → (N, out, H/s, W/s), rounded up.

    Args:
        in_channels, out_channels, kernel_size, stride, groups: of the convolution.
        activation: ``"silu"``, ``"relu"``, ``"relu6"`` or None for a linear layer.
        norm_eps, norm_momentum: of the batch norm, in PyTorch's sense.
        padding: ``"symmetric"`` (k // 2 on every side) or ``"same"`` (as TensorFlow).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = "silu",
        norm_eps: float = 1e-3,
        norm_momentum: float = 0.01,
        padding: str = "symmetric",
    ):
        same = padding == "same" and kernel_size > 1
        conv = Conv2dSame if same else nn.Conv2d
        pad = 0 if same else kernel_size // 2
        super().__init__(
            conv(in_channels, out_channels, kernel_size, stride, pad, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, norm_eps, norm_momentum),
        )
        if activation is not None:
            self.append(ACTIVATIONS[activation](inplace=True))


class SqueezeExcite(nn.Module):
    """Channel attention: pool each channel to a number, turn the numbers into gates in (0, 1).

    Shape: (N, C, H, W) → (N, C, H, W).

    Args:
        channels: C, the channels that are gated.
        squeeze_channels: width in the middle; EfficientNet takes a quarter of the
            **block's** input channels (see :meth:`effnet_lib.Stage.squeeze_channels`).

    Source: Hu et al. 2018, arXiv:1709.01507; with SiLU inside as in tensorflow/tpu,
    ``efficientnet_model.MBConvBlock``.
    """

    def __init__(self, channels: int, squeeze_channels: int, activation: str = "silu"):
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze_channels, 1)
        self.activation = ACTIVATIONS[activation](inplace=True)
        self.expand = nn.Conv2d(squeeze_channels, channels, 1)

    def gates(self, x: Tensor) -> Tensor:
        """The factor for each channel, shape (N, C, 1, 1)."""
        pooled = x.mean((2, 3), keepdim=True)
        return self.expand(self.activation(self.reduce(pooled))).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(x)


class StochasticDepth(nn.Module):
    """Drop a residual branch, sample by sample; the identity in eval mode.

    While training, the branch of each sample is zeroed with probability ``rate`` and
    otherwise divided by 1 − rate, so that its expectation stays what it is. Papers and
    code of EfficientNet call this "drop connect", which is the name of something else.

    Shape: (N, …) → (N, …).

    Raises:
        TypeError, ValueError: ``rate`` is not a number of at least 0 and below 1.

    Source: Huang et al. 2016, arXiv:1603.09382; the scaling as in tensorflow/tpu,
    ``utils.drop_connect``.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = checked_rate("rate", rate)

    def forward(self, x: Tensor) -> Tensor:
        return drop_samples(x, self.rate, self.training)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.4g}"
