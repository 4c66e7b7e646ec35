"""What stands in the explorers of chapter 11 is what the run and the library say."""

import base64
import io
import json
import re

import pytest
from PIL import Image

from effnet_lib import budget_explorer, count_cost, training_explorer
from effnet_lib.explore.training import SHOWN
from effnet_lib.train import ConfigError, read_record, train, watch_epochs
from tests.train.tiny import make_tree, tiny_config


@pytest.mark.parametrize("make", [training_explorer, budget_explorer])
def test_self_contained_and_the_same_every_time(make):
    html = make()._repr_html_()
    assert html == make()._repr_html_()
    code = re.sub(r'<script type="application/json">.*?</script>', "", html, flags=re.S)
    assert set(re.findall(r"https?://[^\s\"'`)]+", code)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|import\(|fetch\(|type=\"module\"", code)
    embedded = re.search(r'<script type="application/json">(.*?)</script>', html, re.S).group(1)
    assert json.loads(embedded) == json.loads(json.dumps(make().data))


def consistent(data):
    """Each epoch's counts fit together, and every mistake has its picture."""
    n, size = len(data["classes"]), data["size"]
    tiles = {tile for epoch in data["epochs"] for tile, *_ in epoch["mistakes"]}
    assert tiles == set(range(len(tiles)))
    if tiles:
        assert Image.open(io.BytesIO(base64.b64decode(data["sprite"]))).size == (len(tiles) * size, size)
    for epoch in data["epochs"]:
        matrix = [epoch["confusion"][i * n : (i + 1) * n] for i in range(n)]
        assert sum(map(sum, matrix)) == data["images"] and sum(matrix[i][i] for i in range(n)) == epoch["right"]
        assert len(epoch["mistakes"]) == min(SHOWN, data["images"] - epoch["right"])
        for _, label, predicted, probability in epoch["mistakes"]:
            assert label != predicted and matrix[label][predicted] > 0 and 0 < probability <= 1
    times = [time for time, _, _ in data["steps"]]
    assert times == sorted(times) and times[-1] <= data["total"]


def test_the_run_that_comes_with_the_library():
    data = training_explorer().data
    consistent(data)
    assert len(data["epochs"]) == data["total"] == 10 and data["classes"] == list("0123456789")
    assert data["epochs"][-1]["right"] > 0.95 * data["images"]
    static = training_explorer()._repr_html_().split('class="effnet-static"')[1].split("<script>")[0]
    assert static.count('<th scope="row">') == 10


def test_a_run_of_ones_own(tmp_path):
    tree = make_tree(tmp_path / "data")
    record = train(tiny_config(tree, keep=3), tmp_path / "run", quiet=True)
    data = training_explorer(tmp_path / "run").data
    consistent(data)
    assert record == read_record(tmp_path / "run") and data["total"] == 3
    for shown, answers in zip(data["epochs"], watch_epochs(tmp_path / "run"), strict=True):
        entry = record["epochs"][shown["epoch"] - 1]
        assert shown["train_loss"] == pytest.approx(entry["train_loss"], abs=1e-4)
        assert shown["right"] / data["images"] == entry["validation_accuracy"] == answers.accuracy
        assert [m[1] for m in shown["mistakes"]] == [int(answers.labels[i]) for i in answers.worst(SHOWN)]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [s[1] for s in data["steps"]] == pytest.approx([e["loss"] for e in lines if e["event"] == "step"], abs=1e-4)
    with pytest.raises(ConfigError):
        training_explorer(tmp_path)


def test_the_budget_page_knows_the_networks():
    data = budget_explorer().data
    assert data["networks"] == {f"b{i}": count_cost(f"b{i}").multiply_adds for i in range(8)}
    assert ["b0", 8, 2489, 5.8] in data["examples"] and len(data["examples"]) == 4


def test_sgd_and_rmsprop_want_learning_rates_a_hundredfold_apart(monkeypatch):
    """As chapter 10 says beside the training lab: what suits one does not suit the other."""
    pytest.importorskip("sklearn")
    from effnet_lib import training_lab

    monkeypatch.setenv("EFFNET_STILL", "1")
    lab = training_lab()
    for optimizer, suits in (("sgd", 0.03), ("rmsprop_tf", 0.0003)):
        found = {}
        for lr in (0.03, 0.0003):
            lab.train(optimizer, lr, 100)
            found[lr] = lab.runs[-1]["accuracy"]
        assert found.pop(suits) > 0.9 and found.popitem()[1] < 0.85, optimizer
