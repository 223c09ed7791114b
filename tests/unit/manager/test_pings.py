"""Asking plugins whether they are there, and what their heartbeats mean."""

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from domogik.components.model import State
from domogik.manager.plugins.heartbeat_senders import HeartbeatSenders
from domogik.manager.plugins.one_plugin import Plugin
from domogik.manager.plugins.pings import PluginPings
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.testing.local_host import HOST, LOCAL, FakeManager
from domogik.xpl.codec.message import STAT


@pytest.fixture
def pinging(tmp_path):
    """As with -p -t 10 -w 15."""
    manager = FakeManager(tmp_path / "home", ping_pause_s=15.0)
    manager.install("clock").install("lamp")
    manager.configure("[plugins]\nclock = enabled\nlamp = enabled\n").begin()
    return manager.start("clock")


def pings(manager, name="clock"):
    """The pings of a plugin that were sent, with where they were sent to."""
    return [
        (message, address)
        for message, address in manager.network.socket.sent
        if message.schema == "hbeat.request" and message.target == f"domogik-{name}.vm"
    ]


def test_a_ping_goes_straight_to_the_port_of_the_last_heartbeat(pinging):
    pinging.network.turn(15)
    ((message, address),) = pings(pinging)
    assert message.type == "xpl-cmnd"
    assert message.body == (("command", "request"),)
    assert message.source == "domogik-manager.vm"
    assert address == ("127.0.0.1", 50001)


def test_a_plugin_that_answers_stays_alive(pinging):
    for _ in range(10):
        pinging.network.turn(15)
        pinging.beat("clock")
    assert pinging.plugin("clock").state is State.ALIVE
    assert len(pings(pinging)) == 10


def test_a_plugin_that_is_silent_is_asked_again_then_called_not_responding(pinging):
    pinging.network.turn(15)
    pinging.network.turn(9)
    assert pinging.plugin("clock").state is State.ALIVE
    assert len(pings(pinging)) > 1
    pinging.network.turn(1)
    clock = pinging.plugin("clock")
    assert (clock.state, clock.reason) == (State.NOT_RESPONDING, "did not answer")
    pinging.network.turn(0.2)
    assert pinging.lists()[-1]["plugin0-status"] == "OFF"


def test_it_is_alive_again_with_its_next_heartbeat(pinging):
    pinging.network.turn(25)
    pinging.network.turn(10)
    assert pinging.plugin("clock").state is State.NOT_RESPONDING
    pinging.beat("clock")
    assert pinging.plugin("clock").state is State.ALIVE


def test_where_it_is_configured_a_plugin_that_is_silent_is_started_again(pinging):
    pinging.configure(
        "[plugins]\nclock = enabled\n[component:plugin:clock]\nrestart_after_misses = 2\n"
    ).read()
    first = pinging.process("clock")
    for _ in range(60):
        pinging.network.turn(1)
    assert pinging.process("clock") is not first


def test_an_answer_of_a_plugin_that_still_configures_itself_is_an_answer(pinging):
    pinging.network.turn(15)
    pinging.beat("clock", status="1")
    pinging.network.turn(10)
    assert pinging.plugin("clock").state is State.ALIVE


def test_who_does_not_run_is_not_asked(pinging):
    for _ in range(5):
        pinging.network.turn(15)
        pinging.beat("clock")
    assert pings(pinging, "lamp") == []


def test_one_started_by_hand_is_asked_and_missed(pinging):
    pinging.beat("lamp", port="50002")
    pinging.network.turn(15)
    pinging.beat("clock")
    assert pings(pinging, "lamp")[0][1] == ("127.0.0.1", 50002)
    pinging.network.turn(10)
    assert pinging.plugin("lamp").state is State.STOPPED
    pinging.beat("lamp", port="50002")
    assert pinging.plugin("lamp").state is State.ALIVE


def test_without_background_pings_nobody_is_asked(manager):
    manager.start("clock")
    manager.network.turn(3600)
    assert pings(manager) == []


def test_no_more_is_asked_when_the_manager_stops(pinging):
    pinging.network.turn(15)
    pinging.pings.stop()
    pinging.network.turn(600)
    pinging.beat("lamp")
    assert len(pings(pinging)) == 1
    assert pinging.plugin("clock").state is State.ALIVE
    assert pinging.plugin("lamp").state is State.STOPPED


# Whose heartbeats count


def test_a_plugin_of_the_same_name_on_another_host_is_not_ours(manager):
    manager.beat("clock", host="kitchen")
    assert manager.plugin("clock").state is State.STOPPED
    manager.start("clock")
    manager.network.hear(STAT, "domogik-clock.kitchen", "hbeat.end", [("interval", "5")])
    assert manager.plugin("clock").state is State.ALIVE


