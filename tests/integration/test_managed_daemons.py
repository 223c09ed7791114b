"""Managed daemons in a real manager, with a real Redis and plugins that use it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from world import HOST, PATIENCE, PLUGIN, World, XplClient, is_gone, wait_until

from domogik.supervisor.processes.adoption import ProcessRecord, Records
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.xpl.codec.message import CMND, Message

pytestmark = pytest.mark.integration

CACHE = "[daemon:cache]\nkind = redis\n"
NEEDS = "[plugins]\ndemo = enabled\n[component:plugin:demo]\nneeds = daemon:cache\n"
#: asks its daemon at its start and at its end, and writes down what it was told
USER = r"""
import os, socket
from urllib.parse import unquote, urlsplit
def asked():
    url = urlsplit(os.environ["DOMOGIK_DAEMON_CACHE"])
    with socket.create_connection((url.hostname, url.port), 20) as sock:
        password = unquote(url.password).encode()
        question = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\nPING\r\n" % (len(password), password)
        sock.sendall(question)
        answer = b""
        while answer.count(b"\n") < 2:
            answer += sock.recv(100) or b"gone\n\n"
    return answer.decode().split()
def note(when):
    try:
        words = " ".join(asked())
    except OSError as error:
        words = str(error)
    with open(os.path.join(os.environ["DOMOGIK_DATA"], "notes"), "a") as file:
        file.write(f"{when} {words}\n")
note("start")
""" + PLUGIN.replace("def leave(*_):", "def leave(*_):\n    note('stop')")


def unreserved_port() -> int:
    """A free port that nobody is given, by the kernel or by a table: a person would choose it."""
    for port in range(61_000 + os.getpid() % 4_000, 65_536):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class AllHosts(World):
    """A world whose daemons go with it."""

    @property
    def daemons(self) -> Path:
        return self.home / "daemons"

    def servers(self) -> list[psutil.Process]:
        """Every process of a daemon of this home."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if f"{process.cwd()}/".startswith(f"{self.daemons}/"):
                    found.append(process)
        return [one for one in found if not is_gone(one.pid)]

    def close(self) -> None:
        super().close()
        while left := self.servers():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def begin(self, text: str = CACHE, *arguments: str, **keys: str) -> None:
        self.write_configuration(text, **keys)
        self.start(*arguments)

    def alive(self, name: str = "daemon:cache") -> int:
        """Its process, once it answers."""
        return int(self.wait_state(name, "alive")["pid"])

    def url(self, name: str = "daemon:cache") -> str:
        status, body = self.request(f"/api/v1/components/{name}/credentials")
        assert status == 200, body
        return str(body["url"])

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), decode_responses=True)

    def refused(self, path: str) -> str:
        status, body = self.request(path, "POST")
        assert status >= 400, body
        return str(body["detail"])

    def ask(self, path: str) -> None:
        """One of Domogik's own paths, which has to answer OK."""
        status, body = self.request(path)
        assert (status, body["status"]) == (200, "OK"), body

    def notes(self) -> list[str]:
        path = self.home / "data" / "plugins" / "demo" / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def ctl(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "domogik.cli.ctl.commands", "--home", str(self.home)]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def all_hosts(tmp_path: Path) -> Iterator[AllHosts]:
    made = AllHosts(tmp_path)
    yield made
    made.close()


# How it is reached


