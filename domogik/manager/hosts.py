"""The other hosts: who is there, what runs there, and asking their manager."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.components.events import EventStream
from domogik.components.model import (
    Component,
    ComponentId,
    ConfigurationKey,
    Detail,
    HostInfo,
    Kind,
    State,
)
from domogik.errors import NoAnswer, OperationFailed
from domogik.xpl.bus import Bus, Origin, Subscription
from domogik.xpl.message import CMND, STAT, TRIG, Message
from domogik.xpl.port import Identity, NoReply

MAX_HOSTS = 256
MAX_LISTED = 1000
DEFAULT_INTERVAL_S = 300.0
#: seconds until another host's answer is given up: a start waits for the plugin's heartbeat
TIMEOUTS = {"start": 60.0, "restart": 90.0, "stop": 45.0}
DEFAULT_TIMEOUT = 15.0
_TIMEOUT_TEXTS = {"detail": "getting plugin detail for"}


@attrs.define(eq=False)
class _Host:
    ip: str
    interval: float
    heard: float
    last_seen: float
    left: bool = False
    components: tuple[Component, ...] = ()
    timer: object = None


@attrs.define(eq=False)
class Hosts:
    """Known by the heartbeat of their manager; a host that falls silent is kept, as off.

    A host is off when nothing was heard for twice its interval and a minute, or after its
    `hbeat.end`.
    """

    _clock: IReactorTime
    _wall_clock: Callable[[], float]
    _identity: Identity
    _bus: Bus
    _events: EventStream
    own: str
    _log: Logger = Logger()
    _hosts: dict[str, _Host] = attrs.field(factory=dict)
    _subscriptions: list[Subscription] = attrs.field(factory=list)

    def start(self) -> None:
        """Listen, and ask who is there and what runs there."""
        subscribe = self._bus.subscribe
        self._subscriptions = [
            subscribe(self._beat, type=STAT, schema="hbeat.app"),
            subscribe(self._end, type=STAT, schema="hbeat.end"),
            subscribe(self._listed, type=TRIG, schema="domogik.system", body={"command": "list"}),
        ]
        self._identity.send(CMND, "hbeat.request", [("command", "request")])
        self._identity.send(CMND, "domogik.system", [("command", "list"), ("host", "*")])

    def stop(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            subscription.cancel()

    def known(self) -> tuple[HostInfo, ...]:
        """Every host that was heard, this one first."""
        names = sorted(self._hosts, key=lambda name: (name != self.own, name))
        return tuple(self._info(name, self._hosts[name]) for name in names)

    def components(self, host: str | None = None) -> tuple[Component, ...]:
        """What the managers of other hosts (or that of `host`) last said runs there."""
        return tuple(
            component
            for name in sorted(self._hosts)
            if host in (None, name)
            for component in self._hosts[name].components
        )

    def _info(self, name: str, host: _Host) -> HostInfo:
        return HostInfo(
            id=name,
            on=self._is_on(host),
            primary=name == self.own,
            ip=host.ip,
            interval=host.interval,
            last_seen=host.last_seen,
        )

    def _is_on(self, host: _Host) -> bool:
        return not host.left and self._clock.seconds() - host.heard < 2 * host.interval + 60

    def _beat(self, message: Message, origin: Origin) -> None:
        if message.vendor_device != "domogik-manager":
            return
        name = message.instance
        known = self._hosts.get(name)
        if known is None:
            if len(self._hosts) >= MAX_HOSTS:
                return
            known = self._hosts[name] = _Host("", 0.0, 0.0, 0.0, left=True)
        was_on = self._is_on(known)
        interval = message.get("interval", "") or ""
        minutes = int(interval[:4]) if interval.isascii() and interval.isdigit() else 0
        known.ip = message.get("remote-ip", "") or ""
        known.interval = min(minutes, 30) * 60.0 or DEFAULT_INTERVAL_S
        known.heard, known.last_seen = self._clock.seconds(), self._wall_clock()
        known.left = False
        if not was_on:
            self._events.publish("host.changed", id=name, on=True)
            if name != self.own:
                self._identity.send(CMND, "domogik.system", [("command", "list"), ("host", name)])

    def _end(self, message: Message, origin: Origin) -> None:
        if message.vendor_device != "domogik-manager":
            return
        known = self._hosts.get(message.instance)
        if known is not None and not known.left:
            known.left = True
            self._events.publish("host.changed", id=message.instance, on=False)

    def _listed(self, message: Message, origin: Origin) -> None:
        name = message.get("host")
        if name is None or (origin.address is None and name == self.own):
            return
        known = self._hosts.get(name)
        if known is None:
            if len(self._hosts) >= MAX_HOSTS:
                return
            known = self._hosts[name] = _Host("", 0.0, 0.0, 0.0, left=True)
        before = {component.id: component for component in known.components}
        known.components = tuple(listed_components(message, name))
        for component in known.components:
            old = before.pop(component.id, None)
            if old is None:
                self._events.publish("component.added", **_words(component))
            elif old != component:
                self._events.publish(
                    "component.changed", previous=old.state.value, **_words(component)
                )
        for component in before.values():
            self._events.publish("component.removed", id=str(component.id), host=name)

    async def command(self, host: str, command: str, plugin: str) -> None:
        """Have that host's manager do it; `OperationFailed` with its words, or `NoAnswer`."""
        answer = await self._ask(host, command, plugin)
        error = answer.get("error")
        if error:
            raise OperationFailed(error)

    async def detail(self, component: Component) -> Detail:
        """What that host's manager says of it; `OperationFailed`, `NoAnswer`."""
        answer = await self._ask(component.host, "detail", component.name)
        error = answer.get("error")
        if error:
            raise OperationFailed(f"Error on detail request : {error}")
        return read_detail(answer, component)

    async def _ask(self, host: str, command: str, plugin: str) -> Message:
        def is_answer(message: Message) -> bool:
            return (
                message.type == TRIG
                and message.schema == "domogik.system"
                and message.get("command") == command
                and message.get("host") == host
                and message.get("plugin", message.get("name")) == plugin
            )

        try:
            return await self._identity.request(
                "domogik.system",
                [("command", command), ("host", host), ("plugin", plugin)],
                answer=is_answer,
                timeout=TIMEOUTS.get(command, DEFAULT_TIMEOUT),
                repeat=None,
            )
        except NoReply:
            what = _TIMEOUT_TEXTS.get(command, f"{command} plugin")
            raise NoAnswer(f"No data or timeout on {what} {plugin}") from None


