"""The manager as its users meet it: real processes, real xPL, real REST."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from commands import run
from world import HOST, PATIENCE, World, XplClient, is_gone, wait_until

from domogik.xpl.codec.message import CMND, STAT, Message


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def running(world: World) -> World:
    """A manager whose plugin `demo` is enabled and alive."""
    world.add_plugin("demo")
    world.write_configuration("[plugins]\ndemo = enabled\n")
    world.start("-d")
    world.post("/api/v1/components/demo/start")
    return world


@pytest.fixture
def client(running: World) -> Iterator[XplClient]:
    """Another program on the network of that manager."""
    with XplClient(running) as made:
        yield made


def test_a_plugin_is_enabled_started_and_seen_alive(world: World) -> None:
    world.add_plugin("demo")
    world.start("-d")
    assert world.component("demo")["state"] == "disabled"
    world.post("/api/v1/components/demo/enable")
    assert "demo = enabled" in (world.home / "domogik.cfg").read_text()
    world.post("/api/v1/components/demo/start")
    demo = world.component("plugin:demo")
    assert demo["state"] == "alive"
    assert psutil.Process(demo["pid"]).environ()["DOMOGIK_SOURCE"] == f"domogik-demo.{HOST}"


def test_a_killed_plugin_comes_back(running: World) -> None:
    first = running.component("demo")["pid"]
    os.kill(first, signal.SIGKILL)
    second = wait_until(
        lambda: (
            (found := running.component("demo"))["state"] == "alive"
            and found["pid"] != first
            and found
        ),
        "alive again",
    )
    assert second["restarts"] == 1


def test_a_plain_stop_leaves_no_process(running: World) -> None:
    assert running.processes()
    assert running.stop() == 0
    assert running.processes() == []


def test_a_plugin_outlives_a_crash_of_the_manager_with_its_output_intact(running: World) -> None:
    pid = running.component("demo")["pid"]
    running.silence(pid)
    running.kill()
    os.kill(pid, signal.SIGCONT)
    running.start("-d")
    demo = running.wait_state("demo", "alive")
    assert demo["pid"] == pid
    assert running.stop() == 0
    assert running.processes() == []
    logged = (running.home / "log" / "plugin-demo.log").read_text().split("\n")
    numbers = [int(line.split()[1]) for line in logged if line.startswith("line ")]
    assert numbers == list(range(1, numbers[-1] + 1))


def test_what_ran_when_everything_crashed_is_started_again(running: World) -> None:
    pid = running.component("demo")["pid"]
    running.kill()
    os.kill(pid, signal.SIGKILL)
    running.start("-d")
    assert running.wait_state("demo", "alive")["pid"] != pid


def test_the_first_start_of_a_home_starts_what_is_enabled(world: World) -> None:
    world.autostart = True
    world.add_plugin("demo")
    world.write_configuration("[plugins]\ndemo = enabled\n")
    world.start("-d")
    world.wait_state("demo", "alive")


def test_after_a_plain_stop_and_start_an_enabled_plugin_runs(running: World) -> None:
    running.autostart = True
    running.stop()
    running.start("-d")
    running.wait_state("demo", "alive")


def test_a_stored_startup_plugin_keeps_it_back_and_its_removal_starts_it(running: World) -> None:
    running.autostart = True
    path = f"/plugin/config/set/hostname/{HOST}/id/demo/key/startup-plugin/value/False/"
    assert running.request(path)[1]["status"] == "OK"
    running.stop()
    running.start("-d")
    kept = wait_until(
        lambda: (found := running.component("demo"))["reason"] and found, "it says why"
    )
    assert (kept["state"], kept["enabled"]) == ("stopped", True)
    assert kept["reason"] == "it does not start with the manager: startup-plugin is False"
    path = "/api/v1/components/demo/config/startup-plugin"
    assert running.request(path, "DELETE")[0] == 200
    wait_until(lambda: not running.component("demo")["reason"], "it says so no more")
    running.stop()
    running.start("-d")
    running.wait_state("demo", "alive")


def test_a_key_that_is_not_declared_is_refused_by_every_way_to_set_it(running: World) -> None:
    said = "demo has no key 'intervall'. Did you mean interval?"
    path = f"/plugin/config/set/hostname/{HOST}/id/demo/key/intervall/value/7/"
    assert running.request(path)[1]["description"] == said
    refused = run(running, "dmg_ctl", "config", "demo", "set", "intervall", "7")
    assert (refused.returncode, said in refused.stderr) == (1, True)
    with XplClient(running) as client:
        body = (("technology", "demo"), ("hostname", HOST), ("key", "intervall"), ("value", "7"))
        client.send(Message(CMND, client.source, "*", schema="domogik.config", body=body))
        answer = client.expect(lambda message: message.get("key") and message.type == STAT)
        assert answer.get("error") == said
    assert running.request(f"/plugin/config/list/by-name/{HOST}/demo/")[1]["config"] == []
    assert run(running, "dmg_ctl", "config", "demo", "set", "interval", "7").returncode == 0

    # as an earlier release left it
    running.stop()
    with (
        contextlib.closing(sqlite3.connect(running.home / "data" / "domogik.db")) as database,
        database,
    ):
        database.execute("UPDATE plugin_config SET key = 'intervall'")
    running.start("-d")
    assert "intervall  7" in run(running, "dmg_ctl", "config", "demo").stdout
    assert run(running, "dmg_ctl", "config", "demo", "unset", "intervall").returncode == 0
    assert running.request(f"/plugin/config/list/by-name/{HOST}/demo/")[1]["config"] == []


def test_an_upgrade_keeps_the_children_and_the_process_id(running: World) -> None:
    pid = running.component("demo")["pid"]
    assert running.manager is not None
    started = psutil.Process(running.manager.pid).create_time()
    is_new = running.listens_anew()
    running.manager.send_signal(signal.SIGUSR2)
    wait_until(is_new, "listening again")
    demo = running.wait_state("demo", "alive")
    assert demo["pid"] == pid
    assert psutil.Process(running.manager.pid).create_time() == started
    assert running.stop() == 0
    assert running.processes() == []


def test_keep_children_leaves_them_for_the_next_manager(world: World) -> None:
    world.add_plugin("demo")
    world.write_configuration("[plugins]\ndemo = enabled\n")
    world.start("--keep-children")
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    assert world.stop() == 0
    assert psutil.pid_exists(pid)
    world.start()
    assert world.wait_state("demo", "alive")["pid"] == pid
    assert world.stop() == 0
    assert world.processes() == []


def test_a_plugin_that_stops_answering_is_noticed_and_recovers(world: World) -> None:
    world.add_plugin("demo")
    world.write_configuration("[plugins]\ndemo = enabled\n")
    world.start("-p", "-t", "0.3", "-w", "0.2")
    world.post("/api/v1/components/demo/start")
    deaf = world.home / "data" / "plugins" / "demo" / "deaf"
    deaf.touch()
    assert world.wait_state("demo", "not-responding")["reason"]
    deaf.unlink()
    world.wait_state("demo", "alive")


def test_orders_on_xpl_are_obeyed_and_answered(running: World, client: XplClient) -> None:
    client.order("stop", "demo")
    assert client.answer("stop") == {"command": "stop", "host": HOST, "plugin": "demo"}
    assert running.processes() == []
    client.order("stop", "demo")
    wait_until(lambda: running.component("demo")["state"] == "stopped", "stopped")
    client.order("start", "demo")
    answer = client.answer("start")
    assert answer == {"host": HOST, "command": "start", "plugin": "demo"}
    client.order("start", "demo")
    assert client.answer("start")["error"] == f"Component demo is already running on {HOST}"
    client.order("start", "ghost")
    assert client.answer("start")["error"] == f"Component ghost doesn't exists on {HOST}"
    client.order("disable", "demo")
    assert client.answer("disable")["error"] == (
        "Component 'demo' is running. Please stop it before trying to disable"
    )


def test_the_list_is_sent_when_a_status_changes(running: World, client: XplClient) -> None:
    client.send(
        Message(CMND, client.source, "*", schema="domogik.system", body=(("command", "list"),))
    )
    client.expect(lambda message: message.get("plugin0-status") == "ON")
    os.kill(running.component("demo")["pid"], signal.SIGKILL)
    client.expect(lambda message: message.get("plugin0-status") == "OFF")
    answer = dict(client.expect(lambda message: message.get("plugin0-status") == "ON").body)
    assert answer["plugin0-name"] == "demo"
    assert answer["plugin0-type"] == "plugin"
    assert answer["plugin0-techno"] == "service"
    assert answer["plugin0-host"] == HOST


def test_detail_tells_the_configuration_keys(running: World, client: XplClient) -> None:
    client.order("detail", "demo")
    answer = client.answer("detail")
    assert answer["cfg0-key"] == "startup-plugin"
    assert answer["cfg1-default"] == "5"
    assert answer["status"] == "ON"
    assert answer["version"] == "1.0"


def test_external_members_are_learnt_from_their_heartbeats(world: World) -> None:
    world.start("-E")
    with XplClient(world, "acme-lamp.kitchen"):
        found = world.wait_state("external:acme-lamp.kitchen", "alive")
    assert found["technology"] == "unknown"


def test_enabling_in_the_file_needs_no_restart_and_touches_nobody_else(running: World) -> None:
    running.add_plugin("other")
    pid = running.component("demo")["pid"]
    running.write_configuration("[plugins]\ndemo = enabled\nother = enabled\n")
    wait_until(
        lambda: running.request("/api/v1/components/other")[1].get("enabled"), "other is enabled"
    )
    demo = running.component("demo")
    assert (demo["pid"], demo["state"]) == (pid, "alive")


def test_a_package_that_is_put_there_in_development_is_noticed(running: World) -> None:
    running.add_plugin("later")
    wait_until(lambda: running.request("/api/v1/components/later")[0] == 200, "it is listed")
    descriptor = running.source / "later/src/share/domogik/plugins/later.xml"
    descriptor.write_text(descriptor.read_text().replace("1.0", "2.0"))
    wait_until(lambda: running.component("later")["version"] == "2.0", "its new release is seen")


def test_whom_rest_trusts_changes_without_a_restart(running: World) -> None:
    path = "/api/v1/components/demo/disable"
    assert running.request(path, "POST", token=False)[0] == 401
    file = running.home / "domogik.cfg"
    file.write_text(file.read_text().replace("[rest]", "[rest]\ntrusted_clients = 127.0.0.1"))
    wait_until(lambda: running.request(path, "POST", token=False)[0] == 409, "it is trusted")


def test_a_value_that_cannot_be_meant_is_refused_while_it_runs(running: World) -> None:
    file = running.home / "domogik.cfg"
    file.write_text(file.read_text().replace("[rest]", "xpl_trusted = everybody\n[rest]"))
    wait_until(
        lambda: "xpl_trusted" in running.component("core:manager")["reason"], "it is refused"
    )
    assert running.component("demo")["state"] == "alive"


def test_a_broken_file_is_refused_and_the_last_good_one_stays(running: World) -> None:
    file = running.home / "domogik.cfg"
    good = file.read_text()
    file.write_text(good + "[plugins\n")
    wait_until(lambda: "the configuration stays as it was" in running.output(), "refused")
    refusal = next(line for line in running.output().split("\n") if "stays as it was" in line)
    assert f"{file}:{good.count(chr(10)) + 1}" in refusal
    assert running.component("demo")["enabled"] is True
    file.write_text(good.replace("demo = enabled", "demo = disabled"))
    wait_until(lambda: running.component("demo")["enabled"] is False, "disabled")
    assert running.component("demo")["state"] == "alive"


def _refusal(world: World, *arguments: str) -> str:
    done = subprocess.run(
        world.command("-f", *arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done
    return [line for line in done.stderr.split("\n") if line][-1]


def test_a_second_manager_of_one_home_refuses_and_names_the_first(running: World) -> None:
    assert running.manager is not None
    assert f"pid {running.manager.pid}" in _refusal(running)
    assert running.component("demo")["state"] == "alive"


def test_a_taken_hub_port_is_said_in_one_line(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        world.write_configuration(xpl_port=str(port), hub="embedded")
        assert str(port) in _refusal(world)


def test_a_taken_rest_port_is_said_in_one_line(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = world.home / "domogik.cfg"
        file.write_text(file.read_text().replace("server_port = 0", f"server_port = {port}"))
        assert f"port {port}" in _refusal(world, "-r", "-t", "0.2")


def test_a_broken_configuration_keeps_it_from_starting(world: World) -> None:
    file = world.home / "domogik.cfg"
    file.write_text("[domogik]\nhub = sometimes\n")
    assert f"{file}:2" in _refusal(world)


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "domogik.app", "manager", "--bogus"],
        [sys.executable, "-m", "domogik.app", "manager", "-t", "soon"],
    ],
)
def test_wrong_usage_ends_with_2(command: list[str]) -> None:
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_twistd_runs_it_too(world: World) -> None:
    twistd = str(Path(sys.executable).parent / "twistd")
    done = subprocess.run([twistd, "domogik-manager", "--bogus"], capture_output=True, check=False)
    assert done.returncode == 2
    world.start(
        command=[
            twistd,
            "-n",
            "--pidfile",
            str(world.home / "twistd.pid"),
            "domogik-manager",
            "--rest",
            "--home",
            str(world.home),
        ]
    )
    assert world.component("core:manager")["state"] == "running"
    assert world.stop() == 0


def test_in_the_background_a_relative_home_is_the_one_that_was_meant(world: World) -> None:
    command = [*world.command("--wait")[:-2], "home", "--wait"]
    assert command[-3] == "--home"
    done = subprocess.run(
        command,
        cwd=world.home.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done
    pid = int((world.home / "run" / "manager.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: is_gone(pid), "gone")


def test_in_the_background_it_returns_when_ready_and_tells_its_progress(world: World) -> None:
    done = subprocess.run(
        world.command("-d", "-r", "--wait"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done
    assert "Check if rest is running." in done.stdout
    pid = int((world.home / "run" / "manager.pid").read_text())
    assert done.stdout.splitlines()[:3] == [
        f"address: http://127.0.0.1:{world.rest_port}",
        f"log:     {world.home / 'log' / 'manager.log'}",
        f"to stop: kill {pid}",
    ]
    assert done.stdout.splitlines()[-1] == "ready"
    assert world.component("core:rest")["state"] == "running"
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: is_gone(pid), "gone")


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("clock", "diskfree", "ping", "script")


@pytest.fixture
def examples(world: World) -> World:
    """A manager whose example plugins are all alive."""
    enabled = "".join(f"{name} = enabled\n" for name in NAMES)
    world.write_configuration(f"[plugins]\n{enabled}", src_prefix=str(EXAMPLES))
    world.start("-d", "-p")
    for name in NAMES:
        world.post(f"/api/v1/components/{name}/start")
    return world


def test_the_example_plugins_run_under_a_real_manager(examples: World) -> None:
    assert {examples.component(name)["state"] for name in NAMES} == {"alive"}
    usage = examples.component("clock")["usage"]
    assert usage["memory_bytes"] > 2**20
    assert usage["processes"] == 1
    assert usage["open_files"] > 3
    assert examples.stop() == 0
    assert examples.processes() == []


def test_a_plugin_that_obeys_the_order_itself_is_answered_for_once_and_not_restarted(
    examples: World,
) -> None:
    pid = examples.component("clock")["pid"]
    with XplClient(examples) as client:
        client.order("stop", "clock")
        assert client.answer("stop") == {"command": "stop", "host": HOST, "plugin": "clock"}
        assert is_gone(pid)
        client.order("stop", "clock")
        assert client.answer("stop")["command"] == "stop"
        client.order("detail", "clock")
        between = []

        def is_detail(message: Message) -> bool:
            between.append(message)
            return message.type == "xpl-trig" and message.get("command") == "detail"

        assert client.expect(is_detail).get("status") == "OFF"
        assert not [
            message
            for message in between
            if message.type == "xpl-trig" and message.get("command") == "stop"
        ]
    clock = examples.component("clock")
    assert (clock["state"], clock["restarts"]) == ("stopped", 0)


def test_the_second_terminal_of_the_banner_works_as_it_is_printed(world: World) -> None:
    program = Path(sys.executable).with_name("dmg_manager")
    world.start(command=[str(program), "-f", "-d", "-r", "--home", str(world.home)])
    wait_until(lambda: "dmg_dump" in world.output(), "the banner is whole")
    _, _, banner = world.output().partition("Try in a second terminal:\n")
    lines = banner.splitlines()
    commands = [line.removeprefix("  ") for line in lines[: lines.index("  dmg_ctl status") + 1]]
    assert commands[0].startswith(f". {program.parent}/activate")
    assert f"export DOMOGIK_HOME={world.home}" in "\n".join(commands)
    done = subprocess.run(
        ["sh", "-ec", "\n".join(commands)],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "core:manager" in done.stdout
    assert world.stop() == 0
