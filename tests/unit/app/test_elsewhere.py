"""A role that another process of this host has is taken over once that has ended."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from domogik.app.parts.elsewhere import LOOK_EVERY, Elsewhere
from domogik.testing.office import FakeNetwork
from domogik.xpl.codec.message import STAT

THERE = object()


@attrs.define(eq=False)
class Asked:
    """Stands for `Rivals`: each question is answered by the test."""

    questions: list[Deferred[object]] = attrs.field(factory=list)
    left: int = 0

    async def find(self, role: str, timeout_s: float) -> object:
        assert role == "rest"
        self.questions.append(Deferred())
        return await self.questions[-1]

    def leave(self) -> None:
        self.left += 1


@attrs.define(eq=False)
class House:
    clock: Clock = attrs.field(factory=Clock)
    network: FakeNetwork = attrs.field(factory=FakeNetwork)
    rivals: Asked = attrs.field(factory=Asked)
    taken: int = 0
    other: Elsewhere = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.other = Elsewhere(
            self.clock, self.network.bus, self.rivals, "domogik-rest.vm", self.take_over
        )
        self.other.start()

    async def take_over(self) -> None:
        self.taken += 1

    def goodbye(self) -> None:
        self.network.hear(STAT, "domogik-rest.vm", "hbeat.end", [("interval", "5")])
        self.clock.advance(0)


def test_while_it_answers_it_is_asked_each_minute_and_nothing_more_is_kept() -> None:
    house = House()
    for minute in range(1, 4):
        house.clock.advance(LOOK_EVERY)
        assert len(house.rivals.questions) == minute
        house.rivals.questions[-1].callback(THERE)
        assert house.rivals.left == minute
    assert house.taken == 0
    house.other.stop()
    assert house.clock.getDelayedCalls() == []


def test_several_goodbyes_are_one_question_and_it_is_taken_over_once() -> None:
    house = House()
    for _ in range(3):
        house.goodbye()
    (question,) = house.rivals.questions
    question.callback(None)
    assert house.taken == 1
    assert house.clock.getDelayedCalls() == []
    house.goodbye()
    assert len(house.rivals.questions) == 1


def test_a_question_that_fails_is_asked_again() -> None:
    house = House()
    house.clock.advance(LOOK_EVERY)
    house.rivals.questions[-1].errback(RuntimeError("oops"))
    house.clock.advance(LOOK_EVERY)
    house.rivals.questions[-1].callback(None)
    assert house.taken == 1


def test_a_stop_while_it_is_asked_takes_nothing_over() -> None:
    house = House()
    house.goodbye()
    house.other.stop()
    assert (house.taken, house.clock.getDelayedCalls()) == (0, [])
