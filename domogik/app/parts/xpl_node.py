"""The xPL port of a process, and the hub if this process runs it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from random import Random

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from domogik.app.parts.foundation import CannotStart, Foundation
from domogik.app.reactor import IWholeReactor
from domogik.components.model import State
from domogik.config.files import write_atomically
from domogik.errors import DomogikError
from domogik.supervisor.ports.listeners import owners, udp_receivers, words
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.threads import Threads, threads_of
from domogik.xpl.hub import sockets as hubsocket
from domogik.xpl.hub.clients import PortHolder
from domogik.xpl.hub.forwarding import Hub
from domogik.xpl.hub.sockets import HubPortTaken
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.datagrams import Address
from domogik.xpl.node.port import NetworkSettings, Port
from domogik.xpl.node.presence import Presence

#: seconds between two looks whether another program's hub still has its port
LOOK_EVERY = 30.0


@attrs.define(eq=False)
class KernelSockets:
    """The UDP sockets of this host, read from the kernel.

    `children()` returns the process ids that the manager has started.
    """

    _in_thread: Threads
    children: Callable[[], Iterable[int]] = tuple

    def has(self, address: Address) -> bool:
        """Return whether a socket has that address; True if the kernel does not say."""
        try:
            return bool(udp_receivers(*address))
        except CannotSeeSockets:
            return True

    async def holders(self, addresses: Collection[Address]) -> Mapping[Address, PortHolder]:
        """Return the process that has each address; raises `CannotSeeSockets`."""
        ours = frozenset((os.getpid(), *self.children()))
        return await self._in_thread(_holders, addresses, ours)


def _holders(addresses: Collection[Address], ours: frozenset[int]) -> dict[Address, PortHolder]:
    """Return the holder of each address.

    Blocks, some 0.1 ms an address and a scan of all processes.
    """
    found = {address: udp_receivers(*address) for address in addresses}
    by_inode = owners(one.inode for sockets in found.values() for one in sockets)
    holders = {}
    for address, sockets in found.items():
        for one in sockets[:1]:
            owner = next(iter(by_inode[one.inode]), None)
            number = owner.pid if owner is not None else -1 - one.uid
            text = words(owner, one).removeprefix("held by ")
            holders[address] = PortHolder(number, text, number in ours)
    return holders


@attrs.define(eq=False, kw_only=True)
class XplNode:
    """The bus and the port of this process, and its hub if no other program's is used."""

    _reactor: IWholeReactor
    _foundation: Foundation
    bus: Bus
    port: Port
    hub: Hub | None
    sockets: KernelSockets
    #: another program's hub is used only as long as it is there
    joins: bool
    #: tells how the hub is, at once and whenever that changes
    on_hub: Callable[[State, str], None] = lambda state, reason: None
    #: the hub was full when a program came: called at most once in a while
    on_full: Callable[[], object] = lambda: None
    _log: Logger = Logger()
    _retry: IDelayedCall | None = None
    _presence: Presence | None = None
    _was_free: bool = False

    @classmethod
    def open(cls, reactor: IWholeReactor, foundation: Foundation, mode: str) -> XplNode:
        """Bind the port before the reactor runs; `mode` is `auto`, `embedded` or `external`.

        Raises `CannotStart`.
        """
        run = foundation.home.run
        network = foundation.network
        sockets = KernelSockets(threads_of(reactor))
        try:
            hub = None
            if mode != "external":
                hub = _started_hub(reactor, foundation, mode, sockets)
            if hub is not None:
                network = attrs.evolve(network, xpl_port=hub.port)
            if hub is None:
                network = attrs.evolve(network, xpl_port=_others_port(run, network))
            write_port(run / "xpl.port", network.xpl_port)
            bus = Bus()
            port = Port(reactor, network, bus, Random())
            port.start()
        except (DomogikError, OSError) as error:
            raise CannotStart(str(error)) from error
        joins = hub is None and mode == "auto"
        xpl_node = cls(
            reactor=reactor,
            foundation=foundation,
            bus=bus,
            port=port,
            hub=hub,
            sockets=sockets,
            joins=joins,
        )
        if hub is not None:
            xpl_node._adopt(hub)
        return xpl_node

    def _adopt(self, hub: Hub) -> None:
        hub.attach(self.port)
        hub.on_full = self._hub_is_full
        self.hub = hub

    def _hub_is_full(self) -> None:
        self.on_full()

    @property
    def network(self) -> NetworkSettings:
        """The network settings, with the port that is in use."""
        return self.port.settings

    def watch(self, presence: Presence) -> None:
        """Report the state of the hub by the heartbeats of that presence.

        In mode `auto` this process becomes the hub when the other hub has gone.
        """
        self._presence = presence
        presence.on_hub(self._tell)
        self._tell()
        if self.joins:
            self._retry = self._reactor.callLater(LOOK_EVERY, self._look)

    def _tell(self) -> None:
        if self.hub is not None:
            self.on_hub(State.RUNNING, "")
        elif self._presence is not None and self._presence.hub_found:
            self.on_hub(State.ALIVE, "another program's")
        else:
            self.on_hub(
                State.NOT_RESPONDING,
                f"no hub answers on port {self.network.xpl_port}: start dmg_hub, or free the port",
            )

    def _look(self) -> None:
        """Become the hub if its port was free now and 30 s ago.

        The port is checked because heartbeats come back only every five minutes, and twice because
        the other hub may be restarting.
        """
        self._retry = self._reactor.callLater(LOOK_EVERY, self._look)
        was_free, self._was_free = self._was_free, _is_free(self.network)
        self._tell()
        if not (was_free and self._was_free):
            return
        hub = _hub(self._reactor, self._foundation, self.network, self.sockets)
        try:
            hub.start()
        except DomogikError as error:
            self._log.debug("no hub yet: {error}", error=str(error))
            return
        self._adopt(hub)
        self.joins = False
        self._retry.cancel()
        self._log.info("the other hub is gone: this process is the hub now")
        self._tell()

    def close(self) -> Deferred[None]:
        """End every identity, then the hub; fires when both are closed."""
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        closed = self.port.stop()
        return closed.addCallback(lambda _: self.hub.stop() if self.hub else succeed(None))

    def counters(self) -> dict[str, float]:
        """Return the counters of the port and the hub, for `/metrics`."""
        counted = {f"xpl_{name}": value for name, value in attrs.asdict(self.port.counters).items()}
        if self.hub is not None:
            counted |= {f"hub_{name}": value for name, value in self.hub.counters.items()}
        return counted


