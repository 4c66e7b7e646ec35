import pytest
import torch
from torchvision.transforms.v2 import functional as vision

from effnet_lib.train import make_config
from effnet_lib.train.augment import (
    OPERATIONS,
    Augment,
    apply_operation,
    apply_policy,
    cutout,
    flip,
    rand_augment,
    random_boxes,
    random_crop,
    resize,
    resized_crop,
    trivial_augment,
)
from effnet_lib.train.progressive import Stage


def pictures(n=6, channels=3, side=32, seed=0):
    """Smooth noise with a full range, as bytes."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(n, channels, 8, 8, generator=generator)
    large = torch.nn.functional.interpolate(small, (side, side), mode="bicubic")
    low, high = large.amin((1, 2, 3), True), large.amax((1, 2, 3), True)
    scale = torch.linspace(0.5, 1, n)[:, None, None, None]
    return ((large - low) / (high - low) * 255 * scale).to(torch.uint8)


# What torchvision's policies do with one image, at a level in their units
THEIRS = {
    "shear_x": lambda x, v: vision.affine(
        x, 0.0, [0, 0], 1.0, [float(torch.rad2deg(torch.tensor(v).atan())), 0.0], center=[0, 0]
    ),
    "shear_y": lambda x, v: vision.affine(
        x, 0.0, [0, 0], 1.0, [0.0, float(torch.rad2deg(torch.tensor(v).atan()))], center=[0, 0]
    ),
    "translate_x": lambda x, v: vision.affine(x, 0.0, [int(v), 0], 1.0, [0.0, 0.0]),
    "translate_y": lambda x, v: vision.affine(x, 0.0, [0, int(v)], 1.0, [0.0, 0.0]),
    "rotate": lambda x, v: vision.rotate(x, v),
    "brightness": lambda x, v: vision.adjust_brightness(x, 1 + v),
    "color": lambda x, v: vision.adjust_saturation(x, 1 + v),
    "contrast": lambda x, v: vision.adjust_contrast(x, 1 + v),
    "sharpness": lambda x, v: vision.adjust_sharpness(x, 1 + v),
    "posterize": lambda x, v: vision.posterize(x, 8 - round(v)),
    "solarize": lambda x, v: vision.solarize(x, 255.0 - v),
    "autocontrast": lambda x, v: vision.autocontrast(x),
    "equalize": lambda x, v: vision.equalize(x),
    "identity": lambda x, v: x,
}
LEVELS = {
    "shear_x": 0.4, "shear_y": 0.4, "translate_x": 9.7, "translate_y": 9.7, "rotate": 70.0,
    "posterize": 5.0, "solarize": 180.0,
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_operations_equal_torchvision(name, channels):
    images = pictures(channels=channels)
    strength = LEVELS.get(name, 0.8)
    level = torch.linspace(0.15, 1, len(images)) * strength
    if name not in ("posterize", "solarize"):
        level[::2] *= -1
    ours = apply_operation(images.float(), name, level)
    theirs = torch.stack([THEIRS[name](x, v) for x, v in zip(images, level.tolist())]).float()
    difference = (ours - theirs).abs()
    assert ours.shape == theirs.shape and (ours == ours.round()).all()
    if name in ("shear_x", "shear_y", "rotate"):  # a pixel halfway between two may go to either
        assert (difference > 1).float().mean() < 0.005
    else:
        assert difference.max() <= 1


def test_every_operation_does_something():
    images = pictures()
    for name in OPERATIONS[1:]:
        level = torch.full((6,), LEVELS.get(name, 0.8))
        assert not torch.equal(apply_operation(images.float(), name, level), images.float()), name


def test_crop_by_hand():
    images = torch.arange(2 * 4 * 4).float().view(2, 1, 4, 4)
    out = random_crop(images, 2, torch.tensor([2, 0]), torch.tensor([2, 4]))
    assert torch.equal(out[0], images[0])
    padded = vision.pad(images[1], [2, 2, 2, 2], padding_mode="reflect")
    assert torch.equal(out[1], padded[:, 0:4, 4:8])


def test_flip_by_hand():
    images = torch.arange(8).float().view(2, 1, 2, 2)
    out = flip(images, torch.tensor([True, False]))
    assert out.tolist() == [[[[1, 0], [3, 2]]], [[[4, 5], [6, 7]]]]


def test_cutout_by_hand():
    out = cutout(torch.ones(2, 3, 6, 6), 4, torch.tensor([0, 3]), torch.tensor([5, 3]))
    assert out[0, 0, :2, 3:].sum() == 0 and out[0, 0].sum() == 36 - 2 * 3
    assert out[1, 2, 1:5, 1:5].sum() == 0 and out[1, 2].sum() == 36 - 16


def test_resized_crop_equals_torchvision_where_it_enlarges():
    images = pictures(3).float()
    boxes = torch.tensor([[0, 0, 32, 32], [4, 8, 16, 16], [10, 2, 20, 12]]).float()
    ours = resized_crop(images, 32, boxes)
    assert torch.allclose(ours[0], images[0], atol=1e-3)
    for i, (top, left, tall, wide) in enumerate(boxes.int().tolist()):
        theirs = vision.resized_crop(images[i], top, left, tall, wide, [32, 32], antialias=False)
        inner = (slice(None), slice(3, -3), slice(3, -3))  # theirs knows no pixels beyond the box
        assert torch.allclose(ours[i][inner], theirs[inner], atol=1e-2)


def test_boxes_lie_in_the_image():
    torch.manual_seed(0)
    top, left, tall, wide = random_boxes(2000, 32, 48, 0.08).T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + tall <= 32.001).all() and (left + wide <= 48.001).all()
    share = tall * wide / (32 * 48)
    assert 0.07 < share.min() and share.max() <= 1.001 and 0.4 < share.mean() < 0.6


def test_resize_equals_torchvision():
    images = pictures(2).float()
    for size in (20, 48):
        theirs = vision.resize(images, [size, size], antialias=True)
        assert torch.allclose(resize(images, size), theirs, atol=1e-3)
    assert resize(images, 32) is images


def test_policies_use_every_operation_and_keep_bytes():
    torch.manual_seed(0)
    images = pictures(300).float()
    for out in (trivial_augment(images), rand_augment(images, 9.0), rand_augment(images, 25.0)):
        assert out.shape == images.shape and out.min() >= 0 and out.max() <= 255
        assert torch.equal(out, out.round())
        changed = (out != images).flatten(1).any(1).float().mean()
        assert 0.6 < changed <= 1


def test_rand_augment_at_magnitude_0_moves_nothing():
    torch.manual_seed(0)
    images = pictures(64).float()
    moved = {"autocontrast", "equalize"}
    torch.manual_seed(3)
    chosen = torch.randint(len(OPERATIONS), (64,))
    torch.manual_seed(3)
    out = apply_policy(images, "rand", torch.zeros(64))
    same = (out - images).abs().flatten(1).amax(1) <= 1
    for i, number in enumerate(chosen.tolist()):
        assert same[i] or OPERATIONS[number] in moved


def test_the_same_seed_gives_the_same_batch():
    augment = Augment(make_config("cifar"), [120.0] * 3, [60.0] * 3, 10)
    stage = Stage(32, 5.0, 0.1, 0.2, 1.0)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(augment.train(pictures(16), torch.arange(16) % 10, stage, False, True))
    assert torch.equal(outs[0][0], outs[1][0]) and torch.equal(outs[0][1], outs[1][1])
    assert not torch.equal(outs[0][0], outs[2][0])


def test_evaluation_is_normalisation_alone():
    augment = Augment(make_config("cifar"), [100.0, 110.0, 120.0], [50.0, 60.0, 70.0], 10)
    images = pictures(4)
    out = augment.evaluate(images, 32)
    for c in range(3):
        assert torch.allclose(out[:, c], (images[:, c].float() - (100 + 10 * c)) / (50 + 10 * c))


def test_mixed_labels_are_probabilities():
    config = make_config("cifar", {"mix_probability": 1.0, "policy": "none", "crop": "none", "cutout": 0})
    augment = Augment(config, [0.0] * 3, [1.0] * 3, 10)
    torch.manual_seed(0)
    labels = torch.arange(16) % 10
    images, mixed = augment.train(pictures(16), labels, Stage(32, 0, 0, 0.0, 1.0), True, True)
    assert mixed.shape == (16, 10) and torch.allclose(mixed.sum(1), torch.ones(16))
    # CutMix by 1: the share of pixels that changed is the share of the other label
    plain = augment.normalise(pictures(16).float())
    kept = (images == plain).all(1).float().mean((1, 2))
    share = mixed[torch.arange(16), labels]
    assert (kept - share).abs().max() < 0.05
    _, plain_labels = augment.train(pictures(16), labels, Stage(32, 0, 0, 0.0, 1.0), True, False)
    assert torch.equal(plain_labels, labels)
    images, unmixed = augment.train(pictures(16), labels, Stage(32, 0, 0, 0.0), True, True)
    assert torch.equal(unmixed, labels) and torch.equal(images, plain)  # the stage decides, not the run
