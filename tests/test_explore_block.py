"""The block explorer and the stochastic-depth explorer: their data, tables and sums."""

import json
import math
import re
from importlib import resources

import pytest
import torch

from effnet_lib import block_cost, block_explorer, build_model, count_cost, get_variant, stochastic_depth_explorer
from effnet_lib.explore import block, depth


@pytest.fixture(params=[block_explorer, stochastic_depth_explorer], scope="module")
def explorer(request):
    return request.param()


def test_self_contained_and_the_same_every_time(explorer):
    html = explorer._repr_html_()
    assert set(re.findall(r"https?://[^\s\"'`)]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=|@import|url\(|import\(|fetch\(|type=\"module\"", html)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(explorer.data))
    assert "notebook" in repr(explorer)


def test_control_names_are_the_explorers_own():
    """The address of a page keeps the controls of all its explorers."""
    folder = resources.files("effnet_lib.explore")
    for script, prefix in (("block.js", "mb_"), ("depth.js", "sd_")):
        names = re.findall(r'this\.(?:slider|choice)\("(\w+)"', folder.joinpath(script).read_text("utf-8"))
        assert len(names) > 2 and all(name.startswith(prefix) for name in names)


def test_the_presets_are_the_blocks_of_b0():
    positions = block_explorer().data["blocks"]
    model = build_model("b0")
    for position, stage, row in zip(positions, model.stages, count_cost("b0").stages[1:]):
        built = stage[-1]
        convolution = built.depthwise[0]
        assert (position["stage"], position["operator"]) == (row.stage, row.operator)
        assert str(convolution.kernel_size[0]) == position["mb_kernel"]
        assert str(convolution.stride[0]) == position["mb_stride"]
        assert convolution.out_channels == position["mb_in"] * position["mb_expand"]
        assert built.project[0].out_channels == position["mb_out"]
        assert sum(p.numel() for p in built.parameters()) == block.cost_at(position, "mbconv").parameters
    # The last blocks, and what stands before them, make up the stages that have at most two.
    assert block.cost_at(positions[0], "mbconv").multiply_adds == count_cost("b0").stages[1].multiply_adds
    assert block.cost_at(positions[6], "mbconv").multiply_adds == count_cost("b0").stages[7].multiply_adds


def test_the_positions_lie_on_the_sliders():
    data = block_explorer().data
    for position in data["blocks"]:
        for name, (low, high, step) in data["ranges"].items():
            assert low <= position[name] <= high and (position[name] - low) % step == 0, (position, name)
        assert int(position["mb_kernel"]) in data["kernels"]


def test_the_static_table_of_blocks_is_complete():
    html = block_explorer()._repr_html_()
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-block-explorer>', html, re.S).group(1)
    assert static.count("<caption>") == 7 and static.count('scope="row"') == 7 * 4
    for position in block_explorer().data["blocks"]:
        for kind in block.KINDS:
            cost = block.cost_at(position, kind)
            assert f"{cost.parameters:,}" in static and f"{cost.bytes_moved():,}" in static
    plain = block_cost("mbconv", 24, 24, resolution=56)
    assert block.cost_at(block_explorer().data["blocks"][1] | {"mb_se": "no"}, "mbconv") == plain


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.9])
def test_the_rates_are_those_of_the_built_network(rate):
    model = build_model("b0", stochastic_depth_rate=rate)
    built = [layer for stage in model.stages for layer in stage]
    assert [layer.has_skip for layer in built] == [entry["skip"] for entry in depth.blocks()]
    assert [layer.drop.rate for layer in built] == depth.rates(rate)


def test_expectation_by_enumeration():
    """All 512 masks of the nine blocks that have a skip, each with its probability."""
    drop = depth.rates(0.5)
    skips = [i for i, entry in enumerate(depth.blocks()) if entry["skip"]]
    for way in depth.WAYS:
        mean = acting = 0.0
        for code in range(2 ** len(skips)):
            mask = [True] * len(drop)
            for bit, i in enumerate(skips):
                mask[i] = bool(code >> bit & 1)
            chance = math.prod(1 - p if keep else p for keep, p in zip(mask, drop))
            mean += chance * depth.signal(mask, drop, way)[-1]
            acting += chance * sum(mask)
        assert depth.expected(0.5, way) == pytest.approx(mean)
        assert depth.expected_depth(0.5) == pytest.approx(acting)
    assert depth.expected(0.5, "scaled") == pytest.approx(10)
    assert depth.expected_depth(0.2) == pytest.approx(16 - 0.2 * 77 / 16)


