import dataclasses

import pytest
import timm
import torch
import torchvision
from counting import count_by_hooks
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from effnet_lib import (
    FusedMBConv,
    MBConv,
    block_cost,
    build_model,
    conv_cost,
    count_cost,
    get_variant,
    list_variants,
    scale_variant,
)

TORCHVISION = [f"b{i}" for i in range(8)] + ["v2_s", "v2_m", "v2_l"]


def timm_name(name: str) -> str:
    return f"tf_efficientnet{name}" if name.startswith("v2") else f"tf_efficientnet_{name}"


def totals(cost):
    return cost.parameters, cost.multiply_adds, cost.activations


@pytest.mark.parametrize("name", TORCHVISION)
def test_equals_torchvision(name):
    resolution = get_variant(name).resolution
    with torch.device("meta"):
        model = torchvision.models.get_model(f"efficientnet_{name}")
    assert totals(count_cost(name)) == count_by_hooks(model, 3, resolution, resolution)


@pytest.mark.parametrize("name", list_variants())
def test_equals_timm(name):
    with torch.device("meta"):
        model = timm.create_model(timm_name(name))
    size = get_variant(name).resolution
    parameters, multiply_adds, activations = count_by_hooks(model, 3, size, size)
    assert totals(count_cost(name)) == (parameters, multiply_adds, activations)


@pytest.mark.parametrize("name", list_variants())
def test_equals_the_built_network(name):
    with torch.device("meta"):
        model = build_model(name)
    size = get_variant(name).resolution
    assert totals(count_cost(name)) == count_by_hooks(model, 3, size, size)


@settings(max_examples=120, deadline=None)
@given(
    phi=st.floats(-13, 8),
    base=st.sampled_from(list_variants()[:1] + ["lite0", "v2_b0", "v2_s", "b3"]),
    resolution=st.integers(32, 700),
    num_classes=st.integers(1, 22000),
    in_channels=st.integers(1, 12),
    output_stride=st.sampled_from([32, 16, 8]),
    padding=st.sampled_from(["symmetric", "same"]),
)
def test_equals_the_built_network_at_random(
    phi, base, resolution, num_classes, in_channels, output_stride, padding
):
    variant = scale_variant(min(phi, 4) if base == "v2_s" else phi, base, gamma=1.1)
    variant = variant.with_output_stride(output_stride)
    with torch.device("meta"):
        model = build_model(variant, num_classes, in_channels, padding=padding)
    assert totals(count_cost(variant, resolution, num_classes, in_channels)) == count_by_hooks(
        model, in_channels, resolution, resolution
    )


def test_known_figures():
    assert count_cost("b0").parameters == 5_288_548
    assert count_cost("b0").multiply_adds == 385_814_752
    # The squeeze width comes from the block's input: from the expanded channels it would be 8,423,848.
    expanded = dataclasses.replace(
        get_variant("b0"),
        stages=tuple(
            dataclasses.replace(s, se_ratio=s.se_ratio * s.expand_ratio) for s in get_variant("b0").stages
        ),
    )
    assert count_cost(expanded).parameters == 8_423_848


@pytest.mark.parametrize("name", list_variants())
def test_rows_add_up_and_chain(name):
    cost = count_cost(name)
    for field in ("parameters", "multiply_adds", "activations"):
        assert sum(getattr(row, field) for row in cost.stages) == getattr(cost, field)
    assert [row.stage for row in cost.stages] == list(range(1, len(cost.stages) + 1))
    assert cost.stages[0].resolution == get_variant(name).resolution
    for row, following in zip(cost.stages, cost.stages[1:]):
        assert row.output_resolution == following.resolution


def test_table_1_of_the_paper():
    rows = count_cost("b0").stages
    assert [row.resolution for row in rows] == [224, 112, 112, 56, 28, 14, 14, 7, 7]
    assert [row.channels for row in rows] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert [row.layers for row in rows] == [1, 1, 2, 2, 3, 3, 4, 1, 1]
    assert [row.operator for row in rows[1:4]] == ["MBConv1 3×3", "MBConv6 3×3", "MBConv6 5×5"]


def test_stages_equal_the_built_stages():
    model = build_model("v2_s")
    counted = [sum(p.numel() for p in stage.parameters()) for stage in model.stages]
    assert counted == [row.parameters for row in count_cost("v2_s").stages[1:-1]]


@pytest.mark.parametrize(
    "arguments, error, name",
    [
        ({"resolution": 31}, ValueError, "resolution must be at least 32"),
        ({"resolution": 224.0}, TypeError, "resolution must be an integer"),
        ({"resolution": "224"}, TypeError, "resolution"),
        ({"resolution": -224}, ValueError, "resolution"),
        ({"num_classes": -1}, ValueError, "num_classes"),
        ({"num_classes": -1}, ValueError, "num_classes"),
        ({"in_channels": 0}, ValueError, "in_channels"),
        ({"in_channels": 3.0}, TypeError, "in_channels"),
    ],
)
def test_bad_arguments(arguments, error, name):
    with pytest.raises(error, match=name):
        count_cost("b0", **arguments)


def test_bad_variant():
    with pytest.raises(ValueError, match="b9"):
        count_cost("b9")
    with pytest.raises(TypeError):
        count_cost(0)


sizes = st.integers(1, 40)
kernels = st.sampled_from([1, 3, 5, 7])


