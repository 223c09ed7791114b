"""The plugins that a person has stopped, remembered over crashes of the manager."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.config.json_file import read_json, write_json


@attrs.define(eq=False)
class StoppedByHand:
    """The names in a file: a crash or an upgrade starts none of them; a plain stop clears it."""

    _path: Path | None = None
    _names: set[str] | None = None
    _log: Logger = Logger()

    def __contains__(self, name: str) -> bool:
        return name in self._known()

    def note(self, name: str, *, stopped: bool) -> None:
        """Record that the plugin is about to be stopped or started."""
        names = self._known()
        if (name in names) is not stopped:
            (names.add if stopped else names.discard)(name)
            self._write(names)

    def clear(self) -> None:
        """Forget all of them, so that the next start starts every enabled plugin."""
        if self._known():
            self._names = set()
            self._write(self._names)

    def _known(self) -> set[str]:
        if self._names is None:
            read = None if self._path is None else read_json(self._path, self._log, _names)
            self._names = read or set()
        return self._names

    def _write(self, names: set[str]) -> None:
        if self._path is not None:
            write_json(self._path, self._log, sorted(names), durable=False)


def _names(content: Iterable[object]) -> set[str]:
    return set(map(str, content))
