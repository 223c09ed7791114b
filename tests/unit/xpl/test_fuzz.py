"""Whatever bytes arrive, they are a message or an `InvalidMessage`; whatever is sent arrives.

`DOMOGIK_FUZZ` is the number of damaged datagrams: 50,000 unless said otherwise, a million at night.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from domogik.xpl.codec.codec import _read_canonical, _read_leniently, decode, encode
from domogik.xpl.codec.fragments import Reassembler, SentFragments
from domogik.xpl.codec.message import CMND, STAT, TRIG, InvalidMessage, Message

DATAGRAMS = int(os.environ.get("DOMOGIK_FUZZ", "50000"))

addresses = st.from_regex(r"[a-z0-9]{1,8}-[a-z0-9_]{1,8}\.[a-z0-9-]{1,16}", fullmatch=True)
schemas = st.from_regex(r"[a-z0-9-]{1,8}\.[a-z0-9-]{1,8}", fullmatch=True)
names = st.from_regex(r"[a-z0-9-]{1,16}", fullmatch=True)
#: any bytes but control characters, as the text that stands for them
values = (
    st.binary(max_size=40)
    .map(lambda data: bytes(byte for byte in data if byte >= 32 and byte != 127))
    .map(lambda data: data.decode("utf-8", "surrogateescape"))
) | st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]))
messages = st.builds(
    Message,
    st.sampled_from([CMND, STAT, TRIG]),
    addresses,
    st.just("*") | addresses,
    schemas,
    st.lists(st.tuples(names, values), max_size=8),
    st.integers(1, 9),
)
#: also what may not be sent
any_messages = st.builds(
    Message,
    st.sampled_from([CMND, STAT, TRIG]),
    addresses | st.text(max_size=30),
    st.just("*") | addresses | st.text(max_size=30),
    schemas | st.text(max_size=20),
    st.lists(st.tuples(names | st.text(max_size=5), values | st.text(max_size=9)), max_size=4),
    st.integers(-1, 11),
)

SEEDS = (
    (
        b"xpl-stat\n{\nhop=1\nsource=domogik-manager.vm\ntarget=*\n}\nhbeat.app\n{\n"
        b"interval=5\nport=56607\nremote-ip=127.0.0.1\nstatus=2\n}\n"
    ),
    (
        b"xpl-cmnd\r\n{\r\ntarget=xpl-group.hall\r\nhop=2\r\nsource=ACME-lamp.x\r\n}\r\nx10.basic\r\n"
        b"{\r\ncommand=on\r\ndevice=a1,a2\r\n\r\n}\r\n"
    ),
    (
        b"xpl-trig\n{\nhop=1\nsource=domogik-manager.vm\ntarget=*\n}\nfragment.basic\n{\n"
        b"partid=1/2:7\nschema=domogik.system\ncommand=list\nplugin0-name=caf\xc3\xa9 \xff\n}\n"
    ),
    (
        b"xpl-trig\n{\nhop=1\nsource=domogik-manager.vm\ntarget=*\n}\nfragment.basic\n{\n"
        b"partid=2/2:7\nplugin0-host=vm\n}\n"
    ),
    (
        b"xpl-cmnd\n{\nhop=1\nsource=a-b.c\ntarget=domogik-manager.vm\n}\nfragment.request\n{\n"
        b"command=resend\nmessage=7\npart=1\npart=2\n}"
    ),
)
TOKENS = (
    *(b"\n", b"\r\n", b"}", b"{", b"}\n", b"{\n", b"=", b"\0", b"\xff", b"\x80", b" ", b"-", b"."),
    *(
        b"hop=",
        b"source=",
        b"target=*\n",
        b"xpl-cmnd\n",
        b"XPL-",
        b"a=b\n",
        b"a=\n",
        b"=b\n",
        b"\t",
    ),
    *(b"partid=99/99:1\n", b"partid=0/0:0\n", b"part=99999999999999999999\n", b"schema=x.y\n"),
    *(b"9" * 300, b"a" * 300, b"hop=10\n", b"\xe2\x84\xaa", b"\xc4\xb0", b"\xd9\xa3"),
)


@given(messages)
def test_what_is_sent_is_what_arrives(message: Message) -> None:
    assert decode(encode(message, addressed=True)) == message


@given(any_messages)
def test_what_cannot_arrive_as_it_is_is_not_sent(message: Message) -> None:
    try:
        data = encode(message, addressed=True)
    except InvalidMessage:
        return
    assert decode(data) == message


@given(messages)
def test_the_quick_and_the_careful_way_of_reading_agree(message: Message) -> None:
    data = encode(message, addressed=True)
    quick = _read_canonical(data)
    assert quick == message
    assert _read_leniently(data) == (quick, ())


@given(messages, st.booleans(), st.booleans(), st.permutations(range(3)), st.binary(max_size=20))
def test_the_dialects_of_others_mean_the_same(
    message: Message, is_crlf: bool, is_upper: bool, order: list[int], junk: bytes
) -> None:
    lines = encode(message, addressed=True).split(b"\n")
    header = lines[2:5]
    lines[2:5] = [header[place] for place in order]
    if is_upper:
        lines[:7] = [line.upper() for line in lines[:7]]
        lines[8:-2] = [
            b"=".join((n.upper(), v)) for n, _, v in (x.partition(b"=") for x in lines[8:-2])
        ]
    data = (b"\r\n" if is_crlf else b"\n").join(lines)
    assert decode(data + junk) == message
    assert decode(data.rstrip(b"\r\n")) == message


@given(st.binary() | st.binary().map(lambda tail: SEEDS[0][:-3] + tail))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    read(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_truncated_message_passes_for_a_whole_one(seed: bytes) -> None:
    whole = decode(seed)
    for length in range(len(seed)):
        message = read(seed[:length])
        assert message is None or message == whole


def test_damaged_datagrams_raise_nothing_else_and_leave_nothing_behind() -> None:
    clock = Clock()
    asked: list[tuple[object, ...]] = []
    reassembler = Reassembler(clock, lambda *request: asked.append(request))
    sent = SentFragments(clock)
    sent.split(Message(TRIG, "domogik-manager.vm", "*", schema="x.y", body=[("a", "x" * 100)] * 40))
    chance = random.Random(20120211)
    understood = 0
    for number in range(DATAGRAMS):
        message = read(damaged(chance, number))
        if message is not None:
            understood += 1
            reassembler.add(message)
            sent.answer(message)
        if number % 100 == 0:
            clock.advance(chance.random())
    assert 0 < understood < DATAGRAMS
    clock.pump([1] * 600)
    reassembler.stop()
    sent.stop()
    assert clock.getDelayedCalls() == []


def read(data: bytes) -> Message | None:
    """Decode, and check that both ways of reading give one answer, which can be written or not."""
    quick = _read_canonical(data)
    try:
        careful, _ = _read_leniently(data)
    except InvalidMessage as error:
        assert quick is None
        assert str(error).isprintable()
        assert len(str(error)) < 250
        with pytest.raises(InvalidMessage):
            decode(data)
        return None
    message = decode(data)
    assert message == careful
    assert quick is None or quick == careful
    try:
        written = encode(message, addressed=True)
    except InvalidMessage:
        assert quick is None
    else:
        assert decode(written) == message
    return message


def damaged(chance: random.Random, number: int) -> bytes:
    data = bytearray(SEEDS[number % len(SEEDS)])
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        what = chance.randrange(5)
        if what == 0:
            data[at:at] = chance.choice(TOKENS)
        elif what == 1 and at < len(data):
            data[at] = chance.randrange(256)
        elif what == 2:
            del data[at : at + chance.randrange(1, 12)]
        elif what == 3:
            other = chance.choice(SEEDS)
            data[at:] = other[chance.randrange(len(other)) :]
        else:
            data[at:at] = data[at : at + chance.randrange(1, 40)] * chance.randrange(1, 20)
    return bytes(data)
