"""One component as people see it: what they ask, what happens to it, what they are told."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.model import State
from domogik.errors import NotPossible, OperationFailed
from domogik.supervisor.interfaces import (
    Exit,
    Policy,
    Program,
    Readiness,
    Restart,
    Specification,
)
from domogik.supervisor.lifecycle.attempt import Tools
from domogik.supervisor.lifecycle.pacing import Pacing
from domogik.supervisor.lifecycle.runner import Runner
from domogik.supervisor.logs.output import CannotCapture
from domogik.supervisor.outcomes import AlreadyRunning, NotRunning, StartFailed
from domogik.supervisor.processes.adoption import ProcessRecord, Records
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.readiness import Notice
from domogik.testing.processes import FakeOutput, FakeProcesses

NOON = 1_800_000_000.0


def specification(readiness=Readiness.TOLD, **policy):
    policy = {"backoff_first": 1, "start_timeout": 30, "stop_timeout": 10, **policy}
    program = Program(("clock",), {"PATH": "/bin"}, Path("/"))
    return Specification("plugin:clock", program, Policy(**policy), readiness)


class RunnerCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.processes = FakeProcesses(self.clock)
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.records = Records(self.directory)
        self.changes = []
        self.runner = self.make()

    def make(self, readiness=Readiness.TOLD, **policy):
        tools = Tools(
            clock=self.clock,
            processes=self.processes,
            records=self.records,
            pacing=Pacing(self.clock),
            notify_address="/run/notify.sock",
            changed=lambda id, before, after: self.changes.append(after),
            now=lambda: NOON + self.clock.seconds(),
            random=lambda: 0.0,
        )
        self.runner = Runner(specification(readiness, **policy), FakeOutput(), tools)
        return self.runner

    def turn(self, seconds=0.0):
        """Let the reactor go round until nothing is due any more."""
        self.clock.advance(seconds)
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    @property
    def process(self):
        (process,) = self.processes.living
        return process

    @property
    def state(self):
        return self.runner.status.state

    def start(self):
        """Start it and let it become alive."""
        started = self.runner.start()
        self.turn()
        self.runner.alive()
        self.successResultOf(started)

    def crash(self, exit=Exit(code=1)):  # noqa: B008 - frozen
        self.process.ends(exit)
        self.turn()


class TestStarting(RunnerCase):
    def test_a_start_is_done_when_the_plugin_was_heard(self):
        started = self.runner.start()
        self.turn()
        self.assertNoResult(started)
        self.assertIs(self.state, State.STARTING)
        self.runner.alive()
        status = self.successResultOf(started)
        self.assertIs(status.state, State.ALIVE)
        self.assertEqual(status.pid, self.process.identity.pid)

    def test_who_starts_what_is_starting_waits_for_the_same_start(self):
        first, second = self.runner.start(), self.runner.start()
        self.turn()
        third = self.runner.start()
        self.runner.alive()
        for started in (first, second, third):
            self.assertIs(self.successResultOf(started).state, State.ALIVE)
        self.assertEqual(len(self.processes.living), 1)

    def test_a_start_of_what_runs_is_refused(self):
        self.start()
        self.failureResultOf(self.runner.start(), AlreadyRunning)

    def test_a_start_without_an_answer_ends_in_words_and_the_process_is_ended(self):
        started = self.runner.start()
        self.turn()
        self.turn(30)
        error = self.failureResultOf(started, StartFailed).value
        self.assertEqual(str(error), "plugin:clock did not start: did not answer within 30 s")
        self.assertEqual(error.reason, "did not answer within 30 s")
        self.assertEqual(self.processes.living, [])
        self.assertIs(self.state, State.BACKOFF)

    def test_a_start_that_took_too_long_says_what_was_seen_last(self):
        started = self.runner.start()
        self.turn()
        self.runner.silent("port 1 cannot be reached")
        self.runner.silent("it is loading its data")
        self.turn(30)
        error = self.failureResultOf(started, StartFailed).value
        self.assertEqual(error.reason, "did not answer within 30 s: it is loading its data")

    def test_a_start_that_is_hopeless_fails_at_once(self):
        started = self.runner.start()
        self.turn()
        self.runner.cannot_become_ready("its password is another one")
        self.turn()
        error = self.failureResultOf(started, StartFailed).value
        self.assertEqual(error.reason, "its password is another one")

    def test_a_failed_start_is_tried_again_in_the_background(self):
        self.failureResultOf(self.start_and_fail(), StartFailed)
        self.turn(1)
        self.runner.alive()
        self.assertIs(self.state, State.ALIVE)
        self.assertEqual(self.runner.status.restarts, 1)

    def start_and_fail(self):
        started = self.runner.start()
        self.turn()
        self.crash()
        return started

    def test_a_missing_program_is_a_failed_start_with_a_reason(self):
        self.processes.missing.add("clock")
        started = self.runner.start()
        self.turn()
        error = self.failureResultOf(started, StartFailed).value
        self.assertEqual(error.reason, "clock is missing")
        self.assertIs(self.state, State.BACKOFF)

    def test_a_log_that_cannot_be_captured_is_a_failed_start_with_a_reason(self):
        self.runner.output.trouble = CannotCapture("the log is full")
        started = self.runner.start()
        self.turn()
        self.assertEqual(self.failureResultOf(started, StartFailed).value.reason, "the log is full")

    def test_a_program_that_ends_at_once_did_not_start_and_is_not_tried_again(self):
        started = self.runner.start()
        self.turn()
        self.crash(Exit(code=0))
        error = self.failureResultOf(started, StartFailed).value
        self.assertEqual(error.reason, "ended before it was ready: exit status 0")
        self.assertIs(self.state, State.STOPPED)

    def test_what_a_program_that_failed_left_behind_is_ended(self):
        started = self.runner.start()
        self.turn()
        self.processes.fork(self.process.run_id)
        self.processes.living[0].ends(Exit(code=1))
        self.turn()
        self.failureResultOf(started, StartFailed)
        self.assertEqual(self.processes.living, [])
        self.assertIs(self.state, State.BACKOFF)

    def test_every_start_has_a_mark_of_its_own_in_its_environment(self):
        self.start()
        first = self.process.program.environment
        self.crash(Exit(code=1))
        self.turn(1)
        second = self.process.program.environment
        self.assertEqual(self.runner.status.run_id, second["DOMOGIK_RUN_ID"])
        self.assertNotEqual(first["DOMOGIK_RUN_ID"], second["DOMOGIK_RUN_ID"])
        self.assertEqual(second["PATH"], "/bin")

    def test_a_changed_specification_counts_from_the_next_start(self):
        self.start()
        pid = self.process.identity.pid
        changed = Program(("clock", "--faster"), {}, Path("/"))
        self.runner.specification = Specification("plugin:clock", changed)
        self.assertEqual(self.process.identity.pid, pid)
        restarted = self.runner.restart()
        self.turn()
        self.runner.alive()
        self.successResultOf(restarted)
        self.assertEqual(self.process.program.argv, ("clock", "--faster"))


class TestReadiness(RunnerCase):
    def test_a_program_nobody_asks_after_runs_when_it_has_survived_a_second(self):
        started = self.make(Readiness.SURVIVAL).start()
        self.turn()
        self.turn(0.99)
        self.assertNoResult(started)
        self.turn(0.02)
        self.assertIs(self.successResultOf(started).state, State.RUNNING)

    def test_a_program_that_dies_within_its_first_second_did_not_start(self):
        started = self.make(Readiness.SURVIVAL).start()
        self.turn(0.5)
        self.crash()
        self.failureResultOf(started, StartFailed)

    def test_a_program_that_notifies_runs_when_it_says_so(self):
        started = self.make(Readiness.NOTIFY).start()
        self.turn()
        self.assertEqual(self.process.program.environment["NOTIFY_SOCKET"], "/run/notify.sock")
        self.runner.notified(Notice(status="loading"))
        self.assertEqual(self.runner.status.reason, "loading")
        self.assertNoResult(started)
        self.runner.notified(Notice(ready=True))
        self.assertIs(self.successResultOf(started).state, State.RUNNING)

    def test_a_program_that_never_notifies_has_failed(self):
        started = self.make(Readiness.NOTIFY).start()
        self.turn()
        self.turn(30)
        reason = self.failureResultOf(started, StartFailed).value.reason
        self.assertEqual(reason, "did not say that it is ready within 30 s")

    def test_a_plugin_is_ready_by_its_heartbeat_alone(self):
        started = self.runner.start()
        self.turn()
        self.runner.notified(Notice(ready=True))
        self.assertNoResult(started)

    def test_a_watchdog_that_is_fed_keeps_quiet_and_bites_when_it_is_not(self):
        started = self.make(Readiness.NOTIFY, watchdog=10).start()
        self.turn()
        self.assertEqual(self.process.program.environment["WATCHDOG_USEC"], "10000000")
        self.runner.notified(Notice(ready=True))
        self.successResultOf(started)
        for _ in range(5):
            self.turn(9)
            self.runner.notified(Notice(watchdog=True))
        self.assertIs(self.state, State.RUNNING)
        self.turn(10)
        self.assertIs(self.state, State.BACKOFF)
        self.assertIn("gave no sign to its watchdog for 10 s", self.runner.status.reason)


class TestSilence(RunnerCase):
    def test_a_missed_answer_is_shown_with_its_reason_until_the_next(self):
        self.start()
        self.runner.silent("did not answer a ping")
        self.assertIs(self.state, State.NOT_RESPONDING)
        self.assertEqual(self.runner.status.reason, "did not answer a ping")
        self.runner.alive()
        self.assertIs(self.state, State.ALIVE)
        self.assertEqual(self.runner.status.reason, "")

    def test_by_default_silence_restarts_nothing(self):
        self.start()
        for _ in range(100):
            self.runner.silent("did not answer")
        self.assertIs(self.state, State.NOT_RESPONDING)

    def test_after_so_many_misses_in_a_row_it_is_restarted(self):
        self.make(restart_after_misses=3)
        self.start()
        pid = self.process.identity.pid
        for _ in range(2):
            self.runner.silent("did not answer")
        self.runner.alive()
        for _ in range(2):
            self.runner.silent("did not answer")
        self.assertEqual(self.process.identity.pid, pid)
        self.runner.silent("did not answer")
        self.turn()
        self.assertIs(self.state, State.BACKOFF)
        self.assertIn("did not answer 3 times in a row", self.runner.status.reason)
        self.turn(1)
        self.assertNotEqual(self.process.identity.pid, pid)


class TestIntoTheBackground(RunnerCase):
    """A program that ends its first process with status 0 and goes on in another one."""

    def setUp(self):
        super().setUp()
        self.started = self.runner.start()
        # whether it started is not what every test is about
        self.addCleanup(lambda: self.started.addErrback(lambda _: None))
        self.turn()
        self.first = self.process

    def fork(self, has_own_session=True):
        child = self.processes.fork(self.first.run_id)
        child.is_child, child.has_own_session = False, has_own_session
        return child

    def go_into_the_background(self):
        """As daemons do it: a process in between, which leads a session, and then the last."""
        between = self.fork(has_own_session=False)
        self.first.ends(Exit(code=0))
        between.has_own_session = True
        daemon = self.fork()
        between.ends(Exit(code=0))
        self.turn()
        return daemon

    def test_the_process_that_goes_on_takes_the_place_of_the_first(self):
        daemon = self.go_into_the_background()
        self.assertNoResult(self.started)
        self.assertIs(self.state, State.STARTING)
        self.runner.alive()
        status = self.successResultOf(self.started)
        self.assertIs(status.state, State.ALIVE)
        self.assertEqual((status.pid, status.run_id), (daemon.identity.pid, self.first.run_id))
        self.assertEqual(self.changes[-1], status)
        ((_, record),) = self.records.load()
        self.assertEqual((record.process, record.wanted), (daemon.identity, True))

    def test_a_sign_that_is_heard_before_the_end_of_the_first_counts(self):
        daemon = self.fork()
        self.runner.alive()
        self.first.ends(Exit(code=0))
        self.turn()
        status = self.runner.status
        self.assertEqual((status.state, status.pid), (State.ALIVE, daemon.identity.pid))
        self.assertEqual(self.changes[-1], status)

    def test_what_a_program_that_ends_well_later_leaves_behind_is_ended(self):
        self.fork()
        self.runner.alive()
        self.turn(2)
        self.first.ends(Exit(code=0))
        self.turn()
        self.assertEqual((self.state, self.processes.living), (State.STOPPED, []))

    def test_a_child_that_is_no_daemon_is_not_followed_once_it_is_alive(self):
        self.fork(has_own_session=False)
        self.runner.alive()
        self.first.ends(Exit(code=0))
        self.turn()
        self.assertEqual((self.state, self.processes.living), (State.STOPPED, []))

    def test_a_program_that_took_its_leave_is_not_followed(self):
        self.fork()
        self.runner.left()
        self.first.ends(Exit(code=0))
        self.turn()
        self.assertEqual((self.state, self.processes.living), (State.STOPPED, []))

    def test_a_helper_that_ends_too_was_no_plugin(self):
        helper = self.fork(has_own_session=False)
        self.first.ends(Exit(code=0))
        self.assertNoResult(self.started)
        helper.ends(Exit(code=0))
        self.turn()
        error = self.failureResultOf(self.started, StartFailed).value
        words = "ended before it was ready: ended; its status could not be read"
        self.assertEqual(error.reason, words)
        self.assertIs(self.state, State.BACKOFF)

    def test_a_helper_that_stays_and_never_speaks_is_ended_when_the_time_is_out(self):
        self.fork(has_own_session=False)
        self.first.ends(Exit(code=0))
        self.turn(30)
        self.assertEqual(
            self.failureResultOf(self.started).value.reason, "did not answer within 30 s"
        )
        self.assertEqual(self.processes.living, [])

    def test_a_helper_that_is_older_is_not_taken_for_the_daemon(self):
        self.fork(has_own_session=False)
        daemon = self.fork()
        self.first.ends(Exit(code=0))
        self.assertEqual(self.runner.status.pid, daemon.identity.pid)

    def test_its_end_later_is_one_whose_status_nobody_can_read(self):
        daemon = self.go_into_the_background()
        self.runner.alive()
        self.fork()
        self.turn(2)
        daemon.ends(Exit(code=1))
        self.turn()
        self.assertIs(self.state, State.BACKOFF)
        self.assertEqual(self.processes.living, [])
        self.turn(1)
        self.assertEqual(self.runner.status.pid, self.process.identity.pid)
        self.assertEqual(self.runner.status.restarts, 1)

    def test_it_ended_well_if_it_had_just_taken_its_leave(self):
        daemon = self.go_into_the_background()
        self.runner.alive()
        self.runner.left()
        daemon.ends(Exit(code=0))
        self.turn()
        self.assertIs(self.state, State.STOPPED)
        self.assertEqual(list(self.records.load()), [])

    def test_a_stop_leaves_nobody(self):
        self.go_into_the_background()
        self.runner.alive()
        stopped = self.runner.stop()
        self.turn()
        self.assertIs(self.successResultOf(stopped).state, State.STOPPED)
        self.assertEqual(self.processes.living, [])

    def look_slowly(self):
        """A look that takes its time; fires with what is given to the answer."""
        looked = Deferred()
        self.patch(FakeProcesses, "successor", lambda *_, **__: looked)
        return looked

    def test_a_stop_during_the_look_leaves_nobody(self):
        looked, daemon = self.look_slowly(), self.fork()
        self.first.ends(Exit(code=0))
        stopped = self.runner.stop()
        looked.callback(daemon.identity)
        self.turn()
        self.assertIs(self.successResultOf(stopped).state, State.STOPPED)
        self.assertIsNone(self.runner.status.pid)
        self.assertEqual(self.processes.living, [])

    def test_a_manager_that_lets_go_during_the_look_ends_nobody(self):
        looked, daemon = self.look_slowly(), self.fork()
        self.first.ends(Exit(code=0))
        self.runner.release_processes()
        looked.callback(daemon.identity)
        self.turn()
        self.assertEqual(self.processes.living, [daemon])
        self.failureResultOf(self.started, NotPossible)

    def test_a_look_that_fails_is_the_end_of_the_program(self):
        looked = self.look_slowly()
        self.fork()
        self.first.ends(Exit(code=0))
        looked.errback(OSError("no more descriptors"))
        self.turn()
        self.assertEqual((self.state, self.processes.living), (State.STOPPED, []))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class TestStopping(RunnerCase):
    def test_a_stop_is_done_when_nobody_is_left_grandchildren_included(self):
        self.start()
        self.processes.fork(self.process.run_id).ignores_signals = True
        stopped = self.runner.stop()
        self.turn()
        self.assertNoResult(stopped)
        self.assertIs(self.state, State.STOPPING)
        self.turn(10)
        self.assertIs(self.successResultOf(stopped).state, State.STOPPED)
        self.assertEqual(self.processes.living, [])

    def test_a_stop_of_what_does_not_run_is_refused(self):
        self.failureResultOf(self.runner.stop(), NotRunning)

    def test_a_plugin_gone_just_after_its_leave_counts_as_stopped(self):
        self.start()
        self.runner.left()
        self.crash(Exit(code=0))
        self.assertIs(self.state, State.STOPPED)
        self.turn(4)
        self.successResultOf(self.runner.stop())
        self.turn(2)
        self.failureResultOf(self.runner.stop(), NotRunning)

    def test_a_leave_that_is_heard_after_the_end_counts_too(self):
        self.start()
        self.crash(Exit(code=0))
        self.runner.left()
        self.successResultOf(self.runner.stop())

    def test_a_plugin_that_takes_its_leave_is_not_started_again_even_always(self):
        self.make(restart=Restart.ALWAYS)
        self.start()
        self.runner.left()
        self.crash(Exit(code=0))
        self.assertIs(self.state, State.STOPPED)

    def test_a_stop_while_it_starts_ends_it_and_the_start_fails(self):
        started = self.runner.start()
        self.turn()
        stopped = self.runner.stop()
        self.turn()
        self.successResultOf(stopped)
        reason = self.failureResultOf(started, StartFailed).value.reason
        self.assertEqual(reason, "stopped before it was ready")

    def test_a_stop_before_its_turn_to_start_came_starts_nothing(self):
        started = self.runner.start()
        stopped = self.runner.stop()
        self.turn()
        self.successResultOf(stopped)
        self.failureResultOf(started, StartFailed)
        self.assertEqual(self.processes.processes, [])

    def test_a_stop_during_backoff_calls_the_next_try_off(self):
        self.start()
        self.crash()
        self.assertIs(self.state, State.BACKOFF)
        self.successResultOf(self.runner.stop())
        self.turn(1000)
        self.assertIs(self.state, State.STOPPED)
        self.assertEqual(self.processes.living, [])

    def test_who_stops_what_is_stopping_waits_for_the_same_end(self):
        self.start()
        self.process.ignores_signals = True
        first, second = self.runner.stop(), self.runner.stop()
        self.turn()
        self.turn(10)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_a_start_while_it_stops_waits_and_starts_it_then(self):
        self.start()
        self.process.ignores_signals = True
        stopped, started = self.runner.stop(), self.runner.start()
        self.turn()
        self.assertNoResult(started)
        self.turn(10)
        self.successResultOf(stopped)
        self.runner.alive()
        self.assertIs(self.successResultOf(started).state, State.ALIVE)

    def test_orders_are_carried_out_in_their_order(self):
        self.start()
        orders = [self.runner.stop(), self.runner.start(), self.runner.stop()]
        self.turn()
        self.successResultOf(orders[0])
        self.failureResultOf(orders[1], StartFailed)
        self.successResultOf(orders[2])
        self.assertIs(self.state, State.STOPPED)

    def test_somebody_who_cannot_be_ended_is_named_and_nothing_is_started_beside_him(self):
        self.start()
        self.process.survives_kill = True
        pid = self.process.identity.pid
        stopped = self.runner.stop()
        self.turn()
        self.turn(10)
        error = self.failureResultOf(stopped, OperationFailed).value
        self.assertIn(f"process {pid}", str(error))
        self.assertIs(self.state, State.STOPPING)
        started = self.runner.start()
        self.turn(10)
        self.turn(10)
        self.failureResultOf(started, OperationFailed)
        self.assertEqual(len(self.processes.living), 1)

    def test_somebody_who_could_not_be_ended_is_tried_again_until_he_is_gone(self):
        self.start()
        self.process.survives_kill = True
        stopped = self.runner.stop()
        self.turn()
        self.turn(10)
        self.failureResultOf(stopped, OperationFailed)
        self.process.survives_kill = False
        self.turn(10)
        self.turn(10)
        self.assertIs(self.state, State.STOPPED)

    def test_a_stop_of_a_failed_one_who_cannot_be_ended_goes_on_trying(self):
        started = self.runner.start()
        self.turn()
        self.process.survives_kill = True
        self.turn(30)
        self.turn(10)
        self.failureResultOf(started, StartFailed)
        stopped = self.runner.stop()
        self.process.survives_kill = False
        self.turn(10)
        self.assertIs(self.successResultOf(stopped).state, State.STOPPED)

    def test_a_restart_is_a_stop_and_a_start(self):
        self.start()
        pid = self.process.identity.pid
        restarted = self.runner.restart()
        self.turn()
        self.runner.alive()
        self.assertNotEqual(self.successResultOf(restarted).pid, pid)
        self.assertEqual(self.runner.status.restarts, 0)

    def test_a_restart_of_what_does_not_run_starts_it(self):
        restarted = self.runner.restart()
        self.turn()
        self.runner.alive()
        self.successResultOf(restarted)


class TestFailing(RunnerCase):
    def test_a_crash_is_told_with_its_reason_and_it_is_started_again(self):
        self.start()
        self.crash(Exit(signal=9))
        self.assertIs(self.state, State.BACKOFF)
        self.assertEqual(self.runner.status.reason, "started again in 1.0 s: killed by SIGKILL")
        self.assertEqual(self.runner.status.exit, Exit(signal=9))
        self.turn(1)
        self.assertIs(self.state, State.STARTING)
        self.assertEqual(self.runner.status.restarts, 1)

    def test_its_last_words_say_why_it_ended(self):
        self.start()
        self.runner.output.said = "ModuleNotFoundError: No module named 'nothere'"
        self.crash()
        self.assertEqual(
            self.runner.status.reason,
            "started again in 1.0 s: ModuleNotFoundError: No module named 'nothere' "
            "(exit status 1)",
        )

    def test_how_often_it_was_started_again_lately_is_known_whatever_a_person_does(self):
        self.make(backoff_first=0)
        self.start()
        for _ in range(3):
            self.crash()
            self.runner.alive()
        stopped = self.runner.stop()
        self.turn()
        self.successResultOf(stopped)
        self.start()
        self.assertEqual(self.runner.restarted_within(3600), 3)
        self.turn(3600)
        self.assertEqual(self.runner.restarted_within(3600), 0)

    def test_without_backoff_it_is_back_in_no_time(self):
        self.make(backoff_first=0)
        self.start()
        self.crash()
        self.assertEqual(len(self.processes.living), 1)
        self.assertEqual(self.clock.seconds(), 0)

    def test_its_leftovers_are_gone_before_it_is_started_again(self):
        self.make(backoff_first=0)
        self.start()
        leftover = self.processes.fork(self.process.run_id)
        leftover.ignores_signals = True
        self.processes.living[0].ends(Exit(code=1))
        self.turn()
        self.assertEqual(self.processes.living, [leftover])
        self.turn(10)
        self.assertNotIn(leftover, self.processes.living)
        self.assertEqual(len(self.processes.living), 1)

    def test_a_wanted_end_is_stopped(self):
        self.start()
        self.crash(Exit(code=0))
        self.assertIs(self.state, State.STOPPED)
        self.assertEqual(self.runner.status.reason, "exit status 0")

    def test_always_is_also_after_a_wanted_end(self):
        self.make(restart=Restart.ALWAYS)
        self.start()
        self.crash(Exit(code=0))
        self.assertIs(self.state, State.BACKOFF)

    def test_no_is_never(self):
        self.make(restart=Restart.NO)
        self.start()
        self.crash()
        self.assertIs(self.state, State.FAILED)
        self.assertEqual(self.runner.status.reason, "exit status 1")
        self.turn(10_000)
        self.assertIs(self.state, State.FAILED)

    def fail_until_failed(self):
        while self.state is not State.FAILED:
            self.turn(30)
            if self.processes.living:
                self.crash()

    def test_who_keeps_failing_has_failed_but_is_never_given_up(self):
        self.start()
        self.fail_until_failed()
        self.assertEqual(
            self.runner.status.reason,
            "ended 5 times in 10 minutes, is tried again every 15 minutes: "
            "ended before it was ready: exit status 1",
        )
        for _ in range(10):
            self.assertEqual(self.processes.living, [])
            self.turn(900)
            self.crash()
            self.assertIs(self.state, State.FAILED)

    def test_a_start_by_hand_of_a_failed_one_begins_anew(self):
        self.start()
        self.fail_until_failed()
        started = self.runner.start()
        self.turn()
        self.runner.alive()
        self.successResultOf(started)
        self.crash()
        self.assertIs(self.state, State.BACKOFF)

    def test_starts_by_hand_never_count(self):
        for _ in range(20):
            started = self.runner.start()
            self.turn()
            self.crash()
            self.failureResultOf(started, StartFailed)
            self.assertIs(self.state, State.BACKOFF)

    def test_a_stop_of_a_failed_one_ends_the_slow_retry(self):
        self.start()
        self.fail_until_failed()
        self.successResultOf(self.runner.stop())
        self.turn(10_000)
        self.assertIs(self.state, State.STOPPED)

    def test_a_start_that_times_out_never_counts_as_running_steadily(self):
        self.make(start_timeout=300, start_limit_window=600, start_limit=5)
        started = self.runner.start()
        self.turn()
        waits = []
        for _ in range(4):
            self.turn(300)
            waits.append(float(self.runner.status.reason.split()[3]))
            self.turn(waits[-1])
        self.failureResultOf(started, StartFailed)
        self.assertEqual(waits, [1, 2, 4, 8])


class TestRecords(RunnerCase):
    def record(self):
        return dict(self.records.load()).get("plugin:clock")

    def test_a_running_component_is_on_record_with_its_process(self):
        self.start()
        self.assertEqual(self.record().process, self.process.identity)
        self.assertEqual(self.record().run_id, self.process.run_id)

    def test_the_mark_is_on_record_before_there_is_a_process(self):
        seen = []
        self.processes.on_spawn = lambda process: seen.append((process.run_id, self.record()))
        self.start()
        ((run_id, record),) = seen
        self.assertEqual(record.run_id, run_id)
        self.assertIsNone(record.process)

    def test_what_was_stopped_is_off_the_record(self):
        self.start()
        stopped = self.runner.stop()
        self.turn()
        self.successResultOf(stopped)
        self.assertIsNone(self.record())

    def stop_of_a_deaf_one(self, stop):
        """What is on record while `stop` waits for a plugin that hears no signal."""
        self.start()
        self.process.ignores_signals = True
        stopping = stop()
        record = self.record()  # before the reactor has sent any signal
        self.turn()
        self.turn(10)
        return stopping, record

    def test_a_stop_is_on_record_before_any_signal(self):
        stopped, record = self.stop_of_a_deaf_one(lambda: self.runner.stop())
        self.assertEqual((record.wanted, record.ending), (False, True))
        self.successResultOf(stopped)

    def test_a_restart_stays_wanted_until_it_is_done(self):
        _, record = self.stop_of_a_deaf_one(lambda: self.runner.restart())
        self.assertEqual((record.wanted, record.ending), (True, True))
        self.runner.alive()
        self.assertEqual((self.record().wanted, self.record().ending), (True, False))

    def test_a_stop_for_an_update_stays_wanted_also_when_nothing_of_it_runs(self):
        stopped, record = self.stop_of_a_deaf_one(lambda: self.runner.stop(again=True))
        self.assertTrue(record.wanted)
        self.successResultOf(stopped)
        self.assertTrue(self.record().wanted)
        self.failureResultOf(self.runner.stop(), NotRunning)
        self.assertFalse(self.record().wanted)

    def test_a_stop_while_it_is_ended_for_a_failure_is_on_record_too(self):
        self.make(start_timeout=1)
        _ = self.runner.start().addErrback(lambda _: None)
        self.turn()
        self.process.ignores_signals = True
        self.turn(1)
        self.assertEqual((self.record().wanted, self.record().ending), (True, True))
        _ = self.runner.stop()
        self.assertFalse(self.record().wanted)
        self.turn(10)

    def test_a_stop_that_is_refused_leaves_it_wanted(self):
        self.start()
        refusal = OperationFailed("a backup is being made")
        self.runner.specification = attrs.evolve(
            self.runner.specification, before_stop=lambda: fail(refusal)
        )
        self.failureResultOf(self.runner.stop(), OperationFailed)
        self.assertEqual((self.record().wanted, self.record().ending), (True, False))

    def test_a_stop_that_fails_unexpectedly_leaves_it_wanted_too(self):
        self.start()
        self.runner.specification = attrs.evolve(
            self.runner.specification, before_stop=lambda: fail(ValueError("a fault of ours"))
        )
        self.failureResultOf(self.runner.stop(), ValueError)
        self.assertEqual((self.record().wanted, self.record().ending), (True, False))

    def test_trying_again_to_end_it_writes_the_record_once(self):
        self.start()
        self.process.survives_kill = True
        self.failureResultOf(self.in_time(self.runner.stop(), 10), OperationFailed)
        (before,) = self.directory.glob("*.json")
        size = before.stat().st_size
        self.turn(100)
        self.assertEqual(before.stat().st_size, size)

    def in_time(self, deferred, seconds):
        self.turn()
        self.turn(seconds)
        return deferred

    def test_what_will_be_tried_again_stays_on_record(self):
        self.start()
        self.crash()
        self.assertIs(self.state, State.BACKOFF)
        self.assertIsNotNone(self.record())


class TestAdoption(RunnerCase):
    def setUp(self):
        super().setUp()
        self.survivor = self.processes.fork("mark")
        self.survivor.is_child = False
        self.record = ProcessRecord("plugin:clock", "mark", NOON - 60, self.survivor.identity)

    def test_an_adopted_plugin_is_starting_until_it_is_heard(self):
        self.runner.adopt(self.record, self.survivor.identity)
        status = self.runner.status
        self.assertIs(status.state, State.STARTING)
        self.assertTrue(status.adopted)
        self.assertEqual((status.pid, status.run_id), (self.survivor.identity.pid, "mark"))
        self.runner.alive()
        self.assertIs(self.state, State.ALIVE)

    def test_one_that_never_stopped_is_up_since_its_start_and_keeps_its_count(self):
        record = attrs.evolve(self.record, restarts=3)
        self.runner.adopt(record, self.survivor.identity)
        self.turn(2)
        self.runner.alive()
        self.assertEqual((self.runner.status.since, self.runner.status.restarts), (NOON - 60, 3))
        self.turn(5)
        self.runner.silent("no answer")
        self.assertEqual(self.runner.status.since, NOON + 7)
        self.runner.alive()
        self.assertEqual(self.runner.status.since, NOON + 7)

    def test_the_count_of_restarts_is_on_record_for_the_next_manager(self):
        self.survivor.ends(Exit(code=0))
        self.start()
        self.crash()
        self.turn(1)
        self.runner.alive()
        ((_, record),) = self.records.load()
        self.assertEqual(record.restarts, 1)
        stopped = self.runner.stop()
        self.turn()
        self.successResultOf(stopped)
        self.start()
        self.assertEqual(self.runner.status.restarts, 1)

    def test_who_starts_an_adopted_plugin_waits_until_it_is_heard(self):
        self.runner.adopt(self.record, self.survivor.identity)
        started = self.runner.start()
        self.turn()
        self.runner.alive()
        self.assertEqual(self.successResultOf(started).pid, self.survivor.identity.pid)

    def test_an_adopted_plugin_that_keeps_silent_is_replaced(self):
        self.runner.adopt(self.record, self.survivor.identity)
        self.turn(30)
        self.assertIs(self.state, State.BACKOFF)
        self.turn(1)
        self.assertIsNot(self.process, self.survivor)

    def test_other_adopted_programs_run(self):
        self.make(Readiness.SURVIVAL).adopt(self.record, self.survivor.identity)
        self.assertIs(self.state, State.RUNNING)

    def test_an_adopted_process_ended_well_only_if_it_had_just_taken_its_leave(self):
        self.runner.adopt(self.record, self.survivor.identity)
        self.runner.alive()
        self.runner.left()
        self.survivor.ends(Exit(code=0))
        self.turn()
        self.assertIs(self.state, State.STOPPED)

    def test_an_adopted_process_whose_leave_is_long_ago_has_failed(self):
        self.runner.adopt(self.record, self.survivor.identity)
        self.runner.alive()
        self.runner.left()
        self.turn(6)
        self.survivor.ends(Exit(code=0))
        self.turn()
        self.assertIs(self.state, State.BACKOFF)
        self.assertIn("its status could not be read", self.runner.status.reason)

    def test_what_is_gone_cannot_be_adopted_and_can_be_started(self):
        self.survivor.ends(Exit(code=0))
        with self.assertRaises(NoSuchProcess):
            self.runner.adopt(self.record, self.survivor.identity)
        self.assertIs(self.state, State.STOPPED)
        self.start()

    def test_what_is_left_without_its_leader_is_cleared_away_before_a_start(self):
        gone = ProcessIdentity(1, 1, "boot")
        self.survivor.ignores_signals = True
        self.runner.clear_away(self.record, gone)
        started = self.runner.start()
        self.turn()
        self.assertEqual(self.processes.living, [self.survivor])
        self.turn(10)
        self.assertNotIn(self.survivor, self.processes.living)
        self.runner.alive()
        self.successResultOf(started)

    def test_what_was_left_and_is_ended_is_no_reason_any_more(self):
        self.runner.clear_away(attrs.evolve(self.record, wanted=False), self.survivor.identity)
        self.assertIn("left behind", self.runner.status.reason)
        self.turn(10)
        self.assertIs(self.state, State.STOPPED)
        self.assertEqual(self.runner.status.reason, "")

    def test_who_is_let_go_runs_on_and_is_on_record_for_the_next(self):
        self.start_fresh()
        self.runner.release_processes()
        self.assertTrue(self.process.lives)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(dict(self.records.load())["plugin:clock"].process, self.process.identity)

    def start_fresh(self):
        self.survivor.ends(Exit())
        self.start()

    def test_who_waits_for_his_turn_to_start_when_let_go_is_started_by_the_next(self):
        self.survivor.ends(Exit())
        started = self.runner.start()
        self.runner.release_processes()
        self.turn()
        self.failureResultOf(started, NotPossible)
        self.assertEqual(self.processes.living, [])
        self.assertTrue(dict(self.records.load())["plugin:clock"].wanted)

    def test_a_stop_under_way_when_let_go_is_not_forgotten(self):
        self.start_fresh()
        self.process.ignores_signals = True
        stopped = self.runner.stop()
        self.turn()
        self.runner.release_processes()
        self.failureResultOf(stopped, NotPossible)
        self.assertFalse(dict(self.records.load())["plugin:clock"].wanted)


class TestTelling(RunnerCase):
    def test_every_change_is_told_once_and_in_order(self):
        self.start()
        self.crash()
        states = [status.state for status in self.changes]
        self.assertEqual(
            states,
            [State.STARTING, State.STARTING, State.ALIVE, State.BACKOFF],
        )

    def test_news_that_change_nothing_are_not_told(self):
        self.start()
        told = len(self.changes)
        self.runner.alive()
        self.runner.alive()
        self.assertEqual(len(self.changes), told)

    def test_the_time_of_a_change_is_when_its_state_changed(self):
        started = self.runner.start()
        self.turn()
        self.turn(5)
        self.runner.alive()
        self.successResultOf(started)
        self.turn(5)
        self.runner.notified(Notice(status="busy"))
        self.assertEqual(self.runner.status.since, NOON + 5)

    def test_who_orders_something_while_he_is_told_is_obeyed_afterwards(self):
        orders = []
        changed = self.changes.append

        class Eager(list):
            def append(inner, status):
                changed(status)
                if status.state is State.ALIVE and not orders:
                    orders.append(self.runner.stop())

        self.changes = Eager()
        self.start()
        self.turn()
        self.successResultOf(orders[0])
        self.assertIs(self.state, State.STOPPED)

    def test_lost_output_is_said(self):
        self.start()
        self.runner.output_trouble("No space left on device")
        self.assertEqual(self.runner.status.reason, "its output is lost: No space left on device")
        self.runner.output_trouble("")
        self.assertEqual(self.runner.status.reason, "")


class TestBeforeAStop(RunnerCase):
    """What is awaited before a stop, because only the running program can do it."""

    def start_with(self, before_stop):
        self.runner.specification = attrs.evolve(self.runner.specification, before_stop=before_stop)
        started = self.runner.start()
        self.clock.advance(0)
        self.runner.alive()
        self.successResultOf(started)

    def test_it_is_done_before_the_signal(self):
        saved = Deferred()
        self.start_with(lambda: saved)
        stopped = self.runner.stop()
        self.clock.advance(60)
        self.assertEqual(len(self.processes.living), 1)
        saved.callback(None)
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertIs(self.successResultOf(stopped).state, State.STOPPED)

    def test_where_it_fails_the_stop_is_refused_and_it_runs_on(self):
        self.start_with(lambda: fail(OperationFailed("its data cannot be saved")))
        self.failureResultOf(self.runner.stop(), OperationFailed)
        self.failureResultOf(self.runner.restart(), OperationFailed)
        self.assertIs(self.runner.status.state, State.ALIVE)
        self.assertEqual(len(self.processes.living), 1)

    def test_it_may_end_the_process_itself(self):
        def ends():
            self.processes.living[0].ends(Exit(code=0))
            return succeed(None)

        self.start_with(ends)
        stopped = self.runner.stop()
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertIs(self.successResultOf(stopped).state, State.STOPPED)
