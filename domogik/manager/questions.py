"""What is asked about a component: the name of a check, and the sentence that it fills."""

from __future__ import annotations

import attrs

from domogik.components.health import DiagnosticCheck, Result, Suggestion

LOOK_AT_LOGS = Suggestion("look-at-logs", "Look at what it wrote last", is_repairable=False)


@attrs.frozen
class Question:
    """`text` says how it should be; an answer that has a `reason` ends in it."""

    id: str
    text: str

    def answer(
        self, component_id: str, result: Result, *suggestions: Suggestion, **parameters: object
    ) -> DiagnosticCheck:
        """How it is with that component."""
        text = f"{self.text}: {{reason}}" if parameters.get("reason") else self.text
        return DiagnosticCheck(self.id, text, result, parameters, component_id, suggestions)


def only_by_hand(action: str, sentence: str) -> Suggestion:
    """What Domogik cannot do for a person."""
    return Suggestion(action, sentence, is_repairable=False)


def megabytes(size_bytes: float) -> str:
    """As people say it: `512 MB`, `3.4 GB`."""
    if size_bytes >= 10**9:
        return f"{size_bytes / 10**9:.1f} GB"
    return f"{size_bytes / 10**6:.0f} MB"
