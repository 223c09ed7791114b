"""Signed repositories served by another process, and everybody who tampers with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from published import Published
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.errors import FetchFailed
from domogik.packages.http.fetch import Fetcher
from domogik.packages.http.response import FetchLimits
from domogik.packages.repositories.cache import Cache, SourceReport
from domogik.packages.repositories.index import Index
from domogik.packages.sources import Source, uploads_source

pytestmark = pytest.mark.integration


class Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.published = Published(self.home / "published")
        self.addCleanup(self.published.stop)
        self.fetcher = Fetcher(reactor, deferToThread, FetchLimits(first_pause_s=0.01))
        self.addCleanup(self.fetcher.close)
        self.directory, self.trust = self.home / "cache", self.home / "trust"
        self.cache = Cache(self.directory, self.fetcher, deferToThread, time.time, self.trust)
        self.root = self.home / "root.json"

    def publish(self, *names: str, release: str = "1.0") -> None:
        for name in names:
            self.published.package(name, release)
        self.published.sign()

    def source(self, signed: bool = False) -> Source:
        options = {"signed": str(self.root)} if signed else {}
        if signed and not self.root.exists():
            shutil.copyfile(self.published.root, self.root)
        return Source(500, self.published.url, options, "sources.list:7")

    async def refresh(self, signed: bool = False) -> SourceReport:
        self.published.asked()
        return (await self.cache.refresh([self.source(signed)])).sources[0]

    async def index(self) -> Index:
        return await self.cache.load()

    async def offered(self) -> list[tuple[str, bool]]:
        return [(offer.ref.file_stem, offer.signed) for offer in (await self.index()).offers]

    async def good(self, signed: bool = False) -> SourceReport:
        report = await self.refresh(signed)
        assert (report.error, report.problems) == ("", ())
        return report

    async def refused(self, why: str, signed: bool = False) -> str:
        """The refresh fails and says why, and what was offered before is as it was."""
        before = await self.index()
        report = await self.refresh(signed)
        assert report.error.startswith(self.published.url), report.error
        assert why in report.error, report.error
        assert "\n" not in report.error
        after = await self.index()
        assert (after.offers, after.as_of) == (before.offers, before.as_of)
        return report.error


class Good(Case):
    async def test_what_is_offered_has_the_digests_that_were_signed(self) -> None:
        self.publish("foo", "bar")
        report = await self.good(signed=True)
        assert report.offered == 2
        assert await self.offered() == [("plugin-bar-1.0", True), ("plugin-foo-1.0", True)]
        offer = (await self.index()).find("plugin", "foo")
        archive = self.home / "archive"
        await self.fetcher.download(
            offer.url, archive, limit_bytes=10**6, sha256=offer.sha256, size=offer.size
        )
        original = self.published.archives / "plugin-foo-1.0.tgz"
        assert archive.read_bytes() == original.read_bytes()
        assert offer.icon.read_bytes().startswith(b"\x89PNG")
        (record,) = await self.cache.records()
        assert record.signed
        assert 364 < (record.expires - time.time()) / 86400 <= 365

    async def test_what_has_not_changed_costs_two_requests_also_if_it_was_signed_again(
        self,
    ) -> None:
        self.publish("foo")
        await self.good()
        assert (await self.good()).unchanged
        assert self.published.asked() == ["/metadata/2.root.json", "/metadata/timestamp.json"]
        self.published.sign(days=10)
        assert (await self.good()).unchanged
        (record,) = await self.cache.records()
        assert 374 < (record.expires - time.time()) / 86400 <= 375

    async def test_a_new_release_is_seen(self) -> None:
        self.publish("foo")
        await self.good(signed=True)
        self.publish("foo", release="2.0")
        await self.good(signed=True)
        assert await self.offered() == [("plugin-foo-2.0", True), ("plugin-foo-1.0", True)]

    async def test_the_older_generation_is_signed_too_and_what_is_known_is_not_asked_for(
        self,
    ) -> None:
        self.publish("foo", "bar")
        await self.older()
        await self.good()
        offer = (await self.index()).find("plugin", "foo")
        assert offer.signed
        assert len(offer.package.configuration) == 2
        assert offer.icon is not None
        self.published.package("new")
        self.published.sign()
        await self.older()
        await self.good()
        asked = [path for path in self.published.asked() if path.startswith("/xml")]
        assert asked == ["/xml/plugin/new/1.0"]
        assert len(await self.offered()) == 3

    async def older(self) -> None:
        """What such a repository has not, and signs again what it has."""
        from domogik.packages.publish.signer import Signer
        from domogik.packages.signing.targets import Target

        signer = Signer(self.published.keys, time.time)
        (self.published.path / "repository.json").unlink()
        files = {
            str(path.relative_to(self.published.path)): Target.of(path.read_bytes())
            for part in ("index.html", "xml", "icon", "download")
            for path in self.files(part)
        }
        signer.check(self.published.path)
        signer.sign(self.published.path, files)()

    def files(self, part: str) -> list[Path]:
        path = self.published.path / part
        return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]

    async def test_a_directory_of_this_host_is_signed_too(self) -> None:
        self.publish("foo")
        source = Source(500, self.published.path.as_uri())
        for _ in range(2):
            (report,) = (await self.cache.refresh([source])).sources
            assert report.error == ""
        assert report.unchanged
        assert await self.offered() == [("plugin-foo-1.0", True)]

    async def test_uploads_are_never_signed(self) -> None:
        self.publish("foo")
        (report,) = (await self.cache.refresh([uploads_source(self.published.path)])).sources
        assert report.error == ""
        assert await self.offered() == [("plugin-foo-1.0", False)]
        assert not self.trust.exists()

    async def test_an_unsigned_repository_is_taken_as_it_is(self) -> None:
        self.published.package("foo")
        self.published.build()
        await self.good()
        assert await self.offered() == [("plugin-foo-1.0", False)]
        assert (await self.good()).unchanged

    async def test_keys_change_over_many_versions_and_are_followed(self) -> None:
        self.publish("foo")
        await self.good(signed=True)
        keys = self.published.keys
        for turn in range(3):
            (keys / "signing.pem").unlink()
            self.published.sign()
            (keys / "root.pem").rename(keys / "previous-root.pem")
            self.published.package(f"new{turn}")
            self.published.sign()
        assert (self.published.path / "metadata/7.root.json").exists()
        await self.good(signed=True)
        assert len(await self.offered()) == 4
        # and by who knows only the first one
        shutil.rmtree(self.trust)
        await self.good(signed=True)

    async def test_a_file_that_is_being_published_is_waited_for(self) -> None:
        """Between a new list and its signature lies the end of a build."""
        self.publish("foo")
        await self.good()
        self.published.package("bar")
        old = self.published.save("old")
        self.published.sign()
        new = self.published.save("new")
        self.published.restore(old)
        self.published.restore(new, "metadata/2.targets.json", "metadata/2.snapshot.json")
        self.published.restore(new, "repository.json", "data", "index.html")
        assert (await self.refresh()).unchanged
        self.published.restore(new, "metadata/timestamp.json")
        shutil.copytree(new / "download", self.published.path / "download", dirs_exist_ok=True)
        await self.good()
        assert len(await self.offered()) == 2


class OtherClients(Case):
    """python-tuf's own client as it comes, which was told nothing about Domogik."""

    async def downloaded(self, *paths: str) -> dict[str, bytes]:
        return await deferToThread(self._downloaded, paths)

    def _downloaded(self, paths: tuple[str, ...]) -> dict[str, bytes]:
        from tuf.ngclient import Updater

        for made in ("stock", "stock/targets"):
            (self.home / made).mkdir(exist_ok=True)
        updater = Updater(
            str(self.home / "stock"),
            f"{self.published.url}/metadata/",
            str(self.home / "stock/targets"),
            f"{self.published.url}/",
            bootstrap=self.published.root.read_bytes(),
        )
        updater.refresh()
        found = {}
        for path in paths:
            target = updater.get_targetinfo(path)
            assert target is not None, path
            found[path] = Path(updater.download_target(target)).read_bytes()
        return found

    async def test_a_stock_client_finds_all_that_is_signed(self) -> None:
        paths = (
            "repository.json",
            "data",
            "index.html",
            *(f"{part}/plugin/foo/1.0" for part in ("download", "xml", "icon")),
        )
        self.publish("foo")
        for path, content in (await self.downloaded(*paths)).items():
            assert content == (self.published.path / path).read_bytes()
        self.publish("foo", "bar", release="2.0")
        archive = self.published.archives / "plugin-bar-2.0.tgz"
        found = await self.downloaded("download/plugin/bar/2.0", "data")
        assert found["download/plugin/bar/2.0"] == archive.read_bytes()

    async def test_who_reads_the_state_before_still_finds_its_lists_and_no_older_ones_stay(
        self,
    ) -> None:
        for release in ("1.0", "2.0", "3.0", "4.0"):
            self.publish("foo", release=release)
        names = [path.name for path in self.published.path.iterdir()]
        for name in ("data", "repository.json", "index.html"):
            assert len([one for one in names if one.endswith(f".{name}")]) == 2
        (self.published.archives / "plugin-foo-1.0.tgz").unlink()
        self.published.sign()
        assert not (self.published.path / "download/plugin/foo/1.0").exists()
        rest = {path.name for path in (self.published.path / "download/plugin/foo").iterdir()}
        assert not [name for name in rest if name.endswith(".1.0")]
        assert len(rest) == 6

    async def test_a_second_name_takes_no_room_and_cannot_bring_in_what_was_not_signed(
        self,
    ) -> None:
        self.publish("foo")
        download = self.published.path / "download/plugin/foo"
        (hashed,) = (path for path in download.iterdir() if path.name != "1.0")
        assert hashed.samefile(download / "1.0")
        hashed.unlink()
        hashed.write_bytes(b"another program")
        self.published.sign()
        await self.downloaded("download/plugin/foo/1.0")


