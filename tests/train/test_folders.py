"""How a folder of images is understood: splits, classes, what is passed over, and what is refused."""

import os

import pytest
import torch
from PIL import Image
from tiny import make_tree, tiny_config

from effnet_lib.cli import main
from effnet_lib.train import ConfigError, RunError, folders, load_data
from effnet_lib.train.data import hold_out
from effnet_lib.train.folders import find_tree, image_endings, read_tree, split_of


def fill(folder, count=3, ending="jpg"):
    """A folder with ``count`` images."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (16, 16), (i, 80, 90)).save(folder / f"{i}.{ending}")
    return folder


def make(root, *places, count=3):
    """Folders with images, or empty ones where the place ends in a slash."""
    for place in places:
        (root / place).mkdir(parents=True) if place.endswith("/") else fill(root / place, count)
    return root


def counts(tree):
    return {part: len(files) for part, files in tree.files.items()}


@pytest.mark.parametrize(
    "train",
    [
        "train",
        "Train",
        "TRAINING",
        "trn",
        "training_set",
        "train-images",
        "Train2017",
        "trainset",
        "trainImages",
    ],
)
@pytest.mark.parametrize("other, role", [("Test", "test"), ("testing", "test"), ("tst", "test"), ("test_set", "test"), ("Evaluation", "test"),
                                         ("validation", "val"), ("VALID", "val"), ("dev", "val"), ("val2017", "val")])  # fmt: skip
def test_usual_names_of_splits(train, other, role):
    assert (split_of(train), split_of(other)) == ("train", role)


@pytest.mark.parametrize(
    "name",
    [
        "cats",
        "contest",
        "strain",
        "invalid",
        "train_station",
        "testudo",
        "latest",
        "data",
        "images",
        "1",
        "",
        "évaluation",
    ],
)
def test_other_names_are_no_splits(name):
    assert split_of(name) is None


@pytest.mark.parametrize("names, roles", [
    (("Train", "Test"), ("train", "test")),
    (("training", "validation"), ("train", "val")),
    (("train", "valid", "test"), ("train", "val", "test")),
    (("TRN", "DEV", "TST"), ("train", "val", "test")),
    (("train",), ("train",)),
])  # fmt: skip
def test_splits_are_found_under_any_name(tmp_path, names, roles):
    make(tmp_path, *(f"{name}/{c}" for name in names for c in ("cats", "dogs")))
    tree = read_tree(tmp_path)
    assert (tuple(tree.files), tree.classes) == (roles, ("cats", "dogs"))
    assert counts(tree) == dict.fromkeys(roles, 6)
    for name, role in zip(names, roles):
        assert tree.folders[role] == tmp_path / name and f"{name}/ 6" in tree.found[0]


def test_the_three_splits_are_used_for_what_they_are(tmp_path):
    make(tmp_path, "train/a", "train/b", count=10)
    make(tmp_path, "valid/a", "valid/b", count=4)
    make(tmp_path, "TEST/a", "TEST/b", count=5)
    data = load_data(tiny_config(tmp_path))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [20, 8, 10]
    assert "valid/ is to validate, TEST/ to test" in data.found[-1]


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_training_images_alone_are_split_as_classes_alone(tmp_path, storage):
    make_tree(tmp_path / "one", [("train", 20)])
    make_tree(tmp_path / "two", [("", 20)])
    one, two = (load_data(tiny_config(tmp_path / name, storage=storage)) for name in ("one", "two"))
    assert [len(s) for s in (one.train, one.validation, one.test)] == [30, 4, 6]
    for part in ("train", "validation", "test"):
        strip = [
            [os.sep.join(p.split(os.sep)[-2:]) for p in getattr(data, part).paths] for data in (one, two)
        ]
        assert strip[0] == strip[1]
    assert "15% of each class are held out to test; 10% of each class" in one.found[-1] == two.found[-1]


REFUSED = [
    (("val/a", "val/b", "valid/a", "train/a", "train/b"), "two folders for one split, 'val' and 'valid'"),
    (("Train/a", "Train/b", "train/a", "train/b"), "two folders for one split, 'Train' and 'train'"),
    (("valid/a", "valid/b", "test/a", "test/b"), "has valid and test but no train folder"),
    (("train", "test"), "train has no class folders, and 3 images: put the images of each class into"),
    (("train/a", "train/b", "valid"), "valid has no class folders, and 3 images"),
    (("train/a", "train/b", "test/"), "test has no class folders: put a folder"),
    (("train/a", "train/b", "test/a"), "lacks the class folder 'b', which the training images have"),
    (
        ("train/a", "train/b", "test/a", "test/b", "test/c"),
        "has the class folder 'c', which the training images lack",
    ),
    (("train/A", "train/b", "test/a", "test/b"), "'a', which the training images spell 'A'"),
    (("a", "b", "test"), "the folder 'test' with images and no class folders"),
    (("a", "b", "test/a", "test/b"), "has test but no train folder"),
    (("a", "b", "train/a", "train/b"), "the folder 'train', a split's name, beside 'a'"),
    (
        ("seg_train/a", "seg_train/b", "seg_test/a", "seg_test/b"),
        "look like splits: call them train, val and test",
    ),
    (("my_train/x/a", "my_valid/x/a"), "my_train, my_valid in .* look like splits"),
    (("trainA", "trainB", "testA", "testB"), "trainA, testA in .* look like splits"),
    (("cats/train", "cats/test", "dogs/train", "dogs/test"), "'cats' in .* has train, test inside: .* as in train/cats"),
    (("cats/Training", "cats/valid", "dogs"), "'cats' in .* has Training, valid inside: .* as in Training/cats"),
    (("train/x/a", "train/x/b", "val/x/a", "val/x/b"), "one folder, 'x': if the classes are inside, move them up into .*train"),
    (("a", "b/"), "the class folder .*/b holds no images"),
    (("train/a", "train/b", "test/a", "test/b/"), "the class folder .*test/b holds no images"),
    (("only/a", "only/b"), "one folder, 'only': if the classes are inside, give .*/only as data"),
    (("only",), "one folder, 'only': add another class folder"),
    (("",), "holds 3 images and no class folders|has no class folders, and 3 images"),
    (("train/a",), "at least two classes are needed"),
    ((), "has no class folders"),
]


@pytest.mark.parametrize("places, message", REFUSED, ids=[" ".join(p) or "empty" for p, _ in REFUSED])
def test_folders_that_cannot_be_understood(tmp_path, places, message):
    root = make(tmp_path / "data", *places) if places else tmp_path
    with pytest.raises(ConfigError, match=message) as error:
        read_tree(root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "names",
    [
        ("bus", "car", "train"),
        ("valid", "invalid"),
        ("train_station", "test_tube"),
        ("Test tube", "dev board", "cat"),
    ],
)
def test_classes_that_are_called_like_splits(tmp_path, names):
    tree = read_tree(make(tmp_path, *names))
    assert tree.classes == tuple(sorted(names)) and not tree.folders
    plain = {name for name in names if split_of(name)}
    assert len(tree.warnings) == len(plain) and all("is read as a class" in w for w in tree.warnings)


HIDDEN = [
    ".ipynb_checkpoints", "__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", ".git", "System Volume Information",
    "._name.jpg", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", ".hidden.png",
]  # fmt: skip


@pytest.mark.parametrize("layout", ["", "train"])
@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden_is_passed_over(tmp_path, layout, name):
    splits = ["train/", "test/"] if layout else [""]
    make(tmp_path, *(f"{s}{c}" for s in splits for c in ("a", "b")))
    before = read_tree(tmp_path)
    for place in (tmp_path, tmp_path / layout, tmp_path / layout / "a"):
        if "." in name[1:] and not name.startswith("$"):
            (place / name).write_bytes(b"\x00\x05\x16\x07")
        elif not (place / name).exists():
            fill(place / name / "a")
            fill(place / name)
    after = read_tree(tmp_path)
    assert (after.classes, after.files) == (before.classes, before.files)
    assert "hidden" in after.found[1] and not after.warnings


def test_every_ending_that_pillow_reads_counts(tmp_path):
    readable = (
        "png",
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "gif",
        "bmp",
        "webp",
        "tif",
        "tiff",
        "ppm",
        "pgm",
        "pbm",
        "tga",
        "jp2",
        "ico",
        "qoi",
        "PNG",
        "JpG",
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i, ending in enumerate(readable):
            (tmp_path / name / f"picture {i}.{ending}").write_bytes(
                b""
            )  # whether it can be read is not asked here
    tree = read_tree(tmp_path)
    assert counts(tree) == {"train": 2 * len(readable)} and len(tree.found) == 1
    assert ".mpo" in image_endings()
    assert not {".pdf", ".eps", ".ps", ".wmf", ".mpg", ".h5", ".txt", ".zip"} & image_endings()


def test_what_is_no_image_is_counted_by_kind(tmp_path):
    make(tmp_path, "a", "b")
    for name in ("README.txt", "more.TXT", "labels.csv", "noending", "b.pdf"):
        (tmp_path / "a" / name).write_bytes(b"text")
    (tmp_path / "notes.txt").write_text("beside the classes")
    os.mkfifo(tmp_path / "b" / "pipe.jpg")  # opening it would wait for ever
    tree = read_tree(tmp_path)
    assert counts(tree) == {"train": 6}
    assert tree.found[1] == "not read: 3 .txt, 1 .csv, 1 .jpg, 1 .pdf, 1 without an ending"
    assert any("1 .pdf" in warning for warning in tree.warnings)


def test_images_under_names_that_hide_it_are_pointed_out(tmp_path):
    make(tmp_path, "a", "b")
    (tmp_path / "a" / "0.jpg").rename(tmp_path / "a" / "photo")
    (tmp_path / "a" / "1.jpg").rename(tmp_path / "a" / "photo.jpg_large")
    (tmp_path / "b" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (warning,) = read_tree(tmp_path).warnings
    assert "look like images: 1 .heic, 1 .jpg_large, 1 files without an ending" in warning


def test_images_outside_class_folders_and_unread_folders_are_pointed_out(tmp_path):
    make(tmp_path, "train/a", "train/b", "test/a", "test/b", "unlabelled")
    fill(tmp_path / "train", 2)
    fill(tmp_path, 1)
    (tmp_path / "annotations").mkdir()
    tree = read_tree(tmp_path)
    assert counts(tree) == {"train": 6, "test": 6}
    text = " ".join(tree.warnings)
    assert "2 images in" in text and "1 image in" in text and "not read: unlabelled in" in text
    assert "1 other folder" in tree.found[1]


def test_deep_folders_belong_to_their_class(tmp_path):
    make(tmp_path, "cats/tabby/2024", "cats/black", "dogs")
    tree = read_tree(tmp_path)
    assert [label for label, _ in tree.files["train"]] == [0] * 6 + [1] * 3
    assert tree.files["train"] == sorted(tree.files["train"])


# Links


@pytest.mark.parametrize("link, target", [("cats/up", ".."), ("cats/up", "."), ("cats/up", "../.."), ("dogs/cats", "../cats"),
                                          ("cats/all/deep", "../../dogs"), ("cats/loop", "loop"), ("a/link", "../dogs/sub")])  # fmt: skip
def test_no_link_leads_to_an_image_twice(tmp_path, link, target):
    root = make(tmp_path / "data", "cats", "dogs", "dogs/sub", "a")
    fill(tmp_path / "neighbour")
    before = read_tree(root)
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(target)
    after = read_tree(root)
    assert after.files == before.files
    assert "loop" in link or "1 link to what is read already" in after.found[1]


def test_links_that_lead_to_new_images_are_followed_once(tmp_path):
    elsewhere = fill(tmp_path / "elsewhere" / "birds", 4)
    root = make(tmp_path / "data", "cats", "dogs")
    (root / "birds").symlink_to(elsewhere)
    (root / "cats" / "more").symlink_to(fill(tmp_path / "elsewhere" / "more", 2))
    (root / "dogs" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    tree = read_tree(root)
    assert [[label for label, _ in tree.files["train"]].count(i) for i in range(3)] == [4, 5, 3]


def test_a_folder_of_links_to_files(tmp_path):
    source = fill(tmp_path / "source", 5)
    root = make(tmp_path / "data", "a/", "b")
    for i in range(5):
        (root / "a" / f"link{i}.jpg").symlink_to(source / f"{i}.jpg")
    (root / "a" / "again.jpg").symlink_to(source / "0.jpg")
    (root / "a" / "other class.jpg").symlink_to(root / "b" / "0.jpg")
    tree = read_tree(root)
    assert [label for label, _ in tree.files["train"]].count(0) == 5 and "2 links to what" in tree.found[1]
    assert counts(tree) == {"train": 8}


@pytest.mark.parametrize("link, target", [("test", "train"), ("dogs", "cats"), ("up", ".."), ("up", "../..")])
def test_links_that_make_one_folder_two_are_refused(tmp_path, link, target):
    root = tmp_path / "x" / "data"
    make(root, *(("train/a", "train/b") if link == "test" else ("cats", "mice")))
    (root / link).symlink_to(target)
    with pytest.raises(ConfigError, match="is read already: remove the link"):
        read_tree(root)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    root, real = make(tmp_path, "a", "b"), os.scandir

    def forbid(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(folders.os, "scandir", forbid)
    with pytest.raises(RunError, match="/b cannot be read: Permission denied: check its permissions"):
        read_tree(root)


@pytest.mark.parametrize(
    "name, advice",
    [
        ("photos.zip", "an archive: unpack it"),
        ("photos.tar.gz", "an archive: unpack it"),
        ("list.csv", "a file: give the folder"),
    ],
)
def test_a_file_in_place_of_a_folder(tmp_path, capsys, name, advice):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ConfigError, match=advice):
        find_tree(tmp_path / name)
    assert (
        main(
            ["train", "--recipe", "cifar", "--data", str(tmp_path / name), "--output", str(tmp_path / "run")]
        )
        == 2
    )
    assert advice in capsys.readouterr().err


def test_an_archive_that_was_not_unpacked(tmp_path):
    (tmp_path / "train.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="no class folders: unpack train.zip first"):
        read_tree(tmp_path)
    make(tmp_path, "a", "b/")
    (tmp_path / "b" / "b.zip").write_bytes(b"PK")
    with pytest.raises(
        ConfigError, match=r"b holds no images that can be read \(there are 1 .zip\): unpack what is packed"
    ):
        read_tree(tmp_path)


def test_classes_that_differ_in_case_alone(tmp_path):
    tree = read_tree(make(tmp_path, "Cats", "cats"))
    assert tree.classes == ("Cats", "cats") and "differ in case alone" in tree.warnings[0]


def test_names_that_are_no_text(tmp_path, monkeypatch):
    """Files may have any name; the hash of the data set counts their bytes."""
    make(tmp_path, "a", "b", count=10)
    os.rename(tmp_path / "a" / "0.jpg", os.fsencode(tmp_path / "a") + b"/\xff.jpg")
    data = load_data(tiny_config(tmp_path, storage="stream"))
    assert sum(len(getattr(data, part)) for part in ("train", "validation", "test")) == 20
    monkeypatch.chdir(tmp_path)
    here = load_data(tiny_config(".", storage="stream"))
    assert here.sha256 == data.sha256


def test_the_hash_of_a_plain_tree(tmp_path, monkeypatch):
    """Runs that were begun before go on: the same files in the same order, by name and size."""
    for split, count in (("train", 3), ("test", 2)):
        for name in ("b", "A", "c d"):
            (tmp_path / split / name / "sub").mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (1, 1)).save(
                    tmp_path / split / name / ("sub" if i == 1 else "") / f"{i}.{'PnG' if i else 'bmp'}",
                    format="BMP",
                )
    data = load_data(tiny_config(tmp_path, storage="stream", validation=0.3))
    assert data.sha256 == "903faf93be0928097d4cdb1637e720c875e2b8aefbca7433fb8d2f3fcea0aad0"


# Small classes


@pytest.mark.parametrize("storage", ["memory", "stream"])
def test_small_classes_stay_for_training_and_it_is_said(tmp_path, storage):
    for name, count in (("a", 40), ("b", 1), ("c", 3), ("d", 2)):
        fill(tmp_path / name, count, "png")
    data = load_data(tiny_config(tmp_path, storage=storage))
    shares = [
        getattr(data, part).labels.bincount(minlength=4).tolist() for part in ("train", "validation", "test")
    ]
    assert shares == [[31, 1, 1, 1], [3, 0, 1, 0], [6, 0, 1, 1]]
    assert data.warnings == (
        "too few images in b, d: all of them stay for training, and none is validated",
        "too few images in b: all of them stay for training, and none is tested",
    )


def test_holding_out_leaves_every_class_a_training_image():
    labels = torch.tensor([0] * 4 + [1] + [2] * 30)
    for share in (0.001, 0.1, 0.5, 0.9):
        stays, held = hold_out(labels, share, salt=2)
        assert labels[stays].bincount(minlength=3).min() >= 1
        assert sorted(stays.tolist() + held.tolist()) == list(range(35))


def test_no_image_left_to_validate(tmp_path):
    make(tmp_path, "train/a", "train/b", "test/a", "test/b", count=1)
    with pytest.raises(ConfigError, match="no images for validation: give it more, or folders of their own"):
        load_data(tiny_config(tmp_path))


def test_what_was_found_is_said_before_training(tmp_path, capsys):
    make(tmp_path / "d", "Training/a", "Training/b", count=20)
    make(tmp_path / "d", "Testing/a", "Testing/b", count=2)
    (tmp_path / "d" / "Training" / "a" / "list.txt").write_text("x")
    (tmp_path / "d" / "__MACOSX").mkdir()
    (tmp_path / "c.json").write_text(tiny_config(tmp_path / "d", epochs=1).to_json())
    assert main(["train", "--config", str(tmp_path / "c.json"), "--output", str(tmp_path / "run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("d: 44 images in 2 classes (a, b); Training/ 40, Testing/ 4")
    assert lines[1] == "not read: 1 .txt, 1 hidden"
    assert (
        lines[2] == "Testing/ is to test; 10% of each class are held out of the training images to validate"
    )
    assert "36 images to train, 4 to validate, 4 to test" in lines[3]
