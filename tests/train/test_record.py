import copy
import json
import os
import sys

import jsonschema
import pytest
from tiny import tiny_config

from effnet_lib.cli import main
from effnet_lib.train import SCHEMA, ConfigError, check_record, find_records, read_record, train
from effnet_lib.train.config import config_from_json


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "first"
    return train(tiny_config(tree, epochs=2), output, data_id="noise-16", quiet=True), output


def test_a_record_by_its_schema(run):
    record, output = run
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(record, SCHEMA)
    check_record(record)
    assert read_record(output) == json.loads((output / "record.json").read_text()) == record
    config = config_from_json(json.dumps(record["config"]))
    assert config.epochs == len(record["epochs"]) == 2 and record["seed"] == config.seed
    assert record["dataset"]["id"] == "noise-16" and len(record["dataset"]["sha256"]) == 64
    assert record["device"]["name"] and record["wall_time_s"] > 0 and record["peak_memory_bytes"] > 1e6
    assert record["images_per_second"] > 0 and {"torch", "torchvision", "python"} <= set(record["versions"])
    assert len(record["commit"]) >= 40
    confusion = record["final"]["confusion"]
    right = sum(row[i] for i, row in enumerate(confusion))
    assert record["final"]["test_accuracy"] == right / sum(map(sum, confusion))
    for name in ("confusion.png", "mistakes.png", "history.png", "weights.pt", "log.jsonl", "config.json"):
        assert (output / name).stat().st_size > 0, name


def harm(change):
    def apply(record):
        record = copy.deepcopy(record)
        change(record)
        return record

    return apply


WRONG = [
    (harm(lambda r: r.pop("seed")), "record.seed is missing"),
    (harm(lambda r: r["final"].pop("test_accuracy")), "record.final.test_accuracy is missing"),
    (harm(lambda r: r["final"].update(test_accuracy=97.2)), "test_accuracy must lie between 0 and 1, got 97.2"),
    (harm(lambda r: r.update(seed="0")), "record.seed must be integer"),
    (harm(lambda r: r.update(seed=True)), "record.seed must be integer"),
    (harm(lambda r: r["epochs"][1].update(lr=None)), r"record.epochs\[1\].lr must be number"),
    (harm(lambda r: r.update(note="by hand")), "record.note is not a field"),
    (harm(lambda r: r.update(schema="effnet-record-9")), "must be one of"),
    (harm(lambda r: r["final"]["confusion"][0].append(-1)), "must lie between 0"),
    (lambda r: [], "record must be object"),
]


def test_a_name_that_is_no_text_costs_no_run(tree, tmp_path, monkeypatch, capsys):
    """An old disk's Latin-1, or a locale that knows ASCII only: the record comes back as it went."""
    output = tmp_path / os.fsdecode(b"r\xfcn")
    monkeypatch.setattr(sys, "argv", ["effnet", "train", "--output", str(output)])
    record = train(tiny_config(tree, epochs=1, warmup_epochs=0), output, quiet=True)
    assert "\udcfc" in record["command"]
    assert read_record(output) == record
    (output / "record.json").read_bytes().decode()  # in UTF-8, whatever the name
    assert main(["results", str(tmp_path)]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("change, message", WRONG)
def test_what_is_no_record_is_refused_as_jsonschema_refuses_it(run, change, message):
    record = change(run[0])
    with pytest.raises(ConfigError, match=message):
        check_record(record)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, SCHEMA)


def test_results_lists_and_compares(run, tmp_path, capsys):
    record, output = run
    better = copy.deepcopy(record)
    better["final"]["test_accuracy"] = 1.0
    better["seed"] = 7
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "better.json").write_text(json.dumps(better))
    (tmp_path / "other.json").write_text("{}")
    worse = copy.deepcopy(record)
    worse["final"]["test_accuracy"] = 0.25
    worse["device"]["name"] = "\x1b[2J\n"  # what would clear the terminal
    (tmp_path / "worse.json").write_text(json.dumps(worse))
    assert main(["results", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "test %" in lines[0]
    assert lines[2].endswith("?[2J?")
    assert "better.json" in lines[1] and "100.00" in lines[1] and "25.00" in lines[2] and "noise-16" in lines[1]
    assert main(["results", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["final"] == record["final"]
    assert [name for name, _ in find_records([str(tmp_path)])] == ["deep/er/better.json", "worse.json"]


@pytest.mark.parametrize("arguments, message", [
    (["results", "/no/such/place"], "there is no /no/such/place"),
    (["results"], "there is no runs"),
    (["results", "x" * 300], "File name too long"),
])  # fmt: skip
def test_results_without_records(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{")
    for path, text in (("bad.json", "not JSON"), (".", "no records")):
        assert main(["results", path]) == 2
        assert text in capsys.readouterr().err
