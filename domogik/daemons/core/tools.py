"""What a daemon is given to work with."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads

from domogik.daemons.core.probing import IProbeReactor
from domogik.supervisor.interfaces import User
from domogik.supervisor.ports.reservation import PortTable, default_directory
from domogik.supervisor.processes.command import Completed, run
from domogik.supervisor.processes.pidfd import IProcessReactor
from domogik.threads import Threads, threads_of

T = TypeVar("T")

_SERVERS = "/usr/local/sbin:/usr/sbin:/sbin"  # not in everybody's search path
_COMMAND_TIMEOUT = 120.0
_COMMAND_OUTPUT = 64 * 1024


class IDaemonReactor(IProcessReactor, IProbeReactor, IReactorThreads):
    """What is asked of a reactor here; a whole one."""


@attrs.frozen
class DaemonTools:
    """`environment` is what every process of a daemon gets beside its own variables."""

    reactor: IDaemonReactor
    ports: PortTable
    environment: Mapping[str, str]

    @classmethod
    def of(cls, reactor: IDaemonReactor) -> DaemonTools:
        """The usual ones."""
        path = f"{os.environ.get('PATH', os.defpath)}:{_SERVERS}"
        environment = {"PATH": path, "LANG": "C.UTF-8"}
        return cls(reactor, PortTable(default_directory(), random.Random()), environment)

    def find(self, *names: str, directories: Sequence[Path] = ()) -> Path | None:
        """The first of these programs that is there: in `directories`, then in the search path."""
        path = os.pathsep.join((*map(str, directories), self.environment["PATH"]))
        found = (shutil.which(name, path=path) for name in names)
        return next((Path(one) for one in found if one is not None), None)

    @property
    def in_thread(self) -> Threads:
        """Return what calls a function that blocks."""
        return threads_of(self.reactor)

    def run(
        self,
        argv: Sequence[str],
        *,
        directory: Path,
        user: User | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = _COMMAND_TIMEOUT,
        limit_bytes: int = _COMMAND_OUTPUT,
    ) -> Deferred[Completed]:
        """As `supervisor.command.run`, with `environment` over the one every process gets."""
        return run(
            self.reactor,
            argv,
            timeout=timeout,
            limit_bytes=limit_bytes,
            environment={**self.environment, **(environment or {})},
            directory=directory,
            user=user,
        )
