"""Redis: in memory, saved to `data/dump.rdb`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import attrs

from domogik.daemons.base import ManagedDaemon
from domogik.daemons.directory import CONFIGURATION
from domogik.daemons.errors import ManagedDaemonError, NotReady
from domogik.daemons.parameters import Option
from domogik.daemons.probing import exchange
from domogik.supervisor.interfaces import Policy


class RedisDaemonError(ManagedDaemonError):
    """Redis was not configured, started, stopped, ..."""


@attrs.define(eq=False)
class RedisDaemon(ManagedDaemon):
    """A Redis server."""

    kind: ClassVar[str] = "redis"
    title: ClassVar[str] = "Redis"
    error: ClassVar[type[ManagedDaemonError]] = RedisDaemonError
    pid_file: ClassVar[str] = "redis.pid"
    policy: ClassVar[Policy] = Policy(start_timeout=60, stop_timeout=60)
    defaults: ClassVar[Mapping[str, Option]] = {
        "binary": None,
        "databases": 16,
        "maxmemory": "0",
        "maxmemory_policy": "noeviction",
        "appendonly": False,
        "save": "3600 1 300 100 60 10000",
    }

    async def initialise(self) -> None:
        """An empty directory is all it needs."""
        self.directory.subdirectory("data")

    def configuration(self) -> Mapping[str, str]:
        """Redis reads one file; lines are `name argument ...`."""
        return {CONFIGURATION: "".join(f"{line}\n" for line in self._lines())}

    def _lines(self) -> list[str]:
        parameters = self.parameters
        lines = [
            f"bind {parameters.host}",
            f"port {parameters.port}",
            f"dir {_quoted(str(self.directory / 'data'))}",
            f"pidfile {_quoted(str(self.get_pid_path()))}",
            "daemonize no",
            "supervised no",
            'logfile ""',
            "dbfilename dump.rdb",
            f"databases {self.option('databases')}",
            f"save {_quoted(self.option('save'))}",
            f"appendonly {'yes' if self.option('appendonly') else 'no'}",
            f"maxmemory {self.option('maxmemory')}",
            f"maxmemory-policy {self.option('maxmemory_policy')}",
            "timeout 0",
        ]
        if parameters.password is not None:
            lines.append(f"requirepass {_quoted(parameters.password)}")
        return lines

    def argv(self) -> tuple[str, ...]:
        """Redis has no way to check a file: a bad one ends it at once, with the line in its log."""
        return (self.binary("redis-server"), str(self.directory / CONFIGURATION))

    async def probe(self) -> None:
        """PING, after AUTH where there is a password; `-LOADING` is not yet."""
        parameters = self.parameters
        question, answers = _command("PING"), 1
        if parameters.password is not None:
            question, answers = _command("AUTH", parameters.password) + question, 2
        answer = await exchange(
            self.reactor,
            parameters.reachable_host,
            parameters.port,
            question,
            lambda data: data.count(b"\r\n") >= answers,
        )
        last = answer.split(b"\r\n")[answers - 1].decode("utf-8", "replace")
        if last == "+PONG":
            return
        if last.startswith(("-LOADING", "-BUSY", "-MASTERDOWN")):
            raise NotReady(last[1:])
        raise self.error(f"{self.title} answers: {last[1:]}")

    @property
    def url(self) -> str:
        """`redis://:<password>@<host>:<port>/0`."""
        parameters = self.parameters
        password = "" if parameters.password is None else f":{quote(parameters.password, safe='')}@"
        host = parameters.reachable_host
        return f"redis://{password}{f'[{host}]' if ':' in host else host}:{parameters.port}/0"

    def rdb(self) -> Path:
        """Where its data are when it does not run."""
        return self.directory / "data" / "dump.rdb"


def _quoted(text: str) -> str:
    """As its configuration takes any argument: every byte that is not plain as \\xhh."""
    return '"' + "".join(_escaped(byte) for byte in text.encode()) + '"'


def _escaped(byte: int) -> str:
    is_plain = 32 <= byte < 127 and byte not in b'"\\'
    return chr(byte) if is_plain else f"\\x{byte:02x}"


def _command(*words: str) -> bytes:
    """A command as clients send it: an array of bulk strings (RESP)."""
    encoded = [word.encode() for word in words]
    parts = [b"*%d\r\n" % len(encoded)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
    return b"".join(parts)
