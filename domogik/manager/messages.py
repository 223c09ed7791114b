"""Errors about components in two forms: the text that clients compare, and the one for people."""

from __future__ import annotations

from domogik.errors import OperationFailed


def not_started(name: str, reason: str, logs: str) -> OperationFailed:
    """Return the error of a failed start; `reason` starts with a verb or names what is missing."""
    reason = reason.rstrip(".")
    begins = reason.startswith(("ended", "did not", "killed", "needs"))
    what = f"{name} {reason}" if begins else f"{name} did not start: {reason}"
    return OperationFailed(
        f"Component {name} failed to start. Please look in this component log files",
        reason,
        plain=f"{what}. More: {logs}",
    )
