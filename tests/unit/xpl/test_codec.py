"""What may be sent, and what is understood of what others send."""

from __future__ import annotations

import pytest

from domogik.xpl.codec.codec import decode, decode_with_warnings, encode
from domogik.xpl.codec.message import CMND, STAT, TRIG, InvalidMessage, Message

HEARTBEAT = Message(
    STAT,
    "domogik-manager.vm",
    "*",
    "hbeat.app",
    (("interval", "5"), ("port", "56607"), ("remote-ip", "127.0.0.1"), ("status", "2")),
)
HEARTBEAT_BYTES = (
    b"xpl-stat\n{\nhop=1\nsource=domogik-manager.vm\ntarget=*\n}\nhbeat.app\n{\n"
    b"interval=5\nport=56607\nremote-ip=127.0.0.1\nstatus=2\n}\n"
)


def sent(
    type_: str = TRIG,
    source: str = "acme-lamp.hall",
    target: str = "*",
    schema: str = "sensor.basic",
    body: object = (("device", "d1"),),
    hop: int = 1,
) -> Message:
    return Message(type_, source, target, schema, body, hop)  # type: ignore[arg-type]


def datagram(
    body: str | bytes = "device=d1\n",
    *,
    type_: str = "xpl-trig",
    header: str = "hop=1\nsource=acme-lamp.hall\ntarget=*\n",
    schema: str = "sensor.basic",
    end: bytes = b"}\n",
) -> bytes:
    pairs = body if isinstance(body, bytes) else body.encode()
    return f"{type_}\n{{\n{header}}}\n{schema}\n{{\n".encode() + pairs + end


# -- the canonical form


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (HEARTBEAT, HEARTBEAT_BYTES),
        (
            Message(
                CMND, "a-b.c", "domogik-manager.vm", "hbeat.request", (("command", "request"),)
            ),
            (
                b"xpl-cmnd\n{\nhop=1\nsource=a-b.c\ntarget=domogik-manager.vm\n}\nhbeat.request\n{\n"
                b"command=request\n}\n"
            ),
        ),
        (
            Message(TRIG, "bnz-owfs.4b2e", "*", "sensor.basic", (("current", "21.5 C, ok!"),), 9),
            (
                b"xpl-trig\n{\nhop=9\nsource=bnz-owfs.4b2e\ntarget=*\n}\nsensor.basic\n{\n"
                b"current=21.5 C, ok!\n}\n"
            ),
        ),
        (
            Message(CMND, "a-b.c", "xpl-group.kitchen", "osd.basic"),
            b"xpl-cmnd\n{\nhop=1\nsource=a-b.c\ntarget=xpl-group.kitchen\n}\nosd.basic\n{\n}\n",
        ),
        (
            Message(
                STAT, "a-b.c", "*", "x.y", (("k", "a=b={}"), ("k", ""), ("j", "}"), ("k", "é"))
            ),
            "xpl-stat\n{\nhop=1\nsource=a-b.c\ntarget=*\n}\nx.y\n{\nk=a=b={}\nk=\nj=}\nk=é\n}\n".encode(),
        ),
    ],
)
def test_a_message_is_written_and_read_in_exactly_one_way(message: Message, data: bytes) -> None:
    assert encode(message) == data
    assert decode(data) == message
    assert encode(decode(data)) == data
    assert decode_with_warnings(data) == (message, ())


def test_writing_twice_gives_the_same_bytes() -> None:
    message = sent()
    assert encode(message) == encode(message) == datagram()


def test_values_that_are_not_utf8_go_through_unharmed() -> None:
    data = datagram(b"name=caf\xe9 \xff\xfe \xf0\x9f\x92\xa1\n")
    assert encode(decode(data)) == data
    assert decode(data).get("name", "").endswith("\N{ELECTRIC LIGHT BULB}")


def test_a_description_of_500_characters_can_be_sent() -> None:
    message = sent(body=(("description0", "x" * 500),))
    assert decode(encode(message)) == message


