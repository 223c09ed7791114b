"""Who may do what over HTTP."""

from __future__ import annotations

import ipaddress

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport

from domogik.components.model import State
from domogik.testing.all_hosts import plugin

STOP = "/api/v1/components/demo/stop"


@pytest.fixture(autouse=True)
def demo(all_hosts):
    all_hosts.put(plugin("demo", state=State.ALIVE))


def test_reading_is_open_on_loopback(door):
    assert door.get("/api/v1/components").status == 200
    assert door.get("/plugin/list").json["status"] == "OK"


def test_reading_from_elsewhere_needs_the_token(door):
    elsewhere = {"peer": "10.0.0.9", "here": "10.0.0.1", "headers": {"Host": "10.0.0.1:40405"}}
    refused = door.get("/api/v1/components", **elsewhere)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert door.get("/plugin/list", **elsewhere).status == 401
    assert door.get("/api/v1/components", token=True, **elsewhere).status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_what_a_proxy_relays_is_not_from_loopback(door, header):
    assert door.get("/plugin/list", headers={header: "10.0.0.9"}).status == 401


def test_this_hosts_own_addresses_count_as_loopback_for_who_reads(door, monkeypatch):
    own = {"192.0.2.1", "192.0.2.9"}
    monkeypatch.setattr("domogik.api.access.is_own_address", own.__contains__)
    here = {"peer": "192.0.2.1", "here": "192.0.2.1"}
    assert door.get("/plugin/list", **here).status == 200
    assert door.get("/plugin/list", peer="192.0.2.9", here="192.0.2.1").status == 200
    assert door.get("/plugin/list", peer="192.0.2.2", here="192.0.2.1").status == 401
    relayed = {"X-Forwarded-For": "192.0.2.1"}
    assert door.get("/plugin/list", headers=relayed, **here).status == 401
    assert door.post(STOP, token=False, **here).status == 401


def test_an_ipv4_loopback_address_written_as_ipv6_is_loopback(door):
    assert door.get("/plugin/list", peer="::ffff:127.0.0.1").status == 200
    assert door.get("/plugin/list", peer="::1").status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_changing_rinor_path_takes_these_methods_and_wants_the_token(door, all_hosts, method):
    assert door.ask(method, "/plugin/stop/vm/demo").status == 401
    assert all_hosts.done == []
    answer = door.ask(method, "/plugin/stop/vm/demo", token=True)
    assert answer.status == 200
    assert answer.json == {"status": "OK", "code": 0, "description": "None"}


def test_a_wrong_token_is_refused_even_for_reading(door):
    wrong = {"Authorization": "Bearer nonsense"}
    assert door.get("/plugin/list", headers=wrong).status == 401
    assert door.get("/api/v1/components", headers=wrong).status == 401


def test_an_empty_token_file_lets_nobody_in(make_door):
    door = make_door(token="")
    door.all_hosts.put(plugin("demo", state=State.ALIVE))
    empty = {"Authorization": "Bearer "}
    assert door.post(STOP, token=False, headers=empty).status == 401


def test_a_listed_address_changes_without_the_token(make_door):
    door = make_door(trusted_clients=(ipaddress.ip_network("10.0.0.0/24"),))
    door.all_hosts.put(plugin("demo", state=State.ALIVE))
    at = {"here": "10.0.0.1", "headers": {"Host": "10.0.0.1"}, "token": False}
    assert door.post(STOP, peer="10.0.1.9", **at).status == 401
    assert door.post(STOP, peer="10.0.0.9", **at).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:40405", "10.9.9.9", "\xff", "["])
def test_a_request_for_another_host_name_changes_nothing(door, all_hosts, host):
    """DNS rebinding: the page's own name leads to this address."""
    for path in (STOP, "/plugin/stop/vm/demo"):
        assert door.post(path, headers={"Host": host}).status == 403
    assert all_hosts.done == []


@pytest.mark.parametrize("host", ["localhost", "LocalHost.:1", "127.0.0.1:40405", "[::1]:1", "vm"])
def test_a_request_for_a_name_or_address_of_this_host_changes(door, host):
    assert door.post(STOP, headers={"Host": host}).status == 200


def test_a_rebinding_page_reads_nothing(door):
    assert door.get("/plugin/list", headers={"Host": "evil.example"}).status == 403
    assert door.get("/plugin/list", headers={"Host": "evil.example"}, token=True).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Referer": "http://evil.example/page"},
        {"Referer": "nonsense"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:40405"},
        {"Origin": "http://localhost:40405", "Referer": "http://evil.example/"},
        # another program of this host
        {"Origin": "http://localhost:8000"},
        {"Origin": "https://localhost:40405"},
        {"Referer": "http://vm:40404/rinor"},
        {"Sec-Fetch-Site": "same-site", "Referer": "http://localhost:40405/"},
    ],
)
def test_another_site_changes_nothing_and_gets_no_script(door, all_hosts, headers):
    for path in (STOP, "/plugin/stop/vm/demo"):
        assert door.post(path, headers=headers).status == 403
    assert all_hosts.done == []
    script = door.get("/plugin/list?callback=f", headers=headers)
    assert script.status == 403
    assert script.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:40405"},
        {"Referer": "http://localhost:40405/rinor"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "vm", "Origin": "http://vm"},
    ],
)
def test_a_page_of_this_host_changes_with_the_token_and_gets_scripts(door, headers):
    assert door.post(STOP, headers=headers).status == 200
    assert door.get("/plugin/list?callback=f", headers=headers).body.startswith(b"f (")


