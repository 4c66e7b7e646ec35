import copy
from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from counting import count_by_hooks
from test_cost import TORCHVISION, timm_name
from torch import nn

from effnet_lib import (
    FeatureBackbone,
    Preprocessing,
    StochasticDepth,
    Weights,
    WeightsError,
    build_model,
    count_cost,
    get_variant,
    list_variants,
    load_weights,
    optimize_for_inference,
    save_weights,
    scale_variant,
)


def randomised(model: nn.Module) -> nn.Module:
    """The model, made on the meta device, with random weights that keep the signal alive."""
    model = model.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5),
                (module.weight, 0.5, 1.5), (module.bias, -0.2, 0.2),
            ):  # fmt: skip
                tensor.data.uniform_(low, high, generator=generator)
            module.num_batches_tracked.zero_()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, fan_in**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.uniform_(-0.2, 0.2, generator=generator)
    return model


def assert_same_outputs(name: str, reference: nn.Module, size: int, **options) -> None:
    """Our network, given the reference's tensors in their order, gives the reference's logits."""
    with torch.device("meta"):
        model = build_model(name, **options).eval()
    state = reference.state_dict()
    ours = model.state_dict()
    assert [t.shape for t in ours.values()] == [t.shape for t in state.values()]
    model.load_state_dict(dict(zip(ours, state.values())), assign=True)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = reference(images), model(images)
    assert expected.std() > 1e-3
    assert ((got - expected).abs().max() / expected.abs().max()).item() < 1e-5


@pytest.mark.parametrize("name", TORCHVISION)
def test_outputs_equal_torchvision(name):
    with torch.device("meta"):
        reference = torchvision.models.get_model(f"efficientnet_{name}")
    norm = next(m for m in reference.modules() if isinstance(m, nn.BatchNorm2d))
    assert_same_outputs(name, randomised(reference), 64, norm_eps=norm.eps)


@pytest.mark.parametrize("name", list_variants())
def test_outputs_equal_timm(name):
    with torch.device("meta"):
        reference = timm.create_model(timm_name(name))
    assert_same_outputs(name, randomised(reference), 64, padding="same")


@pytest.mark.parametrize("name, size", [("b0", 75), ("v2_b0", 90), ("lite0", 97)])
def test_same_padding_equals_timm_at_odd_sizes(name, size):
    with torch.device("meta"):
        reference = timm.create_model(timm_name(name))
    assert_same_outputs(name, randomised(reference), size, padding="same")


def test_symmetric_padding_equals_timm():
    with torch.device("meta"):
        reference = timm.create_model("efficientnet_b0")
    assert_same_outputs("b0", randomised(reference), 96, norm_eps=1e-5)


@pytest.mark.parametrize("name", list_variants())
def test_norm_dropout_and_stochastic_depth_settings(name):
    variant = get_variant(name)
    with torch.device("meta"):
        model = build_model(name)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(variant.norm_eps, variant.norm_momentum)}
    assert model.dropout.p == variant.dropout
    blocks = [block for stage in model.stages for block in stage]
    for i, block in enumerate(blocks):
        expected = 0.2 * i / len(blocks) if block.has_skip else 0
        assert block.drop.rate == pytest.approx(expected)


def test_options_replace_the_variant_settings():
    model = build_model(
        "b0", 10, 1, dropout=0, stochastic_depth_rate=0, norm_eps=1e-5, norm_momentum=0.1, output_stride=8
    )
    assert model.dropout.p == 0
    assert all(m.rate == 0 for m in model.modules() if isinstance(m, StochasticDepth))
    assert {(m.eps, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {(1e-5, 0.1)}
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("output_stride, side", [(32, 1), (16, 2), (8, 4)])
def test_output_stride(output_stride, side):
    model = build_model("b0", 10, output_stride=output_stride).eval()
    assert model.forward_features(torch.randn(1, 3, 32, 32)).shape == (1, 1280, side, side)


def test_stage_features():
    model = build_model("b0").eval()
    x = torch.randn(2, 3, 64, 64)
    maps = model.forward_stages(x)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (32, 32, 32), (16, 32, 32), (24, 16, 16), (40, 8, 8), (80, 4, 4), (112, 4, 4), (192, 2, 2), (320, 2, 2),
    ]  # fmt: skip
    assert torch.equal(model.head(maps[-1]), model.forward_features(x))


def test_initial_weights_follow_tensorflow():
    torch.manual_seed(0)
    model = build_model("b4")
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[0, 0].numel() * module.out_channels / module.groups
            count = module.weight.numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=5 / count**0.5)
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and not module.bias.any() and not module.running_mean.any()
    weight = model.classifier.weight
    assert weight.abs().max() <= 1000**-0.5
    assert weight.std().item() == pytest.approx((1 / 3 / 1000) ** 0.5, rel=0.01)


