"""How fast is a refresh of 1,000 packages behind 20 ms of latency, beside asking one by one?

    python -m bench refresh

Each turn asks a repository of the older generation (a list, then a descriptor and an icon for each
package) with `http.client` on one kept connection, which saves what comes and does nothing else,
and with the cache, which reads and judges every descriptor too, on 16 and on 32 connections; the
order alternates. The server is a process of its own and keeps nobody waiting but for the latency.
Then the same packages as one archive, and a repository that has not changed, whose requests are
counted.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONNECTIONS = (16, 32)
CASES = ("one", *map(str, CONNECTIONS))
DESCRIPTOR = """<package type="plugin">
 <id>{id}</id><technology>service</technology><description>Measures {id}</description>
 <changelog>0.2: faster</changelog><version>0.2</version><documentation>http://x/</documentation>
 <author>A. Author</author><author-email>a@example.org</author-email>
 <domogik-min-version>0.1.0</domogik-min-version>
 <configuration-keys>{keys}</configuration-keys>
 <files><file path="src/share/domogik/plugins/{id}.xml"/></files>
 <dependencies><dep type="python" id="psutil (&gt;=5)"/></dependencies><udev-rules/>
 <device_technology><id>service</id><name>Service</name><description>S</description>
 </device_technology>
 <device_types><device_type><id>{id}.x</id><name>X</name><description>D</description></device_type>
 </device_types>
 <device_feature_models>{features}</device_feature_models>
