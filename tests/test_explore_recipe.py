"""What stands in the explorers of the recipe and of augmentation is what the library computes."""

import base64
import io
import json
import math
import re

import pytest
import torch
from PIL import Image
from torch import nn

from effnet_lib import augmentation_explorer, recipe_explorer, sample_photographs
from effnet_lib.explore.augmentation import LEVELS, STRENGTHS, TILE, WAYS, augmented
from effnet_lib.explore.recipe import BATCHES, DECAYS, IMAGES, LIMITS, ema_remaining, settings
from effnet_lib.train import ema_decay, load_data, make_config, make_ema

EXPLORERS = {"recipe": recipe_explorer, "augmentation": augmentation_explorer}


@pytest.mark.parametrize("make", EXPLORERS.values(), ids=EXPLORERS)
def test_self_contained_and_the_same_every_time(make):
    html = make()._repr_html_()
    assert html == make()._repr_html_() and "notebook" in repr(make())
    code = re.sub(r'<script type="application/json">.*?</script>', "", html, flags=re.S)
    assert set(re.findall(r"https?://[^\s\"'`)]+", code)) <= {"http://www.w3.org/2000/svg"}
    assert all(s.startswith("data:image/webp;base64,") for s in re.findall(r'\b(?:src|href)="([^"]*)"', code))
    assert not re.search(r"@import|url\(|import\(|fetch\(|type=\"module\"", code)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(make().data))


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.998, 0.9999])
def test_what_remains_is_the_product_of_the_decays(decay):
    for since, until in ((1, 1), (1, 2), (1, 50), (7, 300), (40, 41), (300, 2000), (1, 5000)):
        product = math.prod(min(decay, (1 + n) / (10 + n)) for n in range(since, until))
        assert product == math.prod(ema_decay(decay, n) for n in range(since, until))
        assert ema_remaining(decay, since, until) == pytest.approx(product, rel=1e-9)


def test_what_remains_is_what_the_average_holds():
    """A weight that is 1 after the first update and 0 ever after."""
    model = nn.Linear(1, 1, bias=False).double()
    ema = make_ema(model, 0.9)
    for step in range(40):
        with torch.no_grad():
            model.weight.fill_(float(step == 0))
        ema.update_parameters(model)
        assert ema.module.weight.item() == pytest.approx(ema_remaining(0.9, 1, step + 1), rel=1e-9)


def test_recipes_are_the_librarys():
    for name, shown in recipe_explorer().data["recipes"].items():
        config = make_config(name)
        assert shown == settings(name)
        assert shown["rx_lr"] * config.batch_size / 256 == pytest.approx(config.peak_lr)
        assert (shown["rx_epochs"], shown["rx_batch"]) == (config.epochs, str(config.batch_size))
        assert shown["rx_batch"] in BATCHES and shown["rx_decay"] in DECAYS and float(shown["rx_decay"]) == config.ema_decay
        for control, value in (("epochs", shown["rx_epochs"]), ("lr", shown["rx_lr"]), ("warmup", shown["rx_warmup"])):
            assert LIMITS[control][0] <= value <= LIMITS[control][1]
    assert len(load_data(make_config("digits")).train) == IMAGES["digits"]
    assert round(50_000 * (1 - make_config("cifar").validation)) == IMAGES["cifar"]


def test_the_static_tables():
    static = re.search(r'<div class="effnet-static">(.*?)</effnet-recipe', recipe_explorer()._repr_html_(), re.S).group(1)
    assert "<td>0.128</td>" in static and "<td>10,000</td>" in static
    assert static.count('scope="row"') == 3 + len(DECAYS)


# Augmentation


def sheet(way):
    html = augmentation_explorer().static
    data = re.findall(r'src="data:image/webp;base64,([^"]*)"', html)[list(WAYS).index(way)]
    pixels = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert pixels.size == (6 * TILE, LEVELS * TILE)
    return torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8).view(LEVELS, TILE, 6, TILE, 3).permute(0, 2, 4, 1, 3).float()


@pytest.mark.parametrize("way", WAYS)
def test_a_sheet_holds_what_training_does(way):
    shown = sheet(way)
    for level in range(LEVELS):
        images, _ = augmented(way, level)
        small = nn.functional.interpolate(images, (TILE, TILE), mode="bilinear", antialias=True)
        assert (shown[level] - small).abs().mean() < 9  # lossy; another picture is off by 40 and more
    if way != "trivial":  # the first row is the photographs as they are
        plain = 255 * torch.stack(list(sample_photographs().values()))
        assert torch.equal(augmented(way, 0)[0], plain)
        assert not torch.equal(augmented(way, 1)[0], plain)


def test_each_position_is_another_picture_and_the_draw_repeats_itself():
    state = torch.random.get_rng_state()
    for way in WAYS:
        images = [augmented(way, level)[0] for level in range(LEVELS)]
        assert all(not torch.equal(a, b) for a, b in zip(images, images[1:])), way
        assert torch.equal(images[3], augmented(way, 3)[0])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_labels_go_with_the_pixels(way):
    plain = 255 * torch.stack(list(sample_photographs().values()))
    for level, share in enumerate(STRENGTHS[way]):
        images, labels = augmented(way, level)
        for i, row in enumerate(labels):
            assert sum(part for _, part in row) == pytest.approx(1, abs=1e-5)
            mine = dict(row)[i]
            assert mine == pytest.approx(share, abs=0.03)
            if way == "mixup":
                mixed = sum(part * plain[j] for j, part in row)
                assert torch.allclose(images[i], mixed, atol=0.05)
            else:  # where two photographs agree by chance, a pixel counts for both
                own = (images[i] == plain[i]).all(0).float().mean().item()
                assert mine - 0.01 <= own <= mine + 0.05


def test_other_ways_leave_the_label_alone():
    for way in ("crop", "rand", "trivial", "cutout"):
        assert augmented(way, 5)[1] == [[(i, 1.0)] for i in range(6)]


def test_cutout_has_the_side_it_says():
    plain = 255 * torch.stack(list(sample_photographs().values()))
    for level, side in enumerate(STRENGTHS["cutout"]):
        hole = (augmented("cutout", level)[0] - plain).abs().sum(1) > 0.5
        for image in hole:
            assert image.any(0).sum() <= side and image.any(1).sum() <= side
        assert level == 0 or hole.any()


@pytest.mark.parametrize("wrong", [("blur", 0), ("rand", 7), ("rand", -1)])
def test_what_there_is_not_is_refused(wrong):
    with pytest.raises(ValueError, match="no augmentation 'blur'|level must lie"):
        augmented(*wrong)
