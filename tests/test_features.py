"""The feature maps that a network has, known without building it."""

import pytest
import timm
import torch

from effnet_lib import FeatureInfo, build_model, feature_info, get_variant, list_variants, scale_variant, select_features
from test_cost import timm_name


@pytest.mark.parametrize("variant", [*list_variants(), scale_variant(-3), scale_variant(1.5, "v2_b0")])
@pytest.mark.parametrize("output_stride", [None, 16, 8])
def test_channels_and_strides_are_those_of_the_network(variant, output_stride):
    with torch.device("meta"):
        model = build_model(variant, 10, output_stride=output_stride).eval()
        maps = model.forward_stages(torch.empty(1, 3, 96, 160))
        maps.append(model.head(maps[-1]))
    found = feature_info(variant, output_stride)
    assert [info.stage for info in found] == list(range(1, len(maps) + 1))
    assert [(info.channels, 96 // info.stride, 160 // info.stride) for info in found] == [tuple(m.shape[1:]) for m in maps]
    assert all(isinstance(model.get_submodule(info.module), torch.nn.Module) for info in found)
    assert found[-1].stride == (output_stride or 32)


@pytest.mark.parametrize("name", list_variants())
def test_by_stride_as_timm(name):
    with torch.device("meta"):
        info = timm.create_model(timm_name(name), features_only=True).feature_info
    found = select_features(name, strides=(2, 4, 8, 16, 32))
    assert ([f.channels for f in found], [f.stride for f in found]) == (info.channels(), info.reduction())


def test_choosing():
    assert select_features("b0", stages=(1, 9)) == (FeatureInfo(1, "stem", 32, 2), FeatureInfo(9, "head", 1280, 32))
    assert select_features("b0", strides=16) == select_features("b0", stages=6) == (FeatureInfo(6, "stages.4", 112, 16),)
    assert [info.stride for info in select_features("b0")] == [4, 8, 16, 32]
    assert [info.stride for info in select_features("b0", output_stride=8)] == [1, 2, 4, 8]
    assert select_features(get_variant("b0").with_output_stride(16)) == select_features("b0", output_stride=16)


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"strides": (4, 64)}, ValueError, "no feature map for strides = 64: it has 2, 4, 8, 16, 32"),
        ({"strides": 4, "output_stride": 8, "stages": 1}, ValueError, "not by both"),
        ({"strides": 32, "output_stride": 8}, ValueError, "strides = 32: it has 1, 2, 4, 8"),
        ({"stages": (3, 10)}, ValueError, "stages = 10: it has 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ({"stages": 0}, ValueError, "stages must be at least 1"),
        ({"stages": ()}, ValueError, "one or more increasing numbers"),
        ({"strides": (16, 8)}, ValueError, r"increasing numbers, got \(16, 8\)"),
        ({"strides": (8, 8)}, ValueError, "increasing"),
        ({"strides": "8"}, TypeError, "strides must be an integer, got '8'"),
        ({"stages": (3, 4.0)}, TypeError, "stages must be an integer, got 4.0"),
        ({"output_stride": 4}, ValueError, "output_stride"),
    ],
)
def test_bad_choices(wrong, error, message):
    with pytest.raises(error, match=message):
        select_features("b0", **wrong)
