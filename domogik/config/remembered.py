"""Configuration values last received, for as long as the database manager does not answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import attrs
from twisted.logger import Logger

from domogik.config.files import read_bounded, write_atomically

_LIMIT = 1024 * 1024


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
        self._values = self._load()

    def get(self, key: str) -> LastKnown | None:
        """What was received last, None when nothing ever was."""
        return self._values.get(key)

    def put(self, key: str, value: str | None, now: float) -> None:
        """Remember what was received at `now`, a Unix time in seconds.

        Writes a file of some hundred bytes. A directory that cannot be written is logged: the
        value is remembered as long as the process lives.
        """
        self._values[key] = LastKnown(value, now)
        content = json.dumps(
            {name: [known.value, known.received] for name, known in self._values.items()}, indent=1
        )
        try:
            write_atomically(self._path, content.encode(), durable=False)
        except OSError as error:
            self._log.warn(
                "{path} cannot be written: {error}", path=str(self._path), error=str(error)
            )

    def _load(self) -> dict[str, LastKnown]:
        try:
            content = json.loads(read_bounded(self._path, _LIMIT))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            self._log.warn(
                "{path} is not what was written there: {error}",
                path=str(self._path),
                error=str(error),
            )
            return {}
        entries = content.items() if isinstance(content, dict) else ()
        return {key: known for key, entry in entries if (known := _known(entry)) is not None}


def _known(entry: object) -> LastKnown | None:
    match entry:
        case [str() | None as value, int() | float() as received]:
            return LastKnown(value, float(received))
    return None
