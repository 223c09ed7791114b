"""The log as lines on standard output, which the manager keeps."""

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
class Lines:
    """Time, level and text of each event; what follows its first line is indented."""

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
    """From `level` (debug, info, warning, error, critical) up; `print` goes to the same place."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    lowest = LogLevel.levelWithName({"warning": "warn"}.get(level, level))
    predicate = LogLevelFilterPredicate(defaultLogLevel=lowest)
    globalLogBeginner.beginLoggingTo(
        [FilteringLogObserver(Lines(sys.stdout), [predicate])], redirectStandardIO=False
    )


def _printable(line: str) -> str:
    """Text from the network must not move the cursor of whoever reads the log."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)
