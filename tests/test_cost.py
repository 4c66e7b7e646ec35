import dataclasses

import pytest
import timm
import torch
import torchvision
from counting import count_by_hooks
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet_lib import build_model, count_cost, get_variant, list_variants, scale_variant

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
        ({"num_classes": 0}, ValueError, "num_classes"),
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
