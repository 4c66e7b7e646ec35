"""Checkpoints as trainings write them: the network in them is found, and nothing in them is run."""

import argparse
import collections
import copyreg
import datetime
import io
import os
import pathlib
import pickle
import struct
import types
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from test_model import randomised
from timm.utils import CheckpointSaver, ModelEmaV3
from torch import nn

from effnet_lib import WeightsError, WeightsWarning, build_model, load_weights, open_weights, save_weights, scale_variant
from effnet_lib.pickles import Damaged, Inert, read_pickled, walk

NAME = "tf_efficientnet_b0"


@pytest.fixture(scope="module")
def network():
    """timm's, with random weights, for seven classes."""
    with torch.device("meta"):
        model = timm.create_model(NAME, num_classes=7)
    return randomised(model)


@pytest.fixture(scope="module")
def state(network):
    return dict(network.state_dict())


def other(state: dict) -> dict:
    """The same names with other numbers."""
    return {name: tensor * 0 for name, tensor in state.items()}


def saved(content, tmp_path, old: bool = False) -> pathlib.Path:
    torch.save(content, tmp_path / "checkpoint.pth", _use_new_zipfile_serialization=not old)
    return tmp_path / "checkpoint.pth"


def stem_of(path, variant=NAME, **options) -> torch.Tensor:
    return build_model(variant, weights=path, **options).stem[0].weight.detach()


def prefixed(state: dict, prefix: str) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


# What is beside the weights


def test_timms_own_checkpoint(network, tmp_path):
    """The real CheckpointSaver: averaged weights are taken, the network's name is in the file."""
    averaged = ModelEmaV3(network, decay=0.5)
    with torch.no_grad():
        averaged.module.conv_stem.weight.mul_(0.5)
    settings = argparse.Namespace(model=NAME, lr=np.float64(0.1), output=pathlib.Path("/x"), kwargs={"a": None})
    saver = CheckpointSaver(
        network, torch.optim.RMSprop(network.parameters()), settings, averaged,
        checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path),
    )  # fmt: skip
    saver.save_checkpoint(3, metric=np.float32(71.5))
    path = tmp_path / "checkpoint-3.pth.tar"
    with pytest.warns(WeightsWarning, match="taken are the weights in state_dict_ema, left out state_dict; '.*::state_dict' takes that"):
        model = build_model(weights=path)
    assert (model.variant.name, model.padding, model.stem[1].eps, model.num_classes) == ("b0", "same", 1e-3, 7)
    assert torch.equal(model.stem[0].weight, network.conv_stem.weight * 0.5)
    x = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), averaged.module.eval()(x), rtol=1e-4, atol=1e-4)
    with warnings.catch_warnings(action="error"):  # who asks for an entry needs no warning
        chosen = build_model(weights=f"{path}::state_dict")
    assert torch.equal(chosen.stem[0].weight, network.conv_stem.weight)
    assert torch.equal(build_model(weights=chosen.weights.name).stem[0].weight, network.conv_stem.weight)
    with pytest.raises(WeightsError, match="has no weights under 'ema': they are under state_dict_ema, state_dict"):
        build_model(weights=f"{path}::ema")


