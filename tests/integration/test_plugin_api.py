"""A plugin as a process: what its manager, the network and a person at a shell see of it."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from textwrap import dedent

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from domogik.testing.harness import HOST, PluginHarness, PluginProcess
from domogik.xpl.codec.message import CMND, Message

HEAD = """\
    import time
    from domogik.plugin import CMND, STAT, TRIG, Plugin, Stopping, listen, run
"""


class HarnessCase(TestCase):
    """A street, and plugins written on the spot."""

    timeout = 180

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.harness = PluginHarness(reactor, self.directory)
        self.harness.start()

    def tearDown(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.harness.stop())

    def write(self, source: str, name: str = "hello") -> Path:
        script = self.directory / f"{name}.py"
        script.write_text(dedent(HEAD) + dedent(source), encoding="utf-8")
        return script

    def run_plugin(
        self,
        source: str,
        values: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> PluginProcess:
        return self.harness.run(self.write(source), "hello", values, environment)

    def from_plugin(self, schema: str) -> Deferred[Message]:
        return self.harness.heard(
            lambda message: message.schema == schema and message.source == f"domogik-hello.{HOST}"
        )


GREETER = """
    class Hello(Plugin):
        async def started(self):
            self.every(60, self.greet)

        def greet(self):
            self.send(TRIG, "sensor.basic", {"device": "hello", "current": 1})

    if __name__ == "__main__":
        run(Hello)
