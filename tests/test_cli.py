import json
import os
import subprocess
import sys

import pytest

from effnet_lib import count_cost, list_variants, scale_variant
from effnet_lib.cli import main


def run(capsys, *arguments):
    status = main(list(arguments))
    return status, *capsys.readouterr()


def test_table_at_a_phi(capsys):
    status, out, err = run(capsys, "table", "--phi", "1.5")
    cost = count_cost(scale_variant(1.5))
    assert (status, err) == (0, "")
    assert f"{cost.parameters:,}" in out and f"{cost.multiply_adds:,}" in out
    for row in cost.stages:
        assert f"{row.parameters:,}" in out
    assert "depth 1.315, width 1.154, resolution 1.233" in out


def test_table_json_is_the_library(capsys):
    status, out, _ = run(capsys, "table", "--phi", "-2.5", "--alpha", "1.3", "--num-classes", "10", "--json")
    variant = scale_variant(-2.5, alpha=1.3)
    cost, value = count_cost(variant, num_classes=10), json.loads(out)
    assert status == 0
    assert (value["parameters"], value["multiply_adds"]) == (cost.parameters, cost.multiply_adds)
    assert [row["channels"] for row in value["stages"]] == [row.channels for row in cost.stages]
    assert value["resolution"] == variant.resolution
    assert value["scaling"]["depth"] == 1.3**-2.5


def test_table_of_a_variant(capsys):
    status, out, _ = run(capsys, "table", "--variant", "B3", "--resolution", "320", "--json")
    value = json.loads(out)
    assert status == 0 and value["variant"] == "b3" and value["resolution"] == 320
    assert value["multiply_adds"] == count_cost("b3", 320).multiply_adds
    assert value["published"]["top1"] == 81.6
    _, out, _ = run(capsys, "table", "--variant", "b3")
    assert "top-1 81.6 %" in out and "Table 2" in out


def test_table_without_arguments_is_the_base(capsys):
    assert "5,288,548" in run(capsys, "table")[1]


def test_variants(capsys):
    _, out, _ = run(capsys, "variants")
    assert all(f"{count_cost(name).parameters:,}" in out for name in list_variants())
    _, out, _ = run(capsys, "variants", "--family", "lite", "--json")
    assert [row["variant"] for row in json.loads(out)] == list_variants("lite")


def test_summary(capsys):
    _, out, _ = run(capsys, "summary", "b0", "--depth", "2")
    assert "5,288,548" in out and "385,814,752" in out and "EfficientNet" in out
    _, out, _ = run(capsys, "summary", "l2", "--json")
    value = json.loads(out)
    assert value["parameters"] == 480_309_308 and value["layers"][0]["output_size"] == [1, 1000]


