"""`dmg_send` and `dmg_dump` on a real network: real hub, real datagrams."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import begin, end, end_all, on_a_terminal, run
from world import HOST, World, XplClient, free_port, sent_again_and_again, wait_until

from domogik.xpl.codec.message import CMND, STAT, TRIG, Message

DUMP = f"domogik-dump.{HOST}"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("street"))
    made.add_plugin("demo")
    made.write_configuration("[plugins]\ndemo = enabled\n")
    made.start()
    yield made
    made.close()


@pytest.fixture
def client(world: World) -> Iterator[XplClient]:
    with XplClient(world) as made:
        yield made


def registered(
    client: XplClient, world: World, *arguments: str, beside: tuple[str | None, ...] = ()
) -> subprocess.Popen[str]:
    """A dump that the hub knows; `beside` are the ports of others, which have the same name."""
    dump = begin(world, "dmg_dump", *arguments)
    heard(client, beside)
    return dump


def heard(client: XplClient, beside: tuple[str | None, ...] = ()) -> Message:
    """The heartbeat of a dump at another port."""
    return client.expect(
        lambda message: (
            message.source == DUMP
            and message.schema == "hbeat.app"
            and message.get("port") not in beside
        )
    )


def lines_of(dump: subprocess.Popen[str]) -> Iterator[str]:
    assert dump.stdout is not None
    yield from dump.stdout


# dmg_send


def test_an_order_on_the_command_line_is_obeyed(world: World) -> None:
    world.post("/api/v1/components/demo/start")
    order = f"command=stop,plugin=demo,host={HOST}"
    sent = run(world, "dmg_send", "xpl-cmnd", "domogik.system", order)
    assert (sent.returncode, sent.stdout, sent.stderr) == (0, "", "")
    world.wait_state("demo", "stopped")


def test_values_arrive_as_they_were_given(world: World, client: XplClient) -> None:
    values = ["text=one, two,x=3", "name=Küche 台所", "empty=", "name=again"]
    assert run(world, "dmg_send", "xpl-trig", "test.basic", *values).returncode == 0
    message = client.expect(lambda message: message.schema == "test.basic")
    assert message.type == TRIG
    assert message.source == f"domogik-send.{HOST}"
    assert [f"{name}={value}" for name, value in message.body] == values


def test_source_and_target_can_be_given(world: World, client: XplClient) -> None:
    arguments = ("xpl-cmnd", "test.target", "a=1,b=2")
    run(world, "dmg_send", *arguments, "--source", "acme-me.here", "--target", "acme-you.there")
    message = client.expect(lambda message: message.schema == "test.target")
    assert (message.source, message.target) == ("acme-me.here", "acme-you.there")
    assert message.body == (("a", "1"), ("b", "2"))


def test_an_answer_is_waited_for_and_shown(world: World) -> None:
    order = f"command=list,host={HOST}"
    arguments = ("xpl-cmnd", "domogik.system", order, "--wait", "50")
    shown = run(world, "dmg_send", *arguments)
    assert shown.returncode == 0
    assert "plugin0-name=demo" in shown.stdout
    document = json.loads(run(world, "dmg_send", *arguments, "--json").stdout)
    assert dict(document["body"])["plugin0-name"] == "demo"


def test_no_answer_is_a_failure(world: World) -> None:
    result = run(world, "dmg_send", "xpl-cmnd", "nobody.knows", "a=1", "--wait", "0.2")
    assert result.returncode == 1
    assert result.stderr == "dmg_send: no answer within 0.2 s\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["xpl-cmnd", "schema", "a=1"], "schema"),
        (["xpl-cmnd", "test.basic", "a=1,loud"], None),
        (["xpl-cmnd", "test.basic", "loud"], "'loud' is not name=value"),
        (["xpl-cmnd", "test.basic", "LOUD=1"], "'LOUD' is no name"),
        (["xpl-cmnd", "test.basic", "a=1\n2"], "control character"),
        (["xpl-stat", "test.basic", "a=1", "--target", "acme-you.there"], "target must be *"),
        (["xpl-cmnd", "test.basic", "a=1", "--source", "me"], "source"),
        (["xpl-cmnd", "test.basic", "a=" + "x" * 2000], "fits into no datagram"),
    ],
)
def test_what_may_not_be_sent_is_named_in_one_line(
    world: World, arguments: list[str], fault: str | None
) -> None:
    result = run(world, "dmg_send", *arguments)
    if fault is None:
        assert result.returncode == 0  # the comma belongs to the value
        return
    assert result.returncode == 1
    assert result.stderr.startswith("dmg_send: ")
    assert fault in result.stderr
    assert result.stderr.count("\n") == 1


def test_where_no_hub_listens_sending_fails(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    (tmp_path / "domogik.cfg").write_text(f"[domogik]\nxpl_port = {port}\n")
    for more in ((), ("--wait", "30")):
        result = run(tmp_path, "dmg_send", "xpl-stat", "test.basic", "a=1", *more)
        assert result.returncode == 1
        assert f"127.0.0.1:{port}" in result.stderr
        assert "dmg_hub" in result.stderr
    (tmp_path / "domogik.cfg").write_text("[domogik]\nxpl_port = 0\n")
    result = run(tmp_path, "dmg_send", "xpl-stat", "test.basic", "a=1")
    assert (result.returncode, "names no port" in result.stderr) == (1, True)


# dmg_dump


def test_what_passes_is_printed_at_once_and_its_own_heartbeats_are_not(
    world: World, client: XplClient
) -> None:
    dump = registered(client, world, "--source", "*.here", "--source", DUMP)
    lines = lines_of(dump)
    for number in range(3):
        body = (("number", str(number)), ("text", "two words"))
        client.send(Message(TRIG, client.source, "*", "sensor.basic", body))
        line = next(lines).split(" ", 1)[1]
        assert line == (
            f'xpl-trig acme-test.here > * sensor.basic number={number} text="two words"\n'
        )
    assert end(dump, signal.SIGINT) == (130, "", "")


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_leaves_the_hub_when_it_is_ended(
    world: World, client: XplClient, signum: int, status: int
) -> None:
    dump = registered(client, world)
    dump.send_signal(signum)
    client.expect(lambda message: message.source == DUMP and message.schema == "hbeat.end")
    assert end(dump)[::2] == (status, "")


def test_it_leaves_the_hub_when_its_reader_has_enough(world: World, client: XplClient) -> None:
    dump = registered(client, world)
    assert dump.stdout is not None
    dump.stdout.close()
    client.send(Message(TRIG, client.source, "*", "sensor.basic", (("a", "1"),)))
    client.expect(lambda message: message.source == DUMP and message.schema == "hbeat.end")
    assert dump.stderr is not None
    with dump.stderr:
        assert dump.stderr.read() == ""
    assert dump.wait() == 128 + signal.SIGPIPE


def test_it_says_that_it_is_still_here_when_asked(world: World, client: XplClient) -> None:
    dump = registered(client, world)
    client.send(Message(CMND, client.source, "*", "hbeat.request", (("command", "request"),)))
    client.expect(lambda message: message.source == DUMP and message.schema == "hbeat.app")
    end(dump, signal.SIGINT)


def test_filters_choose_and_a_count_ends_it(world: World, client: XplClient) -> None:
    dump = registered(client, world, "-s", "SENSOR.*", "-t", TRIG, "-n", "2", "--json")
    for type, schema in (
        (STAT, "sensor.basic"),
        (TRIG, "sensor.basic"),
        (TRIG, "other.basic"),
        (TRIG, "sensor.more"),
        (TRIG, "sensor.toomany"),
    ):
        client.send(Message(type, client.source, "*", schema, (("a", "1"), ("a", "2"))))
    status, output, errors = end(dump)
    assert (status, errors) == (0, "")
    documents: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert [document["schema"] for document in documents] == ["sensor.basic", "sensor.more"]
    assert documents[0]["body"] == [["a", "1"], ["a", "2"]]


def test_a_message_in_parts_is_shown_whole_or_on_request_in_parts(
    world: World, client: XplClient
) -> None:
    whole = begin(world, "dmg_dump", "--json", "-s", "large.basic", "-n", "1")
    first = heard(client).get("port")
    parts = ("--json", "-s", "fragment.basic", "-n", "3", "--raw")
    raw = registered(client, world, *parts, beside=(first,))
    values = [f"n{number}={'v' * 120}" for number in range(30)]
    assert run(world, "dmg_send", "xpl-stat", "large.basic", *values).returncode == 0
    document = json.loads(end(whole)[1])
    assert [f"{name}={value}" for name, value in document["body"]] == values
    assert [json.loads(line)["schema"] for line in end(raw)[1].splitlines()] == (
        ["fragment.basic"] * 3
    )


def test_what_is_no_message_is_shown_as_such(world: World, client: XplClient) -> None:
    dump = begin(world, "dmg_dump")
    beat = heard(client)
    client.sock.sendto(b"\x1b[2J garbage", ("127.0.0.1", int(beat.get("port") or "")))
    lines = lines_of(dump)
    line = next(line for line in lines if " invalid " in line)
    assert r"b'\x1b[2J garbage'" in line
    end(dump, signal.SIGINT)


def test_types_have_colours_on_a_terminal_and_values_cannot_order_it_about(
    world: World, client: XplClient
) -> None:
    text = (
        "xpl-trig\n{\nhop=1\nsource=acme-test.here\ntarget=*\n}\n"
        "hostile.basic\n{\ntext=\x1b[2J\x1b]0;mine\x07\n}\n"
    )
    with sent_again_and_again(client, text):
        shown = on_a_terminal(world, "dmg_dump", ["-n", "1", "-s", "hostile.basic"])
    assert "\x1b[32mxpl-trig\x1b[0m" in shown
    assert r"text=\x1b[2J\x1b]0;mine\x07" in shown
    assert "\x07" not in shown


def test_without_a_hub_it_says_so_and_goes_on_looking(tmp_path: Path) -> None:
    own = World(tmp_path)
    dump = begin(own, "dmg_dump", "--source", "domogik-manager.*", "-n", "1")
    try:
        assert dump.stderr is not None
        first = dump.stderr.readline()
        assert "no hub answers" in first
        assert "names no port" in first
        own.start()
        assert dump.stderr.readline() == "dmg_dump: the hub answers now\n"
        with XplClient(own) as client:
            request = (("command", "request"),)
            client.send(Message(CMND, client.source, "*", "hbeat.request", request))
        status, output, _ = end(dump)
        assert status == 0
        assert f"domogik-manager.{HOST}" in output
    finally:
        own.close()


def test_the_hub_forgets_who_left(world: World, client: XplClient) -> None:
    dump = registered(client, world)
    end(dump, signal.SIGINT)

    def sources() -> str:
        return (world.home / "run" / "hub.json").read_text()

    wait_until(lambda: client.source in sources() and DUMP not in sources(), "forgotten")
