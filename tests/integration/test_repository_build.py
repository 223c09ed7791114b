"""A static repository on real web servers, read as the clients of both generations read theirs."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.static import File

from domogik.packages.archive.unpacking import inspect
from domogik.packages.descriptor.files import draft
from domogik.packages.descriptor.validation import validate
from domogik.packages.http.fetch import Fetcher
from domogik.packages.publish.build import create
from domogik.packages.publish.repository import build_repository
from domogik.packages.repositories.cache import Cache
from domogik.packages.sources import Source

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["clock", "diskfree", "ping", "script"]


def get(url: str) -> bytes:
    """As Python's own client does it, redirections of directories included."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def read_as_xml_era(url: str) -> dict[str, tuple[bytes, bytes, bytes]]:
    """List, then descriptor, icon and archive of each; the address ends in a slash."""
    assert url.endswith("/")
    first, *lines = get(url).decode().splitlines()
    assert first == "Domogik Repository"
    return {
        line: (get(f"{url}xml/{line}"), get(f"{url}icon/{line}"), get(f"{url}download/{line}"))
        for line in lines
    }


def read_as_json_era(url: str) -> tuple[int, dict[str, tuple[dict[str, object], bytes, bytes]]]:
    """Status, then everything from one archive; the address has no slash at its end."""
    assert not url.endswith("/")
    status = json.loads(get(url))
    with tarfile.open(fileobj=io.BytesIO(get(f"{url}/data")), mode="r:gz") as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    info = json.loads(members["repo.info"])
    assert info["count"] == status["count"]
    found = {}
    for package in info["packages"]:
        icon = re.sub(
            r"[\s\"'&/\\?#]",
            "_",
            f"icon_{package['type']}_{package['id']}_{package['version']}.png".lower(),
        )
        found[package["fullname"]] = (
            package,
            members[f"images/{icon}"],
            get(package["archive_url"]),
        )
    return status["count"], found


def check_both(root: str, archives: Path) -> None:
    """What both kinds of client get from the server at `root` is what was built."""
    old = read_as_xml_era(f"{root}/")
    assert sorted(old) == [f"plugin/{name}/1.0.0" for name in NAMES]
    _, new = read_as_json_era(f"{root}/json")
    assert sorted(new) == [f"plugin-{name}" for name in NAMES]
    for name in NAMES:
        original = archives / f"plugin-{name}-1.0.0.tgz"
        descriptor, icon, archive = old[f"plugin/{name}/1.0.0"]
        package = validate(draft(Path("info.xml"), descriptor))
        assert package.configuration == inspect(original).package.configuration
        assert package.warnings == ()
        assert icon.startswith(b"\x89PNG")
        item, same_icon, same_archive = new[f"plugin-{name}"]
        assert archive == same_archive == original.read_bytes()
        assert same_icon == icon
        assert item["description"] == package.description
        info = validate(draft(Path("info.json"), get(f"{root}/json/info/plugin/{name}/1.0.0")))
        assert info.feature_models == package.feature_models
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{root}/icon/plugin/nobody/1.0")


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    directory = tmp_path / "archives"
    directory.mkdir()
    for name in NAMES:
        create(EXAMPLES / name, directory)
    return directory


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Python's own web server, in a process, serving `site`."""
    (tmp_path / "site").mkdir()
    argv = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        [*argv, "--directory", str(tmp_path / "site")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"port (\d+)", process.stdout.readline())
        assert found is not None
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        process.communicate()


def test_clients_of_both_generations_read_it_from_a_plain_web_server(
    tmp_path: Path, archives: Path, server: str
) -> None:
    target = tmp_path / "site" / "stable"
    build_repository(archives, target, generated="2024-05-01", url=f"{server}/stable")
    check_both(f"{server}/stable", archives)


def test_the_count_tells_the_newer_clients_that_something_is_new(
    tmp_path: Path, archives: Path, server: str
) -> None:
    target = tmp_path / "site" / "stable"
    url = f"{server}/stable"
    build_repository(archives, target, generated="2024-05-01", url=url)
    before, _ = read_as_json_era(f"{url}/json")
    (archives / "plugin-clock-1.0.0.tgz").unlink()
    build_repository(archives, target, generated="2024-05-02", url=url)
    after, found = read_as_json_era(f"{url}/json")
    assert after > before
    assert "plugin-clock" not in found


