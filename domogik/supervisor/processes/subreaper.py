"""Makes this process the parent of orphaned descendants, and collects their exit statuses."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.process import reapProcessHandlers

from domogik.supervisor.processes import spawn
from domogik.supervisor.processes.identity import NoSuchProcess, read_stat

_PR_SET_CHILD_SUBREAPER = 36
#: seconds between two looks for orphans that have ended
LOOK_S = 5.0
#: seconds after which every process that an earlier manager left has been taken over
_FIRST_LOOK_S = 60.0


def become_subreaper() -> bool:
    """Become a child subreaper (prctl(2)); return whether it succeeded."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


@attrs.define(eq=False)
class Orphans:
    """Collects ended children that this process neither started nor watches.

    Children watched by a `ProcessTransport` or by Twisted are collected there.
    """

    _reactor: IReactorTime
    #: whether orphans come to us at all
    is_in_force: bool = attrs.field(init=False, default=False)
    _ended: frozenset[int] = attrs.field(init=False, default=frozenset())
    _next: IDelayedCall | None = attrs.field(init=False, default=None)

    def start(self) -> None:
        """Become the parent of orphans, and collect them regularly."""
        self.is_in_force = become_subreaper()
        self._next = self._reactor.callLater(_FIRST_LOOK_S, self._again)

    def stop(self) -> None:
        """Stop collecting."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _again(self) -> None:
        self._next = self._reactor.callLater(LOOK_S, self._again)
        self.look()

    def look(self) -> None:
        """Collect those that had already ended at the previous call.

        So other code in this process has had time to collect its own.
        """
        ended = frozenset(pid for pid in _children() if _is_ours_to_collect(pid))
        for pid in ended & self._ended:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._ended = ended - self._ended


def _is_ours_to_collect(pid: int) -> bool:
    if pid in spawn.watched or pid in reapProcessHandlers:
        return False
    try:
        stat = read_stat(pid)
    except (NoSuchProcess, OSError):
        return False
    return stat.is_gone and stat.parent == os.getpid()


def _children() -> Iterable[int]:
    """Return the children of the main thread; all processes on an older kernel."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", encoding="ascii") as file:
            return [int(number) for number in file.read().split()]
    except OSError:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
