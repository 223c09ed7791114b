"""How fast is `/plugin/list` of 100 plugins beside a bare twisted.web resource of the same size?

    python -m bench rest

Both are in processes of their own, the house behind ours is a fake. The bare resource does for each
request what a first draft would do: `json.dumps` of 100 records, no access rules.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POST = str(Path(__file__).parent / "clients" / "post.lua")
PATH = "/plugin/list/"
PLUGINS = 100


@dataclass(frozen=True)
class Server:
    """A process that answers at `url`."""

    pid: int
    url: str


@contextmanager
def server(kind: str) -> Iterator[Server]:
    """`bare` or `ours`, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.rest", kind], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield Server(process.pid, f"http://127.0.0.1:{port}{PATH}")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def drive(url: str, seconds: float, connections: int, body: str = "") -> tuple[float, int]:
    """(requests a second, requests in all) of a client that does nothing else; `body` is posted.

    wrk where it is installed, else a client of ours.
    """
    environment = {**os.environ, "BENCH_BODY": body}
    wrk = shutil.which("wrk")
    command = [sys.executable, "-m", "bench.clients.kept", url, str(seconds), str(connections)]
    if wrk:
        length = f"-d{max(1, round(seconds))}s"
        command = [wrk, "-t1", f"-c{connections}", length, "--timeout", "10s", "-s", POST, url]
    said = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    ).stdout
    if not wrk:
        rate, count = json.loads(said)
        return rate, count
    if "Non-2xx" in said:
        raise RuntimeError(f"not the answers that are measured: {said}")
    rate, count = (
        re.search(r"Requests/sec:\s+([\d.]+)", said),
        re.search(r"(\d+) requests in", said),
    )
    assert rate is not None
    assert count is not None
    return float(rate[1]), int(count[1])


def serve(kind: str) -> None:
    """Serve one of the two, and say on which port."""
    from twisted.internet import reactor

    site = bare_site() if kind == "bare" else our_site()
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


def all_hosts():
    from domogik.components.model import State
    from domogik.testing.all_hosts import FakeAllHosts, plugin

    return FakeAllHosts().put(
        *(plugin(f"plugin{n:03}", technology="service", state=State.ALIVE) for n in range(PLUGINS))
    )


def our_site():
    from twisted.internet import reactor

    from domogik.api.access import Access, names_of_this_host
    from domogik.api.settings import RestSettings
    from domogik.api.site import make_site

    access = Access.from_settings(RestSettings(), "token", names_of_this_host())
    return make_site(all_hosts(), access, reactor=reactor, version="bench")


def bare_site():
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from domogik.api.rinor.plugin import plugin_list

    envelope = {
        "status": "OK",
        "code": 0,
        "description": "None",
        "plugin": plugin_list(all_hosts().components()),
    }

    class Bare(Resource):
        isLeaf = True

        def render_GET(self, request):
            request.setHeader(b"Content-Type", b"application/json")
            return json.dumps(envelope).encode()

    return Site(Bare())


if __name__ == "__main__":
    serve(sys.argv[1])