@settings(max_examples=100, deadline=None)
@given(sizes, sizes, kernels, st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans(), sizes)
def test_a_convolution_equals_the_built_one(c_in, c_out, k, stride, groups, norm, bias, resolution):
    c_in, c_out = c_in * groups, c_out * groups
    conv = nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=bias, device="meta")
    layers = nn.Sequential(conv, nn.BatchNorm2d(c_out, device="meta") if norm else nn.Identity())
    cost = conv_cost(c_in, c_out, k, stride, groups, resolution=resolution, norm=norm, bias=bias)
    assert totals(cost) == count_by_hooks(layers, c_in, resolution, resolution)
    output = layers(torch.empty(1, c_in, resolution, resolution, device="meta"))
    assert (cost.out_channels, cost.output_resolution) == tuple(output.shape[1:3])
    assert (cost.inputs, cost.outputs) == (c_in * resolution**2, output.numel())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([MBConv, FusedMBConv]), sizes, st.none() | sizes, kernels, st.integers(1, 2),
       st.integers(1, 6), st.integers(0, 8), sizes)  # fmt: skip
def test_a_block_equals_the_built_one(kind, c_in, c_out, k, stride, expand, squeeze, resolution):
    operator = "mbconv" if kind is MBConv else "fused_mbconv"
    arguments = c_in, c_out or c_in, k, stride, expand, squeeze
    with torch.device("meta"):
        block = kind(*arguments)
    cost = block_cost(operator, *arguments, resolution=resolution)
    assert totals(cost) == count_by_hooks(block, c_in, resolution, resolution)
    assert cost.has_skip == block.has_skip == (cost.layers[-1].name == "add")
    for layer, following in zip(cost.layers, cost.layers[1:]):
        if "SE" not in layer.name + following.name:
            assert (layer.out_channels, layer.output_resolution) == (following.in_channels, following.resolution)
    for field in ("parameters", "multiply_adds", "activations"):
        assert sum(getattr(layer, field) for layer in cost.layers) == getattr(cost, field)


def test_bytes_by_hand():
    layer = conv_cost(144, 144, 3, groups=144, resolution=56, norm=False)
    numbers = 2 * 144 * 56**2 + 9 * 144  # a map in, a map out, the kernels
    assert layer.bytes_moved() == 4 * numbers
    assert layer.bytes_moved(batch=8, bytes_per_value=2) == 2 * (8 * 2 * 144 * 56**2 + 9 * 144)
    assert layer.arithmetic_intensity() == 9 * 144 * 56**2 / (4 * numbers)
    # Twice the multiply-adds are operations: about 4.5 to the byte in half precision.
    assert 2 * layer.arithmetic_intensity(batch=64, bytes_per_value=2) == pytest.approx(4.5, rel=1e-3)

    block = block_cost("mbconv", 24, 24, squeeze_channels=6, resolution=56)
    moved = {layer.name: layer.inputs + layer.outputs for layer in block.layers}
    assert moved["SE pool"] == 144 * 56**2 + 144  # reads the map, writes a number a channel
    assert moved["SE scale"] == 2 * 144 * 56**2 + 144  # reads map and gates, writes the map
    assert moved["add"] == 3 * 24 * 56**2
    assert block.bytes_moved(2) == sum(layer.bytes_moved(2) for layer in block.layers)
    assert block.arithmetic_intensity(2) == 2 * block.multiply_adds / block.bytes_moved(2)


def test_the_kinds_of_blocks():
    def names(*arguments, **options):
        return [layer.name for layer in block_cost(*arguments, **options, resolution=7).layers]

    assert names("conv", 8, 8) == ["convolution"]
    assert names("separable", 8, 8) == ["depthwise", "pointwise"]
    assert names("mbconv", 8, 8, expand_ratio=1) == ["depthwise", "project", "add"]
    assert names("mbconv", 8, 16) == names("mbconv", 8, 8, stride=2) == ["expand", "depthwise", "project"]
    assert names("fused_mbconv", 8, 8) == ["expand", "project", "add"]
    assert names("fused_mbconv", 8, 8, expand_ratio=1) == ["convolution", "add"]
    separable, one = block_cost("separable", 32, 32, resolution=14), block_cost("conv", 32, 32, resolution=14)
    assert separable.multiply_adds / one.multiply_adds == pytest.approx(1 / 32 + 1 / 9)


def test_a_block_prints_as_a_table():
    block = block_cost("mbconv", 24, 24, squeeze_channels=6, resolution=56)
    lines = str(block).splitlines()
    assert len(lines) == len(block.layers) + 2 and len({len(line) for line in lines}) == 1
    assert "depthwise 3×3" in lines[2] and f"{block.parameters:,}" in lines[-1]


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"operator": "mbconv6"}, ValueError, "operator must be one of 'conv', 'separable', 'mbconv'.*'mbconv6'"),
        ({"in_channels": 0}, ValueError, "in_channels must be at least 1"),
        ({"kernel_size": 3.0}, TypeError, "kernel_size must be an integer"),
        ({"expand_ratio": 0}, ValueError, "expand_ratio"),
        ({"squeeze_channels": -1}, ValueError, "squeeze_channels must be at least 0"),
        ({"resolution": "56"}, TypeError, "resolution"),
    ],
)
def test_bad_blocks(arguments, error, words):
    given = {"operator": "mbconv", "in_channels": 8, "out_channels": 8, "resolution": 8} | arguments
    with pytest.raises(error, match=words):
        block_cost(**given)


def test_bad_convolutions():
    with pytest.raises(ValueError, match="groups must divide the channels: 3 does not divide 8 and 9"):
        conv_cost(8, 9, groups=3, resolution=8)
    with pytest.raises(TypeError, match="stride"):
        conv_cost(8, 8, stride=1.5, resolution=8)
    for name in ("batch", "bytes_per_value"):
        with pytest.raises(ValueError, match=name):
            conv_cost(8, 8, resolution=8).bytes_moved(**{name: 0})
