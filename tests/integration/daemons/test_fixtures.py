"""The fixtures of pytest: there without a line of setup, and fresh for each test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pymysql
import pytest

from domogik.daemons.throwaway.shared import Servers

pytestmark = pytest.mark.integration

TESTS = """
import unittest
import psycopg, pytest, redis
from domogik.daemons.testing import clean

@pytest.mark.parametrize("number", range(4))
def test_a_database_is_fresh(postgres_database, number):
    with open("servers", "a") as file:
        file.write(f"{postgres_database.server.directory}\\n")
    with psycopg.connect(postgres_database.url) as connection:
        connection.execute("CREATE TABLE one (value int)")

@pytest.mark.parametrize("number", range(4))
def test_keys_are_fresh(redis_keys, number):
    with open("servers", "a") as file:
        file.write(f"{redis_keys.server.directory}\\n")
    with redis.Redis.from_url(redis_keys.url) as client:
        assert client.dbsize() == 0
        client.set("one", number)

def test_a_root_is_served(nginx_root):
    from urllib.request import urlopen
    (nginx_root.path / "one").write_text("two")
    with urlopen(nginx_root.url + "one") as answer:
        assert answer.read() == b"two"

class OfTheStandardLibrary(unittest.TestCase):
    def test_keys_are_fresh(self):
        for _ in range(2):
            with clean("redis") as keys, redis.Redis.from_url(keys.url) as client:
                self.assertEqual(client.dbsize(), 0)
                client.set("one", 1)
"""
PASSED = 10


def ran(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_theirs.py").write_text(TESTS)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize("conftest", ["", 'pytest_plugins = ["domogik.daemons.testing"]\n'])
def test_each_test_has_something_fresh_and_no_server_is_left(
    tmp_path: Path, arguments: tuple[str, ...], conftest: str
) -> None:
    (tmp_path / "conftest.py").write_text(conftest)
    done = ran(tmp_path, *arguments)
    assert f"{PASSED} passed" in done.stdout, done.stdout + done.stderr
    used = {Path(line) for line in (tmp_path / "servers").read_text().split()}
    assert len(used) >= 2
    assert not any(path.exists() for path in used)


def test_processes_of_one_run_have_one_server_until_the_last_is_done(tmp_path: Path) -> None:
    first, second = Servers(tmp_path), Servers(tmp_path)
    directory = first.get("redis").directory
    with first.clean("redis") as one, second.clean("redis") as other:
        assert other.server.directory == directory
        assert one.url != other.url
    closing = Thread(target=first.close)
    closing.start()  # it waits for the other
    with second.clean("redis") as one:
        assert one.server.daemon.is_running()
    second.close()
    closing.join()
    assert not directory.exists()


def test_two_processes_that_each_began_a_server_do_not_wait_for_each_other(tmp_path: Path) -> None:
    first, second = Servers(tmp_path), Servers(tmp_path)
    directories = [first.get("redis").directory, second.get("nginx").directory]
    first.get("nginx"), second.get("redis")
    closing = [Thread(target=one.close, daemon=True) for one in (first, second)]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(60)
        assert not thread.is_alive()
    assert not any(directory.exists() for directory in directories)


def test_a_database_goes_though_a_test_left_a_connection_with_a_transaction_open() -> None:
    with contextlib.closing(Servers()) as servers:
        with servers.clean("mysql") as database:
            where = {"host": database.host, "port": database.port, "user": "root"}
            left = pymysql.connect(
                **where, password=database.password or "", database=database.name
            )
            with left.cursor() as cursor:
                cursor.execute("CREATE TABLE lamp (name text)")
                cursor.execute("SELECT * FROM lamp")  # from here on nobody may drop it
        with (
            pymysql.connect(**where, password=database.password or "") as other,
            other.cursor() as cursor,
        ):
            cursor.execute("SHOW DATABASES")
            assert (database.name,) not in cursor.fetchall()


@pytest.mark.parametrize("kind", ["redis", "postgres", "nginx"])
def test_after_a_test_that_killed_the_shared_server_the_next_is_told_so(kind: str) -> None:
    with contextlib.closing(Servers()) as servers:
        with servers.clean(kind) as part:
            server = part.server.daemon
        assert server.identity is not None
        pid = server.identity.pid
        server.signal("KILL")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(server.error, match="that tests share has ended") as told:
            with servers.clean(kind):
                pass
        assert f"{kind}_daemon" in str(told.value)
        if kind != "nginx":  # which says nothing
            assert told.value.output


def test_unittest_needs_no_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    argv = [sys.executable, "-m", "unittest", "-q", "test_theirs"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


TRIAL = """
import psycopg, redis
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from domogik.daemons.testing import clean, fresh_clean

def note(what, text):
    with open(what, "a") as file:
        file.write(f"{text}\\n")

def made(database):
    note("servers", database.server.directory)
    with psycopg.connect(database.url) as connection:
        connection.execute("CREATE TABLE one (value int)")
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}

class OfTwisted(TestCase):
    async def with_a_database(self):
        database = await fresh_clean(self, "postgres")
        there = await deferToThread(made, database)
        self.assertEqual(there, {database.name, "postgres", "template0", "template1"})

    test_a_database_is_fresh = test_and_those_of_other_tests_are_gone = with_a_database

    async def test_several_at_once_are_apart(self):
        places = await gatherResults([fresh_clean(self, "redis") for _ in range(3)])
        self.assertEqual(len({place.url for place in places}), 3)
        for place in places:
            note("servers", place.server.directory)
            with redis.Redis.from_url(place.url) as client:
                self.assertEqual(client.dbsize(), 0)
                client.set("one", 1)

    def test_a_blocking_one_lies_on_the_same_server(self):
        with clean("redis") as keys:
            note("servers", keys.server.directory)

    async def test_a_kind_without_parts_fails(self):
        await self.assertFailure(fresh_clean(self, "gopher"), Exception)
"""


def test_trial_has_them_as_deferreds_on_one_server_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TRIAL)
    argv = [sys.executable, "-m", "twisted.trial", "test_theirs"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "PASSED (successes=5)" in done.stdout, done.stdout + done.stderr
    used = [Path(line) for line in (tmp_path / "_trial_temp" / "servers").read_text().split()]
    assert (len(used), len(set(used))) == (6, 2)
    assert not any(path.exists() for path in used)


def test_a_run_that_starts_no_server_loads_nothing_for_it() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import domogik.daemons.fixtures\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['domogik', 'pkgutil']"


def test_fixtures_bring_no_library_of_packages_along() -> None:
    program = (
        "import sys, domogik.daemons.testing\n"
        "print([name for name in ('lxml', 'pytest', 'treq', 'tuf') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
