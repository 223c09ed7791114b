"""How files of options and statements of MariaDB and MySQL say things."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import attrs

from domogik.daemons.core.errors import InvalidParameters
from domogik.daemons.core.parameters import Option

_SAID = re.compile(r"Ver (\d+)\.(\d+)(?:\.\d+)?\S*")
_SETTING = re.compile(r"([A-Za-z][\w-]*)\s*(?:=\s*(.*))?")
#: what this program says itself
_OURS = frozenset(
    ("datadir", "tmpdir", "pid_file", "socket", "bind_address", "port", "user", "init_file")
)
# Backslash and quotes mean what follows them in a value that is in quotes; `\s` is a space.
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}


@attrs.frozen
class ServerVersion:
    """`text` is `10.11.19-MariaDB`, or `8.0.36`."""

    text: str
    major: int
    minor: int

    @classmethod
    def parse(cls, said: str) -> ServerVersion | None:
        """From what `mysqld --version` says; None where that is something else."""
        found = _SAID.search(said)
        if found is None:
            return None
        return cls(found[0].removeprefix("Ver "), int(found[1]), int(found[2]))

    @property
    def is_mariadb(self) -> bool:
        """Or else it is MySQL."""
        return "mariadb" in self.text.lower()

    @property
    def series(self) -> str:
        """`MariaDB 10.11`: releases of one series read each other's data."""
        return f"{'MariaDB' if self.is_mariadb else 'MySQL'} {self.major}.{self.minor}"

    def is_of_the_series_of(self, other: ServerVersion) -> bool:
        """Whether data of one are data of the other."""
        return self.series == other.series

    def __str__(self) -> str:
        return f"{'MariaDB' if self.is_mariadb else 'MySQL'} {self.text}"


def quoted(value: Option) -> str:
    """A value, as a file of options takes any text: in double quotes."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return '"' + "".join(_ESCAPED.get(letter, letter) for letter in str(value)) + '"'


def option_file(section: str, options: Iterable[tuple[str, Option]]) -> str:
    """A file of one section; an option with the value None has none."""
    lines = [name if value is None else f"{name}={quoted(value)}" for name, value in options]
    return "".join(f"{line}\n" for line in (f"[{section}]", *lines))


def further_settings(lines: Sequence[object]) -> list[tuple[str, Option]]:
    """A person's own `name = value` or `name`; raises `InvalidParameters`."""
    settings: list[tuple[str, Option]] = []
    for line in lines:
        found = _SETTING.fullmatch(line.strip()) if isinstance(line, str) else None
        if found is None:
            raise InvalidParameters(f"{line!r} is not a setting: name = value")
        if found[1].lower().replace("-", "_") in _OURS:
            raise InvalidParameters(f"{found[1]} is set by this program")
        settings.append((found[1], found[2]))
    return settings


def size_bytes(size: object) -> int:
    """`16M` as a number; raises `InvalidParameters`."""
    found = re.fullmatch(r"(\d+)([KMG]?)", str(size), re.IGNORECASE)
    if found is None:
        raise InvalidParameters(f"{size!r} is not a size such as 128M")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2].upper()]


def literal(text: str) -> str:
    """A text in a statement; `sql_mode` must not hold NO_BACKSLASH_ESCAPES or ANSI_QUOTES."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def kept(password: str) -> str:
    """What a server keeps of a password: `IDENTIFIED BY PASSWORD '<this>'`."""
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324 - what its protocol says
    return "*" + hashlib.sha1(once).hexdigest().upper()  # noqa: S324


def password_statements(password: str, version: ServerVersion) -> tuple[str, ...]:
    """One a line: `root` at `localhost` and `%` with that password, and no user without one.

    MariaDB gets what it would keep of the password, and not the password.
    """
    by = f"BY {literal(password)}"
    others = "DELETE FROM mysql.user WHERE User = '' OR (User = 'root' AND Host NOT IN {})"
    if version.is_mariadb:
        by = f"BY PASSWORD {literal(kept(password))}"
        others = others.replace("mysql.user", "mysql.global_priv")
    accounts = ("'root'@'localhost'", "'root'@'%'")
    return (
        "SET SESSION sql_mode = ''",
        *(f"CREATE USER IF NOT EXISTS {account} IDENTIFIED {by}" for account in accounts),
        *(f"ALTER USER {account} IDENTIFIED {by}" for account in accounts),
        f"GRANT ALL PRIVILEGES ON *.* TO {accounts[1]} WITH GRANT OPTION",
        others.format("('localhost', '%')"),
        "FLUSH PRIVILEGES",
    )
