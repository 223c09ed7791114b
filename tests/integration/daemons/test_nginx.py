"""nginx itself, in a directory of its own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from daemons.cases import processes_of
from daemons.web_cases import WebCases
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.nginx.daemon import NginxDaemon, NginxDaemonError

pytestmark = pytest.mark.integration


WHOLE = """\
events {{ worker_connections 32; }}
http {{
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{word}\\n"; }}
    }}
}}
"""


class NginxTests(WebCases, TestCase):
    daemon_class = NginxDaemon
    said = "/nowhere"

    async def configured_whole(self):
        return await self.say(await self.configured(), "one")

    async def say(self, daemon, word):
        text = WHOLE.format(port=daemon.get_port(), word=word)
        await daemon.configure(self.directory, **self.given({"config_file_string": text}))
        return daemon

    async def test_a_whole_configuration_is_served_and_reloaded(self) -> None:
        daemon = await self.configured_whole()
        await daemon.start()
        self.assertEqual((await deferToThread(self.get, daemon))[1], "one\n")
        pid = daemon.get_pid()
        for word in ("two", "three", "four"):
            await self.say(daemon, word)
            await daemon.reload()
            # the first answer after it, on a connection of its own, is the new one's
            self.assertEqual((await deferToThread(self.get, daemon))[1], f"{word}\n")
        self.assertEqual(daemon.get_pid(), pid)
        self.assertEqual(int(daemon.get_pid_path().read_text()), pid)
        for process in processes_of(self.directory):
            for file in process.open_files():
                self.assertTrue(Path(file.path).is_relative_to(self.directory), file)

    async def test_a_file_with_a_whole_configuration_is_read_at_each_reload(self) -> None:
        daemon = await self.configured()
        path = self.top / "site.conf"
        path.write_text(WHOLE.format(port=daemon.get_port(), word="one"))
        await daemon.configure(self.directory, **self.given({"config_file": str(path)}))
        await daemon.start()
        path.write_text(WHOLE.format(port=daemon.get_port(), word="two"))
        await daemon.reload()
        self.assertEqual((await deferToThread(self.get, daemon))[1], "two\n")
        path.unlink()
        await self.assert_refused(daemon.reload(), str(path))

    async def test_two_ports_are_refused(self) -> None:
        operation = self.make().configure(self.directory, 8001, port=8002)
        await self.assert_refused(operation, "two ports were given")

    async def test_a_broken_new_configuration_leaves_the_old_one_serving(self) -> None:
        daemon = await self.configured_whole()
        await daemon.start()
        good = (self.directory / "service.conf").read_text()
        await daemon.configure(
            self.directory, **self.given({"config_file_string": "\n\n   gopher on;"})
        )
        error = await self.assert_refused(daemon.reload(), 'unknown directive "gopher"', ":3")
        self.assertIn("-t", error.command)
        self.assertEqual(error.exit_status, 1)
        self.assertEqual((self.directory / "service.conf").read_text(), good)
        self.assertFalse((self.directory / ".service.conf.new").exists())
        self.assertEqual((await deferToThread(self.get, daemon))[1], "one\n")
        await daemon.stop()
        await self.assert_refused(daemon.start(), 'unknown directive "gopher"')
        self.assertEqual(processes_of(self.directory), [])

    async def test_a_new_configuration_that_cannot_be_served_is_told_in_nginxs_words(self) -> None:
        daemon = await self.configured_whole()
        await daemon.start()
        good = (self.directory / "service.conf").read_text()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = WHOLE.format(port=f"{daemon.get_port()}; listen 127.0.0.1:{port}", word="two")
            await daemon.configure(self.directory, **self.given({"config_file_string": text}))
            error = await self.assert_refused(daemon.reload(), "old configuration", str(port))
            self.assertIn("Address already in use", str(error))
        self.assertEqual((self.directory / "service.conf").read_text(), good)
        self.assertEqual((await deferToThread(self.get, daemon))[1], "one\n")

    async def test_a_port_can_change_without_a_restart(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        before, pid = daemon.get_port(), daemon.get_pid()
        daemon._reservation = daemon.tools.ports.reserve("127.0.0.1")
        port = daemon._reservation.port
        await daemon.configure(self.directory, **self.given({"port": port}))
        await daemon.reload()
        self.assertEqual(daemon.get_pid(), pid)
        await self.assert_reads(daemon, "kept")
        self.assertNotEqual(before, daemon.get_port())

    async def test_more_directives_for_its_server_and_for_all(self) -> None:
        daemon = await self.running(
            server='location /hello { return 200 "$greeting"; }',
            http='map $request_method $greeting { default "hello"; }',
        )
        self.assertEqual((await deferToThread(self.get, daemon, "/hello"))[1], "hello")

    async def test_the_callers_own_files_may_be_there_and_stay_as_they_are(self) -> None:
        self.directory.mkdir()
        page = self.directory / "index.html"
        page.write_text("mine")
        daemon = await self.configured(root=str(self.directory))
        await daemon.start()
        self.assertEqual((await deferToThread(self.get, daemon, "/index.html"))[1], "mine")
        await daemon.destroy()
        self.assertEqual(list(self.directory.iterdir()), [page])
        self.assertEqual(page.read_text(), "mine")
        (self.directory / "www").mkdir()
        await self.assert_refused(
            self.make().configure(self.directory, **self.given({})), "www", "move it away"
        )

    async def test_the_originals_order_of_arguments_is_understood(self) -> None:
        text = WHOLE.format(port=1, word="one")
        daemon = self.make()
        await daemon.configure(self.directory, None, text, run_as=self.run_as)
        self.assertEqual(daemon.option("config_file_string"), text)
        await daemon.configure(self.directory, daemon.get_port(), "127.0.0.2", run_as=self.run_as)
        self.assertEqual(daemon.parameters.host, "127.0.0.2")

    async def test_a_configuration_that_leaves_the_foreground_is_refused(self) -> None:
        await self.assert_refused(
            self.make().configure(self.directory, config_file_string="daemon on;"), "daemon on"
        )

    async def test_a_root_that_is_a_variable_is_refused(self) -> None:
        for directory, options in ((self.directory, {"root": "/$host"}), (self.top / "$host", {})):
            await self.assert_refused(
                self.make().configure(directory, **self.given(options)), "$host"
            )

    async def test_its_workers_can_read_what_belongs_to_it(self) -> None:
        """Also as root, without `run_as`: nginx would make its workers `nobody`'s."""
        daemon = await self.running()
        self.write(daemon, "mine")
        (daemon.root / "what").chmod(0o600)
        await self.assert_reads(daemon, "mine")

    async def test_errors_are_of_its_own_kind(self) -> None:
        self.assertTrue(issubclass(NginxDaemonError, ManagedDaemonError))
