"""Names and paths from a network that are commands, code, or lead elsewhere; a real manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from commands import run
from storerooms import Repository, package_world
from world import HOST, World, XplClient, wait_until

from domogik.xpl.codec.message import CMND, TRIG, Message

pytestmark = pytest.mark.integration
SECRET = b"nobody may read this"
PACKAGE = "domogik.package"
#: what a shell, the two templates of the shell, and Python would carry out
COMMANDS = (
    "x;touch hit",
    "x|touch hit",
    "x`touch hit`",
    "x$(touch hit)",
    "x\ntouch hit\n",
    "-x;touch hit",
    "'+__import__('os').system('touch hit')+'",
    "__import__('os').system('touch hit')",
)
#: ways to write a path that leads out of where it should stay
ELSEWHERE = (
    "../../secret",
    "%2e%2e/%2e%2e/secret",
    "..%2f..%2fsecret",
    "..%2F..%2Fsecret",
    "..%252f..%252fsecret",
    "%2e%2e%2f%2e%2e%2fsecret",
    "....//....//secret",
    "..%5c..%5csecret",
    "{absolute}",
    "..%2f..%2fsecret%00",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`lamp` is installed; what may not be read lies around, under every name that would do."""
    directory = tmp_path_factory.mktemp("hostile")
    repository = Repository(directory / "repo")
    repository.publish("lamp", "1.0")
    made = package_world(directory, str(repository.path))
    for place in (directory, made.home, made.home / "packages", made.home / "cache"):
        place.mkdir(exist_ok=True)
        for name in ("secret", "secret.log", "secret.tgz", "icon.png"):
            (place / name).write_bytes(SECRET)
    made.start()
    made.request("/package/update-cache")
    made.post("/api/v1/packages/plugin/lamp/install")
    yield made
    made.close()


def hits(world: World) -> list[Path]:
    return list(world.home.parent.rglob("*hit*"))


def refused(world: World, path: str, method: str = "GET", body: bytes = b"") -> bytes:
    """The answer to a path as it is written, which has to be an error that can be read."""
    connection = world.connect()
    token = (world.home / "admin.token").read_text().strip()
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        content = reply.read()
    finally:
        connection.close()
    assert reply.status >= 400 or b'"status": "ERROR"' in content, (path, content)
    return content


def test_a_name_that_is_a_command_or_code_runs_nothing_over_rest(world: World) -> None:
    configuration = (world.home / "domogik.cfg").read_bytes()
    for command in COMMANDS:
        name = quote(command, safe="")
        for path in (
            *(f"/plugin/{verb}/{HOST}/{name}" for verb in ("enable", "disable", "start", "stop")),
            f"/package/install/{HOST}/plugin/{name}/1.0",
            f"/package/install/{HOST}/plugin/lamp/{name}",
            f"/package/install/{HOST}/{name}/lamp/1.0",
            f"/package/uninstall/{HOST}/plugin/{name}",
            f"/package/check-dependencies/{HOST}/plugin/{name}/1.0",
            f"/plugin/enable/{name}/lamp",
            f"/plugin/{name}/{HOST}/lamp",
            f"/{name}/lamp",
            f"/events/domogik/get/{name}",
        ):
            refused(world, path)
    assert (world.home / "domogik.cfg").read_bytes() == configuration
    assert hits(world) == []
    assert world.request(f"/package/installed/{HOST}/plugin")[1]["package"][0]["id"] == "lamp"


def test_a_name_that_is_a_command_or_code_runs_nothing_over_xpl(world: World) -> None:
    configuration = (world.home / "domogik.cfg").read_bytes()
    with XplClient(world) as client:
        for command in (one for one in COMMANDS if "\n" not in one):
            for schema, body in (
                ("domogik.system", {"command": "enable", "plugin": command}),
                ("domogik.system", {"command": "disable", "plugin": command}),
                (PACKAGE, {"command": "install", "part": "xpl", "id": command, "release": "1"}),
                (PACKAGE, {"command": "uninstall", "id": command}),
                (PACKAGE, {"command": "get-dependencies", "id": command}),
                (PACKAGE, {"command": "check-dependencies", "dep0": command}),
                (PACKAGE, {"command": "check-dependencies", "dep0": command, "dep0-type": "other"}),
            ):
                order = {"host": HOST, "type": "plugin", "source": "cache"} | body
                client.send(
                    Message(CMND, client.source, "*", schema=schema, body=tuple(order.items()))
                )

                def is_answer(
                    message: Message, schema: str = schema, body: dict[str, str] = body
                ) -> bool:
                    return (message.type, message.schema) == (TRIG, schema) and message.get(
                        "command"
                    ) == body["command"]

                assert client.expect(is_answer).get("error"), (command, body)
    assert (world.home / "domogik.cfg").read_bytes() == configuration
    assert hits(world) == []


def test_a_name_that_is_a_command_runs_nothing_on_a_terminal(world: World) -> None:
    configuration = (world.home / "domogik.cfg").read_bytes()
    for command in ("x;touch hit", "x/e touch hit", "$(touch hit)", ".*"):
        assert run(world, "dmgenplug", command).returncode != 0
        assert run(world, "dmgdisplug", command).returncode != 0
    assert (world.home / "domogik.cfg").read_bytes() == configuration
    assert hits(world) == []


def test_no_path_leads_to_a_file_that_is_not_meant(world: World) -> None:
    absolute = quote(str(world.home.parent / "secret"), safe="")
    for elsewhere in (one.format(absolute=absolute) for one in ELSEWHERE):
        for path in (
            f"/repo/get/{elsewhere}",
            f"/repo/get/{elsewhere}.log",
            f"/log/tail/txt/{elsewhere}/lamp/10/0",
            f"/package/icon/installed/plugin/{elsewhere}",
            f"/package/icon/available/plugin/{elsewhere}/1.0",
            f"/package/icon/available/plugin/lamp/{elsewhere}",
            f"/package/download/plugin/{elsewhere}/1.0",
            f"/package/download/plugin/lamp/{elsewhere}",
            f"/package/download/{elsewhere}/lamp/1.0",
            f"/api/v1/components/{elsewhere}/logs",
            f"/api/v1/packages/plugin/{elsewhere}/icon",
            f"/api/v1/packages/{elsewhere}",
            f"/{elsewhere}",
        ):
            assert SECRET not in refused(world, path), path


def test_no_upload_is_written_where_its_name_says(world: World) -> None:
    absolute = quote(str(world.home.parent / "hit.tgz"), safe="")
    for name in (
        "../hit.tgz",
        "..%2f..%2fhit.tgz",
        "%2e%2e%2fplugin-hit-1.0.tgz",
        "plugin-hit-..%2f..%2fhit.tgz",
        "plugin-hit-1.0.tgz%00",
        "plugin-hit-1.0.tgz",
        absolute,
    ):
        refused(world, f"/package/install_from_path/{HOST}?filename={name}", "PUT", SECRET)
        refused(world, f"/repo/put?filename={name}", "PUT", SECRET)
        refused(world, f"/api/v1/packages/upload?filename={name}", "POST", SECRET)
    wait_until(lambda: not list(world.home.rglob("upload.domogik-*")), "nothing is left of them")
    assert hits(world) == []
    assert not list((world.home / "uploads").rglob("*.tgz"))
