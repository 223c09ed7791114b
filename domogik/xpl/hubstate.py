"""The client table in a file: what the next hub takes over when this one is gone."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from domogik.errors import DomogikError
from domogik.xpl.hubtable import MAX_CLIENTS, MAX_SOURCES, Client, Source

#: a full table is smaller; anything larger is not ours
_LARGEST_BYTES = 4 << 20


class BrokenState(DomogikError):
    """The file is not a client table."""


def save(path: Path, clients: Iterable[Client]) -> None:
    """Replace the file in one step; raises `OSError`.

    Not synced to the disk: it serves when the hub's process dies, and after a power cut there are
    no clients left that it could name.
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
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "w", encoding="ascii", opener=_private) as stream:
            json.dump({"format": 1, "clients": table}, stream, indent=1)
            stream.write("\n")
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def load(path: Path) -> list[Client]:
    """The clients of the file, each entry checked: hub.json is input like any other.

    No file: nobody. Raises `BrokenState`, or `OSError` where it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        return []
    if len(data) > _LARGEST_BYTES:
        raise BrokenState(f"{path} is larger than any client table")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenState(f"{path} is not JSON: {error}") from error
    entries = document.get("clients") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BrokenState(f"{path} holds no list of clients")
    clients = (_client(entry) for entry in entries[:MAX_CLIENTS])
    return [client for client in clients if client is not None]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _client(entry: object) -> Client | None:
    """The client that an entry describes; None where it is none."""
    match entry:
        case {"address": str(address), "port": int(port), "sources": list(sources)}:
            heard = tuple(filter(None, map(_source, sources[:MAX_SOURCES])))
            if heard and 1 <= port <= 65_535 and not isinstance(port, bool):
                return Client(address, port, heard)
    return None


def _source(entry: object) -> Source | None:
    match entry:
        case {
            "source": str(name),
            "interval": int(interval),
            "last_heard": int() | float() as last_heard,
        } if _is_word(name) and abs(interval) < 10**9 and abs(last_heard) < 10**15:
            return Source(name, interval, float(last_heard))
    return None


def _is_word(name: str) -> bool:
    """Nothing but what the codec lets through as a source."""
    return 0 < len(name) <= 200 and name.isascii() and name.isprintable()