# -- strict in what is sent


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (sent(hop=0), "the hop is 0"),
        (sent(hop=10), "the hop is 10"),
        (sent(hop=True), "the hop is True"),
        (sent(source="acme.hall"), "the source is 'acme.hall'"),
        (sent(source="ACME-lamp.hall"), "the source is"),
        (sent(source="acme-lamp.12345678901234567"), "the source is"),
        (sent(source="acmeacmea-lamp.hall"), "the source is"),
        (sent(source="acme-lamplampl.hall"), "the source is"),
        (sent(source="*"), r"the source is '\*'"),
        (sent(CMND, target="**"), r"the target is '\*\*'"),
        (sent(CMND, target=""), "the target is ''"),
        (sent(source="a-b.c\ntarget=*\n}\nx.y\n{\nq=1"), "the source is"),
        (sent(CMND, target="*\n}\nx.y\n{\nq=1"), "the target is"),
        (sent(schema="sensor"), "the schema is 'sensor'"),
        (sent(schema="sensor.basic.more"), "the schema is"),
        (sent(schema="sensorsen.basic"), "the schema is"),
        (sent(schema="sensor.basicbas"), None),
        (sent(schema="sensor.basicbasic"), "the schema is"),
        (sent(schema="x.y\n{\na=b\n}\nx.y"), "the schema is"),
        (sent(body=(("Device", "1"),)), "'Device' is no name"),
        (sent(body=(("a_b", "1"),)), "'a_b' is no name"),
        (sent(body=(("", "1"),)), "'' is no name"),
        (sent(body=(("a" * 16, "1"),)), None),
        (sent(body=(("a" * 17, "1"),)), "is no name"),
        (sent(body=(("a=b", "1"),)), "'a=b' is no name"),
        (sent(body=(("a=1\nb", "2"),)), "is no name"),
        (sent(body=(("a", "1\nb=2"),)), "the value of a holds a control character"),
        (sent(body=(("a", "1\n}\nxpl-cmnd"),)), "the value of a holds a control character"),
        (sent(body=(("a", "1\r"),)), "the value of a holds a control character"),
        (sent(body=(("a", "\t"),)), "the value of a holds a control character"),
        (sent(body=(("a", "\0"),)), "the value of a holds a control character"),
        (sent(body=(("a", "\x7f"),)), "the value of a holds a control character"),
        (sent(body=(("a", "\ud800"),)), "cannot be written as UTF-8"),
        (sent(body=(("a", "\udcc3\udca9"),)), "cannot be written as UTF-8"),
        (sent(body=(("a", 1),)), "the value of a is 1"),
        (sent(body=((1, "a"),)), "1 is no name"),
        (sent(body=(("a", None),)), "the value of a is None"),
    ],
)
def test_what_xpl_forbids_is_not_sent_and_the_fault_is_named(
    message: Message, fault: str | None
) -> None:
    if fault is None:
        assert decode(encode(message)) == message
    else:
        with pytest.raises(InvalidMessage, match=fault):
            encode(message)


@pytest.mark.parametrize("type_", [STAT, TRIG])
def test_status_and_trigger_messages_are_for_everyone(type_: str) -> None:
    message = sent(type_, target="acme-panel.hall")
    with pytest.raises(InvalidMessage, match="is for everyone"):
        encode(message)
    assert decode(encode(message, addressed=True)) == message


def test_what_was_received_with_a_target_is_no_more_allowed_than_what_is_ours() -> None:
    message = decode(datagram(header="hop=1\nsource=acme-lamp.hall\ntarget=a-b.c\n"))
    with pytest.raises(InvalidMessage, match="is for everyone"):
        encode(message)


def test_a_heartbeat_may_answer_the_one_who_asked() -> None:
    answer = sent(STAT, target="domogik-manager.vm", schema="hbeat.app")
    assert decode(encode(answer)) == answer


def test_the_ids_of_domogik_plugins_may_have_an_underscore() -> None:
    assert b"source=domogik-wol_ping.vm\n" in encode(sent(source="domogik-wol_ping.vm"))


# -- lenient in what is received


