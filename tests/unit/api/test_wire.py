"""Whatever comes over the wire gets a well-formed answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domogik.api.http.connections import MAX_CONNECTIONS, MAX_PER_ADDRESS, MAX_STRANGERS
from domogik.api.http.wire import (
    BODY_PERIOD,
    BODY_PORTION,
    HEAD_TIMEOUT,
    IDLE_TIMEOUT,
    LINGER,
    MAX_BODY,
    MAX_LINGERING,
)
from domogik.components.model import State
from domogik.testing.all_hosts import plugin

PUT = b"PUT /api/v1/components/x/config/y HTTP/1.1\r\nHost: vm\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: vm\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: vm\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: vm\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: vm\r\nX: a\x00b\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 400),
        (b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: vm\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (PUT + b"Content-Length: 1000000\r\n\r\n", 413),
        (PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_problem(door, data, status):
    connection = door.connect()
    connection.send(data)
    answer = connection.response()
    assert answer.status == answer.json["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"


def test_a_body_that_grows_too_large_is_refused_once(door):
    connection = door.connect()
    connection.send(PUT + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%s\r\n" % (MAX_BODY // 2, b"x" * (MAX_BODY // 2))
    for _ in range(10):
        connection.send(chunk)
    connection.send(b"0\r\n\r\nGET / HTTP/1.1\r\nHost: vm\r\n\r\n")
    assert connection.response().status == 413
    assert connection.received.count(b"HTTP/1.1") == 1


def test_a_refused_client_has_time_to_read_why(door):
    connection = door.connect()
    connection.send(b"nonsense\r\n\r\n")
    assert not connection.dropped
    connection.send(b"more" * 1000)
    door.clock.advance(LINGER)
    assert connection.dropped


def test_nothing_is_read_before_a_body_that_is_too_large_was_sent(door):
    connection = door.connect()
    connection.send(PUT + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n")
    assert connection.response().status == 413


def test_an_idle_connection_is_closed(door):
    connection = door.open("GET", "/host/")
    door.clock.advance(IDLE_TIMEOUT - 1)
    assert not connection.dropped
    door.clock.advance(1)
    assert connection.dropped
    silent = door.connect()
    door.clock.advance(HEAD_TIMEOUT)
    assert silent.dropped
    assert silent.received == b""


def test_a_head_that_comes_byte_by_byte_ends_at_the_deadline(door):
    for connection in (door.connect(), door.open("GET", "/host/")):
        before = len(connection.received)
        for byte in b"GET / HTTP/1.1\r\nHost":
            connection.send(bytes([byte]))
            door.clock.advance(HEAD_TIMEOUT / 20)
        connection.channel.dataReceived(b": vm\r\n\r\n")
        assert connection.received[before:].startswith(b"HTTP/1.1 408 ")
        assert connection.received.count(b"HTTP/1.1") == (2 if before else 1)


def test_a_body_that_comes_drop_by_drop_is_refused(door):
    connection = door.connect()
    connection.send(PUT + b"Content-Length: 60000\r\n\r\n")
    for _ in range(int(BODY_PERIOD)):
        connection.send(b"x")
        door.clock.advance(1)
    assert connection.response().status == 408


def test_an_upload_goes_on_for_as_long_as_enough_comes(package_access):
    connection = package_access.connect()
    size = 10 * BODY_PORTION
    connection.send(
        b"POST /api/v1/packages/upload HTTP/1.1\r\nHost: vm\r\nAuthorization: Bearer the-token\r\n"
        b"Content-Type: application/gzip\r\nContent-Length: %d\r\n\r\n" % size
    )
    for _ in range(9):
        connection.send(b"x" * BODY_PORTION)
        package_access.clock.advance(BODY_PERIOD)
    assert connection.received == b""
    connection.send(b"x" * 100)
    package_access.clock.advance(BODY_PERIOD)
    assert connection.response().status == 408


@pytest.mark.parametrize(
    "path", ["/api/v1/events", "/api/v1/components/demo/logs?follow=true", "/events/domogik/get/%s"]
)
def test_an_answer_that_has_no_end_is_not_cut(door, all_hosts, path):
    all_hosts.put(plugin("demo", state=State.ALIVE))
    if "%s" in path:
        path %= door.get("/events/domogik/new").json["event"][0]["ticket_id"]
    connection = door.open("GET", path)
    for _ in range(100):
        door.clock.advance(1)
    assert not connection.dropped
    assert b"HTTP/1.1 4" not in connection.received


def test_requests_that_are_sent_together_are_answered_one_in_each_turn(door):
    connection = door.connect()
    connection.send(b"GET /host/ HTTP/1.1\r\nHost: vm\r\n\r\n" * 10)
    seen = []

    def others() -> None:
        """What else the reactor has to do in each turn."""
        seen.append(connection.received.count(b"HTTP/1.1 200"))
        if len(seen) < 10:
            door.clock.callLater(0, others)

    others()
    door.clock.advance(0)
    assert seen == list(range(1, 11))
    assert connection.received.count(b"HTTP/1.1 200") == 10
    assert connection.transport.producerState == "producing"
    connection.send(b"GET /host/ HTTP/1.1\r\nHost: vm\r\n\r\n")
    assert connection.received.count(b"HTTP/1.1 200") == 11


def test_who_reads_no_answers_gets_no_more_of_them(door):
    connection = door.connect()
    connection.send(b"GET /host/ HTTP/1.1\r\nHost: vm\r\n\r\n" * 10)
    connection.channel.pauseProducing()
    door.clock.advance(0)
    assert connection.received.count(b"HTTP/1.1 200") == 1
    connection.channel.resumeProducing()
    for _ in range(20):
        door.clock.advance(0)
    assert connection.received.count(b"HTTP/1.1 200") == 10


def test_one_who_leaves_between_two_of_its_requests_leaves_nothing(door, failures):
    connection = door.connect()
    connection.send(b"GET /host/ HTTP/1.1\r\nHost: vm\r\n\r\n" * 10)
    connection.leave()
    door.clock.advance(1)
    assert connection.received.count(b"HTTP/1.1") == 1
    assert door.clock.getDelayedCalls() == []
    assert failures() == []


def test_a_turn_between_two_requests_with_a_body(door):
    request = PUT + b"Content-Length: 2\r\n\r\n{}"
    connection = door.connect()
    connection.send(request * 3)
    for _ in range(3):
        door.clock.advance(0)
    assert connection.received.count(b"HTTP/1.1 401") == 3


def test_a_connection_is_kept_for_the_next_request(door):
    connection = door.open("GET", "/host/")
    assert not connection.dropped
    connection = door.open("GET", "/host/", headers={"Connection": "close"})
    assert connection.dropped


HEAD = b"GET / HTTP/1.1\r\nHo"
#: a request that is answered at some time
LONG = "/api/v1/components/demo/stop"


def from_elsewhere(number: int) -> dict[str, str]:
    return {"peer": f"10.0.{number // 250}.{number % 250 + 1}", "here": "10.1.0.1"}


def busy(door, times: int, token: bool = False, **where: str):
    """Connections with a request that is not answered yet."""
    from twisted.internet.defer import Deferred

    door.all_hosts.put(plugin("demo", state=State.ALIVE))
    door.all_hosts.held["stop", "demo"] = Deferred()
    headers = {"Host": "10.1.0.1:40405"} if where else {}
    return [door.open("POST", LONG, headers, token=token, **where) for _ in range(times)]


@pytest.mark.parametrize("attacker", ["127.0.0.1", "127.0.0.2", "10.0.0.9"])
def test_clients_that_never_say_what_they_want_lock_nobody_out(door, attacker):
    slow = []
    for _ in range(MAX_CONNECTIONS):
        slow.append(door.connect(attacker, "10.1.0.1"))
        slow[-1].send(HEAD)
    assert door.open("GET", "/host/").response().status == 200
    other = door.open("GET", "/host/", {"Host": "10.1.0.1"}, token=True, **from_elsewhere(0))
    assert other.response().status == 200
    assert any(b" 503 " in connection.received for connection in slow)


def test_the_oldest_of_who_has_the_most_gives_way(door):
    one = door.connect("10.0.0.8")
    many = [door.connect("10.0.0.9") for _ in range(MAX_PER_ADDRESS)]
    many[3].send(HEAD)
    door.connect("10.0.0.9")
    assert [one.dropped, many[0].dropped, many[1].dropped] == [False, True, False]
    for _ in range(3):
        door.connect("10.0.0.9")
    assert many[3].response().status == 503
    assert many[3].response().json["detail"] == "Too many connections are open"


def test_one_network_of_ipv6_is_one_address(door):
    first = door.connect("2001:db8::1")
    for number in range(MAX_PER_ADDRESS):
        door.connect(f"2001:db8::{number + 2:x}")
    assert first.dropped


def test_strangers_that_are_being_answered_leave_places_for_the_owner(door, make_door):
    import ipaddress

    door = make_door(trusted_clients=(ipaddress.ip_network("10.0.0.0/16"),))
    each = MAX_STRANGERS // MAX_PER_ADDRESS
    for number in range(each):
        busy(door, MAX_PER_ADDRESS, **from_elsewhere(number))
    (refused,) = busy(door, 1, **from_elsewhere(each))
    assert refused.response().status == 503
    assert door.open("GET", "/host/").response().status == 200
    (let_in,) = busy(door, 1, token=True, **from_elsewhere(each))
    assert let_in.received == b""


def test_programs_of_this_host_leave_places_for_who_has_the_token(make_door):
    import ipaddress

    door = make_door(trusted_clients=(ipaddress.ip_network("127.0.0.1"),))
    connections = busy(door, MAX_CONNECTIONS - 1)
    assert b" 503 " in connections[-1].received
    assert connections[0].received == b""
    assert door.open("GET", "/host/", token=True).response().status == 200


def test_where_all_have_the_token_one_too_many_is_told_so(door):
    busy(door, MAX_CONNECTIONS, token=True)
    refused = door.connect()
    assert refused.response().status == 503


def test_refused_clients_that_stay_take_no_more_than_their_places(door):
    refused = []
    for _ in range(MAX_LINGERING + 5):
        refused.append(door.connect())
        refused[-1].send(b"nonsense\r\n\r\n")
    assert [connection.dropped for connection in refused].count(True) == 5


def test_when_the_port_closes_nobody_is_kept(door):
    idle = door.open("GET", "/host/")
    door.site.stopFactory()
    assert idle.dropped


def test_over_tls_only_what_is_spoken_is_offered(door):
    assert door.site.acceptableProtocols() == [b"http/1.1"]


def test_an_idle_server_never_wakes_up(door):
    door.site.startFactory()
    assert door.clock.getDelayedCalls() == []


def test_the_whole_server_can_be_asked_for_its_methods(door):
    assert door.ask("OPTIONS", "*").status in (200, 204)


_WORDS = (
    *("plugin", "config", "set", "detail", "list", "api", "v1", "components", "..", "."),
    *("%2e%2e", "%2F", "%00", "%ff", "%", "%zz", "", "é", "a" * 300, "events", "domogik"),
    *("get", "new", "host", "metrics", "start", "logs", "?", "?callback=", "&", "%0d%0a"),
)
_paths = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(_WORDS),
        max_size=8,
    ).map(lambda parts: "/".join(parts).encode()),
)


@given(
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"X-Y"]),
    path=_paths,
    token=st.booleans(),
)
@settings(max_examples=300)
def test_any_path_gets_one_well_formed_answer(door, failures, method, path, token):
    connection = door.connect()
    bearer = b"Authorization: Bearer the-token\r\n" if token else b""
    connection.send(method + b" /" + path + b" HTTP/1.1\r\nHost: vm\r\n" + bearer + b"\r\n")
    door.clock.advance(120)  # an event is waited for at most so long
    if method == b"HEAD":
        assert connection.received.startswith(b"HTTP/1.1 ")
    else:
        answer = connection.response()
        assert answer.status != 500
        if answer.headers.get("content-type", "").endswith("json"):
            assert answer.json is not None
    connection.leave()
    assert failures() == []
