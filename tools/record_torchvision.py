"""Record what torchvision says of its weights, and what its networks cost: data/torchvision.json.

    .venv/bin/python -m tools.record_torchvision

Accuracy, crop and recipe are those of its ``Weights`` enumerations; parameters and multiply-adds
are counted on the networks themselves, as this library counts its own: convolutions and linear
layers, one image of the crop's size. With the record the library can show these figures where
torchvision is not installed. A test fails when the record and the installed version differ.
"""

import json

import torch
import torchvision
from torch import nn

from effnet_lib.published import PATH_OF_TORCHVISION as PATH


NETWORKS = (
    "resnet50", "resnet152", "mobilenet_v3_large",
    *(f"efficientnet_b{i}" for i in range(8)), *(f"efficientnet_v2_{size}" for size in "sml"),
)  # fmt: skip


def count(name: str, size: int) -> tuple[int, int]:
    """(parameters, multiply-adds) of torchvision's network for one image of ``size`` pixels a side."""
    total = 0

    def hook(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            height, width = layer.kernel_size
            total += output.numel() * layer.in_channels // layer.groups * height * width
        else:
            total += output.numel() * layer.in_features

    with torch.device("meta"):  # shapes without numbers
        model = torchvision.models.get_model(name, weights=None).eval()
        for layer in model.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.register_forward_hook(hook)
        model(torch.empty(1, 3, size, size))
    return sum(p.numel() for p in model.parameters()), total


def record() -> dict:
    networks = {}
    for name in NETWORKS:
        weights = {}
        for member in torchvision.models.get_model_weights(name):
            transforms, meta = member.transforms(), member.meta
            crop = transforms.crop_size[0]
            parameters, multiply_adds = count(name, crop)
            weights[member.name] = {
                "top1": meta["_metrics"]["ImageNet-1K"]["acc@1"],
                "resize": transforms.resize_size[0],
                "crop": crop,
                "multiply_adds": multiply_adds,
                "recipe": meta["recipe"],
            }
        networks[name] = {"parameters": parameters, "weights": weights}
    # The version without what it was compiled for, as in 0.29.2+cpu.
    version = torchvision.__version__.partition("+")[0]
    return {"command": "python -m tools.record_torchvision", "torchvision": version, "networks": networks}


if __name__ == "__main__":
    PATH.write_text(json.dumps(record(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {PATH}")
