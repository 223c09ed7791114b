"""This process's place on xPL: its port, and the hub where it is ours to run."""

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
from domogik.supervisor.ports.listeners import CannotSeeSockets, owners, udp_receivers, words
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
    """What the kernel knows of this host's UDP sockets (`hubplaces.LocalSockets`).

    `children()` are the numbers of the processes that the manager has started.
    """

    _in_thread: Threads
    children: Callable[[], Iterable[int]] = tuple

    def has(self, address: Address) -> bool:
        """Whether one gets what is sent there; True too where the kernel does not say."""
        try:
            return bool(udp_receivers(*address))
        except CannotSeeSockets:
            return True

    async def holders(self, addresses: Collection[Address]) -> Mapping[Address, PortHolder]:
        """Whose they are. Raises `CannotSeeSockets`."""
        ours = frozenset((os.getpid(), *self.children()))
        return await self._in_thread(_holders, addresses, ours)


def _holders(addresses: Collection[Address], ours: frozenset[int]) -> dict[Address, PortHolder]:
    """Blocks for some 0.1 ms an address, and while all processes are looked at."""
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
    """A bus and a port, and a hub in this process unless somebody else's is used."""

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
        """Bind, before the reactor runs; `mode` is `auto`, `embedded` or `external`.

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
        """With the port that is really used."""
        return self.port.settings

    def watch(self, presence: Presence) -> None:
        """Keep an eye on the hub through the heartbeats of that identity."""
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
        """Has the other hub been away from its port since the last look?

        The port is asked and not the heartbeat, which comes back only every five minutes; twice,
        because a hub may be started anew.
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
        """Every identity leaves; then the hub goes."""
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        closed = self.port.stop()
        return closed.addCallback(lambda _: self.hub.stop() if self.hub else succeed(None))

    def counters(self) -> dict[str, float]:
        """What the port and the hub have counted, for `/metrics`."""
        counted = {f"xpl_{name}": value for name, value in attrs.asdict(self.port.counters).items()}
        if self.hub is not None:
            counted |= {f"hub_{name}": value for name, value in self.hub.counters.items()}
        return counted


def _started_hub(
    reactor: IWholeReactor, foundation: Foundation, mode: str, sockets: KernelSockets
) -> Hub | None:
    """Ours, or None where `auto` finds the port taken; raises `HubPortTaken`, `CannotListen`.

    Where any free port will do, the last one is tried first: plugins that outlived a crash send
    there.
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
    """The port of a hub that is not ours; where any free one was asked for, the home says which."""
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
    """One number, for programs that look for us: they read the old one or the new one whole."""
    write_atomically(path, f"{port}\n".encode("ascii"), durable=False)
