"""The kinds of daemon: those of Domogik, and those that other distributions register.

Another distribution registers a kind as an entry point of the group `domogik.daemons`: the kind's
name, and the class, derived from `ManagedDaemon`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from domogik.errors import DomogikError

if TYPE_CHECKING:  # a run of pytest asks for the names only
    from importlib.metadata import EntryPoint

    from domogik.daemons.core.base import ManagedDaemon

#: kind -> its class, imported when it is asked for
_CLASSES = {
    "redis": "RedisDaemon",
    "postgres": "PostgresDaemon",
    "mysql": "MySQLDaemon",
    "nginx": "NginxDaemon",
    "apache": "ApacheDaemon",
    "rabbitmq": "RabbitMQDaemon",
    "mosquitto": "MosquittoDaemon",
}
_GROUP = "domogik.daemons"


class UnknownKind(DomogikError):
    """A kind of daemon does not exist or cannot be used; the text names the kinds or the cause."""


def kinds() -> tuple[str, ...]:
    """Return the names of all kinds, Domogik's first."""
    return (*_CLASSES, *sorted(_others()))


def daemon_class(kind: str) -> type[ManagedDaemon]:
    """Return the class of a kind; raises `UnknownKind`."""
    if kind in _CLASSES:
        found: type[ManagedDaemon] = getattr(
            import_module(f"domogik.daemons.{kind}"), _CLASSES[kind]
        )
        return found
    entry = _others().get(kind)
    if entry is None:
        raise UnknownKind(f"'{kind}' is none of {', '.join(kinds())}")
    from domogik.daemons.core.base import ManagedDaemon

    try:
        other = entry.load()
    except Exception as error:
        raise UnknownKind(f"'{kind}' cannot be used ({entry.value}): {error}") from error
    if not (isinstance(other, type) and issubclass(other, ManagedDaemon) and other.kind == kind):
        raise UnknownKind(f"'{kind}' cannot be used: {entry.value} is no daemon of that kind")
    return other


@cache
def _others() -> dict[str, EntryPoint]:
    """Return the kinds of other distributions; a kind of Domogik cannot be replaced."""
    from importlib.metadata import entry_points

    found = entry_points(group=_GROUP)
    return {entry.name: entry for entry in found if entry.name not in _CLASSES}
