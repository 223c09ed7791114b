"""One contestant of the measure `fixtures`, in a process of its own: prints seconds as JSON.

python -m bench.fixtures CONTESTANT KIND TIMES
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SUITES = {
    "domogik": (
        "def test_{}(postgres_database):\n"
        "    with psycopg.connect(postgres_database.url) as connection:\n"
        "        connection.execute('CREATE TABLE lamps (name text)')\n"
    ),
    "domogik, fresh servers": (
        "def test_{}(postgres_daemon):\n"
        "    with psycopg.connect(postgres_daemon.url) as connection:\n"
        "        connection.execute('CREATE TABLE lamps (name text)')\n"
    ),
    "pytest-postgresql": (
        "def test_{}(postgresql):\n    postgresql.execute('CREATE TABLE lamps (name text)')\n"
    ),
}
_REDIS_SUITES = {
    "domogik": "def test_{}(redis_keys):\n    redis.Redis.from_url(redis_keys.url).set('a', 'b')\n",
    "pytest-redis": "def test_{}(redisdb):\n    redisdb.set('a', 'b')\n",
}


def _domogik(kind: str) -> Callable[[], None]:
    from domogik.daemons.throwaway.blocking import BlockingDaemon

    return lambda: BlockingDaemon(kind).destroy()


def _testing_redis(_kind: str) -> Callable[[], None]:
    from testing.redis import RedisServer  # type: ignore[import-not-found]

    return lambda: RedisServer().stop()


def _testing_postgresql(_kind: str) -> Callable[[], None]:
    from testing.postgresql import PostgresqlFactory  # type: ignore[import-not-found]

    factory = PostgresqlFactory(cache_initialized_db=True)
    return lambda: factory().stop()


_HELD = """
import sys, time
from domogik.daemons.throwaway.blocking import BlockingDaemon
server = BlockingDaemon(sys.argv[1])
print(server.directory, server.pid, flush=True)
time.sleep(1000)
"""


def _killed(kind: str) -> Callable[[], float]:
    """From the kill -9 of a program with a server until neither that nor its directory is there."""

    def killed() -> float:
        argv = (sys.executable, "-c", _HELD, kind)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            directory, pid = program.stdout.readline().split()
            server = os.pidfd_open(int(pid))
            program.kill()
            began = time.perf_counter()
        select.select([server], [], [])
        os.close(server)
        while os.path.exists(directory):
            time.sleep(0.001)
        return time.perf_counter() - began

    return killed


def _bare_redis() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = tempfile.mkdtemp()
    argv = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", place)
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    answer = b""
    while not answer.startswith(b"+PONG"):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"PING\r\n")
            answer = client.recv(100)
    process.kill()
    process.wait()
    shutil.rmtree(place)


#: of pytest, which loads no others: what else is installed here is nobody's time
_PLUGINS = {"pytest-postgresql": "pytest_postgresql.plugin", "pytest-redis": "pytest_redis.plugin"}


def _suite(who: str, tests: str, imported: str, *arguments: str) -> Callable[[], None]:
    place = Path(tempfile.mkdtemp())
    text = "".join(tests.format(number) for number in range(6))
    (place / "test_clean.py").write_text(f"import {imported}\n{text}")
    argv = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
    argv += ("-p", _PLUGINS.get(who, "domogik.daemons.fixtures"))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run() -> None:
        done = subprocess.run(
            argv, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stdout[-1000:] + done.stderr[-1000:])

    return run


def _postgres_suite(who: str) -> Callable[[], None]:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    peers = (f"--postgresql-exec={places[-1]}",) if who == "pytest-postgresql" and places else ()
    return _suite(who, _SUITES[who], "psycopg", *peers)


CONTESTANTS: dict[str, Callable[[str], Callable[[], Any]]] = {
    "domogik": _domogik,
    "domogik, on the disk": _domogik,
    "bare": lambda _: _bare_redis,
    "testing.redis": _testing_redis,
    "testing.postgresql": _testing_postgresql,
}


def main() -> None:
    who, kind, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "6 tests, postgres":
        action: Callable[[], Any] = _postgres_suite(who)
    elif kind == "6 tests, redis":
        action = _suite(who, _REDIS_SUITES[who], "redis")
    elif kind.startswith("killed, "):
        action = _killed(kind.removeprefix("killed, "))
    else:
        action = CONTESTANTS[who](kind)
    action()  # what is paid once a machine, or once a process
    took = []
    for _ in range(times):
        began = time.perf_counter()
        measured = action()
        took.append(time.perf_counter() - began if measured is None else measured)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
