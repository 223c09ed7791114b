"""A process held by its pidfd: we are told when it ends, and signal it and no other.

Works for any process, our child or not (pidfd_open(2), Linux 5.3): the descriptor becomes
readable when the last thread of the process is gone, and a signal sent through it can never hit a
process that got the same number later.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity, Stat, read_stat


class IProcessReactor(IReactorFDSet, IReactorTime):
    """What is asked of a reactor by who watches processes."""


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class ProcessHandle:
    """One process, watched until it ends or `close` is called.

    `on_end` is called once, from the reactor; a zombie counts as ended. `stat` is how it was when
    it was opened.
    """

    identity: ProcessIdentity
    _reactor: IReactorFDSet
    _on_end: Callable[[], None]
    _descriptor: int
    stat: Stat

    @classmethod
    def open(
        cls, reactor: IReactorFDSet, identity: ProcessIdentity, on_end: Callable[[], None]
    ) -> ProcessHandle:
        """Raises `NoSuchProcess` when it is gone already, a zombie not yet collected excepted."""
        try:
            descriptor = os.pidfd_open(identity.pid)
        except (ProcessLookupError, OverflowError, ValueError) as error:
            raise NoSuchProcess(f"process {identity.pid} has ended") from error
        try:
            # Looked at after the descriptor is ours: from here on the number cannot change hands.
            stat = read_stat(identity.pid)
            if ProcessIdentity.from_stat(stat) != identity:
                raise NoSuchProcess(f"process {identity.pid} is another one by now")
        except (NoSuchProcess, OSError):
            os.close(descriptor)
            raise
        handle = cls(identity, reactor, on_end, descriptor, stat)
        reactor.addReader(handle)
        return handle

    @property
    def is_open(self) -> bool:
        """Whether it is still watched."""
        return self._descriptor != -1

    def signal(self, number: int) -> None:
        """Send a signal; raises `NoSuchProcess`, `PermissionError`."""
        if not self.is_open:
            raise NoSuchProcess(f"process {self.identity.pid} has ended")
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError as error:
            raise NoSuchProcess(f"process {self.identity.pid} has ended") from error

    def close(self) -> None:
        """Watch no longer; nothing is called after this."""
        if self.is_open:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "pidfd"

    def doRead(self) -> None:
        self.close()
        self._on_end()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of everything: it stops."""
        self.close()


def send_signal(identity: ProcessIdentity, number: int) -> None:
    """Signal that process and no other; raises `NoSuchProcess`, `PermissionError`."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except (ProcessLookupError, OverflowError, ValueError) as error:
        raise NoSuchProcess(f"process {identity.pid} has ended") from error
    try:
        if not identity.is_running():
            raise NoSuchProcess(f"process {identity.pid} has ended")
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError as error:
        raise NoSuchProcess(f"process {identity.pid} has ended") from error
    finally:
        os.close(descriptor)
