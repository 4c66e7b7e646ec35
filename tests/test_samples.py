"""The photographs and the small network that come with the library."""

import json
from importlib import resources

import pytest
import torch

from effnet_lib import cifar_small, cifar_small_gates, count_cost, open_photograph, sample_photographs, se_gates
from effnet_lib.samples import photograph_credits, photograph_file
from effnet_lib.train.config import config_from_json
from effnet_lib.train.record import check_record

DATA = resources.files("effnet_lib") / "data"


def test_photographs():
    large, small = sample_photographs(), sample_photographs(32)
    assert list(large) == list(small) == [credit["name"] for credit in photograph_credits()] and len(large) == 6
    for name in large:
        assert large[name].shape == (3, 128, 128) and 0 <= large[name].min() and large[name].max() <= 1
        assert large[name].std() > 0.05
        means = large[name].unfold(1, 4, 4).unfold(2, 4, 4).mean((3, 4))
        torch.testing.assert_close(small[name], means)
    assert len({round(float(photo.mean()), 4) for photo in large.values()}) == 6


def test_every_photograph_has_a_licence_and_an_author():
    for credit in photograph_credits():
        assert all(credit[field] for field in ("title", "by", "licence", "source"))
        assert photograph_file(credit["name"])[:2] == b"\xff\xd8"


def test_whole_photographs_are_the_ones_that_the_squares_were_cut_from():
    for name, square in sample_photographs().items():
        image = open_photograph(name)
        assert image.mode == "RGB" and min(image.size) >= 300 and image.width != image.height
        assert max(image.size) < 2 * min(image.size)
        middle = (torch.tensor(list(image.resize((8, 8)).tobytes())) / 255).mean()
        assert abs(float(middle - square.mean())) < 0.15
    assert len({open_photograph(name).tobytes() for name in sample_photographs()}) == 6


@pytest.mark.parametrize("size", [0, -32, 33, 256, 32.0, True, "32"])
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="must divide 128"):
        sample_photographs(size)


def test_unknown_photograph():
    with pytest.raises(ValueError, match="'dog'.*cat"):
        photograph_file("dog")
    with pytest.raises(ValueError, match="'dog'.*cat"):
        open_photograph("dog")


@pytest.fixture(scope="module")
def network():
    return cifar_small()


def test_the_network_is_what_its_record_says(network):
    record = network.record
    check_record(record)
    config_from_json(json.dumps(record["config"]))
    parameters = sum(p.numel() for p in network.model.parameters())
    assert parameters == record["model"]["parameters"] == count_cost(network.model.variant, num_classes=10).parameters
    assert network.model.variant.phi == -4 and network.size == 32
    assert network.classes == tuple(record["dataset"]["classes"]) and len(network.classes) == 10
    assert network.test_accuracy == record["final"]["test_accuracy"] > 0.6
    assert not network.model.training and next(network.model.parameters()).dtype == torch.float32
    assert "/" not in record["config"]["data"] and "/tmp" not in json.dumps(record)
    assert (DATA / "cifar_small.safetensors").stat().st_size < 3_000_000


def test_preparing_images(network):
    images = torch.rand(2, 3, 128, 128)
    prepared = network.prepare(images)
    assert prepared.shape == (2, 3, 32, 32)
    flat = torch.tensor(network.mean).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    torch.testing.assert_close(network.prepare(flat), torch.zeros(1, 3, 32, 32), atol=1e-5, rtol=0)
    small = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (network.mean, network.std))
    torch.testing.assert_close(network.prepare(small), (small - mean) / std)


@pytest.mark.parametrize(
    "images, error, message",
    [
        (torch.rand(3, 32, 32), ValueError, r"\(3, 32, 32\)"),
        (torch.rand(1, 1, 32, 32), ValueError, r"\(1, 1, 32, 32\)"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError, "uint8"),
        ([1], TypeError, "list"),
    ],
)
def test_bad_images(network, images, error, message):
    with pytest.raises(error, match=message):
        network.prepare(images)


def test_the_network_has_learned_something(network):
    """Its answers depend on the picture, and it is sure of some: no fresh network is."""
    images = network.prepare(torch.stack(list(sample_photographs(32).values())))
    with torch.no_grad():
        answers = network.model(images).softmax(1)
    assert len(set(answers.argmax(1).tolist())) > 1 and answers.max() > 0.3


def test_the_measured_gates_are_those_of_this_network(network):
    measured = cifar_small_gates()
    gates = se_gates(network.model, network.prepare(torch.rand(2, 3, 32, 32)))
    assert measured["images"] == 10_000 and measured["fixed_images"] == 2_000
    assert [int(number) for number in measured["blocks"]] == list(gates)
    assert list(measured["fixed_one"]) == list(measured["blocks"])
    for number, block in measured["blocks"].items():
        assert block["channels"] == gates[int(number)].shape[1]
        assert 0 < block["mean"] < 1 and 0 < block["between_images"] < 0.5
    assert abs(measured["fixed_none"] - network.test_accuracy) < 0.04  # 2,000 of the 10,000 images


def test_what_chapter_3_says_of_the_gates():
    """Its prose stands or falls with these; other weights may want other sentences."""
    measured = cifar_small_gates()
    blocks = list(measured["blocks"].values())
    assert all(abs(block["mean"] - 0.5) < 0.05 for block in blocks)
    moves = [block["between_images"] for block in blocks]
    assert max(moves) < 0.1
    assert min(moves) == moves[5] and max(moves) == moves[9]  # least in block 6, most in the last
    assert min(moves[:4]) > moves[4] > moves[5]  # the first four move more than those in the middle
    whole, alone = measured["fixed_none"], measured["fixed_one"].values()
    assert all(abs(accuracy - whole) <= 0.0055 for accuracy in alone)
    assert whole - 0.015 < measured["fixed_all"] < min(alone)  # all together cost more than any one
