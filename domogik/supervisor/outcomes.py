"""Results of starts and stops: errors, and sentences."""

from __future__ import annotations

import re
import signal

from domogik.errors import NotPossible, OperationFailed
from domogik.supervisor.interfaces import Exit, Program

#: characters
_MAXIMUM_LINE = 200
#: time and level, which lines of `domogik.plugin` begin with; and what Twisted puts before errors
_HEAD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+ |^builtins\.")
#: a name and a password in an address
_SECRET = re.compile(r"://[^/@\s]+@")
#: what Python writes after the line with its fatal error
_AFTER_FATAL = re.compile(
    r"<no Python frame>|(?:Current thread|Thread) 0x|Extension modules:|Python runtime state:"
    r'|File ".*", line \d+ in '
)
#: what programs write when they get no more memory
_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|init_import|Fatal Python error|failed to map segment"
    r"|(?i:cannot allocate memory|out of memory)"
)


class StartFailed(OperationFailed):
    """The component ended or was not ready in time; its policy may retry."""


class AlreadyRunning(NotPossible):
    """The component to start is running."""


class NotRunning(NotPossible):
    """The component to stop is not running."""


def last_line(output: bytes) -> str:
    """Return the last informative line, without control characters and passwords in addresses."""
    for line in reversed(output.decode("utf-8", "replace").splitlines()):
        text = "".join(letter if letter.isprintable() else " " for letter in line).strip()
        if text and not _AFTER_FATAL.match(text):
            text = _HEAD.sub("", _HEAD.sub("", text))
            return _SECRET.sub("://***@", text)[:_MAXIMUM_LINE]
    return ""


def ending(exit: Exit, line: str, program: Program, *, was_ready: bool) -> str:
    """Return how it ended, with its last line if it failed by itself."""
    words = exit.words
    if line and (exit.code or exit.signal == signal.SIGABRT):
        words = f"{line} ({words})"
    if program.memory_max is not None and _NO_MEMORY.search(line):
        words = f"its memory_max of {program.memory_max_words} may be too small: {words}"
    return words if was_ready else f"ended before it was ready: {words}"


def span(seconds: float) -> str:
    """Return a duration in words: `0.8 s`, `8 s`, `10 minutes`, `2 hours`."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:.1f} s" if seconds < 2 else f"{seconds:.0f} s"
