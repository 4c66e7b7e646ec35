"""Networks take turns, and what is reported of them is the arithmetic of medians."""

import json

import pytest

from effnet_lib import bench
from effnet_lib.cli import main


def test_bench(capsys):
    arguments = ["bench", "--resolution", "32", "--batch-size", "2", "--rounds", "2", "--steps", "1", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    names = {row["implementation"] for row in result["results"]}
    assert {"effnet_lib", "torchvision", "timm"} == names
    ours = [row for row in result["results"] if row["implementation"] == "effnet_lib"]
    assert [row["mode"] for row in ours] == ["training", "inference"]
    for row in result["results"]:
        assert row["multiply_adds_per_second"] == pytest.approx(row["images_per_second"] * result["multiply_adds"])
    assert all(row["ratio_to_ours"] == 1 for row in ours)
    assert main([*arguments[:-1]]) == 0
    assert "ratio to ours" in capsys.readouterr().out
    for wrong, message in ((["--batch-size", "0"], "batch_size"), (["--variant", "b99"], "b99")):
        assert main(["bench", *wrong]) == 2
        assert message in capsys.readouterr().err


def test_turns_are_taken_in_order(monkeypatch):
    calls, clock = [], iter(range(1000))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    seconds = bench.take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, steps=2)
    # a round in advance, and in every turn one step that is not timed
    assert "".join(calls) == "aaabbb" * 4
    assert seconds == {"a": [0.5] * 3, "b": [0.5] * 3}


def test_ratios_are_taken_within_a_round():
    slow_then_fast = {"ours": [4.0, 1.0, 2.0], "theirs": [8.0, 2.0, 3.0]}
    row = bench.summarise(slow_then_fast, "ours")["theirs"]
    assert (row["seconds"], row["seconds_quartiles"]) == (3.0, [2.5, 5.5])
    assert (row["ratio"], row["ratio_quartiles"]) == (0.5, pytest.approx([0.5, 0.5833], abs=1e-4))
    assert bench.summarise({"ours": [2.0]}, "ours")["ours"]["seconds_quartiles"] == [2.0, 2.0]


def test_compare(monkeypatch, capsys):
    exported = []

    def runtimes(model, images, folder):
        exported.append((model.variant.name, images.shape, folder.is_dir()))
        return {"ONNX Runtime": lambda: None}

    monkeypatch.setattr(bench, "_runtimes", runtimes)
    arguments = ["bench", "--compare", "--resolution", "32", "--batch-size", "2", "--rounds", "2"]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert exported == [("b0", (2, 3, 32, 32), True)]
    assert (result["batch_size"], result["rounds"], result["steps"]) == (2, 2, 1)
    rows = {row["implementation"]: row for row in result["results"]}
    assert {"effnet_lib", "effnet_lib optimised", "torchvision", "timm", "ONNX Runtime"} <= set(rows)
    assert rows["effnet_lib"]["ratio_to_ours"] == rows["effnet_lib optimised"]["ratio_to_optimised"] == 1
    for row in rows.values():
        low, high = row["seconds_quartiles"]
        assert low <= row["seconds"] <= high
        assert row["images_per_second"] == pytest.approx(2 / row["seconds"])
    assert main(arguments) == 0
    assert "ratio to optimised" in capsys.readouterr().out
    for wrong in (["--compile"], ["--precision", "bf16"], ["--no-channels-last"]):
        assert main(["bench", "--compare", *wrong]) == 2
        assert "as they come" in capsys.readouterr().err
    assert main(["bench", "--compare", "--rounds", "0"]) == 2
    assert "rounds" in capsys.readouterr().err


def test_the_other_runtimes_run_our_network(tmp_path):
    import torch
    from test_deploy import images, network

    pytest.importorskip("onnxruntime")
    model, x = network("b0"), images(1, 32, 32)
    step = bench._runtimes(model, x, tmp_path)["ONNX Runtime"]
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(step()[0]), model(x), rtol=1e-4, atol=1e-5)
