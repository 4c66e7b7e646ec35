"""Several labels for an image: what is read, what is refused, what is learned, saved and answered."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import assert_same, command, finish, finish_together, start
from sklearn.metrics import average_precision_score, f1_score as sklearn_f1
from tiny import tiny_config

from effnet_lib import build_model, save_weights
from effnet_lib.train import ConfigError, RunError, load_data, read_record, run_answers, train
from effnet_lib.train.augment import Augment
from effnet_lib.train.labels import hold_out_labels, multi_hot, read_labels
from effnet_lib.train.progressive import Stage
from effnet_lib.train.record import compare
from effnet_lib.train.report import confusion_matrix, worst_mistakes
from effnet_lib.train.tasks import MultiLabel, average_precision, f1_score

# Each label lights up a channel; "dim" lights none.
CHANNELS = ("blue", "green", "red")


def make_labelled(root, count=48, split=True, side=16, suffix="png"):
    """Images whose channels are bright where they have the label, and the file that says so."""
    numbers = random.Random(0)
    (root / "images").mkdir(parents=True)
    lines = ["file,labels,split" if split else "file,labels"]
    for i in range(count):
        labels = [name for name in CHANNELS if numbers.random() < 0.5]
        pixels = bytes(
            numbers.randrange(60) + 180 * (name in labels) for _ in range(side * side) for name in reversed(CHANNELS)
        )
        Image.frombytes("RGB", (side, side), pixels).save(root / "images" / f"{i:03}.{suffix}")
        part = f",{('train', 'train', 'train', 'test')[i % 4]}" if split else ""
        lines.append(f"images/{i:03}.{suffix},{';'.join(labels)}{part}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    return make_labelled(tmp_path_factory.mktemp("data") / "lights")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that learns, its record and its folder."""
    output = tmp_path_factory.mktemp("run") / "lights"
    config = tiny_config(
        make_labelled(tmp_path_factory.mktemp("data") / "many", 96), epochs=10, batch_size=8, lr=0.01, optimizer="adamw",
        crop="none", norm_momentum=0.3, ema_decay=0.5, dropout=0.0, stochastic_depth_rate=0.0, keep=30,
    )  # fmt: skip
    return train(config, output, quiet=True), output


