"""What a run answered, image by image, is what its record says."""

import json

import pytest
import torch

from effnet_lib.train import ConfigError, run_answers, train, watch_epochs

from tiny import tiny_config


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two may add in another order than they did in the run
    yield folder, train(tiny_config(tree, epochs=4, keep=4, checkpoint_every=2), folder, quiet=True)
    torch.set_num_threads(threads)


def test_the_last_answers_are_those_of_the_record(run):
    folder, record = run
    for split in ("validation", "test"):
        answers = run_answers(folder, split)
        assert answers.epoch == 3 and answers.accuracy == record["final"][f"{split}_accuracy"]
        assert float(answers.loss.mean()) == pytest.approx(record["final"][f"{split}_loss"], rel=1e-9)
    assert answers.confusion == record["final"]["confusion"]
    wrong = (answers.predicted != answers.labels).nonzero().flatten().tolist()
    assert sorted(answers.worst(1000)) == wrong
    losses = answers.loss[answers.worst(1000)]
    assert torch.equal(losses, losses.sort(descending=True).values)
    assert answers.images.shape[0] == len(answers.labels) and answers.images.dtype == torch.uint8


def test_every_epoch_is_that_of_the_history(run):
    folder, record = run
    epochs = watch_epochs(folder)
    assert [one.epoch for one in epochs] == list(range(4))[-len(epochs) :] and len(epochs) >= 2
    for one in epochs:
        entry = record["epochs"][one.epoch]
        assert one.accuracy == entry["validation_accuracy"]
        assert float(one.loss.mean()) == pytest.approx(entry["validation_loss"], rel=1e-9)


def test_what_cannot_be_looked_at_is_said(run, tmp_path):
    folder, _ = run
    with pytest.raises(ConfigError, match="holds no run"):
        run_answers(tmp_path)
    with pytest.raises(ConfigError, match="got 'exam'"):
        run_answers(folder, "exam")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ConfigError, match="no checkpoint"):
        watch_epochs(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"recipe": "x"}))
    with pytest.raises(ConfigError):
        watch_epochs(tmp_path)
