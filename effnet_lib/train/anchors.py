"""Networks of others, for small images, trained by the same recipe to have something to compare with."""

import copy

import torch
from torch import nn


def build_anchor(name: str, num_classes: int, in_channels: int, dropout: float = 0.0) -> nn.Module:
    """torchvision's network changed for images of 32 pixels, freshly initialised.

    ``resnet18`` gets a 3×3 stem of stride 1 and no max pooling, as is usual on CIFAR; its
    output stride is 8. Dropout stands before the classifier, as in EfficientNet.
    """
    from torchvision.models import get_model

    model = get_model(name, num_classes=num_classes)
    model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    model.dropout = nn.Dropout(dropout)
    model.fc = nn.Sequential(model.dropout, model.fc)
    return model


def measure_cost(model: nn.Module, resolution: int, in_channels: int) -> tuple[int, int]:
    """Parameters, and multiply-adds for one image, as PyTorch's own counter sees them."""
    from torch.utils.flop_counter import FlopCounterMode

    bare = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bare(torch.empty(1, in_channels, resolution, resolution, device="meta"))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2
