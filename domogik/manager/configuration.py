"""The configuration in force and the installed packages, read again whenever either changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from domogik.components.events import EventStream
from domogik.config.check import Reader, component_of, drop_refused_entries
from domogik.config.keys import KNOWN
from domogik.config.load import BrokenConfiguration, Configuration, load
from domogik.packages.store.installed import Inventory
from domogik.threads import Threads

#: sections that are read once, with the keys in them whose change counts at once
_AT_THE_START = {
    "domogik": frozenset({"xpl_trusted", "log_level"}),
    "database": frozenset[str](),
}
Apply = Callable[[Inventory, Configuration], None]


def _ignore_remarks(remarks: Mapping[str, str], sentence: str) -> None: ...


@attrs.define(eq=False, kw_only=True)
class ConfigurationInForce:
    """Reads both, in a thread, and hands them to `apply`.

    A file that cannot be understood, or was there and is gone, changes nothing, but what is
    installed is taken over; of others what one of `readers` refuses stays
    as it was, or at the start as if it were not there. `scan` finds what is installed and blocks;
    `in_thread(f, *args)` calls what blocks. `tell` is called after each reading, with a sentence
    for each component whose entry is refused, and with all that is refused or waits for a start.
    """

    _paths: tuple[Path, ...]
    current: Configuration
    _scan: Callable[[], Inventory]
    _apply: Apply
    _in_thread: Threads
    _events: EventStream
    _readers: Sequence[Reader] = ()
    _tell: Callable[[Mapping[str, str], str], None] = _ignore_remarks
    _at_start: Configuration = attrs.field(init=False)
    #: what is refused now
    refused: tuple[BrokenConfiguration, ...] = attrs.field(init=False, default=())
    _log: Logger = Logger()
    _reading: bool = False
    _waiting: list[Deferred[None]] = attrs.field(factory=list)
    _said: frozenset[str] = frozenset()
    #: the files that were there at the last reading that was understood
    _here: set[Path] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self._at_start = self.current

    def changed(self, paths: set[Path]) -> None:
        """Read again after a change of files; an error is logged."""
        self._log.debug("changed: {paths}", paths=sorted(str(path) for path in paths))
        _ = Deferred.fromCoroutine(self.reload()).addErrback(
            lambda failure: self._log.failure("reading the configuration again", failure)
        )

    async def reload(self) -> None:
        """Read the files; returns when their content is in force or was refused.

        A call during a reading causes one more reading, so that what was written before the call is
        always seen. Raises the errors of that reading, not of an earlier one.
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
            self._read_again()

    def _read_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return

        def tell(result: Any) -> None:
            for one in waiting:
                one.callback(result)

        _ = Deferred.fromCoroutine(self.reload()).addBoth(tell)

    async def begin(self) -> None:
        """Read the files for the first time; raises `BrokenConfiguration`."""
        written, inventory = await self._in_thread(self._both)
        if isinstance(written, BrokenConfiguration):
            raise written
        self._take_over(written, inventory, Configuration())

    async def _read(self) -> None:
        written, inventory = await self._in_thread(self._both)
        try:
            if isinstance(written, BrokenConfiguration):
                self._apply(inventory, self.current)
                raise written
            self._take_over(written, inventory, self.current)
        except BrokenConfiguration as error:
            self._log.error("the configuration stays as it was: {error}", error=str(error))
            self._refuse((error, *(one for one in self.refused if one.section)))

    def _take_over(
        self, written: Configuration, inventory: Inventory, before: Configuration
    ) -> None:
        configuration, refused = drop_refused_entries(written, self._readers, before)
        self._apply(inventory, configuration)
        changed = configuration != self.current
        self.current = configuration
        self._refuse(refused)
        self._complain(configuration, inventory)
        if changed:
            self._events.publish(
                "configuration.changed", path=", ".join(str(path) for path in self._paths)
            )

    def _refuse(self, refused: tuple[BrokenConfiguration, ...]) -> None:
        for error in refused:
            if str(error) not in map(str, self.refused):
                self._log.error("refused: {error}", error=str(error))
                self._events.publish(
                    "configuration.refused", path=str(error.path), error=str(error)
                )
        self.refused = refused
        remarks = {component_of(error): str(error) for error in refused if component_of(error)}
        self._tell(remarks, "; ".join([*map(str, refused), *self._changes_that_wait()]))

    def _changes_that_wait(self) -> list[str]:
        """Return a sentence for each changed key that takes effect at the next start."""
        sentences = []
        for section, at_once in _AT_THE_START.items():
            now, before = (each.section(section) for each in (self.current, self._at_start))
            for key in sorted((now.keys() | before.keys()) - at_once):
                texts = [each[key].text() if key in each else "" for each in (now, before)]
                if texts[0] != texts[1]:
                    place = f" ({now[key].place})" if key in now else ""
                    sentences.append(f"{key} in [{section}]{place} counts from the next start")
        return sentences

    def _both(self) -> tuple[Configuration | BrokenConfiguration, Inventory]:
        inventory = self._scan()
        here = {path for path in self._paths if path.exists()}
        if gone := self._here - here:
            sentence = "is gone: what it said stays in force until the next start"
            return BrokenConfiguration(min(gone), 0, sentence), inventory
        try:
            configuration = load(self._paths)
        except BrokenConfiguration as error:
            return error, inventory
        self._here = here
        return configuration, inventory

    def _complain(self, configuration: Configuration, inventory: Inventory) -> None:
        """Say what is odd in them, each thing once while it lasts."""
        sentences = frozenset(
            (*configuration.notices, *configuration.unknown(KNOWN), *inventory.problems)
        )
        for sentence in sorted(sentences - self._said):
            self._log.warn("{sentence}", sentence=sentence)
        self._said = sentences
