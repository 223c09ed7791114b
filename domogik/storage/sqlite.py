"""SQLite: opens a database file and migrates its schema."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import attrs
from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool

from domogik.storage.database import BrokenDatabase, LostDatabase, newer

_T = TypeVar("_T")

#: seconds to wait for another process that writes to the same file
BUSY_TIMEOUT_S = 5.0


#: what makes schema number i + 1 of number i; never changed once released, only added to
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE plugin_config (
            host TEXT NOT NULL,
            plugin TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            changed REAL NOT NULL,
            PRIMARY KEY (host, plugin, key)
        ) WITHOUT ROWID
        """,
    ),
)


@attrs.define(eq=False)
class SqliteDatabase:
    """A `Database` in a SQLite file."""

    _reactor: IReactorTime
    _pool: adbapi.ConnectionPool
    _path: Path
    _closed: bool = False
    _file: tuple[int, int] = (0, 0)

    @classmethod
    async def open(
        cls, reactor: IReactorTime, path: Path, *, must_exist: bool = False
    ) -> SqliteDatabase:
        """Return the database with its schema up to date.

        A missing file is created with its directory; with `must_exist` it raises `LostDatabase`
        instead. Raises `BrokenDatabase` and `NewerDatabase`, which name the file in one line.
        """
        pool = adbapi.ConnectionPool(
            "sqlite3",
            str(path),
            timeout=BUSY_TIMEOUT_S,
            # The pool closes its connection in the reactor's thread, when its own has ended.
            check_same_thread=False,
            cp_min=1,
            cp_max=1,
            cp_openfun=configure,
            cp_reactor=reactor,
        )
        database = cls(reactor, pool, path)
        try:
            await database._in_thread(lambda: database._prepare(must_exist))
            await database.run(lambda connection: migrate(connection, path))
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def name(self) -> str:
        return str(self._path)

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._closed:
            raise BrokenDatabase(f"{self._path} is closed")
        try:
            result: _T = await self._pool.runWithConnection(self._work, work)
        except sqlite3.Error as error:
            raise BrokenDatabase(f"{self._path}: {error}") from error
        return result

    def _prepare(self, must_exist: bool) -> None:
        if must_exist and not self._path.exists():
            raise LostDatabase(f"{self._path} was removed: put it back")
        prepare_file(self._path)
        self._file = _identity(self._path)

    def _work(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Raise `LostDatabase` after `work` if the file is no longer the one that was opened."""
        result = work(connection)
        try:
            if _identity(self._path) == self._file:
                return result
            found = "was replaced"
        except OSError as error:
            found = f"is gone ({error.strerror})"
        raise LostDatabase(f"{self._path} {found} while it was open")

    async def check(self) -> None:
        await self.run(self._check)

    def _check(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            # a heading comes first: `*** in database main ***`
            lines = [line for line in str(found).splitlines() if not line.startswith("***")]
            raise BrokenDatabase(f"{self._path} is damaged: {' '.join(lines[:1])}")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # The pool joins its thread in the reactor's: when its queue is empty that takes no time.
        await self._in_thread(lambda: None)
        self._pool.close()

    def _in_thread(self, work: Callable[[], None]) -> Deferred[None]:
        reactor = cast(IReactorFromThreads, self._reactor)
        return deferToThreadPool(reactor, self._pool.threadpool, work)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


# What follows blocks, and is called in the one thread that the connection belongs to.


def prepare_file(path: Path) -> None:
    """Create the directory (0700) and an empty file (0600) if they are missing.

    SQLite gives its journals the permissions of the file. Raises `BrokenDatabase`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise BrokenDatabase(f"{path} cannot be opened: {error.strerror}") from error


def configure(connection: sqlite3.Connection) -> None:
    """Set the options of a new connection."""
    # A transaction begins where we say BEGIN, also around a change of the schema.
    connection.isolation_level = None
    try:
        # What was confirmed has to outlive a power cut; NORMAL does not promise that with WAL.
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> None:
    """Bring the schema to number `len(migrations)`, in one transaction or not at all.

    Raises `NewerDatabase` if its number is higher, and `BrokenDatabase` if the number is 0 and the
    database is not empty, because it then belongs to another program.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        if number > len(migrations):
            raise newer(str(path), number, len(migrations))
        if number == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise BrokenDatabase(f"{path} is another program's database: set [database] url")
        for statements in migrations[number:]:
            for statement in statements:
                connection.execute(statement)
        if number < len(migrations):
            connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has undone it itself where the disk failed
            connection.execute("ROLLBACK")
        raise
    # It changes the file permanently, so it comes after the check that the database is ours.
    connection.execute("PRAGMA journal_mode = WAL")
