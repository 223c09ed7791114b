"""Daemons, related and shared ones: the documented behaviour, and what was wrong with it."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.health import Result
from domogik.supervisor.ports.listeners import Listener
from domogik.testing.units import FakeSystemd, fake_units
from domogik.units import App, Daemon, LeaderComponent, RelatedDaemon, SharedDaemon, app_is_running
from domogik.units.apps.starting import UnitFailed
from domogik.units.checks.port_owners import OpenPort, PortOwner
from domogik.units.checks.ports import InvalidPort
from domogik.units.systemd.backend import NoSystemd, Order
from domogik.units.systemd.names import InvalidUnitName
from domogik.units.this_host import HostSystem

ENABLE, DISABLE, START, STOP = Order.ENABLE, Order.DISABLE, Order.START, Order.STOP


class Leader(LeaderComponent):
    """One that is no unit."""

    def __init__(self, component_id, enabled=True):
        super().__init__(component_id)
        self.enabled = enabled

    def is_enabled(self):
        return Deferred.fromCoroutine(self._answer())

    async def _answer(self):
        return self.enabled

    async def enable(self):
        self.enabled = True

    async def disable(self):
        self.enabled = False


class UnitTestCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.systemd = FakeSystemd()
        self.ports = {}
        self.units = fake_units(self.systemd, self.clock, self.ports)

    def done(self, awaitable):
        """What it comes to, without any time."""
        return self.successResultOf(self.turn(awaitable))

    def failed(self, awaitable, error):
        return self.failureResultOf(self.turn(awaitable), error).value

    def turn(self, awaitable):
        async def wait():
            return await awaitable

        result = Deferred.fromCoroutine(wait())
        for _ in range(20):
            self.clock.advance(0)
        return result

    def app(self, app_id, *components):
        return self.units.add(App(app_id, components))

    def daemon(self, *args, **kwargs):
        daemon = Daemon(*args, **kwargs)
        self.app(f"app-of-{daemon.component_id}", daemon)
        return daemon


class DaemonTests(UnitTestCase):
    def test_it_is_made_as_the_reference_page_says(self):
        daemon = Daemon("daemon-web", "web", True, [(80, "tcp4"), (53, "udp")], "old-web")
        self.assertEqual(
            (daemon.component_id, daemon.unit, daemon.strict_check, daemon.alias),
            ("daemon-web", "web", True, "old-web"),
        )
        self.assertEqual(daemon.listen_ports, [(80, "tcp4"), (53, "udp")])
        self.assertTrue(daemon.is_leader)
        self.assertEqual(daemon.unit_names, ("web.service", "old-web.service"))
        plain = Daemon("daemon-web", "web.socket")
        self.assertEqual((plain.strict_check, plain.listen_ports, plain.alias), (False, [], None))
        self.assertEqual(plain.unit_names, ("web.socket",))

    def test_one_without_an_id_cannot_be_made(self):
        for make in (Daemon, SharedDaemon, RelatedDaemon):
            with pytest.raises(ValueError, match="Invalid component ID"):
                make("", "web")

    def test_what_cannot_be_a_unit_or_a_port_is_refused(self):
        for name in (
            None,
            5,
            b"web",
            "",
            "-x",
            "a b",
            "*",
            "a/b",
            "web@.service",
            ".service",
            "x" * 300,
            "ä",
        ):
            with pytest.raises(InvalidUnitName):
                Daemon("daemon-web", name)
            with pytest.raises(InvalidUnitName):
                RelatedDaemon("related-daemon-web", name)
            if name is not None:
                with pytest.raises(InvalidUnitName):
                    Daemon("daemon-web", "web", alias=name)
        for port in ((0, "tcp"), (65536, "tcp"), ("80", "tcp"), (True, "tcp"), (80, "sctp")):
            with pytest.raises(InvalidPort):
                Daemon("daemon-web", "web", listen_ports=[port])

    def test_ports_without_a_kind_are_refused_with_an_example(self):
        for ports in ([80], [(80,)], [(80, "tcp", 1)], 80, (80, "tcp"), [None]):
            with pytest.raises(InvalidPort, match=r"such as \(80, 'tcp'\)"):
                Daemon("daemon-web", "web", listen_ports=ports)
        with pytest.raises(InvalidPort, match=r"^'80' is not a port$"):
            Daemon("daemon-web", "web", listen_ports=[("80", "tcp")])

    def test_one_that_belongs_to_no_app_works_alone(self):
        class Alone(Daemon):
            system = HostSystem(self.clock, self.systemd, self.units.ports)

        daemon = Alone("daemon-web", "web", listen_ports=[(80, "tcp")])
        self.assertRaises(KeyError, lambda: daemon.app)
        units = daemon.units
        self.systemd.add("web.service")
        self.done(daemon.enable())
        self.assertIs(self.done(daemon.is_enabled()), True)
        self.assertEqual(self.done(daemon.diagnose())[0].result, "passed")
        self.assertEqual(units.declared, {"web.service"})
        self.systemd.absent = "there is no systemd here"
        self.assertEqual(self.done(daemon.diagnose())[0].result, "skipped")

    def test_another_alias_counts_from_then_on(self):
        daemon = self.daemon("daemon-web", "web")
        self.assertNotIn("old-web.service", self.units.declared)
        daemon.alias = "old-web"
        self.assertEqual(daemon.unit_names, ("web.service", "old-web.service"))
        self.assertIn("old-web.service", self.units.declared)
        with self.assertRaises(InvalidUnitName):
            daemon.alias = "not a unit"
        self.assertEqual(daemon.alias, "old-web")

    def test_an_answer_cannot_be_taken_for_true(self):
        self.systemd.add("web.service")
        daemon = self.daemon("daemon-web", "web")
        answer = daemon.is_enabled()
        with self.assertRaisesRegex(TypeError, "await it, or use domogik.units.blocking"):
            bool(answer)
        self.assertIs(self.done(answer), False)

    def test_whether_the_unit_is_there_at_all(self):
        self.systemd.add("web.service")
        app = self.units.add(App("app", [Daemon("daemon-a", "web")]))
        self.assertIs(self.done(app.is_available()), True)
        app.add(Daemon("daemon-b", "nowhere"))
        self.assertIs(self.done(app.is_available()), False)

    def test_enabling_enables_and_starts_the_unit_and_then_the_alias(self):
        self.systemd.add("web.service", alias="old-web.service")
        daemon = self.daemon("daemon-web", "web", alias="old-web")
        self.done(daemon.enable())
        self.assertEqual(
            self.systemd.orders,
            [
                (ENABLE, "web.service"),
                (START, "web.service"),
                (ENABLE, "old-web.service"),
                (START, "old-web.service"),
            ],
        )
        self.assertTrue(self.done(daemon.is_enabled()))
        self.assertTrue(self.done(daemon.is_running()))

    def test_disabling_disables_and_stops_the_unit_and_then_the_alias(self):
        self.systemd.add("web.service", "enabled", alias="old-web.service")
        daemon = self.daemon("daemon-web", "web", alias="old-web")
        self.done(daemon.disable())
        self.assertEqual(
            self.systemd.orders,
            [
                (DISABLE, "web.service"),
                (STOP, "web.service"),
                (DISABLE, "old-web.service"),
                (STOP, "old-web.service"),
            ],
        )
        self.assertFalse(self.done(daemon.is_enabled()))

    def test_stopping_a_socket_stops_its_service_too(self):
        self.systemd.add("web.socket", "enabled")
        self.systemd.add("web.service", "static")
        self.done(self.daemon("daemon-web", "web.socket").disable())
        self.assertEqual(
            self.systemd.orders,
            [(DISABLE, "web.socket"), (STOP, "web.socket"), (STOP, "web.service")],
        )

    def test_one_of_two_names_may_be_missing(self):
        for there in ("web.service", "old-web.service"):
            self.setUp()
            self.systemd.add(there)
            daemon = self.daemon("daemon-web", "web", alias="old-web")
            self.done(daemon.enable())
            self.assertEqual(self.systemd.units[there].word, "enabled")
            self.assertTrue(self.done(daemon.is_enabled()))
            self.done(daemon.disable())
            self.assertFalse(self.done(daemon.is_enabled()))

    def test_enabled_by_its_alias_is_enabled_and_the_alias_is_asked_first(self):
        daemon = self.daemon("daemon-web", "web", alias="old-web")
        self.systemd.add("web.service")
        self.assertFalse(self.done(daemon.is_enabled()))
        self.systemd.add("old-web.service", "enabled")
        self.assertTrue(self.done(daemon.is_enabled()))

    def test_what_systemd_calls_enabled_counts_and_strictly_only_the_word(self):
        words = {
            "enabled": (True, True),
            "enabled-runtime": (True, False),
            "static": (True, False),
            "indirect": (True, False),
            "generated": (True, False),
            "alias": (True, False),
            "transient": (True, False),
            "disabled": (False, False),
            "linked": (False, False),
            "masked": (False, False),
            "masked-runtime": (False, False),
            "bad": (False, False),
        }
        loose = self.daemon("daemon-web", "web")
        strict = self.daemon("daemon-strict", "web", strict_check=True)
        unit = self.systemd.add("web.service")
        for word, expected in words.items():
            unit.word = word
            answers = self.done(loose.is_enabled()), self.done(strict.is_enabled())
            self.assertEqual((word, answers), (word, expected))

    def test_the_strict_check_holds_for_both_names(self):
        self.systemd.add("web.service")
        self.systemd.add("old-web.service", "enabled-runtime")
        self.assertFalse(
            self.done(self.daemon("daemon-web", "web", True, alias="old-web").is_enabled())
        )
        self.assertTrue(self.done(self.daemon("daemon-2", "web", alias="old-web").is_enabled()))

    def test_the_alias_is_not_asked_whether_it_runs(self):
        self.systemd.add("web.service")
        self.systemd.add("old-web.service").set_state("active", "running")
        self.assertFalse(self.done(self.daemon("daemon-web", "web", alias="old-web").is_running()))

    def test_logs_are_the_last_200_lines_with_the_description(self):
        self.systemd.add("web.service", log=[f"line {n}" for n in range(300)])
        logs = self.done(self.daemon("daemon-web", "web").get_logs())
        self.assertEqual((logs.unit, logs.description), ("web", "The unit web.service"))
        self.assertEqual((len(logs.lines), logs.lines[-1]), (200, "line 299"))


class RepairedDaemonTests(UnitTestCase):
    """What FreedomBox's has wrong: each of these failed there."""

    def test_a_unit_that_is_starting_is_not_called_stopped(self):
        unit = self.systemd.add("web.service")
        unit.set_state("activating", "start")
        daemon = self.daemon("daemon-web", "web")
        self.assertTrue(self.done(daemon.is_running()))
        (check,) = self.done(daemon.diagnose())
        self.assertEqual(check.result, Result.WARNING)
        unit.set_state("activating", "auto-restart", result="exit-code")
        self.assertFalse(self.done(daemon.is_running()))

    def test_a_unit_that_runs_to_an_end_is_not_called_stopped(self):
        unit = self.systemd.add("web.service", "static", type="oneshot")
        daemon = self.daemon("daemon-web", "web")
        self.assertTrue(self.done(daemon.is_running()))
        (check,) = self.done(daemon.diagnose())
        self.assertEqual(check.result, Result.PASSED)
        unit.set_state("failed", "failed", result="exit-code")
        self.assertFalse(self.done(daemon.is_running()))

    def test_a_start_that_fails_is_told_with_the_words_of_systemd_and_of_the_unit(self):
        self.systemd.add("web.service", start_fails="exit-code", log=["no such file: web.conf"])
        error = self.failed(self.daemon("daemon-web", "web").enable(), UnitFailed)
        self.assertEqual(
            str(error), "systemctl start web.service: Job for web.service failed (exit-code)."
        )
        self.assertEqual(error.reason, "Result=exit-code, status=1\nno such file: web.conf")
        self.assertEqual(error.log, ("no such file: web.conf",))

    def test_a_unit_that_dies_right_after_its_start_is_told(self):
        self.systemd.add("web.service", fails_after_start="signal")
        error = self.failed(self.daemon("daemon-web", "web").enable(), UnitFailed)
        self.assertIn("does not run", str(error))
        self.assertIn("Result=signal", error.reason)

    def test_a_masked_unit_and_one_that_does_not_exist_are_told(self):
        self.systemd.add("web.service", "masked")
        error = self.failed(self.daemon("daemon-web", "web").enable(), UnitFailed)
        self.assertIn("is masked", str(error))
        daemon = self.daemon("daemon-gone", "gone", alias="old-gone")
        self.assertIn("gone.service", str(self.failed(daemon.enable(), UnitFailed)))
        self.assertIn("gone.service", str(self.failed(daemon.disable(), UnitFailed)))

    def test_a_name_that_is_only_an_alias_cannot_be_enabled_which_is_told(self):
        self.systemd.add("web.service", "enabled", alias="old-web.service")
        error = self.failed(self.daemon("daemon-web", "old-web").enable(), UnitFailed)
        self.assertIn("alias name", str(error))

    def test_all_calls_are_made_though_the_first_failed(self):
        self.systemd.add("web.service", "masked")
        self.systemd.add("old-web.service")
        daemon = self.daemon("daemon-web", "web", alias="old-web")
        self.failed(daemon.enable(), UnitFailed)
        self.assertEqual(len(self.systemd.orders), 4)
        self.assertTrue(self.systemd.units["old-web.service"].status.is_active)

    def test_missing_privileges_are_told_with_the_words_of_polkit(self):
        self.systemd.add("web.service")
        self.systemd.refuses = "Interactive authentication required."
        error = self.failed(self.daemon("daemon-web", "web").enable(), UnitFailed)
        self.assertIn("Interactive authentication required.", str(error))

    def test_many_units_are_looked_at_in_one_question(self):
        daemons = []
        for n in range(100):
            self.systemd.add(f"u{n}.service").set_state("active", "running")
            daemons.append(self.daemon(f"daemon-{n}", f"u{n}"))
        answers = [daemon.diagnose() for daemon in daemons]
        for answer in answers:
            (check,) = self.done(answer)
            self.assertEqual(check.result, Result.PASSED)
        self.assertEqual(len(self.systemd.questions), 1)

    def test_without_systemd_ports_are_looked_at_and_what_asks_it_is_skipped(self):
        self.systemd.absent = "this host was not booted with systemd"
        daemon = self.daemon("daemon-web", "web", listen_ports=[(80, "tcp"), (53, "udp")])
        checks = self.done(daemon.diagnose())
        self.assertEqual(
            [check.result for check in checks], [Result.SKIPPED, Result.FAILED, Result.FAILED]
        )
        self.assertEqual(checks[0].parameters["reason"], self.systemd.absent)
        self.assertEqual(checks[1].finding_text, "No program listens on tcp port 80")
        self.failed(daemon.enable(), NoSystemd)
        self.failed(daemon.is_running(), NoSystemd)


