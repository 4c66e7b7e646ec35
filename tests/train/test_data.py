import functools
import hashlib
import http.server
import os
import pickle
import tarfile
import threading

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10
from tiny import make_tree, tiny_config

from effnet_lib.train import ConfigError, DataSet, RunError, Split, change_config, load_data, make_config
from effnet_lib.train import data as data_module
from effnet_lib.train.data import MemoryLoader, StreamLoader, choose_few, epoch_order, hold_out, make_seed, reseed
from effnet_lib.train.distributed import Group

ALONE = Group(0, 1, torch.device("cpu"))


def test_digits():
    pytest.importorskip("sklearn")
    data = load_data(make_config("digits"))
    assert (data.id, data.channels, data.size, len(data.classes)) == ("digits", 1, 16, 10)
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    assert 350 <= len(data.test) <= 370 and 135 <= len(data.validation) <= 150
    everything = [s.images for s in (data.train, data.validation, data.test)]
    assert torch.cat(everything).flatten(1).unique(dim=0).shape[0] == 1797  # no image in two splits
    again = load_data(make_config("digits", {"seed": 5}))
    assert torch.equal(again.test.images, data.test.images) and again.sha256 == data.sha256
    assert data.train.images.max() == 255
    assert data.mean == [pytest.approx(data.train.images.double().mean().item(), abs=1e-3)]


def test_holding_out_is_stratified_and_ignores_the_order_of_seeds():
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 3)
    stays, held = hold_out(labels, 0.1, salt=1)
    assert labels[held].bincount().tolist() == [10, 5, 1]
    assert sorted(stays.tolist() + held.tolist()) == list(range(153))
    assert torch.equal(held, hold_out(labels, 0.1, salt=1)[1])
    assert not torch.equal(held, hold_out(labels, 0.1, salt=2)[1])


@pytest.fixture
def serve():
    """Serve a folder on this machine."""
    servers = []

    def start(folder) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def fake_cifar(folder, monkeypatch, serve, damage=False):
    """A tiny CIFAR-10 that torchvision downloads from this machine."""
    base = folder / "source" / CIFAR10.base_folder
    base.mkdir(parents=True)
    md5 = {}
    for name, count in (("data_batch_1", 60), ("test_batch", 20), ("batches.meta", 0)):
        numbers = np.random.default_rng(count)
        content = {"data": numbers.integers(0, 256, (count, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(count)]}
        if not count:
            content = {"label_names": [f"class {i}" for i in range(10)]}
        (base / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((base / name).read_bytes()).hexdigest()
    archive = folder / "source" / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(base, CIFAR10.base_folder)
    total = hashlib.md5(archive.read_bytes()).hexdigest()
    if damage:
        archive.write_bytes(archive.read_bytes()[:-1])
    monkeypatch.setattr(CIFAR10, "url", f"{serve(archive.parent)}/cifar.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", total)
    monkeypatch.setattr(CIFAR10, "filename", "cifar.tar.gz")
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]})
    monkeypatch.setenv("EFFNET_DATA", str(folder / "cache"))


def test_cifar_is_downloaded_and_checked(tmp_path, monkeypatch, serve):
    fake_cifar(tmp_path, monkeypatch, serve)
    data = load_data(make_config("cifar", {"validation": 0.2}))
    assert (data.id, data.size, data.channels) == ("cifar10", 32, 3)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [50, 10, 20]
    assert data.classes[3] == "class 3"
    part = CIFAR10(tmp_path / "cache", train=False)
    assert torch.equal(data.test.images[7].permute(1, 2, 0), torch.from_numpy(part.data[7]))


def test_a_download_with_another_checksum_is_refused(tmp_path, monkeypatch, serve):
    fake_cifar(tmp_path, monkeypatch, serve, damage=True)
    with pytest.raises(RunError, match="cannot get cifar10"):
        load_data(make_config("cifar"))


def test_a_tree_in_memory(tree):
    data = load_data(tiny_config(tree), "my noise")
    assert (data.id, data.hash_of, data.classes, data.size) == ("my noise", "contents", ("dark", "light"), 16)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [44, 4, 12]
    dark = data.train.images[data.train.labels == 0].float().mean()
    assert dark < data.train.images[data.train.labels == 1].float().mean() - 50


