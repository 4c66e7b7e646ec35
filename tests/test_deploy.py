"""The optimised network is the same function; the roofline counts what count_cost counts."""

import copy
import io
import pickle
from dataclasses import replace

import pytest
import torch
from test_model import randomised
from torch import nn

from effnet_lib import (
    EfficientNet,
    InferenceNet,
    build_model,
    count_cost,
    deploy,
    fold_batch_norm,
    get_variant,
    list_variants,
    optimize_for_inference,
    roofline,
    scale_variant,
)
from effnet_lib.bounds import largest_map
from effnet_lib.layers import SqueezeExcite


def network(variant="b0", **options) -> EfficientNet:
    """A small network with statistics as after training."""
    if isinstance(variant, str):
        variant = scale_variant(-4, variant)
    with torch.device("meta"):
        model = build_model(variant, 10, **options)
    return randomised(model)


def images(count=2, height=64, width=64, channels=3) -> torch.Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


def difference(got: torch.Tensor, expected: torch.Tensor) -> float:
    return ((got - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(params=["fused", "plain"])
def path(request, monkeypatch):
    """With oneDNN's fused convolution where it exists, and without."""
    if request.param == "plain":
        monkeypatch.setattr(deploy, "_fusable", lambda dtype: False)
    elif not deploy._fusable(torch.float32):
        pytest.skip("this processor has no fused convolution")


VARIANTS = ["b0", "lite0", "v2_b0", "v2_s"]  # of each, the network at φ = -4


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", VARIANTS)
def test_outputs_are_equal(name, padding, path):
    model = network(name, padding=padding)
    fast = optimize_for_inference(model)
    with torch.inference_mode():
        for shape in ((2, 64, 64), (1, 47, 70)):
            x = images(*shape)
            assert difference(fast(x), model(x)) < 1e-5


@pytest.mark.parametrize("name", list_variants())
def test_every_released_variant_is_converted(name):
    """On the meta device: no batch norm is left, and no number is lost."""
    with torch.device("meta"):
        model = build_model(name)
    fast = optimize_for_inference(model)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    gone = sum(m.num_features for m in norms)  # γ and β become one bias
    assert sum(p.numel() for p in fast.parameters()) == count_cost(name).parameters - gone


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_output_strides_channels_and_classes(output_stride, path):
    model = network("b0", in_channels=1, output_stride=output_stride)
    fast = optimize_for_inference(model)
    x = images(2, 40, 40, channels=1)
    with torch.inference_mode():
        assert difference(fast(x), model(x)) < 1e-5
        assert difference(fast.forward_features(x), model.forward_features(x)) < 1e-5
        for got, expected in zip(fast.forward_stages(x), model.forward_stages(x), strict=True):
            assert difference(got, expected) < 1e-5


def test_the_formula_by_hand():
    conv, norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, eps=0.0)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([2.0, -1.0]).view(2, 1, 1, 1))
        conv.bias.copy_(torch.tensor([1.0, 3.0]))
        norm.running_mean.copy_(torch.tensor([5.0, 1.0]))
        norm.running_var.copy_(torch.tensor([4.0, 0.25]))
        norm.weight.copy_(torch.tensor([3.0, 1.0]))
        norm.bias.copy_(torch.tensor([-1.0, 0.5]))
    weight, bias = fold_batch_norm(conv, norm)
    # channel 1: 3 (2x + 1 - 5) / 2 - 1 = 3x - 7; channel 2: (-x + 3 - 1) / 0.5 + 0.5 = -2x + 4.5
    assert weight.flatten().tolist() == [3.0, -2.0] and bias.tolist() == [-7.0, 4.5]


@pytest.mark.parametrize("affine, bias", [(True, False), (False, True), (True, True)])
def test_folding_equals_the_two_layers(affine, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 9, 3, groups=3, bias=bias).double()
    norm = nn.BatchNorm2d(9, affine=affine).double()
    norm(torch.randn(50, 9, 3, 3).double() * 3 + 1)  # gathers statistics
    norm.eval()
    x = torch.randn(2, 6, 8, 8).double()
    weight, offset = fold_batch_norm(conv, norm)
    assert torch.allclose(nn.functional.conv2d(x, weight, offset, groups=3), norm(conv(x)), atol=1e-12)


def test_folding_the_unfoldable():
    with pytest.raises(ValueError, match="4 channels and the convolution 3"):
        fold_batch_norm(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match="no running statistics"):
        fold_batch_norm(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))


