"""Archives of packages: fetched once, checked, kept within bounds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from webserver import Server, descriptor, stopped

from domogik.packages.archives import Archives
from domogik.packages.fetch import Fetcher, FetchFailed
from domogik.packages.index import Offer
from domogik.packages.judge import judge
from domogik.packages.sources import Source
from domogik.packages.xml_form import parse_xml

pytestmark = pytest.mark.integration
CONTENT = b"an archive" * 100


class ArchivesTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.server = Server()
        self.fetcher = Fetcher(reactor, deferToThread)
        self.directory = Path(self.mktemp()).absolute()
        self.archives = Archives(self.directory, self.fetcher, deferToThread, 2500)
        self.addCleanup(lambda: stopped(self.server))
        self.addCleanup(self.fetcher.close)

    def offer(self, id: str = "foo", content: bytes = CONTENT, **other: object) -> Offer:
        self.server.root.pages[f"/{id}"] = content
        package = judge(parse_xml(Path("x.xml"), descriptor(id)))
        source = Source(500, self.server.url)
        return Offer(package, source, f"{self.server.url}/{id}", **other)

    async def test_an_archive_is_fetched_once(self) -> None:
        offer = self.offer()
        work = [Deferred.fromCoroutine(self.archives.get(offer)) for _ in range(3)]
        paths = {await one for one in work}
        assert len(paths) == 1
        assert paths.pop().read_bytes() == CONTENT
        assert self.server.root.asked == ["/foo"]

    async def test_one_that_is_not_what_the_repository_says_is_refused(self) -> None:
        offer = self.offer(sha256="0" * 64)
        with pytest.raises(FetchFailed, match="digest"):
            await self.archives.get(offer)
        assert list(self.directory.iterdir()) == []

    async def test_one_that_was_damaged_here_is_fetched_again(self) -> None:
        offer = self.offer(sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))
        path = await self.archives.get(offer)
        path.write_bytes(b"damaged")
        assert (await self.archives.get(offer)).read_bytes() == CONTENT
        await self.archives.forget(offer)
        assert not path.exists()

    async def test_those_not_wanted_for_longest_make_room(self) -> None:
        paths = []
        for age, id in ((30, "old"), (20, "older"), (10, "new")):
            paths.append(await self.archives.get(self.offer(id)))
            os.utime(paths[-1], (1_000_000 - age, 1_000_000 - age))
        assert [path.exists() for path in paths] == [False, True, True]