class Pinned(Case):
    async def test_who_offered_signatures_once_has_to_go_on(self) -> None:
        self.publish("foo")
        await self.good()
        shutil.rmtree(self.published.path / "metadata")
        said = await self.refused("signed no longer")
        assert str(self.trust) in said

    async def test_trust_survives_the_loss_of_the_cache(self) -> None:
        self.publish("foo")
        await self.good()
        shutil.rmtree(self.directory)
        self.impostor()
        await self.refused("not by the keys that are trusted")
        assert await self.offered() == []

    def impostor(self) -> None:
        """The same address, somebody else's keys."""
        shutil.rmtree(self.published.path / "metadata")
        self.published.sign(keys=self.home / "impostor")
        self.published.sign(keys=self.home / "impostor")

    async def test_what_is_removed_is_believed_anew(self) -> None:
        self.publish("foo")
        await self.good()
        self.impostor()
        said = await self.refused("not by the keys that are trusted")
        (directory,) = self.trust.iterdir()
        assert f"remove {directory}" in said
        shutil.rmtree(directory)
        await self.good()

    async def test_a_repository_that_begins_to_sign_is_pinned_then(self) -> None:
        self.published.package("foo")
        self.published.build()
        await self.good()
        self.published.sign()
        await self.good()
        assert await self.offered() == [("plugin-foo-1.0", True)]

    async def test_a_line_that_does_not_name_the_root_file_any_more_changes_nothing(self) -> None:
        self.publish("foo")
        await self.good(signed=True)
        assert (await self.good()).unchanged
        self.impostor()
        await self.refused("not by the keys that are trusted")

    async def test_a_first_refresh_that_fails_pins_nothing(self) -> None:
        self.publish("foo")
        self.published.tamper("metadata/1.targets.json")
        await self.refused("do not fit together")
        assert [path for path in self.trust.iterdir() if not path.name.startswith(".")] == []
        self.impostor()
        await self.good()

    async def test_a_page_that_answers_everything_is_no_signature(self) -> None:
        self.published.package("foo")
        self.published.build()
        (self.published.path / "metadata").mkdir()
        for text in ("<html>Welcome</html>", "{}", '{"signed": [' * 1000, "null"):
            (self.published.path / "repository.json").touch()
            (self.published.path / "metadata/1.root.json").write_text(text)
            shutil.rmtree(self.directory, ignore_errors=True)
            await self.good()
        assert await self.offered() == [("plugin-foo-1.0", False)]


