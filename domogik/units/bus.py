"""Which units changed? systemd tells on the system bus, to whoever subscribes; root is not needed.

Sources: org.freedesktop.systemd1(5), "Signals" and "Object paths"; D-Bus Specification.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.errors import DomogikError
from domogik.units.backend import ChangeReceiver
from domogik.units.dbus import InvalidStream, Kind, Message, call, take

_DEFAULT = "unix:path=/run/dbus/system_bus_socket"
_LONGEST_LINE = 1024
_HANDSHAKE_S = 20.0
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_UNITS = "/org/freedesktop/systemd1/unit/"
_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_SYSTEMD = "org.freedesktop.systemd1"
_MANAGER = (_SYSTEMD, "/org/freedesktop/systemd1", f"{_SYSTEMD}.Manager")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_FROM_SYSTEMD = f"type='signal',sender='{_SYSTEMD}'"
_OF_UNITS = f"path_namespace='{_UNITS.rstrip('/')}'"
_RULES = (
    f"{_FROM_SYSTEMD},{_OF_UNITS},interface='{_PROPERTIES}',member='PropertiesChanged'",
    f"{_FROM_SYSTEMD},interface='{_MANAGER[2]}',member='UnitFilesChanged'",
    f"{_FROM_SYSTEMD},interface='{_MANAGER[2]}',member='Reloading'",
)
_ESCAPED = re.compile(r"_([0-9a-f]{2})")


def system_bus(environment: Mapping[str, str]) -> str | None:
    """The path of the socket of the system bus; None where the address is of another kind."""
    address = environment.get("DBUS_SYSTEM_BUS_ADDRESS") or _DEFAULT
    for one in address.split(";"):
        transport, _, rest = one.partition(":")
        keys = dict(part.partition("=")[::2] for part in rest.split(","))
        if transport == "unix" and "path" in keys:
            return unquote(keys["path"])
    return None


class BusRefused(DomogikError):
    """The system bus is not there, or does not let us listen."""


class Changes(Service):
    """Listens on the bus while it runs, and comes back when it was cut off.

    `tells` is true while systemd's signals arrive. Receivers are called with None when that begins
    and when it ends, for nobody knows what was missed.
    """

    log = Logger()

    def __init__(self, clock: Any, endpoint: IStreamClientEndpoint) -> None:
        self.tells = False
        self._clock = clock
        self._endpoint = endpoint
        self._receivers: list[ChangeReceiver] = []
        self._listening: Deferred[None] | None = None
        self._trouble = ""

    @classmethod
    def at(cls, reactor: Any, path: str) -> Changes:
        """Those of the bus whose socket that is."""
        return cls(reactor, UNIXClientEndpoint(reactor, path))

    def subscribe(self, receiver: ChangeReceiver) -> Callable[[], None]:
        """Tell `receiver` the id of a unit that changed, None for any; the answer unsubscribes."""
        self._receivers.append(receiver)

        def unsubscribe() -> None:
            if receiver in self._receivers:
                self._receivers.remove(receiver)

        return unsubscribe

    def startService(self) -> None:
        super().startService()
        self._listening = Deferred.fromCoroutine(self._listen()).addErrback(self._ended)

    def stopService(self) -> Deferred[None]:
        """Fires when the connection is closed."""
        super().stopService()
        listening, self._listening = self._listening, None
        if listening is None:
            return succeed(None)
        listening.cancel()
        return listening

    def _ended(self, reason: Failure) -> None:
        if not reason.check(CancelledError, ConnectingCancelledError):
            self.log.failure("listening for changes of units ended", reason)

    async def _listen(self) -> None:
        wait = _FIRST_WAIT_S
        while True:
            try:
                if await self._once():
                    wait = _FIRST_WAIT_S
            except (BusRefused, InvalidStream, ConnectError, OSError) as error:
                self._failed(str(error))
            await deferLater(self._clock, wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    async def _once(self) -> bool:
        """Listen on one connection to its end; whether it came to listening at all."""
        connection = _Connection(self._tell)
        await connectProtocol(self._endpoint, connection)
        try:
            await connection.ready.addTimeout(_HANDSHAKE_S, self._clock, lambda *_: _late())
            self._tell_state(True)
            self._trouble = ""
            await connection.ended
            self._failed(str(connection.trouble))
        finally:
            self._tell_state(False)
            connection.abort()
            await connection.closed
        return True

    def _failed(self, sentence: str) -> None:
        if sentence != self._trouble:
            self.log.info("changes of units are not told: {reason}", reason=sentence)
        self._trouble = sentence

    def _tell_state(self, tells: bool) -> None:
        if self.tells is not tells:
            self.tells = tells
            self._tell(None)

    def _tell(self, name: str | None) -> None:
        for receiver in tuple(self._receivers):
            try:
                receiver(name)
            except Exception:  # noqa: BLE001 - a door for callbacks
                self.log.failure("a receiver of changes of units raised")


def _late() -> None:
    raise BusRefused(f"the system bus did not answer within {_HANDSHAKE_S:g} s")


class _Connection(Protocol):
    """One connection to the bus.

    `ready` fires when systemd's signals will arrive, or fails with `trouble`; `ended` fires when
    they do not any more, and `trouble` says why; `closed` fires last.
    """

    def __init__(self, tell: ChangeReceiver) -> None:
        self._tell = tell
        self._buffer = bytearray()
        self._is_let_in = False
        self._unanswered: set[int] = set()
        self.trouble: DomogikError | None = None
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        uid = str(os.geteuid()).encode().hex()
        self._write(f"\0AUTH EXTERNAL {uid}\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        try:
            if not self._is_let_in:
                self._authenticate()
            while self._is_let_in and (message := take(self._buffer)) is not None:
                self._received(message)
        except (BusRefused, InvalidStream) as error:
            self._end(error)
            self.abort()

    def _authenticate(self) -> None:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            if len(line) > _LONGEST_LINE:
                raise BusRefused("what answers is not a bus")
            return
        if not line.startswith(b"OK "):
            raise BusRefused(f"the system bus said {line[:80].decode('ascii', 'replace')}")
        self._buffer[:] = rest
        self._is_let_in = True
        self._write(b"BEGIN\r\n")
        self._call(1, *_BUS, "Hello")
        for serial, rule in enumerate(_RULES, 2):
            self._call(serial, *_BUS, "AddMatch", rule)
        self._call(len(_RULES) + 2, *_MANAGER, "Subscribe")

    def _call(self, serial: int, *words: str) -> None:
        self._unanswered.add(serial)
        self._write(call(serial, *words))

    def _received(self, message: Message) -> None:
        if message.kind == Kind.SIGNAL:
            if message.path.startswith(_UNITS):
                self._tell(unit_of(message.path))
            elif message.interface == _MANAGER[2]:
                self._tell(None)
        elif message.reply_serial in self._unanswered:
            if message.kind == Kind.ERROR:
                raise BusRefused(f"the system bus said {message.words[:200]}")
            self._unanswered.discard(message.reply_serial)
            if not self._unanswered and not self.ready.called:
                self.ready.callback(None)

    def abort(self) -> None:
        """Close it, whatever is on its way."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # every stream has it

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(BusRefused(f"the system bus is gone: {reason.getErrorMessage()}"))
        self.closed.callback(None)

    def _end(self, trouble: DomogikError) -> None:
        if self.trouble is None:
            self.trouble = trouble
            self.ended.callback(None)
            if not self.ready.called:
                self.ready.errback(Failure(trouble))

    def _write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


def unit_of(path: str) -> str:
    """The id of the unit whose object has that path (sd_bus_path_decode(3))."""
    label = path.removeprefix(_UNITS)
    return _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), label)
