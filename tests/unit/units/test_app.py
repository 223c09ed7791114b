"""Apps: components in an order, leaders that decide and followers that are told."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.health import DiagnosticCheck
from domogik.errors import DomogikError
from domogik.testing.units import FakeSystemd, fake_units
from domogik.units.apps.app import (
    App,
    Component,
    DuplicateComponent,
    FollowerComponent,
    LeaderComponent,
    UnitLogs,
    app_is_running,
)
from domogik.units.apps.component import Daemon
from domogik.units.systemd.backend import NoSystemd


def test_what_is_no_component_or_app_is_refused():
    registry = fake_units(FakeSystemd(), Clock(), {})
    for other in (3, None, App("b")):
        with pytest.raises(TypeError, match=r"is not a component of domogik\.units"):
            App("a").add(other)
    for other in (3, Daemon("daemon-web", "web")):
        with pytest.raises(TypeError, match=r"is not an app of domogik\.units"):
            registry.add(other)


def told(calls):
    class Told(Component):
        async def enable(self):
            calls.append(("enable", self.component_id))

        async def disable(self):
            calls.append(("disable", self.component_id))

        async def uninstall(self):
            calls.append(("uninstall", self.component_id))

    return Told


class Leader(LeaderComponent):
    def __init__(self, component_id, enabled):
        super().__init__(component_id)
        self.enabled = enabled
        self.last_told = False

    async def is_enabled(self):
        return self.enabled

    async def set_enabled(self, enabled):
        self.last_told = True


class Checked(Component):
    def __init__(self, component_id, again=False):
        super().__init__(component_id)
        self.again = again
        self.repaired = []

    async def diagnose(self):
        return [DiagnosticCheck(f"{self.component_id}-{n}", "x") for n in (1, 2)]

    async def repair(self, failed_checks):
        self.repaired += failed_checks
        return self.again


class Runs(Component):
    def __init__(self, component_id, runs):
        super().__init__(component_id)
        self.runs = runs

    def is_running(self):
        return succeed(self.runs)

    def get_logs(self):
        return succeed(UnitLogs(self.component_id, "", ()))


class AppTests(SynchronousTestCase):
    def done(self, awaitable):
        async def wait():
            return await awaitable

        return self.successResultOf(Deferred.fromCoroutine(wait()))

    def test_components_are_enabled_in_their_order_and_disabled_in_the_other(self):
        calls = []
        kind = told(calls)
        app = App("a", [kind("one"), kind("two")]).add(kind("three"))
        self.assertEqual(list(app.components), ["one", "two", "three"])
        self.done(app.enable())
        self.assertEqual([name for _, name in calls], ["one", "two", "three"])
        for verb in ("disable", "uninstall"):
            del calls[:]
            self.done(getattr(app, verb)())
            self.assertEqual(calls, [(verb, "three"), (verb, "two"), (verb, "one")])

    def test_what_a_component_fails_with_is_what_its_app_fails_with(self):
        systemd = FakeSystemd(absent="there is no systemd here")
        clock = Clock()
        units = fake_units(systemd, clock, {})
        app = units.add(App("web", [Daemon("daemon-web", "web"), Daemon("daemon-db", "db")]))
        for ask in (app.get_logs, app.is_enabled, app.is_available, lambda: app_is_running(app)):
            answer = ask()
            clock.advance(1)
            self.failureResultOf(answer, NoSystemd)

        class Broken(Component):
            async def diagnose(self):
                raise DomogikError("it is broken")

        self.failureResultOf(App("web", [Broken("one"), Broken("two")]).diagnose(), DomogikError)

    def test_a_component_that_fails_keeps_nobody_from_being_asked(self):
        calls = []

        class Fails(Component):
            async def enable(self):
                raise DomogikError(f"{self.component_id} failed")

        app = App("a", [Fails("one"), told(calls)("two"), Fails("three")])
        error = self.failureResultOf(app.enable(), DomogikError).value
        self.assertEqual(str(error), "one failed")
        self.assertEqual(calls, [("enable", "two")])
        self.assertIsNone(app.is_switching_to)

    def test_an_app_is_switched_once_at_a_time(self):
        calls, leave = [], Deferred()

        class Slow(told(calls)):
            async def enable(self):
                await leave
                await super().enable()

        app = App("a", [Slow("one")])
        first, second = app.enable(), app.disable()
        self.assertEqual((calls, app.is_switching_to), ([], True))
        leave.callback(None)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(calls, [("enable", "one"), ("disable", "one")])
        self.assertEqual((app.is_switching_to, app.last_told), (None, False))

    def test_an_app_is_enabled_when_every_leader_is(self):
        for leaders, enabled in (((), True), ((True,), True), ((True, False), False)):
            app = App("a", [Leader(str(n), on) for n, on in enumerate(leaders)])
            app.add(FollowerComponent("follower"))
            self.assertIs(self.done(app.is_enabled()), enabled)

    def test_followers_are_told_and_leaders_are_not(self):
        follower = FollowerComponent("follower")
        leader = Leader("leader", False)
        app = App("a", [follower, leader])
        self.assertFalse(self.done(follower.is_enabled()))
        self.done(app.set_enabled(True))
        self.assertTrue(self.done(follower.is_enabled()))
        self.assertFalse(leader.last_told)
        self.done(app.disable())
        self.assertFalse(self.done(follower.is_enabled()))
        self.done(app.enable())
        self.assertTrue(self.done(follower.is_enabled()))

    def test_a_leader_has_to_say_whether_it_is_enabled(self):
        with pytest.raises(NotImplementedError):
            LeaderComponent("x").is_enabled()

    def test_a_component_belongs_to_the_app_that_it_was_added_to(self):
        component = Component("x")
        self.assertIsNone(component.app_id)
        App("a", [component])
        self.assertEqual(component.app_id, "a")

    def test_nothing_has_an_empty_id(self):
        for kind, name in ((Component, "component"), (App, "app"), (FollowerComponent, "comp")):
            with pytest.raises(ValueError, match=f"Invalid {name}"):
                kind("")

    def test_components_by_default_do_nothing(self):
        component = Component("x")
        for verb in ("enable", "disable", "uninstall"):
            self.assertIsNone(self.done(getattr(component, verb)()))
        self.assertEqual(self.done(component.diagnose()), [])
        self.assertTrue(self.done(component.repair([])))

    def test_checks_come_in_the_order_of_the_components(self):
        app = App("a", [Checked("one"), Component("none"), Checked("two")])
        self.assertTrue(app.has_diagnostics())
        checks = self.done(app.diagnose())
        self.assertEqual([one.check_id for one in checks], ["one-1", "one-2", "two-1", "two-2"])
        self.assertFalse(App("a", [Component("none")]).has_diagnostics())

    def test_an_app_that_looks_at_itself_has_diagnostics(self):
        class Own(App):
            def diagnose(self):
                return succeed([])

        self.assertTrue(Own("a").has_diagnostics())

    def test_each_component_repairs_its_own(self):
        one, two = Checked("one"), Checked("two")
        app = App("a", [one, two])
        mine = DiagnosticCheck("x", "x", component_id="one")
        self.assertFalse(self.done(app.repair([mine])))
        self.assertEqual((one.repaired, two.repaired), ([mine], []))

    def test_set_up_runs_again_when_a_component_or_a_check_of_none_wants_it(self):
        mine = DiagnosticCheck("x", "x", component_id="one")
        self.assertTrue(self.done(App("a", [Checked("one", True)]).repair([mine])))
        self.assertTrue(self.done(App("a", [Component("one")]).repair([mine])))
        self.assertTrue(self.done(App("a", [Checked("one")]).repair([DiagnosticCheck("x", "x")])))
        self.assertFalse(self.done(App("a", [Checked("one", True)]).repair([])))

    def test_an_app_runs_unless_a_component_says_no(self):
        for runs, expected in (((), True), ((True, True), True), ((True, False), False)):
            app = App("a", [Runs(str(n), one) for n, one in enumerate(runs)])
            self.assertIs(self.done(app_is_running(app.add(Component("none")))), expected)

    def test_logs_are_those_of_who_has_any(self):
        app = App("a", [Runs("one", True), Component("none")])
        self.assertTrue(app.has_logs())
        self.assertEqual([logs.unit for logs in self.done(app.get_logs())], ["one"])
        self.assertFalse(App("a", [Component("none")]).has_logs())


class RegistryOfAppsTests(SynchronousTestCase):
    def setUp(self):
        self.units = fake_units(FakeSystemd(), Clock(), {})

    def test_ids_are_unique_over_all_apps(self):
        self.units.add(App("a", [Component("x")]))
        with pytest.raises(DuplicateComponent):
            App("b", [Component("x"), Component("x")])
        with pytest.raises(DuplicateComponent):
            self.units.add(App("a"))
        with pytest.raises(DuplicateComponent):
            self.units.add(App("b", [Component("x")]))
        other = self.units.add(App("c"))
        with pytest.raises(DuplicateComponent):
            other.add(Component("x"))

    def test_components_are_found_until_their_app_is_gone(self):
        app = self.units.add(App("a", [component := Component("x")]))
        self.assertIs(self.units.component("x"), component)
        self.assertIsNone(self.units.component("y"))
        self.units.remove("a")
        self.assertIsNone(self.units.component("x"))
        self.assertIsNone(app.units)
        self.units.remove("a")
        self.assertIs(self.units.add(app), app)

    def test_what_is_added_to_an_app_later_is_declared_too(self):
        app = self.units.add(App("a"))
        app.add(Daemon("daemon-x", "x", alias="y.socket"))
        self.assertEqual(self.units.declared, {"x.service", "y.socket"})


class FreedomBoxNames(SynchronousTestCase):
    """What the classes of that reference offer beside enabling and disabling."""

    def test_components_are_found_by_id_and_by_class_and_can_be_taken_out(self):
        units = fake_units(FakeSystemd(), Clock(), {})
        daemon, other = Daemon("daemon-web", "web"), Component("other")
        app = units.add(App("web", [daemon, other]))
        self.assertIs(app.get_component("other"), other)
        self.assertEqual(list(app.get_components_of_type(Daemon)), [daemon])
        self.assertIs(app.remove("daemon-web"), daemon)
        self.assertEqual(units.declared, frozenset())
        self.assertRaises(KeyError, lambda: daemon.app)
        for ask in (app.get_component, app.remove):
            self.assertRaises(KeyError, ask, "daemon-web")

    def test_set_up_reaches_every_component_in_order_with_the_version_of_before(self):
        seen = []

        class Set(Component):
            async def setup(self, old_version=0):
                seen.append((self.component_id, old_version))

        app = App("app", [Set("a"), Component("b"), Set("c")])
        self.successResultOf(app.setup(3))
        self.assertEqual(seen, [("a", 3), ("c", 3)])

    def test_a_follower_is_told_at_once_whether_it_is_enabled_and_may_lead(self):
        follower = FollowerComponent("follower", True)
        self.assertIs(self.successResultOf(follower.is_enabled()), True)
        app = App("app", [follower])
        self.assertEqual(app.leaders, ())
        follower.is_leader = True
        self.assertEqual(app.leaders, (follower,))
        self.successResultOf(app.set_enabled(False))
        self.assertIs(self.successResultOf(app.is_enabled()), True)

    def test_what_can_be_looked_at_says_so(self):
        self.assertFalse(Component("plain").has_diagnostics())
        self.assertTrue(Daemon("daemon-web", "web").has_diagnostics())
