"""Whose word counts when a program of ours asks at its start whether it runs already."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred

from domogik.app.parts import role_lookup as rivals_module
from domogik.app.parts.role_lookup import RoleLookup, can_be
from domogik.manager.fleet.name_conflicts import LOOK_AGAIN
from domogik.testing.local_host import FakeNetwork
from domogik.xpl.codec.message import STAT, Message

HUB = ("127.0.0.1", 3865)
RIVAL = ("127.0.0.1", 50200)
FAR = ("192.0.2.7", 50200)


@attrs.define(eq=False)
class Place:
    """A host whose program asks who is there; `ours` are the ports that our programs have."""

    network: FakeNetwork = attrs.field(factory=FakeNetwork)
    ours: set[int] = attrs.field(factory=set)
    hub: object = "ours"
    changes: int = 0
    role_lookup: RoleLookup = attrs.field(init=False)
    asking: Deferred[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.role_lookup = RoleLookup(
            clock=self.network.clock,
            xpl_node=self,
            host="vm",
            is_own=lambda ip: ip.startswith("127."),
            in_thread=self._in_thread,
            changed=self._changed,
        )

    @property
    def bus(self):
        return self.network.bus

    @property
    def port(self):
        return self.network.port

    def _changed(self) -> None:
        self.changes += 1

    async def _in_thread(self, work, role, address):
        assert work is can_be
        return address[1] in self.ours

    def find(self, role="rest", timeout_s=1.0) -> list[Message | None]:
        """What was found, once it is."""
        found: list[Message | None] = []
        self.asking = Deferred.fromCoroutine(self.role_lookup.find(role, timeout_s))
        self.asking.addCallback(found.append)
        return found

    def beat(self, address, ip=RIVAL[0], port=RIVAL[1], role="rest", host="vm") -> None:
        body = [("interval", "5"), ("port", str(port)), ("remote-ip", ip), ("status", "2")]
        self.network.hear(STAT, f"domogik-{role}.{host}", "hbeat.app", body, address=address)

    def asked_straight(self):
        return [
            address
            for message, address in self.network.socket.sent
            if message.schema == "hbeat.request" and address != HUB
        ]


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_program_of_ours_that_answers_from_its_own_port_is_there(place: Place) -> None:
    place.ours.add(RIVAL[1])
    found = place.find()
    place.beat(RIVAL)
    assert found[0].source == "domogik-rest.vm"
    assert place.role_lookup.namesakes.sentence == ""


def test_another_address_stops_nobody_and_is_a_namesake(place: Place) -> None:
    found = place.find()
    place.beat(FAR, ip=FAR[0])
    place.network.turn(1)
    assert found == [None]
    assert place.role_lookup.namesakes.sentence == "domogik-rest.vm speaks from 192.0.2.7:50200 too"
    assert place.changes == 1


def test_another_address_that_claims_to_be_here_stops_nobody(place: Place) -> None:
    place.ours.add(RIVAL[1])
    found = place.find()
    place.beat(FAR)
    place.network.turn(1)
    assert found == [None]
    assert "(sent from 192.0.2.7)" in place.role_lookup.namesakes.sentence


def test_a_local_program_that_is_none_of_ours_stops_nobody(place: Place) -> None:
    found = place.find()
    place.beat(RIVAL)
    place.network.turn(1)
    assert found == [None]
    assert "127.0.0.1:50200" in place.role_lookup.namesakes.sentence


def test_what_comes_by_way_of_a_hub_has_to_be_answered_by_its_port(place: Place) -> None:
    place.hub = None
    place.ours.add(RIVAL[1])
    found = place.find()
    place.beat(HUB)
    assert place.asked_straight() == [RIVAL]
    assert found == []
    place.beat(RIVAL)
    assert found[0].source == "domogik-rest.vm"


def test_a_port_that_does_not_answer_stops_nobody(place: Place) -> None:
    place.hub = None
    place.ours.add(RIVAL[1])
    found = place.find()
    for _ in range(5):
        place.beat(HUB)
    place.network.turn(1)
    assert (found, place.asked_straight()) == ([None], [RIVAL])


def test_a_stop_while_it_is_asked_is_no_answer(place: Place) -> None:
    found = place.find()
    failures = []
    place.asking.addErrback(failures.append)
    place.asking.cancel()
    assert found == []
    assert failures[0].check(CancelledError)


def test_several_questions_are_one_program_that_leaves_once(place: Place) -> None:
    place.hub = None
    for role in ("manager", "rest", "dbmgr"):
        place.find(role)
        place.network.turn(1)
    place.role_lookup.close_probe()
    _ = place.port.stop()
    place.network.turn()
    assert len(place.network.of("hbeat.end")) == 1


# Namesakes


def test_a_namesake_is_asked_each_minute_and_forgotten_when_it_is_silent(place: Place) -> None:
    namesakes = place.role_lookup.namesakes
    presence = place.port.identity("rest", "vm").presence
    namesakes.watch(presence)
    namesakes.watch(presence)
    place.beat(FAR, ip=FAR[0])
    for _ in range(3):
        place.network.socket.sent.clear()
        place.network.turn(LOOK_AGAIN)
        (request, _), *_ = place.network.socket.sent
        assert (request.schema, request.target) == ("hbeat.request", "domogik-rest.vm")
        assert request.source != "domogik-rest.vm"  # its namesake would not hear that
        place.beat(FAR, ip=FAR[0])
    assert (namesakes.sentence, place.changes) != ("", 0)
    place.network.turn(LOOK_AGAIN)
    place.network.turn(LOOK_AGAIN)
    assert (namesakes.sentence, place.changes) == ("", 2)
    assert place.network.clock.getDelayedCalls() == []


def test_another_host_with_a_role_of_ours_is_told_apart_from_a_namesake(place: Place) -> None:
    namesakes = place.role_lookup.namesakes
    namesakes.watch_roles(place.bus, ["rest"])
    place.beat(FAR, ip=FAR[0], host="cellar")
    place.beat(FAR, ip=FAR[0], role="dbmgr", host="cellar")  # we are none
    assert namesakes.sentence == ""
    said = "domogik-rest.cellar speaks from 192.0.2.7:50200 and is here too"
    assert namesakes.roles == f"{said}: only the main host has -r"
    place.network.turn(LOOK_AGAIN)
    place.network.turn(LOOK_AGAIN)
    assert (namesakes.roles, place.changes) == ("", 2)
    namesakes.stop()


def test_made_up_namesakes_are_bounded(place: Place) -> None:
    place.role_lookup.namesakes.watch(place.port.identity("rest", "vm").presence)
    for port in range(50_000, 50_100):
        place.beat(FAR, ip=FAR[0], port=port)
    assert place.role_lookup.namesakes.sentence.count(" too") == 16
    place.role_lookup.namesakes.stop()


# Which process can be ours


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


@pytest.mark.parametrize(
    ("command", "roles"),
    [
        (["-c", "{code}", "dmg_manager"], {"manager", "rest", "dbmgr"}),
        (["-c", "{code}", "/opt/x/bin/dmg_rest", "-f"], {"rest"}),
        (["-c", "{code}", "twistd", "-n", "domogik-dbmgr"], {"dbmgr"}),
        (["-c", "{code}", "-m", "domogik.app", "manager", "-f"], {"manager", "rest", "dbmgr"}),
        (["-c", "{code}", "/x/src/domogik_packages/xpl/bin/rest.py"], set()),
        (["-c", "{code}", "dmg_manager.sh"], set()),
        (["-c", "{code}"], set()),
    ],
)
def test_which_commands_can_be_which_of_our_programs(
    bound: socket.socket, command: list[str], roles: set[str]
) -> None:
    address = bound.getsockname()
    arguments = [word.format(code="import time; time.sleep(60)") for word in command]
    child = subprocess.Popen([sys.executable, *arguments], pass_fds=[bound.fileno()])
    try:
        assert {role for role in ("manager", "rest", "dbmgr") if can_be(role, address)} == roles
    finally:
        child.kill()
        child.wait()


def test_this_very_process_is_no_rival(bound: socket.socket) -> None:
    assert not can_be("manager", bound.getsockname())
    assert not can_be("manager", ("127.0.0.1", 1))


def test_of_another_user_whose_sockets_cannot_be_seen_any_process_will_do(
    bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals_module, "owners", lambda inodes: dict.fromkeys(inodes, ()))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dmg_manager"])
    try:
        assert can_be("manager", bound.getsockname())
    finally:
        child.kill()
        child.wait()
