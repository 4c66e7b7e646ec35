"""The roofline explorer: which layers of a network wait for arithmetic, and which for memory."""

import itertools

from ..bounds import layer_shapes, roofline
from ..records import recorded
from ..variants import Variant, get_variant
from .element import Explorer, table

#: The networks, by family, in the order of the buttons.
NETWORKS = {
    "V1": ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"),
    "V2": ("v2_s", "v2_m", "v2_l"),
    "Lite": ("lite0", "lite1", "lite2", "lite3", "lite4"),
}

#: Bytes of a number.
PRECISIONS = {"fp32": 4, "bf16": 2, "int8": 1}

#: Half of the operations per second, dense, and bytes per second that NVIDIA's data sheet gives
#: for the H100 SXM; it prints those of the tensor cores for sparse matrices, which are twice as many.
H100 = {
    "peaks": {"fp32": 67e12 / 2, "bf16": 1979e12 / 4, "int8": 3958e12 / 4},
    "bandwidth": 3.35e12,
}

#: (smallest, largest, first) of the sliders, in multiply-adds and bytes per second; and of the batch.
YOURS = {"peak": (1e9, 1e15, 2e11), "bandwidth": (1e9, 1e13, 5e10)}
BATCH = (1, 512, 1)


def roofline_explorer() -> Explorer:
    """A figure in which a network's layers stand under the roofline of a processor.

    Network, machine, precision and batch can be chosen; a processor of the reader's own is
    two sliders.
    """
    return Explorer(
        "roofline",
        _data(),
        _static(),
        ("roofline.js",),
        "roofline explorer (shows itself in a notebook)",
        ("roofline.css",),
    )


def machines() -> dict[str, dict]:
    """Peaks by precision and bandwidth of the processors that the explorer knows."""
    limits = recorded("steps-xeon-one-thread")["limits"]
    xeon = {
        "peaks": {
            "fp32": limits["multiply_adds_per_second"],
            "bf16": limits["bfloat16_multiply_adds_per_second"],
            "int8": limits["int8_multiply_adds_per_second"],
        },
        "bandwidth": limits["memory_bytes_per_second"],
        "cache": limits["cache_bytes_per_second"],
    }
    return {"xeon": xeon, "h100": H100}


def layer_groups(variant: Variant) -> list[list]:
    """The layers in order, blocks that are alike and follow one another taken together.

    A group is [stage, first block, blocks, layers]; a layer is [name, inputs, outputs, kernel,
    groups, side, out side, skip, extra], as of :func:`effnet_lib.bounds.layer_shapes`.
    """
    groups: list[list] = []
    rows = layer_shapes(variant, variant.resolution)
    for (stage, block), layers in itertools.groupby(rows, key=lambda row: row[:2]):
        shapes = [[*layer[2:9], int(layer[9]), layer[10]] for layer in layers]
        if groups and groups[-1][0] == stage and groups[-1][3] == shapes:
            groups[-1][2] += 1
        else:
            groups.append([stage, block, 1, shapes])
    return groups


def _data() -> dict:
    names = [name for family in NETWORKS.values() for name in family]
    return {
        "families": NETWORKS,
        "networks": {name: layer_groups(get_variant(name)) for name in names},
        "operators": {name: [stage.label for stage in get_variant(name).stages] for name in names},
        "resolutions": {name: get_variant(name).resolution for name in names},
        "machines": machines(),
        "precisions": PRECISIONS,
        "yours": YOURS,
        "batch": BATCH,
        "measured": measured(),
    }


def measured() -> dict[str, dict]:
    """What was timed on the Xeon: by network and batch, the ways and their seconds, and the stages'."""
    found: dict[str, dict] = {}
    for row in recorded("latency-xeon-one-thread")["networks"]:
        if any(row["name"] in family for family in NETWORKS.values()):
            found.setdefault(row["name"], {}).setdefault("1", {"stages": []})[row["way"]] = row["seconds"]
    for case in recorded("inference-xeon-one-thread")["cases"]:
        seconds = {row["implementation"]: row["seconds"] for row in case["results"]}
        found.setdefault(case["variant"], {})[str(case["batch_size"])] = {
            "as built": seconds["effnet_lib"],
            "optimised": seconds["effnet_lib optimised"],
            "bf16": seconds.get("effnet_lib optimised, bf16"),
            "stages": [row["attained_multiply_adds_per_second"] for row in case["stages"] if row["stage"]],
        }
    return found


def _static() -> str:
    """Every network's least time, in numbers."""
    known, rows = machines(), []

    def milliseconds(name: str, machine: str, precision: str, batch: int = 1, fused: bool = True) -> str:
        at = known[machine]
        bound = roofline(
            name, at["peaks"][precision], at["bandwidth"], batch_size=batch,
            bytes_per_number=PRECISIONS[precision], fused=fused,
        )  # fmt: skip
        return f"{1e3 * bound.seconds / batch:.3g}"

    for family in NETWORKS.values():
        for name in family:
            bound = roofline(name, 1.0, 1.0)
            rows.append(
                [
                    title(name), f"{bound.multiply_adds / 1e9:.2f}", f"{bound.bytes / 1e6:.0f}",
                    f"{bound.multiply_adds / bound.bytes:.1f}",
                    milliseconds(name, "xeon", "fp32", fused=False), milliseconds(name, "xeon", "fp32"),
                    milliseconds(name, "xeon", "int8"), milliseconds(name, "h100", "bf16"),
                    milliseconds(name, "h100", "bf16", 128),
                ]
            )  # fmt: skip
    header = [
        "Network", "Multiply-adds, G", "MB moved", "per byte", "Xeon, pass by pass", "Xeon, fused", "Xeon, int8",
        "H100, bf16", "H100, bf16, batch 128",
    ]  # fmt: skip
    figures = table(header, rows, "The least time for an image, in milliseconds, by the roofline")
    return (
        f"{figures}<p>Single precision and batch 1 unless said. Xeon: one thread, limits measured. "
        "H100: limits of its data sheet.</p>"
    )


def title(name: str) -> str:
    """A network's name as the book writes it."""
    return {"b": name.upper(), "v": "V2-" + name[3:].upper(), "l": name.capitalize()}[name[0]]
