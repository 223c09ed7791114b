"""Is somebody on the network in the way of this host's programs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from domogik.components.health import DiagnosticCheck, Result
from domogik.manager.questions import Question, only_by_hand

_ROOM = Question("host-hub-room", "The xPL hub has room for more programs")
_FULL = Question("host-hub-room", "The xPL hub is full")
_NAMES = Question("host-names", "Nobody else speaks under a name of this host's programs")
_NAMESAKE = Question("host-names", "Another program uses a name of this host's programs")
_RENAME = only_by_hand(
    "rename", "Stop the other one, or give one of the hosts another name: hostname in [domogik]"
)
_STOP_PROGRAM = only_by_hand("stop-program", "Stop that program if nobody needs it: kill PROCESS")


@attrs.frozen
class NetworkChecks:
    """The checks; each is of a sentence that is empty where there is nothing to say.

    `fullness()` says that the hub was full lately and which program has most places, `namesakes()`
    which other programs have names of ours.
    """

    _host: str
    _fullness: Callable[[], str]
    _namesakes: Callable[[], str]

    def __call__(self) -> Sequence[DiagnosticCheck]:
        """Return what the last minutes have shown; no program is asked for that."""
        return [self._room(), self._names()]

    def _names(self) -> DiagnosticCheck:
        reason = self._namesakes()
        if not reason:
            return _NAMES.answer(f"host:{self._host}", Result.PASSED)
        return _NAMESAKE.answer(f"host:{self._host}", Result.WARNING, _RENAME, reason=reason)

    def _room(self) -> DiagnosticCheck:
        reason = self._fullness()
        if not reason:
            return _ROOM.answer(f"host:{self._host}", Result.PASSED)
        return _FULL.answer(f"host:{self._host}", Result.WARNING, _STOP_PROGRAM, reason=reason)
