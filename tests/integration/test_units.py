"""Units of a real systemd: looked at, switched, shared, and in all the states they can be in."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from systemd_namespace import RealSystemd, need_systemd
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase
from world import PATIENCE

from domogik.components.health import Result
from domogik.components.model import State
from domogik.supervisor.processes.command import run
from domogik.units import App, Daemon, SharedDaemon, UndeclaredUnit, Units, diagnose_netcat
from domogik.units.apps.starting import UnitFailed
from domogik.units.apps.watch import UnitWatch
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.backend import NoSystemd, Order
from domogik.units.systemd.bus import Changes
from domogik.units.systemd.systemctl import Systemctl

pytestmark = pytest.mark.integration
reactor: Any = _reactor

_SLEEP = "[Service]\nExecStart=/bin/sleep infinity\n"
_WANTED = "[Install]\nWantedBy=test.target\n"
_UNITS = {
    "web.service": _SLEEP + _WANTED + "Alias=old-web.service\n",
    "database.service": _SLEEP + _WANTED,
    "needed.service": _SLEEP + _WANTED,
    "mortal.service": _SLEEP + _WANTED,
    "watched.service": _SLEEP + _WANTED,
    "static.service": _SLEEP,
    "indirect.service": _SLEEP + "[Install]\nAlso=web.service\n",
    "masked.service": None,
    "failing.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n" + _WANTED,
    "refusing.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n" + _WANTED,
    "crashing.service": "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=1h\n",
    "slow.service": "[Service]\nType=notify\nExecStart=/bin/sleep infinity\n",
    "broken.service": "[Service]\nType=oneshot\nExecStart=not/absolute\nRestart=always\n",
    "listening.socket": "[Socket]\nListenStream=127.0.0.1:8080\n",
    "listening.service": _SLEEP,
    "server.service": f"[Service]\nType=notify\nNotifyAccess=all\nExecStart={sys.executable} "
    "/run/server.py\n",
    "idler.service": _SLEEP,
}
_SERVER = """
import os, socket, time
kept = [socket.create_server(("127.0.0.1", 8081))]
kept.append(socket.create_server(("::", 8082), family=socket.AF_INET6))
kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
kept[-1].bind(("0.0.0.0", 8083))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(os.environ["NOTIFY_SOCKET"])
    notify.send(b"READY=1")
