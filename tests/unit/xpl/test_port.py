"""What a process's port promises: who hears what, and that nothing from outside harms it."""

from __future__ import annotations

import errno
import os
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.codec.message import CMND, STAT, TRIG, InvalidMessage, Message
from domogik.xpl.node.bus import Bus, Origin
from domogik.xpl.node.identity import NoReply
from domogik.xpl.node.port import CannotBind, NetworkSettings, Port

HUB = ("127.0.0.1", 3865)
OTHER = ("127.0.0.1", 50123)


@attrs.define(eq=False)
class FakeSocket:
    """Takes what is sent; refuses it with `error`, hands it to `on_send`."""

    address: tuple[str, int] = ("127.0.0.1", 40999)
    sent: list = attrs.field(factory=list)
    error: OSError | None = None
    on_send: object = None
    closed: bool = False

    def send(self, data, address):
        if self.error is not None:
            raise self.error
        self.sent.append((data, address))
        if self.on_send is not None:
            self.on_send(data, address)

    def close(self):
        self.closed = True

    @property
    def messages(self):
        return [decode(data) for data, _ in self.sent]


@attrs.define(eq=False)
class Process:
    """A port with its bus, on a socket that leads nowhere."""

    settings: NetworkSettings = NetworkSettings()
    clock: Clock = attrs.field(factory=Clock)
    bus: Bus = attrs.field(factory=Bus)
    socket: FakeSocket = attrs.field(factory=FakeSocket)
    port: Port = attrs.field(init=False)
    heard: list = attrs.field(factory=list)

    def __attrs_post_init__(self):
        self.port = Port(self.clock, self.settings, self.bus, Random(1), self._open)
        self.port.start()
        self.bus.subscribe(lambda message, origin: self.heard.append((message, origin)))

    def _open(self, reactor, address, receive):
        return self.socket

    def hears(self, message, address=OTHER):
        self.port.received(encode(message, addressed=True), address)

    @property
    def schemas(self):
        return [message.schema for message, _ in self.heard]


@pytest.fixture
def process():
    return Process()


@pytest.fixture
def manager(process):
    return process.port.identity("manager", "vm")


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def warnings(logged):
    return [event for event in logged if event["log_level"].name == "warn"]


def order(**body) -> tuple[tuple[str, str], ...]:
    return tuple(body.items())


def result_of(deferred):
    results = []
    deferred.addBoth(results.append)
    return results


# -- where things are sent


@pytest.mark.parametrize(
    ("settings", "hub"),
    [
        (NetworkSettings(), ("127.0.0.1", 3865)),
        (NetworkSettings("127.0.0.5", "192.168.1.255", 4000), ("127.0.0.1", 4000)),
        (NetworkSettings("192.168.1.7"), ("255.255.255.255", 3865)),
        (NetworkSettings("0.0.0.0", "192.168.1.255", 4000), ("192.168.1.255", 4000)),
    ],
)
def test_on_loopback_everything_goes_to_127_0_0_1_else_to_the_broadcast(settings, hub):
    assert settings.hub_address == hub
    assert settings.is_loopback == settings.bind_interface.startswith("127.")


def test_what_an_identity_sends_goes_to_the_hub_from_its_own_source(process, manager):
    manager.send(TRIG, "domogik.system", [("command", "list"), ("host", "vm")])
    ((data, address),) = process.socket.sent
    assert address == HUB
    assert decode(data) == Message(
        TRIG,
        "domogik-manager.vm",
        "*",
        schema="domogik.system",
        body=order(command="list", host="vm"),
    )


def test_straight_to_somebody_is_not_through_the_hub(process, manager):
    manager.send(CMND, "hbeat.request", (), target="domogik-clock.vm", to=OTHER)
    assert [address for _, address in process.socket.sent] == [OTHER]


def test_what_xpl_cannot_say_is_refused_and_not_sent(process, manager):
    with pytest.raises(InvalidMessage):
        manager.send(TRIG, "domogik.system", [("text", "two\nlines")])
    process.clock.advance(0)
    assert process.socket.sent == []
    assert process.heard == []


def test_a_host_or_a_device_that_is_no_xpl_address_is_refused(process):
    for device, host in (("much-too-long", "vm"), ("clock", "host name"), ("", "vm")):
        with pytest.raises(InvalidMessage):
            process.port.identity(device, host)