def _started_hub(
    reactor: IWholeReactor, foundation: Foundation, mode: str, sockets: KernelSockets
) -> Hub | None:
    """Return a started hub, None if `auto` finds the port taken.

    With `xpl_port` 0 the last port is tried first, since plugins that survived a crash send there.
    Raises `HubPortTaken`, `CannotListen`.
    """
    network = foundation.network
    last = 0 if network.xpl_port else _last_port(foundation.home.run)
    if last:
        hub = _hub(reactor, foundation, attrs.evolve(network, xpl_port=last), sockets)
        try:
            hub.start()
        except DomogikError:
            pass
        else:
            return hub
    hub = _hub(reactor, foundation, network, sockets)
    try:
        hub.start()
    except HubPortTaken:
        if mode == "embedded":
            raise
        return None
    return hub


def _hub(
    reactor: IWholeReactor, foundation: Foundation, network: NetworkSettings, sockets: KernelSockets
) -> Hub:
    return Hub(
        reactor,
        network,
        foundation.home.run / "hub.json",
        foundation.log_directory / "hub-invalid.log",
        wall_clock=time.time,
        host=foundation.settings.hostname,
        local_sockets=sockets,
    )


def _is_free(network: NetworkSettings) -> bool:
    try:
        hubsocket.bind(network).close()
    except DomogikError:
        return False
    return True


def _others_port(run: Path, network: NetworkSettings) -> int:
    """Return the port of another program's hub; with `xpl_port` 0 it is read from the home."""
    port = network.xpl_port or _last_port(run)
    if not port:
        raise CannotStart(
            f"xpl_port is 0 and {run / 'xpl.port'} names no port: start the manager first"
        )
    return port


def _last_port(run: Path) -> int:
    try:
        port = int((run / "xpl.port").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return port if 0 < port < 2**16 else 0


def write_port(path: Path, port: int) -> None:
    """Write a port number atomically, for programs that read the file."""
    write_atomically(path, f"{port}\n".encode("ascii"), durable=False)