time.sleep(10**6)
"""


class RealUnits(TestCase):
    """Each test uses units of its own."""

    @classmethod
    def setUpClass(cls):
        cls.systemd = RealSystemd(Path(tempfile.mkdtemp()))
        try:
            units = cls.systemd.root / "etc/systemd/system"
            for name, content in _UNITS.items():
                if content is None:
                    (units / name).symlink_to("/dev/null")
                else:
                    cls.systemd.file(name, content)
            (cls.systemd.root / "run/server.py").write_text(_SERVER)
            cls.systemd.run("systemctl", "daemon-reload")
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.systemd.close()
        shutil.rmtree(cls.systemd.directory)

    def setUp(self):
        self.units = self.registry()

    def registry(self, *prefix, changes=None, **more):
        backend = Systemctl(
            partial(run, reactor),
            os.environ,
            changes,
            prefix=(*self.systemd.prefix, *prefix),
            absent=lambda: "",
            **more,
        )

        async def unused(*args):
            raise AssertionError("ports are looked at inside")

        return Units(reactor, backend, PortOwners(reactor, unused))

    def daemon(self, unit, kind=Daemon, app=None, units=None, **kwargs):
        component = kind(f"daemon-{unit}-{app or unit}", unit, **kwargs)
        (units or self.units).add(App(app or unit, [component]))
        return component

    async def status(self, unit):
        return (await self.units.status([unit]))[unit]

    async def until(self, unit, wanted):
        """systemd comes to that by itself; ask until it has."""
        while not wanted(status := await self.status(unit)):
            pass
        return status

    async def test_a_daemon_is_enabled_and_disabled_with_its_alias(self):
        web = self.daemon("web", alias="old-web")
        self.assertFalse(await web.is_enabled())
        self.assertFalse(await web.is_running())
        await web.enable()
        self.assertTrue(await web.is_enabled())
        self.assertTrue(await web.is_running())
        self.assertEqual((await self.units.enablement("old-web")).word, "alias")
        (check,) = await web.diagnose()
        self.assertEqual((check.result, check.parameters), (Result.PASSED, {"service_name": "web"}))
        await web.disable()
        self.assertFalse(await web.is_enabled())
        self.assertFalse(await web.is_running())

    async def test_every_state_is_told_for_what_it_is(self):
        for name in ("failing", "crashing", "broken"):
            self.systemd.run("systemctl", "start", name, fine=False)
        self.systemd.run("systemctl", "start", "--no-block", "slow")
        daemons = {
            name: self.daemon(name)
            for name in (
                *("static", "indirect", "masked", "missing"),
                *("failing", "crashing", "slow", "broken"),
            )
        }
        await self.until("crashing", lambda status: status.is_waiting_to_restart)
        await self.until("slow", lambda status: status.is_starting)
        found = {}
        for name, daemon in daemons.items():
            (check,) = await daemon.diagnose()
            actions = [one.action for one in check.suggestions]
            status = await self.status(name)
            found[name] = (check.result.value, actions, status.state, await daemon.is_enabled())
            if check.result is Result.FAILED:
                self.assertTrue(check.parameters["reason"], name)
        self.assertEqual(
            found,
            {
                "static": ("failed", ["unit-start"], State.STOPPED, True),
                "indirect": ("failed", ["unit-start"], State.STOPPED, True),
                "masked": ("failed", ["unit-unmask"], State.DISABLED, False),
                "missing": ("failed", ["install-unit"], State.FAILED, False),
                "failing": ("failed", ["unit-restart"], State.FAILED, False),
                "crashing": ("failed", ["unit-restart"], State.BACKOFF, True),
                "slow": ("warning", ["wait"], State.STARTING, True),
                "broken": ("failed", ["mend-unit-file"], State.FAILED, True),
            },
        )
        self.systemd.run("systemctl", "stop", "slow")

    async def test_a_start_that_fails_has_the_words_of_systemd(self):
        for name, words in (
            ("refusing", "Job for refusing.service failed"),
            ("masked", "is masked"),
            ("missing", "missing.service does not exist"),
        ):
            daemon = self.daemon(name)
            try:
                await daemon.enable()
            except UnitFailed as error:
                self.assertIn(words, str(error))
                if name == "refusing":
                    self.assertIn("Result=exit-code, status=3", error.reason)
            else:
                self.fail(f"{name} was enabled")

    async def test_one_without_privileges_gets_nothing_done_and_is_told(self):
        units = self.registry("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        daemon = self.daemon("idler", units=units)
        for verb in (daemon.enable, daemon.disable):
            try:
                await verb()
            except UnitFailed as error:
                self.assertIn("Interactive authentication required", str(error))
            else:
                self.fail("it was obeyed")
        self.assertEqual((await daemon.diagnose())[0].result, Result.FAILED)

    async def test_a_start_that_takes_too_long_has_an_end(self):
        daemon = self.daemon("slow", units=self.registry(patience_s=0.5))
        self.daemon("slow")
        self.systemd.run("systemctl", "start", "--no-block", "slow")
        await self.until("slow", lambda status: status.is_starting)
        try:
            await daemon.enable()
        except UnitFailed as error:
            self.assertIn("not done after 0.5 s; systemd goes on", str(error))
            self.assertTrue(error.status.is_starting)
        else:
            self.fail("it was started")
        self.systemd.run("systemctl", "stop", "slow")

    async def test_a_unit_runs_while_it_is_needed(self):
        daemon = self.daemon("needed")
        async with daemon.ensure_running() as before:
            self.assertFalse(before)
            async with daemon.ensure_running() as inner:
                self.assertTrue(inner)
            self.assertTrue(await daemon.is_running())
            self.assertFalse(await daemon.is_enabled())
        self.assertFalse(await daemon.is_running())

    async def test_a_unit_that_dies_while_it_is_needed_is_told(self):
        daemon = self.daemon("mortal")
        try:
            async with daemon.ensure_running():
                self.systemd.run("systemctl", "kill", "--signal=KILL", "mortal")
                await self.until("mortal", lambda status: status.is_failed)
        except UnitFailed as error:
            self.assertEqual(str(error), "mortal ended while it was needed")
            self.assertIn("Result=signal, signal=9", error.reason)
        else:
            self.fail("nobody told")

    async def test_two_apps_that_let_go_of_a_shared_daemon_at_once_leave_it_off(self):
        for app in ("one", "two"):
            self.daemon("database", SharedDaemon, app)
        one, two = self.units.apps.values()
        await gatherResults([one.enable(), two.enable()])
        self.assertTrue((await self.status("database")).is_active)
        await one.disable()
        self.assertTrue((await self.status("database")).is_active)
        await one.enable()
        await gatherResults([one.disable(), two.disable()])
        status = await self.status("database")
        self.assertEqual((status.is_active, status.enablement.word), (False, "disabled"))

    async def test_a_unit_that_nobody_declared_is_not_touched(self):
        self.daemon("web")
        try:
            await self.units.carry_out(Order.STOP, "dbus")
        except UndeclaredUnit:
            pass
        else:
            self.fail("it was obeyed")

    async def test_what_happens_to_a_unit_is_noticed(self):
        changes = Changes.at(reactor, str(self.systemd.bus))
        changes.startService()
        self.addCleanup(changes.stopService)
        self.units = self.registry(changes=changes)
        self.daemon("watched")
        states, waiting = [], []

        def changed(name, before, after):
            states.append((name, after.state))
            for wanted, heard in tuple(waiting):
                if wanted is after.state:
                    waiting.remove((wanted, heard))
                    heard.callback(None)

        def comes_to(state):
            heard = Deferred()
            waiting.append((state, heard))
            return heard

        watch = UnitWatch(reactor, self.units, changed)
        self.addCleanup(watch.stop)
        await watch.start()
        self.assertEqual(states, [("watched.service", State.DISABLED)])
        for order, state in (
            (("start",), State.RUNNING),
            (("kill", "--signal=KILL"), State.FAILED),
            (("reset-failed",), State.DISABLED),
            (("enable",), State.STOPPED),
        ):
            heard = comes_to(state)
            self.systemd.run("systemctl", *order, "watched.service")
            await heard
        self.assertEqual(watch.statuses["watched.service"].state, State.STOPPED)

    def look(self, *arguments):
        script = Path(__file__).with_name("units_inside.py")
        said = self.systemd.run(sys.executable, "-W", "error", str(script), *arguments)
        return json.loads(said)

    def test_ports_are_known_to_be_the_units_or_somebody_elses(self):
        self.systemd.run("systemctl", "start", "server", "listening.socket", "idler")
        ports = ("8081/tcp4", "8081/tcp6", "8082/tcp6", "8083/udp4", "8083/tcp", "8080/tcp4")
        checks = self.look("server", *ports)
        self.assertEqual(
            [(check["check_id"], check["result"]) for check in checks],
            [
                ("daemon-running-server", "passed"),
                ("daemon-listening-tcp4-8081", "passed"),
                ("daemon-listening-tcp6-8081", "failed"),
                ("daemon-listening-tcp6-8082", "passed"),
                ("daemon-listening-udp4-8083", "passed"),
                ("daemon-listening-tcp-8083", "failed"),
                ("daemon-listening-tcp4-8080", "warning"),
            ],
        )
        self.assertIn("process", checks[1]["parameters"]["owner"])
        self.assertEqual(checks[-1]["parameters"]["owner"], "systemd (process 1)")
        self.assertEqual(self.look("listening.socket", "8080/tcp4")[1]["result"], "passed")
        stolen = self.look("idler", "8081/tcp")[1]
        self.assertEqual(stolen["result"], "warning")
        self.assertIn("not of idler", stolen["parameters"]["reason"])

    def asked(self, way, *units):
        """What a user's program finds, which runs where the units are."""
        for unit in units:
            self.systemd.file(f"{unit}.service", _SLEEP + _WANTED)
        self.systemd.run("systemctl", "daemon-reload")
        script = Path(__file__).with_name("units_asked.py")
        return json.loads(self.systemd.run(sys.executable, "-W", "error", str(script), way, *units))

    #: not enabled, not running; in the block; afterwards; on; off, with the shared one last
    ASKED = (
        *(False, False, False, True),
        *(False, ["failed", "failed"]),
        *(True, ["passed", "passed"], False, True, False),
    )

    def test_a_program_that_waits_needs_nothing_but_the_blocking_face(self):
        found = self.asked("waiting", "waited", "waited-shared")
        self.assertEqual(found, [*self.ASKED])

    def test_a_program_of_asyncio_awaits_the_same(self):
        found = self.asked("asyncio", "awaited", "awaited-shared")
        self.assertEqual(found, [*self.ASKED])


