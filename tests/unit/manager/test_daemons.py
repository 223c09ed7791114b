"""The managed daemons of a manager: sections that come, go and change, and whom they keep up."""

import pytest
from twisted.internet.defer import Deferred

from domogik.components.model import ComponentId, Kind, State
from domogik.config.load import BrokenConfiguration, load
from domogik.daemons.core.errors import NotReady
from domogik.daemons.settings import daemon_policies
from domogik.errors import NotPossible, OperationFailed, UnknownComponent
from domogik.manager.daemons import daemons
from domogik.supervisor.interfaces import Exit
from domogik.testing.servers import FREE_PORT, server_error

CACHE = "[daemon:cache]\nkind = redis\npassword = s3cret\n"
NEEDED = f"[plugins]\nclock = enabled\n[component:plugin:clock]\nneeds = daemon:cache\n{CACHE}"
AGAIN = "started again in 1.0 s: "


def outcome(awaitable):
    """What an operation has come to: empty while it goes on, else its result or its error."""
    results = []
    Deferred.fromCoroutine(awaitable).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def shown(manager, name="cache"):
    return manager.components.get(ComponentId(Kind.DAEMON, name))


def configure(manager, text=CACHE):
    manager.configure(text).read()
    manager.network.turn()


def started(manager, text=CACHE):
    """All that is configured runs, as after a start of the manager."""
    configure(manager, text)
    begun = outcome(manager.daemons.start_all())
    manager.network.turn()
    assert begun == [None]


def ended(manager, awaitable):
    """What an operation came to by its end, without time passing."""
    result = outcome(awaitable)
    manager.network.turn()
    (one,) = result
    return one


def crash(manager):
    (process,) = manager.processes.living
    process.ends(Exit(code=1))
    manager.network.turn()


# Sections that come, go and change


def test_a_section_is_a_component_that_says_what_it_is(manager, server):
    configure(manager)
    assert manager.daemons.names() == ("cache",)
    assert (shown(manager).state, shown(manager).technology) == (State.STOPPED, "redis")
    assert shown(manager).description == "Fake on 127.0.0.1"
    configure(manager, CACHE + "port = 6399\n")
    assert shown(manager).description == "Fake on 127.0.0.1 port 6399"


def test_nothing_is_started_before_the_manager_starts_its_daemons(manager, server):
    configure(manager)
    assert manager.processes.living == []
    started(manager)
    assert shown(manager).state.is_on
    assert shown(manager).pid == manager.processes.living[0].identity.pid
    assert shown(manager).description == f"Fake on 127.0.0.1 port {FREE_PORT}"


def test_a_section_that_comes_later_is_started_at_once(manager, server):
    started(manager)
    configure(manager, f"{CACHE}[daemon:other]\nkind = redis\nport = 40002\n")
    assert manager.daemons.names() == ("cache", "other")
    assert shown(manager, "other").state.is_on
    assert len(manager.processes.living) == 2


def test_a_section_that_goes_takes_its_server_with_it_and_leaves_its_directory(manager, server):
    started(manager)
    configure(manager, "")
    assert manager.daemons.names() == ()
    assert shown(manager) is None
    assert manager.processes.living == []
    assert (manager.directory / "daemons" / "cache" / "data").is_dir()
    with pytest.raises(UnknownComponent, match="Component cache doesn't exists on vm"):
        manager.daemons.credentials("cache")


def test_who_needs_what_goes_is_stopped_before_it(manager, server):
    started(manager, NEEDED)
    manager.start("clock")
    configure(manager, NEEDED.removesuffix(CACHE))
    assert not manager.plugin("clock").state.is_on
    assert manager.processes.living == []


