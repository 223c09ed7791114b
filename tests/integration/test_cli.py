"""`dmg_ctl`, `dmgenplug` and `dmgdisplug` as their users meet them: real processes, real REST."""

from __future__ import annotations

import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificate import self_signed
from commands import begin, command, end, end_all, environment, on_a_terminal, run
from hostile import RELUCTANT
from world import HOST, PATIENCE, PLUGIN, World, XplClient, sent_again_and_again, wait_until

#: its output is long, in many lines
TALKATIVE = PLUGIN.replace(
    "count = 0\n",
    'print("\\n".join(f"{n} " + "x" * (n % 500) for n in range(30000)), flush=True)\ncount = 0\n',
).replace('print("line", count, flush=True)', "pass")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One manager for all who leave it as they found it; `demo` is enabled and stopped."""
    made = World(tmp_path_factory.mktemp("cli"))
    for name, script in (
        ("demo", PLUGIN),
        ("tell", TALKATIVE),
        ("deaf1", RELUCTANT),
        ("deaf2", RELUCTANT),
    ):
        made.add_plugin(name, script)
    made.write_configuration(
        "[supervision]\nstop_timeout = 3000\n[plugins]\ndemo = enabled\ntell = enabled\n"
        "deaf1 = enabled\ndeaf2 = enabled\n"
    )
    made.start()
    yield made
    made.close()


def token(world: World) -> str:
    return (world.home / "admin.token").read_text().strip()


# looking and ordering


def test_a_plugin_is_started_looked_at_and_stopped(world: World) -> None:
    started = run(world, "dmg_ctl", "start", "demo")
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout.startswith("plugin:demo: alive, enabled (pid ")
    pid = world.component("demo")["pid"]
    shown = run(world, "dmg_ctl", "status", "plugin:demo")
    assert shown.returncode == 0
    title, line = shown.stdout.splitlines()
    assert title.split() == [
        "COMPONENT", "STATE", "ENABLED", "PID", "SINCE", "RESTARTS", "CPU", "MEM", "REASON",
    ]  # fmt: skip
    assert line.split()[:4] == ["plugin:demo", "alive", "yes", str(pid)]
    stopped = run(world, "dmg_ctl", "stop", "demo")
    assert stopped.stdout == "plugin:demo: stopped, enabled\n"


def test_status_without_a_name_shows_all(world: World) -> None:
    shown = run(world, "dmg_ctl", "status").stdout
    names = [line.split()[0] for line in shown.splitlines()[1:]]
    assert {"core:manager", "core:rest", "plugin:demo", "plugin:tell"} <= set(names)


def test_json_is_the_list_of_components_as_the_api_has_them(world: World) -> None:
    before = run(world, "dmg_ctl", "--json", "status")
    after = run(world, "dmg_ctl", "status", "--json")
    listed = world.request("/api/v1/components")[1]["components"]
    assert json.loads(before.stdout) == json.loads(after.stdout) == listed
    one = json.loads(run(world, "dmg_ctl", "status", "demo", "--json").stdout)
    assert [component["id"] for component in one] == ["plugin:demo"]
    enabled = json.loads(run(world, "dmg_ctl", "--json", "enable", "demo").stdout)
    assert [component["enabled"] for component in enabled] == [True]


def test_enabling_and_disabling_are_for_the_next_start(world: World) -> None:
    assert run(world, "dmg_ctl", "disable", "demo").stdout == "plugin:demo: disabled\n"
    assert "demo = disabled" in (world.home / "domogik.cfg").read_text()
    assert run(world, "dmg_ctl", "enable", "demo").stdout == "plugin:demo: stopped, enabled\n"


def test_what_is_unknown_is_said_and_the_rest_is_still_done(world: World) -> None:
    result = run(world, "dmg_ctl", "status", "ghost", "demo")
    assert result.returncode == 1
    assert result.stderr == f"dmg_ctl: There is no component ghost on {HOST}.\n"
    assert "plugin:demo" in result.stdout
    result = run(world, "dmg_ctl", "enable", "ghost", "demo")
    assert (result.returncode, result.stdout) == (1, "plugin:demo: stopped, enabled\n")


@pytest.mark.parametrize("name", ["Küche", "plugin:台所", "a/b", "..", "a b?c=d#e", "%00", "-- x"])
def test_a_component_may_be_called_anything(world: World, name: str) -> None:
    result = run(world, "dmg_ctl", "status", "--", name)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("dmg_ctl: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_slow_components_are_stopped_together(world: World) -> None:
    assert run(world, "dmg_ctl", "start", "deaf1", "deaf2").returncode == 0
    stopping = begin(world, "dmg_ctl", "stop", "deaf1", "deaf2")
    for name in ("deaf1", "deaf2"):
        world.wait_state(name, "stopping")
    (world.home / "data" / "plugins" / "gone").touch()
    status, output, errors = end(stopping)
    assert (status, errors) == (0, "")
    assert [line.split(":")[1] for line in output.splitlines()] == ["deaf1", "deaf2"]


def test_an_unknown_host_is_said_at_once(world: World) -> None:
    for arguments in (["status"], ["start", "demo"], ["logs", "demo"]):
        result = run(world, "dmg_ctl", *arguments, "--host", "mars")
        assert result.returncode == 1
        assert result.stderr == f"dmg_ctl: no host 'mars' was heard; known: {HOST}\n"
    assert run(world, "dmg_ctl", "--host", HOST, "status", "demo").returncode == 0


def test_somebody_who_watches_sees_every_change(world: World) -> None:
    watching = begin(world, "dmg_ctl", "status", "demo", "--watch", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())[0]["state"] == "stopped"
    world.post("/api/v1/components/demo/start")
    while json.loads(watching.stdout.readline())[0]["state"] != "alive":
        pass
    world.post("/api/v1/components/demo/stop")
    while json.loads(watching.stdout.readline())[0]["state"] != "stopped":
        pass
    status, _, errors = end(watching, signal.SIGINT)
    assert (status, errors) == (130, "")


# who may


def test_with_a_wrong_token_nothing_is_done_and_no_token_is_shown(world: World) -> None:
    for arguments in (["status"], ["start", "demo"]):
        result = run(world, "dmg_ctl", *arguments, DOMOGIK_TOKEN="wrong-s3cret")
        assert result.returncode == 1
        assert "not the token of this host" in result.stderr
        assert "s3cret" not in result.stdout + result.stderr
        assert token(world) not in result.stdout + result.stderr


def test_without_a_token_one_may_look_and_is_told_how_to_do_more(
    world: World, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{world.rest_port}"
    looked = run(tmp_path, "dmg_ctl", "--url", url, "status", "demo")
    assert looked.returncode == 0
    result = run(tmp_path, "dmg_ctl", "start", "demo", DOMOGIK_URL=url)
    assert result.returncode == 1
    assert "--token-file" in result.stderr
    file = tmp_path / "token"
    file.write_text(token(world))
    arguments = ("--url", url, "--token-file", str(file))
    assert run(tmp_path, "dmg_ctl", "enable", "demo", *arguments).returncode == 0


def test_over_tls_exactly_the_certificate_of_the_home_is_believed(tmp_path: Path) -> None:
    own = World(tmp_path)
    pem = self_signed(tmp_path, "attic")
    other = self_signed(tmp_path, "cellar")
    configuration = own.home / "domogik.cfg"
    secure = f"rest_use_ssl = yes\nrest_ssl_certificate = {pem}\n"
    configuration.write_text(f"{configuration.read_text()}{secure}")
    own.start()
    (own.home / "run" / "manager.sock").unlink()  # who asks over the network has no socket
    try:
        believed = run(own, "dmg_ctl", "status", "core:rest")
        assert (believed.returncode, believed.stderr) == (0, "")
        url = f"https://127.0.0.1:{own.rest_port}"
        stranger = run(own, "dmg_ctl", "status", "--url", url)
        assert stranger.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.stderr
        changed = tmp_path / "changed.cfg"
        changed.write_text(configuration.read_text().replace(str(pem), str(other)))
        assert run(own, "dmg_ctl", "status", "--config", str(changed)).returncode == 1
    finally:
        own.close()


# what goes wrong


def test_where_no_manager_runs_one_line_says_how_to_start_it(tmp_path: Path) -> None:
    result = run(tmp_path, "dmg_ctl", "status")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"dmg_manager --home {tmp_path} " in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_manager_that_was_killed_left_its_port_and_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket() as nobody:  # bound, so that nobody else gets the port
        nobody.bind(("127.0.0.1", 0))
        (tmp_path / "run" / "rest.port").write_text(str(nobody.getsockname()[1]))
        result = run(tmp_path, "dmg_ctl", "status")
    assert result.returncode == 1
    assert "nothing answers at http://127.0.0.1:" in result.stderr
    assert "dmg_manager" in result.stderr


class Stranger(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if "first" in self.path else 200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"<p>Hi!")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_another_program_at_that_address_is_not_taken_for_a_manager(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        results = [run(tmp_path, "dmg_ctl", "--url", f"{url}/{path}", "status") for path in "ab"]
        results.append(run(tmp_path, "dmg_ctl", "--url", f"{url}/first", "status"))
        server.shutdown()
        thread.join()
    for result in results:
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert url in result.stderr
    assert "not Domogik's REST (404 Not Found)" in results[-1].stderr


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    for name in ("dmg_ctl", "dmg_send", "dmgenplug"):
        result = run(tmp_path, name)
        assert result.returncode == 2
        assert f"usage: {name}" in result.stderr
    assert run(tmp_path, "dmg_dump", "surplus").returncode == 2


# logs


def test_of_a_very_long_log_the_last_lines_are_shown_as_they_are(world: World) -> None:
    run(world, "dmg_ctl", "start", "tell")
    last = f"29999 {'x' * (29999 % 500)}"
    lines = wait_until(
        lambda: (
            (found := run(world, "dmg_ctl", "logs", "tell", "-n", "10000").stdout.splitlines())
            and found[-2:-1] == [f"29998 {'x' * (29998 % 500)}"]
            and found[-1] == last
            and found
        ),
        "the whole output",
    )
    run(world, "dmg_ctl", "stop", "tell")
    assert lines == [f"{number} {'x' * (number % 500)}" for number in range(20000, 30000)]


def test_a_log_is_followed_while_its_plugin_is_restarted(world: World) -> None:
    run(world, "dmg_ctl", "start", "demo")
    following = begin(world, "dmg_ctl", "logs", "demo", "-f", "-n", "0")
    assert following.stdout is not None
    assert following.stdout.readline().startswith("line ")
    assert run(world, "dmg_ctl", "restart", "demo").returncode == 0
    pid = world.component("demo")["pid"]
    while following.stdout.readline() != f"plugin demo pid {pid}\n":
        pass
    assert following.stdout.readline() == "line 1\n"
    status, _, errors = end(following, signal.SIGINT)
    assert (status, errors) == (130, "")
    run(world, "dmg_ctl", "stop", "demo")


def test_the_log_of_the_manager_and_its_parts_is_the_managers_own(world: World) -> None:
    for name in ("manager", "core:rest"):
        done = run(world, "dmg_ctl", "logs", name)
        assert done.returncode == 0, done
        assert "is ready" in done.stdout
    assert len(run(world, "dmg_ctl", "logs", "-n", "1", "manager").stdout.splitlines()) == 1


def test_as_json_a_log_has_an_object_a_line(world: World) -> None:
    run(world, "dmg_ctl", "start", "demo")
    lines = run(world, "dmg_ctl", "logs", "demo", "-n", "1", "--json").stdout.splitlines()
    run(world, "dmg_ctl", "stop", "demo")
    assert len(lines) == 1
    assert list(json.loads(lines[0])) == ["line"]


def test_who_reads_no_further_is_not_complained_to(world: World) -> None:
    run(world, "dmg_ctl", "start", "demo")
    following = begin(world, "dmg_ctl", "logs", "demo", "-f")
    assert following.stdout is not None
    assert following.stdout.readline()
    following.stdout.close()
    assert following.stderr is not None
    with following.stderr:
        assert following.stderr.read() == ""
    assert following.wait() == 128 + signal.SIGPIPE
    run(world, "dmg_ctl", "stop", "demo")


def test_a_log_that_is_followed_ends_with_the_manager(tmp_path: Path) -> None:
    own = World(tmp_path)
    own.add_plugin("demo")
    own.write_configuration("[plugins]\ndemo = enabled\n")
    own.start()
    try:
        own.post("/api/v1/components/demo/start")
        following = begin(own, "dmg_ctl", "logs", "demo", "-f")
        assert following.stdout is not None
        assert following.stdout.readline()
        own.stop()
        status, _, errors = end(following)
    finally:
        own.close()
    assert status == 1
    assert (
        errors == "dmg_ctl: the manager ended it: it stopped, was upgraded, or we were too slow\n"
    )


# terminals


def test_there_are_colours_on_a_terminal_only(world: World) -> None:
    assert "\x1b[32mrunning\x1b[0m" in on_a_terminal(world, "dmg_ctl", ["status"])
    assert "\x1b" not in on_a_terminal(world, "dmg_ctl", ["status"], NO_COLOR="1")
    assert "\x1b" not in run(world, "dmg_ctl", "status").stdout


def test_an_upgrade_keeps_what_runs(world: World) -> None:
    run(world, "dmg_ctl", "start", "demo")
    pid = world.component("demo")["pid"]
    is_new = world.listens_anew()
    assert run(world, "dmg_ctl", "upgrade").returncode == 0
    # it answers by then
    assert run(world, "dmg_ctl", "status", "demo").returncode == 0
    wait_until(is_new, "it listens again")

    def adopted() -> bool:
        shown = run(world, "dmg_ctl", "status", "demo", "--json")
        return shown.returncode == 0 and json.loads(shown.stdout)[0]["state"] == "alive"

    wait_until(adopted, "adopted")
    assert world.component("demo")["pid"] == pid
    run(world, "dmg_ctl", "stop", "demo")


# plugins


def test_a_running_manager_notices_that_a_plugin_was_enabled(world: World) -> None:
    disabled = run(world, "dmgdisplug", "demo")
    assert (disabled.returncode, disabled.stdout) == (0, "Plugin demo is disabled\n")
    wait_until(lambda: world.component("demo")["enabled"] is False, "disabled")
    enabled = run(world, "dmgenplug", "demo")
    assert (enabled.returncode, enabled.stdout) == (0, "Plugin demo is enabled\n")
    wait_until(lambda: world.component("demo")["enabled"] is True, "enabled")
    assert run(world, "dmgenplug", "demo").stdout == "Plugin demo was enabled already\n"


def test_a_plugin_that_is_not_here_cannot_be_enabled(tmp_path: Path) -> None:
    own = World(tmp_path)
    own.write_configuration("# a comment\n[plugins]\nold = enabled\n")
    before = (own.home / "domogik.cfg").read_text()
    for name in ("ghost", "old", "x;touch y", "../demo"):
        result = run(own, "dmgenplug", name)
        assert result.returncode == 1
        assert result.stderr == f"WARNING : Plugin ({name}) does not exist. Do nothing\n"
    assert (own.home / "domogik.cfg").read_text() == before
    assert run(own, "dmgdisplug", "old").stdout == "Plugin old is disabled\n"
    assert (own.home / "domogik.cfg").read_text() == before.replace("enabled", "disabled")


def test_a_broken_configuration_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "domogik.cfg").write_text("[domogik]\nnonsense\n")
    result = run(tmp_path, "dmgenplug", "x")
    assert result.returncode == 1
    assert f"{tmp_path / 'domogik.cfg'}:2: " in result.stderr
    assert result.stderr.count("\n") == 1
    # what only looks goes on beside it
    result = run(tmp_path, "dmg_send", "xpl-stat", "a.b", "c=d")
    assert f"Warning: {tmp_path / 'domogik.cfg'}:2: " in result.stderr


# the programs themselves


@pytest.mark.parametrize(
    "arguments",
    [
        ("dmg_ctl", "status"),
        ("dmg_send", "xpl-stat", "sensor.basic", "a=1"),
        ("dmg_dump", "-n", "1"),
        ("dmgenplug", "demo"),
        ("dmgdisplug", "ghost"),
    ],
)
def test_no_command_loads_twisted(world: World, arguments: tuple[str, ...]) -> None:
    name, *rest = arguments
    program = [sys.executable, "-X", "importtime", *command(name, *rest)[1:]]
    with XplClient(world) as client, sent_again_and_again(client):  # for the dump to end with
        result = subprocess.run(
            program,
            env=environment(world.home),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert "import time:" in result.stderr
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert not {module for module in loaded if module.split(".")[0] in ("twisted", "zope")}


def test_the_version_is_said(tmp_path: Path) -> None:
    from domogik import __version__

    for name in ("dmg_ctl", "dmg_send", "dmg_dump", "dmgenplug", "dmgdisplug"):
        for option in ("-V", "--version"):
            assert run(tmp_path, name, option).stdout == f"{__version__}\n"


def test_the_console_scripts_are_these_functions() -> None:
    declared = (Path(__file__).parents[2] / "setup.py").read_text()
    for name in ("dmg_ctl", "dmg_send", "dmg_dump", "dmgenplug", "dmgdisplug"):
        program = command(name)[2]
        module = program.split()[3]
        function = program.split()[5].rstrip(";")
        assert f'"{name} = {module}:{function}"' in declared
