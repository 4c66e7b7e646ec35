"""Cost counted the slow way: forward hooks on a built network. Knows nothing of effnet_lib.cost."""

import torch
from torch import nn


def count_by_hooks(model: nn.Module, *input_shape: int) -> tuple[int, int, int]:
    """Parameters, multiply-adds and activations of convolutions and linear layers."""
    multiply_adds = activations = 0

    def hook(module, inputs, output):
        nonlocal multiply_adds, activations
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            per_output = module.in_channels // module.groups * height * width
        else:
            per_output = module.in_features
        multiply_adds += output.numel() * per_output
        activations += output.numel()

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    device = next(model.parameters()).device
    with torch.no_grad():
        model.eval()(torch.empty(1, *input_shape, device=device))
    for handle in handles:
        handle.remove()
    return sum(p.numel() for p in model.parameters()), multiply_adds, activations
