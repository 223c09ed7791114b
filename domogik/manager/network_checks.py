"""Is somebody on the network in the way of this host's programs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from domogik.components.health import DiagnosticCheck, Result
from domogik.manager.questions import Question, only_by_hand

_ROOM = Question("host-hub-room", "The xPL hub has room for more programs")
_FULL = Question("host-hub-room", "The xPL hub is full")
_STOP_PROGRAM = only_by_hand("stop-program", "Stop that program if nobody needs it: kill PROCESS")


@attrs.frozen
class NetworkChecks:
    """`fullness()` says that the hub was full lately and who has its places; empty where not."""

    _host: str
    _fullness: Callable[[], str]

    def __call__(self) -> Sequence[DiagnosticCheck]:
        """What the last minutes have shown; nobody is asked for that."""
        return [self._room()]

    def _room(self) -> DiagnosticCheck:
        reason = self._fullness()
        if not reason:
            return _ROOM.answer(f"host:{self._host}", Result.PASSED)
        return _FULL.answer(f"host:{self._host}", Result.WARNING, _STOP_PROGRAM, reason=reason)
