"""MariaDB itself, in a directory of its own; and what MySQL would be told."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import attrs
import pymysql
import pytest
from daemons.cases import ManagedDaemonCases
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.core.errors import NotReady
from domogik.daemons.core.tools import DaemonTools
from domogik.daemons.mysql.client import Refused
from domogik.daemons.mysql.daemon import MySQLDaemon, MySQLDaemonError

pytestmark = pytest.mark.integration


class MySQLCases(ManagedDaemonCases):
    daemon_class = MySQLDaemon
    options = {"fsync": False, "buffer_pool_size": "16M", "settings": ["innodb_log_file_size = 8M"]}
    small_disk = "160m"

    def connect(self, daemon, **more):
        given = {"host": daemon.parameters.reachable_host, "port": daemon.get_port()}
        # as text PyMySQL would take it for Latin-1
        given |= {"user": "root", "password": daemon.parameters.password.encode()}
        return pymysql.connect(**{**given, **more}, connect_timeout=30, autocommit=True)

    def write(self, daemon, text):
        with self.connect(daemon) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS house")
            cursor.execute("CREATE TABLE IF NOT EXISTS house.it (what text)")
            cursor.execute("DELETE FROM house.it")
            cursor.execute("INSERT INTO house.it VALUES (%s)", (text,))

    def read(self, daemon):
        with self.connect(daemon) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT what FROM house.it")
            [(text,)] = cursor.fetchall()
            return text

    def read_without_password(self, daemon):
        with self.connect(daemon, password=b"") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT what FROM house.it")
            [(text,)] = cursor.fetchall()
            return text


class MySQLTests(MySQLCases, TestCase):
    timeout = 120

    async def _mixture(self, daemon) -> None:
        """Some of everything."""
        statements = (
            "CREATE DATABASE `a hóuse`",
            "USE `a hóuse`",
            "CREATE TABLE numbers (n INT AUTO_INCREMENT PRIMARY KEY, what TEXT, b BLOB, f DOUBLE)",
            (
                "INSERT INTO numbers (what, b, f)"
                " SELECT CONCAT('☃\\n', seq), RANDOM_BYTES(9), seq / 3 FROM seq_1_to_500"
            ),
            "CREATE TABLE old (what VARCHAR(9)) ENGINE = MyISAM",
            "INSERT INTO old VALUES ('one'), ('two')",
            "CREATE VIEW few AS SELECT n FROM numbers WHERE n < 9",
            "CREATE PROCEDURE none() SELECT 1",
            "CREATE TRIGGER late BEFORE INSERT ON old FOR EACH ROW SET NEW.what = 'late'",
            "CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "CREATE USER guest@'%' IDENTIFIED BY 'it''s'",
            "GRANT SELECT ON `a hóuse`.* TO guest@'%'",
        )

        def fill() -> None:
            with self.connect(daemon) as connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

        await deferToThread(fill)

    async def test_what_was_backed_up_comes_back(self) -> None:
        daemon = await self.running(password="first ' \\ \" # one")
        await self.wrote(daemon, "kept")
        await self._mixture(daemon)
        backup = self.top / "backup"
        await daemon.backup(backup)
        await self.wrote(daemon, "changed")
        await daemon.configure(self.directory, **self.given({"password": "second"}))
        await daemon.restore(backup)
        await self.assert_reads(daemon, "kept")

        def look() -> list[tuple]:
            guest = {"user": "guest", "password": "it's", "database": "a hóuse"}
            with self.connect(daemon, **guest) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT count(*), max(n) FROM numbers")
                return list(cursor.fetchall())

        self.assertEqual(await deferToThread(look), [(500, 500)])
        other = await self.configured(self.top / "other")
        await other.restore(backup)
        self.assertFalse(other.is_running())
        await other.start()
        await self.assert_reads(other, "kept")
        for place in (self.directory, self.top / "other"):
            secret = [path.name for path in place.glob(".*") if path.suffix in (".sql", ".cnf")]
            self.assertEqual(secret, [])

    async def test_a_backup_with_another_content_is_not_taken_and_the_data_stay(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        backup = self.top / "backup"
        await daemon.backup(backup)
        magic, line, payload = backup.read_bytes().split(b"\n", 2)
        for content, words in (
            (payload.replace(b"kept", b"KEPT"), "not what went in"),
            (payload.replace(b"CREATE TABLE", b"CREATE TABEL"), "error in your SQL"),
        ):
            found = json.loads(line)
            found["sha256"] = hashlib.sha256(content).hexdigest()
            backup.write_bytes(b"\n".join((magic, json.dumps(found).encode(), content)))
            await self.assert_refused(daemon.restore(backup), words)
            await self.assert_reads(daemon, "kept")

    # What only MariaDB can do

    async def test_data_of_another_series_are_refused_and_both_are_named(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        await daemon.stop()
        path = self.directory / "data" / "mysql_upgrade_info"
        good = path.read_text()
        for other in ("10.3.39-MariaDB", "8.0.36"):
            path.write_text(other)
            here = str(daemon.version)
            await self.assert_refused(daemon.start(), other, here, "install", "back them up")
        path.write_text(good)
        await daemon.start()
        await self.assert_reads(daemon, "kept")

    async def test_a_password_is_changed_while_it_runs_and_while_it_does_not(self) -> None:
        daemon = await self.running(password="first")
        await daemon.configure(self.directory, **self.given({"password": "se'co\\nd ☃"}))
        await self.wrote(daemon, "kept")
        await daemon.stop()
        for password in ("third", "fourth"):
            await daemon.configure(self.directory, **self.given({"password": password}))
        await daemon.start()
        await self.assert_reads(daemon, "kept")
        await daemon.configure(self.directory, **self.given({}))
        self.assertEqual(daemon.parameters.password, "fourth")
        self.assertFalse((self.directory / ".init.sql").exists())
        for wrong in ("first", "third", ""):
            with self.assertRaises(pymysql.OperationalError):
                await deferToThread(self.connect, daemon, password=wrong)

    async def test_nobody_comes_in_without_a_password(self) -> None:
        daemon = await self.running()
        self.assertGreater(len(daemon.parameters.password), 20)

        def accounts() -> list[tuple]:
            with self.connect(daemon) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT user, host FROM mysql.user WHERE user != 'mariadb.sys' ORDER BY host"
                )
                return list(cursor.fetchall())

        self.assertEqual(await deferToThread(accounts), [("root", "%"), ("root", "localhost")])
        for user in ("root", "", "nobody"):
            for way in ({}, {"unix_socket": str(self.directory / "socket" / "mysql.sock")}):
                with self.assertRaises(pymysql.OperationalError):
                    await deferToThread(self.connect, daemon, user=user, password="", **way)
        self.assertEqual((self.directory / "socket").stat().st_mode & 0o777, 0o700)

    async def test_a_password_that_was_changed_behind_our_back_is_told(self) -> None:
        daemon = await self.running()

        def change() -> None:
            with self.connect(daemon) as connection, connection.cursor() as cursor:
                cursor.execute("ALTER USER root@'%' IDENTIFIED BY 'other'")

        await deferToThread(change)
        await daemon.stop()
        await self.assert_refused(daemon.start(), "Access denied")
        self.assertFalse(daemon.is_running())

    async def test_to_be_asked_how_it_is_is_no_warning_in_its_log(self) -> None:
        daemon = await self.running()
        await daemon.probe()
        await daemon.stop()
        self.assertNotIn("Aborted", (self.directory / "log" / "mysql.log").read_text())

    async def test_its_files_its_log_and_its_arguments_hold_no_password(self) -> None:
        daemon = await self.running(password="geheim'nis")
        await daemon.configure(self.directory, **self.given({"password": "geheim'er"}))
        await daemon.stop()
        holders = []
        for path in self.directory.rglob("*"):
            if path.is_file() and b"geheim" in path.read_bytes():
                holders.append(path.name)
        self.assertEqual(holders, ["password"])

    async def test_settings_of_a_person_are_checked_before_they_count(self) -> None:
        for settings, words in (
            (["port = 1"], "set by this program"),
            (["two words"], "not a setting"),
        ):
            await self.assert_refused(
                self.make().configure(self.top / "x", **self.given({"settings": settings})), words
            )
        daemon = await self.configured(settings=["gopher = 1"])
        await self.assert_refused(daemon.start(), "unknown variable", "gopher")
        await daemon.configure(self.directory, **self.given({}))
        await daemon.start()
        more = {"max_connections": 33, "buffer_pool_size": "24M"}
        await daemon.configure(self.directory, **self.given(more))
        pid = daemon.get_pid()
        await daemon.reload()

        def look() -> list[tuple]:
            with self.connect(daemon) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT @@max_connections")
                return list(cursor.fetchall())

        self.assertEqual(await deferToThread(look), [(33,)])
        self.assertEqual(daemon.get_pid(), pid)

    async def test_questions(self) -> None:
        daemon = await self.running()
        rows = await daemon.ask("SELECT 2", "SELECT 1, NULL, 'ü'")
        self.assertEqual(rows, ((1, None, "ü"),))
        [(long,)] = await daemon.ask("SELECT REPEAT('x', 70000)")
        self.assertEqual(len(long), 70000)
        for question, code in (({}, 1064), ({"password": "wrong"}, 1045)):
            error = await self.assertFailure(
                Deferred.fromCoroutine(daemon.ask("NONSENSE", **question)), Refused
            )
            self.assertEqual(error.code, code)
        await daemon.stop()
        await self.assertFailure(Deferred.fromCoroutine(daemon.ask()), NotReady)


class MySQLItselfTests(TestCase):
    """What MySQL, which is not in Debian, is told: a program in its place writes it down."""

    def setUp(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="domogik-daemon-"))
        self.addCleanup(shutil.rmtree, self.top)
        self.bin = self.top / "bin"
        self.bin.mkdir()
        for name in ("mysqld", "mysql", "mysqldump"):
            shutil.copy(Path(__file__).with_name("standin.py"), self.bin / name)
            (self.bin / name).chmod(0o755)
        # MariaDB's programs, if they are there too, are not what belongs to this server
        path = f"{self.bin}:{Path(sys.executable).parent}:/usr/bin:/bin"
        tools = attrs.evolve(DaemonTools.of(reactor), environment={"PATH": path})
        self.daemon = MySQLDaemon(reactor, tools)
        self.directory = self.top / "it"

    def calls(self, name: str) -> list[dict]:
        lines = (self.bin / f"{name}.calls").read_text().splitlines()
        return [json.loads(line) for line in lines]

    async def test_its_command_lines_and_files(self) -> None:
        daemon = self.daemon
        await daemon.configure(
            self.directory, password="it's \\ #1", binary=str(self.bin / "mysqld")
        )
        self.addCleanup(daemon.destroy)
        await daemon.start()
        [making, checking, serving] = self.calls("mysqld")
        configuration = str(self.directory / "service.conf")
        self.assertEqual(
            making["argv"], [f"--defaults-file={configuration}", "--initialize-insecure"]
        )
        self.assertEqual(
            checking["argv"],
            [f"--defaults-file={self.directory / '.service.conf.new'}", "--validate-config"],
        )
        init = str(self.directory / ".init.sql")
        self.assertEqual(
            serving["argv"], [f"--defaults-file={configuration}", f"--init-file={init}"]
        )
        lines = serving["files"]["--defaults-file"]["text"].splitlines()
        self.assertEqual(lines[0], "[mysqld]")
        for line in ("mysqlx=OFF", "disable-log-bin=ON", f'port="{daemon.get_port()}"'):
            self.assertIn(line, lines)
        statements = serving["files"]["--init-file"]
        self.assertEqual(statements["mode"], "0o600")
        self.assertEqual(statements["text"].splitlines()[0], "SET SESSION sql_mode = '';")
        self.assertIn("ALTER USER 'root'@'%' IDENTIFIED BY 'it''s \\\\ #1';", statements["text"])
        self.assertNotIn("PASSWORD", statements["text"].replace("password", ""))
        client = self.calls("mysql")[0]
        self.assertEqual(client["argv"][1:], ["--batch", "-N", "-e", "SELECT 1"])
        credentials = client["files"]["--defaults-file"]
        self.assertEqual(credentials["mode"], "0o600")
        self.assertIn('password="it\'s \\\\ #1"\n', credentials["text"])
        self.assertFalse(Path(init).exists())
        self.assertEqual(list(self.directory.glob(".client*")), [])
        for name in ("mysqld", "mysql"):
            for call in self.calls(name):
                self.assertNotIn("it's", " ".join(call["argv"]))

    async def test_what_is_told_while_it_serves(self) -> None:
        daemon = self.daemon
        given = {"password": "first", "binary": str(self.bin / "mysqld")}
        await daemon.configure(self.directory, **given)
        self.addCleanup(daemon.destroy)
        await daemon.start()
        await daemon.configure(self.directory, **given, max_connections=7)
        await daemon.reload()
        self.assertIn("SET GLOBAL max_connections = 7", self.calls("mysql")[-1]["argv"][-1])
        self.assertEqual(await daemon.stop(), "Process has finished.")
        await daemon.start()
        self.assertNotIn("--init-file", " ".join(self.calls("mysqld")[-1]["argv"]))
        await daemon.stop()
        await daemon.configure(self.directory, **{**given, "password": "second"})
        await daemon.start()
        statements = self.calls("mysqld")[-1]["files"]["--init-file"]["text"]
        self.assertIn("BY 'second'", statements)

    async def test_data_of_the_other_server_are_refused(self) -> None:
        daemon = self.daemon
        await daemon.configure(self.directory, binary=str(self.bin / "mysqld"))
        self.addCleanup(daemon.destroy)
        (self.directory / "data.version").write_text("10.11.19-MariaDB")
        error = await self.assertFailure(daemon.start(), MySQLDaemonError)
        self.assertIn("MariaDB 10.11.19-MariaDB, and here is MySQL 8.0.36", str(error))
