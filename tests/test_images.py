"""From pictures to tensors: the same bits as torchvision and timm, and clear words for what is no picture."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from odd_pictures import GOOD, ODD, REFUSED, first_row, row_of, tiff, write
from pictures import PICTURES
from test_cost import TORCHVISION

from effnet_lib import Preprocessing, get_weights, list_weights
from effnet_lib.images import read_image, resize_bytes

TINY = Preprocessing(20, 16, "bicubic", (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))


@pytest.fixture(scope="module")
def pictures():
    out = [Image.open(PICTURES[name]).convert("RGB") for name in ("chelsea", "rocket")]
    noise = np.random.default_rng(0).integers(0, 256, (401, 301, 3), dtype=np.uint8)
    return [*out, Image.fromarray(noise), Image.fromarray(noise[:7, :90]), Image.fromarray(noise[:1, :1])]


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_same_bits_as_torchvision(name, pictures):
    for member in torchvision.models.get_model_weights(f"efficientnet_{name}"):
        theirs, ours = member.transforms(), get_weights(f"torchvision:{member.name}", name).preprocessing
        for picture in pictures:
            assert torch.equal(ours(picture)[0], theirs(picture))
        pixels = torchvision.transforms.functional.pil_to_tensor(pictures[0])
        assert torch.equal(ours(pixels)[0], theirs(pixels))
        assert torch.equal(ours(pixels / 255)[0], theirs(pixels / 255))
        batch = torch.stack([pixels, pixels.flip(2)])
        assert torch.equal(ours(batch), theirs(batch))


TIMM = sorted({get_weights(name).preprocessing: name for name in list_weights(source="timm")}.values())


@pytest.mark.parametrize("name", TIMM)
def test_the_same_bits_as_timm(name, pictures):
    """One of every setting that timm has for our variants, at its size for tests."""
    config = timm.models.get_pretrained_cfg(name.removeprefix("timm:")).to_dict()
    settings = timm.data.resolve_data_config(pretrained_cfg=config, use_test_size=True)
    theirs, ours = timm.data.create_transform(**settings), get_weights(name).preprocessing
    for picture in pictures:
        assert torch.equal(ours(picture)[0], theirs(picture))


def test_every_setting_of_timm_is_carried():
    for name in list_weights(source="timm"):
        config = timm.models.get_pretrained_cfg(name.removeprefix("timm:")).to_dict()
        settings = timm.data.resolve_data_config(pretrained_cfg=config, use_test_size=True)
        ours = get_weights(name).preprocessing
        assert ours.crop == settings["input_size"][-1] and ours.resize == int(ours.crop / settings["crop_pct"])
        assert (ours.interpolation, ours.mean, ours.std, ours.squash) == (
            settings["interpolation"], settings["mean"], settings["std"], settings["crop_mode"] == "squash"
        )  # fmt: skip


def test_lite_is_prepared_as_its_authors_did():
    """tensorflow/tpu: the middle 224 of 256, bicubic, less 127, over 128."""
    ours = get_weights("lite").preprocessing
    assert (ours.resize, ours.crop, ours.interpolation) == (256, 224, "bicubic")
    picture = Image.open(PICTURES["chelsea"]).convert("RGB")
    width, height = picture.size
    resized = picture.resize((256 * width // height, 256), Image.BICUBIC)
    left = round((resized.width - 224) / 2)
    pixels = np.array(resized.crop((left, 16, left + 224, 240)), dtype=np.float64)
    expected = (pixels.transpose(2, 0, 1) - 127) / 128
    assert np.abs(ours(picture)[0].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "I;16B", "LA", "PA", "La",
                                  "RGBa", "RGBX"])  # fmt: skip
def test_every_mode_of_a_picture(mode):
    picture = Image.new(mode, (40, 30))
    assert TINY(picture).shape == (1, 3, 16, 16)
    assert TINY(picture).isfinite().all()


def test_pictures_in_colour_in_grey_and_transparent(tmp_path):
    grey = Image.fromarray(np.linspace(0, 255, 900).astype(np.uint8).reshape(30, 30))
    as_rgb = TINY(grey.convert("RGB"))
    assert torch.equal(TINY(grey), as_rgb)
    assert torch.equal(TINY(np_to_image(np.array(grey).astype(np.uint16) * 257)), as_rgb)  # 16 bits
    assert torch.equal(TINY(grey.convert("RGBA")), as_rgb)
    hidden = grey.convert("RGBA")
    hidden.putalpha(0)  # what cannot be seen does not count: it lies on white
    assert torch.equal(TINY(hidden), TINY(Image.new("RGB", grey.size, "white")))
    palette = Image.new("P", (30, 30))
    palette.info["transparency"] = 0
    assert torch.equal(TINY(palette), TINY(Image.new("RGB", grey.size, "white")))
    one = Preprocessing(20, 16, mean=(0.5,), std=(0.5,))
    assert one(grey).shape == (1, 1, 16, 16) and one(grey.convert("RGBA")).shape == (1, 1, 16, 16)


def np_to_image(array):
    return Image.fromarray(array)


@pytest.mark.parametrize("name", GOOD)
def test_odd_files(name, tmp_path):
    path = write(name, tmp_path)
    assert first_row(read_image(path)) == ODD[name][1]
    with Image.open(path) as opened:
        assert first_row(read_image(opened)) == ODD[name][1]
    assert np.array_equal(read_image(path, "L"), read_image(path).convert("L"))


@pytest.mark.parametrize("name", REFUSED)
def test_odd_files_that_are_refused(name, tmp_path):
    path = write(name, tmp_path)
    with pytest.raises(ValueError) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path)) and ODD[name][1] in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lab_becomes_grey_and_color(mode):
    levels = np.array(read_image(row_of("LAB", (255, 128, 128), (0, 128, 128)), mode))[0]
    assert np.abs(levels[0].astype(int) - 255).max() <= 1 and levels[1].max() <= 1  # LittleCMS rounds


def turned(picture, orientation, path, kind, **options):
    """The path of a file that asks to be turned."""
    if kind == "XMP":
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="{orientation}"/></x:xmpmeta>'
        picture.save(path, "JPEG", quality=95, xmp=packet.encode(), **options)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(path, kind, exif=exif, **options)
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "XMP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation, kind, tmp_path):
    picture = Image.open(PICTURES["chelsea"]).convert("RGB").resize((60, 40))
    options = {"lossless": True} if kind == "WEBP" else {}
    path = turned(picture, orientation, tmp_path / "turned", kind, **options)
    plain = Image.open(turned(picture, 1, tmp_path / "plain", kind, **options)).convert("RGB")
    pixels = np.array(plain)
    upright = {  # where the first row and the first column of the file lie
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1],
        5: pixels.transpose(1, 0, 2), 6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]  # fmt: skip
    read = read_image(path)
    assert np.array_equal(read, upright)
    assert np.array_equal(read_image(read), read)  # and is not turned again
    with Image.open(path) as opened:
        assert np.array_equal(read_image(opened), upright)
        assert np.array_equal(read_image(opened), upright)  # loaded by now


@pytest.mark.parametrize("order", "<>")
def test_grey_tiffs_are_turned_upright(order, tmp_path):
    levels = np.array([0, 257 * 3, 257 * 100, 65535], order + "u2").tobytes()
    (tmp_path / "turned.tiff").write_bytes(tiff(16, levels, order, turn=6))
    expected = [[0, 0], [3, 3], [100, 100], [255, 255]]
    assert np.array(read_image(tmp_path / "turned.tiff", "L")).tolist() == expected
    (tmp_path / "bytes.tiff").write_bytes(tiff(8, bytes((0, 3, 100, 255)), order, turn=6))
    assert np.array(read_image(tmp_path / "bytes.tiff", "L")).tolist() == expected


@pytest.mark.parametrize("mode, hidden", [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("P", 1)])
def test_transparent_pictures_are_turned_upright(mode, hidden, tmp_path):
    picture = Image.new(mode, (2, 1), hidden)
    picture.putpixel((0, 0), {"RGBA": (0, 0, 0, 255), "LA": (0, 255), "P": 0}[mode])
    if mode == "P":
        picture.putpalette([0, 0, 0, 9, 9, 9])
    path = turned(picture, 8, tmp_path / "turned.png", "PNG", **({"transparency": 1} if mode == "P" else {}))
    assert np.array(read_image(path, "L")).tolist() == [[255], [0]]


@pytest.mark.parametrize("exif", [b"", b"no EXIF at all", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\x08\0\0\0\1\0\x12\1\2\0\xff\xff\0\0\6\0\0\0"])
def test_damaged_metadata_does_not_matter(exif, tmp_path, recwarn):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    assert read_image(tmp_path / "a.jpg").size == (40, 30)
    assert not recwarn.list


def test_metadata_that_cannot_be_parsed_does_not_matter(monkeypatch):
    picture = Image.new("RGB", (40, 30), "red")
    monkeypatch.setattr(Image.Image, "getexif", lambda image: 1 / 0)
    assert read_image(picture).size == (40, 30)


def test_threads_do_not_mix_up_the_filters_of_warnings(tmp_path):
    paths = [write("plain.png", tmp_path)] * 200
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, paths))
    assert warnings.filters == before


def test_what_was_read_does_not_change_with_the_file(tmp_path):
    path = tmp_path / "mapped.pgm"  # Pillow maps such a file into memory
    path.write_bytes(b"P5 64 64 255\n" + b"\x07" * 4096)
    read = read_image(path, "L")
    path.write_bytes(b"P5 64 64 255\n" + b"\x09" * 4096)
    assert read.getextrema() == (7, 7)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [9, 20, 33])
def test_bytes_in_memory_are_resized_as_files_are(channels, size):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, channels, 20, 20), dtype=np.uint8))
    plain = Preprocessing(size, size, mean=(0.0,) * channels, std=(1.0,) * channels)
    expected = torch.cat([plain(torchvision.transforms.functional.to_pil_image(image)) for image in images])
    assert torch.equal(resize_bytes(images, size) / 255, expected)
    assert resize_bytes(images[:0], size).shape == (0, channels, size, size)


def test_a_path_a_picture_and_a_tensor_are_the_same(tmp_path):
    picture = Image.open(PICTURES["coffee"])
    expected = TINY(picture)
    assert torch.equal(TINY(PICTURES["coffee"]), expected)
    assert torch.equal(TINY(str(PICTURES["coffee"])), expected)
    pixels = torchvision.transforms.functional.pil_to_tensor(picture)
    assert (TINY(pixels) - expected).abs().max() < 0.11  # two implementations of one filter: a byte or two
    for kind in (torch.float16, torch.float32, torch.float64):
        assert TINY((pixels / 255).to(kind)).dtype == torch.float32


@pytest.mark.parametrize("image, error, message", [
    (torch.zeros(3, 8), ValueError, r"\(3, height, width\) or \(N, 3, height, width\), got \(3, 8\)"),
    (torch.zeros(8, 8, 3), ValueError, r"got \(8, 8, 3\)"),
    (torch.zeros(1, 8, 8), ValueError, r"got \(1, 8, 8\)"),
    (torch.zeros(0, 3, 8, 8), ValueError, r"got \(0, 3, 8, 8\)"),
    (torch.zeros(3, 0, 8), ValueError, r"got \(3, 0, 8\)"),
    (torch.zeros(2, 1, 3, 8, 8), ValueError, r"got \(2, 1, 3, 8, 8\)"),
    (torch.zeros(3, 8, 8, dtype=torch.int64), ValueError, "got torch.int64"),
    (torch.zeros(3, 8, 8, dtype=torch.bool), ValueError, "got torch.bool"),
    (torch.full((3, 8, 8), 255.0), ValueError, "between 0 and 1, got 255 to 255"),
    (torch.full((3, 8, 8), -1.0), ValueError, "not normalised yet"),
    (torch.full((3, 8, 8), float("nan")), ValueError, "between 0 and 1, got nan"),
    (torch.zeros(3, 1, 10**6), ValueError, "1000000 × 1 pixels.*too large: cut it first"),
    (np.zeros((8, 8, 3)), TypeError, r"got ndarray: use torch.from_numpy\(array\).permute"),
    (None, TypeError, "got NoneType"),
    (b"bytes", TypeError, "got bytes"),
    (3, TypeError, "got int"),
    (Image.new("F", (8, 8)), ValueError, "floating-point numbers, and nothing says which is white: save it with 8 or 16 bits a pixel"),
    (Image.new("I", (8, 8), 10**6), ValueError, "0 to 65535 are expected"),
    ("/no/such/picture.jpg", ValueError, "there is no file /no/such/picture.jpg"),
    ("", ValueError, "directory"),
    ("/", ValueError, "is a directory: give the path of an image"),
    ("/dev/zero", ValueError, "not a file"),
    ("x" * 5000, ValueError, "there is no file 'xxx.*too long"),
    ("a\0b", ValueError, "there is no file"),
])  # fmt: skip
def test_what_is_no_image(image, error, message):
    with pytest.raises(error, match=message) as caught:
        TINY(image)
    assert "\n" not in str(caught.value)


def test_every_mode_holds_the_same_picture():
    grey = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
    expected, plain = TINY(Image.fromarray(grey)), Image.fromarray(grey)
    for picture in (
        plain.convert("P"), plain.convert("LA"), plain.convert("LA").convert("La"), plain.convert("RGBA").convert("RGBa"),
        plain.convert("RGB").convert("RGBX"), plain.convert("P").convert("PA"),
        Image.fromarray(grey.astype(np.int32) * 257),
        Image.frombytes("I;16", (32, 32), (grey.astype("<u2") * 257).tobytes()),
        Image.frombytes("I;16B", (32, 32), (grey.astype(">u2") * 257).astype(">u2").tobytes()),
        plain.convert("RGB").convert("CMYK"),
    ):  # fmt: skip
        assert torch.equal(TINY(picture), expected), picture.mode


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_the_first_frame_counts(suffix, tmp_path):
    red, blue = (Image.new("RGB", (30, 30), colour) for colour in ("red", "blue"))
    red.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[blue])
    assert (TINY(tmp_path / f"a.{suffix}") - TINY(red)).abs().max() < 0.2
    with Image.open(tmp_path / f"a.{suffix}") as opened:
        opened.seek(1)
        assert (TINY(opened) - TINY(blue)).abs().max() < 0.2


@pytest.mark.parametrize("size", [(0, 0), (0, 8), (8, 0)])
@pytest.mark.parametrize("mode", ["RGB", "P", "I", "RGBA"])
def test_a_picture_without_pixels(size, mode):
    with pytest.raises(ValueError, match=f"it has no pixels: its size is {size[0]} × {size[1]}"):
        TINY(Image.new(mode, size))


def test_thin_pictures(tmp_path):
    for size in ((1, 1), (1, 2), (2, 1), (1, 500), (500, 1)):
        assert TINY(Image.new("RGB", size)).shape == (1, 3, 16, 16)
    Image.new("1", (1, 10**6)).save(tmp_path / "thread.png")
    for picture in (tmp_path / "thread.png", Image.new("1", (10**6, 1))):
        with pytest.raises(ValueError, match="would be too large: cut it first"):
            TINY(picture)
    with pytest.raises(ValueError, match="thread.png has 1 × 1000000 pixels"):
        TINY(tmp_path / "thread.png")
    squashed = Preprocessing(20, 16, squash=True)
    assert squashed(tmp_path / "thread.png").shape == (1, 3, 16, 16)


def test_a_picture_that_is_a_program_is_not_run(tmp_path):
    Image.new("RGB", (30, 30)).save(tmp_path / "a.eps")
    with pytest.raises(ValueError, match="PostScript: give its picture as PNG or JPEG"):
        TINY(tmp_path / "a.eps")


def test_paths_from_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    assert TINY("~/a.png").shape == (1, 3, 16, 16)


def test_settings_from_numpy_are_plain_numbers():
    values = Preprocessing(np.int64(20), np.int32(16), mean=(np.float32(0.5),) * 3, std=[np.float64(0.5)] * 3)
    assert values == Preprocessing(20, 16, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert type(values.resize) is type(values.crop) is int and type(values.mean[0]) is float


def test_damaged_files(tmp_path):
    content = PICTURES["rocket"].read_bytes()
    png = PICTURES["chelsea"].read_bytes()
    for name, damaged in {
        "cut.jpg": content[: len(content) // 2], "short.jpg": content[:100], "empty.jpg": b"", "text.jpg": b"hello",
        "cut.png": png[: len(png) // 2], "flipped.png": png[:500] + b"\xff" * 400 + png[900:],
        "page.jpg": b"<html>not found</html>", "zeros.jpg": bytes(10_000),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name} (cannot be read as|is not) an image") as caught:
            TINY(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert TINY(PICTURES["rocket"]).shape == (1, 3, 16, 16)


def bomb(path, side=20_000):
    """A small file that unpacks to ``side`` × ``side`` pixels."""
    Image.new("1", (side, side)).save(path)
    return path


def test_a_decompression_bomb(tmp_path, recwarn):
    path = bomb(tmp_path / "bomb.png")
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"would unpack to more than 178,956,970 pixels: refused"):
        TINY(path)
    TINY(bomb(tmp_path / "large.png", 10_000))  # a hundred megapixels is a large photograph
    assert not recwarn.list


@pytest.mark.parametrize("options, error, message", [
    ({"resize": 0}, ValueError, "resize"),
    ({"crop": 10**6}, ValueError, "crop must be at most 8192"),
    ({"crop": 2.5}, TypeError, "crop"),
    ({"interpolation": "nearest"}, ValueError, "interpolation must be"),
    ({"mean": (0.5, 0.5)}, ValueError, "mean must be three numbers"),
    ({"mean": 0.5}, ValueError, "mean must be three numbers"),
    ({"mean": ("a", "b", "c")}, ValueError, "mean must be finite numbers"),
    ({"std": (0, 1, 1)}, ValueError, "std must be"),
    ({"std": (float("nan"),) * 3}, ValueError, "std must be finite"),
    ({"std": (1.0,)}, ValueError, "as many numbers as mean"),
    ({"squash": 1}, TypeError, "squash"),
])  # fmt: skip
def test_settings_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        Preprocessing(**{"resize": 20, "crop": 16} | options)


def test_reading_leaves_the_picture_as_it_was():
    picture = Image.new("RGBA", (8, 8), (1, 2, 3, 4))
    read_image(picture)
    assert picture.mode == "RGBA" and picture.getpixel((0, 0)) == (1, 2, 3, 4)
    with Image.open(PICTURES["coffee"]) as opened:
        TINY(opened)
        opened.load()  # still open
