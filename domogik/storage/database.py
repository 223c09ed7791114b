"""What a store asks of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from domogik.errors import DomogikError

_T = TypeVar("_T")


class BrokenDatabase(DomogikError):
    """It is damaged or no database, or cannot be reached, read or written."""


class LostDatabase(BrokenDatabase):
    """Its file was removed or replaced while it was open: what is written is lost."""


class NewerDatabase(DomogikError):
    """A later Domogik has written this database."""


class UnsupportedDatabase(DomogikError):
    """An address of a kind of database that this Domogik does not speak with."""


class Rows(Protocol):
    """What a statement found."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """The next row, None after the last."""
        ...


class Connection(Protocol):
    """Used in the one thread that it belongs to."""

    def execute(self, statement: str, values: Sequence[object] = (), /) -> Rows:
        """`statement` has a `?` for each value, and none elsewhere."""
        ...


class Database(Protocol):
    """One connection in a thread of its own, so that a slow disk delays nobody else.

    `name` is how sentences call it, without secrets.
    """

    @property
    def name(self) -> str: ...

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Do `work` in the thread; what it began is committed, or undone where it raises.

        Raises `BrokenDatabase`.
        """
        ...

    async def check(self) -> None:
        """Read all of it through; raises `BrokenDatabase` where it is damaged."""
        ...

    async def close(self) -> None:
        """What was asked before is done, and nothing is open; may be called twice."""
        ...


def newer(name: str, number: int, known: int) -> NewerDatabase:
    """The error for a schema `number` where up to `known` are."""
    return NewerDatabase(
        f"{name} has schema number {number}, this Domogik knows up to {known}: "
        "it was written by a later Domogik; start that one, or set [database] url"
    )
