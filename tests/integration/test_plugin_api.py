"""A plugin as a process: what its manager, the network and a person at a shell see of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from domogik.testing.street import HOST, PluginProcess, Street
from domogik.xpl.message import CMND, Message

HEAD = """\
    import time
    from domogik.plugin import CMND, STAT, TRIG, Plugin, Stopping, listen, run
"""


class StreetCase(TestCase):
    """A street, and plugins written on the spot."""

    timeout = 60

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.street = Street(reactor, self.directory)
        self.street.start()

    def tearDown(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.street.stop())

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
        return self.street.run(self.write(source), "hello", values, environment)

    def from_plugin(self, schema: str) -> Deferred[Message]:
        return self.street.heard(
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


class SmallestPlugin(StreetCase):
    async def test_says_that_it_is_there_then_ready_and_does_its_work(self) -> None:
        plugin = self.run_plugin(GREETER)
        message = await self.from_plugin("sensor.basic")
        self.assertEqual(message.body, (("device", "hello"), ("current", "1")))
        await self.street.alive(plugin)
        statuses = [m.get("status") for m in self.street.said_by(plugin, "hbeat.app")]
        self.assertEqual(statuses, sorted(statuses))
        self.assertEqual((statuses[0], statuses[-1]), ("0", "2"))

    async def test_ends_well_on_a_signal_and_says_good_bye_once(self) -> None:
        for signal in ("TERM", "INT"):
            self.street.messages.clear()
            plugin = self.run_plugin(GREETER)
            await self.street.alive(plugin)
            end = self.street.next(lambda message: message.schema == "hbeat.end")
            plugin.signal(signal)
            self.assertEqual(await plugin.ended, 0)
            await end
            self.assertEqual(len(self.street.said_by(plugin, "hbeat.end")), 1)

    async def test_obeys_the_order_to_stop_and_leaves_the_answer_to_the_manager(self) -> None:
        plugin = self.run_plugin(GREETER)
        await self.street.alive(plugin)
        self.street.say(CMND, "domogik.system", self.order(host="elsewhere"))
        self.street.say(CMND, "domogik.system", self.order(plugin="other"))
        self.street.say(CMND, "domogik.system", (*self.order(), ("type", "daemon")))
        self.street.say(CMND, "domogik.system", self.order())
        self.assertEqual(await plugin.ended, 0)
        self.assertEqual(plugin.output.count("says stop"), 1)
        self.assertEqual(self.street.said_by(plugin, "domogik.system"), [])

    async def test_obeys_an_order_to_all_plugins_of_its_host(self) -> None:
        plugin = self.run_plugin(GREETER)
        await self.street.alive(plugin)
        self.street.say(CMND, "domogik.system", self.order(plugin="*"))
        self.assertEqual(await plugin.ended, 0)

    async def test_stops_while_it_still_looks_for_the_hub(self) -> None:
        plugin = self.run_plugin(GREETER, environment={"XPL_PORT": "1"})
        await plugin.says("looking for the hub")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)

    @staticmethod
    def order(host: str = HOST, plugin: str = "hello") -> tuple[tuple[str, str], ...]:
        return (("command", "stop"), ("host", host), ("plugin", plugin))
