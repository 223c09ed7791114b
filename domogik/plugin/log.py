"""The log of a plugin: lines on standard output, which the manager stores."""

from __future__ import annotations

import io
import sys
import time
from typing import TextIO

import attrs
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogBeginner,
)
from zope.interface import implementer


@implementer(ILogObserver)
@attrs.define(eq=False)
class LineObserver:
    """Writes time, level and text of each event; further lines of an event are indented."""

    _out: TextIO

    def __call__(self, event: LogEvent) -> None:
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if text == "Main loop terminated.":
            return  # Twisted's; the last line of a plugin is to say why it ended
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["log_time"]))
        level = event.get("log_level", LogLevel.info).name
        lines = [_printable(line) for line in text.splitlines()] or [""]
        self._out.write(f"{moment} {level} " + "\n    ".join(lines) + "\n")
        self._out.flush()


def begin_log(level: str) -> None:
    """Log events from `level` (debug, info, warning, error, critical) up to standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    lowest = LogLevel.levelWithName({"warning": "warn"}.get(level, level))
    predicate = LogLevelFilterPredicate(defaultLogLevel=lowest)
    globalLogBeginner.beginLoggingTo(
        [FilteringLogObserver(LineObserver(sys.stdout), [predicate])], redirectStandardIO=False
    )


def _printable(line: str) -> str:
    """Escape control characters, since text from the network must not control the terminal."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)
