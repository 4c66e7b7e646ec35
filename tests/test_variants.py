import dataclasses
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet_lib import compound_scaling, count_cost, get_variant, list_variants, round_channels, scale_by, scale_variant

V1_CHANNELS = {  # stem, stages, head: as the released code rounds them
    "b0": [32, 16, 24, 40, 80, 112, 192, 320, 1280],
    "b1": [32, 16, 24, 40, 80, 112, 192, 320, 1280],
    "b2": [32, 16, 24, 48, 88, 120, 208, 352, 1408],
    "b3": [40, 24, 32, 48, 96, 136, 232, 384, 1536],
    "b4": [48, 24, 32, 56, 112, 160, 272, 448, 1792],
    "b5": [48, 24, 40, 64, 128, 176, 304, 512, 2048],
    "b6": [56, 32, 40, 72, 144, 200, 344, 576, 2304],
    "b7": [64, 32, 48, 80, 160, 224, 384, 640, 2560],
}
V1_LAYERS = {
    "b0": [1, 2, 2, 3, 3, 4, 1],
    "b1": [2, 3, 3, 4, 4, 5, 2],
    "b2": [2, 3, 3, 4, 4, 5, 2],
    "b3": [2, 3, 3, 5, 5, 6, 2],
    "b4": [2, 4, 4, 6, 6, 8, 2],
    "b5": [3, 5, 5, 7, 7, 9, 3],
    "b6": [3, 6, 6, 8, 8, 11, 3],
    "b7": [4, 7, 7, 10, 10, 13, 4],
}


def channels(variant):
    return [variant.stem_channels, *(s.channels for s in variant.stages), variant.head_channels]


def layers(variant):
    return [stage.layers for stage in variant.stages]


def test_the_list():
    assert list_variants() == (
        [f"b{i}" for i in range(9)] + ["l2"] + [f"lite{i}" for i in range(5)]
        + [f"v2_b{i}" for i in range(4)] + ["v2_s", "v2_m", "v2_l", "v2_xl"]
    )  # fmt: skip
    assert list_variants("lite") == [f"lite{i}" for i in range(5)]
    with pytest.raises(ValueError, match="'v3'"):
        list_variants("v3")


@pytest.mark.parametrize("name", V1_CHANNELS)
def test_released_v1_shapes(name):
    assert channels(get_variant(name)) == V1_CHANNELS[name]
    assert layers(get_variant(name)) == V1_LAYERS[name]


def test_settings_of_each_family():
    b0, v2_s, v2_b3, lite4 = map(get_variant, ("b0", "v2_s", "v2_b3", "lite4"))
    assert [s.kernel_size for s in b0.stages] == [3, 3, 5, 3, 5, 5, 3]
    assert [s.stride for s in b0.stages] == [1, 2, 2, 2, 1, 2, 1]
    assert [s.expand_ratio for s in b0.stages] == [1, 6, 6, 6, 6, 6, 6]
    assert (b0.norm_eps, b0.norm_momentum, b0.stochastic_depth_rate) == (1e-3, 0.01, 0.2)
    assert [s.operator for s in v2_s.stages] == ["fused_mbconv"] * 3 + ["mbconv"] * 3
    assert [s.se_ratio for s in v2_s.stages] == [0, 0, 0, 0.25, 0.25, 0.25]
    assert (v2_s.train_resolution, v2_s.resolution, v2_s.norm_momentum) == (300, 384, 0.1)
    assert channels(v2_b3)[1] == 16 and v2_b3.head_channels == 1536
    assert (lite4.stem_channels, lite4.head_channels, lite4.activation) == (32, 1280, "relu6")
    assert layers(lite4)[0] == layers(lite4)[-1] == 1
    assert not any(stage.se_ratio for stage in lite4.stages)
    assert [get_variant(f"b{i}").dropout for i in range(8)] == [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5]


