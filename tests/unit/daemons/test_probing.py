"""When is a server asked whether it serves, and what is made of the answers?"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.model import State
from domogik.daemons.core.errors import ManagedDaemonError, NotReady
from domogik.daemons.core.probing import Watch


class WatchTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.asked: list[Deferred[None]] = []
        self.heard: list[object] = []
        self.watch = Watch(
            self.clock,
            self.probe,
            alive=lambda: self.heard.append("alive"),
            silent=self.heard.append,
            cannot_become_ready=self.heard.append,
        )

    def probe(self):
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_while_it_starts_it_is_asked_again_and_again_ever_less_often(self):
        self.watch.follow(State.STARTING)
        self.assertEqual(self.asked, [])
        self.clock.advance(0)
        for number in range(40):
            pause = min(0.001 * 1.15**number, 0.05)
            self.assertEqual(len(self.asked), number + 1)
            self.asked[-1].errback(NotReady("not yet"))
            self.clock.advance(pause * 0.9)
            self.assertEqual(len(self.asked), number + 1)
            self.clock.advance(pause * 0.2)
        self.assertEqual(set(self.heard), {"not yet"})

    def test_once_it_serves_it_is_asked_at_times(self):
        self.watch.follow(State.STARTING)
        self.clock.advance(0)
        self.asked[-1].callback(None)
        self.assertEqual(self.heard, ["alive"])
        self.watch.follow(State.ALIVE)
        self.clock.advance(9.9)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.asked), 2)

    def test_no_answer_in_time_is_silence(self):
        self.watch.follow(State.RUNNING)
        self.clock.advance(10)
        self.clock.advance(5)
        self.assertEqual(self.heard, ["did not answer within 5 s"])
        self.clock.advance(10)
        self.assertEqual(len(self.asked), 2)

    def test_an_answer_that_ends_all_hope_is_told_while_it_starts_and_silence_later(self):
        error = ManagedDaemonError("it does not take the password")
        self.watch.follow(State.STARTING)
        self.clock.advance(0)
        self.asked[-1].errback(error)
        self.assertEqual(self.heard, [error])
        self.watch.follow(State.ALIVE)
        self.clock.advance(10)
        self.asked[-1].errback(error)
        self.assertEqual(self.heard, [error, "it does not take the password"])

    def test_who_hears_that_it_serves_may_stop_the_watch_for_good(self):
        self.watch.alive = self.watch.stop
        self.watch.follow(State.STARTING)
        self.clock.advance(0)
        self.asked[-1].callback(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_hears_of_silence_may_stop_it_too(self):
        self.watch.silent = lambda reason: self.watch.stop()
        self.watch.follow(State.STARTING)
        self.clock.advance(0)
        self.asked[-1].errback(NotReady("no"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_it_ends_nobody_waits_for_an_answer(self):
        self.watch.follow(State.STARTING)
        self.clock.advance(0)
        self.watch.follow(State.STOPPING)
        self.assertEqual(self.heard, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_probe_with_a_fault_of_its_own_is_silence_and_in_the_log(self):
        self.watch.follow(State.STARTING)
        self.clock.advance(0)
        self.asked[-1].errback(ZeroDivisionError("oh"))
        self.assertEqual(self.heard, ["oh"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