class WithoutSystemd(TestCase):
    async def test_enablement_works_on_the_files_of_another_root(self):
        if shutil.which("systemctl") is None:
            need_systemd()
        root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, root)
        directory = root / "etc/systemd/system"
        directory.mkdir(parents=True)
        (directory / "web.service").write_text(_UNITS["web.service"])
        (directory / "static.service").write_text(_SLEEP)
        (directory / "many@.service").write_text(_SLEEP + _WANTED)
        options = (f"--root={root}",)
        systemd = Systemctl(partial(run, reactor), os.environ, options=options, absent=lambda: "")

        async def word(name):
            return (await systemd.enablement(name)).word

        self.assertEqual(await word("web.service"), "disabled")
        await systemd.carry_out(Order.ENABLE, "web.service")
        self.assertEqual(await word("web.service"), "enabled")
        self.assertTrue((directory / "old-web.service").is_symlink())
        await systemd.carry_out(Order.DISABLE, "web.service")
        self.assertEqual(await word("web.service"), "disabled")
        self.assertEqual(await word("static.service"), "static")
        self.assertEqual(await word("many@one.service"), "disabled")
        self.assertEqual(await word("missing.service"), "not-found")

    async def test_systemctl_itself_says_that_there_is_no_systemd(self):
        need_systemd()
        # as on a machine that something else has booted, whatever booted this one
        hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$0" "$@"')
        systemd = Systemctl(partial(run, reactor), os.environ, prefix=hidden, absent=lambda: "")
        for ask in (
            lambda: systemd.status(["web.service"]),
            lambda: systemd.carry_out(Order.START, "web.service"),
            lambda: systemd.daemon_reload(),
        ):
            try:
                await ask()
            except NoSystemd as error:
                self.assertRegex(str(error), "not been booted with systemd|connect to bus")
            else:
                self.fail("it was answered")

    async def test_a_machine_without_systemctl_has_no_systemd(self):
        systemd = Systemctl(
            partial(run, reactor), os.environ, prefix=("no-such-program",), absent=lambda: ""
        )
        try:
            await systemd.status(["web.service"])
        except NoSystemd as error:
            self.assertIn("no-such-program", str(error))
        else:
            self.fail("it was answered")


