"""A role that another process of this host has is taken over once that has ended."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from domogik.app.parts.role_takeover import LOOK_EVERY, RoleTakeover
from domogik.testing.local_host import FakeNetwork
from domogik.xpl.codec.message import STAT

THERE = object()


@attrs.define(eq=False)
class Asked:
    """Stands for `RoleLookup`: each question is answered by the test."""

    questions: list[Deferred[object]] = attrs.field(factory=list)
    left: int = 0

    async def find(self, role: str, timeout_s: float) -> object:
        assert role == "rest"
        self.questions.append(Deferred())
        return await self.questions[-1]

    def close_probe(self) -> None:
        self.left += 1


@attrs.define(eq=False)
class AllHosts:
    clock: Clock = attrs.field(factory=Clock)
    network: FakeNetwork = attrs.field(factory=FakeNetwork)
    role_lookup: Asked = attrs.field(factory=Asked)
    taken: int = 0
    other: RoleTakeover = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.other = RoleTakeover(
            self.clock, self.network.bus, self.role_lookup, "domogik-rest.vm", self.take_over
        )
        self.other.start()

    async def take_over(self) -> None:
        self.taken += 1

    def goodbye(self) -> None:
        self.network.hear(STAT, "domogik-rest.vm", "hbeat.end", [("interval", "5")])
        self.clock.advance(0)


def test_while_it_answers_it_is_asked_each_minute_and_nothing_more_is_kept() -> None:
    all_hosts = AllHosts()
    for minute in range(1, 4):
        all_hosts.clock.advance(LOOK_EVERY)
        assert len(all_hosts.role_lookup.questions) == minute
        all_hosts.role_lookup.questions[-1].callback(THERE)
        assert all_hosts.role_lookup.left == minute
    assert all_hosts.taken == 0
    all_hosts.other.stop()
    assert all_hosts.clock.getDelayedCalls() == []


def test_several_goodbyes_are_one_question_and_it_is_taken_over_once() -> None:
    all_hosts = AllHosts()
    for _ in range(3):
        all_hosts.goodbye()
    (question,) = all_hosts.role_lookup.questions
    question.callback(None)
    assert all_hosts.taken == 1
    assert all_hosts.clock.getDelayedCalls() == []
    all_hosts.goodbye()
    assert len(all_hosts.role_lookup.questions) == 1


def test_a_question_that_fails_is_asked_again() -> None:
    all_hosts = AllHosts()
    all_hosts.clock.advance(LOOK_EVERY)
    all_hosts.role_lookup.questions[-1].errback(RuntimeError("oops"))
    all_hosts.clock.advance(LOOK_EVERY)
    all_hosts.role_lookup.questions[-1].callback(None)
    assert all_hosts.taken == 1


def test_a_stop_while_it_is_asked_takes_nothing_over() -> None:
    all_hosts = AllHosts()
    all_hosts.goodbye()
    all_hosts.other.stop()
    assert (all_hosts.taken, all_hosts.clock.getDelayedCalls()) == (0, [])
