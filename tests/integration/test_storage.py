"""Values of plugins in a real database: kept, private, and never in the way of the reactor."""

import os
import sqlite3
import stat
import tempfile
import time
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from domogik.storage.database import BrokenDatabase, NewerDatabase
from domogik.storage.values import (
    ConfigStore,
    sqlite_url,
)

pytestmark = pytest.mark.integration


class ConfigStoreTests(TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.path = Path(temporary.name) / "data" / "domogik.db"
        self.stores: list[ConfigStore] = []
        self.addCleanup(lambda: gatherResults([store.close() for store in self.stores]))

    async def _open(self) -> ConfigStore:
        store = await ConfigStore.open(reactor, sqlite_url(self.path), time.time)
        self.stores.append(store)
        return store

    async def _fails(self, error: type[Exception], url: str | None = None) -> str:
        """What is said when the store cannot be opened; nothing is left running then."""
        caught = await self.assertFailure(
            ConfigStore.open(reactor, url or sqlite_url(self.path), time.time), error
        )
        return str(caught)

    async def test_the_time_of_the_last_change_is_kept(self) -> None:
        store = await self._open()
        before = reactor.seconds()
        await store.set("vm", "clock", "interval", "60")
        first = self._changed()
        self.assertTrue(before <= first <= reactor.seconds())
        await store.set("vm", "clock", "interval", "60")
        self.assertEqual(self._changed(), first)
        await store.set("vm", "clock", "interval", "61")
        self.assertGreater(self._changed(), first)

    def _changed(self) -> float:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute("SELECT changed FROM plugin_config").fetchone()[0]
        finally:
            connection.close()

    async def test_a_closed_store_says_so_at_once(self) -> None:
        store = await self._open()
        await store.close()
        error = await self.assertFailure(store.get("vm", "clock", "a"), BrokenDatabase)
        self.assertEqual(str(error), f"{self.path} is closed")

    async def test_file_and_directory_are_private(self) -> None:
        store = await self._open()
        await store.set("vm", "clock", "a", "1")
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        names = os.listdir(self.path.parent)
        self.assertIn("domogik.db-wal", names)
        for name in names:
            mode = stat.S_IMODE((self.path.parent / name).stat().st_mode)
            self.assertEqual(mode, 0o600, name)

    async def test_a_file_that_is_no_database_is_refused_with_its_path(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"this is a letter to my aunt, not a database" * 100)
        said = await self._fails(BrokenDatabase)
        self.assertIn(str(self.path), said)
        self.assertIn("not a database", said)
        self.assertTrue(self.path.read_bytes().startswith(b"this is a letter"))

    async def test_a_damaged_database_is_said_with_its_path(self) -> None:
        store = await self._open()
        for number in range(30):
            await store.set("vm", "clock", f"k{number}", "x" * 1000)
        await store.close()
        content = bytearray(self.path.read_bytes())
        content[4096:] = b"\xaa" * (len(content) - 4096)
        self.path.write_bytes(content)
        store = await self._open()
        error = await self.assertFailure(store.list(), BrokenDatabase)
        self.assertIn(f"{self.path}: ", str(error))

    async def test_a_database_of_a_later_domogik_is_refused(self) -> None:
        store = await self._open()
        await store.close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 1000")
        connection.close()
        self.assertIn("schema number 1000", await self._fails(NewerDatabase))

    async def test_a_place_that_cannot_be_written_is_said(self) -> None:
        self.path.parent.touch()
        self.assertIn(str(self.path), await self._fails(BrokenDatabase))

    async def test_the_reactor_goes_on_while_another_program_locks_the_database(self) -> None:
        store = await self._open()
        other = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        released: list[bool] = []

        def release() -> None:
            other.execute("COMMIT")
            released.append(True)

        reactor.callLater(0.05, release)
        await store.set("vm", "clock", "a", "1")
        self.assertEqual(released, [True])
