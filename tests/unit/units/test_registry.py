"""Only declared units may be touched; sockets stand for their services."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.testing.units import FakeSystemd, fake_units
from domogik.units import App, Daemon, RelatedDaemon, UndeclaredUnit
from domogik.units.systemd.backend import NoSystemd, Order
from domogik.units.systemd.names import InvalidUnitName


class RegistryTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.systemd = FakeSystemd()
        self.units = fake_units(self.systemd, self.clock, {})
        self.units.add(
            App("a", [Daemon("daemon-x", "x", alias="old-x"), Daemon("daemon-s", "s.socket")])
        )
        self.units.add(App("b", [RelatedDaemon("related-daemon-r", "r.timer")]))
        for name in ("x.service", "s.socket", "s.service", "r.timer", "other.service"):
            self.systemd.add(name)

    def done(self, deferred):
        self.clock.advance(0)
        self.clock.advance(0)
        return self.successResultOf(deferred)

    def test_units_and_aliases_of_every_component_may_be_touched(self):
        for name, full in (
            ("x", "x.service"),
            ("old-x", "old-x.service"),
            ("s.socket", "s.socket"),
            ("r.timer", "r.timer"),
        ):
            self.assertEqual(self.units.check(name), full)

    def test_others_are_refused_with_a_clear_sentence_and_not_touched(self):
        for name in ("other", "s", "s.service", "r", "ssh.service"):
            for ask in (
                lambda name=name: self.units.carry_out(Order.STOP, name),
                lambda name=name: self.units.status([name]),
                lambda name=name: self.units.enablement(name),
                lambda name=name: self.units.logs(name),
            ):
                error = self.failureResultOf(ask(), UndeclaredUnit).value
                self.assertIn(name, str(error))
                self.assertIn("is not declared", str(error))
        for name in ("../x", "x*", "--help", "x y", ""):
            self.failureResultOf(self.units.carry_out(Order.STOP, name), InvalidUnitName)
        self.assertEqual((self.systemd.orders, self.systemd.questions), ([], []))

    def test_a_unit_of_an_app_that_is_gone_is_refused(self):
        self.units.remove("b")
        self.failureResultOf(self.units.carry_out(Order.STOP, "r.timer"), UndeclaredUnit)

    def test_what_is_meant_by_a_socket_is_often_its_service(self):
        cases = {
            Order.RESTART: [(Order.STOP, "s.service")],
            Order.TRY_RESTART: [(Order.STOP, "s.service")],
            Order.TRY_RELOAD_OR_RESTART: [(Order.STOP, "s.service")],
            Order.RELOAD: [(Order.RELOAD, "s.service")],
            Order.STOP: [(Order.STOP, "s.socket"), (Order.STOP, "s.service")],
            Order.START: [(Order.START, "s.socket")],
            Order.DISABLE: [(Order.DISABLE, "s.socket")],
        }
        self.systemd.units["s.service"].can_reload = True
        for order, expected in cases.items():
            del self.systemd.orders[:]
            self.done(self.units.carry_out(order, "s.socket"))
            self.assertEqual((order, self.systemd.orders), (order, expected))

    def test_a_socket_without_a_service_of_its_name_is_stopped(self):
        del self.systemd.units["s.service"]
        self.done(self.units.carry_out(Order.STOP, "s.socket"))
        self.assertEqual(self.systemd.orders, [(Order.STOP, "s.socket")])

    def test_questions_of_one_turn_are_one_and_each_gets_its_own_answer(self):
        asked = [self.units.status(["x"]), self.units.status(["s.socket", "x"])]
        both = [self.done(one) for one in asked]
        self.assertEqual([list(one) for one in both], [["x"], ["s.socket", "x"]])
        self.assertEqual(len(self.systemd.questions), 1)
        self.done(self.units.status(["x"]))
        self.assertEqual(len(self.systemd.questions), 2)

    def test_a_question_that_is_given_up_does_not_disturb_the_others(self):
        given_up, other = self.units.status(["x"]), self.units.status(["x"])
        given_up.cancel()
        self.failureResultOf(given_up)
        self.done(other)

    def test_a_question_that_fails_fails_for_everybody(self):
        self.systemd.absent = "no systemd"
        asked = [self.units.status(["x"]), self.units.status(["s.socket"])]
        self.clock.advance(0)
        for one in asked:
            self.failureResultOf(one, NoSystemd)

    def test_who_is_alone_with_a_unit_is_not_disturbed(self):
        events = []

        async def visit(name, names, leave):
            async with self.units.locked(names):
                events.append(f"{name} comes")
                await leave
                events.append(f"{name} goes")

        leave = {name: Deferred() for name in "abc"}
        visits = [
            Deferred.fromCoroutine(visit("a", ["x.service", "y.service"], leave["a"])),
            Deferred.fromCoroutine(visit("b", ["y.service", "x.service"], leave["b"])),
            Deferred.fromCoroutine(visit("c", ["z.service"], leave["c"])),
        ]
        self.assertEqual(events, ["a comes", "c comes"])
        visits[1].cancel()
        self.failureResultOf(visits[1])
        again = Deferred.fromCoroutine(visit("b", ["y.service"], leave["b"]))
        leave["a"].callback(None)
        leave["b"].callback(None)
        self.successResultOf(again)
        self.assertEqual(events, ["a comes", "c comes", "a goes", "b comes", "b goes"])