class Attacks(Case):
    async def test_other_keys_than_the_root_file_says(self) -> None:
        self.publish("foo")
        self.source(signed=True)
        shutil.rmtree(self.published.path / "metadata")
        self.published.sign(keys=self.home / "impostor")
        said = await self.refused("not by the keys that are trusted", signed=True)
        assert "sources.list:7" in said

    async def test_an_older_state_that_was_good(self) -> None:
        self.publish("foo")
        await self.good()
        old = self.published.save("old")
        self.publish("foo", release="2.0")
        await self.good()
        self.published.restore(old)
        await self.refused("an older state")

    async def test_states_that_are_mixed(self) -> None:
        self.publish("foo")
        await self.good()
        old = self.published.save("old")
        self.publish("foo", release="2.0")
        new = self.published.save("new")
        for role in ("snapshot", "targets"):
            shutil.copyfile(
                old / f"metadata/1.{role}.json", self.published.path / f"metadata/2.{role}.json"
            )
            await self.refused("do not fit together")
            self.published.restore(new, f"metadata/2.{role}.json")
        await self.good()

    async def test_an_old_list_under_new_signatures(self) -> None:
        self.publish("foo")
        await self.good()
        old = self.published.save("old")
        self.publish("foo", release="2.0")
        self.published.restore(old, "data")
        await self.refused("is not what the repository has signed")

    async def test_signatures_that_are_out_of_date(self) -> None:
        self.publish("foo")
        await self.good()
        self.published.package("bar")
        self.published.sign(days=-380)
        await self.refused("out of date")
        self.published.sign()
        await self.good()
        assert len(await self.offered()) == 2

    async def test_a_root_file_that_is_out_of_date(self) -> None:
        self.published.package("foo")
        self.published.sign(days=-400)
        await self.refused("out of date", signed=True)
        # who signs again makes a new one, which the old one vouches for
        self.published.sign()
        await self.good(signed=True)

    async def test_any_file_that_was_changed(self) -> None:
        self.publish("foo")
        await self.good()
        self.publish("foo", release="2.0")
        new = self.published.save("new")
        for path in (
            "metadata/timestamp.json",
            "metadata/2.snapshot.json",
            "metadata/2.targets.json",
            "repository.json",
            "data",
        ):
            self.published.tamper(path)
            await self.refused("")
            self.published.restore(new, path)
        await self.good()

    async def test_an_archive_that_was_changed_is_not_taken(self) -> None:
        self.publish("foo")
        await self.good()
        self.published.tamper("download/plugin/foo/1.0")
        offer = (await self.index()).find("plugin", "foo")
        with pytest.raises(FetchFailed, match="has the digest"):
            await self.fetcher.download(
                offer.url,
                self.home / "archive",
                limit_bytes=10**6,
                sha256=offer.sha256,
                size=offer.size,
            )
        assert not (self.home / "archive").exists()

    async def test_metadata_that_do_not_end_or_break_off(self) -> None:
        self.publish("foo")
        await self.good()
        self.publish("foo", release="2.0")
        for name in ("2.root", "timestamp", "2.snapshot", "2.targets"):
            for lie, why in (("endless", "does not end"), ("truncated", "broke off")):
                path = f"metadata/{name}.json"
                if name == "2.root":
                    shutil.copyfile(self.published.root, self.published.path / path)
                self.published.lie(path, lie)
                await self.refused(why)
            (self.published.path.with_name("lies") / path.replace("/", "_")).unlink()
            if name == "2.root":
                (self.published.path / path).unlink()
        await self.good()

    async def test_metadata_that_are_nonsense(self) -> None:
        self.publish("foo")
        await self.good()
        good = (self.published.path / "metadata/timestamp.json").read_text()
        role = json.loads(good)
        deep = "[" * 15000
        for text in (
            "",
            "null",
            "[]",
            deep,
            '{"signed": ' + deep,
            good.replace('"version":1', '"version":' + "9" * 10000),
            good.replace('"version":1', '"version":-1'),
            good.replace('"version":1', '"version":NaN'),
            json.dumps({**role, "signatures": {}}),
            json.dumps({**role, "signatures": [[]]}),
            json.dumps({**role, "signed": {**role["signed"], "_type": "root"}}),
            json.dumps({**role, "signed": {**role["signed"], "expires": "soon"}}),
            json.dumps({**role, "signed": {**role["signed"], "meta": []}}),
            "\x00",
            "\ud800",
        ):
            file = self.published.path / "metadata/timestamp.json"
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            await self.refused("")
            (self.published.path / "metadata/2.root.json").write_bytes(file.read_bytes())
            file.write_text(good)
            await self.refused("")
            (self.published.path / "metadata/2.root.json").unlink()
        await self.good()

    async def test_a_package_whose_archive_is_not_signed_is_left_out_and_told(self) -> None:
        from domogik.packages.publish.signer import Signer
        from domogik.packages.signing.targets import Target

        self.publish("foo", "bar")
        signer = Signer(self.published.keys, time.time)
        names = ("repository.json", "data", "download/plugin/foo/1.0")
        files = {name: Target.of((self.published.path / name).read_bytes()) for name in names}
        signer.check(self.published.path)
        signer.sign(self.published.path, files)()
        report = await self.refresh()
        assert report.problems == (
            f"{self.published.url}: plugin-bar 1.0 is listed, and its archive is not signed",
        )
        assert await self.offered() == [("plugin-foo-1.0", True)]

    async def test_what_was_changed_where_it_is_served_is_not_signed_the_next_time(self) -> None:
        self.publish("foo")
        await self.good()
        for path in ("data", "index.html", "xml/plugin/foo/1.0", "icon/plugin/foo/1.0"):
            self.published.tamper(path)
        (self.published.path / "repository.json").write_text('{"count": 1, "generated": "x"}')
        shutil.rmtree(self.published.path / "download")
        self.published.sign()
        report = await self.good()
        assert report.offered == 1
        for part in ("xml", "icon"):
            content = (self.published.path / part / "plugin/foo/1.0").read_bytes()
            names = {"xml": b"<id>foo</id>", "icon": b" and so on"}
            assert names[part] in content


