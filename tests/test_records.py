import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from effnet_lib import list_recorded, recorded

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", list_recorded())
def test_records_say_where_they_come_from(name):
    record = recorded(name)
    assert record == json.loads((ROOT / "results" / f"{name}.json").read_text())
    assert record["schema"].startswith("effnet-") and record["command"] and record["device"] and record["versions"]


def test_every_record_is_listed():
    assert list_recorded() == tuple(
        sorted(p.relative_to(ROOT / "results").with_suffix("").as_posix() for p in (ROOT / "results").rglob("*.json"))
    )
    assert list_recorded()


@pytest.mark.parametrize("name", ["", "no-such", "../pyproject", "latency-xeon-one-thread.json", None, 3])
def test_an_unknown_record_is_named(name):
    with pytest.raises(ValueError, match=f"no record is named {re.escape(repr(name))}: there is .*latency-xeon"):
        recorded(name)


def test_records_below_folders_and_without_records(tmp_path, monkeypatch):
    monkeypatch.setattr("effnet_lib.records.RESULTS", (tmp_path / "results",))
    assert list_recorded() == ()
    with pytest.raises(ValueError, match="there is none"):
        recorded("a")
    (tmp_path / "results" / "compound").mkdir(parents=True)
    (tmp_path / "results" / "compound" / "depth-seed-0.json").write_text('{"a": "é"}', encoding="utf-8")
    assert list_recorded() == ("compound/depth-seed-0",)
    assert recorded("compound/depth-seed-0") == {"a": "é"}


def test_records_travel_in_the_wheel(tmp_path):
    """As a reader gets it who installs the library alone, in Colab for example."""
    copy = tmp_path / "copy"  # building leaves files behind
    for folder in ("effnet_lib", "results"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-q"]
    made = subprocess.run([*command, "-w", str(tmp_path), str(copy)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {f"effnet_lib/results/{name}.json" for name in list_recorded()} <= set(names)
