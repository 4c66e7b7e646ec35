"""The block explorer: one convolution, a separable one, MBConv and Fused-MBConv, side by side."""

from ..cost import BlockCost, block_cost, count_cost
from ..variants import get_variant
from .element import Explorer, table

#: (smallest, largest, step) of the sliders.
RANGES = {
    "mb_in": (8, 320, 8),
    "mb_out": (8, 320, 8),
    "mb_expand": (1, 8, 1),
    "mb_resolution": (7, 112, 1),
}
KERNELS = (3, 5, 7)
KINDS = {
    "conv": "Standard convolution",
    "separable": "Separable convolution",
    "mbconv": "MBConv",
    "fused_mbconv": "Fused-MBConv",
}


def block_explorer() -> Explorer:
    """A figure in which the shape of a block can be dragged, and four ways to build it compared.

    The tensors are drawn through each block, with a bar for what each layer costs. The
    figures are computed by the closed form of :func:`effnet_lib.block_cost` in the page's
    script, which the tests hold equal.
    """
    return Explorer(
        "block", _data(), _static(), ("block.js",), "block explorer (shows itself in a notebook)", ("block.css",)
    )


def _data() -> dict:
    return {"kinds": KINDS, "ranges": RANGES, "kernels": KERNELS, "blocks": [_block(i) for i in range(7)]}


def _block(index: int) -> dict:
    """The last block of a stage of B0, as a position of the controls."""
    variant, row = get_variant("b0"), count_cost("b0").stages[index + 1]
    stage, repeated = variant.stages[index], variant.stages[index].layers > 1
    before = variant.stages[index - 1].channels if index else variant.stem_channels
    return {
        "stage": row.stage,
        "operator": row.operator,
        "mb_in": stage.channels if repeated else before,
        "mb_out": stage.channels,
        "mb_kernel": str(stage.kernel_size),
        "mb_expand": stage.expand_ratio,
        "mb_stride": "1" if repeated else str(stage.stride),
        "mb_resolution": row.output_resolution if repeated else row.resolution,
        "mb_se": "yes",
    }


def cost_at(position: dict, kind: str) -> BlockCost:
    """What the explorer shows of one kind of block: SE is MBConv's alone, a quarter of its input."""
    squeeze = max(1, position["mb_in"] // 4) if kind == "mbconv" and position["mb_se"] == "yes" else 0
    return block_cost(
        kind,
        position["mb_in"],
        position["mb_out"],
        int(position["mb_kernel"]),
        int(position["mb_stride"]),
        position["mb_expand"],
        squeeze,
        resolution=position["mb_resolution"],
    )


def _static() -> str:
    """The last block of each stage of B0, built in four ways."""
    header = ["Built as", "Parameters", "Multiply-adds", "Activations", "Bytes moved", "Multiply-adds per byte"]
    tables = []
    for position in map(_block, range(7)):
        rows = []
        for kind, name in KINDS.items():
            cost = cost_at(position, kind)
            counts = cost.parameters, cost.multiply_adds, cost.activations, cost.bytes_moved()
            rows.append([name, *(f"{count:,}" for count in counts), f"{cost.arithmetic_intensity():.2f}"])
        caption = (
            f"Last block of stage {position['stage']} of B0 ({position['operator']}): {position['mb_in']} to "
            f"{position['mb_out']} channels at {position['mb_resolution']} pixels"
        )
        tables.append(table(header, rows, caption))
    return "".join(tables)