def put(folder, text, files=("a.png", "b.png", "sub/c.png")):
    for i, name in enumerate(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (40 * i, 90, 10)).save(path)
    (folder / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.mark.parametrize("text", [
    "file,labels\na.png,sky;sea\nb.png,\nsub/c.png,\"street, wet\"\n",
    "\ufefffile,labels\r\na.png,sky;sea\r\nb.png,\r\nsub/c.png,\"street, wet\"\r\n",  # as Excel writes it
    " Labels , FILE \nsea ; sky;;sea,a.png\n,b.png\n\n\"street, wet\",./sub//c.png",
    "file,labels\n\"a.png\",\"sky|sea\"\nb.png,;\nsub\\c.png,\"street, wet\"",
    "file,labels\ra.png,sky;sea\rb.png,  \rsub/c.png,\"street, wet\"\r",
])  # fmt: skip
def test_the_same_labels_however_they_are_written(tmp_path, text):
    rows = read_labels(put(tmp_path, text))
    assert [(row.file.replace("//", "/"), set(row.labels), row.split) for row in rows] == [
        ("a.png", {"sky", "sea"}, None), ("b.png", set(), None), ("sub/c.png", {"street, wet"}, None)
    ]  # fmt: skip
    assert multi_hot(rows, ("sea", "sky", "street, wet")).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("text, message", [
    ("", "labels.csv is empty: its first line must be file,labels or file,labels,split"),
    ("\n\n", "is empty"),
    ("file,labels\n", "names no images"),
    ("path,labels\na.png,sky\n", "line 1: there is no column file: the first line must be file,labels"),
    ("file;labels\na.png;sky\n", "line 1: there is no column file.*with commas between.*'file;labels'.*Rename the file"),
    ("file,labels,weight\na.png,sky,2\n", "line 1: the column 'weight' is unknown"),
    ("file,labels,file\na.png,sky,a.png\n", "line 1: the column file stands twice"),
    ("a.png,sky\n", "line 1: there is no column file"),
    ("file,labels\na.png,sky\nb.png,sea,sky\n", "line 3: 2 columns are expected.*got 3: separate labels by ;"),
    ("file,labels\na.png\n", "line 2: 2 columns are expected.*got 1"),
    ("file,labels\na.png,sky\nno.png,sea\n", "line 3: there is no file no.png in .*: correct the row or remove it"),
    ("file,labels\nsub,sky\n", "line 2: there is no file sub"),
    ("file,labels\n,sky\n", "line 2: there is no file name"),
    ("file,labels\n/etc/hostname,sky\n", "line 2: /etc/hostname leads out of the folder"),
    ("file,labels\nC:\\a.png,sky\n", "line 2: .* leads out of the folder"),
    ("file,labels\n../x/a.png,sky\n", "line 2: ../x/a.png leads out of the folder"),
    ("file,labels\nsub/../../a.png,sky\n", "line 2: .* leads out"),
    ("file,labels\nsub\\..\\..\\a.png,sky\n", "line 2: .* leads out"),
    ("file,labels\n\na.png,sky\n./a.png,sea\n", "line 4: a.png has a row already, in line 3: give each file one row"),
    ("file,labels\na.png,\"two\nlines\"\nno.png,x\n", "line 4: there is no file no.png"),
    ("file,labels,split\na.png,sky,train\nb.png,sea,later\n", "line 3: split must be train, validation or test, got 'later'"),
    ("file,labels,split\na.png,sky,\n", "line 2: split must be train, validation or test, got ''"),
    ("file,labels\na.png,\"sky\n", "line 2: .*see that its quotes are closed"),
    ("file,labels\n" + "x" * 5000 + ",sky\n", "line 2: there is no file xxx"),
    ("file,labels\na\0.png,sky\n", "line 2"),
    ("file,labels\na.png,caf\xe9\n".encode("latin-1"), "labels.csv is not text"),
    ("file,labels\na.png,sky\n".encode("utf-16"), "labels.csv is not text"),
])  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_labels(put(tmp_path, text))
    assert len(str(raised.value).splitlines()) == 1 and len(str(raised.value)) < 1000


def test_by_command(tmp_path):
    folder = put(tmp_path / "data", "file,labels\na.png,sky\nnone.png,sea\n")
    said = command("train", "--data", folder, "--output", tmp_path / "run")
    assert said.returncode == 2 and "labels.csv, line 3: there is no file none.png" in said.stderr
    assert "Traceback" not in said.stderr and not (tmp_path / "run" / "record.json").exists()


@pytest.mark.parametrize("rows, message", [
    ("a.png,,train\nb.png,,test\n", "no image has a label"),
    ("a.png,x,test\nb.png,x,test\n", "no row has the split train"),
    ("a.png,x,train\nb.png,x,train\n", "no row has the split test or validation"),
    ("a.png,x,train\nb.png,,train\nsub/c.png,,test\n", "of the . images for validation none has a label|for test none"),
    ("a.png,x,train\nb.png,x,val\nsub/c.png,x;new,test\n", "line 4: no training image has the label 'new'"),
])  # fmt: skip
def test_splits_that_cannot_be_trained_on(tmp_path, rows, message):
    put(tmp_path, "file,labels,split\n" + rows)
    for storage in ("memory", "stream"):
        with pytest.raises(ConfigError, match=message):
            load_data(tiny_config(tmp_path, storage=storage))


def test_few_of_each_class_is_refused(labelled):
    with pytest.raises(ConfigError, match="per_class.*leave it out"):
        load_data(tiny_config(labelled, per_class=2))


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_splits_and_labels(labelled, storage):
    data = load_data(tiny_config(labelled, storage=storage, validation=0.25))
    assert data.multi_label and data.classes == CHANNELS and data.id == "lights"
    assert (len(data.train) + len(data.validation), len(data.test)) == (36, 12)
    rows = [row for row in read_labels(labelled) if row.split == "test"]
    assert torch.equal(data.test.labels, multi_hot(rows, CHANNELS))
    if storage == "memory":  # the light of a channel is its label
        bright = data.train.images.float().mean((2, 3)).flip(1) > 120
        assert torch.equal(bright.float(), data.train.labels)


def test_names_of_splits_and_validation_as_test(tmp_path):
    rows = "a.png,x,Training\nb.png,x,DEV\nsub/c.png,x,train\nd.png,x,train\n"
    folder = put(tmp_path, "file,labels,split\n" + rows, ("a.png", "b.png", "sub/c.png", "d.png"))
    data = load_data(tiny_config(folder, storage="stream"))
    assert [path.rpartition("/")[2] for path in data.test.paths] == ["b.png"]
    assert len(data.train) == 2 and len(data.validation) == 1


def test_the_hash_tells_other_labels(labelled, tmp_path):
    def digest(folder, storage):
        return load_data(tiny_config(folder, storage=storage)).sha256

    shutil.copytree(labelled, tmp_path / "lights")
    for storage in ("memory", "stream"):
        assert digest(tmp_path / "lights", storage) == digest(labelled, storage)
    text = (tmp_path / "lights" / "labels.csv").read_text()
    (tmp_path / "lights" / "labels.csv").write_text(text.replace("000.png,", "000.png,blue;green;red;", 1))
    for storage in ("memory", "stream"):
        assert digest(tmp_path / "lights", storage) != digest(labelled, storage)


def test_holding_out_shares_every_label_and_keeps_the_last_image():
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(400, 4, generator=generator) < torch.tensor([0.5, 0.3, 0.1, 0.05])).float()
    stays, held = hold_out_labels(targets, 0.2, salt=1)
    assert sorted([*stays.tolist(), *held.tolist()]) == list(range(400))
    shares = targets[held].sum(0) / targets.sum(0)
    assert ((shares > 0.1) & (shares < 0.3)).all() and 60 <= len(held) <= 100
    assert torch.equal(held, hold_out_labels(targets, 0.2, salt=1)[1])
    assert not torch.equal(held, hold_out_labels(targets, 0.2, salt=2)[1])
    lonely = torch.eye(3).repeat(4, 1)
    lonely = torch.cat([lonely, torch.zeros(12, 1)], 1)
    lonely[5, 3] = 1
    assert 5 in hold_out_labels(lonely, 0.9, salt=1)[0].tolist()


