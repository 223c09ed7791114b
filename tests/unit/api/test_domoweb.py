"""`/account`, `/helper`, `/base`: what Domoweb 0.3 asks for before it shows a page."""

from __future__ import annotations

import pytest

TOKEN = "the-token"
USER = {
    "id": 1,
    "login": "admin",
    "is_admin": "True",
    "skin_used": "",
    "person_id": 1,
    "person": {"id": 1, "first_name": "Administrator", "last_name": "", "birthdate": ""},
}


def test_the_administrator_logs_in_with_the_token(door):
    answer = door.get(f"/account/auth/admin/{TOKEN}/").json
    assert (answer["status"], answer["description"]) == ("OK", "Authentification granted")
    assert answer["account"] == [USER]


@pytest.mark.parametrize("who", ["admin/123", f"bob/{TOKEN}", "admin/%C3%A9"])
def test_nobody_else_logs_in(door, who):
    answer = door.get(f"/account/auth/{who}/").json
    assert answer == {"status": "ERROR", "code": 999, "description": "Authentification refused"}


def test_where_there_is_no_token_nobody_logs_in(make_door):
    assert make_door(token="").get("/account/auth/admin/x").json["status"] == "ERROR"


def test_the_password_is_in_no_log(door, logged):
    door.get(f"/account/auth/admin/{TOKEN}/")
    (line,) = [event["path"] for event in logged if "path" in event]
    assert line == "/account/auth/admin/***"


def test_the_only_user_is_the_administrator(door):
    assert door.get("/account/user/list/").json["account"] == [USER]
    assert door.get("/account/user/list/by-id/1/").json["account"] == [USER]
    assert door.get("/account/user/list/by-id/2/").json["account"] == []
    assert door.get("/account/person/list/").json["person"] == [USER["person"]]


def test_there_are_no_helpers(door):
    assert door.get("/helper/help/").json["helper"] == []
    assert door.get("/helper/x10/help/").json["helper"] == ["<No result>"]
    assert door.get("/helper").json["status"] == "ERROR"


@pytest.mark.parametrize(
    "what", ["device", "device_type", "device_usage", "device_technology", "feature"]
)
def test_there_are_no_devices(door, what):
    answer = door.get(f"/base/{what}/list/").json
    assert (answer["status"], answer[what]) == ("OK", [])


def test_what_domoweb_does_not_read_is_not_there(door):
    assert door.get("/base/nonsense/list").json["description"] == "nonsense not allowed for /base"
    assert door.get("/base/feature/list/by-device_id/3").json["feature"] == []
