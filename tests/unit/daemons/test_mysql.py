"""What MariaDB and MySQL read, and what they say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.errors import InvalidParameters, NotReady
from domogik.daemons.myfiles import (
    ServerVersion,
    further_settings,
    literal,
    option_file,
    password_statements,
    quoted,
    size_bytes,
)
from domogik.daemons.mywire import Greeting, Refused, kept, scrambled

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
    assert len(scrambled("x", b"1" * 20)) == 20


@given(st.binary(max_size=200))
def test_whatever_greets_us_is_a_greeting_or_is_not(packet: bytes) -> None:
    for content in (packet, b"\x0a" + packet, b"\xff" + packet):
        try:
            greeting = Greeting.parse(content)
        except (NotReady, Refused):
            continue
        assert len(greeting.nonce) <= 20
