"""Balanced sampling: every class is seen equally often, whatever its number of images."""

import torch
from torch import Tensor


def count_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Images with each label, from class indices (N,) or a multi-hot matrix (N, classes)."""
    labels = labels.cpu()
    return labels.sum(0).long() if labels.ndim == 2 else torch.bincount(labels, minlength=num_classes)


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as there are images: first a class at random, then one of its images, with replacement.

    Every class is seen equally often on average, whatever its number of images. With several labels for
    an image those without any count as a class of their own.
    """
    labels = labels.cpu()
    if labels.ndim == 2:
        columns = torch.cat([labels > 0, labels.sum(1, keepdim=True) == 0], 1)
        members = [column.nonzero().flatten() for column in columns.T]
    else:
        members = [(labels == label).nonzero().flatten() for label in labels.unique()]
    members = [images for images in members if len(images)]
    sizes = torch.tensor([len(images) for images in members])
    starts = sizes.cumsum(0) - sizes
    chosen = torch.randint(len(members), (len(labels),), generator=generator)
    within = torch.rand(len(labels), dtype=torch.float64, generator=generator) * sizes[chosen]
    return torch.cat(members)[starts[chosen] + within.long()]
