"""The packages of other hosts: their lists, and the orders that change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from domogik.components.events import Event, EventStream
from domogik.errors import OperationFailed
from domogik.manager.fleet.asking import Asking
from domogik.manager.fleet.hosts import MAX_HOSTS
from domogik.manager.packages.answers import dependency_states, listed_packages, udev_rules
from domogik.manager.packages.interfaces import InstalledPackage
from domogik.packages.descriptor.package import Dependency, UdevRule
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.store.installation import Place
from domogik.xpl.codec.message import CMND, TRIG, InvalidMessage, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.identity import Identity

SCHEMA = "domogik.package"
LIST = "installed-packages-list"
#: seconds that a host has which is heard: it fetches an archive, over whatever network
ORDER_TIMEOUT = 900.0
#: it may have to ask an index for each of them
CHECK_TIMEOUT = 180.0
DEFAULT_TIMEOUT = 15.0
#: seconds after which a question that is answered at once is asked again
ASK_AGAIN = 5.0
#: seconds after which an order may have been lost: released managers are done or will never be, and
#: ours join the same order to the one that they are at
ORDER_AGAIN = 30.0


@attrs.define(eq=False)
class PackageHosts:
    """The lists that managers send, each of its own host, and orders to those hosts.

    `own` is this host when its manager is in this process, else None: then it is asked like any
    other. Publishes `packages.changed` {host}.
    """

    _identity: Identity
    _bus: Bus
    _events: EventStream
    _asking: Asking
    own: str | None
    #: called with host, type and id of what a host had and has no more
    on_gone: Callable[[str, str, str], None] = attrs.field(init=False, default=lambda *_: None)
    _lists: dict[str, tuple[InstalledPackage, ...]] = attrs.field(factory=dict)
    _subscription: Subscription | None = None
    _unsubscribe: Callable[[], None] = attrs.field(default=lambda: None)

    def start(self) -> None:
        """Start listening, and ask every host for its list."""
        self._subscription = self._bus.subscribe(
            self._listed, type=TRIG, schema=SCHEMA, body={"command": LIST}
        )
        self._unsubscribe = self._events.subscribe(self._host_changed)
        self.ask("*")

    def stop(self) -> None:
        """Cancel the subscriptions."""
        self._unsubscribe()
        if self._subscription is not None:
            self._subscription.cancel()

    def ask(self, host: str) -> None:
        """Ask a host, or with `*` every host, for its list."""
        try:
            self._identity.send(CMND, SCHEMA, [("command", LIST), ("host", host)])
        except InvalidMessage:  # a name that may be read and not be written
            return

    def installed(self, host: str | None = None) -> tuple[InstalledPackage, ...]:
        """What that host, or every other host, last said is installed there."""
        return tuple(
            package
            for name in sorted(self._lists)
            if host in (None, name)
            for package in self._lists[name]
        )

    def _listed(self, message: Message, origin: Origin) -> None:
        host = message.get("host") or ""
        if host == self.own or message.source != f"domogik-manager.{host}":
            return  # only a host's own manager knows what is installed there
        if host not in self._lists and len(self._lists) >= MAX_HOSTS:
            return
        packages = listed_packages(dict(message.body), host)
        before = self._lists.get(host, ())
        if host not in self._lists or before != packages:
            self._lists[host] = packages
            self._events.publish("packages.changed", host=host)
        there = {package.ref.fullname for package in packages}
        for package in before:
            if package.ref.fullname not in there:
                self.on_gone(host, package.ref.type, package.ref.id)

    def _host_changed(self, event: Event) -> None:
        """A host that is back sends its list by itself; but not if we were away meanwhile."""
        host = str(event.data.get("id"))
        if event.type == "host.changed" and event.data.get("on") and host != self.own:
            self.ask(host)

    # Asking

    async def install(
        self,
        host: str,
        ref: PackageRef,
        part: str,
        place: Place | None = None,
        *,
        with_dependencies: bool = False,
    ) -> None:
        """Have that host install one part, from `place`; `OperationFailed`, `NoAnswer`.

        The order is repeated, for a message can be lost.
        """
        body = [
            ("command", "install"),
            ("host", host),
            ("source", "cache"),
            ("type", ref.type),
            ("id", ref.id),
            ("release", ref.release),
            ("version", ref.release),
            ("part", part),
        ]
        body += [("url", place.url)] if place is not None else []
        body += [("sha256", place.sha256)] if place is not None and place.sha256 else []
        body += [("dependencies", "yes")] if with_dependencies else []
        what = "installing package"
        answer = await self._ask(
            body, ("type", "id"), ORDER_TIMEOUT, what, part=part, again_s=ORDER_AGAIN
        )
        _raise_error(answer)

    async def uninstall(self, host: str, type: str, id: str, *, with_data: bool) -> None:
        """Have that host remove a package; `OperationFailed`, `NoAnswer`."""
        body = [("command", "uninstall"), ("host", host), ("type", type), ("id", id)]
        body += [("data", "yes")] if with_data else []
        what = "uninstalling package"
        _raise_error(
            await self._ask(
                body, ("type", "id"), ORDER_TIMEOUT, what, part=None, again_s=ORDER_AGAIN
            )
        )

    async def check(
        self, host: str, dependencies: Sequence[Dependency]
    ) -> tuple[DependencyState, ...]:
        """How they are met there; `NoAnswer`. Older managers take all of them for Python's."""
        body = [("command", "check-dependencies"), ("host", host)]
        for number, one in enumerate(dependencies):
            body.append((f"dep{number}", one.id))
            if one.type != "python":
                body.append((f"dep{number}-type", one.type))
        answer = await self._ask(body, ("dep0",), CHECK_TIMEOUT, "checking dependencies")
        return dependency_states(dict(answer.body), dependencies)

    async def dependencies(self, host: str, type: str, id: str) -> tuple[Dependency, ...]:
        """Those of a package that is installed there; `OperationFailed`, `NoAnswer`."""
        body = [("command", "get-dependencies"), ("host", host), ("type", type), ("id", id)]
        answer = await self._ask(body, ("type", "id"), DEFAULT_TIMEOUT, "getting dependencies")
        _raise_error(answer)
        pairs = dict(answer.body)
        found: list[Dependency] = []
        while f"dep{len(found)}-id" in pairs:
            number = len(found)
            kind = pairs.get(f"dep{number}-type", "python")
            found.append(Dependency(kind, pairs[f"dep{number}-id"]))
        return tuple(found)

    async def udev_rules(self, host: str, type: str, id: str) -> tuple[UdevRule, ...]:
        """Those of a package that is installed there; `OperationFailed`, `NoAnswer`."""
        body = [("command", "get-udev-rules"), ("host", host), ("type", type), ("id", id)]
        answer = await self._ask(body, ("type", "id"), DEFAULT_TIMEOUT, "getting udev rules")
        _raise_error(answer)
        return udev_rules(dict(answer.body))

    async def _ask(
        self,
        body: list[tuple[str, str]],
        same: tuple[str, ...],
        timeout_s: float,
        what: str,
        *,
        part: str | None = None,
        again_s: float | None = None,
    ) -> Message:
        """The first answer to that command from that host in which the keys `same` are as asked.

        Of an installation also the part; released managers do not say it.
        """
        asked = dict(body)
        keys = [name for name in ("command", "host", *same) if name in asked]

        def is_answer(message: Message) -> bool:
            return (
                message.type == TRIG
                and message.schema == SCHEMA
                and message.source == f"domogik-manager.{asked['host']}"
                and all(message.get(name) == asked[name] for name in keys)
                and message.get("part", part) == part
            )

        if timeout_s <= DEFAULT_TIMEOUT:
            again_s = ASK_AGAIN
        return await self._asking.ask(
            asked["host"], what, SCHEMA, body, is_answer, timeout_s=timeout_s, repeat_s=again_s
        )


def _raise_error(answer: Message) -> None:
    error = answer.get("error")
    if error:
        raise OperationFailed(error)
