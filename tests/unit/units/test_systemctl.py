"""What systemctl and journalctl print, and what is made of it."""

from __future__ import annotations

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from domogik.supervisor.interfaces import Exit
from domogik.supervisor.processes.command import Completed
from domogik.supervisor.processes.spawn import CannotSpawn
from domogik.units.systemd.backend import (
    BackendFailed,
    NoSystemd,
    NotPermitted,
    Order,
    OrderFailed,
)
from domogik.units.systemd.systemctl import Systemctl, why_no_systemd

SHOW = """Type=notify
MainPID=104
StatusText=ready
Result=exit-code
NRestarts=2
ExecMainCode=1
ExecMainStatus=3
ControlGroup=/system.slice/web.service
Id=web.service
Names=web.service old-web.service
TriggeredBy=web.socket
Description=Web = server
LoadState=loaded
ActiveState=active
SubState=running
FragmentPath=/etc/systemd/system/web.service
UnitFileState=enabled
StateChangeTimestamp=Sat 2026-11-21 08:48:59 UTC
NeedDaemonReload=yes
LoadError=
"""


def ended(output="", code=0, **more):
    values = {"timed_out": False, "truncated": False, **more}
    return Completed(Exit(code=code), output.encode(), **values)


class SystemctlTests(SynchronousTestCase):
    def setUp(self):
        self.ran = []
        self.answers = []
        self.systemd = self.made()

    def made(self, **more):
        def run(argv, **limits):
            self.ran.append((argv, limits))
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, Deferred) else succeed(answer)

        values = {"absent": lambda: "", **more}
        return Systemctl(run, {"PATH": "/bin", "LC_ALL": "de_DE"}, **values)

    def status(self, *names, output=SHOW, **more):
        self.answers.append(ended(output, **more))
        return self.systemd.status(names)

    def test_a_block_of_properties_is_a_status(self):
        found = self.successResultOf(self.status("old-web.service"))["old-web.service"]
        said = attrs.asdict(found)
        self.assertEqual(
            {key: said[key] for key in said if key not in ("name", "enablement", "load_error")},
            {
                "id": "web.service",
                "names": ("web.service", "old-web.service"),
                "description": "Web = server",
                "type": "notify",
                "load_state": "loaded",
                "active_state": "active",
                "sub_state": "running",
                "result": "exit-code",
                "main_pid": 104,
                "exec_main_code": 1,
                "exec_main_status": 3,
                "restarts": 2,
                "fragment_path": "/etc/systemd/system/web.service",
                "control_group": "/system.slice/web.service",
                "triggered_by": ("web.socket",),
                "status_text": "ready",
                "needs_daemon_reload": True,
                "since": 1795250939.0,
            },
        )
        self.assertEqual((found.name, found.enablement.word), ("old-web.service", "enabled"))

    def test_what_a_kind_of_unit_does_not_have_is_left_at_its_default(self):
        found = self.successResultOf(self.status("a.target", output="Id=a.target\nMainPID=x\n"))
        self.assertEqual((found["a.target"].main_pid, found["a.target"].since), (0, 0.0))
        self.assertEqual(found["a.target"].result, "success")

    def test_units_are_told_apart_by_their_order(self):
        output = "\nId=a.service\n\n\nId=b.service\n"
        found = self.successResultOf(self.status("a.service", "x.service", output=output))
        self.assertEqual(found["x.service"].id, "b.service")
        ((argv, _),) = self.ran
        self.assertEqual(argv[-3:], ("--", "a.service", "x.service"))
        self.assertEqual(argv[:4], ("systemctl", "--no-ask-password", "--no-pager", "show"))

    def test_an_answer_that_does_not_fit_the_question_is_refused(self):
        for more in (
            {"output": "Id=a.service\n\nId=b.service\n"},
            {"output": ""},
            {"truncated": True},
            {"timed_out": True},
            {"code": 1, "output": "Failed to do it"},
        ):
            self.failureResultOf(self.status("a.service", **more), BackendFailed)

    def test_a_load_error_is_its_words(self):
        error = 'LoadError=org.freedesktop.systemd1.NoSuchUnit "Unit x.service not found."\n'
        found = self.successResultOf(self.status("x.service", output=f"Id=x.service\n{error}"))
        self.assertEqual(found["x.service"].load_error, "Unit x.service not found.")

    def test_programs_are_asked_plainly(self):
        self.answers.append(ended())
        self.successResultOf(self.systemd.carry_out(Order.START, "x.service"))
        ((_, limits),) = self.ran
        environment = limits["environment"]
        self.assertEqual((environment["PATH"], environment["LC_ALL"]), ("/bin", "C.UTF-8"))
        self.assertEqual(limits["timeout"], 100.0)

    def test_words_of_enablement(self):
        for output, code, word in (
            ("enabled\n", 0, "enabled"),
            ("masked\n", 1, "masked"),
            (
                "Failed to get unit file state for x: No such file or directory",
                1,
                "not-found",
            ),
            ("not-found\n", 4, "not-found"),
            ("x.service is not a native service, redirecting.\nenabled\n", 0, "enabled"),
        ):
            self.answers.append(ended(output, code))
            found = self.successResultOf(self.systemd.enablement("x.service"))
            self.assertEqual(found.word, word)
        self.answers.append(ended("Something else entirely", 1))
        self.failureResultOf(self.systemd.enablement("x.service"), BackendFailed)

    def order(self, *answer, **more):
        self.answers.append(ended(*answer, **more))
        return self.systemd.carry_out(Order.START, "x.service")

    def test_an_order_that_fails_has_the_words_without_the_advice(self):
        said = (
            "Created symlink /a → /b.\nJob for x.service failed.\n"
            'See "systemctl status x.service" for details.\n'
        )
        error = self.failureResultOf(self.order(said, 1), OrderFailed).value
        self.assertEqual(str(error), "systemctl start x.service: Job for x.service failed.")
        error = self.failureResultOf(self.order("x" * 9999, 1), OrderFailed).value
        self.assertLess(len(str(error)), 600)
        error = self.failureResultOf(self.order("", 5), OrderFailed).value
        self.assertIn("no message (exit status 5)", str(error))

    def test_one_that_takes_too_long_is_left_to_systemd(self):
        error = self.failureResultOf(self.order(timed_out=True), OrderFailed).value
        self.assertIn("not done after 100 s; systemd goes on", str(error))

    def test_missing_privileges_are_told_from_other_failures(self):
        for words in ("Interactive authentication required.", "Access denied"):
            error = self.failureResultOf(self.order(f"Failed: {words}", 1), NotPermitted).value
            self.assertIn(words, str(error))

    def test_where_there_is_no_systemd_nothing_is_run(self):
        self.systemd = self.made(absent=lambda: "no systemd here")
        for ask in (self.systemd.enablement("x.service"), self.systemd.daemon_reload()):
            error = self.failureResultOf(ask, NoSystemd).value
            self.assertEqual(str(error), "no systemd here")
        self.assertEqual(self.ran, [])

    def test_what_systemctl_and_its_absence_say_is_the_reason(self):
        for words in (
            "System has not been booted with systemd as init system (PID 1). Can't operate.",
            "Failed to connect to bus: No such file or directory",
            "Failed to connect to system scope bus via local transport: Host is down",
        ):
            error = self.failureResultOf(self.order(words, 1), NoSystemd).value
            self.assertEqual(str(error), words)
        self.answers.append(CannotSpawn("systemctl is missing"))
        error = self.failureResultOf(self.systemd.status(["x.service"]), NoSystemd).value
        self.assertEqual(str(error), "systemctl is missing")

    def test_of_a_long_journal_the_newest_lines_are_kept(self):
        self.answers.append(ended("three\ntwo\nhalf a li", truncated=True))
        self.assertEqual(self.successResultOf(self.systemd.logs("x.service", 9)), ["two", "three"])
        self.answers.append(ended("no rights", 1))
        self.failureResultOf(self.systemd.logs("x.service", 9), OrderFailed)

    def test_few_questions_are_asked_at_a_time_and_orders_do_not_wait_for_them(self):
        self.answers = [Deferred() for _ in range(7)]
        answers = list(self.answers)
        asked = [self.systemd.enablement(f"{n}.service") for n in range(6)]
        self.assertEqual(len(self.ran), 4)
        order = self.systemd.carry_out(Order.START, "x.service")
        self.assertEqual(len(self.ran), 5)
        answers[0].callback(ended("enabled"))
        self.successResultOf(asked[0])
        self.assertEqual(len(self.ran), 6)
        self.assertNoResult(order)

    def test_without_a_bus_no_changes_are_told(self):
        self.assertFalse(self.systemd.reports_changes())
        self.systemd.subscribe(lambda name: None)()


@pytest.mark.parametrize("booted", [True, False])
def test_a_host_was_booted_with_systemd_if_its_directory_is_there(tmp_path, booted):
    directory = tmp_path / "system"
    if booted:
        directory.mkdir()
    assert ("not booted with systemd" in why_no_systemd(directory)) is not booted
