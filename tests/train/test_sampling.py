"""Classes of unequal size: their weights in the loss, and balanced sampling."""

import json

import pytest
import torch
from runs import finish, finish_together
from tiny import make_tree, tiny_config
from torch.nn import functional as F

from effnet_lib.cli import main
from effnet_lib.train import ConfigError, balanced_order, load_data, make_class_weights, make_config, read_record, train
from effnet_lib.train.class_weights import read_class_weights
from effnet_lib.train.config import config_from_json
from effnet_lib.train.data import make_loader, number_draws, training_order
from effnet_lib.train.distributed import Group
from effnet_lib.train.sampling import count_labels
from effnet_lib.train.tasks import SingleLabel

CLASSES = ("cat", "dog", "owl")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """32 dark images and 4 light ones to train on."""
    root = make_tree(tmp_path_factory.mktemp("data") / "uneven", (("train", 36), ("val", 6), ("test", 6)))
    for path in sorted((root / "train" / "light").iterdir())[4:]:
        path.unlink()
    return root


@pytest.mark.parametrize("text, weights", [
    ("none", None), ("1,2,0.5", [1, 2, 0.5]), ("[1, 2, 0.5]", [1, 2, 0.5]), (" 1 , 2, 5e-1 ", [1, 2, 0.5]),
    ('{"dog": 3}', [1, 3, 1]), ('{"owl": 0, "cat": 2, "dog": 1}', [2, 1, 0]), ("{}", None), ("0,0,1", [0, 0, 1]),
])  # fmt: skip
def test_weights_as_they_are_written(text, weights):
    if text == "{}":
        with pytest.raises(ConfigError, match="has no number above 0"):
            make_class_weights(text, [5, 3, 2], 10, CLASSES)
    else:
        assert make_class_weights(text, [5, 3, 2], 10, CLASSES) == weights


@pytest.mark.parametrize("text, message", [
    ("balance", "class_weights must be none, balanced, numbers such as 1,2,0.5"), ("1,,2", "must be none, balanced"),
    ("", "has no number above 0"), ("1;2", "must be none"), ("-1,2,3", "between 0 and 1e9, got -1"), ("nan,1,1", "must be none"),
    ("NaN,1,1", "got nan"), ("Infinity,1,1", "got inf"), ("true,1,1", "got True"), ('["a"]', "got 'a'"), ("0,0,0", "no number above 0"),
    ('{"cat": "x"}', "got 'x'"), ("1e999", "got inf"), ("[" * 5000, "must be none"), ("9" * 400, "between 0 and 1e9"),
])  # fmt: skip
def test_what_are_no_weights(text, message):
    for read in (lambda: make_config("digits", {"class_weights": text}), lambda: read_class_weights(text)):
        with pytest.raises(ConfigError, match=message) as raised:
            read()
        assert len(str(raised.value)) < 500


