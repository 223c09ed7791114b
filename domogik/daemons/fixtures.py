"""The fixtures of pytest, there in every project that has this package installed.

This module is loaded by each run of pytest, also those that start no server: it imports nothing
that takes time before a fixture is asked for.
"""

from __future__ import annotations

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
    from domogik.daemons.shared import Servers

    place = None
    if hasattr(request.config, "workerinput"):  # what the workers of pytest-xdist have in common
        place = tmp_path_factory.getbasetemp().parent / "domogik-servers"
        place.mkdir(mode=0o700, exist_ok=True)
    servers = Servers(place)
    yield servers
    servers.close()


redis_daemon = _server("redis")
postgres_daemon = _server("postgres")
mysql_daemon = _server("mysql")
nginx_daemon = _server("nginx")
apache_daemon = _server("apache")
rabbitmq_daemon = _server("rabbitmq")
mosquitto_daemon = _server("mosquitto")
redis_keys = _clean("redis", "keys")
postgres_database = _clean("postgres", "database")
mysql_database = _clean("mysql", "database")
rabbitmq_vhost = _clean("rabbitmq", "vhost")
nginx_root = _clean("nginx", "root")
apache_root = _clean("apache", "root")
