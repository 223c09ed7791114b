"""Questions to MariaDB, asked by PyMySQL, which blocks."""

from __future__ import annotations

import struct
from typing import Any

from domogik.daemons.core.errors import NotReady
from domogik.errors import DomogikError

NATIVE = "mysql_native_password"
Row = tuple[Any, ...]
_PATIENCE_S = 5.0  # for each answer
#: numbers of errors that a client finds by itself: it did not connect, or lost its connection
_OWN_ERRORS = range(2000, 3000)
_OTHER_WAY = 1251
#: what PyMySQL raises beside its own errors where another protocol is spoken
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_GREETING, _ERROR = b"\x0a", b"\xff"


class Refused(DomogikError):
    """The server answers with an error; `code` is its number."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(f"{sentence} ({code})")
        self.code = code


def ask(host: str, port: int, password: str, *statements: str) -> tuple[Row, ...]:
    """Log in as root, say the statements and leave; return the rows of the last one.

    Raises `Refused`, and `NotReady` where nothing listens, answers or speaks as MariaDB does.
    """
    import pymysql  # here: a program that only looks at a daemon asks the server nothing

    rows: tuple[Row, ...] = ()
    try:
        with (
            pymysql.connect(
                host=host,
                port=port,
                user="root",
                password=password.encode(),  # of text it would take Latin-1
                charset="utf8mb4",
                autocommit=None,  # as the server has it
                ssl_disabled=True,  # to prepare for TLS takes longer than all the rest
                auth_plugin_map=_OnlyNative(),
                connect_timeout=_PATIENCE_S,
                read_timeout=_PATIENCE_S,
                write_timeout=_PATIENCE_S,
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
                rows = tuple(cursor.fetchall())
    except pymysql.MySQLError as error:
        raise _understood(error) from error
    except _UNREADABLE as error:
        raise NotReady("its answer is not MariaDB's") from error
    return rows


class _OnlyNative:
    """Lets PyMySQL prove the password in one way: others give it to any server that asks."""

    def get(self, name: str | bytes) -> type[_Unanswered] | None:
        """Return what answers that way of asking; None where PyMySQL may."""
        return None if name in (NATIVE, NATIVE.encode()) else _Unanswered


class _Unanswered:
    def __init__(self, connection: object) -> None:
        """Take what PyMySQL gives to every way of asking."""

    def authenticate(self, packet: object) -> None:
        raise Refused(_OTHER_WAY, f"it asks for the password in another way than {NATIVE}")


def _understood(error: Exception) -> DomogikError:
    code, sentence = (*error.args, "", "")[:2]
    if isinstance(code, int) and code not in _OWN_ERRORS:
        return Refused(code, str(sentence))
    return NotReady(str(sentence or code))


def check_greeting(packet: bytes) -> None:
    """Raise `Refused` for a server that refuses at once, `NotReady` for what is no greeting."""
    if packet[:1] == _ERROR:
        raise Refused(int.from_bytes(packet[1:3], "little"), packet[3:].decode("utf-8", "replace"))
    if packet[:1] != _GREETING:
        raise NotReady("its greeting is not MariaDB's or MySQL's")