@pytest.mark.parametrize(
    ("data", "expected", "warning"),
    [
        (HEARTBEAT_BYTES.replace(b"\n", b"\r\n"), HEARTBEAT, "CR LF"),
        (HEARTBEAT_BYTES[:-1], HEARTBEAT, "no LF at the end"),
        (HEARTBEAT_BYTES.replace(b"\n", b"\r\n")[:-1], HEARTBEAT, "CR LF"),
        (HEARTBEAT_BYTES + b"\0\0\0", HEARTBEAT, "bytes after"),
        (HEARTBEAT_BYTES + b"\n", HEARTBEAT, "bytes after"),
        (HEARTBEAT_BYTES + datagram(), HEARTBEAT, "bytes after"),
        (datagram(type_="XPL-Trig"), sent(), "type is in upper case"),
        (datagram(header="target=*\nsource=acme-lamp.hall\nhop=1\n"), sent(), "the header"),
        (datagram(header="source=acme-lamp.hall\ntarget=*\n"), sent(), "the header"),
        (
            datagram(header="hop=1\nsource=acme-lamp.hall\nvia=x\ntarget=*\n"),
            sent(),
            "neither hop, source nor target",
        ),
        (datagram(header="Hop=1\nSOURCE=acme-lamp.hall\ntarget=*\n"), sent(), "upper case"),
        (datagram(header="hop=1\nsource=ACME-Lamp.Hall\ntarget=*\n"), sent(), "a source is in"),
        (
            datagram(type_="xpl-cmnd", header="hop=1\nsource=acme-lamp.hall\ntarget=A-B.C\n"),
            sent(CMND, target="a-b.c"),
            "a target is in",
        ),
        (
            datagram(header="hop=10\nsource=acme-lamp.hall\ntarget=*\n"),
            sent(hop=10),
            "hop count is not 1 to 9",
        ),
        (
            datagram(header="hop=0\nsource=acme-lamp.hall\ntarget=*\n"),
            sent(hop=0),
            "hop count is not 1 to 9",
        ),
        (
            datagram(header="hop=1\nsource=acme-lamp-hall\ntarget=*\n"),
            sent(source="acme-lamp-hall"),
            "a source is longer",
        ),
        (
            datagram(header="hop=1\nsource=acmecontrols-lamp_old.the.whole_house\ntarget=*\n"),
            sent(source="acmecontrols-lamp_old.the.whole_house"),
            "a source is longer",
        ),
        (datagram(schema="Sensor.BASIC"), sent(), "a schema is in upper case"),
        (datagram(schema="sensor_x.basicbasic"), sent(schema="sensor_x.basicbasic"), "a schema is"),
        (datagram("Device=D1\n"), sent(body=(("device", "D1"),)), "a name is in upper case"),
        (datagram("foo_bar=1\n"), sent(body=(("foo_bar", "1"),)), "a name is longer"),
        (
            datagram("a name beyond sixteen=1\n"),
            sent(body=(("a name beyond sixteen", "1"),)),
            "a name is longer",
        ),
        (datagram("a=x\ty\x00\n"), sent(body=(("a", "x\ty\x00"),)), "control character"),
        (datagram("\na=1\n\n"), sent(body=(("a", "1"),)), "an empty line in the body"),
    ],
)
def test_what_others_send_differently_is_understood_with_a_warning(
    data: bytes, expected: Message, warning: str
) -> None:
    assert decode(data) == expected
    message, warnings = decode_with_warnings(data)
    assert message == expected
    assert any(warning in sentence for sentence in warnings), warnings


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        ("", ()),
        ("a=\n", (("a", ""),)),
        ("a= \n", (("a", " "),)),
        ("a=b=c\n", (("a", "b=c"),)),
        ("a=}\nb={\n", (("a", "}"), ("b", "{"))),
        ("a=1\nb=2\na=3\n", (("a", "1"), ("b", "2"), ("a", "3"))),
        ("a=" + "x" * 60_000 + "\n", (("a", "x" * 60_000),)),
        ("a=Mixed Case, kept!\n", (("a", "Mixed Case, kept!"),)),
        ("a=\u2028\x85\u00a0\n", (("a", "\u2028\x85\u00a0"),)),
    ],
)
def test_bodies_the_original_refused_or_rearranged_are_read_as_they_are(
    body: str, pairs: tuple[tuple[str, str], ...]
) -> None:
    assert decode_with_warnings(datagram(body)) == (sent(body=pairs), ())


def test_addressed_status_messages_and_groups_are_received_without_ado() -> None:
    data = datagram(header="hop=1\nsource=acme-lamp.hall\ntarget=xpl-group.kitchen\n")
    message, warnings = decode_with_warnings(data)
    assert (message.target, warnings) == ("xpl-group.kitchen", ())


def test_the_same_oddity_a_thousand_times_is_one_warning() -> None:
    _, warnings = decode_with_warnings(datagram("A=1\n" * 1000))
    assert warnings == ("a name is in upper case",)


def test_an_odd_message_is_written_properly_once_it_is_understood() -> None:
    assert encode(decode(HEARTBEAT_BYTES.replace(b"\n", b"\r\n") + b"junk")) == HEARTBEAT_BYTES


