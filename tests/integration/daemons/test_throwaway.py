"""Throw-away servers: for pytest, trial, scripts and a shell; nothing of them is ever left."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from commands import command
from twisted.internet.defer import Deferred
from world import PATIENCE, is_gone

from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.redis.daemon import RedisDaemon
from domogik.daemons.testing import running

pytestmark = pytest.mark.integration

TESTS = """
import os, signal
import redis
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from domogik.daemons.testing import fresh

def note(server):
    with open("seen", "a") as file:
        file.write(f"{server.directory} {server.pid}\\n")

def used(url):
    with redis.Redis.from_url(url) as client:
        client.set("what", "one")
        return client.get("what")

def test_first(redis_daemon):
    note(redis_daemon)
    assert used(redis_daemon.url) == b"one"

class Trial(TestCase):
    async def test_between(self):
        daemon = await fresh(self, "redis", password="it's \\"a\\" ☃")
        self.assertEqual(await deferToThread(used, daemon.url), b"one")

def test_fails(redis_daemon):
    note(redis_daemon)
    with redis.Redis.from_url(redis_daemon.url) as client:
        assert client.get("what") is None
    assert 1 == 2

def test_killed(redis_daemon):
    note(redis_daemon)
    os.kill(os.getpid(), signal.SIGKILL)
"""

#: every other fixture, by a real client
OTHERS = """
import pika
import psycopg
import pymysql
import urllib.request
from urllib.error import HTTPError

def note(server):
    with open("seen", "a") as file:
        file.write(f"{server.directory} {server.pid}\\n")

def test_postgres(postgres_daemon):
    note(postgres_daemon)
    with psycopg.connect(postgres_daemon.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)

def test_mysql(mysql_daemon):
    note(mysql_daemon)
    where = {"host": mysql_daemon.host, "port": mysql_daemon.port}
    connection = pymysql.connect(user="root", password=mysql_daemon.password, **where)
    with connection, connection.cursor() as cursor:
        assert cursor.execute("SELECT 1") == 1

def test_rabbitmq(rabbitmq_daemon):
    note(rabbitmq_daemon)
    pika.BlockingConnection(pika.URLParameters(rabbitmq_daemon.url)).close()

def page(server):
    note(server)
    (server.directory / "www" / "page").write_text("some words")
    with urllib.request.urlopen(server.url + "page") as answer:
        assert answer.read() == b"some words"

def test_nginx(nginx_daemon):
    page(nginx_daemon)

def test_apache(apache_daemon):
    page(apache_daemon)
