"""External members: xPL devices and programs that are only heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.model import Component, ComponentId, Detail, Kind, State
from domogik.errors import UnknownComponent
from domogik.manager.components import ComponentList
from domogik.packages.store.installed import Installed
from domogik.xpl.codec.message import STAT, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription

#: minutes between two heartbeats of a member that does not say; the protocol's default
DEFAULT_INTERVAL = 5
#: intervals above this are a mistake (seconds instead of minutes); the protocol's limit
MAX_INTERVAL = 30
#: the most members; the one that was silent longest is replaced
MAX_MEMBERS = 1000
#: pairs of a heartbeat that are kept
MAX_VALUES = 100


@attrs.define(eq=False)
class _Member:
    vendor_device: str
    instance: str
    values: tuple[tuple[str, str], ...]
    last_heard: float
    silent_after: float
    left: bool = False

    @property
    def name(self) -> str:
        return f"{self.vendor_device}.{self.instance}"

    @property
    def silent_from(self) -> float:
        return self.last_heard + self.silent_after


@attrs.define(eq=False)
class Externals:
    """The members that were heard, by the model in a descriptor, else by their own address.

    A member is silent when nothing was heard of it for twice its interval and a minute, as long as
    a hub keeps a client (xPL hub specification). One timer is set for the next to become silent.
    """

    _clock: IReactorTime
    _wall_clock: Callable[[], float]
    _bus: Bus
    _components: ComponentList
    _host: str
    _log: Logger = Logger()
    _models: dict[str, Installed] = attrs.field(factory=dict)
    _members: dict[str, _Member] = attrs.field(factory=dict)
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    _timer: IDelayedCall | None = None

    def start(self) -> None:
        """Subscribe to heartbeats."""
        for schema, handler in (
            ("hbeat.app", self._beat),
            ("hbeat.basic", self._beat),
            ("hbeat.end", self._end),
        ):
            self._subscriptions.append(self._bus.subscribe(handler, type=STAT, schema=schema))

    def stop(self) -> None:
        """Cancel the subscription and the timer."""
        for subscription in self._subscriptions:
            subscription.cancel()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def update(self, models: Mapping[str, Installed]) -> None:
        """Apply the installed models; members are renamed by them."""
        self._models = {
            f"{entry.package.vendor}-{entry.package.device}": entry for entry in models.values()
        }
        for member in self._members.values():
            self._show(member)

    def detail(self, component: Component) -> Detail:
        """Return the component with the pairs of its last heartbeat, without the interval."""
        member = self._members.get(component.name)
        return Detail(component, values=member.values if member is not None else ())

    def _beat(self, message: Message, origin: Origin) -> None:
        if message.vendor_device.partition("-")[0] == "domogik" or not message.instance:
            return
        known = message.source in self._members
        if not known and len(self._members) >= MAX_MEMBERS and not self._make_room():
            return
        values = [pair for pair in message.body if pair[0] != "interval"]
        self._members[message.source] = member = _Member(
            vendor_device=message.vendor_device,
            instance=message.instance,
            values=tuple(values[:MAX_VALUES]),
            last_heard=self._clock.seconds(),
            silent_after=60.0 * (2 * _interval(message) + 1),
        )
        self._show(member)
        self._watch(member)

    def forget(self, name: str) -> None:
        """Remove the member until it is heard again; raises `UnknownComponent`."""
        if self._members.pop(name, None) is None:
            raise UnknownComponent.named(name, self._host)
        self._components.remove(ComponentId(Kind.EXTERNAL, name))

    def _make_room(self) -> bool:
        """Remove the member that has been off for the longest time, if there is one."""
        off = [one for one in self._members.values() if self._state(one)[0] is not State.ALIVE]
        if not off:
            return False
        member = min(off, key=lambda one: one.last_heard)
        del self._members[member.name]
        self._components.remove(ComponentId(Kind.EXTERNAL, member.name))
        return True

    def _end(self, message: Message, origin: Origin) -> None:
        member = self._members.get(message.source)
        if member is not None:
            member.left = True
            self._show(member)

    def _show(self, member: _Member) -> None:
        component_id = ComponentId(Kind.EXTERNAL, member.name)
        state, reason = self._state(member)
        model = self._models.get(member.vendor_device)
        before = self._components.get(component_id)
        since = before.since if before and before.state is state else self._wall_clock()
        package = model.package if model is not None else None
        self._components.put(
            Component(
                id=component_id,
                host=self._host,
                state=state,
                reason=reason,
                since=since,
                technology=package.technology if package else "unknown",
                version=package.release if package else "n/a",
                description=package.description if package else " ",
                documentation=package.documentation if package else "#",
                model=package.id if package else member.vendor_device,
            )
        )

    def _state(self, member: _Member) -> tuple[State, str]:
        if member.left:
            return State.STOPPED, "it said that it leaves"
        if self._clock.seconds() >= member.silent_from:
            minutes = member.silent_after / 60
            return State.NOT_RESPONDING, f"nothing was heard of it for {minutes:.0f} minutes"
        return State.ALIVE, ""

    def _watch(self, member: _Member) -> None:
        """Set the timer to the time at which the next member becomes silent."""
        wait = max(0.0, member.silent_from - self._clock.seconds())
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.callLater(wait, self._look)
        elif member.silent_from < self._timer.getTime():
            self._timer.reset(wait)

    def _look(self) -> None:
        heard = []
        for member in self._members.values():
            self._show(member)
            if self._state(member)[0] is State.ALIVE:
                heard.append(member)
        if heard:
            self._watch(min(heard, key=lambda one: one.silent_from))


def _interval(message: Message) -> int:
    """Return the interval of a heartbeat in minutes; an invalid one is replaced by the nearest
    valid.
    """
    text = message.get("interval", "") or ""
    if not text.isascii() or not text.isdigit():
        return DEFAULT_INTERVAL
    return min(max(int(text[:6]), 1), MAX_INTERVAL)