@pytest.mark.parametrize("old", [False, True])
def test_torchvisions_reference_checkpoint(old, tmp_path):
    with torch.device("meta"):
        network = torchvision.models.efficientnet_b0(num_classes=5)
    network = randomised(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    averaged = torch.optim.swa_utils.AveragedModel(network)
    with torch.no_grad():
        averaged.module.features[0][0].weight.mul_(2)
    path = saved({
        "model": network.state_dict(), "optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(),
        "epoch": 3, "args": argparse.Namespace(model="efficientnet_b0", device="cuda"),
        "model_ema": averaged.state_dict(),
    }, tmp_path, old)  # fmt: skip
    with pytest.warns(WeightsWarning, match="model_ema.module"):
        assert torch.equal(stem_of(path, None), network.features[0][0].weight * 2)


BESIDE = {
    "a namespace": argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=[1])),
    "another namespace": types.SimpleNamespace(a=1),
    "a number of NumPy's": np.float64(0.5),
    "an array": {"accuracy": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "b"])},
    "kinds of numbers": [np.int64(3), np.bool_(True), np.dtype("float32"), np.float32],
    "states of generators": [np.random.get_state(), torch.get_rng_state(), np.random.default_rng(0).bit_generator.state],
    "paths": [pathlib.PosixPath("/a"), pathlib.PurePosixPath("b"), pathlib.PureWindowsPath("C:\\c")],
    "times": [datetime.datetime.now(datetime.timezone.utc), datetime.date.today(), datetime.timedelta(1)],
    "collections": [collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.Counter("aab"),
                    collections.deque([1]), {1, 2}, frozenset("a"), range(3), slice(1), 1j, b"bytes", bytearray(b"x")],
    "what torch has": [torch.device("cpu"), torch.float16, torch.Size([1]), nn.Parameter(torch.ones(2)), torch.strided],
    "odd tensors": [torch.ones(3).to_sparse(), torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)],
    "odd keys": {(1, "a"): 1, None: 2, 3.5: 4, 7: 5},
    "a schedule": torch.optim.lr_scheduler.StepLR(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1), 3),
}  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_what_is_harmless_is_passed_over(beside, old, state, tmp_path):
    loaded = open_weights(saved({"net": state, "beside": beside}, tmp_path, old), NAME)
    assert loaded.weights.num_classes == 7
    assert torch.equal(loaded.tensors["stem.0.weight"], state["conv_stem.weight"])


class Renamed:
    """Pickles as an object of another class, which need not exist here."""

    def __init__(self, name: str, items=None, **attributes):
        self.name, self.items, self.attributes = name, items, attributes

    def __reduce__(self):
        return copyreg.__newobj__, (type(self),), self.attributes, None, self.items and iter(self.items.items())


def rename(path: pathlib.Path, name: str) -> None:
    """Give the objects of :class:`Renamed` in a file another class's name."""
    with zipfile.ZipFile(path) as archive:
        parts = [(part, archive.read(part)) for part in archive.namelist()]
    own, (module, _, attribute) = f"c{__name__}\nRenamed\n".encode(), name.rpartition(".")
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts:
            archive.writestr(part, content.replace(own, f"c{module}\n{attribute}\n".encode()))


HARMLESS = ["pathlib.WindowsPath", "pathlib._local.PosixPath", "omegaconf.dictconfig.DictConfig", "yacs.config.CfgNode",
            "easydict.EasyDict", "lightning.fabric.utilities.data.AttributeDict", "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar", "numpy.dtypes.Float64DType", "ml_collections.config_dict.ConfigDict"]  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_classes_that_are_not_here(name, state, tmp_path):
    """A path of Windows, a settings library that is not installed: nothing of it is needed."""
    path = saved({"state_dict": state, "cfg": Renamed(name, {"lr": 0.1}, deep=[Renamed(name)])}, tmp_path)
    rename(path, name)
    assert torch.equal(stem_of(path), state["conv_stem.weight"])


@pytest.mark.parametrize("name", ["__main__.Config", "mypackage.settings.Mode", "numpy.testing._private.utils.runstring",
                                  "builtins.eval", "functools.partial", "torch.hub.load", "timm.models.load"])  # fmt: skip
def test_other_classes_are_refused_by_their_entry(name, state, tmp_path):
    path = saved({"state_dict": state, "settings": {"mode": [0, Renamed(name)]}}, tmp_path)
    rename(path, name)
    with pytest.raises(WeightsError, match=r"entry settings.mode\[1\] holds .*weights_only=False.*torch.save") as caught:
        stem_of(path)
    assert name in str(caught.value) and len(str(caught.value)) < 700