def test_a_name_is_given_once(process, manager):
    with pytest.raises(ValueError, match=r"domogik-manager\.vm"):
        process.port.identity("Manager", "VM")


# -- what is heard in the same process


def test_the_other_identities_hear_it_in_order_after_the_send_has_returned(process, manager):
    manager.send(TRIG, "domogik.system", order(command="first"))
    manager.send(TRIG, "domogik.system", order(command="second"))
    assert process.heard == []
    process.clock.advance(0)
    assert [message.get("command") for message, _ in process.heard] == ["first", "second"]
    assert {origin for _, origin in process.heard} == {Origin(None)}
    assert process.port.counters.in_process == 2


def test_identities_of_a_process_need_no_network_to_talk(process, manager):
    process.socket.error = OSError(errno.ENETUNREACH, "Network is unreachable")
    rest = process.port.identity("rest", "vm")
    rest.presence.start()
    process.clock.advance(0)
    pinged = result_of(
        manager.request(
            "hbeat.request",
            order(command="request"),
            answer=lambda message: message.source == rest.source,
            target=rest.source,
            timeout=10,
        )
    )
    process.clock.advance(0)
    process.clock.advance(0)
    assert [message.schema for message in pinged] == ["hbeat.app"]


def test_handlers_that_answer_each_other_leave_the_reactor_its_turn(process, manager):
    order_of_events = []

    def answer_a_few_times(message, origin):
        order_of_events.append("heard")
        process.clock.callLater(0, order_of_events.append, "something else")
        if len(order_of_events) < 4:
            manager.send(TRIG, "domogik.system", order(command="again"))

    process.bus.subscribe(answer_a_few_times)
    manager.send(TRIG, "domogik.system", order(command="again"))
    process.clock.advance(0)
    assert order_of_events == ["heard", "something else"] * 3


def test_the_echo_from_the_hub_is_not_heard_a_second_time(process, manager):
    manager.send(TRIG, "domogik.system", order(command="list"))
    process.clock.advance(0)
    data, _ = process.socket.sent[0]
    process.port.received(data, HUB)
    assert process.schemas == ["domogik.system"]


def test_the_echo_of_a_heartbeat_serves_its_identitys_presence(process, manager):
    rest = process.port.identity("rest", "vm")
    manager.presence.start()
    rest.presence.start()
    process.port.received(process.socket.sent[0][0], HUB)
    assert manager.presence.hub_found
    assert not rest.presence.hub_found


def test_heartbeats_announce_the_port_and_what_the_identity_adds(process):
    clock = process.port.identity("clock", "vm", interval=10, extra=[("version", "1.0")])
    clock.presence.start()
    assert process.socket.messages[0].body == (
        ("interval", "10"),
        ("port", "40999"),
        ("remote-ip", "127.0.0.1"),
        ("status", "0"),
        ("version", "1.0"),
    )


@pytest.mark.parametrize(
    ("source", "target", "mine"),
    [
        ("acme-panel.attic", "*", True),
        ("acme-panel.attic", "domogik-manager.vm", True),
        ("acme-panel.attic", "Domogik-Manager.VM", True),
        ("acme-panel.attic", "domogik-manager.attic", False),
        ("acme-panel.attic", "xpl-group.lamps", False),
        ("domogik-manager.vm", "*", False),
    ],
)
def test_for_me_is_what_is_for_all_or_for_me_and_not_from_me(manager, source, target, mine):
    assert (
        manager.is_for_me(Message(CMND, source, target, schema="domogik.system", body=())) is mine
    )


# -- what is heard from the network


def test_what_others_send_is_delivered_with_their_address(process):
    process.hears(
        Message(STAT, "acme-panel.attic", "*", schema="sensor.basic", body=order(current="1"))
    )
    ((message, origin),) = process.heard
    assert message.source == "acme-panel.attic"
    assert origin.address == OTHER


def test_an_invalid_datagram_is_counted_and_logged_with_its_sender_once_a_minute(process, logged):
    for second in range(61):
        process.port.received(b"junk", OTHER)
        process.clock.advance(1)
        assert len(warnings(logged)) == 1 + (second >= 60)
    assert warnings(logged)[0]["address"] == OTHER
    assert process.port.counters.invalid == process.port.counters.received == 61
    assert process.heard == []


