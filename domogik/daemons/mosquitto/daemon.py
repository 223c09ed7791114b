"""Mosquitto: an MQTT broker; what it keeps is saved to `data/mosquitto.db`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
import shutil
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import attrs
from twisted.internet.task import deferLater

from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import (
    BrokenBackup,
    InvalidParameters,
    ManagedDaemonError,
    NotReady,
)
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.probing import exchange
from domogik.daemons.mosquitto import mqtt
from domogik.supervisor.interfaces import Policy

_DATA, _STORE = "data", "mosquitto.db"
_PASSWORDS = "passwords"
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
#: what `mosquitto_passwd` of 2.0 writes: PBKDF2 with SHA-512, as often as this
_ROUNDS = 101
_PAUSE_S = 0.005
#: how the store begins: this, a CRC of 4 bytes, the version of its format in 4
_MAGIC = b"\x00\xb5\x00mosquitto db"
#: chunks of format 6 that are counted: 4 bytes of kind, 4 of length
_FORMAT = 6
_COUNTED = {4: "retained", 5: "subscriptions", 6: "clients"}
#: what a running broker cannot change
_FROM_NEXT_START = ("certificate", "key", "persistence", "acl_file", "max_connections")


class MosquittoDaemonError(ManagedDaemonError):
    """Mosquitto was not configured, started, stopped, ..."""

    reason = re.compile(r"Error: (.+)")


@attrs.define(eq=False)
class MosquittoDaemon(ManagedDaemon):
    """A Mosquitto broker with one user; others are refused.

    Options: `user`; `certificate` and `key`, paths of PEM files, for TLS (which is then all it
    speaks); `acl_file`, who may read and write which topics; `persistence`; `max_connections`, -1
    for any number.
    """

    kind: ClassVar[str] = "mosquitto"
    title: ClassVar[str] = "Mosquitto"
    error: ClassVar[type[ManagedDaemonError]] = MosquittoDaemonError
    may_lie_in_memory: ClassVar[bool] = False
    pid_file: ClassVar[str] = "mosquitto.pid"
    policy: ClassVar[Policy] = Policy(start_timeout=60, stop_timeout=60)
    defaults: ClassVar[Mapping[str, Option]] = {
        "binary": None,
        "user": "domogik",
        "certificate": None,
        "key": None,
        "acl_file": None,
        "persistence": True,
        "max_connections": -1,
    }

    #: what the running broker was started with
    _served: Parameters | None = attrs.field(init=False, default=None)

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """Without a password it keeps the one it has, or gets a random one."""
        user = wanted.options.get("user")
        if not isinstance(user, str) or not _USER.fullmatch(user):
            raise InvalidParameters(f"user: {user!r} is not a name of letters and digits")
        if bool(wanted.options.get("certificate")) != bool(wanted.options.get("key")):
            raise InvalidParameters("certificate and key: TLS needs both")
        for name in ("certificate", "key", "acl_file"):
            path = wanted.options.get(name)
            if path is not None and (not isinstance(path, str) or "\n" in path):
                raise InvalidParameters(f"{name}: {path!r} is not a path")
        most = wanted.options.get("max_connections")
        if type(most) is not int or most < -1:
            raise InvalidParameters(f"max_connections: {most!r} is no number, and not -1 for any")
        return wanted.protected(known)

    async def initialise(self) -> None:
        """An empty directory is all it needs."""
        self.directory.subdirectory(_DATA)

    def configuration(self) -> Mapping[str, str]:
        """A line is `name value`, and its value everything up to the end; nothing is quoted."""
        path = str(self.directory.path)
        if "\n" in path or path != path.strip():
            raise InvalidParameters(f"{path!r}: Mosquitto knows no such path")
        password = _hashed(self.password, secrets.token_bytes(12))
        return {
            CONFIGURATION: "".join(f"{line}\n" for line in self._lines()),
            _PASSWORDS: f"{self.option('user')}:{password}\n",
        }

    def _lines(self) -> list[str]:
        parameters = self.parameters
        lines = [
            "per_listener_settings false",
            # as root it would become another user, who may not enter the directory
            "user root",
            f"pid_file {self.get_pid_path()}",
            "log_dest stderr",
            "connection_messages false",  # the watch logs in every few seconds
            "allow_anonymous false",
            f"password_file {self.directory / _PASSWORDS}",
            f"max_connections {self.option('max_connections')}",
            "autosave_interval 60",  # a power cut loses a minute, not half an hour
            f"persistence {'true' if self.option('persistence') else 'false'}",
            f"persistence_location {self.directory / _DATA}/",
            f"persistence_file {_STORE}",
        ]
        if self.option("acl_file"):
            lines.append(f"acl_file {self.option('acl_file')}")
        lines.append(f"listener {parameters.port} {parameters.host}")
        if self.option("certificate"):
            lines.append(f"certfile {self.option('certificate')}")
            lines.append(f"keyfile {self.option('key')}")
        return lines

    def argv(self) -> tuple[str, ...]:
        """It has no way to check a file: a bad one ends it at once, with the line in its log."""
        return (self.binary("mosquitto"), "-c", str(self.directory / CONFIGURATION))

    # While it serves

    async def probe(self) -> None:
        """A login; one that is refused does not get better by waiting."""
        code = await self._answer(self.parameters)
        if code in mqtt.REFUSED:
            raise self.error(f"{self.title} does not take the password: {mqtt.REFUSED[code]}")
        if code:
            raise self.error(f"{self.title} refuses the login with code {code}")
        if self._served is None:
            self._served = self.parameters

    async def _answer(self, of: Parameters) -> int:
        """The code with which a broker that was configured like that answers a login."""
        answer = await exchange(
            self.reactor,
            of.reachable_host,
            of.port,
            mqtt.login(str(of.options.get("user")), of.password or ""),
            mqtt.is_answered,
            tls=bool(of.options.get("certificate")),
        )
        return mqtt.result(answer)

    async def reconfigured(self, known: Parameters) -> None:
        """It goes on as it was until it has been reloaded, or started anew."""
        if self._served is None and self.is_running():
            self._served = known

    async def reread(self) -> None:
        """HUP: users and their rights; where it listens, and how, counts from the next start."""
        now, served = self.parameters, self._served
        if served is not None:
            changed = [
                name for name in ("port", "host") if getattr(now, name) != getattr(served, name)
            ]
            changed += [
                name
                for name in _FROM_NEXT_START
                if now.options.get(name) != served.options.get(name)
            ]
            if changed:
                raise self.error(f"{self.title} has to be restarted for {', '.join(changed)}")
        self.signal("HUP")
        self._served = None
        await self._until_taken()

    async def _until_taken(self) -> None:
        """Wait until it knows the password that it was told to read."""
        deadline = self.reactor.seconds() + self.policy.start_timeout
        while True:
            try:
                await self.probe()
                return
            except self.error:
                if self.reactor.seconds() > deadline:
                    raise
                await deferLater(self.reactor, _PAUSE_S, lambda: None)

    def remove_leftovers(self) -> None:
        """A save that was cut off leaves its beginning under another name."""
        super().remove_leftovers()
        self._served = None
        (self.directory / _DATA / f"{_STORE}.new").unlink(missing_ok=True)

    # Backups

    @property
    def _store(self) -> Path:
        return self.directory / _DATA / _STORE

    async def dump(self, payload: Path) -> BackupContents:
        """USR1 has it save all it keeps; the file is replaced in one step."""
        if not self.option("persistence"):
            raise self.error(f"{self.title} keeps nothing: persistence is off")
        await self._saved()
        with self.translated("its data cannot be read"):
            await self.tools.in_thread(shutil.copyfile, self._store, payload)
        facts = await self.tools.in_thread(counts, payload)
        return BackupContents(await self._version(), facts)

    async def _saved(self) -> None:
        """Have it save all it keeps; fails where that did not work, as on a full disk.

        It says nothing of it, but does so in the turn of its loop in which it sees the signal: the
        second login is answered in a later one.
        """
        before = _moment(self._store)
        self.signal("USR1")
        for _ in range(2):
            await self._answer(self._served or self.parameters)
        try:
            if _moment(self._store) == before:
                raise BrokenBackup(f"{self._store} is as it was")
            await self.tools.in_thread(counts, self._store)  # 2.0 takes no notice of a full disk
        except (BrokenBackup, OSError) as error:
            raise self.error(
                f"{self.title} cannot save its data, is the disk full? {error}"
            ) from error

    async def before_stop(self) -> None:
        """Save first: told to end, it would end also where it cannot."""
        if self.option("persistence"):
            with contextlib.suppress(NotReady):  # it does not hear us: a signal it may hear
                await self._saved()

    async def _version(self) -> str:
        """`-h` begins with it; there is no option that says just that."""
        completed = await self.tools.run(
            (self.binary("mosquitto"), "-h"), directory=self.directory.path, user=self.user
        )
        found = re.search(rb"mosquitto version ([\w.]+)", completed.output)
        return "" if found is None else found[1].decode()

    async def load(self, payload: Path) -> None:
        """It reads the file when it starts."""
        await self.tools.in_thread(counts, payload)
        await self.initialise()
        await self.tools.in_thread(shutil.copyfile, payload, self._store)
        self.directory.give(self._store)

    async def compare(self, contents: BackupContents) -> None:
        """It saves what it has read, and that holds as much."""
        await self._saved()
        found = await self.tools.in_thread(counts, self._store)
        for name, number in contents.facts.items():
            if found.get(name) != number:
                raise self.error(f"{found.get(name)} {name} came back of {number}")

    @property
    def url(self) -> str:
        """`mqtt://<user>:<password>@<host>:<port>`, `mqtts` with TLS."""
        parameters = self.parameters
        scheme = "mqtts" if self.option("certificate") else "mqtt"
        host = parameters.reachable_host
        where = f"{f'[{host}]' if ':' in host else host}:{parameters.port}"
        return f"{scheme}://{self.option('user')}:{quote(self.password, safe='')}@{where}"


def _hashed(password: str, salt: bytes) -> str:
    """Return the line's second half as `mosquitto_passwd` makes it: kind 7, rounds, salt, hash."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _moment(path: Path) -> tuple[int, int] | None:
    """Return what changes with every save; None where nothing was saved yet."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def counts(store: Path) -> dict[str, int]:
    """Return how much of what is in a store; raises `BrokenBackup`.

    Of a format that is not known nothing is counted.
    """
    data = store.read_bytes()
    head = len(_MAGIC) + 8
    if not data.startswith(_MAGIC) or len(data) < head:
        raise BrokenBackup(f"{store} is not what Mosquitto saves")
    (form,) = struct.unpack_from(">I", data, head - 4)
    if form != _FORMAT:
        return {}
    found = Counter(_COUNTED[kind] for kind in _kinds(data, head, store) if kind in _COUNTED)
    return {name: found[name] for name in _COUNTED.values()}


def _kinds(data: bytes, position: int, store: Path) -> Iterator[int]:
    while position < len(data):
        if position + 8 > len(data):
            raise BrokenBackup(f"{store} is cut off")
        kind, length = struct.unpack_from(">II", data, position)
        position += 8 + length
        if position > len(data):
            raise BrokenBackup(f"{store} is cut off")
        yield kind
