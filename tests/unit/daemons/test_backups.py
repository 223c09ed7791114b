"""A backup is whole and of the right kind, or refused; the data of before come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.core import backups
from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import BrokenBackup

MADE = "2026-01-02T03:04:05+00:00"


def backup(tmp_path: Path, content: bytes) -> Path:
    target = tmp_path / "backup"
    target.unlink(missing_ok=True)
    (tmp_path / "source").write_bytes(content)
    backups.write(target, tmp_path / "source", "redis", MADE, BackupContents("7", {"keys": 1}))
    return target


@given(st.binary(max_size=300))
def test_what_went_in_comes_out(tmp_path, content):
    payload = tmp_path / "payload"
    manifest = backups.extract(backup(tmp_path, content), payload, "redis")
    assert payload.read_bytes() == content
    payload.unlink()
    assert (manifest.made, manifest.contents) == (MADE, BackupContents("7", {"keys": 1}))


@given(st.binary(min_size=1, max_size=300), st.data())
def test_no_changed_byte_passes(tmp_path, content, data):
    path = backup(tmp_path, content)
    whole = path.read_bytes()
    at = len(whole) - len(content) + data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(
        whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    )
    refused(path, tmp_path)


@given(st.data())
def test_no_half_of_one_passes(tmp_path, data):
    path = backup(tmp_path, b"content")
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused(path, tmp_path)


@given(st.binary(max_size=100))
def test_nothing_else_passes(tmp_path, content):
    for beginning in (b"", b"Domogik backup 1\n"):
        (tmp_path / "other").write_bytes(beginning + content)
        refused(tmp_path / "other", tmp_path)


def refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokenBackup, match=path.name):
        backups.extract(path, tmp_path / "payload", "redis")
    assert not (tmp_path / "payload").exists()


def test_another_kind_is_named(tmp_path):
    with pytest.raises(BrokenBackup, match="of redis, not of mysql"):
        backups.extract(backup(tmp_path, b"x"), tmp_path / "payload", "mysql")


def test_what_is_there_is_not_replaced(tmp_path):
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "target").write_text("precious")
    with pytest.raises(BrokenBackup, match="there already"):
        backups.write(tmp_path / "target", tmp_path / "source", "redis", MADE, BackupContents("7"))
    assert (tmp_path / "target").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


@pytest.fixture
def directory(tmp_path: Path) -> WorkingDirectory:
    made = WorkingDirectory(tmp_path / "it", "redis")
    made.claim()
    (made.subdirectory("data") / "old").touch()
    return made


def data(directory: WorkingDirectory) -> list[str]:
    return sorted(path.name for path in (directory / "data").iterdir())


def test_what_was_set_aside_comes_back_whatever_is_there(directory):
    backups.set_aside(directory, ["data"])
    backups.put_back(directory, ["data"])
    assert data(directory) == ["old"]
    backups.set_aside(directory, ["data"])
    (directory.subdirectory("data") / "new").touch()
    for _ in range(2):
        backups.put_back(directory, ["data"])
        assert data(directory) == ["old"]


def test_what_was_discarded_does_not(directory):
    backups.set_aside(directory, ["data"])
    (directory.subdirectory("data") / "new").touch()
    backups.discard(directory, ["data"])
    backups.put_back(directory, ["data"])
    assert data(directory) == ["new"]
    # killed while the old ones were removed
    (directory / "data.discarded").mkdir()
    backups.put_back(directory, ["data"])
    assert data(directory) == ["new"]
    assert not (directory / "data.discarded").exists()
