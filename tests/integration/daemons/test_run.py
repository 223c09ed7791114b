"""`dmg_daemon run`: servers for a command, or for a shell; nothing of them is left."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from commands import command
from world import PATIENCE, is_gone

pytestmark = pytest.mark.integration

#: uses both servers, leaves a child that has given up its session and environment, tells both pids
USING = """
import os, redis, subprocess, sys, psycopg
with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
    client.set("what", "one")
assert redis.Redis(os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])).get("what") == b"one"
assert "REDIS_PASSWORD" not in os.environ
with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
    assert connection.execute("SELECT 1").fetchone() == (1,)
assert os.environ["POSTGRES_PASSWORD"] in os.environ["POSTGRES_URL"]
child = subprocess.Popen(["env", "-i", "sleep", "1000"], start_new_session=True)
print(os.getpid(), child.pid)
sys.exit(7)
"""
WAITING = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(os.environ["REDIS_URL"], os.getpid(), child.pid, flush=True)
time.sleep(1000)
"""


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("dmg_daemon", "run", *arguments), capture_output=True, text=True, check=False,
        timeout=5 * PATIENCE, **options,
    )  # fmt: skip


def until_gone(*pids: int) -> None:
    end = time.monotonic() + PATIENCE
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < end, "somebody is left"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary place; and no password is in the environment already."""
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    return tmp_path


def test_a_command_has_the_addresses_and_its_status_is_the_status() -> None:
    done = run("redis", "postgres", "--", sys.executable, "-c", USING)
    assert (done.returncode, done.stderr) == (7, "")
    until_gone(*map(int, done.stdout.split()))


def test_a_command_that_a_signal_ends_has_the_status_a_shell_gives_it() -> None:
    done = run("redis", "--", "sh", "-c", "kill -USR1 $$")
    assert done.returncode == 128 + signal.SIGUSR1


def test_a_command_that_is_not_there_is_told() -> None:
    done = run("redis", "--", "/nowhere/gopher")
    assert done.returncode == 127
    assert done.stderr == "dmg_daemon: /nowhere/gopher: No such file or directory\n"


def test_a_command_outlives_a_server_that_it_ends_itself() -> None:
    stop = "import os, redis; redis.Redis.from_url(os.environ['REDIS_URL']).shutdown(nosave=True)"
    assert run("redis", "--", sys.executable, "-c", stop).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_ends_the_command_and_its_children(number: int, place: Path) -> None:
    directory = place / "there"
    argv = command(
        "dmg_daemon", "run", "redis", "--directory", str(directory), "--",
        sys.executable, "-c", WAITING,
    )  # fmt: skip
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as it:
        url, *pids = it.stdout.readline().split()
        with redis.Redis.from_url(url) as client:
            server = client.info()["process_id"]
        it.send_signal(number)
        until_gone(server, *map(int, pids))
        status = it.wait(PATIENCE)
    if number == signal.SIGKILL:
        assert status == -number
    elif number == signal.SIGINT:
        assert status in (1, 128 + number)  # Python's own answer to KeyboardInterrupt
    else:
        assert status == 128 + number
    end = time.monotonic() + PATIENCE
    while directory.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_ctrl_c_is_told_to_the_command_once_and_is_its_own_affair() -> None:
    counting = (
        "import signal, time; heard = []\n"
        "signal.signal(signal.SIGINT, lambda *_: heard.append(1))\n"
        "print('ready', flush=True); end = time.monotonic() + 60\n"
        "while not heard and time.monotonic() < end: time.sleep(0.01)\n"
        "time.sleep(0.5); print('heard', len(heard), flush=True)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        argv = command("dmg_daemon", "run", "redis", "--", sys.executable, "-c", counting)
        os.execv(argv[0], argv)
    said = b""
    with open(terminal, "r+b", buffering=0) as file:
        while b"ready" not in said:
            said += file.read(100)
        file.write(b"\x03")
        while b"heard" not in said or not said.endswith(b"\n"):
            said += file.read(100)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"heard 1\r\n" in said


def test_several_kinds_are_printed_in_their_order_or_as_json() -> None:
    for options in ((), ("--json",)):
        argv = command("dmg_daemon", "run", "postgres", "redis", *options)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as it:
            lines = [it.stdout.readline().strip() for _ in range(1 if options else 2)]
            if options:
                found = json.loads(lines[0])
                assert list(found) == ["postgres", "redis"]
                assert set(found["redis"]) == {"url", "host", "port", "password", "directory"}
                assert found["redis"]["password"] is None
                assert Path(found["redis"]["directory"], "service.json").exists()
                lines = [one["url"] for one in found.values()]
            psycopg.connect(lines[0]).close()
            with redis.Redis.from_url(lines[1]) as client:
                assert client.ping()
            it.send_signal(signal.SIGTERM)
            assert it.wait(PATIENCE) == 0
        for url in lines:
            port = int(re.search(r":(\d+)/", url)[1])
            with pytest.raises(redis.ConnectionError):
                redis.Redis(port=port, retry=None).ping()


def test_where_one_cannot_start_there_is_none() -> None:
    done = run("postgres", "redis", "--option", "maxmemory=rather much", "--", "echo", "never")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dmg_daemon: Redis ")


@pytest.mark.parametrize(
    ("kind", "option", "words"),
    [
        ("redis", "maxmemory=lots", "maxmemory lots: argument must be a memory value"),
        ("nginx", "http=gopher on;", 'unknown directive "gopher"'),
        ("apache", "modules=gopher", "Apache has no module gopher"),
        ("mysql", "settings=gopher=1", "unknown variable 'gopher=1'"),
        ("postgres", "shared_buffers=lots", 'invalid value for parameter "shared_buffers": "lots"'),
        ("postgres", "settings=gopher=1", 'unrecognized configuration parameter "gopher"'),
        ("mosquitto", "acl_file=/nowhere", 'Unable to open acl_file "/nowhere"'),
    ],
)
def test_a_wrong_option_is_one_line_in_the_words_of_the_server(
    kind: str, option: str, words: str
) -> None:
    done = run(kind, "-o", option)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert "domogik-" not in done.stderr  # the directory, which is gone


@pytest.mark.parametrize("option", ["--directory", "--run-as", "--bind"])
def test_an_option_of_a_variable_that_is_empty_is_refused(option: str, tmp_path: Path) -> None:
    done = run("redis", option, "", "--", "echo", "never", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "'' is not " in done.stderr
    assert tmp_path.exists()  # the directory of whoever calls it is not removed in the end


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: KIND"),
        (["gopher"], "argument KIND: invalid choice: 'gopher'"),
        (["redis", "--"], "after -- a command is missing"),
        (["redis", "--json", "--", "true"], "--json cannot be used with a command"),
        (["redis", "redis"], "each kind is named once"),
        (["redis", "nginx", "--port", "2000"], "--port and --directory are for one kind alone"),
        (["redis", "--port", "x"], "argument --port: a number from 1 to 65535, not 'x'"),
        (["redis", "--port", "0"], "argument --port: a number from 1 to 65535, not '0'"),
        (["redis", "--option", "databases"], "'databases' lacks =VALUE"),
        (["redis", "--option", "appendonly=perhaps"], "appendonly is yes or no, not 'perhaps'"),
        (["redis", "nginx", "--option", "gopher=1"], "'gopher=1' is no option of redis, nginx"),
        (["redis", "--password-file", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
    ],
)
def test_wrong_usage_is_told_below_the_usage_of_run(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: dmg_daemon run [options] KIND")
    assert f"\ndmg_daemon run: error: {words}" in done.stderr


def test_nothing_to_do_is_told_below_the_usage_of_all() -> None:
    done = subprocess.run(command("dmg_daemon"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: dmg_daemon [-h]")
