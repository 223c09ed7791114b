"""How messages are shown: in a line, in full, for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from domogik.cli.terminal import Palette
from domogik.cli.xpl.messages import as_json, in_a_line, in_full
from domogik.cli.xpl.station import Heard
from domogik.xpl.codec.codec import decode
from domogik.xpl.codec.message import STAT, TRIG, Message

MOMENT = datetime(2026, 1, 1, 12, 0, 1, 250000, tzinfo=UTC)
PLAIN = Palette(False)
LAMP = Message(TRIG, "acme-lamp.hall", "*", "sensor.basic", (("device", "hall"), ("current", "on")))
INVALID = Heard(None, error="no '='", data=b"xpl-trig\n\x00\xff", sender=("127.0.0.1", 4000))


def line(message: Message) -> str:
    return in_a_line(Heard(message), MOMENT, PLAIN)


def test_a_message_is_one_line() -> None:
    assert line(LAMP) == (
        "12:00:01.250 xpl-trig acme-lamp.hall > * sensor.basic device=hall current=on"
    )


def test_a_value_in_a_line_says_where_it_ends() -> None:
    message = Message(STAT, "a-b.c", "*", "d.e", (("x", "two words"), ("y", ""), ("z", 'say "hi"')))
    assert line(message).endswith(r'x="two words" y="" z="say \"hi\""')


def test_each_type_has_its_colour() -> None:
    shown = {
        in_a_line(Heard(Message(type, "a-b.c", "*", "d.e")), MOMENT, Palette(True))
        for type in ("xpl-cmnd", "xpl-stat", "xpl-trig")
    }
    assert len({text.split("xpl-")[0] for text in shown}) == 3


def test_in_full_it_is_as_on_the_network() -> None:
    text = in_full(Heard(LAMP), MOMENT, PLAIN)
    time, rest = text.split("\n", 1)
    assert time == "# 12:00:01.250"
    assert decode(rest.encode()) == LAMP


def test_in_full_what_is_odd_is_said() -> None:
    text = in_full(Heard(LAMP, ("lines end in CR LF",)), MOMENT, PLAIN)
    assert "# lines end in CR LF\n" in text


def test_for_programs_nothing_is_lost() -> None:
    body = (("a", "1"), ("b", "2"), ("a", "caf\udce9"))
    document = json.loads(as_json(Heard(Message(STAT, "a-b.c", "*", "d.e", body)), MOMENT))
    assert [tuple(pair) for pair in document["body"]] == list(body)
    assert document["time"] == "2026-01-01T12:00:01.250+00:00"
    assert list(document) == [
        "time",
        "type",
        "hop",
        "source",
        "target",
        "schema",
        "body",
        "warnings",
    ]


def test_what_is_no_message_is_shown_as_such_with_its_sender() -> None:
    assert in_a_line(INVALID, MOMENT, PLAIN) == (
        r"12:00:01.250 invalid from 127.0.0.1:4000: no '=': b'xpl-trig\n\x00\xff'"
    )
    assert "invalid from 127.0.0.1:4000" in in_full(INVALID, MOMENT, PLAIN)
    document = json.loads(as_json(INVALID, MOMENT))
    assert document["data"].encode("latin-1") == INVALID.data
    assert document["sender"] == "127.0.0.1:4000"


def test_nothing_in_a_message_reaches_the_terminal_as_an_order() -> None:
    hostile = Message(STAT, "a-b.c", "*", "d.e", (("x", "\x1b[2J"), ("y", "\x1b]0;t\x07 \x9b")))
    for text in (line(hostile), in_full(Heard(hostile), MOMENT, PLAIN)):
        assert not any(ord(letter) < 32 and letter != "\n" for letter in text)
        assert "\x9b" not in text
