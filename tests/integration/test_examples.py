"""The example plugins, as processes on a network of their own."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import psutil
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from world import is_gone

from domogik.packages.descriptor.files import read
from domogik.testing.harness import HOST, PluginHarness, PluginProcess
from domogik.xpl.codec.message import CMND, STAT, TRIG, Message

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = ("clock", "diskfree", "ping", "script")


def source(name: str) -> Path:
    return EXAMPLES / name / "src"


def script(name: str) -> Path:
    return source(name) / "domogik_packages" / "xpl" / "bin" / f"{name}.py"


class ExampleCase(TestCase):
    """A street with one example on it."""

    timeout = 240
    name: ClassVar[str]

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.harness = PluginHarness(reactor, self.directory)
        self.harness.start()

    def tearDown(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.harness.stop())

    async def alive(self, **values: str) -> PluginProcess:
        plugin = self.harness.run(
            script(self.name), self.name, {key.replace("_", "-"): v for key, v in values.items()}
        )
        await self.harness.alive(plugin)
        return plugin

    async def stopped(self, plugin: PluginProcess) -> None:
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0, plugin.output)
        self.assertNotIn("Traceback", plugin.output)

    def heard(self, schema: str, **body: str) -> Deferred[Message]:
        return self.harness.heard(lambda message: is_like(message, schema, body))

    def next(self, schema: str, **body: str) -> Deferred[Message]:
        return self.harness.next(lambda message: is_like(message, schema, body))


def is_like(message: Message, schema: str, body: dict[str, str]) -> bool:
    return (
        message.schema == schema
        and message.type in (STAT, TRIG)
        and all(message.get(name) == value for name, value in body.items())
    )


class EveryExample(ExampleCase):
    async def test_starts_and_stops_without_any_configuration(self) -> None:
        self.harness.values = None
        for name in NAMES:
            environment = {"DOMOGIK_CONFIG": str(self.quick_configuration())}
            plugin = self.harness.run(script(name), name, environment=environment)
            await self.harness.alive(plugin)
            await self.stopped(plugin)

    def quick_configuration(self) -> Path:
        """One in which the database manager is not waited for."""
        path = self.directory / "quick.cfg"
        path.write_text("[domogik]\nquery_xpl_timeout = 1\n", encoding="utf-8")
        return path

    async def test_runs_from_a_shell_with_nothing_but_its_script(self) -> None:
        for name in NAMES:
            environment = {
                **dict.fromkeys(self.harness.environment(script(name), name), ""),
                "PYTHONPATH": f"{source(name)}:{ROOT}",
                "HOME": str(self.directory),
                "XPL_PORT": str(self.harness.hub.port),
            }
            plugin = self.harness.run(script(name), name, environment=environment)
            await plugin.says("is ready")
            self.assertIn(f"domogik-{name}.", plugin.output)
            await self.stopped(plugin)

    def test_is_a_package_with_nothing_to_complain_about(self) -> None:
        for name in NAMES:
            package = read(source(name) / "share" / "domogik" / "plugins" / f"{name}.xml")
            self.assertEqual((package.id, package.warnings), (name, ()))
            for path in package.files:
                self.assertTrue((EXAMPLES / name / path).is_file(), path)
            icon = source(name) / "share" / "domogik" / "design" / "plugin" / name / "icon.png"
            self.assertEqual(icon.read_bytes()[:24][-8:], b"\0\0\0\x60" * 2)

    async def test_passes_the_tests_it_brings_along(self) -> None:
        options = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-c", os.devnull]
        output, _, status = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "pytest", *options, *(str(source(name)) for name in NAMES)],
            env={
                **os.environ,
                "PYTHONPATH": ":".join(map(str, [*map(source, NAMES), ROOT])),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            path=str(self.directory),
        )
        self.assertEqual(status, 0, output.decode())
        self.assertIn(b" passed", output)


class DiskFree(ExampleCase):
    name = "diskfree"

    async def test_tells_four_figures_of_every_path(self) -> None:
        plugin = await self.alive(nb_int="2", path_1="/", path_2=str(self.directory))
        for path in ("/", str(self.directory)):
            for figure in ("percent_used", "free_space", "used_space", "total_space"):
                message = await self.heard("sensor.basic", device=path, type=figure)
                self.assertGreaterEqual(float(message.get("current") or "-1"), 0)
        await self.stopped(plugin)

    async def test_a_path_that_is_gone_costs_only_its_own_figures(self) -> None:
        plugin = await self.alive(path_1="/no/such/directory", path_2="/")
        await self.heard("sensor.basic", device="/")
        await plugin.says("/no/such/directory: ")
        await self.stopped(plugin)

    async def test_looks_again_when_it_is_asked(self) -> None:
        plugin = await self.alive(path_1="/")
        await self.heard("sensor.basic", device="/", type="total_space")
        again = self.next("sensor.basic", device="/", type="total_space")
        self.harness.say(CMND, "sensor.request", (("request", "current"), ("device", "/")))
        await again
        await self.stopped(plugin)


class Clock(ExampleCase):
    name = "clock"

    async def test_tells_the_time_in_step(self) -> None:
        plugin = await self.alive(interval="1")
        first = await self.next("datetime.basic")
        second = await self.next("datetime.basic")
        self.assertEqual(first.type, TRIG)
        self.assertRegex(first.get("datetime") or "", r"\A20\d{12}\Z")
        self.assertLess(first.get("datetime") or "", second.get("datetime") or "")
        await self.stopped(plugin)

    async def test_tells_the_time_when_asked(self) -> None:
        plugin = await self.alive(interval="86400")
        answer = self.next("datetime.basic")
        self.harness.say(CMND, "datetime.request", (("command", "request"),))
        self.assertEqual((await answer).type, STAT)
        await self.stopped(plugin)


class Ping(ExampleCase):
    name = "ping"

    async def test_tells_when_a_computer_goes_on_and_off(self) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        port = server.getsockname()[1]
        plugin = await self.alive(
            interval="1", address_1="127.0.0.1", name_1="nas", port_1=str(port)
        )
        on = await self.heard("sensor.basic", device="nas", type="ping", current="high")
        self.assertEqual(on.type, TRIG)
        server.close()
        off = await self.heard("sensor.basic", device="nas", type="ping", current="low")
        self.assertEqual(off.type, TRIG)
        same = await self.next("sensor.basic", device="nas", type="ping", current="low")
        self.assertEqual(same.type, STAT)
        await self.stopped(plugin)

    async def test_finds_this_computer_by_whatever_way_is_allowed(self) -> None:
        plugin = await self.alive(address_1="127.0.0.1")
        await self.heard("sensor.basic", device="127.0.0.1", type="ping", current="high")
        await self.stopped(plugin)

    async def test_wakes_only_computers_of_its_list(self) -> None:
        sleeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sleeper.close)
        sleeper.bind(("127.0.0.1", 0))
        sleeper.setblocking(False)
        plugin = await self.alive(
            address_1="127.0.0.1",
            name_1="nas",
            mac_1="00:11:22:aa:bb:cc",
            wol_broadcast="127.0.0.1",
            wol_port=str(sleeper.getsockname()[1]),
        )
        for device in ("other", "nas"):
            order = (("type", "wakeonlan"), ("device", device), ("current", "high"))
            self.harness.say(CMND, "control.basic", order)
        await self.heard("sensor.basic", device="nas", type="wakeonlan", current="high")
        self.assertEqual(len(sleeper.recv(200)), 102)
        with self.assertRaises(BlockingIOError):
            sleeper.recv(200)
        await self.stopped(plugin)


class Script(ExampleCase):
    name = "script"

    def order(self, program: str, *more: tuple[str, str]) -> None:
        self.harness.say(CMND, "exec.basic", (("program", program), ("pid", "7"), *more))

    async def test_runs_a_command_of_its_list_and_answers_with_its_end(self) -> None:
        plugin = await self.alive(
            name_1="greet", command_1=f"{sys.executable} -c 'print(\"hello\"); exit(3)'"
        )
        self.order("greet")
        await self.heard("exec.basic", program="greet", pid="7", status="started")
        end = await self.heard("exec.basic", program="greet", pid="7", status="finished")
        self.assertEqual((end.get("return"), end.get("output")), ("3", "hello"))
        await self.stopped(plugin)

    async def test_refuses_everything_else_and_says_why(self) -> None:
        plugin = await self.alive(
            name_1="greet", command_1="/bin/echo", name_2="bad", command_2="x"
        )
        for program, more, reason in (
            ("/bin/echo", (), "not in the list of programs"),
            ("bad", (), "not in the list of programs"),
            ("greet", (("arg", "--help"),), "arguments are not taken from messages"),
        ):
            refusal = self.next("exec.basic", program=program, status="refused")
            self.order(program, *more)
            self.assertEqual((await refusal).get("error"), reason)
        await self.stopped(plugin)

    async def test_leaves_no_command_behind_when_it_stops(self) -> None:
        sleep = shutil.which("sleep")
        plugin = await self.alive(name_1="wait", command_1=f"{sleep} 600")
        self.order("wait")
        await self.heard("exec.basic", program="wait", status="started")
        assert plugin.transport.pid is not None
        children = psutil.Process(plugin.transport.pid).children(recursive=True)
        self.assertEqual(len(children), 1)
        await self.stopped(plugin)
        self.assertTrue(is_gone(children[0].pid))

    async def test_ends_well_when_the_network_says_stop(self) -> None:
        plugin = await self.alive()
        order = (("command", "stop"), ("host", HOST), ("plugin", "script"))
        self.harness.say(CMND, "domogik.system", order)
        self.assertEqual(await plugin.ended, 0)