def test_the_original_is_left_alone():
    model = network().train()
    model.stages[1].eval()
    model.tag = ["carried"]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    strides = {name: tensor.stride() for name, tensor in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    names = [name for name, _ in model.named_modules()]
    fast = optimize_for_inference(model)
    with torch.no_grad():
        fast(images())
        for p in fast.parameters():
            p.zero_()
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert strides == {name: tensor.stride() for name, tensor in after.items()}
    assert modes == [m.training for m in model.modules()]
    assert names == [name for name, _ in model.named_modules()]
    assert all(p.requires_grad for p in model.parameters())
    assert fast.tag == ["carried"] and fast.tag is not model.tag


def test_it_stays_in_eval_mode():
    fast = optimize_for_inference(network().train())
    assert not any(m.training for m in fast.modules()) and fast.eval() is fast
    with pytest.raises(RuntimeError, match="Train the original"):
        fast.train()
    assert not any(p.requires_grad for p in fast.parameters())


def test_copies_pickles_and_state_dicts(tmp_path, path):
    fast, x = optimize_for_inference(network()), images()
    with torch.inference_mode():
        expected = fast(x)  # packs the weights: nothing of it may be in what is kept
        assert torch.equal(copy.deepcopy(fast)(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(fast))(x), expected)
        buffer = io.BytesIO()
        torch.save(fast.state_dict(), buffer)
        buffer.seek(0)
        state = torch.load(buffer, weights_only=True)
        other = optimize_for_inference(build_model(fast.variant, 10))
        assert not torch.equal(other(x), expected)
        other.load_state_dict(state)  # after a call: the packed weights have to follow
        assert torch.equal(other(x), expected)
        again = optimize_for_inference(fast)
        assert again is not fast and torch.equal(again(x), expected)


def test_a_changed_weight_is_seen(path):
    fast, x = optimize_for_inference(network()), images()
    with torch.no_grad():
        before = fast(x)
        fast.stem.weight.mul_(2)
        changed = fast(x)
        assert not torch.allclose(changed, before)
        fast.stem.weight = nn.Parameter(fast.stem.weight / 2, requires_grad=False)
        assert difference(fast(x), before) < 1e-6


def test_batches_in_pieces_are_equal(monkeypatch, path):
    model = network()
    fast, x = optimize_for_inference(model), images(7)
    sizes = []
    fast.stem.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    with torch.inference_mode():
        expected = model(x)
        assert difference(fast(x), expected) < 1e-5
        image = largest_map(model.variant, 64, 64) * 4
        monkeypatch.setattr(deploy, "_LARGEST_BLOCK", 3 * image)
        assert difference(fast(x), expected) < 1e-5
        assert sizes == [7, 3, 3, 1]
        assert fast(x[:0]).shape == (0, 10)


def test_channels_last_and_other_layouts_of_the_input(path):
    model = network()
    fast, x = optimize_for_inference(model), images()
    with torch.inference_mode():
        expected = model(x)
        for same in (x.to(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
            assert difference(fast(same), expected) < 1e-5
        assert fast.forward_features(x).is_contiguous(memory_format=torch.channels_last)
    before = x.clone()
    fast(x)
    assert torch.equal(x, before)


def test_the_gradient_of_the_input():
    model = network()
    fast = optimize_for_inference(model)
    gradients = []
    for net in (model, fast):
        x = images().requires_grad_()
        net(x)[:, 3].sum().backward()
        gradients.append(x.grad)
    assert difference(gradients[1], gradients[0]) < 1e-4
    fast.requires_grad_(True)  # and that of the weights, if somebody insists
    fast(images()).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in fast.parameters())


def test_tensors_that_only_stand_for_tensors():
    from torch._subclasses import FakeTensorMode

    fast = optimize_for_inference(network())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        assert fast(mode.from_tensor(images())).shape == (2, 10)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.bfloat16, 0.1)])
def test_other_precisions(dtype, tolerance):
    model, x = network(), images()
    with torch.inference_mode():
        expected = copy.deepcopy(model).double()(x.double())
        got = optimize_for_inference(model.to(dtype))(x.to(dtype))
        assert got.dtype == dtype and difference(got.double(), expected) < tolerance


