"""Moves the controls of every lab and compares what they show with the library.

Run by the tests in two environments, with ipywidgets 8 and with 7.7.1, so it uses nothing but
the library, the widgets and assertions.
"""

import html
import math
import os
import re

import torch

import effnet_lib
from effnet_lib import count_cost, phi_lab, recorded, scale_variant, speed_lab, training_lab
from effnet_lib.explore.labs import STILL


def text(lab):
    """The words of what a lab shows, without drawings."""
    shown = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", lab.view.value, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", shown))


def rows(lab, caption):
    """The rows of a table, cell by cell."""
    found = re.search(rf"<caption>{re.escape(caption)}.*?</table>", lab.view.value, re.S)[0]
    body = found[found.index("<tbody>") :]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def drive_phi():
    lab = phi_lab()
    for phi in (-3.0, 0.0, 2.5, 7.0):
        lab.phi.value = phi
        assert lab.fault == "", lab.fault
        variant = scale_variant(phi)
        cost = count_cost(variant)
        shown = text(lab)
        assert f"{cost.parameters:,} parameters" in shown and f"{cost.multiply_adds:,} multiply-adds" in shown
        assert f"Total params: {cost.parameters:,}" in shown  # torchinfo's own count of the network built
        assert [int(row[-1]) for row in rows(lab, "Depth")] == [stage.layers for stage in variant.stages]
        channels = [variant.stem_channels, *(stage.channels for stage in variant.stages), variant.head_channels]
        assert [int(row[-1]) for row in rows(lab, "Width")] == channels
        assert [int(row[-1]) for row in rows(lab, "Resolution")] == [row.resolution for row in cost.stages]
        assert len(re.findall("<svg", lab.view.value)) == 1


def drive_speed():
    lab = speed_lab()
    record = next(case for case in recorded("inference-xeon-one-thread")["cases"] if case["variant"] == "b0")
    assert f"{1e3 * record['results'][0]['seconds']:.1f} ms" in text(lab) and "Recorded" in text(lab)
    lab.rounds = 2
    for network, norms in (("lite0", 49), ("b0", 49)):
        lab.network.value = network
        lab.button.click()
        assert lab.fault == "", lab.fault
        shown = text(lab)
        assert "Recorded" not in shown and "Measured here" in shown
        assert lab.result["difference"] < 1e-5
        built = sum(isinstance(m, torch.nn.BatchNorm2d) for m in effnet_lib.build_model(network).modules())
        assert lab.result["norms"] == (built, 0), lab.result["norms"]
        times = {row[0]: float(row[1].split()[0]) for row in rows(lab, "Measured here")}
        assert list(times) == ["as built", "optimised"] and min(times.values()) > 0
        assert not lab.button.disabled


def drive_training():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    lab = training_lab()
    assert lab.fault == "", lab.fault
    (first,) = lab.runs
    assert len(first["losses"]) == lab.first[1] and first["losses"][-1] < first["losses"][0] / 2
    lab.steps.value = 10
    for optimizer, lr in (("sgd", 0.1), ("rmsprop_tf", 10.0), ("adamw", 0.01), ("sgd", 0.01)):
        lab.optimizer.value, lab.lr.value = optimizer, lr
        lab.button.click()
        assert lab.fault == "", lab.fault
    assert torch.equal(torch.rand(1), expected) and torch.get_num_threads() == threads  # left as they were
    assert len(lab.runs) == len(rows(lab, "Runs")) == lab.kept
    again, wild, *_ = lab.runs
    assert again["losses"] == first["losses"][:10]  # the same weights and batches
    assert math.isnan(wild["losses"][-1]) or max(wild["losses"]) > 10
    lab.clear.click()
    assert lab.runs == [] and "No run yet" in text(lab)


def drive_faults():
    """What goes wrong in a callback is said in the lab, which stays usable."""
    lab = phi_lab(0)
    lab.answer(lambda: 1 / 0)
    assert "ZeroDivisionError: division by zero" in text(lab)
    lab.phi.value = 1.0
    assert "ZeroDivisionError" not in text(lab)
    for wrong, kind in ((9, ValueError), ("two", TypeError), (float("nan"), ValueError)):
        try:
            phi_lab(wrong)
        except kind as error:
            assert "phi" in str(error) and "\n" not in str(error)
        else:
            raise AssertionError(f"phi_lab({wrong!r}) was accepted")


def picture():
    """Where there is no kernel, a picture of the same first state, without a control."""
    live = phi_lab()
    os.environ[STILL] = "1"
    try:
        still = phi_lab()
        assert still.view is None and still.html() == live.html()
        assert not re.search(r"<(input|button|select|script)", still.picture())
    finally:
        del os.environ[STILL]


if __name__ == "__main__":
    for drive in (drive_phi, drive_speed, drive_training, drive_faults, picture):
        drive()
    print("all labs answer")