BAD = [
    (("table", "--phi", "nan"), "phi must be a finite number"),
    (("table", "--phi", "inf"), "phi must be a finite number"),
    (("table", "--phi", "1000"), "between -13.9 and 22.8"),
    (("table", "--phi", "-inf"), "phi must be a finite number"),
    (("table", "--phi", "-3e1"), "between -13.9 and 22.8"),
    (("table", "--alpha", "-1e3"), "alpha must be at least 1"),
    (("table", "--bo\ngus"), "unrecognized"),
    (("summary", "b0", "--in-channels", "999999999999999999"), "summary: error"),
    (("summary", "b0", "--num-classes", "9" * 30), "summary: error"),
    (("table", "--phi", "abc"), "--phi: invalid float value: 'abc'"),
    (("table", "--phi", "1", "--beta", "0.9"), "beta must be at least 1"),
    (("table", "--phi", "1", "--variant", "b0"), "not allowed with"),
    (("table", "--variant", "b0", "--alpha", "1.3"), "--alpha"),
    (("table", "--variant", "b9"), "did you mean b8"),
    (("table", "--variant", "b0", "--resolution", "31"), "at least 32"),
    (("table", "--variant", "b0", "--resolution", "3.5"), "invalid int"),
    (("table", "--num-classes", "-1"), "num_classes"),
    (("table", "--in-channels", "-1"), "in_channels"),
    (("variants", "--family", "v9"), "'v9'"),
    (("summary",), "NAME"),
    (("summary", "b99"), "b99"),
    (("summary", "b0", "--depth", "0"), "--depth"),
    (("nonsense",), "nonsense"),
    ((), "COMMAND"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_input_is_one_line_and_status_2(capsys, arguments, message):
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_negative_numbers_in_any_form(capsys):
    assert run(capsys, "table", "--phi", "-1e-1")[1] == run(capsys, "table", "--phi", "-0.1")[1]


@pytest.mark.parametrize("arguments", [("table",), ("table", "--json"), ("--help",), ("summary", "b0", "--depth", "1")])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_greek_letters(arguments, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "effnet_lib", *arguments]
    result = subprocess.run(command, capture_output=True, env=environment)
    assert (result.returncode, result.stderr) == (0, b"") and len(result.stdout) > 200
    if "--json" in arguments:
        assert json.loads(result.stdout)["stages"][1]["operator"] == "MBConv1 3×3"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_disk():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "effnet_lib", "variants"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1 and b"cannot write" in result.stderr
    assert b"Traceback" not in result.stderr


def test_the_installed_command_and_a_closed_pipe():
    command = [sys.executable, "-m", "effnet_lib", "variants", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    result = subprocess.run([sys.executable, "-m", "effnet_lib", "table", "--phi", "x"], capture_output=True)
    assert result.returncode == 2 and result.stderr.count(b"\n") == 1


def test_standard_output_that_is_closed(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", None)
    assert main(["table"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error, status, message", [
    (KeyError("x"), 1, ": 'x' (EFFNET_TRACEBACK=1 shows more)"),
    (MemoryError(), 1, "not enough memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nmore"), 1, "not enough memory"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (PermissionError(13, "Permission denied", "/a/b"), 1, "/a/b: Permission denied"),
    (ModuleNotFoundError("No module named 'PIL'", name="PIL"), 1, "effnet variants needs pillow: pip install pillow"),
    (ImportError("libGL.so.1: cannot open\nmore"), 1, "cannot be imported: libGL.so.1: cannot open"),
    (ValueError("a\x1b[2Jb"), 2, "a?[2Jb"),
])  # fmt: skip
def test_whatever_happens_is_one_line(capsys, monkeypatch, error, status, message):
    from effnet_lib import cli

    def fail(*arguments):
        raise error

    monkeypatch.setattr(cli, "list_variants", fail)
    assert main(["variants"]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("effnet variants: error: ") and message in err
    if isinstance(error, KeyError):
        assert "a fault in effnet_lib, KeyError in test_cli.py, line " in err
        monkeypatch.setenv("EFFNET_TRACEBACK", "1")
        with pytest.raises(KeyError):
            main(["variants"])


def test_the_experiments_as_json(capsys):
    status, out, _ = run(capsys, "experiment", "--json")
    rows = json.loads(out)
    assert status == 0 and {"compound", "scratch"} <= {row["name"] for row in rows}
    assert all(row["question"].endswith("?") and row["arms"] and row["seeds"] for row in rows)
    _, out, _ = run(capsys, "experiment")
    assert all(f"{row['name']} " in out for row in rows)


def test_a_rehearsal_keeps_its_records_to_itself(capsys, tmp_path):
    arguments = ["experiment", "scratch", "--rehearse", "--print", "--runs", str(tmp_path)]
    status, out, _ = run(capsys, *arguments)
    assert status == 0 and str(tmp_path / "rehearsal" / "runs") in out
    status, out, err = run(capsys, *arguments, "--results", str(tmp_path / "results"))
    assert (status, out) == (2, "") and err.count("\n") == 1 and "without --results" in err
