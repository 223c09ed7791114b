"""Which apps were enabled last, over the life of the manager: `run/apps.json`.

An app without a plugin is enabled by nothing but what a person said. Another app that shares a unit
with it depends on that after a restart, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.config.files import read_bounded, write_atomically

_LARGEST = 2**20


@attrs.define(eq=False)
class EnabledApps:
    """App id -> whether it was enabled last; a file that cannot be read counts as none."""

    _path: Path
    _known: dict[str, bool] = attrs.field(init=False)
    _log: Logger = Logger()

    @_known.default
    def _read(self) -> dict[str, bool]:
        try:
            content = json.loads(read_bounded(self._path, _LARGEST))
        except (OSError, ValueError, RecursionError):
            return {}
        found: Mapping[object, object] = content if isinstance(content, dict) else {}
        return {app: on for app, on in found.items() if isinstance(app, str) and type(on) is bool}

    def get(self, app_id: str) -> bool | None:
        """Return what was noted last, None where nothing was."""
        return self._known.get(app_id)

    def put(self, app_id: str, enabled: bool) -> None:
        """Note it before anything is switched; blocks for a small file where it is news."""
        if self._known.get(app_id) is enabled:
            return
        self._known[app_id] = enabled
        content = json.dumps(self._known, indent=1, sort_keys=True).encode() + b"\n"
        try:
            write_atomically(self._path, content, durable=False)
        except OSError as error:
            self._log.error("{path} cannot be written: {error}", path=self._path, error=str(error))
