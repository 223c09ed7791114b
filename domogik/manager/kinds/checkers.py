"""The checkers of core services, managed daemons, external members and repositories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

import attrs
from zope.interface import implementer

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import Component, ComponentId, Kind, State
from domogik.config.load import BrokenConfiguration
from domogik.errors import DomogikError, OperationFailed, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.daemons.daemons import Daemons
from domogik.manager.externals import Externals
from domogik.manager.health.questions import Question, only_by_hand, unknown_action
from domogik.manager.packages.interfaces import RepositoryInfo
from domogik.manager.plugins.autostart_notice import ACCEPT, AutostartNotice
from domogik.manager.registry import IChecked
from domogik.threads import Threads

_DAY = 24 * 3600.0
#: what a repository offers is old when it was not asked for so long, in seconds
OLD = 30 * _DAY
#: seconds before their end in which signatures should be renewed
SOON = 3 * _DAY


def _component(components: ComponentList, component_id: str) -> Component:
    component = components.get(ComponentId.parse(component_id))
    if component is None:
        raise UnknownComponent(f"There is no component {component_id}")
    return component


# Core services

_SERVICE = Question("core-running", "{description}", "{name} does not work: {reason}")
_CONFIGURATION = Question(
    "core-configuration",
    "The configuration is in order",
    "The configuration is not in order: {reason}",
)
_DATABASE = Question(
    "core-database", "The database can be read through", "The database is damaged: {reason}"
)
_ADDRESS = Question(
    "core-address",
    "REST listens where the configuration says",
    "REST does not listen where the configuration says: {reason}",
)
_OPEN = Suggestion("open-database", "Open the database again; where its file is gone, an empty one")
_RESTORE = only_by_hand(
    "restore", "If it is damaged: stop the manager, and put a copy of the file in its place"
)


@implementer(IChecked)
@attrs.define(eq=False, kw_only=True)
class CoreChecker:
    """The parts of this process.

    `findings()` says what is refused of the configuration's files and what is odd, and blocks;
    `rest_problem()` why REST listens elsewhere than they say, empty where it does not;
    `check_database()` is None without a database, `open_database()` tries again what failed.
    """

    _components: ComponentList
    _findings: Callable[[], tuple[Sequence[BrokenConfiguration], Sequence[str]]]
    _rest_problem: Callable[[], str]
    _check_database: Callable[[], Awaitable[None] | None]
    _open_database: Callable[[], Awaitable[None]]
    _notice: AutostartNotice
    _in_thread: Threads

    def subjects(self) -> Collection[str]:
        """Those that were started, or should have been."""
        return self._components.ids(Kind.CORE)

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Whether it works; of the manager and dbmgr what they work with, too."""
        component = _component(self._components, component_id)
        checks = [self._running(component)]
        if component.name == "manager":
            checks.append(await self._in_thread(self._configuration, component_id))
            checks += await self._in_thread(self._notice.checks, component_id)
        elif component.name == "rest":
            checks.append(self._address(component_id))
        elif component.name == "dbmgr" and component.state is State.RUNNING:
            checks += await self._database(component_id)
        return checks

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Open the database again, or believe that what changed was read."""
        if action == ACCEPT.action:
            await self._in_thread(self._notice.accept)
            return
        if action != _OPEN.action:
            raise unknown_action(component_id, action)
        await self._open_database()
        component = _component(self._components, component_id)
        if not component.state.is_on:
            raise OperationFailed(component.reason or f"it is {component.state.value}")

    def _running(self, component: Component) -> DiagnosticCheck:
        id, state = str(component.id), component.state
        given = {
            "name": component.name,
            "description": component.description,
            "reason": component.reason,
        }
        if state.is_on:
            return _SERVICE.answer(id, Result.PASSED, **given)
        if component.name == "hub":
            # one cause, one issue: that of the host, which asks its own heartbeat
            return _SERVICE.answer(id, Result.SKIPPED, **given)
        advice: tuple[Suggestion, ...] = ()
        if component.name == "dbmgr":
            advice = (_OPEN, _RESTORE)
        if state is State.STOPPED and not component.reason:
            advice = (only_by_hand("start", f"Start it: dmg_ctl start {id}"),)
        result = Result.FAILED if state is State.FAILED else Result.WARNING
        given["reason"] = component.reason or f"it is {state.value}"
        return _SERVICE.answer(id, result, *advice, **given)

    def _address(self, component_id: str) -> DiagnosticCheck:
        problem = self._rest_problem()
        if not problem:
            return _ADDRESS.answer(component_id, Result.PASSED)
        free = only_by_hand("correct", "Free the address or change [rest], and save the file")
        return _ADDRESS.answer(component_id, Result.FAILED, free, reason=problem)

    def _configuration(self, component_id: str) -> DiagnosticCheck:
        """As the files are now; blocks."""
        refused, odd = self._findings()
        found = [*map(str, refused), *odd]
        if not found:
            return _CONFIGURATION.answer(component_id, Result.PASSED)
        correct = only_by_hand(
            "correct", "Correct it; dmg_ctl check-config says whether it is in order then"
        )
        result = Result.FAILED if refused else Result.WARNING
        return _CONFIGURATION.answer(component_id, result, correct, reason="; ".join(found[:10]))

    async def _database(self, component_id: str) -> list[DiagnosticCheck]:
        asked = self._check_database()
        if asked is None:
            return []
        try:
            await asked
        except DomogikError as error:
            return [_DATABASE.answer(component_id, Result.FAILED, _RESTORE, reason=str(error))]
        return [_DATABASE.answer(component_id, Result.PASSED)]


# Managed daemons


@implementer(IChecked)
@attrs.define(eq=False)
class DaemonChecker:
    """Those of the configuration; `daemon_checks.py` says what is asked."""

    _daemons: Daemons

    def subjects(self) -> Collection[str]:
        """Their ids."""
        return tuple(f"daemon:{name}" for name in self._daemons.names())

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Every check of it."""
        return await self._daemons.checks(ComponentId.parse(component_id).name)

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Start or restart it."""
        acts = {"start": self._daemons.start, "restart": self._daemons.restart}
        if action not in acts:
            raise unknown_action(component_id, action)
        await acts[action](ComponentId.parse(component_id).name)


# External members

_HEARD = Question(
    "external-heard",
    "{name} is heard within its interval",
    "{name} is not heard any more: {reason}",
)
_FORGET = Suggestion("forget", "Leave it out of the list until it is heard again")
_LOOK = only_by_hand("look", "See whether it is switched on and connected")


@implementer(IChecked)
@attrs.define(eq=False)
class ExternalChecker:
    """Those that were heard since the start."""

    _externals: Externals
    _components: ComponentList

    def subjects(self) -> Collection[str]:
        """Their ids."""
        return self._components.ids(Kind.EXTERNAL)

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Whether it is heard."""
        component = _component(self._components, component_id)
        reason = component.reason or f"it is {component.state.value}"
        given = {"name": component.name, "reason": reason}
        if component.state is State.ALIVE:
            del given["reason"]
            return [_HEARD.answer(component_id, Result.PASSED, **given)]
        if component.state is State.NOT_RESPONDING:
            # what cannot be done for a person comes first: to forget it is for what is gone
            return [_HEARD.answer(component_id, Result.FAILED, _LOOK, _FORGET, **given)]
        return [_HEARD.answer(component_id, Result.SKIPPED, **given)]

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Forget it."""
        if action != _FORGET.action:
            raise unknown_action(component_id, action)
        self._externals.forget(ComponentId.parse(component_id).name)


# Repositories

_REACHABLE = Question(
    "repository-reachable",
    "{url} said what it offers when it was asked last",
    "{url} did not say what it offers: {reason}",
)
_RECENT = Question(
    "repository-recent",
    "What {url} offers was asked for lately",
    "What {url} offers was asked for {reason}",
)
_SIGNED = Question(
    "repository-signed", "What {url} offers is signed", "What {url} offers is not signed"
)
_GOOD = Question(
    "repository-signatures",
    "The signatures of {url} are good",
    "The signatures of {url} {reason}",
)
_REFRESH = Suggestion("refresh", "Ask the repositories again")
_SIGN = only_by_hand(
    "sign",
    "Ask who keeps it for signatures, or add unsigned=accepted to its line in sources.list",
)


@implementer(IChecked)
@attrs.define(eq=False)
class RepositoryChecker:
    """Those of `sources.list`, and the local one; `refresh()` asks all of them."""

    _repositories: Callable[[], Sequence[RepositoryInfo]]
    _refresh: Callable[[], Awaitable[object]]
    _wall_clock: Callable[[], float]

    def subjects(self) -> Collection[str]:
        """Their ids."""
        return tuple(f"repository:{one.url}" for one in self._repositories())

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Return the checks from what is known, without asking the repositories."""
        one = self._find(component_id)
        return [
            self._reachable(component_id, one),
            self._recent(component_id, one),
            *self._signatures(component_id, one),
        ]

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Refresh."""
        if action != _REFRESH.action:
            raise unknown_action(component_id, action)
        await self._refresh()
        error = self._find(component_id).error
        if error:
            raise OperationFailed(error)

    def _find(self, component_id: str) -> RepositoryInfo:
        url = ComponentId.parse(component_id).name
        for one in self._repositories():
            if one.url == url:
                return one
        raise UnknownComponent(f"There is no repository {url}")

    def _reachable(self, id: str, one: RepositoryInfo) -> DiagnosticCheck:
        if one.error:
            return _REACHABLE.answer(id, Result.FAILED, _REFRESH, url=one.url, reason=one.error)
        if one.as_of is None:
            reason = "it was never asked: dmg_pkgmgr update-cache"
            return _REACHABLE.answer(id, Result.SKIPPED, url=one.url, reason=reason)
        return _REACHABLE.answer(id, Result.PASSED, url=one.url, packages=one.packages)

    def _recent(self, id: str, one: RepositoryInfo) -> DiagnosticCheck:
        if one.as_of is None:
            return _RECENT.answer(id, Result.SKIPPED, url=one.url, reason="it was never asked")
        days = (self._wall_clock() - one.as_of) / _DAY
        if days * _DAY < OLD:
            return _RECENT.answer(id, Result.PASSED, url=one.url)
        reason = f"{days:.0f} days ago"
        return _RECENT.answer(id, Result.WARNING, _REFRESH, url=one.url, reason=reason)

    def _signatures(self, id: str, one: RepositoryInfo) -> list[DiagnosticCheck]:
        given = {"url": one.url}
        if not one.signed:
            if one.url.startswith("file:"):
                reason = "it is a directory of this host"
                return [_SIGNED.answer(id, Result.SKIPPED, reason=reason, **given)]
            if one.as_of is None:
                reason = "it was never asked"
                return [_SIGNED.answer(id, Result.SKIPPED, reason=reason, **given)]
            if one.accepted:
                reason = "it is not, and its line in sources.list says unsigned=accepted"
                return [_SIGNED.answer(id, Result.SKIPPED, reason=reason, **given)]
            return [_SIGNED.answer(id, Result.WARNING, _SIGN, **given)]
        return [_SIGNED.answer(id, Result.PASSED, **given), self._expiry(id, one)]

    def _expiry(self, id: str, one: RepositoryInfo) -> DiagnosticCheck:
        if one.expires is None:
            return _GOOD.answer(id, Result.PASSED, url=one.url)
        left = one.expires - self._wall_clock()
        if left > SOON:
            return _GOOD.answer(id, Result.PASSED, url=one.url)
        if left > 0:
            reason = f"are good for {left / 3600:.0f} more hours"
            return _GOOD.answer(id, Result.WARNING, _REFRESH, url=one.url, reason=reason)
        reason = f"ended {-left / 3600:.0f} hours ago"
        return _GOOD.answer(id, Result.FAILED, _REFRESH, url=one.url, reason=reason)
