"""PostgreSQL itself, in a directory of its own."""

from __future__ import annotations

import psycopg
import pytest
from daemons.cases import ManagedDaemonCases
from twisted.trial.unittest import TestCase

from domogik.daemons.postgres import PostgresDaemon

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
