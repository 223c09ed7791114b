"""The health centre: when components are examined, and what is done with the results.

Every component is examined once a day and on request; one that failed or has an issue also when its
state changes. A check that did not pass opens an issue; the last examination decides whether it
stays open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.events import Event, EventStream
from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import ComponentId, Kind, State
from domogik.errors import DomogikError, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.health.issues import Issue, Issues, UnknownIssue
from domogik.manager.jobs import Jobs, Progress
from domogik.manager.registry import IChecked, Kinds
from domogik.threads import Threads

__all__ = ["Health", "Issue", "Look", "UnknownIssue"]

DAY = 24 * 3600.0
#: seconds after the start of a manager before the first daily look: everything starts at once then
FIRST_LOOK = 300.0
#: seconds between two looks at what has an issue: not every cause tells when it is gone
AGAIN = 600.0
#: seconds after a change of state until a component is looked at
SETTLE = 2.0
#: seconds for which at most it is watched whether a repair holds
LONGEST_PROOF = 120.0
#: seconds that all the checks of one component may take
PATIENCE = 30.0
_AT_ONCE = 8
_BAD = frozenset({State.FAILED.value, State.NOT_RESPONDING.value, State.BACKOFF.value})


@attrs.frozen
class Look:
    """The result of the last examination of a component; `taken` is Unix time in seconds."""

    component: str
    checks: tuple[DiagnosticCheck, ...]
    taken: float


@attrs.define(eq=False)
class _Subject:
    """One component: the last look at it, and the number of the last one whose end was noted."""

    look: Look | None = None
    noted: int = 0
    #: when it was started; after it failed, how long that took
    started: float | None = None
    took: float = 0.0
    #: it was repaired; fires when that held long enough, or did not
    proof: Deferred[None] | None = None


@attrs.define(eq=False, kw_only=True)
class Health:
    """The checks of every component of this host, and the issues that are open.

    `state` is a file in which issues and the time of the last daily look outlive this program. A
    diagnosis and a repair are jobs: `job.changed` tells their progress.
    """

    _log = Logger()

    _clock: IReactorTime
    _wall_clock: Callable[[], float]
    _events: EventStream
    _jobs: Jobs
    kinds: Kinds
    _state: Path
    _in_thread: Threads
    _issues: Issues = attrs.field(init=False)
    _known: dict[str, _Subject] = attrs.field(init=False, factory=lambda: defaultdict(_Subject))
    #: looks that were begun
    _begun: int = attrs.field(init=False, default=0)
    _timers: dict[str, IDelayedCall] = attrs.field(init=False, factory=dict)
    #: of checks that no call waits for
    _gate: DeferredSemaphore = attrs.field(init=False, factory=lambda: DeferredSemaphore(_AT_ONCE))
    _unsubscribe: Callable[[], None] | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._issues = Issues(
            self._wall_clock, self._events, self.kinds.host, self._state, self._in_thread
        )

    # Life

    def start(self) -> None:
        """Load the known issues, and examine everything once a day from now on.

        Blocks for a moment.
        """
        self._issues.load()
        self._unsubscribe = self._events.subscribe(self._happened)
        self._plan_daily_look()
        self._later("again", AGAIN, self._look_again)

    def stop(self) -> Deferred[None]:
        """End all examinations; fires when the issues are saved."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for call in self._timers.values():
            if call.active():
                call.cancel()
        self._timers.clear()
        return self._issues.saved()

    @property
    def last_known_time(self) -> float:
        """Unix time of the last examination of everything, by earlier managers too; 0 for never."""
        return self._issues.looked

    def _later(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        """Once, and not after the end; what waits already is not put off."""
        waiting = self._timers.get(name)
        if self._unsubscribe is None or (waiting is not None and waiting.active()):
            return
        self._timers[name] = self._clock.callLater(seconds, act)

    def _plan_daily_look(self) -> None:
        due = max(self._issues.looked + DAY - self._wall_clock(), FIRST_LOOK)
        self._later("daily", min(due, DAY), self._look_daily)

    def _look_daily(self) -> None:
        looking = self._behind(self.diagnose(), "the daily look")
        _ = looking.addCallback(lambda _: self._plan_daily_look())

    def _look_again(self) -> None:
        for component_id in sorted(self._issues.components()):
            self._look_now(component_id)
        self._later("again", AGAIN, self._look_again)

    def _behind(self, work: Awaitable[Any], what: str) -> Deferred[None]:
        async def done() -> None:
            try:
                await work
            except UnknownComponent:
                pass  # it went away while it was looked at
            except DomogikError as error:
                self._log.warn("{what}: {error}", what=what, error=str(error))
            except Exception:  # noqa: BLE001 - no call waits for this
                self._log.failure("{what}", what=what)

        return Deferred.fromCoroutine(done())

    # Looking

    def subjects(self) -> list[str]:
        """Return the ids of all components that can be examined."""
        return [id for checker in self.kinds for id in sorted(checker.subjects())]

    def looks(self) -> tuple[Look, ...]:
        """Return the last result for each component since the start, in the order of `subjects`."""
        looks = (self._known[id].look for id in self.subjects())
        return tuple(look for look in looks if look is not None)

    def diagnose(self, component_id: str | None = None) -> Deferred[tuple[DiagnosticCheck, ...]]:
        """Examine one component or all of this host; fires with the checks in a stable order.

        A call during an examination gets the result of that one. Fails with `UnknownComponent`.
        """
        if component_id is None:
            return self._jobs.run("diagnose", f"host:{self.kinds.host}", self._look_at_all, "all")
        return self._jobs.run("diagnose", component_id, lambda _: self._look_at(component_id))

    async def _look_at_all(self, progress: Progress) -> tuple[DiagnosticCheck, ...]:
        subjects = self.subjects()
        done = 0

        async def look(component_id: str) -> tuple[DiagnosticCheck, ...]:
            nonlocal done
            try:
                checks = await self._look_in_turn(component_id, is_alone=False)
            except UnknownComponent:
                checks = ()  # it went away while the others were looked at
            before, done = done, done + 1
            if 100 * done // len(subjects) > 100 * before // len(subjects):
                progress.stage(component_id, 100 * done / len(subjects))
            return checks

        looking = [Deferred.fromCoroutine(look(one)) for one in subjects]
        found = await gatherResults(looking, consumeErrors=True)
        self._issues.looked = self._wall_clock()
        self._forget_those_gone()
        return tuple(check for checks in found for check in checks)

    async def _look_in_turn(
        self, component_id: str, *, is_alone: bool = True
    ) -> tuple[DiagnosticCheck, ...]:
        async with self._gate:
            return await self._look_at(component_id, is_alone=is_alone)

    async def _look_at(
        self, component_id: str, *, is_alone: bool = True
    ) -> tuple[DiagnosticCheck, ...]:
        checker = self._checker(component_id)
        self._begun = number = self._begun + 1
        await self._turn()
        checks, is_whole = await self._examined(checker, component_id)
        if component_id not in checker.subjects():
            raise self._unknown(component_id)
        # of two looks at a time the one that was begun later is right, whichever ends first
        subject = self._known[component_id]
        if number > subject.noted:
            subject.noted = number
            subject.look = Look(component_id, checks, self._wall_clock())
            self._issues.note(component_id, checks, is_whole=is_whole)
            if is_alone:
                _ = self._issues.save()
        return checks

    async def _examined(
        self, checker: IChecked, component_id: str
    ) -> tuple[tuple[DiagnosticCheck, ...], bool]:
        """Return the checks, and whether the examination was complete."""
        looking = Deferred.fromCoroutine(_all_of(checker.examine(component_id)))
        try:
            return await looking.addTimeout(PATIENCE, self._clock), True
        except UnknownComponent:
            raise
        except TimeoutError:
            reason = f"it took longer than {PATIENCE:g} s"
        except DomogikError as error:
            reason = str(error)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        except Exception as error:  # noqa: BLE001 - a door: the other components have their turn
            self._log.failure("{id} could not be examined", id=component_id)
            reason = f"{type(error).__name__}, the log says more"
        return (_not_examined(component_id, reason),), False

    def _turn(self) -> Deferred[None]:
        """The reactor has other things to do as well."""
        turn: Deferred[None] = Deferred()
        self._clock.callLater(0, turn.callback, None)
        return turn

    def _checker(self, component_id: str) -> IChecked:
        checker = self.kinds.get(ComponentId.parse(component_id).kind)
        if checker is None or component_id not in checker.subjects():
            raise self._unknown(component_id)
        return checker

    def _unknown(self, component_id: str) -> UnknownComponent:
        return UnknownComponent.named(component_id, self.kinds.host, self.subjects())

    # What happens

    def _happened(self, event: Event) -> None:
        if event.type == "repositories.changed":
            self._look_soon_at(Kind.REPOSITORY, only_with_issues=False)
        elif event.data.get("host") != self.kinds.host:
            return
        elif event.type == "packages.changed":
            self._look_soon_at(Kind.PLUGIN, only_with_issues=True)
        elif event.type == "component.added":
            self.check_soon(str(event.data["id"]))
        elif event.type == "component.removed":
            self._forget_those_gone()
        elif event.type == "component.changed":
            self._changed(str(event.data["id"]), str(event.data.get("state")))

    def _changed(self, component_id: str, state: str) -> None:
        is_bad, subject = state in _BAD, self._known[component_id]
        if state == State.STARTING.value:
            subject.started = self._clock.seconds()
        elif is_bad and subject.started is not None:
            subject.took = self._clock.seconds() - subject.started
            subject.started = None
        if is_bad:
            self._end_proof(component_id)
        concerned = [component_id]
        if component_id.startswith(f"{Kind.CORE.value}:"):
            concerned.append(f"host:{self.kinds.host}")
        for one in concerned:
            if is_bad or self._issues.of(one):
                self.check_soon(one)

    def _look_soon_at(self, kind: Kind, *, only_with_issues: bool) -> None:
        self._forget_those_gone()
        checker = self.kinds.get(kind)
        for component_id in sorted(checker.subjects()) if checker is not None else ():
            if not only_with_issues or self._issues.of(component_id):
                self.check_soon(component_id)

    def check_soon(self, component_id: str) -> None:
        """Examine a component soon, though its state did not change."""
        self._later(component_id, SETTLE, lambda: self._look_now(component_id))

    def _look_now(self, component_id: str) -> None:
        self._timers.pop(component_id, None)
        if component_id in self.subjects() and self._known[component_id].proof is None:
            _ = self._behind(self._look_in_turn(component_id), f"looking at {component_id}")

    def _forget_those_gone(self) -> None:
        there = set(self.subjects())
        for component_id in self._known.keys() - there:
            if self._known[component_id].proof is None:
                del self._known[component_id]
        self._issues.forget_all_but(there)
        _ = self._issues.save()

    # Issues

    def issues(self) -> tuple[Issue, ...]:
        """Return the open issues, the oldest first."""
        return self._issues.all()

    def issue(self, issue_id: str) -> Issue:
        """Return the open issue with that id; raises `UnknownIssue`."""
        issue = self._issues.get(issue_id)
        if issue is None:
            raise UnknownIssue(f"there is no open issue {issue_id}")
        return issue

    def repair(self, issue_id: str, action: str | None = None) -> Deferred[Issue | None]:
        """Carry out a suggestion, by default the first that can be, and look again.

        Fires with the issue if it is still open, None if it is closed: when it has been well for as
        long as it took to fail before, `LONGEST_PROOF` at most. It is looked at first: what has
        passed meanwhile is left alone. Fails with `UnknownIssue`, `NotPossible`, and with
        `OperationFailed` when the suggestion could not be carried out.
        """
        return Deferred.fromCoroutine(self._repair(issue_id, action))

    async def _repair(self, issue_id: str, action: str | None) -> Issue | None:
        issue = self.issue(issue_id)
        chosen = _chosen(issue, action)
        request = issue_id, chosen
        await self._jobs.run(
            "repair", issue.component, partial(self._repair_now, issue_id, action), request
        )
        return self._issues.get(issue_id)

    async def _repair_now(self, issue_id: str, action: str | None, progress: Progress) -> None:
        component_id = self.issue(issue_id).component
        await self._look_at(component_id)
        issue = self._issues.get(issue_id)
        if issue is None:
            return
        chosen = _chosen(issue, action)
        checker = self._checker(component_id)
        failed: DomogikError | None = None
        try:
            await checker.repair(component_id, issue.check, chosen)
        except OperationFailed as error:
            failed = OperationFailed(error.reason or str(error))
        except DomogikError as error:
            failed = error
        if failed is None:
            await self._prove(component_id, progress)
        if component_id in checker.subjects():
            await self._look_at(component_id)
        else:
            self._forget_those_gone()
        if failed is not None:
            raise failed

    async def _prove(self, component_id: str, progress: Progress) -> None:
        """Wait as long as it took to fail; less where it fails again."""
        subject = self._known[component_id]
        seconds = min(subject.took, LONGEST_PROOF)
        if not seconds or subject.started is None:
            return
        progress.stage(f"watching for {seconds:.0f} s whether that holds")
        proof = subject.proof = Deferred()
        self._later(f"proof {component_id}", seconds, lambda: self._end_proof(component_id))
        await proof

    def _end_proof(self, component_id: str) -> None:
        waiting = self._timers.pop(f"proof {component_id}", None)
        if waiting is not None and waiting.active():
            waiting.cancel()
        subject = self._known[component_id]
        proof, subject.proof = subject.proof, None
        if proof is not None:
            proof.callback(None)


async def _all_of(work: Awaitable[Sequence[DiagnosticCheck]]) -> tuple[DiagnosticCheck, ...]:
    return tuple(await work)


def _not_examined(component_id: str, reason: str) -> DiagnosticCheck:
    return DiagnosticCheck(
        "examined",
        "{component} could not be examined: {reason}",
        Result.ERROR,
        parameters={"component": component_id, "reason": reason},
        component_id=component_id,
    )


def _chosen(issue: Issue, action: str | None) -> str:
    possible = [one.action for one in issue.check.suggestions if one.is_repairable]
    if action is None and possible:
        return possible[0]
    if action in possible:
        return action
    by_hand = "; ".join(one.sentence for one in issue.check.suggestions)
    if not possible and by_hand:
        raise NotPossible(f"{issue.check.finding_text}. Only you can do that. {by_hand}")
    if not possible:
        raise NotPossible(f"{issue.check.finding_text}. Domogik knows nothing that would help")
    raise NotPossible(f"choose one of {', '.join(possible)}")
