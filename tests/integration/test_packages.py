"""Packages as their users meet them: a real manager, a real repository, real plugins."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import run
from storerooms import BROKEN, Repository, package_world, served, tree
from wheels import make_wheel
from world import HOST, PLUGIN, World, XplClient, wait_until

from domogik.xpl.codec.message import CMND, TRIG, Message


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


@pytest.fixture
def world(tmp_path: Path, repository: Repository) -> Iterator[World]:
    """A home whose repository is served over HTTP; no manager runs yet."""
    repository.path.mkdir()
    with served(repository.path) as url:
        made = package_world(tmp_path, url)
        yield made
        made.close()


def rinor(world: World, path: str) -> dict[str, Any]:
    """What a RINOR path answers, which is no error."""
    status, body = world.request(path)
    assert (status, body["status"]) == (200, "OK"), body
    return dict(body)


def installed(world: World) -> dict[str, str]:
    """Plugin -> release, as REST lists them."""
    found = rinor(world, f"/package/installed/{HOST}/plugin")["package"]
    return {package["id"]: package["version"] for package in found}


def ask(client: XplClient, command: str, **pairs: str) -> dict[str, str]:
    """Send a command about packages; the answer to it."""
    body = {"command": command, "host": HOST, **pairs}
    client.send(
        Message(CMND, client.source, "*", schema="domogik.package", body=tuple(body.items()))
    )
    return answer(client, command)


def answer(client: XplClient, command: str) -> dict[str, str]:
    message = client.expect(
        lambda message: (
            message.type == TRIG
            and message.schema == "domogik.package"
            and message.get("command") == command
        )
    )
    return dict(message.body)


def test_from_the_repository_to_a_running_plugin_and_back_from_a_broken_release(
    world: World, repository: Repository
) -> None:
    repository.publish_example("diskfree", "1.0")
    world.start("-d")
    packages = world.home / "packages"
    before = tree(packages)
    rinor(world, "/package/update-cache")
    assert [
        (offer["id"], offer["version"])
        for offer in rinor(world, f"/package/available/{HOST}/plugin")["package"]
    ] == [("diskfree", "1.0")]

    rinor(world, f"/package/install/{HOST}/plugin/diskfree/1.0")
    assert installed(world) == {"diskfree": "1.0"}
    assert world.component("diskfree")["state"] == "disabled"
    assert (packages / "plugins" / "diskfree.xml").is_symlink()
    rinor(world, f"/plugin/enable/{HOST}/diskfree")
    rinor(world, f"/plugin/start/{HOST}/diskfree")
    first = world.component("diskfree")
    assert (first["state"], first["version"]) == ("alive", "1.0")

    repository.publish_example("diskfree", "1.1", script=BROKEN)
    rinor(world, "/package/update-cache")
    (package,) = rinor(world, f"/package/installed/{HOST}/plugin")["package"]
    assert [update["version"] for update in package["updates"]] == ["1.1"]
    status, problem = world.request("/api/v1/packages/plugin/diskfree/update", "POST")
    assert status == 409, problem
    assert problem["detail"].startswith("diskfree 1.1 did not start: "), problem
    assert "; 1.0 is back. More: dmg_ctl logs diskfree" in problem["detail"], problem
    second = world.component("diskfree")
    assert (second["state"], second["version"]) == ("alive", "1.0")
    assert second["pid"] != first["pid"]
    assert installed(world) == {"diskfree": "1.0"}

    repository.publish_example("diskfree", "1.2")
    rinor(world, "/package/update-cache")
    world.post("/api/v1/packages/plugin/diskfree/update")
    third = world.component("diskfree")
    assert (third["state"], third["version"]) == ("alive", "1.2")
    world.post("/api/v1/packages/plugin/diskfree/rollback")
    assert world.component("diskfree")["version"] == "1.0"

    _, refused = world.request(f"/package/uninstall/{HOST}/plugin/diskfree")
    assert refused["description"] == (
        "Error : Plugin 'diskfree' is running. Stop it before installing plugin."
    )
    rinor(world, f"/plugin/stop/{HOST}/diskfree")
    rinor(world, f"/package/uninstall/{HOST}/plugin/diskfree")
    assert installed(world) == {}
    assert tree(packages) == before
    assert "diskfree" not in (world.home / "domogik.cfg").read_text()
    assert world.stop() == 0


def test_by_messages_alone_as_the_specification_has_them(
    world: World, repository: Repository
) -> None:
    repository.publish(
        "lamp",
        "1.0",
        needs="<dep type='plugin' id='lonely (&gt;=1.0)'/>",
    )
    world.start("-d")
    rinor(world, "/package/update-cache")  # the one thing that has no message
    order = {"source": "cache", "type": "plugin", "id": "lamp", "release": "1.0"}
    told = {"command": "install", "host": HOST, **order, "version": "1.0"}
    with XplClient(world) as client:
        assert ask(client, "installed-packages-list") == {
            "command": "installed-packages-list",
            "host": HOST,
        }
        assert ask(client, "install", **order, part="xpl") == {**told, "part": "xpl"}
        assert ask(client, "install", **order, part="rinor") == {**told, "part": "rinor"}
        listed = {
            "command": "installed-packages-list",
            "host": HOST,
            "fullname0": "plugin-lamp",
            "name0": "lamp",
            "id0": "lamp",
            "type0": "plugin",
            "version0": "1.0",
            "release0": "1.0",
            "enabled0": "no",
        }
        assert ask(client, "installed-packages-list") == listed
        client.order("enable", "lamp")
        assert answer(client, "installed-packages-list") == {**listed, "enabled0": "yes"}
        client.order("start", "lamp")
        assert client.answer("start") == {"command": "start", "host": HOST, "plugin": "lamp"}
        running = "Plugin 'lamp' is running. Stop it before installing plugin."
        assert ask(client, "install", **order, part="xpl")["error"] == running
        which = {"type": "plugin", "id": "lamp"}
        assert ask(client, "uninstall", **which)["error"] == running
        assert ask(client, "get-dependencies", **which) == {
            "command": "get-dependencies",
            "host": HOST,
            **which,
            "dep0-id": "lonely (>=1.0)",
            "dep0-type": "plugin",
        }
        client.order("stop", "lamp")
        client.answer("stop")
        head = {"command": "uninstall", "host": HOST}
        assert ask(client, "uninstall", **which) == {**head, **which}
        missing = f"Package 'plugin-lamp' is not installed on {HOST}"
        assert ask(client, "uninstall", **which) == {**head, **which, "error": missing}
    assert list((world.home / "packages" / "store").iterdir()) == []


def test_the_list_is_sent_before_the_answer_to_what_changed_it(
    world: World, repository: Repository
) -> None:
    repository.publish("lamp", "1.0")
    world.start()
    rinor(world, "/package/update-cache")
    body = {
        "command": "install",
        "host": HOST,
        "source": "cache",
        "type": "plugin",
        "id": "lamp",
        "release": "1.0",
        "part": "xpl",
    }
    with XplClient(world) as client:
        client.send(
            Message(CMND, client.source, "*", schema="domogik.package", body=tuple(body.items()))
        )
        heard = [
            client.expect(lambda message: message.schema == "domogik.package").get("command")
            for _ in range(3)
        ]
    assert heard == ["install", "installed-packages-list", "install"]


def test_two_installs_at_once_are_one_job_with_two_answers(
    world: World, repository: Repository
) -> None:
    repository.publish("lamp", "1.0")
    world.start()
    rinor(world, "/package/update-cache")
    path = f"/package/install/{HOST}/plugin/lamp/1.0"
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(world.request, [path, path]))
    assert [body["status"] for _, body in answers] == ["OK", "OK"]
    assert installed(world) == {"lamp": "1.0"}


def test_a_manager_that_is_killed_in_the_middle_has_the_old_release_or_the_new_one(
    world: World, repository: Repository
) -> None:
    """At moments that nobody chose; every single step has its own test in another file."""
    for release in ("1.0", "1.1"):
        repository.publish("lamp", release)
    world.start()
    rinor(world, "/package/update-cache")
    rinor(world, f"/package/install/{HOST}/plugin/lamp/1.0")
    link = world.home / "packages" / "plugins" / "lamp.xml"
    store = world.home / "packages" / "store"
    for _ in range(4):
        release = "1.1" if "1.0" in link.readlink().parts else "1.0"
        path = f"/package/install/{HOST}/plugin/lamp/{release}"
        with ThreadPoolExecutor() as threads:
            asking = threads.submit(_or_die, world, path)
            wait_until(partial(_has_begun, store, asking), "it has begun, or is done")
            world.kill()
        assert link.is_file()
        world.start()
        assert installed(world)["lamp"] in ("1.0", "1.1")
        assert [path.name for path in store.glob(".*")] == []
        assert link.is_file()


def _has_begun(store: Path, asking: Future[None]) -> bool:
    return any(store.glob(".*")) or asking.done()


def _or_die(world: World, path: str) -> None:
    """Ask a manager that is killed meanwhile."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        world.request(path, "POST")


