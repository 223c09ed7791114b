"""The whole house from one host: what is here is done here, the rest travels."""

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from domogik.components.model import Component, ComponentId, ConfigValue, Kind, State
from domogik.errors import (
    AmbiguousComponent,
    NoAnswer,
    NotPossible,
    OperationFailed,
    UnknownComponent,
)
from domogik.manager.fleet.all_hosts import AllHosts
from domogik.manager.interfaces import IAllHosts
from domogik.manager.plugins.values import Values
from domogik.testing.local_host import REMOTE
from domogik.testing.store import MemoryStore
from domogik.xpl.codec.message import STAT, TRIG


def outcome(coroutine):
    results = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def heard(manager, host="kitchen"):
    manager.network.hear(
        STAT, f"domogik-manager.{host}", "hbeat.app", [("interval", "5")], address=REMOTE
    )


def listed(manager, name="cat", kind="plugin", where="kitchen"):
    body = [
        ("command", "list"),
        ("host", "kitchen"),
        ("plugin0-name", name),
        ("plugin0-type", kind),
        ("plugin0-status", "ON"),
        ("plugin0-host", where),
    ]
    manager.network.hear(TRIG, "domogik-manager.kitchen", "domogik.system", body, address=REMOTE)


def test_it_is_a_house(manager):
    assert verifyObject(IAllHosts, manager.all_hosts)


# Finding


def test_a_component_of_this_host_is_found_by_id_and_by_name(manager):
    clock = manager.plugin("clock")
    for name in ("clock", "plugin:clock"):
        assert manager.all_hosts.find(name) == clock
        assert manager.all_hosts.find(name, "vm") == clock


@pytest.mark.parametrize("name", ["ghost", "plugin:ghost", "core:clock", "x:y", "", "a/b", "\x00"])
def test_what_is_not_here_does_not_exist(manager, name):
    with pytest.raises(UnknownComponent, match="doesn't exists on vm"):
        manager.all_hosts.find(name)


def test_a_name_that_two_kinds_have_is_answered_with_the_candidates(manager):
    manager.install("rest").read()
    manager.components.put(Component(ComponentId(Kind.CORE, "rest"), "vm"))
    with pytest.raises(AmbiguousComponent) as caught:
        manager.all_hosts.find("rest")
    assert caught.value.candidates == ("core:rest", "plugin:rest")
    assert manager.all_hosts.find("core:rest").id.kind is Kind.CORE


def test_a_host_that_was_never_heard_is_said_at_once(manager):
    with pytest.raises(UnknownComponent) as caught:
        manager.all_hosts.find("cat", "cellar")
    assert str(caught.value) == "No manager of a host cellar was ever heard"


def test_what_another_host_listed_is_found_there(manager):
    listed(manager)
    cat = manager.all_hosts.find("cat", "kitchen")
    assert (cat.host, cat.state) == ("kitchen", State.ALIVE)
    listed(manager, "lamps", "external", "hall")
    assert manager.all_hosts.find("external:lamps.hall", "kitchen").model == "lamps"


def test_a_plugin_that_a_known_host_does_not_list_may_be_there_disabled(manager):
    heard(manager)
    cat = manager.all_hosts.find("cat", "kitchen")
    assert (cat.id, cat.host) == (ComponentId(Kind.PLUGIN, "cat"), "kitchen")
    assert cat.state is State.UNKNOWN
    assert manager.all_hosts.find("plugin:cat", "kitchen") == cat


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "cat\n",
        "CAT",
        "../cat",
        "x" * 65,
        "external:cat.x",
        "core:hub",
        "x:y",
        "plugin:",
        "",
    ],
)
def test_what_can_be_no_plugin_of_another_host_is_not_asked_for(manager, name):
    heard(manager)
    with pytest.raises(UnknownComponent):
        manager.all_hosts.find(name, "kitchen")


# Doing


