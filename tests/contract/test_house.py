"""What a door relies on, kept by the real house and by the fake one that doors are tested with."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from domogik.components.model import Component, ComponentId, ConfigValue, Kind, State
from domogik.errors import AmbiguousComponent, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.fleet.all_hosts import AllHosts
from domogik.manager.interfaces import IAllHosts
from domogik.manager.plugins.values import Values
from domogik.testing.all_hosts import FakeAllHosts, plugin
from domogik.testing.local_host import FakeManager
from domogik.testing.store import MemoryStore


class AllHostsContract:
    """The plugins `clock`, enabled, and `lamp`, disabled, both off, on the host `vm`."""

    all_hosts: IAllHosts

    def heartbeat(self, name: str) -> None:
        """The plugin, which is starting, is ready."""

    def turn(self) -> None:
        """Let the reactor go round."""

    def add(self, component: Component) -> None:
        """Something else that is here."""

    def done(self, coroutine):
        """What an operation that needs nobody's help comes to."""
        result = Deferred.fromCoroutine(coroutine)
        self.turn()
        return self.successResultOf(result)

    def refused(self, coroutine, error):
        result = Deferred.fromCoroutine(coroutine)
        self.turn()
        return str(self.failureResultOf(result, error).value)

    def start(self, name, verb="start"):
        result = Deferred.fromCoroutine(getattr(self.all_hosts, verb)(self.all_hosts.find(name)))
        self.turn()
        self.heartbeat(name)
        self.successResultOf(result)

    def test_it_is_a_house(self):
        self.assertTrue(verifyObject(IAllHosts, self.all_hosts))
        self.assertEqual(self.all_hosts.host, "vm")

    def test_components_are_found_by_id_and_by_name(self):
        clock = self.all_hosts.find("clock")
        self.assertEqual((clock.id, clock.host), (ComponentId(Kind.PLUGIN, "clock"), "vm"))
        for name, host in (("plugin:clock", None), ("clock", "vm"), ("plugin:clock", "vm")):
            self.assertEqual(self.all_hosts.find(name, host), clock)

    def test_what_is_not_there_is_unknown(self):
        for name, host in (("ghost", None), ("core:clock", "vm"), ("x:y", None), ("clock", "moon")):
            self.assertRaises(UnknownComponent, self.all_hosts.find, name, host)

    def test_a_name_of_two_kinds_is_answered_with_the_candidates(self):
        self.add(Component(ComponentId(Kind.CORE, "clock"), "vm", State.RUNNING))
        error = self.assertRaises(AmbiguousComponent, self.all_hosts.find, "clock")
        self.assertEqual(set(error.candidates), {"core:clock", "plugin:clock"})
        self.assertEqual(self.all_hosts.find("core:clock").id.kind, Kind.CORE)

    def test_everything_is_listed_by_host(self):
        self.assertEqual([one.name for one in self.all_hosts.components()], ["clock", "lamp"])
        self.assertEqual([one.name for one in self.all_hosts.components("vm")], ["clock", "lamp"])
        self.assertEqual(self.all_hosts.components("moon"), ())

    def test_a_start_ends_with_a_plugin_that_is_alive(self):
        self.start("clock")
        clock = self.all_hosts.find("clock")
        self.assertIs(clock.state, State.ALIVE)
        self.assertIsNotNone(clock.pid)

    def test_a_second_start_is_refused_in_the_known_words(self):
        self.start("clock")
        words = self.refused(self.all_hosts.start(self.all_hosts.find("clock")), OperationFailed)
        self.assertEqual(words, "Component clock is already running on vm")

    def test_a_stop_ends_with_nothing_left(self):
        self.start("clock")
        self.done(self.all_hosts.stop(self.all_hosts.find("clock")))
        clock = self.all_hosts.find("clock")
        self.assertEqual((clock.state, clock.pid), (State.STOPPED, None))

    def test_a_stop_of_what_is_off_is_refused_in_the_known_words(self):
        words = self.refused(self.all_hosts.stop(self.all_hosts.find("clock")), OperationFailed)
        self.assertEqual(words, "Component clock is not running on vm")

    def test_a_restart_of_what_is_off_starts_it(self):
        self.start("clock", "restart")
        self.assertIs(self.all_hosts.find("clock").state, State.ALIVE)

    def test_enabling_and_disabling_are_seen_at_once(self):
        self.done(self.all_hosts.enable(self.all_hosts.find("lamp")))
        self.assertIs(self.all_hosts.find("lamp").enabled, True)
        self.done(self.all_hosts.disable(self.all_hosts.find("lamp")))
        self.assertIs(self.all_hosts.find("lamp").enabled, False)

    def test_what_runs_is_not_disabled(self):
        self.start("clock")
        words = self.refused(self.all_hosts.disable(self.all_hosts.find("clock")), OperationFailed)
        self.assertEqual(
            words, "Component 'clock' is running. Please stop it before trying to disable"
        )

    def test_a_change_is_an_event_with_before_and_after(self):
        self.start("clock")
        changes = [
            event.data
            for event in self.all_hosts.events.since(0)
            if event.type == "component.changed" and event.data["id"] == "plugin:clock"
        ]
        self.assertEqual(changes[-1]["state"], "alive")
        self.assertEqual(set(changes[-1]), {"id", "host", "state", "previous", "enabled", "reason"})

    def test_a_detail_is_of_the_component_that_was_asked_for(self):
        clock = self.all_hosts.find("clock")
        self.assertEqual(self.done(self.all_hosts.detail(clock)).component, clock)

    def test_the_output_of_other_hosts_is_not_to_be_had(self):
        far = plugin("cat", "kitchen")
        words = self.refused(self.all_hosts.log_lines(far, 5), NotPossible)
        self.assertEqual(words, "Not available from another host")
        self.assertRaises(NotPossible, self.all_hosts.follow_log, far, print)

    def test_values_are_stored_listed_and_deleted(self):
        all_hosts, stored = self.all_hosts, ConfigValue("kitchen", "cat", "colour", "red")
        self.assertEqual(self.done(all_hosts.config_set("kitchen", "cat", "colour", "red")), stored)
        self.done(all_hosts.config_set("vm", "cat", "colour", "blue"))
        self.assertEqual(self.done(all_hosts.config_list("kitchen", "cat", "colour")), [stored])
        self.assertEqual(
            [one.host for one in self.done(all_hosts.config_list())], ["kitchen", "vm"]
        )
        self.assertEqual(self.done(all_hosts.config_delete("kitchen", "cat")), [stored])
        self.assertEqual(self.done(all_hosts.config_delete("kitchen", "cat", "colour")), [])

    def test_an_empty_value_deletes(self):
        self.done(self.all_hosts.config_set("vm", "cat", "colour", "blue"))
        empty = self.done(self.all_hosts.config_set("vm", "cat", "colour", ""))
        self.assertEqual(empty, ConfigValue("vm", "cat", "colour", ""))
        self.assertEqual(self.done(self.all_hosts.config_list()), [])


class TestAllHosts(AllHostsContract, SynchronousTestCase):
    def setUp(self):
        self.manager = FakeManager(Path(self.mktemp()))
        self.manager.install("clock").install("lamp")
        self.manager.configure("[plugins]\nclock = enabled\n").begin()
        manager = self.manager
        values = Values(MemoryStore())
        self.all_hosts = AllHosts(
            host="vm",
            events=manager.events,
            package_mode=True,
            hosts=manager.hosts,
            jobs=manager.jobs,
            local_host=manager.local_host,
            values=lambda: values,
        )

    def turn(self):
        self.manager.network.turn()

    def heartbeat(self, name):
        self.manager.beat(name)

    def add(self, component):
        self.manager.components.put(component)


class TestFakeHouse(AllHostsContract, SynchronousTestCase):
    def setUp(self):
        self.all_hosts = FakeAllHosts()
        for name, enabled in (("clock", True), ("lamp", False)):
            self.all_hosts.put(plugin(name, state=State.STOPPED, enabled=enabled))

    def add(self, component):
        self.all_hosts.put(component)
