"""What comes before a process: prepared, failed, called off, begun again."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Program, Specification
from domogik.supervisor.lifecycle.pacing import Pacing
from domogik.supervisor.lifecycle.preparation import Starting

PROGRAM = Program(("clock",), {}, Path("/"))
PREPARED = attrs.evolve(PROGRAM, argv=("prepared",))


class StartingTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.spawned: list[Program] = []
        self.failed: list[str] = []
        self.preparing: list[Deferred[Program]] = []
        self.cancelled: list[Deferred[Program]] = []
        self.starting = Starting(Pacing(self.clock), self.spawned.append, self.failed.append)
        self.specification = Specification("daemon:it", PROGRAM, prepare=self.prepare)

    def prepare(self, program):
        self.assertEqual(program, PROGRAM)
        self.preparing.append(Deferred(self.cancelled.append))
        return self.preparing[-1]

    def begin(self):
        self.starting.begin(self.specification)

    def test_without_a_preparation_it_is_spawned_in_its_turn(self):
        self.starting.begin(attrs.evolve(self.specification, prepare=None))
        self.assertEqual(self.spawned, [])
        self.clock.advance(0)
        self.assertEqual(self.spawned, [PROGRAM])

    def test_what_is_spawned_is_what_was_prepared(self):
        self.begin()
        self.assertEqual(self.preparing, [])
        self.clock.advance(0)
        self.assertEqual(self.spawned, [])
        self.preparing[0].callback(PREPARED)
        self.clock.advance(0)
        self.assertEqual((self.spawned, self.failed), ([PREPARED], []))

    def test_why_it_could_not_be_prepared_is_told(self):
        self.begin()
        self.clock.advance(0)
        self.preparing[0].errback(DomogikError("its port is taken"))
        self.clock.advance(0)
        self.assertEqual((self.spawned, self.failed), ([], ["its port is taken"]))

    def test_a_preparation_with_a_fault_is_told_too_and_in_the_log(self):
        self.begin()
        self.clock.advance(0)
        self.preparing[0].errback(ZeroDivisionError("oh"))
        self.assertEqual(self.failed, ["oh"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_is_called_off_before_his_turn_is_not_prepared(self):
        self.begin()
        self.starting.cancel()
        self.clock.advance(0)
        self.assertEqual((self.preparing, self.spawned, self.failed), ([], [], []))

    def test_who_is_called_off_while_he_is_prepared_neither_starts_nor_fails(self):
        self.begin()
        self.clock.advance(0)
        self.starting.cancel()
        self.assertEqual(self.cancelled, self.preparing)
        self.clock.advance(0)
        self.assertEqual((self.spawned, self.failed), ([], []))

    def test_who_is_called_off_when_he_is_prepared_is_not_spawned(self):
        self.begin()
        self.clock.advance(0)
        self.preparing[0].callback(PREPARED)
        self.starting.cancel()
        self.clock.advance(0)
        self.assertEqual((self.spawned, self.failed), ([], []))

    def test_a_preparation_that_was_called_off_is_over_before_the_next_begins(self):
        tidied: Deferred[None] = Deferred()

        async def slow_to_leave(program):
            self.preparing.append(Deferred())
            try:
                return await self.preparing[-1]
            except CancelledError:
                await tidied
                raise

        self.specification = attrs.evolve(self.specification, prepare=slow_to_leave)
        self.begin()
        self.clock.advance(0)
        self.starting.cancel()
        self.begin()
        self.clock.advance(0)
        self.assertEqual(len(self.preparing), 1)
        tidied.callback(None)
        self.clock.advance(0)
        self.assertEqual(len(self.preparing), 2)
        self.preparing[1].callback(PREPARED)
        self.clock.advance(0)
        self.assertEqual((self.spawned, self.failed), ([PREPARED], []))
