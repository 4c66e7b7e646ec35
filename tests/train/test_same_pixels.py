"""Training, its evaluation, calibration and ``classify`` read every picture in one way, or refuse it in the same words."""

import json
import random

import numpy as np
import pytest
import torch
from odd_pictures import GOOD, ODD, REFUSED, first_row, write
from PIL import Image
from tiny import make_tree, tiny_config

from effnet_lib import Preprocessing, build_model, scale_variant
from effnet_lib.cli import main
from effnet_lib.images import read_image
from effnet_lib.quantize import load_images
from effnet_lib.train import RunError, load_data, run_answers, train
from effnet_lib.train import data as data_module
from effnet_lib.train import report
from effnet_lib.train.data import StreamLoader, enlarged
from effnet_lib.train.distributed import Group

ALONE = Group(0, 1, torch.device("cpu"))


def trees(folder, name, side=None):
    """A tree with one odd picture, first of its class in ``train`` and ``test``; the paths of the two."""
    make_tree(folder, (("train", 6), ("test", 2)))
    paths = []
    for part in ("train", "test"):
        path = write(name, folder / part / "dark")
        paths.append(path.rename(path.with_name(f"000-{name}")))
        (path.parent / "000.png").unlink()
    return paths


@pytest.mark.parametrize("name", [name for name in GOOD if name.endswith((".png", ".tiff", ".webp", ".pgm"))])
def test_streams_see_what_classify_sees(name, tmp_path):
    trees(tmp_path, name)
    config = tiny_config(tmp_path, storage="stream", batch_size=1, crop="none", flip=False)
    data = load_data(config)
    index = next(i for i, path in enumerate(data.test.paths) if path.endswith(name))
    seen = {int(i): image for which, images, _ in StreamLoader(data.test, config, ALONE).once(2, 16) for i, image in zip(which, images)}
    plain = Preprocessing(enlarged(16), 16, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert torch.equal(seen[index] / 255, plain(data.test.paths[index])[0])


@pytest.mark.parametrize("storage", ["memory", "stream"])
@pytest.mark.parametrize("name", [name for name in REFUSED if not name.endswith(".pfm")])
def test_what_is_refused_is_refused_in_the_same_words(name, storage, tmp_path):
    path, _ = trees(tmp_path, name)
    config = tiny_config(tmp_path, storage=storage, batch_size=1)
    with pytest.raises(ValueError) as by_reader:
        read_image(path)
    assert str(by_reader.value).startswith(str(path)) and ODD[name][1] in str(by_reader.value)
    with pytest.raises(RunError) as in_training:
        data = load_data(config)
        assert storage == "stream"
        for split in (data.train, data.validation):
            list(StreamLoader(split, config, ALONE).epoch(0, 0, 16))
    assert str(path) in str(in_training.value) and ODD[name][1] in str(in_training.value)


def test_thin_pictures_are_refused_alike(tmp_path):
    make_tree(tmp_path, (("train", 6), ("test", 2)))
    thread = tmp_path / "train" / "dark" / "000.png"
    Image.new("1", (1, 10**6)).save(thread)
    config = tiny_config(tmp_path, storage="stream", batch_size=1, resolution=64)
    with pytest.raises(ValueError, match="too large: cut it first") as alone:
        Preprocessing(enlarged(64), 64)(thread)
    with pytest.raises(RunError, match="too large: cut it first") as in_training:
        data = load_data(config)
        for split in (data.train, data.validation):
            list(StreamLoader(split, config, ALONE).epoch(0, 0, 64))
    for words in (str(thread), "1 × 1000000 pixels: resized so that its shorter side has 73, it would be too large: cut it first"):
        assert words in str(alone.value) and words in str(in_training.value)


def test_calibration_and_the_pictures_of_mistakes(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("rgba.png", "16.tiff", "cut.png"):
        write(name, tmp_path / "photos")
    preprocessing = Preprocessing(8, 8, mean=(0.0,) * 3, std=(1.0,) * 3)
    loaded = load_images(tmp_path / "photos", preprocessing)
    assert torch.equal(loaded, torch.cat([preprocessing(tmp_path / "photos" / name) for name in ("16.tiff", "rgba.png")]))
    from matplotlib.figure import Figure

    test = data_module.Split(torch.tensor([0]), None, (str(tmp_path / "photos" / "rgba.png"),))
    drawn = report.draw_mistakes(Figure, test, torch.tensor([1]), torch.tensor([0.9]), torch.tensor([2.0]), ["a", "b"])
    assert first_row(Image.fromarray(np.asarray(drawn.axes[0].images[0].get_array()))) == ODD["rgba.png"][1]


# From a folder to the answers of the saved weights


def stripes(level: int, side: int, numbers: random.Random) -> Image.Image:
    """Stripes that run across (0) or down (1), on a ground of noise."""
    image = Image.new("L", (side, side + 4))
    for x in range(side):
        for y in range(side + 4):
            image.putpixel((x, y), 200 * ((x, y)[1 - level] // 4 % 2) + numbers.randrange(50))
    return image


def odd_file(image: Image.Image, number: int, path) -> None:
    """The picture in one of several kinds of files, each of which a bare conversion would spoil."""
    kind = number % 5
    if kind == 0:  # stored on its side
        exif = Image.Exif()
        exif[0x0112] = 6
        image.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".jpg"), exif=exif, quality=95)
    elif kind == 1:  # bright parts are transparent black
        rgba = image.convert("RGBA")
        rgba.putdata([(0, 0, 0, 0) if p[0] >= 128 else p for p in rgba.get_flattened_data()])
        rgba.save(path.with_suffix(".png"))
    elif kind == 2:
        Image.fromarray(np.array(image).astype(np.uint16) * 257).save(path.with_suffix(".png"))
    elif kind == 3:
        image.convert("P").save(path.with_suffix(".tiff"))
    else:
        image.convert("RGBA").save(path.with_suffix(".webp"), lossless=True)


def square(image: Image.Image, side: int) -> Image.Image:
    return image.crop((0, 0, side, side))


@pytest.mark.parametrize("storage, side, resolution, epochs", [
    ("stream", 24, 24, 2), ("memory", 24, 24, 6), ("memory", 24, 36, 2), ("memory", 40, 24, 2),
])  # fmt: skip
def test_classify_answers_as_the_evaluation_did(storage, side, resolution, epochs, tmp_path, capsys):
    """Every test picture gets the class and the probability that the run's evaluation gave it."""
    numbers = random.Random(1)
    for part, count in (("train", 20), ("test", 10)):
        for level, name in enumerate(("across", "down")):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for i in range(count):
                image = stripes(level, side, numbers)
                image = image if storage == "stream" else square(image, side)
                odd_file(image, i, tmp_path / "photos" / part / name / f"{i:03}")
    config = tiny_config(
        tmp_path / "photos", storage=storage, resolution=resolution, epochs=epochs, batch_size=10, crop="none", flip=False,
        variant="phi=-11", output_stride=8, lr=0.02, clip_norm=1.0, norm_momentum=0.3, ema_decay=0.5,
    )  # fmt: skip
    record = train(config, tmp_path / "run", quiet=True)
    answers = run_answers(tmp_path / "run")
    weights = str(tmp_path / "run" / "weights.safetensors")
    assert main(["classify", str(tmp_path / "photos" / "test"), "--weights", weights, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["images"]
    likeliest = [entry["predictions"][0] for entry in entries]
    assert len(entries) == len(answers.labels) == 20
    assert [p["index"] for p in likeliest] == answers.predicted.tolist()
    assert [p["probability"] for p in likeliest] == pytest.approx(answers.probability.tolist(), abs=1e-5)
    right = sum(p["label"] in entry["image"] for p, entry in zip(likeliest, entries))
    assert right / 20 == record["final"]["test_accuracy"] == answers.accuracy
    assert len({round(p["probability"], 4) for p in likeliest}) > 10, "the network does not tell its pictures apart"
    assert epochs < 6 or answers.accuracy > 0.7, "it learned too little"


def test_sizes_are_those_of_the_upright_pictures(tmp_path):
    """A set in memory has images of one size, as they are seen, not as they are stored."""
    make_tree(tmp_path, (("train", 4), ("test", 2)))
    data = load_data(tiny_config(tmp_path, storage="memory", batch_size=1))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "test" / "dark" / "000.png"
    with Image.open(path) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    again = load_data(tiny_config(tmp_path, storage="memory", batch_size=1))
    assert torch.equal(again.test.images, data.test.images)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool])
def test_networks_want_numbers_that_are_scaled(kind):
    model = build_model(scale_variant(-13), 3).eval()
    images = torch.zeros(1, 3, 32, 32, dtype=kind)
    for call in (model, model.forward_stages, model.forward_features):
        with pytest.raises(TypeError, match=r"got torch\.\w+: divide bytes by 255 and normalize them") as caught:
            call(images)
        assert "\n" not in str(caught.value)
    assert model(images.float() / 255).shape == (1, 3)
