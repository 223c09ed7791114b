"""Where REST is, and with which token it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.cli.client import ApiAddress, ApiClient, ManagerUnreachable, component_path, find_token
from domogik.cli.program import CommandFailed
from domogik.config.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def of_home(home: Home, text: str) -> str:
    home.configuration.write_text(text)
    (home.run / "rest.port").write_text("1234\n")
    return ApiAddress.of_home(home, (home.configuration,)).url


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://192.0.2.1:40405", "http://192.0.2.1:40405"),
        ("http://192.0.2.1:40405/", "http://192.0.2.1:40405"),
        ("http://192.0.2.1:40405/api/v1/", "http://192.0.2.1:40405"),
        ("https://attic", "https://attic:443"),
        ("http://[::1]:40405", "http://[::1]:40405"),
        ("https://proxy/domogik", "https://proxy:443/domogik"),
    ],
)
def test_an_address_may_be_written_as_people_write_it(given: str, meant: str) -> None:
    assert ApiAddress.parse(given).url == meant


@pytest.mark.parametrize(
    "given", ["attic:40405", "ftp://attic", "http://", "http://attic:port", "http://attic:99999"]
)
def test_what_is_no_address_is_named(given: str) -> None:
    with pytest.raises(CommandFailed, match="no address"):
        ApiAddress.parse(given)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(CommandFailed) as caught:
        ApiAddress.parse("http://me:s3cret@attic:40405")
    assert "s3cret" not in str(caught.value)


def test_the_home_says_where_its_manager_answers(home: Home) -> None:
    assert of_home(home, "") == "http://127.0.0.1:1234"
    assert of_home(home, "[rest]\nrest_server_ip = 0.0.0.0\n") == "http://127.0.0.1:1234"
    assert of_home(home, "[rest]\nrest_server_ip = ::\n") == "http://[::1]:1234"
    assert of_home(home, "[rest]\nrest_server_ip = 192.0.2.7\n") == "http://192.0.2.7:1234"
    secure = "[rest]\nrest_use_ssl = yes\nrest_ssl_certificate = /x.pem\n"
    assert of_home(home, secure) == "https://127.0.0.1:1234"


def test_where_no_manager_runs_the_command_to_start_one_is_named(home: Home) -> None:
    with pytest.raises(ManagerUnreachable, match=f"dmg_manager --home {home.path} "):
        ApiAddress.of_home(home, (home.configuration,))


def test_the_token_is_the_one_asked_for_then_that_of_the_environment_then_that_of_the_home(
    home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environment = {"DOMOGIK_TOKEN": "from-environment"}
    assert find_token(str(file), environment, home) == "from-file"
    assert find_token(None, environment, home) == "from-environment"
    assert find_token(None, {}, home) == home.read_token()


def test_who_cannot_read_the_homes_token_may_still_look(home: Home) -> None:
    home.token.unlink()
    assert find_token(None, {}, home) is None


def test_a_token_file_that_was_asked_for_must_hold_one(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "token"
    with pytest.raises(CommandFailed, match="cannot be read"):
        find_token(str(file), {}, home)
    file.write_text("one\r\nX-Header: two")
    with pytest.raises(CommandFailed, match="holds no token") as caught:
        find_token(str(file), {}, home)
    assert "one" not in str(caught.value).replace(str(file), "")


def test_a_token_is_in_no_text_about_a_client() -> None:
    client = ApiClient(ApiAddress.parse("http://127.0.0.1:1"), "s3cret")
    assert "s3cret" not in repr(client)


def test_a_component_may_have_any_name() -> None:
    assert component_path("plugin:demo", "start") == "/components/plugin:demo/start"
    assert component_path("Küche/a b?") == "/components/K%C3%BCche%2Fa%20b%3F"
    assert component_path("\udcff") == "/components/%FF"


def test_a_problem_is_told_in_its_own_words_anything_else_is_not_domogik() -> None:
    client = ApiClient(ApiAddress.parse("http://127.0.0.1:1"), None, "give a token")
    problem = b'{"detail": "Changing needs a token"}'
    kind = "application/problem+json"
    assert str(client.refusal(409, "Conflict", kind, b'{"detail": "It runs"}')) == "It runs"
    assert str(client.refusal(401, "", kind, problem)) == "Changing needs a token: give a token"
    for other, body in (("text/html", b"<p>"), ("application/json", b"[1]"), (kind, b"{")):
        assert "not Domogik" in str(client.refusal(404, "Not Found", other, body))
