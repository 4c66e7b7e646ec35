"""After the last epoch: the confusion matrix, and the worst mistakes as pictures."""

from pathlib import Path

import torch
from torch import Tensor

from .data import Split, read_image


def confusion_matrix(predicted: Tensor, labels: Tensor, num_classes: int) -> list[list[int]]:
    """Row: true class; column: predicted class; entry: number of images.

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    [[1, 1], [0, 1]]
    """
    index = labels.cpu() * num_classes + predicted
    return torch.bincount(index, minlength=num_classes**2).view(num_classes, num_classes).tolist()


def worst_mistakes(predicted: Tensor, labels: Tensor, losses: Tensor, count: int) -> list[int]:
    """Indices of wrongly classified images, the largest loss first."""
    wrong = (predicted != labels.cpu()).nonzero().flatten()
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
    draw_confusion(Figure, record["final"]["confusion"], classes).savefig(output / "confusion.png", dpi=120)
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
        true, taken = classes[int(test.labels[i])], classes[int(predicted[i])]
        axes.set_title(f"{true}\ntaken for {taken}, {100 * float(probability[i]):.0f} %", fontsize=7)
    if not worst:
        figure.suptitle("no mistakes")
    return figure
