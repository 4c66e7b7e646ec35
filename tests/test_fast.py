"""Chapter 9's figures and statements hold what its records hold."""

import pytest
import torch

from effnet_lib import get_variant, phone_study, recorded, roofline, roofline_explorer
from effnet_lib.explore.figures_fast import FAMILIES, LABELS, STEPS, plot_channel_ranges, plot_later_families, plot_steps
from effnet_lib.explore.roofline import H100, NETWORKS, layer_groups, machines, measured

RECORD = recorded("steps-xeon-one-thread")


def step(batch, side, name):
    (case,) = [c for c in RECORD["steps"] if (c["batch_size"], c["resolution"]) == (batch, side)]
    return {row["step"]: row["seconds"] for row in case["results"]}[name]


def test_the_bars_are_the_record():
    for axes, batch in zip(plot_steps().axes, (1, 8)):
        widths = [patch.get_width() for patch in axes.patches]
        assert widths == pytest.approx([1e3 * step(batch, 224, name) / batch for name in STEPS])


def test_later_families_are_torchvisions():
    pytest.importorskip("torchvision")
    counted, timed = plot_later_families().axes
    seconds = {r["network"]: r["seconds"] for r in RECORD["families"] if r["runtime"] == "ONNX Runtime"}
    names = [name for _, _, members in FAMILIES.values() for name in members]
    assert set(names) == set(LABELS) == set(seconds)
    assert [x for line in timed.lines for x in line.get_xdata()] == pytest.approx([1e3 * seconds[name] for name in names])
    (line,) = [line for line in counted.lines if line.get_label() == "EfficientNet"]
    assert list(line.get_xdata())[0] == pytest.approx(0.386) and list(line.get_ydata())[0] == pytest.approx(77.692)


def test_ranges_are_those_of_the_weights():
    weight = torch.tensor([0.1, -2.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 3, 3)
    axes = plot_channel_ranges(weight).axes[0]
    assert [patch.get_height() for patch in axes.patches] == pytest.approx([2, 1, 0.1])
    assert axes.lines[0].get_ydata()[0] == pytest.approx(2 / 127)


def test_lite_on_a_phone_is_as_published():
    for row in phone_study():
        assert row.top1 == get_variant(row.name).published.top1
        assert 0.5 < row.top1 - row.int8_top1 < 1.5 and 1.8 < row.milliseconds / row.int8_milliseconds < 2.6


def test_the_explorer_knows_every_network_and_the_limits():
    data = roofline_explorer().data
    for family in NETWORKS.values():
        for name in family:
            layers = sum(times * len(rows) for _, _, times, rows in layer_groups(get_variant(name)))
            assert layers == len(roofline(name, 1.0, 1.0).layers)
            assert {"as built", "optimised"} <= set(measured()[name]["1"])
    assert data["machines"] == machines()
    assert H100["peaks"]["int8"] == pytest.approx(2 * H100["peaks"]["bf16"], rel=1e-3)


def test_what_chapter_9_says_of_its_records():
    """A new record that says otherwise wants another text."""
    xeon = machines()["xeon"]
    peak, memory = xeon["peaks"]["fp32"], xeon["bandwidth"]
    assert 75e9 < peak < 95e9 and 5 < xeon["peaks"]["bf16"] / peak < 7.5
    apart, fused = (roofline("b0", peak, memory, fused=f) for f in (False, True))
    assert apart.seconds > 2 * fused.seconds
    depthwise = [layer for layer in fused.layers if layer.name == "depthwise"]
    assert all(layer.bound == "memory" for layer in depthwise)
    assert 0.2 < sum(layer.seconds for layer in depthwise) / fused.seconds < 0.3
    gpu = {n: roofline(n, H100["peaks"]["bf16"], H100["bandwidth"], batch_size=128, bytes_per_number=2).seconds
           for n in ("b4", "v2_s", "b5", "v2_m", "b7", "v2_l")}  # fmt: skip
    assert gpu["v2_s"] < gpu["b4"] and gpu["v2_m"] < 1.01 * gpu["b5"] and gpu["v2_l"] < gpu["b7"]
    for batch in (1, 8):
        assert step(batch, 224, "as built") > step(batch, 224, "folded, channels_last") > step(batch, 224, "optimised")
        assert step(batch, 224, "optimised") > step(batch, 224, "ONNX Runtime")
    for case in recorded("inference-xeon-one-thread")["cases"]:
        seconds = {row["implementation"]: row["seconds"] for row in case["results"]}
        assert seconds["ONNX Runtime"] < seconds["effnet_lib optimised"] < min(seconds["torchvision"], seconds["timm"])
