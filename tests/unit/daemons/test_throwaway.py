"""Where is a server made that is gone soon?"""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.daemons.mysql.daemon import MySQLDaemon
from domogik.daemons.postgres.daemon import PostgresDaemon
from domogik.daemons.throwaway import servers
from domogik.daemons.throwaway.servers import place_for


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with enough room, in place of the one of this machine."""
    monkeypatch.setattr(servers, "_MEMORY", tmp_path)
    monkeypatch.setattr(servers, "_ENOUGH", 0)
    return tmp_path


def test_it_is_made_in_memory(memory: Path) -> None:
    assert place_for(PostgresDaemon, {}) == memory


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_whoever_names_a_place_for_temporary_files_has_it_there(memory: Path, name: str) -> None:
    assert place_for(PostgresDaemon, {name: "/elsewhere"}) is None


def test_a_server_that_may_not_go_there_is_made_where_temporary_files_are(memory: Path) -> None:
    assert place_for(MySQLDaemon, {}) is None


def test_a_container_with_little_room_there_has_it_elsewhere(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_ENOUGH", 2**70)
    assert place_for(PostgresDaemon, {}) is None


def test_so_has_a_host_without_such_a_place(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_MEMORY", memory / "missing")
    assert place_for(PostgresDaemon, {}) is None
