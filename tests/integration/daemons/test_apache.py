"""Apache itself, in a directory of its own."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from daemons.cases import processes_of
from daemons.web_cases import WebCases
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from world import is_gone

from domogik.daemons.apache import ApacheDaemon
from domogik.daemons.testing import running

pytestmark = pytest.mark.integration


class ApacheTests(WebCases, TestCase):
    daemon_class = ApacheDaemon
    said = "resuming normal operations"

    def add(self, daemon, text, name="more.conf"):
        path = daemon.get_config_dir() / name
        path.write_text(text)
        path.chmod(0o644)

    async def test_more_configuration_is_read_by_a_graceful_reload(self) -> None:
        daemon = await self.running(modules=["alias"])
        pid = daemon.get_pid()
        for word in ("one", "two", "three"):
            self.add(daemon, f"Redirect 302 /there /{word}\n")
            self.assertEqual(await daemon.graceful(), "Successfully gracefulled.")
            # the first answer after it, on a connection of its own, is the new one's
            status, _, headers = await deferToThread(self.get, daemon, "/there")
            self.assertEqual(status, 302)
            self.assertTrue(headers["Location"].endswith(f"/{word}"), headers)
        self.assertEqual(daemon.get_pid(), pid)

    async def test_a_broken_new_configuration_leaves_the_old_one_serving(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "one")
        pid = daemon.get_pid()
        self.add(daemon, "\nGopher on\n")
        await self.assert_refused(daemon.reload(), "Invalid command 'Gopher'", "line 2")
        self.assertEqual(daemon.get_pid(), pid)
        await self.assert_reads(daemon, "one")
        await daemon.stop()
        await self.assert_refused(daemon.start(), "Invalid command 'Gopher'")
        self.assertEqual(processes_of(self.directory), [])

    async def test_one_that_ends_over_its_new_configuration_says_why(self) -> None:
        daemon = await self.running()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.add(daemon, f"Listen 127.0.0.1:{port}\n")
            await self.assert_refused(daemon.reload(), "ended", str(port))
        self.add(daemon, "")
        await daemon.start_if_not_running()
        await self.wrote(daemon, "again")
        await self.assert_reads(daemon, "again")

    async def test_every_way_to_serve_in_parallel(self) -> None:
        for mpm in ("prefork", "worker"):
            daemon = await self.running(self.top / mpm, mpm=mpm, workers=3)
            await self.wrote(daemon, mpm)
            await self.assert_reads(daemon, mpm)
            await daemon.reload()
            await self.assert_reads(daemon, mpm)
            await daemon.stop()

    async def test_what_it_says_is_in_its_error_log_within_bounds(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "secret")
        (daemon.root / "what").chmod(0)
        os.chown(daemon.root / "what", 0, 0) if os.geteuid() == 0 else None
        status, _, _ = await deferToThread(self.get, daemon)
        self.assertEqual(status, 403)
        await daemon.stop()
        self.assertIn("Permission denied", daemon.get_error_log())
        self.assertEqual(len(daemon.get_error_log(10)), 10)

    async def test_whoever_of_it_stops_is_made_to_end(self) -> None:
        """A master that hears nothing, and its workers, which ignore every signal there is."""
        daemon = await self.running()
        family = processes_of(self.directory)
        os.kill(daemon.get_pid(), signal.SIGSTOP)
        await daemon.destroy()
        self.assertTrue(all(is_gone(one.pid) for one in family))

    def test_of_a_fixture_that_is_killed_nobody_is_waited_for(self) -> None:
        with running("apache", workers=1) as server:
            begun = time.monotonic()
            server.kill()
            server.start()
            # its workers hear nobody but their parent: they would be waited for for 20 seconds
            self.assertLess(time.monotonic() - begun, 10)

    async def test_a_module_that_is_not_there_is_named(self) -> None:
        for wrong in (["gopher"], ["rewrite\nUser root"], "rewrite", [3]):
            await self.assert_refused(
                self.make().configure(self.top / "other", **self.given({"modules": wrong})),
                "modules",
            )

    async def test_a_path_that_apache_would_read_otherwise_is_refused(self) -> None:
        for name in ("a*b", "a[b]", "a${PATH}b", "a\nb"):
            for directory, options in (
                (self.directory, {"root": str(self.top / name)}),
                (self.top / name, {}),
            ):
                await self.assert_refused(
                    self.make().configure(directory, **self.given(options)), "cannot be told"
                )
