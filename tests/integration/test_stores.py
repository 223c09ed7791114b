"""What a store of values promises, kept in both kinds of database."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.components.model import ConfigValue
from domogik.daemons.postgres.daemon import PostgresDaemon
from domogik.storage.database import BrokenDatabase
from domogik.storage.values import MAXIMUM_VALUE, ConfigStore, InvalidConfigValue, sqlite_url

pytestmark = pytest.mark.integration


class StoreContract:
    """`url` names an empty database."""

    url: str

    def _begin(self) -> None:
        self.stores: list[ConfigStore] = []
        self.addCleanup(lambda: gatherResults([store.close() for store in self.stores]))

    async def _open(self) -> ConfigStore:
        store = await ConfigStore.open(reactor, self.url, time.time)
        self.stores.append(store)
        return store

    async def test_a_value_is_there_after_a_restart(self) -> None:
        store = await self._open()
        self.assertEqual(
            await store.set("vm", "clock", "interval", "60"),
            ConfigValue("vm", "clock", "interval", "60"),
        )
        await store.close()
        store = await self._open()
        self.assertEqual(await store.get("vm", "clock", "interval"), "60")

    async def test_what_was_never_set_has_no_value(self) -> None:
        store = await self._open()
        self.assertIsNone(await store.get("vm", "clock", "interval"))
        self.assertEqual(await store.list(), [])

    async def test_a_value_set_again_is_replaced(self) -> None:
        store = await self._open()
        await store.set("vm", "clock", "interval", "60")
        await store.set("vm", "clock", "interval", "30")
        self.assertEqual(await store.list(), [ConfigValue("vm", "clock", "interval", "30")])

    async def test_an_empty_value_deletes(self) -> None:
        store = await self._open()
        await store.set("vm", "clock", "interval", "60")
        self.assertEqual(
            await store.set("vm", "clock", "interval", ""),
            ConfigValue("vm", "clock", "interval", ""),
        )
        self.assertIsNone(await store.get("vm", "clock", "interval"))

    async def test_values_are_listed_by_host_plugin_and_key_in_order(self) -> None:
        store = await self._open()
        values = [
            ConfigValue(host, plugin, key, f"{host}{plugin}{key}")
            for host in ("attic", "vm")
            for plugin in ("clock", "ping")
            for key in ("a", "b")
        ]
        for value in reversed(values):
            await store.set(value.host, value.plugin, value.key, value.value)
        self.assertEqual(await store.list(), values)
        self.assertEqual(await store.list("vm"), values[4:])
        self.assertEqual(await store.list("vm", "ping"), values[6:])
        self.assertEqual(await store.list(plugin="ping", key="b"), [values[3], values[7]])
        self.assertEqual(await store.list("cellar"), [])

    async def test_deleting_tells_what_was_there(self) -> None:
        store = await self._open()
        for key in ("b", "a", "c"):
            await store.set("vm", "clock", key, "1")
        await store.set("vm", "ping", "a", "1")
        self.assertEqual(
            await store.delete("vm", "clock", "b"), [ConfigValue("vm", "clock", "b", "1")]
        )
        self.assertEqual(await store.delete("vm", "clock", "b"), [])
        self.assertEqual(
            await store.delete("vm", "clock"),
            [ConfigValue("vm", "clock", "a", "1"), ConfigValue("vm", "clock", "c", "1")],
        )
        self.assertEqual(await store.list(), [ConfigValue("vm", "ping", "a", "1")])

    async def test_any_text_comes_back_as_it_was(self) -> None:
        store = await self._open()
        for text in ("'; DROP TABLE plugin_config; --", "50% {a}", "Küche ☂", "a\nb", "x" * 65536):
            await store.set("vm", "clock", "text", text)
            self.assertEqual(await store.get("vm", "clock", "text"), text)

    async def test_names_and_values_out_of_bounds_are_refused(self) -> None:
        store = await self._open()
        for names in (("", "clock", "a"), ("vm", "", "a"), ("vm", "clock", ""), ("vm", "x", "a\n")):
            await self.assertFailure(store.set(*names, "1"), InvalidConfigValue)
        for value in ("x" * (MAXIMUM_VALUE + 1), "\ud800"):
            await self.assertFailure(store.set("vm", "clock", "a", value), InvalidConfigValue)
        await self.assertFailure(store.get("vm", "clock", "\ud800"), InvalidConfigValue)
        self.assertEqual(await store.list(), [])

    async def test_what_is_asked_at_the_same_time_is_done_in_that_order(self) -> None:
        store = await self._open()
        await gatherResults(
            [store.set("vm", "clock", "interval", str(number)) for number in range(50)]
        )
        self.assertEqual(await store.get("vm", "clock", "interval"), "49")

    async def test_closing_finishes_what_was_asked_before(self) -> None:
        store = await self._open()
        written = [store.set("vm", "clock", f"k{number}", "1") for number in range(50)]
        closed = gatherResults([store.close(), store.close()])
        await gatherResults(written)
        await closed
        store = await self._open()
        self.assertEqual(len(await store.list()), 50)

    async def test_two_programs_may_use_one_database(self) -> None:
        one, other = await self._open(), await self._open()
        for number in range(25):  # each waits for one write of the other: a disk may be slow
            await gatherResults(
                [
                    store.set("vm", name, f"k{number}", "1")
                    for name, store in (("one", one), ("other", other))
                ]
            )
        self.assertEqual(len(await one.list()), 50)

    async def test_a_closed_store_says_so_at_once(self) -> None:
        store = await self._open()
        await store.close()
        error = await self.assertFailure(store.get("vm", "clock", "a"), BrokenDatabase)
        self.assertIn("is closed", str(error))

    async def test_a_whole_one_passes_its_check(self) -> None:
        store = await self._open()
        await store.set("vm", "clock", "a", "1")
        await store.check()


class TestSqlite(StoreContract, TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.url = sqlite_url(Path(temporary.name) / "data" / "domogik.db")
        self._begin()


class TestPostgresql(StoreContract, TestCase):
    """One server for all of them, and a database for each."""

    top: ClassVar[Path | None] = None
    daemon: ClassVar[PostgresDaemon]
    pid: ClassVar[int]

    async def setUp(self) -> None:
        if self.top is None:
            await self._start_server()
        name = f"house_{self._testMethodName}"[:60]
        await deferToThread(self._execute, f"CREATE DATABASE {name}")
        self.url = self.daemon.url.removesuffix("postgres") + name
        self._begin()

    @classmethod
    async def _start_server(cls) -> None:
        cls.top = Path(tempfile.mkdtemp(prefix="domogik-store-"))
        cls.top.chmod(0o711)
        cls.daemon = PostgresDaemon(reactor)
        await cls.daemon.configure(
            cls.top / "postgres",
            password="it's \\ a: @/%41 secret",
            run_as="nobody" if os.geteuid() == 0 else None,
            fsync=False,
        )
        await cls.daemon.start()
        pid = cls.daemon.get_pid()
        assert pid is not None
        cls.pid = pid
        cls.daemon.release_processes()

    @classmethod
    def tearDownClass(cls) -> None:
        if cls.top is not None:
            os.kill(cls.pid, signal.SIGQUIT)
            os.waitpid(cls.pid, 0)
            shutil.rmtree(cls.top)
            cls.top = None

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.daemon.url, autocommit=True) as connection:
            connection.execute(statement)
