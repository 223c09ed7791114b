"""Updates: the new release proves itself, or the old one is back."""

import json
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from domogik.components.model import State
from domogik.errors import NotPossible, OperationFailed
from domogik.packages.descriptor.package import Package
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.store.changes import StoreFailed
from domogik.packages.store.install import NoEarlierRelease
from domogik.supervisor.interfaces import Exit
from domogik.testing.package_access import FakePackageManager

OLD, NEW = PackageRef("plugin", "lamp", "1.0"), PackageRef("plugin", "lamp", "1.1")


@pytest.fixture
def manager(tmp_path: Path) -> FakePackageManager:
    """`lamp` 1.0 is installed and enabled; 1.1 is offered."""
    made = FakePackageManager(tmp_path / "home")
    made.publish("lamp", "1.0")
    made.publish("lamp", "1.1")
    made.configure("[supervision]\nupdate_probation = 0\n")
    made.begin()
    made.install_package(OLD)
    made.order("enable", "lamp")
    return made


@pytest.fixture
def running(manager: FakePackageManager) -> FakePackageManager:
    """It runs."""
    manager.start("lamp")
    return manager


def begin(work):
    """Start it; what it ended with, once it has."""
    ended = []
    Deferred.fromCoroutine(work).addBoth(ended.append)
    return ended


def update(manager, ref=NEW):
    ended = begin(manager.package_access.update(ref))
    manager.network.turn()
    return ended


def failure(ended):
    (found,) = ended
    return found.value


def release(manager):
    return manager.store.present("plugin", "lamp").release


def path_of(process):
    return Path(process.program.argv[1])


def test_a_running_plugin_runs_with_the_new_release_afterwards(running):
    ended = update(running)
    assert path_of(running.process("lamp")).is_relative_to(running.store.directory(NEW))
    assert ended == []
    running.beat("lamp")
    assert ended == [None]
    assert (release(running), running.plugin("lamp").state) == ("1.1", State.ALIVE)
    assert running.plugin("lamp").version == "1.1"
    assert running.store.served("plugin", "lamp") == NEW
    assert running.store.releases("plugin", "lamp") == (OLD, NEW)
    assert len(running.processes.living) == 1


def test_the_old_release_works_while_the_new_one_is_fetched(running):
    running.held = Deferred()
    ended = update(running)
    assert running.plugin("lamp").state is State.ALIVE
    running.held.callback(None)
    running.network.turn()
    running.beat("lamp")
    assert ended == [None]


def test_a_release_that_ends_at_once_is_given_up_and_the_old_one_runs_again(running):
    ended = update(running)
    running.process("lamp").ends(Exit(code=1))
    running.network.turn()
    running.beat("lamp")
    running.network.turn()
    said = "lamp 1.1 did not start: exit status 1; 1.0 is back. More: dmg_ctl logs lamp"
    assert str(failure(ended)) == said
    assert isinstance(failure(ended), OperationFailed)
    assert failure(ended).words == said  # the reason is in it already
    assert (release(running), running.plugin("lamp").state) == ("1.0", State.ALIVE)
    assert path_of(running.process("lamp")).is_relative_to(running.store.directory(OLD))
    assert running.store.releases("plugin", "lamp") == (OLD,)


def test_a_release_that_never_speaks_is_given_up_too(running):
    ended = update(running)
    running.network.turn(60)
    running.beat("lamp")
    running.network.turn()
    assert str(failure(ended)).startswith("lamp 1.1 did not start: ")
    assert (release(running), running.plugin("lamp").state) == ("1.0", State.ALIVE)


def test_where_neither_runs_both_are_said(running):
    ended = update(running)
    for _ in range(2):
        running.process("lamp").ends(Exit(code=1))
        running.network.turn()
    assert "1.0 is installed again, and does not start: " in str(failure(ended))
    assert release(running) == "1.0"


def test_a_plugin_that_is_off_stays_off(manager):
    assert update(manager) == [None]
    assert release(manager) == "1.1"
    assert manager.processes.living == []


def test_what_cannot_be_fetched_stops_nothing(running):
    process = running.process("lamp")
    ended = update(running, PackageRef("plugin", "lamp", "9"))
    assert "No package corresponding to 'plugin-lamp' in version '9'" in str(failure(ended))
    assert running.process("lamp") is process