# -- what is no message


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "empty"),
        (b"\n", "not an xPL message"),
        (b"hello", "not an xPL message"),
        (b"xpl-stat", "no opening brace after the type"),
        (b"xpl-stat\n\n", "no opening brace after the type"),
        (b"xpl-stat\n{", "the header is cut off"),
        (b"xpl-stat\n{\nhop=1\n", "the header is cut off"),
        (datagram(type_="xpl-cmndx"), "not an xPL message: it begins with 'xpl-cmndx'"),
        (datagram(type_=" xpl-cmnd"), "not an xPL message"),
        (datagram(header=""), "no source"),
        (datagram(header="hop=1\nsource=a-b.c\n"), "no target"),
        (datagram(header="hop=1\ntarget=*\n"), "no source"),
        (datagram(header="hop=1\nsource=a-b.c\ntarget=*\nsource=d-e.f\n"), "two source lines"),
        (datagram(header="hop=1\nsource\ntarget=*\n"), "line 4 of the header has no '=': 'source'"),
        (datagram(header="hop=-1\nsource=a-b.c\ntarget=*\n"), "hop count '-1'"),
        (datagram(header="hop=\nsource=a-b.c\ntarget=*\n"), "hop count ''"),
        (datagram(header="hop=٣\nsource=a-b.c\ntarget=*\n"), "hop count"),
        (datagram(header="hop=1000\nsource=a-b.c\ntarget=*\n"), "hop count"),
        (datagram(header="hop=1\nsource=*\ntarget=*\n"), r"the source '\*'"),
        (datagram(header="hop=1\nsource=a b-c.d\ntarget=*\n"), "the source"),
        (datagram(header="hop=1\nsource=ab.c\ntarget=*\n"), "the source"),
        (datagram(header="hop=1\nsource=é-b.c\ntarget=*\n"), "the source"),
        (datagram(header="hop=1\nsource=\u212a-b.c\ntarget=*\n"), "the source"),
        (datagram(header="hop=1\nsource=a-b.c\ntarget=*x\n"), "the target"),
        (datagram(header=f"hop=1\nsource=a-b.{'c' * 65}\ntarget=*\n"), "the source"),
        (datagram(schema="sensor"), "the schema"),
        (datagram(schema=""), "the schema"),
        (datagram(schema="}"), "the schema"),
        (b"xpl-stat\n{\nhop=1\nsource=a-b.c\ntarget=*\n}\n", "the schema"),
        (b"xpl-stat\n{\nhop=1\nsource=a-b.c\ntarget=*\n}", "no schema and body"),
        (
            b"xpl-stat\n{\nhop=1\nsource=a-b.c\ntarget=*\n}\nx.y\n",
            "no opening brace after the schema",
        ),
        (datagram(end=b""), "the body is cut off"),
        (datagram("a=1\nb=2", end=b""), "the body is cut off"),
        (datagram("a=1\nhalf a value\nb=2\n"), "line 10 of the body has no '=': 'half a value'"),
        (datagram("=1\n"), "'' is no name"),
        (datagram("é=1\n"), "is no name"),
        (datagram("a\tb=1\n"), "is no name"),
        (datagram("a" * 65 + "=1\n"), "is no name"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(data: bytes, fault: str) -> None:
    with pytest.raises(InvalidMessage, match=fault) as caught:
        decode(data)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"\n" * 65_507,
        b"=" * 65_507,
        b"xpl-stat\n{\n" + b"\n" * 65_000,
        b"xpl-stat\n{\n" + b"hop=1" * 13_000,
        b"xpl-stat\n{\nhop=1\nsource=" + b"a" * 65_000,
        b"xpl-stat\n{\nhop=1\nsource=" + b"a-" * 32_000,
        b"xpl-stat\n{\nhop=1\nsource=a-b.c\ntarget=*\n}\n" + b"x." * 32_000,
        datagram("a" * 65_000),
        datagram("a=" * 32_000, end=b""),
        datagram("a=1\n" * 16_000 + "b"),
        datagram("a=\n" * 21_000, end=b""),
        datagram("a=1\n" * 16_000, end=b"}x"),
        datagram(b"\xff" * 65_000),
    ],
)
def test_the_largest_datagram_made_to_hurt_is_refused_like_any_other(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode(data)
