"""Real files, real editors' habits: every change is noticed, whatever way it is made."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from domogik.config.edit import set_value
from domogik.config.watch import DirectoryWatcher

pytestmark = pytest.mark.integration


class DirectoryWatcherTests(TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name)
        self.directory = self.root / "home"
        self.directory.mkdir()
        self.told: list[set[Path]] = []
        self.waiting: tuple[set[Path], Deferred[None]] | None = None
        self.watcher = DirectoryWatcher(reactor, self._on_change, settle=0.01)
        self.addCleanup(self.watcher.stop)

    def _on_change(self, changed: set[Path]) -> None:
        self.told.append(changed)
        if self.waiting is not None and self.waiting[0] & changed:
            (_, fired), self.waiting = self.waiting, None
            fired.callback(None)

    def _change_of(self, *paths: Path) -> Deferred[None]:
        """Fires when a change of one of these paths is told."""
        fired: Deferred[None] = Deferred()
        self.waiting = (set(paths), fired)
        return fired

    async def test_a_file_written_in_place_is_told(self) -> None:
        self.watcher.watch(self.directory)
        told = self._change_of(self.directory / "domogik.cfg")
        (self.directory / "domogik.cfg").write_text("[plugins]\n")
        await told

    async def test_an_editor_that_writes_a_new_file_and_renames_it_is_told(self) -> None:
        path = self.directory / "domogik.cfg"
        self.watcher.watch(self.directory)
        for value in ("enabled", "disabled"):
            told = self._change_of(path)
            set_value(path, "plugins", "clock", value)
            await told
        names = {changed.name for changes in self.told for changed in changes}
        self.assertEqual(names, {"domogik.cfg"})

    async def test_a_link_that_is_replaced_and_one_that_is_removed_are_told(self) -> None:
        link = self.directory / "clock.xml"
        link.symlink_to("release-1")
        self.watcher.watch(self.directory)
        told = self._change_of(link)
        (self.directory / "new").symlink_to("release-2")
        (self.directory / "new").rename(link)
        await told
        told = self._change_of(link)
        link.unlink()
        await told

    async def test_permissions_that_change_are_told(self) -> None:
        path = self.directory / "admin.token"
        path.touch()
        self.watcher.watch(self.directory)
        told = self._change_of(path)
        path.chmod(0o600)
        await told

    async def test_reading_is_no_change(self) -> None:
        path = self.directory / "domogik.cfg"
        path.write_text("[plugins]\n")
        self.watcher.watch(self.directory)
        path.read_text()
        os.listdir(self.directory)
        told = self._change_of(self.directory / "marker")
        (self.directory / "marker").touch()
        await told
        self.assertEqual(self.told, [{self.directory / "marker"}])

    async def test_a_directory_removed_and_made_again_goes_on_being_watched(self) -> None:
        other = self.root / "other"
        other.mkdir()
        self.watcher.watch(self.directory)
        self.watcher.watch(other)
        for turn in range(3):
            told = self._change_of(self.directory)
            shutil.rmtree(self.directory)
            await told
            told = self._change_of(self.directory)
            self.directory.mkdir()
            await told
            for path in (self.directory / f"file{turn}", other / f"file{turn}"):
                told = self._change_of(path)
                path.touch()
                await told

    async def test_a_directory_replaced_by_another_is_told_and_watched(self) -> None:
        new = self.root / "new"
        new.mkdir()
        self.watcher.watch(self.directory)
        told = self._change_of(self.directory)
        self.directory.rename(self.root / "old")
        new.rename(self.directory)
        await told
        told = self._change_of(self.directory / "file")
        (self.directory / "file").touch()
        await told

    async def test_a_directory_deep_below_one_that_does_not_exist_is_found_when_it_is_made(
        self,
    ) -> None:
        deep = self.root / "a" / "b" / "c"
        self.watcher.watch(deep)
        told = self._change_of(deep)
        deep.mkdir(parents=True)
        await told
        told = self._change_of(deep / "file")
        (deep / "file").touch()
        await told

    async def test_one_inotify_instance_serves_all_directories(self) -> None:
        before = _inotify_instances()
        for number in range(20):
            directory = self.root / str(number)
            directory.mkdir()
            self.watcher.watch(directory)
        self.assertEqual(_inotify_instances(), before + 1)

    async def test_ten_thousand_changes_at_once_are_told_completely(self) -> None:
        self.watcher.watch(self.directory)
        # either each by name, or the kernel lost count and the directory stands for all of them
        told = self._change_of(self.directory / "last", self.directory)
        for number in range(10_000):
            (self.directory / f"{number}").touch()
        (self.directory / "last").touch()
        await told
        everything = set().union(*self.told)
        complete = {self.directory / f"{number}" for number in range(10_000)} <= everything
        self.assertTrue(complete or self.directory in everything)


def _inotify_instances() -> int:
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(link.is_symlink() and "inotify" in str(link.readlink()) for link in links)
