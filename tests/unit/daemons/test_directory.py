"""Whose is a directory, and who may work in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import NotOurs
from domogik.supervisor.processes.adoption import ProcessRecord


@pytest.fixture
def ours(tmp_path: Path) -> WorkingDirectory:
    made = WorkingDirectory(tmp_path / "a" / "b", "redis")
    made.claim()
    return made


def test_what_is_claimed_is_private_and_ours_and_keeps_its_id(ours):
    assert stat.S_IMODE(ours.path.stat().st_mode) == 0o700
    ours.check()
    before = ours.id
    ours.path.chmod(0o755)
    ours.claim()
    assert ours.id == before
    assert stat.S_IMODE(ours.path.stat().st_mode) == 0o700


def test_an_empty_directory_may_be_claimed_and_one_with_something_in_it_not(tmp_path):
    (tmp_path / "empty").mkdir()
    WorkingDirectory(tmp_path / "empty", "redis").claim()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(NotOurs, match="not empty"):
        WorkingDirectory(tmp_path / "full", "redis").claim()


@pytest.mark.parametrize(
    "marker",
    [b"", b"{}", b"[]", b'{"kind": "redis"}', b'{"kind": 1, "id": "x"}', b"\xff", b"[" * 999],
)
def test_a_marker_that_says_nothing_is_none(ours, marker):
    (ours / ".managed").write_bytes(marker)
    for operation in (ours.check, ours.remove, lambda: ours.id):
        with pytest.raises(NotOurs, match="not made by this program"):
            operation()
    assert ours.path.exists()


def test_another_kinds_directory_is_not_ours(ours):
    other = WorkingDirectory(ours.path, "nginx")
    for operation in (other.check, other.claim, other.remove):
        with pytest.raises(NotOurs, match="redis"):
            operation()


def test_neither_a_link_nor_a_file_is_a_directory(ours, tmp_path):
    (tmp_path / "link").symlink_to(ours.path)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(NotOurs, match="not a directory"):
            WorkingDirectory(tmp_path / name, "redis").check()
    with pytest.raises(NotOurs, match="missing"):
        WorkingDirectory(tmp_path / "nowhere", "redis").check()


def test_one_works_on_it_at_a_time(ours):
    with ours.lock():
        with pytest.raises(NotOurs, match="another program"), ours.lock():
            pass
    with ours.lock():
        pass


def test_a_child_that_was_forked_meanwhile_keeps_nobody_from_working_on_it(ours):
    told, telling = os.pipe()
    with ours.lock():
        child = os.fork()  # it has the lock's file open for as long as it lives
        if child == 0:
            os.close(telling)
            os.read(told, 1)
            os._exit(0)
    os.close(told)
    try:
        with ours.lock():
            pass
    finally:
        os.close(telling)
        os.waitpid(child, 0)


def test_what_is_removed_does_not_take_along_where_links_lead(ours, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "x").touch()
    (ours / "link").symlink_to(tmp_path / "kept")
    (ours.subdirectory("data") / "y").touch()
    ours.remove()
    assert not ours.path.exists()
    assert (tmp_path / "kept" / "x").exists()


def test_what_is_written_is_private(ours):
    path = ours.write("service.conf", "secret ☃")
    assert path.read_text() == "secret ☃"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ours.subdirectory("data").stat().st_mode) == 0o700
    (ours / "file").touch()
    with pytest.raises(NotOurs):
        ours.subdirectory("file")


def test_the_record_of_its_process_is_found_by_whoever_comes(ours):
    assert ours.record is None
    ours.records.begin(ProcessRecord("daemon:redis", "mark", 1.0))
    assert WorkingDirectory(ours.path, "redis").record == ProcessRecord("daemon:redis", "mark", 1.0)
    (ours / "run" / "daemon-redis.json").write_text("rubbish")
    assert ours.record is None
