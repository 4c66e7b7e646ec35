"""The network explorer: walk through a network block by block, from the image to the answer."""

from ..cost import block_cost, conv_cost, count_cost
from ..variants import Variant, get_variant
from .element import Explorer, table

NETWORKS = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "v2_s", "lite0"]

#: What a step counts, in the order of each part's figures.
COUNTS = ("parameters", "multiply_adds", "activations")


def network_explorer() -> Explorer:
    """A figure that steps through a released network: shapes, what a block does, what it costs.

    It shows itself as the last expression of a notebook cell, and in the built book. Every
    figure is counted by this library; the page's script only adds them up, and the tests hold
    the sums equal to :func:`effnet_lib.count_cost`.
    """
    return Explorer(
        "network",
        {"networks": {name: _network(get_variant(name)) for name in NETWORKS}},
        _static(),
        ("network.js",),
        "network explorer (shows itself in a notebook)",
        ("network.css",),
    )


def _network(variant: Variant) -> dict:
    cost = count_cost(variant)
    return {
        "name": variant.name.upper().replace("_", "-").replace("LITE", "Lite"),
        "resolution": variant.resolution,
        "activation": {"silu": "SiLU", "relu6": "ReLU6"}[variant.activation],
        "dropout": variant.dropout,
        "stochastic_depth_rate": variant.stochastic_depth_rate,
        "totals": [getattr(cost, count) for count in COUNTS],
        "units": _units(variant),
    }


def _units(variant: Variant, num_classes: int = 1000) -> list[dict]:
    """Stem, blocks, head, pool and classifier, in order; blocks alike stand once, with ``repeat``.

    A part is [name, channels, side of its output, parameters, multiply-adds, activations]. A part
    ``se`` stands for both layers of squeeze-and-excitation, ``fused`` for a regular k×k convolution.
    """
    rows = count_cost(variant, num_classes=num_classes).stages
    stem, head = rows[0], rows[-1]

    def counts(*costs):
        return [sum(getattr(cost, count) for cost in costs) for count in COUNTS]

    def unit(kind, row, channels, size, parts, repeat=1, **settings):
        return {
            "kind": kind, "stage": row.stage, "label": row.operator, "layers": row.layers,
            "repeat": repeat, "input": [channels, size], "parts": parts, **settings,
        }  # fmt: skip

    def block(stage, row, channels, size, stride, repeat):
        squeeze = stage.squeeze_channels(channels)
        cost = block_cost(
            stage.operator, channels, stage.channels, stage.kernel_size, stride, stage.expand_ratio, squeeze,
            resolution=size,
        )  # fmt: skip
        named = {layer.name: layer for layer in cost.layers}
        parts = []
        for layer in cost.layers:
            if layer.name in ("expand", "depthwise", "project", "convolution"):
                regular = layer.groups == 1 and layer.kernel_size > 1
                name = "fused" if regular else layer.name
                parts.append([name, layer.out_channels, layer.output_resolution, *counts(layer)])
            elif layer.name == "SE scale":
                both = counts(named["SE reduce"], named["SE expand"])
                parts.append(["se", layer.out_channels, layer.output_resolution, *both])
        return unit(
            stage.operator, row, channels, size, parts, repeat,
            kernel=stage.kernel_size, stride=stride, expand=stage.expand_ratio, squeeze=squeeze,
        )  # fmt: skip

    channels, size = stem.channels, stem.output_resolution
    parts = [["conv", channels, size, *counts(stem)]]
    units = [unit("stem", stem, 3, stem.resolution, parts, kernel=3, stride=variant.stem_stride)]
    for stage, row in zip(variant.stages, rows[1:]):
        units.append(block(stage, row, channels, size, stage.stride, 1))
        channels, size = stage.channels, row.output_resolution
        if stage.layers > 1:
            units.append(block(stage, row, channels, size, 1, stage.layers - 1))
    width = head.channels
    conv = conv_cost(channels, width, resolution=size)
    linear = conv_cost(width, num_classes, resolution=1, norm=False, bias=True)
    return units + [
        unit("head", head, channels, size, [["conv", width, size, *counts(conv)]], kernel=1, stride=1),
        unit("pool", head, width, size, [["pool", width, 1, 0, 0, 0]]),
        unit("classifier", head, width, 1, [["linear", num_classes, 1, *counts(linear)]]),
    ]


def _static() -> str:
    """B0 step by step, in a table: what scripts and slider add to is already complete."""
    network, rows, so_far = _network(get_variant("b0")), [], [0, 0, 0]
    rows.append([0, "the image", f"{network['resolution']} × {network['resolution']} × 3"] + [0] * 4)
    for unit in network["units"]:
        for _ in range(unit["repeat"]):
            here = [sum(part[3 + i] for part in unit["parts"]) for i in range(3)]
            so_far = [a + b for a, b in zip(so_far, here)]
            _, channels, size = unit["parts"][-1][:3]
            what = {"stem": "Conv 3×3", "head": "Conv 1×1", "pool": "pool", "classifier": "linear"}.get(
                unit["kind"], unit["label"]
            )
            strided = ", stride 2" if unit.get("stride") == 2 else ""
            rows.append(
                [unit["stage"], what + strided, f"{size} × {size} × {channels}"]
                + [f"{count:,}" for count in here]
                + [f"{so_far[1]:,}"]
            )
    header = ["Stage", "Step", "Output", "Parameters", "Multiply-adds", "Activations", "Multiply-adds so far"]
    return table(header, rows, "EfficientNet-B0 step by step, at 224 pixels and 1000 classes")
