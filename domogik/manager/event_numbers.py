"""Numbers of events never go back: not after a crash, with a lost file, nor with a wrong clock.

`run/events.json` holds a number below which all may have been given already. It is written ahead of
need, in a thread; the next start goes on behind it. As the file may be lost, numbers are at least
the microseconds since 1970 at the start, which counting never reaches. As the clock may be
wrong as well, they are at least what the files of the home tell of the time. All stay below 2**53,
which JavaScript can count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from domogik.components.events import Event, EventStream
from domogik.config.files import read_bounded, write_atomically
from domogik.threads import Threads

#: no number is larger; what remains to 2**53 is for counting on
MOST = 2**53 - 2**40
#: so many are reserved at a time, the next when half of them are used
BLOCK = 100_000


@attrs.define(eq=False)
class EventNumbers:
    """Reserves numbers for one event stream by writing ahead into the file."""

    _events: EventStream
    _path: Path
    _in_thread: Threads
    _now: Callable[[], float]
    _next_write: int = 0
    _writing: bool = False
    _log: Logger = Logger()

    async def begin(self) -> None:
        """Set the first number of the stream; call it before the first client connects."""
        first = await self._in_thread(self._first)
        self._events.continue_from(first)
        await self._reserve()
        _ = self._events.subscribe(self._given)

    def _first(self) -> int:
        try:
            stored = json.loads(read_bounded(self._path, 1024))["reserved"]
        except FileNotFoundError:  # as in a new home
            stored = 0
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._log.info("{path} cannot be read: {error}", path=str(self._path), error=str(error))
            stored = 0
        known = stored if type(stored) is int else 0
        times = (int(time * 1e6) for time in self._times())
        return max(number for number in (0, known, *times) if number < MOST)

    def _times(self) -> Iterator[float]:
        """Return the times by the clock and by files of the home, in seconds."""
        yield self._now()
        run = self._path.parent
        for directory in (run, run.parent):
            for path in (directory, *directory.glob("*")):
                try:
                    yield path.stat().st_mtime
                except OSError:
                    continue

    def _given(self, event: Event) -> None:
        if event.id >= self._next_write and not self._writing:
            _ = Deferred.fromCoroutine(self._reserve())

    async def _reserve(self) -> None:
        reserved = self._events.last_id + BLOCK
        content = json.dumps({"reserved": reserved}).encode("ascii")
        self._writing = True
        try:
            await self._in_thread(write_atomically, self._path, content)
            self._next_write = reserved - BLOCK // 2
        except OSError as error:
            self._log.warn(
                "{path} cannot be written: {error}", path=str(self._path), error=str(error)
            )
            # numbers go on, for an event that is not told would be worse
            self._next_write = self._events.last_id + BLOCK // 100
        finally:
            self._writing = False
