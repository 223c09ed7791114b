"""The other hosts: which were heard, their components, and requests to their managers."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.components.events import EventStream
from domogik.components.health import DiagnosticCheck
from domogik.components.model import Component, Detail, HostInfo, Kind, State
from domogik.errors import NoAnswer, OperationFailed, UnknownComponent
from domogik.manager.fleet.answers import listed_components, read_checks, read_detail
from domogik.manager.fleet.asking import Asking
from domogik.xpl.codec.message import CMND, STAT, TRIG, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.identity import Identity
from domogik.xpl.node.presence import REQUEST

#: the most hosts; the one that was silent longest is replaced
MAX_HOSTS = 256
#: components of all other hosts together
MAX_COMPONENTS = 5000
#: seconds; and minutes that no heartbeat's interval exceeds (xPL hub specification)
DEFAULT_INTERVAL_S = 300.0
MAX_INTERVAL = 30
#: seconds until a host that is heard all the time is given up: a start waits for the plugin
ORDER_TIMEOUT = 300.0
TIMEOUTS = {"detail": 15.0, "list": 15.0, "diagnose": 60.0}
#: seconds to say how a component is now, after an order was answered
LOOK_TIMEOUT = 3.0
#: seconds after which an order is sent again, for it may be lost; one under way is not begun anew
ORDER_AGAIN = 30.0
#: seconds after which a question that changes nothing is asked again
ASK_AGAIN = 5.0
_TIMEOUT_TEXTS = {"detail": "getting plugin detail for"}
_ONLY_LOOKING = ("detail", "diagnose")
#: what an answer about a plugin or a member may say that it is about
_UNTYPED = (None, Kind.PLUGIN, Kind.EXTERNAL)
_SILENT = "its host is silent"
_STOPPED = "the manager of its host was stopped"


@attrs.define(eq=False)
class _Host:
    """`heard` on the clock, `last_seen` in Unix time; both in seconds, as `interval`."""

    ip: str = ""
    interval: float = DEFAULT_INTERVAL_S
    heard: float = 0.0
    last_seen: float = 0.0
    on: bool = False
    components: tuple[Component, ...] = ()

    @property
    def silent_from(self) -> float:
        return self.heard + 2 * self.interval + 60


@attrs.define(eq=False, kw_only=True)
class Hosts:
    """Known by the messages of their manager; a host that falls silent is kept, as off.

    A host is off when nothing was heard for twice its interval and a minute, or after its
    `hbeat.end`; what runs there is `unknown` then. One timer, for the next to fall silent. A host
    that is asked something and not heard for `patience_s` seconds is waited for no longer.
    """

    _clock: IReactorTime
    _wall_clock: Callable[[], float]
    _identity: Identity
    _bus: Bus
    _events: EventStream
    own: str
    patience_s: float = 10.0
    _log: Logger = Logger()
    asking: Asking = attrs.field(init=False)
    _hosts: dict[str, _Host] = attrs.field(factory=dict)
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    _timer: IDelayedCall | None = None

    @asking.default
    def _its_asking(self) -> Asking:
        return Asking(self._clock, self._identity, self.patience_s)

    def start(self) -> None:
        """Start listening, and ask all managers for their lists."""
        subscribe = self._bus.subscribe
        self._subscriptions = [
            subscribe(self._beat, type=STAT, schema="hbeat.app"),
            subscribe(self._end, type=STAT, schema="hbeat.end"),
            subscribe(self._listed, type=TRIG, schema="domogik.system", body={"command": "list"}),
        ]
        self._identity.send(CMND, "hbeat.request", REQUEST)
        self._identity.send(CMND, "domogik.system", [("command", "list"), ("host", "*")])

    def stop(self) -> None:
        """Cancel all subscriptions and timers."""
        for subscription in self._subscriptions:
            subscription.cancel()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    # What is known

    def is_known(self, host: str) -> bool:
        """Return whether the manager of that host was ever heard."""
        return host in self._hosts

    def known(self) -> tuple[HostInfo, ...]:
        """Return every host that was heard, this one first."""
        names = sorted(self._hosts, key=lambda name: (name != self.own, name))
        return tuple(self._info(name, self._hosts[name]) for name in names)

    def components(self, host: str | None = None) -> tuple[Component, ...]:
        """Return the components that the managers of other hosts, or of `host`, listed last."""
        return tuple(
            component
            for name in sorted(self._hosts)
            if host in (None, name)
            for component in self._hosts[name].components
        )

    def _info(self, name: str, host: _Host) -> HostInfo:
        return HostInfo(
            id=name,
            on=host.on,
            primary=name == self.own,
            ip=host.ip,
            interval=host.interval,
            last_seen=host.last_seen,
        )

    # What is heard

    def _beat(self, message: Message, origin: Origin) -> None:
        if message.vendor_device != "domogik-manager" or not message.instance:
            return
        name = message.instance
        is_new = name not in self._hosts or not self._hosts[name].on
        known = self._heard(name)
        if known is None:
            return
        known.ip = _ip(message) or known.ip
        known.interval = _interval_s(message)
        self._watch(known)
        if is_new and name != self.own:
            self._ask_for_list(name)

    def _end(self, message: Message, origin: Origin) -> None:
        """Believed at once from the host itself; from elsewhere unless it is heard soon."""
        name = message.instance
        known = self._hosts.get(name)
        if known is None or not known.on or message.vendor_device != "domogik-manager":
            return
        if origin.ip == known.ip:
            self._is_off(name, known, _STOPPED)
            self.asking.left(name)
            return
        known.heard = self._clock.seconds() + self.patience_s - 2 * known.interval - 60
        self._watch(known)
        self._identity.send(CMND, "hbeat.request", REQUEST, target=message.source)

    def _listed(self, message: Message, origin: Origin) -> None:
        name = message.get("host") or ""
        if message.source != f"domogik-manager.{name}" or message.source == self._identity.source:
            return  # only a host's own manager knows what runs there; ours needs not be told
        known = self._heard(name)
        if known is None:
            return
        others = sum(len(host.components) for host in self._hosts.values()) - len(known.components)
        listed = listed_components(message, name)[: MAX_COMPONENTS - others]
        before = {one.id: one for one in known.components}
        self._say(name, known, tuple(_known_better(one, before.get(one.id)) for one in listed))

    def _heard(self, name: str) -> _Host | None:
        """Return the host and mark it as on; None if there are too many."""
        known = self._hosts.get(name)
        if known is None:
            if len(self._hosts) >= MAX_HOSTS and not self._make_room():
                return None
            known = self._hosts[name] = _Host()
        known.heard, known.last_seen = self._clock.seconds(), self._wall_clock()
        self.asking.heard(name)
        if not known.on:
            known.on = True
            self._events.publish("host.changed", id=name, on=True)
            self._watch(known)
        return known

    def _make_room(self) -> bool:
        silent = [name for name, host in self._hosts.items() if not host.on]
        if not silent:
            return False
        name = min(silent, key=lambda one: self._hosts[one].heard)
        self._say(name, self._hosts[name], ())
        del self._hosts[name]
        self.asking.forget(name)
        return True

    # What follows

    def _is_off(self, name: str, known: _Host, why: str = _SILENT) -> None:
        known.on = False
        self._events.publish("host.changed", id=name, on=False)
        if name != self.own:
            self._log.warn("{host}: {why}", host=name, why=why)
        unknown = (
            attrs.evolve(component, state=State.UNKNOWN, reason=why, pid=None)
            for component in known.components
        )
        self._say(name, known, tuple(unknown))

    def _say(self, name: str, known: _Host, components: tuple[Component, ...]) -> None:
        """Publish a changed host."""
        before = {component.id: component for component in known.components}
        known.components = components
        for component in components:
            old = before.pop(component.id, None)
            if old is None:
                self._events.publish("component.added", **_words(component))
            elif old != component:
                self._events.publish(
                    "component.changed", previous=old.state.value, **_words(component)
                )
        for component in before.values():
            self._events.publish("component.removed", id=str(component.id), host=name)

    def _watch(self, known: _Host) -> None:
        """Set the timer to the time at which the next host becomes silent."""
        if self._timer is None or not self._timer.active():
            wait = known.silent_from - self._clock.seconds()
            self._timer = self._clock.callLater(max(0.0, wait), self._look)
        elif known.silent_from < self._timer.getTime():
            self._timer.reset(max(0.0, known.silent_from - self._clock.seconds()))

    def _look(self) -> None:
        now = self._clock.seconds()
        for name, known in tuple(self._hosts.items()):
            if known.on and now >= known.silent_from:
                self._is_off(name, known)
        for known in self._hosts.values():
            if known.on:
                self._watch(known)

    # Asking

    def _ask_for_list(self, host: str) -> None:
        """Ask a host for its list, repeatedly, since datagrams can be lost."""
        asked = self.asking.ask(
            host,
            "getting plugin list",
            "domogik.system",
            [("command", "list"), ("host", host)],
            lambda message: (
                message.schema == "domogik.system"
                and message.get("command") == "list"
                and message.get("host") == host
                and message.type == TRIG
            ),
            timeout_s=TIMEOUTS["list"],
            repeat_s=ASK_AGAIN,
        )
        _ = Deferred.fromCoroutine(asked).addErrback(self._not_listed, host)

    def _not_listed(self, failure: Failure, host: str) -> None:
        """It is asked again when it is heard again; a name that cannot be said never."""
        failure.trap(NoAnswer, OperationFailed)
        self._log.debug("{host} does not say what runs there", host=host)

    async def command(self, host: str, command: str, name: str, kind: Kind = Kind.PLUGIN) -> None:
        """Send a command to that host's manager; raises `OperationFailed` or `NoAnswer`."""
        answer = await self._ask(host, command, kind, name)
        error = answer.get("error")
        if error:
            raise self._refused(error, host, name)

    def _refused(self, error: str, host: str, name: str, before: str = "") -> OperationFailed:
        """Return the error in the answer, with similar names for an unknown one."""
        unknown = UnknownComponent.named(name, host, (str(one.id) for one in self.components(host)))
        plain = unknown.plain if error == str(unknown) else ""
        return OperationFailed(f"{before}{error}", plain=plain)

    async def detail(self, component: Component, timeout_s: float | None = None) -> Detail:
        """Return the detail from the component's manager; raises `OperationFailed`, `NoAnswer`."""
        name, host = component.name_and_host
        kind = component.id.kind
        answer = await self._ask(
            host, "detail", kind, name, manager=component.host, timeout_s=timeout_s
        )
        error = answer.get("error")
        if error:
            raise self._refused(error, component.host, name, "Error on detail request : ")
        return read_detail(answer, component)

    async def diagnose(self, component: Component) -> tuple[DiagnosticCheck, ...]:
        """Return the checks of a component from its manager; `OperationFailed`, `NoAnswer`."""
        kind = component.id.kind
        return await self._diagnose(component.host, kind, component.name)

    async def diagnose_all(self, host: str) -> tuple[DiagnosticCheck, ...]:
        """Have that host's manager look at everything there; `OperationFailed`, `NoAnswer`."""
        return await self._diagnose(host, Kind.HOST, "*")

    async def _diagnose(self, host: str, kind: Kind, name: str) -> tuple[DiagnosticCheck, ...]:
        answer = await self._ask(host, "diagnose", kind, name)
        error = answer.get("error")
        if error:
            raise OperationFailed(error)
        return read_checks(answer)

    async def look(self, component: Component) -> Component:
        """Ask its manager for the component's state, and store it; raises `NoAnswer`.

        A component that the manager does not know any more is disabled.
        """
        try:
            found = (await self.detail(component, LOOK_TIMEOUT)).component
        except OperationFailed:
            found = attrs.evolve(component, state=State.DISABLED, enabled=False, pid=None)
        known = self._hosts.get(component.host)
        if known is not None:
            others = [one for one in known.components if one.id != found.id]
            self._say(component.host, known, (*others, found))
        return found

    async def _ask(
        self,
        host: str,
        command: str,
        kind: Kind,
        name: str,
        *,
        manager: str | None = None,
        timeout_s: float | None = None,
    ) -> Message:
        """Of a plugin as Domogik always did it; anything else by its whole id.

        A plugin that has the name of a daemon must not take the order for its own. External
        members have no type where Domogik knew them already.
        """
        is_typed = kind is not Kind.PLUGIN and (kind is not Kind.EXTERNAL or command == "diagnose")
        plugin = f"{kind.value}:{name}" if is_typed else name
        typed = [("type", kind.value)] if is_typed else []

        def is_answer(message: Message) -> bool:
            return (
                message.type == TRIG
                and message.schema == "domogik.system"
                and message.get("command") == command
                and message.get("host") == host
                and message.get("plugin", message.get("name")) in (plugin, name)
                and (not is_typed or message.get("type") == kind.value)
                and (is_typed or Kind.of(message.get("type") or "") in _UNTYPED)
            )

        word = kind.value if is_typed else "plugin"
        what = _TIMEOUT_TEXTS.get(command, f"{command} {word}")
        return await self.asking.ask(
            manager or host,
            f"{what} {name}",
            "domogik.system",
            [("command", command), ("host", host), *typed, ("plugin", plugin)],
            is_answer,
            timeout_s=timeout_s or TIMEOUTS.get(command, ORDER_TIMEOUT),
            repeat_s=min(ASK_AGAIN, (timeout_s or ASK_AGAIN) / 3)
            if command in _ONLY_LOOKING
            else ORDER_AGAIN,
        )


def _known_better(listed: Component, known: Component | None) -> Component:
    """A list says only whether it is on: what was told in detail counts until that is different."""
    if known is None or known.state is State.UNKNOWN or listed.state.is_on != known.state.is_on:
        return listed
    return attrs.evolve(known, technology=listed.technology, enabled=listed.enabled)


def _words(component: Component) -> dict[str, object]:
    return {
        "id": str(component.id),
        "host": component.host,
        "state": component.state.value,
        "enabled": component.enabled,
        "reason": component.reason,
    }


def _ip(message: Message) -> str:
    """Return the announced address; empty if it is invalid."""
    try:
        return str(IPv4Address(message.get("remote-ip") or ""))
    except ValueError:
        return ""


def _interval_s(message: Message) -> float:
    """Return the interval of a heartbeat in seconds; an invalid one counts as the default."""
    text = message.get("interval") or ""
    if not text.isascii() or not text.isdigit() or int(text[:4]) == 0:
        return DEFAULT_INTERVAL_S
    return min(int(text[:4]), MAX_INTERVAL) * 60.0
