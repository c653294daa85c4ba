import errno
import os
import subprocess
import sys

import pytest
from command_case import disk_of

from fsrf_jax.errors import WriteError
from fsrf_jax.files import new_folder, replacing, write_text, writing


def test_the_file_is_replaced_whole(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path, old):
    path = tmp_path / "x.json"
    if old:
        path.write_text(old)

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([old] if old else [])


def test_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x.json"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "x[1].h5"
    left = [f".x[1].h5.{number}.part" for number in (gone.pid, os.getpid(), 10**30)]
    kept = [f".x[1].h5.{os.getppid()}.part", f".x1.h5.{gone.pid}.part", ".x[1].h5.old.part"]
    for name in (*left, *kept):
        (tmp_path / name).write_text("half")
    with replacing(path) as temporary:
        assert not temporary.exists()  # this number was another process's before
        temporary.write_text("new")
    assert {found.name for found in tmp_path.iterdir()} == {path.name, *kept}


def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "folder"
    with new_folder(path) as temporary:
        (temporary / "x").write_text("new")
        assert not path.exists()
        assert temporary.parent == tmp_path
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert (path / "x").read_text() == "new"


def test_an_error_leaves_no_folder(tmp_path):
    def write_half():
        with new_folder(tmp_path / "folder") as temporary:
            (temporary / "x").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_has_appeared_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "folder"

    def write():
        with new_folder(path):
            path.mkdir()
            (path / "x").write_text("of another process")

    with pytest.raises(WriteError, match="folder: cannot be written: Directory not empty"):
        write()
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "x"]


def test_a_folder_that_a_killed_process_left_is_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f".folder.{gone.pid}.part"
    left.mkdir()
    (left / "x").write_text("half")
    with new_folder(tmp_path / "folder"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_disk_that_is_full_is_one_message_that_names_the_file(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "before")
    with disk_of(10), pytest.raises(WriteError) as found:
        write_text(path, "more than ten bytes")
    assert str(found.value) == (
        f"{path}: cannot be written: File too large: make room, or look after the folder and its "
        "rights."
    )
    assert path.read_text() == "before"
    place = tmp_path / "folder"
    for write in (write_text, lambda file, text: file.write_text(text)):
        with (
            disk_of(10),
            pytest.raises(WriteError, match=rf"^{place}(/x)?: cannot be written: File too large"),
            new_folder(place) as temporary,
        ):
            write(temporary / "x", "more than ten bytes")
    with pytest.raises(WriteError, match=r"gone/x: cannot be written: No such file or directory"):
        write_text(tmp_path / "gone" / "x", "")
    assert [one.name for one in tmp_path.iterdir()] == ["x.txt"]


def test_a_folder_above_it_that_cannot_be_made_is_the_same_message(tmp_path):
    folder = tmp_path / "a" / "run"
    message = rf"^{folder}: cannot be written: Read-only file system: .*look after the folder"
    with pytest.raises(WriteError, match=message), writing(folder):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "a"))


def test_what_cannot_be_read_meanwhile_is_another_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"), replacing(tmp_path / "x"):
        (tmp_path / "nothing").read_text()
