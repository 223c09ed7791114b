"""Who works on the data of a server, whoever started him?

A server stands in its data directory: it is the working directory of all its processes. Their
marks in the environment do not show, because PostgreSQL writes its titles over them.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from domogik.daemons.core.errors import NotOurs
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity, Stat, read_stat
from domogik.supervisor.processes.pidfd import send_signal

_PATIENCE = 5.0  # seconds for each signal
_PAUSE = 0.005


@attrs.frozen
class ProcessesInDirectory:
    """The processes of `program` that stand in `directory`; whom this user may look at."""

    directory: Path
    program: str

    def found(self) -> dict[ProcessIdentity, Stat]:
        """Who they are; blocks for a look at every process (some 10 us each)."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            place = str(self.directory.resolve(strict=True))
            for name in os.listdir("/proc"):
                if name.isdigit() and self._lives_in(place, f"/proc/{name}"):
                    with contextlib.suppress(NoSuchProcess):
                        stat = read_stat(int(name))
                        if not stat.is_gone:
                            found[ProcessIdentity.from_stat(stat)] = stat
        return found

    def _lives_in(self, place: str, process: str) -> bool:
        try:
            if os.readlink(f"{process}/cwd") != place:  # noqa: PTH115 - a fifth of the time
                return False
            program = Path(f"{process}/exe").readlink().name.removesuffix(" (deleted)")
        except OSError:  # it has ended, or is not ours to look at
            return False
        return program == self.program

    def are_gone(self) -> bool:
        """Return whether no process is left."""
        return not self.found()

    async def end_orphans(self, clock: IReactorTime) -> None:
        """End those whose server was killed: QUIT, which leaves the data to the next, then KILL.

        Raises `NotOurs` where a server lives: one that has processes of its own.
        """
        for number in (signal.SIGQUIT, signal.SIGKILL):
            found = self._orphans()
            for identity in found:
                with contextlib.suppress(NoSuchProcess):
                    send_signal(identity, number)
            deadline = clock.seconds() + _PATIENCE
            while found and clock.seconds() < deadline:
                await deferLater(clock, _PAUSE, lambda: None)
                found = self._orphans()
            if not found:
                return
        raise NotOurs(f"process {next(iter(found)).pid} works on {self.directory}, and stays")

    def _orphans(self) -> list[ProcessIdentity]:
        found = self.found()
        parents = {stat.parent for stat in found.values()}
        for identity in found:
            if identity.pid in parents:
                raise NotOurs(
                    f"process {identity.pid} serves the data in {self.directory} already, and was "
                    "not started by this program"
                )
        return list(found)