@pytest.mark.parametrize("name", list_variants())
def test_every_variant_is_published_with_a_source(name):
    variant = get_variant(name)
    assert 70 < variant.published.top1 < 90
    assert len(variant.published.source) > 20
    assert variant.output_stride == 32
    if variant.published.parameters:
        assert count_cost(variant).parameters == pytest.approx(variant.published.parameters, rel=0.02)
    if variant.published.multiply_adds:  # Lite's authors count something more
        tolerance = 0.06 if variant.family == "lite" else 0.05
        assert count_cost(variant).multiply_adds == pytest.approx(
            variant.published.multiply_adds, rel=tolerance
        )


@pytest.mark.parametrize(
    "spelling, name",
    [("B0", "b0"), ("EfficientNet-B7", "b7"), ("efficientnet_v2_s", "v2_s"), ("efficientnetv2-b3", "v2_b3"),
     ("tf_efficientnetv2_xl", "v2_xl"), ("efficientnet-lite0", "lite0"), ("V2-S", "v2_s"), (" b1 ", "b1")],
)  # fmt: skip
def test_spellings(spelling, name):
    assert get_variant(spelling) is get_variant(name)


@pytest.mark.parametrize("name, near", [("b9", "b8"), ("v2_ss", "v2_s"), ("light0", "lite0"), ("resnet", "known: b0")])
def test_unknown_name_lists_the_near_ones(name, near):
    with pytest.raises(ValueError, match=f"{name}.*{near}"):
        get_variant(name)


@pytest.mark.parametrize("name", [None, 0, b"b0", ["b0"]])
def test_name_must_be_a_string(name):
    with pytest.raises(TypeError, match="name"):
        get_variant(name)


def test_phi_zero_has_the_base_shapes():
    for name in list_variants():
        base, scaled = get_variant(name), scale_variant(0, name)
        assert channels(scaled) == channels(base) and scaled.stages == base.stages
        assert (scaled.resolution, scaled.dropout) == (base.resolution, base.dropout)


def test_phi_one_is_b2_but_for_the_resolution():
    one, b2 = scale_variant(1), get_variant("b2")
    assert (channels(one), layers(one)) == (channels(b2), layers(b2))
    assert one.resolution == 258 != b2.resolution == 260
    assert one.phi == 1 and one.published is None


@given(st.floats(-13, 13))
def test_scaling_follows_the_rule(phi):
    variant, scaling = scale_variant(phi), compound_scaling(phi)
    assert abs(variant.resolution - 224 * scaling.resolution) <= 0.5 + 1e-9
    for stage, base in zip(variant.stages, get_variant("b0").stages):
        assert 0 <= stage.layers - base.layers * scaling.depth < 1
        assert stage.channels % 8 == 0
        assert stage.channels >= 0.9 * base.channels * scaling.width
        assert dataclasses.replace(stage, channels=0, layers=0) == dataclasses.replace(
            base, channels=0, layers=0
        )
    assert 0.2 <= variant.dropout <= 0.5


def test_head_width():
    """1280 · w by the rule for channels: torchvision's four times the last stage would be 1536."""
    two = scale_variant(2)
    assert (two.stages[-1].channels, two.head_channels) == (384, 1552)
    assert scale_variant(-2).head_channels == round_channels(1280, 1.1**-2)


def test_dropout_at_a_free_phi():
    assert scale_variant(3.5).dropout == pytest.approx(0.35)
    assert scale_variant(7).dropout == pytest.approx(0.5)
    assert scale_variant(9).dropout == 0.5
    assert scale_variant(-3).dropout == 0.2
    assert scale_variant(2, "v2_l").dropout == pytest.approx(0.4 + 0.6 / 7)


def test_resolution_multiple():
    assert scale_variant(1, resolution_multiple=32).resolution == 256


def test_lite_keeps_its_ends():
    scaled = scale_variant(3, "lite0")
    assert (scaled.stem_channels, scaled.head_channels) == (32, 1280)
    assert layers(scaled)[0] == layers(scaled)[-1] == 1
    assert scaled.stages[-1].channels > 320


