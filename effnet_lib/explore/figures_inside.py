"""Figures of what goes on inside a network: feature maps, activation maps, gates.

Each function returns a matplotlib figure with an attribute ``alt``: a text that says what the
picture shows, for readers who cannot see it. They need matplotlib.
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from ..inside import activation_map, feature_maps, se_gates
from ..model import EfficientNet
from .figures import COLORS, house_style


def plot_feature_maps(
    model: EfficientNet, image: Tensor, photograph: Tensor | None = None, channels: int = 6
) -> Figure:
    """The most varied channels of what leaves stem, stages and head, one column for each.

    Args:
        image: (in_channels, H, W), prepared as for the network.
        photograph: (3, H, W), from 0 to 1, to stand beside the maps.
        channels: rows; those with the largest variance over the picture.

    Raises:
        TypeError, ValueError: as :func:`effnet_lib.feature_maps`; ``channels`` is below 1.
    """
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise ValueError(f"channels must be an integer of at least 1, got {channels!r:.60}")
    maps = {name: values[0] for name, values in feature_maps(model, _one(image)).items()}
    columns = len(maps) + (photograph is not None)
    with house_style():
        figure = Figure(figsize=(1.05 * columns, 1.0 * channels + 0.4))
        grid = figure.subplots(channels, columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        if photograph is not None:
            _show(grid[0, 0], photograph, "photograph")
        for column, (name, values) in zip(grid.T[columns - len(maps) :], maps.items()):
            order = values.flatten(1).var(1, correction=0).argsort(descending=True)
            for axes, channel in zip(column, order.tolist()):
                axes.imshow(values[channel].float().cpu().numpy(), cmap="cividis")
            side = " × ".join(str(n) for n in values.shape[1:])
            column[0].set_title(f"{name}\n{side}", fontsize=8, color=COLORS["ink"])
    sides = [tuple(values.shape[1:]) for values in maps.values()]
    figure.alt = (
        f"{min(channels, min(len(v) for v in maps.values()))} feature maps from each of {len(maps)} places in the "
        f"network, from {next(iter(maps))} to {list(maps)[-1]}. They get coarser, from {sides[0][0]} × {sides[0][1]} "
        f"to {sides[-1][0]} × {sides[-1][1]} pixels"
    )
    return figure


def plot_activation_map(
    model: EfficientNet,
    images: Tensor,
    photographs: Tensor,
    classes=None,
    names: list[str] | tuple[str, ...] | None = None,
) -> Figure:
    """Photographs, and over each the class activation map of a class (the network's first choice).

    What speaks for the class is drawn in orange, what speaks against it in blue; the stronger,
    the less of the photograph shines through. Each photograph has a scale of its own.

    Args:
        images: (N, in_channels, H, W), prepared as for the network.
        photographs: (N, 3, height, width), the same from 0 to 1, of any size.
        classes: as for :func:`effnet_lib.activation_map`.
        names: of the classes, for the titles.

    Raises:
        TypeError, ValueError: as :func:`effnet_lib.activation_map`; there are not as many
            photographs as images.
    """
    if not isinstance(photographs, Tensor) or photographs.ndim != 4 or photographs.shape[1] != 3:
        raise ValueError("photographs must be a tensor of shape (N, 3, height, width)")
    if len(photographs) != len(images):
        raise ValueError(f"expected a photograph for each of {len(images)} images, got {len(photographs)}")
    if classes is None:
        features = feature_maps(model, images)["head"]
        with torch.no_grad():
            classes = model.classifier(features.mean((2, 3))).argmax(1)
    maps = activation_map(model, images, classes).float().cpu()
    if not isinstance(classes, int):
        chosen = [int(c) for c in classes]
    else:
        chosen = [classes] * len(images)
    titles = [names[c] if names else f"class {c}" for c in chosen]
    size = tuple(photographs.shape[-2:])
    smooth = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    columns = min(3, len(images))
    rows = -(-len(images) // columns)
    with house_style():
        figure = Figure(figsize=(2.3 * columns, 2.5 * rows))
        places = []
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes in grid[len(images) :]:
            axes.axis("off")
        for axes, photograph, values, title in zip(grid, photographs, smooth, titles):
            _show(axes, photograph.mean(0, keepdim=True).expand(3, -1, -1), title)
            strength = values / values.abs().max().clamp_min(1e-12)
            shade = (0.75 * strength.abs()).clamp(0, 1).numpy()
            axes.imshow(strength.numpy(), cmap="PuOr_r", vmin=-1.3, vmax=1.3, alpha=shade)
            y, x = divmod(int(values.argmax()), size[1])
            places.append(f"{title}: strongest {_place(y / size[0], x / size[1])}")
            axes.axis("off")
    figure.alt = f"Class activation maps over {len(images)} photographs. {'; '.join(places)}"
    return figure


def plot_answers(model: EfficientNet, images: dict[str, Tensor], columns: int = 4) -> Figure:
    """One picture prepared in several ways, as the network sees it, and its five likeliest answers to each.

    Args:
        model: with weights that carry their preprocessing and the names of their classes.
        images: what each way is called, and its result, (3, H, W).

    Raises:
        ValueError: the model's weights name no preprocessing or no classes.
    """
    known = model.weights
    if known is None or known.preprocessing is None or known.categories is None:
        raise ValueError("plot_answers needs a model whose weights have a preprocessing and names of classes")
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (known.preprocessing.mean, known.preprocessing.std))
    rows = -(-len(images) // columns)
    lines = []
    with house_style():
        figure = Figure(figsize=(2.15 * columns, 3.35 * rows))
        grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[1.5, 1] * rows)
        for axes in grid.flat:
            axes.axis("off")
        for i, (name, image) in enumerate(images.items()):
            logits = feature_maps(model, _one(image))["head"].mean((2, 3)) @ model.classifier.weight.detach().T
            probability, index = (logits + model.classifier.bias.detach()).softmax(1)[0].topk(min(5, model.num_classes))
            labels = [known.categories[c] for c in index.tolist()]
            picture, bars = grid[2 * (i // columns), i % columns], grid[2 * (i // columns) + 1, i % columns]
            # Half the side is enough for so small a panel, and a quarter of the bytes.
            _show(picture, F.avg_pool2d(image * std + mean, 2), name)
            at = range(len(labels))
            bars.barh(at, probability.tolist(), color=COLORS["depth"], height=0.9, alpha=0.3)
            for y, (label, share) in enumerate(zip(labels, probability.tolist())):
                bars.text(0.02, y, label, fontsize=7.5, va="center")
                bars.text(1, y, f"{share:.0%}", fontsize=7.5, va="center", ha="right")
            bars.set_xlim(0, 1)
            bars.set_ylim(len(labels) - 0.5, -0.5)
            lines.append(f"{name}: {labels[0]} {probability[0]:.0%}")
    figure.alt = f"One picture prepared in {len(images)} ways, and the likeliest answer to each. {'; '.join(lines)}"
    return figure


def plot_gates(
    model: EfficientNet, images: Tensor, block: int, names: list[str] | tuple[str, ...] | None = None
) -> Figure:
    """The gates of one block as a heat map: a row for each image, a column for each channel.

    Channels stand in the order of their average gate.

    Args:
        images: (N, in_channels, H, W), prepared as for the network.
        block: counted from 1.
        names: of the images.

    Raises:
        TypeError, ValueError: as :func:`effnet_lib.se_gates`; there are not as many names as
            images.
    """
    gates = se_gates(model, images, block).float().cpu()
    names = [f"image {i}" for i in range(1, len(gates) + 1)] if names is None else list(names)
    if len(names) != len(gates):
        raise ValueError(f"expected a name for each of {len(gates)} images, got {len(names)}")
    gates = gates[:, gates.mean(0).argsort(descending=True)]
    between = float((gates - gates.mean(0)).square().mean().sqrt())
    with house_style():
        figure = Figure(figsize=(7, 0.32 * len(names) + 0.9))
        axes = figure.add_subplot()
        picture = axes.imshow(gates.numpy(), cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel(f"the {gates.shape[1]} channels of block {block}, by their average gate")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        figure.colorbar(picture, ax=axes, label="gate", pad=0.02)
    figure.alt = (
        f"Heat map of {gates.shape[1]} gates of block {block} for {len(names)} images. Gates lie between "
        f"{gates.min():.2f} and {gates.max():.2f}, on average {gates.mean():.2f}; a channel's gate differs between "
        f"images by {between:.3f} (standard deviation)"
    )
    return figure


def _one(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or image.ndim != 3:
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"expected one image (in_channels, height, width), got {got}")
    return image[None]


def _show(axes, photograph: Tensor, title: str) -> None:
    axes.imshow(photograph.permute(1, 2, 0).float().cpu().clamp(0, 1).numpy())
    axes.set_title(title, fontsize=8, color=COLORS["ink"])


def _place(down: float, right: float) -> str:
    """Where a point of the picture lies, in words."""
    row = "above" if down < 1 / 3 else "below" if down > 2 / 3 else ""
    column = "left" if right < 1 / 3 else "right" if right > 2 / 3 else ""
    return " ".join(word for word in (row, column) if word) or "in the middle"
