"""Archives over real connections: up to the local repository, down to other hosts."""

from __future__ import annotations

import hashlib
import http.client
import os
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.api.access import Access, names_of_this_host
from domogik.api.settings import RestSettings
from domogik.api.site import listen, make_site
from domogik.packages.descriptor.reference import PackageRef
from domogik.testing.all_hosts import FakeAllHosts
from domogik.testing.packages import FakePackages, offer

pytestmark = pytest.mark.integration
TOKEN = {"Authorization": "Bearer the-token"}
ARCHIVE = b"\x1f\x8b plugin-demo-1.0 " + os.urandom(1000) * 5000
DEMO = PackageRef("plugin", "demo", "1.0")


class ArchivesOnARealPort(TestCase):
    async def setUp(self) -> None:
        self.uploads = Path(self.mktemp())
        self.uploads.mkdir()
        all_hosts = FakeAllHosts()
        self.packages = FakePackages(events=all_hosts.events, queue=all_hosts.queue)
        settings = RestSettings(port=0)
        access = Access.from_settings(settings, "the-token", names_of_this_host())
        self.site = make_site(
            all_hosts,
            access,
            reactor=reactor,
            version="1",
            packages=self.packages,
            uploads=self.uploads,
        )
        self.port = await listen(reactor, self.site, settings)

    async def tearDown(self) -> None:
        await maybeDeferred(self.port.stopListening)
        while self.site.channels:
            await deferLater(reactor, 0.01)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port.getHost().port, timeout=20)

    def ask(self, method: str, path: str, body=None, headers=None) -> tuple[int, bytes]:
        """Blocks: called in a thread."""
        connection = self.connection()
        try:
            headers = headers or {}
            chunked = "Transfer-Encoding" in headers
            connection.request(method, path, body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def serve(self) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(ARCHIVE)
        self.packages.offer(offer("demo"))
        self.packages.archives[DEMO] = path
        return path

    async def test_an_archive_goes_up_to_disk_and_is_installed(self) -> None:
        path = "/package/install_from_path/vm?filename=plugin-demo-1.0.tgz"
        status, body = await deferToThread(self.ask, "PUT", path, ARCHIVE, TOKEN)
        self.assertEqual((status, b'"OK"' in body), (200, True))
        self.assertEqual(self.packages.uploaded, [ARCHIVE])
        self.assertEqual(self.packages.done, [("install", "vm", "plugin-demo 1.0")])
        self.assertEqual(list(self.uploads.iterdir()), [])

    async def test_an_archive_in_portions_of_unknown_number_goes_up_too(self) -> None:
        portions = (ARCHIVE[first : first + 70_000] for first in range(0, len(ARCHIVE), 70_000))
        headers = {**TOKEN, "Transfer-Encoding": "chunked"}
        status, _ = await deferToThread(
            self.ask, "POST", "/api/v1/packages/upload", portions, headers
        )
        self.assertEqual(status, 201)
        self.assertEqual(self.packages.uploaded, [ARCHIVE])

    async def test_four_clients_get_the_whole_archive_while_others_are_answered(self) -> None:
        self.serve()
        path = "/package/download/plugin/demo/1.0"
        *archives, other = await gatherResults(
            [deferToThread(self.ask, "GET", path) for _ in range(4)]
            + [deferToThread(self.ask, "GET", "/package/get-mode")]
        )
        wanted = hashlib.sha256(ARCHIVE).hexdigest()
        for status, body in archives:
            self.assertEqual((status, hashlib.sha256(body).hexdigest()), (200, wanted))
        self.assertEqual(other[0], 200)

    async def test_a_download_that_broke_off_goes_on(self) -> None:
        self.serve()
        path = "/package/download/plugin/demo/1.0"

        def in_two_parts() -> bytes:
            connection = self.connection()
            connection.request("GET", path)
            answer = connection.getresponse()
            first = answer.read(1_000_000)
            etag = answer.getheader("ETag") or ""
            connection.close()
            headers = {"Range": f"bytes={len(first)}-", "If-Range": etag}
            status, rest = self.ask("GET", path, None, headers)
            self.assertEqual(status, 206)
            return first + rest

        self.assertEqual(await deferToThread(in_two_parts), ARCHIVE)

    async def test_a_file_that_became_shorter_is_not_taken_for_whole(self) -> None:
        path = self.serve()

        def shorter() -> None:
            connection = self.connection()
            connection.request("GET", "/package/download/plugin/demo/1.0")
            answer = connection.getresponse()
            os.truncate(path, 10)
            with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
                answer.read()
            connection.close()

        await deferToThread(shorter)

    async def test_who_has_the_archive_is_sent_nothing(self) -> None:
        self.serve()

        def twice() -> tuple[int, bytes]:
            connection = self.connection()
            connection.request("GET", "/package/download/plugin/demo/1.0")
            answer = connection.getresponse()
            answer.read()
            headers = {"If-None-Match": answer.getheader("ETag") or ""}
            # the same connection: a 304 that is not well-formed would disturb what follows
            connection.request("GET", "/package/download/plugin/demo/1.0", headers=headers)
            again = connection.getresponse()
            body = again.read()
            connection.request("GET", "/package/get-mode")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
            return again.status, body

        self.assertEqual(await deferToThread(twice), (304, b""))
