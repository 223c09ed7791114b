"""The open issues, with the file that keeps them over restarts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from domogik.components.events import EventStream
from domogik.components.health import DiagnosticCheck, Result
from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError, UnknownComponent
from domogik.threads import Threads

_LARGEST_STATE = 4 * 2**20


@attrs.frozen
class Issue:
    """A check that did not pass. Times are Unix time in seconds.

    `component` is the id it was found at, `check` how the last look came out.
    """

    id: str
    component: str
    check: DiagnosticCheck
    opened: float
    seen: float


class UnknownIssue(UnknownComponent):
    """No issue with that id is open."""


@attrs.define(eq=False)
class Issues:
    """A check that did not pass opens one, and closes it once it passes.

    Publishes `issue.opened`, `issue.changed` and `issue.closed` {id, host, component, check_id,
    result, description}. `looked` is when everything was looked at last.
    """

    _log = Logger()

    _wall_clock: Callable[[], float]
    _events: EventStream
    _host: str
    _state: Path
    _in_thread: Threads
    looked: float = attrs.field(init=False, default=0.0)
    _open: dict[str, Issue] = attrs.field(init=False, factory=dict)
    _is_stale: bool = attrs.field(init=False, default=False)
    _saving: Deferred[None] | None = attrs.field(init=False, default=None)

    def all(self) -> tuple[Issue, ...]:
        """Return the open issues, the oldest first."""
        return tuple(sorted(self._open.values(), key=lambda issue: (issue.opened, issue.id)))

    def get(self, issue_id: str) -> Issue | None:
        """Return the issue with that id, None if it is not open."""
        return self._open.get(issue_id)

    def of(self, component_id: str) -> list[Issue]:
        """Return the open issues of one component."""
        return [issue for issue in self._open.values() if issue.component == component_id]

    def components(self) -> set[str]:
        """Return the ids of the components with open issues."""
        return {issue.component for issue in self._open.values()}

    # What a look finds

    def note(
        self, component_id: str, checks: Sequence[DiagnosticCheck], *, is_whole: bool = True
    ) -> None:
        """What a look at that component found.

        What was not done is as it was; so is what is not among the checks, unless they are the
        whole look. What was skipped has nothing left to be wrong: of a plugin that is disabled
        nobody expects an answer.
        """
        now = self._wall_clock()
        before = {issue.id for issue in self.of(component_id)} if is_whole else set()
        for check in checks:
            issue_id = _issue_id(component_id, check)
            if check.result.is_issue:
                before.discard(issue_id)
                self._note_one(issue_id, component_id, check, now)
            elif check.result is Result.NOT_DONE:
                before.discard(issue_id)
        self._close(self._open[issue_id] for issue_id in before)

    def _note_one(
        self, issue_id: str, component_id: str, check: DiagnosticCheck, now: float
    ) -> None:
        known = self._open.get(issue_id)
        opened = now if known is None else known.opened
        issue = self._open[issue_id] = Issue(issue_id, component_id, check, opened, now)
        if known is None:
            self._publish("issue.opened", issue)
        elif known.check != check:
            self._publish("issue.changed", issue)

    def forget(self, component_id: str) -> None:
        """Remove the issues of a component that is gone."""
        self._close(self.of(component_id))

    def forget_all_but(self, component_ids: Collection[str]) -> None:
        """Remove the issues of all components but these."""
        for component_id in self.components().difference(component_ids):
            self.forget(component_id)

    def _close(self, issues: Iterable[Issue]) -> None:
        for issue in tuple(issues):
            del self._open[issue.id]
            self._publish("issue.closed", issue)

    def _publish(self, type: str, issue: Issue) -> None:
        self._events.publish(
            type,
            id=issue.id,
            host=self._host,
            component=issue.component,
            check_id=issue.check.check_id,
            result=issue.check.result.value,
            description=issue.check.finding_text,
        )

    # What outlives us

    def load(self) -> None:
        """Load the issues; a broken file is logged and ignored. Blocks for a moment."""
        try:
            content = json.loads(read_bounded(self._state, _LARGEST_STATE))
            self.looked = float(content["looked"])
            self._open = {issue.id: issue for issue in map(_from_json, content["issues"])}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError, DomogikError) as error:
            self._log.warn("{path} cannot be read: {error}", path=str(self._state), error=error)

    def save(self) -> Deferred[None]:
        """Fires when the file holds what is known now; what cannot be written is said in the log.

        While it is written to, what comes meanwhile is written once more in the end.
        """
        self._is_stale = True
        if self._saving is None:
            self._saving = Deferred.fromCoroutine(self._write())
            _ = self._saving.addBoth(self._written)
        return self.saved()

    def saved(self) -> Deferred[None]:
        """Return a Deferred that fires when no writing is under way."""
        if self._saving is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()

        def done(result: None) -> None:
            waiting.callback(None)

        _ = self._saving.addCallback(done)
        return waiting

    def _written(self, result: Any) -> None:
        self._saving = None
        if result is not None:
            self._log.failure("{path} was not written", result, path=str(self._state))

    async def _write(self) -> None:
        while self._is_stale:
            self._is_stale = False
            known = self.all()
            content = {"looked": self.looked, "issues": [_to_json(issue) for issue in known]}
            try:
                await self._in_thread(
                    write_atomically, self._state, json.dumps(content).encode("ascii")
                )
            except OSError as error:
                self._log.warn("{path}: {error}", path=str(self._state), error=error)


def _issue_id(component_id: str, check: DiagnosticCheck) -> str:
    """Return an id that is the same after a restart, and short enough to be typed."""
    text = "\0".join((component_id, *check.key))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:10]


def _to_json(issue: Issue) -> Mapping[str, object]:
    return {
        "id": issue.id,
        "component": issue.component,
        "opened": issue.opened,
        "seen": issue.seen,
        "check": issue.check.to_json(),
    }


def _from_json(content: Mapping[str, Any]) -> Issue:
    return Issue(
        id=str(content["id"]),
        component=str(content["component"]),
        check=DiagnosticCheck.from_json(content["check"]),
        opened=float(content["opened"]),
        seen=float(content["seen"]),
    )