class DiagnosisTests(UnitTestCase):
    def check(self, **kwargs):
        daemon = self.daemon("daemon-web", "web", **kwargs)
        return daemon, self.done(daemon.diagnose())

    def test_first_the_unit_and_then_each_port_in_their_order(self):
        self.systemd.add("web.service").set_state("active", "running")
        _, checks = self.check(listen_ports=[(8080, "tcp4"), (53, "udp"), (80, "tcp6")])
        self.assertEqual(
            [(check.check_id, check.filled) for check in checks],
            [
                ("daemon-running-web", "Service web is running"),
                ("daemon-listening-tcp4-8080", "Listening on tcp4 port 8080"),
                ("daemon-listening-udp-53", "Listening on udp port 53"),
                ("daemon-listening-tcp6-80", "Listening on tcp6 port 80"),
            ],
        )
        self.assertEqual({check.component_id for check in checks}, {"daemon-web"})
        self.assertEqual(checks[0].description, "Service {service_name} is running")
        self.assertEqual(checks[0].parameters, {"service_name": "web"})
        self.assertEqual(checks[1].parameters, {"kind": "tcp4", "port": 8080})

    def test_every_way_of_not_running_has_its_word_and_what_can_be_done(self):
        cases = [
            ("inactive", "dead", {}, {}, "failed", "unit-start"),
            ("failed", "failed", {"result": "exit-code"}, {}, "failed", "unit-restart"),
            ("activating", "auto-restart", {"result": "signal"}, {}, "failed", "unit-restart"),
            ("activating", "start", {}, {}, "warning", "wait"),
            ("inactive", "dead", {}, {"word": "masked"}, "failed", "unit-unmask"),
            ("inactive", "dead", {"load_state": "bad-setting"}, {}, "failed", "mend-unit-file"),
            (
                "active",
                "running",
                {"needs_daemon_reload": True},
                {},
                "passed",
                "unit-daemon-reload",
            ),
        ]
        for active, sub, status, more, result, action in cases:
            self.setUp()
            self.systemd.add("web.service", **more).set_state(active, sub, **status)
            _, (check,) = self.check()
            self.assertEqual((check.result.value, active), (result, active))
            self.assertEqual([one.action for one in check.suggestions], [action])

    def test_a_unit_that_does_not_exist_is_a_failure_in_systemds_words(self):
        _, (check,) = self.check()
        self.assertEqual(check.result, Result.FAILED)
        self.assertEqual(check.parameters["reason"], "Unit web.service not found.")
        self.assertFalse(check.suggestions[0].is_repairable)

    def test_the_journal_of_a_failed_unit_names_known_causes(self):
        for line, action in (
            ("bind: Address already in use", "free-port"),
            ("write: No space left on device", "free-disk"),
            ("open: Permission denied", "check-permissions"),
        ):
            self.setUp()
            self.systemd.add("web.service", log=[line]).set_state(
                "failed", "failed", result="exit-code"
            )
            _, (check,) = self.check()
            self.assertIn(action, [one.action for one in check.suggestions])
            self.assertEqual(check.parameters["log"], (line,))

    def listens(self, port, *names, group="/system.slice/web.service", pid=4242, kind="tcp4"):
        listener = Listener(kind=kind, address="0.0.0.0", port=port, inode=1, v6only=None, uid=0)
        holders = tuple(PortOwner(pid, name, group) for name in names)
        self.ports[port] = (OpenPort(listener, holders),)

    def test_a_port_of_the_unit_passes_and_names_who_has_it(self):
        self.done(self.start())
        self.listens(80, "web")
        _, (_, check) = self.check(listen_ports=[(80, "tcp")])
        self.assertEqual(check.result, Result.PASSED)
        self.assertEqual(check.parameters["owner"], "web (process 4242)")

    def start(self, name="web.service"):
        self.systemd.add(name)
        return self.systemd.carry_out(START, name)

    def test_a_port_that_somebody_else_has_is_a_warning_that_names_him(self):
        self.done(self.start())
        self.listens(80, "other", group="/system.slice/web.service-not")
        _, (_, check) = self.check(listen_ports=[(80, "tcp")])
        self.assertEqual(check.result, Result.WARNING)
        self.assertEqual(check.parameters["owner"], "other (process 4242)")
        self.assertIn("not of web", check.parameters["reason"])
        self.assertEqual([one.action for one in check.suggestions], ["free-port"])

    def test_workers_below_the_units_group_and_its_main_process_are_the_units(self):
        self.done(self.start())
        self.listens(80, "web", group="/system.slice/web.service/worker")
        self.listens(81, "web", group="", pid=self.systemd.units["web.service"].status.main_pid)
        _, checks = self.check(listen_ports=[(80, "tcp"), (81, "tcp")])
        self.assertEqual([check.result for check in checks], [Result.PASSED] * 3)

    def test_a_port_whose_owner_may_not_be_seen_passes_without_one(self):
        self.done(self.start())
        self.listens(80)
        _, (_, check) = self.check(listen_ports=[(80, "tcp")])
        self.assertEqual((check.result, "owner" in check.parameters), (Result.PASSED, False))

    def test_systemd_listens_for_a_socket(self):
        self.systemd.add("web.socket").set_state("active", "listening")
        self.listens(80, "systemd", group="/init.scope", pid=1)
        daemon = self.daemon("daemon-web", "web.socket", listen_ports=[(80, "tcp")])
        self.assertEqual(self.done(daemon.diagnose())[1].result, Result.PASSED)

    def test_the_same_port_of_two_components_is_two_checks(self):
        self.done(self.start())
        self.listens(80, "web")
        one = self.daemon("daemon-a", "web", listen_ports=[(80, "tcp")])
        other = self.daemon("daemon-b", "web", listen_ports=[(80, "tcp")])
        checks = self.done(one.diagnose()) + self.done(other.diagnose())
        self.assertEqual(len({check.check_id for check in checks}), 2)
        self.assertEqual(len({check.key for check in checks}), 4)

    def test_repair_does_what_was_suggested_and_needs_no_set_up(self):
        unit = self.systemd.add("web.service")
        unit.set_state("failed", "failed", result="exit-code", needs_daemon_reload=True)
        daemon, checks = self.check()
        self.assertFalse(self.done(daemon.repair(checks)))
        self.assertEqual(
            self.systemd.orders, [(Order.RESET_FAILED, "web.service"), (START, "web.service")]
        )
        (check,) = self.done(daemon.diagnose())
        self.assertEqual((check.result, check.suggestions), (Result.PASSED, ()))

    def test_repair_unmasks_and_starts(self):
        self.systemd.add("web.service", "masked")
        daemon, checks = self.check()
        self.done(daemon.repair(checks))
        self.assertEqual(
            self.systemd.orders, [(Order.UNMASK, "web.service"), (START, "web.service")]
        )

    def test_a_repair_that_does_not_help_says_why(self):
        self.systemd.add("web.service", start_fails="exit-code")
        daemon, checks = self.check()
        self.failed(daemon.repair(checks), UnitFailed)