@pytest.mark.parametrize("name", [n for n in list_variants() if n != "l2"])
@pytest.mark.parametrize("train", [False, True])
def test_a_fresh_network_gives_sane_logits(name, train):
    torch.manual_seed(0)
    model = build_model(name).train(train)
    with torch.no_grad():
        logits = model(torch.randn(4, 3, 96, 96))
    assert 1e-5 < logits.std() < 1e3
    assert (logits.std(0) > 0).all()  # different images, different answers


@pytest.mark.parametrize("name", ["b0", "b2", "v2_b0", "lite0"])
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    model = build_model(name, 10)
    nn.functional.cross_entropy(model(torch.randn(4, 3, 64, 64)), torch.arange(4)).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing


def test_squeeze_and_excitation_in_a_fused_block_is_counted_too():
    """No released network has it; the table can ask for it all the same."""
    variant = get_variant("v2_b0")
    stages = tuple(replace(stage, se_ratio=0.25) for stage in variant.stages)
    variant = replace(variant, stages=stages)
    with torch.device("meta"):
        model = build_model(variant)
    cost = count_cost(variant)
    assert count_by_hooks(model, 3, 224, 224) == (cost.parameters, cost.multiply_adds, cost.activations)


def test_dropout_and_stochastic_depth_are_off_in_eval_mode():
    model = build_model("b0").eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pytest.fixture(scope="module", params=["b0", "v2_b0", "lite0"])
def network(request):
    torch.manual_seed(0)
    return build_model(request.param, 10).eval()


def test_compiles_as_one_graph(network):
    x = torch.randn(2, 3, 64, 64)
    for train in (False, True):
        model = copy.deepcopy(network).train(train)
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            out = compiled(x)
        assert out.shape == (2, 10)
        if not train:
            assert torch.allclose(out, network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_exports_with_a_dynamic_batch(padding):
    model = build_model("b0", 10, padding=padding).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (torch.randn(2, 3, 64, 64),), dynamic_shapes=({0: batch},))
    for count in (1, 5):
        x = torch.randn(count, 3, 64, 64)
        assert torch.allclose(program.module()(x), model(x), rtol=1e-4, atol=1e-5)


def test_channels_last(network):
    x = torch.randn(2, 3, 64, 64)
    model = copy.deepcopy(network).to(memory_format=torch.channels_last)
    out = model.forward_features(x.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(out, network.forward_features(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("train", [False, True])
def test_autocast_bfloat16(network, train):
    model = copy.deepcopy(network).train(train)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(torch.randn(4, 3, 64, 64))
    assert out.dtype == torch.bfloat16 and out.isfinite().all()
    if train:
        out.float().square().mean().backward()
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_state_dict_round_trip(tmp_path):
    model = build_model(scale_variant(-2), 10).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = build_model(scale_variant(-2), 10).eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    x = torch.randn(1, 3, 48, 48)
    assert torch.equal(model(x), other(x))


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64), (2, 4, 64, 64), (64, 64), (2, 64, 64, 3), (1, 2, 3, 4, 5)])
def test_wrong_input_names_both_shapes(network, shape):
    for forward in (network, network.forward_features, network.forward_stages):
        with pytest.raises(ValueError, match=r"\(N, 3, height, width\), got \(" + str(shape)[1:-1]):
            forward(torch.zeros(shape))


