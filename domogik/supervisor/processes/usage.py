"""CPU and memory usage of components."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs
import psutil
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.model import Usage
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.threads import Threads

#: seconds between two samples of all that run, and until the first
_SAMPLE_S, _FIRST_SAMPLE_S = 60.0, 5.0
_FRESH_FOR = 1.0  # seconds
_KEPT_FOR = 300.0  # seconds for which the last look at a process is remembered
_TICKS = os.sysconf("SC_CLK_TCK")


@attrs.define(eq=False)
class UsageMeter:
    """Measures each process, at most once a second. `monotonic` returns seconds.

    It reads some files of every process, so it is called in a thread; several threads may do so.
    """

    _monotonic: Callable[[], float]
    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)
    _measured_at: float = attrs.field(init=False, default=float("-inf"))
    _cpu_seconds: dict[ProcessIdentity, tuple[float, float]] = attrs.field(init=False, factory=dict)
    _figures: dict[str, Usage] = attrs.field(init=False, factory=dict)
    _asked: Mapping[str, frozenset[ProcessIdentity]] = attrs.field(init=False, factory=dict)

    def usage(self, identities_by_id: Mapping[str, Iterable[ProcessIdentity]]) -> dict[str, Usage]:
        """Return the usage of every component, summed over its running processes.

        CPU is measured since the previous sample of the process, at first since its start.
        """
        asked = {key: frozenset(processes) for key, processes in identities_by_id.items()}
        with self._lock:
            now = self._monotonic()
            if asked != self._asked or now - self._measured_at >= _FRESH_FOR:
                self._asked, self._measured_at = asked, now
                self._measure(now)
            return dict(self._figures)

    def _measure(self, now: float) -> None:
        before = self._cpu_seconds
        # those that were not asked for this time have not been looked at either
        self._cpu_seconds = {one: look for one, look in before.items() if now - look[0] < _KEPT_FOR}
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        self._figures = {
            key: _sum(self._one(process, before, now, uptime) for process in processes)
            for key, processes in self._asked.items()
        }

    def _one(
        self,
        identity: ProcessIdentity,
        before: Mapping[ProcessIdentity, tuple[float, float]],
        now: float,
        uptime: float,
    ) -> Usage | None:
        try:
            process = psutil.Process(identity.pid)
            with process.oneshot():
                times = process.cpu_times()
                memory = process.memory_info().rss
                files = process.num_fds()
            if not identity.is_running():  # asked last: until here the number was its own
                return None
        except psutil.Error:
            return None
        seconds = times.user + times.system
        started = now - (uptime - identity.start_ticks / _TICKS)
        then, seconds_then = before.get(identity, (started, 0.0))
        self._cpu_seconds[identity] = now, seconds
        percent = 100 * (seconds - seconds_then) / max(now - then, 0.01)
        return Usage(percent, memory, files, 1)


Members = Mapping[str, frozenset[ProcessIdentity]]


@attrs.define(eq=False)
class UsageSampler:
    """Samples the usage of all components once a minute; `members()` returns their processes."""

    _log = Logger()

    _clock: IReactorTime
    _in_thread: Threads
    _members: Callable[[], Members]
    #: the usage of each running component at the last sample
    sampled: Mapping[str, Usage] = attrs.field(init=False, factory=dict)
    _meter: UsageMeter = attrs.field(init=False)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._meter = UsageMeter(self._clock.seconds)

    def start(self) -> None:
        """Sample soon, and from then on every minute."""
        self._next = self._clock.callLater(_FIRST_SAMPLE_S, self._sample)

    def stop(self) -> None:
        """End the regular samples."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    async def usage(self, members: Members) -> Mapping[str, Usage]:
        """Return the current usage of these processes."""
        return await self._in_thread(self._meter.usage, members)

    def _sample(self) -> None:
        self._next = self._clock.callLater(_SAMPLE_S, self._sample)
        _ = Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: self._log.failure("memory and CPU were not sampled", failure)
        )

    async def _look(self) -> None:
        self.sampled = await self.usage(self._members())


def _sum(parts: Iterable[Usage | None]) -> Usage:
    total = Usage(0.0, 0, 0, 0)
    for part in parts:
        if part is not None:
            total = Usage(
                total.cpu_percent + part.cpu_percent,
                total.memory_bytes + part.memory_bytes,
                total.open_files + part.open_files,
                total.processes + part.processes,
            )
    return total
