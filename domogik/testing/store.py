"""A store of configuration values in memory, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from domogik.components.model import ConfigValue

T = TypeVar("T")
#: an alias, because the store has a method called `list`
_Values = list[ConfigValue]


@attrs.define(eq=False)
class MemoryStore:
    """A `ConfigStore` without a file; every call fails with `broken` if it is given."""

    values: dict[tuple[str, str, str], str] = attrs.field(factory=dict)
    broken: Exception | None = None
    closed: bool = False

    def _done(self, result: T) -> Deferred[T]:
        return fail(self.broken) if self.broken is not None else succeed(result)

    def get(self, host: str, plugin: str, key: str) -> Deferred[str | None]:
        return self._done(self.values.get((host, plugin, key)))

    def set(self, host: str, plugin: str, key: str, value: str) -> Deferred[ConfigValue]:
        if value:
            self.values[host, plugin, key] = value
        else:
            self.values.pop((host, plugin, key), None)
        return self._done(ConfigValue(host, plugin, key, value))

    def list(
        self, host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> Deferred[_Values]:
        return self._done([*self._matching(host, plugin, key)])

    def delete(self, host: str, plugin: str, key: str | None = None) -> Deferred[_Values]:
        gone = [*self._matching(host, plugin, key)]
        for value in gone:
            del self.values[value.host, value.plugin, value.key]
        return self._done(gone)

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)

    def _matching(
        self, host: str | None, plugin: str | None, key: str | None
    ) -> Iterator[ConfigValue]:
        for place, value in sorted(self.values.items()):
            wanted = zip((host, plugin, key), place, strict=True)
            if all(word in (None, is_) for word, is_ in wanted):
                yield ConfigValue(*place, value)
