"""After the last epoch: the confusion matrix, and the worst mistakes as pictures."""

from pathlib import Path

import torch
from torch import Tensor

from .data import Split, read_image


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> list[list[int]]:
    """Row: true class; column: predicted class; entry: number of images.

    With several labels for an image (both tensors (N, classes), 1 or 0) a row for each label: images
    without it where it was not predicted, and where it was; with it where it was missed, and found.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    [[1, 1], [0, 1]]
    """
    if labels.ndim == 2:
        index = (2 * labels.cpu() + predicted).long()
        return [torch.bincount(column, minlength=4).tolist() for column in index.T]
    index = labels.cpu() * num_classes + predicted
    return torch.bincount(index, minlength=num_classes**2).view(num_classes, num_classes).tolist()


def worst_mistakes(predicted: Tensor, labels: Tensor, losses: Tensor, count: int) -> list[int]:
    """Indices of wrongly classified images, the largest loss first; one wrong label of several is enough."""
    wrong = predicted != labels.cpu()
    wrong = (wrong.any(1) if wrong.ndim == 2 else wrong).nonzero().flatten()
    return wrong[losses[wrong].argsort(descending=True, stable=True)][:count].tolist()


def write_report(
    output: Path, record: dict, test: Split, predicted: Tensor, probability: Tensor, losses: Tensor
) -> None:
    """Draw ``confusion.png``, ``mistakes.png`` and ``history.png``, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    from .progress import plot_history

    classes = record["dataset"]["classes"]
    plot_history(record["epochs"]).savefig(output / "history.png", dpi=120)
    draw = draw_label_counts if test.labels.ndim == 2 else draw_confusion
    draw(Figure, record["final"]["confusion"], classes).savefig(output / "confusion.png", dpi=120)
    figure = draw_mistakes(Figure, test, predicted, probability, losses, classes)
    figure.savefig(output / "mistakes.png", dpi=120)


def draw_confusion(figure_class, confusion: list[list[int]], classes: list[str]):
    """The matrix as shares of each true class; figures where there is room for them."""
    matrix = torch.tensor(confusion, dtype=torch.float64)
    shares = matrix / matrix.sum(1, keepdim=True).clamp_min(1)
    side = min(12.0, 3 + 0.4 * len(classes))
    figure = figure_class(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="cividis", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(classes) <= 20:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                if count:
                    colour = "black" if shares[i, j] > 0.5 else "white"
                    axes.text(j, i, count, ha="center", va="center", color=colour, fontsize=8)
    return figure


def draw_label_counts(figure_class, confusion: list[list[int]], classes: list[str]):
    """For each label: shares of the images without it and with it that were taken for either."""
    pairs = torch.tensor(confusion, dtype=torch.float64).view(-1, 2, 2)
    shares = (pairs / pairs.sum(2, keepdim=True).clamp_min(1)).view(-1, 4)
    figure = figure_class(figsize=(5, min(12.0, 1.5 + 0.4 * len(classes))), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(4), ["absent,\nnot predicted", "absent,\npredicted", "present,\nmissed", "present,\nfound"])
    if len(classes) <= 40:
        axes.set_yticks(range(len(classes)), classes)
        for i, row in enumerate(confusion):
            for j, count in enumerate(row):
                color = "black" if shares[i, j] > 0.5 else "white"
                axes.text(j, i, count, ha="center", va="center", color=color, fontsize=8)
    return figure


def _wrong_labels(labels: Tensor, predicted: Tensor, probability: Tensor, classes) -> str:
    """Which labels of an image were missed and which are wrong, the surest mistakes first."""
    lines = []
    for word, wrong, surest in (
        ("missed", (labels > predicted).nonzero().flatten(), probability.argsort()),
        ("wrong", (predicted > labels).nonzero().flatten(), probability.argsort(descending=True)),
    ):
        names = [f"{classes[i]} {100 * float(probability[i]):.0f} %" for i in surest.tolist() if i in wrong]
        if names:
            lines.append(f"{word}: {', '.join(names[:2])}" + (f" and {len(names) - 2} more" if len(names) > 2 else ""))
    return "\n".join(lines)


def draw_mistakes(figure_class, test: Split, predicted, probability, losses, classes, count: int = 24):
    """The worst mistakes: what each image is, and what the network took it for."""
    worst = worst_mistakes(predicted, test.labels, losses, count)
    columns = 6
    rows = max(1, -(-len(worst) // columns))
    figure = figure_class(figsize=(1.7 * columns, 2.1 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns).flat:
        axes.axis("off")
    for axes, i in zip(figure.axes, worst):
        if test.images is None:
            axes.imshow(read_image(test.paths[i]))
        else:
            pixels = test.images[i].permute(1, 2, 0).numpy()
            axes.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray")
        if test.labels.ndim == 2:
            axes.set_title(_wrong_labels(test.labels[i].cpu(), predicted[i], probability[i], classes), fontsize=7)
            continue
        true, taken = classes[int(test.labels[i])], classes[int(predicted[i])]
        axes.set_title(f"{true}\ntaken for {taken}, {100 * float(probability[i]):.0f} %", fontsize=7)
    if not worst:
        figure.suptitle("no mistakes")
    return figure
