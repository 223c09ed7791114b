"""PostgreSQL itself, in a directory of its own."""

from __future__ import annotations

import hashlib
import json

import psycopg
import pytest
from daemons.cases import ManagedDaemonCases
from psycopg import sql
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.postgres import PostgresDaemon

HOUSE = "it's a \\ \"house"
pytestmark = pytest.mark.integration


class PostgresCases(ManagedDaemonCases):
    daemon_class = PostgresDaemon
    options = {"fsync": False, "shared_buffers": "1MB", "max_connections": 20}
    small_disk = "120m"

    def connect(self, daemon, **more):
        given = {"host": daemon.parameters.reachable_host, "port": daemon.get_port()}
        given |= {"user": "postgres", "password": daemon.parameters.password, "dbname": "postgres"}
        return psycopg.connect(**{**given, **more}, connect_timeout=30, autocommit=True)

    def write(self, daemon, text):
        with self.connect(daemon) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS it (what text)")
            connection.execute("DELETE FROM it")
            connection.execute("INSERT INTO it VALUES (%s)", (text,))

    def read(self, daemon):
        with self.connect(daemon) as connection:
            [(text,)] = connection.execute("SELECT what FROM it").fetchall()
            return text

    def read_without_password(self, daemon):
        with self.connect(daemon, password="") as connection:
            [(text,)] = connection.execute("SELECT what FROM it").fetchall()
            return text


class PostgresTests(PostgresCases, TestCase):
    timeout = 120

    async def test_a_missing_program_is_named(self) -> None:
        operation = self.make().configure(self.directory, **self.given({"binaries": "/nowhere"}))
        await self.assert_refused(operation, "/nowhere/postgres")

    async def _mixture(self, daemon) -> None:
        """Some of everything."""

        def fill() -> None:
            with self.connect(daemon) as connection:
                connection.execute("""CREATE ROLE "o'wner" LOGIN PASSWORD 'pw'""")
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(HOUSE), sql.Identifier("o'wner")
                    )
                )
            with self.connect(daemon, dbname=HOUSE) as connection:
                connection.execute('CREATE TABLE "Ünï" (id serial PRIMARY KEY, it text, at float)')
                for number in range(100):
                    connection.execute(
                        'INSERT INTO "Ünï" (it, at) VALUES (%s, %s)', (f"☃{number}\n", 0.1 * number)
                    )
                connection.execute('CREATE MATERIALIZED VIEW seen AS SELECT sum(id) FROM "Ünï"')
                connection.execute("CREATE TABLE parts (n int) PARTITION BY RANGE (n)")
                connection.execute("CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (9)")
                connection.execute("INSERT INTO parts VALUES (1), (2)")

        await deferToThread(fill)

    async def test_what_was_backed_up_comes_back(self) -> None:
        daemon = await self.running(password="first ' \\ : one")
        await self.wrote(daemon, "kept")
        await self._mixture(daemon)
        backup = self.top / "backup"
        await daemon.backup(backup)
        await self.wrote(daemon, "changed")
        await daemon.configure(self.directory, **self.given({"password": "second"}))
        await daemon.restore(backup)
        await self.assert_reads(daemon, "kept")

        def look() -> tuple:
            with self.connect(daemon, dbname=HOUSE) as connection:
                [found] = connection.execute('SELECT count(*), max(it) FROM "Ünï"').fetchall()
                [(following,)] = connection.execute(
                    "SELECT nextval(pg_get_serial_sequence('\"Ünï\"', 'id'))"
                ).fetchall()
                return (*found, following)

        self.assertEqual(await deferToThread(look), (100, "☃99\n", 101))
        self.assertEqual(sorted(self.directory.glob(".p*")), [])
        other = await self.configured(self.top / "other")
        await other.restore(backup)
        self.assertFalse(other.is_running())
        await other.start()
        await self.assert_reads(other, "kept")

    async def test_a_backup_with_another_content_is_not_taken_and_the_data_stay(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        backup = self.top / "backup"
        await daemon.backup(backup)
        magic, line, payload = backup.read_bytes().split(b"\n", 2)
        for manifest, content, words in (
            (line.replace(b'"rows": 1', b'"rows": 2'), payload, "not what went in"),
            (None, payload.replace(b"kept", b"KEPT"), "not what went in"),
            (None, payload.replace(b"CREATE TABLE", b"CREATE TABEL"), "syntax error"),
        ):
            found = json.loads(manifest or line)
            found["sha256"] = hashlib.sha256(content).hexdigest()
            backup.write_bytes(b"\n".join((magic, json.dumps(found).encode(), content)))
            await self.assert_refused(daemon.restore(backup), words)
            await self.assert_reads(daemon, "kept")