@pytest.mark.parametrize("splits, sizes", [
    (("train", "val"), (8, 2, 10)),           # as ImageNet: val is the test set
    (("train", "test"), (8, 2, 10)),
    (("train", "val", "test"), (10, 10, 10)),  # all three are there
])  # fmt: skip
def test_layouts(tmp_path, splits, sizes):
    make_tree(tmp_path, [(split, 5) for split in splits])
    data = load_data(tiny_config(tmp_path, validation=0.2))
    assert tuple(len(s) for s in (data.train, data.validation, data.test)) == sizes


def test_a_tree_of_classes_alone(tmp_path):
    make_tree(tmp_path, [("", 20)])
    data = load_data(tiny_config(tmp_path))
    assert tuple(len(s) for s in (data.train, data.validation, data.test)) == (30, 4, 6)


def remove(path):
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


BROKEN = [
    (lambda t: [f.unlink() for f in (t / "train" / "light").iterdir()], ConfigError, "train/light holds no images"),
    (lambda t: remove(t / "test" / "light"), ConfigError, "lacks the class folder 'light'"),
    (lambda t: (t / "test" / "third").mkdir(), ConfigError, "has the class folder 'third'"),
    (lambda t: [remove(t / "train" / c) for c in ("dark", "light")], ConfigError, "no class folders"),
    (lambda t: (t / "train").rename(t / "val"), ConfigError, "no train folder"),
    (lambda t: [remove(t / s / "dark") for s in ("train", "test")], ConfigError, "at least two classes"),
]


@pytest.mark.parametrize("harm, kind, message", BROKEN)
def test_broken_trees(tmp_path, harm, kind, message):
    make_tree(tmp_path)
    harm(tmp_path)
    with pytest.raises(kind, match=message) as error:
        load_data(tiny_config(tmp_path))
    assert "\n" not in str(error.value)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("storage, workers", [("memory", 0), ("stream", 0), ("stream", 1)])
def test_a_truncated_image_is_named(tmp_path, storage, workers):
    make_tree(tmp_path, suffix="jpg")
    for file in (tmp_path / "train" / "dark").iterdir():
        truncate(file)
    config = tiny_config(tmp_path, storage=storage, workers=workers)
    with pytest.raises(RunError, match=r"the image .*train/dark/\d+.jpg cannot be read") as error:
        data = load_data(config)
        list(StreamLoader(data.train, config, ALONE).epoch(0, 0, 16))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nothing", "", "~nosuchuser/x", "x" * 300])
