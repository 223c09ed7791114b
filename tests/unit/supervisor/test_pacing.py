"""Many starts leave the reactor its turns."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.supervisor.lifecycle.pacing import Pacing


class TestPacing(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.pacing = Pacing(self.clock, 0.005)
        self.done = []

    def ask(self, name, seconds=0.0):
        def work():
            self.clock.rightNow += seconds
            self.done.append(name)

        return self.pacing.ask(work)

    def test_nothing_is_done_at_once(self):
        self.ask("a")
        self.assertEqual(self.done, [])
        self.clock.advance(0)
        self.assertEqual(self.done, ["a"])

    def test_a_turn_of_the_reactor_holds_a_few_milliseconds_of_it_in_order(self):
        for name in "abcdef":
            self.ask(name, 0.002)
        self.clock.callLater(0, self.done.append, "somebody else")
        self.clock.advance(0)
        self.assertEqual(self.done, ["a", "b", "c", "somebody else", "d", "e", "f"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_was_called_off_is_not_done(self):
        ticket = self.ask("a")
        self.ask("b")
        self.pacing.cancel(ticket)
        self.clock.advance(0)
        self.pacing.cancel(ticket)
        self.assertEqual(self.done, ["b"])

    def test_when_all_was_called_off_nothing_is_due(self):
        self.pacing.cancel(self.ask("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_raises_does_not_keep_the_others_from_starting(self):
        self.pacing.ask(lambda: 1 // 0)
        self.ask("b")
        self.clock.advance(0)
        self.assertEqual(self.done, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