# Loss and metrics, beside other implementations


@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_scikit_learn(ties):
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(60, 5, generator=generator) < 0.3).float()
    scores = torch.rand(60, 5, generator=generator, dtype=torch.float64)
    scores = (scores * 5).round() / 5 if ties else scores
    for y, p in zip(labels.T, scores.T):
        assert average_precision(p, y) == pytest.approx(average_precision_score(y, p), abs=1e-12)
    predicted = (scores >= 0.5).float()
    assert f1_score(predicted, labels) == pytest.approx(sklearn_f1(labels, predicted, average="micro"), abs=1e-12)
    task = MultiLabel(tuple("abcde"))
    found = task.metrics(predicted, scores, labels)
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert found["accuracy"] == (predicted == labels).all(1).double().mean()
    by_class = task.by_class(predicted, scores, labels)
    assert [sum(row) for row in by_class["confusion"]] == [60] * 5


def test_a_label_that_no_image_has_is_left_out_of_the_mean():
    labels, scores = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.9, 0.8], [0.2, 0.1]])
    assert average_precision(scores[:, 1], labels[:, 1]) is None
    assert MultiLabel(("a", "b")).metrics((scores > 0.5).float(), scores, labels)["mean_average_precision"] == 1
    assert f1_score(torch.zeros(2), torch.zeros(2)) == 1


def test_the_loss_by_hand():
    logits, labels = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    yes, no = (-torch.nn.functional.logsigmoid(v) for v in (logits, -logits))  # losses of either answer
    plain = MultiLabel(("a", "b")).criterion(0.0)
    assert plain(logits, labels) == pytest.approx(float(yes[0, 0] + no[0, 1]) / 2)
    smooth = MultiLabel(("a", "b")).criterion(0.2)
    assert smooth(logits, labels) == pytest.approx(
        float(0.9 * yes[0, 0] + 0.1 * no[0, 0] + 0.1 * yes[0, 1] + 0.9 * no[0, 1]) / 2
    )
    weighted = MultiLabel(("a", "b"), [3.0, 5.0]).criterion(0.0)
    assert weighted(logits, labels) == pytest.approx(float(3 * yes[0, 0] + no[0, 1]) / 2)
    mixed = torch.tensor([[0.3, 0.6]])
    assert weighted(logits, mixed) == pytest.approx(
        float(0.9 * yes[0, 0] + 0.7 * no[0, 0] + 3.0 * yes[0, 1] + 0.4 * no[0, 1]) / 2
    )


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing_mixes_the_labels(labelled, kind):
    config = tiny_config(labelled, mix_probability=1.0, crop="none", flip=False, **{kind: 1.0})
    data = load_data(config)
    augment = Augment(config, data.mean, data.std, 3)
    stage = Stage(16, 5.0, 0.0, config.mixup, config.cutmix)
    torch.manual_seed(1)
    images, labels = data.train.images[:8], data.train.labels[:8]
    _, mixed = augment.train(images, labels, stage, False, True)
    share = ((mixed - labels.roll(1, 0)) / (labels - labels.roll(1, 0)))[labels != labels.roll(1, 0)]
    assert torch.allclose(share, share[:1].expand_as(share), atol=1e-5) and 0 < share[0] < 1
    assert torch.equal(labels, data.train.labels[:8])


