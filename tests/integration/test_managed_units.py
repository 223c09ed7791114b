"""Units of a real systemd in a real manager, which runs inside with them; and a host without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from systemd_namespace import RealSystemd, give_up, need_systemd
from world import HOST, PATIENCE, World, XplClient, wait_until

from domogik.xpl.codec.message import CMND, Message

pytestmark = pytest.mark.integration

_SLEEP = "[Service]\nExecStart=/bin/sleep infinity\n"
_WANTED = "[Install]\nWantedBy=test.target\n"
_UNITS = {
    **dict.fromkeys(
        ("web", "watched", "ordered", "steered", "said", "camera", "database", "guarded", "owned"),
        _SLEEP + _WANTED,
    ),
    "failing": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo no such luck; exit 3'\n",
    "mended": "[Service]\nExecStartPre=test -e /run/mended\nExecStart=sleep infinity\n",
}
#: our names are not systemd's: who confuses them finds nothing
_SECTIONS = """
[unit:site]
unit = web
[unit:seen]
unit = watched
[unit:switched]
unit = ordered
[unit:terminal]
unit = steered
[unit:network]
unit = said
[unit:broken]
unit = failing
[unit:repaired]
unit = mended
[unit:lens]
unit = camera
app = left
[unit:store-left]
unit = database
role = shared
app = left
[unit:store-right]
unit = database
role = shared
app = right
[unit:bystander]
unit = dbus
role = related
"""


class Inside(World):
    """A world whose manager runs in the namespaces of that systemd, but for the network."""

    def __init__(self, directory: Path, systemd: RealSystemd, *prefix: str) -> None:
        super().__init__(directory)
        kinds = ("mount", "uts", "ipc", "pid", "cgroup")
        enter = ("nsenter", f"--target={systemd.leader}", *(f"--{kind}" for kind in kinds))
        self.prefix = (*enter, *prefix)
        self.systemd = systemd

    def begin(self, text: str) -> None:
        self.write_configuration(text)
        self.start()

    @property
    def _inner(self) -> psutil.Process:
        """The manager itself: it was nsenter that was started, and that waits for it."""
        assert self.manager is not None
        (child,) = psutil.Process(self.manager.pid).children()
        return child

    def stop(self, signum: int = signal.SIGTERM) -> int:
        assert self.manager is not None
        self._inner.send_signal(signum)
        status = self.manager.wait(PATIENCE)
        self.manager = None
        return status

    def close(self) -> None:
        if self.manager is not None and self.manager.poll() is None:
            self._inner.kill()
        super().close()

    def refused(self, path: str) -> str:
        status, body = self.request(path, "POST")
        assert status in (404, 409), body
        return str(body["detail"])

    def ctl(self, *arguments: str, fine: bool = True) -> str:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "domogik.cli.ctl.commands",
                "--home",
                str(self.home),
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode == 0) is fine, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the homes are, inside as outside; also for users that are not root."""
    directory = tmp_path_factory.mktemp("rooms")
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory, rooms: Path) -> Iterator[RealSystemd]:
    made = RealSystemd(tmp_path_factory.mktemp("systemd"), shown=(rooms,))
    try:
        for name, content in _UNITS.items():
            made.file(f"{name}.service", content)
        made.run("systemctl", "daemon-reload")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def all_hosts(rooms: Path, systemd: RealSystemd) -> Iterator[Inside]:
    """Each test uses units of its own."""
    directory = rooms / "house"
    directory.mkdir()
    made = Inside(directory, systemd)
    made.add_plugin("left")
    made.add_plugin("right")
    try:
        made.begin(_SECTIONS)
        yield made
    finally:
        made.close()


def is_active(systemd: RealSystemd, unit: str) -> bool:
    return systemd.run("systemctl", "is-active", unit, fine=False).strip() == "active"


def is_enabled(systemd: RealSystemd, unit: str) -> bool:
    return systemd.run("systemctl", "is-enabled", unit, fine=False).strip() == "enabled"


def test_what_happens_to_a_unit_is_seen(all_hosts: Inside, systemd: RealSystemd) -> None:
    seen = all_hosts.wait_state("unit:seen", "disabled")
    assert (seen["enabled"], seen["technology"]) == (False, "systemd")
    systemd.run("systemctl", "enable", "--now", "watched")
    running = all_hosts.wait_state("unit:seen", "running")
    assert running["pid"]
    systemd.run("systemctl", "kill", "--signal=KILL", "watched")
    failed = all_hosts.wait_state("unit:seen", "failed")
    assert "Result=signal, signal=9" in failed["reason"]
    systemd.run("systemctl", "reset-failed", "watched")
    stopped = all_hosts.wait_state("unit:seen", "stopped")
    assert (stopped["enabled"], stopped["pid"]) == (True, None)


