"""What an identity says about itself, and how it finds the hub."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from twisted.internet.task import Clock

from domogik.xpl.codec.message import CMND, STAT, InvalidMessage, Message
from domogik.xpl.node.bus import Bus, Origin
from domogik.xpl.node.presence import Presence

ME = "domogik-clock.vm"
HUB = Origin(("127.0.0.1", 3865))
MANAGER = ("127.0.0.1", 40123)
MINUTE = 60


@attrs.define(eq=False)
class Network:
    """A presence, everything it says, and a hub that may echo: not, at once, or when told."""

    presence: Presence = attrs.field(init=False)
    clock: Clock = attrs.field(factory=Clock)
    bus: Bus = attrs.field(factory=Bus)
    interval: int = 5
    extra: tuple[tuple[str, str], ...] = ()
    echoes_at_once: bool = False
    said: list = attrs.field(factory=list)
    straight: list = attrs.field(factory=list)
    address: tuple[str, int] = ("127.0.0.1", 40999)

    def __attrs_post_init__(self):
        self.presence = Presence(
            clock=self.clock,
            random=Random(1),
            bus=self.bus,
            send=self.send,
            where=lambda: self.address,
            source=ME,
            interval=self.interval,
            extra=self.extra,
        )

    def send(self, message, to):
        if "!" in message.target:
            raise InvalidMessage("not an address")
        self.said.append(message)
        self.straight.append(to)
        if self.echoes_at_once:
            self.presence.heard(message, HUB)

    def echo(self):
        """The hub gives the last message back."""
        self.presence.heard(self.said[-1], HUB)

    def ask(
        self, source="acme-panel.attic", target="*", body=(("command", "request"),), origin=HUB
    ):
        self.bus.deliver(Message(CMND, source, target, schema="hbeat.request", body=body), origin)

    def wait(self, seconds):
        """Time passes in steps of half a second; how many messages that brought."""
        before = len(self.said)
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
        return len(self.said) - before

    def heartbeat_timers(self):
        return [call for call in self.clock.getDelayedCalls() if call.func.__name__ == "_due"]

    @property
    def status(self):
        return self.said[-1].get("status")


@pytest.fixture
def harness():
    return Network()


@pytest.fixture
def found(harness):
    """Its hub is found, and has given the heartbeat that followed back."""
    harness.presence.start()
    harness.echo()
    harness.echo()
    return harness


def test_the_first_heartbeat_leaves_at_once_with_its_body_in_order(harness):
    harness.presence.start()
    (first,) = harness.said
    assert (first.type, first.schema, first.target) == (STAT, "hbeat.app", "*")
    assert first.body == (
        ("interval", "5"),
        ("port", "40999"),
        ("remote-ip", "127.0.0.1"),
        ("status", "0"),
    )


def test_extras_end_the_body():
    harness = Network(extra=(("version", "1.0"), ("pid", "7")), interval=30)
    harness.presence.start()
    assert harness.said[0].body[0] == ("interval", "30")
    assert harness.said[0].body[4:] == (("version", "1.0"), ("pid", "7"))


@pytest.mark.parametrize("minutes", [4, 31, 0, -5])
def test_an_interval_that_xpl_does_not_allow_is_refused(minutes):
    with pytest.raises(ValueError, match="5 to 30"):
        Network(interval=minutes)


def test_without_a_hub_it_asks_every_3_seconds_and_after_120_every_30(harness):
    harness.presence.start()
    assert harness.wait(120) == 40
    assert harness.wait(300) == 10
    assert not harness.presence.hub_found


def test_a_hub_that_comes_late_is_found(harness):
    harness.presence.start()
    harness.wait(500)
    harness.echo()
    assert harness.presence.hub_found
    assert harness.status == "1"


def test_the_echo_brings_status_1_at_once_and_then_one_heartbeat_an_interval_for_ever(harness):
    harness.presence.start()
    harness.echo()
    assert [message.get("status") for message in harness.said] == ["0", "1"]
    harness.echoes_at_once = True
    harness.echo()
    assert harness.wait(100 * 5 * MINUTE) == 100


def test_a_hub_that_answers_within_the_first_send_leaves_exactly_one_timer():
    # The original lost its timer then, sent no heartbeat any more and was deaf after 11 minutes.
    harness = Network(echoes_at_once=True)
    harness.presence.start()
    assert len(harness.said) == 2
    assert len(harness.heartbeat_timers()) == 1
    assert harness.wait(60 * MINUTE) == 12
    assert len(harness.heartbeat_timers()) == 1


def test_the_interval_is_kept_in_minutes():
    harness = Network(echoes_at_once=True, interval=30)
    harness.presence.start()
    assert harness.wait(5 * 60 * MINUTE) == 10


@pytest.mark.parametrize("schema", ["hbeat.basic", "hbeat.end", "hbeat.blah", "config.app"])
def test_only_the_own_heartbeat_is_proof_of_the_hub(harness, schema):
    harness.presence.start()
    harness.presence.heard(Message(STAT, ME, "*", schema=schema, body=harness.said[-1].body), HUB)
    assert not harness.presence.hub_found


@pytest.mark.parametrize(("ip", "port"), [("127.0.0.1", "41000"), ("192.168.1.7", "40999")])
def test_a_program_of_the_same_name_elsewhere_is_no_echo_and_is_told(harness, ip, port):
    others = []
    harness.presence.on_name_conflict(lambda message, origin: others.append(message.get("port")))
    harness.presence.start()
    body = (("interval", "5"), ("port", port), ("remote-ip", ip))
    harness.presence.heard(Message(STAT, ME, "*", schema="hbeat.app", body=body), HUB)
    assert not harness.presence.hub_found
    assert others == [port]


def test_a_hub_that_drops_the_names_it_does_not_know_is_a_hub_all_the_same(harness):
    harness.presence.start()
    harness.presence.heard(
        Message(STAT, ME, "*", schema="hbeat.app", body=(("interval", "5"),)), HUB
    )
    assert harness.presence.hub_found


def test_the_address_is_asked_anew_for_every_heartbeat(harness):
    harness.presence.start()
    harness.address = ("192.168.1.7", 40999)
    harness.wait(3)
    assert harness.said[-1].get("remote-ip") == "192.168.1.7"
    harness.echo()
    assert harness.presence.hub_found


def test_who_waits_for_the_hub_is_called_once(harness):
    calls = []
    harness.presence.on_hub(lambda: calls.append("early"))
    harness.presence.start()
    assert calls == []
    harness.echo()
    harness.echo()
    harness.presence.on_hub(lambda: calls.append("late"))
    harness.wait(20)  # the hub is lost
    harness.echo()  # and found again
    assert harness.presence.hub_found
    assert calls == ["early", "late"]


def test_a_callback_that_raises_stops_neither_the_next_nor_the_heartbeats(harness):
    calls = []
    harness.presence.on_hub(lambda: 1 / 0)
    harness.presence.on_hub(lambda: calls.append("second"))
    harness.presence.start()
    harness.echo()
    assert calls == ["second"]
    assert len(harness.heartbeat_timers()) == 1


def test_ready_is_status_2_at_once_and_ever_after(found):
    found.presence.ready()
    assert found.status == "2"
    found.echoes_at_once = True
    found.echo()
    assert found.wait(10 * MINUTE) == 2
    assert found.status == "2"


def test_ready_before_the_hub_is_found_is_remembered(harness):
    harness.presence.start()
    harness.presence.ready()
    assert harness.status == "2"
    harness.echo()
    assert [message.get("status") for message in harness.said] == ["0", "2", "2"]
    assert len(harness.heartbeat_timers()) == 1


def test_ready_before_the_start_is_remembered(harness):
    harness.presence.ready()
    assert harness.said == []
    harness.presence.start()
    assert harness.status == "2"


def test_starting_twice_starts_once(harness):
    harness.presence.start()
    harness.presence.start()
    assert len(harness.said) == 1
    assert len(harness.heartbeat_timers()) == 1


def test_the_last_echo_is_remembered(harness):
    assert harness.presence.last_echo is None
    harness.presence.start()
    harness.wait(2)
    harness.echo()
    assert harness.presence.last_echo == 2


def test_a_heartbeat_without_echo_means_the_hub_is_lost(found):
    assert found.wait(5 * MINUTE) == 1
    assert found.presence.hub_found
    found.wait(4.5)
    assert found.presence.hub_found
    assert found.wait(0.5) == 1
    assert not found.presence.hub_found
    assert found.status == "0"
    assert found.wait(120) == 40
    assert found.wait(300) == 10


def test_a_lost_hub_that_comes_back_is_found_again(found):
    found.wait(5 * MINUTE + 5)
    found.echoes_at_once = True
    found.echo()
    assert found.presence.hub_found
    assert found.wait(50 * MINUTE) == 10
    assert len(found.heartbeat_timers()) == 1


def test_a_ready_program_stays_ready_while_the_hub_is_away(found):
    found.presence.ready()
    found.wait(10)
    assert not found.presence.hub_found
    assert found.status == "2"


def test_leaving_is_said_once_without_a_status_and_nothing_waits_any_more(found):
    found.ask()
    found.presence.leave()
    found.presence.leave()
    assert found.said[-1].schema == "hbeat.end"
    assert found.said[-1].body == (
        ("interval", "5"),
        ("port", "40999"),
        ("remote-ip", "127.0.0.1"),
    )
    assert [message.schema for message in found.said].count("hbeat.end") == 1
    assert found.clock.getDelayedCalls() == []
    found.echo()
    found.ask()
    assert found.wait(20 * MINUTE) == 0


def test_who_never_came_does_not_say_that_he_leaves(harness):
    harness.presence.leave()
    assert harness.said == []


def test_leaving_inside_a_callback_leaves_nothing_behind(harness):
    harness.presence.on_hub(harness.presence.leave)
    harness.presence.start()
    harness.echo()
    assert harness.said[-1].schema == "hbeat.end"
    assert harness.clock.getDelayedCalls() == []


@pytest.mark.parametrize("body", [(), (("command", "request"),)])
def test_whoever_asks_everyone_is_answered_within_2_to_6_seconds(found, body):
    found.ask(body=body)
    assert found.wait(1.5) == 0
    assert found.wait(4.5) == 1
    answer = found.said[-1]
    assert (answer.schema, answer.target) == ("hbeat.app", "acme-panel.attic")
    assert found.straight[-1] is None
    found.echo()
    assert found.wait(60) == 0


def test_several_requests_have_one_answer_for_all(found):
    for source in ("acme-panel.attic", "acme-panel.attic", "acme-lamp.attic"):
        found.ask(source=source)
    assert found.wait(10) == 1
    assert found.said[-1].target == "*"


def test_a_heartbeat_that_falls_due_is_the_answer(found):
    found.wait(5 * MINUTE - 1)
    found.ask()
    found.wait(1)
    found.echo()
    assert found.said[-1].target == "*"
    assert found.wait(60) == 0


def test_somebody_who_keeps_asking_does_not_keep_heartbeats_from_the_others(found):
    found.echoes_at_once = True
    heartbeats = 0
    for _ in range(6 * 30):  # half an hour
        found.ask()
        found.wait(10)
        heartbeats = sum(message.target == "*" for message in found.said[2:])
    assert heartbeats == 6


@pytest.mark.parametrize(
    ("source", "target", "body"),
    [
        (ME, "*", (("command", "request"),)),
        ("acme-panel.attic", "domogik-ping.vm", (("command", "request"),)),
        ("acme-panel.attic", "xpl-group.lamps", (("command", "request"),)),
        ("acme-panel.attic", "*", (("command", "silence"),)),
    ],
)
def test_what_is_not_asked_of_us_is_not_answered(found, source, target, body):
    found.ask(source=source, target=target, body=body)
    assert found.wait(30) == 0


def test_a_ping_of_the_manager_is_answered_at_once_and_straight(found):
    found.ask(source="domogik-manager.vm", target=ME, origin=Origin(MANAGER))
    assert found.said[-1].target == "domogik-manager.vm"
    assert found.straight[-1] == MANAGER


def test_a_ping_is_answered_straight_before_any_hub_is_found(harness):
    harness.presence.start()
    harness.ask(source="domogik-manager.vm", target=ME, origin=Origin(MANAGER))
    assert harness.straight[-1] == MANAGER


def test_a_ping_that_came_through_the_hub_is_answered_through_the_hub(found):
    found.ask(source="domogik-manager.attic", target=ME, origin=HUB)
    assert found.said[-1].target == "domogik-manager.attic"
    assert found.straight[-1] is None


def test_a_ping_from_this_process_is_answered_at_once(found):
    found.ask(source="domogik-rest.vm", target=ME, origin=Origin(None))
    assert found.said[-1].target == "domogik-rest.vm"
    assert found.straight[-1] is None


def test_pings_do_not_put_off_the_next_heartbeat(found):
    found.echoes_at_once = True
    for _ in range(4 * 5):
        found.ask(source="domogik-manager.vm", target=ME, origin=Origin(MANAGER))
        found.wait(15)
    assert [message.target for message in found.said[2:]].count("*") == 1


def test_a_domogik_program_that_asks_everyone_waits_like_the_others(found):
    found.ask(source="domogik-manager.vm", origin=Origin(MANAGER))
    assert found.wait(1.5) == 0
    assert found.wait(4.5) == 1


@pytest.mark.parametrize(("source", "target"), [("domogik-x!.vm", ME), ("acme-panel.a!", "*")])
def test_an_asker_whose_name_cannot_be_written_harms_nothing(found, source, target):
    found.ask(source=source, target=target)
    found.wait(10)
    assert len(found.heartbeat_timers()) == 1
    assert found.wait(5 * MINUTE) >= 1