def test_a_whole_pickled_network(network, state, tmp_path):
    for old in (False, True):
        for content, place in ((network, "it is"), ({"epoch": 1, "model": network}, "its entry model is")):
            with warnings.catch_warnings(action="ignore"):
                path = saved(content, tmp_path, old)
            with pytest.raises(WeightsError, match=rf"{place} a whole pickled network \(timm.*EfficientNet\).*state_dict\(\)"):
                stem_of(path)


def test_shards_say_how_to_gather_them(state, tmp_path):
    path = saved({"module": {name: t[:0] if t.ndim else t for name, t in state.items()}}, tmp_path)
    with pytest.raises(WeightsError, match="ZeRO 3 leaves them: .*zero_to_fp32.py"):
        stem_of(path)
    with pytest.raises(WeightsError, match="shard of FSDP's.*full_state_dict=True"):
        stem_of(saved({"_fsdp_wrapped_module._flat_param": torch.zeros(9)}, tmp_path))
    path = saved({"model": {"conv_stem.weight": Renamed("x")}}, tmp_path)
    rename(path, "torch.distributed._shard.sharded_tensor.api.ShardedTensor")
    with pytest.raises(WeightsError, match="entry model.conv_stem.weight holds a .*ShardedTensor, a shard.*full_state_dict"):
        stem_of(path)
    for name, message in ((".metadata", "dcp_to_torch_save"), ("latest", "DeepSpeed.*zero_to_fp32.py"), ("a.pth", "such as .*/a.pth")):
        folder = tmp_path / message[:4]
        folder.mkdir()
        (folder / name).touch()
        with pytest.raises(WeightsError, match=message):
            stem_of(folder)


