"""One plugin of this host: its package, whether it is enabled, and its state."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import Logger

from domogik.components.model import STARTUP_KEY, Component, ComponentId, Kind, State
from domogik.manager.components import ComponentList
from domogik.packages.store.installed import Installed
from domogik.supervisor.interfaces import Status
from domogik.supervisor.service import Supervisor
from domogik.supervisor.settings import Supervision

_RUNS = (State.STARTING, State.RUNNING, State.ALIVE, State.NOT_RESPONDING)
#: states in which there is something to stop
_UP = (*_RUNS, State.STOPPING)
#: states from which the supervisor may start it by itself
_TRIED_AGAIN = (State.BACKOFF, State.FAILED)
_OFF = Status(State.STOPPED)


@attrs.define(eq=False)
class Plugin:
    """A plugin, kept until the manager ends.

    `installed` is None if its package is gone, though it may run; `is_marked` says whether the
    configuration enables it.
    """

    _log = Logger()

    name: str
    _host: str
    _supervisor: Supervisor
    _components: ComponentList
    installed: Installed | None = None
    is_marked: bool = False
    #: how long a new release of it is watched before it counts as good
    probation_s: float = Supervision().update_probation_s
    #: whether it runs and is no child of ours
    is_by_hand: bool = False
    #: whether its package is being changed, and nothing may start it meanwhile
    is_at_rest: bool = False
    #: those that were found to be its own; they are while they are there
    sockets: frozenset[int] = frozenset()
    #: the stored `startup-plugin` that keeps it from starting with the manager
    autostart_off: str = ""
    #: called when the supervisor tells that it changed
    follower: Callable[[], None] | None = None
    #: whether the supervisor was told how to run it, and not to forget that
    is_configured: bool = False

    @property
    def id(self) -> str:
        """`plugin:<name>`."""
        return str(self._component_id)

    @property
    def _component_id(self) -> ComponentId:
        return ComponentId(Kind.PLUGIN, self.name)

    @property
    def is_known(self) -> bool:
        """Whether it is installed, or runs though its package is gone."""
        return self.installed is not None or self.is_configured

    @property
    def is_enabled(self) -> bool:
        """Whether it is installed and enabled."""
        return self.is_marked and self.installed is not None

    @property
    def is_supervised(self) -> bool:
        """Whether the supervisor has it."""
        return self.id in self._supervisor.ids()

    @property
    def status(self) -> Status:
        """The supervisor's status of it; stopped if the supervisor does not have it."""
        return self._supervisor.status(self.id) if self.is_supervised else _OFF

    @property
    def pids(self) -> frozenset[int]:
        """The ids of its processes; empty for one that was started by hand."""
        return self._supervisor.pids(self.id) if self.is_supervised else frozenset()

    @property
    def is_up(self) -> bool:
        """Whether a process of it runs, started by the manager or by hand."""
        return self.is_by_hand or self.status.state in _UP

    @property
    def is_there(self) -> bool:
        """Whether a start has nothing to do; while it is being ended a start waits for the end."""
        return self.is_by_hand or self.status.state in _RUNS

    @property
    def is_tried_again(self) -> bool:
        """Whether it is down and the supervisor may start it again by itself."""
        return self.status.state in _TRIED_AGAIN

    @property
    def is_unheard(self) -> bool:
        """Whether an earlier manager started it and it has not answered this one yet."""
        return self.status.adopted and self.status.state is State.STARTING

    # What changes it

    def refresh(self) -> None:
        """Update its entry in the component list, or remove it if it is gone and has ended.

        A failed plugin that is not enabled any more is not restarted.
        """
        if not self.is_enabled and self.is_tried_again:
            _ = self._supervisor.stop(self.id).addErrback(
                lambda failure: self._log.failure("giving up {name}", failure, name=self.name)
            )
        installed, status = self.installed, self.status
        if installed is None and status.state not in _UP:
            self._forget()
            return
        state, reason, pid = status.state, status.reason, status.pid
        if state in _UP:
            self.is_by_hand = False
        elif self.is_by_hand:
            state, reason, pid = State.ALIVE, "started by hand", None
        elif state is State.STOPPED and installed is not None and installed.problem:
            state, reason = (State.FAILED if self.is_enabled else State.DISABLED), installed.problem
        elif state is State.STOPPED and not self.is_enabled:
            state = State.DISABLED
        elif state is State.STOPPED and not reason and self.autostart_off:
            reason = f"it does not start with the manager: {STARTUP_KEY} is {self.autostart_off}"
        package = installed.package if installed is not None else None
        before = self._components.get(self._component_id)
        self._components.put(
            Component(
                id=self._component_id,
                host=self._host,
                state=state,
                enabled=self.is_enabled,
                reason=reason,
                pid=pid,
                since=status.since,
                restarts=status.restarts,
                technology=package.technology if package else before.technology if before else "",
                version=package.release if package else before.version if before else "",
                description=package.description if package else "",
                documentation=package.documentation if package else "",
            )
        )

    def _forget(self) -> None:
        self.is_by_hand = False
        if self.is_configured:
            self.is_configured = False
            _ = self._supervisor.forget(self.id).addErrback(
                lambda failure: self._log.failure("forgetting {name}", failure, name=self.name)
            )
        self._components.remove(self._component_id)

    # Heartbeats

    def alive(self) -> None:
        """Handle a heartbeat of it that says ready."""
        if self.status.state in _UP:
            self._supervisor.alive(self.id)
        elif self.installed is not None and not self.is_by_hand:
            self.is_by_hand = True
            self._log.info("{name} was started by hand", name=self.name)
            self.refresh()

    def silent(self) -> None:
        """Handle a ping that it did not answer."""
        if self.status.state in _UP:
            self._supervisor.silent(self.id)
        self._gone_by_hand()

    def left(self) -> None:
        """Handle its message that it ends."""
        if self.is_supervised:
            self._supervisor.left(self.id)  # a stop that comes after it is a success
        self._gone_by_hand()

    def _gone_by_hand(self) -> None:
        if self.is_by_hand:
            self.is_by_hand = False
            self.refresh()
