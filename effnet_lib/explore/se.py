"""Two explorers of squeeze-and-excitation: what its width costs, and what its gates do."""

import base64
from dataclasses import replace
from functools import cache

from ..cost import count_cost
from ..variants import Variant, get_variant
from .element import Explorer, table

#: Squeeze channels are one in so many of what they are taken from.
RATIOS = (2, 4, 8, 16)

#: (smallest, largest) of the slider of input channels; its step is 8.
CHANNELS = (8, 320)

EXPANSIONS = (1, 4, 6)


def se_explorer() -> Explorer:
    """A figure in which a block's channels and the squeeze ratio are dragged, and cost follows.

    Beside the right choice, a share of the channels that **enter** the block, stands the wrong
    one, the same share of the expanded channels. Totals for B0 are counted by this library;
    those of one block follow from a closed form in the page's script, which the tests hold equal.
    """
    return Explorer(
        "se", _se_data(), _se_static(), ("se.js",), "squeeze-and-excitation explorer (shows itself in a notebook)",
        ("se.css",),
    )  # fmt: skip


def with_squeeze(variant: Variant, ratio: float, of_expanded: bool = False) -> Variant:
    """``variant`` with another squeeze ratio, also one of the expanded channels (the common mistake)."""
    stages = (
        replace(stage, se_ratio=ratio * (stage.expand_ratio if of_expanded else 1)) for stage in variant.stages
    )
    return replace(variant, stages=tuple(stages))


def se_blocks_of(variant: Variant) -> list[list[int]]:
    """Channels that enter, expansion and squeeze channels of every block."""
    blocks, channels = [], variant.stem_channels
    for stage in variant.stages:
        for _ in range(stage.layers):
            blocks.append([channels, stage.expand_ratio, stage.squeeze_channels(channels)])
            channels = stage.channels
    return blocks


def _se_data() -> dict:
    b0 = get_variant("b0")
    without = count_cost(with_squeeze(b0, 0)).parameters
    return {
        "ratios": RATIOS,
        "channels": CHANNELS,
        "expansions": EXPANSIONS,
        "blocks": se_blocks_of(b0),
        "without": without,
        # B0's parameters by "<base>-<ratio>"
        "totals": {
            f"{base}-{ratio}": count_cost(with_squeeze(b0, 1 / ratio, base == "expanded")).parameters
            for base in ("input", "expanded")
            for ratio in RATIOS
        },
    }


def _se_static() -> str:
    b0 = get_variant("b0")
    rows = []
    for i, (channels, expansion, squeeze) in enumerate(se_blocks_of(b0), 1):
        width = channels * expansion
        wrong = width // 4
        count = [f"{2 * width * s + width + s:,}" for s in (squeeze, wrong)]
        rows.append([i, channels, width, squeeze, count[0], wrong, count[1]])
    caption = "Squeeze-and-excitation in B0: a quarter of the block's input (right) and of the expanded channels (wrong)"
    header = ["Block", "Channels in", "Expanded", "Squeeze, right", "Parameters", "Squeeze, wrong", "Parameters"]
    right, wrong = (count_cost(with_squeeze(b0, 0.25, of)).parameters for of in (False, True))
    return table(header, rows, caption) + f"<p>B0 in all: {right:,} parameters (right), {wrong:,} (wrong).</p>"


def gates_explorer() -> Explorer:
    """A figure of the gates of one block after another, for six photographs.

    The gates are computed by :func:`effnet_lib.cifar_small`, the small trained network that
    comes with the library, when the figure is made. Needs torch, safetensors and Pillow.
    """
    data = _gates_data()
    return Explorer(
        "gates", data, _gates_static(data), ("gates.js",), "gates explorer (shows itself in a notebook)", ("gates.css",)
    )


@cache
def _gates_data() -> dict:
    import torch

    from ..inside import se_gates
    from ..samples import cifar_small, cifar_small_gates, photograph_credits, photograph_file, sample_photographs

    network, photographs = cifar_small(), sample_photographs(32)
    images = network.prepare(torch.stack(list(photographs.values())))
    with torch.no_grad():
        answers = network.model(images).softmax(1)
    probability, answer = answers.max(1)
    measured = cifar_small_gates()
    blocks = []
    for number, gates in se_gates(network.model, images).items():
        average = gates.mean(0)
        blocks.append(
            {
                "block": number,
                "channels": gates.shape[1],
                "mean": round(float(gates.mean()), 4),
                "between_channels": round(float(average.std(correction=0)), 4),
                "between_images": round(float((gates - average).square().mean().sqrt()), 4),
                "many": measured["blocks"][str(number)]["between_images"],
                # 16 bits each, 65535 for a gate of 1, low byte first, picture after picture
                "gates": base64.b64encode(
                    b"".join(round(gate * 65535).to_bytes(2, "little") for gate in gates.flatten().tolist())
                ).decode(),
            }
        )
    return {
        "photographs": [
            {
                "name": credit["name"],
                "title": credit["title"],
                "credit": f"{credit['title']}: {credit['by']}, {credit['licence']}",
                "answer": network.classes[answer[i]],
                "probability": round(float(probability[i]), 3),
                "jpeg": base64.b64encode(photograph_file(credit["name"])).decode(),
            }
            for i, credit in enumerate(photograph_credits())
        ],
        "blocks": blocks,
        "many": measured["images"],
    }


def _gates_static(data: dict) -> str:
    rows = [
        [b["block"], b["channels"], f"{b['mean']:.3f}", f"{b['between_channels']:.3f}", f"{b['between_images']:.3f}", f"{b['many']:.3f}"]
        for b in data["blocks"]
    ]  # fmt: skip
    header = ["Block", "Gates", "Mean", "Between channels", "Between photographs", f"Between {data['many']:,} test images"]
    caption = "Gates of the small network for six photographs: their mean, and three standard deviations"
    return table(header, rows, caption)
