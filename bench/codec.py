"""How fast is the codec, beside a straightforward parser of regular expressions?

    python -m bench.codec [seconds for each figure]

The mix is five messages with bodies of 4, 4, 3, 5 and 20 lines. Whoever parses also reads every
field of the header and every pair of the body. Figures are messages per second of CPU time on one
core (so that neighbours on the machine count little), the median of `REPEATS` rounds; contestants
take turns within a round, and the garbage collector is off while one runs.
"""

from __future__ import annotations

import gc
import re
import statistics
import sys
import time
from collections.abc import Callable

from domogik.xpl.codec.codec import _write, decode, encode
from domogik.xpl.codec.message import CMND, STAT, TRIG, Message

REPEATS = 7
TARGET = 150_000

_LISTED = [
    (f"plugin{number}-{key}", value)
    for number, name in enumerate(("diskfree", "clock", "ping", "script"))
    for key, value in (
        ("name", name),
        ("type", "plugin"),
        ("techno", "service"),
        ("status", "ON"),
        ("host", "vm"),
    )
]
MESSAGES = [
    Message(
        STAT,
        "domogik-manager.vm",
        "*",
        schema="hbeat.app",
        body=[("interval", "5"), ("port", "56607"), ("remote-ip", "127.0.0.1"), ("status", "2")],
    ),
    Message(
        CMND,
        "domogik-rest.vm",
        "*",
        schema="domogik.system",
        body=[("command", "start"), ("host", "vm"), ("plugin", "diskfree"), ("type", "plugin")],
    ),
    Message(
        TRIG,
        "bnz-owfs.livingroom",
        "*",
        schema="sensor.basic",
        body=[("device", "28.112233445566"), ("type", "temp"), ("current", "21.5")],
    ),
    Message(
        TRIG,
        "domogik-x10_heyu.cellar",
        "*",
        schema="x10.basic",
        body=[
            ("command", "on"),
            ("device", "a1"),
            ("house", "a"),
            ("level", "100"),
            ("kind", "lamp"),
        ],
    ),
    Message(
        TRIG,
        "domogik-manager.vm",
        "*",
        schema="domogik.system",
        body=[("command", "list"), ("host", "vm"), *_LISTED[:18]],
    ),
]
MIX = [encode(message) for message in MESSAGES]
CRLF_MIX = [data.replace(b"\n", b"\r\n") for data in MIX]


class PlainMessage:
    """The straightforward way: regular expressions for what is checked, a list of lines back."""

    _WHOLE = re.compile(r"(xpl-(?:cmnd|stat|trig))\n\{\n(.*?)\n\}\n([^\n]+)\n\{\n(.*)\}\n", re.S)
    _HOP = re.compile(r"[1-9]")
    _ADDRESS = re.compile(r"[a-z0-9]{1,8}-[a-z0-9_]{1,8}\.[a-z0-9-]{1,16}")
    _SCHEMA = re.compile(r"[a-z0-9-]{1,8}\.[a-z0-9-]{1,8}")
    _PAIR = re.compile(r"([a-z0-9-]{1,16})=(.*)")

    def __init__(self, data: bytes) -> None:
        match = self._WHOLE.fullmatch(data.decode())
        if match is None:
            raise ValueError("not a message")
        self.type = match[1]
        header = dict(line.split("=", 1) for line in match[2].split("\n"))
        self.hop, self.source, self.target = header["hop"], header["source"], header["target"]
        if not self._HOP.fullmatch(self.hop):
            raise ValueError("bad hop")
        if not self._ADDRESS.fullmatch(self.source):
            raise ValueError("bad source")
        if self.target != "*" and not self._ADDRESS.fullmatch(self.target):
            raise ValueError("bad target")
        self.schema = match[3]
        if not self._SCHEMA.fullmatch(self.schema):
            raise ValueError("bad schema")
        self.body = []
        for line in match[4].split("\n")[:-1]:
            pair = self._PAIR.fullmatch(line)
            if pair is None:
                raise ValueError("bad line")
            self.body.append((pair[1], pair[2]))

    def to_bytes(self) -> bytes:
        lines = [self.type, "{", f"hop={self.hop}", f"source={self.source}"]
        lines += [f"target={self.target}", "}", self.schema, "{"]
        lines += [f"{name}={value}" for name, value in self.body]
        lines += ["}", ""]
        return "\n".join(lines).encode()


