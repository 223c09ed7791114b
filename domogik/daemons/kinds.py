"""Which kinds of daemon there are."""

from __future__ import annotations

from importlib import import_module

from domogik.daemons.base import ManagedDaemon
from domogik.errors import DomogikError

#: kind -> its class, imported when it is asked for
_CLASSES = {
    "redis": "RedisDaemon",
    "postgres": "PostgresDaemon",
    "mysql": "MySQLDaemon",
    "nginx": "NginxDaemon",
    "apache": "ApacheDaemon",
    "rabbitmq": "RabbitMQDaemon",
}

KINDS = tuple(_CLASSES)


class UnknownKind(DomogikError):
    """No such kind of daemon; the text names those there are."""


def daemon_class(kind: str) -> type[ManagedDaemon]:
    """Raises `UnknownKind`."""
    try:
        name = _CLASSES[kind]
    except KeyError:
        raise UnknownKind(f"'{kind}' is none of {', '.join(KINDS)}") from None
    found: type[ManagedDaemon] = getattr(import_module(f"domogik.daemons.{kind}"), name)
    return found
