"""Files that are replaced: the old or the new one is there, and nothing else."""

import os
from pathlib import Path

import pytest

from domogik.config import files
from domogik.config.files import create_exclusively, read_bounded, write_atomically


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