def test_a_switch_that_fails_leaves_the_old_release_running(running, monkeypatch):
    def refuse(*arguments):
        raise StoreFailed("the disk is full")

    monkeypatch.setattr(type(running.store), "install", refuse)
    ended = update(running)
    running.beat("lamp")
    running.network.turn()
    assert str(failure(ended)) == "the disk is full"
    assert (release(running), running.plugin("lamp").state) == ("1.0", State.ALIVE)


def test_where_what_is_served_cannot_be_switched_all_is_as_before(running, monkeypatch):
    switch = type(running.store).switch

    def refuse(store, ref, part="xpl", **more):
        if part == "rinor":
            raise StoreFailed("no link today")
        return switch(store, ref, part, **more)

    monkeypatch.setattr(type(running.store), "switch", refuse)
    ended = update(running)
    running.beat("lamp")
    running.network.turn()
    running.beat("lamp")
    running.network.turn()
    said = "lamp 1.1 could not be installed: no link today; 1.0 is back. More: dmg_ctl logs lamp"
    assert str(failure(ended)) == said
    assert running.store.given_up("plugin", "lamp") == ()
    assert release(running) == "1.0"


def test_nobody_starts_a_plugin_whose_package_is_changed(manager, monkeypatch):
    install = type(manager.store).install
    seen = []

    def look(store, *arguments):
        seen.extend(begin(manager.plugins.start("lamp")))
        return install(store, *arguments)

    monkeypatch.setattr(type(manager.store), "install", look)
    update(manager)
    (refused,) = seen
    assert refused.check(NotPossible)
    assert manager.processes.living == []


def test_a_held_package_is_not_updated(manager):
    begin(manager.package_access.hold("plugin", "lamp", held=True))
    assert "is held" in str(failure(update(manager)))
    assert [entry.held for entry in manager.package_access.installed()] == [True]
    begin(manager.package_access.hold("plugin", "lamp", held=False))
    assert update(manager) == [None]


def test_the_way_back_leads_to_the_release_before(running):
    update(running)
    running.beat("lamp")
    ended = begin(running.package_access.rollback("plugin", "lamp"))
    running.network.turn()
    running.beat("lamp")
    assert ended == [OLD]
    assert (release(running), running.plugin("lamp").state) == ("1.0", State.ALIVE)
    (refused,) = begin(running.package_access.rollback("plugin", "lamp"))
    assert refused.check(NoEarlierRelease)
    assert running.plugin("lamp").state is State.ALIVE
    assert running.store.served("plugin", "lamp") == OLD


def test_an_external_member_is_updated_without_a_process(tmp_path):
    manager = FakePackageManager(tmp_path / "home")
    member = "<vendor-id>acme</vendor-id><device-id>relay</device-id>"
    refs = [manager.publish("relay", r, type="external", member=member) for r in ("1.0", "2.0")]
    manager.begin()
    manager.install_package(refs[0])
    assert update(manager, refs[1]) == [None]
    assert manager.store.present("external", "relay") == refs[1]


# On probation


@pytest.fixture
def watched(running: FakePackageManager) -> FakePackageManager:
    """It runs with 1.1 for a moment, and is watched for 60 s."""
    running.configure("[supervision]\nupdate_probation = 60\n[plugins]\nlamp = enabled\n")
    begin(running.reload())
    running.network.turn()
    return running


def test_a_release_that_ends_soon_after_it_was_alive_is_given_up(watched):
    ended = update(watched)
    watched.beat("lamp")
    assert ended == []
    watched.network.turn(0.5)
    watched.process("lamp").ends(Exit(code=1))
    watched.network.turn()
    watched.beat("lamp")
    watched.network.turn()
    assert str(failure(ended)) == (
        "lamp 1.1 failed within 60 s of its start: exit status 1; 1.0 is back."
        " More: dmg_ctl logs lamp"
    )
    assert (release(watched), watched.plugin("lamp").state) == ("1.0", State.ALIVE)
    (package,) = watched.package_access.installed()
    assert package.given_up == ("1.1",)


def test_a_release_that_lives_through_its_probation_is_good(watched):
    ended = update(watched)
    watched.beat("lamp")
    assert watched.jobs.all()[0].stage == "on probation"
    for _ in range(5):
        assert ended == []
        watched.network.turn(10)
        watched.beat("lamp")
    watched.network.turn(11)
    assert ended == [None]
    assert (release(watched), watched.plugin("lamp").state) == ("1.1", State.ALIVE)
    assert list((watched.home.run / "updates").iterdir()) == []
    watched.process("lamp").ends(Exit(code=1))
    watched.network.turn()
    assert release(watched) == "1.1"


