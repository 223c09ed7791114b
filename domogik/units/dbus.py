"""What is on the wire of D-Bus, as far as listening takes: bytes and nothing else.

Source: D-Bus Specification 0.42, "Message Protocol" and "Authentication Protocol". We call methods
whose arguments are strings, and read of what comes the header and, of an error, its words.
"""

from __future__ import annotations

import enum
import struct

import attrs

from domogik.errors import DomogikError

#: messages we listen for have some hundred bytes, a few kilobytes at most
MAXIMUM_BYTES = 1024 * 1024
_FIXED = 16


class InvalidStream(DomogikError):
    """What came is no message of D-Bus, or one that is larger than we take."""


class Kind(enum.IntEnum):
    """The types of messages."""

    METHOD_CALL = 1
    METHOD_RETURN = 2
    ERROR = 3
    SIGNAL = 4


class _Field(enum.IntEnum):
    PATH = 1
    INTERFACE = 2
    MEMBER = 3
    ERROR_NAME = 4
    REPLY_SERIAL = 5
    DESTINATION = 6
    SENDER = 7
    SIGNATURE = 8


@attrs.frozen
class Message:
    """A message that came. `words` is what an error says."""

    kind: int
    path: str = ""
    interface: str = ""
    member: str = ""
    reply_serial: int = 0
    words: str = ""


def call(
    serial: int, destination: str, path: str, interface: str, member: str, *arguments: str
) -> bytes:
    """A method call with strings for arguments."""
    body = b""
    for argument in arguments:
        body = _pad(body, 4) + _string(argument)
    fields = b""
    for field, kind, value in (
        (_Field.PATH, "o", path),
        (_Field.INTERFACE, "s", interface),
        (_Field.MEMBER, "s", member),
        (_Field.DESTINATION, "s", destination),
    ):
        fields = _pad(fields, 8) + bytes((field,)) + _signature(kind)
        fields = _pad(fields, 4) + _string(value)
    if arguments:
        fields = _pad(fields, 8) + bytes((_Field.SIGNATURE,)) + _signature("g")
        fields += _signature("s" * len(arguments))
    fixed = struct.pack("<cBBBIII", b"l", Kind.METHOD_CALL, 0, 1, len(body), serial, len(fields))
    return _pad(fixed + fields, 8) + body


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _signature(text: str) -> bytes:
    return bytes((len(text),)) + text.encode("ascii") + b"\0"


def _pad(data: bytes, boundary: int) -> bytes:
    return data + b"\0" * (-len(data) % boundary)


def take(buffer: bytearray) -> Message | None:
    """The first message of what came, which is taken out of it; None until it is whole.

    Raises `InvalidStream`; nothing that comes behind can be understood then.
    """
    if len(buffer) < _FIXED:
        return None
    order = {b"l": "<", b"B": ">"}.get(bytes(buffer[:1]))
    if order is None or buffer[3] != 1:
        raise InvalidStream("this is not D-Bus of version 1")
    body_length, _, fields_length = struct.unpack_from(f"{order}III", buffer, 4)
    begin = _FIXED + fields_length + (-fields_length % 8)
    if begin + body_length > MAXIMUM_BYTES:
        raise InvalidStream(f"a message of {begin + body_length} bytes is more than we take")
    if len(buffer) < begin + body_length:
        return None
    data = bytes(buffer[: begin + body_length])
    del buffer[: begin + body_length]
    try:
        return _message(data, order, _FIXED + fields_length, begin)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise InvalidStream(f"a header cannot be read: {error}") from error


def _message(data: bytes, order: str, end: int, body: int) -> Message:
    fields = _Reader(data[:end], order, _FIXED)
    found: dict[int, str | int] = {}
    while fields.position < end:
        fields.align(8)
        code = fields.byte()
        kind = fields.signature()
        found[code] = fields.value(kind)
    words = ""
    if data[1] == Kind.ERROR:
        words = str(found.get(_Field.ERROR_NAME, ""))
        if str(found.get(_Field.SIGNATURE, "")).startswith("s"):
            words = f"{_Reader(data, order, body).string()} ({words})"
    serial = found.get(_Field.REPLY_SERIAL, 0)
    return Message(
        data[1],
        str(found.get(_Field.PATH, "")),
        str(found.get(_Field.INTERFACE, "")),
        str(found.get(_Field.MEMBER, "")),
        serial if isinstance(serial, int) else 0,
        words,
    )


@attrs.define(eq=False)
class _Reader:
    """Takes values from the front, each at its boundary."""

    _data: bytes
    _order: str
    position: int

    def align(self, boundary: int) -> None:
        self.position += -self.position % boundary

    def byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def signature(self) -> str:
        return self._text(self.byte()).decode("ascii")

    def string(self) -> str:
        return self._text(self.number()).decode()

    def number(self) -> int:
        self.align(4)
        (number,) = struct.unpack_from(f"{self._order}I", self._data, self.position)
        self.position += 4
        return int(number)

    def value(self, kind: str) -> str | int:
        if kind in ("s", "o"):
            return self.string()
        if kind == "g":
            return self.signature()
        if kind == "u":
            return self.number()
        raise InvalidStream(f"a header has a field of type '{kind}'")

    def _text(self, length: int) -> bytes:
        text = self._data[self.position : self.position + length]
        self.position += length + 1
        if self.position > len(self._data):
            raise IndexError("a string is longer than its message")
        return text
