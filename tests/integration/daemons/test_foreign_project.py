"""A project that has nothing of ours but what is installed: each fixture, as root and as nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from daemons.users import as_user
from world import PATIENCE

pytestmark = pytest.mark.integration

TESTS = """
import os, signal, socket, unittest, urllib.request
import pika, psycopg, pymysql, pytest, redis
from domogik.daemons.testing import clean, running

@pytest.mark.parametrize("time", ["first", "second"])
class TestFresh:
    def test_redis(self, redis_keys, time):
        with redis.Redis.from_url(redis_keys.url) as client:
            assert client.dbsize() == 0
            client.set("lamp", "on")

    def test_postgres(self, postgres_database, time):
        with psycopg.connect(postgres_database.url) as connection:
            connection.execute("CREATE TABLE lamp (state text)")

    def test_mysql(self, mysql_database, time):
        it = mysql_database
        where = {"host": it.host, "port": it.port, "database": it.name}
        with pymysql.connect(user="root", password=it.password, **where) as connection:
            connection.cursor().execute("CREATE TABLE lamp (state text)")

    def test_rabbitmq(self, rabbitmq_vhost, time):
        connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_vhost.url))
        counted = connection.channel().queue_declare("lamp")
        assert counted.method.message_count == 0
        connection.channel().basic_publish("", "lamp", b"on")
        connection.close()

    @pytest.mark.parametrize("fixture", ["nginx_root", "apache_root"])
    def test_web(self, request, fixture, time):
        root = request.getfixturevalue(fixture)
        assert list(root.path.iterdir()) == []
        (root.path / "lamp").write_text("on")
        assert urllib.request.urlopen(root.url + "lamp").read() == b"on"

    def test_mosquitto(self, mosquitto_topics, time):
        assert mosquitto_topics.name.endswith("/")

KINDS = ["redis", "postgres", "mysql", "rabbitmq", "nginx", "apache", "mosquitto"]

@pytest.mark.parametrize("kind", KINDS)
def test_server_of_the_run(request, kind):
    server = request.getfixturevalue(f"{kind}_server")
    socket.create_connection((server.host, server.port)).close()

@pytest.mark.parametrize("kind", KINDS)
def test_server_to_kill(request, kind):
    server = request.getfixturevalue(f"{kind}_daemon")
    server.kill()
    server.start()
    socket.create_connection((server.host, server.port)).close()

class OfTheStandardLibrary(unittest.TestCase):
    def test_with_unittest(self):
        with clean("redis") as keys, running("nginx") as server:
            with redis.Redis.from_url(keys.url) as client:
                self.assertEqual(client.dbsize(), 0)
            self.assertTrue(server.is_running())
"""

#: the whole run is killed by one of its tests, or one worker of it
KILLED = """
import os, pathlib, signal, time
import pytest, redis

@pytest.mark.parametrize("number", range(4))
def test_keys(redis_keys, redis_daemon, number):
    with open("seen", "a") as file:
        print(redis_keys.server.directory, redis_daemon.directory, file=file)
    with redis.Redis.from_url(redis_keys.url) as client:
        assert client.ping()
    if os.environ["KILL"] == "run":
        time.sleep(600)
    if not pathlib.Path("killed").exists():
        pathlib.Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory outside, where every user may go; empty in the end but for what was put there."""
    with tempfile.TemporaryDirectory(prefix="foreign-") as name:
        Path(name).chmod(0o777)
        (Path(name) / "temporary").mkdir()
        (Path(name) / "temporary").chmod(0o1777)
        yield Path(name)


def begin(top: Path, tests: str, user: str, *argv: str, **more: str) -> subprocess.Popen[str]:
    (top / "test_theirs.py").write_text(tests)
    places = {"HOME": str(top), "TMPDIR": str(top / "temporary"), "PYTHONDONTWRITEBYTECODE": "1"}
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    python = sys.executable
    if user != "root" and not is_for_all(Path(python)):
        # Debian's, with what is installed here
        python, places["PYTHONPATH"] = "/usr/bin/python3", sysconfig.get_path("purelib")
    prefix = () if user == "root" else as_user(user)
    return subprocess.Popen(
        [*prefix, python, *argv],
        cwd=top,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**kept, **places, **more},
        start_new_session=True,
    )


def is_for_all(program: Path) -> bool:
    real = program.resolve()
    return all(parent.stat().st_mode & 0o1 for parent in (real, *real.parents))


def left_in(top: Path) -> list[str]:
    """Directories of servers, and processes that stand in one or name one."""
    places = [
        str(path) for path in (top / "temporary").glob("domogik-*") if "ports" not in path.name
    ]
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [process.info["cwd"] or "", *(process.info["cmdline"] or [])]
        if any(f"{top}/temporary/domogik-" in word for word in words):
            places.append(str(process))
    return places


def assert_nothing_is_left(top: Path, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while left_in(top):
        assert time.monotonic() < end, left_in(top)
        time.sleep(0.02)


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis")


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_every_fixture_works_with_nothing_set_up(
    top: Path, user: str, workers: tuple[str, ...]
) -> None:
    process = begin(top, TESTS, user, *PYTEST, *workers)
    said, _ = process.communicate(timeout=20 * PATIENCE)
    assert process.returncode == 0, said
    assert "29 passed" in said
    assert_nothing_is_left(top)


def test_a_run_that_is_killed_with_its_workers_leaves_nothing(top: Path) -> None:
    process = begin(top, KILLED, "root", *PYTEST, "-n", "2", KILL="run")
    seen = top / "seen"
    end = time.monotonic() + 5 * PATIENCE
    while not (seen.exists() and seen.read_text().count("\n") == 2):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children()
    assert len({line.split()[0] for line in seen.read_text().splitlines()}) == 1
    for one in (
        process.pid,
        *(
            worker.pid
            for worker in workers
            if "execnet" in str(worker.cmdline()) or "sys.stdin.readline" in str(worker.cmdline())
        ),
    ):
        os.kill(one, signal.SIGKILL)
    process.communicate()
    assert_nothing_is_left(top)


def test_a_worker_that_is_killed_takes_its_own_server_along_and_not_that_of_all(top: Path) -> None:
    process = begin(top, KILLED, "root", *PYTEST, "-n", "2", KILL="worker")
    said, _ = process.communicate(timeout=5 * PATIENCE)
    assert "1 failed, 3 passed" in said, said
    assert len({line.split()[0] for line in (top / "seen").read_text().splitlines()}) == 1
    assert_nothing_is_left(top)
