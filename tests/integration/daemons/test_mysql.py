"""MariaDB itself, in a directory of its own; and what MySQL would be told."""

from __future__ import annotations

import hashlib
import json

import pymysql
import pytest
from daemons.cases import ManagedDaemonCases
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.mysql import MySQLDaemon

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
