"""A database is brought up to date completely or not at all; a stranger's is left alone."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from domogik.storage.database import BrokenDatabase, NewerDatabase
from domogik.storage.sqlite import MIGRATIONS, configure, migrate, prepare_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "domogik.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    prepare_file(path)
    connection = sqlite3.connect(path)
    configure(connection)
    yield connection
    connection.close()


def _number(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY 1")]


def test_the_file_and_its_directory_are_private(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_an_empty_database_gets_the_newest_schema(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrate(connection, path)
    assert _number(connection) == len(MIGRATIONS)
    migrate(connection, path)
    assert _tables(connection) == ["plugin_config"]


def test_an_older_one_gets_only_the_steps_it_lacks(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrate(connection, path, [["CREATE TABLE a (x)"]])
    connection.execute("INSERT INTO a VALUES (1)")
    migrate(connection, path, [["CREATE TABLE a (x)"], ["CREATE TABLE b (x)"]])
    assert _number(connection) == 2
    assert _tables(connection) == ["a", "b"]
    assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]


def test_a_step_that_fails_leaves_everything_as_it_was(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrate(connection, path, [["CREATE TABLE a (x)"]])
    with pytest.raises(sqlite3.OperationalError):
        migrate(
            connection,
            path,
            [["CREATE TABLE a (x)"], ["CREATE TABLE b (x)"], ["CREATE TABLE c (x)", "NONSENSE"]],
        )
    assert _number(connection) == 1
    assert _tables(connection) == ["a"]
    assert not connection.in_transaction


def test_what_sqlite_has_undone_itself_is_still_told_in_its_own_words(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
        migrate(
            connection, path, [["CREATE TABLE a (x)", "INSERT INTO a VALUES (zeroblob(99999))"]]
        )
    assert not connection.in_transaction


def test_a_newer_one_is_refused_in_one_line_and_left_alone(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrate(connection, path, [["CREATE TABLE a (x)"]] * 1 + [[]] * 6)
    with pytest.raises(NewerDatabase) as caught:
        migrate(connection, path)
    assert str(caught.value).startswith(f"{path} has schema number 7")
    assert "\n" not in str(caught.value)
    assert _number(connection) == 7


def test_another_programs_database_is_refused_and_left_alone(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(BrokenDatabase, match="another program's database"):
        migrate(connection, path)
    assert _tables(connection) == ["theirs"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BrokenDatabase, match=r"file/domogik\.db cannot be opened: "):
        prepare_file(tmp_path / "file" / "domogik.db")
    with pytest.raises(BrokenDatabase, match="cannot be opened: Is a directory"):
        prepare_file(tmp_path)
