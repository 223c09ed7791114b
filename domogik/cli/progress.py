"""Shows the progress of a job in one line of a terminal, and nothing elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from typing import BinaryIO, TextIO

import attrs

from domogik.cli.terminal import printable, width

_BAR = 24
_CLEAR = "\r\x1b[K"


def wants_progress(environment: Mapping[str, str]) -> bool:
    """Where output and errors both go to a terminal that can move its cursor."""
    capable = environment.get("TERM", "dumb") != "dumb"
    return capable and sys.stdout.isatty() and sys.stderr.isatty()


def line(what: str, percent: float | None, columns: int) -> str:
    """`what`, and a bar where it is known how much is done; no wider than the terminal."""
    text = printable(what)
    if percent is not None:
        done = max(0.0, min(100.0, percent))
        full = int(done * _BAR / 100)
        text = f"[{'#' * full}{'.' * (_BAR - full)}] {done:3.0f} % {text}"
    while width(text) >= columns and text:
        text = text[:-1]
    return text


@attrs.define(eq=False)
class ProgressLine:
    """The line; where it is not wanted nothing is written. Ends without a trace."""

    wanted: bool
    _stream: TextIO = attrs.field(factory=lambda: sys.stderr)
    _shown: str = ""

    def show(self, what: str, percent: float | None = None) -> None:
        """In place of what is there."""
        if not self.wanted:
            return
        text = line(what, percent, shutil.get_terminal_size().columns)
        if text != self._shown:
            self._shown = text
            self._stream.write(f"{_CLEAR}{text}")
            self._stream.flush()

    def clear(self) -> None:
        """Before anything else is written."""
        if self._shown:
            self._shown = ""
            self._stream.write(_CLEAR)
            self._stream.flush()


@attrs.define(eq=False)
class Counted:
    """A file that shows how much of it was read."""

    _file: BinaryIO
    _size: int
    _what: str
    _progress: ProgressLine
    _read: int = 0

    def read(self, size: int = -1, /) -> bytes:
        """As of the file."""
        data = self._file.read(size)
        self._read += len(data)
        self._progress.show(self._what, 100.0 * self._read / self._size if self._size else None)
        return data