#: is never ready at its first try, and ends at once at every other
HESITATES = """
import os, sys, time
tried = os.path.join(os.environ["DOMOGIK_DATA"], "tried")
if os.path.exists(tried):
    sys.exit("not again")
open(tried, "w").close()
time.sleep(600)
"""


def test_an_update_that_a_crash_interrupts_is_finished_at_the_next_start(
    world: World, repository: Repository
) -> None:
    repository.publish("lamp", "1.0")
    repository.publish("lamp", "1.1", script=HESITATES)
    world.start()
    rinor(world, "/package/update-cache")
    rinor(world, f"/package/install/{HOST}/plugin/lamp/1.0")
    rinor(world, f"/plugin/enable/{HOST}/lamp")
    rinor(world, f"/plugin/start/{HOST}/lamp")
    with ThreadPoolExecutor() as threads:
        threads.submit(_or_die, world, "/api/v1/packages/plugin/lamp/update")
        wait_until((world.home / "data/plugins/lamp/tried").exists, "the new one is tried")
        world.kill()
    world.start()
    wait_until(
        lambda: (
            (found := world.component("lamp"))["state"] == "alive" and found["version"] == "1.0"
        ),
        "the old one runs again",
    )


#: lives until a file tells it to fail
MORTAL = PLUGIN.replace(
    "    count += 1\n",
    """    count += 1
    if os.path.exists(os.path.join(os.environ["DOMOGIK_DATA"], "fail")):
        sys.exit("the stick is gone")
""",
)


