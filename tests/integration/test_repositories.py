"""Repositories of both generations, whole and broken: what a refresh leaves behind."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import File
from webserver import PNG, Server, descriptor, listed, redirect, status, stopped

from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.descriptor.validation import validate
from domogik.packages.descriptor.xml_form import parse_xml
from domogik.packages.http.fetch import Fetcher
from domogik.packages.http.response import FetchLimits
from domogik.packages.publish.build import create
from domogik.packages.publish.repository import build_repository
from domogik.packages.repositories import catalogue
from domogik.packages.repositories.cache import (
    Cache,
    CacheFailed,
    RefreshProgress,
    Report,
    SourceReport,
)
from domogik.packages.repositories.index import Index
from domogik.packages.repositories.manifest import SNAPSHOTS
from domogik.packages.repositories.recognition import MAXIMUM_PACKAGES
from domogik.packages.sources import Source, uploads_source

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).parents[2] / "examples"
BOMB = b"""<?xml version="1.0"?><!DOCTYPE package [<!ENTITY a "aaaaaaaaaa">
%s]><package type="plugin"><id>&i;</id></package>""" % b"\n".join(
    b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % ((n + 1, *([n] * 8)))
    for n in range(ord("a"), ord("i"))
)
EXTERNAL = b"""<!DOCTYPE package [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<package type="plugin"><id>evil</id><description>&x;</description></package>"""


def archived(*ids: str, count: int = 1, **members: bytes) -> tuple[bytes, bytes]:
    """Status and archive of a repository of the newer generation."""
    packages = [validate(parse_xml(Path("x.xml"), descriptor(id))) for id in ids]
    items = [catalogue.item(one, "", "ab" * 32, 1234) for one in packages]
    icons = {catalogue.image(PackageRef.of(one)): PNG for one in packages}
    told = catalogue.status("name", "", "2026-01-01", count)
    icons |= members
    return catalogue.as_text(told), catalogue.data_archive(told, items, icons)


def tgz(**members: bytes) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return output.getvalue()


class Case(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.server = Server()
        self.pages = self.server.root.pages
        self.fetcher = Fetcher(reactor, deferToThread, FetchLimits(first_pause_s=0.01))
        self.home = Path(self.mktemp()).absolute()
        self.directory = self.home / "cache"
        self.time = 1000.0
        self.cache = Cache(
            self.directory, self.fetcher, deferToThread, lambda: self.time, self.home / "trust"
        )
        self.addCleanup(lambda: stopped(self.server))
        self.addCleanup(self.fetcher.close)

    def source(self, name: str = "stable", priority: int = 500) -> Source:
        return Source(priority, f"{self.server.url}/{name}")

    async def refresh(self, *sources: Source) -> SourceReport:
        """The report of the first source."""
        return (await self.report(*sources)).sources[0]

    async def report(self, *sources: Source) -> Report:
        self.server.root.asked.clear()
        self.time += 1
        return await self.cache.refresh(sources or [self.source()])

    @property
    def asked(self) -> list[str]:
        return self.server.root.asked

    async def offered(self) -> list[str]:
        return [one.ref.file_stem for one in (await self.cache.load()).offers]

    def serve_archive(self, name: str, status_page: bytes, data: bytes) -> None:
        self.pages[f"/{name}/repository.json"] = status_page
        self.pages[f"/{name}/data"] = data


class OlderGeneration(Case):
    async def test_packages_are_offered_with_descriptor_icon_and_address(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"), ("bar", "0.1a0.dev20120122"))
        report = await self.refresh()
        assert report.ok
        assert report.offered == 2
        index = await self.cache.load()
        offer = index.find("plugin", "foo")
        assert offer.package.author_email == "a@example.org"
        assert offer.url == f"{self.server.url}/stable/download/plugin/foo/1.0"
        assert offer.icon.read_bytes() == PNG
        assert index.as_of == self.time

    async def test_what_has_not_changed_costs_one_request(self) -> None:
        listed(self.server, "stable", *((f"p{n}", "1.0") for n in range(20)))
        await self.refresh()
        report = await self.refresh()
        assert report.unchanged
        assert report.offered == 20
        assert self.asked == ["/stable/"]
        assert (await self.cache.load()).as_of == self.time

    async def test_a_server_without_validators_is_asked_for_the_list_only(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        page = self.pages["/stable/"]
        self.pages["/stable/"] = lambda request: page
        await self.refresh()
        assert (await self.refresh()).unchanged
        assert self.asked == ["/stable/"]

    async def test_of_a_longer_list_only_what_is_new_is_asked_for(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"), ("bar", "1.0"))
        await self.refresh()
        listed(self.server, "stable", ("foo", "1.0"), ("new", "1.0"))
        await self.refresh()
        assert await self.offered() == ["plugin-foo-1.0", "plugin-new-1.0"]
        assert [path for path in self.asked if "/xml/" in path] == ["/stable/xml/plugin/new/1.0"]
        assert (await self.cache.load()).find("plugin", "foo").icon.read_bytes() == PNG

    async def test_an_error_page_is_no_icon(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"), ("bar", "1.0"), ("big", "1.0"))
        del self.pages["/stable/icon/plugin/foo/1.0"]
        self.pages["/stable/icon/plugin/bar/1.0"] = b"<html>200, but no icon</html>"
        self.pages["/stable/icon/plugin/big/1.0"] = PNG * 100_000
        report = await self.refresh()
        assert report.offered == 3
        assert all(one.icon is None for one in (await self.cache.load()).offers)

    async def test_a_descriptor_that_is_wrong_is_left_out_and_told(self) -> None:
        wrong = {
            "bomb": BOMB,
            "ext": EXTERNAL,
            "enc": b'<?xml version="1.0" encoding="utf-16"?><package/>',
            "bytes": descriptor("bytes").replace(b"something", b"\xff\xfe"),
            "none": b"",
            "html": b"<html>busy</html>",
            "path": descriptor("../../x"),
            "other": descriptor("another"),
            "release": descriptor("release", "../1"),
            "old": descriptor("old", "0.9"),
            "type": descriptor("type", type="external"),
            "huge": descriptor("huge", description="x" * 2_000_000),
        }
        listed(self.server, "stable", ("foo", "1.0"), *((id, "1.0") for id in wrong))
        for id, content in wrong.items():
            self.pages[f"/stable/xml/plugin/{id}/1.0"] = content
        report = await self.refresh()
        assert report.ok
        assert await self.offered() == ["plugin-foo-1.0"]
        for id in wrong:
            assert any(f"/xml/plugin/{id}/1.0" in problem for problem in report.problems), id
        assert not [path for path in self.home.rglob("*") if path.name.startswith("x")]

    async def test_a_line_that_is_a_path_is_never_asked_for(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        self.pages["/stable/"] += (
            b"../../x\nplugin/../1\nplugin/foo\nplugin/x/1/2\n\xff/\xff/\xff\n"
        )
        report = await self.refresh()
        assert await self.offered() == ["plugin-foo-1.0"]
        assert len(report.problems) == 5
        assert not [path for path in self.asked if ".." in path]

    async def test_a_list_without_end_is_cut(self) -> None:
        lines = b"".join(b"plugin/foo/%d\n" % n for n in range(MAXIMUM_PACKAGES + 10))
        self.pages["/stable/"] = b"Domogik Repository\n" + lines
        self.pages["/stable/xml/plugin/foo/0"] = status(503)
        report = await self.refresh()
        assert not report.ok
        self.pages["/stable/"] = b"Domogik Repository\n" + b"plugin/foo/1\n" * 500_000
        assert "at most" in (await self.refresh()).error

    async def test_a_package_that_is_not_there_yet_is_asked_for_again(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"), ("late", "1.0"))
        del self.pages["/stable/xml/plugin/late/1.0"]
        report = await self.refresh()
        assert report.ok
        assert "status 404" in report.problems[0]
        self.pages["/stable/xml/plugin/late/1.0"] = descriptor("late")
        await self.refresh()
        assert await self.offered() == ["plugin-foo-1.0", "plugin-late-1.0"]

    async def test_the_list_may_be_behind_a_redirect_of_the_same_host(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        self.pages["/old"] = self.pages["/old/"] = redirect("/stable/", 301)
        assert (await self.refresh(self.source("old"))).ok
        assert await self.offered() == ["plugin-foo-1.0"]

    async def test_progress_is_told(self) -> None:
        listed(self.server, "stable", *((f"p{n}", "1.0") for n in range(100)))
        seen: list[RefreshProgress] = []
        await self.cache.refresh([self.source()], seen.append)
        assert seen[0] == RefreshProgress(self.source().url, 0, 100)
        assert seen[-1] == RefreshProgress(self.source().url, 100, 100)
        assert len(seen) > 2


class NewerGeneration(Case):
    async def test_one_archive_has_everything(self) -> None:
        self.serve_archive("stable", *archived("foo", "bar"))
        report = await self.refresh()
        assert (report.error, report.problems, report.offered) == ("", (), 2)
        offer = (await self.cache.load()).find("plugin", "foo")
        assert (offer.sha256, offer.size) == ("ab" * 32, 1234)
        assert offer.url == f"{self.server.url}/stable/download/plugin/foo/1.0"
        assert offer.icon.read_bytes() == PNG
        assert offer.package.technology == "service"
        # the second: is it signed?
        assert self.asked == [
            "/stable/repository.json",
            "/stable/metadata/1.root.json",
            "/stable/data",
        ]

    async def test_what_has_not_changed_costs_one_request(self) -> None:
        self.serve_archive("stable", *archived("foo"))
        await self.refresh()
        assert (await self.refresh()).unchanged
        assert self.asked == ["/stable/repository.json"]

    async def test_a_server_that_answers_at_its_address_without_a_slash(self) -> None:
        self.pages["/drm"], self.pages["/drm/data"] = archived("foo")
        assert (await self.refresh(self.source("drm"))).offered == 1
        await self.refresh(self.source("drm"))
        assert self.asked == ["/drm"]

    async def test_the_list_of_old_servers_is_understood_as_it_is(self) -> None:
        item = {
            "type": "plugin",
            "id": "foo",
            "version": "0.3",
            "dependencies": None,
            "domogik_min_version": "0.2.0",
            "changelog": "better \ud83d\ude00",
            "archive_url": "http://elsewhere.example.org/foo.tgz",
            "author": 5,
        }
        info = json.dumps({"packages": [item]}).encode()
        self.serve_archive("stable", b'{"count": "7"}', tgz(**{"repo.info": info}))
        assert (await self.refresh()).ok
        offer = (await self.cache.load()).find("plugin", "foo")
        assert offer.package.dependencies == ()
        assert offer.package.author == "5"
        assert (offer.sha256, offer.size, offer.icon) == (None, None, None)
        # an archive that lies on another host is not fetched from there
        assert offer.url == f"{self.server.url}/stable/download/plugin/foo/0.3"

    async def test_items_that_are_wrong_are_left_out(self) -> None:
        items = [
            {"type": "plugin", "id": "foo", "version": "1.0"},
            {"type": "plugin", "id": "../x", "version": "1.0"},
            {"type": "plugin", "id": "foo", "version": "../../1"},
            {"type": ["plugin"], "id": "foo", "version": "1.0"},
            {"id": "foo"},
            "text",
            None,
        ]
        info = json.dumps({"packages": items}).encode()
        self.serve_archive("stable", b'{"count": 1}', tgz(**{"repo.info": info}))
        report = await self.refresh()
        assert await self.offered() == ["plugin-foo-1.0"]
        assert len(report.problems) == 6

    async def test_nothing_of_an_archive_lands_outside(self) -> None:
        good = tgz(
            **{
                "repo.info": json.dumps({"packages": []}).encode(),
                "../../../escaped": PNG,
                "/tmp/escaped": PNG,
                "images/../../escaped.png": PNG,
                "images/icon_plugin_..%2f_1.png": PNG,
            }
        )
        self.serve_archive("stable", b'{"count": 1}', good)
        assert (await self.refresh()).ok
        assert not [path for path in self.home.rglob("*") if "escaped" in path.name]
        assert not list(self.home.rglob("*.png"))

    async def test_broken_archives_are_told_and_the_old_cache_stays(self) -> None:
        self.serve_archive("stable", *archived("foo"))
        await self.refresh()
        _, data = archived("foo", "bar")
        broken = {
            "truncated": data[: len(data) // 2],
            "zeros": gzip.compress(bytes(300_000_000), 1),
            "nothing": b"",
            "no gzip": b"<html>busy</html>",
            "no list": tgz(other=b""),
            "no json": tgz(**{"repo.info": b"{"}),
            "no packages": tgz(**{"repo.info": b"{}"}),
            "deep": tgz(**{"repo.info": b"[" * 1_000_000}),
            "other encoding": tgz(**{"repo.info": b'{"packages": "\xff"}'}),
        }
        for number, content in enumerate(broken.values(), 2):
            self.serve_archive("stable", archived("foo", count=number)[0], content)
            report = await self.refresh()
            assert f"{self.server.url}/stable/data" in report.error
            assert await self.offered() == ["plugin-foo-1.0"]
            assert report.as_of == 1001

    async def test_an_archive_of_another_moment_is_asked_for_again(self) -> None:
        self.pages["/stable/repository.json"] = archived("foo", count=1)[0]
        self.pages["/stable/data"] = archived("foo", "bar", count=2)[1]
        await self.refresh()
        report = await self.refresh()
        assert not report.unchanged
        assert "/stable/data" in self.asked

    async def test_an_older_repository_that_becomes_a_newer_one_is_noticed(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        await self.refresh()
        listed(self.server, "stable", ("foo", "1.0"), ("bar", "1.0"))
        self.serve_archive("stable", *archived("foo", "bar"))
        await self.refresh()
        assert [path for path in self.asked if "/metadata/" not in path] == [
            "/stable/",
            "/stable/repository.json",
            "/stable/data",
        ]


class Several(Case):
    async def test_a_dead_repository_stops_no_other_and_its_offers_stay(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        other = Server()
        listed(other, "x", ("bar", "1.0"))
        dead = Source(900, f"{other.url}/x")
        await self.report(dead, self.source())
        before = self.time
        await stopped(other)
        await self.fetcher.close()
        listed(self.server, "stable", ("foo", "1.0"), ("new", "1.0"))
        report = await self.report(dead, self.source())
        assert not report.ok
        assert other.url in report.sources[0].error
        assert report.sources[0].as_of == before
        assert report.sources[1].ok
        assert await self.offered() == ["plugin-bar-1.0", "plugin-foo-1.0", "plugin-new-1.0"]
        assert (await self.cache.load()).as_of == before
        (first, second) = await self.cache.records()
        assert first.error == report.sources[0].error
        assert second.error == ""

    async def test_one_that_fails_half_way_keeps_its_old_offers(self) -> None:
        listed(self.server, "stable", *((f"p{n}", "1.0") for n in range(30)))
        await self.refresh()
        old = await self.offered()
        listed(self.server, "stable", *((f"p{n}", "2.0") for n in range(30)))
        self.pages["/stable/xml/plugin/p20/2.0"] = status(503)
        report = await self.refresh()
        assert "/stable/xml/plugin/p20/2.0: the answer is status 503" in report.error
        assert await self.offered() == old

    async def test_the_same_release_twice_is_offered_once_by_the_higher_priority(self) -> None:
        listed(self.server, "low", ("foo", "1.0"))
        listed(self.server, "high", ("foo", "1.0"))
        await self.report(self.source("low", 500), self.source("high", 1000))
        (offer,) = (await self.cache.load()).offers
        assert offer.source.priority == 1000
        # a new priority counts without anything new in the repository
        await self.report(self.source("low", 5000), self.source("high", 1000))
        (offer,) = (await self.cache.load()).offers
        assert offer.source == self.source("low", 5000)

    async def test_a_repository_that_is_no_source_any_more_offers_nothing(self) -> None:
        listed(self.server, "a", ("foo", "1.0"))
        listed(self.server, "b", ("bar", "1.0"))
        await self.report(self.source("a"), self.source("b"))
        await self.report(self.source("b"))
        assert await self.offered() == ["plugin-bar-1.0"]

    async def test_what_is_no_repository_is_told_in_the_words_clients_know(self) -> None:
        for page in (
            b"<html>hello</html>",
            b"",
            b"Domogik repository\n",
            b"{}",
            b"[1]",
            b"\xff\xfe",
        ):
            self.pages["/x/"] = page
            report = await self.refresh(self.source("x"))
            assert report.error == f"This is not a Domogik repository : '{self.server.url}/x'"
        del self.pages["/x/"]
        assert "status 404" in (await self.refresh(self.source("x"))).error

    async def test_no_more_than_two_states_of_a_repository_are_kept(self) -> None:
        for release in range(5):
            listed(self.server, "stable", ("foo", f"{release}"))
            await self.refresh()
            self.pages["/stable/xml/plugin/bad/1"] = status(503)
            listed(self.server, "stable", ("foo", f"{release}"), ("bad", "1"))
            self.pages["/stable/xml/plugin/bad/1"] = status(503)
            assert not (await self.refresh()).ok
            assert len(list((self.directory / SNAPSHOTS).iterdir())) <= 2

    async def test_who_reads_while_it_is_swapped_sees_the_old_or_the_new(self) -> None:
        listed(self.server, "stable", ("foo", "1"))
        await self.refresh()
        seen: list[Index] = []
        for release in range(2, 6):
            listed(self.server, "stable", ("foo", f"{release}"))
            work = Deferred.fromCoroutine(self.refresh())
            while not work.called:
                seen.append(await self.cache.load())
            await work
        assert {len(index.offers) for index in seen} == {1}

    async def test_another_process_reads_it(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        await self.refresh()
        code = (
            "import sys; from pathlib import Path;"
            "from domogik.packages.repositories.manifest import read_index;"
            "index = read_index(Path(sys.argv[1]));"
            "assert 'twisted' not in sys.modules;"
            "print(index.find('plugin', 'foo').url)"
        )
        said = await getProcessOutput(
            sys.executable, ["-c", code, str(self.directory)], env={}, errortoo=True
        )
        assert said.decode().strip() == f"{self.server.url}/stable/download/plugin/foo/1.0"

    async def test_a_cache_that_was_damaged_is_built_again(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        await self.refresh()
        (manifest,) = self.directory.glob("*.json")
        for content in (b"", b"\xff", b"[]", b'{"form": 1, "repositories": [{}]}'):
            manifest.write_bytes(content)
            assert (await self.cache.load()).offers == ()
            await self.refresh()
            assert await self.offered() == ["plugin-foo-1.0"]
        for listing in self.directory.rglob("listing.json"):
            listing.write_bytes(b"{")
        assert await self.offered() == []
        assert not (await self.refresh()).unchanged
        assert await self.offered() == ["plugin-foo-1.0"]

    async def test_a_cache_that_cannot_be_written_is_told(self) -> None:
        self.home.mkdir()
        self.directory.write_bytes(b"in the way")
        with pytest.raises(CacheFailed, match="cache"):
            await self.cache.refresh([self.source()])

    async def test_two_refreshes_at_once_follow_each_other(self) -> None:
        listed(self.server, "stable", ("foo", "1.0"))
        both = [Deferred.fromCoroutine(self.cache.refresh([self.source()])) for _ in range(2)]
        first, second = [await one for one in both]
        assert not first.sources[0].unchanged
        assert second.sources[0].unchanged


class OurOwn(Case):
    async def test_what_dmg_pkgmgr_builds_is_read_by_every_way_to_it(self) -> None:
        made = self.home / "made"
        made.mkdir(parents=True)
        archive = create(EXAMPLES / "diskfree", made)
        build_repository(made, made, generated="2026-01-01")
        web = reactor.listenTCP(0, Site(File(str(made))), interface="127.0.0.1")
        self.addCleanup(web.stopListening)
        url = f"http://127.0.0.1:{web.getHost().port}"
        for address in (made.as_uri(), url, f"{url}/json"):
            report = await self.refresh(Source(5, address))
            assert (report.error, report.problems, report.offered) == ("", (), 1), address
            offer = (await self.cache.load()).find("plugin", "diskfree")
            assert offer.package.author
            assert offer.icon is not None
            got = await self.fetcher.download(
                offer.url,
                self.home / "got.tgz",
                limit_bytes=1_000_000,
                sha256=offer.sha256,
                size=offer.size,
            )
            assert got.read_bytes() == archive.read_bytes()
            assert (await self.refresh(Source(5, address))).unchanged
        # idle connections would keep the server's
        await self.fetcher.close()


class Directories(Case):
    async def test_uploads_with_nothing_in_it_offer_nothing(self) -> None:
        for uploads in (self.home / "missing", self.home / "uploads"):
            report = await self.refresh(uploads_source(uploads))
            assert (report.error, report.offered) == ("", 0)
            (self.home / "uploads").mkdir(parents=True, exist_ok=True)

    async def test_a_directory_is_a_repository(self) -> None:
        uploads = self.home / "uploads"
        uploads.mkdir(parents=True)
        source = uploads_source(uploads)
        await self.refresh(source)
        told, data = archived("foo")
        (uploads / "repository.json").write_bytes(told)
        (uploads / "data").write_bytes(data)
        assert (await self.refresh(source)).offered == 1
        assert (await self.refresh(source)).unchanged
        offer = (await self.cache.load()).find("plugin", "foo")
        assert offer.url == f"{uploads.as_uri()}/download/plugin/foo/1.0"

    async def test_a_directory_that_is_not_there_is_told(self) -> None:
        report = await self.refresh(Source(5, (self.home / "no").as_uri()))
        assert "is not there" in report.error

    async def test_a_directory_offers_only_what_is_in_it(self) -> None:
        directory = self.home / "d"
        directory.mkdir(parents=True)
        item = {"type": "plugin", "id": "foo", "version": "1", "archive_url": "../../etc/passwd"}
        info = json.dumps({"packages": [item]}).encode()
        (directory / "repository.json").write_bytes(b'{"count": 1}')
        (directory / "data").write_bytes(tgz(**{"repo.info": info}))
        assert (await self.refresh(Source(5, directory.as_uri()))).ok
        (offer,) = (await self.cache.load()).offers
        assert offer.url == f"{directory.as_uri()}/download/plugin/foo/1"
