"""What moves the weights: the paper's RMSProp, parameter groups, learning-rate schedules, EMA."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from .config import Config


class RMSpropTF(Optimizer):
    """RMSProp as TensorFlow has it, with which EfficientNet was trained.

    With gradient g, of weights w with weight decay λ already added (g ← g + λ·w)::

        s ← α·s + (1 − α)·g²          s starts at 1, not at 0
        m ← μ·m + lr·g / √(s + eps)   eps stands inside the root
        w ← w − m

    ``torch.optim.RMSprop`` differs three times: s starts at 0, eps is added to the root, and
    lr multiplies m afterwards, so that a new lr also acts on old gradients. Its first step is larger
    by the factor ``√(α + (1 − α)·g² + eps) / (√(1 − α)·|g| + eps)``, with the same α and eps in both: about
    1 for large gradients, 228 for a gradient of 0.01 and up to √(α + eps) / eps, or 949, for tiny ones, with the
    paper's α = 0.9 and eps = 1e-3. (Its own first step, divided by lr, is at most 1/√(1 − α), or 3.2.)

    Args:
        params: tensors, or groups of them.
        lr: learning rate, above 0.
        alpha: decay of the mean square.
        eps: inside the root.
        momentum: μ.
        weight_decay: λ.

    Raises:
        ValueError: a value is out of range.

    Source: tensorflow/tpu, ``utils.build_optimizer``; TensorFlow's ``ApplyRMSProp``.
    """

    def __init__(
        self,
        params,
        lr: float,
        alpha: float = 0.9,
        eps: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ):
        for name, value, high in (
            ("lr", lr, math.inf), ("alpha", alpha, 1), ("eps", eps, math.inf),
            ("momentum", momentum, 1), ("weight_decay", weight_decay, math.inf),
        ):  # fmt: skip
            if not 0 <= value < high:
                raise ValueError(f"{name} must lie between 0 and {high:g}, got {value}")
        defaults = dict(lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Take one step. The list-wise operations are one kernel for many tensors on a GPU."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p]["square_avg"] = torch.ones_like(p)
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            grads = [p.grad for p in params]
            squares = [self.state[p]["square_avg"] for p in params]
            moments = [self.state[p]["momentum_buffer"] for p in params]
            if group["weight_decay"]:
                grads = torch._foreach_add(grads, params, alpha=group["weight_decay"])
            torch._foreach_mul_(squares, group["alpha"])
            torch._foreach_addcmul_(squares, grads, grads, 1 - group["alpha"])
            roots = torch._foreach_add(squares, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(moments, group["momentum"])
            torch._foreach_addcdiv_(moments, grads, roots, group["lr"])
            torch._foreach_sub_(params, moments)
        return loss


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: weights of convolutions and linear layers decay, biases and norms do not.

    Decay pulls a weight towards 0; a batch norm's scale and a bias have no reason to go
    there, and the scale of a convolution before a norm does not matter to the output.
    """
    decayed = [m.weight for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    known = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in known]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: Config) -> Optimizer:
    """The optimizer that ``config`` names, fused into few kernels where the device has them."""
    groups = parameter_groups(model, config.weight_decay)
    on_gpu = next(model.parameters()).is_cuda
    if config.optimizer == "rmsprop_tf":
        return RMSpropTF(groups, config.peak_lr, momentum=config.momentum)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, config.peak_lr, fused=on_gpu)
    nesterov = config.momentum > 0
    return torch.optim.SGD(
        groups, config.peak_lr, momentum=config.momentum, nesterov=nesterov, fused=on_gpu
    )


def lr_factor(config: Config, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor on the peak learning rate at each step, counted from 0.

    Warm-up rises in a straight line from 1/w at the first of its w steps to 1 at the last (in the
    released code from 0 to 1 − 1/w). Cosine goes from the end of warm-up to 0 after the last step. The
    staircase counts its epochs from the first step, under the warm-up, as the released code does.

    Source: tensorflow/tpu, ``utils.build_learning_rate``; cosine: Loshchilov & Hutter 2017,
    arXiv:1608.03983, equation 5 without restarts.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    total = config.epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if config.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2
        if config.schedule == "staircase":
            return config.decay ** math.floor(step / (config.decay_epochs * steps_per_epoch))
        return 1.0

    return factor


def make_scheduler(optimizer: Optimizer, config: Config, steps_per_epoch: int) -> LambdaLR:
    """:func:`lr_factor` as a torch scheduler, to be stepped once a step."""
    return LambdaLR(optimizer, lr_factor(config, steps_per_epoch))


def ema_decay(decay: float, updates: int) -> float:
    """The decay after so many updates: min(decay, (1 + n) / (10 + n)).

    A fixed 0.9999 would keep a share of the random first weights for tens of thousands of
    steps; people then report an accuracy near 0 early in training.

    Source: TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    >>> [round(ema_decay(0.9999, n), 3) for n in (0, 90, 100_000)]
    [0.1, 0.91, 1.0]
    """
    return min(decay, (1 + updates) / (10 + updates))


def make_ema(model: nn.Module, decay: float) -> AveragedModel:
    """torch's :class:`AveragedModel` with a warmed-up decay; batch-norm statistics are averaged too."""

    def average(averages: list[Tensor], values: list[Tensor], _) -> None:
        weight = 1 - ema_decay(decay, int(ema.n_averaged))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, weight)
        else:  # counters of batches
            for average, value in zip(averages, values):
                average.copy_(value)

    ema = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    ema.n_averaged = ema.n_averaged.cpu()  # asking for it must not wait for the GPU
    for parameter in ema.parameters():
        parameter.requires_grad_(False)
    return ema.eval()