def test_a_section_that_comes_back_while_its_server_stops_is_started_as_it_says_then(
    manager, server
):
    started(manager)
    manager.processes.living[0].ignores_signals = True
    configure(manager, "")
    assert shown(manager).state is State.STOPPING
    assert manager.daemons.names() == ()
    configure(manager, CACHE + "databases = 4\n")
    manager.network.turn(60.0)
    assert manager.daemons.names() == ("cache",)
    assert shown(manager).state.is_on
    assert server.made[-1].option("databases") == 4


def test_one_that_cannot_be_ended_is_tried_again_until_it_is_gone(manager, server):
    started(manager)
    (process,) = manager.processes.living
    process.ignores_signals = process.survives_kill = True
    configure(manager, "")
    manager.network.turn(60.0)
    assert shown(manager) is not None
    process.ignores_signals = process.survives_kill = False
    for _ in range(30):
        manager.network.turn(60.0)
    assert shown(manager) is None
    assert manager.processes.living == []


def test_a_change_counts_from_the_next_start_and_is_said_until_then(manager, server):
    started(manager)
    pid = shown(manager).pid
    configure(manager, CACHE + "databases = 4\n")
    assert (shown(manager).pid, shown(manager).state.is_on) == (pid, True)
    assert shown(manager).reason == "its section in the configuration has changed since its start"
    assert server.made[0].option("databases") == 16
    assert ended(manager, manager.daemons.restart("cache")) is None
    assert shown(manager).reason == ""
    assert shown(manager).pid != pid
    assert server.made[0].option("databases") == 4


def test_a_broken_section_changes_nothing(manager, server):
    started(manager)
    configure(manager, "[daemon:cache]\nkind = gopher\n")
    assert shown(manager).state.is_on
    assert manager.daemons.names() == ("cache",)


def test_a_section_can_be_looked_at_without_taking_it_over(manager, server, tmp_path):
    (tmp_path / "other.cfg").write_text("[daemon:cache]\nkind = redis\nport = none\n")
    with pytest.raises(BrokenConfiguration, match=r"other\.cfg:3"):
        daemon_policies(load([tmp_path / "other.cfg"]))
    (tmp_path / "other.cfg").write_text(CACHE)
    assert list(daemon_policies(load([tmp_path / "other.cfg"]))) == ["cache"]
    assert manager.daemons.names() == ()


def test_what_failed_is_tried_again_when_its_section_changes(manager, server):
    configure(manager)
    server.made[0].errors["initialise"] = server_error("no room")
    assert ended(manager, manager.daemons.start_all()) is None
    assert (shown(manager).state, shown(manager).reason) == (State.BACKOFF, f"{AGAIN}no room")
    server.made[0].errors.clear()
    configure(manager, CACHE + "databases = 4\n")
    assert shown(manager).state.is_on


def test_a_directory_that_is_not_its_own_is_told_at_its_start_and_keeps_nobody_else_down(
    manager, server
):
    (manager.directory / "daemons" / "cache").mkdir(parents=True)
    (manager.directory / "daemons" / "cache" / "diary").touch()
    started(manager, f"{CACHE}[daemon:other]\nkind = redis\n")
    assert shown(manager).state is State.BACKOFF
    assert "is not empty, and not made by this program" in shown(manager).reason
    assert shown(manager, "other").state.is_on


# How they are


def test_it_is_up_when_it_answers_and_not_before(manager, server):
    configure(manager)
    server.made[0].errors["probe"] = NotReady("loading")
    start = outcome(manager.daemons.start("cache"))
    manager.network.turn(1.0)
    assert (start, shown(manager).state) == ([], State.STARTING)
    server.made[0].errors.clear()
    manager.network.turn(1.0)
    assert start == [None]
    assert shown(manager).state.is_on


def test_a_start_that_waiting_does_not_help_fails_at_once_with_what_it_said(manager, server):
    configure(manager)
    server.made[0].errors["probe"] = server_error(
        "Fake does not take s3cret", "begin\nno such user s3cret\n\n"
    )
    error = ended(manager, manager.daemons.start("cache"))
    assert str(error) == (
        "Component cache failed to start. Please look in this component log files"
    )
    assert error.reason == "Fake does not take ***: no such user ***"
    assert shown(manager).reason == f"{AGAIN}{error.reason}"