def test_whoever_reads_while_it_is_built_anew_never_meets_half_of_it(
    tmp_path: Path, archives: Path, server: str
) -> None:
    target = tmp_path / "site" / "stable"
    url = f"{server}/stable"
    build_repository(archives, target, generated="0", url=url)
    work = tmp_path / "work"
    shutil.copytree(EXAMPLES / "ping", work)
    script = work / "src/domogik_packages/xpl/lib/ping.py"
    problems: list[object] = []
    done = threading.Event()

    def build_again_and_again() -> None:
        try:
            for number in range(30):
                script.write_text(f"# {os.urandom(2000).hex()}\n")
                create(work, archives)
                build_repository(archives, target, generated=str(number), url=url)
        except Exception as error:
            problems.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=build_again_and_again)
    thread.start()
    try:
        reads = 0
        while reads < 5 or not done.is_set():
            reads += 1
            listed = get(f"{url}/").decode().splitlines()
            assert listed == ["Domogik Repository", *(f"plugin/{name}/1.0.0" for name in NAMES)]
            for line in listed[1:]:
                validate(draft(Path("info.xml"), get(f"{url}/xml/{line}")))
                with tarfile.open(fileobj=io.BytesIO(get(f"{url}/download/{line}"))) as tar:
                    assert "info.xml" in tar.getnames()
            with tarfile.open(fileobj=io.BytesIO(get(f"{url}/data"))) as tar:
                info = json.loads(tar.extractfile("repo.info").read())  # type: ignore[union-attr]
            assert len(info["packages"]) == len(NAMES)
    finally:
        thread.join()
    assert problems == []


def test_the_tools_of_authors_start_without_the_network_library() -> None:
    program = (
        "import sys, domogik.packages.publish.build, domogik.packages.publish.check;"
        "import domogik.packages.publish.repository;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'twisted'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


class TwistedWeb(TestCase):
    """The same repository from the web server that the manager itself has."""

    timeout = 120

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.archives = self.root / "archives"
        self.archives.mkdir(parents=True)
        for name in NAMES:
            create(EXAMPLES / name, self.archives)
        (self.root / "site").mkdir()
        site = Site(File(str(self.root / "site")))
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(lambda: defer.maybeDeferred(self.port.stopListening))
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/stable"

    async def test_clients_of_both_generations_read_it(self) -> None:
        build_repository(self.archives, self.root / "site/stable", generated="x", url=self.url)
        await deferToThread(check_both, self.url, self.archives)

    async def test_a_second_look_is_answered_with_nothing_new(self) -> None:
        build_repository(self.archives, self.root / "site/stable", generated="x")
        first = await deferToThread(urllib.request.urlopen, f"{self.url}/data")
        stamp = first.headers["Last-Modified"]
        first.close()
        build_repository(self.archives, self.root / "site/stable", generated="y")
        again = urllib.request.Request(f"{self.url}/data", headers={"If-Modified-Since": stamp})
        with pytest.raises(urllib.error.HTTPError, match="304") as caught:
            await deferToThread(urllib.request.urlopen, again)
        caught.value.close()

    async def test_our_own_client_reads_it_from_a_server_and_from_a_directory(self) -> None:
        target = self.root / "site" / "stable"
        await deferToThread(build_repository, self.archives, target, generated="x")
        fetcher = Fetcher(reactor, deferToThread)
        self.addCleanup(fetcher.close)
        for url in (self.url, f"{self.url}/json", target.as_uri()):
            trust = self.root / "trust"
            cache = Cache(self.root / "cache", fetcher, deferToThread, lambda: 1.0, trust)
            (self.root / "cache").mkdir(exist_ok=True)
            report = await cache.refresh([Source(500, url)])
            assert report.ok, report
            offers = (await cache.load()).available("plugin")
            assert sorted(offer.package.id for offer in offers) == NAMES
            for offer in offers:
                assert offer.sha256 is not None
                assert offer.icon is not None
                archive = await fetcher.download(
                    offer.url,
                    self.root / "fetched.tgz",
                    limit_bytes=10**6,
                    sha256=offer.sha256,
                    size=offer.size,
                )
                original = self.archives / f"{offer.ref.file_stem}.tgz"
                assert archive.read_bytes() == original.read_bytes()
                archive.unlink()

    async def test_our_own_client_sees_a_new_release_and_only_then_asks_for_more(self) -> None:
        target = self.root / "site" / "stable"
        await deferToThread(build_repository, self.archives, target, generated="x")
        fetcher = Fetcher(reactor, deferToThread)
        self.addCleanup(fetcher.close)
        (self.root / "cache").mkdir()
        cache = Cache(self.root / "cache", fetcher, deferToThread, lambda: 1.0, self.root / "trust")
        sources = [Source(500, self.url)]
        await cache.refresh(sources)
        (self.archives / "plugin-clock-1.0.0.tgz").unlink()
        await deferToThread(build_repository, self.archives, target, generated="y")
        (changed,) = (await cache.refresh(sources)).sources
        (unchanged,) = (await cache.refresh(sources)).sources
        assert (changed.offered, changed.unchanged, unchanged.unchanged) == (3, False, True)