def test_the_components_of_every_host_are_seen(manager):
    listed(manager)
    all_hosts = manager.all_hosts
    assert [(one.name, one.host) for one in all_hosts.components()] == [
        ("clock", "vm"),
        ("lamp", "vm"),
        ("cat", "kitchen"),
    ]
    assert [one.name for one in all_hosts.components("vm")] == ["clock", "lamp"]
    assert [one.name for one in all_hosts.components("kitchen")] == ["cat"]
    assert all_hosts.components("cellar") == ()


def test_what_is_here_is_done_here(manager):
    all_hosts = manager.all_hosts
    started = outcome(all_hosts.start(all_hosts.find("clock")))
    manager.network.turn()
    manager.beat("clock")
    assert started == [None]
    stopped = outcome(all_hosts.stop(all_hosts.find("clock")))
    manager.network.turn()
    assert stopped == [None]
    assert outcome(all_hosts.enable(all_hosts.find("lamp"))) == [None]
    assert all_hosts.find("lamp").enabled is True
    assert outcome(all_hosts.disable(all_hosts.find("lamp"))) == [None]
    assert all_hosts.find("lamp").enabled is False
    assert [m for m in manager.network.of("domogik.system") if m.type == "xpl-cmnd"] == []


def answered(manager, verb, name="cat", state="alive", enabled="yes"):
    """That host's manager has obeyed, and says how the plugin is now."""
    source, schema = "domogik-manager.kitchen", "domogik.system"
    body = [("command", verb), ("host", "kitchen"), ("plugin", name)]
    manager.network.hear(TRIG, source, schema, body)
    body = [("command", "detail"), ("host", "kitchen"), ("plugin", name)]
    body += [("state", state), ("enabled", enabled), ("pid", "4711")]
    manager.network.hear(TRIG, source, schema, body)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
def test_what_is_elsewhere_travels_and_is_known_as_it_is_then(manager, verb):
    heard(manager)
    all_hosts = manager.all_hosts
    result = outcome(getattr(all_hosts, verb)(all_hosts.find("cat", "kitchen")))
    answered(manager, verb, state="backoff")
    assert result == [None]
    cat = all_hosts.find("cat", "kitchen")
    assert (cat.state, cat.enabled, cat.pid) == (State.BACKOFF, True, 4711)
    (job,) = all_hosts.jobs()
    assert (job.kind, job.subject, job.state.value) == (verb, "plugin:cat@kitchen", "done")


def test_an_order_that_was_obeyed_is_done_even_where_nobody_says_how_it_is_then(manager):
    heard(manager)
    result = outcome(manager.all_hosts.start(manager.all_hosts.find("cat", "kitchen")))
    body = [("command", "start"), ("host", "kitchen"), ("plugin", "cat")]
    manager.network.hear(TRIG, "domogik-manager.kitchen", "domogik.system", body)
    assert result == []
    manager.network.turn(3)
    assert result == [None]


def test_a_stop_waits_for_no_start_that_is_under_way_on_another_host(manager):
    heard(manager)
    all_hosts = manager.all_hosts
    outcome(all_hosts.start(all_hosts.find("cat", "kitchen")))
    outcome(all_hosts.stop(all_hosts.find("cat", "kitchen")))
    manager.network.turn()
    said = [one.get("command") for one in manager.network.of("domogik.system")]
    assert said[-2:] == ["start", "stop"]


def test_a_host_that_was_heard_and_is_off_ends_in_a_time_out(manager):
    heard(manager)
    manager.network.turn(660)
    assert not manager.all_hosts.hosts()[-1].on
    result = outcome(manager.all_hosts.enable(manager.all_hosts.find("cat", "kitchen")))
    for _ in range(10):
        manager.network.turn(1)
    assert isinstance(result[0], NoAnswer)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
def test_members_and_services_can_only_be_looked_at(manager, verb):
    all_hosts = manager.all_hosts
    manager.member("acme-lamp.hall")
    listed(manager, "lamps", "external", "attic")
    manager.components.put(Component(ComponentId(Kind.CORE, "hub"), "vm"))
    for name, host in (
        ("external:acme-lamp.hall", "vm"),
        ("core:hub", "vm"),
        ("external:lamps.attic", "kitchen"),
    ):
        (error,) = outcome(getattr(all_hosts, verb)(all_hosts.find(name, host)))
        assert isinstance(error, NotPossible), name
        assert name in str(error)


