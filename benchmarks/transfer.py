"""What ImageNet's weights are worth on another set of images, with few labels and at several sizes.

    python -m benchmarks.transfer --data cifar10 --json results/transfer-features.json

Lite0 is run over each image once, as the weights have it, and only a classifier is trained on
the 1,280 features that come out: softmax regression on features scaled to mean 0 and variance 1.
Beside it stands the same classifier on the pixels themselves, where nothing was learned before.
Images are enlarged to each of several sizes. Out of 500 training images of each class, each seed
chooses some; the test images are always the same. How much regularisation the classifier gets is
chosen for each size on further training images.

The network fine-tuned whole, and trained from scratch:

    effnet experiment transfer --data cifar10
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.inference import _now
from effnet_lib import build_model, optimize_for_inference
from effnet_lib.files import write_atomically
from effnet_lib.train.config import make_config
from effnet_lib.train.data import Split, choose_few, load_data
from effnet_lib.train.record import commit, device_name, versions

SIZES = (32, 64, 96, 128, 160, 224)
PER_CLASS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
SEEDS = (0, 1, 2, 3, 4)
EXTRA = 100
#: Of ½‖W‖², for features and for pixels.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@torch.inference_mode()
def features(split: Split, size: int, preprocessing, batch_size: int = 50) -> Tensor:
    """(N, 1280): what enters Lite0's classifier, for images enlarged to ``size``."""
    model = build_model(weights="lite").eval()
    model.classifier = torch.nn.Identity()
    model = optimize_for_inference(model)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    out = []
    for images in split.images.split(batch_size):
        images = images.float() / 255
        if images.shape[-1] != size:
            images = F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        out.append(model((images - mean) / std))
    return torch.cat(out)


def fit_classifier(x: Tensor, labels: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight (classes, features) and bias of softmax regression, by L-BFGS from zero."""
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, labels) + penalty / 2 * weight.square().sum() / x.shape[1]
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def accuracy(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int, penalty: float) -> float:
    """Share of the test images that a classifier trained on ``train`` names rightly."""
    (x, labels), (other, truth) = train, test
    mean, std = x.mean(0), x.std(0, correction=0).clamp_min(1e-3)
    weight, bias = fit_classifier((x - mean) / std, labels, classes, penalty)
    return float((((other - mean) / std) @ weight.T + bias).argmax(1).eq(truth).float().mean())


def choose_penalty(x: Tensor, labels: Tensor, classes: int) -> float:
    """The best of a few, when half of the images train and the others judge."""
    half = torch.zeros(len(x), dtype=torch.bool)
    half[choose_few(labels, len(x) // classes // 2, seed=0)] = True
    scores = [accuracy((x[half], labels[half]), (x[~half], labels[~half]), classes, p) for p in PENALTIES]
    return PENALTIES[scores.index(max(scores))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="cifar10", help="as for effnet train (default: cifar10)")
    parser.add_argument("--data-id", metavar="ID", help="name of the data in the record")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="PIXELS")
    parser.add_argument("--test", type=int, default=200, help="test images of each class (default: 200)")
    parser.add_argument("--json", metavar="FILE", help="where the record goes")
    args = parser.parse_args()

    started, begun, of = _now(), time.monotonic(), commit()
    preprocessing = build_model(weights="lite").weights.preprocessing
    data = load_data(make_config("fine_tune", {"data": args.data, "weights": "lite"}), args.data_id)
    classes = len(data.classes)
    # 500 images of each class to learn from, and 100 to choose the penalty on
    chosen = data.train.take(choose_few(data.train.labels, max(PER_CLASS) + EXTRA, seed=0))
    judged = torch.zeros(len(chosen), dtype=torch.bool)
    judged[choose_few(chosen.labels, EXTRA, seed=1)] = True
    train, extra = chosen.take((~judged).nonzero().flatten()), chosen.take(judged.nonzero().flatten())
    test = data.test.take(choose_few(data.test.labels, args.test, seed=0))

    rows, penalties = [], {}
    for name in ("pixels", *args.sizes):
        if name == "pixels":
            x, more, other = (split.images.flatten(1).float() / 255 for split in (train, extra, test))
        else:
            x, more, other = (features(split, name, preprocessing) for split in (train, extra, test))
        penalties[name] = choose_penalty(more, extra.labels, classes)
        for n in PER_CLASS:
            choices = [choose_few(train.labels, n, seed) for seed in (SEEDS if n < max(PER_CLASS) else SEEDS[:1])]
            values = [
                accuracy((x[which], train.labels[which]), (other, test.labels), classes, penalties[name])
                for which in choices
            ]
            rows.append({"input": "pixels" if name == "pixels" else "features", "per_class": n, "accuracy": values}
                        | ({} if name == "pixels" else {"resolution": name}))  # fmt: skip
            print(f"{name!s:>6} {n:4} per class: {statistics.mean(values):.1%}", flush=True)

    record = {
        "schema": "effnet-transfer-1", "command": _command(args), "commit": of, "started": started, "finished": _now(),
        "wall_time_s": round(time.monotonic() - begun, 1), "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(), "versions": versions(),
        "dataset": {"id": data.id, "sha256": data.sha256, "hash_of": data.hash_of, "classes": list(data.classes),
                    "train": len(train), "test": len(test)},
        "weights": "lite", "seeds": list(SEEDS), "penalties": {str(k): v for k, v in penalties.items()}, "rows": rows,
    }  # fmt: skip
    if args.json:
        write_atomically(Path(args.json), (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def _command(args: argparse.Namespace) -> str:
    sizes = "" if tuple(args.sizes) == SIZES else f" --sizes {' '.join(map(str, args.sizes))}"
    data_id = f" --data-id {args.data_id}" if args.data_id else ""
    return f"python -m benchmarks.transfer --data {args.data}{data_id}{sizes} --test {args.test}" + (
        f" --json {args.json}" if args.json else "")  # fmt: skip


if __name__ == "__main__":
    main()
