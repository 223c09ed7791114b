"""How does a message look: in a line, in full, and for programs?"""

from __future__ import annotations

import json
import re
from datetime import datetime

from domogik.cli.terminal import BLUE, BOLD, DIM, GREEN, MAGENTA, RED, Palette, printable
from domogik.cli.xpl.station import Heard
from domogik.xpl.codec.message import CMND, STAT, TRIG, Message

_COLOURS = {CMND: MAGENTA, STAT: BLUE, TRIG: GREEN}
#: such a value is told from its neighbours without quotes
_PLAIN = re.compile(r"[^\s\"'\\]+")
#: of what is no message so many bytes are shown
_SHOWN_BYTES = 200


def in_a_line(heard: Heard, moment: datetime, palette: Palette) -> str:
    """`12:00:01.250 xpl-trig acme-lamp.hall > * sensor.basic device=hall current=on`"""
    time = palette.paint(_clock(moment), DIM)
    message = heard.message
    if message is None:
        return f"{time} {palette.paint('invalid', RED)} {_invalid(heard)}"
    colour = _COLOURS[message.type]
    words = [
        time,
        palette.paint(message.type, colour),
        printable(message.source),
        ">",
        printable(message.target),
        palette.paint(printable(message.schema), BOLD),
    ]
    words += [f"{printable(name)}={_quoted(value)}" for name, value in message.body]
    return " ".join(words)


def in_full(heard: Heard, moment: datetime, palette: Palette) -> str:
    """As it is on the network, with the time, and what is odd about it, in comments."""
    message = heard.message
    time = palette.paint(f"# {_clock(moment)}", DIM)
    if message is None:
        return f"{time} {palette.paint('invalid', RED)} {_invalid(heard)}\n"
    lines = [time, *(palette.paint(f"# {warning}", DIM) for warning in heard.warnings)]
    lines += [
        palette.paint(message.type, _COLOURS[message.type]),
        "{",
        f"hop={message.hop}",
        f"source={printable(message.source)}",
        f"target={printable(message.target)}",
        "}",
        palette.paint(printable(message.schema), BOLD),
        "{",
        *(f"{printable(name)}={printable(value)}" for name, value in message.body),
        "}",
    ]
    return "\n".join(lines) + "\n"


def as_json(heard: Heard, moment: datetime) -> str:
    """One object in one line; ASCII, so that whatever was in a datagram can be written."""
    time = moment.isoformat(timespec="milliseconds")
    message = heard.message
    if message is None:
        ip, port = heard.sender
        data = heard.data.decode("latin-1")
        return json.dumps(
            {"time": time, "error": heard.error, "sender": f"{ip}:{port}", "data": data}
        )
    return json.dumps({"time": time, **_document(message), "warnings": list(heard.warnings)})


def _document(message: Message) -> dict[str, object]:
    return {
        "type": message.type,
        "hop": message.hop,
        "source": message.source,
        "target": message.target,
        "schema": message.schema,
        "body": [list(pair) for pair in message.body],
    }


def _invalid(heard: Heard) -> str:
    start = ascii(heard.data[:_SHOWN_BYTES])
    more = "..." if len(heard.data) > _SHOWN_BYTES else ""
    return f"from {heard.sender[0]}:{heard.sender[1]}: {printable(heard.error)}: {start}{more}"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return printable(value)
    return '"' + printable(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
