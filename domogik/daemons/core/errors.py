"""What goes wrong with a managed daemon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from domogik.errors import DomogikError


class ManagedDaemonError(DomogikError):
    """The ancestor of every kind's own error; `str()` is a sentence, then what the daemon said.

    `command` is what was executed (without secrets, which are never in it), `exit_status` how it
    ended: negative for a signal, None where nothing ended; `output` the tail of the daemon's own
    log, or of what the command said.
    """

    #: what finds in `output` why it failed, in its groups; the last line where it finds nothing
    reason: ClassVar[re.Pattern[str] | None] = None

    def __init__(
        self,
        sentence: str,
        *,
        command: Sequence[str] = (),
        exit_status: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(f"{sentence}\n{output.rstrip()}" if output.strip() else sentence)
        self.sentence = sentence
        self.command = tuple(command)
        self.exit_status = exit_status
        self.output = output

    @property
    def line(self) -> str:
        """What went wrong, with the reason that the daemon gave."""
        found = self.reason.search(self.output) if self.reason is not None else None
        if found is not None:
            return ": ".join((self.sentence, *filter(None, found.groups())))
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return f"{self.sentence}: {lines[-1]}" if lines else self.sentence


class NotReady(DomogikError):
    """It does not serve yet, or not now; the text says what was seen instead."""


class HungUp(NotReady):
    """It closed the connection in place of an answer."""


class NotOurs(DomogikError):
    """A directory that this program has not made, or made for something else."""


class BrokenBackup(DomogikError):
    """A file that is not the backup that is wanted, or cannot become one; the text says why."""


class InvalidParameters(DomogikError):
    """`service.json`, or what is to be written there, does not describe an instance."""


class UnknownUser(DomogikError):
    """There is no such user on this machine, or he may not go where he would have to work."""
