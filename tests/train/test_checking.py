"""Bad images: found before training, skipped or refused, and what a run survives when one turns up later."""

import json
import os
import random
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import assert_same, finish_together
from tiny import make_tree, tiny_config

from effnet_lib.cli import main
from effnet_lib.train import ConfigError, RunError, change_config, checking, load_data, run_answers, train
from effnet_lib.train.checkpoint import list_checkpoints
from effnet_lib.train.checking import BadImages, check_images, forget
from effnet_lib.train.manifest import NAME, Manifest, read_manifest, reconcile

HARMS = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"<html>404</html>"),
    "broken link": lambda path: (path.unlink(), path.symlink_to("nowhere.png")),
    "a program": lambda path: path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n"
    ),
}
harms = pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())


def files_of(root, part="train", name="dark"):
    return sorted((root / part / name).iterdir())


def rot(path):
    """Damage a file without a change of its size and time, as a dying disk does."""
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def save(tree, tmp_path, **changes):
    """Settings in a file, and the arguments that train by them."""
    (tmp_path / "c.json").write_text(tiny_config(tree, **changes).to_json())
    return ["train", "--config", str(tmp_path / "c.json"), "--output", str(tmp_path / "run"), "--quiet"]


# The check


@harms
def test_every_bad_image_is_found(tmp_path, harm):
    tree = make_tree(tmp_path / "data")
    paths = [*files_of(tree), *files_of(tree, "test", "light")]
    for path in (paths[3], paths[-1]):
        harm(path)
    bad = check_images(map(str, paths))
    assert list(bad) == [str(paths[3]), str(paths[-1])]
    assert all(
        path.name in reason and "\n" not in reason
        for path, reason in zip((paths[3], paths[-1]), bad.values())
    )


def test_what_was_found_good_is_not_read_again_until_it_changes(tmp_path, monkeypatch):
    paths, memory = files_of(make_tree(tmp_path / "data")), tmp_path / "cache" / "deep" / "memory"
    paths[0].write_bytes(b"bad")
    read, real = [], checking.find_fault
    monkeypatch.setattr(checking, "find_fault", lambda path: read.append(Path(path)) or real(path))

    def reads():
        read.clear()
        bad = check_images(map(str, paths), memory)
        assert list(bad) == [str(paths[0])]
        return sorted(read)

    assert reads() == paths
    assert reads() == paths[:1]  # a bad one may have been mended meanwhile
    os.utime(paths[5], ns=(1, 1))
    paths[7].write_bytes(paths[7].read_bytes() + b"more")
    assert reads() == [paths[0], paths[5], paths[7]]
    monkeypatch.setattr(checking, "VERSION", 99)
    assert reads() == paths
    memory.write_bytes(memory.read_bytes()[:-3])
    assert reads() == paths and reads() == paths[:1]
    forget(memory)
    assert reads() == paths


def test_without_a_place_to_remember(tmp_path, monkeypatch):
    tree = make_tree(tmp_path / "data")
    (tmp_path / "file").write_text("")
    config = tiny_config(tree, storage="stream")
    monkeypatch.setenv("EFFNET_DATA", str(tmp_path / "file" / "cache"))
    assert len(load_data(config).test) == 12
    monkeypatch.delenv("EFFNET_DATA")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert len(load_data(config).test) == 12


def test_ctrl_c_ends_the_check_and_keeps_what_is_known(tmp_path, monkeypatch):
    paths, memory = files_of(make_tree(tmp_path / "data")), tmp_path / "memory"
    monkeypatch.setattr(checking, "_CHUNK", 5)
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_images(map(str, paths), memory, tick=tick)
    read = []
    monkeypatch.setattr(checking, "find_fault", read.append)
    assert check_images(map(str, paths), memory) == {} and len(read) == len(paths) - 10


def test_the_check_leaves_warnings_as_they_were(tmp_path):
    before = list(warnings.filters)
    check_images(map(str, files_of(make_tree(tmp_path / "data"))))
    assert warnings.filters == before


def test_progress_is_shown_where_it_takes_long(tmp_path, capsys):
    from effnet_lib.train.progress import Progress

    paths = [str(path) for path in files_of(make_tree(tmp_path / "data"))]
    copies = []
    for i in range(1000):
        copies.append(str(tmp_path / f"{i}.png"))
        os.link(paths[0], copies[-1])
    for quiet, lines in ((False, 10), (True, 0)):
        with Progress(tmp_path, True, quiet, False) as progress:
            check_images(copies, None, progress)
        assert capsys.readouterr().out.count(" of 1,000 images checked\n") == lines


