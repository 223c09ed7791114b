"""Which plugins a person has stopped since the manager was started last, over its crashes."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.config.files import read_bounded, write_atomically

_LARGEST = 2**20


@attrs.define(eq=False)
class StoppedByHand:
    """Kept in a file, so that a crash or an upgrade starts none of them; a plain stop clears it."""

    _path: Path | None = None
    _names: set[str] | None = None
    _log: Logger = Logger()

    def __contains__(self, name: str) -> bool:
        return name in self._known()

    def note(self, name: str, *, stopped: bool) -> None:
        """It is to be stopped now, or started."""
        names = self._known()
        if (name in names) is not stopped:
            (names.add if stopped else names.discard)(name)
            self._write(names)

    def clear(self) -> None:
        """The next start starts every enabled plugin again."""
        if self._known():
            self._names = set()
            self._write(self._names)

    def _known(self) -> set[str]:
        if self._names is None:
            self._names = set()
            if self._path is not None and self._path.exists():
                try:
                    self._names = set(map(str, json.loads(read_bounded(self._path, _LARGEST))))
                except (OSError, ValueError, TypeError, RecursionError) as error:
                    self._log.warn("{path} cannot be read: {error}", path=self._path, error=error)
        return self._names

    def _write(self, names: set[str]) -> None:
        if self._path is None:
            return
        try:
            write_atomically(self._path, json.dumps(sorted(names)).encode("ascii"), durable=False)
        except OSError as error:
            self._log.warn("{path}: {error}", path=self._path, error=error)