def test_details_of_here_are_there_at_once(manager):
    all_hosts = manager.all_hosts
    (detail,) = outcome(all_hosts.detail(all_hosts.find("clock")))
    assert [key.key for key in detail.configuration] == ["startup-plugin", "interval"]
    manager.member("acme-lamp.hall", body=[("interval", "5"), ("colour", "red")])
    (detail,) = outcome(all_hosts.detail(all_hosts.find("external:acme-lamp.hall")))
    assert detail.values == (("colour", "red"),)


def test_the_detail_of_what_is_elsewhere_travels(manager):
    listed(manager)
    result = outcome(manager.all_hosts.detail(manager.all_hosts.find("cat", "kitchen")))
    for _ in range(10):
        manager.network.turn(1)
    assert isinstance(result[0], NoAnswer)


def test_logs_are_of_this_host_only(manager):
    listed(manager)
    cat = manager.all_hosts.find("cat", "kitchen")
    (error,) = outcome(manager.all_hosts.log_lines(cat, 10))
    assert str(error) == "Not available from another host"
    with pytest.raises(NotPossible, match="Not available from another host"):
        manager.all_hosts.follow_log(cat, print)


def test_who_writes_no_output_has_no_lines(manager):
    manager.member("acme-lamp.hall")
    lamp = manager.all_hosts.find("external:acme-lamp.hall")
    assert outcome(manager.all_hosts.log_lines(lamp, 10)) == [[]]
    with pytest.raises(NotPossible, match="no output of its own"):
        manager.all_hosts.follow_log(lamp, print)


def test_an_upgrade_is_the_managers(manager):
    manager.all_hosts.upgrade()
    assert manager.upgrades == 1


# Values


def test_values_are_stored_listed_and_deleted(manager):
    values = Values(MemoryStore())
    all_hosts = AllHosts(
        host="vm",
        events=manager.events,
        package_mode=True,
        hosts=manager.hosts,
        jobs=manager.jobs,
        local_host=manager.local_host,
        values=lambda: values,
    )
    stored = ConfigValue("kitchen", "cat", "colour", "red")
    assert outcome(all_hosts.config_set("kitchen", "cat", "colour", "red")) == [stored]
    assert outcome(all_hosts.config_list("kitchen")) == [[stored]]
    assert outcome(all_hosts.config_delete("kitchen", "cat")) == [[stored]]
    assert outcome(all_hosts.config_list()) == [[]]
    assert isinstance(outcome(all_hosts.config_set("vm", "x", "Bad Key", "1"))[0], OperationFailed)


def test_without_a_database_there_are_none(manager):
    for coroutine in (
        manager.all_hosts.config_list(),
        manager.all_hosts.config_set("vm", "clock", "interval", "5"),
        manager.all_hosts.config_delete("vm", "clock"),
    ):
        (error,) = outcome(coroutine)
        assert isinstance(error, NotPossible)
        assert "-d" in str(error)


# REST alone


def test_without_a_manager_in_the_process_this_host_is_asked_like_any_other(manager):
    all_hosts = AllHosts(
        host="kitchen",
        events=manager.events,
        package_mode=True,
        hosts=manager.hosts,
        jobs=manager.jobs,
    )
    with pytest.raises(UnknownComponent, match="was ever heard"):
        all_hosts.find("cat")
    listed(manager)
    assert [one.name for one in all_hosts.components()] == ["cat"]
    result = outcome(all_hosts.stop(all_hosts.find("cat")))
    answered(manager, "stop")
    assert result == [None]
    with pytest.raises(NotPossible):
        all_hosts.upgrade()
    assert isinstance(outcome(all_hosts.log_lines(all_hosts.find("cat"), 5))[0], NotPossible)