class RelatedDaemonTests(UnitTestCase):
    def test_the_app_does_nothing_to_it(self):
        self.systemd.add("web.service")
        app = self.app("web", RelatedDaemon("related-daemon-web", "web"))
        self.done(app.enable())
        self.done(app.disable())
        self.assertEqual(self.systemd.orders, [])
        self.assertEqual(self.done(app.diagnose()), [])
        self.assertFalse(app.has_diagnostics())
        self.assertTrue(self.done(app_is_running(app)))

    def test_it_may_be_touched_and_has_logs(self):
        self.systemd.add("web.service", log=["one"])
        app = self.app("web", RelatedDaemon("related-daemon-web", "web"))
        self.assertEqual(self.units.check("web"), "web.service")
        self.assertTrue(app.has_logs())
        self.assertEqual([logs.lines for logs in self.done(app.get_logs())], [("one",)])


class SharedDaemonTests(UnitTestCase):
    def setUp(self):
        super().setUp()
        self.unit = self.systemd.add("db.service")

    def sharing(self, app_id, *components, **kwargs):
        shared = SharedDaemon(f"shared-daemon-{app_id}", kwargs.pop("unit", "db"), **kwargs)
        return self.app(app_id, *components, shared)

    def is_on(self):
        return self.unit.word == "enabled" and self.unit.status.is_active

    def test_it_decides_nothing_about_its_app(self):
        app = self.sharing("a", leader := Leader("a", enabled=False))
        self.assertEqual(app.leaders, (leader,))
        self.done(app.components["shared-daemon-a"].enable())
        self.assertFalse(self.done(app.is_enabled()))
        self.assertTrue(self.done(app.components["shared-daemon-a"].is_enabled()))

    def test_being_told_changes_nothing(self):
        app = self.sharing("a")
        self.done(app.set_enabled(True))
        self.assertEqual(self.systemd.orders, [])
        self.assertFalse(self.done(app.components["shared-daemon-a"].is_enabled()))

    def test_only_the_last_app_that_lets_go_disables_it(self):
        one = self.sharing("a", Leader("a", False))
        other = self.sharing("b", Leader("b", False))
        self.done(one.enable())
        self.done(other.enable())
        self.done(one.disable())
        self.assertTrue(self.is_on())
        self.done(other.disable())
        self.assertFalse(self.is_on())
        self.assertEqual(self.systemd.orders[-2:], [(DISABLE, "db.service"), (STOP, "db.service")])

    def test_it_is_looked_at_with_the_app(self):
        app = self.sharing("a")
        self.assertTrue(app.has_diagnostics())
        (check,) = self.done(app.diagnose())
        self.assertEqual((check.check_id, check.result), ("daemon-running-db", Result.FAILED))

    def test_two_apps_that_let_go_at_once_leave_it_off(self):
        self.unit.is_slow = False
        one = self.sharing("a", Leader("a"))
        other = self.sharing("b", Leader("b"))
        self.done(one.enable())
        both = [one.disable(), other.disable()]
        for result in both:
            self.done(result)
        self.assertFalse(self.is_on())

    def test_one_that_takes_it_while_another_lets_go_keeps_it(self):
        one = self.sharing("a", Leader("a"))
        other = self.sharing("b", Leader("b", False))
        self.done(one.enable())
        for both in (
            (one.disable, other.enable),
            (one.enable, other.disable),
        ):
            results = [begin() for begin in both]
            for result in results:
                self.done(result)
            self.assertTrue(self.is_on())

    def test_an_app_without_leaders_does_not_hold_it_for_ever(self):
        one = self.sharing("a", Leader("a"))
        other = self.sharing("b")
        self.done(one.enable())
        self.done(other.enable())
        self.done(other.disable())
        self.assertTrue(self.is_on())
        self.done(one.disable())
        self.assertFalse(self.is_on())

    def test_an_app_without_leaders_that_is_enabled_holds_it(self):
        one = self.sharing("a", Leader("a"))
        other = self.sharing("b")
        self.done(one.enable())
        self.done(other.set_enabled(True))
        self.done(one.disable())
        self.assertTrue(self.is_on())

    def test_an_app_whose_own_daemon_it_is_holds_it(self):
        one = self.sharing("a", Leader("a"))
        self.app("mail", Daemon("daemon-db", "db"), Leader("mail"))
        self.done(one.enable())
        self.done(one.disable())
        self.assertTrue(self.is_on())

    def test_an_app_whose_only_leader_it_is_holds_it_until_it_is_disabled(self):
        one = self.sharing("a", Leader("a"))
        mail = self.app("mail", Daemon("daemon-db", "db"))
        self.done(one.enable())
        self.done(one.disable())
        self.assertTrue(self.is_on())
        self.done(one.enable())
        self.done(mail.set_enabled(False))
        self.done(one.disable())
        self.assertFalse(self.is_on())

    def test_an_app_that_has_it_by_its_other_name_holds_it(self):
        self.unit.alias = "old-db.service"
        one = self.sharing("a", Leader("a"))
        self.sharing("b", Leader("b"), unit="old-db")
        self.done(one.enable())
        self.done(one.disable())
        self.assertTrue(self.is_on())
        self.setUp()
        one = self.sharing("a", Leader("a"), alias="old-db")
        self.sharing("b", Leader("b"), unit="old-db")
        self.done(one.enable())
        self.done(one.disable())
        self.assertTrue(self.is_on())

    def test_an_app_that_is_not_installed_holds_nothing(self):
        one = self.sharing("a", Leader("a"))
        other = self.sharing("b", Leader("b", enabled=True))
        other.is_installed = False
        self.done(one.enable())
        self.done(one.disable())
        self.assertFalse(self.is_on())

    def test_one_that_only_has_an_interest_holds_nothing(self):
        one = self.sharing("a", Leader("a"))
        self.app("b", Leader("b"), RelatedDaemon("related-daemon-db", "db"))
        self.done(one.enable())
        self.done(one.disable())
        self.assertFalse(self.is_on())
