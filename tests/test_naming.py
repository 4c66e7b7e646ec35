import re

import pytest
import torch
from references import norms, timm_network, torchvision_network
from test_cost import TORCHVISION, timm_name

from effnet_lib import build_model, get_variant, list_variants, scale_variant
from effnet_lib.naming import differences, find_variant, recognise_names, tensor_names
from effnet_lib.releases import timm_settings


def shapes(model) -> dict:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", list_variants())
def test_names_and_shapes_of_every_scheme(name):
    """Name by name and in order, against the networks themselves."""
    tensors = list(tensor_names(get_variant(name)))
    with torch.device("meta"):
        references = {"effnet_lib": build_model(name), "timm": timm_network(timm_name(name))}
    if name in TORCHVISION:
        references["torchvision"] = torchvision_network(name)
    for scheme, model in references.items():
        expected = {getattr(tensor, scheme): tensor.shape for tensor in tensors}
        assert shapes(model) == expected and list(shapes(model)) == list(expected)
        assert recognise_names(shapes(model)).scheme == scheme
        assert find_variant(shapes(model), scheme) == get_variant(name)
    _, *norm = timm_settings(timm_name(name))
    assert norms(references["timm"]) == {tuple(norm)}
    assert list(references["effnet_lib"].state_dict()) == [tensor.effnet_lib for tensor in tensors]


@pytest.mark.parametrize("name", ["b0", "b2", "lite0", "lite3"])
def test_names_of_lukemelas(name):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    full = "efficientnet-" + name
    reference = package.EfficientNet.from_name(full, num_classes=10)
    assert shapes(reference) == {t.lukemelas: t.shape for t in tensor_names(get_variant(name), 10)}
    assert find_variant(shapes(reference), "lukemelas") == get_variant(name)


@pytest.mark.parametrize("phi", [-13, -4.5, 0.3, 3.3])
@pytest.mark.parametrize("base", ["b0", "v2_b0", "lite0"])
def test_shapes_at_any_phi(phi, base):
    variant = scale_variant(phi, base)
    with torch.device("meta"):
        model = build_model(variant, 7, 1)
    assert shapes(model) == {t.effnet_lib: t.shape for t in tensor_names(variant, 7, 1)}
    found = find_variant(shapes(model), "effnet_lib")
    assert found is None or found.stages == variant.stages  # Lite at 0.3 may be a released one


def test_differences_name_what_differs():
    own = {t.effnet_lib: t.shape for t in tensor_names(get_variant("b0"))}
    compare = lambda given: differences(get_variant("b0"), 1000, 3, given, "effnet_lib")  # noqa: E731
    assert compare(own) == []
    assert compare(own | {"stem.0.weight": (40, 3, 3, 3)}) == [
        "stem.0.weight has shape (40, 3, 3, 3) in the file and (32, 3, 3, 3) in the network"
    ]
    assert compare(own | {"ghost": (1,)}) == ["ghost is not in the network"]
    lacking = dict(own)
    del lacking["head.1.bias"], lacking["head.1.num_batches_tracked"]  # a counter may be missing
    assert compare(lacking) == ["head.1.bias is missing"]


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.backbone."])
def test_prefixes(prefix):
    for first, scheme in (("_conv_stem.weight", "lukemelas"), ("conv_stem.weight", "timm"),
                          ("stem.0.weight", "effnet_lib"), ("features.0.0.weight", "torchvision")):  # fmt: skip
        assert recognise_names([prefix + first]) == (scheme, prefix)
    assert recognise_names(["conv1.weight", re.escape("x"), ""]) is None
