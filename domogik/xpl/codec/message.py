"""The xPL message.

This module and the codec import neither attrs nor Twisted, since attrs alone takes 70 ms and
`dmg_send` should be quick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, NoReturn

from domogik.errors import DomogikError

CMND: Final = "xpl-cmnd"
STAT: Final = "xpl-stat"
TRIG: Final = "xpl-trig"
TYPES: Final = frozenset({CMND, STAT, TRIG})

Pair = tuple[str, str]

#: `vendor-device.instance` as we send it (W-spec: 8, 8 and 16 characters, no hyphen before the
#: dot but the first). `_` in the device is Domogik's: `wol_ping`, `x10_heyu` and others have it.
ADDRESS_PATTERN: Final = r"[a-z0-9]{1,8}-[a-z0-9_]{1,8}\.[a-z0-9-]{1,16}"
_ADDRESS = re.compile(r"([a-z0-9]{1,8})-([a-z0-9_]{1,8})\.([a-z0-9-]{1,16})")


class InvalidMessage(DomogikError):
    """The text is not an xPL message, or the message may not be sent."""


class Address(NamedTuple):
    """The address of a program: `vendor-device.instance`."""

    vendor: str
    device: str
    instance: str

    def __str__(self) -> str:
        return f"{self.vendor}-{self.device}.{self.instance}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that `text` spells; raises `InvalidMessage`."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise InvalidMessage(f"{shown(text)} is not an address (vendor-device.instance)")
        return cls(*match.groups())


class Message:
    """An xPL message, immutable.

    `type` is `CMND`, `STAT` or `TRIG`; `source` and `target` are addresses as text, `target` may
    also be `*` or `xpl-group.<name>`; `schema` is `class.type`; `body` contains (name, value) pairs
    in order, names may repeat; `hop` counts the networks crossed, 1 for a new message. Raises
    `InvalidMessage` for another type. The rest is checked when the message is encoded, since
    received messages may deviate from the specification.

    Values are text; bytes that are not UTF-8 appear as lone surrogates (PEP 383) and become the
    same bytes when sent.

    It is a plain class because an attrs class doubles the cost of decoding.
    """

    __slots__ = ("_wire", "body", "hop", "schema", "source", "target", "type")

    type: str
    source: str
    target: str
    schema: str
    body: tuple[Pair, ...]
    hop: int
    #: the codec's note of the bytes that `encode` gives; None until they are known
    _wire: bytes | None

    def __init__(
        self,
        type: str,
        source: str,
        target: str,
        schema: str,
        body: Iterable[Pair] = (),
        hop: int = 1,
    ) -> None:
        if type not in TYPES:
            raise InvalidMessage(f"the type is {shown(type)}: it must be {CMND}, {STAT} or {TRIG}")
        _set_type(self, type)
        _set_source(self, source)
        _set_target(self, target)
        _set_schema(self, schema)
        if not isinstance(body, tuple):
            body = tuple([(name, value) for name, value in body])
        _set_body(self, body)
        _set_hop(self, hop)
        set_wire(self, None)

    @property
    def vendor_device(self) -> str:
        """The source up to its dot."""
        return self.source.partition(".")[0]

    @property
    def instance(self) -> str:
        """The source after its dot; empty if there is no dot."""
        return self.source.partition(".")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the body, each once, in the order of their first appearance."""
        return tuple(dict(self.body))

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of that name."""
        for key, value in self.body:
            if key == name:
                return value
        return default

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of that name, in order."""
        return tuple([value for key, value in self.body if key == name])

    def _fields(self) -> tuple[str, str, str, str, tuple[Pair, ...], int]:
        return self.type, self.source, self.target, self.schema, self.body, self.hop

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return "Message({!r}, {!r}, {!r}, {!r}, {!r}, hop={!r})".format(*self._fields())

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, self._fields()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a message is never changed: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a message is never changed: cannot delete {name}")


# The only ways past `__setattr__`, at half the cost of `object.__setattr__`.
_slots: dict[str, Any] = {name: Message.__dict__[name].__set__ for name in Message.__slots__}
_set_type = _slots["type"]
_set_source = _slots["source"]
_set_target = _slots["target"]
_set_schema = _slots["schema"]
_set_body = _slots["body"]
_set_hop = _slots["hop"]
set_wire = _slots["_wire"]
_new = object.__new__


def restore(
    type: str,
    source: str,
    target: str,
    schema: str,
    *,
    body: tuple[Pair, ...],
    hop: int,
    wire: bytes | None,
) -> Message:
    """Return a message of parts that the codec has checked, with the bytes it was read from."""
    message = _new(Message)
    _set_type(message, type)
    _set_source(message, source)
    _set_target(message, target)
    _set_schema(message, schema)
    _set_body(message, body)
    _set_hop(message, hop)
    set_wire(message, wire)
    return message


def shown(text: object) -> str:
    """Return text from outside, short and in ASCII, for an error message."""
    printed = ascii(text)
    return printed if len(printed) <= 60 else f"{printed[:56]}...{printed[-1]}"
