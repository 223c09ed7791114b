"""Configuration values last received, for as long as the database manager does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import attrs
from twisted.logger import Logger

from domogik.config.json_file import read_json, write_json


class LastKnown(NamedTuple):
    """What dbmgr said last: the value, None when it has none; Unix time in seconds."""

    value: str | None
    received: float


@attrs.define(eq=False)
class Remembered:
    """The values of one plugin, in a small JSON file in its own data directory.

    The file is a memory, not a record: what cannot be read of it counts as never received, and a
    power cut may lose the newest.
    """

    _path: Path
    _log: Logger = Logger()
    _values: dict[str, LastKnown] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._values = read_json(self._path, self._log, _all_known) or {}

    def get(self, key: str) -> LastKnown | None:
        """What was received last, None when nothing ever was."""
        return self._values.get(key)

    def put(self, key: str, value: str | None, now: float) -> None:
        """Remember what was received at `now`, a Unix time in seconds.

        Writes a file of some hundred bytes. A directory that cannot be written is logged: the
        value is remembered as long as the process lives.
        """
        self._values[key] = LastKnown(value, now)
        content = {name: [known.value, known.received] for name, known in self._values.items()}
        write_json(self._path, self._log, content, durable=False)


def _all_known(content: object) -> dict[str, LastKnown]:
    entries = content.items() if isinstance(content, dict) else ()
    return {key: known for key, entry in entries if (known := _known(entry)) is not None}


def _known(entry: object) -> LastKnown | None:
    match entry:
        case [str() | None as value, int() | float() as received]:
            return LastKnown(value, float(received))
    return None
