"""Watching units: asked again when they change, looked for where nobody tells."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.model import State
from domogik.testing.units import FakeSystemd, fake_units
from domogik.units import App, Daemon
from domogik.units.apps.watch import UnitWatch


class WatchTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.systemd = FakeSystemd()
        self.units = fake_units(self.systemd, self.clock, {})
        self.units.add(App("a", [Daemon("daemon-x", "x", alias="old-x"), Daemon("daemon-y", "y")]))
        self.systemd.add("x.service", alias="old-x.service")
        self.systemd.add("y.service")
        self.told = []
        self.watch = UnitWatch(self.clock, self.units, self.tell)

    def tell(self, name, before, after):
        self.told.append(
            (name, before and before.state.value, None if after is None else after.state.value)
        )

    def turn(self, seconds=0):
        self.clock.advance(seconds)
        for _ in range(5):
            self.clock.advance(0)

    def start(self):
        started = self.watch.start()
        self.turn()
        self.successResultOf(started)
        del self.told[:]

    def stop(self):
        self.watch.stop()
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_every_declared_unit_is_looked_at_in_one_question(self):
        started = self.watch.start()
        self.turn()
        self.successResultOf(started)
        self.assertEqual(len(self.systemd.questions), 1)
        self.assertEqual(
            sorted(self.told),
            [
                ("old-x.service", None, "failed"),
                ("x.service", None, "disabled"),
                ("y.service", None, "disabled"),
            ],
        )
        self.stop()

    def test_a_burst_of_changes_is_one_question_about_those_units(self):
        self.start()
        for sub in ("start-pre", "start", "running"):
            self.systemd.change_state("x.service", "active", sub)
        self.turn(0.2)
        self.assertEqual(self.told, [("x.service", "disabled", "running")])
        self.assertEqual(self.systemd.questions[1:], [{"x.service"}])
        self.stop()

    def test_a_unit_is_known_by_its_alias_too(self):
        self.systemd.units["x.service"].word = "enabled"
        self.start()
        self.systemd.change_state("x.service", "active", "running")
        self.turn(0.2)
        self.assertEqual(
            sorted(self.told),
            [("old-x.service", "stopped", "running"), ("x.service", "stopped", "running")],
        )
        self.stop()

    def test_units_of_nobody_are_no_question(self):
        self.start()
        self.systemd.add("other.service")
        self.systemd.change_state("other.service", "active", "running")
        self.turn(1)
        self.assertEqual(len(self.systemd.questions), 1)
        self.stop()

    def test_where_changes_are_not_told_they_are_looked_for(self):
        self.systemd.has_bus = False
        self.start()
        self.systemd.change_state("x.service", "active", "running")
        self.turn(9)
        self.assertEqual(self.told, [])
        self.turn(1)
        self.turn(0.2)
        self.assertEqual(self.told, [("x.service", "disabled", "running")])
        self.stop()

    def test_without_systemd_there_is_a_reason_until_there_is_one(self):
        self.systemd.absent = "no systemd"
        self.start()
        self.assertEqual((self.watch.reason, self.watch.statuses), ("no systemd", {}))
        self.systemd.absent = ""
        self.turn(10)
        self.turn(0.2)
        self.assertEqual(self.watch.reason, "")
        self.assertIs(self.watch.statuses["x.service"].state, State.DISABLED)
        self.stop()

    def test_units_that_are_declared_later_are_looked_at_when_asked(self):
        self.start()
        self.systemd.add("z.service")
        self.units.add(App("z", [Daemon("daemon-z", "z")]))
        looked = self.watch.look()
        self.turn()
        self.successResultOf(looked)
        self.assertEqual(self.told, [("z.service", None, "disabled")])
        self.units.remove("z")
        self.successResultOf(self.looked())
        self.assertEqual(self.told[1:], [("z.service", "disabled", None)])
        self.stop()

    def looked(self):
        looked = self.watch.look()
        self.turn()
        return looked

    def test_who_is_told_may_stop_it(self):
        def stop(name, before, after):
            self.told.append(name)
            self.watch.stop()

        self.watch._on_change = stop
        self.start()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_raises_is_told_on(self):
        def raises(name, before, after):
            raise ValueError(name)

        self.watch._on_change = raises
        self.start()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
        self.stop()

    def test_it_stops_at_any_time(self):
        self.watch.stop()
        self.successResultOf(self.watch.look())
        started = self.watch.start()
        self.stop()
        self.successResultOf(started)
        self.start()
        self.stop()
