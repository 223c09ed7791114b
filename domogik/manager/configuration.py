"""The configuration in force and what is installed, taken over again whenever either changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from domogik.components.events import EventStream
from domogik.config.keys import KNOWN
from domogik.config.load import BrokenConfiguration, Configuration, load
from domogik.packages.installed import Inventory

#: sections that are read once, with the keys in them whose change counts at once
_AT_THE_START = {
    "domogik": frozenset({"xpl_trusted"}),
    "rest": frozenset({"trusted_clients", "jsonp_origins"}),
    "database": frozenset[str](),
}
Apply = Callable[[Inventory, Configuration], None]


@attrs.define(eq=False)
class ConfigurationKeeper:
    """Reads both, in a thread, and hands them to `apply`; a broken file changes nothing.

    `scan` finds what is installed and blocks; `in_thread(f, *args)` calls what blocks.
    """

    _paths: tuple[Path, ...]
    current: Configuration
    _scan: Callable[[], Inventory]
    _apply: Apply
    _in_thread: Callable[..., Awaitable[Any]]
    _events: EventStream
    _log: Logger = Logger()
    _reading: bool = False
    _waiting: list[Deferred[None]] = attrs.field(factory=list)
    _said: frozenset[str] = frozenset()

    def changed(self, paths: set[Path]) -> None:
        """Files changed: read again. What fails is logged, since nobody waits for it."""
        self._log.debug("changed: {paths}", paths=sorted(str(path) for path in paths))
        _ = Deferred.fromCoroutine(self.reload()).addErrback(
            lambda failure: self._log.failure("reading the configuration again", failure)
        )

    async def reload(self) -> None:
        """Done when what the files say now is in force, or was refused.

        Asked while it reads, it reads once more: what was written before the question is always
        seen. Raises what that reading raises, and not what an earlier one did.
        """
        if self._reading:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
            return
        self._reading = True
        try:
            await self._read()
        finally:
            self._reading = False
            self._read_for_those_who_wait()

    def _read_for_those_who_wait(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return

        def tell(result: Any) -> None:
            for one in waiting:
                one.callback(result)

        _ = Deferred.fromCoroutine(self.reload()).addBoth(tell)

    async def begin(self) -> None:
        """The first reading: what is refused here is raised, since nothing good is in force yet."""
        await self._take_over()

    async def _read(self) -> None:
        try:
            await self._take_over()
        except BrokenConfiguration as error:
            self._log.error("the configuration stays as it was: {error}", error=str(error))
            self._events.publish("configuration.refused", path=str(error.path), error=str(error))

    async def _take_over(self) -> None:
        configuration, inventory = await self._in_thread(self._both)
        self._apply(inventory, configuration)
        changed = configuration != self.current
        for section, at_once in _AT_THE_START.items():
            now, before = (_words(each, section) for each in (configuration, self.current))
            if any(
                now.get(key) != before.get(key) for key in (now.keys() | before.keys()) - at_once
            ):
                self._log.warn(
                    "what changed in [{section}] counts from the manager's next start",
                    section=section,
                )
        self.current = configuration
        self._complain(configuration, inventory)
        if changed:
            self._events.publish(
                "configuration.changed", path=", ".join(str(path) for path in self._paths)
            )

    def _both(self) -> tuple[Configuration, Inventory]:
        return load(self._paths), self._scan()

    def _complain(self, configuration: Configuration, inventory: Inventory) -> None:
        """Say what is odd in them, each thing once while it lasts."""
        sentences = frozenset(
            (*configuration.notices, *configuration.unknown(KNOWN), *inventory.problems)
        )
        for sentence in sorted(sentences - self._said):
            self._log.warn("{sentence}", sentence=sentence)
        self._said = sentences


def _words(configuration: Configuration, section: str) -> dict[str, str]:
    return {key: setting.text() for key, setting in configuration.section(section).items()}
