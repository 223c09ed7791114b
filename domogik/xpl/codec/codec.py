"""Converts datagrams to messages and back: strict when sending, lenient when receiving.

Nearly every datagram has the *canonical* form of the specification, which is also the one that is
sent. It is read by one regular expression. Other datagrams are read line by line, and slower, by
`_read_leniently`; for a canonical datagram both give the same result.

What is received and not canonical is

- accepted, with a warning: CR LF; another order of the header; unknown header lines; no hop (read
  as 1); a hop of 0 or above 9 (only relays between networks need it, and xpl-perl and xPLHub pass
  such messages on too); upper case, folded everywhere but in values; ids, schemas and names that
  are too long or contain `_`, ids without a dot; names of any printable ASCII; control characters
  in values; empty lines in the body; no LF at the end; bytes after the last brace, which are cut
  off;
- accepted as it is: an empty body, empty values, `=` in values, values of any length, bytes that
  are not UTF-8, addressed messages of any type, `xpl-group` targets, repeated names;
- refused: everything else. A body line without `=` refuses the message: usually it is the second
  half of a value with a line feed, and half a command must not be obeyed. (xPL4Linux drops the
  line, Domogik dropped it and all that followed.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from domogik.xpl.codec.message import (
    ADDRESS_PATTERN,
    CMND,
    TYPES,
    InvalidMessage,
    Message,
    Pair,
    restore,
    set_wire,
    shown,
)

#: The canonical form. Every quantifier of the body is possessive: nothing is tried twice.
_CANONICAL = re.compile(
    r"(xpl-(?:cmnd|stat|trig))\n\{\n"
    r"hop=([1-9])\n"
    rf"source=({ADDRESS_PATTERN})\n"
    rf"target=(\*|{ADDRESS_PATTERN})\n"
    r"\}\n([a-z0-9-]{1,8}\.[a-z0-9-]{1,8})\n\{\n"
    r"((?:[a-z0-9-]{1,16}+=[^\x00-\x1f\x7f]*+\n)*+)\}\n"
)
_match_canonical = _CANONICAL.fullmatch
#: Only for a body that has been matched: it checks nothing and does not backtrack.
_split_pairs = re.compile(r"([^=]++)=([^\n]*+)\n").findall
_HOPS = {str(hop): hop for hop in range(1, 10)}
#: `=` signs in a message without a body
_EQUALS_IN_HEADER = 3

_STRICT_ADDRESS = re.compile(ADDRESS_PATTERN)
_STRICT_SCHEMA = re.compile(r"[a-z0-9-]{1,8}\.[a-z0-9-]{1,8}")
_STRICT_NAME = re.compile(r"[a-z0-9-]{1,16}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# What is received may be longer than the specification allows, but not without limit, since
# sources and schemas are stored in tables.
_ADDRESS = re.compile(r"[A-Za-z0-9_]{1,64}-[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_.-]{1,64})?")
_SCHEMA = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_.-]{1,64}")
_NAME = re.compile(r"[ -<>-~]{1,64}")
_HOP = re.compile(r"[0-9]{1,3}")


def decode(data: bytes) -> Message:
    """Return the message in a datagram; raises `InvalidMessage` and nothing else."""
    message = _read_canonical(data)
    return _read_leniently(data)[0] if message is None else message


def decode_with_warnings(data: bytes) -> tuple[Message, tuple[str, ...]]:
    """Return the message, and a sentence for each deviation from the specification."""
    message = _read_canonical(data)
    return _read_leniently(data) if message is None else (message, ())


def encode(message: Message, *, addressed: bool = False) -> bytes:
    """Return the canonical bytes of a message, which `decode` reads as an equal one.

    Values may exceed the 128 bytes of the oldest specification, as Domogik's descriptions do; only
    xPLHub refuses them. `addressed` allows an `xpl-stat` or `xpl-trig` to have a target, which the
    specification does not; heartbeats may always have one, for Domogik's answers to
    `hbeat.request`. Raises `InvalidMessage` for what xPL does not allow.
    """
    if message.target != "*" and not addressed:
        _check_target(message)
    wire = message._wire
    if wire is None:
        wire = _write(message)
        set_wire(message, wire)
    return wire


def read_schema(text: str) -> str:
    """Return a received schema in lower case; raises `InvalidMessage`."""
    if not _SCHEMA.fullmatch(text):
        raise InvalidMessage(f"the schema {shown(text)} is not class.type")
    return text.lower()


def _read_canonical(data: bytes) -> Message | None:
    match = _match_canonical(data.decode("utf-8", "surrogateescape"))
    if match is None:
        return None
    type_, hop, source, target, schema, body = match.groups()
    return restore(
        type_, source, target, schema, body=tuple(_split_pairs(body)), hop=_HOPS[hop], wire=data
    )


def _write(message: Message) -> bytes:
    body = message.body
    try:
        pairs = "\n".join(map("=".join, body)) + "\n" if body else ""
        text = (
            f"{message.type}\n{{\nhop={message.hop}\nsource={message.source}\n"
            f"target={message.target}\n}}\n{message.schema}\n{{\n{pairs}}}\n"
        )
        wire = text.encode("utf-8", "surrogateescape")
    except (TypeError, UnicodeEncodeError) as error:
        _refuse(message, error)
    match = _match_canonical(text)
    if match is None:
        _refuse(message)
    # A line feed or `=` that came in with a field would be one `=` too many: every line of the
    # canonical form has one. `=` in a value is allowed, so the pairs are compared then.
    if text.count("=") != _EQUALS_IN_HEADER + len(body) and _split_pairs(match[6]) != list(body):
        _refuse(message)
    if not text.isascii() and wire.decode("utf-8", "surrogateescape") != text:
        _refuse(message)
    return wire


def _check_target(message: Message) -> None:
    if message.type != CMND and not message.schema.startswith("hbeat."):
        raise InvalidMessage(
            f"{message.type} {message.schema} is for everyone: its target must be *, "
            f"not {shown(message.target)}"
        )


def _refuse(message: Message, error: Exception | None = None) -> NoReturn:
    """Raise the error of a message that has no canonical form."""
    raise InvalidMessage(_fault(message)) from error


def _fault(message: Message) -> str:
    if str(message.hop) not in _HOPS:
        return f"the hop is {shown(message.hop)}: it must be 1 to 9"
    for what, text in (("source", message.source), ("target", message.target)):
        if not _is(_STRICT_ADDRESS, text) and not (what == "target" and text == "*"):
            return (
                f"the {what} is {shown(text)}: it must be vendor-device.instance, at most 8, 8 and "
                "16 of a-z and 0-9 ('_' too in device, '-' in instance)"
            )
    if not _is(_STRICT_SCHEMA, message.schema):
        return (
            f"the schema is {shown(message.schema)}: it must be class.type, each at most 8 of a-z, "
            "0-9 and '-'"
        )
    pairs: Sequence[tuple[object, object]] = message.body
    for name, value in pairs:
        if not _is(_STRICT_NAME, name):
            return f"{shown(name)} is no name: at most 16 of a-z, 0-9 and '-'"
        if not isinstance(value, str):
            return f"the value of {name} is {shown(value)}: it must be text"
        if _CONTROL.search(value):
            return f"the value of {name} holds a control character: {shown(value)}"
    return "a value holds text that cannot be written as UTF-8"


def _is(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


class _Lines:
    """Reads the lines of a datagram and collects warnings."""

    def __init__(self, data: bytes) -> None:
        if not data:
            raise InvalidMessage("the datagram is empty")
        self._lines = data.decode("utf-8", "surrogateescape").split("\n")
        self._next = 0
        self._warnings: dict[str, None] = {}

    def warn(self, sentence: str) -> None:
        self._warnings[sentence] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    @property
    def rest(self) -> Sequence[str]:
        return self._lines[self._next :]

    def next(self, missing: str) -> str:
        """Return the next line; raise `InvalidMessage(missing)` if there is none."""
        if self._next >= len(self._lines):
            raise InvalidMessage(missing)
        line = self._lines[self._next]
        self._next += 1
        if line.endswith("\r"):
            self.warn("lines end in CR LF")
            return line[:-1]
        return line

    def open(self, after: str) -> None:
        missing = f"no opening brace after {after}"
        if self.next(missing) != "{":
            raise InvalidMessage(missing)

    def block(self, what: str) -> list[Pair]:
        """Return the lines up to the closing brace, split at the first `=`."""
        pairs = []
        while (line := self.next(f"the {what} is cut off: no closing brace")) != "}":
            name, equals, value = line.partition("=")
            if equals:
                pairs.append((name, value))
            elif line:
                raise InvalidMessage(f"line {self._next} of the {what} has no '=': {shown(line)}")
            else:
                self.warn(f"an empty line in the {what}")
        return pairs


def _read_leniently(data: bytes) -> tuple[Message, tuple[str, ...]]:
    """Read line by line, in time and memory proportional to the datagram."""
    lines = _Lines(data)
    line = lines.next("the datagram is empty")
    type_ = line.lower()
    if type_ not in TYPES:
        raise InvalidMessage(f"not an xPL message: it begins with {shown(line[:60])}")
    if type_ != line:
        lines.warn("the type is in upper case")
    lines.open("the type")
    hop, source, target = _header(lines)
    schema = lines.next("no schema and body after the header")
    schema = _folded(lines, "schema", schema, read_schema(schema), _STRICT_SCHEMA)
    lines.open("the schema")
    body = tuple([_pair(lines, name, value) for name, value in lines.block("body")])
    match lines.rest:
        case []:
            lines.warn("no LF at the end")
        case [""]:
            pass
        case _:
            lines.warn("bytes after the last brace are ignored")
    return restore(type_, source, target, schema, body=body, hop=hop, wire=None), lines.warnings


def _header(lines: _Lines) -> tuple[int, str, str]:
    fields: dict[str, str] = {}
    for name, value in lines.block("header"):
        folded = name.lower()
        if folded != name:
            lines.warn("a name in the header is in upper case")
        if folded not in ("hop", "source", "target"):
            lines.warn("a line of the header is neither hop, source nor target")
        elif folded in fields:
            raise InvalidMessage(f"two {folded} lines in the header")
        else:
            fields[folded] = value
    if list(fields) != ["hop", "source", "target"]:
        lines.warn("the header is not hop, source, target")
    return (
        _hop(lines, fields.get("hop", "1")),
        _address(lines, "source", fields.get("source")),
        "*" if fields.get("target") == "*" else _address(lines, "target", fields.get("target")),
    )


def _hop(lines: _Lines, text: str) -> int:
    if not _HOP.fullmatch(text):
        raise InvalidMessage(f"the hop count {shown(text)} is no number")
    hop = int(text)
    if text not in _HOPS:
        lines.warn("the hop count is not 1 to 9")
    return hop


def _address(lines: _Lines, what: str, text: str | None) -> str:
    if text is None:
        raise InvalidMessage(f"no {what} in the header")
    if not _ADDRESS.fullmatch(text):
        raise InvalidMessage(f"the {what} {shown(text)} is not an address")
    return _folded(lines, what, text, text.lower(), _STRICT_ADDRESS)


def _pair(lines: _Lines, name: str, value: str) -> Pair:
    if not _NAME.fullmatch(name):
        raise InvalidMessage(f"{shown(name)} is no name for a value")
    if _CONTROL.search(value):
        lines.warn("a value holds a control character")
    return _folded(lines, "name", name, name.lower(), _STRICT_NAME), value


def _folded(lines: _Lines, what: str, text: str, folded: str, strict: re.Pattern[str]) -> str:
    if folded != text:
        lines.warn(f"a {what} is in upper case")
    if not strict.fullmatch(folded):
        lines.warn(f"a {what} is longer than, or has characters that, the specification allows")
    return folded
