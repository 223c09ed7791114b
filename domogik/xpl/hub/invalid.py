"""A bounded log of datagrams that are not xPL messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

log = Logger()

#: bytes shown of each datagram
SHOWN = 300
#: lines written for one second; what is above is counted in one more line
LINES = 100
#: bytes of a file; there are two of them, the older one ends in .1
FILE_BYTES = 1 << 20
#: seconds from the first line that waits to the writing
DELAY = 1.0


@attrs.define(eq=False)
class InvalidLog:
    """Writes a line for each datagram: time (UTC), sender, error, its first bytes escaped.

    Lines are collected for a second and written together.
    """

    _reactor: IReactorTime
    _path: Path
    #: Unix time in seconds
    _wall_clock: Callable[[], float]
    _lines: list[str] = attrs.field(factory=list)
    _left_out: int = 0
    _pending: IDelayedCall | None = None

    def record(self, data: bytes, sender: tuple[str, int], reason: str) -> None:
        """Add a line for this datagram, or count it if there are too many."""
        if len(self._lines) >= LINES:
            self._left_out += 1
            return
        when = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="milliseconds")
        more = f" ({len(data)} bytes)" if len(data) > SHOWN else ""
        self._lines.append(
            f"{when} {sender[0]}:{sender[1]} {_escaped(reason.encode())}: {_escaped(data)}{more}\n"
        )
        if self._pending is None:
            self._pending = self._reactor.callLater(DELAY, self.flush)

    def flush(self) -> None:
        """Write the waiting lines now; an error is logged."""
        if self._pending is not None and self._pending.active():
            self._pending.cancel()
        self._pending = None
        if not self._lines:
            return
        if self._left_out:
            self._lines.append(f"... and {self._left_out} more\n")
        text = "".join(self._lines)
        self._lines.clear()
        self._left_out = 0
        try:
            self._append(text)
        except OSError as error:
            log.warn("cannot write {path}: {error}", path=self._path, error=error)

    def _append(self, text: str) -> None:
        with open(self._path, "a", encoding="ascii", opener=_private) as stream:
            full = stream.tell() + len(text) > FILE_BYTES
            if not full:
                stream.write(text)
        if full:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with open(self._path, "a", encoding="ascii", opener=_private) as stream:
                stream.write(text)


def _escaped(data: bytes) -> str:
    r"""Return printable ASCII on one line: LF as \\n, others as \\xNN."""
    return data[:SHOWN].decode("latin-1").encode("unicode_escape").decode("ascii")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
