"""A file that changes is read again; a broken one changes nothing."""

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from domogik.components.events import EventStream
from domogik.config.load import BrokenConfiguration, load
from domogik.manager.configuration import ConfigurationInForce
from domogik.manager.settings import enabled_plugins
from domogik.packages.store.installed import Inventory
from domogik.units.settings import read_units


class Keeper:
    """A keeper whose thread answers when the test says so, or at once."""

    def __init__(self, tmp_path, at_once=True):
        self.file = tmp_path / "domogik.cfg"
        self.file.write_text("[plugins]\nclock = enabled\n")
        self.at_once = at_once
        self.scanned = Inventory({}, {})
        self.applied = []
        self.reading = []
        self.refuse = None
        self.events = EventStream(lambda: 1000.0)
        self.told = []
        self.keeper = ConfigurationInForce(
            paths=(self.file,),
            current=load([self.file]),
            scan=lambda: self.scanned,
            apply=self.apply,
            in_thread=self.in_thread,
            events=self.events,
            readers=(enabled_plugins, read_units),
            tell=lambda *told: self.told.append(told),
        )

    def apply(self, inventory, configuration):
        if self.refuse is not None:
            raise self.refuse
        self.applied.append(configuration)

    def in_thread(self, work, *arguments):
        done = Deferred()
        self.reading.append(lambda: done.callback(work(*arguments)))
        if self.at_once:
            self.finish()
        return done

    def finish(self):
        self.reading.pop(0)()

    def reload(self):
        results = []
        Deferred.fromCoroutine(self.keeper.reload()).addBoth(results.append)
        return results

    def write(self, text):
        self.file.write_text(text)
        return self.reload()

    @property
    def types(self):
        return [event.type for event in self.events.since(0)]


@pytest.fixture
def log():
    lines = []

    def keep(event):
        lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(keep)
    yield lines
    globalLogPublisher.removeObserver(keep)


def test_what_changed_is_taken_over_and_told(tmp_path):
    keeper = Keeper(tmp_path)
    assert keeper.write("[plugins]\nlamp = enabled\n") == [None]
    assert list(keeper.applied[0].section("plugins")) == ["lamp"]
    assert keeper.keeper.current is keeper.applied[0]
    (event,) = keeper.events.since(0)
    assert (event.type, event.data["path"]) == ("configuration.changed", str(keeper.file))


