"""A unit that runs while it is needed, and is then as it was."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.testing.units import FakeSystemd, fake_units
from domogik.units import App, Daemon
from domogik.units.apps.starting import UnitFailed
from domogik.units.systemd.backend import NoSystemd, NotPermitted, Order

START, STOP = Order.START, Order.STOP


class EnsureRunningTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.systemd = FakeSystemd()
        self.units = fake_units(self.systemd, self.clock, {})
        self.daemon = Daemon("daemon-db", "db")
        self.units.add(App("db", [self.daemon]))

    def turn(self):
        for _ in range(20):
            self.clock.advance(0)

    def block(self, daemon=None):
        """A block that is entered and left when `leave` fires; `entered` is what it was given."""
        entered, leave = Deferred(), Deferred()

        async def block():
            async with (daemon or self.daemon).ensure_running() as before:
                entered.callback(before)
                await leave

        ended = Deferred.fromCoroutine(block())
        self.turn()
        return entered, leave, ended

    def leave(self, block):
        _, leave, ended = block
        leave.callback(None)
        self.turn()
        return self.successResultOf(ended)

    @property
    def unit(self):
        return self.systemd.units["db.service"]

    def test_a_unit_that_does_not_exist_gives_false_and_is_not_touched(self):
        block = self.block()
        self.assertIs(self.successResultOf(block[0]), False)
        self.leave(block)
        self.assertEqual(self.systemd.orders, [])

    def test_one_that_does_not_run_is_started_and_stopped(self):
        self.systemd.add("db.service")
        block = self.block()
        self.assertIs(self.successResultOf(block[0]), False)
        self.assertTrue(self.unit.status.is_active)
        self.leave(block)
        self.assertEqual(self.systemd.orders, [(START, "db.service"), (STOP, "db.service")])
        self.assertEqual(self.units.uses, {})

    def test_one_that_runs_stays_as_it_is(self):
        self.systemd.add("db.service").set_state("active", "running")
        block = self.block()
        self.assertIs(self.successResultOf(block[0]), True)
        self.leave(block)
        self.assertEqual(self.systemd.orders, [])

    def test_it_is_stopped_too_when_the_block_raises_or_is_given_up(self):
        self.systemd.add("db.service")
        for end in (lambda block: block[1].errback(ValueError("mine")), lambda b: b[2].cancel()):
            block = self.block()
            end(block)
            self.turn()
            self.failureResultOf(block[2])
            self.assertFalse(self.unit.status.is_active)
            self.assertEqual(self.units.uses, {})

    def test_one_that_was_enabled_and_crashed_stays_enabled(self):
        self.systemd.add("db.service", "enabled").set_state("failed", "failed", result="signal")
        self.leave(self.block())
        self.assertEqual(self.unit.word, "enabled")
        self.assertEqual(self.systemd.orders, [(START, "db.service"), (STOP, "db.service")])

    def test_it_is_never_enabled_or_disabled(self):
        self.systemd.add("db.service")
        self.leave(self.block())
        self.assertEqual({order for order, _ in self.systemd.orders}, {START, STOP})

    def test_the_last_who_needs_it_stops_it(self):
        self.systemd.add("db.service")
        other = Daemon("daemon-other", "db")
        self.units.add(App("other", [other]))
        first, second = self.block(), self.block(other)
        self.assertIs(self.successResultOf(second[0]), True)
        self.leave(first)
        self.assertTrue(self.unit.status.is_active)
        self.leave(second)
        self.assertFalse(self.unit.status.is_active)

    def test_within_one_another_the_outer_one_decides(self):
        self.systemd.add("db.service")
        seen = []

        async def nested():
            async with self.daemon.ensure_running():
                async with self.daemon.ensure_running():
                    seen.append(self.unit.status.is_active)
                seen.append(self.unit.status.is_active)

        ended = Deferred.fromCoroutine(nested())
        self.turn()
        self.successResultOf(ended)
        self.assertEqual(seen, [True, True])
        self.assertFalse(self.unit.status.is_active)

    def test_two_names_of_one_unit_are_one_unit(self):
        self.systemd.add("db.service", "enabled", alias="old-db.service")
        old = Daemon("daemon-old", "old-db")
        self.units.add(App("old", [old]))
        first, second = self.block(), self.block(old)
        self.leave(first)
        self.assertTrue(self.unit.status.is_active)
        self.leave(second)
        self.assertFalse(self.unit.status.is_active)

    def test_one_that_somebody_enabled_meanwhile_is_not_stopped(self):
        self.systemd.add("db.service")
        block = self.block()
        enabled = self.daemon.enable()
        self.turn()
        self.successResultOf(enabled)
        self.leave(block)
        self.assertTrue(self.unit.status.is_active)

    def test_one_that_is_starting_is_waited_for_and_not_stopped(self):
        self.systemd.add("db.service", is_slow=True).set_state("activating", "start")
        block = self.block()
        self.assertNoResult(block[0])
        self.systemd.finish_start("db.service")
        self.turn()
        self.assertIs(self.successResultOf(block[0]), True)
        self.leave(block)
        self.assertTrue(self.unit.status.is_active)

    def test_one_that_cannot_be_started_says_why_before_the_block(self):
        self.systemd.add("db.service", start_fails="exit-code", log=["no room"])
        entered, _, ended = self.block()
        error = self.failureResultOf(ended, UnitFailed).value
        self.assertNoResult(entered)
        self.assertIn("no room", error.reason)
        self.assertEqual(self.units.uses, {})
        self.assertEqual(self.systemd.orders[-1], (STOP, "db.service"))

    def test_a_start_that_is_given_up_is_taken_back(self):
        self.systemd.add("db.service", is_slow=True)
        entered, _, ended = self.block()
        ended.cancel()
        self.turn()
        self.failureResultOf(ended, CancelledError)
        self.assertNoResult(entered)
        self.assertEqual(self.systemd.orders, [(START, "db.service"), (STOP, "db.service")])
        self.assertEqual(self.units.uses, {})

    def test_a_stop_that_fails_is_told_unless_the_block_has_its_own_trouble(self):
        for end, kind in (
            (lambda leave: leave.callback(None), NotPermitted),
            (lambda leave: leave.errback(ValueError("mine")), ValueError),
        ):
            self.setUp()
            self.systemd.add("db.service")
            _, leave, ended = self.block()
            self.systemd.refuses = "Access denied"
            end(leave)
            self.turn()
            error = self.failureResultOf(ended, kind).value
            told = [str(error), *getattr(error, "__notes__", ())]
            self.assertIn("Access denied", "".join(told))

    def test_one_that_dies_meanwhile_is_told_at_the_end(self):
        self.systemd.add("db.service", log=["out of memory"])
        _, leave, ended = self.block()
        self.systemd.change_state("db.service", "failed", "failed", result="oom-kill")
        leave.callback(None)
        self.turn()
        error = self.failureResultOf(ended, UnitFailed).value
        self.assertEqual(str(error), "db ended while it was needed")
        self.assertEqual(error.reason, "Result=oom-kill\nout of memory")

    def test_what_the_block_raises_comes_first_and_names_the_death(self):
        self.systemd.add("db.service")
        _, leave, ended = self.block()
        self.systemd.change_state("db.service", "failed", "failed", result="oom-kill")
        leave.errback(ValueError("no answer"))
        self.turn()
        error = self.failureResultOf(ended, ValueError).value
        self.assertIn("oom-kill", error.__notes__[0])

    def test_one_that_died_under_the_first_is_started_again_for_the_second(self):
        self.systemd.add("db.service")
        first = self.block()
        self.systemd.change_state("db.service", "failed", "failed", result="signal")
        second = self.block()
        self.assertIs(self.successResultOf(second[0]), False)
        self.assertTrue(self.unit.status.is_active)
        self.leave(first)
        self.assertTrue(self.unit.status.is_active)
        self.leave(second)
        self.assertFalse(self.unit.status.is_active)

    def test_without_systemd_the_block_is_not_entered(self):
        self.systemd.absent = "no systemd"
        entered, _, ended = self.block()
        self.failureResultOf(ended, NoSystemd)
        self.assertNoResult(entered)
