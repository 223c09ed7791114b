"""`domogik.system` on xPL: start, stop, restart, enable, disable, list, detail."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.events import Event, EventStream
from domogik.components.model import Component, Detail, Kind
from domogik.errors import DomogikError, UnknownComponent
from domogik.manager.office import Office
from domogik.manager.trust import Trust
from domogik.xpl.bus import Bus, Origin, Subscription
from domogik.xpl.message import CMND, TRIG, Message
from domogik.xpl.port import Identity

#: changes of status within this many seconds share one list
LIST_DELAY = 0.2
#: a description is cut every so many characters
DESCRIPTION_PIECE = 500
CHANGING = ("start", "stop", "restart", "enable", "disable")
#: programs of ours that these messages never touch
SYSTEM = ("manager", "dbmgr", "rest")
Body = list[tuple[str, str]]


@attrs.define(eq=False)
class SystemControl:
    """Answers every `domogik.system` command aimed at this host; sends the list when it changes."""

    _clock: IReactorTime
    _identity: Identity
    _bus: Bus
    _office: Office
    _trust: Trust
    _events: EventStream
    _log: Logger = Logger()
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    _pending: IDelayedCall | None = None
    _said: tuple[tuple[str, str], ...] | None = None
    _unsubscribe: Callable[[], None] = attrs.field(default=lambda: None)

    def start(self) -> None:
        """Listen for commands and for changes."""
        self._subscriptions.append(
            self._bus.subscribe(self._command, type=CMND, schema="domogik.system")
        )
        self._unsubscribe = self._events.subscribe(self._changed)

    def stop(self) -> None:
        """Listen no more; a list that waits is sent now."""
        self._unsubscribe()
        for subscription in self._subscriptions:
            subscription.cancel()
        if self._pending is not None and self._pending.active():
            self._pending.cancel()
            self._send_list()

    # Lists

    def _changed(self, event: Event) -> None:
        if event.type not in ("component.changed", "component.added", "component.removed"):
            return
        if event.data.get("host") != self._office.host:
            return
        if self._pending is None or not self._pending.active():
            self._pending = self._clock.callLater(LIST_DELAY, self._send_if_new)

    def _send_if_new(self) -> None:
        if tuple(self._list()) != self._said:
            self._send_list()

    def _send_list(self) -> None:
        body = self._list()
        self._said = tuple(body)
        self._identity.send(TRIG, "domogik.system", body)

    def _list(self) -> Body:
        body: Body = [("command", "list"), ("host", self._office.host)]
        for place, entry in enumerate(self._listed()):
            body += [(f"plugin{place}-{name}", value) for name, value in self._entry(entry)]
        return body

    def _listed(self) -> Iterable[Component]:
        """What Domogik's clients call the list: plugins that are enabled or up, externals."""
        for component in self._office.components.all():
            if component.id.kind is Kind.EXTERNAL or (
                component.id.kind is Kind.PLUGIN and (component.enabled or component.state.is_on)
            ):
                yield component

    def _entry(self, component: Component) -> Body:
        external = component.id.kind is Kind.EXTERNAL
        externals = self._office.externals
        return [
            ("name", externals.model_id(component) if external else component.name),
            ("type", "external" if external else "plugin"),
            ("techno", component.technology or "unknown"),
            ("status", "ON" if component.state.is_on else "OFF"),
            ("host", externals.instance(component) if external else component.host),
        ]

    # Commands

    def _command(self, message: Message, origin: Origin) -> Deferred[None] | None:
        host = message.get("host", "*") or "*"
        command = message.get("command", "") or ""
        own = self._office.host
        if command == "list":
            if host in (own, "*"):
                self._send_list()
            return None
        if command == "detail":
            self._detail(message.get("plugin", "") or "", host)
        elif command in CHANGING and host == own:
            return Deferred.fromCoroutine(self._change(command, message, origin))
        return None

    async def _change(self, command: str, message: Message, origin: Origin) -> None:
        name = message.get("plugin", "*") or "*"
        if name == "*" or name in SYSTEM:
            # `stop plugin=*` is what an old init script sends: the plugins obey it by themselves.
            return
        error = ""
        try:
            if not self._trust.allows(origin.ip):
                self._log.warn(
                    "{command} {name}: not allowed from {ip}",
                    command=command,
                    name=name,
                    ip=origin.ip,
                )
                error = f"Not allowed from {origin.ip}"
            else:
                await self._do(command, self._target(command, message.get("type"), name))
        except DomogikError as failure:
            error = str(failure)
        except Exception:  # noqa: BLE001 - a door: there is always an answer
            self._log.failure("{command} {name}", command=command, name=name)
            error = f"{command} failed on {self._office.host}: its log says why"
        self._answer(command, name, error)

    def _target(self, command: str, kind: str | None, name: str) -> Component:
        """What is meant; a disabled plugin is unknown here, but for enabling it or while it is up.

        Raises `UnknownComponent` with the text that Domogik's clients know.
        """
        if kind in (None, "plugin"):
            component = self._office.plugin(name)
            if component.enabled or component.state.is_on or command in ("enable", "disable"):
                return component
        raise UnknownComponent(f"Component {name} doesn't exists on {self._office.host}")

    async def _do(self, command: str, component: Component) -> None:
        action = {
            "start": self._office.start,
            "stop": self._office.stop,
            "restart": self._office.restart,
            "enable": self._office.enable,
            "disable": self._office.disable,
        }[command]
        await action(component)

    def _answer(self, command: str, name: str, error: str) -> None:
        host = self._office.host
        body: Body = [("command", command), ("host", host), ("plugin", name)]
        if command in ("start", "restart", "detail"):
            # the order that the released manager used for these
            body = [("host", host), ("command", command), ("plugin", name)]
        if error:
            body.append(("error", _one_line(error)))
        self._identity.send(TRIG, "domogik.system", body)

    # Detail

    def _detail(self, name: str, host: str) -> None:
        external = self._external(name, host)
        if external is not None:
            self._send_detail(external, host)
        elif host == self._office.host:
            try:
                self._send_detail(self._office.plugin(name), host)
            except UnknownComponent as failure:
                self._answer("detail", name, str(failure))

    def _external(self, name: str, host: str) -> Component | None:
        externals = self._office.externals
        for component in self._office.components.all():
            if (
                component.id.kind is Kind.EXTERNAL
                and externals.model_id(component) == name
                and externals.instance(component) == host
            ):
                return component
        return None

    def _send_detail(self, component: Component, host: str) -> None:
        detail = self._office.detail(component)
        external = component.id.kind is Kind.EXTERNAL
        name = self._office.externals.model_id(component) if external else component.name
        body: Body = [("command", "detail"), *_configuration(detail)]
        body += [("type", "external" if external else "plugin"), ("plugin", name)]
        body += _description(component.description)
        body += [
            ("technology", component.technology or "unknown"),
            ("status", "ON" if component.state.is_on else "OFF"),
            ("version", component.version or "n/a"),
            ("release", component.version or "n/a"),
            ("documentation", _one_line(component.documentation) or "#"),
            ("host", host),
        ]
        self._identity.send(TRIG, "domogik.system", body)


def _configuration(detail: Detail) -> Iterable[tuple[str, str]]:
    for place, (key, value) in enumerate(detail.values):
        yield f"cfg{place}-id", str(place)
        yield f"cfg{place}-key", key
        yield f"cfg{place}-value", value or "None"
    for entry in detail.configuration:
        start = f"cfg{entry.id}"
        yield f"{start}-key", entry.key
        yield f"{start}-type", entry.type
        yield f"{start}-desc", _one_line(entry.description) or " "
        yield f"{start}-default", entry.default or "None"
        yield f"{start}-int", "yes" if entry.interface else "no"
        if entry.options:
            yield f"{start}-options", ",".join(entry.options)
        if entry.optional:
            yield f"{start}-opt", "yes"


def _description(text: str) -> Iterable[tuple[str, str]]:
    """Cut into pieces; a line break is sent as the two characters that Domogik's clients undo."""
    flat = _one_line(text) or " "
    for place, start in enumerate(range(0, len(flat), DESCRIPTION_PIECE)):
        yield f"description{place}", flat[start : start + DESCRIPTION_PIECE]


def _one_line(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\\n").replace("\r", " ").replace("\t", " ")
