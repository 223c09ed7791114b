"""The sequence of the managed daemons' documentation, for every kind, as a program of unittest.

It needs nothing but the package; `test_documented.py` runs it as several users.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path
from typing import Any

from domogik.daemons.kinds import daemon_class


def importable(library: str) -> bool:
    """Whether it is here, with all that it needs itself."""
    try:
        importlib.import_module(library)
    except ImportError:
        return False
    return True


#: for a small and quick one
OPTIONS: dict[str, dict[str, Any]] = {"apache": {"workers": 1}, "nginx": {"workers": 1}}
#: the kinds that have a client, where its library can be imported
CLIENTS = {kind for kind, name in (("redis", "redis"), ("rabbitmq", "pika")) if importable(name)}
AWAY = "Not running, no action taken."


class Documented(unittest.IsolatedAsyncioTestCase):
    """Configure, start, look, use, stop, start again, destroy."""

    def setUp(self) -> None:
        place = Path(tempfile.mkdtemp(prefix="documented-"))
        place.chmod(0o711)  # the server may run as another user
        self.addCleanup(shutil.rmtree, place)
        self.directory = place / "instance"

    async def asyncSetUp(self) -> None:
        self.daemon: Any = None

    async def asyncTearDown(self) -> None:
        if self.daemon is not None and self.directory.exists():
            await self.daemon.destroy()

    async def sequence(self, kind: str) -> None:
        self.daemon = daemon = daemon_class(kind)()
        told: list[str] = []
        failed: list[tuple[str, Exception]] = []
        outcome = {"callback": told.append, "error_callback": lambda *why: failed.append(why)}
        options = OPTIONS.get(kind, {})
        await daemon.configure(self.directory, **outcome, **options)
        self.assertEqual(failed, [])
        written = json.loads((self.directory / "service.json").read_text())
        self.assertEqual(written["port"], daemon.get_port())
        self.assertFalse(daemon.is_running())
        self.assertIsNone(daemon.get_pid())
        await daemon.start(**outcome)
        self.assertEqual((told[1:], failed), (["In appropriate state."], []))
        self.assertTrue((self.directory / "service.conf").is_file())
        self.assertTrue(daemon.is_running())
        pid = daemon.get_pid()
        if daemon.get_pid_path().exists() and kind != "rabbitmq":  # whose first process is a script
            self.assertEqual(int(daemon.get_pid_path().read_text().split()[0]), pid)
        self.assertEqual(await daemon.start_if_not_running(), "Already running.")
        if kind in CLIENTS:
            daemon.get_client().close()
        other = daemon_class(kind)()
        other.load_parameters(self.directory)
        self.assertEqual((other.is_running(), other.get_pid()), (True, pid))
        self.assertEqual(await daemon.stop(), "Process has finished.")
        self.assertFalse(daemon.is_running() or other.is_running())
        self.assertEqual(await daemon.stop(), AWAY)
        self.assertEqual(await daemon.start_if_not_running(), "In appropriate state.")
        self.assertNotEqual(daemon.get_pid(), pid)
        await daemon.destroy()
        self.assertFalse(self.directory.exists())

    async def test_redis(self) -> None:
        await self.sequence("redis")

    async def test_postgres(self) -> None:
        await self.sequence("postgres")

    async def test_mysql(self) -> None:
        await self.sequence("mysql")

    async def test_nginx(self) -> None:
        await self.sequence("nginx")

    async def test_apache(self) -> None:
        await self.sequence("apache")

    async def test_rabbitmq(self) -> None:
        await self.sequence("rabbitmq")

    async def test_mosquitto(self) -> None:
        await self.sequence("mosquitto")


if __name__ == "__main__":
    os.umask(0o022)
    unittest.main()
