import json

import pytest

from effnet_lib import cifar_study, count_cost, dimension_study, published_study, scale_by
from effnet_lib.studies import SATURATION
from effnet_lib.train import ConfigError, make_variant
from effnet_lib.train.experiments import all_experiments


def made_up(variant, resolution, multiply_adds, seed, accuracy):
    """A record such as a run writes, with figures that no run has given."""
    final = dict.fromkeys(
        ("test_loss", "validation_accuracy", "validation_loss", "test_accuracy_without_ema",
         "validation_accuracy_without_ema", "best_epoch", "best_validation_accuracy"), 0
    )  # fmt: skip
    return {
        "schema": "effnet-record-1", "command": "made up", "commit": None, "started": "", "finished": "", "seed": seed,
        "config": {"recipe": "cifar", "variant": variant},
        "dataset": {"id": "", "sha256": "", "hash_of": "", "classes": [], "train": 0, "validation": 0, "test": 0},
        "model": {"variant": variant, "parameters": 1, "multiply_adds": multiply_adds, "resolution": resolution,
                  "output_stride": 8},
        "device": {"name": "", "type": "", "processes": 1, "threads": 1, "precision": ""}, "versions": {},
        "epochs": [], "images_per_second": 0.0, "wall_time_s": 0.0, "peak_memory_bytes": 0, "resumed": 0,
        "final": final | {"test_accuracy": accuracy, "per_class_accuracy": [], "confusion": []},
    }  # fmt: skip


#: variant, resolution, multiply-adds, what it scales
NETWORKS = [
    ("phi=-4", 32, 100, "none"),
    ("phi=-4,depth=2", 32, 200, "depth"),
    ("phi=-4,depth=4", 32, 400, "depth"),
    ("phi=-4,width=2", 32, 400, "width"),
    ("phi=-4", 64, 400, "resolution"),
    ("phi=-2", 40, 410, "all three"),
    ("phi=-4,depth=1.4,width=1.2", 42, 405, "all three"),
]


def write_records(place):
    """Three runs of each network, and what does not belong to the study."""
    folder = place / "compound"
    folder.mkdir()
    for i, (variant, resolution, cost, _) in enumerate(NETWORKS):
        for seed in range(3):
            record = made_up(variant, resolution, cost, seed, 0.5 + i / 100 + seed / 1000)
            (folder / f"{i}-seed{seed}.json").write_text(json.dumps(record))
    (place / "other.json").write_text(json.dumps(made_up("b0", 32, 7, 0, 0.9)))
    (folder / "notes.json").write_text("{}")


def test_records_become_a_study(tmp_path):
    write_records(tmp_path)
    rows = dimension_study(tmp_path)
    assert [(r.dimension, r.multiply_adds) for r in rows] == [
        ("none", 100), ("depth", 200), ("depth", 400), ("width", 400), ("resolution", 400),
        ("all three", 405), ("all three", 410),
    ]  # fmt: skip
    assert rows[0].runs == pytest.approx((50.0, 50.1, 50.2)) and rows[0].accuracy == pytest.approx(50.1)
    assert "compound/0-seed0.json" in rows[0].source and rows[0].factors == {}
    assert dimension_study(tmp_path, tag="other")[0].accuracy == 90


def test_the_arms_of_the_experiment_are_told_apart(tmp_path):
    """Records as `effnet experiment compound` names them, with costs as it counts them."""
    experiment = all_experiments()["compound"]
    for arm in experiment.arms:
        config = experiment.config(arm, 0, "cifar10")
        variant = make_variant(config.variant).with_output_stride(config.output_stride)
        cost = count_cost(variant, config.resolution, 10).multiply_adds
        record = made_up(config.variant, config.resolution, cost, 0, 0.5)
        path = tmp_path / "compound" / f"{arm}-0.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record))
    rows = dimension_study(tmp_path)
    assert len(rows) == len(experiment.arms) and rows[0].dimension == "none"
    words = {"depth": "depth", "width": "width", "resolution": "resolution", "all three": "compound"}
    for row in rows[1:]:
        arm, factor = row.source.removeprefix("compound/").split("-")[:2]
        assert words[row.dimension] == arm
        assert row.multiply_adds / rows[0].multiply_adds == pytest.approx(int(factor), rel=0.2)


