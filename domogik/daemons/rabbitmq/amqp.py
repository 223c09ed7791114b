"""As much of AMQP 0-9-1 as it takes to log in and leave again.

The whole of the client's side is sent at once: RabbitMQ answers in order, so one question and its
answer prove the protocol, the password and the virtual host. (Section numbers are those of the
specification, version 0-9-1.)
"""

from __future__ import annotations

import struct

import attrs

from domogik.daemons.core.errors import NotReady

_HEADER = b"AMQP\x00\x00\x09\x01"  # 4.2.2
_METHOD, _FRAME_END = 1, 0xCE  # 4.2.3
_CONNECTION = 10
_START_OK, _TUNE_OK, _OPEN, _OPEN_OK, _CLOSE, _CLOSE_OK = 11, 31, 40, 41, 50, 51  # 1.4.2
_SMALLEST_FRAME_MAX = 4096
_SUCCESS = 200
ACCESS_REFUSED = 403


class Refused(NotReady):
    """The server closes the connection and says why: `code` as 1.2 of the specification has it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"it refuses: {text} ({code})")
        self.code = code
        self.text = text


@attrs.frozen
class _Method:
    class_id: int
    method_id: int
    arguments: bytes


def login(user: str, password: str, host: str = "/") -> bytes:
    """All that a client says who logs in by PLAIN (RFC 4616), opens `host` and closes."""
    # Without it a login that is refused is answered by silence, and only after a second.
    capability = _short(b"authentication_failure_close") + b"t\x01"
    properties = _short(b"capabilities") + b"F" + _long(capability)
    response = b"\x00" + user.encode() + b"\x00" + password.encode()
    start_ok = _long(properties) + _short(b"PLAIN") + _long(response) + _short(b"en_US")
    tune_ok = struct.pack(">HIH", 1, _SMALLEST_FRAME_MAX, 0)
    opened = _short(host.encode()) + _short(b"") + b"\x00"
    close = struct.pack(">H", _SUCCESS) + _short(b"") + struct.pack(">HH", 0, 0)
    said = ((_START_OK, start_ok), (_TUNE_OK, tune_ok), (_OPEN, opened), (_CLOSE, close))
    return _HEADER + b"".join(_frame(method, arguments) for method, arguments in said)


def is_over(data: bytes) -> bool:
    """Whether the server has said all that it is going to say; raises `NotReady` for rubbish."""
    ends = (_CLOSE, _CLOSE_OK)
    return any(one.class_id == _CONNECTION and one.method_id in ends for one in _methods(data))


def check(data: bytes) -> None:
    """Whether that is the answer to a login that succeeded; raises `Refused`, `NotReady`."""
    for one in _methods(data):
        if one.class_id == _CONNECTION and one.method_id == _CLOSE:
            raise _refusal(one.arguments)
        if one.class_id == _CONNECTION and one.method_id == _OPEN_OK:
            return
    raise NotReady("it does not let anybody in")


def _refusal(arguments: bytes) -> NotReady:
    if len(arguments) < 3:
        return NotReady("it closes the connection and does not say why")
    code, length = struct.unpack_from(">HB", arguments)
    return Refused(code, arguments[3 : 3 + length].decode("utf-8", "replace"))


def _methods(data: bytes) -> list[_Method]:
    """Those that are there as a whole."""
    found = []
    position = 0
    while position + 7 <= len(data):
        kind, _channel, length = struct.unpack_from(">BHI", data, position)
        payload = data[position + 7 : position + 7 + length]
        if kind not in (_METHOD, 2, 3, 8):
            raise NotReady(f"it does not speak AMQP: {data[position : position + 40]!r}")
        position += 7 + length + 1
        if position > len(data):
            break
        if data[position - 1] != _FRAME_END:
            raise NotReady("it does not speak AMQP: a frame does not end")
        if kind == _METHOD and length >= 4:
            class_id, method_id = struct.unpack_from(">HH", payload)
            found.append(_Method(class_id, method_id, payload[4:]))
    return found


def _frame(method: int, arguments: bytes) -> bytes:
    payload = struct.pack(">HH", _CONNECTION, method) + arguments
    return struct.pack(">BHI", _METHOD, 0, len(payload)) + payload + bytes([_FRAME_END])


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _long(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text
