"""What Redis is told and what it says, without Redis."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.core.errors import NotReady
from domogik.daemons.redis.daemon import _quoted, counts
from domogik.daemons.redis.resp import RedisError, command, replies

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


def unquoted(text: str) -> str:
    """As Redis reads a quoted argument (sds.c, sdssplitargs)."""
    assert text[0] == text[-1] == '"'
    inside = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), text[1:-1].encode())
    return inside.decode()


@given(WORDS)
def test_whatever_is_quoted_is_one_argument_on_one_line(text):
    quoted = _quoted(text)
    assert unquoted(quoted) == text
    assert quoted.isascii()
    assert quoted.isprintable()
    assert '"' not in quoted[1:-1]


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_a_command_is_read_as_the_words_it_was_made_of(words):
    assert replies(command(*words)) == [words]


@given(st.lists(WORDS, min_size=1, max_size=4), st.data())
def test_half_of_one_is_none(words, data):
    whole = command(*words)
    assert replies(whole[: data.draw(st.integers(0, len(whole) - 1))]) == []


@given(st.binary(max_size=100))
def test_any_bytes_are_replies_or_refused(data):
    with contextlib.suppress(NotReady):
        assert isinstance(replies(data), list)


def test_each_kind_of_reply():
    data = b"+OK\r\n-ERR no\r\n:-5\r\n$-1\r\n$0\r\n\r\n*-1\r\n*2\r\n:1\r\n*1\r\n+x\r\n$3\r\nhal"
    assert replies(data) == ["OK", RedisError("ERR no"), -5, None, "", [], [1, ["x"]]]


@pytest.mark.parametrize("data", [b"HTTP/1.1 400\r\n", b":x\r\n", b"*9999\r\n", b"*1\r\n" * 9])
def test_who_does_not_speak_it_is_not_ready(data):
    with pytest.raises(NotReady):
        replies(data)


def test_how_many_keys_a_file_holds():
    report = "[info] 12 keys read\n[info] 3 expires\n[info] 0 already expired\n"
    assert counts(report) == {"keys": 12, "expires": 3}
    assert counts("nothing") == {"keys": 0, "expires": 0}
