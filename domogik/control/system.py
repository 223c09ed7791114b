"""`domogik.system` on xPL: start, stop, restart, enable, disable, list, detail, diagnose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.events import Event, EventStream
from domogik.components.model import Component, Kind, State
from domogik.control.access import XplAccess, answer_of
from domogik.control.wording import (
    Body,
    checks_body,
    detail_body,
    escape_value,
    list_body,
)
from domogik.errors import DomogikError, NotAllowed, UnknownComponent, not_running
from domogik.manager.interfaces import IAllHosts
from domogik.manager.local_host import LocalHost
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.table import Context, Operation
from domogik.manager.trust import Trust
from domogik.xpl.codec.message import CMND, TRIG, Message, Pair
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.identity import Identity

#: changes of status within this many seconds share one list
LIST_DELAY = 0.2
#: what is answered where a command says nothing, or names no one host
NO_COMMAND = "No command given"
ONE_HOST = "host must be the name of one host"
#: commands that plugins obey and that get no answer
OF_PLUGINS = ("reload", "dump")
_LISTED = ("component.changed", "component.added", "component.removed")
_ON = frozenset(state.value for state in State if state.is_on)


#: services of the manager that Domogik's messages call like plugins
_CORE = ("rest", "dbmgr")
_PLUGIN = Kind.PLUGIN.value
_SWITCHING = ("enable", "disable")


@attrs.define(eq=False, kw_only=True)
class SystemControl:
    """Answers every `domogik.system` command aimed at this host; sends the list when it changes.

    Whatever a message holds, there is one answer, and it is one that can be sent. Messages for
    other hosts are ignored, but for the detail of an external member that we know.
    """

    _clock: IReactorTime
    _identity: Identity
    _bus: Bus
    _local_host: LocalHost
    _all_hosts: IAllHosts
    _trust: Trust
    _events: EventStream
    _log: Logger = Logger()
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    _pending: IDelayedCall | None = None
    _status_changed: bool = False
    _said: Body | None = None
    _under_way: set[tuple[str, str, str]] = attrs.field(factory=set)
    _unsubscribe: Callable[[], None] = attrs.field(default=lambda: None)
    _access: XplAccess = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._access = XplAccess(self._clock, self._trust)

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
        data = event.data
        if event.type not in _LISTED or data.get("host") != self._local_host.host:
            return
        if event.type == "component.changed" and (
            (data.get("state") in _ON) is not (data.get("previous") in _ON)
        ):
            # It is told even if it is as before when the list is sent: it fell and came back.
            self._status_changed = True
        if self._pending is None or not self._pending.active():
            self._pending = self._clock.callLater(LIST_DELAY, self._send_if_new)

    def _send_if_new(self) -> None:
        if self._status_changed or self._list() != self._said:
            self._send_list()

    def _send_waiting_list(self) -> None:
        """Who hears that an order is done may have read the list by the next turn."""
        if self._pending is not None and self._pending.active():
            self._pending.cancel()
            self._send_if_new()

    def _send_list(self) -> None:
        self._status_changed = False
        self._said = self._list()
        self._send(self._said)

    def _list(self) -> Body:
        return list_body(self._local_host.host, self._local_host.components.all())

    # Commands

    def _command(self, message: Message, origin: Origin) -> Deferred[None] | None:
        if not self._identity.is_for_me(message):
            return None
        own = self._local_host.host
        host = message.get("host") or "*"
        command = message.get("command") or ""
        kind, name = _meant(message)
        if command in OF_PLUGINS:
            return None
        if command == "list":
            if host in (own, "*"):
                self._send_list()
        elif host == "*" or (not command and host == own):
            self._answer(command, kind, name, ONE_HOST if command else NO_COMMAND)
        elif command == "detail":
            self._detail(kind, name, host)
        elif host != own:
            return None
        elif command == "diagnose":
            return Deferred.fromCoroutine(self._diagnose(kind, name))
        elif (operation := _operation(command)) is not None:
            return Deferred.fromCoroutine(self._change(operation, message, origin))
        else:
            self._answer(command, kind, name, f"Unknown command '{command}'")
        return None

    async def _change(self, operation: Operation, message: Message, origin: Origin) -> None:
        (kind, name), command = _meant(message), _command(operation)
        allow = partial(self._access.check, f"{command} {name}", origin)
        context = Context(self._all_hosts, allow=allow)
        try:
            allow(operation.right)
        except NotAllowed as error:
            self._answer(command, kind, name, error)
            return
        if (command, kind, name) in self._under_way:
            return  # it has its answer when that is done
        self._under_way.add((command, kind, name))
        try:
            if (command, kind, name) == ("stop", _PLUGIN, "*"):
                await self._stop_all(context, operation)
            else:
                await self._obey(context, operation, kind, name, message)
        finally:
            self._under_way.discard((command, kind, name))

    async def _stop_all(self, context: Context, operation: Operation) -> None:
        """What an init script sends; each plugin obeys it by itself, too, and has its answer."""
        plugins = self._local_host.plugins
        names = [
            entry.name
            for entry in self._local_host.components.all()
            if entry.id.kind is Kind.PLUGIN and plugins.is_up(entry.name)
        ]
        if not names:
            error = not_running("*", self._local_host.host)
            self._answer("stop", _PLUGIN, "*", error)
        await gatherResults(
            Deferred.fromCoroutine(self._obey(context, operation, _PLUGIN, name)) for name in names
        )

    async def _obey(
        self,
        context: Context,
        operation: Operation,
        kind: str,
        name: str,
        message: Message | None = None,
    ) -> None:
        command, host = _command(operation), self._local_host.host
        words = {} if message is None else dict(message.body)
        given = {one.name: words[one.name] for one in operation.parameters if one.name in words}
        find = partial(self._target, command, kind, name)

        async def work() -> Body:
            answer = await operation.order(context, given, find=find).begin()
            said = operation.answer.json(answer) if operation.xpl else {}
            return [(key, escape_value(str(said[key]))) for key in operation.xpl or ()]

        more, error = await answer_of(self._log, f"{command} {name}", host, work())
        self._send_waiting_list()
        self._answer(command, kind, name, error, more)

    def _target(self, command: str, kind: str, name: str) -> Component:
        """What is meant; a disabled plugin is unknown here, but for enabling it or while it is up.

        Raises `UnknownComponent` with the text that Domogik's clients know.
        """
        unknown = UnknownComponent.named(name, self._local_host.host)
        bare = name if kind == _PLUGIN else name.removeprefix(f"{kind}:")
        meant = Kind.CORE if kind == _PLUGIN and name in _CORE else Kind.of(kind)
        found = self._local_host.kinds.get(meant)
        if found is None or not found.kind.orders or (meant is Kind.CORE and bare not in _CORE):
            raise unknown
        full = f"{kind}:{bare}"
        component = found.find(full if found.knows(full) else bare)
        is_off = meant is Kind.PLUGIN and not component.enabled
        if is_off and command not in _SWITCHING and not self._local_host.plugins.is_up(name):
            raise unknown
        return component

    def _answer(
        self, command: str, kind: str, name: str, error: object, more: Iterable[Pair] = ()
    ) -> None:
        """In the order of the released manager, which differed from command to command."""
        head = [("command", escape_value(command))] if command else []
        head.append(("host", self._local_host.host))
        is_unknown = isinstance(error, UnknownComponent) and command != "diagnose"
        is_stopped = command == "stop" and not error
        if command in ("start", "restart", "detail") or is_unknown or is_stopped:
            head.reverse()
        body = [*head, *_named(kind, name), *more]
        if error:
            body.append(("error", escape_value(str(error))))
        self._send(body)

    def _send(self, body: Body) -> None:
        self._identity.send(TRIG, "domogik.system", body)

    # Diagnosis

    async def _diagnose(self, kind: str, name: str) -> None:
        """Of one component, or of everything where none is named; for whoever may read a list."""
        is_all = name.removeprefix(f"{Kind.HOST.value}:") == "*"
        given = name if name.startswith(f"{kind}:") else f"{kind}:{name}"
        host = self._local_host.host

        async def work() -> Body:
            found, asked = self._local_host.kinds.get(Kind.of(kind)), given
            if found is not None and found.knows(given) and not is_all:
                asked = str(found.find(given).id)
            return checks_body(await self._local_host.health.diagnose(None if is_all else asked))

        body, error = await answer_of(self._log, f"diagnose {name}", host, work())
        if error is not None:
            self._answer("diagnose", kind, name, error)
        else:
            self._send([("command", "diagnose"), ("host", host), *_named(kind, name), *body])

    # Detail

    def _detail(self, kind: str, name: str, host: str) -> None:
        try:
            component = self._external(name, host) if kind == _PLUGIN else None
            if component is None:
                if host != self._local_host.host:
                    return
                component = self._target("detail", kind, name)
        except DomogikError as failure:
            self._answer("detail", kind, name, failure)
            return
        kind_of = self._local_host.kind_of(component)
        self._send(detail_body(kind_of.detail(component), name))

    def _external(self, name: str, host: str) -> Component | None:
        """By its model, or by the name it was heard with before its model was known."""
        for component in self._local_host.components.all():
            if component.is_member(name, host):
                return component
        return None


def _operation(command: str) -> Operation | None:
    """The operation on a component that a command means."""
    found = TABLE.get(f"component.{command}")
    return None if found is None or found.xpl is None else found


def _command(operation: Operation) -> str:
    return operation.name.removeprefix("component.")


def _meant(message: Message) -> tuple[str, str]:
    """The kind and the name of what it is about, as it says them."""
    return message.get("type") or _PLUGIN, message.get("plugin") or "*"


def _named(kind: str, name: str) -> Body:
    """What an answer is about; of plugins as Domogik has always said it."""
    typed = [] if kind == _PLUGIN else [("type", escape_value(kind))]
    return [*typed, ("plugin", escape_value(name))]