def test_weights_must_fit_the_classes(uneven, tmp_path, capsys):
    for text, message in (
        ("1,2,3", "has 3 numbers, and there are 2 classes"), ('{"grey": 2}', "names 'grey', which is no class: dark, light"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            train(tiny_config(uneven, class_weights=text), tmp_path / "run", quiet=True)
    with pytest.raises(ConfigError, match="the class 'owl' has no training image"):
        make_class_weights("balanced", [3, 2, 0], 5, CLASSES)
    assert main(["train", "--data", str(uneven), "--batch-size", "16", "--set", "class_weights=1,2,3", "--output", str(tmp_path / "a")]) == 2
    assert "2 classes" in capsys.readouterr().err


def test_lists_and_objects_survive_saving(capsys):
    for given in ([1, 2.5], {"cat": 2}):
        config = make_config("digits", {"class_weights": given})
        assert json.loads(config.class_weights) == given and config_from_json(config.to_json()) == config
        assert config_from_json(json.dumps(json.loads(config.to_json()) | {"class_weights": given})) == config
    assert main(["train", "--print", "--set", 'class_weights={"3": 2}', "--set", "sampling=balanced"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["class_weights"], said["sampling"]) == ('{"3": 2}', "balanced")
    with pytest.raises(ConfigError, match="did you mean balanced"):
        make_config("digits", {"sampling": "balanecd"})


def test_balanced_weights_make_the_classes_equal():
    counts = [70, 20, 10]
    weights = make_class_weights("balanced", counts, 100, CLASSES)
    assert [w * n for w, n in zip(weights, counts)] == pytest.approx([100 / 3] * 3)  # as scikit-learn's
    several = make_class_weights("balanced", [70, 20, 100], 100, CLASSES, multi_label=True)
    assert several == pytest.approx([30 / 70, 4.0, 1.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_weighted_loss_by_hand_and_however_a_batch_is_cut(smoothing):
    logits, labels = torch.randn(8, 3, generator=generator()), torch.tensor([0, 1, 2, 0, 0, 1, 0, 2])
    weights = [0.5, 2.0, 3.0]
    loss = SingleLabel(CLASSES, weights).criterion(smoothing)
    targets = F.one_hot(labels).float() * (1 - smoothing) + smoothing / 3
    by_hand = -(torch.tensor(weights) * targets * logits.log_softmax(1)).sum(1).mean()
    assert loss(logits, labels) == pytest.approx(float(by_hand), rel=1e-6)
    assert loss(logits, F.one_hot(labels).float()) == pytest.approx(float(by_hand), rel=1e-6)  # as mixing makes them
    parts = [loss(x, y) for x, y in zip(logits.chunk(4), labels.chunk(4))]
    assert sum(parts) / 4 == pytest.approx(float(by_hand), rel=1e-6)
    plain = SingleLabel(CLASSES, [1.0] * 3).criterion(smoothing)
    assert plain(logits, labels) == pytest.approx(float(F.cross_entropy(logits, labels, label_smoothing=smoothing)), rel=1e-6)


def test_balanced_draws_are_of_every_class_alike():
    labels = torch.tensor([0] * 9000 + [1] * 900 + [4] * 100)
    order = balanced_order(labels, generator())
    assert len(order) == len(labels)
    assert (count_labels(labels[order], 5)[[0, 1, 4]] / 10_000).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
    drawn = torch.bincount(order, minlength=10_000)
    assert drawn[9900:].min() > 10 and drawn[9900:].max() < 60  # of 33 on average: every image of a rare class alike
    assert torch.equal(order, balanced_order(labels, generator())) and not torch.equal(order, balanced_order(labels, generator(1)))


def test_balanced_draws_of_several_labels():
    labels = torch.zeros(1000, 3)
    labels[:900, 0], labels[890:910, 1] = 1, 1  # the third label is on no image
    order = balanced_order(labels, generator())
    kinds = [labels[order][:, 0] > 0, labels[order][:, 1] > 0, labels[order].sum(1) == 0]
    shares = [float(kind.double().mean()) for kind in kinds]
    # a third each for the first label, the second (half of whose images have the first), and none
    assert shares == pytest.approx([1 / 3 + 1 / 6 , 1 / 3, 1 / 3], abs=0.05)


@pytest.mark.parametrize("kind", ["memory", "stream"])
def test_the_same_images_for_any_number_of_processes_and_after_a_stop(uneven, kind):
    config = tiny_config(uneven, storage=kind, sampling="balanced", batch_size=8, crop="resized")
    data, cpu = load_data(config), torch.device("cpu")
    whole = list(make_loader(data.train, config, Group(0, 1, cpu)).epoch(3, 0, 16))
    assert len(whole) == len(data.train) // 8
    later = list(make_loader(data.train, config, Group(0, 1, cpu)).epoch(3, 2, 16))
    for (images, labels), (again, same) in zip(whole[2:], later, strict=True):
        assert torch.equal(images, again) and torch.equal(labels, same)
    halves = [list(make_loader(data.train, config, Group(rank, 2, cpu)).epoch(3, 0, 16)) for rank in range(2)]
    for (images, labels), *parts in zip(whole, *halves, strict=True):
        for rank, (some, of_them) in enumerate(parts):
            assert torch.equal(images[rank::2], some) and torch.equal(labels[rank::2], of_them)
    light = sum(int(labels.sum()) for _, labels in whole)
    assert light > 2 * int(data.train.labels.sum())
    other = list(make_loader(data.train, config, Group(0, 1, cpu)).epoch(4, 0, 16))
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(whole, other))


def test_an_image_that_is_drawn_again_is_cropped_anew(uneven):
    config = tiny_config(uneven, storage="stream", sampling="balanced", batch_size=8, crop="resized", flip=False)
    data = load_data(config)
    order = training_order(data.train.labels, config, 0).tolist()
    images = torch.cat([x for x, _ in make_loader(data.train, config, Group(0, 1, torch.device("cpu"))).epoch(0, 0, 16)])
    often = max(set(order), key=order.count)
    crops = [images[i] for i, image in enumerate(order[: len(images)]) if image == often]
    assert len(crops) > 2 and not any(torch.equal(crops[0], crop) for crop in crops[1:])
    assert number_draws([5, 3, 5, 5]) == [(), (), (1,), (2,)]


def test_without_it_the_order_is_the_old_one(uneven):
    data = load_data(tiny_config(uneven))
    order = training_order(data.train.labels, tiny_config(uneven), 0)
    assert sorted(order.tolist()) == list(range(len(data.train)))


def test_the_record_says_what_was_weighed(uneven, tmp_path):
    balanced = train(tiny_config(uneven, epochs=1, class_weights="balanced"), tmp_path / "a", quiet=True)
    assert balanced["dataset"]["train_per_class"] == [36, 4]
    assert balanced["class_weights"] == pytest.approx([40 / 72, 40 / 8])
    assert read_record(tmp_path / "a") == balanced
    plain = train(tiny_config(uneven, epochs=1), tmp_path / "b", quiet=True)
    assert "class_weights" not in plain and "train_per_class" not in plain["dataset"]
    assert plain["epochs"][0]["train_loss"] != balanced["epochs"][0]["train_loss"]


@pytest.mark.parametrize("changes", [{"class_weights": "balanced"}, {"sampling": "balanced"}])
def test_the_rare_class_is_found_more_often(uneven, tmp_path, changes):
    settings = dict(epochs=4, lr=0.005, optimizer="adamw", crop="none", norm_momentum=0.5, ema_decay=0.3, batch_size=20)
    plain = train(tiny_config(uneven, **settings), tmp_path / "plain", quiet=True)
    helped = train(tiny_config(uneven, **settings, **changes), tmp_path / "helped", quiet=True)
    light = [record["final"]["per_class_accuracy"][1] for record in (plain, helped)]
    assert light[1] > light[0]


def test_two_processes_equal_one(uneven, tmp_path):
    calm = {"freeze_norm": True, "dropout": 0.0, "stochastic_depth_rate": 0.0, "crop": "none", "flip": False}
    config = tiny_config(uneven, sampling="balanced", class_weights="1,5", accumulate=2, epochs=2, **calm)
    finish(config, tmp_path / "one")
    finish_together(config, tmp_path / "two", 2)
    one, two = (read_record(tmp_path / name)["final"]["test_loss"] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-4)
