"""What Redis and its clients say to each other: RESP 2, as redis.io specifies it."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from domogik.daemons.core.errors import NotReady

_MOST = 1000  # elements of an array; nothing that is asked here has more


@attrs.frozen
class RedisError:
    """An answer that begins with `-`."""

    text: str


Reply: TypeAlias = "str | int | RedisError | list[Reply] | None"


def command(*words: str) -> bytes:
    """A command as clients send it: an array of bulk strings."""
    encoded = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
    return b"".join(parts)


def replies(data: bytes) -> list[Reply]:
    """Those that are whole at the beginning of `data`; raises `NotReady` for what is no reply."""
    found: list[Reply] = []
    at = 0
    while (one := _reply(data, at)) is not None:
        reply, at = one
        found.append(reply)
    return found


def _reply(data: bytes, at: int, depth: int = 0) -> tuple[Reply, int] | None:
    """The reply at `at` and where it ends; None while it is not whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    mark, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if mark == b"+":
        return _text(line), after
    if mark == b"-":
        return RedisError(_text(line)), after
    if mark == b":":
        return _number(line), after
    if mark == b"$":
        return _bulk(data, after, _number(line))
    if mark == b"*" and depth < 3:
        return _array(data, after, _number(line), depth)
    raise NotReady(f"it does not speak as Redis does: {data[at : at + 40]!r}")


def _bulk(data: bytes, at: int, size: int) -> tuple[Reply, int] | None:
    if size < 0:
        return None, at
    if len(data) < at + size + 2:
        return None
    return _text(data[at : at + size]), at + size + 2


def _array(data: bytes, at: int, count: int, depth: int) -> tuple[Reply, int] | None:
    if count > _MOST:
        raise NotReady(f"it answers with {count} things")
    found: list[Reply] = []
    for _ in range(count):
        one = _reply(data, at, depth + 1)
        if one is None:
            return None
        reply, at = one
        found.append(reply)
    return found, at


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise NotReady(f"it does not speak as Redis does: {line[:40]!r}") from None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