def test_autocast_and_compile():
    fast, x = optimize_for_inference(network()), images()
    with torch.no_grad():
        expected = fast(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert fast(x).dtype == torch.bfloat16
        torch._dynamo.reset()
        compiled = torch.compile(fast, fullgraph=True, backend="aot_eager")
        assert difference(compiled(x), expected) < 1e-5


def test_made_inside_inference_mode():
    with torch.inference_mode():
        model = network()
        fast = optimize_for_inference(model)
        expected = model(images())
    with torch.no_grad():
        assert difference(fast(images()), expected) < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    model = network().cuda()
    fast, x = optimize_for_inference(model), images().cuda()
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        assert difference(fast(x), model(x)) < 1e-4
        assert difference(fast.cpu()(x.cpu()), model.cpu()(x.cpu())) < 1e-5


def test_wrong_arguments():
    for wrong in (nn.Linear(2, 2), "b0", None):
        with pytest.raises(TypeError, match="expected a network of build_model, got"):
            optimize_for_inference(wrong)
    fast = optimize_for_inference(network())
    assert isinstance(fast, InferenceNet)
    for call in (fast, fast.forward_features, fast.forward_stages):
        with pytest.raises(ValueError, match=r"\(N, 3, height, width\), got \(2, 1, 64, 64\)"):
            call(torch.zeros(2, 1, 64, 64))
        with pytest.raises(TypeError, match="expected a tensor of images"):
            call([1])


# The roofline


@pytest.mark.parametrize("name", list_variants())
@pytest.mark.parametrize("output_stride", [32, 8])
def test_the_roofline_counts_what_count_cost_counts(name, output_stride):
    variant = get_variant(name).with_output_stride(output_stride)
    bound, cost = roofline(variant, 1e11, 1e10, batch_size=3), count_cost(variant)
    assert bound.multiply_adds == 3 * cost.multiply_adds
    for row in cost.stages:
        layers = [layer for layer in bound.layers if layer.stage == row.stage]
        assert sum(layer.multiply_adds for layer in layers) == 3 * row.multiply_adds
        assert max(layer.block for layer in layers) == row.layers


def test_bytes_equal_the_tensors_of_the_built_network():
    """Input, weights and output of each layer, as hooks see them; the skip is read besides."""
    model = optimize_for_inference(network("v2_b0"))
    seen = []

    def hook(module, inputs, output):
        skip = getattr(module, "reads_skip", False)
        numbers = inputs[0].numel() + output.numel() * (2 if skip else 1)
        seen.append(4 * (numbers + sum(p.numel() for p in module.parameters())))

    for block in [block for stage in model.stages for block in stage]:
        block.project.reads_skip = block.has_skip
    for module in model.modules():
        if isinstance(module, (deploy.ConvAct, nn.Linear)):
            module.register_forward_hook(hook)
    with torch.inference_mode():
        model(images(2, 64, 64))
    bound = roofline(model.variant, 1.0, 1.0, 64, num_classes=10, batch_size=2)
    assert [layer.bytes for layer in bound.layers] == seen


@pytest.mark.parametrize("name", ["b0", "v2_b0", "lite0"])
def test_bytes_pass_by_pass_equal_what_the_modules_of_the_network_read_and_write(name):
    """Every module by itself, as hooks see it; a folded batch norm leaves the convolution a bias."""
    model, batch = network(name), 2
    moved = 0

    def count(module, inputs, output):
        nonlocal moved
        read, written = inputs[0].numel(), output.numel()
        if isinstance(module, nn.Conv2d) and written > batch * module.out_channels or isinstance(module, nn.Linear):
            moved += read + written + module.weight.numel() + len(module.weight)
        elif isinstance(module, nn.Conv2d):  # of squeeze-and-excitation
            moved += read + written + module.weight.numel() + len(module.bias)
        elif isinstance(module, (nn.BatchNorm2d, nn.SiLU, nn.ReLU6)) and output.shape[-1] > 1:
            moved += read + written
        elif isinstance(module, SqueezeExcite):
            moved += read + read + written  # pooled, then scaled
        elif getattr(module, "has_skip", False):
            moved += read + 2 * written
        elif module is model.head:
            moved += written  # pooled before the classifier

    for module in model.modules():
        module.register_forward_hook(count)
    with torch.inference_mode():
        model(images(batch, 96, 96))
    bound = roofline(model.variant, 1.0, 1.0, 96, num_classes=10, batch_size=batch, fused=False)
    assert bound.bytes == 4 * moved
    fused = roofline(model.variant, 1.0, 1.0, 96, num_classes=10, batch_size=batch)
    assert bound.bytes > 1.5 * fused.bytes and bound.multiply_adds == fused.multiply_adds


def test_passes_come_on_top():
    fused, apart = (roofline("b0", 1e9, 1e12, fused=fused) for fused in (True, False))
    assert {layer.bound for layer in fused.layers} == {"compute"}
    assert all(other.seconds >= one.seconds for one, other in zip(fused.layers, apart.layers))
    stem = apart.layers[0]
    assert stem.bytes - fused.layers[0].bytes == 4 * 4 * 32 * 112**2  # batch norm and activation, in and out
    assert stem.seconds == pytest.approx(stem.multiply_adds / 1e9 + 16 * 32 * 112**2 / 1e12)


def test_the_bound_by_hand():
    bound = roofline("b0", peak=1e9, bandwidth=1e9, bytes_per_number=2)
    stem, depthwise = bound.layers[0], bound.layers[1]
    assert (stem.name, depthwise.name) == ("stem", "depthwise")
    assert stem.multiply_adds == 27 * 32 * 112**2
    assert stem.bytes == 2 * (3 * 224**2 + 27 * 32 + 32 + 32 * 112**2)
    assert stem.intensity == stem.multiply_adds / stem.bytes
    assert (stem.bound, stem.seconds) == ("compute", stem.multiply_adds / 1e9)
    slow = roofline("b0", peak=1e9, bandwidth=1e6)
    assert {layer.bound for layer in slow.layers} == {"memory"}
    assert slow.seconds == pytest.approx(slow.bytes / 1e6)
    assert sum(slow.stage_seconds().values()) == pytest.approx(slow.seconds)
    assert slow.ridge == 1000


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"peak": 0}, ValueError), ({"peak": "fast"}, TypeError), ({"bandwidth": -1}, ValueError),
        ({"bandwidth": float("inf")}, ValueError), ({"resolution": 31}, ValueError),
        ({"batch_size": 0}, ValueError), ({"bytes_per_number": 0.5}, TypeError), ({"num_classes": 0}, ValueError),
    ],
)  # fmt: skip
def test_bad_arguments_of_the_roofline(arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        roofline("b0", **({"peak": 1e9, "bandwidth": 1e9} | arguments))


def test_the_largest_map():
    assert largest_map(get_variant("b0"), 224, 224) == 96 * 112**2
    assert largest_map(get_variant("b0"), 33, 65) == 96 * 17 * 33


def test_new_weights_are_seen_wherever_they_lie(path):
    """A packed weight must not be taken for one that came to lie at the same address."""
    fast, x = optimize_for_inference(network()), images()
    states = [optimize_for_inference(network()).state_dict() for _ in range(4)]
    for index, state in enumerate(states):
        for tensor in state.values():
            tensor.mul_(1 + index / 50)
    expected = []
    for state in states:
        fresh = optimize_for_inference(network())
        fresh.load_state_dict(state)
        expected.append(fresh(x))
    for state, answer in zip(states, expected):
        assert difference(torch.func.functional_call(fast, state, (x,)), answer) < 1e-6
    for state, answer in zip(states, expected):
        fast.load_state_dict(copy.deepcopy(state), assign=True)
        assert difference(fast(x), answer) < 1e-6
    with torch.inference_mode():
        copied = copy.deepcopy(fast)
        copied(x)
        copied.load_state_dict(states[0])
        assert difference(copied(x), expected[0]) < 1e-6
    halved = fast.bfloat16().float()
    assert difference(halved(x), copy.deepcopy(halved)(x)) < 1e-6


def test_squeeze_and_excitation_in_front_of_the_only_convolution_leaves_the_skip_alone(path):
    variant = scale_variant(-4, "v2_s")
    stages = tuple(replace(stage, se_ratio=0.25) for stage in variant.stages)
    model = network(replace(variant, stages=stages))
    x = images()
    assert difference(optimize_for_inference(model)(x), model(x)) < 1e-5


def test_relu(path):
    model, x = network(replace(scale_variant(-4), activation="relu")), images()
    assert difference(optimize_for_inference(model)(x), model(x)) < 1e-5


def test_forward_derivatives(path):
    model, x = network(), images()
    expected = torch.func.jvp(model, (x,), (x,))[1]
    assert difference(torch.func.jvp(optimize_for_inference(model), (x,), (x,))[1], expected) < 1e-3
