"""MariaDB itself, in a directory of its own; and what MySQL would be told."""

from __future__ import annotations

import pymysql
import pytest
from daemons.cases import ManagedDaemonCases
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
