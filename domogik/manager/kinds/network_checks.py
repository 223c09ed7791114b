"""The checks of what other programs on the network do to this host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.manager.health.questions import Question, only_by_hand

_ROOM = Question("host-hub-room", "The xPL hub has room for more programs")
_FULL = Question("host-hub-room", "The xPL hub is full")
_NAMES = Question("host-names", "Nobody else speaks under a name of this host's programs")
_NAMESAKE = Question("host-names", "Another program uses a name of this host's programs")
_RENAME = only_by_hand(
    "rename", "Stop the other one, or give one of the hosts another name: hostname in [domogik]"
)
_ROLES = Question("host-roles", "No other host has a role of this one")
_SECOND = Question("host-roles", "Another host has a role of this one")
_ONE_MAIN_HOST = only_by_hand(
    "one-main-host", "Start the manager of one of the two hosts without that option"
)
_STOP_PROGRAM = only_by_hand("stop-program", "If nothing needs that program, stop it by its pid")


@attrs.frozen
class NetworkChecks:
    """The checks; each is of a sentence that is empty where there is nothing to say.

    `fullness()` says that the hub was full lately and which program has most places, `namesakes()`
    which other programs have names of ours, and `roles()` which hosts have a role of ours.
    """

    _host: str
    _fullness: Callable[[], str]
    _namesakes: Callable[[], str]
    _roles: Callable[[], str]

    def __call__(self) -> Sequence[DiagnosticCheck]:
        """Return what the last minutes have shown; no program is asked for that."""
        return [
            self._check(_ROOM, _FULL, _STOP_PROGRAM, self._fullness()),
            self._check(_NAMES, _NAMESAKE, _RENAME, self._namesakes()),
            self._check(_ROLES, _SECOND, _ONE_MAIN_HOST, self._roles()),
        ]

    def _check(
        self, good: Question, bad: Question, advice: Suggestion, reason: str
    ) -> DiagnosticCheck:
        if not reason:
            return good.answer(f"host:{self._host}", Result.PASSED)
        return bad.answer(f"host:{self._host}", Result.WARNING, advice, reason=reason)
