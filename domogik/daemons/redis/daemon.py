"""Redis: in memory, saved to `data/dump.rdb`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import attrs
from twisted.internet.task import deferLater

from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import HungUp, ManagedDaemonError, NotReady
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.probing import exchange
from domogik.daemons.redis.resp import RedisError, Reply, command, replies
from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Policy

_NOT_YET = ("LOADING", "BUSY", "MASTERDOWN")
_PAUSE = 0.01  # seconds between two looks at what it writes
_LONGEST_DUMP = 3600.0


class RedisDaemonError(ManagedDaemonError):
    """Redis was not configured, started, stopped, ..."""

    reason = re.compile(r">>> '(.*)'\n(.+)")


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

    #: how it served before it was configured anew, the oldest first
    _earlier: list[Parameters] = attrs.field(init=False, factory=list)
    _reads_rdb: bool = attrs.field(init=False, default=False)

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
            f"appendonly {'yes' if self.option('appendonly') and not self._reads_rdb else 'no'}",
            f"maxmemory {self.option('maxmemory')}",
            f"maxmemory-policy {self.option('maxmemory_policy')}",
            "timeout 0",
            "repl-diskless-sync-delay 0",  # a backup is a replica that comes alone
        ]
        if parameters.password is not None:
            lines.append(f"requirepass {_quoted(parameters.password)}")
        return lines

    def argv(self) -> tuple[str, ...]:
        """Redis has no way to check a file: a bad one ends it at once, with the line in its log."""
        return (self.binary("redis-server"), str(self.directory / CONFIGURATION))

    # While it serves

    async def probe(self) -> None:
        """PING, after AUTH where there is a password; `-LOADING` is not yet."""
        (answer,) = await self._ask(("PING",))
        if answer == "PONG":
            return
        if isinstance(answer, RedisError) and answer.text.startswith(_NOT_YET):
            raise NotReady(answer.text)
        raise self.error(f"{self.title} answers: {_words(answer)}")

    async def _ask(
        self,
        *commands: tuple[str, ...],
        of: Parameters | None = None,
        time_limit: float = 5.0,
    ) -> list[Reply]:
        """What it answers to each, on a connection of their own.

        `of` says where it listens and what its password is, if that is not as it should be. Raises
        `NotReady`, and the kind's error where it does not take the password.
        """
        of = of or self.parameters
        if of.password is not None:
            commands = (("AUTH", of.password), *commands)
        answer = await exchange(
            self.reactor,
            of.reachable_host,
            of.port,
            b"".join(command(*words) for words in commands),
            lambda data: len(replies(data)) >= len(commands),
            timeout=time_limit,
        )
        found = replies(answer)
        if of.password is not None:
            admitted = found.pop(0)
            if isinstance(admitted, RedisError):
                raise self.error(f"{self.title} does not take the password: {admitted.text}")
        return found

    async def reconfigured(self, known: Parameters) -> None:
        """What it was until now is how to reach it until it has been reloaded."""
        if self.is_running():
            self._earlier.append(known)

    async def reread(self) -> None:
        """CONFIG SET, since it reads no file twice; `databases` counts from the next start."""
        reached = await self._as_it_serves()
        settings = {
            "maxmemory": str(self.option("maxmemory")),
            "maxmemory-policy": str(self.option("maxmemory_policy")),
            "save": str(self.option("save")),
            "appendonly": "yes" if self.option("appendonly") else "no",
        }
        # What the connection itself depends on comes last.
        if reached.host != self.parameters.host:
            settings["bind"] = self.parameters.host
        if reached.port != self.parameters.port:
            settings["port"] = str(self.parameters.port)
        settings["requirepass"] = self.parameters.password or ""
        asked = [("CONFIG", "SET", name, value) for name, value in settings.items()]
        for name, answer in zip(settings, await self._ask(*asked, of=reached), strict=True):
            if isinstance(answer, RedisError):
                raise self.error(f"{self.title} does not take its {name} now: {answer.text}")
        self._earlier.clear()
        await self.probe()

    async def _as_it_serves(self) -> Parameters:
        """How it is reached: as configured now, or as it was before."""
        trouble: DomogikError | None = None
        for parameters in (*reversed(self._earlier), self.parameters):
            try:
                (answer,) = await self._ask(("PING",), of=parameters)
            except (NotReady, self.error) as error:
                trouble = error
                continue
            if answer == "PONG":
                return parameters
            trouble = self.error(f"{self.title} answers: {_words(answer)}")
        raise self.error(f"{self.title} has to be restarted for this: {trouble}")

    async def before_stop(self) -> None:
        """SHUTDOWN, which unlike a signal says when the data cannot be saved, and then stays."""
        try:
            reached = await self._as_it_serves()
            await self._written(of=reached)
            (answer,) = await self._ask(
                ("SHUTDOWN",), of=reached, time_limit=self.policy.stop_timeout
            )
        except HungUp:
            return
        except (NotReady, self.error):
            return  # it does not listen to us: a signal it may hear
        raise self.error(f"its data cannot be saved, so it stays: {_words(answer)}")

    # Backups

    async def dump(self, payload: Path) -> BackupContents:
        """`redis-cli --rdb`: as a replica gets it, all of one moment."""
        parameters = self.parameters
        await self.command(
            (
                self.companion("redis-cli"),
                *("-h", parameters.reachable_host, "-p", str(parameters.port)),
                *("--rdb", str(payload)),
            ),
            "its data cannot be read",
            environment=(
                {} if parameters.password is None else {"REDISCLI_AUTH": parameters.password}
            ),
            time_limit=_LONGEST_DUMP,
        )
        return BackupContents(await self._version(), await self._counted(payload))

    async def _counted(self, rdb: Path) -> dict[str, int]:
        """How many keys there are in a file, whose own checksums are looked at, too."""
        checked = await self.command(
            (self.companion("redis-check-rdb"), str(rdb)),
            "the copy of its data is not whole",
            time_limit=_LONGEST_DUMP,
        )
        return counts(checked.output.decode(errors="replace"))

    async def _version(self) -> str:
        return (await self._info("server")).get("redis_version", "")

    async def _info(self, section: str, of: Parameters | None = None) -> dict[str, str]:
        (answer,) = await self._ask(("INFO", section), of=of)
        lines = answer.splitlines() if isinstance(answer, str) else []
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def load(self, payload: Path) -> None:
        """It reads the file when it starts, but not where it has to read the append-only one."""
        await self._counted(payload)
        await self.initialise()
        shutil.copyfile(payload, self._rdb)
        self.directory.give(self._rdb)
        self._reads_rdb = True

    async def load_served(self, payload: Path) -> None:
        """The append-only file is made from what it holds."""
        self._reads_rdb = False
        if not self.option("appendonly"):
            return
        await self._ask(("CONFIG", "SET", "appendonly", "yes"))
        info = await self._written()
        if info.get("aof_enabled") != "1" or info.get("aof_last_bgrewrite_status") != "ok":
            raise self.error(f"{self.title} cannot write its append-only file")
        await self.install_configuration()

    async def _written(self, of: Parameters | None = None) -> dict[str, str]:
        """When it writes no append-only file anew: before that, it does not stop for one."""
        deadline = self.reactor.seconds() + self.policy.start_timeout
        while True:
            info = await self._info("persistence", of)
            if info.get("aof_rewrite_in_progress") != "1" != info.get("aof_rewrite_scheduled"):
                return info
            if self.reactor.seconds() > deadline:
                raise self.error(f"{self.title} does not come to the end of its append-only file")
            await deferLater(self.reactor, _PAUSE, lambda: None)

    async def compare(self, contents: BackupContents) -> None:
        """As many keys; those that had a time may have passed it."""
        keyspace = await self._info("keyspace")
        found = sum(int(text.split(",")[0].removeprefix("keys=")) for text in keyspace.values())
        most = int(contents.facts.get("keys", 0))
        least = most - int(contents.facts.get("expires", 0))
        if not least <= found <= most:
            raise self.error(f"{found} keys came back of {most}")

    def get_client(self) -> Any:
        """Return a `redis.Redis`; raises the kind's error where that library is missing."""
        try:
            from redis import Redis
        except ImportError as error:
            raise self.error("a client needs the library redis: pip install redis") from error
        return Redis.from_url(self.url)

    @property
    def _rdb(self) -> Path:
        return self.directory / "data" / "dump.rdb"

    @property
    def url(self) -> str:
        """`redis://:<password>@<host>:<port>/0`."""
        parameters = self.parameters
        password = "" if parameters.password is None else f":{quote(parameters.password, safe='')}@"
        host = parameters.reachable_host
        return f"redis://{password}{f'[{host}]' if ':' in host else host}:{parameters.port}/0"


def _quoted(text: str) -> str:
    """As its configuration takes any argument: every byte that is not plain as \\xhh."""
    return '"' + "".join(_escaped(byte) for byte in text.encode()) + '"'


def _escaped(byte: int) -> str:
    is_plain = 32 <= byte < 127 and byte not in b'"\\'
    return chr(byte) if is_plain else f"\\x{byte:02x}"


def _words(answer: Reply) -> str:
    return answer.text if isinstance(answer, RedisError) else repr(answer)


def counts(report: str) -> dict[str, int]:
    """What redis-check-rdb says: "12 keys read", "3 expires"."""
    found = {}
    for name, pattern in (("keys", r"(\d+) keys read"), ("expires", r"(\d+) expires")):
        match = re.search(pattern, report)
        found[name] = 0 if match is None else int(match[1])
    return found