def test_a_release_on_probation_is_watched_over_a_crash_and_put_back_when_it_fails(
    world: World, repository: Repository
) -> None:
    configuration = world.home / "domogik.cfg"
    text = configuration.read_text()
    configuration.write_text(text.replace("update_probation = 1", "update_probation = 600"))
    repository.publish("lamp", "1.0")
    repository.publish("lamp", "1.1", script=MORTAL)
    world.start()
    rinor(world, "/package/update-cache")
    rinor(world, f"/package/install/{HOST}/plugin/lamp/1.0")
    rinor(world, f"/plugin/enable/{HOST}/lamp")
    rinor(world, f"/plugin/start/{HOST}/lamp")
    note = world.home / "run/updates/plugin-lamp.json"
    with ThreadPoolExecutor() as threads:
        threads.submit(_or_die, world, "/api/v1/packages/plugin/lamp/update")
        wait_until(
            lambda: note.exists() and '"on_probation": true' in note.read_text(), "probation"
        )
        world.kill()
    world.start()
    assert world.component("lamp")["version"] == "1.1"
    (world.home / "data/plugins/lamp/fail").touch()
    wait_until(
        lambda: (
            (found := world.component("lamp"))["state"] == "alive" and found["version"] == "1.0"
        ),
        "the old one runs again",
    )
    wait_until(lambda: not note.exists(), "the update is over")
    (package,) = world.request("/api/v1/packages")[1]["packages"]
    assert (package["given_up"], package["updates"]) == (["1.1"], [])


