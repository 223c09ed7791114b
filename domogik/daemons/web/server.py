"""What the web servers have in common: they serve files, by HTTP, and reload without a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
from twisted.internet.task import deferLater

from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters, NotReady
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.probing import exchange
from domogik.daemons.core.standalone import LOG, tail
from domogik.daemons.web.generations import Generation
from domogik.supervisor.ports.sock_diag import CannotSeeSockets

DOCUMENTS = "www"
TEMPORARY = "temp"
ACCESS_LOG = f"{LOG}/access.log"
#: how long requests may take when it stops, before it ends them itself; within its stop_timeout
GRACE = 15
_LARGEST_LOG = 10 * 2**20
_TAIL = 4096
_PAUSE = 0.02


@attrs.define(eq=False)
class WebDaemon(ManagedDaemon):
    """A web server that serves the files of `www/`, or of the directory in the option `root`."""

    #: how long the new configuration may take to be the one it serves by, in seconds
    reload_patience: ClassVar[float] = 15.0
    takes_password: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Option]] = {"binary": None, "root": None, "access_log": False}

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """Return `wanted`; raises `InvalidParameters` if `root` is not a directory's name."""
        root = wanted.options.get("root")
        if root is not None and (not isinstance(root, str) or "\0" in root or not root):
            raise InvalidParameters(f"root: {root!r} is not a directory's name")
        return wanted

    async def initialise(self) -> None:
        """Places for what it serves, its temporary files and its log."""
        for name in (DOCUMENTS, TEMPORARY, LOG):
            self.directory.subdirectory(name)
        self.configuration()  # what cannot be said is told now

    async def reconfigured(self, known: Parameters) -> None:
        """What cannot be said is told now, and not at the next start."""
        self.configuration()

    @property
    def data_names(self) -> tuple[str, ...]:
        """What it serves is its data."""
        return (DOCUMENTS, *super().data_names)

    @property
    def root(self) -> Path:
        """The directory that it serves."""
        return self.directory / (self.option("root") or DOCUMENTS)

    def remove_leftovers(self) -> None:
        """A log of requests that has grown large is put aside once."""
        super().remove_leftovers()
        log = self.directory / ACCESS_LOG
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LARGEST_LOG:
                log.rename(log.with_suffix(".log.1"))

    @property
    def url(self) -> str:
        """`http://<host>:<port>/`."""
        return f"http://{bracketed(self.parameters.reachable_host)}:{self.parameters.port}/"

    async def probe(self) -> None:
        """Any answer in HTTP will do (RFC 9112, section 4).

        The question is about the server as a whole (RFC 9110, section 9.3.7): one for `/` would
        reach what is behind a proxy, and be an error in its log where there is no index.
        """
        host, port = self.parameters.reachable_host, self.parameters.port
        where = f"Host: {bracketed(host)}:{port}"
        question = f"OPTIONS * HTTP/1.1\r\n{where}\r\nConnection: close\r\n\r\n"
        answer = await exchange(
            self.reactor, host, port, question.encode(), lambda data: b"\r\n" in data
        )
        if not answer.startswith(b"HTTP/"):
            raise NotReady(f"port {port} of {host} does not speak HTTP: {answer[:40]!r}")

    async def reload_by(self, signal: str) -> None:
        """Send `signal`, and wait until it serves by the new configuration.

        Raises the kind's error, with what it said, if it does not.
        """
        identity = self.identity
        if identity is None:
            raise self.error(f"{self.title} is not running")
        said = _Said.from_now(self.directory, self.kind)
        with self.translated("its processes cannot be seen"):
            before = await self.tools.in_thread(Generation.of, identity)
            self.signal(signal)
            await self._until_followed(before, said)

    def has_refused(self, words: str) -> bool:
        """Whether it said that it goes on with its old configuration, for good."""
        return False

    async def _until_followed(self, before: Generation, said: _Said) -> None:
        give_up = self.reactor.seconds() + self.reload_patience
        while not await self._has_followed(before):
            words = said.words()
            if self.identity is None:
                raise self.error("it ended over its new configuration", output=words)
            is_late = self.reactor.seconds() >= give_up
            if is_late and await self.tools.in_thread(before.has_successors):
                return  # an old worker is still busy with an old request
            if is_late or self.has_refused(words):
                raise self.error("it goes on with its old configuration", output=words)
            await deferLater(self.reactor, _PAUSE, lambda: None)

    async def _has_followed(self, before: Generation) -> bool:
        try:
            if not await self.tools.in_thread(before.is_over):
                return False
            await self.probe()
        except (NotReady, CannotSeeSockets):
            return False
        return True


@attrs.frozen
class _Said:
    """What a daemon said since a moment; nothing where its words go to a manager."""

    path: Path
    begin: int

    @classmethod
    def from_now(cls, directory: WorkingDirectory, kind: str) -> _Said:
        path = directory / LOG / f"{kind}.log"
        return cls(path, path.stat().st_size if path.exists() else 0)

    def words(self) -> str:
        return tail(self.path, _TAIL, self.begin)


def bracketed(host: str) -> str:
    """An address as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def whole_number(options: Mapping[str, Option], name: str, least: int, most: int) -> None:
    """Raises `InvalidParameters` unless that option is one."""
    value = options.get(name)
    if type(value) is not int or not least <= value <= most:
        raise InvalidParameters(f"{name}: {value!r} is not a number from {least} to {most}")
