"""Whatever happens to a component, in whatever order: one process tree and one timer at most."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.task import Clock

from domogik.components.model import State
from domogik.errors import DomogikError
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
from domogik.supervisor.processes.adoption import Records
from domogik.supervisor.readiness import Notice
from domogik.testing.processes import FakeOutput, FakeProcesses

PROGRAM = Program(("program",), {}, Path("/"))
NOBODY_RUNS = (State.STOPPED, State.BACKOFF, State.FAILED)


class AnySequence(RuleBasedStateMachine):
    """The component's own timers run on one clock, all the rest of the world on another."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock, self.world = Clock(), Clock()
        self.processes = FakeProcesses(self.world)
        self.answers, self.told = [], []

    @initialize(
        restart=st.sampled_from(Restart),
        readiness=st.sampled_from(Readiness),
        first=st.sampled_from([0, 1, 20]),
        misses=st.sampled_from([0, 2]),
        watchdog=st.sampled_from([0, 7]),
    )
    def begin(self, restart, readiness, first, misses, watchdog):
        policy = Policy(
            restart=restart,
            backoff_first=first,
            start_limit=3,
            restart_after_misses=misses,
            watchdog=watchdog,
        )
        self.records = Records(self.directory)
        self.runner = Runner(
            Specification("plugin:any", PROGRAM, policy, readiness),
            FakeOutput(),
            Tools(
                clock=self.clock,
                processes=self.processes,
                records=self.records,
                pacing=Pacing(self.world),
                notify_address="/run/notify.sock",
                changed=lambda id, before, after: self.told.append((before, after)),
                now=self.clock.seconds,
                random=lambda: 0.5,
            ),
        )

    # What people ask

    @rule(order=st.sampled_from(["start", "stop", "restart"]))
    def somebody_orders(self, order):
        answer = getattr(self.runner, order)()
        answer.addErrback(lambda failure: failure.trap(DomogikError))
        self.answers.append(answer)

    # What others tell

    @rule(news=st.sampled_from(["alive", "left"]))
    def somebody_tells(self, news):
        getattr(self.runner, news)()

    @rule()
    def it_is_silent(self):
        self.runner.silent("did not answer")

    @rule(notice=st.builds(Notice, st.booleans(), st.booleans(), st.booleans()))
    def it_notifies(self, notice):
        self.runner.notified(notice)

    # What happens in the world

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 10.0, 31.0, 1000.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        self.world.advance(seconds)

    @rule()
    def the_reactor_turns(self):
        self.world.advance(0)

    @precondition(lambda self: self.processes.living)
    @rule(data=st.data(), exit=st.sampled_from([Exit(code=0), Exit(code=1), Exit(signal=9)]))
    def a_process_ends(self, data, exit):
        data.draw(st.sampled_from(self.processes.living)).ends(exit)

    @precondition(lambda self: self.processes.living)
    @rule(deaf=st.booleans())
    def it_forks(self, deaf):
        child = self.processes.fork(self.processes.living[-1].run_id)
        child.ignores_signals = deaf

    @rule()
    def the_program_comes_or_goes(self):
        self.processes.missing ^= {"program"}

    @precondition(lambda self: self.processes.living)
    @rule(data=st.data())
    def a_process_hangs_in_the_kernel_or_wakes(self, data):
        process = data.draw(st.sampled_from(self.processes.living))
        process.survives_kill = not process.survives_kill

    # The laws

    @invariant()
    def there_is_one_start_at_most(self):
        assert len({process.run_id for process in self.processes.living}) <= 1

    @invariant()
    def there_is_one_timer_at_most(self):
        assert len(self.clock.getDelayedCalls()) <= 1

    @invariant()
    def who_does_not_run_has_no_process(self):
        if hasattr(self, "runner") and self.runner.status.state in NOBODY_RUNS:
            assert not self.processes.living

    @invariant()
    def who_is_up_has_the_process_that_people_see(self):
        if hasattr(self, "runner") and self.runner.status.state.is_on:
            assert self.runner.status.pid in {one.identity.pid for one in self.processes.living}

    @invariant()
    def what_is_told_is_one_unbroken_story(self):
        for (_, after), (before, _) in zip(self.told, self.told[1:], strict=False):
            assert after == before

    def teardown(self):
        if hasattr(self, "runner"):
            self.every_order_is_answered_and_a_stop_leaves_nobody()
        shutil.rmtree(self.directory)

    def every_order_is_answered_and_a_stop_leaves_nobody(self):
        for process in self.processes.living:
            process.survives_kill = False
        for _ in range(10):
            self.time_passes(31.0)
        self.somebody_orders("stop")
        for _ in range(10):
            self.time_passes(31.0)
        assert self.runner.status.state is State.STOPPED
        assert not self.processes.living
        assert not self.clock.getDelayedCalls()
        assert all(answer.called for answer in self.answers)
        assert not any(self.directory.iterdir())


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=100, stateful_step_count=40)
