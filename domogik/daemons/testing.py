"""For other people's tests: a real server, brand new, for one test, and gone after it.

With pytest a test asks for one of the fixtures in `fixtures`, where they are described. In a script
and with unittest, `running`, or `clean` for what is cheaper than a server. With trial, `fresh` and
`fresh_clean` are the same, as Deferreds.
Nothing outlives the program, not even its kill -9.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # a test run that starts no server does not pay for one
    from twisted.internet.defer import Deferred

    from domogik.daemons.core.base import ManagedDaemon
    from domogik.daemons.throwaway.blocking import BlockingDaemon
    from domogik.daemons.throwaway.shared import Clean, Servers

__all__ = ["BlockingDaemon", "Clean", "clean", "fresh", "fresh_clean", "running"]
#: a conftest may still name this module; the name is the one that the entry point has, so that
#: pytest loads the fixtures once
pytest_plugins = ["domogik.daemons.fixtures"]


_MODULES = {
    "BlockingDaemon": "domogik.daemons.throwaway.blocking",
    "Clean": "domogik.daemons.throwaway.shared",
}


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


class _TestCase(Protocol):
    def addCleanup(self, function: Callable[[], Any], /) -> None: ...


def running(kind: str | type[ManagedDaemon], **options: Any) -> BlockingDaemon:
    """A server that runs, and is destroyed at the end of a `with` block (or by `destroy`).

    `kind` is a kind's name or a class; options are those of `ManagedDaemon.configure`, all of which
    may be left out, `directory` too. Raises the kind's error.
    """
    from domogik.daemons.throwaway.blocking import BlockingDaemon

    return BlockingDaemon(kind, **options)


def fresh(
    test_case: _TestCase, kind: str | type[ManagedDaemon], **options: Any
) -> Deferred[ManagedDaemon]:
    """For trial: fires with a daemon that serves, and is destroyed when the test is over.

    `test_case` is the `TestCase`; the rest is as for `running`. Fails with the kind's error.
    """
    from twisted.internet import reactor

    from domogik.daemons.kinds import daemon_class
    from domogik.daemons.throwaway import servers as throwaway

    made = daemon_class(kind) if isinstance(kind, str) else kind
    daemon = made(reactor)  # type: ignore[arg-type]  # the module stands for the reactor

    def serves(begun: ManagedDaemon) -> ManagedDaemon:
        place = begun.directory.path
        test_case.addCleanup(lambda: throwaway.end(begun, place))
        return begun

    return throwaway.begin(daemon, **options).addCallback(serves)


def fresh_clean(test_case: _TestCase, kind: str) -> Deferred[Clean]:
    """For trial: fires with what `clean` gives, which is gone when the test is over.

    It lies on the same server as those of `clean`. All is done in threads, on the reactor of that
    server: on Twisted's own, trial would take a server that outlives a test for its leavings. Fails
    as `clean` raises.
    """
    from twisted.internet.threads import deferToThread

    part, made, turn = clean(kind), [], threading.Lock()

    def make() -> Clean:
        with turn:
            made.append(part.__enter__())
            return made[0]

    def remove() -> None:
        with turn:  # after `make`, also where the test was given up meanwhile
            if made:
                part.__exit__(None, None, None)

    making = deferToThread(make)
    test_case.addCleanup(lambda: deferToThread(remove))
    return making


@contextlib.contextmanager
def clean(kind: str) -> Iterator[Clean]:
    """A database, key space, virtual host or document root for a `with` block, gone after it.

    It lies on one server of this kind that this process keeps until its end. Raises the kind's
    error, and `ManagedDaemonError` for a kind that has no such thing.
    """
    with _servers(os.getpid()).clean(kind) as fresh_one:
        yield fresh_one


@functools.cache
def _servers(pid: int) -> Servers:
    """Return those of a process; one that was forked has its own."""
    from domogik.daemons.throwaway.shared import Servers

    servers = Servers()
    atexit.register(servers.close)
    return servers
