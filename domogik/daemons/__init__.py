"""Managed daemons: real servers, each with a working directory, a port and a password of its own.

The names of the documentation are here: `from domogik.daemons import RedisDaemon`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domogik.daemons.apache import ApacheDaemon
    from domogik.daemons.core.base import ManagedDaemon
    from domogik.daemons.core.errors import ManagedDaemonError
    from domogik.daemons.mosquitto import MosquittoDaemon
    from domogik.daemons.mysql import MySQLDaemon
    from domogik.daemons.nginx import NginxDaemon
    from domogik.daemons.postgres import PostgresDaemon
    from domogik.daemons.rabbitmq import ManagedRabbitMQ, RabbitMQDaemon
    from domogik.daemons.redis import RedisDaemon

__all__ = [
    "ApacheDaemon",
    "ManagedDaemon",
    "ManagedDaemonError",
    "ManagedRabbitMQ",
    "MosquittoDaemon",
    "MySQLDaemon",
    "NginxDaemon",
    "PostgresDaemon",
    "RabbitMQDaemon",
    "RedisDaemon",
]

#: where each name is; imported when it is asked for: a program needs few of them
_MODULES = {
    "ApacheDaemon": "apache",
    "ManagedDaemon": "core.base",
    "ManagedDaemonError": "core.errors",
    "ManagedRabbitMQ": "rabbitmq",
    "MosquittoDaemon": "mosquitto",
    "MySQLDaemon": "mysql",
    "NginxDaemon": "nginx",
    "PostgresDaemon": "postgres",
    "RabbitMQDaemon": "rabbitmq",
    "RedisDaemon": "redis",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'domogik.daemons' has no attribute {name!r}")
    return getattr(import_module(f"domogik.daemons.{_MODULES[name]}"), name)
