"""Networks of torchvision and timm without numbers, made once for all tests."""

import functools

import timm
import torch
import torchvision
from torch import nn


@functools.cache
def torchvision_network(name: str) -> nn.Module:
    """On the meta device; not to be changed."""
    with torch.device("meta"):
        return torchvision.models.get_model(f"efficientnet_{name}")


@functools.cache
def timm_network(name: str) -> nn.Module:
    """By timm's own name, on the meta device; not to be changed."""
    with torch.device("meta"):
        return timm.create_model(name)


def norms(network: nn.Module) -> set[tuple[float, float]]:
    """Every (eps, momentum) of its batch norms."""
    return {(m.eps, m.momentum) for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
