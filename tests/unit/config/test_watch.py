"""When a change in a directory is told, and what happens where the kernel cannot tell it."""

from pathlib import Path

import pytest
from twisted.internet import inotify
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from domogik.config.watch import DirectoryWatcher


class FakeInotify:
    """A kernel that knows a fixed set of directories and tells what the test says."""

    def __init__(self, reactor: Clock, on_event) -> None:
        self.on_event = on_event
        self.numbers: dict[str, int] = {}
        self.closed = False

    def startReading(self) -> None:
        pass

    def watch(self, path, mask: int) -> int:
        return self.numbers.setdefault(path.path.decode(), len(self.numbers) + 1)

    def ignore(self, path) -> None:
        del self.numbers[path.path.decode()]

    def loseConnection(self) -> None:
        self.closed = True

    def tell(self, directory: Path, mask: int, name: str = "") -> None:
        self.on_event(self.numbers[str(directory)], mask, name)


class House:
    """A watcher on a fake kernel, and what it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[set[Path]] = []
        self.kernel: FakeInotify | None = None
        self.watcher = DirectoryWatcher(
            self.clock, self.told.append, make_inotify=self._make_inotify
        )

    def _make_inotify(self, reactor: Clock, on_event) -> FakeInotify:
        self.kernel = FakeInotify(reactor, on_event)
        return self.kernel


@pytest.fixture
def house() -> House:
    return House()


def test_a_change_is_told_a_moment_after_the_last_of_its_kind(house: House, tmp_path: Path) -> None:
    house.watcher.watch(tmp_path)
    house.kernel.tell(tmp_path, inotify.IN_CREATE, "a")
    house.clock.advance(0.09)
    house.kernel.tell(tmp_path, inotify.IN_CLOSE_WRITE, "b")
    house.clock.advance(0.09)
    assert house.told == []
    house.clock.advance(0.02)
    assert house.told == [{tmp_path / "a", tmp_path / "b"}]


def test_a_file_that_never_comes_to_rest_is_told_after_a_second(
    house: House, tmp_path: Path
) -> None:
    house.watcher.watch(tmp_path)
    for _ in range(21):
        house.kernel.tell(tmp_path, inotify.IN_CLOSE_WRITE, "a")
        house.clock.advance(0.05)
    assert house.told == [{tmp_path / "a"}]


def test_lock_and_temporary_files_are_nobodys_business(house: House, tmp_path: Path) -> None:
    house.watcher.watch(tmp_path)
    house.kernel.tell(tmp_path, inotify.IN_CREATE, ".domogik.cfg.lock")
    house.clock.advance(2)
    assert house.told == []
    assert house.clock.getDelayedCalls() == []


def test_when_the_kernel_lost_count_everything_may_have_changed(
    house: House, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        directory.mkdir()
        house.watcher.watch(directory)
    with capturedLogs() as logged:
        house.kernel.on_event(-1, inotify.IN_Q_OVERFLOW, "")
        house.clock.advance(1)
    assert house.told == [{one, other}]
    assert [event["log_level"] for event in logged] == [LogLevel.warn]


def test_a_directory_that_does_not_exist_yet_is_told_when_it_is_made(
    house: House, tmp_path: Path
) -> None:
    wanted = tmp_path / "packages" / "plugins"
    house.watcher.watch(wanted)
    house.kernel.tell(tmp_path, inotify.IN_CREATE, "another")
    (tmp_path / "packages").mkdir()
    house.kernel.tell(tmp_path, inotify.IN_CREATE, "packages")
    house.clock.advance(1)
    assert house.told == []
    wanted.mkdir()
    house.kernel.tell(tmp_path / "packages", inotify.IN_CREATE, "plugins")
    house.kernel.tell(wanted, inotify.IN_CREATE, "clock.xml")
    house.clock.advance(1)
    assert house.told == [{wanted, wanted / "clock.xml"}]


def test_what_is_forgotten_is_not_told(house: House, tmp_path: Path) -> None:
    house.watcher.watch(tmp_path)
    house.kernel.tell(tmp_path, inotify.IN_CREATE, "a")
    house.watcher.forget(tmp_path)
    house.watcher.forget(tmp_path)
    house.clock.advance(1)
    assert house.told == []
    assert house.kernel.numbers == {}


def test_a_directory_that_two_wait_for_is_watched_until_both_have_left(
    house: House, tmp_path: Path
) -> None:
    house.watcher.watch(tmp_path / "a")
    house.watcher.watch(tmp_path / "b")
    house.watcher.forget(tmp_path / "a")
    assert list(house.kernel.numbers) == [str(tmp_path)]
    house.watcher.forget(tmp_path / "b")
    assert house.kernel.numbers == {}


def test_a_stopped_watcher_leaves_nothing_behind(house: House, tmp_path: Path) -> None:
    house.watcher.watch(tmp_path)
    house.kernel.tell(tmp_path, inotify.IN_CREATE, "a")
    house.watcher.stop()
    house.watcher.stop()
    assert house.clock.getDelayedCalls() == []
    assert house.kernel.closed
    assert house.told == []


def test_a_reaction_that_fails_does_not_end_the_watching(tmp_path: Path) -> None:
    house = House()

    def fail(changed: set[Path]) -> None:
        house.told.append(changed)
        raise RuntimeError("not today")

    house.watcher = DirectoryWatcher(house.clock, fail, make_inotify=house._make_inotify)
    house.watcher.watch(tmp_path)
    with capturedLogs() as logged:
        for name in "ab":
            house.kernel.tell(tmp_path, inotify.IN_CREATE, name)
            house.clock.advance(1)
    assert house.told == [{tmp_path / "a"}, {tmp_path / "b"}]
    assert [event["log_level"] for event in logged] == [LogLevel.critical] * 2


class Exhausted:
    """A user who has no inotify instance left, and the watcher of such a user."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[set[Path]] = []
        self.watcher = DirectoryWatcher(
            self.clock, self.told.append, make_inotify=self._make_inotify
        )

    def _make_inotify(self, reactor: Clock, on_event) -> None:
        raise inotify.INotifyError("INotify initialization error.")


def test_without_inotify_directories_are_looked_at_every_few_seconds(tmp_path: Path) -> None:
    poor = Exhausted()
    (tmp_path / "old").write_text("1")
    with capturedLogs() as logged:
        poor.watcher.watch(tmp_path)
    assert "cannot be watched by inotify" in logged[0]["log_format"]
    (tmp_path / "new").write_text("1")
    (tmp_path / "old").write_text("12")
    (tmp_path / ".hidden").write_text("1")
    poor.clock.pump([5, 0.2])
    assert poor.told == [{tmp_path / "new", tmp_path / "old"}]
    (tmp_path / "old").unlink()
    poor.clock.pump([5, 0.2, 5, 0.2])
    assert poor.told[1:] == [{tmp_path / "old"}]
    poor.watcher.stop()
    assert poor.clock.getDelayedCalls() == []


def test_without_inotify_a_directory_that_comes_and_goes_is_told(tmp_path: Path) -> None:
    poor = Exhausted()
    with capturedLogs():
        poor.watcher.watch(tmp_path / "sub")
    (tmp_path / "sub").mkdir()
    poor.clock.pump([5, 0.2])
    (tmp_path / "sub").rmdir()
    poor.clock.pump([5, 0.2])
    assert poor.told == [{tmp_path / "sub"}] * 2
