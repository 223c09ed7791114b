"""A process watched and signalled by its pidfd.

This works for any process, our child or not (pidfd_open(2), Linux 5.3): the descriptor becomes
readable when the last thread is gone, and a signal sent through it never hits another process that
got the same pid later.
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
    """The interfaces of the reactor that watching processes needs."""


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class ProcessHandle:
    """A process that is watched until it ends or `close` is called.

    `on_end` is called once, from the reactor; a zombie has ended. `stat` is from the time of
    opening.
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
        """Open it; raises `NoSuchProcess` if it is gone, but not for a zombie."""
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
        """Stop watching; nothing is called after this."""
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
        """Close when the reactor stops."""
        self.close()


def send_signal(identity: ProcessIdentity, number: int) -> None:
    """Signal exactly that process; raises `NoSuchProcess`, `PermissionError`."""
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
