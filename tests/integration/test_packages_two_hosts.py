"""Packages on two hosts and a wire: the main host has the repository, the other one nothing."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificate import self_signed
from commands import run
from namespaces import DistantWorld, join, namespaces
from storerooms import BROKEN, Repository
from world import World, XplClient, wait_until

from domogik.xpl.codec.message import CMND, Message

MAIN, CELLAR = "10.79.0.1", "10.79.0.2"
CONFIGURATION = """[domogik]
hostname = {host}
bind_interface = {address}
[rest]
rest_server_ip = {rest}
[supervision]
start_timeout = 20
"""
Hosts = tuple[DistantWorld, DistantWorld]


def _configure(world: DistantWorld, host: str, rest: str = "") -> None:
    (world.home / "domogik.cfg").write_text(
        CONFIGURATION.format(host=host, address=world.address, rest=rest or world.address)
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.publish("lamp", "1.0")
    return made


@pytest.fixture
def hosts(tmp_path: Path, repository: Repository) -> Iterator[Hosts]:
    with namespaces(2) as (one, other):
        join(one, f"{MAIN}/24", other, f"{CELLAR}/24")
        main = DistantWorld(tmp_path / "main", one, MAIN)
        cellar = DistantWorld(tmp_path / "cellar", other, CELLAR)
        _configure(main, "main")
        _configure(cellar, "cellar")
        (main.home / "sources.list").write_text(f"500 {repository.path}\n")
        (cellar.home / "sources.list").write_text("")
        try:
            yield main, cellar
        finally:
            cellar.close()
            main.close()


def _start(main: DistantWorld, cellar: DistantWorld) -> None:
    main.start("-d", "-t", "0.5")
    cellar.start(command=cellar.command("-f", "-t", "0.5"))
    wait_until(
        lambda: len(main.request("/api/v1/hosts")[1]["hosts"]) == 2, "each has heard the other"
    )
    _rinor(main, "/package/update-cache")


def _rinor(world: World, path: str) -> dict[str, Any]:
    status, body = world.request(path)
    assert (status, body["status"]) == (200, "OK"), body
    return dict(body)


def _installed(world: World, host: str) -> dict[str, str]:
    found = _rinor(world, f"/package/installed/{host}/plugin")["package"]
    return {package["id"]: package["version"] for package in found}


def test_a_host_without_internet_gets_its_packages_from_rest(
    hosts: Hosts, repository: Repository
) -> None:
    main, cellar = hosts
    _start(main, cellar)
    _rinor(main, "/package/install/cellar/plugin/lamp/1.0")
    wait_until(lambda: _installed(main, "cellar") == {"lamp": "1.0"}, "REST has heard of it")
    assert _installed(main, "main") == {}
    link = cellar.home / "packages" / "plugins" / "lamp.xml"
    assert link.resolve().is_relative_to(cellar.home / "packages" / "store")
    assert (main.home / "packages" / "rinor" / "plugin-lamp").is_symlink()
    _rinor(main, "/plugin/enable/cellar/lamp")
    _rinor(main, "/plugin/start/cellar/lamp")
    repository.publish("lamp", "1.1", script=BROKEN)
    _rinor(main, "/package/update-cache")
    status, problem = main.request("/api/v1/packages/plugin/lamp/update?host=cellar", "POST")
    assert status == 409, problem
    assert problem["detail"].startswith("plugin-lamp 1.1 was given up: "), problem
    assert problem["detail"].endswith(". 1.0 runs again"), problem
    wait_until(lambda: _installed(main, "cellar") == {"lamp": "1.0"}, "the old one is back")
    _rinor(main, "/plugin/stop/cellar/lamp")
    _rinor(main, "/package/uninstall/cellar/plugin/lamp")
    wait_until(lambda: _installed(main, "cellar") == {}, "REST has heard that it is gone")
    assert list((cellar.home / "packages" / "store").iterdir()) == []


def test_a_rest_server_with_a_certificate_of_its_own_serves_the_other_hosts(
    hosts: Hosts, tmp_path: Path
) -> None:
    main, cellar = hosts
    pem = self_signed(tmp_path, "main")
    with (main.home / "domogik.cfg").open("a") as configuration:
        configuration.write(f"[rest]\nrest_use_ssl = yes\nrest_ssl_certificate = {pem}\n")
    connect = main.connect

    def over_tls() -> http.client.HTTPConnection:
        connection = connect()
        context = ssl.create_default_context(cafile=str(pem))
        context.check_hostname = False
        connection.sock = context.wrap_socket(connection.sock)
        return connection

    main.connect = over_tls
    _start(main, cellar)
    _rinor(main, "/package/install/cellar/plugin/lamp/1.0")
    wait_until(lambda: _installed(main, "cellar") == {"lamp": "1.0"}, "REST has heard of it")


def test_where_rest_listens_on_loopback_the_key_to_change_is_named(hosts: Hosts) -> None:
    main, cellar = hosts
    _configure(main, "main", rest="127.0.0.1")
    main.address = "127.0.0.1"
    _start(main, cellar)
    _, body = main.request("/package/install/cellar/plugin/lamp/1.0")
    assert body["description"] == (
        "Error on 'xpl' part : REST listens on 127.0.0.1, where cellar cannot fetch packages: set "
        "rest_server_ip in [rest] to an address of this host"
    )
    assert _installed(main, "cellar") == {}


def test_an_order_with_exactly_the_keys_of_the_package_document_is_carried_out(
    hosts: Hosts,
) -> None:
    main, cellar = hosts
    with (cellar.home / "domogik.cfg").open("a") as file:
        file.write(f"[domogik]\nxpl_trusted = {MAIN}\n")
    _start(main, cellar)
    sock = main.namespace.udp(MAIN)
    with XplClient(main, "acme-admin.main", sock, hub="10.79.0.255") as admin:
        keys = ("command", "host", "source", "type", "id", "release", "part")
        said = ("install", "cellar", "cache", "plugin", "lamp", "1.0", "xpl")
        body = tuple(zip(keys, said, strict=True))
        admin.send(Message(CMND, admin.source, "*", schema="domogik.package", body=body))
        answer = admin.expect(
            lambda message: (
                message.type == "xpl-trig"
                and message.source == "domogik-manager.cellar"
                and message.get("command") == "install"
            )
        )
    assert answer.get("error") is None, answer
    wait_until(lambda: _installed(main, "cellar") == {"lamp": "1.0"}, "it is listed")


def test_a_host_without_repositories_knows_what_the_main_host_offers(hosts: Hosts) -> None:
    main, cellar = hosts
    _start(main, cellar)
    _rinor(main, "/package/install/main/plugin/lamp/1.0")
    sock = main.namespace.udp(MAIN)
    with XplClient(main, "acme-admin.main", sock, hub="10.79.0.255") as admin:
        body = (
            ("command", "check-dependencies"),
            ("host", "cellar"),
            ("dep0", "lamp (>=1)"),
            ("dep0-type", "plugin"),
        )
        admin.send(Message(CMND, admin.source, "*", schema="domogik.package", body=body))
        answer = admin.expect(
            lambda message: (
                message.type == "xpl-trig"
                and message.source == "domogik-manager.cellar"
                and message.get("command") == "check-dependencies"
            )
        )
    said = [answer.get(key) for key in ("dep0-installed", "dep0-candidate", "error")]
    assert said == ["no", "1.0", None], answer


def test_what_another_host_does_not_have_is_told_with_the_command_for_it(
    hosts: Hosts, repository: Repository
) -> None:
    main, cellar = hosts
    needs = "<dep type='python' id='dmgnothere (&gt;=3)'/>"
    repository.publish("bell", "1.0", needs=needs)
    _start(main, cellar)
    said = "bell needs dmgnothere (>=3), which cellar does not have: "
    command = "dmg_pkgmgr install bell --with-dependencies --host cellar"
    installed = run(main, "dmg_pkgmgr", "install", "bell", "--host", "cellar")
    assert "to use it: dmg_ctl --host cellar enable bell" in installed.stdout
    assert f"{said}{command}" in installed.stderr
    enabled = run(main, "dmg_ctl", "--host", "cellar", "enable", "bell")
    assert (enabled.returncode, f"{said}{command}" in enabled.stderr) == (0, True), enabled
