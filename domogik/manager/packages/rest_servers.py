"""The addresses of REST servers; orders may name archives only there."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

import attrs

from domogik.errors import NotAllowed
from domogik.packages.descriptor.reference import PackageRef
from domogik.xpl.codec.message import STAT, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.identity import Identity, NoReply
from domogik.xpl.node.presence import REQUEST

#: where REST listens unless `[rest] rest_server_port` or an order says otherwise
REST_PORT = 40405
#: seconds that a REST server has to say that it is there; xPL lets programs wait 6 of them
_PATIENCE_S = 10.0
#: addresses that are remembered; there is one REST server, or two
_REMEMBERED = 64


@attrs.define(eq=False)
class RestServers:
    """The addresses of every `domogik-rest.<host>` that was heard.

    Packages come from repositories and uploads, and REST is what hands them on to other hosts: an
    order that names any other address is refused, whoever gives it.
    """

    _identity: Identity
    _bus: Bus
    _subscription: Subscription | None = None
    _heard: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    #: names of the hosts that have one, the one that was heard last at the end
    _hosts: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    _have_been_asked: bool = False

    def start(self) -> None:
        """Subscribe to heartbeats."""
        self._subscription = self._bus.subscribe(
            self._beat, type=STAT, schema="hbeat.app", source="domogik-rest.*"
        )

    def stop(self) -> None:
        """Cancel the subscription."""
        if self._subscription is not None:
            self._subscription.cancel()

    def _beat(self, message: Message, origin: Origin) -> None:
        """What it says of itself counts too: behind another program's hub the sender is hidden."""
        for address in (message.get("remote-ip"), origin.ip):
            if address:
                self._heard[address] = None
                self._heard.move_to_end(address)
        self._hosts[message.instance] = None
        self._hosts.move_to_end(message.instance)
        for remembered in (self._heard, self._hosts):
            while len(remembered) > _REMEMBERED:
                remembered.popitem(last=False)

    async def host_other_than(self, own: str) -> str | None:
        """The host whose REST was heard last; None where that of `own` was heard, or none.

        Where none was heard, all are asked to speak, once: what is started later says so.
        """
        if not self._hosts and not self._have_been_asked:
            self._have_been_asked = True
            with contextlib.suppress(NoReply):
                await self._ask(_is_rest)
        return None if own in self._hosts else next(reversed(self._hosts), None)

    async def check(self, url: str, ref: PackageRef) -> None:
        """Raises `NotAllowed` unless that is a REST server's address of this archive.

        A REST server that was not heard yet is asked to speak, for we may have been started after
        its last heartbeat.
        """
        path = f"/package/download/{ref.type}/{ref.id}/{ref.release}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if (
            parts.scheme not in ("http", "https")
            or not host
            or port is None
            or "@" in parts.netloc
            or (parts.path.rstrip("/"), parts.query, parts.fragment) != (path, "", "")
            or not await self._is_heard(host)
        ):
            raise NotAllowed(f"url '{url}' not allowed: no domogik-rest was heard there")

    async def _is_heard(self, address: str) -> bool:
        if address in self._heard:
            return True
        try:
            await self._ask(lambda message: self._is_there(message, address))
        except NoReply:
            return address in self._heard
        return True

    async def _ask(self, is_answer: Callable[[Message], bool]) -> None:
        """Have all of them speak until that is the answer; raises `NoReply`."""
        await self._identity.request(
            "hbeat.request", REQUEST, answer=is_answer, timeout=_PATIENCE_S
        )

    def _is_there(self, message: Message, address: str) -> bool:
        return _is_rest(message) and address in (message.get("remote-ip"), *self._heard)


def _is_rest(message: Message) -> bool:
    return (
        message.type == STAT
        and message.schema == "hbeat.app"
        and message.source.startswith("domogik-rest.")
    )
