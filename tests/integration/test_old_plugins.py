"""Plugins written for Domogik 0.2 and 0.3, as they are: their names, and what they count on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from textwrap import dedent

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from domogik.testing.harness import HOST, PluginHarness, PluginProcess
from domogik.xpl.codec.message import CMND, Message

HEAD = """\
    import threading
    from domogik.common.configloader import Loader
    from domogik.xpl.common.plugin import XplPlugin, XplResult
    from domogik.xpl.common.queryconfig import Query
    from domogik.xpl.common.xplconnector import Listener, XplTimer
    from domogik.xpl.common.xplmessage import XplMessage

    def message(kind, schema, **values):
        mess = XplMessage()
        mess.set_type(kind)
        mess.set_schema(schema)
        mess.add_data(values)
        return mess
"""

METER = """
    from domogik_packages.xpl.lib.meter import read_meter

    class Meter(XplPlugin):
        def __init__(self):
            XplPlugin.__init__(self, name='meter')
            self._config = Query(self.myxpl, self.log)
            self.factor = float(self._config.query('meter', 'factor'))
            if self._config.query('meter', 'nothing') is not None:
                self.force_leave()
                return
            self._listeners = [
                Listener(self.command, self.myxpl, {'schema': 'control.basic',
                         'xpltype': 'xpl-cmnd', 'type': ['output', 'pulse']}),
            ]
            self._timer = XplTimer(60, self.tell, self.myxpl)
            self._timer.start()
            self.enable_hbeat()
            self.log.info("Plugin ready :)")

        def tell(self):
            current = read_meter() * self.factor
            self.myxpl.send(message('xpl-stat', 'sensor.basic', device='meter', current=current))

        def command(self, mess):
            if 'device' in mess.data and mess.data.has_key('current'):
                self.myxpl.send(message('xpl-trig', 'sensor.basic', device=mess.data['device'],
                                        current=mess.data['current'].upper(),
                                        sender=mess.source_instance_id))

    if __name__ == "__main__":
        INST = Meter()
