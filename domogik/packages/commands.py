"""Output of the commands that `packages` runs."""

from __future__ import annotations

from domogik.supervisor.processes.command import Completed

#: of what a command says, no more than this is kept
OUTPUT_BYTES = 256 * 1024


def last_line(outcome: Completed) -> str:
    """Return the last line of the output, which usually says why the command failed."""
    if outcome.timed_out:
        return "it took too long"
    lines = outcome.output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