# Stop or skip, before training


@pytest.mark.parametrize("harm, storage, workers, part", [
    ("truncated", "memory", 0, "train"), ("truncated", "stream", 0, "test"), ("truncated", "stream", 2, "test"),
    ("broken link", "memory", 0, "test"), ("broken link", "stream", 0, "train"), ("text", "stream", 0, "train"),
])  # fmt: skip
def test_a_bad_image_stops_a_run_before_it_begins_and_the_advice_works(
    tmp_path, capsys, harm, storage, workers, part
):
    tree = make_tree(tmp_path / "data")
    file = files_of(tree, part)[2]
    HARMS[harm](file)
    arguments = save(tree, tmp_path, storage=storage, workers=workers, epochs=1)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.count("\n") == 1
        and f"the image {file} cannot be read" in err
        and "on_bad_image=skip" in err
    )
    assert (
        not list((tmp_path / "run").rglob("*.pt"))
        and file.name in (tmp_path / "run" / "bad_images.txt").read_text()
    )
    file.unlink()
    assert main(["train", "--resume", "--output", str(tmp_path / "run"), "--quiet"]) == 0
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["config"]["recipe"] == "cifar" and "skipped" not in record["dataset"]


@pytest.mark.parametrize("storage, workers", [("memory", 0), ("stream", 0), ("stream", 2)])
def test_skipping_is_as_if_the_files_were_not_there(tmp_path, capsys, storage, workers):
    tree = make_tree(tmp_path / "data", [("", 24)])
    bad = [files_of(tree, "", "dark")[i] for i in (1, 7)] + files_of(tree, "", "light")[:1]
    for file, harm in zip(bad, HARMS.values()):
        harm(file)
    arguments = save(tree, tmp_path, storage=storage, workers=workers, epochs=1)
    assert main(arguments) == 1
    assert "nor can 2 more of 48" in capsys.readouterr().err
    assert main([*arguments, "--set", "on_bad_image=skip"]) == 0
    err = capsys.readouterr().err
    assert "skipped 3 images that cannot be read: dark/001.png, dark/007.png, light/000.png" in err
    skipped = json.loads((tmp_path / "run" / "record.json").read_text())["dataset"]
    assert skipped.pop("skipped") == {"count": 3, "names": ["dark/001.png", "dark/007.png", "light/000.png"]}
    for file in bad:
        file.unlink()
    removed = train(
        tiny_config(tree, storage=storage, workers=workers, epochs=1), tmp_path / "again", quiet=True
    )
    assert removed["dataset"] == skipped
    one, two = (torch.load(tmp_path / name / "weights.pt", weights_only=True) for name in ("run", "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("storage", ["memory", "stream"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_skipping_a_whole_class_is_refused(tmp_path, storage, part):
    tree = make_tree(tmp_path)
    for file in files_of(tree, part, "light"):
        file.write_bytes(b"")
    with pytest.raises(ConfigError, match=f"no image in the class folder .*{part}/light can be read"):
        load_data(tiny_config(tree, storage=storage, on_bad_image="skip"))
    with pytest.raises(BadImages, match=r"nor can \d+ more of 60.*, …:"):
        load_data(tiny_config(tree, storage=storage))


def test_on_bad_image_is_one_of_two():
    with pytest.raises(ConfigError, match="on_bad_image"):
        tiny_config("x", on_bad_image="ignore")


def test_two_processes_skip_the_same(tmp_path):
    tree = make_tree(tmp_path / "data")
    files_of(tree)[0].write_bytes(b"")
    config = tiny_config(tree, storage="stream", on_bad_image="skip", epochs=1)
    finish_together(config, tmp_path / "run", 2)
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert (
        record["dataset"]["skipped"]["names"] == ["train/dark/000.png"] and record["device"]["processes"] == 2
    )


# While a run lasts


def interrupt(config, output, harm, epoch=2):
    """Train, with ``harm`` done after an epoch; the error that ends it."""

    def after(history):
        if len(history) == epoch:
            harm()

    with pytest.raises(RunError, match="cannot be read") as error:
        train(config, output, quiet=True, on_epoch=after)
    return error.value


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on images that are read from disk, and its data, split by folders."""
    folder = tmp_path_factory.mktemp("whole")
    tree = make_tree(folder / "data", [("train", 24), ("val", 5), ("test", 6)])
    config = tiny_config(tree, storage="stream", epochs=4, policy="trivial", cutmix=1.0)
    train(config, folder / "run", quiet=True)
    return tree, config, folder / "run"


@pytest.mark.parametrize(
    "part, workers", [("train", 0), ("train", 2), ("val", 0), ("val", 2), ("test", 0), ("test", 2)]
)
def test_an_image_that_goes_bad_loses_nothing(whole, tmp_path, part, workers):
    """Put back, the run ends with the bits of one that nothing befell; the weights are there before the test."""
    original, config, reference = whole
    tree = Path(shutil.copytree(original, tmp_path / "data"))
    config = change_config(config, {"data": str(tree), "workers": workers})
    file = files_of(tree, part)[1]
    content, epoch = file.read_bytes(), 4 if part == "test" else 2
    error = interrupt(config, tmp_path / "run", lambda: rot(file), epoch)
    assert str(file) in str(error) and "--resume" in str(error) and "\n" not in str(error)
    assert (tmp_path / "run" / "weights.pt").exists() == (part == "test")
    if workers == 0:  # workers read ahead
        done = {"train": 3 * 2, "val": 3 * 3, "test": 3 * 4}[part]
        assert list_checkpoints(tmp_path / "run" / "checkpoints")[0][0] >= done
    file.write_bytes(content)
    record = train(config, tmp_path / "run", resume=True, quiet=True)
    assert not {"lost", "replaced", "skipped"} & record["dataset"].keys()
    assert_same(reference, tmp_path / "run")


@pytest.mark.parametrize(
    "part, way",
    [(part, way) for part in ("train", "val", "test") for way in ("remove", "replace", "skip", "rename")],
)
def test_what_is_advised_works(whole, tmp_path, part, way, capsys):
    original, config, _ = whole
    tree = Path(shutil.copytree(original, tmp_path / "data"))
    config = change_config(config, {"data": str(tree)})
    file = files_of(tree, part)[1]
    interrupt(config, tmp_path / "run", lambda: rot(file), 4 if part == "test" else 2)
    extra, what = [], "lost"
    if way == "skip":
        extra = ["--set", "on_bad_image=skip"]
        assert (
            main(["train", "--resume", "--output", str(tmp_path / "run"), "--quiet"]) == 1
        )  # stop still means stop
        capsys.readouterr()
    elif way == "replace":
        what = "replaced"
        Image.new("RGB", (20, 30)).save(file)
    else:
        file.unlink()
        if way == "rename":
            Image.new("RGB", (20, 30)).save(
                file.with_suffix(".jpg")
            )  # a picture that the run did not begin with
    assert main(["train", "--resume", "--output", str(tmp_path / "run"), "--quiet", *extra]) == 0, (
        capsys.readouterr().err
    )
    assert "the data have changed since the run began" in capsys.readouterr().err
    data = json.loads((tmp_path / "run" / "record.json").read_text())["dataset"]
    assert data[what] == {"count": 1, "names": [file.relative_to(tree).as_posix()]}
    full = {"train": 48, "val": 10, "test": 12}
    less = part if what == "lost" and part != "train" else None
    assert [data[k] for k in ("train", "validation", "test")] == [n - (k == less) for k, n in full.items()]
    assert len(run_answers(tmp_path / "run").labels) == data["test"]


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_held_out_images_are_never_trained_on_after_a_change(tmp_path, storage):
    """Where validation and test images are drawn from one folder, another draw would mix them up."""
    tree = make_tree(tmp_path / "data", [("", 30)])
    config = tiny_config(tree, storage=storage, epochs=4)
    before = load_data(config)

    class Stop(Exception):
        pass

    def stop(history):
        if len(history) == 3:
            raise Stop

    with pytest.raises(Stop):
        train(config, tmp_path / "run", quiet=True, on_epoch=stop)
    gone = [random.Random(1).choice(getattr(before, part).paths) for part in ("train", "validation", "test")]
    for path in gone[:2]:
        os.unlink(path)
    Path(gone[2]).write_bytes(b"")
    with pytest.raises(BadImages, match="cannot be read"):
        train(config, tmp_path / "run", resume=True, quiet=True)
    os.unlink(gone[2])
    record = train(config, tmp_path / "run", resume=True, quiet=True)
    assert record["resumed"] == 1 and record["dataset"]["lost"]["count"] == 3
    after = load_data(config, manifest=read_manifest(tmp_path / "run" / NAME))
    assert (
        len(after.train) == len(before.train) and after.mean == before.mean and after.sha256 == before.sha256
    )
    for part in ("train", "validation", "test"):
        assert set(getattr(after, part).paths) == set(getattr(before, part).paths) - set(gone)
    fresh = load_data(config)
    assert set(fresh.train.paths) & set(before.test.paths)  # the test would tell


def test_a_run_in_memory_goes_on_in_memory(tmp_path):
    """A replacement of another size does not fit; the advice does."""
    tree = make_tree(tmp_path / "data", [("train", 24), ("test", 6)])
    config = tiny_config(tree, epochs=2)
    train(config, tmp_path / "run", quiet=True)
    (tmp_path / "run" / "record.json").unlink()
    file = files_of(tree)[3]
    Image.new("RGB", (20, 30)).save(file)
    with pytest.raises(ConfigError, match=f"needs square images of one size: .*{file} has 20 × 30: give it the size"):
        train(config, tmp_path / "run", resume=True, quiet=True)
    Image.new("RGB", (16, 16)).save(file)
    record = train(config, tmp_path / "run", resume=True, quiet=True)
    assert record["dataset"]["replaced"]["names"] == ["train/dark/003.png"]


def test_other_data_are_refused_and_what_is_said_works(whole, tmp_path):
    original, config, _ = whole
    tree = Path(shutil.copytree(original, tmp_path / "data"))
    config = change_config(config, {"data": str(tree)})
    interrupt(config, tmp_path / "run", lambda: rot(files_of(tree)[0]))
    other = make_tree(tmp_path / "other", [("train", 25), ("val", 5), ("test", 6)])
    with pytest.raises(ConfigError, match="the data have changed: .* a new --output"):
        train(change_config(config, {"data": str(other)}), tmp_path / "run", resume=True, quiet=True)
    train(change_config(config, {"data": str(original)}), tmp_path / "run", resume=True, quiet=True)
    train(change_config(config, {"data": str(other)}), tmp_path / "new", quiet=True)


# The list of a run's files

ROWS = {
    "train": [("a1", 0, "k"), ("b1", 1, "k"), ("a2", 0, "k"), ("a3", 0, "k"), ("b2", 1, "k")],
    "validation": [("a4", 0, "k"), ("b3", 1, "k")], "test": [("a5", 0, "k"), ("b4", 1, "k")],
}  # fmt: skip
BEGUN = Manifest("0", "contents", ("a", "b"), [1.5], [2.0], ROWS, ("x",))


def without(*names, **others):
    return {name: "k" for rows in ROWS.values() for name, _, _ in rows if name not in names} | others


@pytest.mark.parametrize("present, train, lost, replaced, new", [
    (without(), ["a1", "b1", "a2", "a3", "b2"], (), (), 0),
    (without("a1"), ["a2", "b1", "a2", "a3", "b2"], ("a1",), (), 0),
    (without("a3"), ["a1", "b1", "a2", "a1", "b2"], ("a3",), (), 0),  # after the last comes the first
    (without("a1", "a2", "b2"), ["a3", "b1", "a3", "a3", "b1"], ("a1", "a2", "b2"), (), 0),
    (without(a2="other", y="new", x="mended"), ["a1", "b1", "a2", "a3", "b2"], (), ("a2",), 1),
])  # fmt: skip
def test_another_of_the_class_takes_the_place_of_an_image_that_is_gone(present, train, lost, replaced, new):
    changes = reconcile(BEGUN, present, ("a", "b"))
    assert [name for _, name in changes.rows["train"]] == train and [
        label for label, _ in changes.rows["train"]
    ] == [0, 1, 0, 0, 1]
    assert changes.rows["validation"] == [(0, "a4"), (1, "b3")]
    assert (changes.lost, changes.replaced, changes.new) == (lost, replaced, new)


@pytest.mark.parametrize("present, classes, message", [
    (without(), ("a", "c"), "begun with 2 classes"),
    (without("b1", "b2"), ("a", "b"), "no training image of the class 'b' is left"),
    (without("a4", "b3"), ("a", "b"), "no validation image is left"),
    (without("a1", "a2", "b1", "a4", "a5"), ("a", "b"), "5 are gone and 0 have other contents"),
    (without(a1="", a2="", a3="", b1=""), ("a", "b"), "0 are gone and 4 have other contents"),
])  # fmt: skip
def test_other_data_are_told_from_a_change(present, classes, message):
    with pytest.raises(ConfigError, match=message):
        reconcile(BEGUN, present, classes)


def test_the_list_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / NAME
    assert read_manifest(path) is None
    path.write_bytes(BEGUN.encode())
    assert read_manifest(path) == BEGUN
    for content in (b"", path.read_bytes()[:-9], b"\x1f\x8b", b"x" * 40):
        path.write_bytes(content)
        with pytest.raises(RunError, match="remove it; the run then goes on if its data are as they were"):
            read_manifest(path)
