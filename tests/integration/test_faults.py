"""Plugins that misbehave, and floods: the manager says what is wrong and goes on."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest
from hostile import left_of
from namespaces import need_root
from world import HOST, PLUGIN, World, XplClient, wait_until

#: lines of 64 bytes that the flooding plugin writes: 64 MB, nightly 320 MB
FLOOD_LINES = 5_000_000 if os.environ.get("DOMOGIK_NIGHTLY") else 1_000_000
DATAGRAMS = 200_000

#: sends as fast as it can until it has sent its number and is told to end
SENDER = r"""
import select, socket, sys
port, wanted = int(sys.argv[1]), int(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
good = b"xpl-stat\n{\nhop=1\nsource=acme-flood.here\ntarget=*\n}\nsensor.basic\n{\ncurrent=1\n}\n"
kinds = [good, b"junk", b"xpl-cmnd\n{\nhop=1\n", good.replace(b"acme", b"\xff\x00"), b"x" * 1400]
sent = 0
while sent < wanted or not select.select([sys.stdin], [], [], 0)[0]:
    for data in kinds * 100:
        try:
            sock.sendto(data, ("127.0.0.1", port))
        except OSError:
            pass
    if sent == 0:
        print("flooding", flush=True)
    sent += 500
print(sent, flush=True)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def _enabled(*names: str) -> str:
    return "[plugins]\n" + "".join(f"{name} = enabled\n" for name in names)


def _start(world: World, name: str) -> tuple[int, str]:
    """The status of the answer, and the error in it."""
    status, body = world.request(f"/api/v1/components/{name}/start", "POST")
    return status, (body or {}).get("detail", "")


BAD = {
    # name: (script, the state it ends in, words of the reason)
    "missing": (None, "failed", "missing.py is nowhere in"),
    "noread": (PLUGIN, "failed", "exit status 2"),
    "dir": (None, "failed", "dir.py is nowhere in"),
    "broken": (hostile.RAISES, "failed", "exit status 1"),
    "exits3": (hostile.EXITS_WITH_3, "failed", "exit status 3"),
    "killed": (hostile.KILLS_ITSELF, "failed", "killed by SIGKILL"),
    "mute": (hostile.NEVER_SPEAKS, "failed", "did not answer within 0.5 s"),
    "forks": (hostile.FORKS, "failed", "did not answer within 0.5 s"),
}


def _make_bad_ones(world: World) -> None:
    for name, (script, _, _) in BAD.items():
        world.add_plugin(name, script or PLUGIN)
    scripts = {
        name: world.source / name / "src" / "domogik_packages" / "xpl" / "bin" / f"{name}.py"
        for name in BAD
    }
    scripts["missing"].unlink()
    scripts["noread"].chmod(0)
    scripts["dir"].unlink()
    scripts["dir"].mkdir()


def test_every_bad_plugin_gets_a_state_and_a_reason(world: World) -> None:
    world.prefix = hostile.mortal()
    _make_bad_ones(world)
    world.add_plugin("good")
    world.write_configuration(
        "[supervision]\nrestart = no\nstop_timeout = 1\n"
        "[component:plugin:mute]\nstart_timeout = 0.5\n"
        "[component:plugin:forks]\nstart_timeout = 0.5\n" + _enabled("good", *BAD)
    )
    world.start("-d")
    assert _start(world, "good") == (200, "")
    with XplClient(world) as client:
        for name in BAD:
            refused, error = _start(world, name)
            assert refused == 409, name
            assert name in error
            assert f"dmg_ctl logs {name}" in error or f"dmg_ctl diagnose {name}" in error
            client.order("start", name)
            assert client.answer("start") == {
                "host": HOST,
                "command": "start",
                "plugin": name,
                "error": f"Component {name} failed to start. "
                "Please look in this component log files",
            }
    told = {name: world.wait_state(name, state)["reason"] for name, (_, state, _) in BAD.items()}
    for name, (_, _, words) in BAD.items():
        assert words in told[name], (name, told[name])
    said = (world.home / "log" / "plugin-exits3.log").read_text()
    assert said == "no such lamp\n" * 2
    assert world.component("good")["state"] == "alive"
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_a_plugin_that_keeps_failing_is_tried_again_and_then_called_failed(world: World) -> None:
    world.add_plugin("exits3", hostile.EXITS_WITH_3)
    world.write_configuration(
        "[supervision]\nbackoff_first = 0.05\nbackoff_max = 0.1\nstart_limit = 3\n"
        + _enabled("exits3")
    )
    world.start()
    assert _start(world, "exits3")[0] == 409
    found = world.wait_state("exits3", "failed")
    assert found["restarts"] >= 2
    assert "exit status 3" in found["reason"]


def test_a_stop_ends_those_who_do_not_want_to_go(world: World) -> None:
    for name, script in (
        ("deaf", hostile.DEAF),
        ("family", hostile.FAMILY),
        ("deaf2", hostile.DEAF),
        ("family2", hostile.FAMILY),
    ):
        world.add_plugin(name, script)
    world.write_configuration(
        "[supervision]\nstop_timeout = 0.5\n" + _enabled("deaf", "family", "deaf2", "family2")
    )
    world.start()
    for name in ("deaf", "family", "deaf2", "family2"):
        assert _start(world, name) == (200, "")
    everyone = 4 + 2 * hostile.FAMILY_SIZE
    manager = 1
    # who has just been executed has no command line for a moment
    wait_until(lambda: len(left_of(world.home)) == everyone + manager, "all of them are there")
    for name in ("deaf", "family"):
        world.post(f"/api/v1/components/{name}/stop")
        assert world.component(name)["state"] == "stopped"
    assert len(left_of(world.home)) == everyone // 2 + manager
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_the_family_of_a_killed_plugin_goes_before_it_is_started_again(world: World) -> None:
    world.add_plugin("family", hostile.MARKED_FAMILY)
    world.write_configuration(
        "[supervision]\nstop_timeout = 0.5\nbackoff_first = 0\n" + _enabled("family")
    )
    world.start()
    assert _start(world, "family") == (200, "")
    first = world.component("family")["pid"]
    os.kill(first, 9)
    wait_until(
        lambda: (found := world.component("family"))["state"] == "alive" and found["pid"] != first,
        "alive again",
    )
    expected = 1 + 1 + hostile.MARKED_FAMILY_SIZE
    wait_until(lambda: len(left_of(world.home)) == expected, "a whole family, and one only")


def _logged(directory: Path, name: str) -> Iterator[str]:
    """Every line of a component, the oldest piece first."""
    pieces = [path for path in directory.iterdir() if path.name.startswith(f"{name}.log.")]
    for path in sorted(pieces, key=lambda path: -int(path.name.split(".")[2])):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            yield from lines
    with (directory / f"{name}.log").open() as lines:
        yield from lines


def test_a_flood_of_output_is_kept_whole_and_the_manager_answers(world: World) -> None:
    world.add_plugin("flood", hostile.FLOOD)
    world.write_configuration(
        "[supervision]\nlog_max_size = 10M\nlog_files = 100\n" + _enabled("flood")
    )
    data = world.home / "data" / "plugins" / "flood"
    data.mkdir(parents=True)
    (data / "much").write_text(str(FLOOD_LINES))
    world.start()
    assert _start(world, "flood") == (200, "")
    answered = 0
    while not (data / "done").exists():
        assert world.request("/plugin/list")[1]["status"] == "OK"
        answered += 1
    assert answered
    world.post("/api/v1/components/flood/stop")
    assert world.stop() == 0
    expected = 0
    for line in _logged(world.home / "log", "plugin-flood"):
        if line.startswith("flood "):
            assert int(line.split()[1]) == expected
            expected += 1
    assert expected == FLOOD_LINES
    assert len(list((world.home / "log").glob("plugin-flood.log.*"))) >= 5


def test_a_full_disk_is_told_and_the_plugin_goes_on(world: World) -> None:
    need_root("a small disk of its own")
    world.add_plugin("flood", hostile.FLOOD)
    world.add_plugin("other")
    world.write_configuration(_enabled("flood", "other"))
    (world.home / "log").mkdir()
    data = world.home / "data" / "plugins" / "flood"
    data.mkdir(parents=True)
    (data / "much").write_text("100000")
    mount = f"mount -t tmpfs -o size=1M none '{world.home}/log' && exec \"$@\""
    world.prefix = ("unshare", "--mount", "sh", "-c", mount, "sh")
    world.start("-d")
    assert _start(world, "flood") == (200, "")
    wait_until((data / "done").exists, "it wrote everything")
    found = world.component("flood")
    assert found["state"] == "alive"
    assert "its output is lost" in found["reason"]
    assert "No space left on device" in found["reason"]
    assert _start(world, "other") == (200, "")
    path = f"/plugin/config/set/hostname/{HOST}/id/other/key/interval/value/7/"
    assert world.request(path)[1]["status"] == "OK"
    assert world.manager is not None
    full = Path(f"/proc/{world.manager.pid}/root{world.home}/log")
    for path_of_log in full.iterdir():
        path_of_log.unlink()
    wait_until(lambda: not world.component("flood")["reason"], "its output is kept again")
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_a_flood_of_datagrams_leaves_the_manager_answering(world: World) -> None:
    world.add_plugin("demo")
    world.write_configuration(_enabled("demo"))
    world.start("-p", "-t", "0.3", "-w", "0.1")
    assert _start(world, "demo") == (200, "")
    port = (world.home / "run" / "xpl.port").read_text().strip()
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, port, str(DATAGRAMS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sender:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "flooding\n"
        for _ in range(5):
            (host,) = world.request("/plugin/list")[1]["plugin"]
            assert [entry["id"] for entry in host["list"]] == ["demo"]
        assert sender.poll() is None
        sent, _ = sender.communicate("enough\n")
    assert int(sent) >= DATAGRAMS
    assert world.component("demo")["restarts"] == 0
    deaf = world.home / "data" / "plugins" / "demo" / "deaf"
    deaf.touch()
    world.wait_state("demo", "not-responding")
    deaf.unlink()
    world.wait_state("demo", "alive")
    invalid = world.home / "log" / "hub-invalid.log"
    assert 0 < invalid.stat().st_size < 20 * 2**20
    assert world.stop() == 0
    assert left_of(world.home) == []
