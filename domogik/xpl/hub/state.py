"""The client table in a file, from which the next hub restores it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError
from domogik.xpl.hub.clients import (
    MAX_CLIENTS,
    MAX_SOURCES,
    ClientTable,
    HeardDevice,
    HubClient,
    RegistrationRefused,
    read_interval,
)

_log = Logger()
#: a full table is smaller
_LARGEST_BYTES = 4 << 20
#: seconds between two writes of a changed table; after a crash those changes are lost
SAVE_AFTER = 0.1


class BrokenState(DomogikError):
    """The file is not a client table."""


@attrs.define(eq=False)
class StateFile:
    """Writes the client table when it changes.

    A first change is written at once, so that a crash does not lose the client; those that follow
    within `SAVE_AFTER` are written together. `clients` returns the clients to save, `failed` is
    called with a write error.
    """

    _clock: IReactorTime
    _path: Path
    _clients: Callable[[], list[HubClient]]
    _failed: Callable[[OSError], None]
    #: heartbeats were received since the last write
    is_stale: bool = False
    _pause: IDelayedCall | None = None
    #: the table changed during the pause
    _is_unsaved: bool = False
    _written: frozenset[tuple[str, int, str]] | None = None

    def changed(self) -> None:
        """Note that a client or a source was added or removed."""
        if self._pause is None:
            self._write_and_pause()
        else:
            self._is_unsaved = True

    def write(self) -> None:
        """Write the table now; after an error the file counts as stale."""
        clients = self._clients()
        self._written = _names(clients)
        self.is_stale = False
        try:
            save(self._path, clients)
        except OSError as error:
            self.is_stale = True
            self._failed(error)

    def close(self) -> None:
        """Write the table for the last time."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self.write()

    def _write_and_pause(self) -> None:
        self._is_unsaved = False
        if _names(self._clients()) != self._written:  # else a client that is not saved
            self.write()
            self._pause = self._clock.callLater(SAVE_AFTER, self._end_pause)

    def _end_pause(self) -> None:
        self._pause = None
        if self._is_unsaved:
            self._write_and_pause()


def _names(clients: Iterable[HubClient]) -> frozenset[tuple[str, int, str]]:
    return frozenset(
        (client.address, client.port, source.name)
        for client in clients
        for source in client.sources
    )


def save(path: Path, clients: Iterable[HubClient]) -> None:
    """Replace the file in one step; raises `OSError`.

    It is not synced to disk: after a power cut there are no clients to restore.
    """
    table = [
        {
            "address": client.address,
            "port": client.port,
            "interval": client.interval,
            "last_heard": round(client.last_heard, 1),
            "sources": [
                {
                    "source": source.name,
                    "interval": source.interval,
                    "last_heard": round(source.last_heard, 1),
                }
                for source in client.sources
            ],
        }
        for client in clients
    ]
    content = json.dumps({"format": 1, "clients": table}, indent=1).encode() + b"\n"
    write_atomically(path, content, durable=False)


def load(path: Path) -> list[HubClient]:
    """Return the clients in the file, each entry checked; none if there is no file.

    Raises `BrokenState`, or `OSError` if it cannot be read.
    """
    try:
        document = json.loads(read_bounded(path, _LARGEST_BYTES))
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise BrokenState(f"{path} is not JSON: {error}") from error
    entries = document.get("clients") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BrokenState(f"{path} holds no list of clients")
    clients = (_client(entry) for entry in entries[:MAX_CLIENTS])
    return [client for client in clients if client is not None]


def _client(entry: object) -> HubClient | None:
    match entry:
        case {"address": str(address), "port": int(port), "sources": list(sources)}:
            heard = tuple(filter(None, map(_source, sources[:MAX_SOURCES])))
            if heard and 1 <= port <= 65_535 and not isinstance(port, bool):
                return HubClient(address, port, heard)
    return None


def _source(entry: object) -> HeardDevice | None:
    match entry:
        case {
            "source": str(name),
            "interval": int(interval),
            "last_heard": int() | float() as last_heard,
        } if _is_word(name) and abs(interval) < 10**9 and abs(last_heard) < 10**15:
            return HeardDevice(name, interval, float(last_heard))
    return None


def _is_word(name: str) -> bool:
    """Return whether the codec would accept the name as a source."""
    return 0 < len(name) <= 200 and name.isascii() and name.isprintable()


def restore(path: Path, table: ClientTable, now: float) -> None:
    """Register the clients in the file, at Unix time `now`; raises as `load` does."""
    for client in load(path):
        for source in client.sources:
            interval = read_interval(str(source.interval))
            age = max(0.0, now - source.last_heard)  # the clock may have been set back
            try:
                table.register(client.address, client.port, source.name, interval, age)
            except RegistrationRefused as refused:
                _log.info(
                    "{source} at {address}:{port} is not restored: {refused}",
                    source=source.name,
                    address=client.address,
                    port=client.port,
                    refused=refused,
                )
    table.expire()
