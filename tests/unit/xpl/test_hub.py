"""The hub's promises, without a network: a fake transport, a fake clock."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from domogik.xpl.codec.codec import decode
from domogik.xpl.codec.message import InvalidMessage
from domogik.xpl.hub import forwarding as hub_module
from domogik.xpl.hub.clients import MAX_AT_ADDRESS, MAX_CLIENTS, PROVEN_AFTER, PortHolder
from domogik.xpl.hub.forwarding import Hub
from domogik.xpl.hub.sockets import HubPortTaken
from domogik.xpl.node.port import NetworkSettings

Address = tuple[str, int]
HERE = "127.0.0.1"
OTHER_HOST = ("10.9.8.7", 3865)
SOMEBODY = (HERE, 40000)
MESSAGE = (
    b"xpl-stat\n{\nhop=1\nsource=acme-lamp.kitchen\ntarget=*\n}\n"
    b"sensor.basic\n{\ndevice=lamp\ncurrent=1\n}\n"
)


def presence(
    port: object,
    schema: str = "hbeat.app",
    source: str = "acme-lamp.kitchen",
    ip: str | None = HERE,
    interval: object = 5,
) -> bytes:
    pairs = {"interval": interval, "port": port, "remote-ip": ip}
    body = "".join(f"{name}={value}\n" for name, value in pairs.items() if value is not None)
    return (
        f"xpl-stat\n{{\nhop=1\nsource={source}\ntarget=*\n}}\n{schema}\n{{\n{body}}}\n"
    ).encode()


class FakeSockets:
    """Notes what is sent; an address in `broken` raises its errno."""

    port = 3865
    receive_buffer_bytes = 8 << 20
    dropped = 0

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []
        self.broken: dict[Address, int] = {}
        self.closed = False

    def send(self, data: bytes, address: Address) -> int:
        if address in self.broken:
            raise OSError(self.broken[address], "no way there")
        self.sent.append((data, address))
        return len(data)

    def listen(self, reactor: object, receive: Callable[[bytes, Address], object]) -> None:
        self.receive = receive

    def close(self) -> None:
        self.closed = True

    def to(self, port: int) -> list[bytes]:
        return [data for data, address in self.sent if address[1] == port]


class AllHosts:
    """A hub with everything it is given."""

    def __init__(self, directory: Path, *, start: bool = True, **options: object) -> None:
        self.clock = Clock()
        self.directory = directory
        self.sockets = FakeSockets()
        self.state = directory / "hub.json"
        self.invalid = directory / "invalid.log"
        self.hub = Hub(
            self.clock,
            NetworkSettings(),
            self.state,
            self.invalid,
            wall_clock=lambda: 1_700_000_000 + self.clock.seconds(),
            monotonic=self.clock.seconds,
            local_addresses={HERE, "192.168.1.2"}.__contains__,
            bind=lambda settings: self.sockets,
            **options,
        )
        if start:
            self.hub.start()

    def hear(self, data: bytes, sender: Address = SOMEBODY) -> None:
        self.sockets.receive(data, sender)

    def pass_minutes(self, minutes: int) -> None:
        self.clock.pump([60] * minutes)

    @property
    def ports(self) -> list[int]:
        return [client.port for client in self.hub.clients]


@pytest.fixture
def all_hosts(tmp_path: Path) -> AllHosts:
    return AllHosts(tmp_path)


class AttachedPort:
    def __init__(self, address: Address, fault: Exception | None = None) -> None:
        self.address = address
        self.fault = fault
        self.got: list[tuple[bytes, Address]] = []

    def received(self, data: bytes, address: Address) -> None:
        self.got.append((data, address))
        if self.fault:
            raise self.fault


# -- clients


def test_a_new_hub_has_no_clients(all_hosts: AllHosts) -> None:
    assert all_hosts.hub.clients == ()


def test_the_first_heartbeat_makes_a_client_and_is_echoed_to_it(all_hosts: AllHosts) -> None:
    beat = presence(5001)
    all_hosts.hear(beat)
    (client,) = all_hosts.hub.clients
    assert (client.address, client.port, client.interval) == (HERE, 5001, 5)
    assert [source.name for source in client.sources] == ["acme-lamp.kitchen"]
    assert all_hosts.sockets.sent == [(beat, (HERE, 5001))]


def test_an_unconfigured_program_is_a_client_too(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001, "config.app"))
    assert all_hosts.ports == [5001]


def test_a_client_is_where_its_body_says_not_where_the_datagram_came_from(
    all_hosts: AllHosts,
) -> None:
    all_hosts.hear(presence(5001), (HERE, 61234))
    assert all_hosts.ports == [5001]


def test_a_second_heartbeat_refreshes_and_makes_no_second_client(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(30)
    all_hosts.hear(presence(5001))
    (client,) = all_hosts.hub.clients
    assert client.last_heard == 1_700_000_030


@pytest.mark.parametrize("schema", ["hbeat.blah", "hbeat.basic", "hbeat.request", "config.basic"])
def test_other_heartbeats_neither_register_nor_refresh(all_hosts: AllHosts, schema: str) -> None:
    all_hosts.hear(presence(5001, schema))
    assert all_hosts.ports == []
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(30)
    all_hosts.hear(presence(5001, schema))
    assert all_hosts.hub.clients[0].last_heard == 1_700_000_000


@pytest.mark.parametrize("schema", ["hbeat.end", "config.end"])
def test_an_end_removes_before_it_is_forwarded(all_hosts: AllHosts, schema: str) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(presence(5002, source="acme-lamp.hall"))
    all_hosts.sockets.sent.clear()
    end = presence(5001, schema)
    all_hosts.hear(end)
    assert all_hosts.ports == [5002]
    assert all_hosts.sockets.sent == [(end, (HERE, 5002))]


def test_the_end_of_an_unknown_client_changes_nothing(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(presence(5002, "hbeat.end"))
    all_hosts.hear(presence(None, "hbeat.end", ip=None, interval=None))
    assert all_hosts.ports == [5001]


def test_a_program_with_two_devices_stays_until_both_have_ended(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001, source="acme-lamp.one"))
    all_hosts.hear(presence(5001, source="acme-lamp.two"))
    (client,) = all_hosts.hub.clients
    assert [source.name for source in client.sources] == ["acme-lamp.one", "acme-lamp.two"]
    all_hosts.hear(presence(5001, "hbeat.end", source="acme-lamp.one"))
    assert all_hosts.ports == [5001]
    all_hosts.hear(presence(5001, "hbeat.end", source="acme-lamp.two"))
    assert all_hosts.ports == []


def test_the_end_of_a_stranger_at_the_same_port_removes_nobody(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(presence(5001, "hbeat.end", source="acme-lamp.stranger"))
    assert all_hosts.ports == [5001]


def test_a_new_program_at_a_used_port_becomes_its_source(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001, source="acme-lamp.old"))
    all_hosts.pass_minutes(10)
    all_hosts.hear(presence(5001, source="acme-lamp.new"))
    all_hosts.pass_minutes(2)
    (client,) = all_hosts.hub.clients
    assert [source.name for source in client.sources] == ["acme-lamp.new"]


def test_a_client_silent_for_twice_its_interval_and_a_minute_is_dropped(
    all_hosts: AllHosts,
) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.pass_minutes(11)
    assert all_hosts.ports == [5001]
    all_hosts.pass_minutes(1)
    assert all_hosts.ports == []
    assert all_hosts.hub.counters["expired"] == 1


def test_silence_before_the_limit_is_forgiven(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.pass_minutes(10)
    all_hosts.hear(presence(5001))
    all_hosts.pass_minutes(10)
    assert all_hosts.ports == [5001]


@pytest.mark.parametrize("interval", [None, "", "abc", "-1", "0", "5.5", "9" * 5000, "٣"])
def test_a_heartbeat_without_a_sensible_interval_counts_as_five_minutes(
    all_hosts: AllHosts, interval: object
) -> None:
    all_hosts.hear(presence(5001, interval=interval))
    assert all_hosts.hub.clients[0].interval == 5


def test_an_interval_in_seconds_does_not_keep_a_dead_client_for_hours(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001, interval=300))
    assert all_hosts.hub.clients[0].interval == 30


def test_short_intervals_are_taken_as_they_are(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001, interval=1))
    all_hosts.pass_minutes(4)
    assert all_hosts.ports == []


@pytest.mark.parametrize("port", ["70000", "65536", "0", "-1", "abc", "", None, "5" * 5000, "٣٣٣"])
def test_what_is_no_port_registers_nobody_and_is_counted(all_hosts: AllHosts, port: object) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(presence(port, source="acme-lamp.bad"))
    all_hosts.hear(presence(5002, source="acme-lamp.later"))
    assert all_hosts.ports == [5001, 5002]
    assert all_hosts.hub.counters["refused"] == 1
    assert len(all_hosts.sockets.to(5001)) == 3  # forwarded all the same


@pytest.mark.parametrize("ip", ["127.0.0.2", "10.1.1.1", "0.0.0.0", "127.255.255.255", "", None])
def test_a_remote_ip_that_is_not_of_this_computer_has_no_effect(
    all_hosts: AllHosts, ip: str | None
) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(presence(5002, ip=ip, source="acme-lamp.far"))
    all_hosts.hear(presence(5001, "hbeat.end", ip=ip))
    assert all_hosts.ports == [5001]
    assert len(all_hosts.sockets.to(5001)) == 3  # forwarded all the same


def test_an_address_of_another_interface_of_this_computer_is_fine(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001, ip="192.168.1.2"), ("192.168.1.2", 5001))
    assert all_hosts.hub.clients[0].address == "192.168.1.2"


def test_another_computer_can_neither_add_nor_end_clients_of_ours(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(presence(53, source="evil-host.x"), OTHER_HOST)
    all_hosts.hear(presence(5001, "hbeat.end"), OTHER_HOST)
    assert all_hosts.ports == [5001]
    assert all_hosts.hub.counters["refused"] == 2


@pytest.mark.parametrize("ip", [HERE, "192.168.1.2"])
def test_the_hubs_own_port_is_never_a_client_so_nothing_goes_in_circles(
    all_hosts: AllHosts, ip: str
) -> None:
    all_hosts.hear(presence(3865, ip=ip))
    all_hosts.hear(MESSAGE)
    assert all_hosts.ports == []
    assert all_hosts.sockets.sent == []


def test_made_up_clients_are_bounded(all_hosts: AllHosts) -> None:
    for port in range(10_000, 10_400):
        all_hosts.hear(presence(port, source=f"evil-host.p{port}"))
    assert len(all_hosts.hub.clients) == 256
    for number in range(200):
        all_hosts.hear(presence(10_000, source=f"evil-host.n{number}"))
    assert len(all_hosts.hub.clients[0].sources) == 64


def test_heartbeats_in_upper_case_and_with_crlf_count(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001).upper())
    all_hosts.hear(presence(5002, source="acme-lamp.hall").replace(b"\n", b"\r\n"))
    assert all_hosts.ports == [5001, 5002]


# -- forwarding


@pytest.mark.parametrize(
    "target", ["*", "acme-lamp.one", "nobody-here.x", "xpl-group.lights"], ids=str
)
def test_every_client_gets_every_message_whoever_it_is_for(
    all_hosts: AllHosts, target: str
) -> None:
    all_hosts.hear(presence(5001, source="acme-lamp.one"))
    all_hosts.hear(presence(5002, source="acme-lamp.two"))
    all_hosts.sockets.sent.clear()
    message = MESSAGE.replace(b"target=*", b"target=" + target.encode())
    all_hosts.hear(message, (HERE, 5001))
    assert all_hosts.sockets.sent == [(message, (HERE, 5001)), (message, (HERE, 5002))]


@pytest.mark.parametrize(
    "data",
    [
        MESSAGE,
        MESSAGE[:-1],
        MESSAGE + b"trailing",
        MESSAGE.replace(b"\n", b"\r\n"),
        MESSAGE.replace(b"xpl-stat", b"XPL-STAT"),
        MESSAGE.replace(b"hop=1", b"hop=10"),
        MESSAGE.replace(b"hop=1\nsource=acme-lamp.kitchen\n", b"source=acme-lamp.kitchen\nhop=9\n"),
        MESSAGE.replace(b"device=lamp\ncurrent=1\n", b""),
        MESSAGE.replace(b"device=lamp", b"a_b=1\nfoo-bar=\na_b=2=3"),
        MESSAGE.replace(b"lamp\n", b"\xff\xfe" * 30_000 + b"\n"),
        MESSAGE.replace(b"current=1", b"current=}\nx={"),
    ],
    ids=lambda data: repr(data[:20]) if len(data) < 300 else "60 kB",
)
def test_bytes_are_forwarded_unchanged(all_hosts: AllHosts, data: bytes) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(data)
    assert all_hosts.sockets.to(5001)[1:] == [data]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"junk",
        b"xpl-stat",
        b"xpl-stat\n{\n",
        MESSAGE.split(b"sensor")[0],
        MESSAGE[:-3],
        MESSAGE.replace(b"xpl-stat", b"xpl-blah"),
        MESSAGE.replace(b"source=acme-lamp.kitchen\n", b""),
        MESSAGE.replace(b"device=lamp", b"device"),
    ],
    ids=repr,
)
def test_what_is_no_message_is_counted_and_written_down_and_not_forwarded(
    all_hosts: AllHosts, data: bytes
) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(data, OTHER_HOST)
    all_hosts.hear(MESSAGE)
    assert all_hosts.sockets.to(5001)[1:] == [MESSAGE]
    assert all_hosts.hub.counters["invalid"] == 1
    all_hosts.clock.advance(1)
    (line,) = all_hosts.invalid.read_text().splitlines()
    assert line.startswith("2023-11-14T22:13:20.000+00:00 10.9.8.7:3865 ")


@pytest.mark.parametrize(
    "number", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.EAGAIN, errno.EPERM]
)
def test_a_client_that_cannot_be_reached_harms_no_other(all_hosts: AllHosts, number: int) -> None:
    for port in (5001, 5002, 5003):
        all_hosts.hear(presence(port, source=f"acme-lamp.p{port}"))
    all_hosts.sockets.sent.clear()
    all_hosts.sockets.broken[HERE, 5002] = number
    for _ in range(100):
        all_hosts.hear(MESSAGE)
    assert len(all_hosts.sockets.to(5001)) == len(all_hosts.sockets.to(5003)) == 100
    assert all_hosts.ports == [5001, 5002, 5003]  # only silence or an end removes a client
    errors = {client.port: client.errors for client in all_hosts.hub.clients}
    assert errors == {5001: 0, 5002: 100, 5003: 0}


def test_copies_are_counted_per_client(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(MESSAGE)
    all_hosts.hear(presence(5002, source="acme-lamp.late"))
    all_hosts.hear(MESSAGE)
    assert [client.forwarded for client in all_hosts.hub.clients] == [4, 2]
    counters = all_hosts.hub.counters
    assert (counters["received"], counters["forwarded"], counters["clients"]) == (4, 6, 2)
    assert counters["receive_buffer_bytes"] == 8 << 20


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda head, tail: MESSAGE[:head] + tail,
        st.integers(0, len(MESSAGE)),
        st.binary(max_size=60),
    )
)
def test_what_the_hub_takes_for_a_message_the_codec_can_read(data: bytes) -> None:
    if hub_module._SHAPE.match(data):
        decode(data)


@given(
    st.lists(
        st.tuples(st.integers(0, len(MESSAGE) - 1), st.sampled_from(b"\r\n{}=.*- aZ_\xff")),
        max_size=4,
    )
)
def test_a_damaged_message_is_forwarded_exactly_when_the_codec_can_read_it(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(MESSAGE)
    for place, byte in damage:
        data[place] = byte
    try:
        decode(bytes(data))
        readable = True
    except InvalidMessage:
        readable = False
    all_hosts = AllHosts(tmp_path_factory.getbasetemp(), start=False)
    all_hosts.hub.start()
    all_hosts.hear(presence(5001))
    all_hosts.hear(bytes(data))
    assert (all_hosts.sockets.to(5001)[-1] == bytes(data)) is readable


# -- a client in this process


def test_a_client_in_this_process_is_called_with_the_true_sender(all_hosts: AllHosts) -> None:
    port = AttachedPort((HERE, 5001))
    all_hosts.hub.attach(port)
    all_hosts.hear(MESSAGE, OTHER_HOST)
    assert port.got == [(MESSAGE, OTHER_HOST)]


def test_its_own_heartbeat_does_not_make_it_hear_everything_twice(all_hosts: AllHosts) -> None:
    port = AttachedPort((HERE, 5001))
    all_hosts.hub.attach(port)
    beat = presence(5001)
    all_hosts.hear(beat, (HERE, 5001))
    assert port.got == [(beat, (HERE, 5001))]
    assert all_hosts.sockets.sent == []
    (client,) = all_hosts.hub.clients
    assert (client.port, client.attached, client.forwarded) == (5001, True, 1)


def test_a_program_that_had_its_port_before_does_not_make_it_hear_twice(
    all_hosts: AllHosts,
) -> None:
    all_hosts.hear(presence(5001, source="acme-lamp.dead"))
    all_hosts.hub.attach(AttachedPort((HERE, 5001)))
    all_hosts.sockets.sent.clear()
    all_hosts.hear(MESSAGE)
    assert all_hosts.sockets.sent == []


def test_its_fault_is_nobody_elses(all_hosts: AllHosts) -> None:
    first, second = AttachedPort((HERE, 5001), ValueError("bad day")), AttachedPort((HERE, 5002))
    all_hosts.hub.attach(first)
    all_hosts.hub.attach(second)
    all_hosts.hear(presence(5003))
    all_hosts.hear(MESSAGE)
    assert len(second.got) == 2
    assert len(all_hosts.sockets.to(5003)) == 2


# -- from one hub to the next


def test_the_client_table_is_written_at_a_change_and_then_not_for_a_moment(
    all_hosts: AllHosts,
) -> None:
    def written() -> list[dict[str, object]]:
        return json.loads(all_hosts.state.read_text())["clients"]

    all_hosts.hear(presence(5001))
    assert [(entry["address"], entry["port"]) for entry in written()] == [(HERE, 5001)]
    assert written()[0]["sources"] == [
        {"source": "acme-lamp.kitchen", "interval": 5, "last_heard": 1_700_000_000}
    ]
    assert (all_hosts.state.stat().st_mode & 0o777) == 0o600
    for port in (5002, 5003):
        all_hosts.hear(presence(port, source=f"acme-lamp.p{port}"))
        assert len(written()) == 1
    all_hosts.clock.advance(1)
    assert [entry["port"] for entry in written()] == [5001, 5002, 5003]


def test_refreshed_heartbeats_are_written_once_a_minute(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(1)
    all_hosts.state.unlink()
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(58)
    assert not all_hosts.state.exists()
    all_hosts.clock.advance(1)
    assert json.loads(all_hosts.state.read_text())["clients"][0]["last_heard"] == 1_700_000_001


def test_a_quiet_hub_wakes_once_a_minute_and_writes_nothing(all_hosts: AllHosts) -> None:
    all_hosts.clock.advance(60)
    assert len(all_hosts.clock.getDelayedCalls()) == 1
    assert list(all_hosts.directory.iterdir()) == []


def test_the_next_hub_takes_over_the_clients_and_asks_each_for_a_heartbeat(tmp_path: Path) -> None:
    first = AllHosts(tmp_path)
    first.hear(presence(5001))
    first.hear(presence(5002, source="acme-lamp.hall", interval=30))
    first.clock.advance(1)  # and then it dies
    second = AllHosts(tmp_path, host="tower")
    assert second.ports == [5001, 5002]
    assert [address for _, address in second.sockets.sent] == [(HERE, 5001), (HERE, 5002)]
    request = decode(second.sockets.sent[0][0])
    assert (request.type, request.schema, request.target) == ("xpl-cmnd", "hbeat.request", "*")
    assert request.source == "domogik-hub.tower"
    assert request.body == (("command", "request"),)
    second.hear(MESSAGE)
    assert second.sockets.to(5002)[1:] == [MESSAGE]


def write_table(path: Path, **changes: object) -> None:
    source = {"source": "acme-lamp.kitchen", "interval": 5, "last_heard": 1_700_000_000}
    entry = {"address": HERE, "port": 5001, "sources": [source]} | changes
    path.write_text(json.dumps({"clients": [entry]}))


def heard(ago: float, interval: object = 5, source: object = "acme-lamp.kitchen") -> object:
    return [{"source": source, "interval": interval, "last_heard": 1_700_000_000 - ago}]


@pytest.mark.parametrize(("ago", "kept"), [(0, True), (650, True), (670, False), (-9e8, True)])
def test_clients_that_would_be_dead_by_now_are_not_taken_over(
    tmp_path: Path, ago: float, kept: bool
) -> None:
    write_table(tmp_path / "hub.json", sources=heard(ago))
    all_hosts = AllHosts(tmp_path)
    assert all_hosts.ports == ([5001] if kept else [])
    all_hosts.pass_minutes(12)  # and one that never answers goes the usual way
    assert all_hosts.ports == []


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "10.1.1.1"},
        {"address": "evil.example"},
        {"address": 7},
        {"port": 3865},
        {"port": 70_000},
        {"port": "5001"},
        {"port": True},
        {"sources": []},
        {"sources": [None, 1, {}]},
        {"sources": heard(0, interval="5")},
        {"sources": heard(0, source="a\nb")},
        {"sources": heard(float("nan"))},
        {"sources": heard(float("-inf"))},
        {"sources": heard(10**20)},
    ],
    ids=str,
)
def test_entries_that_are_wrong_or_of_another_host_are_not_taken_over(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    write_table(tmp_path / "hub.json", **changes)
    all_hosts = AllHosts(tmp_path)
    assert all_hosts.ports == []
    assert all_hosts.sockets.sent == []


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"null", b"[]", b"{}", b'{"clients": 1}', b'{"clients": [[[', b"[" * 100_000],
    ids=lambda content: repr(content[:20]),
)
def test_a_broken_file_is_no_reason_not_to_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hub.json").write_bytes(content)
    all_hosts = AllHosts(tmp_path)
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(1)
    assert json.loads(all_hosts.state.read_text())["clients"]


def test_a_file_that_cannot_be_written_is_tried_again_and_stops_nothing(tmp_path: Path) -> None:
    all_hosts = AllHosts(tmp_path / "missing")
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(1)
    all_hosts.hear(b"junk")
    all_hosts.clock.advance(1)
    assert all_hosts.ports == [5001]
    all_hosts.directory.mkdir()
    all_hosts.pass_minutes(1)
    assert all_hosts.state.exists()


def test_a_client_in_this_process_is_not_passed_on_to_the_next_hub(all_hosts: AllHosts) -> None:
    all_hosts.hub.attach(AttachedPort((HERE, 5001)))
    all_hosts.hear(presence(5001))
    all_hosts.clock.advance(1)
    assert json.loads(all_hosts.state.read_text())["clients"] == []


# -- its log


def test_one_trouble_is_complained_of_once_a_minute_however_often_it_happens(
    all_hosts: AllHosts,
) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.sockets.broken[HERE, 5001] = errno.ECONNREFUSED
    with capturedLogs() as events:
        for _ in range(1000):
            all_hosts.hear(MESSAGE)
            all_hosts.hear(b"junk %s {format} %(this)s")
            all_hosts.hear(presence("abc", source="acme-lamp.bad"))
    assert len(events) == 3
    with capturedLogs() as events:
        all_hosts.clock.advance(60)
        all_hosts.hear(MESSAGE)
    assert len(events) == 1


def test_heartbeats_of_other_computers_are_no_complaint(all_hosts: AllHosts) -> None:
    with capturedLogs() as events:
        all_hosts.hear(presence(3865, ip="10.9.8.7", source="acme-lamp.far"), OTHER_HOST)
    assert events == []


# -- life


def test_stopping_closes_the_port_keeps_the_table_and_leaves_no_timer(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hear(b"junk")
    assert all_hosts.hub.stop().called
    assert all_hosts.sockets.closed
    assert all_hosts.clock.getDelayedCalls() == []
    assert json.loads(all_hosts.state.read_text())["clients"][0]["port"] == 5001
    assert "junk" in all_hosts.invalid.read_text()
    assert all_hosts.hub.stop().called
    assert all_hosts.hub.port == 0


def test_a_stopped_hub_can_start_again(all_hosts: AllHosts) -> None:
    all_hosts.hear(presence(5001))
    all_hosts.hub.stop()
    all_hosts.hub.start()
    assert all_hosts.ports == [5001]


def test_a_taken_port_changes_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    all_hosts = AllHosts(tmp_path, start=False)
    taken = True

    def bind(settings: NetworkSettings) -> FakeSockets:
        if taken:
            raise HubPortTaken("UDP port 3865 is taken")
        return all_hosts.sockets

    all_hosts.hub._bind = bind
    with pytest.raises(HubPortTaken):
        all_hosts.hub.start()
    assert all_hosts.clock.getDelayedCalls() == []
    taken = False
    all_hosts.hub.start()
    assert all_hosts.hub.port == 3865


def test_a_host_name_that_xpl_cannot_say_is_refused_before_anything_is_bound(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidMessage):
        AllHosts(tmp_path, host="my host")


# -- who gets a place: clients whose port a socket has, and always a newcomer's

LAN = "192.168.1.2"
ATTACKER, OTHER, CHILD = 666, 700, 42


class Kernel:
    """`owners` says which process has a port; what is not in it nobody has."""

    def __init__(self) -> None:
        self.owners: dict[int, int] = {}
        self.asked: list[Address] = []
        self.looks = 0
        self.late: Deferred[None] | None = None

    def give(self, process: int, *ports: int) -> None:
        self.owners |= dict.fromkeys(ports, process)

    def has(self, address: Address) -> bool:
        self.asked.append(address)
        return address[1] in self.owners

    async def holders(self, addresses: Collection[Address]) -> Mapping[Address, PortHolder]:
        self.looks += 1
        await (self.late or succeed(None))
        return {
            address: PortHolder(pid := self.owners[address[1]], f"program {pid}", pid == CHILD)
            for address in addresses
            if address[1] in self.owners
        }


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def asking(tmp_path: Path, kernel: Kernel) -> AllHosts:
    """A hub that asks the kernel."""
    return AllHosts(tmp_path, local_sockets=kernel)


def come(all_hosts: AllHosts, kernel: Kernel, process: int, *ports: int, ip: str = HERE) -> None:
    """A process binds ports and sends a heartbeat for each."""
    kernel.give(process, *ports)
    for port in ports:
        all_hosts.hear(presence(port, source=f"acme-lamp.p{port}", ip=ip), (ip, port))


def fill(asking: AllHosts, kernel: Kernel) -> None:
    come(asking, kernel, ATTACKER, *range(10_000, 10_000 + MAX_CLIENTS))
    assert len(asking.ports) == MAX_CLIENTS


def test_a_heartbeat_with_a_port_that_nobody_has_makes_no_client(
    asking: AllHosts, kernel: Kernel
) -> None:
    asking.hear(presence(5001))
    assert asking.ports == []
    assert asking.hub.counters["refused"] == 1
    kernel.give(OTHER, 5001)
    asking.hear(presence(5001))
    assert asking.ports == [5001]


def test_the_kernel_is_asked_about_what_is_new_and_about_nothing_else(
    asking: AllHosts, kernel: Kernel
) -> None:
    come(asking, kernel, OTHER, 5001)
    for _ in range(10):
        asking.hear(presence(5001, source="acme-lamp.p5001"))
        asking.hear(presence(5001, "hbeat.request"))
    assert kernel.asked == [(HERE, 5001)]


def test_a_remembered_client_whose_port_nobody_has_is_dropped_at_once(
    tmp_path: Path, kernel: Kernel
) -> None:
    before = AllHosts(tmp_path)
    for port in (5001, 5002, 5003):
        before.hear(presence(port, source=f"acme-lamp.p{port}"))
    before.hub.stop()
    kernel.give(OTHER, 5002)
    after = AllHosts(tmp_path, local_sockets=kernel)
    assert after.ports == [5002]
    after.hub.stop()
    assert [one["port"] for one in json.loads(after.state.read_text())["clients"]] == [5002]


def test_a_client_that_does_not_answer_but_has_its_port_stays_for_its_interval(
    asking: AllHosts, kernel: Kernel
) -> None:
    come(asking, kernel, OTHER, 5001)
    asking.pass_minutes(11)
    assert asking.ports == [5001]


def test_one_process_that_has_all_places_gives_one_to_a_newcomer_which_hears_its_echo(
    asking: AllHosts, kernel: Kernel
) -> None:
    fill(asking, kernel)
    kernel.late = Deferred()
    come(asking, kernel, OTHER, 5001)
    kernel.late.callback(None)
    assert 5001 in asking.ports
    assert len(asking.ports) == MAX_CLIENTS
    assert 10_000 not in asking.ports  # the oldest
    assert asking.sockets.to(5001) == [presence(5001, source="acme-lamp.p5001")]
    assert "program 666" in asking.hub.fullness


def test_however_long_it_goes_on_those_with_few_places_keep_them(
    asking: AllHosts, kernel: Kernel
) -> None:
    come(asking, kernel, OTHER, 5001)
    fill_from = 10_000
    for _ in range(5):
        come(asking, kernel, ATTACKER, *range(fill_from, fill_from + MAX_CLIENTS))
        asking.clock.advance(2)
        fill_from += MAX_CLIENTS
    come(asking, kernel, OTHER + 1, 5002)
    asking.clock.advance(2)
    come(asking, kernel, ATTACKER, *range(fill_from, fill_from + 50))
    asking.clock.advance(2)
    assert {5001, 5002} <= set(asking.ports)


def test_who_has_proven_itself_is_not_the_first_to_go(asking: AllHosts, kernel: Kernel) -> None:
    come(asking, kernel, ATTACKER, 10_000)
    asking.clock.advance(PROVEN_AFTER)
    come(asking, kernel, ATTACKER, *range(10_000, 10_000 + MAX_CLIENTS))
    come(asking, kernel, OTHER, 5001)
    assert 10_000 in asking.ports
    assert 10_001 not in asking.ports


def test_our_own_children_always_find_a_place_and_never_lose_it(
    asking: AllHosts, kernel: Kernel
) -> None:
    come(asking, kernel, CHILD, 5001)
    for number in range(MAX_CLIENTS - 1):
        come(asking, kernel, 1000 + number, 20_000 + number)
    come(asking, kernel, CHILD, 5002)
    asking.clock.advance(2)
    for number in range(300):
        come(asking, kernel, 3000 + number, 30_000 + number)
        asking.clock.advance(2)
    assert {5001, 5002} <= set(asking.ports)


def test_programs_at_another_address_leave_places_for_loopback(
    asking: AllHosts, kernel: Kernel
) -> None:
    ports = range(10_000, 10_000 + MAX_CLIENTS)
    come(asking, kernel, ATTACKER, *ports, ip=LAN)
    assert len(asking.ports) == MAX_AT_ADDRESS
    come(asking, kernel, OTHER, 5001, ip=LAN)
    asking.clock.advance(2)
    come(asking, kernel, OTHER, 5002, ip=LAN)
    asking.clock.advance(2)
    come(asking, kernel, ATTACKER, *range(20_000, 20_064))
    assert {5001, 5002, *range(20_000, 20_062)} <= set(asking.ports)


def test_clients_whose_socket_is_gone_make_room_first(asking: AllHosts, kernel: Kernel) -> None:
    fill(asking, kernel)
    for port in range(10_100, 10_000 + MAX_CLIENTS):
        del kernel.owners[port]
    come(asking, kernel, OTHER, 5001)
    assert asking.ports == [*range(10_000, 10_100), 5001]
    assert asking.hub.fullness == ""


def test_the_owners_of_places_are_looked_for_once_a_second_at_most(
    asking: AllHosts, kernel: Kernel
) -> None:
    fill(asking, kernel)
    come(asking, kernel, ATTACKER, *range(20_000, 20_500))
    assert kernel.looks == 1
    asking.clock.advance(1)
    assert kernel.looks == 2


def test_it_is_told_once_that_the_hub_is_full_and_forgotten_after_ten_minutes(
    asking: AllHosts, kernel: Kernel
) -> None:
    told: list[str] = []
    asking.hub.on_full = lambda: told.append(asking.hub.fullness)
    fill(asking, kernel)
    for port in range(20_000, 20_010):
        come(asking, kernel, ATTACKER, port)
        asking.clock.advance(1)
    assert told == [f"all its places were taken, {MAX_CLIENTS} of them by program 666"]
    asking.pass_minutes(11)
    assert asking.hub.fullness == ""


def test_a_hub_that_stopped_meanwhile_gives_no_more_places(
    asking: AllHosts, kernel: Kernel
) -> None:
    fill(asking, kernel)
    kernel.late = Deferred()
    come(asking, kernel, OTHER, 5001)
    asking.hub.stop()
    kernel.late.callback(None)
    assert 5001 not in asking.ports
    assert asking.clock.getDelayedCalls() == []


def test_a_kernel_that_does_not_say_leaves_the_clients_as_they_are(
    asking: AllHosts, kernel: Kernel
) -> None:
    fill(asking, kernel)
    kernel.late = Deferred()
    come(asking, kernel, OTHER, 5001)
    kernel.late.errback(OSError("no /proc"))
    assert len(asking.ports) == MAX_CLIENTS
    asking.hear(presence(10_000), SOMEBODY)
    assert 5001 not in asking.ports