@pytest.mark.parametrize(
    "options, error, name",
    [
        ({"num_classes": -5}, ValueError, "num_classes"),
        ({"num_classes": 10.0}, TypeError, "num_classes"),
        ({"in_channels": 0}, ValueError, "in_channels"),
        ({"output_stride": 4}, ValueError, "output_stride"),
        ({"padding": "valid"}, ValueError, "padding.*'valid'"),
        ({"dropout": 1.0}, ValueError, "dropout"),
        ({"dropout": -0.1}, ValueError, "dropout"),
        ({"stochastic_depth_rate": 1}, ValueError, "stochastic_depth_rate"),
        ({"norm_eps": 0}, ValueError, "norm_eps"),
        ({"norm_momentum": 2}, ValueError, "norm_momentum"),
        ({"dropout": "0.1"}, TypeError, "dropout"),
        ({"gradient_checkpointing": 1}, TypeError, "gradient_checkpointing must be True or False, got 1"),
    ],
)
def test_bad_options(options, error, name):
    with pytest.raises(error, match=name):
        build_model("b0", **options)


@pytest.mark.parametrize("images", [[[1]], None, "image", 3])
def test_an_input_that_is_no_tensor(network, images):
    with pytest.raises(TypeError, match="expected a tensor of images, got"):
        network(images)


def test_bad_variant():
    with pytest.raises(ValueError, match="did you mean"):
        build_model("b10")
    with pytest.raises(TypeError):
        build_model(None)


def test_the_classes_fit_on_a_screen():
    import inspect

    import effnet_lib

    for item in (effnet_lib.MBConv, effnet_lib.FusedMBConv, effnet_lib.EfficientNet, effnet_lib.ConvNormAct):
        assert len(inspect.getsource(item).splitlines()) <= 90, item


@pytest.fixture(scope="module", params=[("b0", "symmetric"), ("v2_b0", "same"), ("lite0", "same")])
def traceable(request):
    name, padding = request.param
    torch.manual_seed(0)
    return build_model(scale_variant(-5, name), 5, padding=padding)


@pytest.mark.parametrize("train", [False, True])
def test_symbolic_tracing(traceable, train):
    model = copy.deepcopy(traceable).train(train)
    traced = torch.fx.symbolic_trace(copy.deepcopy(model))
    for shape in ((2, 3, 64, 64), (3, 3, 75, 90)):  # the graph is of no size
        images, outputs = torch.randn(shape), []
        for network in (model, traced):
            torch.manual_seed(1)
            outputs.append(network(images))
        assert torch.equal(*outputs)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), traced.state_dict().values(), strict=True))


def test_an_optimized_network_is_traced_too(traceable):
    model = copy.deepcopy(traceable).eval()
    fast, images = optimize_for_inference(model), torch.randn(2, 3, 64, 70)
    with torch.no_grad():
        for got in (torch.fx.symbolic_trace(fast)(images), fast(images)):
            assert torch.allclose(got, model(images), rtol=1e-4, atol=1e-5)


def test_torchvision_extracts_features(traceable):
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    model = copy.deepcopy(traceable)
    train, evaluate = get_graph_node_names(model)
    assert train == evaluate and "stages.2.0.project.1" in train
    extractor = create_feature_extractor(model, {"stages.2": "p3", "head": "last", "classifier": "logits"}).eval()
    images, model = torch.randn(2, 3, 64, 90), model.eval()
    with torch.no_grad():
        maps = extractor(images)
        wanted = {"p3": model.forward_stages(images)[3], "last": model.forward_features(images), "logits": model(images)}
    assert maps.keys() == wanted.keys() and all(torch.equal(maps[name], wanted[name]) for name in wanted)


