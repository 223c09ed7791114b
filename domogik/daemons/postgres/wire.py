"""PostgreSQL's own protocol, as far as asking whether it serves, and a few questions, need it.

Version 3.0 (PostgreSQL 15, chapter 55): startup, SCRAM-SHA-256, simple queries with text results.
"""

from __future__ import annotations

import secrets
import struct
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from domogik.daemons.core.errors import NotReady
from domogik.daemons.core.probing import IProbeReactor, reach
from domogik.daemons.postgres.scram import BadExchange, Exchange
from domogik.errors import DomogikError

_VERSION = 196608  # 3.0
_LARGEST = 16 * 2**20
_OK, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 10, 11, 12
Row = tuple[str | None, ...]
T = TypeVar("T")


class Refused(DomogikError):
    """It answers with an error; `code` is one of SQLSTATE, empty where there is none."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{sentence} ({code})" if code else sentence)
        self.code = code


@attrs.frozen
class Login:
    """Where, and as whom."""

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=False)
    database: str = "postgres"


@attrs.define(eq=False)
class Session:
    """One connection that is logged in; every question has `patience` seconds.

    Fails with `NotReady` where no server listens or answers, and with `Refused`.
    """

    _reactor: IProbeReactor
    _wire: _Wire
    _patience: float

    @classmethod
    async def open(cls, reactor: IProbeReactor, login: Login, patience: float = 5.0) -> Session:
        """Connect and log in."""
        wire = _Wire()
        await reach(reactor, login.host, login.port, wire, patience)
        session = cls(reactor, wire, patience)
        try:
            await session._within(session._log_in(login))
        except BaseException:
            session.abort()
            raise
        return session

    async def query(self, sql: str, patience: float | None = None) -> list[Row]:
        """The rows of one or more statements without parameters, NULL as None."""
        return await self._within(self._query(sql), patience)

    def close(self) -> None:
        """Say goodbye."""
        self._wire.send(b"X", b"")
        transport = self._wire.transport
        if transport is not None:
            transport.loseConnection()

    def abort(self) -> None:
        """Hang up."""
        transport = self._wire.transport
        if ITCPTransport.providedBy(transport):
            transport.abortConnection()

    async def _within(self, work: Coroutine[Any, Any, T], patience: float | None = None) -> T:
        patience = self._patience if patience is None else patience
        try:
            return await Deferred.fromCoroutine(work).addTimeout(patience, self._reactor)
        except TimeoutError:
            self.abort()
            raise NotReady(f"it did not answer within {patience:g} s") from None

    async def _log_in(self, login: Login) -> None:
        words = {
            "user": login.user,
            "database": login.database,
            "client_encoding": "UTF8",
            "application_name": "domogik",
        }
        packed = b"".join(_text(word) for pair in words.items() for word in pair) + b"\0"
        self._wire.start(struct.pack("!i", _VERSION) + packed)
        await self._authenticate(login)
        await self._until_ready()

    async def _authenticate(self, login: Login) -> None:
        exchange = Exchange(login.password, secrets.token_urlsafe(18))
        is_proven = False
        while True:
            what, content = _authentication(await self._answer(b"R"))
            try:
                if what == _SASL and b"SCRAM-SHA-256" in content.split(b"\0"):
                    first = exchange.first
                    mechanism = _text("SCRAM-SHA-256")
                    self._wire.send(b"p", mechanism + struct.pack("!i", len(first)) + first)
                elif what == _SASL_CONTINUE:
                    self._wire.send(b"p", exchange.final(content))
                elif what == _SASL_FINAL:
                    exchange.check(content)
                    is_proven = True
                elif what == _OK and is_proven:
                    return
                else:
                    raise Refused("28000", "it does not ask for the password by SCRAM-SHA-256")
            except BadExchange as error:
                raise Refused("28000", str(error)) from error

    async def _query(self, sql: str) -> list[Row]:
        self._wire.send(b"Q", _text(sql))
        return await self._until_ready()

    async def _until_ready(self) -> list[Row]:
        rows: list[Row] = []
        refused: Refused | None = None
        while True:
            kind, content = await self._wire.message()
            if kind == b"Z":
                if refused is not None:
                    raise refused
                return rows
            if kind == b"D":
                rows.append(_row(content))
            elif kind == b"E":
                refused = _refusal(content)
                if self._wire.has_ended:
                    raise refused

    async def _answer(self, wanted: bytes) -> bytes:
        while True:
            kind, content = await self._wire.message()
            if kind == wanted:
                return content
            if kind == b"E":
                raise _refusal(content)
            if kind != b"N":
                raise NotReady("its answer is not PostgreSQL's")


class _Wire(Protocol):
    """Cuts what comes into messages: a letter and what it carries."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._messages: deque[tuple[bytes, bytes]] = deque()
        self._waiting: Deferred[None] | None = None
        self.has_ended = False

    def start(self, content: bytes) -> None:
        self._write(struct.pack("!i", len(content) + 4) + content)

    def send(self, kind: bytes, content: bytes) -> None:
        self._write(kind + struct.pack("!i", len(content) + 4) + content)

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.has_ended:
            self.transport.write(data)

    async def message(self) -> tuple[bytes, bytes]:
        while not self._messages:
            if self.has_ended:
                raise NotReady("it hung up")
            self._waiting = Deferred()
            await self._waiting
        return self._messages.popleft()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 5:
            length = int.from_bytes(self._received[1:5], "big")
            if not 4 <= length <= _LARGEST:
                self._end()
                return
            if len(self._received) <= length:
                break
            kind, content = bytes(self._received[:1]), bytes(self._received[5 : length + 1])
            del self._received[: length + 1]
            self._messages.append((kind, content))
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()

    def _end(self) -> None:
        self.has_ended = True
        if ITCPTransport.providedBy(self.transport):
            self.transport.abortConnection()
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is not None and (self._messages or self.has_ended):
            self._waiting = None
            if not waiting.called:  # the answer is not wanted any more
                waiting.callback(None)


def _text(word: str) -> bytes:
    return word.encode() + b"\0"


def _authentication(content: bytes) -> tuple[int, bytes]:
    return int.from_bytes(content[:4], "big"), content[4:]


def _refusal(content: bytes) -> Refused:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in content.split(b"\0")}
    return Refused(fields.get(b"C", ""), fields.get(b"M", "it refuses"))


def _row(content: bytes) -> Row:
    count, at, values = int.from_bytes(content[:2], "big"), 2, []
    for _ in range(count):
        length = int.from_bytes(content[at : at + 4], "big", signed=True)
        at += 4
        values.append(None if length < 0 else content[at : at + length].decode("utf-8", "replace"))
        at += max(length, 0)
    return tuple(values)