def test_too_small_an_image():
    assert scale_variant(-13.9).resolution == 32
    with pytest.raises(ValueError, match="phi = -15.*between -13.9 and 22.8"):
        scale_variant(-15)
    assert scale_variant(-9.9, resolution_multiple=64).resolution == 64
    with pytest.raises(ValueError, match="between -0.8"):
        scale_variant(-1, replace(get_variant("b0"), resolution=36))
    assert scale_variant(-20, gamma=1).resolution == 224


@pytest.mark.parametrize("name", list_variants())
def test_the_bounds_named_in_the_error_are_accepted(name):
    with pytest.raises(ValueError) as error:
        scale_variant(-1e6, name)
    low, high = map(float, re.findall(r"between (\S+) and (\S+)$", str(error.value))[0])
    assert scale_variant(low, name).resolution >= 32
    assert scale_variant(high, name).layers > 100


@pytest.mark.parametrize("phi, error", [("1", TypeError), (float("nan"), ValueError), (1e6, ValueError)])
def test_bad_phi(phi, error):
    with pytest.raises(error, match="phi"):
        scale_variant(phi)


def test_bad_base_and_multiple():
    with pytest.raises(ValueError, match="b9"):
        scale_variant(1, base="b9")
    with pytest.raises(ValueError, match="resolution_multiple"):
        scale_variant(1, resolution_multiple=0)


@pytest.mark.parametrize("name", ["b0", "v2_s", "lite0"])
def test_output_stride(name):
    variant = get_variant(name)
    assert [variant.with_output_stride(s).output_stride for s in (32, 16, 8)] == [32, 16, 8]
    eight = variant.with_output_stride(8)
    strided = [i for i, s in enumerate(variant.stages) if s.stride == 2]
    assert eight.stem_stride == 1 and eight.stages[strided[0]].stride == 1
    assert eight.stages[strided[1]].stride == 2
    for bad in (0, 4, 64, 12):
        with pytest.raises(ValueError, match="output_stride"):
            variant.with_output_stride(bad)
    with pytest.raises(ValueError, match="8"):
        eight.with_output_stride(16)
    with pytest.raises(TypeError):
        variant.with_output_stride(8.0)


@pytest.mark.parametrize("depth, width, resolution", [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1.4, 1.2, 1.3)])
def test_scale_by_is_scale_variant_at_phi_1(depth, width, resolution):
    by, at = scale_by(depth=depth, width=width, resolution=resolution), scale_variant(1, "b0", depth, width, resolution)
    assert (by.stages, by.stem_channels, by.head_channels, by.resolution) == (
        at.stages, at.stem_channels, at.head_channels, at.resolution
    )  # fmt: skip
    assert (by.depth, by.width, by.phi, by.published) == (depth, width, None, None)
    assert by.dropout == get_variant("b0").dropout


def test_scale_by_shrinks_and_names():
    half = scale_by("b3", depth=0.5, resolution=0.5)
    assert half.name == "b3, depth × 0.5, resolution × 0.5" and scale_by("b3").name == "b3"
    assert half.resolution == 150 and half.layers == sum(-(-s.layers // 2) for s in get_variant("b3").stages)
    assert scale_by("v2_s", resolution=0.5).train_resolution == 150
    # Lite keeps its ends, V2 rounds without the 10 % rule: the base's own rules hold.
    assert scale_by("lite0", width=2, depth=2).stem_channels == 32
    assert scale_by("v2_b0", width=1.2).stages[0].channels == 16


@pytest.mark.parametrize(
    "factors, message",
    [
        ({"depth": 0}, "depth must be positive, got 0"),
        ({"width": 17}, "width must be a factor from 1/16 to 16, got 17"),
        ({"resolution": 0.1}, "22 pixels from 224: at least 32"),
        ({"depth": float("nan")}, "depth must be a finite number"),
    ],
)
def test_scale_by_refuses(factors, message):
    with pytest.raises(ValueError, match=message):
        scale_by(**factors)
    with pytest.raises(TypeError, match="width must be a real number, got '2'"):
        scale_by(width="2")