"""


class OldPlugins(TestCase):
    """A package's tree of 0.3, and its plugin in a process of its own."""

    timeout = 180

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.harness = PluginHarness(reactor, self.directory)
        self.harness.start()

    def tearDown(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.harness.stop())

    def start(
        self, source: str, name: str = "meter", values: dict[str, str] | None = None
    ) -> PluginProcess:
        script = self.directory / "src/domogik_packages/xpl/bin" / f"{name}.py"
        library = self.directory / "src/domogik_packages/xpl/lib/meter.py"
        for path, text in ((script, dedent(HEAD) + dedent(source)), (library, LIBRARY)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return self.harness.run(script, name, values)

    def from_plugin(self, schema: str, **values: str) -> Deferred[Message]:
        return self.harness.heard(
            lambda message: (
                message.schema == schema
                and message.source.startswith("domogik-meter.")
                and all(message.get(name) == value for name, value in values.items())
            )
        )

    async def test_takes_its_settings_from_dbmgr_sends_listens_and_ends_on_term(self) -> None:
        plugin = self.start(METER, values={"factor": "2"})
        told = await self.from_plugin("sensor.basic", device="meter")
        self.assertEqual(told.get("current"), "42.0")
        await self.harness.alive(plugin)
        self.harness.say(
            CMND, "control.basic", (("type", "other"), ("device", "a"), ("current", "x"))
        )
        self.harness.say(
            CMND, "control.basic", (("type", "Pulse"), ("device", "b"), ("current", "high"))
        )
        await self.from_plugin("sensor.basic", device="b", current="HIGH", sender=HOST)
        self.assertNotIn(
            "a", [m.get("device") for m in self.harness.said_by(plugin, "sensor.basic")]
        )
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)
        self.assertEqual(len(self.harness.said_by(plugin, "hbeat.end")), 1)
        self.assertIn("a new plugin uses domogik.plugin", plugin.output)

    async def test_obeys_the_message_to_stop_whatever_its_main_thread_waits_for(self) -> None:
        plugin = self.start("""
            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter', stop_cb=self.bye)
                    self.enable_hbeat(lock=True)

                def bye(self):
                    self.myxpl.send(message('xpl-trig', 'sensor.basic', device='bye'))

            Meter()
        """)
        await self.harness.alive(plugin)
        self.harness.say(
            CMND, "domogik.system", (("command", "stop"), ("host", HOST), ("plugin", "meter"))
        )
        await self.from_plugin("sensor.basic", device="bye")
        self.assertEqual(await plugin.ended, 0)

    async def test_a_thread_that_never_looks_at_the_stop_does_not_keep_it(self) -> None:
        plugin = self.start("""
            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter')
                    threading.Thread(target=threading.Event().wait).start()

            Meter()
        """)
        await self.harness.alive(plugin)
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)

    async def test_the_oldest_form_is_ready_when_its_constructor_returns(self) -> None:
        plugin = self.start(
            """
            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter')
                    query, res = Query(self._myxpl), XplResult()
                    query.query('meter', 'device', res)
                    query.query('meter', 'name', second := XplResult())
                    both = res.get_value()['device'] + second.get_value()['name']
                    self._myxpl.send(message('xpl-stat', 'sensor.basic', device=both))

            Meter()
            """,
            values={"device": "/dev/tty"},
        )
        await self.from_plugin("sensor.basic", device="/dev/ttyNone")
        await self.harness.alive(plugin)

    async def test_one_that_finds_no_settings_and_leaves_ends_well(self) -> None:
        plugin = self.start("""
            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter')
                    if Query(self.myxpl, self.log).query('meter', 'path-1') is None:
                        self.log.info("No path configured. Exiting plugin")
                        self.force_leave()
                        return
                    self.enable_hbeat()

            Meter()
        """)
        self.assertEqual(await plugin.ended, 0)

    async def test_one_whose_constructor_fails_or_exits_ends_with_that_status(self) -> None:
        for line, status in (("exit(3)", 3), ("exit('no modem')", 1), ("{}['missing']", 1)):
            plugin = self.start(f"""
                class Meter(XplPlugin):
                    def __init__(self):
                        XplPlugin.__init__(self, name='meter')
                        {line}

                Meter()
            """)
            self.assertEqual(await plugin.ended, status, line)

    async def test_a_message_that_xpl_does_not_allow_is_logged_and_it_goes_on(self) -> None:
        plugin = self.start("""
            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter')
                    self.myxpl.send(message('xpl-stat', 'sensor.basic', Device='upper'))
                    self.myxpl.send(message('xpl-stat', 'sensor.basic', device='good'))

            Meter()
        """)
        await self.from_plugin("sensor.basic", device="good")
        self.assertIn("not sent", plugin.output)

    async def test_told_to_end_before_a_hub_is_found_it_ends_well(self) -> None:
        plugin = self.start("""
            import os
            os.environ['XPL_PORT'] = '9'

            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter')

            Meter()
        """)
        await plugin.says("is looking for the hub")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)

    async def test_reload_calls_what_the_script_has_for_it(self) -> None:
        plugin = self.start("""
            class Meter(XplPlugin):
                def __init__(self):
                    XplPlugin.__init__(self, name='meter', reload_cb=self.reload)
                    self.enable_hbeat()

                def reload(self):
                    self.myxpl.send(message('xpl-trig', 'sensor.basic', device='reloaded'))

            Meter()
        """)
        await self.harness.alive(plugin)
        self.harness.say(
            CMND, "domogik.system", (("command", "reload"), ("host", HOST), ("plugin", "meter"))
        )
        await self.from_plugin("sensor.basic", device="reloaded")

    async def test_finds_its_own_files_through_the_configuration(self) -> None:
        (self.directory / "domogik.cfg").write_text(
            "[domogik]\nsrc_prefix = /x%y\n[meter]\na = b\n"
        )
        plugin = self.start("""
            main, section = Loader('meter').load()
            print(main['package_path'], main['src_prefix'], dict(section))
        """)
        self.assertEqual(await plugin.ended, 0)
        self.assertIn(f"{self.directory}/src /x%y {{'a': 'b'}}", plugin.output)


LIBRARY = """\
def read_meter():
    return 21
"""