def test_orders_are_obeyed_before_they_are_answered(
    all_hosts: Inside, systemd: RealSystemd
) -> None:
    one = "/api/v1/components/unit:switched"
    assert all_hosts.post(f"{one}/start")["state"] == "running"
    assert all_hosts.post(f"{one}/restart")["state"] == "running"
    assert all_hosts.post(f"{one}/stop")["state"] == "disabled"
    enabled = all_hosts.post(f"{one}/enable")
    assert (enabled["state"], enabled["enabled"]) == ("running", True)
    assert is_active(systemd, "ordered")
    assert is_enabled(systemd, "ordered")
    status, answer = all_hosts.request(f"/unit/disable/{HOST}/ordered.service", "POST")
    assert (status, answer["status"]) == (200, "OK")
    assert not is_active(systemd, "ordered")
    assert not is_enabled(systemd, "ordered")


def test_a_start_that_fails_has_the_words_of_systemd_and_the_journal(all_hosts: Inside) -> None:
    said = all_hosts.refused("/api/v1/components/unit:broken/start")
    assert "Result=exit-code, status=3" in said
    wait_until(lambda: "no such luck" in all_hosts.ctl("unit", "logs", "broken"), "it is logged")
    said = all_hosts.ctl("unit", "logs", "--follow", "broken", fine=False)
    assert "journalctl --follow --unit=failing.service" in said


def test_units_that_are_not_declared_are_not_touched(
    all_hosts: Inside, systemd: RealSystemd
) -> None:
    declared_only = "nly units that a [unit:<name>] section declares may be touched"
    for name in ("unit:systemd-journald", "unit:test.target", "unit:web*", "unit:--all"):
        for verb in ("stop", "disable", "restart"):
            assert declared_only in all_hosts.refused(f"/api/v1/components/{name}/{verb}")
    _, answer = all_hosts.request(f"/unit/stop/{HOST}/systemd-journald.service", "POST")
    assert answer["status"] == "ERROR"
    assert declared_only in answer["description"]
    assert declared_only in all_hosts.ctl("unit", "stop", "systemd-journald", fine=False)
    assert is_active(systemd, "systemd-journald")


def test_a_related_unit_is_not_enabled_or_disabled(all_hosts: Inside, systemd: RealSystemd) -> None:
    said = all_hosts.refused("/api/v1/components/unit:bystander/disable")
    assert said == "unit:bystander cannot be disabled: its role is related"
    assert is_active(systemd, "dbus")


def test_a_terminal_steers_it(all_hosts: Inside, systemd: RealSystemd) -> None:
    assert "unit:terminal" in all_hosts.ctl("unit", "list")
    all_hosts.ctl("unit", "enable", "terminal")
    assert is_active(systemd, "steered")
    detail = all_hosts.ctl("unit", "detail", "steered")
    assert "/etc/systemd/system/steered.service" in detail
    checks = json.loads(all_hosts.ctl("unit", "diagnose", "terminal", "--json"))
    assert [(one["check_id"], one["component_id"], one["result"]) for one in checks] == [
        ("daemon-running-steered", "daemon-terminal", "passed")
    ]
    all_hosts.ctl("stop", "daemon-terminal")
    assert not is_active(systemd, "steered")
    assert '"steered.service"' in all_hosts.ctl("unit", "rule", "--user", "domogik")


def test_other_hosts_give_orders_over_xpl(all_hosts: Inside, systemd: RealSystemd) -> None:
    with XplClient(all_hosts) as client:
        body = (("command", "start"), ("host", HOST), ("type", "unit"), ("plugin", "network"))
        client.send(Message(CMND, client.source, "*", schema="domogik.system", body=body))
        answer = client.answer("start")
    assert (answer["type"], answer["plugin"]) == ("unit", "network")
    assert "error" not in answer
    assert is_active(systemd, "said")


def test_a_plugin_is_switched_with_its_units_and_what_two_share_goes_with_the_last(
    all_hosts: Inside, systemd: RealSystemd
) -> None:
    def together(verb: str, *plugins: str) -> None:
        paths = [f"/api/v1/components/plugin:{name}/{verb}" for name in plugins]
        calls = [threading.Thread(target=all_hosts.post, args=(path,)) for path in paths]
        for call in calls:
            call.start()
        for call in calls:
            call.join()

    together("enable", "left", "right")
    assert is_active(systemd, "camera")
    assert is_enabled(systemd, "database")
    said = all_hosts.refused("/api/v1/components/unit:store-left/disable")
    assert said == "unit:store-left is left as it is: it is needed by right"
    together("disable", "right")
    assert is_active(systemd, "database")
    together("enable", "right")
    together("disable", "left", "right")
    for unit in ("camera", "database"):
        assert not is_active(systemd, unit), unit
        assert not is_enabled(systemd, unit), unit


