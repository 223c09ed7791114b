"""A manager without processes and network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import execute

from domogik.daemons import redis
from domogik.daemons.core.tools import DaemonTools
from domogik.testing.local_host import FakeManager
from domogik.testing.servers import FakeServer


@pytest.fixture
def manager(tmp_path: Path) -> FakeManager:
    """Two plugins are installed: `clock`, which is enabled, and `lamp`."""
    made = FakeManager(tmp_path / "home")
    made.install("clock").install("lamp")
    return made.configure("[plugins]\nclock = enabled\n").begin()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeServer]]:
    """`kind = redis` is a server that exists only here, and what blocks is called at once."""
    monkeypatch.setattr(redis, "RedisDaemon", FakeServer)
    monkeypatch.setattr(DaemonTools, "in_thread", lambda tools, *call: execute(*call))
    FakeServer.made.clear()
    yield FakeServer
    FakeServer.made.clear()
