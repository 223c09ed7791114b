"""The fixtures that pytest finds in every project where this package is installed.

Each run of pytest loads this module, so what takes time is imported when a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from domogik.daemons.kinds import kinds


def _server(kind: str) -> Any:
    def daemon() -> Iterator[Any]:
        from domogik.daemons.testing import running

        with running(kind) as server:
            yield server

    return _fixture(daemon, f"{kind}_daemon", f"Give one {kind} to this test; a `BlockingDaemon`.")


def _shared(kind: str) -> Any:
    def server(_domogik_servers: Any) -> Any:
        return _domogik_servers.get(kind)

    text = f"Give the {kind} that all tests of this run share; it is not to be stopped."
    return _fixture(server, f"{kind}_server", text, scope="session")


def _clean(kind: str, what: str, text: str) -> Any:
    def clean(_domogik_servers: Any) -> Iterator[Any]:
        with _domogik_servers.clean(kind) as fresh:
            yield fresh

    return _fixture(clean, f"{kind}_{what}", f"Give {text} on the shared {kind}; a `Clean`.")


def _fixture(
    function: Any, name: str, text: str, scope: Literal["function", "session"] = "function"
) -> Any:
    function.__doc__ = text
    return pytest.fixture(name=name.replace("-", "_"), scope=scope)(function)


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


for _kind in kinds():
    globals()[f"{_kind}_daemon"], globals()[f"{_kind}_server"] = _server(_kind), _shared(_kind)
redis_keys = _clean("redis", "keys", "an empty numbered database")
postgres_database = _clean("postgres", "database", "a new database")
mysql_database = _clean("mysql", "database", "a new database")
rabbitmq_vhost = _clean("rabbitmq", "vhost", "a new virtual host")
nginx_root = _clean("nginx", "root", "an empty directory that is served")
apache_root = _clean("apache", "root", "an empty directory that is served")
mosquitto_topics = _clean("mosquitto", "topics", "a prefix for topics")
