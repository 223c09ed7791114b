"""The daemons' own log: a rotated file, and the terminal for daemons in the foreground."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    eventAsText,
    formatTime,
    globalLogBeginner,
    globalLogPublisher,
)
from twisted.python.logfile import LogFile

from domogik.app.parts.foundation import CannotStart
from domogik.supervisor.logs.lines import last_lines, open_pieces
from domogik.threads import Threads

#: a log file is rotated at this size, so many old ones are kept
MAX_SIZE = 10 * 2**20
KEPT = 5
#: the namespace of what is said through `twisted.python.log`
_LEGACY = "log_legacy"
#: how Domogik spells the levels
LEVELS = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
    "critical": LogLevel.critical,
}


def _text(event: dict[str, object]) -> str:
    """`2026-01-31T12:00:00+0100 warn  supervisor.runner: text`, with a traceback where there is
    one."""
    level = getattr(event.get("log_level"), "name", "info")
    namespace = str(event.get("log_namespace", "")).removeprefix("domogik.")
    namespace = "twisted" if namespace == _LEGACY else namespace
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return f"{formatTime(event.get('log_time'))} {level:<5} {namespace}: {text}\n"  # type: ignore[arg-type]


class _Text:
    """The text stream of an observer over a `LogFile`, which takes bytes."""

    def __init__(self, file: LogFile) -> None:
        self._file = file

    def write(self, text: str) -> int:
        self._file.write(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        self._file.flush()


def file_observer(directory: Path, name: str, level: str) -> ILogObserver:
    """Return an observer that writes `<directory>/<name>.log`, mode 0600; raises `CannotStart`."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = LogFile(
            f"{name}.log", str(directory), MAX_SIZE, defaultMode=0o600, maxRotatedFiles=KEPT
        )
    except OSError as error:
        raise CannotStart(
            f"{error.filename}: {error.strerror}: no log can be written; change log_dir_path in "
            "[domogik], or choose another --home"
        ) from error
    return _from_level(FileLogObserver(_Text(file), _text), level)  # type: ignore[arg-type]


#: what is written to the file and to the terminal
_lowest = LogLevelFilterPredicate()


def set_level(level: str) -> None:
    """Discard events below that level from now on."""
    _lowest.setLogLevelForNamespace("", LEVELS[level])


def _from_level(observer: ILogObserver, level: str) -> ILogObserver:
    set_level(level)
    # a function will do
    return FilteringLogObserver(observer, [_without_chatter, _lowest])  # type: ignore[list-item]


def _without_chatter(event: LogEvent) -> Any:
    """Filter out Twisted's own events of level info, unless the level is `debug`."""
    by_twisted = str(event.get("log_namespace", "")).startswith((_LEGACY, "twisted."))
    is_chatter = by_twisted and event.get("log_level") is LogLevel.info
    is_chatter = is_chatter and _lowest.logLevelForNamespace("") is not LogLevel.debug
    return PredicateResult.no if is_chatter else PredicateResult.maybe


def begin(directory: Path, name: str, level: str, *, terminal: bool) -> None:
    """Start logging to the file, and with `terminal` to standard output too."""
    observers = [file_observer(directory, name, level)]
    if terminal:
        observers.append(_from_level(FileLogObserver(sys.stdout, _text), level))
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)


def join(directory: Path, name: str, level: str) -> None:
    """Log to the file too, in a process whose log twistd has started."""
    globalLogPublisher.addObserver(file_observer(directory, name, level))


@attrs.define(eq=False)
class OwnLog:
    """Reads the daemon's own log; `path` is the file that `begin` or `join` writes."""

    _path: Path
    _in_thread: Threads

    async def lines(self, count: int) -> list[str]:
        """Return the last lines, oldest first, from rotated files too if needed."""
        return await self._in_thread(self._read, count)

    def _read(self, count: int) -> list[str]:
        return last_lines(open_pieces(self._path, KEPT), count)

    def follow(self, receive: Callable[[str], None]) -> Callable[[], None]:
        """Call `receive` with every new line; return the function that ends it."""

        def told(event: LogEvent) -> None:
            for line in _text(event).splitlines():
                receive(line)

        observer = FilteringLogObserver(told, [_without_chatter, _lowest])  # type: ignore[list-item, arg-type]
        globalLogPublisher.addObserver(observer)
        return lambda: globalLogPublisher.removeObserver(observer)