@pytest.mark.parametrize(
    "source", ["acme-clock.vm", "domogik-clock.vm2", "domogik-ghost.vm", "domogik-manager.vm2"]
)
def test_nobody_elses_heartbeat_is_a_plugins(manager, source):
    before = [entry for entry in manager.components.all() if entry.id.kind.value == "plugin"]
    manager.network.hear(STAT, source, "hbeat.app", [("interval", "5")])
    after = [entry for entry in manager.components.all() if entry.id.kind.value == "plugin"]
    assert before == after


@pytest.mark.parametrize(
    ("ip", "port"),
    [
        ("192.0.2.9", "50001"),
        ("127.0.0.1", "0"),
        ("127.0.0.1", "65536"),
        ("127.0.0.1", "9" * 5000),
        ("127.0.0.1", "-1"),
        ("127.0.0.1", "²"),
        ("", ""),
    ],
)
def test_an_address_that_cannot_be_its_own_is_not_pinged(pinging, ip, port):
    body = [("interval", "5"), ("port", port), ("remote-ip", ip), ("status", "2")]
    pinging.network.hear(STAT, f"domogik-lamp.{HOST}", "hbeat.app", body)
    assert pinging.plugin("lamp").state is State.ALIVE
    pinging.network.turn(15)
    assert pings(pinging, "lamp")[0][1] == ("127.0.0.1", 3865)  # through the hub


class Adopted:
    """The plugin clock, left by another manager and not heard yet."""

    name = "clock"
    is_unheard = True
    pids = frozenset({17, 18})

    def watched(self):
        return (self,)


def seeking(manager, find):
    """Pings of the adopted plugin; `find` says where it listens."""
    network = manager.network
    heartbeat_senders = HeartbeatSenders(manager.trust.is_own, lambda: False)
    return PluginPings(
        clock=network.clock,
        identity=manager.identity,
        bus=network.bus,
        plugins=Adopted(),
        host=HOST,
        heartbeat_senders=heartbeat_senders,
        find=find,
    )


def test_an_adopted_plugin_that_was_not_heard_is_asked_at_the_ports_it_has_bound(manager):
    asked = []

    def find(processes):
        asked.append(processes)
        return succeed({"clock": [("127.0.0.1", 50007), ("127.0.0.1", 50008)]})

    pings_of_adopted = seeking(manager, find)
    pings_of_adopted.start()
    assert asked == [{"clock": frozenset({17, 18})}]
    straight = [one for one in pings(manager) if one[1][1] != 3865]
    assert [address[1] for _, address in straight] == [50007, 50008]
    assert {message.body for message, _ in straight} == {(("command", "request"),)}
    pings_of_adopted.stop()


def test_who_stopped_meanwhile_asks_nobody(manager):
    found = Deferred()
    pings_of_adopted = seeking(manager, lambda processes: found)
    pings_of_adopted.start()
    pings_of_adopted.stop()
    before = len(pings(manager))
    found.callback({"clock": [("127.0.0.1", 50007)]})
    assert len(pings(manager)) == before


def test_where_sockets_cannot_be_seen_it_is_asked_through_the_hub(manager):
    pings_of_adopted = seeking(manager, lambda processes: fail(CannotSeeSockets("no /proc")))
    pings_of_adopted.start()
    assert {address for _, address in pings(manager)} == {("127.0.0.1", 3865)}
    pings_of_adopted.stop()


def test_an_adopted_plugin_is_asked_at_once(tmp_path):
    manager = FakeManager(tmp_path / "home").install("clock")
    manager.configure("[plugins]\nclock = enabled\n").read()
    _ = manager.supervisor.start("plugin:clock")
    manager.network.turn()
    manager.begin()
    assert len(pings(manager)) == 1
    assert manager.plugin("clock").state is State.STARTING
    manager.beat("clock")
    assert manager.plugin("clock").state is State.ALIVE


# Who is believed about a plugin that we started

NEIGHBOUR = ("192.0.2.7", 50001)
STRANGER = ("127.0.0.1", 50777)


def says(manager, name, schema="hbeat.app", *, address=LOCAL, port="50001", ip="127.0.0.1"):
    """A heartbeat as if `name` had sent it, from wherever."""
    body = [("interval", "5"), ("port", port), ("remote-ip", ip), ("status", "2")]
    manager.network.hear(STAT, f"domogik-{name}.{HOST}", schema, body, address=address)
    manager.network.turn(1)


