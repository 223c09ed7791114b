"""Stored values, and the passwords among them."""

from __future__ import annotations

import ipaddress

import pytest

from domogik.components.model import ConfigurationKey
from domogik.errors import NoAnswer
from domogik.manager.operations.passwords import MASK
from domogik.testing.all_hosts import plugin

SET = "/plugin/config/set/hostname/vm/id/mail/key/{}/value/{}"


@pytest.fixture(autouse=True)
def mail(all_hosts, door):
    all_hosts.put(plugin("mail"))
    all_hosts.keys["mail"] = (
        ConfigurationKey(0, "startup-plugin", "boolean"),
        ConfigurationKey(1, "login"),
        ConfigurationKey(2, "pw", "password"),
        ConfigurationKey(3, "box-pw", "password", interface=True),
    )
    for key, value in (("login", "me"), ("pw", "hush"), ("box-pw-2", "hush too")):
        all_hosts._values["vm", "mail", key] = value


def values(answer):
    return {row["key"]: row["value"] for row in answer.json["config"]}


def test_a_value_is_set_and_read_again(door):
    answer = door.get(SET.format("login", "%2Fdev%2FttyUSB0"), token=True)
    row = {"id": "mail", "hostname": "vm", "key": "login", "value": "/dev/ttyUSB0"}
    assert answer.json["config"] == [row]
    assert row in door.get("/plugin/config/list/by-name/vm/mail/by-key/login/").json["config"]


def test_the_parameters_come_in_any_order_and_name_is_id(door, all_hosts):
    path = "/plugin/config/set/value/you/key/login/name/mail/hostname/vm/"
    assert door.get(path, token=True).json["status"] == "OK"
    assert all_hosts._values["vm", "mail", "login"] == "you"


@pytest.mark.parametrize(
    "path", ["", "hostname/vm", "hostname", "hostname/vm/id/mail/key/x/other/1"]
)
def test_parameters_that_do_not_fit_are_refused(door, path):
    answer = door.get(f"/plugin/config/set/{path}", token=True)
    assert answer.json["description"] == "Error in parameters"


def test_the_word_none_deletes(door, all_hosts):
    door.get(SET.format("login", "None"), token=True)
    assert ("vm", "mail", "login") not in all_hosts._values


def test_passwords_are_masked_for_who_shows_no_token(door):
    for path in ("/plugin/config/list", "/plugin/config/list/by-name/vm/mail"):
        assert values(door.get(path)) == {"login": "me", "pw": MASK, "box-pw-2": MASK}
        shown = values(door.get(path, token=True))
        assert shown == {"login": "me", "pw": "hush", "box-pw-2": "hush too"}


def test_an_address_that_may_change_still_sees_no_passwords(make_door, all_hosts):
    door = make_door(all_hosts, trusted_clients=(ipaddress.ip_network("127.0.0.1"),))
    assert values(door.get(SET.format("pw", "new"))) == {"pw": MASK}
    assert all_hosts._values["vm", "mail", "pw"] == "new"
    assert values(door.get("/plugin/config/del/vm/mail/by-key/pw")) == {"pw": MASK}


def test_a_form_that_sends_the_mask_back_changes_nothing(door, all_hosts):
    door.get(SET.format("pw", MASK), token=True)
    assert all_hosts._values["vm", "mail", "pw"] == "hush"


def test_what_nobody_can_tell_from_a_password_is_masked(door, all_hosts):
    all_hosts.failures["detail", "mail"] = NoAnswer("silent")
    all_hosts._values["vm", "mail", "startup-plugin"] = "True"
    all_hosts._values["vm", "gone", "key"] = "text"
    shown = values(door.get("/plugin/config/list"))
    assert shown["login"] == MASK
    assert shown["key"] == MASK
    assert shown["startup-plugin"] == "True"


def test_an_unknown_key_is_masked_only_where_its_name_is_that_of_a_secret(door, all_hosts):
    for key in ("lgoin", "passwd", "api-key", "old-pw", "token"):
        all_hosts._values["vm", "mail", key] = "a text"
    for shown in (
        values(door.get("/plugin/config/list/by-name/vm/mail")),
        door.get("/api/v1/components/mail/config").json["values"],
    ):
        assert shown["lgoin"] == "a text"
        assert [shown[key] for key in ("passwd", "api-key", "old-pw", "token")] == [MASK] * 4
    door.ask("DELETE", "/api/v1/components/mail/config/lgoin", token=True)
    assert ("vm", "mail", "lgoin") not in all_hosts._values


def test_an_unknown_key_of_another_host_is_refused_where_that_host_tells_its_keys(door, all_hosts):
    all_hosts.put(plugin("mail", host="attic"))
    path = SET.replace("/vm/", "/attic/")
    answer = door.get(path.format("lgoin", "me"), token=True).json
    assert answer["description"] == "mail has no key 'lgoin'. Did you mean login?"
    url = "/api/v1/components/mail/config/lgoin?host=attic"
    refused = door.ask("PUT", url, body=b'{"value": "me"}', token=True)
    assert (refused.status, refused.json["detail"]) == (409, answer["description"])
    assert ("attic", "mail", "lgoin") not in all_hosts._values
    for key in ("login", "box-pw-2", "nb-int"):
        assert door.get(path.format(key, "1"), token=True).json["status"] == "OK"
    all_hosts.failures["detail", "mail"] = NoAnswer("silent")
    assert door.get(path.format("lgoin", "me"), token=True).json["status"] == "OK"


def test_deleting_tells_what_was_deleted(door, all_hosts):
    answer = door.get("/plugin/config/del/vm/mail", token=True)
    assert set(values(answer)) == {"login", "pw", "box-pw-2"}
    assert all_hosts._values == {}


def test_the_page_sees_keys_and_values_of_one_plugin(door):
    found = door.get("/api/v1/components/mail/config").json
    assert found["values"] == {"login": "me", "pw": MASK, "box-pw-2": MASK}
    assert [key["key"] for key in found["keys"]] == ["startup-plugin", "login", "pw", "box-pw"]
    shown = door.get("/api/v1/components/mail/config", token=True).json
    assert shown["values"]["pw"] == "hush"


def test_the_page_stores_and_forgets_one_value(door, all_hosts):
    path = "/api/v1/components/plugin:mail/config/login"
    stored = door.ask("PUT", path, body=b'{"value": "you"}', token=True)
    assert stored.json == {"key": "login", "value": "you"}
    assert all_hosts._values["vm", "mail", "login"] == "you"
    assert door.ask("DELETE", path, token=True).json == {"key": "login", "value": ""}
    assert ("vm", "mail", "login") not in all_hosts._values
    assert door.ask("PUT", path, body=b'{"value": "you"}').status == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"value": 1}', b'{"value": "a\\nb"}', b"[" * 30000]
)
def test_a_body_that_is_not_a_value_is_refused(door, all_hosts, body):
    path = "/api/v1/components/plugin:mail/config/login"
    answer = door.ask("PUT", path, body=body, token=True)
    assert answer.status == 400
    assert all_hosts._values["vm", "mail", "login"] == "me"
