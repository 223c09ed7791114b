"""What RabbitMQ is told, and what it is asked."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock

from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import NotReady
from domogik.daemons.core.parameters import Parameters
from domogik.daemons.rabbitmq import amqp
from domogik.daemons.rabbitmq.daemon import RabbitMQDaemon

TEXT = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), min_size=1)
OPTIONS = {**RabbitMQDaemon.defaults, "dist_port": 2, "epmd_port": 3}


def daemon(path: str = "/somewhere", password: str = "secret") -> RabbitMQDaemon:
    made = RabbitMQDaemon(MemoryReactorClock())
    made._directory = WorkingDirectory(Path(path), "rabbitmq")
    made._parameters = Parameters("rabbitmq", 1, password=password[:1000], options=OPTIONS)
    return made


@given(TEXT, TEXT)
@example('"; {x}. #', "\nlisteners.tcp.2 = 0.0.0.0:5")
def test_neither_a_password_nor_a_path_says_anything_else(password: str, path: str) -> None:
    files = daemon(f"/{path}", password).configuration()
    usual = daemon().configuration()
    assert files["service.conf"] == usual["service.conf"]
    term = files["advanced.config"]
    begin, end = "[{rabbit, [{load_definitions, [", "]}]}].\n"
    assert term.startswith(begin)
    assert term.endswith(end)
    letters = term.removeprefix(begin).removesuffix(end).split(",")
    assert Path("".join(chr(int(one)) for one in letters)).name == "definitions.json"
    [user] = json.loads(files["definitions.json"])["users"]
    hashed = base64.b64decode(user["password_hash"])
    known = password[:1000].encode()
    assert hashed[4:] == hashlib.sha256(hashed[:4] + known).digest()
    assert user["name"] == "domogik"


@given(TEXT)
def test_its_url_holds_the_password(password: str) -> None:
    url = urlsplit(daemon(password=password).url)
    assert unquote(url.password or "") == password[:1000]
    assert (url.username, url.hostname, url.port, url.path) == ("domogik", "127.0.0.1", 1, "/%2F")


def test_no_secret_is_in_its_environment_or_arguments() -> None:
    made = daemon(password="xyzzy")
    assert "xyzzy" not in str(made.environment())
    assert "xyzzy" not in repr(made.parameters)


def method(class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    payload = struct.pack(">HH", class_id, method_id) + arguments
    return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"


START, TUNE, OPEN_OK, CLOSE_OK = (method(10, one, b"x" * one) for one in (10, 30, 41, 51))
LET_IN = START + TUNE + OPEN_OK + CLOSE_OK


def closing(code: int, text: bytes) -> bytes:
    return method(10, 50, struct.pack(">HB", code, len(text)) + text + b"\0" * 4)


def test_a_login_that_succeeded() -> None:
    amqp.check(LET_IN)
    assert amqp.is_over(LET_IN)
    for cut in range(len(LET_IN)):
        assert not amqp.is_over(LET_IN[:cut])


def test_a_login_that_is_refused_says_why() -> None:
    answer = START + closing(403, b"ACCESS_REFUSED - no")
    assert amqp.is_over(answer)
    with pytest.raises(amqp.Refused, match="ACCESS_REFUSED - no") as caught:
        amqp.check(answer)
    assert caught.value.code == amqp.ACCESS_REFUSED


def test_a_host_that_is_not_there_yet_may_come() -> None:
    with pytest.raises(amqp.Refused, match="vhost") as caught:
        amqp.check(START + TUNE + closing(530, b"NOT_ALLOWED - vhost / not found"))
    assert caught.value.code != amqp.ACCESS_REFUSED


@given(st.binary())
@example(method(10, 50))
@example(method(10, 50, b"\x01\x93\xff"))
@example(b"HTTP/1.1 400 Bad Request\r\n\r\n")
@example(b"AMQP\x00\x00\x09\x01")
def test_any_answer_at_all_is_one_or_not(data: bytes) -> None:
    try:
        amqp.is_over(data)
        amqp.check(data)
    except NotReady as error:
        assert str(error)


@given(TEXT, TEXT)
def test_a_login_says_user_and_password_in_whole_frames(user: str, password: str) -> None:
    said = amqp.login(user, password)
    assert said.startswith(b"AMQP\x00\x00\x09\x01")
    assert b"\0" + user.encode() + b"\0" + password.encode() in said
    position, found = 8, []
    while position < len(said):
        kind, channel, length = struct.unpack_from(">BHI", said, position)
        assert (kind, channel) == (1, 0)
        found.append(struct.unpack_from(">HH", said, position + 7))
        position += 7 + length
        assert said[position] == 0xCE
        position += 1
    assert found == [(10, 11), (10, 31), (10, 40), (10, 50)]
