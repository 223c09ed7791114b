"""Backups of daemons as a person sees them: files of a directory, written and read as jobs."""

import os
import stat

import pytest
from twisted.internet.defer import Deferred

from domogik.errors import InvalidFileName, NotPossible, OperationFailed
from domogik.manager.daemons.backups import Backups
from domogik.manager.jobs import Jobs, JobState
from domogik.testing.local_host import START_TIME
from domogik.testing.servers import server_error
from domogik.threads import at_once

CACHE = "[daemon:cache]\nkind = redis\n"


def outcome(awaitable):
    """What an operation has come to: empty while it goes on, else its result or its error."""
    results = []
    Deferred.fromCoroutine(awaitable).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


@pytest.fixture
def place(manager):
    return manager.directory / "backups"


@pytest.fixture
def jobs(manager):
    return Jobs(manager.events, lambda: START_TIME)


@pytest.fixture
def backups(manager, server, place, jobs):
    """Those of a manager whose `cache` runs."""
    manager.configure(CACHE).read()
    assert outcome(manager.daemons.start_all()) == []
    manager.network.turn()
    return Backups(manager.daemons, place, jobs, at_once, lambda: START_TIME)


def done(manager, awaitable):
    result = outcome(awaitable)
    manager.network.turn()
    (one,) = result
    return one


def test_before_the_first_there_are_none(manager, backups):
    assert done(manager, backups.all()) == ()


def test_a_backup_is_named_by_its_daemon_and_the_time_in_utc(manager, backups, place):
    made = done(manager, backups.backup("cache", None))
    assert (made.file, made.size_bytes) == ("cache-20270115-080000.backup", len("all of it"))
    assert (place / made.file).read_text() == "all of it"
    assert made.written == (place / made.file).stat().st_mtime
    assert done(manager, backups.all()) == (made,)


def test_it_may_have_a_name_of_its_own(manager, backups, place):
    assert done(manager, backups.backup("cache", "monday.rdb")).file == "monday.rdb"
    assert (place / "monday.rdb").is_file()


def test_nobody_else_may_look_at_backups(manager, backups, place):
    done(manager, backups.backup("cache", "one"))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_no_backup_is_written_over_another(manager, server, backups, place):
    done(manager, backups.backup("cache", "one"))
    (place / "one").write_text("of last year")
    again = done(manager, backups.backup("cache", "one"))
    assert isinstance(again, OperationFailed)
    assert str(again) == "there is a backup one already"
    assert (place / "one").read_text() == "of last year"
    assert server.made[0].done.count("backup") == 1


@pytest.mark.parametrize(
    "file", ["../one", "/etc/passwd", ".one", "a b", "a\n", "-a", "x" * 101, "\u00e9"]
)
def test_what_is_no_name_of_a_file_there_is_refused(manager, server, backups, place, file):
    for work in (backups.backup("cache", file), backups.restore("cache", file)):
        error = done(manager, work)
        assert isinstance(error, InvalidFileName)
        assert str(error) == (
            "a backup is named by at most 100 letters, digits, ., _ and -, a letter or digit first"
        )
    assert not place.exists()
    assert "restore" not in server.made[0].done


def test_a_name_may_have_a_hundred_letters(manager, backups):
    assert done(manager, backups.backup("cache", "x" * 100)).file == "x" * 100


def test_where_no_directory_can_be_made_that_is_said(manager, backups, place):
    place.symlink_to(place.parent / "nowhere" / "at-all")
    error = done(manager, backups.backup("cache", "one"))
    assert isinstance(error, OperationFailed)
    assert str(error).startswith(f"{place}: ")


def test_a_server_that_does_not_give_its_data_is_quoted(manager, server, backups, place, jobs):
    server.made[0].errors["backup"] = server_error("its data cannot be read", "bad page")
    error = done(manager, backups.backup("cache", "one"))
    assert str(error) == "its data cannot be read: bad page"
    assert done(manager, backups.all()) == ()
    (job,) = jobs.all()
    assert (job.state, job.error) == (JobState.FAILED, "its data cannot be read: bad page")


def test_the_newest_comes_first_and_of_the_same_time_the_first_by_name(manager, backups, place):
    for file, written in (("old", 1000), ("b", 2000), ("a", 2000), ("new", 3000)):
        done(manager, backups.backup("cache", file))
        os.utime(place / file, (written, written))
    assert [one.file for one in done(manager, backups.all())] == ["new", "a", "b", "old"]


def test_what_else_lies_there_is_no_backup(manager, backups, place):
    done(manager, backups.backup("cache", "one"))
    (place / "directory").mkdir()
    (place / ".hidden").touch()
    (place / "two words").touch()
    (place / "lost").symlink_to(place / "nowhere")
    assert [one.file for one in done(manager, backups.all())] == ["one"]


def test_a_restore_puts_that_file_in_place(manager, server, backups, place, jobs):
    done(manager, backups.backup("cache", "one"))
    assert done(manager, backups.restore("cache", "one")) is None
    assert server.made[0].done.count("restore") == 1
    restore, backup = jobs.all()
    assert (restore.kind, restore.subject, restore.stage, restore.state) == (
        *("restore", "daemon:cache", "reading one"),
        JobState.DONE,
    )
    assert (backup.kind, backup.stage) == ("backup", "writing one")


@pytest.mark.parametrize("file", ["ghost", "directory"])
def test_what_is_not_there_is_not_restored_and_nobody_is_stopped(
    manager, server, backups, place, file
):
    (place / "directory").mkdir(parents=True)
    error = done(manager, backups.restore("cache", file))
    assert isinstance(error, NotPossible)
    assert str(error) == f"there is no backup {file}"
    assert "before_stop" not in server.made[0].done


def test_one_thing_at_a_time_is_done_to_a_daemon(manager, server, backups, monkeypatch, jobs):
    done(manager, backups.backup("cache", "one"))
    going: Deferred[str] = Deferred()
    monkeypatch.setattr(server, "restore", lambda daemon, path: going)
    restore = outcome(backups.restore("cache", "one"))
    manager.network.turn()
    backup = outcome(backups.backup("cache", "two"))
    manager.network.turn()
    assert (restore, backup) == ([], [])
    assert jobs.all()[0].state is JobState.QUEUED
    going.callback("restored")
    manager.network.turn()
    assert restore == [None]
    assert [one.file for one in backup] == ["two"]
