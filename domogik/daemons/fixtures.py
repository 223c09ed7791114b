"""The fixtures of pytest, there in every project that has this package installed.

This module is loaded by each run of pytest, also those that start no server: it imports nothing
that takes time before a fixture is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


def _server(kind: str) -> Any:
    @pytest.fixture(name=f"{kind}_daemon")
    def daemon() -> Iterator[Any]:
        from domogik.daemons.testing import running

        with running(kind) as server:
            yield server

    daemon.__doc__ = f"A {kind} of this test's own; see `BlockingDaemon`."
    return daemon


def _shared(kind: str) -> Any:
    @pytest.fixture(name=f"{kind}_server", scope="session")
    def server(_domogik_servers: Any) -> Any:
        return _domogik_servers.get(kind)

    server.__doc__ = f"The {kind} of this run, on which its tests are fresh; see `Shared`."
    return server


def _clean(kind: str, what: str) -> Any:
    @pytest.fixture(name=f"{kind}_{what}")
    def clean(_domogik_servers: Any) -> Iterator[Any]:
        with _domogik_servers.clean(kind) as fresh:
            yield fresh

    clean.__doc__ = f"A {what} of this test's own on the {kind} of this run; see `Clean`."
    return clean


@pytest.fixture(scope="session")
def _domogik_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    from domogik.daemons.throwaway.shared import Servers

    place = controller = None
    if hasattr(request.config, "workerinput"):  # what the workers of pytest-xdist have in common
        place = tmp_path_factory.getbasetemp().parent / "domogik-servers"
        place.mkdir(mode=0o700, exist_ok=True)
        controller = os.getppid()
    servers = Servers(place, until_end_of=controller)
    yield servers
    servers.close()


redis_daemon, redis_server = _server("redis"), _shared("redis")
postgres_daemon, postgres_server = _server("postgres"), _shared("postgres")
mysql_daemon, mysql_server = _server("mysql"), _shared("mysql")
nginx_daemon, nginx_server = _server("nginx"), _shared("nginx")
apache_daemon, apache_server = _server("apache"), _shared("apache")
rabbitmq_daemon, rabbitmq_server = _server("rabbitmq"), _shared("rabbitmq")
mosquitto_daemon, mosquitto_server = _server("mosquitto"), _shared("mosquitto")
redis_keys = _clean("redis", "keys")
postgres_database = _clean("postgres", "database")
mysql_database = _clean("mysql", "database")
rabbitmq_vhost = _clean("rabbitmq", "vhost")
nginx_root = _clean("nginx", "root")
apache_root = _clean("apache", "root")
mosquitto_topics = _clean("mosquitto", "topics")
