"""What a run learns: one label for an image, or several. The loss, what is predicted, and how good it is."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .report import confusion_matrix


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The share of right predictions; with several labels for an image, of images with every label right.

    >>> accuracy(torch.tensor([1, 2, 2]), torch.tensor([1, 2, 0])) == 2 / 3
    True
    """
    right = predicted == labels.cpu()
    return int((right.all(1) if right.ndim == 2 else right).sum()) / len(labels)


def average_precision(scores: Tensor, labels: Tensor) -> float | None:
    """The area under the precision-recall curve of one label; None if no image has it.

    The sum of precision × rise in recall over all thresholds, without interpolation; images with equal
    scores stand or fall together.

    Args:
        scores: (N,), higher for images that are likelier to have the label.
        labels: (N,), 1 or 0.

    >>> average_precision(torch.tensor([0.9, 0.8, 0.1]), torch.tensor([1, 0, 1]))
    0.8333333333333333
    """
    order = scores.argsort(descending=True, stable=True)
    scores, hits = scores[order], labels[order].double().cumsum(0)
    if not len(hits) or not hits[-1]:
        return None
    last = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool)])  # of each run of equal scores
    hits, seen = hits[last], last.nonzero().flatten() + 1
    recall = hits / hits[-1]
    return float((recall.diff(prepend=torch.zeros(1, dtype=torch.float64)) * hits / seen).sum())


def f1_score(predicted: Tensor, labels: Tensor) -> float:
    """2·TP / (2·TP + FP + FN) over all entries; 1 where nothing was to be found, and nothing was.

    >>> f1_score(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 1]))
    0.5
    """
    predicted, labels = predicted.bool(), labels.bool()
    found, wrong = int((predicted & labels).sum()), int((predicted ^ labels).sum())
    return 2 * found / (2 * found + wrong) if found + wrong else 1.0


@dataclass(frozen=True)
class SingleLabel:
    """One label for an image: softmax and cross-entropy; the best epoch has the highest accuracy."""

    metric, title = "validation_accuracy", "accuracy"

    classes: tuple[str, ...]
    class_weights: list[float] | None = None

    @property
    def rows(self) -> int:
        """Numbers that :meth:`answer` gives for an image."""
        return 3

    def criterion(self, label_smoothing: float) -> nn.Module:
        """The loss of a batch: cross-entropy, each class times its weight, the mean over the images.

        (PyTorch's own weighted mean divides by the weights of the labels in the batch, so that the gradient
        would depend on how a batch is cut up. Balanced weights have a mean of 1 over the training images.)
        """
        if self.class_weights is None:
            return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        return _WeightedCrossEntropy(self.class_weights, label_smoothing)

    def answer(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(3, N): the predicted class, its probability, and the plain cross-entropy."""
        probability, predicted = logits.softmax(1).max(1)
        return torch.stack([predicted.double(), probability.double(), F.cross_entropy(logits, labels, reduction="none").double()])

    def split(self, answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted classes (N,), their probabilities (N,) and losses (N,) of what :meth:`answer` gave."""
        predicted, probability, loss = answers
        return predicted.long(), probability, loss

    def metrics(self, predicted: Tensor, probability: Tensor, labels: Tensor) -> dict[str, float]:
        """What is recorded of a split, without the split's name."""
        return {"accuracy": accuracy(predicted, labels)}

    def by_class(self, predicted: Tensor, probability: Tensor, labels: Tensor) -> dict:
        """What is recorded of each class of the test images."""
        confusion = confusion_matrix(predicted, labels, len(self.classes))
        shares = [row[i] / sum(row) if sum(row) else None for i, row in enumerate(confusion)]
        return {"per_class_accuracy": shares, "confusion": confusion}


@dataclass(frozen=True)
class MultiLabel(SingleLabel):
    """Any number of labels for an image: a sigmoid and binary cross-entropy for each.

    The best epoch has the highest mean average precision (mAP): the mean over the labels of
    :func:`average_precision`. F1 is taken at a probability of 0.5, over all labels and images together;
    accuracy is the share of images with every label right.
    """

    metric, title = "validation_mean_average_precision", "mAP"

    @property
    def rows(self) -> int:
        return len(self.classes) + 1

    def criterion(self, label_smoothing: float) -> nn.Module:
        """Binary cross-entropy, the mean over images and labels; weights are those of labels that are there.

        Smoothing by ε moves each target to (1 − ε) · target + ε / 2.
        """
        return _BinaryCrossEntropy(self.class_weights, label_smoothing)

    def answer(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(classes + 1, N): each label's probability, and the plain loss, the mean over the labels."""
        loss = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean(1)
        return torch.cat([logits.sigmoid().T.double(), loss[None].double()])

    def split(self, answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which labels are predicted (N, classes), the probabilities (N, classes) and losses (N,)."""
        probability, loss = answers[:-1].T, answers[-1]
        return (probability >= 0.5).float(), probability, loss

    def metrics(self, predicted: Tensor, probability: Tensor, labels: Tensor) -> dict[str, float]:
        known = [p for p in self._precisions(probability, labels) if p is not None]
        return super().metrics(predicted, probability, labels) | {
            "mean_average_precision": sum(known) / len(known), "f1": f1_score(predicted, labels.cpu())
        }  # fmt: skip

    def by_class(self, predicted: Tensor, probability: Tensor, labels: Tensor) -> dict:
        confusion = confusion_matrix(predicted, labels, len(self.classes))
        return {
            "per_class_accuracy": [tp / (fn + tp) if fn + tp else None for _, _, fn, tp in confusion],
            "per_class_average_precision": self._precisions(probability, labels),
            "confusion": confusion,
        }

    def _precisions(self, probability: Tensor, labels: Tensor) -> list[float | None]:
        return [average_precision(p, y) for p, y in zip(probability.T, labels.cpu().T)]


class _WeightedCrossEntropy(nn.Module):
    def __init__(self, weights: list[float], label_smoothing: float):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, targets, self.weights, reduction="none", label_smoothing=self.label_smoothing)
        return losses.mean()


class _BinaryCrossEntropy(nn.Module):
    def __init__(self, weights: list[float] | None, label_smoothing: float):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weights", None if weights is None else torch.tensor(weights))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        targets = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.weights)
