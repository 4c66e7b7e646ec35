"""What stands in the two explorers of squeeze-and-excitation is what the library computes."""

import base64
import json
import re
import struct

import pytest
import torch

from effnet_lib import cifar_small, count_cost, gates_explorer, get_variant, sample_photographs, se_explorer, se_gates
from effnet_lib.explore.se import RATIOS, se_blocks_of, with_squeeze

EXPLORERS = {"se": se_explorer, "gates": gates_explorer}


@pytest.mark.parametrize("make", EXPLORERS.values(), ids=EXPLORERS)
def test_self_contained_and_the_same_every_time(make):
    html = make()._repr_html_()
    assert html == make()._repr_html_()
    code = re.sub(r'<script type="application/json">.*?</script>', "", html, flags=re.S)
    assert set(re.findall(r"https?://[^\s\"'`)]+", code)) <= {"http://www.w3.org/2000/svg"}
    sources = re.findall(r'\b(?:src|href)="([^"]*)"', code)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"@import|url\(|import\(|fetch\(|type=\"module\"", code)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(make().data))


def test_totals_are_counted():
    data = se_explorer().data
    assert data["totals"]["input-4"] == count_cost("b0").parameters == 5_288_548
    assert data["totals"]["expanded-4"] == 8_423_848
    assert set(data["totals"]) == {f"{base}-{ratio}" for base in ("input", "expanded") for ratio in RATIOS}
    for ratio in RATIOS:
        blocks = [(c, c * e) for c, e, _ in data["blocks"]]
        for base, widths in (("input", [c for c, _ in blocks]), ("expanded", [w for _, w in blocks])):
            se = sum(2 * w * (s := max(1, base_width // ratio)) + w + s for base_width, (_, w) in zip(widths, blocks))
            assert data["totals"][f"{base}-{ratio}"] == data["without"] + se
    assert data["without"] == count_cost(with_squeeze(get_variant("b0"), 0)).parameters


def test_blocks_are_those_of_the_network():
    from effnet_lib import build_model, se_blocks

    layers = se_blocks(build_model("b0"))
    for (channels, expansion, squeeze), layer in zip(se_blocks_of(get_variant("b0")), layers.values(), strict=True):
        assert (channels * expansion, squeeze) == (layer.reduce.in_channels, layer.reduce.out_channels)


def test_the_static_table_of_widths():
    html = se_explorer()._repr_html_()
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-se-explorer>', html, re.S).group(1)
    assert static.count('scope="row"') == 16
    for number in ("5,288,548", "8,423,848", "111,792", "664,992"):
        assert number in static


def test_gates_are_those_of_the_network():
    network, data = cifar_small(), gates_explorer().data
    images = network.prepare(torch.stack(list(sample_photographs(32).values())))
    gates = se_gates(network.model, images)
    assert [block["block"] for block in data["blocks"]] == list(gates)
    for block in data["blocks"]:
        expected = gates[block["block"]]
        got = torch.tensor(struct.unpack(f"<{expected.numel()}H", base64.b64decode(block["gates"]))).view(expected.shape) / 65535
        assert (got - expected).abs().max() <= 0.5 / 65535 + 1e-6
        assert block["mean"] == pytest.approx(float(expected.mean()), abs=1e-4)
        spread = expected.var(0, correction=0).mean().sqrt()
        assert block["between_images"] == pytest.approx(float(spread), abs=1e-4)
    with torch.no_grad():
        answers = network.model(images).softmax(1)
    for photograph, answer in zip(data["photographs"], answers):
        assert photograph["answer"] == network.classes[answer.argmax()]
        assert photograph["probability"] == pytest.approx(float(answer.max()), abs=1e-3)
        assert "CC" in photograph["credit"] or "public domain" in photograph["credit"]


def test_the_static_table_of_gates():
    explorer = gates_explorer()
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-gates', explorer._repr_html_(), re.S).group(1)
    for block in explorer.data["blocks"]:
        assert f"<td>{block['channels']}</td>" in static and f"<td>{block['between_images']:.3f}</td>" in static
    assert "10,000 test images" in static


@pytest.mark.parametrize("make", EXPLORERS.values(), ids=EXPLORERS)
def test_a_page_of_its_own(make, tmp_path):
    page = make().save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "notebook" in repr(make())