def test_no_such_data(name):
    with pytest.raises(ConfigError, match="^there is no folder '.*: give digits, cifar10, cifar100 or the path") as error:
        load_data(tiny_config(name))
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_pictures_that_are_traps_are_named(tmp_path, storage, monkeypatch):
    tree, config = make_tree(tmp_path), tiny_config(tmp_path, storage=storage)
    file = next((tree / "train" / "dark").iterdir())
    for trap, message in ((b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n", "PostScript"), (None, "(bomb|unpack)")):
        if trap:
            file.write_bytes(trap)
        else:
            make_tree(tmp_path / "again")
            config = tiny_config(tmp_path / "again", storage=storage)
            monkeypatch.setattr(data_module.Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(RunError, match=f"^the image .*{message}"):
            data = load_data(config)
            list(StreamLoader(data.train, config, ALONE).epoch(0, 0, 16))


def test_a_class_folder_with_a_name_that_is_no_text(tmp_path):
    tree = make_tree(tmp_path)
    for part in ("train", "test"):
        os.rename(tree / part / "dark", os.fsencode(tree / part) + b"/\xff")
    with pytest.raises(ConfigError, match=r"the class folder '\?' in .*train has a name that is no UTF-8"):
        load_data(tiny_config(tree))


def test_labels_out_of_range(tree):
    data = load_data(tiny_config(tree))
    wrong = Split(torch.tensor([0, 1, 2]), data.train.images[:3])
    with pytest.raises(ConfigError, match="labels go from 0 to 2, and with 2 classes"):
        DataSet("x", "", "contents", data.classes, wrong, wrong, wrong, 3, 16, [0.0], [1.0])


@pytest.mark.parametrize("kind", [MemoryLoader, StreamLoader])
def test_an_epoch_sees_each_image_once_and_goes_on_where_it_stopped(tree, kind):
    config = tiny_config(tree, batch_size=8, storage="stream" if kind is StreamLoader else "memory")
    data = load_data(config)
    loader = kind(data.train, config, ALONE)
    batches = list(loader.epoch(3, 0, 16))
    assert len(batches) == 44 // 8
    rest = list(loader.epoch(3, 2, 16))
    for (images, labels), (others, other_labels) in zip(batches[2:], rest, strict=True):
        assert torch.equal(images, others) and torch.equal(labels, other_labels)
    order = epoch_order(44, config.seed, 3)
    assert sorted(order.tolist()) == list(range(44))
    assert not torch.equal(order, epoch_order(44, config.seed, 4))
    assert torch.equal(torch.cat([labels for _, labels in batches]), data.train.labels[order[:40]])


@pytest.mark.parametrize("kind", [MemoryLoader, StreamLoader])
def test_two_processes_share_each_batch_and_evaluate_each_image_once(tree, kind):
    config = tiny_config(tree, batch_size=8, storage="stream" if kind is StreamLoader else "memory")
    split = load_data(config).train
    alone = list(kind(split, config, ALONE).epoch(0, 0, 16))
    shares = [list(kind(split, config, Group(r, 2, torch.device("cpu"))).epoch(0, 0, 16)) for r in (0, 1)]
    for (images, _), (first, _), (second, _) in zip(alone, *shares, strict=True):
        assert torch.equal(images[0::2], first) and torch.equal(images[1::2], second)
    seen = [w for r in (0, 1, 2) for w, _, _ in kind(split, config, Group(r, 3, torch.device("cpu"))).once(5, 16)]
    assert sorted(torch.cat(seen).tolist()) == list(range(44))


def test_streams_do_not_depend_on_workers(tree):
    config = tiny_config(tree, storage="stream", crop="resized")
    data = load_data(config)
    assert data.hash_of == "names and sizes" and data.size is None
    none = list(StreamLoader(data.train, config, ALONE).epoch(1, 0, 24))
    torch.manual_seed(99)  # what else is random must not matter
    one = list(StreamLoader(data.train, tiny_config(tree, storage="stream", crop="resized", workers=1), ALONE).epoch(1, 0, 24))
    for (images, _), (others, _) in zip(none, one, strict=True):
        assert images.shape[-1] == 24 and images.dtype == torch.uint8 and torch.equal(images, others)


def test_images_of_many_sizes_stream(tmp_path):
    make_tree(tmp_path)
    for i, file in enumerate(sorted((tmp_path / "train" / "dark").iterdir())):
        if i % 2:
            data_module.read_image(str(file)).resize((20 + i, 30)).save(file)
    data = load_data(tiny_config(tmp_path))
    assert data.size is None and data.mean == data_module.IMAGENET[0]
    with pytest.raises(ConfigError, match="one size"):
        load_data(tiny_config(tmp_path, storage="memory"))


def test_seeds():
    import random

    draws = []
    for numbers in ((0, 1, 2), (0, 1, 2), (0, 2, 1)):
        reseed(*numbers)
        draws.append((torch.rand(()).item(), random.random(), np.random.rand()))
    assert draws[0] == draws[1] != draws[2]
    assert len({make_seed(s, e) for s in range(30) for e in range(30)}) == 900


def test_few_images_of_each_class_are_chosen_by_the_seed():
    labels = torch.tensor([0, 1, 2] * 20 + [0] * 5)
    chosen = choose_few(labels, 4, seed=1)
    assert torch.bincount(labels[chosen]).tolist() == [4, 4, 4] and chosen.tolist() == sorted(set(chosen.tolist()))
    assert chosen.tolist() == choose_few(labels, 4, seed=1).tolist() != choose_few(labels, 4, seed=2).tolist()
    assert set(chosen.tolist()) < set(choose_few(labels, 9, seed=1).tolist())  # fewer are part of more
    with pytest.raises(ConfigError, match="per_class = 21, and class 1 has 20 training images"):
        choose_few(labels, 21, seed=1)


def test_few_labels_leave_validation_and_test_alone():
    config = make_config("digits")
    whole, few = load_data(config), load_data(change_config(config, {"per_class": "7"}))
    assert torch.bincount(few.train.labels).tolist() == [7] * 10
    assert torch.equal(few.test.images, whole.test.images) and torch.equal(few.validation.images, whole.validation.images)
    assert (few.mean, few.sha256) == (whole.mean, whole.sha256)
