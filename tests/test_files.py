"""Files that are found and written: whole or not at all, and never over what is no file."""

import multiprocessing
import os
import stat

import pytest

from effnet_lib.files import aside, check_target, expand, find_file, read_whole, write_atomically


def test_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.bin").write_bytes(b"x")
    assert expand("~/a.bin") == find_file("~/a.bin", "a file") == check_target("~/a.bin") == tmp_path / "a.bin"
    assert str(expand("~no-such-user-here/a")) == "~no-such-user-here/a"  # a name like any other
    for wrong in (None, 3, b"a", ["a"]):
        for call in (expand, check_target, lambda path: find_file(path, "a file")):
            with pytest.raises(TypeError, match="expected a path, got"):
                call(wrong)


def test_what_cannot_be_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "to_device").symlink_to("/dev/null")
    for path, message in (
        (tmp_path, "is a folder: give the name of a file"),
        (tmp_path / "pipe", "is a device or a pipe"),
        ("/dev/null", "is a device or a pipe"),
        (tmp_path / "to_device", "/dev/null is a device or a pipe"),
        (tmp_path / "no" / "x", "there is no folder"),
        (tmp_path / "file" / "x", "there is no folder"),
        (tmp_path / "loop", "symbolic links"),
        (tmp_path / ("x" * 300), "too long"),
        ("a\0b", "null byte"),
        ("", "an empty name"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            check_target(path)
        assert "\n" not in str(caught.value)
        if path:
            with pytest.raises(OSError, match=message):
                write_atomically(path, b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["file", "loop", "pipe", "to_device"]
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_written_by_the_umask_and_through_a_link(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o640
    (tmp_path / "link").symlink_to("a")
    write_atomically(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a").read_bytes() == b"two"
    write_atomically(tmp_path / ("é" * 120), b"three")  # 240 of at most 255 bytes: no longer name beside it
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_nothing_stays_of_what_failed(tmp_path, error):
    (tmp_path / "a").write_bytes(b"kept")
    with pytest.raises(error):
        with aside(tmp_path / "a") as new:
            assert new.parent == tmp_path and new.suffix == ".part"
            new.write_bytes(b"half")
            raise error
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"kept"


def write_often(path, letter, failures):
    try:
        for _ in range(60):
            write_atomically(path, letter * 200_000)
            if len(set(path.read_bytes())) != 1:
                failures.put("a mixture")
    except OSError as error:
        failures.put(repr(error))


def test_two_processes_that_write_one_file(tmp_path):
    context = multiprocessing.get_context("fork")
    failures = context.SimpleQueue()
    writers = [context.Process(target=write_often, args=(tmp_path / "a", x, failures)) for x in (b"a", b"b", b"c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures.empty(), failures.get()
    content = (tmp_path / "a").read_bytes()
    assert len(content) == 200_000 and len(set(content)) == 1
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(3 * 10**12)  # it takes no room on the disk
    with pytest.raises(ValueError, match="is too large: it has 3,000,000,000,000 bytes, and at most 1,000 are expected"):
        read_whole(tmp_path / "a", 1000)
    (tmp_path / "a").write_bytes(b"x" * 1000)
    assert read_whole(tmp_path / "a", 1000) == b"x" * 1000


def test_names_that_hold_anything_stay_on_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"a\?\?\[2Jb") as caught:
        find_file(tmp_path / "a\n\x1b[2Jb", "a picture")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="an empty name"):
        find_file("", "a picture")