BROWSERS = (
    {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"},
    {"Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "none"},
    {"User-Agent": "Mozilla/5.0", "Referer": "http://localhost:40405/page"},
)


@pytest.fixture
def trusting(make_door):
    """A door that believes this host, and one page."""
    door = make_door(
        trusted_clients=(ipaddress.ip_network("127.0.0.1"),),
        jsonp_origins=frozenset({"http://vm:40404"}),
    )
    door.all_hosts.put(plugin("demo", state=State.ALIVE))
    return door


@pytest.mark.parametrize("headers", BROWSERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_cannot_make_a_browser_change_anything_by_get(trusting, headers, method):
    """Also where the owner's address is trusted: <img src=".../plugin/stop/...">."""
    assert trusting.ask(method, "/plugin/stop/vm/demo", headers=headers).status in (403, 405)
    assert trusting.all_hosts.done == []


def test_a_trusted_address_changes_by_get_with_a_program_or_from_a_listed_page(trusting):
    script = {"User-Agent": "curl/7.88"}
    assert trusting.get("/plugin/stop/vm/demo", headers=script).json["status"] == "OK"
    for name, verb in (("Origin", "start"), ("Referer", "stop")):
        page = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-site", name: "http://vm:40404"}
        assert trusting.get(f"/plugin/{verb}/vm/demo", headers=page).json["status"] == "OK"


def test_a_browser_changes_by_get_with_the_token_and_by_post_from_a_trusted_address(trusting):
    browser = {"User-Agent": "Mozilla/5.0"}
    stop = "/plugin/stop/vm/demo"
    assert trusting.get(stop, headers=browser, token=True).json["status"] == "OK"
    assert trusting.post(stop, headers=browser, token=False).status == 200


def test_an_excepted_origin_gets_scripts(make_door):
    door = make_door(jsonp_origins=frozenset({"https://page.example"}))
    for headers in (
        {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"},
        {"Referer": "https://page.example:443/x", "Sec-Fetch-Site": "cross-site"},
    ):
        assert door.get("/plugin/list?callback=f", headers=headers).status == 200
    other = {"Referer": "https://page.example.evil.example/", "Sec-Fetch-Site": "cross-site"}
    assert door.get("/plugin/list?callback=f", headers=other).status == 403


def test_the_server_says_nothing_of_its_version(door):
    for path in ("/", "/api/v1/components", "/api/v1/nowhere"):
        assert door.get(path).headers["server"] == "Domogik"


def test_what_changes_something_is_in_the_log_and_looking_only_in_its_details(door, logged):
    door.get("/plugin/list")
    door.get("/plugin/stop/vm/demo", token=True)
    levels = {event["path"]: event["log_level"].name for event in logged if "path" in event}
    assert levels == {"/plugin/list": "debug", "/plugin/stop/vm/demo": "info"}


def test_the_log_holds_neither_token_nor_query_nor_stored_value(door, logged):
    door.get("/plugin/config/set/hostname/vm/id/demo/key/pw/value/hidden1", token=True)
    door.get("/plugin/list?password=hidden2", headers={"Authorization": "Bearer hidden3"})
    text = repr(logged)
    assert "/plugin/list" in text
    assert "hidden" not in text
    assert "the-token" not in text


def test_whoever_opens_the_local_socket_is_its_owner_and_needs_no_token(door, all_hosts) -> None:
    def status(*headers: str) -> bytes:
        channel = door.site.buildProtocol(None)
        transport = StringTransport(UNIXAddress("/somewhere/manager.sock"), UNIXAddress(None))
        channel.makeConnection(transport)
        lines = "".join(f"{line}\r\n" for line in headers)
        channel.dataReceived(f"POST {STOP} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        return transport.value().split(b" ")[1]

    assert status("Authorization: Bearer nonsense") == b"401"
    assert all_hosts.done == []
    assert status() == b"200"
    assert all_hosts.done == [("stop", "vm", "demo")]