def test_a_release_that_a_person_stops_on_probation_has_not_failed(watched):
    ended = update(watched)
    watched.beat("lamp")
    begin(watched.plugins.stop("lamp"))
    watched.process("lamp").ends(Exit(code=0))
    watched.network.turn(61)
    assert ended == [None]
    assert (release(watched), watched.plugin("lamp").state) == ("1.1", State.STOPPED)


def test_who_goes_back_at_once_does_not_wait_for_the_end_of_the_probation(watched):
    ended = update(watched)
    watched.beat("lamp")
    back = begin(watched.package_access.rollback("plugin", "lamp"))
    watched.network.turn()
    watched.beat("lamp")
    assert (ended, back) == ([None], [OLD])
    assert release(watched) == "1.0"


def test_the_probation_goes_on_after_a_crash_of_the_manager(watched):
    update(watched)
    watched.beat("lamp")
    (path,) = (watched.home.run / "updates").iterdir()
    left = path.read_text()
    assert json.loads(left)["on_probation"]
    watched.package_access._update.end_probation("plugin", "lamp")  # as a dead manager does not
    watched.network.turn()
    path.write_text(left)
    ended = resume(watched)
    assert ended == []
    watched.process("lamp").ends(Exit(code=1))
    watched.network.turn()
    watched.beat("lamp")
    watched.network.turn()
    assert (release(watched), watched.plugin("lamp").state) == ("1.0", State.ALIVE)
    assert watched.store.given_up("plugin", "lamp") == ("1.1",)
    assert len(ended) == 1


def test_what_a_person_stopped_before_the_crash_is_not_started_by_its_probation(manager):
    update(manager)
    directory = note(manager, on_probation=True)
    manager.configure("[supervision]\nupdate_probation = 60\n[plugins]\nlamp = enabled\n")
    begin(manager.reload())
    ended = resume(manager)
    manager.network.turn(61)
    assert len(ended) == 1
    assert manager.processes.living == []
    assert (release(manager), list(directory.iterdir())) == ("1.1", [])


def test_a_release_that_succeeds_in_the_end_is_not_given_up_any_more(running):
    running.store.give_up(NEW)
    update(running)
    running.beat("lamp")
    (package,) = running.package_access.installed()
    assert (package.ref, package.given_up) == (NEW, ())


# Updated while it does not run


@pytest.fixture
def updated(manager: FakePackageManager) -> FakePackageManager:
    """It does not run, and 1.1 was installed meanwhile; a new release is watched for 60 s."""
    manager.configure("[supervision]\nupdate_probation = 60\n[plugins]\nlamp = enabled\n")
    begin(manager.reload())
    manager.network.turn()
    assert update(manager) == [None]
    return manager


def order_start(manager):
    ended = begin(manager.plugins.start("lamp"))
    manager.network.turn()
    return ended


def fails(manager):
    """What runs ends, and what is started then becomes alive."""
    manager.process("lamp").ends(Exit(code=1))
    manager.network.turn()
    manager.beat("lamp")
    manager.network.turn()


def test_its_first_start_begins_the_probation(updated):
    order_start(updated)
    updated.beat("lamp")
    assert updated.jobs.all()[0].stage == "on probation"
    updated.network.turn(30)
    updated.beat("lamp")
    fails(updated)
    assert (release(updated), updated.plugin("lamp").state) == ("1.0", State.ALIVE)
    assert updated.store.given_up("plugin", "lamp") == ("1.1",)
    assert list((updated.home.run / "updates").iterdir()) == []


def test_a_first_start_that_fails_brings_the_old_release_back(updated):
    ended = order_start(updated)
    fails(updated)
    assert isinstance(failure(ended), OperationFailed)
    assert (release(updated), updated.plugin("lamp").state) == ("1.0", State.ALIVE)


def test_a_slow_start_is_not_counted_as_time_on_probation(updated):
    order_start(updated)
    updated.network.turn(50)
    updated.beat("lamp")
    updated.network.turn(20)
    updated.beat("lamp")
    fails(updated)
    assert release(updated) == "1.0"


def test_what_lives_through_its_first_minute_is_good(updated):
    order_start(updated)
    for _ in range(7):
        updated.beat("lamp")
        updated.network.turn(10)
    assert list((updated.home.run / "updates").iterdir()) == []
    fails(updated)
    assert release(updated) == "1.1"


