"""The checks of a host: hub, clock, disks, memory, access rights."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import attrs
from zope.interface import implementer

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.config.files import read_bounded
from domogik.config.home import Home
from domogik.errors import OperationFailed
from domogik.manager.health.questions import (
    Question,
    find_large,
    megabytes,
    only_by_hand,
    unknown_action,
)
from domogik.manager.registry import IChecked
from domogik.threads import Threads

#: Unix time that every clock that was ever set is past: 2024-01-01
EARLIEST = 1_704_067_200.0
#: seconds that a clock may be set back
SET_BACK = 60.0
#: bytes free on a disk, and parts of it: below is a warning, below that a failure
LITTLE_ROOM, LITTLE_SHARE = 10**9, 0.05
NO_ROOM = 64 * 2**20
#: of the inodes
FEW_INODES = 0.01
#: of the memory, what programs cannot have any more
MUCH_MEMORY, NO_MEMORY = 0.90, 0.97
#: processes that wait for each processor, over 15 minutes
HIGH_LOAD = 4.0

_HUB = Question(
    "host-hub",
    "The xPL hub gives our heartbeat back",
    "Our heartbeat does not come back: {reason}",
)
_CLOCK = Question(
    "host-clock",
    "The clock is right, as far as one can tell: {time}",
    "The clock is wrong: it says {time}, {reason}",
)
_MEMORY = Question(
    "host-memory",
    "Programs can have memory: {available} of {total}",
    "Memory almost full: {available} of {total} left",
)
_LOAD = Question(
    "host-load",
    "The processors keep up: load {load} on {processors}",
    "The processors do not keep up: load {load} on {processors}",
)
_DOORS = Question(
    "host-permissions",
    "Nobody else may change what is in {home}, or read its token",
    "Other users may read or change what is in {home}: {reason}",
)
_PACKAGES = Question(
    "host-packages",
    "Every descriptor that is there can be read",
    "A descriptor cannot be read: {reason}",
)

_MAKE_PRIVATE = Suggestion("make-private", "Take these rights from other users")
_EMPTY_CACHE = Suggestion("empty-cache", "Remove archives that can be fetched again")
_FIND_HUB = only_by_hand(
    "start-hub", "Free the port, and this manager is the hub itself; or start one: dmg_hub"
)
_SET_CLOCK = only_by_hand("set-clock", "Set the clock: timedatectl set-ntp true")
_STOP_SOMETHING = only_by_hand("stop-something", "See what uses most, and stop it: dmg_ctl status")
_MEMORY_BYTES = 65536


@implementer(IChecked)
@attrs.define(eq=False, kw_only=True)
class HostChecker:
    """This one host.

    `hub_problem()` is a sentence, empty while our own heartbeat comes back; `last_known()` a Unix
    time that has been; `archives` the directory of those that can be fetched again, `directories`
    where something is written beside the home, `broken_packages()` what could not be read,
    `more()` the checks of `network_checks` and `escape_checks`.
    """

    _host: str
    _home: Home
    _directories: Sequence[Path]
    _archives: Path
    _hub_problem: Callable[[], str]
    _last_known: Callable[[], float]
    _broken_packages: Callable[[], Sequence[str]]
    _wall_clock: Callable[[], float]
    _in_thread: Threads
    _memory: Path = Path("/proc/meminfo")
    _more: Callable[[], Sequence[DiagnosticCheck]] = tuple

    def subjects(self) -> Collection[str]:
        """Return the id of the host."""
        return (self._id,)

    @property
    def _id(self) -> str:
        return f"host:{self._host}"

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Return all checks of the host."""
        found = [self._hub(), *self._more(), self._clock(), self._packages()]
        return [*found, *await self._in_thread(self._machine)]

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Remove access rights, or remove archives."""
        acts = {"make-private": self._make_private, "empty-cache": self._empty_cache}
        if action not in acts:
            raise unknown_action(component_id, action)
        try:
            await self._in_thread(acts[action])
        except OSError as error:
            raise OperationFailed(f"{error.filename}: {error.strerror}") from error

    def _hub(self) -> DiagnosticCheck:
        problem = self._hub_problem()
        if not problem:
            return _HUB.answer(self._id, Result.PASSED)
        return _HUB.answer(self._id, Result.FAILED, _FIND_HUB, reason=problem)

    def _clock(self) -> DiagnosticCheck:
        now, known = self._wall_clock(), self._last_known()
        given = {"time": _said(now)}
        if now < EARLIEST:
            reason = "that was before this program was written"
        elif now < known - SET_BACK:
            reason = f"it was {_said(known)} already"
        else:
            return _CLOCK.answer(self._id, Result.PASSED, **given)
        return _CLOCK.answer(self._id, Result.FAILED, _SET_CLOCK, reason=reason, **given)

    def _packages(self) -> DiagnosticCheck:
        problems = self._broken_packages()
        if not problems:
            return _PACKAGES.answer(self._id, Result.PASSED)
        look = only_by_hand("check", f"See what is wrong: dmg_pkgmgr check {_path_in(problems[0])}")
        return _PACKAGES.answer(self._id, Result.WARNING, look, reason="; ".join(problems))

    # What blocks

    def _machine(self) -> list[DiagnosticCheck]:
        return [*self._disks(), *self._memory_left(), self._load(), self._doors()]

    def _disks(self) -> Iterator[DiagnosticCheck]:
        """Each file system that something of ours is on, once."""
        seen = set()
        for place in (self._home.path, *self._directories):
            if place.exists() and (device := place.stat().st_dev) not in seen:
                seen.add(device)
                yield self._disk(place)

    def _disk(self, place: Path) -> DiagnosticCheck:
        question = Question(
            f"host-disk-space:{place}",
            "There is room on the disk of {path}: {free}",
            "Disk almost full: {free} free at {path}",
        )
        there = os.statvfs(place)
        free, total = there.f_bavail * there.f_frsize, there.f_blocks * there.f_frsize
        given: dict[str, object] = {
            "path": str(place),
            "free": f"{megabytes(free)} of {megabytes(total)}",
            "free_bytes": free,
        }
        find = find_large(place)
        advice = (_EMPTY_CACHE, find) if self._has_archives_on(place) else (find,)
        if there.f_files and there.f_favail < there.f_files * FEW_INODES:
            reason = f"only {there.f_favail} more files can be made"
            return question.answer(self._id, Result.FAILED, *advice, reason=reason, **given)
        if free < NO_ROOM:
            return question.answer(self._id, Result.FAILED, *advice, **given)
        if free < LITTLE_ROOM and free < total * LITTLE_SHARE:
            return question.answer(self._id, Result.WARNING, *advice, **given)
        return question.answer(self._id, Result.PASSED, **given)

    def _has_archives_on(self, place: Path) -> bool:
        archives = self._archives
        return (
            archives.is_dir()
            and archives.stat().st_dev == place.stat().st_dev
            and any(archives.glob("[!.]*.tgz"))
        )

    def _memory_left(self) -> Iterator[DiagnosticCheck]:
        """Nothing where the kernel does not say."""
        text = read_bounded(self._memory, _MEMORY_BYTES).decode("ascii", "replace")
        lines = (line.split() for line in text.splitlines())
        kilobytes = {words[0]: int(words[1]) for words in lines if len(words) > 1}
        total, available = kilobytes.get("MemTotal:", 0), kilobytes.get("MemAvailable:")
        if not total or available is None:
            return
        given: dict[str, object] = {
            "available": megabytes(available * 1024),
            "total": megabytes(total * 1024),
        }
        used = 1 - available / total
        if used < MUCH_MEMORY:
            yield _MEMORY.answer(self._id, Result.PASSED, **given)
        else:
            result = Result.FAILED if used >= NO_MEMORY else Result.WARNING
            yield _MEMORY.answer(self._id, result, _STOP_SOMETHING, **given)

    def _load(self) -> DiagnosticCheck:
        load, processors = os.getloadavg()[2], os.cpu_count() or 1
        given: dict[str, object] = {"load": f"{load:.1f}", "processors": processors}
        if load < HIGH_LOAD * processors:
            return _LOAD.answer(self._id, Result.PASSED, **given)
        return _LOAD.answer(self._id, Result.WARNING, _STOP_SOMETHING, **given)

    def _doors(self) -> DiagnosticCheck:
        given = {"home": str(self._home.path)}
        doors = self._home.exposed_paths()
        if not doors:
            return _DOORS.answer(self._id, Result.PASSED, **given)
        reason = "; ".join(door.sentence for door in doors)
        return _DOORS.answer(self._id, Result.FAILED, _MAKE_PRIVATE, reason=reason, **given)

    def _make_private(self) -> None:
        for door in self._home.exposed_paths():
            door.close()

    def _empty_cache(self) -> None:
        for path in self._archives.glob("[!.]*.tgz"):
            path.unlink(missing_ok=True)


def _path_in(problem: str) -> str:
    """Return the path at the beginning of a sentence about a file."""
    return problem.partition(": ")[0].partition(":")[0]


def _said(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