def test_the_first_start_after_an_update_is_on_probation_also_under_the_next_manager(
    world: World, repository: Repository
) -> None:
    configuration = world.home / "domogik.cfg"
    text = configuration.read_text()
    configuration.write_text(text.replace("update_probation = 1", "update_probation = 600"))
    repository.publish("lamp", "1.0")
    repository.publish("lamp", "1.1", script=MORTAL)
    world.start()
    rinor(world, "/package/update-cache")
    rinor(world, f"/package/install/{HOST}/plugin/lamp/1.0")
    rinor(world, f"/plugin/enable/{HOST}/lamp")
    world.post("/api/v1/packages/plugin/lamp/update")
    assert world.component("lamp")["version"] == "1.1"
    note = world.home / "run/updates/plugin-lamp.json"
    world.kill()
    assert '"awaits_start": true' in note.read_text()
    world.start()
    wait_until(lambda: '"on_probation": true' in note.read_text(), "it starts with the manager")
    wait_until(lambda: world.component("lamp")["state"] == "alive", "the new one runs")
    (world.home / "data/plugins/lamp/fail").touch()
    wait_until(
        lambda: (
            (found := world.component("lamp"))["state"] == "alive" and found["version"] == "1.0"
        ),
        "the old one runs",
    )
    wait_until(lambda: not note.exists(), "the update is over")


def test_an_upload_joins_the_local_repository(world: World, repository: Repository) -> None:
    archive = repository.publish("lamp", "2.0")
    (world.home / "sources.list").write_text("")
    world.start()
    assert upload(world, archive.name, archive.read_bytes())["status"] == "OK"
    assert installed(world) == {"lamp": "2.0"}
    (offer,) = world.request("/api/v1/packages/offers")[1]["offers"]
    assert offer["release"] == "2.0"
    assert (world.home / "uploads" / archive.name).is_file()
    broken = upload(world, "plugin-lamp-3.0.tgz", b"no archive")
    assert broken["status"] == "ERROR"
    assert [path.name for path in (world.home / "uploads").glob("*.tgz")] == [archive.name]


def test_an_upload_that_cannot_be_what_is_installed_is_refused(
    world: World, repository: Repository, tmp_path: Path
) -> None:
    repository.publish("lamp", "2.0")
    archive = Repository(tmp_path / "other").publish("lamp", "2.0", script=f"{PLUGIN}# other")
    world.start()
    rinor(world, "/package/update-cache")
    refused = upload(world, archive.name, archive.read_bytes())
    assert "offers another archive as that release and comes first" in refused["description"]
    assert installed(world) == {}
    empty = tmp_path / "plugin-bell-1.0.tgz"
    with tarfile.open(archive) as old, tarfile.open(empty, "w:gz") as new:
        for member in old:
            if member.name.endswith(".py") or not member.isfile():
                continue
            content = old.extractfile(member).read().replace(b"lamp", b"bell")  # type: ignore[union-attr]
            content = content.replace(b"2.0", b"1.0")
            member.name, member.size = member.name.replace("lamp", "bell"), len(content)
            new.addfile(member, io.BytesIO(content))
    refused = upload(world, empty.name, empty.read_bytes())
    assert "has no script" in refused["description"], refused


def upload(world: World, name: str, content: bytes) -> dict[str, Any]:
    connection = world.connect()
    secret = (world.home / "admin.token").read_text().strip()
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        connection.request(
            "PUT", f"/package/install_from_path/{HOST}?filename={name}", content, headers
        )
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


IMPORTING = f"""import os
from pathlib import Path
import dmgtesta
Path(os.environ["DOMOGIK_DATA"], "found").write_text(dmgtesta.RELEASE)
{PLUGIN}"""


