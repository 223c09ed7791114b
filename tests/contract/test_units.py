"""What this room relies on, kept by the real systemd and by the fake one alike."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from systemd_namespace import RealSystemd
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from domogik.components.model import State
from domogik.supervisor.processes.command import run
from domogik.testing.units import FakeSystemd
from domogik.units.systemd.backend import IUnitBackend, NoSystemd, NotPermitted, Order, OrderFailed
from domogik.units.systemd.bus import Changes
from domogik.units.systemd.systemctl import Systemctl, why_no_systemd

reactor: Any = _reactor


class BackendContract:
    """The units are those that `_UNITS` names; none is started or enabled."""

    backend: IUnitBackend
    without: IUnitBackend
    unprivileged: IUnitBackend
    EXISTING = ("plain", "other", "failing", "once", "static", "slow")

    async def order(self, *pairs):
        for order, name in pairs:
            await self.backend.carry_out(order, f"{name}.service")

    async def one(self, name):
        return (await self.backend.status([f"{name}.service"]))[f"{name}.service"]

    async def word(self, name):
        return (await self.backend.enablement(f"{name}.service")).word

    async def refused(self, order, name, backend=None, kind=OrderFailed):
        try:
            await (backend or self.backend).carry_out(order, f"{name}.service")
        except kind as error:
            return str(error)
        raise AssertionError(f"{order} of {name} did not fail")

    def test_it_is_a_back_end(self):
        self.assertTrue(verifyObject(IUnitBackend, self.backend))

    async def test_many_units_are_looked_at_in_one_call_under_the_names_that_were_asked_for(self):
        names = [f"{name}.service" for name in (*self.EXISTING, "missing")]
        found = await self.backend.status(names)
        self.assertEqual(set(found), set(names))
        self.assertEqual([found[name].name for name in names], names)
        self.assertEqual([found[name].exists for name in names], [True] * 6 + [False])
        self.assertEqual(found["plain.service"].description, "The unit plain.service")
        self.assertEqual(found["once.service"].type, "oneshot")

    async def test_no_units_are_no_question(self):
        self.assertEqual(await self.backend.status([]), {})

    async def test_a_unit_that_does_not_exist_is_said_to_be_missing(self):
        status = await self.one("missing")
        self.assertFalse(status.exists)
        self.assertEqual(status.reason, "Unit missing.service not found.")
        self.assertEqual(await self.word("missing"), "not-found")
        for order in (Order.START, Order.ENABLE):
            self.assertIn("missing.service", await self.refused(order, "missing"))

    async def test_a_unit_starts_and_stops(self):
        self.assertEqual((await self.one("plain")).state, State.DISABLED)
        await self.order((Order.START, "plain"))
        running = await self.one("plain")
        self.assertEqual(running.state, State.RUNNING)
        self.assertTrue(running.is_running)
        self.assertGreater(running.main_pid, 0)
        self.assertTrue(running.control_group.endswith("/plain.service"))
        await self.order((Order.START, "plain"))
        self.assertEqual((await self.one("plain")).main_pid, running.main_pid)
        await self.order((Order.RESTART, "plain"))
        again = await self.one("plain")
        self.assertNotEqual(again.main_pid, running.main_pid)
        await self.order((Order.STOP, "plain"), (Order.STOP, "plain"))
        stopped = await self.one("plain")
        self.assertEqual((stopped.active_state, stopped.main_pid), ("inactive", 0))
        await self.order((Order.TRY_RESTART, "plain"), (Order.TRY_RELOAD_OR_RESTART, "plain"))
        self.assertEqual((await self.one("plain")).active_state, "inactive")

    async def test_a_start_that_fails_says_so_and_the_status_says_how(self):
        self.assertIn("Job for failing.service", await self.refused(Order.START, "failing"))
        status = await self.one("failing")
        self.assertTrue(status.is_failed)
        self.assertEqual(status.state, State.FAILED)
        self.assertEqual(status.reason, "Result=exit-code, status=1")
        await self.order((Order.RESET_FAILED, "failing"))
        self.assertEqual((await self.one("failing")).active_state, "inactive")

    async def test_a_unit_that_runs_to_an_end_has_done_its_work(self):
        await self.order((Order.START, "once"))
        status = await self.one("once")
        self.assertEqual((status.active_state, status.did_its_work), ("inactive", True))

    async def test_a_unit_is_enabled_and_disabled_and_its_alias_comes_and_goes(self):
        self.assertEqual(await self.word("other"), "disabled")
        self.assertEqual(await self.word("old-other"), "not-found")
        await self.order((Order.ENABLE, "other"))
        self.assertEqual(await self.word("other"), "enabled")
        self.assertEqual(await self.word("old-other"), "alias")
        by_alias = await self.one("old-other")
        self.assertEqual((by_alias.name, by_alias.id), ("old-other.service", "other.service"))
        self.assertIn("old-other.service", by_alias.names)
        self.assertEqual(by_alias.state, State.STOPPED)
        self.assertIn("alias", await self.refused(Order.ENABLE, "old-other"))
        await self.order((Order.START, "old-other"))
        self.assertEqual((await self.one("other")).state, State.RUNNING)
        await self.order((Order.STOP, "old-other"))
        await self.order((Order.DISABLE, "other"))
        self.assertEqual(await self.word("other"), "disabled")
        self.assertEqual(await self.word("old-other"), "not-found")

    async def test_a_static_unit_cannot_be_enabled_which_is_no_error(self):
        await self.order((Order.ENABLE, "static"), (Order.DISABLE, "static"))
        self.assertEqual(await self.word("static"), "static")
        self.assertTrue((await self.one("static")).enablement.is_enabled)

    async def test_a_masked_unit_is_not_started_by_anybody(self):
        await self.order((Order.MASK, "maskable"))
        self.assertEqual(await self.word("maskable"), "masked")
        self.assertTrue((await self.one("maskable")).is_masked)
        for order in (Order.START, Order.ENABLE):
            self.assertIn("is masked", await self.refused(order, "maskable"))
        await self.order((Order.UNMASK, "maskable"))
        self.assertNotEqual(await self.word("maskable"), "masked")

    async def test_a_unit_that_cannot_reload_says_so(self):
        await self.order((Order.START, "plain"))
        self.assertIn("not applicable", await self.refused(Order.RELOAD, "plain"))
        await self.order((Order.STOP, "plain"))

    async def test_unit_files_are_read_again(self):
        await self.backend.daemon_reload()

    async def test_the_last_lines_of_the_journal_come_oldest_first(self):
        await self.write_lines("talking", 5)
        lines = await self.backend.logs("talking.service", 3)
        self.assertEqual([line.rpartition(" ")[2] for line in lines], ["line3", "line4", "line5"])
        self.assertEqual(await self.backend.logs("missing.service", 3), [])

    async def test_changes_are_told_until_nobody_wants_to_hear(self):
        told = []
        heard = Deferred()

        def receive(name):
            told.append(name)
            if name == "plain.service" and not heard.called:
                heard.callback(None)

        unsubscribe = self.backend.subscribe(receive)
        await self.until_told()
        self.assertTrue(self.backend.reports_changes())
        await self.order((Order.START, "plain"))
        await heard
        unsubscribe()
        del told[:]
        await self.order((Order.STOP, "plain"))
        self.assertEqual(told, [])

    async def test_a_start_that_takes_long_is_starting_until_it_is_done(self):
        starting = self.starts_slowly("slow.service")
        await starting
        status = await self.one("slow")
        self.assertEqual(status.state, State.STARTING)
        self.assertTrue(status.is_running)
        self.assertFalse(status.is_active)
        await self.order((Order.STOP, "slow"))

    async def test_one_without_privileges_hears_systemds_words(self):
        for order in (Order.START, Order.ENABLE):
            words = await self.refused(order, "plain", self.unprivileged, NotPermitted)
            self.assertIn("Interactive authentication required", words)
        found = await self.unprivileged.status(["plain.service"])
        self.assertTrue(found["plain.service"].exists)

    async def test_without_systemd_every_question_has_the_reason(self):
        for ask in (
            lambda: self.without.status(["plain.service"]),
            lambda: self.without.enablement("plain.service"),
            lambda: self.without.carry_out(Order.ENABLE, "plain.service"),
            lambda: self.without.daemon_reload(),
            lambda: self.without.logs("plain.service", 3),
        ):
            try:
                await ask()
            except NoSystemd as error:
                self.assertIn("not booted with systemd", str(error))
            else:
                self.fail("it was answered")
        self.assertFalse(self.without.reports_changes())


class FakeBackendTests(BackendContract, TestCase):
    def setUp(self):
        self.backend = FakeSystemd()
        self.backend.add("plain.service")
        self.backend.add("other.service", alias="old-other.service")
        self.backend.add("failing.service", start_fails="exit-code")
        self.backend.add("once.service", type="oneshot", word="static")
        self.backend.add("static.service", word="static")
        self.backend.add("slow.service", is_slow=True, word="static")
        self.backend.add("maskable.service")
        self.backend.add("talking.service")
        self.without = FakeSystemd(absent="this host was not booted with systemd")
        self.unprivileged = FakeSystemd(refuses="Interactive authentication required.")
        self.unprivileged.add("plain.service")

    async def write_lines(self, name, number):
        log = self.backend.units[f"{name}.service"].log
        log += [f"now host {name}: line{n}" for n in range(1, number + 1)]

    async def until_told(self):
        pass

    async def starts_slowly(self, name):
        start = self.backend.carry_out(Order.START, name)
        start.addErrback(lambda reason: None)


_UNIT = "[Unit]\nDescription=The unit {}.service\n"
_SLEEP = "[Service]\nExecStart=/bin/sleep infinity\n"
_UNITS = {
    "plain": _SLEEP + "[Install]\nWantedBy=test.target\n",
    "other": _SLEEP + "[Install]\nWantedBy=test.target\nAlias=old-other.service\n",
    "failing": "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=test.target\n",
    "once": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "static": _SLEEP,
    "slow": "[Service]\nType=notify\nExecStart=/bin/sleep infinity\nTimeoutStopSec=1\n",
    "talking": "[Service]\nType=oneshot\nExecStart=/usr/bin/seq -f line%.0f 5\n",
}


@pytest.mark.integration
class RealBackendTests(BackendContract, TestCase):
    """The real systemctl and bus of a systemd in namespaces of its own."""

    @classmethod
    def setUpClass(cls):
        cls.systemd = RealSystemd(Path(tempfile.mkdtemp()))
        try:
            for name, content in _UNITS.items():
                cls.systemd.file(f"{name}.service", f"{_UNIT.format(name)}{content}")
            # what is in /etc itself cannot be masked
            cls.systemd.file("maskable.service", _SLEEP, "usr/lib/systemd/system")
            cls.systemd.run("systemctl", "daemon-reload")
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.systemd.close()
        shutil.rmtree(cls.systemd.directory)

    def setUp(self):
        systemd = self.systemd
        self.changes = Changes.at(reactor, str(systemd.bus))
        self.changes.startService()
        self.addCleanup(self.changes.stopService)
        command = partial(run, reactor)

        def made(*prefix, **more):
            return Systemctl(
                command, os.environ, prefix=(*systemd.prefix, *prefix), absent=lambda: "", **more
            )

        self.backend = made(changes=self.changes)
        self.unprivileged = made("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        nowhere = partial(why_no_systemd, Path("not booted"))
        self.without = Systemctl(command, os.environ, absent=nowhere)

    async def write_lines(self, name, number):
        assert number == 5
        await self.order((Order.START, name))
        self.systemd.run("journalctl", "--sync")

    async def until_told(self):
        if not self.changes.is_listening:
            begun = Deferred()
            unsubscribe = self.changes.subscribe(lambda name: begun.called or begun.callback(None))
            await begun
            unsubscribe()

    async def starts_slowly(self, name):
        self.systemd.run("systemctl", "start", "--no-block", name)
        while (await self.backend.status([name]))[name].active_state == "inactive":
            pass  # the job waits for its turn
