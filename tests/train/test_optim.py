import copy
import math

import pytest
import torch
from timm.optim import RMSpropTF as TimmRMSpropTF
from torch import nn

from effnet_lib import build_model, scale_variant
from effnet_lib.train import RMSpropTF, ema_decay, lr_factor, make_config, make_ema, parameter_groups


def drift(make_optimizer, steps=30):
    """Weights after some steps down a noisy slope."""
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(5))]
    optimizer = make_optimizer(weights)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * 0.9**step  # a changing rate tells the two kinds of momentum apart
        for w in weights:
            w.grad = w.detach() + torch.randn(w.shape, generator=generator)
        optimizer.step()
    return [w.detach() for w in weights]


def test_rmsprop_is_the_formula():
    w = nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))
    optimizer = RMSpropTF([w], lr=0.1, alpha=0.9, eps=1e-3, momentum=0.8, weight_decay=0.01)
    by_hand, square, moment = [2.0, -1.0], [1.0, 1.0], [0.0, 0.0]
    for grads in ([0.5, -3.0], [0.1, 2.0], [-4.0, 0.0]):
        w.grad = torch.tensor(grads, dtype=torch.float64)
        optimizer.step()
        for i, g in enumerate(grads):
            g += 0.01 * by_hand[i]
            square[i] = 0.9 * square[i] + 0.1 * g * g
            moment[i] = 0.8 * moment[i] + 0.1 * g / math.sqrt(square[i] + 1e-3)
            by_hand[i] -= moment[i]
    assert w.tolist() == pytest.approx(by_hand, rel=1e-14)


def test_rmsprop_equals_timm():
    settings = dict(lr=0.05, alpha=0.9, eps=1e-3, momentum=0.9, weight_decay=1e-2)
    ours = drift(lambda w: RMSpropTF(w, **settings))
    theirs = drift(lambda w: TimmRMSpropTF(w, **settings))
    for a, b in zip(ours, theirs):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_rmsprop_differs_from_torch_at_once():
    settings = dict(lr=0.05, alpha=0.9, eps=1e-3, momentum=0.9)
    ours = drift(lambda w: RMSpropTF(w, **settings), steps=1)[0]
    theirs = drift(lambda w: torch.optim.RMSprop(w, **settings), steps=1)[0]
    start = drift(lambda w: RMSpropTF(w, **settings), steps=0)[0]
    assert ((theirs - start).abs() / (ours - start).abs()).max() > 2


@pytest.mark.parametrize("gradient, times", [(1e-9, 949), (1e-4, 920), (1e-2, 228), (1.0, 3.15), (1e4, 1.0)])
def test_the_first_steps_differ_as_the_docstring_says(gradient, times):
    alpha, eps = 0.9, 1e-3
    steps = []
    for kind in (torch.optim.RMSprop, RMSpropTF):
        w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        w.grad = torch.full_like(w, gradient)
        kind([w], lr=0.1, alpha=alpha, eps=eps).step()
        steps.append(abs(w.item()))
    formula = (alpha + (1 - alpha) * gradient**2 + eps) ** 0.5 / ((1 - alpha) ** 0.5 * gradient + eps)
    assert steps[0] / steps[1] == pytest.approx(formula, rel=1e-6) == pytest.approx(times, rel=5e-3)
    assert steps[0] <= 0.1 / (1 - alpha) ** 0.5


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"alpha": 1.0}, {"eps": -1e-3}, {"momentum": 1.5}])
def test_rmsprop_refuses(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RMSpropTF([nn.Parameter(torch.ones(1))], **{"lr": 0.1, **wrong})


def test_weight_decay_is_on_weights_of_convolutions_and_linear_layers_only():
    model = build_model(scale_variant(-10))
    decayed, rest = parameter_groups(model, 0.01)
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.01, 0.0)
    assert all(names[id(p)].endswith("weight") and p.ndim in (2, 4) for p in decayed["params"])
    assert all(p.ndim == 1 for p in rest["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(names)


def test_cosine_by_hand():
    factor = lr_factor(make_config("cifar", {"epochs": 10, "warmup_epochs": 2.0}), 5)
    assert [factor(s) for s in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert factor(10) == 1.0
    assert factor(30) == pytest.approx(0.5)
    assert factor(49) == pytest.approx((1 + math.cos(math.pi * 39 / 40)) / 2)
    assert factor(50) == pytest.approx(0.0, abs=1e-15)


def test_staircase_by_hand():
    """The paper's: × 0.97 every 2.4 epochs, five epochs of warm-up over it."""
    factor = lr_factor(make_config("paper"), 10)
    assert factor(0) == 1 / 50 and factor(49) == 1.0
    assert factor(50) == 0.97**2  # 5 / 2.4 = 2.08
    assert factor(71) == 0.97**2 and factor(72) == 0.97**3
    assert factor(3499) == 0.97 ** (3499 // 24)


def test_the_paper_at_batch_2048():
    assert make_config("paper").peak_lr == pytest.approx(0.016 * 8)
    assert make_config("paper", {"lr_batch": 0}).peak_lr == 0.016


def test_cosine_equals_torch():
    config = make_config("cifar", {"epochs": 4, "warmup_epochs": 0.0, "lr": 0.3, "lr_batch": 0})
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    factor = lr_factor(config, 10)
    for step in range(40):
        assert 0.3 * factor(step) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()


def test_ema_by_hand():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    ema = make_ema(model, 0.5)
    linear, average = model[0].weight, None
    for n, value in enumerate([3.0, 5.0, -1.0, 2.0, 8.0, 8.0, 1.0]):
        with torch.no_grad():
            linear.fill_(value)
            model[1].running_mean.fill_(10 * value)
            model[1].num_batches_tracked.add_(1)
        ema.update_parameters(model)
        decay = min(0.5, (1 + n) / (10 + n))
        average = value if average is None else decay * average + (1 - decay) * value
        assert ema.module[0].weight.item() == pytest.approx(average, rel=1e-6)
        assert ema.module[1].running_mean.item() == pytest.approx(10 * average, rel=1e-6)
        assert ema.module[1].num_batches_tracked == n + 1
    assert not ema.module.training and not ema.module[0].weight.requires_grad


def test_ema_warms_up():
    assert ema_decay(0.9999, 0) == 0.1
    assert ema_decay(0.9999, 10**6) == 0.9999
    assert ema_decay(0.0, 50) == 0.0


def test_ema_state_goes_on():
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    ema = make_ema(model, 0.9)
    ema.update_parameters(model)
    other = make_ema(copy.deepcopy(model), 0.9)
    other.load_state_dict(ema.state_dict())
    nn.init.ones_(model.weight)
    for each in (ema, other):
        each.update_parameters(model)
    assert torch.equal(ema.module.weight, other.module.weight)
    assert int(other.n_averaged) == 2 and other.n_averaged.device.type == "cpu"