@pytest.fixture
def frozen(pinging):
    """The plugin clock does not answer any more; some other program has port 50777."""
    pinging.foreign_ports = {STRANGER[1]}
    pinging.network.turn(15)
    pinging.network.turn(10)
    assert pinging.plugin("clock").state is State.NOT_RESPONDING
    return pinging


@pytest.mark.parametrize("address", [NEIGHBOUR, STRANGER])
def test_nobody_else_makes_a_plugin_that_does_not_answer_alive(frozen, address):
    says(frozen, "clock", address=address)
    assert frozen.plugin("clock").state is State.NOT_RESPONDING
    says(frozen, "clock")
    assert frozen.plugin("clock").state is State.ALIVE


@pytest.mark.parametrize("address", [NEIGHBOUR, STRANGER])
def test_nobody_else_answers_a_ping_in_its_place(pinging, address):
    pinging.foreign_ports = {STRANGER[1]}
    for _ in range(30):
        says(pinging, "clock", address=address)
    assert pinging.plugin("clock").state is State.NOT_RESPONDING


def test_nobody_else_says_that_a_starting_plugin_is_ready(manager):
    manager.foreign_ports = {STRANGER[1]}
    manager.order("start", "clock")
    says(manager, "clock", address=NEIGHBOUR)
    says(manager, "clock", address=STRANGER)
    assert manager.plugin("clock").state is State.STARTING
    says(manager, "clock")
    assert manager.plugin("clock").state is State.ALIVE


def test_nobody_elses_goodbye_makes_a_crash_a_wanted_end(manager, monkeypatch):
    manager.foreign_ports = {STRANGER[1]}
    manager.start("clock")
    left = []
    monkeypatch.setattr(Plugin, "left", lambda plugin: left.append(plugin.name))
    for address in (NEIGHBOUR, STRANGER):
        says(manager, "clock", "hbeat.end", address=address)
    assert left == []
    says(manager, "clock", "hbeat.end")
    assert left == ["clock"]


def test_a_neighbour_is_no_plugin_that_was_started_by_hand(manager):
    says(manager, "clock", address=NEIGHBOUR)
    assert manager.plugin("clock").state is State.STOPPED
    manager.start("clock")
    assert manager.plugin("clock").state is State.ALIVE


def test_a_script_whose_socket_is_gone_counts_by_the_port_that_it_announces(frozen):
    frozen.free_ports = {50888}
    says(frozen, "clock", address=("127.0.0.1", 50888), port=str(STRANGER[1]))
    assert frozen.plugin("clock").state is State.NOT_RESPONDING
    says(frozen, "clock", address=("127.0.0.1", 50888))
    assert frozen.plugin("clock").state is State.ALIVE


def test_behind_another_programs_hub_the_announced_port_counts(frozen):
    frozen.hub_is_elsewhere = True
    frozen.foreign_ports.add(3865)
    hub = ("127.0.0.1", 3865)
    says(frozen, "clock", address=hub, port=str(STRANGER[1]))
    says(frozen, "clock", address=hub, ip="192.0.2.7")
    assert frozen.plugin("clock").state is State.NOT_RESPONDING
    says(frozen, "lamp", address=hub, ip="192.0.2.7")
    assert frozen.plugin("lamp").state is State.STOPPED
    says(frozen, "clock", address=hub)
    assert frozen.plugin("clock").state is State.ALIVE
    says(frozen, "lamp", address=hub)
    assert frozen.plugin("lamp").reason == "started by hand"


def test_a_goodbye_counts_though_its_socket_is_closed_when_it_is_heard(manager, monkeypatch):
    manager.start("clock")
    left = []
    monkeypatch.setattr(Plugin, "left", lambda plugin: left.append(plugin.name))
    manager.free_ports = {LOCAL[1], 50001, 50002}
    says(manager, "clock", "hbeat.end", port="50002")
    assert left == []
    says(manager, "clock", "hbeat.end")
    assert left == ["clock"]


def test_a_process_that_is_too_new_to_be_seen_is_looked_at_once_more(manager):
    manager.order("start", "clock")
    manager.foreign_ports = {LOCAL[1]}
    manager.beat("clock")
    assert manager.plugin("clock").state is State.STARTING
    manager.foreign_ports = set()
    manager.network.turn(1)
    assert manager.plugin("clock").state is State.ALIVE


def test_a_socket_that_is_known_is_not_looked_for_among_processes_again(manager, monkeypatch):
    manager.start("clock")
    monkeypatch.setattr(Plugin, "pids", property(lambda plugin: pytest.fail("looked again")))
    manager.beat("clock")
    assert manager.plugin("clock").state is State.ALIVE
