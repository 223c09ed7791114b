"""Which route is a path? One router for both faces.

A pattern is literal words and `<names>`, such as `plugin/detail/<host>/<id>`; `<rest...>` at its
end takes all that is left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from domogik.api.http.exchange import Call
from domogik.manager.operations.table import Right

_REST = "<rest...>"


@attrs.frozen
class Asked:
    """A call, with what stood in place of the pattern's names."""

    call: Call
    values: Mapping[str, str]
    rest: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str:
        return self.values[name]


T = TypeVar("T")
Handler = Callable[[Asked], Awaitable[Any]]


@attrs.frozen(eq=False)
class Route(Generic[T]):
    """A pattern, and what answers there.

    Where it gives a file (`is_file`), whatever cannot be given is a plain 404: who asks keeps what
    comes, and a document about an error is no archive.
    """

    pattern: str
    handler: T
    right: Right = Right.READ
    is_file: bool = False
    words: tuple[str, ...] = attrs.field(init=False)

    @words.default
    def _words(self) -> tuple[str, ...]:
        return tuple(self.pattern.split("/"))

    @property
    def fixed(self) -> tuple[str, ...]:
        """The literal words before the first name."""
        words = []
        for word in self.words:
            if word.startswith("<"):
                break
            words.append(word)
        return tuple(words)

    def match(self, call: Call, parts: Sequence[str]) -> Asked | None:
        """The call, where it is for this route."""
        open_ended = self.words[-1] == _REST
        words = self.words[:-1] if open_ended else self.words
        if len(parts) < len(words) or (len(parts) > len(words) and not open_ended):
            return None
        values = {}
        for word, part in zip(words, parts, strict=False):
            if word.startswith("<"):
                values[word[1:-1]] = part
            elif word != part:
                return None
        return Asked(call, values, tuple(parts[len(words) :]))


@attrs.define(eq=False)
class Router(Generic[T]):
    """All routes of a face; nothing else is served."""

    routes: Sequence[Route[T]]
    _by_first: dict[str, list[Route[T]]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for route in self.routes:
            self._by_first.setdefault(route.words[0], []).append(route)

    def beginning(self, word: str) -> Iterable[Route[T]]:
        """The routes whose first word this is."""
        return self._by_first.get(word, ())

    def find(self, call: Call, parts: Sequence[str]) -> list[tuple[Route[T], Asked]]:
        """What the path can be, by the fewest names: `packages/offers` is no package called so."""
        found = [
            (route, asked)
            for route in self.beginning(parts[0] if parts else "")
            if (asked := route.match(call, parts)) is not None
        ]
        fewest = min((len(asked.values) for _, asked in found), default=0)
        return [(route, asked) for route, asked in found if len(asked.values) == fewest]


#: a route of which a function answers
Path: TypeAlias = Route[Handler]
