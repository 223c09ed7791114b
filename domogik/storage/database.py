"""The interface of databases, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from domogik.errors import DomogikError

_T = TypeVar("_T")


class BrokenDatabase(DomogikError):
    """The database is damaged, is none, or cannot be reached, read or written."""


class LostDatabase(BrokenDatabase):
    """The database file was removed or replaced while it was open, so writes are lost."""


class NewerDatabase(DomogikError):
    """A later version of Domogik has written the database."""


class UnsupportedDatabase(DomogikError):
    """The URL names a kind of database that is not supported."""


class Rows(Protocol):
    """The result of a statement."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """Return the next row, or None after the last."""
        ...


class Connection(Protocol):
    """A connection, used only in the thread that it belongs to."""

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Rows:
        """Run a statement, which has one `?` for each value and none elsewhere."""
        ...


class Database(Protocol):
    """A database with one connection in a thread of its own.

    `name` stands for the database in messages and contains no password.
    """

    @property
    def name(self) -> str: ...

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Call `work` in the thread, and commit its changes or roll them back if it raises.

        Raises `BrokenDatabase`.
        """
        ...

    async def check(self) -> None:
        """Read the whole database; raise `BrokenDatabase` if it is damaged."""
        ...

    async def close(self) -> None:
        """Finish the operations that were requested before, then close; may be called twice."""
        ...


def newer(name: str, number: int, known: int) -> NewerDatabase:
    """Return the error for a schema `number` above the last known one."""
    return NewerDatabase(
        f"{name} has schema number {number}, this Domogik knows up to {known}: "
        "it was written by a later Domogik; start that one, or set [database] url"
    )