def test_input_is_checked_all_the_same_outside_of_a_tracer(traceable):
    torch.fx.symbolic_trace(traceable)
    with pytest.raises(ValueError, match="expected images"):
        traceable(torch.zeros(2, 1, 64, 64))


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_torch_jit_trace(tmp_path, optimized):
    model = build_model(scale_variant(-5), 5).eval()
    model = optimize_for_inference(model) if optimized else model
    torch.jit.trace(model, torch.randn(2, 3, 64, 64)).save(tmp_path / "net.pt")
    traced = torch.jit.load(tmp_path / "net.pt")
    for shape in ((1, 3, 64, 64), (3, 3, 75, 90)):
        images = torch.randn(shape)
        with torch.no_grad():
            assert torch.allclose(traced(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.*deprecated:FutureWarning")
def test_torch_jit_trace_with_same_padding_at_its_size():
    model, images = build_model(scale_variant(-5), 5, padding="same").eval(), torch.randn(3, 3, 75, 90)
    with torch.no_grad():
        assert torch.allclose(torch.jit.trace(model, images[:1])(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
def test_torch_jit_script_says_what_to_use(traceable):
    for model in (traceable, nn.Sequential(traceable), optimize_for_inference(traceable), FeatureBackbone(traceable)):
        with pytest.raises(RuntimeError, match=r"TorchScript is deprecated in PyTorch: use torch.export.export.*or torch.jit.trace") as e:
            torch.jit.script(model)
        assert "\n" not in str(e.value)


def test_without_a_classifier():
    torch.manual_seed(0)
    model = build_model(scale_variant(-5), 0, dropout=0.5)
    images = torch.randn(2, 3, 64, 48)
    assert (model.num_classes, list(model.classifier.parameters())) == (0, [])
    assert model(images).shape == (2, model.variant.head_channels)
    assert (model(images) != 0).all()  # in training mode, too, no feature is dropped
    model.eval()
    assert torch.equal(model(images), model.forward_features(images).mean((2, 3)))
    assert torch.equal(model(images), model.embeddings(images))
    assert torch.allclose(optimize_for_inference(model)(images), model(images), rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in model.parameters()) == count_cost(model.variant, num_classes=0).parameters
    with pytest.raises(ValueError, match=r"no classifier \(num_classes=0\).*embeddings.*reset_classifier"):
        model.classify(images, preprocessing=Preprocessing(64, 64))
    model.classifier = nn.Linear(model.variant.head_channels, 3)  # put there by hand
    assert model(images).shape == (2, 3)


def test_a_network_without_a_classifier_is_saved_and_restored(tmp_path):
    model = build_model(scale_variant(-5), 0).eval()
    images = torch.randn(1, 3, 64, 64)
    for name in ("net.safetensors", "net.pt"):
        path = save_weights(model, tmp_path / name)
        again = build_model(weights=path).eval()
        assert again.num_classes == again.weights.num_classes == 0 and torch.equal(again(images), model(images))
        with pytest.raises(WeightsError, match="of 0 classes, and 4 were asked for.*new_head=True"):
            build_model(weights=path, num_classes=4)
        other = build_model(weights=path, num_classes=4, new_head=True).eval()
        assert torch.equal(other.embeddings(images), model(images)) and not other(images).any()
    whole = build_model(scale_variant(-5), 4).eval()
    path = save_weights(whole, tmp_path / "whole.safetensors")
    headless = build_model(weights=path, num_classes=0).eval()
    assert torch.equal(headless(images), whole.embeddings(images))
    load_weights(model, path)
    assert torch.equal(model(images), whole.embeddings(images)) and model.weights.num_classes == 0


def test_reset_classifier(tmp_path):
    model = build_model(scale_variant(-5), 4).double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.double)
    before = model.embeddings(images)
    for classes in (7, 0, 1):
        model.reset_classifier(classes)
        assert model.num_classes == classes and not model.classifier.training
        assert model(images).shape == (2, classes or model.variant.head_channels)
        assert all(p.dtype == torch.double and p.requires_grad and p.any() or p.ndim == 1 for p in model.classifier.parameters())
    assert torch.equal(model.embeddings(images), before)
    known = Weights("x", model.variant, model.padding, 1, None, ("cat",), 90.0, 99.0)
    model.weights = known
    model.reset_classifier(3)
    assert model.weights == replace(known, num_classes=3, categories=None, top1=None, top5=None)
    assert not model(images).any()  # on trained features a classifier begins at zero
    assert build_model(weights=save_weights(model.float(), tmp_path / "net.safetensors")).num_classes == 3
    for wrong, error in ((-1, ValueError), (2.0, TypeError), (None, TypeError), (True, TypeError)):
        with pytest.raises(error, match="num_classes"):
            model.reset_classifier(wrong)
        assert model.num_classes == 3
    with pytest.raises(RuntimeError, match="reset_classifier of the original"):
        optimize_for_inference(model).reset_classifier(2)
