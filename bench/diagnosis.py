"""How long does it take to look at 200 components, and what does the reactor do meanwhile?

    python -m bench diagnosis

The server is a process of its own: REST over the examiners of a manager, 150 plugins whose
descriptors and needs lie on the disk, 45 external members, 4 repositories and the host. What a
client waits for is `POST /api/v1/diagnosis`. A LoopingCall ticks every millisecond: by how much a
tick is late is what anybody else would have waited, for the reactor or for a thread to let go.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGINS, MEMBERS, REPOSITORIES = 150, 45, 4
COMPONENTS = PLUGINS + MEMBERS + REPOSITORIES + 1
TICK = 0.001
IDLE = 0.3


@dataclass(frozen=True)
class Server:
    """A process that answers on `port`, and on `meter` about itself."""

    port: int
    meter: int

    def diagnose(self) -> tuple[float, int]:
        """Seconds until the answer was here, and how many checks were in it."""
        began = time.perf_counter()
        body = _ask(self.port, "POST", "/api/v1/diagnosis")
        return time.perf_counter() - began, len(json.loads(body)["checks"])

    def idle(self) -> None:
        """As long as a diagnosis takes, and nothing to do."""
        time.sleep(IDLE)

    def blocks(self) -> tuple[float, float]:
        """Milliseconds since the last time: (the latest tick, the longest turn of the reactor)."""
        late, turn = json.loads(_ask(self.meter, "GET", "/blocks"))
        return 1000 * late, 1000 * turn


def _ask(port: int, method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Authorization": "Bearer token"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"not the answer that is measured: {answer.status} {body[:200]!r}")
    return body


@contextmanager
def server() -> Iterator[Server]:
    """Until the end of the block."""
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.diagnosis", directory],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        try:
            port, meter = map(int, process.stdout.readline().split())
            yield Server(port, meter)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


class Ticks:
    """By how much the latest of them was late, and how long a turn worked, in seconds.

    The first is what others wait, and has in it what other programs took of the processors; the
    second is the reactor's own doing: what its thread computed between two polls.
    """

    def __init__(self, reactor):
        from twisted.internet.task import LoopingCall

        self._poller, reactor._poller = reactor._poller, self
        self._worked = time.thread_time()
        self._last = time.perf_counter()
        self.latest = self.longest = 0.0
        LoopingCall(self._tick).start(TICK)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.latest = max(self.latest, now - self._last - TICK)
        self._last = now

    def poll(self, *args):
        self.longest = max(self.longest, time.thread_time() - self._worked)
        try:
            return self._poller.poll(*args)
        finally:
            self._worked = time.thread_time()

    def take(self) -> tuple[float, float]:
        taken = self.latest, self.longest
        self.latest = self.longest = 0.0
        return taken

    def __getattr__(self, name):
        return getattr(self._poller, name)


def serve(directory: Path) -> None:
    """Serve both, and say on which ports."""
    from twisted.internet import reactor
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from domogik.api.access import Access, names_of_this_host
    from domogik.api.settings import RestSettings
    from domogik.api.site import make_site
    from domogik.testing.all_hosts import FakeAllHosts

    all_hosts = FakeAllHosts()
    all_hosts.health = _health(reactor, all_hosts.events, directory)
    access = Access.from_settings(RestSettings(), "token", names_of_this_host())
    site = make_site(all_hosts, access, reactor=reactor, version="bench")
    ticks = Ticks(reactor)

    class Blocks(Resource):
        isLeaf = True

        def render_GET(self, request):
            return json.dumps(ticks.take()).encode()

    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    meter = reactor.listenTCP(0, Site(Blocks()), interface="127.0.0.1")
    print(port.getHost().port, meter.getHost().port, flush=True)
    reactor.run()


def _health(reactor, events, directory: Path):
    """The examiners of a manager, in threads; nobody runs, which is nobody's fault."""
    from domogik.app.parts.foundation import in_thread
    from domogik.components.model import Kind
    from domogik.config.home import Home
    from domogik.manager.health.centre import Health
    from domogik.manager.jobs import Jobs
    from domogik.manager.kinds.checkers import ExternalChecker, RepositoryChecker
    from domogik.manager.kinds.host_checks import HostChecker
    from domogik.manager.kinds.plugin_checks import PluginChecker
    from domogik.manager.packages.interfaces import RepositoryInfo
    from domogik.manager.registry import Kinds
    from domogik.testing.local_host import checked_kind

    thread = in_thread(reactor)
    manager = _manager(directory / "manager")
    home = Home(directory / "home")
    home.create()
    host, components = manager.local_host.host, manager.components
    health = Health(
        clock=reactor,
        wall_clock=time.time,
        events=events,
        jobs=Jobs(events, time.time),
        kinds=Kinds(host),
        state=home.run / "health.json",
        in_thread=thread,
    )
    repositories = [
        RepositoryInfo(f"http://packages{number}.localhost", 10, time.time(), 100)
        for number in range(REPOSITORIES)
    ]

    async def refresh() -> None:
        """Nobody asks for it here."""

    checkers = {
        Kind.PLUGIN: PluginChecker(
            plugins=manager.plugins,
            components=components,
            data=home.plugin_data,
            wall_clock=time.time,
            in_thread=thread,
        ),
        Kind.EXTERNAL: ExternalChecker(manager.externals, components),
        Kind.HOST: HostChecker(
            host=host,
            home=home,
            directories=(),
            archives=home.cache,
            hub_problem=lambda: "",
            last_known=lambda: 0.0,
            broken_packages=lambda: (),
            wall_clock=time.time,
            in_thread=thread,
        ),
        Kind.REPOSITORY: RepositoryChecker(lambda: repositories, refresh, time.time),
    }
    for kind, checker in checkers.items():
        health.kinds.register(checked_kind(kind, checker, host))
    assert len(health.subjects()) == COMPONENTS, len(health.subjects())
    return health


def _manager(directory: Path):
    from domogik.testing.local_host import FakeManager

    manager = FakeManager(directory)
    names = [f"p{number}" for number in range(PLUGINS)]
    for name in names:
        manager.install(name)
        descriptor = manager.descriptor(name)
        needs = "".join(
            f'<dep type="python" id="{need}"/>'
            for need in ("attrs (&gt;=20)", "twisted", f"absent{name}")
        )
        text = descriptor.read_text(encoding="utf-8")
        descriptor.write_text(
            text.replace("<dependencies/>", f"<dependencies>{needs}</dependencies>"),
            encoding="utf-8",
        )
    manager.configure("[plugins]\n" + "".join(f"{name} = enabled\n" for name in names)).begin()
    for number in range(MEMBERS):
        manager.member(f"maker-device.member{number}")
    return manager


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