class RootFiles(Case):
    async def test_one_that_is_not_there_is_told_with_file_and_line(self) -> None:
        self.publish("foo")
        source = self.source(signed=True)
        self.root.unlink()
        (report,) = (await self.cache.refresh([source])).sources
        assert report.error.startswith(f"sources.list:7: signed={self.root} cannot be read")
        assert await self.offered() == []

    async def test_one_that_is_none_is_told(self) -> None:
        self.publish("foo")
        for text in ("", "{}", "no", '{"signed": 1}', "[" * 15000):
            self.root.write_text(text)
            said = await self.refused("the root file is none", signed=True)
            assert f"{self.root} (sources.list:7)" in said

    async def test_nothing_unsigned_is_taken_where_the_line_names_one(self) -> None:
        self.publish("foo")
        self.source(signed=True)
        shutil.rmtree(self.published.path / "metadata")
        await self.refused("signed no longer", signed=True)
        assert await self.offered() == []


def test_without_a_signed_repository_nothing_of_it_is_imported() -> None:
    """Neither by a manager nor by a command that signs nothing."""
    script = (
        "import sys, domogik.app.parts.manager, domogik.app.commands.start\n"
        "import domogik.cli.pkgmgr.author\n"
        "import domogik.packages.repositories.cache, domogik.packages.publish.repository\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not names & {'tuf', 'securesystemslib', 'urllib3'}, names"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
