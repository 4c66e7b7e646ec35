"""The receptive field against the gradient of a built network: which pixels have a say?"""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from effnet_lib import build_model, get_variant, list_variants, receptive_field, scale_by, scale_variant


def without_gates(variant):
    return replace(variant, stages=tuple(replace(stage, se_ratio=0) for stage in variant.stages))


def influence(variant, size, stage, pixel):
    """Gradient of one output pixel of a stage with respect to the image, (size, size), as yes or no.

    All weights are positive and all activations left out, so that no two paths cancel.
    """
    model = build_model(variant).double().eval()
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.SiLU, nn.ReLU6)):
                setattr(module, name, nn.Identity())
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    image = torch.zeros(1, 3, size, size, dtype=torch.double, requires_grad=True)
    features = model.forward_stages(image)[stage]
    row, column = pixel
    assert max(pixel) < features.shape[-1]
    features[0, :, row, column].sum().backward()
    return image.grad[0].abs().sum(0) > 0


def expected(field, size, pixel):
    """The square of ReceptiveField's docstring, cut to the image."""
    seen = torch.zeros(size, size, dtype=torch.bool)
    half = field.size // 2
    rows, columns = (slice(max(0, p * field.stride - half), p * field.stride + half + 1) for p in pixel)
    seen[rows, columns] = True
    return seen


@pytest.mark.parametrize("stage", range(8))
def test_equals_the_gradient_of_b0(stage):
    """The first five fields lie wholly inside the image here, so their size is seen."""
    b0, size = get_variant("b0"), 352
    field = receptive_field("b0")[stage]
    last = size // field.stride - 1
    for pixel in ((last // 2, last // 2), (0, last)):
        seen = influence(without_gates(b0), size, stage, pixel)
        assert torch.equal(seen, expected(field, size, pixel))
        if pixel != (0, last) and stage < 5:
            assert seen.sum() == field.size**2


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_gradient_at_random(seed):
    choose = random.Random(seed)
    base = choose.choice(["b0", "lite0", "v2_b0"])
    variant = scale_by(base, depth=choose.uniform(0.3, 2), width=0.25, resolution=0.5)
    variant = variant.with_output_stride(choose.choice([32, 16, 8]))
    size, stage = choose.randint(65, 200), choose.randrange(len(variant.stages) + 1)
    field = receptive_field(variant)[stage]
    outputs = -(-size // field.stride)
    pixel = choose.randrange(outputs), choose.randrange(outputs)
    seen = influence(without_gates(variant), size, stage, pixel)
    assert torch.equal(seen, expected(field, size, pixel))


def test_a_gate_lets_the_whole_image_in():
    """What the docstring says of squeeze-and-excitation: with it, every pixel has some say."""
    size, stage = 224, 2
    b0 = get_variant("b0")
    assert receptive_field(b0)[stage].size == 19
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(b0).double().eval()
        image = torch.randn(1, 3, size, size, dtype=torch.double, requires_grad=True)
    model.forward_stages(image)[stage][0, :, 10, 10].sum().backward()
    assert (image.grad[0].abs().sum(0) > 0).float().mean() > 0.99


def test_depth_widens_it_and_width_and_resolution_do_not():
    b0 = receptive_field("b0")
    assert receptive_field(scale_by(width=2)) == receptive_field(scale_by(resolution=2)) == b0
    assert all(a.size < b.size for a, b in zip(b0[1:], receptive_field(scale_by(depth=2))[1:]))
    assert [field.size for field in receptive_field(scale_variant(1))] == [
        field.size for field in receptive_field("b2")
    ]


@pytest.mark.parametrize("name", list_variants())
def test_every_variant_has_one(name):
    rows, variant = receptive_field(name), get_variant(name)
    assert len(rows) == len(variant.stages) + 1
    assert rows[-1].stride == variant.output_stride
    assert [row.size for row in rows] == sorted(row.size for row in rows)
    assert all(row.size % 2 for row in rows)


def test_bad_input():
    with pytest.raises(ValueError, match="unknown variant 'b9'"):
        receptive_field("b9")
    with pytest.raises(TypeError, match="must be a string"):
        receptive_field(3)
