"""As much of MQTT 3.1.1 as it takes to log in and leave again.

Section numbers are those of the OASIS standard of 29 October 2014.
"""

from __future__ import annotations

import struct

from domogik.daemons.core.errors import NotReady

_CONNECT, _CONNACK, _DISCONNECT = 0x10, 0x20, 0xE0
_CLEAN_SESSION, _HAS_PASSWORD, _HAS_USER = 0x02, 0x40, 0x80
_KEEP_ALIVE_S = 10
_CONNACK_BYTES = 4
#: the codes of a refused login (3.2.2.3)
REFUSED = {4: "bad user name or password", 5: "not authorised"}


def login(user: str, password: str) -> bytes:
    """Return what a client sends that logs in without a client id and disconnects at once."""
    flags = _CLEAN_SESSION | _HAS_USER | _HAS_PASSWORD
    variable = _text("MQTT") + struct.pack(">BBH", 4, flags, _KEEP_ALIVE_S)
    body = variable + _text("") + _text(user) + _text(password)
    return bytes([_CONNECT]) + _length(len(body)) + body + bytes([_DISCONNECT, 0])


def is_answered(data: bytes) -> bool:
    """Return whether the whole CONNACK is there."""
    return len(data) >= _CONNACK_BYTES


def result(data: bytes) -> int:
    """Return the code of a CONNACK, 0 where the login succeeded; raises `NotReady`."""
    if len(data) < _CONNACK_BYTES or data[0] != _CONNACK or data[1] != 2:
        raise NotReady(f"it does not speak MQTT: {data[:40]!r}")
    return data[3]


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _length(number: int) -> bytes:
    """Return the remaining length, seven bits a byte (2.2.3)."""
    found = bytearray()
    while True:
        number, low = divmod(number, 128)
        found.append(low | (128 if number else 0))
        if not number:
            return bytes(found)
