"""What is wrong with a managed daemon, found by looking at it from all sides."""

import attrs
import pytest
from twisted.internet.defer import Deferred

from domogik.components.health import Result
from domogik.daemons.core.errors import NotReady
from domogik.errors import OperationFailed
from domogik.manager.daemons import daemon_checks
from domogik.manager.daemons.daemon_checks import LITTLE_ROOM, PATIENCE
from domogik.supervisor.ports.listeners import Listener
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.testing.servers import FREE_PORT, server_error

CACHE = "[daemon:cache]\nkind = redis\npassword = s3cret\n"


@attrs.define
class Sockets:
    """Who listens, as the kernel would say: process -> its sockets; None sees nothing."""

    owned: dict[int, list[Listener]] = attrs.field(factory=dict)
    trouble: Exception | None = None

    def open(self, pid):
        self.owned[pid] = [
            Listener(
                kind="tcp4",
                address="127.0.0.1",
                port=FREE_PORT,
                inode=1000 + pid,
                v6only=None,
                uid=0,
            )
        ]

    def holders(self, host, port):
        assert (host, port) == ("127.0.0.1", FREE_PORT)
        if self.trouble is not None:
            raise self.trouble
        return [one for sockets in self.owned.values() for one in sockets]

    def owners(self, inodes, among=None):
        return {
            inode: [
                pid
                for pid, sockets in self.owned.items()
                if pid in among and inode in [one.inode for one in sockets]
            ]
            for inode in inodes
        }


@attrs.frozen
class Usage:
    """Of a disk, in bytes."""

    free: int


@pytest.fixture
def sockets(monkeypatch):
    made = Sockets()
    monkeypatch.setattr(daemon_checks, "holders", made.holders)
    monkeypatch.setattr(daemon_checks, "owners", made.owners)
    monkeypatch.setattr(daemon_checks, "described", lambda strange: f"{len(strange)} strangers")
    monkeypatch.setattr(daemon_checks.shutil, "disk_usage", lambda path: Usage(LITTLE_ROOM))
    return made


@pytest.fixture
def cache(manager, server, sockets):
    """The daemon `cache`, which serves, its port open."""
    manager.configure(CACHE).read()
    result = outcome(manager.daemons.start("cache"))
    manager.network.turn()
    assert result == [None]
    (process,) = manager.processes.living
    sockets.open(process.identity.pid)
    return server.made[0]


def outcome(awaitable):
    """What an operation has come to: empty while it goes on, else its result or its error."""
    results = []
    Deferred.fromCoroutine(awaitable).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def checked(manager):
    """Check id -> what came out."""
    result = outcome(manager.daemons.checks("cache"))
    manager.network.turn()
    (checks,) = result
    assert {one.component_id for one in checks} == {"daemon:cache"}
    return {one.check_id: one for one in checks}


def directory(manager):
    return manager.directory / "daemons" / "cache"


def actions(check):
    return [one.action for one in check.suggestions]


def not_passed(checks):
    return {id for id, one in checks.items() if one.result is not Result.PASSED}


def test_one_that_serves_passes_them_all(manager, cache):
    checks = checked(manager)
    assert not_passed(checks) == set()
    assert list(checks) == [
        *("daemon-state", "daemon-ready", "daemon-port", "daemon-directory"),
        *("daemon-parameters", "daemon-permissions", "daemon-disk-space", "daemon-data"),
    ]
    assert not any(one.suggestions for one in checks.values())
    assert checks["daemon-state"].filled == "cache is alive"
    assert checks["daemon-port"].filled == f"cache listens on port {FREE_PORT} of 127.0.0.1"


def test_one_that_never_started_is_asked_only_what_it_can_answer(manager, server, sockets):
    manager.configure(CACHE).read()
    checks = checked(manager)
    state = checks.pop("daemon-state")
    assert (state.result, actions(state)) == (Result.WARNING, ["start"])
    assert {one.result for one in checks.values()} == {Result.SKIPPED}
    assert checks["daemon-directory"].filled.endswith("not looked at, it is not there yet")
    assert checks["daemon-ready"].filled.endswith("protocol: not looked at, it never started")
    assert "probe" not in server.made[0].done


def test_one_that_is_stopped_may_be_started_and_nobody_expects_an_answer(manager, cache, sockets):
    outcome(manager.daemons.stop("cache"))
    manager.network.turn()
    sockets.owned.clear()
    checks = checked(manager)
    assert not_passed(checks) == {"daemon-state", "daemon-ready", "daemon-port"}
    assert (checks["daemon-state"].result, actions(checks["daemon-state"])) == (
        Result.WARNING,
        ["start"],
    )
    for id in ("daemon-ready", "daemon-port"):
        assert checks[id].result is Result.SKIPPED
        assert checks[id].filled.endswith("not looked at, it does not run")


def test_one_that_failed_says_why_and_may_be_restarted(manager, cache):
    cache.errors["check_data"] = server_error("its data are those of version 9")
    outcome(manager.daemons.restart("cache"))
    manager.network.turn()
    checks = checked(manager)
    state, data = checks["daemon-state"], checks["daemon-data"]
    assert (state.result, actions(state)) == (Result.FAILED, ["restart", "look-at-logs"])
    assert "its data are those of version 9" in state.filled
    assert data.result is Result.FAILED
    assert data.filled.endswith("cannot work with its data: its data are those of version 9")


# What it answers


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotReady("loading"), "loading"),
        (
            server_error("it does not take s3cret", "one\nwrong s3cret\n"),
            "it does not take ***: wrong",
        ),
    ],
)
def test_a_wrong_answer_is_told_without_its_password(manager, cache, error, said):
    cache.errors["probe"] = error
    ready = checked(manager)["daemon-ready"]
    assert (ready.result, actions(ready)) == (Result.FAILED, ["restart", "look-at-logs"])
    assert ready.filled.startswith(f"cache does not answer as it should: {said}")
    assert "s3cret" not in ready.filled