"""


class SmallestPlugin(HarnessCase):
    async def test_says_that_it_is_there_then_ready_and_does_its_work(self) -> None:
        plugin = self.run_plugin(GREETER)
        message = await self.from_plugin("sensor.basic")
        self.assertEqual(message.body, (("device", "hello"), ("current", "1")))
        await self.harness.alive(plugin)
        statuses = [m.get("status") for m in self.harness.said_by(plugin, "hbeat.app")]
        self.assertEqual(statuses, sorted(statuses))
        self.assertEqual((statuses[0], statuses[-1]), ("0", "2"))

    async def test_ends_well_on_a_signal_and_says_good_bye_once(self) -> None:
        for signal in ("TERM", "INT", "HUP"):
            self.harness.messages.clear()
            plugin = self.run_plugin(GREETER)
            await self.harness.alive(plugin)
            end = self.harness.next(lambda message: message.schema == "hbeat.end")
            plugin.signal(signal)
            self.assertEqual(await plugin.ended, 0)
            await end
            self.assertEqual(len(self.harness.said_by(plugin, "hbeat.end")), 1)

    async def test_obeys_the_order_to_stop_and_leaves_the_answer_to_the_manager(self) -> None:
        plugin = self.run_plugin(GREETER)
        await self.harness.alive(plugin)
        self.harness.say(CMND, "domogik.system", self.order(host="elsewhere"))
        self.harness.say(CMND, "domogik.system", self.order(plugin="other"))
        self.harness.say(CMND, "domogik.system", (*self.order(), ("type", "daemon")))
        self.harness.say(CMND, "domogik.system", self.order())
        self.assertEqual(await plugin.ended, 0)
        self.assertEqual(plugin.output.count("says stop"), 1)
        self.assertEqual(self.harness.said_by(plugin, "domogik.system"), [])

    async def test_obeys_an_order_to_all_plugins_of_its_host(self) -> None:
        plugin = self.run_plugin(GREETER)
        await self.harness.alive(plugin)
        self.harness.say(CMND, "domogik.system", self.order(plugin="*"))
        self.assertEqual(await plugin.ended, 0)

    async def test_a_second_order_while_it_stops_changes_nothing(self) -> None:
        plugin = self.run_plugin("""
            import os
            from twisted.internet.task import deferLater

            class Hello(Plugin):
                async def stopping(self):
                    self.log.info("stopping once")
                    while not os.path.exists("asked twice"):
                        await deferLater(self.reactor, 0.01)
                    self.send(TRIG, "sensor.basic", {"device": "hello", "current": "off"})

            run(Hello)
            """)
        await self.harness.alive(plugin)
        plugin.signal("TERM")
        await plugin.says("stopping once")
        plugin.signal("TERM")
        (self.directory / "asked twice").touch()
        self.assertEqual(await plugin.ended, 0)
        self.assertEqual(plugin.output.count("stopping once"), 1)
        await self.from_plugin("sensor.basic")
        self.assertEqual(len(self.harness.said_by(plugin, "sensor.basic")), 1)

    async def test_stops_while_it_still_looks_for_the_hub(self) -> None:
        plugin = self.run_plugin(GREETER, environment={"XPL_PORT": "1"})
        await plugin.says("looking for the hub")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)

    @staticmethod
    def order(host: str = HOST, plugin: str = "hello") -> tuple[tuple[str, str], ...]:
        return (("command", "stop"), ("host", host), ("plugin", plugin))


class Trouble(HarnessCase):
    async def test_what_fails_at_the_start_is_told_and_ends_the_plugin(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                async def started(self):
                    raise RuntimeError("no such port")

            run(Hello)
            """)
        self.assertEqual(await plugin.ended, 1)
        self.assertIn("critical started() failed", plugin.output)
        self.assertIn("    builtins.RuntimeError: no such port", plugin.output)
        await self.from_plugin("hbeat.end")
        self.assertEqual(len(self.harness.said_by(plugin, "hbeat.end")), 1)

    async def test_what_fails_later_is_told_and_the_plugin_goes_on(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                async def started(self):
                    self.every(0.05, self.fail)
                    self.later(0.05, self.fail_slowly)

                def fail(self):
                    raise RuntimeError("timer")

                async def fail_slowly(self):
                    raise RuntimeError("coroutine")

                @listen(schema="control.basic")
                def fail_on(self, message):
                    raise RuntimeError("handler")

            run(Hello)
            """)
        await self.harness.alive(plugin)
        self.harness.say(CMND, "control.basic", (("device", "x"),))
        for what in ("timer", "coroutine", "handler"):
            await plugin.says(f"RuntimeError: {what}")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)

    async def test_a_thread_that_hangs_cannot_keep_it_from_ending(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                def work(self):
                    print("hanging")
                    time.sleep(3600)

            run(Hello)
            """)
        await plugin.says("hanging")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)
        self.assertIn("work() is not done in time", plugin.output)
        await self.from_plugin("hbeat.end")
        self.assertEqual(len(self.harness.said_by(plugin, "hbeat.end")), 1)

    async def test_a_blocked_reactor_cannot_keep_it_from_ending(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                async def started(self):
                    self.later(0.1, self.block)

                def block(self):
                    print("blocking")
                    time.sleep(3600)

            run(Hello)
            """)
        await plugin.says("blocking")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)

    async def test_a_name_that_xpl_cannot_say_is_refused_in_one_line(self) -> None:
        plugin = self.run_plugin(GREETER, environment={"DOMOGIK_NAME": "Not a name"})
        self.assertEqual(await plugin.ended, 1)
        self.assertRegex(plugin.output, r"\A'Not a name' cannot be the name of a plugin: .*\n\Z")

    async def test_an_address_of_another_computer_is_refused_in_one_line(self) -> None:
        plugin = self.run_plugin(GREETER, environment={"XPL_ADDRESS": "192.0.2.1"})
        self.assertEqual(await plugin.ended, 1)
        self.assertRegex(plugin.output, r"critical hello cannot start: cannot bind 192\.0\.2\.1")


class Blocking(HarnessCase):
    async def test_works_in_a_thread_and_hears_of_the_end_in_its_sleep(self) -> None:
        plugin = self.run_plugin(
            """
            class Hello(Plugin):
                def work(self):
                    colour = self.wait(self.config("colour"))
                    while self.sleep(0.05):
                        self.send(TRIG, "sensor.basic", {"current": colour})
                    print("good bye")

            run(Hello)
            """,
            {"colour": "red"},
        )
        self.assertEqual((await self.from_plugin("sensor.basic")).get("current"), "red")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)
        self.assertIn("good bye", plugin.output)

    async def test_what_waits_is_told_that_the_plugin_stops(self) -> None:
        plugin = self.run_plugin("""
            from twisted.internet.defer import Deferred

            class Hello(Plugin):
                def work(self):
                    print("waiting")
                    try:
                        self.wait(Deferred())
                    except Stopping:
                        print("interrupted")
                        raise

            run(Hello)
            """)
        await plugin.says("waiting")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)
        self.assertIn("interrupted", plugin.output)
        self.assertNotIn("Traceback", plugin.output)

    async def test_work_that_fails_ends_the_plugin(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                def work(self):
                    raise RuntimeError("the stick is gone")

            run(Hello)
            """)
        self.assertEqual(await plugin.ended, 1)
        self.assertIn("RuntimeError: the stick is gone", plugin.output)

    async def test_the_reactor_is_not_to_be_blocked_by_mistake(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                async def started(self):
                    self.sleep(5)

            run(Hello)
            """)
        self.assertEqual(await plugin.ended, 1)
        self.assertIn("sleep() would block the reactor", plugin.output)

    async def test_a_call_that_hangs_fails_in_time(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                async def started(self):
                    try:
                        await self.in_thread(time.sleep, 3600, timeout=0.2)
                    except TimeoutError as error:
                        print(error)

            run(Hello)
            """)
        await plugin.says("not done within 0.2 s")
        await self.harness.alive(plugin)
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)


