"""The configuration values that dbmgr sent last, used while it does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import attrs
from twisted.logger import Logger

from domogik.config.json_file import read_json, write_json


class LastKnown(NamedTuple):
    """A value as dbmgr sent it last, None if it has none; `received` is Unix time in seconds."""

    value: str | None
    received: float


@attrs.define(eq=False)
class Remembered:
    """The values of one plugin, in a small JSON file in its data directory.

    An entry that cannot be read counts as never received; a power cut may lose the newest ones.
    """

    _path: Path
    _log: Logger = Logger()
    _values: dict[str, LastKnown] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._values = read_json(self._path, self._log, _known_values) or {}

    def get(self, key: str) -> LastKnown | None:
        """Return the last value with its time, or None if none was received."""
        return self._values.get(key)

    def put(self, key: str, value: str | None, now: float) -> None:
        """Store a value that was received at `now`, a Unix time in seconds.

        Writes a file of some hundred bytes. A write error is logged, and the value is kept in
        memory.
        """
        self._values[key] = LastKnown(value, now)
        content = {name: [known.value, known.received] for name, known in self._values.items()}
        write_json(self._path, self._log, content, durable=False)


def _known_values(content: object) -> dict[str, LastKnown]:
    entries = content.items() if isinstance(content, dict) else ()
    return {key: known for key, entry in entries if (known := _known(entry)) is not None}


def _known(entry: object) -> LastKnown | None:
    match entry:
        case [str() | None as value, int() | float() as received]:
            return LastKnown(value, float(received))
    return None
