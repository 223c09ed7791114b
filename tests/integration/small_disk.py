"""Changes on a disk that has only so much room: what each does, and what has to be there then.

    python small_disk.py <change> <free pages> [<address>]

in a directory on a small file system that `made` has filled. It fills the rest of it, has the
change fail or come to its end, looks, makes room, has it done, looks again, and says `full` or
`done`, and behind it the last step that was reached.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import packed
from killed import Place
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from domogik.config.home import Home
from domogik.manager.packages.update import Note, _read, _write
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.http.fetch import Fetcher
from domogik.packages.http.response import FetchLimits
from domogik.packages.publish.repository import build_repository
from domogik.packages.publish.uploads import accept_upload
from domogik.packages.repositories.cache import Cache, CacheFailed
from domogik.packages.sources import Source
from domogik.packages.store.changes import RINOR, XPL, StoreFailed

FULL = "No space left on device"
ARCHIVES, SITE, UPLOADS, NEW = (Path(name) for name in ("archives", "site", "uploads", "new.tgz"))
BIG = {"src/data.bin": os.urandom(20_000)}
_filler = Path("filler")


def fill(free: int) -> None:
    """Leave so many pages."""
    with _filler.open("wb") as file:
        status = os.statvfs(".")
        pages = max(1, status.f_bavail - free)
        os.posix_fallocate(file.fileno(), 0, pages * status.f_bsize)


def archive(path: Path, release: str, more: dict[str, bytes] | None = None) -> Path:
    files = packed.content(release) | (more or {})
    return packed.pack(path, [packed.file(name, data) for name, data in files.items()])


def offered(site: Path) -> dict[str, str]:
    """Release -> digest, of a repository in which nothing that is offered is missing or another."""
    with tarfile.open(site / "data") as data:
        items = json.load(data.extractfile("repo.info"))["packages"]
    found = {}
    for item in items:
        for part in ("download", "xml", "info", "icon"):
            file = site / part / "plugin" / "demo" / item["version"]
            assert file.is_file(), file
        content = (site / "download" / "plugin" / "demo" / item["version"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == item["sha256"], item["version"]
        found[item["version"]] = item["sha256"]
    return found


class Change:
    """One that may meet a full disk."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.steps: list[str] = []

    def made(self) -> None:
        """What is there before."""

    def attempt(self) -> None:
        """Raises `OSError` or what stands for it."""

    def state(self) -> object:
        """What counts of what is there; it is whole."""

    def begin(self) -> None:
        """What is done before the disk is full."""


class Build(Change):
    """`dmg_pkgmgr repository`: a new release beside the one that is offered."""

    def made(self) -> None:
        ARCHIVES.mkdir()
        archive(ARCHIVES / "one.tgz", "1.0", BIG)
        self.attempt()
        archive(ARCHIVES / "two.tgz", "2.0", BIG)

    def attempt(self) -> None:
        build_repository(ARCHIVES, SITE, generated="2026-11-21")

    def state(self) -> object:
        return offered(SITE)


class Upload(Change):
    """The release that is offered already, with another content."""

    def made(self) -> None:
        UPLOADS.mkdir()
        accept_upload(archive(NEW, "1.0"), UPLOADS, "2026-11-21")
        NEW.unlink()
        archive(NEW, "1.0", BIG)

    def attempt(self) -> None:
        accept_upload(NEW, UPLOADS, "2026-11-22")

    def state(self) -> object:
        kept = sorted(path.name for path in UPLOADS.glob("*.tgz"))
        assert not list(UPLOADS.glob(".upload-*"))
        assert not list(UPLOADS.glob("**/.building-*"))
        return kept, offered(UPLOADS)


