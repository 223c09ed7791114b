"""Values of plugins on PostgreSQL, which may be restarted; no sentence holds a password."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.postgres.daemon import PostgresDaemon
from domogik.storage import postgresql
from domogik.storage.database import BrokenDatabase, NewerDatabase, UnsupportedDatabase
from domogik.storage.postgresql import MIGRATIONS, PostgresqlDatabase, migrate
from domogik.storage.values import ConfigStore

pytestmark = pytest.mark.integration
PASSWORD = "geheim @:/%41"


class PostgresqlStoreTests(TestCase):
    async def setUp(self) -> None:
        top = Path(tempfile.mkdtemp(prefix="domogik-store-"))
        top.chmod(0o711)
        self.addCleanup(shutil.rmtree, top)
        self.daemon = PostgresDaemon(reactor)
        await self.daemon.configure(
            top / "postgres",
            password=PASSWORD,
            run_as="nobody" if os.geteuid() == 0 else None,
            fsync=False,
        )
        self.addCleanup(self.daemon.destroy)
        await self.daemon.start()

    async def _open(self) -> ConfigStore:
        store = await ConfigStore.open(reactor, self.daemon.url, time.time)
        self.addCleanup(store.close)
        return store

    async def _fails(self, error: type[Exception], url: str) -> str:
        said = str(await self.assertFailure(ConfigStore.open(reactor, url, time.time), error))
        self.assertNotIn("geheim", said)
        self.assertNotIn("\n", said)
        return said

    async def test_it_goes_on_after_the_server_was_started_again(self) -> None:
        store = await self._open()
        await store.set("vm", "clock", "a", "1")
        await self.daemon.stop()
        error = await self.assertFailure(store.get("vm", "clock", "a"), BrokenDatabase)
        self.assertIn(f"postgresql://127.0.0.1:{self.daemon.get_port()}/postgres", str(error))
        self.assertNotIn("geheim", str(error))
        await self.daemon.start()
        self.assertEqual(await store.get("vm", "clock", "a"), "1")
        await self.daemon.stop()
        await self.daemon.start()
        await store.set("vm", "clock", "a", "2")
        self.assertEqual(await store.get("vm", "clock", "a"), "2")

    async def test_what_is_wrong_is_said_without_the_password(self) -> None:
        url = self.daemon.url
        said = await self._fails(BrokenDatabase, url.replace("geheim", "geheimnis"))
        self.assertIn("password authentication failed", said)
        said = await self._fails(BrokenDatabase, url.removesuffix("postgres") + "nowhere")
        self.assertIn('database "nowhere" does not exist', said)
        await self._fails(UnsupportedDatabase, "postgresql://ann:geheim%zz@127.0.0.1/house")
        await self._fails(UnsupportedDatabase, "postgresql://ann:geheim@[::1/house")
        await self.daemon.stop()
        said = await self._fails(BrokenDatabase, url)
        self.assertIn("refused", said)

    async def test_a_step_that_fails_leaves_everything_as_it_was(self) -> None:
        store = await self._open()
        await store.set("vm", "clock", "a", "1")
        database = await PostgresqlDatabase.open(reactor, self.daemon.url)
        self.addCleanup(lambda: Deferred.fromCoroutine(database.close()))
        steps = (*MIGRATIONS, ("CREATE TABLE b (x INTEGER)", "NONSENSE"))
        with self.assertRaisesRegex(BrokenDatabase, "syntax error"):
            await database.run(lambda connection: migrate(connection, "", steps))
        await database.run(lambda connection: migrate(connection, ""))
        await database.run(lambda connection: migrate(connection, "", (*steps[:-1], steps[-1][:1])))
        with self.assertRaisesRegex(
            NewerDatabase, f"schema number {len(steps)}, .* {len(MIGRATIONS)}"
        ):
            await database.run(lambda connection: migrate(connection, ""))
        await self._fails(NewerDatabase, self.daemon.url)
        self.assertEqual(await store.get("vm", "clock", "a"), "1")

    async def test_who_waits_for_another_program_is_told_in_the_end(self) -> None:
        """And the reactor goes on meanwhile."""
        self.patch(postgresql, "_TIMEOUT_S", 1)
        store = await self._open()
        with psycopg.connect(self.daemon.url) as other:
            await deferToThread(other.execute, "LOCK TABLE domogik.plugin_config")
            error = await self.assertFailure(store.set("vm", "clock", "a", "1"), BrokenDatabase)
        self.assertIn("lock timeout", str(error))
        await store.set("vm", "clock", "a", "1")


def test_a_missing_psycopg_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("psycopg", "psycopg.conninfo"):
        monkeypatch.setitem(sys.modules, name, None)
    database = postgresql.PostgresqlDatabase(reactor, "postgresql://ann:geheim@db/house")
    with pytest.raises(UnsupportedDatabase, match=r"domogik\[postgresql\]"):
        database._parse_url()
