"""The core services dbmgr and rest as components that can be started and stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.internet.defer import DeferredLock

from domogik.components.model import Component, ComponentId, Kind, State
from domogik.errors import NotPossible, OperationFailed, already_running, not_running
from domogik.manager.components import ComponentList
from domogik.manager.messages import not_started

#: states in which a start has nothing to do
_UP = (State.STARTING, State.RUNNING, State.ALIVE)
_OFF = (State.STOPPED, State.DISABLED)


@attrs.frozen
class Part:
    """A service inside the manager's process; `start` and `stop` update the component list."""

    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


@attrs.define(eq=False)
class CoreParts:
    """Starts and stops the services in `parts`; the errors have the texts used for plugins."""

    _host: str
    _components: ComponentList
    parts: Mapping[str, Part] = attrs.field(factory=dict)
    _turn: DeferredLock = attrs.field(factory=DeferredLock)

    async def start(self, name: str) -> None:
        """Start the service; returns when it works. Raises `OperationFailed`."""
        async with self._turn:
            await self._start(name)

    async def stop(self, name: str) -> None:
        """Stop the service; raises `OperationFailed`, `NotPossible`."""
        async with self._turn:
            if self._now(name).state in _OFF:
                raise OperationFailed(not_running(name, self._host))
            await self._stop(name)

    async def restart(self, name: str) -> None:
        """Stop the service if it is up, then start it."""
        async with self._turn:
            if self._now(name).state not in _OFF:
                await self._stop(name)
            await self._start(name)

    async def _start(self, name: str) -> None:
        running = already_running(name, self._host)
        # what runs in another process may have ended: the part asks for it
        if self._now(name).state in (State.STARTING, State.RUNNING):
            raise OperationFailed(running)
        await self.parts[name].start()
        after = self._now(name)
        if after.state is State.ALIVE:
            raise OperationFailed(running)
        if after.state not in _UP:
            reason = after.reason or f"it is {after.state.value}"
            raise not_started(name, reason, "dmg_ctl logs manager")

    async def _stop(self, name: str) -> None:
        now = self._now(name)
        if now.state is State.ALIVE:
            raise NotPossible(f"{now.id} cannot be stopped: {now.reason}")
        await self.parts[name].stop()

    def _now(self, name: str) -> Component:
        component = self._components.get(ComponentId(Kind.CORE, name))
        assert component is not None
        return component
