"""A clock that is set while everything runs: nothing freezes, and what is told stays wall time."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from namespaces import need_root
from world import HOST, PLUGIN, World, free_port, wait_until

#: hears no TERM
DEAF = PLUGIN.replace("signal.signal(signal.SIGTERM, leave)", "signal.signal(15, signal.SIG_IGN)")

#: a program, and what tells whether its reactor runs on the clock that nobody sets, then ends it
PROBED = """
import os, runpy, signal, sys, threading, time
def look():
    while not getattr(sys.modules.get("twisted.internet.reactor"), "running", False):
        time.sleep(0.01)
    reactor = sys.modules["twisted.internet.reactor"]
    calls = [call.getTime() - time.monotonic() for call in reactor.getDelayedCalls()]
    steady = reactor.seconds is time.monotonic and all(-60 < left < 86401 for left in calls)
    os.write(1, f"\\n{type(reactor).__name__} steady={steady}\\n".encode())
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=look, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

FROM_MODULE = "import sys; from {} import {} as main; sys.exit(main())"

PLUGINS = {
    "as in the guide": "from domogik.plugin import Plugin, run\nrun(Plugin)\n",
    "the reactor first": """
from twisted.internet import reactor
reactor.callLater(50, print)
from domogik.plugin import Plugin, run
run(Plugin)
""",
    "in a thread": """
import threading
from domogik.plugin import Plugin
from domogik.plugin.program import run_beside
run_beside(Plugin(), print)
threading.Event().wait()
""",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


class SetClock:
    """The wall clock of what is started behind `prefix`, and of nobody else."""

    def __init__(self, directory: Path) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            sentence = "setting a clock needs libfaketime: apt-get install faketime"
            pytest.fail(sentence) if os.environ.get("CI") == "true" else pytest.skip(sentence)
        self._file = directory / "clock"
        self.set("+0")
        self.prefix = (
            "env",
            f"LD_PRELOAD={found[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "DONT_FAKE_MONOTONIC=1",
        )

    def set(self, offset: str) -> None:
        """By so many seconds from the true time."""
        draft = self._file.with_suffix(".new")
        draft.write_text(offset)
        draft.replace(self._file)


@pytest.mark.parametrize("moves", [("-3600",), ("+3600", "+0"), ("+86400",)], ids=" then ".join)
def test_supervision_goes_on_when_the_clock_is_set(world: World, moves: tuple[str, ...]) -> None:
    clock = SetClock(world.home.parent)
    world.prefix = clock.prefix
    world.add_plugin("demo")
    world.add_plugin("deaf", DEAF)
    world.write_configuration(
        "[plugins]\ndemo = enabled\ndeaf = enabled\n[component:plugin:deaf]\nstop_timeout = 1\n"
    )
    world.start("-p", "-t", "1", "-w", "1")
    for name in ("demo", "deaf"):
        world.post(f"/api/v1/components/{name}/start")
    for offset in moves:
        clock.set(offset)
        wait_until(lambda: world.request("/api/v1/components")[0] == 200, "it still answers")

        first = world.component("demo")["pid"]
        os.kill(first, signal.SIGSTOP)
        world.wait_state("demo", "not-responding")
        os.kill(first, signal.SIGKILL)
        wait_until(
            lambda first=first: (
                (now := world.component("demo"))["state"] == "alive" and now["pid"] != first
            ),
            "a killed plugin is back",
        )

        world.post("/api/v1/components/deaf/stop")
        world.post("/api/v1/components/deaf/start")
    assert world.stop() == 0


def _script(directory: Path, text: str, name: str = "program.py") -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


PROGRAMS = {
    "dmg_manager": ("domogik.app.commands.start", "manager", ("-f",)),
    "dmg_hub": ("domogik.app.commands.start", "hub", ("-f",)),
    "dmg_dbmgr": ("domogik.app.commands.start", "dbmgr", ("-f",)),
    "dmg_rest": ("domogik.app.commands.start", "rest", ("-f",)),
    "dmg_daemon": ("domogik.app.commands.start", "daemon", ("run", "redis")),
    **{
        f"twistd {name}{option}": (
            "twisted.scripts.twistd",
            "run",
            (*filter(None, [option.strip()]), "-n", "--pidfile=", f"domogik-{name}"),
        )
        for name in ("manager", "hub", "dbmgr", "rest")
        for option in ("", " --reactor=select", " --reactor=asyncio")
    },
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_of_ours_waits_by_the_clock_that_nobody_sets(world: World, name: str) -> None:
    module, function, arguments = PROGRAMS[name]
    if name == "dmg_daemon" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    # whoever runs without a manager has to be told where the hub would be
    world.write_configuration(xpl_port=str(free_port(socket.SOCK_DGRAM)))
    home = () if name == "dmg_daemon" else ("--home", str(world.home))
    program = _script(world.home.parent, FROM_MODULE.format(module, function))
    assert _probe(program, *arguments, *home, home=world.home).endswith("steady=True")


@pytest.mark.parametrize("text", PLUGINS.values(), ids=PLUGINS)
def test_a_plugin_waits_by_it_too(world: World, text: str) -> None:
    said = _probe(_script(world.home.parent, text, "hello.py"), home=world.home)
    assert said.endswith("steady=True")


def test_somebody_elses_program_keeps_its_clock(world: World) -> None:
    text = """
from twisted.internet import reactor
import domogik.daemons.testing, domogik.plugin, twisted.plugins.domogik_dropin
from domogik.app.commands.daemons import KINDS
from domogik.daemons.throwaway.blocking import Turns
Turns().close()
reactor.run()
"""
    said = _probe(_script(world.home.parent, text), home=world.home)
    assert said.endswith("steady=False")


def _probe(program: str, *arguments: str, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROBED, program, *arguments],
        env=dict(os.environ, DOMOGIK_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=home.parent,
        check=False,
    )
    found = re.search(r"^.* steady=\w+$", done.stdout, re.M)
    assert found, done.stdout + done.stderr
    return found[0]


#: seconds that the steady clock of a test is ahead: 22 years, so no other number looks like it
AHEAD = 700_000_000
#: a moment of that clock, alone or as a date
STEADY = re.compile(r"(?<![\w.])70[0-9]{7}(?![0-9])|(?<!\d)1992-0[345]|0[345]/1992|Mar 1992")

RINOR = ("/", "/plugin/list/", f"/plugin/detail/{HOST}/demo", "/host/", "/package/list-repo")


def _everything_read(world: World) -> dict[str, Any]:
    """All that v1 answers without a body, as far as its own description names it; and RINOR."""
    _, described = world.request("/api/v1/openapi.json")
    paths = {
        path.replace("{id}", "demo")
        for path, methods in described["paths"].items()
        if "get" in methods and "text/event-stream" not in str(methods["get"])
    }
    found = {}
    for path in (*RINOR, *(one for one in sorted(paths) if "{" not in one)):
        with contextlib.suppress(ValueError):  # what is no JSON has no moments: metrics, logs
            found[path] = world.request(path)
    return found


def test_what_is_stored_or_shown_is_wall_time(world: World) -> None:
    """With the steady clock 22 years ahead its readings are not to be found anywhere."""
    need_root("a clock of a test's own")
    world.prefix = ("unshare", "--time", "--fork", "--kill-child", "--monotonic", str(AHEAD))
    world.add_plugin("demo")
    world.write_configuration("[plugins]\ndemo = enabled\n")
    world.start("-d", "-E", "-p")
    world.post("/api/v1/components/demo/start")
    world.request("/events/domogik/new")
    words = f"hostname/{HOST}/id/demo/key/interval/value/7"
    assert world.request(f"/plugin/config/set/{words}")[1]["status"] == "OK"
    world.post("/api/v1/components/demo/diagnose")
    world.post("/api/v1/components/demo/restart")

    shown = _everything_read(world)
    assert not [f"{path}: {answer}" for path, answer in shown.items() if _steady(answer)]
    assert {"/", "/api/v1/components/demo", "/api/v1/issues"} <= shown.keys()
    assert not {str(path): found for path in _files(world.home) if (found := _steady_in(path))}
    os.kill(_manager_inside(world), signal.SIGTERM)
    assert world.manager is not None
    world.manager.wait(60)
    assert not {str(path): found for path in _files(world.home) if (found := _steady_in(path))}


def _manager_inside(world: World) -> int:
    return int((world.home / "run" / "manager.pid").read_text())


def _steady(said: Any) -> list[str]:
    return STEADY.findall(str(said))


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]


def _steady_in(path: Path) -> list[str]:
    if path.suffix != ".db":
        return _steady(path.read_bytes().decode("latin-1"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
        ).fetchall()
        return _steady(
            [connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables]
        )