def test_what_is_declared_runs_and_serves_whoever_has_its_credentials(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    all_hosts.alive()
    with all_hosts.client() as client:
        assert client.ping()
    assert all_hosts.servers()
    assert all_hosts.stop() == 0
    assert all_hosts.servers() == []
    assert (all_hosts.daemons / "cache" / "service.json").exists()


def test_its_password_is_in_no_answer_log_event_or_command_line(all_hosts: AllHosts) -> None:
    secret = "pass-word-42"
    all_hosts.begin(f"{CACHE}password = {secret}\n", "-d")
    all_hosts.alive()
    all_hosts.add_plugin("demo", USER)
    all_hosts.post("/api/v1/components/daemon:cache/restart")
    shown = [
        all_hosts.request(path, method)
        for method, path in (
            ("GET", "/api/v1/components"),
            ("GET", "/api/v1/components/daemon:cache"),
            ("GET", "/api/v1/components/daemon:cache/config"),
            ("POST", "/api/v1/components/daemon:cache/diagnose"),
            ("POST", "/api/v1/components/daemon:cache/backup"),
            ("GET", "/api/v1/jobs"),
            ("GET", "/daemon/list"),
            ("GET", f"/daemon/detail/{HOST}/cache"),
            ("GET", f"/daemon/diagnose/{HOST}/cache"),
        )
    ]
    assert all(status == 200 for status, _ in shown)
    assert secret not in json.dumps(shown)
    assert secret not in all_hosts.ctl("daemon", "logs", "cache")
    assert secret in all_hosts.url()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            assert secret not in " ".join(process.cmdline())
    all_hosts.stop()
    logs = [all_hosts.output(), *(path.read_text() for path in all_hosts.home.glob("log/*.log"))]
    assert secret not in "".join(logs)


def test_credentials_are_for_the_token_only(all_hosts: AllHosts) -> None:
    all_hosts.begin(CACHE, trusted_clients="")
    all_hosts.alive()
    status, _ = all_hosts.request("/api/v1/components/daemon:cache/credentials", token=False)
    assert status == 401


def test_a_terminal_steers_it(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    first = all_hosts.alive()
    assert "daemon:cache" in all_hosts.ctl("daemon", "list")
    assert "redis" in all_hosts.ctl("daemon", "detail", "cache")
    assert all_hosts.ctl("daemon", "credentials", "cache").strip() == all_hosts.url()
    assert "Ready to accept connections" in all_hosts.ctl("daemon", "logs", "cache")
    all_hosts.ctl("daemon", "reload", "cache")
    assert all_hosts.alive() == first
    all_hosts.ctl("restart", "cache")
    assert all_hosts.alive() != first
    all_hosts.ctl("daemon", "stop", "cache")
    assert all_hosts.servers() == []


def test_backups_are_jobs_and_what_comes_back_is_what_went_in(all_hosts: AllHosts) -> None:
    all_hosts.add_plugin("demo", USER)
    all_hosts.begin(CACHE + NEEDS)
    all_hosts.alive()
    all_hosts.post("/api/v1/components/demo/start")
    with all_hosts.client() as client:
        client.set("colour", "red")
        assert "one.backup" in all_hosts.ctl("daemon", "backup", "cache", "one.backup")
        client.set("colour", "blue")
    assert "already" in all_hosts.refused("/api/v1/components/daemon:cache/backup?file=one.backup")
    all_hosts.ctl("daemon", "restore", "cache", "one.backup")
    with all_hosts.client() as client:
        assert client.get("colour") == "red"
    all_hosts.alive("plugin:demo")
    assert [line.split()[0] for line in all_hosts.notes()] == ["start", "stop", "start"]
    jobs = all_hosts.request("/api/v1/jobs")[1]["jobs"]
    assert [(one["kind"], one["state"]) for one in jobs] == [
        ("restore", "done"),
        ("backup", "failed"),
        ("backup", "done"),
    ]


@pytest.mark.parametrize("file", ["../one", "a/b", "%2e%2e%2fone", ".hidden", "x" * 200])
def test_a_backup_stays_in_its_directory(all_hosts: AllHosts, file: str) -> None:
    all_hosts.begin()
    all_hosts.alive()
    for verb in ("backup", "restore"):
        status, body = all_hosts.request(
            f"/api/v1/components/daemon:cache/{verb}?file={file}", "POST"
        )
        assert status == 400, body


def test_every_check_passes_where_all_is_well_and_says_what_is_not(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    all_hosts.alive()

    def results() -> dict[str, str]:
        checks = all_hosts.post("/api/v1/components/daemon:cache/diagnose")["checks"]
        return {one["check_id"]: one["result"] for one in checks}

    assert set(results().values()) == {"passed"}
    (all_hosts.daemons / "cache" / "password").chmod(0o644)
    (all_hosts.daemons / "cache" / "service.json").write_text("{")
    found = results()
    assert (found["daemon-permissions"], found["daemon-parameters"]) == ("failed", "failed")
    assert found["daemon-ready"] == "passed"
    all_hosts.post("/api/v1/components/daemon:cache/stop")
    assert results()["daemon-state"] == "warning"


# Who needs it


def test_who_needs_it_starts_once_it_is_ready_and_stops_before_it(all_hosts: AllHosts) -> None:
    all_hosts.add_plugin("demo", USER)
    all_hosts.begin(CACHE + NEEDS)
    all_hosts.alive()
    all_hosts.post("/api/v1/components/daemon:cache/stop")
    all_hosts.post("/api/v1/components/demo/start")
    assert all_hosts.component("daemon:cache")["state"] == "alive"
    all_hosts.post("/api/v1/components/daemon:cache/stop")
    assert all_hosts.component("demo")["state"] == "stopped"
    assert all_hosts.notes() == ["start +OK +PONG", "stop +OK +PONG"]


def test_a_restart_of_it_starts_who_needs_it_again(all_hosts: AllHosts) -> None:
    all_hosts.add_plugin("demo", USER)
    all_hosts.begin(CACHE + NEEDS)
    all_hosts.alive()
    all_hosts.post("/api/v1/components/demo/start")
    all_hosts.post("/api/v1/components/daemon:cache/restart")
    all_hosts.alive("plugin:demo")
    assert all_hosts.notes() == ["start +OK +PONG", "stop +OK +PONG", "start +OK +PONG"]


def test_who_needs_what_cannot_start_says_why_and_starts_when_it_can(all_hosts: AllHosts) -> None:
    all_hosts.add_plugin("demo", USER)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        all_hosts.begin(f"{CACHE}port = {port}\n{NEEDS}")
        said = all_hosts.refused("/api/v1/components/demo/start")
        for reason in (said, all_hosts.component("demo")["reason"]):
            assert f"{port}" in reason
            assert f"process {os.getpid()}" in reason
    all_hosts.alive()
    all_hosts.alive("plugin:demo")


def test_who_needs_each_other_are_named(all_hosts: AllHosts) -> None:
    circle = "[component:daemon:cache]\nneeds = plugin:demo\n"
    all_hosts.add_plugin("demo", USER)
    all_hosts.begin(CACHE + NEEDS + circle)
    said = all_hosts.refused("/api/v1/components/demo/start")
    assert "plugin:demo needs daemon:cache needs plugin:demo" in said


def test_who_fails_while_it_is_away_is_back_when_it_is(all_hosts: AllHosts) -> None:
    all_hosts.add_plugin("demo", USER)
    all_hosts.begin(CACHE + NEEDS)
    pid = all_hosts.alive()
    all_hosts.post("/api/v1/components/demo/start")
    plugin = all_hosts.component("demo")["pid"]
    os.kill(pid, signal.SIGKILL)
    os.kill(plugin, signal.SIGKILL)
    back = wait_until(
        lambda: (
            (found := all_hosts.component("demo"))["state"] == "alive"
            and found["pid"] != plugin
            and found
        ),
        "the plugin is back",
    )
    assert all_hosts.alive() != pid
    assert back["restarts"] <= 2
    assert all_hosts.notes()[-1] == "start +OK +PONG"


def test_one_that_a_person_stopped_is_not_started_by_who_fails(all_hosts: AllHosts) -> None:
    all_hosts.add_plugin("demo", "import sys\nsys.exit(3)\n")
    all_hosts.begin(CACHE + NEEDS)
    all_hosts.alive()
    all_hosts.request("/api/v1/components/demo/start", "POST")
    all_hosts.post("/api/v1/components/daemon:cache/stop")
    wait_until(
        lambda: "daemon:cache is stopped" in all_hosts.component("demo")["reason"], "it says so"
    )
    assert all_hosts.component("daemon:cache")["state"] == "stopped"


# Who survives whom


def test_a_killed_manager_is_followed_by_one_that_takes_it_over(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    pid = all_hosts.alive()
    with all_hosts.client() as client:
        client.set("colour", "red")
    all_hosts.kill()
    all_hosts.start()
    assert all_hosts.alive() == pid
    with all_hosts.client() as client:
        assert client.get("colour") == "red"
    all_hosts.stop()
    assert is_gone(pid)


def test_of_one_that_was_killed_with_its_manager_the_rest_ends_and_it_is_started(
    all_hosts: AllHosts,
) -> None:
    all_hosts.begin(f"{CACHE}[component:daemon:cache]\nstop_timeout = 4\n")
    pid = all_hosts.alive()
    ((_, record),) = Records(all_hosts.daemons / "cache" / "run").load()
    mark = {"DOMOGIK_RUN_ID": record.run_id}
    all_hosts.kill()
    deaf = ["sh", "-c", "trap '' TERM; echo; exec sleep 1000"]
    with subprocess.Popen(deaf, env={**os.environ, **mark}, stdout=subprocess.PIPE) as rest:
        try:
            rest.stdout.readline()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: is_gone(pid), "the server is gone")
            all_hosts.start()
            assert all_hosts.alive() != pid
            assert rest.wait(PATIENCE) == -signal.SIGKILL
        finally:
            rest.kill()


def test_without_the_managers_records_it_is_found_by_its_own_directory(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    pid = all_hosts.alive()
    all_hosts.kill()
    shutil.rmtree(all_hosts.home / "run")
    all_hosts.start()
    assert all_hosts.alive() == pid


def test_one_that_is_kept_survives_a_stop_and_is_taken_over(all_hosts: AllHosts) -> None:
    all_hosts.begin(f"{CACHE}keep_running = yes\n[daemon:other]\nkind = redis\n")
    pid, other = all_hosts.alive(), all_hosts.alive("daemon:other")
    assert all_hosts.stop() == 0
    assert not is_gone(pid)
    assert is_gone(other)
    all_hosts.start()
    assert all_hosts.alive() == pid


def test_an_upgrade_leaves_it_alone(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    pid = all_hosts.alive()
    is_new = all_hosts.listens_anew()
    all_hosts.post("/api/v1/upgrade")
    wait_until(is_new, "the new program answers")
    assert all_hosts.alive() == pid


def test_a_broken_directory_stops_no_other(all_hosts: AllHosts) -> None:
    two = f"{CACHE}[daemon:other]\nkind = redis\n"
    all_hosts.begin(two)
    all_hosts.alive()
    all_hosts.alive("daemon:other")
    all_hosts.stop()
    (all_hosts.daemons / "cache" / "service.json").write_bytes(b"\x00{")
    all_hosts.start()
    all_hosts.alive("daemon:other")
    reason = wait_until(lambda: all_hosts.component("daemon:cache")["reason"], "a reason")
    assert "service.json does not hold parameters" in reason
    assert all_hosts.request("/daemon/list")[0] == 200


# The configuration while it runs


def test_a_new_section_is_started_and_a_removed_one_stopped(all_hosts: AllHosts) -> None:
    all_hosts.begin("")
    assert all_hosts.request("/daemon/list")[1]["daemon"] == []
    all_hosts.write_configuration(CACHE)
    wait_until(
        lambda: all_hosts.request("/api/v1/components/daemon:cache")[0] == 200, "it is known"
    )
    pid = all_hosts.alive()
    with all_hosts.client() as client:
        client.set("colour", "red")
    all_hosts.write_configuration("")
    wait_until(lambda: all_hosts.request("/api/v1/components/daemon:cache")[0] == 404, "it is gone")
    assert is_gone(pid)
    all_hosts.write_configuration(CACHE)
    wait_until(
        lambda: all_hosts.request("/api/v1/components/daemon:cache")[0] == 200, "it is known"
    )
    all_hosts.alive()
    with all_hosts.client() as client:
        assert client.get("colour") == "red"


def test_another_kind_does_not_touch_what_is_there(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    pid = all_hosts.alive()
    all_hosts.write_configuration("[daemon:cache]\nkind = nginx\n")
    reason = wait_until(
        lambda: (
            (found := all_hosts.request("/api/v1/components/daemon:cache"))[0] == 200
            and found[1]["technology"] == "nginx"
            and found[1]["reason"]
        ),
        "a reason",
    )
    assert "belongs to a redis, not to a nginx" in reason
    assert is_gone(pid)
    all_hosts.write_configuration(CACHE)
    wait_until(lambda: all_hosts.component("daemon:cache")["technology"] == "redis", "it is redis")
    all_hosts.alive()


def test_what_changed_counts_from_its_next_start_and_is_said(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    pid = all_hosts.alive()
    port = unreserved_port()
    all_hosts.write_configuration(f"{CACHE}port = {port}\npassword = other\n")
    wait_until(lambda: "has changed" in all_hosts.component("daemon:cache")["reason"], "it is said")
    assert "restarted" in all_hosts.refused("/api/v1/components/daemon:cache/reload")
    assert all_hosts.alive() == pid
    all_hosts.post("/api/v1/components/daemon:cache/restart")
    assert all_hosts.component("daemon:cache")["reason"] == ""
    assert all_hosts.url() == f"redis://:other@127.0.0.1:{port}/0"
    with all_hosts.client() as client:
        assert client.ping()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[daemon:cache]\nkind = radish\n", 8, "kind"),
        ("[daemon:cache]\nkind = redis\ncolour = red\n", 9, "colour"),
        ("[daemon:cache]\nkind = redis\nport = 99999\n", 9, "port"),
        ("[daemon:cache]\nport = 1\n", 7, "needs a kind"),
        ("[daemon:a-b]\nkind = redis\n[daemon:a_b]\nkind = redis\n", 9, "variable"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_and_line(
    all_hosts: AllHosts, text: str, line: int, words: str
) -> None:
    all_hosts.write_configuration(text)
    all_hosts.start()
    reason = all_hosts.component("core:manager")["reason"]
    assert f"domogik.cfg:{line}" in reason
    assert words in reason


def test_a_broken_section_changes_nothing_that_runs(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    pid = all_hosts.alive()
    all_hosts.write_configuration("[daemon:cache]\nkind = radish\n[daemon:new]\nkind = redis\n")
    wait_until(lambda: "kind" in all_hosts.component("core:manager")["reason"], "it is refused")
    assert all_hosts.alive() == pid
    all_hosts.alive("daemon:new")


# As whom, and how


@pytest.fixture
def public_hosts() -> Iterator[AllHosts]:
    """One whose home others can reach: pytest keeps closing the directories of its own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        made = AllHosts(Path(directory))
        yield made
        made.close()


def test_it_runs_as_another_user_where_root_asks_for_it(public_hosts: AllHosts) -> None:
    all_hosts = public_hosts
    (all_hosts.home / "domogik.cfg").chmod(0o644)
    all_hosts.begin(f"{CACHE}run_as = daemon\n")
    if os.geteuid() != 0:
        reason = wait_until(lambda: all_hosts.component("daemon:cache")["reason"], "a reason")
        assert "only root may run it as daemon" in reason
        return
    pid = all_hosts.alive()
    assert psutil.Process(pid).username() == "daemon"
    assert (all_hosts.home / "domogik.cfg").stat().st_mode & 0o007 == 0
    assert "Ready to accept connections" in all_hosts.ctl("daemon", "logs", "cache")
    with all_hosts.client() as client:
        assert client.ping()


def test_a_record_that_its_user_wrote_harms_no_other_process(public_hosts: AllHosts) -> None:
    """The directory is his: he can put anybody on record there, and a manager of root is asked."""
    all_hosts = public_hosts
    all_hosts.begin(CACHE + ("run_as = nobody\n" if os.geteuid() == 0 else ""))
    all_hosts.alive()
    all_hosts.stop()
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        identity = ProcessIdentity.of(stranger.pid)
        records = Records(all_hosts.daemons / "cache" / "run")
        records.begin(ProcessRecord("daemon:redis", "0" * 32, 1.0, identity))
        all_hosts.start()
        if os.geteuid() == 0:
            all_hosts.alive()
            assert all_hosts.component("daemon:cache")["pid"] != stranger.pid
            all_hosts.stop()
            assert stranger.poll() is None
        stranger.kill()


def test_limits_are_those_of_its_section(all_hosts: AllHosts) -> None:
    limits = "[component:daemon:cache]\nnice = 5\nmemory_max = 2G\nopen_files_max = 512\n"
    all_hosts.begin(CACHE + limits)
    process = psutil.Process(all_hosts.alive())
    assert process.nice() - psutil.Process(all_hosts.manager.pid).nice() == 5
    assert process.rlimit(psutil.RLIMIT_AS) == (2 * 2**30, 2 * 2**30)
    assert process.rlimit(psutil.RLIMIT_NOFILE) == (512, 512)


# Over the network


def test_it_is_steered_over_xpl(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    all_hosts.alive()
    with XplClient(all_hosts) as client:

        def order(command: str, name: str = "cache") -> dict[str, str]:
            body = (("command", command), ("type", "daemon"), ("host", HOST), ("plugin", name))
            client.send(Message(CMND, client.source, "*", schema="domogik.system", body=body))
            return client.answer(command)

        listed = order("list")
        assert listed["daemon0-name"] == "cache"
        assert listed["daemon0-status"] == "ON"
        assert "plugin0-name" not in listed
        detail = order("detail")
        assert (detail["type"], detail["status"], detail["technology"]) == ("daemon", "ON", "redis")
        assert order("stop") == {
            "command": "stop",
            "host": HOST,
            "type": "daemon",
            "plugin": "cache",
        }
        assert order("stop")["error"] == f"Component cache is not running on {HOST}"
        assert "error" not in order("start", "daemon:cache")
        assert "error" not in order("restart")
        assert "doesn't exists" in order("start", "ghost")["error"]


def test_the_old_paths_steer_it(all_hosts: AllHosts) -> None:
    all_hosts.begin()
    all_hosts.alive()

    def asked(verb: str, name: str = "cache") -> dict[str, str]:
        status, body = all_hosts.request(f"/daemon/{verb}/{HOST}/{name}/")
        assert status == 200
        return dict(body)

    assert asked("stop")["status"] == "OK"
    assert asked("stop")["description"] == f"Component cache is not running on {HOST}"
    assert asked("start")["status"] == "OK"
    assert asked("restart")["code"] == 0
    detail = asked("detail")["daemon"][0]
    assert (detail["id"], detail["status"], detail["technology"]) == ("cache", "ON", "redis")
    assert asked("start", "ghost")["code"] == 999


# dbmgr on PostgreSQL


DATABASE = "[database]\nurl = daemon:db\n[daemon:db]\nkind = postgres\n"


def test_dbmgr_keeps_its_values_in_a_managed_postgresql(public_hosts: AllHosts) -> None:
    all_hosts = public_hosts
    all_hosts.add_plugin("demo")
    as_whom = "run_as = nobody\n" if os.geteuid() == 0 else ""
    all_hosts.begin(f"{DATABASE}{as_whom}[plugins]\ndemo = enabled\n", "-d")
    pid = all_hosts.alive("daemon:db")
    all_hosts.wait_state("core:dbmgr", "running")

    def interval() -> str:
        values = all_hosts.request("/api/v1/components/demo/config")[1]["values"]
        return str(values["interval"])

    all_hosts.ask(f"/plugin/config/set/hostname/{HOST}/id/demo/key/interval/value/7")
    assert interval() == "7"
    all_hosts.post("/api/v1/components/daemon:db/stop")
    assert all_hosts.component("core:dbmgr")["state"] == "stopped"
    assert "daemon:db is stopped" in all_hosts.component("core:dbmgr")["reason"]
    all_hosts.post("/api/v1/components/daemon:db/start")
    all_hosts.wait_state("core:dbmgr", "running")
    assert interval() == "7"

    pid = all_hosts.alive("daemon:db")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all_hosts.component("daemon:db")["restarts"] == 1, "it is started again")
    all_hosts.alive("daemon:db")
    assert interval() == "7"
    all_hosts.ask(f"/plugin/config/set/hostname/{HOST}/id/demo/key/interval/value/8")

    assert all_hosts.stop() == 0
    assert all_hosts.servers() == []
    all_hosts.start("-d")
    all_hosts.wait_state("core:dbmgr", "running")
    assert interval() == "8"


# Each kind


@pytest.mark.parametrize("kind", ["postgres", "mysql", "nginx", "apache", "rabbitmq"])
def test_every_kind_is_a_component_like_any_other(public_hosts: AllHosts, kind: str) -> None:
    all_hosts = public_hosts
    as_whom = "run_as = nobody\n" if os.geteuid() == 0 else ""
    all_hosts.begin(f"[daemon:it]\nkind = {kind}\n{as_whom}")
    pid = all_hosts.alive("daemon:it")
    checks = all_hosts.post("/api/v1/components/daemon:it/diagnose")["checks"]
    assert [one for one in checks if one["result"] != "passed"] == []
    parts = urlsplit(all_hosts.url("daemon:it"))
    socket.create_connection((str(parts.hostname), int(parts.port or 0)), PATIENCE).close()
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: (
            (found := all_hosts.component("daemon:it"))["state"] == "alive" and found["pid"] != pid
        ),
        "alive again, though its children were left",
    )
    all_hosts.post("/api/v1/components/daemon:it/stop")
    assert all_hosts.servers() == []