@given(st.binary(max_size=300))
def test_any_bytes_do_no_harm(data):
    process = Process()
    process.port.received(data, OTHER)
    process.port.received(b"xpl-cmnd\n{\nhop=1\nsource=a-b.c\ntarget=*\n}\n" + data, OTHER)
    assert process.port.counters.received == 2


def test_a_handler_that_raises_does_not_keep_later_datagrams_out(process):
    process.bus.subscribe(lambda *_: 1 / 0, schema="sensor.basic")
    for _ in range(2):
        process.hears(Message(STAT, "acme-panel.attic", "*", schema="sensor.basic", body=()))
    assert len(process.heard) == 2


# -- long messages

LONG = tuple((f"line{number}", "x" * 100) for number in range(32))


def test_a_long_message_travels_in_parts_and_arrives_whole():
    here, there = Process(), Process()
    here.socket.on_send = there.port.received
    here.port.identity("manager", "vm").send(TRIG, "domogik.system", LONG)
    assert len(here.socket.sent) == 3
    assert all(len(data) <= 1472 for data, _ in here.socket.sent)
    ((message, _),) = there.heard
    assert (message.schema, message.body) == ("domogik.system", LONG)


def test_the_own_process_hears_a_long_message_whole(process, manager):
    manager.send(TRIG, "domogik.system", LONG)
    process.clock.advance(0)
    assert [(message.schema, message.body) for message, _ in process.heard] == [
        ("domogik.system", LONG)
    ]


def test_a_lost_part_is_asked_for_and_sent_again():
    here, there = Process(), Process()
    there.port.identity("rest", "attic")
    here.port.identity("manager", "vm").send(TRIG, "domogik.system", LONG)
    first, _, third = [data for data, _ in here.socket.sent]
    there.port.received(third, HUB)
    there.port.received(first, HUB)
    there.clock.advance(3)
    (request,) = there.socket.messages
    assert request.schema == "fragment.request"
    assert request.target == "domogik-manager.vm"
    assert request.values("part") == ("2",)
    here.port.received(there.socket.sent[0][0], HUB)
    there.port.received(here.socket.sent[-1][0], HUB)
    assert ("domogik.system", LONG) in [
        (message.schema, message.body) for message, _ in there.heard
    ]


def test_who_only_listens_asks_for_nothing(process):
    here = Process()
    here.port.identity("manager", "vm").send(TRIG, "domogik.system", LONG)
    process.port.received(here.socket.sent[0][0], HUB)
    process.clock.advance(10)
    assert process.socket.sent == []


# -- questions


def ask(identity, **more):
    wanted = {"timeout": 10, "answer": lambda message: message.type == TRIG, **more}
    return identity.request("domogik.system", order(command="start", host="attic"), **wanted)


AN_ANSWER = Message(
    TRIG, "domogik-manager.attic", "*", schema="domogik.system", body=order(command="start")
)


def test_a_request_ends_with_the_first_answer_and_leaves_nothing_behind(process, manager):
    asked = ask(manager, repeat=3)
    process.clock.advance(0)
    process.hears(Message(STAT, "acme-panel.attic", "*", schema="sensor.basic", body=()))
    process.hears(AN_ANSWER)
    process.hears(AN_ANSWER)
    assert result_of(asked) == [AN_ANSWER]
    assert process.clock.getDelayedCalls() == []


def test_an_answer_that_is_there_before_the_send_returns_is_heard(process, manager):
    process.socket.on_send = lambda *_: process.hears(AN_ANSWER)
    asked = ask(manager, repeat=3)
    assert result_of(asked) == [AN_ANSWER]
    process.clock.advance(0)
    assert process.clock.getDelayedCalls() == []


def test_an_identity_does_not_answer_itself(process, manager):
    asked = result_of(ask(manager, answer=lambda message: True))
    process.clock.advance(0)
    assert asked == []


def test_a_request_is_repeated_and_fails_when_nobody_answers(process, manager):
    asked = result_of(ask(manager, repeat=3))
    for _ in range(19):
        process.clock.advance(0.5)
    assert asked == []
    assert len(process.socket.sent) == 4
    process.clock.advance(0.5)
    assert asked[0].check(NoReply)
    assert "10 s" in asked[0].getErrorMessage()
    assert process.clock.getDelayedCalls() == []