def test_no_answer_is_waited_for_as_long_as_patience_goes(manager, cache):
    cache.probe_wait = Deferred()
    result = outcome(manager.daemons.checks("cache"))
    manager.network.turn(PATIENCE - 0.5)
    assert result == []
    manager.network.turn(0.5)
    (checks,) = result
    ready = next(one for one in checks if one.check_id == "daemon-ready")
    assert ready.result is Result.FAILED
    assert ready.filled.endswith(": no answer within 5 s")


# Its port


def test_a_port_that_another_program_has_is_changed_in_the_configuration(manager, server, sockets):
    manager.configure(CACHE).read()
    taken = server_error("port 6379 is held by redis-server (process 812)")
    server.made[0].errors["check_data"] = taken
    outcome(manager.daemons.start("cache"))
    manager.network.turn()
    state = checked(manager)["daemon-state"]
    assert "port 6379 is held by redis-server (process 812)" in state.filled
    assert state.suggestions[0].sentence == "Change `port` in [daemon:cache], domogik.cfg:2"


def test_a_port_where_nobody_listens_asks_for_a_restart(manager, cache, sockets):
    sockets.owned.clear()
    port = checked(manager)["daemon-port"]
    assert (port.result, actions(port)) == (Result.FAILED, ["restart"])
    assert port.filled.endswith("is not listened on")


def test_a_stranger_at_its_port_is_told_and_only_a_person_ends_him(manager, cache, sockets):
    sockets.open(1)
    port = checked(manager)["daemon-port"]
    assert (port.result, actions(port)) == (Result.FAILED, ["configure"])
    assert port.filled == f"Port {FREE_PORT} of 127.0.0.1 is 1 strangers"
    (advice,) = port.suggestions
    assert advice.sentence == "Change `port` in [daemon:cache], domogik.cfg:2"
    assert not any(one.is_repairable for one in port.suggestions)


def test_where_sockets_cannot_be_seen_nothing_is_claimed(manager, cache, sockets):
    sockets.trouble = CannotSeeSockets("netlink is closed")
    port = checked(manager)["daemon-port"]
    assert port.result is Result.ERROR
    assert port.filled.endswith(": netlink is closed")


# Its data and its directory


@pytest.mark.parametrize(
    "error", [OperationFailed("no such program"), OSError(13, "no such program")]
)
def test_data_that_cannot_be_looked_at_are_no_good_data(manager, cache, error):
    cache.errors["check_data"] = error
    data = checked(manager)["daemon-data"]
    assert data.result is Result.FAILED
    assert data.filled.endswith("no such program")


def test_a_directory_without_its_mark_is_not_its_own(manager, cache):
    (directory(manager) / ".managed").unlink()
    check = checked(manager)["daemon-directory"]
    assert (check.result, actions(check)) == (Result.FAILED, ["move-away"])
    assert check.suggestions[0].sentence.startswith("Move it away: mv /")
    assert "it has no .managed file" in check.filled


def test_parameters_that_are_damaged_are_told(manager, cache, printed):
    (directory(manager) / "service.json").write_text("{")
    checks = checked(manager)
    assert not_passed(checks) == {"daemon-parameters"}
    record = checks["daemon-parameters"]
    path = directory(manager) / "service.json"
    assert record.filled == f"The record of daemon cache is damaged: {path}"
    path.unlink()
    record = checked(manager)["daemon-parameters"]
    assert record.filled == f"The record of daemon cache is missing: {path}"
    assert printed(record.suggestions[0].sentence) == [
        "dmg_ctl daemon stop cache",
        "dmg_ctl daemon start cache",
    ]


@pytest.mark.parametrize("name", [".", "service.json", "password"])
@pytest.mark.parametrize("mode", [0o740, 0o701, 0o702])
def test_whatever_others_may_do_with_it_is_too_much(manager, cache, name, mode):
    path = directory(manager) / name
    path.chmod(mode)
    checks = checked(manager)
    assert not_passed(checks) == {"daemon-permissions"}
    check = checks["daemon-permissions"]
    assert check.filled.endswith(f": {path}")
    assert [one.sentence for one in check.suggestions] == [f"chmod go= {path}"]


@pytest.mark.parametrize(
    ("free", "result", "advice"),
    [
        (LITTLE_ROOM, Result.PASSED, []),
        (LITTLE_ROOM - 1, Result.FAILED, ["free-disk"]),
    ],
)
def test_a_disk_is_full_before_nothing_is_left(manager, cache, monkeypatch, free, result, advice):
    def look(path):
        assert path == directory(manager)
        return Usage(free)

    monkeypatch.setattr(daemon_checks.shutil, "disk_usage", look)
    room = checked(manager)["daemon-disk-space"]
    assert (room.result, actions(room)) == (result, advice)
    text = "There is room on the disk of cache: 67 MB"
    full = f"Disk almost full: 67 MB free at {directory(manager)}"
    assert room.filled == (text if result is Result.PASSED else full)


def test_every_question_is_asked_where_everything_is_wrong(manager, cache, sockets):
    cache.errors.update(probe=NotReady("loading"), check_data=server_error("bad"))
    sockets.owned.clear()
    (directory(manager) / ".managed").unlink()
    (directory(manager) / "service.json").unlink()
    directory(manager).chmod(0o755)
    assert not_passed(checked(manager)) == {
        *("daemon-ready", "daemon-port", "daemon-directory", "daemon-parameters"),
        *("daemon-permissions", "daemon-data"),
    }
