"""For other people's tests: a real server, brand new, for one test, and gone after it.

With pytest, in a `conftest.py`:

    pytest_plugins = ["domogik.daemons.testing"]

and a test asks for `redis_daemon`, `postgres_daemon`, `mysql_daemon`, `nginx_daemon`,
`apache_daemon`, `rabbitmq_daemon` or `mosquitto_daemon`, each a `BlockingDaemon`. With trial,
`fresh`. In a script, `running`. Nothing outlives the program, not even its kill -9.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from domogik.daemons import throwaway
from domogik.daemons.base import ManagedDaemon
from domogik.daemons.blocking import BlockingDaemon
from domogik.daemons.kinds import daemon_class

__all__ = ["BlockingDaemon", "fresh", "running"]


class _TestCase(Protocol):
    def addCleanup(self, function: Callable[[], Any], /) -> None: ...


def running(kind: str | type[ManagedDaemon], **options: Any) -> BlockingDaemon:
    """A server that runs, and is destroyed at the end of a `with` block (or by `destroy`).

    `kind` is a kind's name or a class; options are those of `ManagedDaemon.configure`, all of which
    may be left out, `directory` too. Raises the kind's error.
    """
    return BlockingDaemon(kind, **options)


def fresh(
    test_case: _TestCase, kind: str | type[ManagedDaemon], **options: Any
) -> Deferred[ManagedDaemon]:
    """For trial: fires with a daemon that serves, and is destroyed when the test is over.

    `test_case` is the `TestCase`; the rest is as for `running`. Fails with the kind's error.
    """
    from twisted.internet import reactor

    made = daemon_class(kind) if isinstance(kind, str) else kind
    daemon = made(reactor)  # type: ignore[arg-type]  # the module stands for the reactor

    def serves(begun: ManagedDaemon) -> ManagedDaemon:
        place = begun.directory.path
        test_case.addCleanup(lambda: throwaway.end(begun, place))
        return begun

    return throwaway.begin(daemon, **options).addCallback(serves)


if importlib.util.find_spec("pytest") is not None:  # who tests with trial has no need of it
    import pytest

    def _fixture(kind: str) -> Any:
        @pytest.fixture(name=f"{kind}_daemon")
        def daemon() -> Iterator[BlockingDaemon]:
            with running(kind) as server:
                yield server

        daemon.__doc__ = f"A {kind} of this test's own; see `BlockingDaemon`."
        return daemon

    redis_daemon = _fixture("redis")
    postgres_daemon = _fixture("postgres")
    mysql_daemon = _fixture("mysql")
    nginx_daemon = _fixture("nginx")
    apache_daemon = _fixture("apache")
    rabbitmq_daemon = _fixture("rabbitmq")
    mosquitto_daemon = _fixture("mosquitto")