</package>
"""
KEY = """<key><order-id>{n}</order-id><name>{name}</name><type>string</type>
 <description>What it is for</description><default-value>1</default-value></key>"""
FEATURE = """<device_feature_model><id>{id}.{n}</id><name>F</name>
 <feature_type>sensor</feature_type>
 <device_type_id>{id}.x</device_type_id><value_type>number</value_type>
 <return_confirmation>0</return_confirmation><parameters>{{}}</parameters>
 <stat_key>k{n}</stat_key></device_feature_model>"""
ICON = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 16


def descriptor(id: str) -> str:
    keys = "".join(KEY.format(n=n, name=f"key-{n}" if n else "startup-plugin") for n in range(4))
    features = "".join(FEATURE.format(id=id, n=n) for n in range(3))
    return DESCRIPTOR.format(id=id, keys=keys, features=features)


def ids(packages: int) -> list[str]:
    return [f"p{n}" for n in range(packages)]


class Repository(asyncio.Protocol):
    """HTTP/1.1 on kept connections; each answer waits for the latency."""

    pages: dict[str, bytes] = {}
    latency = 0.02
    requests = 0

    def connection_made(self, transport):
        self.transport = transport
        self.waiting = b""

    def data_received(self, data):
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            head, _, self.waiting = self.waiting.partition(b"\r\n\r\n")
            asyncio.get_running_loop().call_later(self.latency, self.answer, head)

    def answer(self, head):
        if self.transport.is_closing():
            return
        path = head.split(b" ", 2)[1].decode()
        if path == "/requests":
            self.send(b"200 OK", str(Repository.requests).encode())
            return
        Repository.requests += 1
        body = self.pages.get(path)
        etag = b'"%d"' % (hash(body) & 0xFFFFFFFF)
        if body is None:
            self.send(b"404 Not Found", b"")
        elif b"If-None-Match: " + etag in head:
            self.send(b"304 Not Modified", b"", b"ETag: " + etag + b"\r\n")
        else:
            self.send(b"200 OK", body, b"ETag: " + etag + b"\r\n")

    def send(self, status, body, extra=b""):
        head = b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n" % (status, extra, len(body))
        self.transport.write(head + body)


def serve(packages: int, latency: float) -> None:
    names = ids(packages)
    lines = "".join(f"plugin/{id}/0.2\n" for id in names)
    Repository.latency = latency
    Repository.pages = {"/list/": f"Domogik Repository\n{lines}".encode()}
    for id in names:
        Repository.pages[f"/list/xml/plugin/{id}/0.2"] = descriptor(id).encode()
        Repository.pages[f"/list/icon/plugin/{id}/0.2"] = ICON
    Repository.pages |= archive_pages(names)

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Repository, "127.0.0.1", 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


def archive_pages(names: list[str]) -> dict[str, bytes]:
    from domogik.packages.descriptor.validate import validate

    from domogik.packages.descriptor.reference import PackageRef
    from domogik.packages.descriptor.xml_form import parse_xml
    from domogik.packages.repositories import catalogue

    packages = [validate(parse_xml(Path(f"{id}.xml"), descriptor(id).encode())) for id in names]
    items = [catalogue.item(package, "", "0" * 64, 4000) for package in packages]
    icons = {catalogue.image(PackageRef.of(package)): ICON for package in packages}
    status = catalogue.status("bench", "", "2026-01-01", 1)
    return {
        "/archive/repository.json": catalogue.as_text(status),
        "/archive/data": catalogue.data_archive(status, items, icons),
    }


def one_by_one(port: int, target: Path) -> float:
    """As Domogik did it, but for the connection, which it did not keep."""
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def get(path: str) -> bytes:
        connection.request("GET", path)
        return connection.getresponse().read()

    for line in get("/list/").decode().split("\n")[1:]:
        if line:
            name = line.replace("/", "-")
            (target / f"{name}.xml").write_bytes(get(f"/list/xml/{line}"))
            (target / f"{name}.png").write_bytes(get(f"/list/icon/{line}"))
    connection.close()
    return time.perf_counter() - begin


def refresh(port: int, name: str, connections: int, directory: Path, packages: int) -> None:
    """The client process: prints seconds, and CPU seconds, of a refresh."""
    from twisted.internet import task
    from twisted.internet.defer import Deferred
    from twisted.internet.threads import deferToThreadPool

    from domogik.packages.http.fetch import Fetcher
    from domogik.packages.http.response import FetchLimits
    from domogik.packages.repositories.cache import Cache
    from domogik.packages.sources import Source

    async def main(reactor):
        def in_thread(work, *args):
            return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

        await in_thread(int)
        fetcher = Fetcher(reactor, in_thread, FetchLimits(connections_per_host=connections))
        trust = directory.parent / "trust"
        cache = Cache(directory, fetcher, in_thread, time.time, trust)
        begin, cpu = time.perf_counter(), time.process_time()
        report = await cache.refresh([Source(500, f"http://127.0.0.1:{port}/{name}")])
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        await fetcher.close()
        if not report.ok or report.sources[0].offered != packages:
            raise SystemExit(f"not what is measured: {report}")
        print(took, cpu)

    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


def measured(port: int, name: str, connections: int, home: Path, packages: int) -> float:
    command = [sys.executable, "-m", "bench.refresh", "--client", f"{port},{name},{connections}"]
    command += ["--directory", str(home), "--packages", str(packages)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def requests(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/requests")
    said = int(connection.getresponse().read())
    connection.close()
    return said


def turn(port: int, number: int, packages: int) -> dict[str, float]:
    """Seconds of each case, and how many requests it takes to see that nothing changed."""
    row: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        for case in CASES if number % 2 == 0 else CASES[::-1]:
            target = home / case
            target.mkdir()
            if case == "one":
                row[case] = one_by_one(port, target)
            else:
                row[case] = measured(port, "list", int(case), target, packages)
        before = requests(port)
        measured(port, "list", 16, home / "16", packages)
        row["unchanged"] = requests(port) - before
        row["archive"] = measured(port, "archive", 16, home / "archive", packages)
    return row


@contextmanager
def repository(packages: int, latency: float) -> Iterator[int]:
    """Its port, until the end of the block."""
    command = [sys.executable, "-m", "bench.refresh", "--serve"]
    command += ["--packages", str(packages), "--latency", str(latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="the processes of `python -m bench refresh`")
    parser.add_argument("--packages", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--client")
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    if options.serve:
        serve(options.packages, options.latency)
    else:
        port, name, connections = options.client.split(",")
        refresh(int(port), name, int(connections), options.directory, options.packages)


if __name__ == "__main__":
    main()
