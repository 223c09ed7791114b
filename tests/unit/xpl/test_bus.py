"""What the bus promises to those who subscribe."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import globalLogPublisher

from domogik.xpl.codec.message import CMND, STAT, TRIG, Message
from domogik.xpl.node.bus import Bus, Origin

NETWORK = Origin(("127.0.0.1", 50000))


def a_message(
    schema="hbeat.app", type=STAT, source="domogik-clock.vm", body=(("interval", "5"),)
) -> Message:
    return Message(type, source, "*", schema=schema, body=tuple(body))


class Ears:
    """A handler that remembers the schemas, or whatever `of` takes from a message."""

    def __init__(self, of=lambda message: message.schema):
        self.heard = []
        self.of = of

    def __call__(self, message, origin):
        self.heard.append(self.of(message))


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def failures(logged):
    return [event["log_failure"].value for event in logged if "log_failure" in event]


def test_who_asks_for_nothing_in_particular_hears_everything(bus):
    ears = Ears()
    bus.subscribe(ears)
    for schema in ("hbeat.app", "domogik.system", "sensor.basic"):
        bus.deliver(a_message(schema), NETWORK)
    assert ears.heard == ["hbeat.app", "domogik.system", "sensor.basic"]


def test_the_handler_is_told_where_the_message_came_from(bus):
    origins = []
    bus.subscribe(lambda message, origin: origins.append(origin))
    bus.deliver(a_message(), NETWORK)
    bus.deliver(a_message(), Origin(None))
    assert [origin.ip for origin in origins] == ["127.0.0.1", None]
    assert origins[0].address == ("127.0.0.1", 50000)


def test_a_schema_is_exact(bus):
    ears = Ears()
    bus.subscribe(ears, schema="hbeat.app")
    for schema in ("hbeat.app", "hbeat.apps", "hbeat.end", "config.app"):
        bus.deliver(a_message(schema), NETWORK)
    assert ears.heard == ["hbeat.app"]


def test_a_class_of_schemas_is_heard_whole(bus):
    ears = Ears()
    bus.subscribe(ears, schema="hbeat.*")
    for schema in ("hbeat.app", "hbeat.end", "hbeats.app", "config.app"):
        bus.deliver(a_message(schema), NETWORK)
    assert ears.heard == ["hbeat.app", "hbeat.end"]


def test_a_type_is_exact(bus):
    ears = Ears(of=lambda message: message.type)
    bus.subscribe(ears, type=TRIG)
    for type in (CMND, STAT, TRIG):
        bus.deliver(a_message(type=type), NETWORK)
    assert ears.heard == [TRIG]


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ("domogik-clock.vm", ["domogik-clock.vm"]),
        ("Domogik-Clock.VM", ["domogik-clock.vm"]),
        ("domogik-*.vm", ["domogik-clock.vm", "domogik-ping.vm"]),
        ("domogik-*", ["domogik-clock.vm", "domogik-ping.vm", "domogik-ping.attic"]),
    ],
)
def test_a_source_is_exact_or_has_wildcards(bus, wanted, heard):
    ears = Ears(of=lambda message: message.source)
    bus.subscribe(ears, source=wanted)
    for source in ("domogik-clock.vm", "domogik-ping.vm", "domogik-ping.attic", "acme-dom.vm"):
        bus.deliver(a_message(source=source), NETWORK)
    assert ears.heard == heard


def test_a_value_in_the_body_is_matched_in_any_case_of_letters(bus):
    ears = Ears(of=lambda message: message.body)
    bus.subscribe(ears, body={"command": "Start", "host": "vm"})
    asked = (("command", "START"), ("host", "vm"))
    bus.deliver(a_message(body=asked), NETWORK)
    bus.deliver(a_message(body=(("command", "stop"), ("host", "vm"))), NETWORK)
    bus.deliver(a_message(body=(("command", "start"),)), NETWORK)
    assert ears.heard == [asked]


def test_any_line_of_a_repeated_name_may_match(bus):
    ears = Ears()
    bus.subscribe(ears, body={"device": "b"})
    bus.deliver(a_message(body=(("device", "a"), ("device", "b"))), NETWORK)
    assert ears.heard == ["hbeat.app"]


def test_subscribers_are_called_in_the_order_in_which_they_came(bus):
    order = []
    for name, schema in (("1", None), ("2", "hbeat.app"), ("3", "hbeat.*"), ("4", None)):
        bus.subscribe(lambda *_, name=name: order.append(name), schema=schema)
    bus.deliver(a_message(), NETWORK)
    assert order == ["1", "2", "3", "4"]


def test_who_cancels_hears_nothing_more_and_may_cancel_twice(bus):
    ears = Ears()
    subscription = bus.subscribe(ears, schema="hbeat.app")
    bus.deliver(a_message(), NETWORK)
    subscription.cancel()
    subscription.cancel()
    bus.deliver(a_message(), NETWORK)
    assert ears.heard == ["hbeat.app"]


def test_a_handler_may_cancel_itself_and_those_after_it_while_it_is_called(bus):
    heard = []

    def first(message, origin):
        heard.append("first")
        mine.cancel()
        next_one.cancel()

    mine = bus.subscribe(first)
    next_one = bus.subscribe(lambda *_: heard.append("cancelled"))
    bus.subscribe(lambda *_: heard.append("last"))
    bus.deliver(a_message(), NETWORK)
    bus.deliver(a_message(), NETWORK)
    assert heard == ["first", "last", "last"]


def test_who_subscribes_while_a_message_is_delivered_hears_the_next_one(bus):
    ears = Ears()

    def subscribe_once(message, origin):
        if not ears.heard:
            subscription.cancel()
            bus.subscribe(ears)

    subscription = bus.subscribe(subscribe_once)
    bus.deliver(a_message("hbeat.app"), NETWORK)
    bus.deliver(a_message("hbeat.end"), NETWORK)
    assert ears.heard == ["hbeat.end"]


def test_a_handler_that_raises_silences_nobody_and_is_logged(bus, logged):
    ears = Ears()

    def broken(message, origin):
        raise RuntimeError("broken handler")

    bus.subscribe(broken)
    bus.subscribe(ears)
    bus.deliver(a_message(), NETWORK)
    assert ears.heard == ["hbeat.app"]
    assert [str(error) for error in failures(logged)] == ["broken handler"]


def test_a_handler_may_be_a_coroutine_function_and_its_failure_is_logged(bus, logged):
    ears = Ears()
    gate = Deferred()

    async def slow(message, origin):
        await gate
        raise RuntimeError("broken coroutine")

    bus.subscribe(slow)
    bus.subscribe(ears)
    bus.deliver(a_message(), NETWORK)
    assert ears.heard == ["hbeat.app"]
    gate.callback(None)
    assert [str(error) for error in failures(logged)] == ["broken coroutine"]


def test_a_deferred_that_fails_is_logged(bus, logged):
    bus.subscribe(lambda *_: fail(RuntimeError("broken Deferred")))
    bus.deliver(a_message(), NETWORK)
    assert [str(error) for error in failures(logged)] == ["broken Deferred"]


def test_a_message_nobody_asked_for_is_looked_at_by_nobody(bus):
    asked = []

    class Jealous(str):
        def __eq__(self, other):
            asked.append(other)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    for number in range(100):
        bus.subscribe(Ears(), schema=f"class{number}.basic", type=Jealous(STAT))
    bus.deliver(a_message("sensor.basic"), NETWORK)
    assert asked == []