def test_what_is_wrong_with_a_unit_is_an_issue_until_it_is_repaired(
    all_hosts: Inside, systemd: RealSystemd
) -> None:
    one = "/api/v1/components/unit:repaired"
    all_hosts.refused(f"{one}/start")
    (check,) = all_hosts.post(f"{one}/diagnose")["checks"]
    assert (check["result"], check["component_id"]) == ("failed", "daemon-repaired")
    assert check["parameters"]["active_state"] == "failed"
    _, found = all_hosts.request("/api/v1/issues")
    (issue,) = [one for one in found["issues"] if one["component"] == "unit:repaired"]
    (systemd.root / "run/mended").touch()
    assert "closed" in all_hosts.ctl("repair", issue["id"])
    assert all_hosts.component("unit:repaired")["state"] == "running"
    _, found = all_hosts.request("/api/v1/issues")
    assert "unit:repaired" not in [one["component"] for one in found["issues"]]
    _, answer = all_hosts.request(f"/unit/diagnose/{HOST}/repaired")
    assert [one["result"] for one in answer["check"]] == ["passed"]


def test_a_section_that_comes_or_goes_counts_at_once(
    all_hosts: Inside, systemd: RealSystemd
) -> None:
    all_hosts.write_configuration(_SECTIONS + "[unit:later]\nunit = guarded\n")
    all_hosts.post("/api/v1/components/unit:site/start")
    wait_until(
        lambda: all_hosts.request("/api/v1/components/unit:later")[0] == 200, "unit:later is there"
    )
    assert all_hosts.post("/api/v1/components/unit:later/start")["state"] == "running"
    all_hosts.write_configuration(_SECTIONS)
    wait_until(
        lambda: all_hosts.request("/api/v1/components/unit:later")[0] == 404, "unit:later is gone"
    )
    assert is_active(systemd, "guarded")


# Without what it takes


@pytest.fixture(scope="module")
def unprivileged(rooms: Path, systemd: RealSystemd) -> Iterator[Inside]:
    """One whose manager is not root."""
    directory = rooms / "nobody"
    directory.mkdir()
    made = Inside(directory, systemd, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    for path in (directory, made.home, made.home / "domogik.cfg"):
        os.chown(path, 65534, 65534)
    mask = os.umask(0)  # it tells a socket of ours that it is ready
    try:
        try:
            made.begin("[unit:own]\nunit = owned\n")
        finally:
            os.umask(mask)
        yield made
    finally:
        made.close()


def test_without_privileges_the_words_of_systemd_are_told(
    unprivileged: Inside, systemd: RealSystemd
) -> None:
    unprivileged.wait_state("unit:own", "disabled")
    for verb in ("start", "enable"):
        said = unprivileged.refused(f"/api/v1/components/unit:own/{verb}")
        assert "Interactive authentication required" in said
    assert not is_active(systemd, "owned")


def test_with_the_rule_that_is_printed_it_starts_what_is_declared(
    unprivileged: Inside, systemd: RealSystemd
) -> None:
    if not Path("/usr/lib/polkit-1/polkitd").exists():
        give_up("polkitd missing: apt-get install polkitd")
    rule = unprivileged.ctl("unit", "rule")
    assert 'subject.user == "nobody"' in rule
    systemd.file("50-domogik-units.rules", rule, "etc/polkit-1/rules.d")
    start = "/api/v1/components/unit:own/start"
    wait_until(lambda: unprivileged.request(start, "POST")[0] == 200, "polkit has read the rule")
    assert is_active(systemd, "owned")
    # which unit is to be enabled polkit is not told: that is left to a person
    assert "authentication" in unprivileged.refused("/api/v1/components/unit:own/enable")


class _Bare(World):
    """A world without systemd, whatever booted this machine."""

    if Path("/run/systemd/system").is_dir():
        prefix = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$0" "$@"')


def test_where_no_systemd_runs_checks_are_skipped_and_plugins_are_enabled(tmp_path: Path) -> None:
    if _Bare.prefix:
        need_systemd()
    all_hosts = _Bare(tmp_path)
    all_hosts.add_plugin("demo")
    all_hosts.write_configuration("[unit:web]\nunit = web\nlisten_ports = 80/tcp\napp = demo\n")
    try:
        all_hosts.start()
        reason = "this host was not booted with systemd"
        found: dict[str, Any] = wait_until(
            lambda: reason in (one := all_hosts.component("unit:web"))["reason"] and one,
            "the reason is told",
        )
        assert (found["state"], found["enabled"]) == ("unknown", None)
        checks = all_hosts.post("/api/v1/components/unit:web/diagnose")["checks"]
        assert [one["result"] for one in checks] == ["skipped", "failed"]
        assert reason in checks[0]["parameters"]["reason"]
        status, body = all_hosts.request("/api/v1/components/unit:web/start", "POST")
        assert status == 409
        assert reason in body["detail"]
        assert all_hosts.post("/api/v1/components/plugin:demo/enable")["enabled"]
        assert "Traceback" not in all_hosts.output()
    finally:
        all_hosts.close()