def test_a_request_without_repeat_is_sent_once(process, manager):
    ask(manager).addErrback(lambda _: None)
    process.clock.pump([1] * 10)
    assert len(process.socket.sent) == 1


def test_a_cancelled_request_leaves_nothing_behind(process, manager):
    asked = ask(manager, repeat=3)
    process.clock.advance(0)
    failed = result_of(asked)
    asked.cancel()
    assert failed[0].check(CancelledError)
    assert process.clock.getDelayedCalls() == []
    process.hears(AN_ANSWER)


def test_a_request_that_cannot_be_said_fails_at_once(process, manager):
    failed = result_of(manager.request("no schema", (), answer=bool, timeout=10, repeat=1))
    assert failed[0].check(InvalidMessage)
    assert process.clock.getDelayedCalls() == []


def test_an_answer_that_the_predicate_chokes_on_does_not_end_the_wait(process, manager):
    asked = ask(manager, answer=lambda message: int(message.get("n")) == 1)
    answers = result_of(asked)
    process.hears(
        Message(TRIG, "acme-panel.attic", "*", schema="sensor.basic", body=order(n="one"))
    )
    assert answers == []
    process.hears(Message(TRIG, "acme-panel.attic", "*", schema="sensor.basic", body=order(n="1")))
    assert len(answers) == 1


def test_a_request_goes_straight_where_the_address_is_known(process, manager):
    asked = ask(manager, to=OTHER, target="domogik-manager.attic")
    ((data, address),) = process.socket.sent
    assert address == OTHER
    assert decode(data).target == "domogik-manager.attic"
    process.hears(AN_ANSWER)
    assert result_of(asked) == [AN_ANSWER]


# -- the beginning and the end


def test_an_interface_that_is_not_there_is_said_in_one_line():
    def no_such_address(reactor, address, receive):
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    port = Port(Clock(), NetworkSettings("192.0.2.1"), Bus(), Random(1), no_such_address)
    with pytest.raises(CannotBind) as caught:
        port.start()
    assert "192.0.2.1" in str(caught.value)
    assert "bind_interface" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_kernel_refuses_is_counted_and_logged_once_a_minute(process, manager, logged):
    process.socket.error = OSError(errno.ENETUNREACH, "Network is unreachable")
    manager.presence.start()
    process.clock.pump([0.5] * 118)
    assert len(warnings(logged)) == 1
    assert process.port.counters.unsent == 20
    process.socket.error = None
    process.clock.pump([0.5] * 10)
    assert process.port.counters.sent == 2


def test_stopping_says_goodbye_once_for_each_identity_and_leaves_nothing_behind(process, manager):
    rest = process.port.identity("rest", "vm")
    manager.presence.start()
    rest.presence.start()
    manager.send(TRIG, "domogik.system", LONG)
    question = result_of(ask(rest, repeat=1))
    stopped = result_of(process.port.stop())
    assert stopped == [None]
    ends = [m.source for m in process.socket.messages if m.schema == "hbeat.end"]
    assert ends == ["domogik-manager.vm", "domogik-rest.vm"]
    assert question[0].check(NoReply)
    assert process.socket.closed
    assert process.clock.getDelayedCalls() == []


def test_the_other_identities_hear_of_the_end(process, manager):
    manager.presence.start()
    result_of(process.port.stop())
    assert process.schemas == ["hbeat.app", "hbeat.end"]


def test_after_the_end_nothing_is_sent_or_waited_for(process, manager):
    result_of(process.port.stop())
    manager.send(TRIG, "domogik.system", LONG)
    assert result_of(ask(manager))[0].check(NoReply)
    assert process.socket.sent == []
    assert process.port.counters.unsent == 1
    assert process.clock.getDelayedCalls() == []


def test_who_asks_again_when_the_port_stops_waits_for_nothing(process, manager):
    asked = ask(manager, repeat=1)
    again = []
    asked.addErrback(lambda _: again.extend(result_of(ask(manager))))
    result_of(process.port.stop())
    assert again[0].check(NoReply)
    assert process.clock.getDelayedCalls() == []
