"""The protocol of MariaDB and MySQL, as far as a login and a few questions need it.

Version 10 of the handshake, `mysql_native_password` and text results, as the MariaDB Knowledge Base
("Clients & Utilities: protocol") says.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from domogik.daemons.errors import NotReady
from domogik.daemons.probing import IProbeReactor, reach
from domogik.errors import DomogikError

# LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH
_ABILITIES = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x80000
_UTF8MB4 = 45
_LARGEST = 2**24 - 1  # the largest packet; more would follow in another one
NATIVE = "mysql_native_password"
Row = tuple[str | None, ...]
T = TypeVar("T")


class Refused(DomogikError):
    """It answers with an error; `code` is its number."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(f"{sentence} ({code})")
        self.code = code


@attrs.frozen
class Greeting:
    """What a server says first."""

    version: str
    nonce: bytes
    plugin: str

    @classmethod
    def parse(cls, packet: bytes) -> Greeting:
        """Raises `Refused`, and `NotReady` for what is no greeting."""
        if packet[:1] == b"\xff":
            raise _refusal(packet)
        end = packet.find(b"\0", 1)
        if packet[:1] != b"\x0a" or end < 0 or len(packet) < end + 32:
            raise NotReady("its greeting is not MariaDB's or MySQL's")
        nonce, length = packet[end + 5 : end + 13], max(13, packet[end + 21] - 8)
        second = end + 32
        rest = packet[second + length :].split(b"\0")[0]
        return cls(
            packet[1:end].decode("ascii", "replace"),
            nonce + packet[second : second + 12],
            rest.decode("ascii", "replace"),
        )


def scrambled(password: str, nonce: bytes) -> bytes:
    """The answer of `mysql_native_password`."""
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324 - what the protocol says
    twice = hashlib.sha1(once).digest()  # noqa: S324
    mask = hashlib.sha1(nonce + twice).digest()  # noqa: S324
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def kept(password: str) -> str:
    """What a server keeps of a password: `IDENTIFIED BY PASSWORD '<this>'`."""
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324
    return "*" + hashlib.sha1(once).hexdigest().upper()  # noqa: S324


@attrs.define(eq=False)
class Session:
    """One connection that is logged in as root; every question has `patience` seconds.

    Fails with `NotReady` where nobody listens or answers, and with `Refused`.
    """

    _reactor: IProbeReactor
    _wire: _Wire
    _patience: float

    @classmethod
    async def open(
        cls, reactor: IProbeReactor, host: str, port: int, password: str, patience: float = 5.0
    ) -> Session:
        """Connect and log in."""
        wire = _Wire()
        await reach(reactor, host, port, wire, patience)
        session = cls(reactor, wire, patience)
        try:
            await session._within(session._log_in(password))
        except BaseException:
            session.close()
            raise
        return session

    async def query(self, sql: str) -> list[Row]:
        """The rows of one statement, NULL as None."""
        return await self._within(self._query(sql))

    async def end(self) -> None:
        """Say goodbye; who just hangs up is a warning in its log."""
        self._wire.begin(b"\x01")
        try:
            with contextlib.suppress(NotReady):
                await self._within(self._wire.packet())
        finally:
            self.close()

    def close(self) -> None:
        """Hang up."""
        transport = self._wire.transport
        if ITCPTransport.providedBy(transport):
            transport.abortConnection()

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await Deferred.fromCoroutine(work).addTimeout(self._patience, self._reactor)
        except TimeoutError:
            self.close()
            raise NotReady(f"it did not answer within {self._patience:g} s") from None

    async def _log_in(self, password: str) -> None:
        greeting = Greeting.parse(await self._wire.packet())
        answer = scrambled(password, greeting.nonce)
        self._wire.send(
            struct.pack("<IIB23x", _ABILITIES, _LARGEST, _UTF8MB4)
            + b"root\0"
            + bytes([len(answer)])
            + answer
            + NATIVE.encode()
            + b"\0"
        )
        outcome = await self._wire.packet()
        if outcome[:1] == b"\xfe":
            plugin, _, nonce = outcome[1:].partition(b"\0")
            if plugin != NATIVE.encode():
                said = plugin.decode("ascii", "replace")
                raise Refused(1251, f"it asks for the password by {said}, not by {NATIVE}")
            self._wire.send(scrambled(password, nonce[:20]))
            outcome = await self._wire.packet()
        _check(outcome)

    async def _query(self, sql: str) -> list[Row]:
        self._wire.begin(b"\x03" + sql.encode())
        first = await self._wire.packet()
        if first[:1] == b"\0":
            return []
        _check(first, ok=first[:1])
        columns, _ = _number(first, 0)
        for _ in range(columns + 1):  # their descriptions, and the end of them
            await self._wire.packet()
        rows: list[Row] = []
        while True:
            packet = await self._wire.packet()
            if packet[:1] == b"\xfe" and len(packet) < 9:
                return rows
            _check(packet, ok=packet[:1])
            rows.append(_row(packet))


class _Wire(Protocol):
    """Cuts what comes into packets; `begin` starts a new exchange, `send` goes on with one."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._packets: deque[bytes] = deque()
        self._waiting: Deferred[None] | None = None
        self._number = 0
        self._has_ended = False

    def begin(self, content: bytes) -> None:
        self._number = 0
        self.send(content)

    def send(self, content: bytes) -> None:
        if self.transport is not None and not self._has_ended:
            header = len(content).to_bytes(3, "little") + bytes([self._number & 0xFF])
            self.transport.write(header + content)
        self._number += 1

    async def packet(self) -> bytes:
        while not self._packets:
            if self._has_ended:
                raise NotReady("it hung up")
            self._waiting = Deferred()
            await self._waiting
        return self._packets.popleft()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 4:
            length = int.from_bytes(self._received[:3], "little")
            if len(self._received) < length + 4:
                break
            self._number = self._received[3] + 1
            self._packets.append(bytes(self._received[4 : length + 4]))
            del self._received[: length + 4]
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is not None and (self._packets or self._has_ended):
            self._waiting = None
            if not waiting.called:  # nobody wants to know any more
                waiting.callback(None)


def _check(packet: bytes, ok: bytes = b"\0") -> None:
    if packet[:1] == b"\xff":
        raise _refusal(packet)
    if packet[:1] != ok or not packet:
        raise NotReady("its answer is not MariaDB's or MySQL's")


def _refusal(packet: bytes) -> Refused:
    text = packet[3:].decode("utf-8", "replace")
    return Refused(int.from_bytes(packet[1:3], "little"), text[6:] if text[:1] == "#" else text)


def _number(packet: bytes, at: int) -> tuple[int, int]:
    """A length-encoded number, and where it ends."""
    first = packet[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3}.get(first, 8)
    return int.from_bytes(packet[at + 1 : at + 1 + size], "little"), at + 1 + size


def _row(packet: bytes) -> Row:
    at, values = 0, list[str | None]()
    while at < len(packet):
        if packet[at] == 0xFB:
            values.append(None)
            at += 1
        else:
            length, at = _number(packet, at)
            values.append(packet[at : at + length].decode("utf-8", "replace"))
            at += length
    return tuple(values)
