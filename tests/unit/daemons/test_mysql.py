"""What MariaDB and MySQL read, and what they say."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.core.errors import InvalidParameters, NotReady
from domogik.daemons.mysql import client
from domogik.daemons.mysql.client import Refused, ask, check_greeting
from domogik.daemons.mysql.files import (
    ServerVersion,
    further_settings,
    kept,
    literal,
    option_file,
    password_statements,
    quoted,
    size_bytes,
)

MARIADB = ServerVersion("10.11.19-MariaDB", 10, 11)
MYSQL = ServerVersion("8.0.36", 8, 0)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "s": " ", '"': '"', "'": "'", "\\": "\\"}


def understood(line: str) -> str:
    """As `my_default.c` of MariaDB 10.11 reads a value in quotes."""
    value = re.fullmatch(r'"((?:[^"\\\n]|\\.)*)"', line)
    assert value is not None
    return re.sub(r"\\(.)", lambda found: _ESCAPES[found[1]], value[1])


@given(TEXT)
def test_any_text_is_read_from_a_file_of_options_as_it_was_meant(text: str) -> None:
    assert understood(quoted(text)) == text


@given(TEXT)
def test_any_text_is_one_literal_of_a_statement(text: str) -> None:
    said = literal(text)
    assert re.fullmatch(r"'([^'\\]|''|\\\\)*'", said)
    assert said[1:-1].replace("''", "'").replace("\\\\", "\\") == text


def test_a_file_of_options() -> None:
    options = [("port", 7), ("mysqlx", False), ("skip-log", None)]
    assert option_file("mysqld", options) == '[mysqld]\nport="7"\nmysqlx=OFF\nskip-log\n'


@pytest.mark.parametrize(
    ("said", "series"),
    [
        ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu", "MariaDB 10.11"),
        ("/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community)", "MySQL 8.0"),
        ("mysqld  Ver 5.7.44-log for Linux", "MySQL 5.7"),
    ],
)
def test_versions_are_read_as_servers_say_them(said: str, series: str) -> None:
    version = ServerVersion.parse(said)
    assert version is not None
    assert version.series == series
    assert version.is_mariadb == series.startswith("MariaDB")


def test_what_says_something_else_has_no_version() -> None:
    assert ServerVersion.parse("mysqld: command not found") is None


def test_releases_of_one_series_read_each_others_data() -> None:
    assert MARIADB.is_of_the_series_of(ServerVersion("10.11.2-MariaDB", 10, 11))
    assert not MARIADB.is_of_the_series_of(ServerVersion("11.4.2-MariaDB", 11, 4))
    assert not MYSQL.is_of_the_series_of(ServerVersion("8.4.0", 8, 4))


@given(TEXT.filter(lambda text: "\n" not in text))
def test_mariadb_is_never_told_the_password_itself(password: str) -> None:
    statements = password_statements(password, MARIADB)
    assert all("\n" not in statement for statement in statements)
    told = [statement for statement in statements if "IDENTIFIED" in statement]
    assert all(statement.endswith(f"BY PASSWORD '{kept(password)}'") for statement in told)


def test_mysql_is_told_it_as_a_literal_that_no_mode_changes() -> None:
    statements = password_statements("it's \\", MYSQL)
    assert statements[0] == "SET SESSION sql_mode = ''"
    assert "ALTER USER 'root'@'%' IDENTIFIED BY 'it''s \\\\'" in statements


def test_sizes() -> None:
    assert [size_bytes(size) for size in ("5", 5, "16M", "1g")] == [5, 5, 16 * 2**20, 2**30]
    for wrong in ("", "M", "1T", "-1", None):
        with pytest.raises(InvalidParameters):
            size_bytes(wrong)


def test_a_persons_settings() -> None:
    assert further_settings(["a-b = c d", "skip-x"]) == [("a-b", "c d"), ("skip-x", None)]
    for wrong in ("two words", "", 7, "a\nb=1", "pid-file=/x", "User = x", "[mysqld]"):
        with pytest.raises(InvalidParameters):
            further_settings([wrong])


def test_what_a_server_keeps_is_what_the_manual_says() -> None:
    # MariaDB Knowledge Base, "PASSWORD": of `notagoodpwd`
    assert kept("notagoodpwd") == "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937"


def packet(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes([number]) + content


def greeting(plugin: bytes = b"mysql_native_password") -> bytes:
    content = b"\x0a10.11.19-MariaDB\0" + bytes(4) + b"12345678\0" + b"\xff\xf7\x2d\2\0\xff\xdf\x15"
    return packet(0, content + bytes(10) + b"123456789012\0" + plugin + b"\0")


@contextlib.contextmanager
def server(*said: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Says one thing after each that it hears, and hangs up; yields its port and what it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection, contextlib.suppress(OSError):
                for one in said:
                    connection.sendall(one)
                    heard.append(connection.recv(4096))

        serving = Thread(target=serve)
        serving.start()
        yield listening.getsockname()[1], heard
        serving.join()


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_whatever_answers_is_refused_or_is_not_ready(
    answers: list[bytes], greets: bool, are_packets: bool
) -> None:
    said = [packet(2 * at + 2, one) for at, one in enumerate(answers)] if are_packets else answers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_PATIENCE_S", 0.05)  # both may wait for each other
        with server(*([greeting()] if greets else []), *said) as (port, _):
            with contextlib.suppress(NotReady, Refused):
                ask("127.0.0.1", port, "secret", "SELECT 1")


def test_where_nothing_listens_it_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NotReady, match="refused"):
        ask("127.0.0.1", port, "secret")


def test_a_server_that_is_full_says_so_in_place_of_a_greeting() -> None:
    full = b"\xff\x10\x04Too many connections"
    with server(packet(0, full)) as (port, _), pytest.raises(Refused, match="Too many") as caught:
        ask("127.0.0.1", port, "secret")
    assert caught.value.code == 1040
    with pytest.raises(Refused, match="Too many") as caught:
        check_greeting(full)
    assert caught.value.code == 1040


@pytest.mark.parametrize(
    "plugin",
    ["mysql_clear_password", "dialog", "sha256_password", "caching_sha2_password", "", "new"],
)
def test_a_password_is_given_to_nobody_who_asks_for_more_than_a_proof(plugin: str) -> None:
    """Whatever it offers first, and whatever it wants then."""
    switch = packet(2, b"\xfe" + plugin.encode() + b"\0" + b"\x02Password: ")
    full = packet(2, b"\x01\x04")
    for first in (greeting(), greeting(plugin.encode())):
        for then in (switch, full):
            with server(first, then, packet(4, b"\0" * 9)) as (port, heard):
                with pytest.raises((Refused, NotReady)):
                    ask("127.0.0.1", port, "secret")
            assert b"secret" not in b"".join(heard)
            assert not any(heard[1:])


@given(st.binary(max_size=200))
def test_whatever_greets_us_is_a_greeting_or_is_not(content: bytes) -> None:
    with contextlib.suppress(NotReady, Refused):
        check_greeting(content)
        assert content.startswith(b"\x0a")
