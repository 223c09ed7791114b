"""Whose hub is used, and what happens when somebody else's goes away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from domogik.app.parts import foundation, xpl_node
from domogik.app.parts.foundation import CannotStart, Foundation
from domogik.app.parts.xpl_node import LOOK_EVERY, XplNode
from domogik.components.model import State
from domogik.xpl.hub.sockets import HubPortTaken
from domogik.xpl.node.port import NetworkSettings


@attrs.define(eq=False)
class FakeHub:
    """A hub whose port may be taken."""

    settings: NetworkSettings
    taken: set[int]
    port: int = 0
    attached: list[object] = attrs.field(factory=list)
    on_full: object = None
    stopped: bool = False

    def start(self) -> None:
        if self.settings.xpl_port in self.taken:
            raise HubPortTaken(f"UDP port {self.settings.xpl_port} is taken")
        self.port = self.settings.xpl_port or 40000

    def attach(self, port: object) -> None:
        self.attached.append(port)

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


@attrs.define(eq=False)
class FakePort:
    """A port that sends nothing."""

    reactor: object
    settings: NetworkSettings
    bus: object
    random: object

    def start(self) -> None:
        """Nothing to bind."""

    def stop(self) -> Deferred[None]:
        return succeed(None)


@attrs.define(eq=False)
class FakePresence:
    """Knows whether our heartbeat comes back."""

    hub_found: bool = False
    callbacks: list[Callable[[], None]] = attrs.field(factory=list)

    def on_hub(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)


@attrs.define(eq=False)
class Place:
    """A home on a host where some ports are taken."""

    home: Path
    clock: Clock = attrs.field(factory=Clock)
    taken: set[int] = attrs.field(factory=set)
    hubs: list[FakeHub] = attrs.field(factory=list)
    told: list[tuple[State, str]] = attrs.field(factory=list)

    def make_hub(
        self, reactor: object, laid: Foundation, network: NetworkSettings, sockets: object
    ) -> FakeHub:
        self.hubs.append(FakeHub(network, self.taken))
        return self.hubs[-1]

    def open(self, mode: str, text: str = "") -> XplNode:
        self.home.mkdir(mode=0o700, exist_ok=True)
        (self.home / "domogik.cfg").write_text(f"[domogik]\n{text}")
        laid = Foundation.load({"home": str(self.home)}, {})
        opened = XplNode.open(self.clock, laid, mode)
        opened.on_hub = lambda state, reason: self.told.append((state, reason))
        return opened


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path / "home")
    monkeypatch.setattr(foundation, "SYSTEM_FILE", tmp_path / "nothing.cfg")
    monkeypatch.setattr(xpl_node, "_hub", made.make_hub)
    monkeypatch.setattr(xpl_node, "Port", FakePort)
    monkeypatch.setattr(xpl_node, "_is_free", lambda network: network.xpl_port not in made.taken)
    return made


def test_it_brings_its_own_hub_and_says_which_port(place: Place) -> None:
    opened = place.open("auto", "xpl_port = 0\n")
    assert opened.network.xpl_port == 40000
    assert (place.home / "run" / "xpl.port").read_text() == "40000\n"
    assert place.hubs[0].attached == [opened.port]


def test_any_free_port_is_the_last_one_where_that_is_free(place: Place) -> None:
    place.open("auto", "xpl_port = 0\n")
    (place.home / "run" / "xpl.port").write_text("41234\n")
    assert place.open("auto", "xpl_port = 0\n").network.xpl_port == 41234
    place.taken.add(41234)
    assert place.open("auto", "xpl_port = 0\n").network.xpl_port == 40000


def test_a_hub_that_must_be_ours_is_not_somebody_elses(place: Place) -> None:
    place.taken.add(3865)
    with pytest.raises(CannotStart, match="3865"):
        place.open("embedded")


def test_where_the_port_is_taken_it_joins_and_complains_until_its_heartbeat_returns(
    place: Place,
) -> None:
    place.taken.add(3865)
    opened = place.open("auto")
    assert opened.hub is None
    presence = FakePresence()
    opened.watch(presence)  # type: ignore[arg-type]
    assert place.told[-1][0] is State.NOT_RESPONDING
    presence.hub_found = True
    presence.callbacks[0]()
    assert place.told[-1][0] is State.ALIVE


def test_when_the_other_hub_goes_away_this_process_becomes_the_hub(place: Place) -> None:
    place.taken.add(3865)
    opened = place.open("auto")
    presence = FakePresence(hub_found=True)
    opened.watch(presence)  # type: ignore[arg-type]
    place.clock.advance(LOOK_EVERY)
    assert opened.hub is None, "it is still there"
    presence.hub_found = False
    place.clock.advance(LOOK_EVERY)
    assert opened.hub is None, "its port is still taken"
    assert place.told[-1][0] is State.NOT_RESPONDING
    place.taken.clear()
    place.clock.advance(LOOK_EVERY)
    assert opened.hub is None, "it may only be started anew"
    place.clock.advance(LOOK_EVERY)
    assert opened.hub is place.hubs[-1]
    assert place.hubs[-1].attached == [opened.port]
    assert place.told[-1][0] is State.RUNNING
    assert place.clock.getDelayedCalls() == []


def test_an_external_hub_is_never_replaced(place: Place) -> None:
    opened = place.open("external")
    assert place.hubs == []
    opened.watch(FakePresence())  # type: ignore[arg-type]
    assert place.clock.getDelayedCalls() == []


def test_an_external_hub_on_any_port_is_the_one_the_home_knows(place: Place) -> None:
    with pytest.raises(CannotStart, match="start the manager first"):
        place.open("external", "xpl_port = 0\n")
    (place.home / "run" / "xpl.port").write_text("41234\n")
    assert place.open("external", "xpl_port = 0\n").network.xpl_port == 41234


def test_closing_ends_the_hub_and_the_timer(place: Place) -> None:
    own = place.open("auto")
    own.close()
    assert place.hubs[0].stopped
    place.taken.add(3865)
    joined = place.open("auto")
    joined.watch(FakePresence())  # type: ignore[arg-type]
    joined.close()
    assert place.clock.getDelayedCalls() == []