def test_one_that_answers_no_more_does_not_respond_and_says_why(manager, server):
    started(manager)
    server.made[0].errors["probe"] = NotReady("nobody listens")
    manager.network.turn(10.0)
    assert shown(manager).state is State.NOT_RESPONDING
    assert shown(manager).reason == "nobody listens"
    server.made[0].errors.clear()
    manager.network.turn(10.0)
    assert (shown(manager).state.is_on, shown(manager).reason) == (True, "")


def test_one_that_crashes_comes_back(manager, server):
    started(manager)
    crash(manager)
    assert (shown(manager).state, shown(manager).pid) == (State.BACKOFF, None)
    assert shown(manager).reason == f"{AGAIN}exit status 1"
    manager.network.turn(1.0)
    assert (shown(manager).state.is_on, shown(manager).restarts) == (True, 1)


def test_who_waits_for_it_is_started_when_it_is_back(manager, server):
    configure(manager, NEEDED)
    server.made[0].errors["check_data"] = server_error("no room")
    manager.order("start", "clock")
    manager.network.turn()
    assert "no room" in manager.plugin("clock").reason
    assert not manager.plugin("clock").state.is_on
    server.made[0].errors.clear()
    assert ended(manager, manager.daemons.start("cache")) is None
    manager.beat("clock")
    manager.network.turn(1.0)
    assert manager.plugin("clock").state.is_on


def test_once_closed_it_is_asked_no_more(manager, server):
    started(manager)
    asked = server.made[0].done.count("probe")
    manager.daemons.close()
    manager.network.turn(60.0)
    assert server.made[0].done.count("probe") == asked


def test_its_directory_says_who_runs_in_it(manager, server):
    started(manager)
    assert "note" in server.made[0].done
    ended(manager, manager.daemons.stop("cache"))
    assert server.made[0].done[-1] == "forget"


def test_a_directory_that_cannot_be_written_keeps_it_from_nothing(manager, server):
    configure(manager)
    server.made[0].errors["note"] = OSError(28, "No space left on device")
    assert ended(manager, manager.daemons.start("cache")) is None
    assert shown(manager).state.is_on


def test_what_it_was_configured_with_is_told_without_its_password(manager, server):
    started(manager, CACHE + "databases = 4\nkeep_running = yes\n")
    values = dict(manager.daemons.detail(shown(manager)).values)
    assert values == {
        "kind": "redis",
        "port": str(FREE_PORT),
        "bind": "127.0.0.1",
        "password": "set",
        "run_as": "",
        "keep_running": "yes",
        "directory": str(manager.directory / "daemons" / "cache"),
        "databases": "4",
    }


# What a person asks


def test_two_starts_are_one_and_two_stops_too(manager, server):
    started(manager)
    again = ended(manager, manager.daemons.start("cache"))
    assert isinstance(again, OperationFailed)
    assert str(again) == "Component cache is already running on vm"
    assert ended(manager, manager.daemons.stop("cache")) is None
    assert manager.processes.living == []
    twice = ended(manager, manager.daemons.stop("cache"))
    assert isinstance(twice, OperationFailed)
    assert str(twice) == "Component cache is not running on vm"


@pytest.mark.parametrize("order", ["start", "stop", "restart", "reload", "checks"])
def test_nothing_is_asked_of_a_daemon_that_is_not_there(manager, server, order):
    configure(manager)
    error = ended(manager, getattr(manager.daemons, order)("ghost"))
    assert isinstance(error, UnknownComponent)
    assert str(error) == "Component ghost doesn't exists on vm"


def test_a_restart_that_fails_says_why(manager, server):
    started(manager)
    server.made[0].errors["check_data"] = server_error("its data are those of version 9")
    error = ended(manager, manager.daemons.restart("cache"))
    assert isinstance(error, OperationFailed)
    assert error.reason == "its data are those of version 9"
    assert shown(manager).state is State.BACKOFF


