"""PostgreSQL itself, in a directory of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess

import psycopg
import pytest
from daemons.cases import ManagedDaemonCases, until
from psycopg import sql
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.core.errors import NotReady
from domogik.daemons.core.processes_in_directory import ProcessesInDirectory
from domogik.daemons.postgres.daemon import PostgresDaemon, PostgresDaemonError
from domogik.daemons.postgres.wire import Login, Refused, Session

HOUSE = "it's a \\ \"house"
pytestmark = pytest.mark.integration


class PostgresCases(ManagedDaemonCases):
    daemon_class = PostgresDaemon
    options = {"fsync": False, "shared_buffers": "1MB", "max_connections": 20}
    small_disk = "120m"

    async def _end_all(self) -> None:
        """By a signal that a server hears: one that is killed leaves shared memory behind."""
        for daemon in self.known:
            with contextlib.suppress(PostgresDaemonError, ProcessLookupError):
                if (pid := daemon.get_pid()) is not None:
                    os.kill(pid, signal.SIGQUIT)
                    await until(lambda it=daemon: not it.is_running())
        await super()._end_all()

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

    # What only PostgreSQL can do

    async def test_data_of_another_release_are_refused_and_both_are_named(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        await daemon.stop()
        copy = self.top / "copy"
        await deferToThread(subprocess.run, ["cp", "-a", str(self.directory), str(copy)])
        path = copy / "data" / "PG_VERSION"
        good = path.read_text()
        path.write_text("9.6\n")
        other = self.known_at(copy)
        here = daemon.programs.version
        await self.assert_refused(other.start(), "PostgreSQL 9.6", here, "install", "back them up")
        path.unlink()
        await self.assert_refused(other.start(), "PG_VERSION is missing")
        path.write_text(good)
        await other.start()
        await self.assert_reads(other, "kept")

    async def test_a_password_is_changed_while_it_runs_and_while_it_does_not(self) -> None:
        daemon = await self.running(password="first")
        await daemon.configure(self.directory, **self.given({"password": "se'cond ☃"}))
        await self.wrote(daemon, "kept")
        await daemon.stop()
        for password in ("third", "fourth"):
            await daemon.configure(self.directory, **self.given({"password": password}))
        await daemon.start()
        await self.assert_reads(daemon, "kept")
        self.assertEqual(daemon.parameters.password, "fourth")
        await daemon.configure(self.directory, **self.given({}))
        self.assertEqual(daemon.parameters.password, "fourth")
        self.assertFalse((self.directory / ".former-password").exists())
        for wrong in ("first", "third"):
            with self.assertRaises(psycopg.OperationalError):
                await deferToThread(self.connect, daemon, password=wrong)

    async def test_a_password_that_was_changed_behind_our_back_is_told(self) -> None:
        daemon = await self.running()

        def change() -> None:
            with self.connect(daemon) as connection:
                connection.execute("ALTER ROLE postgres PASSWORD 'other'")

        await deferToThread(change)
        await daemon.stop()
        await self.assert_refused(daemon.start(), "password authentication failed")
        self.assertFalse(daemon.is_running())

    async def test_one_without_a_given_password_is_not_open(self) -> None:
        daemon = await self.running()
        self.assertGreater(len(daemon.parameters.password), 20)
        for way in ({}, {"host": str(self.directory / "socket")}):
            with self.assertRaisesRegex(psycopg.OperationalError, "password"):
                await deferToThread(self.connect, daemon, **{**way, "password": ""})
        self.assertEqual((self.directory / "socket").stat().st_mode & 0o777, 0o700)

    async def test_who_is_connected_does_not_hold_up_a_stop(self) -> None:
        daemon = await self.running()
        connection = await deferToThread(self.connect, daemon)
        self.assertEqual(await daemon.stop(), "Process has finished.")
        with self.assertRaises(psycopg.OperationalError):
            await deferToThread(connection.execute, "SELECT 1")
        connection.close()
        with open(self.directory / "log" / "postgres.log") as log:
            said = log.read()
        self.assertIn("received fast shutdown request", said)
        self.assertNotIn("canceling statement", said)

    async def test_a_session_that_goes_on_after_the_server_was_killed_is_ended(self) -> None:
        """It would keep the next server from the data."""
        daemon = await self.running()
        connection = await deferToThread(self.connect, daemon)
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        os.kill(daemon.get_pid(), signal.SIGKILL)
        await until(lambda: not daemon.is_running())
        data = ProcessesInDirectory(self.directory / "data", "postgres")
        self.assertIn(pid, [identity.pid for identity in data.found()])
        await daemon.start()
        self.assertNotIn(pid, [identity.pid for identity in data.found()])
        await self.wrote(daemon, "one")
        connection.close()

    async def test_a_server_that_somebody_else_started_on_the_data_is_left_alone(self) -> None:
        daemon = await self.running()
        for record in (self.directory / "run").iterdir():
            record.unlink()
        pid = int(daemon.get_pid_path().read_text().split()[0])
        other = self.known_at(self.directory)
        self.assertFalse(other.is_running())
        await self.assert_refused(other.start(), f"process {pid} serves the data")
        await self.assert_refused(other.destroy(), f"process {pid} serves the data")
        os.kill(pid, signal.SIGQUIT)
        await until(lambda: not ProcessesInDirectory(self.directory / "data", "postgres").found())

    async def test_settings_of_a_person_are_checked_before_they_count(self) -> None:
        daemon = await self.running(settings=["work_mem = 7MB"])

        def work_mem() -> str:
            with self.connect(daemon) as connection:
                return connection.execute("SHOW work_mem").fetchone()[0]

        self.assertEqual(await deferToThread(work_mem), "7MB")
        for settings, words in (
            (["gopher = 1"], "gopher"),
            (["work_mem = many"], "work_mem"),
            (["port = 1"], "set by this program"),
            (["work_mem 7MB"], "not a setting"),
        ):
            given = self.given({"settings": settings})
            try:
                await daemon.configure(self.directory, **given)
            except PostgresDaemonError as error:
                self.assertIn(words, str(error))
            else:
                await self.assert_refused(daemon.reload(), words)
        await daemon.configure(self.directory, **self.given({"settings": ["work_mem = 8MB"]}))
        pid = daemon.get_pid()
        await daemon.reload()
        while await deferToThread(work_mem) != "8MB":  # it reads them a moment later
            pass
        self.assertEqual(daemon.get_pid(), pid)

    async def test_its_log_and_its_arguments_hold_no_password(self) -> None:
        daemon = await self.running(password="geheim'nis")
        await daemon.configure(self.directory, **self.given({"password": "geheim'er"}))
        await daemon.stop()
        holders = []
        for path in self.directory.rglob("*"):
            if path.is_file() and b"geheim" in path.read_bytes():
                holders.append(path.name)
        self.assertEqual(holders, ["password"])

    async def test_questions_in_its_own_protocol(self) -> None:
        daemon = await self.running()
        login = daemon.login()
        session = await Session.open(reactor, login)
        self.assertEqual(await session.query("SELECT 1, NULL, 'ü'"), [("1", None, "ü")])
        with self.assertRaises(Refused) as caught:
            await session.query("NONSENSE")
        self.assertEqual(caught.exception.code, "42601")
        with self.assertRaises(NotReady):
            await session.query("SELECT pg_sleep(60)", 0.05)
        with self.assertRaises(Refused) as caught:
            await Session.open(reactor, Login(login.host, login.port, "postgres", "wrong"))
        self.assertEqual(caught.exception.code, "28P01")
        await daemon.stop()
        with self.assertRaises(NotReady):
            await Session.open(reactor, login)

    async def test_after_a_kill_it_recovers_what_was_committed(self) -> None:
        daemon = await self.running(fsync=True)
        await self.wrote(daemon, "kept")
        os.kill(daemon.get_pid(), signal.SIGKILL)
        await until(lambda: not daemon.is_running())
        await daemon.start()
        await self.assert_reads(daemon, "kept")
        await daemon.destroy()