def test_no_records_no_study(tmp_path, monkeypatch):
    assert dimension_study(tmp_path) == ()
    monkeypatch.setattr("effnet_lib.studies.RESULTS", (tmp_path / "not there", tmp_path))
    assert dimension_study() == ()
    with pytest.raises(ConfigError, match="there is no"):
        dimension_study(tmp_path / "not there")


def test_the_paper():
    """Costs as printed agree with the count as well as the rest of the paper's do."""
    for row in published_study():
        counted = count_cost(scale_by(**row.factors)).multiply_adds
        assert counted == pytest.approx(row.multiply_adds, rel=0.25), row
        assert "Table 7" in row.source
    for base in ("b0", "mobilenet_v1", "mobilenet_v2", "resnet50"):
        none, *alone, together = published_study(base)
        assert (none.dimension, together.dimension) == ("none", "all three")
        assert none.accuracy < min(r.accuracy for r in alone) and max(r.accuracy for r in alone) < together.accuracy
    assert [row.dimension for row in published_study("mobilenet_v1")] == ["none", "width", "resolution", "all three"]
    assert max(row.accuracy for row in published_study()[1:4]) < SATURATION
    with pytest.raises(ValueError, match="'b1'.*b0, mobilenet_v1, mobilenet_v2, resnet50"):
        published_study("b1")


def test_without_records_only_what_others_reached_stands(tmp_path):
    rows = cifar_study(tmp_path)
    assert rows and all(row.runs == () and row.spread is None and row.source for row in rows)
    assert [row.accuracy for row in rows if row.how == "fine-tuned"] == [98.9, 98.1]
    assert max(row.accuracy for row in rows if row.how == "from scratch") == 96.0


def test_recorded_runs_join_what_others_reached(tmp_path):
    """Made-up records: two seeds of one network, one of another, and what does not belong."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    for name, variant, seed, accuracy, data in (
        ("b0-0", "b0", 0, 0.5, "cifar10"), ("b0-1", "b0", 1, 0.52, "cifar10"), ("v2-b0-0", "v2_b0", 0, 0.6, "cifar10"),
        ("jpeg-0", "b0", 0, 0.4, "cifar10-jpeg75"), ("other-0", "b0", 0, 0.9, "digits"),
    ):  # fmt: skip
        record = made_up(variant, 32, 7, seed, accuracy)
        record["dataset"]["id"], record["config"]["seed"], record["wall_time_s"] = data, seed, 10.0 + seed
        record["device"]["name"] = "a GPU"
        (folder / f"{name}.json").write_text(json.dumps(record))
    ours = [row for row in cifar_study(tmp_path) if row.runs]
    assert [(row.name, row.data, len(row.runs)) for row in ours] == [
        ("v2_b0", "cifar10", 1), ("b0", "cifar10", 2), ("b0", "cifar10-jpeg75", 1),
    ]  # fmt: skip
    assert ours[1].accuracy == pytest.approx(51) and ours[1].spread == pytest.approx(2**0.5) and ours[0].spread is None
    assert ours[1].seconds == 10.5 and ours[1].device == "a GPU" and "scratch/b0-1.json" in ours[1].source
    assert cifar_study(tmp_path, tag="nothing") == cifar_study(tmp_path)[: -len(ours)]

    # What shares the word, or saw a few images of each class alone, is another study.
    (tmp_path / "transfer").mkdir()
    (tmp_path / "transfer" / "scratch-10-0.json").write_text(json.dumps(record | {"seed": 5}))
    record["config"]["per_class"], record["dataset"]["id"] = 50, "cifar10"
    (folder / "few-0.json").write_text(json.dumps(record))
    assert [row for row in cifar_study(tmp_path) if row.runs] == ours

    pytest.importorskip("matplotlib")
    from effnet_lib.explore.figures_training import plot_cifar

    (axes,) = plot_cifar(cifar_study(tmp_path)).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert sum("our runs" in label for label in labels) == 3 and len(labels) == len(cifar_study(tmp_path))
    assert any("51.00 ± 1.41" in text.get_text() for text in axes.texts)
    assert axes.get_xlim()[0] <= 38
    assert len(plot_cifar(cifar_study(tmp_path, tag="nothing")).axes[0].texts) == len(labels) - 3
