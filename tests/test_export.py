"""What effnet export writes is run and compared; what fails leaves nothing behind."""

import builtins
import json
import os
import sys
from dataclasses import replace

import pytest
import torch
from test_deploy import difference, images
from test_model import randomised

from effnet_lib import ExportError, Preprocessing, build_model, export, export_model, get_variant, optimize_for_inference, packages, quantize
from effnet_lib.cli import main
from effnet_lib.quantize import agreement, load_images, quantize_model

SMALLEST = ["phi=-13", "--resolution", "32", "--num-classes", "7"]


def tiny(name="b0", **options):
    """Stem, two stages of one block, head: every kind of layer, quickly exported."""
    variant = get_variant(name)
    stages = tuple(replace(stage, layers=1) for stage in (variant.stages[0], variant.stages[-2]))
    variant = replace(variant, stages=stages, head_channels=64)
    with torch.device("meta"):
        model = build_model(variant, 7, **options)
    return randomised(model)


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed."""

    def block(*names):
        def blocked(name, *arguments, **options):
            if name.split(".")[0] in names:
                raise ImportError(f"No module named {name!r}", name=name)
            return real(name, *arguments, **options)

        real = builtins.__import__
        for name in list(sys.modules):
            if name.split(".")[0] in names:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(builtins, "__import__", blocked)
        original = packages.importlib.import_module
        monkeypatch.setattr(
            packages.importlib, "import_module",
            lambda name, *a: blocked(name) if name.split(".")[0] in names else original(name, *a),
        )  # fmt: skip

    return block


@pytest.mark.parametrize("optimised, padding", [(False, "symmetric"), (True, "same")])
@pytest.mark.parametrize("name", ["b0.onnx", "b0.pt2", "b0.safetensors"])
def test_round_trips(tmp_path, name, optimised, padding):
    model = tiny(padding=padding).train()
    model = optimize_for_inference(model) if optimised else model
    done = export_model(model, tmp_path / name, resolution=40)
    assert done.largest_difference < 1e-5 and done.checked_by
    assert done.inputs == ((1, 3, 40, 40), (3, 3, 40, 40))
    assert done.bytes == (tmp_path / name).stat().st_size
    assert os.listdir(tmp_path) == [name]
    assert optimised or model.training


@pytest.mark.parametrize("name", ["b0", "v2_b0"])
def test_an_onnx_file_by_itself(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = tiny(name)
    export_model(model, tmp_path / "net", "onnx", resolution=48, dynamic_size=True)
    session = onnxruntime.InferenceSession(tmp_path / "net", providers=["CPUExecutionProvider"])
    assert ([i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]) == (["images"], ["logits"])
    for shape in ((1, 48, 48), (5, 70, 33)):
        x = images(*shape)
        with torch.inference_mode():
            assert difference(torch.from_numpy(session.run(None, {"images": x.numpy()})[0]), model(x)) < 1e-5


@pytest.mark.parametrize(
    "name, opset, options",
    [
        ("b0", 13, {"padding": "same"}), ("v2_b0", 17, {}), ("lite0", 15, {}), ("b0", 18, {}), ("b0", 21, {"padding": "same"}),
    ],
)  # fmt: skip
def test_a_fixed_batch_a_rectangle_and_an_opset(tmp_path, name, opset, options):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = tiny(name, **options)
    done = export_model(model, tmp_path / "net.onnx", resolution=(40, 56), batch_size=2, opset=opset)
    assert done.inputs == ((2, 3, 40, 56),) and done.largest_difference < 1e-5
    written = onnx.load(tmp_path / "net.onnx")
    assert [known.version for known in written.opset_import if known.domain in ("", "ai.onnx")] == [opset]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [2, 3, 40, 56]
    x = torch.randn(2, 3, 40, 56)
    with torch.inference_mode():
        assert difference(torch.from_numpy(session.run(None, {"images": x.numpy()})[0]), model(x)) < 1e-5
    with pytest.raises(Exception, match="Got: 3 Expected: 2"):
        session.run(None, {"images": torch.randn(3, 3, 40, 56).numpy()})


def test_an_old_opset_with_everything_free(tmp_path):
    pytest.importorskip("onnxruntime")
    done = export_model(optimize_for_inference(tiny()), tmp_path / "net.onnx", resolution=(32, 64), dynamic_size=True, opset=13)
    assert done.inputs == ((1, 3, 32, 64), (3, 3, 32, 64), (2, 3, 64, 80)) and done.largest_difference < 1e-5


def test_a_program_with_a_fixed_batch(tmp_path):
    done = export_model(tiny(), tmp_path / "net.pt2", resolution=(64, 32), batch_size=1)
    assert done.inputs == ((1, 3, 64, 32),)
    program = torch.export.load(tmp_path / "net.pt2").module()
    with pytest.raises(Exception, match="shape|size"):
        program(torch.randn(2, 3, 64, 32))


def test_without_a_classifier_it_gives_embeddings(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = tiny()
    model.reset_classifier(0)
    for name in ("net.onnx", "net.pt2", "net.safetensors"):
        assert export_model(model, tmp_path / name, resolution=32).largest_difference < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [(o.name, o.shape[1]) for o in session.get_outputs()] == [("embeddings", 64)]
    with pytest.raises(ValueError, match="no classifier"):
        quantize_model(model, tmp_path / "int8.onnx", images())


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"resolution": (40, 40, 40)}, ValueError, "a side or .height, width., got 3 numbers"),
        ({"resolution": (40, 3)}, ValueError, "resolution must be at least 4, got 3"),
        ({"resolution": (40, 2**15)}, ValueError, "at most 16384"),
        ({"resolution": "40x40"}, TypeError, "resolution must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": "1"}, TypeError, "batch_size must be an integer"),
        ({"opset": 17}, ValueError, "opset is for onnx"),
    ],
)
def test_bad_sizes(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        export_model(tiny(), tmp_path / "net.pt2", **options)
    assert os.listdir(tmp_path) == []


def test_an_exported_program_by_itself(tmp_path):
    model = optimize_for_inference(tiny())
    export_model(model, tmp_path / "net.pt2", resolution=48, dynamic_size=True)
    program = torch.export.load(tmp_path / "net.pt2").module()
    for shape in ((1, 48, 48), (4, 70, 33)):
        x = images(*shape)
        with torch.inference_mode():
            assert difference(program(x), model(x)) < 1e-5


def test_images_smaller_than_32_pixels(tmp_path):
    model = tiny()
    assert model.variant.output_stride == 4
    assert export_model(model, tmp_path / "net.pt2", resolution=16).inputs == ((1, 3, 16, 16), (3, 3, 16, 16))
    with pytest.raises(ValueError, match="resolution must be at least 4, got 3"):
        export_model(model, tmp_path / "net.pt2", resolution=3)


def test_safetensors_fit_the_network_and_say_what_they_are(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file

    model = tiny()
    export_model(model, tmp_path / "net.safetensors")
    other = build_model(model.variant, 7).eval()
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    with torch.inference_mode():
        assert torch.equal(other(images()), model(images()))
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert "effnet_lib" in file.metadata()
    again = build_model(weights=tmp_path / "net.safetensors").eval()
    with torch.inference_mode():
        assert again.variant == model.variant and torch.equal(again(images()), model(images()))


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2", "net.safetensors"])
def test_a_file_that_gives_other_numbers_does_not_stay(tmp_path, monkeypatch, name):
    write = {"net.onnx": "_write_onnx", "net.pt2": "_write_program", "net.safetensors": "_write_safetensors"}[name]
    honest = getattr(export, write)

    def forged(model, *arguments):
        with torch.no_grad():
            model.stem[0].weight.mul_(1.01)
        honest(model, *arguments)
        with torch.no_grad():
            model.stem[0].weight.div_(1.01)

    monkeypatch.setattr(export, write, forged)
    (tmp_path / name).write_text("what stood here before")
    with pytest.raises(ExportError, match="outputs differ by"):
        export_model(tiny(), tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "what stood here before"


def test_numbers_that_are_not_finite_do_not_pass(tmp_path):
    model = tiny()
    with torch.no_grad():
        model.classifier.bias[0] = float("nan")
    with pytest.raises(ExportError, match="differ by nan"):
        export_model(model, tmp_path / "net.pt2")
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        export_model(tiny(), tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []
    assert main(["export", *SMALLEST, "--output", str(tmp_path / "net.safetensors")]) == 1
    assert os.listdir(tmp_path) == []


def test_without_onnxruntime_the_file_stays_and_says_so(tmp_path, without, capsys):
    without("onnxruntime")
    done = export_model(tiny(), tmp_path / "net.onnx", resolution=32)
    assert done.checked_by is None and done.largest_difference is None and done.inputs == ()
    assert (tmp_path / "net.onnx").stat().st_size == done.bytes


@pytest.mark.parametrize(
    "package, name", [("onnx", "net.onnx"), ("onnxscript", "net.onnx"), ("safetensors", "net.safetensors")]
)
def test_a_missing_package_is_one_line_and_status_1(tmp_path, without, capsys, package, name):
    without(package)
    assert main(["export", *SMALLEST, "--output", str(tmp_path / name)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and f"pip install {package}" in err
    assert os.listdir(tmp_path) == []


def test_the_command(tmp_path, capsys):
    path = tmp_path / "small.pt2"
    assert main(["export", *SMALLEST, "--output", str(path), "--optimize", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["bytes"] == path.stat().st_size and result["largest_difference"] < 1e-5
    assert main(["export", *SMALLEST, "--output", str(tmp_path / "s"), "--format", "safetensors"]) == 0
    out, err = capsys.readouterr()
    assert "largest difference 0.0e+00" in out and "1×3×32×32 and 3×3×32×32" in out and err == ""
    shaped = ["--resolution", "32x48", "--batch-size", "2", "--num-classes", "0", "--output", str(tmp_path / "r.pt2")]
    assert main(["export", "phi=-13", *shaped, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == [[2, 3, 32, 48]]
    other = str(tmp_path / "t.safetensors")
    (tmp_path / "s").rename(tmp_path / "s.safetensors")
    weights = ["--weights", str(tmp_path / "s.safetensors")]
    assert main(["export", *SMALLEST, *weights, "--output", other]) == 0
    from safetensors.torch import load_file

    capsys.readouterr()
    assert main(["export", *weights, "--output", other]) == 0  # the file says what it is of
    one, two = load_file(tmp_path / "t.safetensors"), load_file(tmp_path / "s.safetensors")
    assert list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["b99", "--output", "x.onnx"], "b99"),
        (["b0"], "--output"),
        (["--output", "x.onnx"], "NAME"),
        (["b0", "--output", "x.foo"], "no format for 'x.foo'"),
        (["b0", "--output", "x.onnx", "--format", "tflite"], "unknown format 'tflite'"),
        (["b0", "--output", "no/such/folder/x.onnx"], "there is no folder"),
        (["b0", "--output", "."], "folder"),
        (["b0", "--output", "x.onnx", "--resolution", "31"], "at least 32"),
        (["b0", "--output", "x.onnx", "--resolution", "9" * 30], "at most 16384 pixels"),
        (["b0", "--output", "x.onnx", "--resolution", "32x31"], "at least 32"),
        (["b0", "--output", "x.onnx", "--resolution", "32x32x32"], "HEIGHTxWIDTH such as 256x320, got '32x32x32'"),
        (["b0", "--output", "x.onnx", "--batch-size", "0"], "--batch-size must be dynamic or at least 1, got '0'"),
        (["b0", "--output", "x.onnx", "--batch-size", "free"], "--batch-size must be dynamic or at least 1, got 'free'"),
        (["b0", "--output", "x.safetensors", "--batch-size", "1"], "batch_size is for onnx and exported-program"),
        (["b0", "--output", "x.onnx", "--opset", "9"], "opset must lie between 13 and"),
        (["b0", "--output", "x.onnx", "--opset", "999"], "opset must lie between 13 and"),
        (["b0", "--output", "x.onnx", "--opset", "new"], "--opset"),
        (["b0", "--output", "x.pt2", "--opset", "17"], "opset is for onnx"),
        (["b0", "--output", "x.onnx", "--int8", "--calibration", ".", "--opset", "17"], "without --batch-size, --opset"),
        (["b0", "--output", "x.onnx", "--int8", "--calibration", ".", "--resolution", "32x64"], "HEIGHTxWIDTH"),
        (["b0", "--output", "x.onnx", "--int8", "--calibration", ".", "--num-classes", "0"], "without --num-classes 0"),
        (["b0", "--output", "x.onnx", "--num-classes", "-1"], "num_classes"),
        (["b0", "--output", "x.onnx", "--output-stride", "5"], "output_stride"),
        (["b0", "--output", "x.onnx", "--padding", "valid"], "valid"),
        (["b0", "--output", "x.onnx", "--padding", "same", "--dynamic-size"], "symmetric padding"),
        (["b0", "--output", "x.onnx", "--weights", "no.safetensors"], "no.safetensors"),
        (["b0", "--output", "x.onnx", "--int8"], "--calibration"),
        (["b0", "--output", "x.onnx", "--calibration", "pictures"], "--int8"),
        (["b0", "--output", "x.onnx", "--method", "percentile"], "--int8"),
        (["b0", "--output", "x.onnx", "--int8", "--calibration", "no/pictures"], "no/pictures"),
        (["b0", "--output", "x.pt2", "--format", "exported-program", "--int8", "--calibration", "."], "ONNX"),
        (["b0", "--output", "x.onnx", "--int8", "--calibration", ".", "--in-channels", "1"], "wants 1 channels"),
        (["b0", "--output", "x.safetensors", "--dynamic-size"], "dynamic_size is for onnx and exported-program"),
        (["b0", "--output", "/dev/null", "--format", "onnx"], "a device or a pipe"),
        (["b0", "--output", "", "--format", "onnx"], "an empty name"),
        # before there is a network, and before a picture is read
        (["b0", "--output", "x.onnx", "--int8", "--calibration", "LATE", "--method", "best"], "unknown method 'best'"),
        (["b0", "--output", "x.pt2", "--int8", "--calibration", "LATE"], "should end in .onnx"),
        (["b0", "--output", "no/x.onnx", "--int8", "--calibration", "LATE"], "there is no folder"),
        (["b0", "--output", "x.tflite", "--weights", "LATE"], "no format for 'x.tflite'"),
        # before a picture is read: there is none in this folder
        (["phi=-13", "--output", "x.onnx", "--int8", "--calibration", ".", "--float-layers", "stages.9"], "no part 'stages.9'"),
        (["phi=-13", "--output", "x.onnx", "--int8", "--calibration", ".", "--resolution", "0"], "resolution must be at least"),
        (["phi=-13", "--output", "x.onnx", "--int8", "--calibration", "x" * 300], "there is no folder"),
        (["b0", "--output", "x.safetensors", "--weights", "LATE", "--dynamic-size"], "dynamic_size"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    if "LATE" in arguments:
        from effnet_lib import model

        arguments = ["." if a == "LATE" and "--int8" in arguments else a for a in arguments]
        monkeypatch.setattr(model, "build_model", lambda *a, **o: pytest.fail("the network was built first"))
    try:
        status = main(["export", *arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_paths_from_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    done = export_model(tiny(), "~/net.safetensors", resolution=32)
    assert done.path == str(tmp_path / "net.safetensors") and os.listdir(tmp_path) == ["net.safetensors"]


def test_where_a_network_cannot_be_written(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "folder.onnx").mkdir()
    for name, message in (("pipe.onnx", "a device or a pipe"), ("folder.onnx", "is a folder")):
        for call in (export_model, lambda model, path: quantize_model(model, path, images())):
            with pytest.raises(ValueError, match=message):
                call(tiny(), tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["folder.onnx", "pipe.onnx"]


def test_a_runtime_that_fails_is_an_export_error(tmp_path, monkeypatch):
    class Odd(Exception):
        """As of ONNX Runtime, whose errors are no RuntimeErrors."""

    def fail(*arguments):
        raise Odd("cannot open\nthis")

    monkeypatch.setattr(export, "_run_program", fail)
    with pytest.raises(ExportError, match="^exported-program: Odd: cannot open$"):
        export_model(tiny(), tmp_path / "net.pt2", resolution=32)
    assert os.listdir(tmp_path) == []


def test_what_is_no_network(tmp_path):
    for call in (lambda: export_model("b0", tmp_path / "x.onnx"), lambda: quantize_model(None, tmp_path / "x.onnx", images())):
        with pytest.raises(TypeError, match="expected a network of build_model"):
            call()


def test_a_network_without_numbers(tmp_path):
    with torch.device("meta"):
        model = build_model(tiny().variant, 7)
    with pytest.raises(ValueError, match="on the meta device"):
        export_model(model, tmp_path / "x.pt2")


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"method": ["minmax"]}, ValueError, "unknown method"),
        ({"float_layers": "stem"}, TypeError, r"a list of names, such as \['stem'\], got 'stem'"),
        ({"float_layers": 3}, TypeError, "got 3"),
        ({"float_layers": [3]}, TypeError, "must be names.*got 3"),
        ({"float_layers": ["stages.9"]}, ValueError, "no part 'stages.9'; it has stem, stages, head"),
        ({"images": torch.zeros(2, 3, 32, 48)}, ValueError, r"must be square.*\(2, 3, 32, 48\)"),
        ({"images": torch.zeros(2, 1, 32, 32)}, ValueError, r"got \(2, 1, 32, 32\)"),
        ({"images": torch.zeros(0, 3, 32, 32)}, ValueError, r"N at least 1, got \(0, 3, 32, 32\)"),
        ({"images": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)}, TypeError, "floating-point numbers.*uint8"),
        ({"images": torch.full((1, 3, 32, 32), float("nan"))}, ValueError, "not finite"),
        ({"images": [1, 2]}, ValueError, "got list"),
        ({"path": 3}, TypeError, "expected a path, got int"),
        ({"path": "no/such/x.onnx"}, ValueError, "there is no folder"),
    ],
)
def test_bad_arguments_of_quantize_model(tmp_path, monkeypatch, wrong, error, message):
    monkeypatch.setattr(quantize, "export_model", lambda *a, **o: pytest.fail("something was written first"))
    given = {"model": tiny(), "path": tmp_path / "x.onnx", "images": torch.zeros(2, 3, 32, 32)}
    with pytest.raises(error, match=message) as caught:
        quantize_model(**(given | wrong))
    assert "\n" not in str(caught.value) and os.listdir(tmp_path) == []


def test_json_has_no_infinity(tmp_path, pictures, capsys, monkeypatch):
    monkeypatch.setattr(
        quantize, "quantize_model",
        lambda model, path, x, **options: quantize.Quantized(str(path), 1, 4, 4, 1.0, 1.0, float("inf"), 0.0),
    )  # fmt: skip
    options = ["--int8", "--calibration", str(pictures), "--output", str(tmp_path / "x.onnx"), "--json"]
    assert main(["export", *SMALLEST, *options]) == 0

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(capsys.readouterr().out, parse_constant=refuse)["signal_to_noise_db"] is None


# Eight bits


AT_32 = Preprocessing(36, 32)


@pytest.fixture
def pictures(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for i, mode in enumerate(("RGB", "L", "RGBA", "P")):
        Image.effect_noise((50, 40 + i), 60).convert(mode).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("none either")
    return folder


def test_load_images(pictures, tmp_path):
    loaded = load_images(pictures, AT_32)
    assert loaded.shape == (4, 3, 32, 32) and loaded.dtype == torch.float32
    assert load_images(pictures, AT_32, limit=2).shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match="no picture in"):
        load_images(tmp_path, AT_32)


def test_eight_bits(tmp_path, pictures, capsys):
    pytest.importorskip("onnxruntime")
    import onnx

    model, x = tiny(), load_images(pictures, AT_32)
    done = quantize_model(model, tmp_path / "int8.onnx", x)
    assert done.images == 4 and done.bytes < 0.7 * done.float_bytes
    assert done.signal_to_noise_db > 15 and done.top1_agreement >= 0.75
    nine = x.repeat(3, 1, 1, 1)[:9]  # no multiple of a batch
    kept = quantize_model(model, tmp_path / "kept.onnx", nine, method="percentile", float_layers=["se"])
    assert capsys.readouterr().out == ""  # the calibrators like to talk, and --json must stay JSON

    def quantised(path):
        return sum(n.op_type == "QuantizeLinear" for n in onnx.load(path).graph.node)

    assert quantised(kept.path) < quantised(done.path)
    assert sorted(os.listdir(tmp_path)) == ["int8.onnx", "kept.onnx"]
    with pytest.raises(ValueError, match="no part 'stages.9'"):
        quantize_model(model, tmp_path / "x.onnx", x, float_layers=["stages.9"])
    for wrong, message in (
        (dict(method="best"), "unknown method 'best'"), (dict(images=x[0]), "shape"), (dict(path="x.pt"), ".onnx"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            quantize_model(**({"model": model, "path": tmp_path / "x.onnx", "images": x} | wrong))
    assert sorted(os.listdir(tmp_path)) == ["int8.onnx", "kept.onnx"]


def test_the_int8_command(tmp_path, pictures, capsys, monkeypatch):
    asked = []

    def stub(model, path, x, **options):
        asked.append((model.num_classes, x.shape, options))
        return quantize.Quantized(path, 1_000_000, 4_000_000, len(x), 0.75, 0.9, 31.0, 0.1)

    monkeypatch.setattr(quantize, "quantize_model", stub)
    path = str(tmp_path / "int8.onnx")
    options = ["--int8", "--calibration", str(pictures), "--method", "percentile", "--float-layers", "stem", "se"]
    assert main(["export", *SMALLEST, "--output", path, *options]) == 0
    out = capsys.readouterr().out
    assert "1.0 MB, eight bits (4.0 MB before)" in out and "on 4 pictures: the same best class on 75.0 %" in out
    assert asked == [(7, (4, 3, 32, 32), {"method": "percentile", "float_layers": ["stem", "se"]})]


def test_agreement_by_hand():
    expected = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0, -2.0], [1.0, 0.0, 0.0, 0.0, 0.0, -5.0]])
    assert agreement(expected, expected) == {
        "top1_agreement": 1.0, "top5_overlap": 1.0, "signal_to_noise_db": float("inf"),
    }  # fmt: skip
    assert agreement(expected, expected + 7)["signal_to_noise_db"] > 100  # softmax does not see it
    noisy = agreement(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.1, -1.1]]))
    assert noisy["signal_to_noise_db"] == pytest.approx(20, abs=1e-3)
    flipped = expected.clone()
    flipped[0] = -flipped[0]
    values = agreement(expected, flipped)
    assert values["top1_agreement"] == 0.5 and values["top5_overlap"] == pytest.approx((4 / 5 + 1) / 2)
