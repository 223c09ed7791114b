"""Daemons in a program with threads, one of which forks: nobody else is said to be at work.

`DOMOGIK_STARTS` is the number of starts: 40 unless said otherwise, 400 at night.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from world import wait_until

from domogik.daemons.throwaway.reaper import Reaper

pytestmark = pytest.mark.integration

STARTS = int(os.environ.get("DOMOGIK_STARTS", "40"))
THREADS = 4
PROGRAM = """
import os, sys, threading, time
from domogik.daemons.testing import running

starts = int(sys.argv[1])
done = threading.Event()
failed = []

def fork():
    # a child of another library: it holds whatever was open, for longer than an operation takes
    children = []

    def wait():
        if os.waitpid(children.pop(0), 0)[1]:
            failed.append("a child of somebody else was killed")

    while not done.is_set():
        child = os.fork()
        if child == 0:
            time.sleep(0.3)
            os._exit(0)
        children.append(child)
        time.sleep(0.005)
        while len(children) > 20:
            wait()
    while children:
        wait()

def start():
    for _ in range(starts):
        try:
            with running("redis") as server:
                server.restart()
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}")

forking = threading.Thread(target=fork)
forking.start()
threads = [threading.Thread(target=start) for _ in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
done.set()
forking.join()
print(len(failed), *failed[:3], sep="\\n")
"""


def test_no_start_fails_beside_a_thread_that_forks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(STARTS // THREADS // 2), str(THREADS)],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60 + STARTS * 2,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    wait_until(lambda: list(tmp_path.iterdir()) == [], "nothing is left")


def test_threads_share_the_process_that_tidies_up_after_them(tmp_path: Path) -> None:
    begun = []

    class Counted(Reaper):
        def _begin(self) -> Path:
            begun.append(threading.get_ident())
            threading.Event().wait(0.01)  # as long as a start may take
            return tmp_path / "list"

    reaper = Counted(os.getpid())
    threads = [
        threading.Thread(target=reaper.watch, args=("redis", tmp_path / str(number)))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    assert len((tmp_path / "list").read_text().splitlines()) == 4


def ran(program: str, directory: Path) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, done.stderr


SHARING = """
import threading, psycopg, redis
from domogik.daemons.testing import clean

failed = []

def keep():
    for _ in range(10):
        with clean("redis") as keys, redis.Redis.from_url(keys.url) as client:
            if client.dbsize():
                failed.append("the keys of another test")
            client.set("lamp", "on")

def store():
    for _ in range(5):
        with clean("postgres") as database, psycopg.connect(database.url) as connection:
            connection.execute("CREATE TABLE lamp (name text)")

threading.excepthook = lambda gone: failed.append(repr(gone.exc_value))
threads = [threading.Thread(target=work) for work in (keep, keep, keep, store, store)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*failed)
"""


def test_threads_have_something_fresh_each_on_the_same_servers(tmp_path: Path) -> None:
    assert ran(SHARING, tmp_path) == ("\n", "")


FORKING = """
import os, sys, psycopg, redis
from domogik.daemons.testing import clean, running

with running("redis") as own, clean("redis") as keys, clean("postgres") as database:
    if (child := os.fork()) == 0:
        with clean("redis") as others:
            same = others.port == keys.port
        sys.exit(same)  # leaves the blocks, and runs what is registered for the end of the program
    assert os.waitpid(child, 0)[1] == 0
    own.restart()
    with redis.Redis.from_url(keys.url) as client, psycopg.connect(database.url) as connection:
        print(own.is_running(), client.ping(), connection.execute("SELECT 1").fetchone())
with clean("redis") as keys, redis.Redis.from_url(keys.url) as client:
    print(client.ping())
"""


def test_a_process_that_was_forked_leaves_its_parents_servers_alone(tmp_path: Path) -> None:
    assert ran(FORKING, tmp_path) == ("True True (1,)\nTrue\n", "")


HELD = """
import os, signal, time
from domogik.daemons.testing import clean

children = []
for _ in range(17):  # there are sixteen numbered databases
    with clean("redis") as keys:
        if (child := os.fork()) == 0:
            time.sleep(120)
            os._exit(0)
        children.append(child)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print("done")
"""


def test_a_child_that_goes_on_keeps_no_key_space(tmp_path: Path) -> None:
    assert ran(HELD, tmp_path) == ("done\n", "")
