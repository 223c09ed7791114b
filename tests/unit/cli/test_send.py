"""What `dmg_send` makes of its arguments, and what it takes for an answer."""

from __future__ import annotations

import pytest

from domogik.cli.xpl.send import is_answer, parts_of, read_body
from domogik.cli.xpl.station import Heard
from domogik.xpl.codec.codec import encode
from domogik.xpl.codec.message import CMND, STAT, TRIG, InvalidMessage, Message


@pytest.mark.parametrize(
    ("arguments", "pairs"),
    [
        (["command=stop,plugin=*,host=vm"], [("command", "stop"), ("plugin", "*"), ("host", "vm")]),
        (["a=1", "b=2,3", "c=x=y"], [("a", "1"), ("b", "2,3"), ("c", "x=y")]),
        (["text=one, two,and three"], [("text", "one, two,and three")]),
        (["a=1", "b=2,c=3"], [("a", "1"), ("b", "2,c=3")]),
        (["a=,b="], [("a", ""), ("b", "")]),
        ([], []),
        ([""], []),
    ],
)
def test_a_body_is_one_argument_or_several(
    arguments: list[str], pairs: list[tuple[str, str]]
) -> None:
    assert list(read_body(arguments)) == pairs


def test_what_has_no_equals_sign_is_named() -> None:
    with pytest.raises(InvalidMessage, match="'loud' is not name=value"):
        read_body(["a=1", "loud"])


def test_a_large_message_goes_in_parts() -> None:
    body = tuple((f"n{number}", "v" * 100) for number in range(40))
    parts = parts_of(Message(CMND, "a-b.c", "*", "d.e", body))
    assert [part.schema for part in parts] == ["fragment.basic"] * 4
    assert all(len(encode(part)) <= 1472 for part in parts)


def test_what_may_not_be_sent_is_not_cut_either() -> None:
    with pytest.raises(InvalidMessage):
        parts_of(Message(STAT, "a-b.c", "x-y.z", "d.e"))


def test_an_answer_is_what_somebody_else_says_in_this_schema() -> None:
    sent = Message(CMND, "a-b.c", "*", "d.e")
    assert is_answer(sent, Heard(Message(TRIG, "x-y.z", "*", "d.e")))
    assert not is_answer(sent, Heard(Message(TRIG, "x-y.z", "*", "other.e")))
    assert not is_answer(sent, Heard(Message(CMND, "x-y.z", "*", "d.e")))
    assert not is_answer(sent, Heard(Message(TRIG, "a-b.c", "*", "d.e")))
    assert not is_answer(sent, Heard(None, error="no message"))
