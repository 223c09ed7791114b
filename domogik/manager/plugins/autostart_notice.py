"""The one-time notice that every enabled plugin starts with the manager now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.config.json_file import read_json, write_json
from domogik.manager.health.questions import Question, only_by_hand

_CHANGED = Question(
    "core-startup", "Since this version every enabled plugin starts with the manager"
)
ACCEPT = Suggestion("accept", "Leave it so")


@attrs.define(eq=False)
class AutostartNotice:
    """A notice in a file, from the first start of this version until it is accepted.

    A home that this version created has no enabled plugin then, and gets no notice.
    """

    _path: Path
    _is_autostart_off: Callable[[str], object]
    #: told when it has something to say
    _on_news: Callable[[], None] = lambda: None
    _log: Logger = Logger()

    def write(self, starting: Sequence[str], autostart_off: Sequence[str]) -> None:
        """Record at the first start which plugins start now, and whose stored value prevents it."""
        if not self._path.exists():
            self._write(starting, autostart_off)
            self._on_news()

    def accept(self) -> None:
        """Remove the notice."""
        self._write([], [])

    def checks(self, component_id: str) -> list[DiagnosticCheck]:
        """Return one check while there is a notice, else none. Blocks for a moment."""
        starting, before = read_json(self._path, self._log, _lists) or ([], [])
        autostart_off = [name for name in before if self._is_autostart_off(name)]
        if not (starting or autostart_off):
            return []
        advice = [
            *(
                only_by_hand("disable", f"dmg_ctl stop {name}; dmg_ctl disable {name}")
                for name in starting
            ),
            *(
                only_by_hand("unset", f"dmg_ctl config {name} unset startup-plugin")
                for name in autostart_off
            ),
        ]
        parts = (("start now", starting), ("kept back by a stored startup-plugin", autostart_off))
        reason = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
        return [_CHANGED.answer(component_id, Result.WARNING, *advice, ACCEPT, reason=reason)]

    def _write(self, starting: Sequence[str], autostart_off: Sequence[str]) -> None:
        content = {"starting": list(starting), "kept_back": list(autostart_off)}
        write_json(self._path, self._log, content)


def _lists(content: Mapping[str, Iterable[object]]) -> tuple[list[str], list[str]]:
    return list(map(str, content["starting"])), list(map(str, content["kept_back"]))