class Reaching(TestCase):
    async def test_a_port_of_this_host_is_reached_and_hears_what_is_said(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            check = await diagnose_netcat(reactor, "127.0.0.1", port, "hello\n")
            self.assertEqual(check.result, Result.PASSED)
            connection, _ = server.accept()
            with connection:
                connection.settimeout(PATIENCE)
                self.assertEqual(connection.makefile("rb").read(), b"hello\n")

    async def test_a_port_where_nobody_listens_is_not_reached(self):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))  # so that nobody else can listen there
            port = held.getsockname()[1]
            for negate, result in ((False, Result.FAILED), (True, Result.PASSED)):
                check = await diagnose_netcat(reactor, "127.0.0.1", port, negate=negate)
                self.assertEqual(check.result, result)
                self.assertIn("refused", check.parameters["reason"])


def test_a_systemd_whose_test_run_is_killed_dies_with_it(tmp_path):
    need_systemd()
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from systemd_namespace import RealSystemd\n"
        "systemd = RealSystemd(Path(sys.argv[1]))\n"
        "print(systemd.leader, flush=True); sys.stdin.read()\n"
    )
    started = subprocess.Popen(
        (sys.executable, "-c", program, str(tmp_path / "systemd")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        assert started.stdout is not None
        leader = os.pidfd_open(int(started.stdout.readline()))
        try:
            started.kill()
            assert _ends(leader)
        finally:
            os.close(leader)
    RealSystemd(tmp_path / "next").close()


def _ends(pidfd):
    return bool(select.select([pidfd], [], [], PATIENCE)[0])
