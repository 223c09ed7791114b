"""Is everything well here? What was looked at, what is wrong now, what was done about it.

Each kind of component has an examiner, which knows what can be asked about one of them. Everything
is examined once a day, and whenever somebody asks; what failed, or has an issue, when its state
changes. An issue is a check that did not pass: it opens, and closes, with what the last look found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.events import Event, EventStream
from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import ComponentId, Kind, State
from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.jobs import Jobs, Progress

DAY = 24 * 3600.0
#: seconds after the start of a manager before the first daily look: everything starts at once then
FIRST_LOOK = 300.0
#: seconds after a change of state until a component is looked at
SETTLE = 2.0
#: seconds that all the checks of one component may take
PATIENCE = 30.0
_AT_ONCE = 8
_LARGEST_STATE = 4 * 2**20
_BAD = frozenset({State.FAILED.value, State.NOT_RESPONDING.value})


class Examiner(Protocol):
    """Knows one kind of component."""

    def subjects(self) -> Collection[str]:
        """The ids of those there are now."""
        ...

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Look at one of them; what cannot be looked at is a check too, `skipped` or `error`."""
        ...

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Carry out what a suggestion of that check says; raises `DomogikError`."""
        ...


@attrs.frozen
class Issue:
    """Something that somebody should look at. Times are Unix time in seconds.

    `component` is the id it was found at, `check` how the last look came out.
    """

    id: str
    component: str
    check: DiagnosticCheck
    opened: float
    seen: float


class UnknownIssue(UnknownComponent):
    """No such issue is open, any more perhaps."""


@attrs.define(eq=False)
class Health:
    """The checks of every component of this host, and the issues that are open.

    `state` is a file in which issues and the time of the last daily look outlive this program. A
    diagnosis and a repair are jobs: `job.changed` tells their progress. Publishes `issue.opened`,
    `issue.changed` and `issue.closed` {id, component, check_id, result, description}.
    """

    _log = Logger()

    _clock: IReactorTime
    _wall_clock: Callable[[], float]
    _events: EventStream
    _jobs: Jobs
    _host: str
    _state: Path
    _in_thread: Callable[..., Awaitable[Any]]
    _examiners: dict[Kind, Examiner] = attrs.field(init=False, factory=dict)
    _issues: dict[str, Issue] = attrs.field(init=False, factory=dict)
    _looked: float = attrs.field(init=False, default=0.0)
    _timer: IDelayedCall | None = attrs.field(init=False, default=None)
    _soon: dict[str, IDelayedCall] = attrs.field(init=False, factory=dict)
    _unsubscribe: Callable[[], None] = attrs.field(init=False, default=lambda: None)
    _save_again: bool = attrs.field(init=False, default=False)
    _saving: bool = attrs.field(init=False, default=False)

    # Life

    def know(self, kind: Kind, examiner: Examiner) -> None:
        """Components of that kind are examined by `examiner`."""
        self._examiners[kind] = examiner

    def start(self) -> None:
        """Read what was known, and look once a day from now on."""
        self._load()
        self._unsubscribe = self._events.subscribe(self._happened)
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        self._unsubscribe()
        waiting = [*self._soon.values(), *([self._timer] if self._timer is not None else ())]
        self._soon.clear()
        for call in waiting:
            if call.active():
                call.cancel()

    def _arm(self) -> None:
        due = max(self._looked + DAY - self._wall_clock(), FIRST_LOOK)
        self._timer = self._clock.callLater(min(due, DAY), self._daily)

    def _daily(self) -> None:
        _ = self._behind(self.diagnose(), "the daily look").addCallback(lambda _: self._arm())

    def _behind(self, work: Awaitable[Any], what: str) -> Deferred[Any]:
        async def done() -> None:
            try:
                await work
            except DomogikError as error:
                self._log.warn("{what}: {error}", what=what, error=str(error))
            except Exception:  # noqa: BLE001 - a door: nobody waits for this
                self._log.failure("{what}", what=what)

        return Deferred.fromCoroutine(done())

    # Looking

    def subjects(self) -> list[str]:
        """The ids of all components that can be looked at."""
        return [id for examiner in self._examiners.values() for id in sorted(examiner.subjects())]

    def diagnose(self, component_id: str | None = None) -> Deferred[tuple[DiagnosticCheck, ...]]:
        """Look at one component, or at all of this host; fires with the checks, in a steady order.

        Whoever asks while it goes on gets the same. Fails with `UnknownComponent`.
        """
        if component_id is None:
            return self._jobs.run("diagnose", f"host:{self._host}", self._look_at_all, "all")
        return self._jobs.run("diagnose", component_id, lambda _: self._look_at(component_id))

    async def _look_at_all(self, progress: Progress) -> tuple[DiagnosticCheck, ...]:
        subjects = self.subjects()
        done = 0
        gate = DeferredSemaphore(_AT_ONCE)

        async def look(component_id: str) -> tuple[DiagnosticCheck, ...]:
            nonlocal done
            async with gate:
                checks = await self._look_at(component_id)
            done += 1
            progress.stage(component_id, 100 * done / len(subjects))
            return checks

        found = await gatherResults([Deferred.fromCoroutine(look(one)) for one in subjects])
        self._looked = self._wall_clock()
        self._forget_all_but(subjects)
        self._save()
        return tuple(check for checks in found for check in checks)

    async def _look_at(self, component_id: str) -> tuple[DiagnosticCheck, ...]:
        examiner = self._examiner(component_id)
        await self._turn()
        looking = Deferred.fromCoroutine(_all_of(examiner.examine(component_id)))
        try:
            checks = await looking.addTimeout(PATIENCE, self._clock)
        except UnknownComponent:
            raise
        except TimeoutError:
            checks = (_not_examined(component_id, f"took longer than {PATIENCE:g} s"),)
        except DomogikError as error:
            checks = (_not_examined(component_id, str(error)),)
        except Exception as error:  # noqa: BLE001 - a door: the other components have their turn
            self._log.failure("{id} could not be examined", id=component_id)
            checks = (_not_examined(component_id, f"{type(error).__name__}: the log says more"),)
        self._note(component_id, checks)
        return checks

    def _turn(self) -> Deferred[None]:
        """The reactor has other things to do as well."""
        turn: Deferred[None] = Deferred()
        self._clock.callLater(0, turn.callback, None)
        return turn

    def _examiner(self, component_id: str) -> Examiner:
        kind = ComponentId.parse(component_id).kind
        examiner = self._examiners.get(kind)
        if examiner is None or component_id not in examiner.subjects():
            raise UnknownComponent(f"Component {component_id} doesn't exists on {self._host}")
        return examiner

    # What happens

    def _happened(self, event: Event) -> None:
        if event.data.get("host") != self._host:
            return
        component_id = str(event.data.get("id"))
        if event.type == "component.removed":
            self._close(self._of(component_id))
        elif event.type == "component.changed" and (
            event.data.get("state") in _BAD or self._of(component_id)
        ):
            self._look_soon(component_id)

    def _look_soon(self, component_id: str) -> None:
        waiting = self._soon.get(component_id)
        if waiting is not None and waiting.active():
            waiting.reset(SETTLE)
        else:
            self._soon[component_id] = self._clock.callLater(SETTLE, self._look_now, component_id)

    def _look_now(self, component_id: str) -> None:
        self._soon.pop(component_id, None)
        if component_id in self.subjects():
            _ = self._behind(self.diagnose(component_id), f"looking at {component_id}")

    # Issues

    def issues(self) -> tuple[Issue, ...]:
        """Those that are open, the oldest first."""
        return tuple(sorted(self._issues.values(), key=lambda issue: (issue.opened, issue.id)))

    def issue(self, issue_id: str) -> Issue:
        """Raises `UnknownIssue`."""
        try:
            return self._issues[issue_id]
        except KeyError:
            raise UnknownIssue(f"there is no open issue {issue_id}") from None

    def repair(self, issue_id: str, action: str | None = None) -> Deferred[Issue | None]:
        """Carry out a suggestion, by default the first that can be, and look again.

        Fires with the issue if it is still open, None if it is closed. It is looked at first: what
        has passed meanwhile is left alone. Fails with `UnknownIssue`, `NotPossible`, and with
        `OperationFailed` when the suggestion could not be carried out.
        """
        return Deferred.fromCoroutine(self._repair(issue_id, action))

    async def _repair(self, issue_id: str, action: str | None) -> Issue | None:
        issue = self.issue(issue_id)
        chosen = _chosen(issue, action)
        request = issue_id, chosen
        await self._jobs.run(
            "repair", issue.component, lambda _: self._repair_now(issue_id, chosen), request
        )
        return self._issues.get(issue_id)

    async def _repair_now(self, issue_id: str, action: str) -> None:
        component_id = self.issue(issue_id).component
        await self._look_at(component_id)
        issue = self._issues.get(issue_id)
        if issue is None:
            return
        examiner = self._examiner(component_id)
        try:
            await examiner.repair(component_id, issue.check, action)
        except OperationFailed as error:
            raise OperationFailed(error.reason or str(error)) from error
        finally:
            if component_id in examiner.subjects():
                await self._look_at(component_id)

    def _of(self, component_id: str) -> list[Issue]:
        return [issue for issue in self._issues.values() if issue.component == component_id]

    def _note(self, component_id: str, checks: Sequence[DiagnosticCheck]) -> None:
        now = self._wall_clock()
        before = {issue.id for issue in self._of(component_id)}
        for check in checks:
            issue_id = _issue_id(component_id, check)
            if not check.result.is_issue:
                # what could not be looked at now is as it was
                if check.result in (Result.SKIPPED, Result.NOT_DONE):
                    before.discard(issue_id)
                continue
            before.discard(issue_id)
            known = self._issues.get(issue_id)
            opened = now if known is None else known.opened
            self._issues[issue_id] = Issue(issue_id, component_id, check, opened, now)
            if known is None:
                self._publish("issue.opened", self._issues[issue_id])
            elif known.check != check:
                self._publish("issue.changed", self._issues[issue_id])
        self._close(self._issues[issue_id] for issue_id in before)
        self._save()

    def _close(self, issues: Iterable[Issue]) -> None:
        for issue in tuple(issues):
            del self._issues[issue.id]
            self._publish("issue.closed", issue)

    def _forget_all_but(self, subjects: Collection[str]) -> None:
        self._close(issue for issue in self.issues() if issue.component not in subjects)

    def _publish(self, type: str, issue: Issue) -> None:
        self._events.publish(
            type,
            id=issue.id,
            host=self._host,
            component=issue.component,
            check_id=issue.check.check_id,
            result=issue.check.result.value,
            description=issue.check.filled,
        )

    # What outlives us

    def _load(self) -> None:
        try:
            content = json.loads(read_bounded(self._state, _LARGEST_STATE))
            self._looked = float(content["looked"])
            self._issues = {issue.id: issue for issue in map(_from_json, content["issues"])}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, RecursionError, DomogikError) as error:
            self._log.warn("{path} cannot be read: {error}", path=str(self._state), error=error)

    def _save(self) -> None:
        self._save_again = True
        if not self._saving:
            self._saving = True
            _ = self._behind(self._write(), "saving what is known of everybody's health")

    async def _write(self) -> None:
        try:
            while self._save_again:
                self._save_again = False
                issues = [_to_json(issue) for issue in self.issues()]
                content = json.dumps({"looked": self._looked, "issues": issues}).encode()
                try:
                    await self._in_thread(write_atomically, self._state, content)
                except OSError as error:
                    self._log.warn("{path}: {error}", path=str(self._state), error=error)
        finally:
            self._saving = False


async def _all_of(work: Awaitable[Sequence[DiagnosticCheck]]) -> tuple[DiagnosticCheck, ...]:
    return tuple(await work)


def _not_examined(component_id: str, reason: str) -> DiagnosticCheck:
    return DiagnosticCheck(
        "examined",
        "{component} can be examined: {reason}",
        Result.ERROR,
        {"component": component_id, "reason": reason},
        component_id,
    )


def _chosen(issue: Issue, action: str | None) -> str:
    possible = [one.action for one in issue.check.suggestions if one.is_repairable]
    if action is None and possible:
        return possible[0]
    if action in possible:
        return action
    what = f"{issue.check.filled}: nothing that Domogik could do about it is known"
    raise NotPossible(what if not possible else f"choose one of {', '.join(possible)}")


def _issue_id(component_id: str, check: DiagnosticCheck) -> str:
    """Steady over restarts, and short enough to be typed."""
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