# Whole runs


def test_it_learns_every_label(run):
    record, output = run
    final = record["final"]
    assert final["test_mean_average_precision"] > 0.8 and final["test_f1"] > 0.65  # guessing: about a half
    assert min(final["per_class_average_precision"]) > 0.6
    assert sum(final["per_class_average_precision"]) / 3 == pytest.approx(final["test_mean_average_precision"])
    assert record["dataset"]["multi_label"] is True and record["dataset"]["classes"] == list(CHANNELS)
    assert read_record(output) == record
    assert all(sum(row) == record["dataset"]["test"] for row in final["confusion"])
    for name in ("confusion", "mistakes", "history"):
        assert (output / f"{name}.png").stat().st_size > 1000
    assert compare([("lights", record)])[0][5] == f"{100 * final['test_mean_average_precision']:.2f} mAP"


def test_the_best_epoch_is_that_of_the_highest_map(run):
    record, _ = run
    precisions = [entry["validation_mean_average_precision"] for entry in record["epochs"]]
    assert record["final"]["best_epoch"] == precisions.index(max(precisions))
    assert record["final"]["best_validation_mean_average_precision"] == max(precisions)


def test_the_answers_again(run):
    record, output = run
    answers = run_answers(output)
    assert answers.accuracy == record["final"]["test_accuracy"]
    assert answers.confusion == record["final"]["confusion"]
    assert answers.predicted.shape == answers.probability.shape == (24, 3)


def test_saved_weights_answer_with_independent_probabilities(run, tmp_path):
    record, output = run
    labelled = Path(record["config"]["data"])
    answers = run_answers(output)
    for suffix in (".pt", ".safetensors"):
        model = build_model(weights=output / f"weights{suffix}")
        assert model.weights.multi_label and model.weights.top1 is None and model.weights.categories == CHANNELS
        rows = [row for row in read_labels(labelled) if row.split == "test"]
        for i, row in enumerate(rows):
            said = model.classify(labelled / row.file, 3)
            assert [p.probability for p in said] == sorted((p.probability for p in said), reverse=True)
            for guess in said:
                assert guess.probability == pytest.approx(float(answers.probability[i, guess.index]), abs=1e-5)
    save_weights(model, tmp_path / "again.safetensors")
    assert build_model(weights=tmp_path / "again.safetensors").weights.multi_label
    fresh = build_model(weights=output / "weights.pt", num_classes=4, new_head=True)
    assert not fresh.weights.multi_label
    model.classifier = torch.nn.Linear(model.classifier.in_features, 5)
    assert not model.weights.multi_label


def test_ordinary_weights_say_nothing_of_it(tmp_path):
    model = build_model("b0", 2)
    save_weights(model, tmp_path / "plain.safetensors")
    assert b"multi_label" not in (tmp_path / "plain.safetensors").read_bytes()[:20000]
    assert not build_model(weights=tmp_path / "plain.safetensors").weights.multi_label


def test_fine_tuning_from_them_keeps_the_head_for_the_same_labels_only(run, tree, tmp_path):
    record, output = run
    labelled = record["config"]["data"]
    settings = dict(weights=str(output / "weights.pt"), variant=None, epochs=1, lr=1e-6, warmup_epochs=0.0)
    same = train(tiny_config(labelled, **settings), tmp_path / "same", quiet=True)
    before = record["final"]["test_mean_average_precision"]
    assert same["final"]["test_mean_average_precision"] == pytest.approx(before, abs=0.1)
    other = train(tiny_config(tree, **settings), tmp_path / "other", quiet=True)
    assert "multi_label" not in other["dataset"]
    assert not build_model(weights=tmp_path / "other" / "weights.pt").weights.multi_label


@pytest.mark.parametrize("changes", [
    {"mixup": 0.2, "cutmix": 1.0, "policy": "trivial", "accumulate": 2},
    {"storage": "stream", "workers": 0, "crop": "resized", "class_weights": "balanced"},
    {"storage": "stream", "workers": 1, "sampling": "balanced", "precision": "bf16"},
    {"class_weights": "{\"red\": 2}", "sampling": "balanced"},
])  # fmt: skip
def test_settings_run(labelled, tmp_path, changes):
    record = train(tiny_config(labelled, epochs=1, **changes), tmp_path / "run", quiet=True)
    assert 0 < record["final"]["test_mean_average_precision"] <= 1
    if "class_weights" in changes:
        assert len(record["class_weights"]) == 3
    assert sum(record["dataset"]["train_per_class"]) > 0


