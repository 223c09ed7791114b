"""The names and the sentences of checks."""

from __future__ import annotations

from pathlib import Path

import attrs

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.errors import NotPossible

#: seconds in which restarts count, and a release is new
LATELY = 3600.0
#: bytes; with less left a plugin or a server soon fails, and loses what it cannot write
LITTLE_ROOM = 64 * 2**20
START = Suggestion("start", "Start it")
RESTART = Suggestion("restart", "Restart it")
_NOT_LOOKED_AT = (Result.SKIPPED, Result.NOT_DONE)


@attrs.frozen
class Question:
    """`text` says how it should be, `wrong` how it is where it is not so; both are templates.

    An answer whose parameters have a `reason` ends in it, where the template does not name it.
    """

    id: str
    text: str
    wrong: str = ""

    def answer(
        self, component_id: str, result: Result, *suggestions: Suggestion, **parameters: object
    ) -> DiagnosticCheck:
        """Return the check with that result."""
        text = self.wrong if result.is_issue and self.wrong else self.text
        if parameters.get("reason") and "{reason}" not in text:
            text += ": not looked at, {reason}" if result in _NOT_LOOKED_AT else ": {reason}"
        return DiagnosticCheck(
            self.id,
            text,
            result,
            parameters=parameters,
            component_id=component_id,
            suggestions=suggestions,
        )


def look_at_logs(command: str) -> Suggestion:
    """Return the suggestion to read the output, with the `command` for it."""
    return only_by_hand("look-at-logs", f"See what it wrote: {command}")


def find_large(path: Path | str) -> Suggestion:
    """Return the suggestion to find large files."""
    return only_by_hand("free-disk", f"See what is large there: du -xhd1 {path}")


def only_by_hand(action: str, sentence: str) -> Suggestion:
    """Return a suggestion that only a person can carry out."""
    return Suggestion(action, sentence, is_repairable=False)


def unknown_action(component_id: str, action: str) -> NotPossible:
    """Return the error for a repair that no check of that component suggests."""
    return NotPossible(f"{component_id} has no repair {action}")


def times(count: int) -> str:
    """Return a count in words: `once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"


def megabytes(size_bytes: float) -> str:
    """Return a size in words: `512 MB`, `3.4 GB`."""
    if size_bytes >= 10**9:
        return f"{size_bytes / 10**9:.1f} GB"
    return f"{size_bytes / 10**6:.0f} MB"