class Refresh(Change):
    """A repository over HTTP that offers another release by now."""

    def made(self) -> None:
        self.attempt()

    def attempt(self) -> None:
        _in_reactor(self._refresh)

    async def _refresh(self) -> None:
        fetcher = Fetcher(reactor, deferToThread, FetchLimits(first_pause_s=0.01))
        cache = Cache(Path("cache"), fetcher, deferToThread, time.time, Path("trust"))
        try:
            report = await cache.refresh([Source(500, self.address)])
        except CacheFailed as error:
            raise StoreFailed(str(error)) from error
        finally:
            await fetcher.close()
        (one,) = report.sources
        if one.error:
            raise StoreFailed(one.error)

    def state(self) -> object:
        from domogik.packages.repositories.manifest import read_index

        index = read_index(Path("cache"))
        icons = [offer.icon.read_bytes() for offer in index.offers]
        return sorted(offer.ref.release for offer in index.offers), sorted(icons)


class Installed(Change):
    """What changes the store; the first release is installed, with both parts."""

    def made(self) -> None:
        place = Place(Path()).make()
        place.install("1.0")
        place.install("1.0", RINOR)
        place.archive("2.0")

    @property
    def place(self) -> Place:
        if not hasattr(self, "_place"):
            self._place = Place(Path())
            self.steps = self._place.steps
        return self._place

    def attempt(self) -> None:
        self.place.install("2.0")

    def state(self) -> object:
        return packed.tree(self.place.home.path / "packages")


class Switch(Installed):
    """Both releases are stored already."""

    def made(self) -> None:
        super().made()
        self.place.install("2.0")

    def attempt(self) -> None:
        self.place.store.switch(PackageRef("plugin", "demo", "1.0"), XPL, back=True)


class Undo(Installed):
    """The second part failed, for the disk was full: the first has to go back all the same."""

    def begin(self) -> None:
        self.change = self.place.store.install(self.place.store.stage(self.place.archive("2.0")))
        self.steps.clear()

    def attempt(self) -> None:
        self.place.store.undo(self.change)
        assert self.place.store.present("plugin", "demo").release == "1.0"


class Uninstall(Installed):
    """Removing has to make room, and not to need it."""

    def attempt(self) -> None:
        self.place.store.uninstall("plugin", "demo")
        assert not list(self.place.home.store.iterdir())


class Noted(Change):
    """The note of an update that is going on."""

    def made(self) -> None:
        Home(Path("home")).create()

    def attempt(self) -> None:
        one, two = (PackageRef("plugin", "demo", release) for release in ("1.0", "2.0"))
        _write(Path("home/run/updates"), Note(one, two, True))

    def state(self) -> object:
        return _read(Path("home/run/updates"))


CHANGES: dict[str, Callable[[str], Change]] = {
    "build": Build,
    "upload": Upload,
    "refresh": Refresh,
    "install": Installed,
    "switch": Switch,
    "undo": Undo,
    "uninstall": Uninstall,
    "note": Noted,
}


def _in_reactor(work: Callable[[], object]) -> None:
    """Run it to its end; raises `StoreFailed`. A reactor runs once in a process: so in a child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "it never came to its end"
        try:
            react(lambda _: Deferred.fromCoroutine(_told(work)))
        except SystemExit as end:
            said = "" if isinstance(end.code, int) else str(end.code)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    if said:
        raise StoreFailed(said)


async def _told(work: Callable[[], object]) -> None:
    try:
        await work()
    except StoreFailed as error:
        raise SystemExit(str(error)) from error


def main(name: str, free: int, address: str) -> None:
    change = CHANGES[name](address)
    change.begin()
    before = change.state()
    fill(free)
    try:
        change.attempt()
        outcome = "done"
    except (OSError, StoreFailed) as error:
        assert FULL in str(error), error
        outcome = "full"
        assert change.state() == before
    reached = (change.steps or ["nothing"])[-1]
    after = change.state()
    _filler.unlink()
    if outcome == "full":
        change.attempt()
    else:
        assert change.state() == after
    assert change.state() != before
    print(outcome, reached)


if __name__ == "__main__":
    if sys.argv[2] == "make":
        CHANGES[sys.argv[1]](sys.argv[3]).made()
    else:
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
