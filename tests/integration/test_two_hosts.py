"""Two hosts and a wire between them: what REST on one sees and does on the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import left_of
from namespaces import DistantWorld, join, namespaces
from world import World, wait_until

KITCHEN, CELLAR = "10.78.0.1", "10.78.0.2"
CONFIGURATION = """[domogik]
hostname = {host}
bind_interface = {address}
src_prefix = {source}
[rest]
rest_server_ip = {address}
[supervision]
start_timeout = 20
[plugins]
{plugins}"""


def _configure(world: DistantWorld, host: str, *plugins: str) -> None:
    enabled = "".join(f"{name} = enabled\n" for name in plugins)
    (world.home / "domogik.cfg").write_text(
        CONFIGURATION.format(host=host, address=world.address, source=world.source, plugins=enabled)
    )


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[DistantWorld, DistantWorld]]:
    """The kitchen is the main host, with REST and the database; the cellar has the lamp."""
    with namespaces(2) as (one, other):
        join(one, f"{KITCHEN}/24", other, f"{CELLAR}/24")
        kitchen = DistantWorld(tmp_path / "kitchen", one, KITCHEN)
        cellar = DistantWorld(tmp_path / "cellar", other, CELLAR)
        kitchen.add_plugin("clock")
        _configure(kitchen, "kitchen", "clock")
        for name in ("lamp", "pump"):
            cellar.add_plugin(name)
        _configure(cellar, "cellar", "lamp")
        try:
            yield kitchen, cellar
        finally:
            cellar.close()
            kitchen.close()


def _rinor(world: World, path: str) -> dict[str, Any]:
    status, body = world.request(path)
    assert status == 200, body
    return dict(body)


def _listed(world: World) -> dict[tuple[str, str], str]:
    """(host, plugin) -> ON or OFF, as clients see it."""
    return {
        (entry["host"], entry["id"]): entry["status"]
        for host in _rinor(world, "/plugin/list/")["plugin"]
        for entry in host["list"]
    }


def _wait_listed(world: World, expected: dict[tuple[str, str], str]) -> None:
    wait_until(lambda: _listed(world) == expected, f"{expected}, but {_listed(world)}")


def _is_off(world: World, name: str) -> bool:
    (found,) = _rinor(world, f"/host/{name}/")["host"]
    return bool(found["status"] == "off")


def test_rest_of_the_main_host_speaks_for_the_other(
    hosts: tuple[DistantWorld, DistantWorld],
) -> None:
    kitchen, cellar = hosts
    kitchen.start("-d", "-t", "0.5")
    cellar.start(command=cellar.command("-f", "-t", "0.5"))
    wait_until(
        lambda: (
            {host["id"] for host in kitchen.request("/api/v1/hosts")[1]["hosts"]}
            == {"kitchen", "cellar"}
        ),
        "the kitchen has heard the cellar",
    )
    _wait_listed(kitchen, {("kitchen", "clock"): "OFF", ("cellar", "lamp"): "OFF"})
    # start there, and see it here
    assert _rinor(kitchen, "/plugin/start/cellar/lamp/")["status"] == "OK"
    _wait_listed(kitchen, {("kitchen", "clock"): "OFF", ("cellar", "lamp"): "ON"})
    again = _rinor(kitchen, "/plugin/start/cellar/lamp/")
    assert again["status"] == "ERROR"
    assert "Component lamp is already running on cellar" in again["description"]
    # what it is
    (detail,) = _rinor(kitchen, "/plugin/detail/cellar/lamp/")["plugin"]
    assert (detail["id"], detail["host"], detail["status"]) == ("lamp", "cellar", "ON")
    keys = [key["key"] for key in detail["configuration"]]
    assert keys == ["startup-plugin", "interval"]
    # the name of a plugin of that host does not make one here
    assert (
        "doesn't exists on kitchen" in _rinor(kitchen, "/plugin/start/kitchen/lamp/")["description"]
    )
    # enable and disable there; the lists are the new ones when the answer has come
    enabled = _rinor(kitchen, "/plugin/enable/cellar/pump/")
    assert enabled["status"] == "OK"
    assert "pump = enabled" in (cellar.home / "domogik.cfg").read_text()
    assert _listed(kitchen) == {
        ("kitchen", "clock"): "OFF",
        ("cellar", "lamp"): "ON",
        ("cellar", "pump"): "OFF",
    }
    running = _rinor(kitchen, "/plugin/disable/cellar/lamp/")
    assert running["status"] == "ERROR"
    assert "Please stop it before trying to disable" in running["description"]
    # stop there: nobody is left when the answer has come
    assert _rinor(kitchen, "/plugin/stop/cellar/lamp/")["status"] == "OK"
    assert cellar.processes() == []
    assert _rinor(kitchen, "/plugin/disable/cellar/lamp/")["status"] == "OK"
    # the other face, with how it is then
    enabled = kitchen.post("/api/v1/components/lamp/enable?host=cellar")
    assert (enabled["state"], enabled["enabled"]) == ("stopped", True)
    disabled = kitchen.post("/api/v1/components/lamp/disable?host=cellar")
    assert (disabled["state"], disabled["enabled"]) == ("disabled", False)
    started = kitchen.post("/api/v1/components/pump/start?host=cellar")
    assert (started["state"], started["restarts"]) == ("alive", 0)
    assert started["pid"] in [process.pid for process in cellar.processes()]
    assert started["since"].startswith("20")
    _wait_listed(kitchen, {("kitchen", "clock"): "OFF", ("cellar", "pump"): "ON"})
    # it leaves, and says so
    assert cellar.stop() == 0
    wait_until(lambda: _is_off(kitchen, "cellar"), "the cellar is off")
    assert left_of(cellar.home) == []
    wait_until(lambda: _listed(kitchen).get(("cellar", "pump")) != "ON", "nothing runs there")
    before = time.monotonic()
    for verb in ("start", "stop", "enable", "disable"):
        gone = _rinor(kitchen, f"/plugin/{verb}/cellar/pump/")
        assert gone["description"] == f"No data or timeout on {verb} plugin pump"
    status, problem = kitchen.request("/api/v1/components/pump/start?host=cellar", "POST")
    assert (status, "was stopped" in problem["detail"]) == (504, True), problem
    assert time.monotonic() - before < 10, "a host that said goodbye is waited for"
    assert kitchen.stop() == 0


def test_a_host_that_falls_silent_ends_in_a_clear_time_out(
    hosts: tuple[DistantWorld, DistantWorld],
) -> None:
    kitchen, cellar = hosts
    file = kitchen.home / "domogik.cfg"
    file.write_text(file.read_text().replace("[rest]", "query_xpl_timeout = 2\n[rest]"))
    kitchen.start("-d", "-t", "0.5")
    cellar.start(command=cellar.command("-f", "-t", "0.5"))
    _wait_listed(kitchen, {("kitchen", "clock"): "OFF", ("cellar", "lamp"): "OFF"})
    cellar.kill()
    for verb in ("start", "stop", "detail", "enable"):
        answer = _rinor(kitchen, f"/plugin/{verb}/cellar/lamp/")
        assert answer["status"] == "ERROR"
        assert "timeout" in answer["description"], answer
        assert "lamp" in answer["description"]
    status, body = kitchen.request("/api/v1/components/lamp/start?host=cellar", "POST")
    assert (status, "timeout" in body["detail"]) == (504, True)
    # the kitchen itself is as it was
    kitchen.post("/api/v1/components/clock/start")
    assert kitchen.component("clock")["state"] == "alive"
    # and so is the cellar, once it is back
    cellar.start(command=cellar.command("-f", "-t", "0.5"))
    # an answer that comes after the time-out is no answer, but it was obeyed
    wait_until(
        lambda: (
            _rinor(kitchen, "/plugin/start/cellar/lamp/")["status"] == "OK"
            or _listed(kitchen).get(("cellar", "lamp")) == "ON"
        ),
        "it is there again",
    )
    assert kitchen.stop() == 0
    assert cellar.stop() == 0


def test_the_main_host_gives_the_other_its_configuration(
    hosts: tuple[DistantWorld, DistantWorld],
) -> None:
    kitchen, cellar = hosts
    cellar.autostart = True
    kitchen.start("-d", "-t", "0.5")
    path = "/plugin/config/set/hostname/cellar/id/lamp/key/startup-plugin/value/True/"
    assert _rinor(kitchen, path)["status"] == "OK"
    cellar.start(command=cellar.command("-f", "-t", "0.5"))
    wait_until(lambda: _listed(kitchen).get(("cellar", "lamp")) == "ON", "the lamp was started")
    assert cellar.stop() == 0
    # without the main host the cellar goes on with what it was told last
    assert kitchen.stop() == 0
    file = cellar.home / "domogik.cfg"
    file.write_text(file.read_text().replace("[rest]", "query_xpl_timeout = 1\n[rest]"))
    cellar.start("-t", "0.5")
    cellar.wait_state("lamp", "alive")
    assert cellar.stop() == 0
    assert left_of(cellar.home) == []


#: a plugin that is ready after so many seconds
SLOW = """import time
time.sleep(6)
"""


def test_an_order_that_takes_its_time_is_a_job_that_is_followed(
    hosts: tuple[DistantWorld, DistantWorld],
) -> None:
    kitchen, cellar = hosts
    file = kitchen.home / "domogik.cfg"
    file.write_text(file.read_text().replace("[rest]", "query_xpl_timeout = 2\n[rest]"))
    (script,) = cellar.source.rglob("lamp.py")
    script.write_text(SLOW + script.read_text())
    kitchen.start("-d", "-t", "0.5")
    cellar.start(command=cellar.command("-f", "-t", "0.5"))
    _wait_listed(kitchen, {("kitchen", "clock"): "OFF", ("cellar", "lamp"): "OFF"})
    status, job = kitchen.request("/api/v1/components/lamp/start?host=cellar", "POST")
    assert (status, job["subject"], job["state"]) == (202, "plugin:lamp@cellar", "running")
    path = f"/api/v1/jobs/{job['id']}"
    wait_until(lambda: kitchen.request(path)[1]["state"] == "done", "the lamp is alive")
    assert kitchen.request("/api/v1/components/lamp?host=cellar")[1]["state"] == "alive"
    assert _rinor(kitchen, "/plugin/stop/cellar/lamp/")["status"] == "OK"
    # what waits to the end is answered at the end
    assert _rinor(kitchen, "/plugin/start/cellar/lamp/")["status"] == "OK"
    assert _listed(kitchen)["cellar", "lamp"] == "ON"


def test_two_hosts_with_the_roles_of_the_main_host_say_so_on_both(
    hosts: tuple[DistantWorld, DistantWorld],
) -> None:
    kitchen, cellar = hosts
    for world in hosts:
        world.start("-d", "-t", "0.5")  # and -r

    def said(world: World) -> str:
        issues = world.request("/api/v1/issues")[1]["issues"]
        return " ".join(
            issue["check"]["description"]
            for issue in issues
            if issue["check"]["check_id"] == "host-roles"
        )

    for world, other in ((kitchen, f"cellar speaks from {CELLAR}"), (cellar, "kitchen speaks")):
        wait_until(
            lambda world=world, other=other: all(  # type: ignore[misc]
                f"domogik-{role}.{other}" in said(world) for role in ("dbmgr", "rest")
            ),
            f"it is said: {said(world)}",
        )
    assert "only the main host has -d" in said(kitchen)
    for world in hosts:
        assert world.stop() == 0