@pytest.mark.parametrize("way", depth.WAYS)
def test_running_means_approach_their_expectation(way):
    masks, means = depth.simulate(0.5, depth.DRAWS, way)
    assert len(means) == depth.DRAWS and len(masks) == depth.SAMPLES
    assert means[-1] == pytest.approx(depth.expected(0.5, way), abs=0.15)
    assert depth.simulate(0.0, 3, way)[1] == [10.0, 10.0, 10.0]


def test_the_toy_is_what_the_library_does():
    """Signal by signal: a branch of ones, through StochasticDepth, with the same masks."""
    from effnet_lib import StochasticDepth

    (mask, *_), _ = depth.simulate(0.8, 1, "scaled")
    signal, drop = torch.ones(1), depth.rates(0.8)
    for keep, rate, entry in zip(mask, drop, depth.blocks()):
        if entry["skip"]:
            layer = StochasticDepth(rate)
            branch = next(out for out in iter(lambda: layer(torch.ones(1)), None) if (out.item() > 0) == keep)
            signal = signal + branch
    assert depth.signal(mask, drop, "scaled")[-1] == pytest.approx(signal.item(), rel=1e-6)


def test_uniform_numbers():
    numbers = depth.uniform(20_000)
    assert min(numbers) >= 0 and max(numbers) < 1
    for bin in range(10):
        assert 1800 < sum(bin <= 10 * number < bin + 1 for number in numbers) < 2200
    assert numbers[:5] == depth.uniform(5) != depth.uniform(5, seed=2)


def test_the_static_table_of_rates_is_complete():
    html = stochastic_depth_explorer()._repr_html_()
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-depth-explorer>', html, re.S).group(1)
    assert static.count('scope="row"') == 16 + 3
    for rate in depth.rates(get_variant("b0").stochastic_depth_rate):
        assert f"<td>{rate:.4f}</td>" in static
    assert "<td>10.00</td>" in static and f"{depth.expected(0.8, 'skip'):.2f}" in static and "15.04 of the 16" in static


def test_what_relu_loses():
    import numpy as np

    from effnet_lib.explore.figures_blocks import _through

    points = np.random.default_rng(0).standard_normal((3000, 2))
    for width in (2, 3, 5, 15):
        decoded, lost = _through(points, width, seed=76)
        assert np.allclose(decoded[~lost], points[~lost])  # what is not lost comes back exactly
        shares = [_through(points[:300], width, seed)[1].mean() for seed in range(60)]
        assert np.mean(shares) == pytest.approx((1 + width) / 2**width, abs=0.06)
        if lost.sum() > 1:  # and two that are lost alike cannot be told apart: same output, other points
            layer = np.random.default_rng(76).standard_normal((2, width))
            seen = np.maximum(points @ layer, 0)
            silent = lost & (seen.max(1) == 0)
            if silent.sum() > 1:
                assert np.ptp(seen[silent]) == 0 < np.ptp(points[silent])


def test_figures_are_drawn():
    from effnet_lib.explore.figures_blocks import plot_activation_functions, plot_lost_to_relu

    titles = [axes.get_title() for axes in plot_lost_to_relu().axes]
    assert titles[:2] == ["the input", "2 channels: 75% lost"] and "15 channels: 0% lost" in titles
    silu = next(line for line in plot_activation_functions().axes[0].lines if line.get_label() == "SiLU")
    x, y = (torch.as_tensor(data) for data in silu.get_data())
    assert torch.allclose(y, torch.nn.functional.silu(x))
    slope = next(line for line in plot_activation_functions().axes[1].lines if line.get_label() == "SiLU")
    x = x.clone().requires_grad_()
    torch.nn.functional.silu(x).sum().backward()
    assert torch.allclose(torch.as_tensor(slope.get_ydata()), x.grad)
