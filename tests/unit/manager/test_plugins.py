"""The plugins of a host as people see them: installed, enabled, running, and what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from domogik.components.model import State
from domogik.errors import NotPossible, OperationFailed, UnknownComponent
from domogik.supervisor.interfaces import Exit
from domogik.testing.local_host import FakeManager


def outcome(coroutine):
    """What an operation has come to: None while it goes on, else what it raised or `done`."""
    results = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        lambda _: results.append("done"), lambda failure: results.append(failure.value)
    )
    return results


def crash(manager, name, code=1):
    manager.process(name).ends(Exit(code=code))
    manager.network.turn()


# What there is


def test_everything_installed_is_listed_with_what_its_descriptor_says(manager):
    lamp = manager.plugin("lamp")
    assert (lamp.state, lamp.enabled) == (State.DISABLED, False)
    assert (lamp.version, lamp.technology) == ("1.0", "service")
    assert (lamp.description, lamp.documentation) == ("Plugin lamp", "http://localhost/lamp")
    assert (manager.plugin("clock").state, manager.plugin("clock").enabled) == (State.STOPPED, True)
    assert manager.plugins.names() == ("clock", "lamp")
    assert manager.plugins.enabled_names() == ("clock",)


def test_what_is_enabled_and_not_installed_is_not_there(manager):
    manager.configure("[plugins]\nghost = enabled\n").read()
    assert manager.plugins.enabled_names() == ()


def test_a_plugin_without_a_script_is_there_and_says_why_it_cannot_run(manager):
    manager.install("ghost", script=False).read()
    assert manager.plugin("ghost").state is State.DISABLED
    manager.configure("[plugins]\nghost = enabled\n").read()
    ghost = manager.plugin("ghost")
    assert ghost.state is State.FAILED
    assert "ghost.py is nowhere in" in ghost.reason


def test_a_broken_descriptor_hides_no_other(manager):
    manager.descriptor("broken").write_text("<package")
    manager.descriptor("wrong").write_text(manager.descriptor("lamp").read_text())
    manager.install("third").read()
    assert manager.plugins.names() == ("clock", "lamp", "third")


def test_a_plugin_whose_data_directory_cannot_be_made_says_so_and_is_alone_with_it(manager):
    (manager.directory / "data").mkdir(exist_ok=True)
    (manager.directory / "data" / "third").touch()
    manager.install("third").configure("[plugins]\nthird = enabled\nclock = enabled\n").read()
    assert manager.plugin("third").state is State.FAILED
    assert "third: File exists" in manager.plugin("third").reason
    assert manager.plugin("clock").state is State.STOPPED


# What a plugin is told


def test_a_plugin_runs_in_its_directory_with_what_it_has_to_know(manager):
    manager.start("clock")
    program = manager.process("clock").program
    source = manager.source
    assert program.argv == ("python", str(source / "domogik_packages/xpl/bin/clock.py"))
    assert program.directory == manager.directory
    environment = dict(program.environment)
    assert environment.pop("DOMOGIK_RUN_ID")
    assert environment.pop("NOTIFY_SOCKET").endswith("notify.sock")
    assert environment == {
        "PATH": "/bin",
        "PYTHONPATH": str(source),
        "PYTHONUNBUFFERED": "1",
        "DOMOGIK_NAME": "clock",
        "DOMOGIK_HOST": "vm",
        "DOMOGIK_SOURCE": "domogik-clock.vm",
        "DOMOGIK_DATA": str(manager.directory / "data" / "clock"),
    }
    assert (manager.directory / "data" / "clock").is_dir()


def test_an_inherited_python_path_comes_after_the_package(manager):
    plugin_launch = manager.plugins._plugin_launch
    plugin_launch.environment["PYTHONPATH"] = "/opt/lib"
    manager.install("third").configure("[plugins]\nthird = enabled\n").read().start("third")
    path = manager.process("third").program.environment["PYTHONPATH"]
    assert path == f"{manager.source}:/opt/lib"


def test_limits_of_a_component_reach_its_program(manager):
    manager.configure(
        "[plugins]\nclock = enabled\n[supervision]\nnice = 3\n"
        "[component:plugin:clock]\nmemory_max = 64M\nopen_files_max = 99\n"
    ).read().start("clock")
    program = manager.process("clock").program
    assert (program.memory_max, program.open_files_max, program.nice) == (2**26, 99, 3)


# Start, stop, restart


def test_a_disabled_plugin_is_not_started(manager):
    (error,) = outcome(manager.plugins.start("lamp"))
    assert isinstance(error, NotPossible)
    assert str(error) == "Plugin 'lamp' is disabled on vm. Enable it before starting it"


class Threads:
    """A pool of threads: what is asked of it is done at one moment, and told at a later one."""

    def __init__(self):
        self.waiting, self.done = [], []

    def call(self, work, *arguments):
        told = Deferred()
        self.waiting.append((told, work, arguments))
        return told

    def work(self, place):
        told, work, arguments = self.waiting.pop(place % len(self.waiting))
        self.done.append((told, work(*arguments)))

    def tell(self, place):
        told, result = self.done.pop(place % len(self.done))
        told.callback(result)

    def step(self, choice):
        if self.done and (choice % 2 or not self.waiting):
            self.tell(choice // 2)
        elif self.waiting:
            self.work(choice // 2)


@given(choices=st.lists(st.integers(0, 11), max_size=30), changes=st.sets(st.integers(0, 29)))
def test_who_was_told_that_a_plugin_is_enabled_can_start_it_whatever_is_read_meanwhile(
    tmp_path_factory, choices, changes
):
    manager = FakeManager(tmp_path_factory.mktemp("home")).install("lamp").begin()
    threads = Threads()
    manager.keeper._in_thread = manager.plugins._in_thread = threads.call
    manager.keeper.changed(set())
    enabled, started = outcome(manager.plugins.enable("lamp")), None
    for moment, choice in enumerate([*choices, *[0] * 30]):
        if moment in changes:
            manager.keeper.changed(set())  # the watcher saw a file change
        threads.step(choice)
        if enabled and started is None:
            started = outcome(manager.plugins.start("lamp"))
    assert (enabled, started) == (["done"], [])
    assert not threads.waiting
    assert manager.plugin("lamp").state is State.STARTING


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
def test_nothing_can_be_done_with_what_is_not_installed(manager, verb):
    (error,) = outcome(getattr(manager.plugins, verb)("ghost"))
    assert isinstance(error, UnknownComponent)
    assert str(error) == "Component ghost doesn't exists on vm"


def test_a_failed_start_has_the_known_text_and_the_reason_beside_it(manager):
    result = outcome(manager.plugins.start("clock"))
    manager.network.turn()
    manager.network.turn(30)
    (error,) = result
    assert str(error).endswith("Please look in this component log files")
    assert error.reason == "did not answer within 30 s"


def test_a_plugin_that_is_configuring_itself_is_not_alive_yet(manager):
    manager.order("start", "clock")
    manager.beat("clock", status="0")
    manager.beat("clock", status="1")
    assert manager.plugin("clock").state is State.STARTING
    manager.beat("clock", status="2")
    assert manager.plugin("clock").state is State.ALIVE


def test_a_heartbeat_without_a_status_says_alive_too(manager):
    manager.order("start", "clock")
    manager.beat("clock", status=None)
    assert manager.plugin("clock").state is State.ALIVE


def test_a_restart_of_what_cannot_be_started_stops_nothing(manager):
    manager.start("clock")
    manager.configure("[plugins]\nclock = disabled\n").read()
    (error,) = outcome(manager.plugins.restart("clock"))
    assert isinstance(error, NotPossible)
    assert len(manager.processes.living) == 1


def test_a_restart_of_what_is_off_is_a_start(manager):
    result = outcome(manager.plugins.restart("clock"))
    manager.network.turn()
    manager.beat("clock")
    assert result == ["done"]


def test_a_crash_is_seen_at_once_and_mended(manager):
    manager.start("clock")
    first = manager.process("clock")
    crash(manager, "clock")
    assert manager.plugin("clock").state is State.BACKOFF
    manager.network.turn(2)
    manager.beat("clock", port="50002")
    clock = manager.plugin("clock")
    assert (clock.state, clock.restarts) == (State.ALIVE, 1)
    assert manager.process("clock") is not first


def test_a_status_that_changed_is_one_event_with_before_and_after(manager):
    manager.start("clock")
    manager.leave("clock")
    crash(manager, "clock", code=0)
    changes = [event.data for event in manager.published if event.type == "component.changed"]
    assert (changes[-1]["id"], changes[-1]["state"]) == ("plugin:clock", "stopped")
    assert all(one["host"] == "vm" for one in changes)


# Changes of configuration and packages


def test_what_did_not_change_is_not_touched(manager):
    manager.start("clock")
    process, before = manager.process("clock"), manager.plugin("clock")
    manager.install("lamp", version="2.0").install("third").read()
    manager.configure("[plugins]\nclock = enabled\nlamp = enabled\n").read()
    assert manager.process("clock") is process
    assert manager.plugin("clock") == before
    assert manager.plugin("lamp").version == "2.0"


def test_a_new_release_of_what_runs_counts_from_its_next_start(manager):
    manager.start("clock")
    process = manager.process("clock")
    manager.install("clock", version="2.0")
    manager.configure(
        "[plugins]\nclock = enabled\n[component:plugin:clock]\nopen_files_max = 99\n"
    ).read()
    assert manager.process("clock") is process
    assert process.program.open_files_max is None
    manager.order("restart", "clock")
    manager.network.turn()
    manager.beat("clock", port="50002")
    assert manager.process("clock").program.open_files_max == 99


def test_disabling_in_the_file_stops_nobody_who_runs(manager):
    manager.start("clock")
    manager.configure("[plugins]\n").read()
    clock = manager.plugin("clock")
    assert (clock.state, clock.enabled) == (State.ALIVE, False)


def test_a_disabled_plugin_that_falls_is_not_started_again(manager):
    manager.start("clock")
    manager.configure("[plugins]\n").read()
    crash(manager, "clock")
    manager.network.turn(3600)
    assert manager.processes.living == []
    assert manager.plugin("clock").state is State.DISABLED


@pytest.mark.parametrize("seconds", [0, 100])
def test_disabling_what_waits_for_its_next_try_ends_the_trying(manager, seconds):
    """Also the slow tries of one that has failed too often."""
    manager.configure(
        "[plugins]\nclock = enabled\n[supervision]\nstart_limit = 2\nslow_retry = 50\n"
    ).read()
    manager.start("clock")
    for _ in range(3 if seconds else 1):
        crash(manager, "clock")
        manager.network.turn(5 if seconds else 0)
    assert manager.plugin("clock").state in (State.BACKOFF, State.FAILED)
    manager.order("disable", "clock")
    assert "error" not in manager.answer()
    assert manager.plugin("clock").state is State.DISABLED
    manager.network.turn(3600)
    assert manager.processes.living == []


def test_a_plugin_whose_package_is_removed_while_it_runs_goes_on_and_can_be_stopped(manager):
    manager.start("clock")
    manager.descriptor("clock").unlink()
    manager.read()
    clock = manager.plugin("clock")
    assert (clock.state, clock.enabled, clock.version) == (State.ALIVE, False, "1.0")
    assert [one.name for one in manager.plugins.watched()] == ["clock"]
    manager.order("stop", "clock")
    manager.network.turn(1)
    assert "error" not in manager.answer()
    assert [entry.name for entry in manager.components.all()] == ["lamp"]
    assert "plugin:clock" not in manager.supervisor.ids()


def test_a_plugin_whose_package_is_removed_is_not_started_again_when_it_falls(manager):
    manager.start("clock")
    manager.descriptor("clock").unlink()
    manager.read()
    crash(manager, "clock")
    manager.network.turn(3600)
    assert manager.processes.living == []
    assert [entry.name for entry in manager.components.all()] == ["lamp"]


def test_a_package_that_comes_back_while_it_is_being_forgotten_can_be_started(manager):
    manager.start("clock")
    manager.process("clock").ignores_signals = True
    manager.descriptor("clock").unlink()
    manager.read()
    manager.order("stop", "clock")
    manager.install("clock").read()
    manager.network.turn(10)
    manager.network.said.clear()
    manager.start("clock")
    assert manager.plugin("clock").state is State.ALIVE


def test_a_package_that_was_removed_and_installed_again_starts_as_new(manager):
    manager.descriptor("clock").unlink()
    manager.read()
    assert "plugin:clock" not in manager.supervisor.ids()
    manager.install("clock", version="3.0").read()
    manager.start("clock")
    assert manager.plugin("clock").version == "3.0"


def test_a_value_that_cannot_be_meant_leaves_everything_as_it_was(manager):
    manager.start("clock")
    manager.install("third").read()
    before = manager.components.all()
    for broken in (
        "[component:plugin:clock]\nrestart = sometimes\n",
        "[component:plugin:ghost]\nstop_signal = HELLO\n",
        "[supervision]\nbackoff_first = soon\n",
        "[plugins\n",
    ):
        manager.published.clear()
        manager.configure(f"[plugins]\nlamp = enabled\n{broken}").read()
        assert manager.components.all() == before
        (event,) = manager.published
        assert event.type == "configuration.refused"
        assert f"{manager.file}:" in event.data["error"]
    manager.configure("[plugins]\nlamp = enabled\n").read()
    assert manager.plugin("lamp").enabled is True
    assert manager.plugins.names() == ("clock", "lamp", "third")


# Started by hand


def test_a_plugin_that_somebody_started_by_hand_is_seen(manager):
    manager.beat("clock")
    clock = manager.plugin("clock")
    assert (clock.state, clock.reason, clock.pid) == (State.ALIVE, "started by hand", None)
    manager.leave("clock")
    assert manager.plugin("clock").state is State.STOPPED


def test_it_is_not_started_a_second_time(manager):
    manager.beat("clock")
    (error,) = outcome(manager.plugins.start("clock"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "Component clock is already running on vm"
    assert manager.processes.living == []


def test_it_is_not_disabled_while_it_runs(manager):
    manager.beat("clock")
    (error,) = outcome(manager.plugins.disable("clock"))
    assert "is running. Please stop it" in str(error)


def test_a_stop_asks_it_to_go_and_is_done_when_it_went(manager):
    manager.beat("clock")
    manager.order("stop", "clock")
    (asked,) = [
        (message, address)
        for message, address in manager.network.socket.sent
        if message.get("command") == "stop"
    ]
    assert asked[0].get("plugin") == "clock"
    assert asked[1] == ("127.0.0.1", 50001)
    assert manager.answers() == []
    manager.leave("clock")
    assert manager.answer() == {"host": "vm", "command": "stop", "plugin": "clock"}


def test_one_that_obeyed_the_message_itself_was_stopped(manager):
    manager.beat("clock")
    manager.leave("clock")
    manager.order("stop", "clock")
    assert "error" not in manager.answer()


def test_two_who_stop_it_are_both_told(manager):
    manager.beat("clock")
    first = outcome(manager.plugins.stop("clock"))
    second = outcome(manager.plugins.stop("clock"))
    manager.leave("clock")
    assert first == second == ["done"]


def test_one_that_does_not_obey_is_said_so(manager):
    manager.beat("clock")
    result = outcome(manager.plugins.stop("clock"))
    manager.network.turn(10)
    (error,) = result
    assert isinstance(error, OperationFailed)
    assert str(error) == "Component clock is still running on vm"
    again = outcome(manager.plugins.stop("clock"))
    manager.leave("clock")
    assert again == ["done"]


def test_a_restart_makes_it_a_child_of_ours(manager):
    manager.beat("clock")
    result = outcome(manager.plugins.restart("clock"))
    manager.leave("clock")
    manager.network.turn()
    manager.beat("clock", port="50002")
    assert result == ["done"]
    assert manager.plugin("clock").pid == manager.process("clock").identity.pid


def test_the_last_words_of_a_process_that_ended_are_no_other_process(manager):
    manager.start("clock")
    crash(manager, "clock")
    manager.beat("clock")  # it was on its way when the process ended
    assert manager.plugin("clock").state is State.BACKOFF
    manager.beat("clock", port="50009")
    assert manager.plugin("clock").reason == "started by hand"
