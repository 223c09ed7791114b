"""The supervisor of the fake manager."""

from __future__ import annotations

import os

import attrs
from twisted.internet.defer import Deferred, succeed

from domogik.supervisor.interfaces import Specification
from domogik.supervisor.logs.output import OutputLog
from domogik.supervisor.service import Supervisor
from domogik.testing.processes import FakeProcesses


class _NoOutput(OutputLog):
    """The log of a program without output."""

    def open(self) -> None:
        pass

    def writer(self) -> int:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def close(self) -> Deferred[None]:
        return succeed(None)


class FakeSupervisor(Supervisor):
    """The real supervisor over processes in memory, whose output is discarded."""

    def use(self, processes: FakeProcesses) -> None:
        """Start and end processes in this table from now on."""
        self._processes = processes
        self._tools = attrs.evolve(self._tools, processes=processes)
        (self._run_directory / "processes").mkdir(parents=True, exist_ok=True)

    def _output(self, specification: Specification) -> OutputLog:
        nowhere = self._run_directory / "nowhere"
        return _NoOutput(self._reactor, nowhere, nowhere, max_size=1024, files=1)