def next_manager(manager):
    """As after a restart of the manager: what is remembered is what lies on the disk."""
    made = FakePackageManager(manager.directory)
    made.configure("[supervision]\nupdate_probation = 60\n[plugins]\nlamp = enabled\n")
    made.begin()
    return made


def test_the_next_manager_begins_the_probation_with_the_first_start_too(updated):
    restarted = next_manager(updated)
    assert resume(restarted) == [None]
    assert restarted.processes.living == []
    order_start(restarted)
    restarted.beat("lamp")
    fails(restarted)
    assert (release(restarted), restarted.plugin("lamp").state) == ("1.0", State.ALIVE)


def test_what_was_started_before_the_next_manager_looked_is_on_probation(updated):
    restarted = next_manager(updated)
    order_start(restarted)
    restarted.beat("lamp")
    resume(restarted)
    fails(restarted)
    assert release(restarted) == "1.0"


def test_a_first_start_that_a_crash_of_the_manager_followed_is_still_on_probation(updated):
    order_start(updated)
    updated.beat("lamp")
    (path,) = (updated.home.run / "updates").iterdir()
    words = json.loads(path.read_text())
    assert (words["on_probation"], words["awaits_start"]) == (True, False)


@pytest.mark.parametrize("change", ["rollback", "uninstall"])
def test_what_was_changed_again_proves_nothing_with_its_next_start(updated, change):
    begin(getattr(updated.package_access, change)("plugin", "lamp"))
    updated.network.turn()
    assert list((updated.home.run / "updates").iterdir()) == []
    updated.install_package(NEW)
    updated.order("enable", "lamp")
    order_start(updated)
    updated.beat("lamp")
    fails(updated)
    assert release(updated) == "1.1"


def test_the_second_of_two_updates_is_the_one_that_is_proven(updated):
    newest = updated.publish("lamp", "1.2")
    assert update(updated, newest) == [None]
    order_start(updated)
    updated.beat("lamp")
    fails(updated)
    assert release(updated) == "1.1"


# After a crash


def note(manager, *, runs=True, on_probation=False):
    directory = manager.home.run / "updates"
    directory.mkdir(exist_ok=True)
    words = {"type": "plugin", "id": "lamp", "before": "1.0", "after": "1.1", "runs": runs}
    words["on_probation"] = on_probation
    (directory / "plugin-lamp.json").write_text(json.dumps(words))
    return directory


def resume(manager):
    ended = begin(manager.package_access.resume())
    manager.network.turn()
    return ended


def test_an_update_that_was_cut_off_before_the_switch_has_the_old_one_running(manager):
    directory = note(manager)
    ended = resume(manager)
    manager.beat("lamp")
    manager.network.turn()
    assert len(ended) == 1
    assert (release(manager), manager.plugin("lamp").state) == ("1.0", State.ALIVE)
    assert list(directory.iterdir()) == []


def test_an_update_that_was_cut_off_after_the_switch_is_finished(manager):
    update(manager)
    note(manager)
    ended = resume(manager)
    manager.beat("lamp")
    manager.network.turn()
    assert len(ended) == 1
    assert (release(manager), manager.plugin("lamp").state) == ("1.1", State.ALIVE)


def test_a_release_that_did_not_prove_itself_before_the_crash_has_to_do_it_after(manager):
    update(manager)
    directory = note(manager)
    resume(manager)
    manager.process("lamp").ends(Exit(code=1))
    manager.network.turn()
    manager.beat("lamp")
    manager.network.turn()
    assert (release(manager), manager.plugin("lamp").state) == ("1.0", State.ALIVE)
    assert list(directory.iterdir()) == []


def test_a_note_that_nobody_can_read_is_no_update(manager):
    directory = note(manager)
    (directory / "plugin-lamp.json").write_bytes(b"\0half")
    resume(manager)
    assert manager.processes.living == []
    assert list(directory.iterdir()) == []


def test_a_package_is_what_its_descriptor_says(manager):
    package = manager.package_access.package("plugin", "lamp")
    assert isinstance(package, Package)
    assert package.release == "1.0"


def test_where_there_is_nothing_to_go_back_to_the_one_release_is_named(manager: FakePackageManager):
    ended = begin(manager.package_access.rollback("plugin", "lamp"))
    manager.network.turn()
    assert failure(ended).words == "Only 1.0 of lamp is kept here: there is none to go back to"