def _words(component: Component) -> dict[str, object]:
    return {
        "id": str(component.id),
        "host": component.host,
        "state": component.state.value,
        "enabled": component.enabled,
        "reason": component.reason,
    }


def listed_components(message: Message, host: str) -> Iterable[Component]:
    """The entries of a `list` answer; one that is not whole ends the reading."""
    pairs = dict(message.body)
    for place in range(MAX_LISTED):
        name, kind = pairs.get(f"plugin{place}-name"), pairs.get(f"plugin{place}-type", "plugin")
        if not name:
            return
        place_of = pairs.get(f"plugin{place}-host", host)
        external = kind != "plugin"
        yield Component(
            id=ComponentId(
                Kind.EXTERNAL if external else Kind.PLUGIN,
                f"{name}.{place_of}" if external else name,
            ),
            host=host,
            state=State.ALIVE if pairs.get(f"plugin{place}-status") == "ON" else State.STOPPED,
            enabled=None if external else True,
            technology=pairs.get(f"plugin{place}-techno", ""),
        )


def read_detail(message: Message, component: Component) -> Detail:
    """A `detail` answer as values; keys whose number has a hole before it are read as well."""
    pairs = dict(message.body)
    numbers = sorted(
        {
            int(name[3:-4])
            for name in pairs
            if name.startswith("cfg") and name.endswith("-key") and name[3:-4].isdecimal()
        }
    )
    description = "".join(
        pairs.get(f"description{place}", "") for place in range(MAX_LISTED)
    ).replace("\\n", "\n")
    described = attrs.evolve(
        component,
        state=State.ALIVE if pairs.get("status") == "ON" else State.STOPPED,
        technology=pairs.get("technology", component.technology),
        version=pairs.get("version") or pairs.get("release") or component.version,
        documentation=pairs.get("documentation", ""),
        description=description,
    )
    if component.id.kind is Kind.EXTERNAL:
        values = tuple(
            (pairs[f"cfg{number}-key"], pairs.get(f"cfg{number}-value", "")) for number in numbers
        )
        return Detail(described, values=values)
    return Detail(described, configuration=tuple(_key(pairs, number) for number in numbers))


def _key(pairs: dict[str, str], number: int) -> ConfigurationKey:
    def value(name: str, otherwise: str = "") -> str:
        return pairs.get(f"cfg{number}-{name}", otherwise)

    default = value("default", "None")
    return ConfigurationKey(
        id=number,
        key=value("key"),
        type=value("type", "string"),
        description=value("desc"),
        default=None if default == "None" else default,
        options=tuple(option for option in value("options").split(",") if option),
        interface=value("int") == "yes",
        optional=value("opt") == "yes",
    )
