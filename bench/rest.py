"""How fast is `/plugin/list` of 100 plugins beside a bare twisted.web resource of the same size?

    python -m bench.rest [--turns 5] [--seconds 2] [--connections 16]

Each turn starts both servers anew, in processes of their own, the first one alternating; the ratio
is taken inside the turn, its median is the result. The bare resource does for each request what a
first draft would do: `json.dumps` of 100 records, no access rules. The client is `wrk` where it is
installed, else a process of ours with as many kept connections; it shares the cores with the
server, so the CPU time per request is the steadier figure.
"""

from __future__ import annotations

import argparse
import json
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"
PATH = "/plugin/list/"
PLUGINS = 100
TARGET = 0.6


def serve(kind: str) -> None:
    """Serve one of the two, and say on which port."""
    from twisted.internet import reactor

    site = bare_site() if kind == "bare" else our_site()
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


def house():
    from domogik.components.model import State
    from domogik.testing.house import FakeHouse, plugin

    return FakeHouse().put(
        *(plugin(f"plugin{n:03}", technology="service", state=State.ALIVE) for n in range(PLUGINS))
    )


def our_site():
    from twisted.internet import reactor

    from domogik.api.access import Access, names_of_this_host
    from domogik.api.settings import RestSettings
    from domogik.api.site import make_site

    access = Access.from_settings(RestSettings(), "token", names_of_this_host())
    return make_site(house(), access, reactor=reactor, version="bench")


def bare_site():
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from domogik.api.plugin import plugin_list

    envelope = {
        "status": "OK",
        "code": 0,
        "description": "None",
        "plugin": plugin_list(house().components()),
    }

    class Bare(Resource):
        isLeaf = True

        def render_GET(self, request):
            request.setHeader(b"Content-Type", b"application/json")
            return json.dumps(envelope).encode()

    return Site(Bare())


def drive(port: int, seconds: float, connections: int) -> None:
    """The client process: prints requests per second."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(request)
        selector.register(connection, selectors.EVENT_READ, [0, None])
    done = 0
    begin = time.perf_counter()
    end = begin + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(0.1):
            state, data = key.data, key.fileobj.recv(262144)
            if not data:
                raise SystemExit("the server closed a connection")
            if state[1] is None:
                head, _, rest = data.partition(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"not the answer that is measured: {head[:80]!r}")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                state[1] = int(length)
                data = rest
            state[0] += len(data)
            if state[0] >= state[1]:
                done += 1
                state[:] = [0, None]
                key.fileobj.sendall(request)
    print(done / (time.perf_counter() - begin))


def rate(port: int, seconds: float, connections: int) -> float:
    if shutil.which("wrk"):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True
        ).stdout
        return float(said.partition("Requests/sec:")[2].split()[0])
    command = [sys.executable, "-m", "bench.rest", "--drive", str(port)]
    command += ["--seconds", str(seconds), "--connections", str(connections)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(kind: str, seconds: float, connections: int) -> tuple[float, float]:
    """(requests per second, milliseconds of the server's CPU per request)."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.rest", "--serve", kind], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        rate(port, 0.3, connections)
        process = psutil.Process(server.pid)
        before = process.cpu_times()
        begin = time.perf_counter()
        found = rate(port, seconds, connections)
        took = time.perf_counter() - begin
        after = process.cpu_times()
        cpu = after.user + after.system - before.user - before.system
        return found, 1000 * cpu / (found * min(seconds, took))
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--serve", choices=("bare", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--drive", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    if options.drive:
        drive(options.drive, options.seconds, options.connections)
        return 0
    rows = []
    for turn in range(options.turns):
        order = ("bare", "ours") if turn % 2 == 0 else ("ours", "bare")
        row = {kind: measure(kind, options.seconds, options.connections) for kind in order}
        rows.append(row)
        print(
            f"turn {turn + 1}: bare {row['bare'][0]:7.0f}/s {row['bare'][1]:.2f} ms   "
            f"ours {row['ours'][0]:7.0f}/s {row['ours'][1]:.2f} ms   "
            f"ratio {row['ours'][0] / row['bare'][0]:.2f}"
        )
    ratio = statistics.median(row["ours"][0] / row["bare"][0] for row in rows)
    verdict = "reached" if ratio >= TARGET else "missed"
    print(f"/plugin/list of {PLUGINS}: ratio {ratio:.2f} of bare ({TARGET} wanted: {verdict})")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rest.json").write_text(json.dumps({"ratio": ratio, "turns": rows}, indent=1) + "\n")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
