"""What a home of before must be told once: every enabled plugin starts with the manager now."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.config.files import read_bounded, write_atomically
from domogik.manager.questions import Question, only_by_hand

_LARGEST = 2**20
_CHANGED = Question(
    "core-startup", "Since this version every enabled plugin starts with the manager"
)
ACCEPT = Suggestion("accept", "Leave it so")


@attrs.define(eq=False)
class StartupNotice:
    """Kept in a file, from the first start of this version until a person has accepted it.

    A home that was made by this version has no enabled plugin at its first start, and thus nothing
    to be told.
    """

    _path: Path
    #: told when it has something to say
    _on_news: Callable[[], None] = lambda: None
    _log: Logger = Logger()

    def write(self, starting: Sequence[str], kept_back: Sequence[str]) -> None:
        """At the first start: plugins that did not start before and do now, and those kept back."""
        if not self._path.exists():
            self._write({"starting": list(starting), "kept_back": list(kept_back)})
            self._on_news()

    def accept(self) -> None:
        """Say it no more."""
        self._write({"starting": [], "kept_back": []})

    def checks(self, component_id: str) -> list[DiagnosticCheck]:
        """One check while there is something to tell, none otherwise. Blocks for a moment."""
        starting, kept_back = self._read()
        if not (starting or kept_back):
            return []
        advice = [
            *(
                only_by_hand("disable", f"dmg_ctl stop {name}; dmg_ctl disable {name}")
                for name in starting
            ),
            *(
                only_by_hand("unset", f"dmg_ctl config {name} unset startup-plugin")
                for name in kept_back
            ),
        ]
        parts = (("start now", starting), ("kept back by a stored startup-plugin", kept_back))
        reason = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
        return [_CHANGED.answer(component_id, Result.WARNING, *advice, ACCEPT, reason=reason)]

    def _read(self) -> tuple[list[str], list[str]]:
        try:
            content = json.loads(read_bounded(self._path, _LARGEST))
            return list(map(str, content["starting"])), list(map(str, content["kept_back"]))
        except FileNotFoundError:
            return [], []
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._log.warn("{path} cannot be read: {error}", path=str(self._path), error=error)
            return [], []

    def _write(self, content: dict[str, list[str]]) -> None:
        try:
            write_atomically(self._path, json.dumps(content).encode("ascii"))
        except OSError as error:
            self._log.warn("{path}: {error}", path=str(self._path), error=error)
