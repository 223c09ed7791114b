"""The heartbeats of plugins, and the pings to those that send none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.errors import OperationFailed
from domogik.manager.plugins.heartbeat_senders import Address, HeartbeatSenders, announced
from domogik.manager.plugins.one_plugin import Plugin
from domogik.manager.plugins.plugins import Plugins
from domogik.supervisor.ports.listeners import listeners, owners
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.xpl.codec.message import CMND, STAT, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.identity import Identity, NoReply
from domogik.xpl.node.presence import REQUEST

#: `status` in a heartbeat of Domogik: 0 looks for the hub, 1 configures itself, 2 is ready
READY = "2"
LOOPBACK = "127.0.0.1"
#: seconds until what was not believed is looked at once more: a process that was started just now
#: may be missing in the process table that is shared
LOOK_TWICE = 0.3

#: finds the UDP addresses that the processes of each plugin have bound
FindAddresses = Callable[[Mapping[str, frozenset[int]]], Awaitable[Mapping[str, list[Address]]]]


@attrs.define(eq=False)
class _Contact:
    """The exchange with one plugin; `address` is the one that its last heartbeat announced."""

    plugin: Plugin
    address: Address | None = None
    ping: Deferred[Message] | None = None
    leaving: list[Deferred[None]] = attrs.field(factory=list)
    second_look: IDelayedCall | None = None


@attrs.define(eq=False, kw_only=True)
class PluginPings:
    """Tells the supervisor which plugins of this host are alive, silent or leaving.

    Of a plugin that the manager started only a heartbeat of its own processes counts, see
    `HeartbeatSenders`; of one that a person started by hand, any that comes from this host.

    A ping is an `hbeat.request` straight to the port of the plugin's last heartbeat, so that it
    needs neither hub nor network. `timeout_s` is the whole time a ping may take (`-t`), `pause_s`
    the time between two of them (`-w`), None for no background pings. `find` is `udp_addresses`
    in a thread: an adopted plugin that no hub remembers cannot hear a ping by way of the hub, nor
    be heard before its next heartbeat, so it is asked at the UDP ports its processes have bound.
    """

    _clock: IReactorTime
    _identity: Identity
    _bus: Bus
    _plugins: Plugins
    _host: str
    _heartbeat_senders: HeartbeatSenders
    _find: FindAddresses
    _timeout_s: float = 10.0
    _pause_s: float | None = None
    _log: Logger = Logger()
    _contacts: dict[str, _Contact] = attrs.field(init=False, factory=dict)
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    _loop: LoopingCall | None = None

    def start(self) -> None:
        """Start listening, and ping at once, since adopted plugins must be confirmed."""
        for schema, handler in (("hbeat.app", self._beat), ("hbeat.end", self._end)):
            self._subscriptions.append(self._bus.subscribe(handler, type=STAT, schema=schema))
        self.ping_all()
        if self._pause_s is not None:
            self._loop = LoopingCall(self.ping_all)
            self._loop.clock = self._clock
            _ = self._loop.start(self._pause_s, now=False)

    def stop(self) -> None:
        """Cancel all subscriptions and pings."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        while self._subscriptions:
            self._subscriptions.pop().cancel()
        for contact in self._contacts.values():
            for waiting in (contact.ping, contact.second_look, *contact.leaving):
                if waiting is not None:
                    waiting.cancel()

    def ping_all(self) -> None:
        """Ping every plugin that should be up, unless a ping to it is under way."""
        watched = [self._contact(plugin) for plugin in self._plugins.watched()]
        for contact in watched:
            if contact.ping is None:
                self._ping(contact)
        unheard = {
            contact.plugin.name: contact.plugin.pids
            for contact in watched
            if contact.address is None and contact.plugin.is_unheard
        }
        if unheard:
            _ = ensureDeferred(self._seek(unheard)).addErrback(
                lambda failure: self._log.failure("looking for plugins", failure)
            )

    async def _seek(self, unheard: Mapping[str, frozenset[int]]) -> None:
        try:
            found = await self._find(unheard)
        except CannotSeeSockets as error:
            self._log.warn("adopted plugins are heard late: {error}", error=str(error))
            return
        if not self._subscriptions:
            return  # we stopped meanwhile
        for name, addresses in found.items():
            for address in addresses:
                self._identity.send(
                    CMND, "hbeat.request", REQUEST, target=self._source(name), to=address
                )

    def _contact(self, plugin: Plugin) -> _Contact:
        return self._contacts.setdefault(plugin.name, _Contact(plugin))

    def _ping(self, contact: _Contact) -> None:
        """Send a ping; `_beat` ends it when the plugin answers."""
        contact.ping = self._identity.request(
            "hbeat.request",
            REQUEST,
            answer=lambda message: False,
            target=self._source(contact.plugin.name),
            to=contact.address,
            timeout=self._timeout_s,
            repeat=max(1.0, self._timeout_s / 3),
        )
        _ = contact.ping.addErrback(self._unanswered, contact, contact.ping)

    def _unanswered(self, failure: Failure, contact: _Contact, ping: Deferred[Message]) -> None:
        if contact.ping is ping:
            contact.ping = None
        if failure.check(NoReply):
            if contact.plugin.is_by_hand:
                # its end is not seen: when it is heard again, it was started again
                contact.address = None
            contact.plugin.silent()
        elif not failure.check(CancelledError):
            self._log.failure("pinging {name}", failure, name=contact.plugin.name)

    def _source(self, name: str) -> str:
        return f"domogik-{name}.{self._host}"

    def _speaker(self, message: Message) -> _Contact | None:
        """Return the plugin that sent it; None for another host's or another vendor's program."""
        device, _, instance = message.source.removeprefix("domogik-").partition(".")
        plugin = self._plugins.get(device)
        if instance != self._host or plugin is None or message.source != self._source(device):
            return None
        return self._contact(plugin)

    def _beat(self, message: Message, origin: Origin, *, again: bool = False) -> None:
        contact = self._speaker(message)
        if contact is None:
            return
        plugin, address = contact.plugin, announced(message)
        if address is not None and not self._heartbeat_senders.is_own(address[0]):
            address = None
        if not plugin.is_up and address and address == contact.address:
            return  # sent by a process that has ended: none was started by hand
        if plugin.is_up and not plugin.is_by_hand:
            if not self._heartbeat_senders.is_from(plugin, message, origin):
                if not again:
                    self._look_twice(contact, message, origin)
                return
        elif not self._heartbeat_senders.is_here(message, origin):
            return
        if contact.ping is not None:
            contact.ping.cancel()
        if message.get("status", READY) == READY:
            plugin.alive()
        if address is not None and plugin.is_up:
            contact.address = address

    def _look_twice(self, contact: _Contact, message: Message, origin: Origin) -> None:
        def look() -> None:
            contact.second_look = None
            self._beat(message, origin, again=True)

        if contact.second_look is None and origin.ip and self._heartbeat_senders.is_own(origin.ip):
            contact.second_look = self._clock.callLater(LOOK_TWICE, look)

    def _end(self, message: Message, origin: Origin) -> None:
        contact = self._speaker(message)
        if contact is None:
            return
        plugin = contact.plugin
        if plugin.is_by_hand:
            believed = self._heartbeat_senders.is_here(message, origin)
        else:
            believed = self._heartbeat_senders.is_from(plugin, message, origin)
            believed = believed or self._heartbeat_senders.is_last_word(
                message, origin, contact.address
            )
        if not believed:
            return
        plugin.sockets, contact.address = frozenset(), None
        plugin.left()
        leaving, contact.leaving = contact.leaving, []
        for one in leaving:
            one.callback(None)

    async def stop_by_message(self, name: str) -> None:
        """Ask a plugin that was started by hand to stop; wait until it says that it ends."""
        leaving: Deferred[None] = Deferred()
        contact = self._contact(self._plugins.plugin(name))
        contact.leaving.append(leaving)
        self._identity.send(
            CMND,
            "domogik.system",
            [("command", "stop"), ("host", self._host), ("plugin", name)],
            to=contact.address,
        )
        try:
            await leaving.addTimeout(self._timeout_s, self._clock)
        except (TimeoutError, CancelledError):
            raise OperationFailed(
                f"Component {name} is still running on {self._host}",
                "it was started by hand and does not obey",
            ) from None
        finally:
            if leaving in contact.leaving:
                contact.leaving.remove(leaving)


def udp_addresses(processes: Mapping[str, frozenset[int]]) -> dict[str, list[Address]]:
    """Return the bound IPv4 UDP addresses of each of these sets of processes.

    Blocks for some milliseconds. Raises `CannotSeeSockets`.
    """
    bound = {one.inode: one for one in listeners() if one.kind == "udp4"}
    found = {}
    for name, pids in processes.items():
        its = [bound[inode] for inode, held in owners(bound, among=pids).items() if held]
        found[name] = [
            (LOOPBACK if one.serves("udp4", LOOPBACK) else one.address, one.port) for one in its
        ]
    return found
