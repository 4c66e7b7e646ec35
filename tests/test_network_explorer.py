import json
import re

import pytest
import torch
from torch import nn

from effnet_lib import build_model, count_cost, get_variant, network_explorer
from effnet_lib.explore.network import COUNTS, NETWORKS

DATA = network_explorer().data["networks"]


@pytest.fixture(scope="module")
def html():
    return network_explorer()._repr_html_()


@pytest.mark.parametrize("name", NETWORKS)
def test_its_units_sum_to_the_library_s_stages(name):
    cost, units = count_cost(name), DATA[name]["units"]
    assert DATA[name]["totals"] == [getattr(cost, count) for count in COUNTS]
    for row in cost.stages:
        own = [unit for unit in units if unit["stage"] == row.stage]
        for i, count in enumerate(COUNTS):
            total = sum(unit["repeat"] * sum(part[3 + i] for part in unit["parts"]) for unit in own)
            assert total == getattr(row, count), (name, row.stage, count)
        if "expand" in own[0]:
            assert sum(unit["repeat"] for unit in own) == row.layers


@pytest.mark.parametrize("name", NETWORKS)
def test_tensors_fit_together(name):
    size, channels = DATA[name]["resolution"], 3
    for unit in DATA[name]["units"]:
        assert unit["input"] == [channels, size]
        _, channels, size, *_ = unit["parts"][-1]
    assert (channels, size) == (1000, 1)


@pytest.mark.parametrize("name", ["b0", "v2_s", "lite0"])
def test_shapes_and_parameters_are_those_of_the_built_blocks(name):
    """Block by block, with hooks on a network that knows nothing of the closed form."""
    model, resolution = build_model(name).eval(), 96
    variant = get_variant(name)
    units = [u for u in DATA[name]["units"] if "expand" in u for _ in range(u["repeat"])]
    blocks = [block for stage in model.stages for block in stage]
    shapes = []
    hooks = [block.register_forward_hook(lambda _, x, y: shapes.append((x[0].shape, y.shape))) for block in blocks]
    with torch.no_grad():
        model(torch.zeros(1, 3, resolution, resolution))
    for hook in hooks:
        hook.remove()
    assert len(units) == len(blocks) == len(shapes) == variant.layers
    for unit, block, (into, out) in zip(units, blocks, shapes):
        assert into[1] == unit["input"][0] and out[1] == unit["parts"][-1][1]
        assert (into[2] + unit["stride"] - 1) // unit["stride"] == out[2]
        assert sum(part[3] for part in unit["parts"]) == sum(p.numel() for p in block.parameters())
        squeezed = block.se.reduce.out_channels if not isinstance(block.se, nn.Identity) else 0
        assert unit["squeeze"] == squeezed


def test_self_contained(html):
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|@import|url\(|import\(|fetch\(|type=\"module\"", html)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(network_explorer().data))
    assert network_explorer()._repr_html_() == html
    assert len(html) < 130_000


def test_the_static_table_is_complete(html):
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-network-explorer>', html, re.S).group(1)
    assert static.count('scope="row"') == 1 + 20  # the image and the steps
    assert f"<td>{count_cost('b0').multiply_adds:,}</td>" in static
    for row in count_cost("b0").stages[:2]:
        assert f"<td>{row.parameters:,}</td>" in static


def test_it_says_what_it_is_in_a_terminal():
    assert "notebook" in repr(network_explorer())
