"""`domogik.package` on xPL: lists, dependencies, install and uninstall, udev rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.components.events import Event, EventStream
from domogik.control.access import XplAccess, answer_of
from domogik.control.package_wording import (
    BadCommand,
    InstallCommand,
    asked_dependencies,
    check_body,
    dependency_list,
    install_body,
    list_body,
    package_head,
    rules_list,
    word,
)
from domogik.control.system import NO_COMMAND, ONE_HOST
from domogik.control.wording import Body, escape_value
from domogik.errors import FetchFailed, OperationFailed
from domogik.manager.operations.all import TABLE
from domogik.manager.packages.local import LocalPackages
from domogik.manager.packages.offers import MainHostOffers
from domogik.manager.packages.rest_servers import RestServers
from domogik.manager.trust import Trust
from domogik.packages.repositories.index import UnknownRelease
from domogik.packages.store.installation import Place
from domogik.xpl.codec.message import CMND, TRIG, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.identity import Identity

LIST = "installed-packages-list"


@attrs.define(eq=False, kw_only=True)
class PackageControl:
    """Answers every `domogik.package` command aimed at this host; sends the list when it changes.

    Whatever a message holds, there is one answer, and it is one that can be sent. Messages for
    other hosts are ignored; `host=*`, which a missing host means too, is understood for the list
    only. A command without a host is obeyed only by the manager that it is addressed to.
    """

    _clock: IReactorTime
    _identity: Identity
    _bus: Bus
    _local_host: LocalPackages
    _trust: Trust
    _rests: RestServers
    _elsewhere: MainHostOffers
    _events: EventStream
    _log: Logger = Logger()
    _subscription: Subscription | None = None
    _unsubscribe: Callable[[], None] = attrs.field(default=lambda: None)
    _access: XplAccess = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._access = XplAccess(self._clock, self._trust)

    def start(self) -> None:
        """Listen for commands and for changes, and say what is installed."""
        self._subscription = self._bus.subscribe(self._command, type=CMND, schema="domogik.package")
        self._unsubscribe = self._events.subscribe(self._changed)
        self._send_list()

    def stop(self) -> None:
        """Listen no more."""
        self._unsubscribe()
        if self._subscription is not None:
            self._subscription.cancel()

    def _changed(self, event: Event) -> None:
        if event.type == "packages.changed" and event.data.get("host") == self._local_host.host:
            self._send_list()

    def _send_list(self) -> None:
        self._send(list_body(self._local_host.host, self._local_host.installed()))

    def _send(self, body: Body) -> None:
        self._identity.send(TRIG, "domogik.package", body)

    # Commands

    async def _command(self, message: Message, origin: Origin) -> None:
        if not self._identity.is_for_me(message):
            return
        own = self._local_host.host
        host = message.get("host")
        command = message.get("command") or ""
        if command == LIST:
            if host in (None, "*", own):
                self._send_list()
            return
        is_mine = host == own or (host is None and message.target == self._identity.source)
        answer = _ANSWERS.get(command)
        if host not in (None, "*", own):
            return
        if is_mine and answer is not None:
            await answer(self, message, origin)
            return
        text = NO_COMMAND
        if command:
            text = f"Unknown command '{command}'" if is_mine else ONE_HOST
        asked = [("command", escape_value(command))] if command else []
        self._send([*asked, ("host", own), ("error", escape_value(text))])

    async def _dependencies(self, message: Message, origin: Origin) -> None:
        async def work() -> Body:
            package = self._local_host.package(word(message, "type"), word(message, "id"))
            return dependency_list(package.dependencies)

        await self._about_package("get-dependencies", message, work())

    async def _udev_rules(self, message: Message, origin: Origin) -> None:
        async def work() -> Body:
            package = self._local_host.package(word(message, "type"), word(message, "id"))
            return rules_list(package.udev_rules)

        await self._about_package("get-udev-rules", message, work())

    async def _uninstall(self, message: Message, origin: Origin) -> None:
        async def work() -> Body:
            self._access.check("uninstall", origin, TABLE["package.uninstall"].right)
            type, id = word(message, "type"), word(message, "id")
            _check_host(message)
            with_data = message.get("data") == "yes"
            await self._local_host.uninstall(type, id, with_data=with_data)
            return []

        await self._about_package("uninstall", message, work())

    async def _about_package(self, command: str, message: Message, work: Awaitable[Body]) -> None:
        body, error = await self._result_of(command, work)
        self._send([*package_head(command, self._local_host.host, message, error), *body])

    async def _result_of(self, command: str, work: Awaitable[Body]) -> tuple[Body, str]:
        body, error = await answer_of(self._log, command, self._local_host.host, work)
        return body, "" if error is None else str(error)

    async def _install(self, message: Message, origin: Origin) -> None:
        async def work() -> Body:
            self._access.check("install", origin, TABLE["package.install"].right)
            command = InstallCommand.of(message)
            _check_host(message)
            if command.place is not None:
                await self._rests.check(command.place.url, command.ref)
            elif origin.ip is not None and not self._trust.is_own(origin.ip):
                await self._install_from_sender(command, origin.ip)
                return []
            await self._carry_out(command, command.place)
            return []

        _, error = await self._result_of("install", work())
        self._send(install_body(self._local_host.host, message, error))

    async def _carry_out(self, command: InstallCommand, place: Place | None) -> None:
        await self._local_host.install(command.ref, command.part, place, command.with_dependencies)

    async def _install_from_sender(self, command: InstallCommand, ip: str) -> None:
        """Whose order names no address is asked for the archive; then our own repositories are."""
        ref = command.ref
        path = f"/package/download/{ref.type}/{ref.id}/{ref.release}"
        place = Place(f"http://{ip}:{command.rest_port}{path}")
        try:
            await self._carry_out(command, place)
        except FetchFailed as error:
            try:
                await self._carry_out(command, None)
            except UnknownRelease:
                raise OperationFailed(
                    f"{error}; the order may say where {ref} is with the key url, or rest-port"
                ) from error

    async def _check(self, message: Message, origin: Origin) -> None:
        own = self._local_host.host

        async def work() -> Body:
            asked = asked_dependencies(message)
            states = await self._local_host.check(tuple(asked.values()))
            if message.vendor_device != "domogik-manager":  # one that asks looks itself
                states = await self._elsewhere.complete(states)
            return check_body(own, asked, states)

        body, error = await self._result_of("check-dependencies", work())
        head = [("command", "check-dependencies"), ("host", own)]
        self._send(body or [*head, ("error", escape_value(error))])


def _check_host(message: Message) -> None:
    """What changes something says where; only reading does without. Raises `BadCommand`."""
    if message.get("host") is None:
        raise BadCommand("Missing key 'host'")


_ANSWERS: dict[str, Callable[[PackageControl, Message, Origin], Awaitable[None]]] = {
    "get-dependencies": PackageControl._dependencies,
    "check-dependencies": PackageControl._check,
    "install": PackageControl._install,
    "uninstall": PackageControl._uninstall,
    "get-udev-rules": PackageControl._udev_rules,
}
