"""A plugin from its start to its end, with a clock that the test moves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.config.plugin_environment import PluginEnvironment
from domogik.plugin import CMND, STAT, TRIG, InvalidMessage, Message, Plugin, listen
from domogik.plugin.runtime import EXIT_TIMEOUT_S, PluginRuntime
from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.port import NetworkSettings, Port

SOURCE = "domogik-hello.vm"


class Reactor(Clock):
    """A clock that can be stopped, and that other threads can call."""

    stopped = False

    def stop(self) -> None:
        self.stopped = True

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        self.callLater(0, function, *args)


class Wire:
    """A socket that keeps what is sent; as a hub would, it gives back what it is told to."""

    address = ("127.0.0.1", 40000)

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        self.sent.append(decode(data))

    def close(self) -> None: ...


class LifeCase(SynchronousTestCase):
    def live(self, plugin: Plugin) -> PluginRuntime:
        self.reactor, self.wire, self.bus = Reactor(), Wire(), Bus()
        self.alarms: list[int] = []
        self.port = Port(self.reactor, NetworkSettings(), self.bus, Random(1), lambda *_: self.wire)
        runtime = PluginRuntime(
            plugin=plugin,
            has_work=type(plugin).work is not Plugin.work,
            environment=PluginEnvironment("hello", "vm", Path("/nowhere")),
            reactor=self.reactor,
            bus=self.bus,
            port=self.port,
            now=self.reactor.seconds,
            alarm=self.alarms.append,
        )
        runtime.start()
        return runtime

    def hub(self) -> None:
        """The hub gives back the newest heartbeat."""
        self.port.received(encode(self.heartbeats()[-1]), ("127.0.0.1", 3865))

    def heartbeats(self) -> list[Message]:
        return self.of("hbeat.app")

    def of(self, schema: str) -> list[Message]:
        return [message for message in self.wire.sent if message.schema == schema]

    def comes(
        self, schema: str, *body: tuple[str, str], target: str = "*", source: str = "acme-thing.x"
    ) -> None:
        message = Message(CMND, source, target, schema, body)
        self.port.received(encode(message), ("127.0.0.1", 3865))


class Beginning(LifeCase):
    def test_the_hub_is_found_before_anything_else_begins(self) -> None:
        told: list[str] = []

        class Hello(Plugin):
            async def started(self) -> None:
                told.append("started")

        self.live(Hello())
        self.reactor.advance(60)
        self.assertEqual((told, self.heartbeats()[-1].get("status")), ([], "0"))
        self.hub()
        self.assertEqual((told, self.heartbeats()[-1].get("status")), (["started"], "2"))

    def test_what_it_said_while_it_began_goes_when_it_is_ready(self) -> None:
        self.live(Plugin())
        told: list[str] = []
        self.patch(PluginRuntime, "notify", lambda _, text: told.append(text))
        self.hub()
        self.assertEqual(told, ["STATUS=configuring", "READY=1\nSTATUS="])

    def test_what_its_author_says_stays_when_it_is_ready(self) -> None:
        class Hello(Plugin):
            async def started(self) -> None:
                self.tell("two lamps\nfound")

        self.live(Hello())
        told: list[str] = []
        self.patch(PluginRuntime, "notify", lambda _, text: told.append(text))
        self.hub()
        self.assertEqual(told, ["STATUS=configuring", "STATUS=two lamps found", "READY=1"])

    def test_it_is_ready_only_when_started_is_done(self) -> None:
        configured: Deferred[None] = Deferred()

        class Hello(Plugin):
            async def started(self) -> None:
                await configured

        self.live(Hello())
        self.hub()
        self.assertEqual(self.heartbeats()[-1].get("status"), "1")
        configured.callback(None)
        self.assertEqual(self.heartbeats()[-1].get("status"), "2")

    def test_a_start_that_fails_ends_with_status_1(self) -> None:
        class Hello(Plugin):
            async def started(self) -> None:
                raise RuntimeError("no stick")

        runtime = self.live(Hello())
        self.hub()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.reactor.stopped, runtime.exit_status), (True, 1))
        self.assertEqual(len(self.of("hbeat.end")), 1)


class Living(LifeCase):
    def test_it_hears_what_is_meant_for_it(self) -> None:
        heard: list[str | None] = []

        class Hello(Plugin):
            @listen(type=CMND, schema="control.basic", body={"device": "lamp"})
            def switch(self, message: Message) -> None:
                heard.append(message.get("current"))

        self.live(Hello())
        self.hub()
        lamp = ("device", "lamp")
        self.comes("control.basic", lamp, ("current", "1"))
        self.comes("control.basic", lamp, ("current", "2"), target=SOURCE)
        self.comes("control.basic", lamp, ("current", "3"), target="domogik-other.vm")
        self.comes("control.basic", ("device", "fan"), ("current", "4"))
        self.comes("sensor.basic", lamp, ("current", "5"))
        self.assertEqual(heard, ["1", "2"])

    def test_a_slow_timer_is_not_called_again_before_it_is_done(self) -> None:
        calls: list[Deferred[None]] = []

        class Hello(Plugin):
            async def started(self) -> None:
                self.every(10, self.slow)

            async def slow(self) -> None:
                calls.append(Deferred())
                await calls[-1]

        self.live(Hello())
        self.hub()
        self.reactor.advance(35)
        self.assertEqual(len(calls), 1)
        calls[0].callback(None)
        self.reactor.advance(10)
        self.assertEqual(len(calls), 2)

    def test_a_message_that_xpl_cannot_say_is_the_callers_mistake(self) -> None:
        plugin = Plugin()
        self.live(plugin)
        with self.assertRaises(InvalidMessage):
            plugin.send(TRIG, "sensor.basic", {"device": "two\nlines"})
        with self.assertRaises(InvalidMessage):
            plugin.send("xpl-shout", "sensor.basic", {"device": "x"})

    def test_values_become_text_and_names_may_repeat(self) -> None:
        plugin = Plugin()
        self.live(plugin)
        plugin.send(STAT, "sensor.basic", [("output", 1), ("output", 2.5), ("output", None)])
        self.assertEqual(
            self.of("sensor.basic")[0].body,
            (("output", "1"), ("output", "2.5"), ("output", "None")),
        )

    def test_other_threads_send_through_the_reactor(self) -> None:
        plugin = Plugin()
        self.live(plugin)
        thread = threading.Thread(target=plugin.send, args=(STAT, "sensor.basic", {"current": 1}))
        thread.start()
        thread.join()
        self.assertEqual(self.of("sensor.basic"), [])
        self.reactor.advance(0)
        self.assertEqual(len(self.of("sensor.basic")), 1)


class Ending(LifeCase):
    def order(self, host: str = "vm", plugin: str = "hello", **more: str) -> None:
        body = {"command": "stop", "host": host, "plugin": plugin, **more}
        self.comes("domogik.system", *body.items())

    def test_only_an_order_for_this_plugin_on_this_host_is_obeyed(self) -> None:
        runtime = self.live(Plugin())
        self.order(host="other")
        self.order(host="*")
        self.order(plugin="other")
        self.order(type="unit")
        self.comes("domogik.system", ("command", "stop"))
        self.assertFalse(self.reactor.stopped)
        self.order(type="plugin")
        self.assertEqual((self.reactor.stopped, runtime.exit_status), (True, 0))
        self.assertEqual(len(self.of("hbeat.end")), 1)
        self.assertEqual(self.of("domogik.system"), [])

    def test_timers_and_listeners_end_and_the_last_word_may_still_be_said(self) -> None:
        told: list[str] = []

        class Hello(Plugin):
            async def started(self) -> None:
                self.every(1, told.append, "every", now=False)
                self.later(1, told.append, "later")
                self.listen(lambda _: told.append("heard"), schema="control.basic")

            async def stopping(self) -> None:
                self.send(TRIG, "sensor.basic", {"current": "off"})

        runtime = self.live(Hello())
        self.hub()
        runtime.stop()
        self.comes("control.basic", ("device", "x"))
        self.reactor.advance(5)
        self.assertEqual(told, [])
        ends = [message.schema for message in self.wire.sent[-2:]]
        self.assertEqual(ends, ["sensor.basic", "hbeat.end"])

    def test_nothing_is_said_after_the_end(self) -> None:
        plugin = Plugin()
        runtime = self.live(plugin)
        runtime.stop()
        plugin.send(STAT, "sensor.basic", {"current": 1})
        self.assertEqual(self.wire.sent[-1].schema, "hbeat.end")

    def test_a_farewell_without_end_is_given_up(self) -> None:
        class Hello(Plugin):
            async def stopping(self) -> None:
                await Deferred()

        runtime = self.live(Hello())
        runtime.stop()
        self.assertEqual((self.reactor.stopped, self.alarms), (False, [EXIT_TIMEOUT_S]))
        self.reactor.advance(4)
        self.assertTrue(self.reactor.stopped)
        self.assertEqual(len(self.of("hbeat.end")), 1)

    def test_a_farewell_that_fails_is_told_and_changes_nothing(self) -> None:
        class Hello(Plugin):
            async def stopping(self) -> None:
                raise RuntimeError("stuck")

        runtime = self.live(Hello())
        runtime.stop()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.reactor.stopped, runtime.exit_status), (True, 0))

    def test_a_stop_while_it_starts_interrupts_the_start(self) -> None:
        class Hello(Plugin):
            async def started(self) -> None:
                await Deferred()

        runtime = self.live(Hello())
        self.hub()
        runtime.stop()
        self.assertEqual((self.reactor.stopped, runtime.exit_status), (True, 0))
        self.assertNotIn("2", [message.get("status") for message in self.heartbeats()])

    def test_it_may_end_itself_at_any_moment(self) -> None:
        class Hello(Plugin):
            async def started(self) -> None:
                self.stop(3)

        runtime = self.live(Hello())
        self.hub()
        self.assertEqual((self.reactor.stopped, runtime.exit_status), (True, 3))
        self.assertNotIn("2", [message.get("status") for message in self.heartbeats()])