def _read(message: Message | PlainMessage) -> int:
    _ = message.type, message.hop, message.source, message.target, message.schema
    pairs = 0
    for _name, _value in message.body:
        pairs += 1
    return pairs


def _ours(data: bytes) -> bytes:
    message = decode(data)
    _read(message)
    return encode(message)


def _ours_unkept(data: bytes) -> bytes:
    message = decode(data)
    _read(message)
    return _write(message)


def _ours_anew(data: bytes) -> bytes:
    read = decode(data)
    _read(read)
    return encode(
        Message(
            read.type, read.source, read.target, schema=read.schema, body=read.body, hop=read.hop
        )
    )


def _ours_parse(data: bytes) -> Message:
    message = decode(data)
    _read(message)
    return message


def _ours_lazy(data: bytes) -> bytes:
    return encode(decode(data))


def _ours_write(message: Message) -> bytes:
    return encode(
        Message(
            message.type, message.source, message.target, schema=message.schema, body=message.body
        )
    )


def _plain(data: bytes) -> bytes:
    message = PlainMessage(data)
    _read(message)
    return message.to_bytes()


def _plain_parse(data: bytes) -> PlainMessage:
    message = PlainMessage(data)
    _read(message)
    return message


#: name -> what is done with each message, and with which ones
CONTESTANTS: dict[str, tuple[Callable[..., object], list[bytes] | list[Message]]] = {
    "ours_full": (_ours, MIX),
    "ours_unkept": (_ours_unkept, MIX),
    "ours_anew": (_ours_anew, MIX),
    "ours_parse": (_ours_parse, MIX),
    "ours_lazy": (_ours_lazy, MIX),
    "ours_write": (_ours_write, MESSAGES),
    "ours_crlf": (_ours_parse, CRLF_MIX),
    "plain": (_plain, MIX),
    "plain_parse": (_plain_parse, MIX),
}
MEANING = {
    "ours_full": "decode, read everything, encode",
    "ours_unkept": "the same, but the bytes it was read from are not made use of",
    "ours_anew": "the same, and a new Message is built from the fields",
    "ours_parse": "decode, read everything",
    "ours_lazy": "decode, encode, nothing read",
    "ours_write": "a new Message from fields, encode",
    "ours_crlf": "decode with CR LF (the lenient path), read everything",
    "plain": "straightforward: parse, read everything, serialise",
    "plain_parse": "straightforward: parse, read everything",
}


def _rate(work: Callable[..., object], mix: list[bytes] | list[Message], seconds: float) -> float:
    """Messages per second of CPU time, over about `seconds`."""
    done = 0
    started = time.process_time()
    while (spent := time.process_time() - started) < seconds:
        for _ in range(200):
            for item in mix:
                work(item)
        done += 200 * len(mix)
    return done / spent


def run(seconds: float = 0.5, repeats: int = REPEATS) -> dict[str, float]:
    """Messages per second for every contestant, each measured `repeats` times for `seconds`.

    A message keeps the bytes it was read from if they are canonical, so that ours_full does not
    write them anew: `ratio` is ours_full to plain, `ratio_unkept` without that.
    """
    assert all(
        _ours(data) == _ours_unkept(data) == _ours_anew(data) == _plain(data) == data
        for data in MIX
    )
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    collecting = gc.isenabled()
    try:
        for _ in range(repeats):
            for name, (work, mix) in CONTESTANTS.items():
                gc.collect()
                gc.disable()
                rates[name].append(_rate(work, mix, seconds))
                gc.enable()
    finally:
        (gc.enable if collecting else gc.disable)()
    figures = {name: statistics.median(values) for name, values in rates.items()}
    figures["ratio"] = figures["ours_full"] / figures["plain"]
    figures["ratio_unkept"] = figures["ours_unkept"] / figures["plain"]
    return figures


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    figures = run(seconds)
    for name, meaning in MEANING.items():
        rate = figures[name]
        print(f"{name:12} {rate:>9,.0f}/s {rate / figures['plain']:5.2f}x  {meaning}")
    print(f"wanted of ours_full: {TARGET:,}/s")


if __name__ == "__main__":
    main()
