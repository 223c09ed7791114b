"""Work that takes its time is done once, in order, and can be watched."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.events import EventStream
from domogik.errors import OperationFailed
from domogik.manager.jobs import KEPT, Jobs, JobState, Progress


class JobsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.events = EventStream(lambda: self.now)
        self.jobs = Jobs(self.events, lambda: self.now)
        self.begun: list[str] = []
        self.gates: dict[str, Deferred[str]] = {}

    def work(self, name: str):  # type: ignore[no-untyped-def]
        self.gates[name] = Deferred()

        async def do(progress: Progress) -> str:
            self.begun.append(name)
            progress.stage(f"doing {name}", 50)
            return await self.gates[name]

        return do

    def test_its_result_is_what_the_work_gave(self) -> None:
        done = self.jobs.run("install", "plugin-a", self.work("one"))
        self.assertNoResult(done)
        self.gates["one"].callback("installed")
        self.assertEqual(self.successResultOf(done), "installed")
        self.assertEqual(self.jobs.all()[0].state, JobState.DONE)

    def test_the_same_request_twice_is_one_job_with_two_answers(self) -> None:
        first = self.jobs.run("install", "plugin-a", self.work("one"), "1.0")
        second = self.jobs.run("install", "plugin-a", self.work("two"), "1.0")
        self.gates["one"].callback("installed")
        self.assertEqual(self.successResultOf(first), "installed")
        self.assertEqual(self.successResultOf(second), "installed")
        self.assertEqual(self.begun, ["one"])
        self.assertEqual(len(self.jobs.all()), 1)

    def test_one_subject_has_one_job_at_a_time_another_does_not_wait(self) -> None:
        self.jobs.run("install", "plugin-a", self.work("one"), "1.0")
        second = self.jobs.run("install", "plugin-a", self.work("two"), "2.0")
        self.jobs.run("install", "plugin-b", self.work("three"))
        self.assertEqual(self.begun, ["one", "three"])
        self.assertEqual(self.jobs.get(2).state, JobState.QUEUED)  # type: ignore[union-attr]
        self.gates["one"].callback("")
        self.assertEqual(self.begun, ["one", "three", "two"])
        self.gates["two"].callback("second")
        self.assertEqual(self.successResultOf(second), "second")

    def test_a_failure_is_told_and_stops_nobody_else(self) -> None:
        first = self.jobs.run("install", "plugin-a", self.work("one"), "1.0")
        self.jobs.run("install", "plugin-a", self.work("two"), "2.0")
        self.gates["one"].errback(OperationFailed("no such release"))
        self.failureResultOf(first, OperationFailed)
        job = self.jobs.get(1)
        assert job is not None
        self.assertEqual((job.state, job.error), (JobState.FAILED, "no such release"))
        self.assertEqual(self.begun, ["one", "two"])

    def test_a_fault_of_ours_is_logged_as_well(self) -> None:
        done = self.jobs.run("install", "plugin-a", self.work("one"))
        self.gates["one"].errback(ZeroDivisionError("oh"))
        self.failureResultOf(done, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_who_no_longer_waits_changes_nothing(self) -> None:
        done = self.jobs.run("install", "plugin-a", self.work("one"))
        done.addErrback(lambda _: None)
        done.cancel()
        self.gates["one"].callback("installed")
        self.assertEqual(self.jobs.all()[0].state, JobState.DONE)

    def test_every_step_is_an_event(self) -> None:
        self.jobs.run("install", "plugin-a", self.work("one"))
        self.gates["one"].callback("")
        steps = [(event.data["state"], event.data["stage"]) for event in self.events.since(0) or ()]
        self.assertEqual(
            steps,
            [("queued", ""), ("running", ""), ("running", "doing one"), ("done", "doing one")],
        )

    def test_only_so_many_that_ended_are_remembered(self) -> None:
        self.jobs.run("install", "plugin-x", self.work("long"))
        for number in range(KEPT + 10):
            self.jobs.run("install", f"plugin-{number}", self.work(str(number)))
            self.gates[str(number)].callback("")
        self.assertEqual(len(self.jobs.all()), KEPT)
        self.assertEqual(self.jobs.get(1).state, JobState.RUNNING)  # type: ignore[union-attr]
