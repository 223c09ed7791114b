"""Files that are replaced: the old or the new one is there, and nothing else."""

import os
from pathlib import Path

import pytest

from domogik.config import files
from domogik.config.files import (
    clear_temporaries,
    create_exclusively,
    make_temporary,
    read_bounded,
    write_atomically,
)


class DiskFull(OSError):
    pass


def _full(descriptor: int) -> None:
    raise DiskFull


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(files.os, "fsync", _full)
    with pytest.raises(DiskFull):
        write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_names_the_file_that_was_meant_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, b"new")
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{path}'"


def test_a_disk_that_fills_up_leaves_no_half_of_a_new_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files.os, "fsync", _full)
    with pytest.raises(DiskFull):
        create_exclusively(tmp_path / "admin.token", b"secret")
    assert os.listdir(tmp_path) == []


def test_a_link_in_place_of_a_new_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    assert not create_exclusively(tmp_path / "link", b"secret")
    assert os.listdir(tmp_path) == ["link"]


def test_no_more_is_read_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_bounded(path, 10) == b"x" * 10
    with pytest.raises(OSError, match="Larger than 9 bytes"):
        read_bounded(path, 9)


def test_what_a_crash_left_is_cleared_and_nobody_elses_file_is(tmp_path: Path) -> None:
    descriptor, held = make_temporary(tmp_path, "upload")
    gone, left = make_temporary(tmp_path, ".domogik.cfg")
    os.close(gone)
    others = [".domogik.cfg.swp", ".domogik.cfg.original", "domogik.cfg.domogik-20260101"]
    for name in others:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / f"link{left.name}").symlink_to(tmp_path / others[0])
    (tmp_path / f"directory{left.name}").mkdir()
    os.mkfifo(tmp_path / f"pipe{left.name}")
    stay = set(os.listdir(tmp_path)) - {left.name}
    assert clear_temporaries([tmp_path, tmp_path, tmp_path / "nosuch"]) == [left]
    assert set(os.listdir(tmp_path)) == stay
    os.close(descriptor)
    assert clear_temporaries([tmp_path]) == [held]


def test_a_temporary_file_that_was_cleared_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch
) -> None:
    lock, cleared = files.fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not cleared:
            cleared.append(os.listdir(tmp_path)[0])
            (tmp_path / cleared[0]).unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", late)
    descriptor, path = make_temporary(tmp_path, "upload")
    os.close(descriptor)
    assert os.listdir(tmp_path) == [path.name] != cleared


def test_a_file_is_held_until_it_has_its_name(tmp_path: Path, monkeypatch) -> None:
    replace = Path.replace

    def cleared_meanwhile(self: Path, target: Path) -> Path:
        assert clear_temporaries([tmp_path]) == []
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", cleared_meanwhile)
    write_atomically(tmp_path / "file", b"new", durable=False)
    assert os.listdir(tmp_path) == ["file"]
