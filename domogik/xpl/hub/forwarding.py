"""The xPL hub: every message to every program of this computer, its bytes unchanged.

Where the peers and the texts of the protocol disagree, this hub does the following.

- A client is made by `hbeat.app` or `config.app`, from `port` and `remote-ip` of the body, not from
  where the datagram came from; `hbeat.basic` is for devices that need no hub.
- The datagram must have been *sent* on this computer as well. Otherwise any host of the network
  could make the hub send to ports of its choice, or end our clients in their name.
- An end removes before it is forwarded: who ends has usually closed its socket. The port stays as
  long as another source is heard from it.
- A client is new only where a socket of this computer has its port, which the kernel says; a client
  that the last hub had and whose port nobody has is not taken over.
- A port that refuses is not dropped early: only silence or an end removes a client. A program that
  is being started again on its old port must not find itself forgotten.
- Well-formed is what our codec reads, leniently: odd ids, hop counts, CR LF and upper case are
  their receivers' affair.
- The hub has no identity of its own and sends no heartbeat. The one message it makes is the
  `hbeat.request` to clients taken over from the last hub; its source is `domogik-hub.<host>`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.codec.message import CMND, InvalidMessage, Message
from domogik.xpl.hub import sockets as hubsocket
from domogik.xpl.hub import state as hubstate
from domogik.xpl.hub.clients import (
    ClientTable,
    HeardDevice,
    HubClient,
    PlaceRefused,
    Receiver,
    Refusal,
    read_interval,
    read_port,
)
from domogik.xpl.hub.invalid import InvalidLog
from domogik.xpl.hub.places import HubPlaces, LocalSockets, Newcomer
from domogik.xpl.hub.sockets import CannotListen, HubPortTaken, LocalAddresses, Sockets
from domogik.xpl.node.datagrams import Address
from domogik.xpl.node.port import NetworkSettings
from domogik.xpl.node.presence import REQUEST

__all__ = ["CannotListen", "HeardDevice", "Hub", "HubClient", "HubPortTaken"]

log = Logger()

_ID = rb"[a-z0-9_]{1,64}-[a-z0-9_-]{1,64}\.[a-z0-9_.-]{1,64}"
#: The shape of nearly every message there is: a part of what the codec reads, in a tenth of its
#: time. Possessive, so nothing is tried twice. Group 1: the schemas that concern the hub itself.
_SHAPE = re.compile(
    rb"xpl-(?:cmnd|stat|trig)\n\{\n"
    rb"hop=[0-9]{1,3}\nsource=" + _ID + rb"\ntarget=(?:\*|" + _ID + rb")\n\}\n"
    rb"(?:((?:hbeat|config)\.(?:app|end))|[a-z0-9_-]{1,64}\.[a-z0-9_.-]{1,64})\n\{\n"
    rb"(?:[ -<>-|~]{1,64}+=[^\n]*+\n)*+\}(?:\n|\Z)"
)
_PRESENCE = frozenset({"hbeat.app", "config.app", "hbeat.end", "config.end"})

#: seconds: silent clients are looked for this often (the protocol's minute)
CHECK_EVERY = 60.0


class AttachedPort(Protocol):
    """A client in this process: `domogik.xpl.node.port.Port`."""

    @property
    def address(self) -> Address: ...

    def received(self, data: bytes, address: Address) -> object: ...


@attrs.define(eq=False)
class _Attached:
    port: AttachedPort
    forwarded: int = 0
    errors: int = 0

    def has(self, address: Address, any_ip: bool) -> bool:
        """Whether datagrams to `address` reach it; `any_ip`: it is bound to all of them."""
        try:
            ip, port = self.port.address
        except RuntimeError:  # it is not started, or stopped
            return False
        return address[1] == port and (any_ip or address[0] == ip)


@attrs.define
class _Counts:
    received: int = 0
    forwarded: int = 0
    invalid: int = 0
    send_errors: int = 0
    registered: int = 0
    refused: int = 0
    ended: int = 0
    expired: int = 0


@attrs.define(eq=False)
class Hub:
    """Listens where `settings` say and forwards to every client, the sender included.

    `state` is where the client table is kept, `invalid_log` where datagrams are written down that
    are no messages. `wall_clock` gives Unix time; `monotonic` is a clock that nobody sets.
    """

    _reactor: IReactorTime
    _settings: NetworkSettings
    _state: Path
    _invalid_log: Path
    _wall_clock: Callable[[], float] = attrs.field(kw_only=True)
    _local_addresses: Callable[[str], bool] = attrs.field(kw_only=True, factory=LocalAddresses)
    _monotonic: Callable[[], float] = attrs.field(kw_only=True, default=time.monotonic)
    #: the instance part of the source of our `hbeat.request`
    _host: str = attrs.field(kw_only=True, default="localhost")
    _bind: Callable[[NetworkSettings], Sockets] = attrs.field(kw_only=True, default=hubsocket.bind)
    #: None: the kernel is not asked, and every heartbeat is believed
    _local_sockets: LocalSockets | None = attrs.field(kw_only=True, default=None)
    #: called when a newcomer finds no place, at most once in a while
    on_full: Callable[[], object] = attrs.field(kw_only=True, default=lambda: None)

    _sockets: Sockets | None = attrs.field(init=False, default=None)
    _send: Callable[[bytes, Address], int] = attrs.field(init=False)
    _table: ClientTable = attrs.field(init=False)
    _places: HubPlaces | None = attrs.field(init=False, default=None)
    _invalid: InvalidLog = attrs.field(init=False)
    _attached: list[_Attached] = attrs.field(init=False, factory=list)
    #: the receivers that are sent to: all but the attached ones
    _targets: tuple[Receiver, ...] = attrs.field(init=False, default=())
    _counts: _Counts = attrs.field(init=False, factory=_Counts)
    _tick: IDelayedCall | None = attrs.field(init=False, default=None)
    _file: hubstate.StateFile = attrs.field(init=False)
    #: what was complained of since the last tick: once a minute is enough
    _told: set[object] = attrs.field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self._table = ClientTable(self._monotonic, self._local_addresses)
        self._file = hubstate.StateFile(self._reactor, self._state, self._kept, self._cannot_write)
        self._invalid = InvalidLog(self._reactor, self._invalid_log, self._wall_clock)

    # -- life

    def start(self) -> None:
        """Bind, take over the last hub's clients and ask them for a heartbeat.

        Raises `HubPortTaken`, or `CannotListen` for other reasons; then nothing was changed and it
        may be called again.
        """
        if self._sockets is not None:
            return
        sockets = self._bind(self._settings)
        self._sockets, self._send = sockets, sockets.send
        self._make_table(sockets.port)
        self._take_over()
        sockets.listen(self._reactor, self.received)
        self._tick = self._reactor.callLater(CHECK_EVERY, self._check)
        log.info("the xPL hub listens on UDP port {port}", port=sockets.port)

    def _make_table(self, port: int) -> None:
        local = self._local_sockets
        if local is None:
            self._table = ClientTable(self._monotonic, self._local_addresses, port)
            return
        self._table = ClientTable(self._monotonic, self._local_addresses, port, local.has)
        self._places = HubPlaces(
            clock=self._reactor,
            table=self._table,
            sockets=local,
            admit=self._admit,
            changed=self._changed,
            on_full=self._full,
        )

    def stop(self) -> Deferred[None]:
        """Let go of the port and write down what is known; fires when that is done (at once)."""
        if self._sockets is None:
            return succeed(None)
        self._sockets.close()
        self._sockets = None
        if self._places is not None:
            self._places.stop()
        if self._tick is not None:
            self._tick.cancel()
        self._invalid.flush()
        self._file.close()
        return succeed(None)

    def attach(self, port: AttachedPort) -> None:
        """Hand every datagram to this client of our own process by a call, not by UDP.

        `port.received(data, sender)` is called after the others have been sent to. Its heartbeats
        list it as a client like any other.
        """
        self._attached.append(_Attached(port))
        self._retarget()

    # -- what can be seen

    @property
    def port(self) -> int:
        """The number the hub listens on; 0 when it does not."""
        return self._sockets.port if self._sockets is not None else 0

    @property
    def clients(self) -> tuple[HubClient, ...]:
        """The programs that get a copy of everything, in order of registration."""
        return tuple(map(self._seen, self._table))

    @property
    def fullness(self) -> str:
        """Say that a newcomer found no place lately, and which program has most; else empty."""
        return self._places.sentence if self._places is not None else ""

    @property
    def counters(self) -> dict[str, int]:
        """Datagrams since this hub was made, and how it stands.

        `received`, of these `invalid`; `forwarded` (copies handed on), `send_errors`; sources
        `registered`, `refused`, `ended`, `expired`; `clients` now; `receive_buffer_bytes` as
        granted; `dropped` by the kernel since the sockets were bound.
        """
        counters: dict[str, int] = attrs.asdict(self._counts)
        counters["clients"] = len(self._table)
        sockets = self._sockets
        counters["receive_buffer_bytes"] = sockets.receive_buffer_bytes if sockets else 0
        counters["dropped"] = sockets.dropped if sockets else 0
        return counters

    # -- forwarding

    def received(self, data: bytes, sender: Address) -> None:
        """A datagram: forward it, or write it down as none of ours."""
        counts = self._counts
        counts.received += 1
        shape = _SHAPE.match(data)
        if (shape is None or shape.lastindex) and not self._read(data, sender):
            return
        send, targets = self._send, self._targets
        for target in targets:
            try:
                send(data, target.address)
                target.forwarded += 1
            except OSError as error:
                self._send_failed(target, error)
                counts.forwarded -= 1
        counts.forwarded += len(targets)
        for attached in tuple(self._attached):
            self._hand_over(attached, data, sender)

    def _send_failed(self, target: Receiver, error: OSError) -> None:
        target.errors += 1
        self._counts.send_errors += 1
        self._complain(
            target.address,
            "cannot send to {address}: {error}",
            address=target.address,
            error=error,
        )

    def _hand_over(self, attached: _Attached, data: bytes, sender: Address) -> None:
        try:
            attached.port.received(data, sender)
        except Exception:  # noqa: BLE001 - a door: one client's fault is not the others'
            attached.errors += 1
            self._counts.send_errors += 1
            log.failure("a client of this process could not take a datagram")
        else:
            attached.forwarded += 1
            self._counts.forwarded += 1

    def _read(self, data: bytes, sender: Address) -> bool:
        """Decode what concerns the hub, or what has no ordinary shape; False: do not forward."""
        try:
            message = decode(data)
        except InvalidMessage as error:
            self._counts.invalid += 1
            self._invalid.record(data, sender, str(error))
            self._complain(
                "invalid",
                "{sender} sent what is not a message: {error} (more in {path})",
                sender=sender,
                error=error,
                path=self._invalid_log,
            )
            return False
        if message.schema in _PRESENCE:
            self._presence(message, sender, data)
        return True

    # -- clients

    def _presence(self, message: Message, sender: Address, data: bytes) -> None:
        source = message.source
        try:
            if not (sender[0].startswith("127.") or self._local_addresses(sender[0])):
                raise PlaceRefused(Refusal.STRANGER)
            address = (message.get("remote-ip") or "").strip()
            port = read_port(message.get("port"))
            if message.schema.endswith(".end"):
                if self._table.leave(address, port, source):
                    self._counts.ended += 1
                    self._changed()
                return
            interval = read_interval(message.get("interval"))
            self._register((address, port), Newcomer(source, interval, data))
        except PlaceRefused as refused:
            self._refuse(refused.refusal, sender, source)

    def _register(self, address: Address, client: Newcomer) -> None:
        """Raises `PlaceRefused`."""
        try:
            is_new = self._table.register(*address, client.source, client.interval)
        except PlaceRefused as refused:
            if refused.refusal is Refusal.TOO_MANY_CLIENTS and self._places is not None:
                self._places.wait(address, client)
            raise
        if is_new:
            self._counts.registered += 1
            self._changed()
        self._file.is_stale = True

    def _full(self) -> None:
        self.on_full()

    def _admit(self, address: Address, client: Newcomer) -> None:
        """A heartbeat that found no place at first: the client has its echo now."""
        try:
            self._register(address, client)
            self._send(client.data, address)
        except (PlaceRefused, OSError) as error:
            log.info("{source} finds no place: {error}", source=client.source, error=error)

    def _refuse(self, refusal: Refusal, sender: Address, source: str) -> None:
        """Count it.

        Heartbeats of other computers pass here all day, and some programs only send: they are no
        complaint.
        """
        self._counts.refused += 1
        if refusal not in (Refusal.STRANGER, Refusal.NOT_HERE, Refusal.NO_SOCKET):
            self._complain(
                refusal,
                "the heartbeat of {source}, sent by {sender}, is not obeyed: {refusal}",
                source=source,
                sender=sender,
                refusal=refusal.value,
            )

    def _check(self) -> None:
        self._tick = self._reactor.callLater(CHECK_EVERY, self._check)
        self._told.clear()
        silent = self._table.expire()
        for address, name in silent:
            self._counts.expired += 1
            log.info("{source} at {address} is silent: dropped", source=name, address=address)
        if silent:
            self._changed()
        if self._file.is_stale:
            self._file.write()

    def _changed(self) -> None:
        self._retarget()
        self._file.changed()

    def _retarget(self) -> None:
        self._targets = tuple(
            receiver for receiver in self._table if self._attachment(receiver) is None
        )

    def _attachment(self, receiver: Receiver) -> _Attached | None:
        any_ip = self._settings.bind_interface == hubsocket.ANY
        for attached in self._attached:
            if attached.has(receiver.address, any_ip):
                return attached
        return None

    def _seen(self, receiver: Receiver) -> HubClient:
        attached = self._attachment(receiver)
        since = self._wall_clock() - self._monotonic()
        counted = attached or receiver
        return HubClient(
            *receiver.address,
            tuple(
                HeardDevice(name, interval, since + heard)
                for name, (interval, heard) in receiver.sources.items()
            ),
            counted.forwarded,
            counted.errors,
            attached is not None,
        )

    # -- from one hub to the next

    def _take_over(self) -> None:
        try:
            clients = hubstate.load(self._state)
        except (hubstate.BrokenState, OSError) as error:
            log.warn("no clients are taken over: {error}", error=error)
            return
        now = self._wall_clock()
        for client in clients:
            for source in client.sources:
                interval = read_interval(str(source.interval))
                age = max(0.0, now - source.last_heard)  # the clock may have been set back
                try:
                    self._table.register(client.address, client.port, source.name, interval, age)
                except PlaceRefused as refused:
                    log.info(
                        "{source} at {address}:{port} is not taken over: {refused}",
                        source=source.name,
                        address=client.address,
                        port=client.port,
                        refused=refused,
                    )
        self._table.expire()
        self._retarget()
        self._ask_for_heartbeats()

    def _ask_for_heartbeats(self) -> None:
        """Straight to each client: it may have to wait for minutes before its next one is due."""
        source = f"domogik-hub.{self._host}"
        request = encode(Message(CMND, source, "*", schema="hbeat.request", body=REQUEST))
        for target in self._targets:
            log.info("taken over from the last hub: {address}", address=target.address)
            try:
                self._send(request, target.address)
            except OSError as error:
                self._send_failed(target, error)

    def _kept(self) -> list[HubClient]:
        """The clients that are in the file: all but those of this process."""
        return [client for client in self.clients if not client.attached]

    def _cannot_write(self, error: OSError) -> None:
        self._complain("state", "cannot write {path}: {error}", path=self._state, error=error)

    def _complain(self, about: object, format: str, **fields: object) -> None:
        """Warn, but of one thing only once between two ticks: the network decides how often."""
        if about not in self._told:
            self._told.add(about)
            log.warn(format, **fields)
