"""A connection to the system bus, on which systemd reports which of its units changed.

jeepney encodes calls and decodes values. Of a received message only the header is read and, of an
error, its text: jeepney would read a body as deep and as long as its signature asks for.

Sources: D-Bus Specification 0.42; org.freedesktop.systemd1(5), "Signals" and "Object paths".
"""

from __future__ import annotations

import os
import re
import struct

import attrs
from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.low_level import (
    Endianness,
    HeaderFields,
    calc_msg_size,
    endian_map,
    padding,
    simple_types,
)
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from domogik.errors import DomogikError
from domogik.units.systemd.backend import ChangeReceiver

#: messages have some hundred bytes, a few kilobytes at most
MAXIMUM_BYTES = 1024 * 1024
_FIXED = 16
_LONGEST_LINE = 1024
_HANDSHAKE_S = 20.0
#: the types that fields of a header have
_FIELDS = {name: simple_types[name] for name in "osgu"}
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


class InvalidStream(DomogikError):
    """The bytes received are not a message of D-Bus, or one that is too large."""


class BusRefused(DomogikError):
    """The system bus cannot be reached, or does not allow listening."""


@attrs.frozen
class Message:
    """A received message; `words` is the text of an error."""

    kind: int
    path: str = ""
    interface: str = ""
    member: str = ""
    reply_serial: int = 0
    words: str = ""


def call(
    serial: int, destination: str, path: str, interface: str, member: str, *arguments: str
) -> bytes:
    """Return the bytes of a method call whose arguments are strings."""
    address = DBusAddress(path, destination, interface)
    signature = "s" * len(arguments) or None
    return bytes(new_method_call(address, member, signature, arguments).serialise(serial))


def take(buffer: bytearray) -> Message | None:
    """Remove the first message from the buffer and return it, None until it is complete.

    Raises `InvalidStream`, after which the rest of the stream cannot be read either.
    """
    if len(buffer) < _FIXED:
        return None
    order = endian_map.get(bytes(buffer[:1]))
    if order is None or buffer[3] != 1:
        raise InvalidStream("this is not D-Bus of version 1")
    size = calc_msg_size(buffer[:_FIXED])
    if size > MAXIMUM_BYTES:
        raise InvalidStream(f"a message of {size} bytes is too large")
    if len(buffer) < size:
        return None
    data = bytes(buffer[:size])
    del buffer[:size]
    try:
        return _message(data, order)
    except (struct.error, AssertionError, UnicodeDecodeError) as error:
        raise InvalidStream(f"a header cannot be read: {error}") from error


def _message(data: bytes, order: Endianness) -> Message:
    fields, body = _fields(data, order)
    words = ""
    if data[1] == MessageType.error.value:
        words = str(fields.get(HeaderFields.error_name, ""))
        if str(fields.get(HeaderFields.signature, "")).startswith("s"):
            text, _ = simple_types["s"].parse_data(data, body, order)
            words = f"{text} ({words})"
    serial = fields.get(HeaderFields.reply_serial, 0)
    return Message(
        data[1],
        str(fields.get(HeaderFields.path, "")),
        interface=str(fields.get(HeaderFields.interface, "")),
        member=str(fields.get(HeaderFields.member, "")),
        reply_serial=serial if isinstance(serial, int) else 0,
        words=words,
    )


def _fields(data: bytes, order: Endianness) -> tuple[dict[int, str | int], int]:
    """Return a header's fields by their codes, and the offset of the body."""
    length, at = simple_types["u"].parse_data(data, 12, order)
    end = at + length
    found: dict[int, str | int] = {}
    while at < end:
        at += padding(at, 8)
        code = data[at]
        name, at = simple_types["g"].parse_data(data, at + 1, order)
        if name not in _FIELDS:
            raise InvalidStream(f"a header has a field of type '{name}'")
        found[code], at = _FIELDS[name].parse_data(data, at, order)
    if at > end:
        raise InvalidStream("a header is longer than it says")
    return found, end + padding(end, 8)


class BusConnection(Protocol):
    """One connection to the bus.

    `ended` fires when systemd's signals do not arrive any more, and `trouble` says why; `closed`
    fires last.
    """

    def __init__(self, tell: ChangeReceiver) -> None:
        self._tell = tell
        self._buffer = bytearray()
        self._is_let_in = False
        self._unanswered: set[int] = set()
        self.trouble: DomogikError | None = None
        self._ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    async def ready(self, clock: IReactorTime) -> None:
        """Return when systemd's signals will arrive; raises `BusRefused` and `InvalidStream`."""
        await self._ready.addTimeout(_HANDSHAKE_S, clock, lambda *_: _late())

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
        if message.kind == MessageType.signal.value:
            if message.path.startswith(_UNITS):
                self._tell(unit_of(message.path))
            elif message.interface == _MANAGER[2]:
                self._tell(None)
        elif message.reply_serial in self._unanswered:
            if message.kind == MessageType.error.value:
                raise BusRefused(f"the system bus said {message.words[:200]}")
            self._unanswered.discard(message.reply_serial)
            if not self._unanswered and not self._ready.called:
                self._ready.callback(None)

    def abort(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # every stream has it

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(BusRefused(f"the system bus is gone: {reason.getErrorMessage()}"))
        self.closed.callback(None)

    def _end(self, trouble: DomogikError) -> None:
        if self.trouble is None:
            self.trouble = trouble
            self.ended.callback(None)
            if not self._ready.called:
                self._ready.errback(Failure(trouble))

    def _write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


def _late() -> None:
    raise BusRefused(f"the system bus did not answer within {_HANDSHAKE_S:g} s")


def unit_of(path: str) -> str:
    """Return the id of the unit with that object path (sd_bus_path_decode(3))."""
    label = path.removeprefix(_UNITS)
    return _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), label)