"""


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files are, and are not any more in the end."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    yield place
    until(lambda: [path.name for path in place.iterdir() if "ports" not in path.name] == [])


def pytest_run(
    tmp_path: Path, *arguments: str, tests: str = TESTS
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["domogik.daemons.testing"]\n')
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=5 * PATIENCE, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


def seen(tmp_path: Path) -> list[tuple[Path, int]]:
    lines = (tmp_path / "seen").read_text().splitlines()
    return [(Path(line.split()[0]), int(line.split()[1])) for line in lines]


def test_each_test_has_one_of_its_own_beside_those_of_trial(tmp_path: Path, place: Path) -> None:
    done = pytest_run(tmp_path, "-k", "not killed")
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    first, second = seen(tmp_path)
    assert first != second
    assert all(is_gone(pid) for _, pid in (first, second))


def test_every_kind_has_a_fixture(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = Path(tempfile.mkdtemp(prefix="domogik-fixtures-"))  # where other users may go, too
    try:
        top.chmod(0o711)
        monkeypatch.setenv("TMPDIR", str(top))
        done = pytest_run(tmp_path, tests=OTHERS)
        assert "5 passed" in done.stdout, done.stdout
        assert len(seen(tmp_path)) == 5
        for directory, pid in seen(tmp_path):
            assert directory.parent == top
            assert not directory.exists()
            assert is_gone(pid)
    finally:
        shutil.rmtree(top)


def test_a_killed_run_leaves_neither_server_nor_directory(tmp_path: Path, place: Path) -> None:
    done = pytest_run(tmp_path, "-k", "killed")
    assert done.returncode == -signal.SIGKILL, done.stdout
    ((directory, pid),) = seen(tmp_path)
    until(lambda: not directory.exists() and is_gone(pid))


HOLDING = """
import os, pathlib, sys, time
from domogik.daemons.testing import running
server = running(sys.argv[1])
children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
(reaper,) = {int(child) for child in children} - {server.pid}
print(server.pid, reaper, server.directory, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("kind", ["redis", "nginx", "mosquitto"])
def test_after_a_kill_each_end_follows_from_the_one_before_and_at_the_last_nothing_is_left(
    place: Path, kind: str
) -> None:
    """The kernel tells of each end; tests/unit/daemons/test_clearing.py: without a pause."""
    argv = [sys.executable, "-c", HOLDING, kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with contextlib.ExitStack() as stack:
        it = stack.enter_context(
            subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(it.kill)
        server, reaper, directory = it.stdout.readline().split()
        ends = [os.pidfd_open(int(pid)) for pid in (server, reaper)]
        for end in ends:
            stack.callback(os.close, end)
        assert Path(directory).exists()
        it.kill()
        for end in ends:
            assert select.select([end], [], [], PATIENCE)[0]
        assert is_gone(int(server))
        assert list(place.iterdir()) == []


def test_in_a_script_it_is_there_for_a_block(place: Path) -> None:
    with running("redis", password="p w") as server:
        pid, directory = server.pid, server.directory
        with redis.Redis(server.host, server.port, password=server.password) as client:
            client.set("what", "kept")
            server.restart()
            assert client.get("what") == b"kept"
        server.kill()
        assert not server.is_running()
        server.configure(maxmemory="8mb")
        server.start()
        server.reload()
        server.backup(place / "backup")
        server.restore(place / "backup")
        (place / "backup").unlink()
    assert not directory.exists()
    assert is_gone(pid)
    server.destroy()


def test_what_takes_too_long_is_the_kinds_own_error_with_its_last_lines(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("redis") as server:
        with monkeypatch.context() as patch:
            patch.setattr(server._turns, "wait", partial(server._turns.wait, seconds=0.01))
            with pytest.raises(ManagedDaemonError, match="Redis takes too long") as raised:
                server.wait(Deferred())
    assert "Ready to accept connections" in raised.value.output
    for operation in (server.start, server.stop, server.reload):
        with pytest.raises(ManagedDaemonError, match="was destroyed: make another"):
            operation()


def test_what_fails_leaves_nothing(place: Path) -> None:
    with pytest.raises(ManagedDaemonError, match="maxmemory"):
        running("redis", maxmemory="rather much")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ManagedDaemonError, match=str(os.getpid())):
            running(RedisDaemon, port=taken.getsockname()[1])


def test_a_port_that_somebody_else_was_quicker_to_take_is_not_insisted_on(place: Path) -> None:
    servers = []

    class Raced(RedisDaemon):
        async def prepare(self, program):
            if not servers:
                servers.append(socket.create_server(("127.0.0.1", self.get_port())))
            return await super().prepare(program)

    with running(Raced) as server:
        assert server.port != servers[0].getsockname()[1]
    servers[0].close()


def test_a_directory_with_something_in_it_is_not_thrown_away(tmp_path: Path, place: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("precious")
    with pytest.raises(ManagedDaemonError, match="not empty"):
        running("redis", directory=tmp_path / "mine")
    assert (tmp_path / "mine" / "precious").read_text() == "precious"
    with running("redis", directory=tmp_path / "new"):
        assert (tmp_path / "new" / "service.json").exists()
    assert not (tmp_path / "new").exists()


# In a shell


@contextlib.contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple[int, Callable[[], str]]]:
    """Its process, and a line of what it says on its terminal; Ctrl-C is a byte written there."""
    pid, terminal = pty.fork()
    if pid == 0:
        argv = command("dmg_daemon", *arguments)
        os.execv(argv[0], argv)
    try:
        with open(terminal, "r+b", buffering=0) as file:
            yield pid, file
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def line_of(terminal) -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += terminal.read(1)
    return line.decode().strip()


def test_ctrl_c_ends_it(place: Path) -> None:
    with on_a_terminal("run", "redis") as (pid, terminal):
        url = line_of(terminal)
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        terminal.write(b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(url, retry=None).ping()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_so_does_every_other_end(place: Path, tmp_path: Path, number: int) -> None:
    (tmp_path / "password").write_text("s3 cret\n")
    directory = tmp_path / "there"
    argv = command(
        "dmg_daemon", "run", "redis", "-v", "--directory", str(directory),
        "--password-file", str(tmp_path / "password"), "--option", "appendonly=yes",
    )  # fmt: skip
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        url = it.stdout.readline().strip()
        assert "s3%20cret" in url
        with redis.Redis.from_url(url) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        it.send_signal(number)
        _, said = it.communicate(timeout=PATIENCE)
        assert it.returncode == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    if number != signal.SIGKILL:
        assert "Ready to accept connections" in said
    until(lambda: not directory.exists())


def test_one_that_ends_by_itself_is_told(place: Path) -> None:
    argv = command("dmg_daemon", "run", "redis")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        with redis.Redis.from_url(it.stdout.readline().strip()) as client:
            client.shutdown(nosave=True)
        _, said = it.communicate(timeout=PATIENCE)
    assert (it.returncode, said) == (1, "dmg_daemon: Redis has ended by itself\n")


def test_what_cannot_run_is_one_clear_line(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command("dmg_daemon", "run", "redis", "--port", str(port)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert str(os.getpid()) in done.stderr
