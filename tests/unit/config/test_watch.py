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


class AllHosts:
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
def all_hosts() -> AllHosts:
    return AllHosts()


def test_a_change_is_told_a_moment_after_the_last_of_its_kind(
    all_hosts: AllHosts, tmp_path: Path
) -> None:
    all_hosts.watcher.watch(tmp_path)
    all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, "a")
    all_hosts.clock.advance(0.09)
    all_hosts.kernel.tell(tmp_path, inotify.IN_CLOSE_WRITE, "b")
    all_hosts.clock.advance(0.09)
    assert all_hosts.told == []
    all_hosts.clock.advance(0.02)
    assert all_hosts.told == [{tmp_path / "a", tmp_path / "b"}]


def test_a_file_that_never_comes_to_rest_is_told_after_a_second(
    all_hosts: AllHosts, tmp_path: Path
) -> None:
    all_hosts.watcher.watch(tmp_path)
    for _ in range(21):
        all_hosts.kernel.tell(tmp_path, inotify.IN_CLOSE_WRITE, "a")
        all_hosts.clock.advance(0.05)
    assert all_hosts.told == [{tmp_path / "a"}]


def test_lock_and_temporary_files_are_nobodys_business(all_hosts: AllHosts, tmp_path: Path) -> None:
    all_hosts.watcher.watch(tmp_path)
    all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, ".domogik.cfg.lock")
    all_hosts.clock.advance(2)
    assert all_hosts.told == []
    assert all_hosts.clock.getDelayedCalls() == []


def test_when_the_kernel_lost_count_everything_may_have_changed(
    all_hosts: AllHosts, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        directory.mkdir()
        all_hosts.watcher.watch(directory)
    with capturedLogs() as logged:
        all_hosts.kernel.on_event(-1, inotify.IN_Q_OVERFLOW, "")
        all_hosts.clock.advance(1)
    assert all_hosts.told == [{one, other}]
    assert [event["log_level"] for event in logged] == [LogLevel.warn]


def test_a_directory_that_does_not_exist_yet_is_told_when_it_is_made(
    all_hosts: AllHosts, tmp_path: Path
) -> None:
    wanted = tmp_path / "packages" / "plugins"
    all_hosts.watcher.watch(wanted)
    all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, "another")
    (tmp_path / "packages").mkdir()
    all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, "packages")
    all_hosts.clock.advance(1)
    assert all_hosts.told == []
    wanted.mkdir()
    all_hosts.kernel.tell(tmp_path / "packages", inotify.IN_CREATE, "plugins")
    all_hosts.kernel.tell(wanted, inotify.IN_CREATE, "clock.xml")
    all_hosts.clock.advance(1)
    assert all_hosts.told == [{wanted, wanted / "clock.xml"}]


def test_what_is_forgotten_is_not_told(all_hosts: AllHosts, tmp_path: Path) -> None:
    all_hosts.watcher.watch(tmp_path)
    all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, "a")
    all_hosts.watcher.forget(tmp_path)
    all_hosts.watcher.forget(tmp_path)
    all_hosts.clock.advance(1)
    assert all_hosts.told == []
    assert all_hosts.kernel.numbers == {}


def test_a_directory_that_two_wait_for_is_watched_until_both_have_left(
    all_hosts: AllHosts, tmp_path: Path
) -> None:
    all_hosts.watcher.watch(tmp_path / "a")
    all_hosts.watcher.watch(tmp_path / "b")
    all_hosts.watcher.forget(tmp_path / "a")
    assert list(all_hosts.kernel.numbers) == [str(tmp_path)]
    all_hosts.watcher.forget(tmp_path / "b")
    assert all_hosts.kernel.numbers == {}


def test_a_stopped_watcher_leaves_nothing_behind(all_hosts: AllHosts, tmp_path: Path) -> None:
    all_hosts.watcher.watch(tmp_path)
    all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, "a")
    all_hosts.watcher.stop()
    all_hosts.watcher.stop()
    assert all_hosts.clock.getDelayedCalls() == []
    assert all_hosts.kernel.closed
    assert all_hosts.told == []


def test_a_reaction_that_fails_does_not_end_the_watching(tmp_path: Path) -> None:
    all_hosts = AllHosts()

    def fail(changed: set[Path]) -> None:
        all_hosts.told.append(changed)
        raise RuntimeError("not today")

    all_hosts.watcher = DirectoryWatcher(
        all_hosts.clock, fail, make_inotify=all_hosts._make_inotify
    )
    all_hosts.watcher.watch(tmp_path)
    with capturedLogs() as logged:
        for name in "ab":
            all_hosts.kernel.tell(tmp_path, inotify.IN_CREATE, name)
            all_hosts.clock.advance(1)
    assert all_hosts.told == [{tmp_path / "a"}, {tmp_path / "b"}]
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
