"""A kind of daemon without a server, for tests of a manager.

It replaces Redis, so that it is used for `kind = redis`. Its directories are real; its processes,
ports and answers are not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
from twisted.internet.defer import Deferred, execute

from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.parameters import Option, Parameters

#: the port of a daemon that asks for any free one
FREE_PORT = 40001


@attrs.define(eq=False)
class FakeServer(ManagedDaemon):
    """A daemon that records its operations in `done`, and raises the one's error in `errors`.

    `made` has all daemons, the oldest first.
    """

    kind: ClassVar[str] = "redis"
    title: ClassVar[str] = "Fake"
    pid_file: ClassVar[str] = "fake.pid"
    defaults: ClassVar[Mapping[str, Option]] = {"databases": 16, "appendonly": False}
    made: ClassVar[list[FakeServer]] = []

    errors: dict[str, Exception] = attrs.field(init=False, factory=dict)
    done: list[str] = attrs.field(init=False, factory=list)
    #: the Deferred that `probe` waits for
    probe_wait: Deferred[None] | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.made.append(self)

    def _record(self, operation: str) -> None:
        self.done.append(operation)
        if operation in self.errors:
            raise self.errors[operation]

    def _reserve(self, host: str, port: int | None, known: Parameters | None) -> int:
        return port or (FREE_PORT if known is None else known.port)

    async def initialise(self) -> None:
        self._record("initialise")
        self.directory.subdirectory("data")

    async def reconfigured(self, known: Parameters) -> None:
        self._record("reconfigured")

    def configuration(self) -> Mapping[str, str]:
        self._record("configuration")
        return {CONFIGURATION: f"databases {self.option('databases')}\n"}

    def argv(self) -> tuple[str, ...]:
        return ("fake-server", str(self.directory / CONFIGURATION))

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        return ()

    def check_data(self) -> None:
        self._record("check_data")

    async def probe(self) -> None:
        self._record("probe")
        if self.probe_wait is not None:
            await self.probe_wait

    async def before_stop(self) -> None:
        self._record("before_stop")

    async def reread(self) -> None:
        self._record("reread")

    def is_running(self, keyword: str | None = None) -> bool:
        return True

    def note(self, pid: int | None, run_id: str, started: float) -> None:
        self._record("note" if pid is not None else "forget")

    def backup(self, target: str | os.PathLike[str]) -> Deferred[str]:
        return execute(self._written, Path(target))

    def _written(self, target: Path) -> str:
        self._record("backup")
        target.write_text("all of it")
        return "backed up"

    def restore(self, source: str | os.PathLike[str]) -> Deferred[str]:
        return execute(self._read, Path(source))

    def _read(self, source: Path) -> str:
        self._record("restore")
        return f"restored {source.read_text()}"

    @property
    def url(self) -> str:
        parameters = self.parameters
        return f"fake://:{parameters.password}@{parameters.host}:{parameters.port}"


def server_error(sentence: str, said: str = "") -> ManagedDaemonError:
    """Return the error of a server whose log has `said`."""
    return FakeServer.error(sentence, output=said)