def test_a_program_of_torchscript(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        torch.jit.trace(nn.Linear(1, 1), torch.zeros(1)).save(str(tmp_path / "w.pt"))
    with pytest.raises(WeightsError, match="TorchScript program.*torch.jit.load"):
        stem_of(tmp_path / "w.pt")


# Where the network stands


@pytest.mark.parametrize("wrap", [
    lambda s: {"model_state_dict": s, "epoch": 1},
    lambda s: {"net": s, "acc": 91.2},
    lambda s: {"model_state": s},
    lambda s: {"my_own_words": s, "epoch": 3},
    lambda s: {"model": {"state_dict": s}},
    lambda s: {"last": {"model": prefixed(s, "module.")}},
    lambda s: {"optimizer": {"state": other(s)}, "module": s},
    lambda s: {"unusual": other(s), "model_state_dict": s},  # the usual entry first
    lambda s: {"broken": dict(list(s.items())[:5]), "whole": s},  # the first that fits
    lambda s: {"model": s, "ema": {"decay": 0.9, "shadow_params": list(s.values())}},
    lambda s: {"state_dict": other(s), "ema_state_dict": s},
    lambda s: {"state_dict": other(s), "ema": {"module": s, "updates": 7}},
    lambda s: {"swa_state": s, "state_dict": other(s)},
    lambda s: {"ema": {"initted": torch.tensor(True)} | prefixed(s, "ema_model.") | prefixed(other(s), "online_model.")},
    lambda s: {"state_dict": prefixed(s, "model.") | {"criterion.weight": torch.ones(7)}},
    lambda s: {"state_dict": prefixed(s, "net.") | prefixed({"0.weight": torch.ones(7)}, "loss.")},
    lambda s: {"state_dict": prefixed(other(s), "model.") | prefixed(s, "model_ema.module.") | {"loss.weight": torch.ones(2)}},
    lambda s: prefixed(s, "module._orig_mod.model."),
    lambda s: prefixed(s, "_fsdp_wrapped_module.model._orig_mod."),
    lambda s: {name.replace("blocks.", "blocks._orig_mod."): t for name, t in s.items()},
    lambda s: {"epoch": 3, "best": 0.5} | s,
    lambda s: {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in s.items()},
])  # fmt: skip
def test_where_the_network_stands(wrap, state, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        assert torch.equal(stem_of(saved(wrap(state), tmp_path)), state["conv_stem.weight"])


def test_what_is_left_out_is_said(state, tmp_path):
    lightning = prefixed(state, "model.") | {"criterion.weight": torch.ones(7)}
    with pytest.warns(WeightsWarning, match="taken are the weights in state_dict.model, left out criterion.weight$") as caught:
        stem_of(saved({"state_dict": lightning}, tmp_path))
    assert len(caught) == 1 and caught[0].filename == __file__
    safetensors.torch.save_file({k: v.contiguous() for k, v in lightning.items()}, tmp_path / "w.safetensors")
    with pytest.warns(WeightsWarning, match="in model, left out criterion.weight"):
        stem_of(tmp_path / "w.safetensors")
    two = {"state_dict": prefixed(state, "student.") | prefixed(other(state), "teacher.")}
    with pytest.warns(WeightsWarning, match="in state_dict.student, left out state_dict.teacher; '.*::state_dict.teacher' takes that"):
        stem_of(saved(two, tmp_path))
    with warnings.catch_warnings(action="error"):
        assert not stem_of(f"{tmp_path / 'checkpoint.pth'}::state_dict.teacher").any()
    with warnings.catch_warnings(action="error"):
        stem_of(saved({"state_dict": state, "epoch": 3, "n_averaged": torch.tensor(1)}, tmp_path))


def test_a_command_says_it_in_one_line(state, tmp_path, capsys):
    from effnet_lib.cli import main

    save_weights(build_model(scale_variant(-13), 3), tmp_path / "w.pt")
    content = torch.load(tmp_path / "w.pt")
    said = content._metadata["effnet_lib"]
    path = saved({"model": prefixed(content, "net.") | {"loss.weight": torch.ones(1)}, "effnet_lib": said}, tmp_path)
    assert main(["export", "--weights", str(path), "--output", str(tmp_path / "w.safetensors")]) == 0
    assert capsys.readouterr().err == f"effnet export: {path}: taken are the weights in model.net, left out loss.weight\n"


# A classifier that is missing


@pytest.mark.parametrize("change", [
    lambda s: {k: v for k, v in s.items() if not k.startswith("classifier")},
    lambda s: prefixed({k: v for k, v in s.items() if not k.startswith("classifier")}, "encoder."),
    lambda s: prefixed({k: v for k, v in s.items() if not k.startswith("classifier")}, "encoder.") | {"fc.weight": torch.ones(3, 1280)},
    lambda s: {k.replace("classifier", "classifier.3"): v for k, v in s.items()} | {"classifier.1.weight": torch.ones(9, 1280)},
    lambda s: {k: v for k, v in s.items() if k != "classifier.bias"},
])  # fmt: skip
def test_a_backbone_without_a_classifier(change, state, tmp_path):
    path = saved({"state_dict": change(state)}, tmp_path)
    with warnings.catch_warnings(action="ignore"):
        for options in ({}, {"num_classes": 4}):
            with pytest.raises(WeightsError, match=r"lacks a classifier of one layer \(classifier.*new_head=True"):
                build_model(NAME, weights=path, **options)
        model = build_model(NAME, 4, weights=path, new_head=True)
        assert build_model(NAME, weights=path, new_head=True).num_classes == 1000
    assert torch.equal(model.stem[0].weight, state["conv_stem.weight"]) and not model.classifier.weight.any()
    assert model.weights.num_classes == 4


def headless(model: nn.Module) -> nn.Module:
    model.classifier, model.num_classes = nn.Identity(), 0
    return model


def test_a_model_without_a_classifier_takes_the_rest(state, tmp_path):
    path = saved(state, tmp_path)
    for options in ({}, {"new_head": True}):
        model = headless(build_model("b0", padding="same"))
        weights = load_weights(model, open_weights(path, NAME), **options)
        assert torch.equal(model.stem[0].weight, state["conv_stem.weight"])
        assert weights.num_classes == 0 and weights.categories is None
    small = headless(build_model(scale_variant(-9), 3))
    loaded = open_weights(save_weights(small, tmp_path / "w.safetensors"))
    assert loaded.weights.num_classes == 0 and not loaded.no_head
    again = headless(build_model(small.variant, 3))
    load_weights(again, loaded)
    assert torch.equal(again.head[0].weight, small.head[0].weight)
    assert build_model(small.variant, 5, weights=loaded, new_head=True).num_classes == 5


# Pickles that mean harm


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("old", [False, True])
def test_tricks_stay_data(old, state, tmp_path):
    """Nothing is called, made or changed, whatever a pickle asks of harmless names."""
    mark = tmp_path / "mark"
    before = argparse.Namespace.__init__, collections.Counter.__len__, dict(vars(argparse.Namespace))
    for harm in (
        Call(os.system, f"touch {mark}"),
        argparse.Namespace(x=Call(os.system, f"touch {mark}")),
        Call(argparse.Namespace, state=Call(os.system, f"touch {mark}")),
        Call(getattr, argparse.Namespace, "__setattr__"),
        Call(eval, f"open({str(mark)!r}, 'w')"),
        {Call(exec, "1"): 1},
    ):
        path = saved({"state_dict": state, "args": harm}, tmp_path, old)
        with pytest.raises(WeightsError, match="is refused: its entry args.*holds .*could run code"):
            stem_of(path)
    for harmless in (
        Call(argparse.Namespace, state=(None, {"__setattr__": 1, "__class__": 2})),
        Call(argparse.Namespace, state={"__class__": 1, "__dict__": 2, "__setstate__": 3}),
        Call(collections.Counter, {"items": 1}, state={"items": 2, "__class__": 3}),
    ):
        assert torch.equal(stem_of(saved({"state_dict": state, "args": harmless}, tmp_path, old)), state["conv_stem.weight"])
    assert not mark.exists()
    assert (argparse.Namespace.__init__, collections.Counter.__len__, dict(vars(argparse.Namespace))) == before


def packed(instructions: bytes) -> bytes:
    """A file of torch.save whose pickle is these instructions."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", instructions)
        archive.writestr("w/data/0", struct.pack("<4f", 1, 2, 3, 4))
    return file.getvalue()


NAMESPACE = b"cargparse\nNamespace\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"


@pytest.mark.parametrize("instructions", [
    b"", b".", b"0.", b"t.", b"}.", b"\x80\x02", b"(((((", b"h\x05.", b"\x82\x01.", b"P0\n.", b"\x97.", b"R.", b"NNb.", b"Q.",
    b"](N.", b"N(NNu.", b"NNNs.", b"NNa.", b"I" + b"9" * 5000 + b"\n.", b"(NNN" + b"d.", b"NN\x93.", b"(o.", b"\x8b\xff\xff\xff\x7f1.",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.", b"B\xff\xff\xff\x7fx.", TENSOR + b"K\x00(X\x01\0\0\0at(K\x01tNNtR.",
    TENSOR + b"K\x00(J\xff\xff\xff\xfft(K\x01tNNtR.", b"}" + b"q\x00h\x00h\x00" + b"\x86\x86" * 3 + b".",
])  # fmt: skip
def test_broken_pickles(instructions):
    """As damage, never as another error, and none is answered with much memory."""
    try:
        read_pickled(packed(instructions))
    except Damaged:
        pass


def test_what_has_no_end(state, tmp_path):
    """Tuples of tuples of tuples: to hash or to print them would take for ever."""
    bomb = b")" + b"2\x86" * 60
    for instructions in (
        b"}X\x01\0\0\0a" + bomb + b"s.", b"}" + bomb + b"Ns.", NAMESPACE + bomb + b"R.", NAMESPACE + b")\x81" + bomb + b"b.",
        bomb + b"2\x93.", b"}q\x00X\x01\0\0\0ah\x00s.",
    ):  # fmt: skip
        (tmp_path / "w.pth").write_bytes(packed(instructions.replace(b"}", b"}X\x01\0\0\0n" + NAMESPACE + b")Rs", 1)))
        with pytest.raises(WeightsError, match="does not hold named tensors|damaged"):
            open_weights(tmp_path / "w.pth")
    deep = b"]" + b"(" * 5000 + b"l" * 5000 + NAMESPACE + b"a."
    (tmp_path / "w.pth").write_bytes(packed(deep))
    with pytest.raises(WeightsError):
        open_weights(tmp_path / "w.pth")


def test_a_tensor_that_reaches_beyond_its_numbers(state, tmp_path):
    """Through the second reader, too: shapes are held against the numbers in the file."""
    size = b"\x8a\x06" + (2**40).to_bytes(6, "little")  # a number that far is written so
    top, unknown = read_pickled(packed(TENSOR + b"K\x00(" + size + b"t(K\x01tNNtR."))
    assert top.shape == (2**40,) and not unknown
    with pytest.raises(RuntimeError, match="out of bounds"):
        top.read()
    top, _ = read_pickled(packed(TENSOR + b"K\x01(K\x03t(K\x01tNNtR."))
    assert top.read().tolist() == [2, 3, 4]
    content = {"state_dict": state | {"bn1.bias": torch.zeros(1).expand(32)}, "args": argparse.Namespace()}
    with pytest.raises(WeightsError, match="bn1.bias has more numbers in its shape"):
        stem_of(saved(content, tmp_path))


@pytest.mark.parametrize("old", [False, True])
def test_tensors_are_read_to_the_bit(old, tmp_path):
    """By the second reader as by torch's own: kinds, views, shapes, and what stands where."""
    whole = torch.randn(6, 4)
    content = {
        "views": [whole, whole[1:, ::2], whole.t()], "scalar": torch.tensor(3), "empty": torch.zeros(0, 3),
        "kinds": [torch.ones(3).to(kind) for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool)],
        "parameter": nn.Parameter(torch.ones(2)), "args": argparse.Namespace(a=[torch.ones(1)]),
    }  # fmt: skip
    top, unknown = read_pickled(saved(content, tmp_path, old).read_bytes())
    assert not unknown
    for mine, theirs in zip(
        [*top["views"], top["scalar"], top["empty"], *top["kinds"], top["parameter"]],
        [*content["views"], content["scalar"], content["empty"], *content["kinds"], content["parameter"].data],
    ):
        mine = mine.read()
        assert mine.dtype == theirs.dtype and torch.equal(mine, theirs)
    assert isinstance(top["args"], Inert) and top["args"].name == "argparse.Namespace"
    assert "args.a[0]" in dict((where, value) for where, value in walk(top) if not isinstance(value, (dict, str)))


def test_a_plain_pickle_and_values_that_are_no_tensors(state, tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(state))
    with pytest.raises(WeightsError, match="not a file of weights"):
        open_weights(tmp_path / "w.pkl", NAME)
    for value, message in (
        (state["bn1.bias"].numpy(), r"does not hold named tensors: bn1.bias is a numpy.*state_dict\(\)"),
        ("text", "bn1.bias is a str"),
        (state["bn1.bias"].to_sparse(), "bn1.bias is not a plain tensor of numbers: save"),
        (torch.quantize_per_tensor(state["bn1.bias"], 0.1, 0, torch.qint8), "bn1.bias is not a plain tensor"),
    ):
        for beside in ({}, {"args": argparse.Namespace()}):
            with pytest.raises(WeightsError, match=message):
                stem_of(saved({"state_dict": state | {"bn1.bias": value}} | beside, tmp_path))