def test_a_program_that_is_missing_is_told_by_its_name(manager, server):
    configure(manager)
    manager.processes.missing.add("fake-server")
    error = ended(manager, manager.daemons.start("cache"))
    assert error.reason == "fake-server is missing"


def test_a_disk_that_does_not_take_a_thing_is_told_with_the_file(manager, server):
    (manager.directory / "daemons").touch()
    configure(manager)
    error = ended(manager, manager.daemons.start("cache"))
    assert "Fake cannot be configured" in error.reason
    assert str(manager.directory / "daemons") in error.reason


def test_a_stop_that_would_lose_data_is_refused_in_the_words_of_the_server(manager, server):
    started(manager)
    server.made[0].errors["before_stop"] = server_error("it cannot save s3cret", "disk full")
    error = ended(manager, manager.daemons.stop("cache"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "it cannot save ***: disk full"
    assert shown(manager).state.is_on
    assert len(manager.processes.living) == 1
    server.made[0].errors.clear()
    assert ended(manager, manager.daemons.stop("cache")) is None
    assert manager.processes.living == []


# Reload


def test_a_reload_takes_over_what_its_section_says_now_and_keeps_the_process(manager, server):
    started(manager)
    pid = shown(manager).pid
    configure(manager, CACHE + "databases = 4\n")
    assert ended(manager, manager.daemons.reload("cache")) is None
    assert "reread" in server.made[0].done
    assert (shown(manager).pid, shown(manager).reason) == (pid, "")
    file = manager.directory / "daemons" / "cache" / "service.conf"
    assert file.read_text() == "databases 4\n"


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("port = 40002\n", "port"),
        ("bind = 127.0.0.2\n", "bind"),
        ("port = 40002\nbind = 127.0.0.2\nrun_as = nobody\n", "port and bind and run_as"),
    ],
)
def test_no_reload_moves_a_server(manager, server, more, what):
    started(manager)
    configure(manager, CACHE + more)
    error = ended(manager, manager.daemons.reload("cache"))
    assert isinstance(error, OperationFailed)
    assert str(error) == f"daemon:cache takes over another {what} when it is restarted"
    assert "reread" not in server.made[0].done


