"""The network as a backbone: torchvision's pyramid, detector and segmentation head take it and learn."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from effnet_lib import FeatureBackbone, WeightsError, build_backbone, build_model, optimize_for_inference, save_weights, scale_variant

SMALL = scale_variant(-6)


def small(**options):
    torch.manual_seed(0)
    return build_backbone(SMALL, **options)


def learns(module: nn.Module, loss, steps: int = 5, lr: float = 0.02) -> None:
    """A few steps of SGD lower the loss, and every trainable parameter has its gradient."""
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        assert all(p.grad is not None for p in trained)
        optimizer.step()
    assert losses[-1].isfinite() and losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["b0", "v2_b0", "lite0", SMALL])
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "same"}, {"output_stride": 8}, {"output_stride": 16, "in_channels": 1}, {"stages": (1, 3)}, {"stages": 1}],
)
def test_maps_are_those_of_the_network(name, options):
    choice = {key: options[key] for key in options if key in ("stages", "strides")}
    model = build_model(name, 5, **{key: options[key] for key in options.keys() - choice.keys()}).eval()
    backbone = FeatureBackbone(model, **choice)
    images = torch.randn(2, model.in_channels, 75, 106)
    with torch.no_grad():
        maps, every = backbone(images), model.forward_stages(images)
    assert isinstance(maps, OrderedDict) and list(maps) == [str(i) for i in range(len(maps))]
    for info, found in zip(backbone.features, maps.values(), strict=True):
        assert torch.equal(found, every[info.stage - 1])
        assert found.shape == (2, info.channels, -(-75 // info.stride), -(-106 // info.stride))
    assert backbone.channels == [m.shape[1] for m in maps.values()]


def test_the_head_and_names():
    model = build_model(SMALL, 5).eval()
    images = torch.randn(1, 3, 64, 64)
    backbone = FeatureBackbone(model, stages=(4, len(model.stages) + 2), names=("low", "out"))
    maps = backbone(images)
    assert list(maps) == ["low", "out"] and torch.equal(maps["out"], model.forward_features(images))
    assert not hasattr(backbone, "out_channels")
    assert FeatureBackbone(model, strides=16).out_channels == backbone.variant.stages[4].channels


def test_nothing_behind_the_last_map_is_kept():
    model = build_model(SMALL, 5)
    backbone = FeatureBackbone(model, strides=(4, 8))
    own, whole = backbone.state_dict(), model.state_dict()
    assert all(name.split(".")[0] in ("stem", "stages") and torch.equal(own[name], whole[name]) for name in own)
    assert len(backbone.stages) == 3
    sum(m.mean() for m in backbone(torch.randn(2, 3, 64, 64)).values()).backward()
    assert all(p.grad is not None for p in backbone.parameters())  # none is unused, as DistributedDataParallel wants


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_an_optimized_network_as_a_backbone(padding):
    model = build_model("v2_b0", 5, padding=padding).eval()
    fast = FeatureBackbone(optimize_for_inference(model), stages=(3, 5, 8))
    images = torch.randn(2, 3, 70, 64)
    with torch.no_grad():
        for got, wanted in zip(fast(images).values(), FeatureBackbone(model, stages=(3, 5, 8))(images).values(), strict=True):
            assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-4)
            assert got.is_contiguous(memory_format=torch.channels_last)


def test_frozen_norms_stay_frozen():
    backbone = small(freeze_norm=True)
    before = copy.deepcopy(backbone.state_dict())
    wrapped = nn.Sequential(backbone).train()
    assert backbone.training
    sum(m.mean() for m in wrapped(torch.randn(2, 3, 64, 64)).values()).backward()
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training or p.requires_grad for m in norms for p in m.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_weights_with_and_without_a_classifier(tmp_path):
    model = build_model(SMALL, 7)
    for classes in (7, 0):
        model.reset_classifier(classes)
        path = save_weights(model, tmp_path / f"{classes}.safetensors")
        backbone = build_backbone(weights=path, strides=(8, 16))
        assert torch.equal(backbone.stem[0].weight, model.stem[0].weight) and backbone.variant == SMALL
        assert backbone.weights.num_classes == 0
    with pytest.raises(WeightsError, match="another network"):
        build_backbone("b0", weights=path)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_compiled_exported_and_in_both_layouts(layout):
    backbone = small(strides=(4, 8, 16)).eval().to(memory_format=layout)
    images = torch.randn(2, 3, 64, 96).to(memory_format=layout)
    with torch.no_grad():
        wanted = backbone(images)
        torch._dynamo.reset()
        compiled = torch.compile(backbone, fullgraph=True, backend="aot_eager")(images)
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(backbone, (images,), dynamic_shapes=({0: batch},)).module()
        exported = program(torch.cat([images, images]))
    for name, expected in wanted.items():
        assert torch.allclose(compiled[name], expected, rtol=1e-4, atol=1e-5)
        assert torch.allclose(exported[name][2:], expected, rtol=1e-4, atol=1e-5)


def test_a_feature_pyramid_learns():
    backbone = small()
    pyramid = FeaturePyramidNetwork(backbone.channels, 16)
    net, images = nn.Sequential(backbone, pyramid), torch.randn(4, 3, 64, 96)
    assert [tuple(m.shape[1:]) for m in net(images).values()] == [(16, 64 // s, 96 // s) for s in backbone.strides]
    learns(net, lambda: sum((m - 1).square().mean() for m in net(images).values()))


@pytest.mark.parametrize("pyramid", [True, False])
def test_faster_rcnn_learns(pyramid):
    if pyramid:
        backbone = small(freeze_norm=True)
        body = nn.Sequential(backbone, FeaturePyramidNetwork(backbone.channels, 16, LastLevelMaxPool()))
        body.out_channels, anchors = 16, None
    else:
        body, anchors = small(strides=16, freeze_norm=True), AnchorGenerator(((16, 32),), ((1.0,),))
    detector = FasterRCNN(
        body, 2, min_size=64, max_size=64, rpn_anchor_generator=anchors, box_detections_per_img=5,
        rpn_pre_nms_top_n_train=50, rpn_post_nms_top_n_train=20, rpn_pre_nms_top_n_test=50, rpn_post_nms_top_n_test=20,
    )  # fmt: skip
    images = [torch.rand(3, 64, 64), torch.rand(3, 48, 64)]
    targets = [{"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([1])}] * 2

    def loss():
        torch.manual_seed(0)  # which proposals are sampled
        return sum(detector(images, targets).values())

    learns(detector, loss, lr=0.005)
    detector.eval()
    assert {"boxes", "labels", "scores"} == detector(images)[0].keys()


def test_a_segmentation_head_learns():
    backbone = small(output_stride=8, strides=8, names="out")
    head = nn.Sequential(nn.Conv2d(backbone.out_channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    net = DeepLabV3(backbone, head)
    images, labels = torch.randn(2, 3, 48, 64), torch.randint(3, (2, 48, 64))
    assert net(images)["out"].shape == (2, 3, 48, 64)
    learns(net, lambda: nn.functional.cross_entropy(net(images)["out"], labels))
    assert DeepLabV3(small(strides=32, names="out").eval(), DeepLabHead(SMALL.stages[-1].channels, 3).eval())(images)["out"].shape == (2, 3, 48, 64)


def test_gradient_checkpointing_of_a_backbone():
    plain, less = small(), small(gradient_checkpointing=True)
    assert less.gradient_checkpointing and not plain.gradient_checkpointing
    images, grads = torch.randn(2, 3, 64, 64), []
    for backbone in (plain, less):
        torch.manual_seed(1)
        sum(m.square().mean() for m in backbone(images).values()).backward()
        grads.append([p.grad for p in backbone.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), less.buffers(), strict=True))


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"num_classes": 10}, TypeError, "a backbone has no classifier: leave num_classes out"),
        ({"new_head": True}, TypeError, "leave new_head out"),
        ({"strides": 64}, ValueError, "no feature map for strides = 64"),
        ({"names": ("a",)}, ValueError, "names must be 4 different strings"),
        ({"names": ("a", "a"), "strides": (4, 8)}, ValueError, "2 different strings"),
        ({"stride": 8}, TypeError, "stride"),
        ({"padding": "valid"}, ValueError, "padding"),
    ],
)
def test_bad_options(wrong, error, message):
    with pytest.raises(error, match=message):
        build_backbone(SMALL, **wrong)


def test_bad_choices_are_told_before_weights_are_read(tmp_path):
    with pytest.raises(ValueError, match="strides = 64"):
        build_backbone("b0", weights=tmp_path / "no.safetensors", strides=64)
    with pytest.raises(TypeError, match="expected a network of build_model, got Linear"):
        FeatureBackbone(nn.Linear(1, 1))


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64)])
def test_wrong_input(shape):
    with pytest.raises(ValueError, match="expected images of shape"):
        small()(torch.zeros(shape))
