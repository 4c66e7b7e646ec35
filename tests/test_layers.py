import pytest
import torch
from torch import nn

from effnet_lib import ConvNormAct, FusedMBConv, MBConv, SqueezeExcite, StochasticDepth
from effnet_lib.layers import Conv2dSame


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_stochastic_depth_keeps_the_expectation():
    torch.manual_seed(0)
    drop = StochasticDepth(0.3)
    out = drop(torch.ones(200_000, 1, 1, 1)).flatten()
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    standard_error = (0.3 / 0.7 / 200_000) ** 0.5
    assert abs(out.mean() - 1) < 5 * standard_error


def test_stochastic_depth_drops_whole_samples():
    torch.manual_seed(0)
    out = StochasticDepth(0.5)(torch.ones(64, 3, 4, 4))
    per_sample = out.flatten(1)
    assert torch.equal(per_sample.amin(1), per_sample.amax(1))
    assert 0 < (per_sample[:, 0] == 0).sum() < 64


def test_stochastic_depth_is_the_identity_in_eval_mode_and_at_rate_zero():
    x = torch.randn(8, 3, 4, 4)
    assert StochasticDepth(0.9).eval()(x) is x
    assert StochasticDepth(0.0).train()(x) is x


@pytest.mark.parametrize("rate, error", [(1.0, ValueError), (-0.1, ValueError), (float("nan"), ValueError), ("x", TypeError)])
def test_stochastic_depth_bad_rate(rate, error):
    with pytest.raises(error, match="rate"):
        StochasticDepth(rate)


def test_stochastic_depth_keeps_the_precision_of_its_input():
    assert StochasticDepth(0.5)(torch.ones(4, 1, 1, 1, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_stochastic_depth_acts_on_the_branch_and_never_on_the_skip():
    torch.manual_seed(0)
    block = MBConv(8, 8, stochastic_depth_rate=0.5)
    with torch.no_grad():  # a branch that gives a constant: batch norm's bias
        block.project[1].weight.zero_()
        block.project[1].bias.fill_(1.0)
    x = torch.randn(64, 8, 4, 4)
    added = (block(x) - x).flatten(1)
    assert torch.allclose(added.amin(1), added.amax(1), atol=1e-5)
    dropped = added[:, 0].abs() < 1e-5
    assert 0 < dropped.sum() < 64
    assert torch.allclose(added[~dropped, 0], torch.tensor(2.0), atol=1e-5)


def test_squeeze_excite_by_hand():
    torch.manual_seed(0)
    se = SqueezeExcite(6, 2)
    x = torch.randn(3, 6, 5, 5)
    pooled = x.mean((2, 3))
    hidden = nn.functional.silu(pooled @ se.reduce.weight.flatten(1).T + se.reduce.bias)
    gates = torch.sigmoid(hidden @ se.expand.weight.flatten(1).T + se.expand.bias)
    assert torch.allclose(se.gates(x)[..., 0, 0], gates, atol=1e-6)
    assert torch.allclose(se(x), x * gates[..., None, None], atol=1e-6)
    assert parameters(se) == 6 * 2 + 2 + 2 * 6 + 6


@pytest.mark.parametrize("size, stride, kernel", [(8, 2, 3), (7, 2, 3), (8, 2, 5), (9, 1, 5), (8, 1, 3)])
def test_same_padding_by_hand(size, stride, kernel):
    conv = Conv2dSame(1, 1, kernel, stride, bias=False)
    nn.init.ones_(conv.weight)
    out_size = -(-size // stride)
    total = max((out_size - 1) * stride + kernel - size, 0)
    before = total // 2
    x = torch.randn(1, 1, size, size)
    out = conv(x)
    assert out.shape[-1] == out_size
    for i, j in ((0, 0), (out_size - 1, out_size - 1), (out_size // 2, 0)):
        top, left = i * stride - before, j * stride - before
        window = x[0, 0, max(top, 0) : max(top + kernel, 0), max(left, 0) : max(left + kernel, 0)]
        assert torch.allclose(out[0, 0, i, j], window.sum(), atol=1e-5)


def test_same_and_symmetric_padding_differ_at_even_sizes():
    same = ConvNormAct(1, 1, 3, 2, activation=None, padding="same").eval()
    symmetric = ConvNormAct(1, 1, 3, 2, activation=None).eval()
    symmetric.load_state_dict(same.state_dict())
    even, odd = torch.randn(1, 1, 8, 8), torch.randn(1, 1, 7, 7)
    assert not torch.allclose(same(even), symmetric(even))
    assert torch.allclose(same(odd), symmetric(odd))


def test_conv_norm_act_order_and_settings():
    layer = ConvNormAct(3, 8, 5, 2, norm_eps=0.1, norm_momentum=0.2, activation="relu6")
    assert [type(m) for m in layer] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]
    assert (layer[1].eps, layer[1].momentum, layer[0].bias) == (0.1, 0.2, None)
    assert len(ConvNormAct(3, 8, activation=None)) == 2


@pytest.mark.parametrize("block", [MBConv, FusedMBConv])
@pytest.mark.parametrize("expand_ratio", [1, 4])
@pytest.mark.parametrize("out_channels, stride, skip", [(8, 1, True), (8, 2, False), (16, 1, False)])
def test_block_shapes_and_skip(block, expand_ratio, out_channels, stride, skip):
    module = block(8, out_channels, stride=stride, expand_ratio=expand_ratio, squeeze_channels=2)
    assert module(torch.randn(2, 8, 9, 9)).shape == (2, out_channels, -(-9 // stride), -(-9 // stride))
    assert module.has_skip is skip


def test_block_parameters_by_hand():
    c, e, s = 24, 6, 6
    width = c * e
    expected = (c * width + 2 * width) + (9 * width + 2 * width)
    expected += (width * s + s + s * width + width) + (width * c + 2 * c)
    assert parameters(MBConv(c, c, 3, 1, e, s)) == expected
    fused = 9 * c * width + 2 * width + width * c + 2 * c
    assert parameters(FusedMBConv(c, c, 3, 1, e)) == fused
    assert parameters(FusedMBConv(c, c, 3, 1, 1)) == 9 * c * c + 2 * c


def test_the_projection_is_linear():
    block = MBConv(8, 8, squeeze_channels=2)
    assert [type(m) for m in block.project] == [nn.Conv2d, nn.BatchNorm2d]
    assert isinstance(MBConv(8, 8, expand_ratio=1).expand, nn.Identity)
    one = FusedMBConv(8, 8, expand_ratio=1)
    assert isinstance(one.expand, nn.Identity) and isinstance(one.project[-1], nn.SiLU)