def test_who_does_not_run_is_not_reloaded(manager, server):
    configure(manager)
    error = ended(manager, manager.daemons.reload("cache"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "Component cache is not running on vm"


def test_a_reload_that_the_server_does_not_take_is_told(manager, server):
    started(manager)
    server.made[0].errors["reread"] = server_error("it does not take its databases now")
    error = ended(manager, manager.daemons.reload("cache"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "it does not take its databases now"
    assert shown(manager).state.is_on


# Where it is reached


def test_before_its_first_start_it_has_no_address(manager, server):
    configure(manager)
    with pytest.raises(NotPossible) as caught:
        manager.daemons.credentials("cache")
    assert str(caught.value) == "daemon:cache was never started: it has no address yet"


def test_afterwards_its_address_comes_with_its_password(manager, server):
    started(manager)
    assert manager.daemons.credentials("cache") == f"fake://:s3cret@127.0.0.1:{FREE_PORT}"


def test_a_password_is_made_up_once_and_stays(manager, server):
    started(manager, "[daemon:cache]\nkind = redis\n")
    first = manager.daemons.credentials("cache")
    assert ":None@" not in first
    assert len(first.partition("//:")[2].partition("@")[0]) >= 32
    assert dict(manager.daemons.detail(shown(manager)).values)["password"] == "set"
    assert ended(manager, manager.daemons.restart("cache")) is None
    assert manager.daemons.credentials("cache") == first


def test_to_be_asked_for_its_url_starts_it(manager, server):
    configure(manager)
    url = ended(manager, manager.daemons.url("cache"))
    assert url == f"fake://:s3cret@127.0.0.1:{FREE_PORT}"
    assert shown(manager).state.is_on


def test_a_url_of_one_that_cannot_start_is_refused_with_the_reason(manager, server):
    configure(manager)
    server.made[0].errors["check_data"] = server_error("no room")
    error = ended(manager, manager.daemons.url("cache"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "daemon:cache: no room"


# Who needs them


def test_a_plugin_is_told_where_what_it_needs_is(manager, server):
    started(manager, NEEDED)
    manager.start("clock")
    environment = manager.process("clock").program.environment
    assert environment["DOMOGIK_DAEMON_CACHE"] == f"fake://:s3cret@127.0.0.1:{FREE_PORT}"


def test_only_what_is_needed_is_told(manager, server):
    started(manager, NEEDED)
    told = ended(manager, manager.daemons.environment(["plugin:lamp", "unit:ssh.service"]))
    assert told == {}


def test_what_is_needed_and_stopped_is_not_started_for_that(manager, server):
    configure(manager, NEEDED)
    error = ended(manager, manager.daemons.environment(["daemon:cache"]))
    assert isinstance(error, OperationFailed)
    assert str(error) == "daemon:cache is stopped"
    assert manager.processes.living == []


def test_what_is_needed_and_failed_says_why_it_did(manager, server):
    configure(manager, NEEDED)
    server.made[0].errors["check_data"] = server_error("no room")
    ended(manager, manager.daemons.start_all())
    error = ended(manager, manager.daemons.environment(["daemon:cache"]))
    assert str(error) == f"daemon:cache is backoff ({AGAIN}no room)"


def test_what_is_needed_and_not_configured_is_told_by_its_section(manager, server):
    configure(manager, NEEDED)
    error = ended(manager, manager.daemons.environment(["daemon:ghost"]))
    assert isinstance(error, OperationFailed)
    assert str(error) == "there is no section [daemon:ghost] in the configuration"


def test_a_start_of_who_needs_it_starts_it_first(manager, server):
    configure(manager, NEEDED)
    manager.order("start", "clock")
    manager.network.turn(1.0)
    programs = [process.program.argv[0] for process in manager.processes.living]
    assert programs == ["fake-server", "python"]


def test_a_restart_of_it_restarts_who_needs_it(manager, server):
    started(manager, NEEDED)
    manager.start("clock")
    before = {process.identity.pid for process in manager.processes.living}
    result = outcome(manager.daemons.restart("cache"))
    manager.network.turn(1.0)
    manager.beat("clock")
    manager.network.turn(1.0)
    assert result == [None]
    after = {process.identity.pid for process in manager.processes.living}
    assert len(after) == len(before) == 2
    assert not after & before


# Backups


def started_with_backup(manager, text=CACHE):
    started(manager, text)
    source = manager.directory / "old"
    source.write_text("old data")
    return source


def test_before_its_first_start_there_is_nothing_to_back_up(manager, server):
    configure(manager)
    path = manager.directory / "file"
    for work in (manager.daemons.backup("cache", path), manager.daemons.restore("cache", path)):
        error = ended(manager, work)
        assert isinstance(error, NotPossible)
        assert str(error) == "daemon:cache was never started: it has no data yet"


def test_a_backup_that_fails_says_why(manager, server):
    started(manager)
    server.made[0].errors["backup"] = server_error("its data cannot be read", "bad page")
    error = ended(manager, manager.daemons.backup("cache", manager.directory / "new"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "its data cannot be read: bad page"


def test_after_a_restore_who_ran_runs_again(manager, server):
    source = started_with_backup(manager, NEEDED)
    manager.start("clock")
    before = {process.identity.pid for process in manager.processes.living}
    result = outcome(manager.daemons.restore("cache", source))
    manager.network.turn(1.0)
    manager.beat("clock")
    manager.network.turn(1.0)
    assert result == ["restored old data"]
    after = {process.identity.pid for process in manager.processes.living}
    assert len(after) == len(before) == 2
    assert not after & before


def test_after_a_restore_who_did_not_run_does_not(manager, server):
    source = started_with_backup(manager)
    ended(manager, manager.daemons.stop("cache"))
    assert ended(manager, manager.daemons.restore("cache", source)) == "restored old data"
    assert manager.processes.living == []


def test_a_restore_that_fails_says_why_and_the_server_comes_back(manager, server):
    source = started_with_backup(manager)
    server.made[0].errors["restore"] = server_error("3 keys came back of 4")
    error = ended(manager, manager.daemons.restore("cache", source))
    assert isinstance(error, OperationFailed)
    assert str(error) == "3 keys came back of 4"
    assert shown(manager).state.is_on


def test_who_does_not_come_back_after_a_restore_does_not_make_it_fail(manager, server):
    source = started_with_backup(manager)
    server.made[0].errors["check_data"] = server_error("no room")
    assert ended(manager, manager.daemons.restore("cache", source)) == "restored old data"
    assert (shown(manager).state, shown(manager).reason) == (State.BACKOFF, f"{AGAIN}no room")


def test_while_it_is_restored_nothing_else_is_done_to_it(manager, server, monkeypatch):
    source = started_with_backup(manager)
    going: Deferred[str] = Deferred()
    monkeypatch.setattr(server, "restore", lambda daemon, path: going)
    restore = outcome(manager.daemons.restore("cache", source))
    manager.network.turn()
    assert restore == []
    start = ended(manager, manager.daemons.start("cache"))
    assert start.reason == "it is being restored"
    backup = ended(manager, manager.daemons.backup("cache", source))
    assert str(backup) == "daemon:cache is being restored"
    going.callback("restored")
    manager.network.turn()
    assert restore == ["restored"]
    assert shown(manager).state.is_on


def test_one_that_fails_in_a_way_nobody_thought_of_keeps_no_other_from_starting(manager, server):
    configure(manager, f"{CACHE}[daemon:other]\nkind = redis\n")
    server.made[0].errors["check_data"] = ZeroDivisionError("nobody thought of it")
    assert ended(manager, manager.daemons.start_all()) is None
    assert not shown(manager).state.is_on
    assert shown(manager, "other").state.is_on


def test_who_runs_is_left_alone_when_all_are_started(manager, server):
    started(manager)
    pid = shown(manager).pid
    assert ended(manager, manager.daemons.start_all()) is None
    assert shown(manager).pid == pid


@pytest.mark.parametrize(("run_as", "opened"), [("run_as = nobody-of-that-name\n", 1), ("", 0)])
def test_only_for_another_user_is_the_way_to_its_directory_opened(
    manager, server, monkeypatch, run_as, opened
):
    calls = []
    monkeypatch.setattr(daemons, "grant_access", lambda *paths: calls.append(paths))
    configure(manager, CACHE + run_as)
    ended(manager, manager.daemons.start("cache"))
    assert calls == [(manager.directory, manager.directory / "daemons")] * opened


def test_a_user_who_is_not_there_is_told_by_name(manager, server, monkeypatch):
    monkeypatch.setattr(daemons, "grant_access", lambda *paths: None)
    configure(manager, CACHE + "run_as = nobody-of-that-name\n")
    error = ended(manager, manager.daemons.start("cache"))
    assert "nobody-of-that-name" in error.reason


def test_a_way_that_cannot_be_opened_is_told_with_its_place(manager, server, monkeypatch):
    def closed(*paths):
        raise PermissionError(1, "Operation not permitted", "/home")

    monkeypatch.setattr(daemons, "grant_access", closed)
    configure(manager, CACHE + "run_as = nobody-of-that-name\n")
    error = ended(manager, manager.daemons.start("cache"))
    assert error.reason == "/home: Operation not permitted"