class ConfigurationValues(HarnessCase):
    READER = """
        class Hello(Plugin):
            async def started(self):
                value = await self.config.value("interval")
                print("value", value.text, value.remembered)
                print("number", await self.config.integer("interval", 60, minimum=1))

        run(Hello)
        """

    async def test_come_from_the_database_manager(self) -> None:
        plugin = self.run_plugin(self.READER, {"interval": "30"})
        await plugin.says("number 30")
        self.assertIn("value 30 False", plugin.output)

    async def test_are_remembered_and_marked_as_such_while_it_is_silent(self) -> None:
        plugin = self.run_plugin(self.READER, {"interval": "30"})
        await self.harness.alive(plugin)
        plugin.signal("TERM")
        await plugin.ended
        self.harness.values = None
        (self.directory / "domogik.cfg").write_text("[domogik]\nquery_xpl_timeout = 1\n")
        plugin = self.run_plugin(self.READER)
        await plugin.says("number 30")
        self.assertIn("value 30 True", plugin.output)
        self.assertIn("the database manager does not answer", plugin.output)

    async def test_that_make_no_sense_leave_the_default_in_force(self) -> None:
        plugin = self.run_plugin(self.READER, {"interval": "often"})
        await plugin.says("number 60")
        self.assertIn("warn interval=often cannot be understood: using 60", plugin.output)


class Told(HarnessCase):
    async def test_whoever_started_it_hears_when_it_is_ready_and_when_it_stops(self) -> None:
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(receiver.close)
        path = f"\0domogik-test-{os.getpid()}"
        receiver.bind(path)
        receiver.setblocking(False)
        plugin = self.run_plugin(
            """
            class Hello(Plugin):
                async def started(self):
                    self.tell("counting sheep")

            run(Hello)
            """,
            environment={"NOTIFY_SOCKET": path.replace("\0", "@")},
        )
        await self.harness.alive(plugin)
        plugin.signal("TERM")
        await plugin.ended
        told = []
        while len(told) < 5:
            told.append(receiver.recv(4096).decode())
        self.assertEqual(
            told,
            [
                "STATUS=looking for the hub",
                "STATUS=configuring",
                "STATUS=counting sheep",
                "READY=1",
                "STOPPING=1",
            ],
        )

    async def test_its_log_is_lines_with_time_and_level(self) -> None:
        plugin = self.run_plugin("""
            class Hello(Plugin):
                async def started(self):
                    self.log.warn("{text}", text="red \\x1b[31m alert\\nsecond line")

            run(Hello)
            """)
        await self.harness.alive(plugin)
        await plugin.says("second line")
        self.assertRegex(
            plugin.output,
            r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d warn red \\x1b\[31m alert\n    second line$",
        )
