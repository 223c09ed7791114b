"""Running a command: what this room is given, since it starts no processes itself."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

#: of what a command says, no more than this is kept
OUTPUT_BYTES = 256 * 1024


class Outcome(Protocol):
    """How a command went; `output` is what it said, standard error included."""

    @property
    def output(self) -> bytes: ...

    @property
    def timed_out(self) -> bool: ...

    @property
    def succeeded(self) -> bool: ...


class RunCommand(Protocol):
    """Runs a command to its end; after `timeout` seconds it is killed and has not succeeded.

    Without `environment` it gets this process's. Raises `DomogikError` for what cannot be started.
    """

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        limit_bytes: int,
        environment: Mapping[str, str] | None = None,
    ) -> Awaitable[Outcome]: ...


def last_line(outcome: Outcome) -> str:
    """The last thing the command said, which is mostly why it failed."""
    if outcome.timed_out:
        return "it took too long"
    lines = outcome.output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
