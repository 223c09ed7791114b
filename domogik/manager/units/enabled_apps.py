"""Which apps were enabled last, over the life of the manager: `run/apps.json`.

An app without a plugin is enabled by nothing but what a person said. Another app that shares a unit
with it depends on that after a restart, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.config.json_file import read_json, write_json


@attrs.define(eq=False)
class EnabledApps:
    """App id -> whether it was enabled last; a file that cannot be read counts as none."""

    _path: Path
    _log: Logger = Logger()
    _known: dict[str, bool] = attrs.field(init=False)

    @_known.default
    def _read(self) -> dict[str, bool]:
        return read_json(self._path, self._log, _apps) or {}

    def get(self, app_id: str) -> bool | None:
        """Return what was noted last, None where nothing was."""
        return self._known.get(app_id)

    def put(self, app_id: str, enabled: bool) -> None:
        """Note it before anything is switched; blocks for a small file where it is news."""
        if self._known.get(app_id) is enabled:
            return
        self._known[app_id] = enabled
        content = dict(sorted(self._known.items()))
        write_json(self._path, self._log, content, durable=False)


def _apps(content: object) -> dict[str, bool]:
    found: Mapping[object, object] = content if isinstance(content, dict) else {}
    return {app: on for app, on in found.items() if isinstance(app, str) and type(on) is bool}
