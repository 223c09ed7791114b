"""SQLite: opening a database of ours, and bringing an older one up to date.

Everything here blocks, and is called in the one thread that the connection belongs to.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from domogik.errors import DomogikError

#: seconds to wait for another process that writes to the same file
BUSY_TIMEOUT_S = 5.0


class BrokenDatabase(DomogikError):
    """The file is damaged or is no database, or cannot be read or written."""


class NewerDatabase(DomogikError):
    """A later Domogik has written this database."""


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


def prepare_file(path: Path) -> None:
    """Make the directory (0700) and an empty file (0600) where they are missing.

    SQLite gives its journals the permissions of the file. Raises `BrokenDatabase`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise BrokenDatabase(f"{path} cannot be opened: {error.strerror}") from error


def configure(connection: sqlite3.Connection) -> None:
    """Settings that hold for one connection."""
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

    Raises `NewerDatabase` where it has a higher number; a database of number 0 that is not empty
    is somebody else's: `BrokenDatabase`.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        if number > len(migrations):
            raise NewerDatabase(
                f"{path} has schema number {number}, this Domogik knows up to {len(migrations)}: "
                "it was written by a later Domogik; start that one, or set [database] url"
            )
        if number == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise BrokenDatabase(f"{path} is another program's database: set [database] url")
        for statements in migrations[number:]:
            for statement in statements:
                connection.execute(statement)
        if number < len(migrations):
            connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    # It changes the file, for whoever opens it: only when it is known to be ours.
    connection.execute("PRAGMA journal_mode = WAL")
