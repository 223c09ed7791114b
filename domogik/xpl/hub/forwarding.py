"""The xPL hub: forwards every message, unchanged, to every program of this computer.

Where other hubs and the specification differ, this hub behaves as follows.

- A client is registered by `hbeat.app` or `config.app`, with `port` and `remote-ip` of the body,
  not with the sender's address; `hbeat.basic` is for devices that need no hub.
- The datagram must have been *sent* on this computer as well. Otherwise any host of the network
  could make the hub send to arbitrary ports, or remove clients.
- An end removes the source before it is forwarded, since the program has usually closed its
  socket. The client stays as long as another source uses its port.
- A new client must have a socket of this computer, as the kernel reports; a client of the previous
  hub without a socket is not restored.
- A port that refuses datagrams stays registered until it is silent or sends an end: the program
  may be restarting on its old port.
- A message is valid if our codec reads it leniently: odd ids, hop counts, CR LF and upper case are
  left to the receivers.
- The hub has no identity and sends no heartbeat. Its only message is the `hbeat.request` to
  clients restored from the previous hub, with the source `domogik-hub.<host>`.
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
    Receiver,
    Refusal,
    RegistrationRefused,
    read_interval,
    read_port,
)
from domogik.xpl.hub.invalid import InvalidLog
from domogik.xpl.hub.slots import ClientSlots, LocalSockets, PendingClient
from domogik.xpl.hub.sockets import LocalAddresses, Sockets
from domogik.xpl.node.datagrams import Address
from domogik.xpl.node.port import NetworkSettings
from domogik.xpl.node.presence import REQUEST

log = Logger()

_ID = rb"[a-z0-9_]{1,64}-[a-z0-9_-]{1,64}\.[a-z0-9_.-]{1,64}"
#: Matches nearly all messages in a tenth of the codec's time. Possessive, so nothing is tried
#: twice. Group 1: the schemas that the hub has to read itself.
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
    """A client in this process, such as `domogik.xpl.node.port.Port`."""

    @property
    def address(self) -> Address: ...

    def received(self, data: bytes, address: Address) -> object: ...


@attrs.define(eq=False)
class _Attached:
    port: AttachedPort
    forwarded: int = 0
    errors: int = 0

    def has(self, address: Address, any_ip: bool) -> bool:
        """Return whether datagrams to `address` reach it; with `any_ip` only ports are compared."""
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
    """Listens as in `settings` and forwards to every client, the sender included.

    `state` is the file of the client table, `invalid_log` that of invalid datagrams. `wall_clock`
    returns Unix time; `monotonic` is a monotonic clock.
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
    #: None: no heartbeat is checked against the sockets of this computer
    _local_sockets: LocalSockets | None = attrs.field(kw_only=True, default=None)
    #: called when a new client is refused because the table is full, once in `FULL_FOR` seconds
    on_full: Callable[[], object] = attrs.field(kw_only=True, default=lambda: None)

    _sockets: Sockets | None = attrs.field(init=False, default=None)
    _send: Callable[[bytes, Address], int] = attrs.field(init=False)
    _table: ClientTable = attrs.field(init=False)
    _slots: ClientSlots | None = attrs.field(init=False, default=None)
    _invalid: InvalidLog = attrs.field(init=False)
    _attached: list[_Attached] = attrs.field(init=False, factory=list)
    #: the receivers that are sent to: all but the attached ones
    _targets: tuple[Receiver, ...] = attrs.field(init=False, default=())
    _counts: _Counts = attrs.field(init=False, factory=_Counts)
    _tick: IDelayedCall | None = attrs.field(init=False, default=None)
    _file: hubstate.StateFile = attrs.field(init=False)
    #: subjects that were logged since the last check, so that each is logged once a minute
    _logged: set[object] = attrs.field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self._table = ClientTable(self._monotonic, self._local_addresses)
        self._file = hubstate.StateFile(
            self._reactor, self._state, self._saved_clients, self._cannot_write
        )
        self._invalid = InvalidLog(self._reactor, self._invalid_log, self._wall_clock)

    # -- start and stop

    def start(self) -> None:
        """Bind, restore the clients of the previous hub and ask them for a heartbeat.

        Raises `HubPortTaken`, or `CannotListen` for other reasons; it may be called again then.
        """
        if self._sockets is not None:
            return
        sockets = self._bind(self._settings)
        self._sockets, self._send = sockets, sockets.send
        self._make_table(sockets.port)
        self._restore_clients()
        sockets.listen(self._reactor, self.received)
        self._tick = self._reactor.callLater(CHECK_EVERY, self._check)
        log.info("the xPL hub listens on UDP port {port}", port=sockets.port)

    def _make_table(self, port: int) -> None:
        local = self._local_sockets
        if local is None:
            self._table = ClientTable(self._monotonic, self._local_addresses, port)
            return
        self._table = ClientTable(self._monotonic, self._local_addresses, port, local.has)
        self._slots = ClientSlots(
            clock=self._reactor,
            table=self._table,
            sockets=local,
            admit=self._admit,
            changed=self._changed,
            on_full=self._on_full,
        )

    def stop(self) -> Deferred[None]:
        """Close the port and save the clients; the Deferred fires when that is done (at once)."""
        if self._sockets is None:
            return succeed(None)
        self._sockets.close()
        self._sockets = None
        if self._slots is not None:
            self._slots.stop()
        if self._tick is not None:
            self._tick.cancel()
        self._invalid.flush()
        self._file.close()
        return succeed(None)

    def attach(self, port: AttachedPort) -> None:
        """Pass every datagram to this client of our process directly, not by UDP.

        `port.received(data, sender)` is called after the other clients. Its heartbeats register it
        like any other.
        """
        self._attached.append(_Attached(port))
        self._retarget()

    # -- information

    @property
    def port(self) -> int:
        """The port of the hub; 0 when it does not listen."""
        return self._sockets.port if self._sockets is not None else 0

    @property
    def clients(self) -> tuple[HubClient, ...]:
        """The programs to which every message is forwarded, in order of registration."""
        return tuple(map(self._describe, self._table))

    @property
    def fullness(self) -> str:
        """A sentence if a client was refused lately, with the program that has most; else empty."""
        return self._slots.sentence if self._slots is not None else ""

    @property
    def counters(self) -> dict[str, int]:
        """Counts of datagrams since this hub was created, and its current size.

        `received`, of these `invalid`; `forwarded` (copies), `send_errors`; sources `registered`,
        `refused`, `ended`, `expired`; `clients` now; `receive_buffer_bytes` as granted; `dropped`
        by the kernel since the sockets were bound.
        """
        counters: dict[str, int] = attrs.asdict(self._counts)
        counters["clients"] = len(self._table)
        sockets = self._sockets
        counters["receive_buffer_bytes"] = sockets.receive_buffer_bytes if sockets else 0
        counters["dropped"] = sockets.dropped if sockets else 0
        return counters

    # -- forwarding

    def received(self, data: bytes, sender: Address) -> None:
        """Forward a datagram, or log it as invalid."""
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
            self._deliver_attached(attached, data, sender)

    def _send_failed(self, target: Receiver, error: OSError) -> None:
        target.errors += 1
        self._counts.send_errors += 1
        self._warn_once(
            target.address,
            "cannot send to {address}: {error}",
            address=target.address,
            error=error,
        )

    def _deliver_attached(self, attached: _Attached, data: bytes, sender: Address) -> None:
        try:
            attached.port.received(data, sender)
        except Exception:  # noqa: BLE001 - other clients are not affected
            attached.errors += 1
            self._counts.send_errors += 1
            log.failure("a client of this process failed on a datagram")
        else:
            attached.forwarded += 1
            self._counts.forwarded += 1

    def _read(self, data: bytes, sender: Address) -> bool:
        """Decode a message that concerns the hub or has an unusual form; return whether to forward
        it."""
        try:
            message = decode(data)
        except InvalidMessage as error:
            self._counts.invalid += 1
            self._invalid.record(data, sender, str(error))
            self._warn_once(
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
                raise RegistrationRefused(Refusal.STRANGER)
            address = (message.get("remote-ip") or "").strip()
            port = read_port(message.get("port"))
            if message.schema.endswith(".end"):
                if self._table.leave(address, port, source):
                    self._counts.ended += 1
                    self._changed()
                return
            interval = read_interval(message.get("interval"))
            self._register((address, port), PendingClient(source, interval, data))
        except RegistrationRefused as refused:
            self._refuse(refused.refusal, sender, source)

    def _register(self, address: Address, client: PendingClient) -> None:
        """Register the client; raises `RegistrationRefused`."""
        try:
            is_new = self._table.register(*address, client.source, client.interval)
        except RegistrationRefused as refused:
            if refused.refusal is Refusal.TOO_MANY_CLIENTS and self._slots is not None:
                self._slots.wait(address, client)
            raise
        if is_new:
            self._counts.registered += 1
            self._changed()
        self._file.is_stale = True

    def _on_full(self) -> None:
        self.on_full()

    def _admit(self, address: Address, client: PendingClient) -> None:
        """Register a client that was refused at first, and echo its heartbeat."""
        try:
            self._register(address, client)
            self._send(client.data, address)
        except (RegistrationRefused, OSError) as error:
            log.info("{source} is not registered: {error}", source=client.source, error=error)

    def _refuse(self, refusal: Refusal, sender: Address, source: str) -> None:
        """Count the refusal, and log it if it is unusual.

        Heartbeats of other computers and of programs that only send arrive all day.
        """
        self._counts.refused += 1
        if refusal not in (Refusal.STRANGER, Refusal.NOT_HERE, Refusal.NO_SOCKET):
            self._warn_once(
                refusal,
                "the heartbeat of {source}, sent by {sender}, is ignored: {refusal}",
                source=source,
                sender=sender,
                refusal=refusal.value,
            )

    def _check(self) -> None:
        self._tick = self._reactor.callLater(CHECK_EVERY, self._check)
        self._logged.clear()
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

    def _describe(self, receiver: Receiver) -> HubClient:
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

    # -- clients of the previous hub

    def _restore_clients(self) -> None:
        try:
            hubstate.restore(self._state, self._table, self._wall_clock())
        except (hubstate.BrokenState, OSError) as error:
            log.warn("the clients of the last hub are not restored: {error}", error=error)
            return
        self._retarget()
        self._ask_for_heartbeats()

    def _ask_for_heartbeats(self) -> None:
        """Send a request directly to each client, whose next heartbeat may be minutes away."""
        source = f"domogik-hub.{self._host}"
        request = encode(Message(CMND, source, "*", schema="hbeat.request", body=REQUEST))
        for target in self._targets:
            log.info("restored from the last hub: {address}", address=target.address)
            try:
                self._send(request, target.address)
            except OSError as error:
                self._send_failed(target, error)

    def _saved_clients(self) -> list[HubClient]:
        """Return the clients for the file: all but those of this process."""
        return [client for client in self.clients if not client.attached]

    def _cannot_write(self, error: OSError) -> None:
        self._warn_once("state", "cannot write {path}: {error}", path=self._state, error=error)

    def _warn_once(self, about: object, format: str, **fields: object) -> None:
        """Log a warning, unless one about the same subject was logged since the last check."""
        if about not in self._logged:
            self._logged.add(about)
            log.warn(format, **fields)