def test_what_a_plugin_needs_of_python_comes_with_it_into_an_environment_of_its_own(
    world: World, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    make_wheel(repository.sources / "lamp-1.0" / "wheels", "dmgtesta", "1.5")
    needs = "<dep type='python' id='dmgtesta (&gt;=1.0)'/>"
    repository.publish("lamp", "1.0", script=IMPORTING, needs=needs)
    world.start()
    rinor(world, "/package/update-cache")
    world.post("/api/v1/packages/plugin/lamp/install?with_dependencies=true")
    path = f"/api/v1/packages/plugin/lamp/dependencies?host={HOST}"
    (state,) = world.request(path)[1]["dependencies"]
    assert (state["installed"], state["release"]) == (True, "1.5"), state
    rinor(world, f"/plugin/enable/{HOST}/lamp")
    rinor(world, f"/plugin/start/{HOST}/lamp")
    world.wait_state("plugin:lamp", "alive")
    (found,) = (world.home / "data").rglob("found")
    assert found.read_text() == "1.5"
    rinor(world, f"/plugin/stop/{HOST}/lamp")
    rinor(world, f"/package/uninstall/{HOST}/plugin/lamp")
    assert list((world.home / "packages" / "store").iterdir()) == []


def test_what_a_plugin_lacks_is_told_with_the_command_and_plugins_come_with_it(
    world: World, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    needs = "<dep type='plugin' id='lamp (&gt;=1.0)'/><dep type='other' id='no-such-program'/>"
    repository.publish("lamp", "1.0")
    repository.publish("clock", "1.0", needs=needs)
    world.start()
    assert run(world, "dmg_pkgmgr", "update-cache").returncode == 0
    command = "dmg_pkgmgr install clock 1.0 --with-dependencies"
    lamp = f"clock needs lamp >=1.0, which is not installed: {command}\n"
    program = (
        "clock needs no-such-program, which is neither a command nor a package of this system: "
        "sudo apt-get install no-such-program\n"
    )
    done = run(world, "dmg_pkgmgr", "install", "clock")
    assert (done.returncode, done.stderr) == (0, f"dmg_pkgmgr: {lamp}dmg_pkgmgr: {program}")
    for verb in ("enable", "start"):
        done = run(world, "dmg_ctl", verb, "clock")
        assert (done.returncode, done.stderr) == (0, f"dmg_ctl: {lamp}dmg_ctl: {program}")
    assert run(world, "dmg_ctl", "stop", "clock").returncode == 0
    done = run(world, *command.split())
    assert (done.returncode, done.stderr) == (0, f"dmg_pkgmgr: {program}")
    assert installed(world) == {"clock": "1.0", "lamp": "1.0"}


def test_a_directory_is_a_repository_too_and_without_network_nothing_is_lost(
    tmp_path: Path, repository: Repository
) -> None:
    repository.publish("lamp", "1.0")
    gone = "http://127.0.0.1:9/"
    world = package_world(tmp_path, repository.path.as_uri(), gone)
    try:
        world.start()
        _, body = world.request("/package/update-cache")
        assert body["status"] == "ERROR"
        assert gone.rstrip("/") in body["description"]
        rinor(world, f"/package/install/{HOST}/plugin/lamp/1.0")
        assert installed(world) == {"lamp": "1.0"}
    finally:
        world.close()


def test_an_order_may_not_say_that_the_archive_is_anywhere(
    world: World, repository: Repository
) -> None:
    repository.publish("lamp", "1.0")
    world.start()
    order = {"source": "cache", "type": "plugin", "id": "lamp", "release": "1.0", "part": "xpl"}
    url = "http://192.0.2.1:40405/package/download/plugin/lamp/1.0"
    with XplClient(world) as client:
        answered = ask(client, "install", **order, url=url)
    assert answered["error"] == f"url '{url}' not allowed: no domogik-rest was heard there"
    assert installed(world) == {}


def test_rest_in_a_process_of_its_own_installs_through_the_manager(
    world: World, repository: Repository
) -> None:
    repository.publish("lamp", "1.0")
    world.start(command=world.command("-f"))
    rest = subprocess.Popen(world.daemon("rest", "-f"), stdout=subprocess.DEVNULL)
    try:
        wait_until((world.home / "run" / "rest.port").exists, "REST listens")
        rinor(world, "/package/update-cache")
        rinor(world, f"/package/install/{HOST}/plugin/lamp/1.0")
        wait_until(lambda: installed(world) == {"lamp": "1.0"}, "REST has heard of it")
        assert (world.home / "packages" / "rinor" / "plugin-lamp").is_symlink()
    finally:
        rest.terminate()
        assert rest.wait() == 0
