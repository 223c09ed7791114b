"""Whatever comes over the wire gets a well-formed answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domogik.api.wire import IDLE_TIMEOUT, LINGER, MAX_BODY, MAX_CONNECTIONS

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
    connection = door.connect()
    connection.send(b"GET / HTTP/1.1\r\nHo")
    door.clock.advance(IDLE_TIMEOUT)
    assert connection.dropped


def test_a_connection_is_kept_for_the_next_request(door):
    connection = door.open("GET", "/host/")
    assert not connection.dropped
    connection = door.open("GET", "/host/", headers={"Connection": "close"})
    assert connection.dropped


def test_one_client_too_many_is_told_so(door):
    connections = [door.connect() for _ in range(MAX_CONNECTIONS)]
    refused = door.connect()
    assert refused.response().status == 503
    refused.leave()
    connections.pop().leave()
    assert door.open("GET", "/host/").response().status == 200


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