def test_two_processes_equal_one(labelled, tmp_path):
    calm = {"freeze_norm": True, "dropout": 0.0, "stochastic_depth_rate": 0.0, "crop": "none", "flip": False}
    config = tiny_config(labelled, sampling="balanced", class_weights="balanced", epochs=2, **calm)
    finish(config, tmp_path / "one")
    finish_together(config, tmp_path / "two", 2)
    one, two = (read_record(tmp_path / name)["final"] for name in ("one", "two"))
    assert one["test_loss"] == pytest.approx(two["test_loss"], rel=1e-4)
    assert one["test_mean_average_precision"] == pytest.approx(two["test_mean_average_precision"], abs=1e-6)


def test_stopped_and_resumed_it_ends_with_the_same_bits(labelled, tmp_path):
    config = tiny_config(labelled, sampling="balanced", class_weights="balanced", checkpoint_every=1, mixup=0.2)
    finish(config, tmp_path / "whole")
    process = start(config, tmp_path / "cut", die_at=20)
    process.join(120)
    assert process.exitcode != 0 and not (tmp_path / "cut" / "record.json").exists()
    finish(config, tmp_path / "cut", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_damaged_image_is_named(labelled, tmp_path):
    shutil.copytree(labelled, tmp_path / "lights")
    (tmp_path / "lights" / "images" / "007.png").write_bytes(b"no picture")
    with pytest.raises((RunError, ConfigError), match="007.png"):
        load_data(tiny_config(tmp_path / "lights"))


def test_counts_and_mistakes_by_hand():
    labels = torch.tensor([[1, 0], [1, 1], [0, 0]])
    predicted = torch.tensor([[1, 1], [0, 1], [0, 0]])
    assert confusion_matrix(predicted, labels, 2) == [[1, 0, 1, 1], [1, 1, 0, 1]]
    assert worst_mistakes(predicted, labels, torch.tensor([1.0, 2.0, 3.0]), 5) == [1, 0]


def test_the_class_report_is_in_the_command(labelled, tmp_path):
    settings = {k: v for k, v in json.loads(tiny_config(labelled, epochs=1).to_json()).items() if v is not None}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    said = command("train", "--config", tmp_path / "settings.json", "--output", tmp_path / "run")
    assert said.returncode == 0, said.stderr
    assert "validation mAP" in said.stdout and "mAP              validation" in said.stdout
    assert "by class: blue " in said.stdout


@pytest.mark.parametrize("when", ["before", "during"])
def test_what_is_advised_for_a_bad_image_works(tmp_path, when):
    root = make_labelled(tmp_path / "lights")
    config, output = tiny_config(root, epochs=3, storage="stream", crop="none"), tmp_path / "run"
    bad = root / "images" / "001.png"
    good = bad.read_bytes()

    def break_it(history):
        if len(history) == 1:
            bad.write_bytes(good[:40])

    if when == "before":
        bad.write_bytes(good[:40])
    with pytest.raises(RunError, match="replace or remove it") as error:
        train(config, output, quiet=True, on_epoch=break_it)
    bad.unlink()
    if when == "before":  # nothing was trained yet: the list and the files have to agree
        assert "and its row in labels.csv" in str(error.value)
        lines = (root / "labels.csv").read_text().splitlines(True)
        (root / "labels.csv").write_text("".join(line for line in lines if "001.png" not in line))
    record = train(config, output, resume=True, quiet=True)
    assert record["resumed"] == (when == "during") and len(record["epochs"]) == 3


def test_other_labels_in_a_run_that_goes_on_are_named(tmp_path, capsys):
    root = make_labelled(tmp_path / "lights")
    config, output = tiny_config(root, epochs=1, storage="stream", crop="none"), tmp_path / "run"
    train(config, output, quiet=True)
    text = (root / "labels.csv").read_text()
    row = next(line for line in text.splitlines() if line.endswith("train") and ";" in line)
    (root / "labels.csv").write_text(text.replace(row, row.replace(";", "|").replace("|", ",train#", 1).split("#")[0]))
    (output / "record.json").unlink()
    train(config, output, resume=True)
    said = "".join(capsys.readouterr())
    assert "1 image has other labels now (those at the beginning are used)" in said and "0 images" not in said