def test_a_file_that_says_the_same_is_no_change_but_packages_are_looked_at(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.reload()
    assert len(keeper.applied) == 1
    assert keeper.types == []


@pytest.mark.parametrize("text", ["[plugins\n", "key before any section\n", "[a]\nno equals\n"])
def test_a_broken_file_is_refused_with_file_and_line_and_the_last_good_one_stays(tmp_path, text):
    keeper = Keeper(tmp_path)
    good = keeper.keeper.current
    assert keeper.write(text) == [None]
    assert keeper.applied == [good]
    assert keeper.keeper.current is good
    (event,) = keeper.events.since(0)
    assert event.type == "configuration.refused"
    assert event.data["path"] == str(keeper.file)
    assert event.data["error"].startswith(f"{keeper.file}:")


def test_what_a_room_refuses_is_refused_as_a_whole(tmp_path):
    keeper = Keeper(tmp_path)
    good = keeper.keeper.current
    keeper.refuse = BrokenConfiguration(keeper.file, 2, "restart must be on-failure")
    keeper.write("[plugins]\nlamp = enabled\n")
    assert keeper.keeper.current is good
    assert keeper.types == ["configuration.refused"]


def test_at_the_start_nothing_good_is_in_force_yet_so_it_is_raised(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.file.write_text("[plugins\n")
    results = []
    Deferred.fromCoroutine(keeper.keeper.begin()).addBoth(results.append)
    assert results[0].check(BrokenConfiguration)


def test_what_was_written_before_the_question_is_always_seen(tmp_path):
    keeper = Keeper(tmp_path, at_once=False)
    first = keeper.reload()
    keeper.file.write_text("[plugins]\nlamp = enabled\n")
    second, third = keeper.reload(), keeper.reload()
    keeper.finish()
    assert (first, second, third) == ([None], [], [])
    keeper.finish()
    assert second == third == [None]
    assert len(keeper.applied) == 2  # two questions share the second reading
    assert "lamp" in keeper.keeper.current.section("plugins")


def test_a_reading_that_fails_is_told_to_who_asked_for_it_and_to_nobody_else(tmp_path):
    keeper = Keeper(tmp_path, at_once=False)
    first = keeper.reload()
    keeper.file.write_text("[plugins]\nlamp = enabled\n")
    second, third = keeper.reload(), keeper.reload()
    keeper.refuse = RuntimeError("oops")
    keeper.finish()
    assert first[0].check(RuntimeError)
    assert second == third == []
    keeper.refuse = None
    keeper.finish()
    assert second == third == [None]
    assert "lamp" in keeper.keeper.current.section("plugins")


def test_two_who_share_a_reading_that_fails_are_both_told(tmp_path):
    keeper = Keeper(tmp_path, at_once=False)
    keeper.reload()
    second, third = keeper.reload(), keeper.reload()
    keeper.finish()
    keeper.refuse = RuntimeError("oops")
    keeper.finish()
    assert second[0].check(RuntimeError)
    assert third[0].check(RuntimeError)


def test_a_change_that_nobody_waits_for_is_logged_when_it_fails(tmp_path, log):
    keeper = Keeper(tmp_path)
    keeper.refuse = RuntimeError("oops")
    keeper.keeper.changed(set())
    assert "reading the configuration again" in log


def test_what_is_odd_is_said_once_while_it_lasts(tmp_path, log):
    keeper = Keeper(tmp_path)
    keeper.scanned = Inventory({}, {}, ("lamp.xml: not a package",))
    odd = "[plugins]\n[nonsense]\nx = 1\n"
    for _ in range(3):
        keeper.write(odd)
    assert [line for line in log if "nonsense" in line] == [
        f"{keeper.file}:2: no section [nonsense] is known; it is ignored"
    ]
    assert log.count("lamp.xml: not a package") == 1
    keeper.write("[plugins]\n")
    keeper.write(odd)
    assert len([line for line in log if "nonsense" in line]) == 2


def test_keys_that_are_read_at_the_start_only_say_so_until_they_are_as_before(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.write("# a line above\n[domogik]\nhub = external\nlog_level = debug\n")
    keeper.reload()
    said = f"hub in [domogik] ({keeper.file}:3) counts from the next start"
    assert keeper.told == [({}, said)] * 2
    keeper.write("[domogik]\n")
    assert keeper.told[-1] == ({}, "")


def test_one_wrong_entry_refuses_itself_and_what_it_said_before_stays(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.write("[plugins]\nclock = enabled\n[unit:web]\nunit = nginx\n")
    keeper.write(
        "[plugins]\nclock = enabeld\nlamp = enabled\n[unit:web]\nunit = apache\nrole = x\n"
    )
    now = keeper.applied[-1]
    assert enabled_plugins(now) == {"clock", "lamp"}
    assert [one.unit for one in read_units(now)] == ["nginx"]
    remarks, sentence = keeper.told[-1]
    assert remarks["plugin:clock"].startswith(f"{keeper.file}:2: clock in [plugins] must be ")
    assert remarks["unit:web"].startswith(f"{keeper.file}:6: role in [unit:web] must be ")
    assert sentence == "; ".join(remarks.values())
    assert [event.type for event in keeper.events.since(0)].count("configuration.refused") == 2
    keeper.reload()
    assert keeper.types.count("configuration.refused") == 2
    keeper.write("[plugins]\nlamp = enabled\n")
    assert keeper.told[-1] == ({}, "")


def test_at_the_start_a_wrong_entry_is_as_if_it_were_not_there(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.file.write_text("[plugins]\nclock = enabeld\nlamp = enabled\n[unit:web]\n")
    Deferred.fromCoroutine(keeper.keeper.begin())
    assert enabled_plugins(keeper.applied[-1]) == {"lamp"}
    assert list(keeper.told[-1][0]) == ["plugin:clock", "unit:web"]


def test_a_file_that_cannot_be_understood_is_told_too_and_changes_nothing(tmp_path):
    keeper = Keeper(tmp_path)
    good = keeper.keeper.current
    keeper.write("[plugins\n")
    assert keeper.told[-1][1].startswith(f"{keeper.file}:1: expected [section]")
    assert keeper.applied == [good]  # what is installed is looked at


def test_a_file_that_is_deleted_changes_nothing_until_the_next_start(tmp_path):
    keeper = Keeper(tmp_path)
    Deferred.fromCoroutine(keeper.keeper.begin())
    good = keeper.keeper.current
    keeper.file.unlink()
    keeper.reload()
    assert keeper.keeper.current is good
    assert keeper.told[-1][1].startswith(f"{keeper.file}: is gone: what it said stays in force")
    keeper.write("[plugins]\nlamp = enabled\n")
    assert list(keeper.applied[-1].section("plugins")) == ["lamp"]
    assert keeper.told[-1] == ({}, "")
