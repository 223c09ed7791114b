"""The check whether processes can escape from their component on this host."""

from __future__ import annotations

from domogik.components.health import DiagnosticCheck, Result
from domogik.manager.health.questions import Question, only_by_hand

_HELD = Question("host-escapes", "Processes stay with their component: {mechanisms}")
_NOT_HELD = Question("host-escapes", "Processes may get away from their component: {mechanisms}")
_DELEGATE = only_by_hand(
    "delegate", "In the unit of this manager, write Delegate=yes, and no LimitRTTIME="
)


def escape_check(host: str, mechanisms: str, is_held: bool) -> DiagnosticCheck:
    """`mechanisms` is a part of a sentence; not `is_held`: what escapes cannot be found."""
    if is_held:
        return _HELD.answer(f"host:{host}", Result.PASSED, mechanisms=mechanisms)
    return _NOT_HELD.answer(f"host:{host}", Result.WARNING, _DELEGATE, mechanisms=mechanisms)
