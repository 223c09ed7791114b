"""How long does listing 2,000 available packages keep the reactor, beside a bare twisted.web?

    python -m bench listing

The server is a process of its own: the REST room over a fake house, and 2,000 offers. Its poller is
watched: what lies between the end of one poll and the begin of the next is time in which nobody
else is served. The bare resource makes and dumps the same list for each request.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = 2000
#: seconds; encoding 2,000 packages takes a tenth of one
SETTLED = 1.0
PATHS = {"RINOR": "/package/available/vm/plugin", "v1": "/api/v1/packages/offers"}


@dataclass(frozen=True)
class Server:
    """A process that answers on `port`, and on `meter` about itself."""

    port: int
    meter: int

    def get(self, path: str) -> bytes:
        """The answer of the server."""
        return _get(self.port, path)

    def change(self) -> None:
        """Have the repositories offer 2,000 other packages."""
        _get(self.meter, "/change")

    def blocks(self) -> tuple[float, float]:
        """Milliseconds (longest at a time, all) that it worked since the last time."""
        longest, total = json.loads(_get(self.meter, "/blocks"))
        return 1000 * longest, 1000 * total

    def settle(self) -> None:
        """Leave it the time to do what it does by itself."""
        time.sleep(SETTLED)


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"not the answer that is measured: {answer.status} {body[:200]!r}")
    return body


@contextmanager
def server(kind: str) -> Iterator[Server]:
    """`bare` or `ours`, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.listing", kind], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        port, meter = map(int, process.stdout.readline().split())
        yield Server(port, meter)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Meter:
    """A poller that knows how long nobody polled."""

    def __init__(self, poller):
        self._poller = poller
        self._since = time.perf_counter()
        self.longest = self.total = 0.0

    def poll(self, *args):
        took = time.perf_counter() - self._since
        self.longest, self.total = max(self.longest, took), self.total + took
        try:
            return self._poller.poll(*args)
        finally:
            self._since = time.perf_counter()

    def take(self) -> tuple[float, float]:
        """(longest, total), and begin anew."""
        taken = self.longest, self.total
        self.longest = self.total = 0.0
        return taken

    def __getattr__(self, name):
        return getattr(self._poller, name)


def offers(generation: int):
    from domogik.packages.descriptor.package import Dependency
    from domogik.testing.packages import offer

    changelog = "\n".join(f"0.{n}: something is better than it was" for n in range(5))
    return [
        offer(
            f"p{number}",
            f"{generation}.0",
            changelog=changelog,
            documentation=f"http://docs.example/p{number}",
            dependencies=(Dependency("python", "psutil (>=5)"),),
            sha256="0" * 64,
            size=12345,
        )
        for number in range(PACKAGES)
    ]


def serve(kind: str) -> None:
    """Serve one of the two and its meter, and say on which ports."""
    from twisted.internet import reactor
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from domogik.packages.repositories.index import Index
    from domogik.testing.all_hosts import FakeAllHosts
    from domogik.testing.packages import FakePackages

    all_hosts = FakeAllHosts()
    packages = FakePackages(events=all_hosts.events, queue=all_hosts.queue)
    meter = reactor._poller = Meter(reactor._poller)
    changes = 0

    class Control(Resource):
        isLeaf = True

        def render_GET(self, request):
            nonlocal changes
            if request.path == b"/blocks":
                return json.dumps(meter.take()).encode()
            changes += 1
            packages._index = Index(offers(changes))
            reactor.callLater(0.05, begin)
            return b"{}"

    def begin():
        meter.take()
        all_hosts.events.publish("repositories.changed")

    site = bare_site(packages) if kind == "bare" else our_site(all_hosts, packages)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    control = reactor.listenTCP(0, Site(Control()), interface="127.0.0.1")
    print(port.getHost().port, control.getHost().port, flush=True)
    reactor.run()


def our_site(all_hosts, packages):
    from twisted.internet import reactor

    from domogik.api.access import Access, names_of_this_host
    from domogik.api.settings import RestSettings
    from domogik.api.site import make_site

    access = Access.from_settings(RestSettings(), "token", names_of_this_host())
    return make_site(all_hosts, access, reactor=reactor, version="bench", packages=packages)


def bare_site(packages):
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from domogik.api.rinor.package_items import offer_item

    class Bare(Resource):
        isLeaf = True

        def render_GET(self, request):
            items = [offer_item(offer) for offer in packages.available("vm", "plugin")]
            request.setHeader(b"Content-Type", b"application/json")
            return json.dumps({"status": "OK", "code": 0, "package": items}).encode()

    return Site(Bare())


if __name__ == "__main__":
    serve(sys.argv[1])
