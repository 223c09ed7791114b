"""The other hosts of a house: who is there, what runs there, what is asked of them."""

import pytest
from twisted.internet.defer import Deferred

from domogik.components.model import Component, ComponentId, ConfigurationKey, Kind, State
from domogik.errors import NoAnswer, NotPossible, OperationFailed
from domogik.manager.fleet.hosts import MAX_COMPONENTS, MAX_HOSTS
from domogik.testing.local_host import HOST, REMOTE, START_TIME
from domogik.xpl.codec.message import STAT, TRIG


def outcome(coroutine):
    results = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def beat(manager, host="kitchen", **body):
    """A manager's heartbeat."""
    body = {"interval": "5", "remote_ip": "192.0.2.7", **body}
    pairs = [(name.replace("_", "-"), value) for name, value in body.items()]
    manager.network.hear(STAT, f"domogik-manager.{host}", "hbeat.app", pairs, address=REMOTE)


def listed(manager, *entries, host="kitchen", source=None):
    """A manager's list; entries are (name, type, techno, status, host)."""
    body = [("command", "list"), ("host", host)]
    for place, entry in enumerate(entries):
        for word, value in zip(("name", "type", "techno", "status", "host"), entry, strict=False):
            body.append((f"plugin{place}-{word}", value))
    manager.network.hear(
        TRIG, source or f"domogik-manager.{host}", "domogik.system", body, address=REMOTE
    )


def answers(manager, *body, source="domogik-manager.kitchen"):
    manager.network.hear(TRIG, source, "domogik.system", body, address=REMOTE)


def info(manager, host="kitchen"):
    (found,) = [one for one in manager.hosts.known() if one.id == host]
    return found


def plugin(name="cat", host="kitchen"):
    return Component(ComponentId(Kind.PLUGIN, name), host)


CAT = ("cat", "plugin", "animal", "ON", "kitchen")


# Who is there


def test_at_the_start_everybody_is_asked(manager):
    first, second, *_ = [message for message, _ in manager.network.socket.sent]
    assert (first.schema, first.body) == ("hbeat.request", (("command", "request"),))
    assert second.body == (("command", "list"), ("host", "*"))


def test_a_host_is_known_by_its_managers_heartbeat_and_asked_what_runs_there(manager):
    beat(manager, interval="10")
    found = info(manager)
    assert (found.on, found.primary, found.ip) == (True, False, "192.0.2.7")
    assert (found.interval, found.last_seen) == (600.0, START_TIME)
    assert [message.body for message in manager.network.of("domogik.system")] == [
        (("command", "list"), ("host", "kitchen"))
    ]
    beat(manager)
    assert len(manager.network.of("domogik.system")) == 1


def test_this_host_is_the_first_and_the_primary_one(manager):
    beat(manager, "attic")
    manager.identity.presence.start()
    manager.network.turn()
    assert [(one.id, one.primary) for one in manager.hosts.known()] == [
        ("vm", True),
        ("attic", False),
    ]


def test_other_programs_are_no_hosts(manager):
    for source in ("domogik-clock.kitchen", "acme-manager.kitchen", "domogik-manager"):
        manager.network.hear(STAT, source, "hbeat.app", [("interval", "5")])
    assert manager.hosts.known() == ()


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("5", 300), ("", 300), ("x", 300), ("0", 300), ("60", 1800), ("9" * 5000, 1800), ("²", 300)],
)
def test_an_interval_that_cannot_be_is_the_nearest_that_can(manager, interval, seconds):
    beat(manager, interval=interval)
    assert info(manager).interval == seconds


def test_an_address_that_is_none_is_not_shown(manager):
    beat(manager, remote_ip="\x1b[2J")
    assert info(manager).ip == ""


def test_a_silent_host_is_off_and_nobody_can_tell_what_runs_there(manager):
    beat(manager)
    listed(manager, CAT)
    manager.published.clear()
    manager.network.turn(659)
    assert info(manager).on
    manager.network.turn(1)
    assert not info(manager).on
    (cat,) = manager.hosts.components("kitchen")
    assert (cat.state, cat.reason) == (State.UNKNOWN, "its host is silent")
    assert [(event.type, dict(event.data)) for event in manager.published] == [
        ("host.changed", {"id": "kitchen", "on": False}),
        (
            "component.changed",
            {
                "id": "plugin:cat",
                "host": "kitchen",
                "state": "unknown",
                "previous": "alive",
                "enabled": True,
                "reason": "its host is silent",
            },
        ),
    ]


def test_each_host_is_silent_in_its_own_time(manager):
    beat(manager, "slow", interval="30")
    beat(manager, "quick", interval="5")
    for _ in range(3):
        manager.network.turn(300)
        beat(manager, "quick")
    manager.network.turn(661)
    assert (info(manager, "quick").on, info(manager, "slow").on) == (False, True)
    manager.network.turn(3660)
    assert not info(manager, "slow").on


def test_a_host_that_leaves_is_off_at_once_and_on_with_its_next_word(manager):
    beat(manager)
    listed(manager, CAT)
    leave(manager)
    assert not info(manager).on
    assert manager.hosts.components()[0].state is State.UNKNOWN
    manager.network.said.clear()
    beat(manager)
    assert info(manager).on
    assert manager.network.of("domogik.system")[0].get("host") == "kitchen"
    listed(manager, CAT)
    assert manager.hosts.components()[0].state is State.ALIVE


def test_hosts_are_bounded_and_who_is_off_makes_room(manager):
    beat(manager, "kitchen")
    for number in range(MAX_HOSTS + 5):
        beat(manager, f"h{number}")
    assert len(manager.hosts.known()) == MAX_HOSTS
    assert not manager.hosts.is_known("new")
    leave(manager, "h3")
    beat(manager, "new")
    assert manager.hosts.is_known("new")
    assert not manager.hosts.is_known("h3")
    assert len(manager.hosts.known()) == MAX_HOSTS


# What runs there


def test_a_list_says_what_runs_on_a_host(manager):
    listed(manager, CAT, ("dog", "plugin", "animal", "OFF", "kitchen"))
    cat, dog = manager.hosts.components()
    assert cat == Component(
        ComponentId(Kind.PLUGIN, "cat"), "kitchen", State.ALIVE, True, technology="animal"
    )
    assert (dog.name, dog.state) == ("dog", State.STOPPED)


def test_members_are_listed_under_their_model_and_instance(manager):
    listed(manager, ("lamps", "external", "light", "ON", "hall"))
    (lamp,) = manager.hosts.components()
    assert (lamp.id, lamp.host) == (ComponentId(Kind.EXTERNAL, "lamps.hall"), "kitchen")
    assert (lamp.enabled, lamp.model) == (None, "lamps")


def test_what_changed_is_an_event_and_what_did_not_is_none(manager):
    listed(manager, CAT, ("dog", "plugin", "animal", "ON", "kitchen"))
    manager.published.clear()
    listed(manager, CAT, ("owl", "plugin", "animal", "ON", "kitchen"))
    assert [(event.type, event.data["id"]) for event in manager.published] == [
        ("component.added", "plugin:owl"),
        ("component.removed", "plugin:dog"),
    ]


def test_only_a_hosts_own_manager_says_what_runs_there(manager):
    listed(manager, CAT, source="domogik-manager.attic")
    listed(manager, CAT, source="domogik-cat.kitchen")
    listed(manager, CAT, host=HOST)
    assert manager.hosts.known() == ()
    assert manager.published == []


def test_names_that_nothing_can_have_are_left_out(manager):
    listed(
        manager,
        ("../../etc", "plugin", "x", "ON", "kitchen"),
        ("a b", "plugin", "x", "ON", "kitchen"),
        ("x" * 65, "plugin", "x", "ON", "kitchen"),
        ("lamps", "external", "x", "ON", "\x1b[2J"),
        ("cat", "plugin", "\x1b[2Janimal", "ON", "kitchen"),
        ("cat", "plugin", "x", "OFF", "kitchen"),
    )
    (cat,) = manager.hosts.components()
    assert (cat.name, cat.technology, cat.state) == ("cat", "?[2Janimal", State.ALIVE)


def test_components_of_all_hosts_together_are_bounded(manager):
    for number in range(7):
        entries = [(f"p{n}", "plugin", "x", "ON", "x") for n in range(1200)]
        listed(manager, *entries, host=f"h{number}")
    assert len(manager.hosts.components("h0")) == 1000
    assert len(manager.hosts.components()) == MAX_COMPONENTS
    listed(manager, host="h0")
    listed(manager, *entries, host="h6")
    assert len(manager.hosts.components("h6")) == 1000


# Asking


def test_an_order_travels_and_its_answer_ends_it(manager):
    result = outcome(manager.hosts.command("kitchen", "start", "cat"))
    manager.network.turn()
    (asked,) = manager.network.of("domogik.system")
    assert asked.body == (("command", "start"), ("host", "kitchen"), ("plugin", "cat"))
    for wrong in (
        [("command", "stop"), ("host", "kitchen"), ("plugin", "cat")],
        [("command", "start"), ("host", "attic"), ("plugin", "cat")],
        [("command", "start"), ("host", "kitchen"), ("plugin", "catalogue")],
    ):
        answers(manager, *wrong)
        assert result == []
    answers(manager, ("host", "kitchen"), ("command", "start"), ("plugin", "cat"))
    assert result == [None]


def test_an_error_comes_back_in_its_own_words(manager):
    result = outcome(manager.hosts.command("kitchen", "start", "cat"))
    error = "Component cat is already running on kitchen"
    answers(manager, ("host", "kitchen"), ("command", "start"), ("plugin", "cat"), ("error", error))
    assert isinstance(result[0], OperationFailed)
    assert str(result[0]) == error


ORDERS = ["start", "stop", "restart", "enable", "disable"]


@pytest.mark.parametrize("command", ORDERS)
def test_a_host_that_is_silent_is_waited_for_as_long_as_the_configuration_says(manager, command):
    beat(manager)
    result = outcome(manager.hosts.command("kitchen", command, "cat"))
    for _ in range(9):
        manager.network.turn(1)
    assert result == []
    manager.network.turn(1)
    assert isinstance(result[0], NoAnswer)
    assert str(result[0]) == (f"No data or timeout on {command} plugin cat: kitchen is not heard")
    said = [one.get("command") for one in manager.network.of("domogik.system")]
    assert said.count(command) == 1
    asked = [one.target for one in manager.network.of("hbeat.request")]
    assert set(asked) == {"domogik-manager.kitchen"}


def leave(manager, host="kitchen", address=REMOTE):
    body = [("interval", "5")]
    manager.network.hear(STAT, f"domogik-manager.{host}", "hbeat.end", body, address=address)


def test_a_goodbye_that_another_address_says_counts_unless_the_host_is_heard(manager):
    beat(manager)
    leave(manager, address=("192.0.2.66", 50123))
    assert manager.network.of("hbeat.request")[-1].target == "domogik-manager.kitchen"
    beat(manager)
    manager.network.turn(manager.hosts.patience_s + 1)
    assert info(manager).on
    leave(manager, address=("192.0.2.66", 50123))
    manager.network.turn(manager.hosts.patience_s + 1)
    assert not info(manager).on


def test_a_name_that_another_host_does_not_know_gets_the_nearest_one(manager):
    beat(manager)
    listed(manager, CAT)
    asked = outcome(manager.hosts.command("kitchen", "start", "cot"))
    manager.network.turn()
    error = "Component cot doesn't exists on kitchen"
    answers(manager, ("command", "start"), ("host", "kitchen"), ("name", "cot"), ("error", error))
    assert str(asked[0]) == error
    assert asked[0].plain == "There is no component cot on kitchen. Did you mean cat?"


@pytest.mark.parametrize("command", ORDERS)
def test_a_host_that_said_goodbye_is_answered_for_at_once(manager, command):
    beat(manager)
    leave(manager)
    (error,) = outcome(manager.hosts.command("kitchen", command, "cat"))
    assert isinstance(error, NoAnswer)
    assert str(error) == (
        f"No data or timeout on {command} plugin cat: the manager of kitchen was stopped"
    )
    beat(manager)
    assert outcome(manager.hosts.command("kitchen", command, "cat")) == []


def test_a_host_that_says_goodbye_in_the_middle_of_an_order_is_waited_for_no_longer(manager):
    beat(manager)
    result = outcome(manager.hosts.command("kitchen", "start", "cat"))
    leave(manager, "attic")
    assert result == []
    leave(manager)
    assert "was stopped" in str(result[0])


def test_a_host_that_lives_may_take_its_time_and_an_order_that_was_lost_is_given_again(manager):
    beat(manager)
    result = outcome(manager.hosts.command("kitchen", "start", "cat"))
    for _ in range(35):
        manager.network.turn(3)
        beat(manager)
    assert result == []
    orders = [one for one in manager.network.of("domogik.system") if one.get("command") == "start"]
    assert len(orders) == 4
    answers(manager, ("host", "kitchen"), ("command", "start"), ("plugin", "cat"))
    assert result == [None]
    assert manager.network.clock.getDelayedCalls() == [manager.hosts._timer]


def test_a_host_whose_link_is_cut_in_the_middle_of_an_order_is_waited_for_no_longer(manager):
    beat(manager)
    result = outcome(manager.hosts.command("kitchen", "start", "cat"))
    for _ in range(10):
        manager.network.turn(3)
        beat(manager)
    for _ in range(9):
        manager.network.turn(1)
    assert result == []
    manager.network.turn(1)
    assert "kitchen is not heard" in str(result[0])


def test_a_detail_is_asked_for_again_and_given_up_in_the_end(manager):
    result = outcome(manager.hosts.detail(plugin()))
    for _ in range(10):
        manager.network.turn(1)
    assert str(result[0]) == (
        "No data or timeout on getting plugin detail for cat: kitchen is not heard"
    )
    assert len(manager.network.of("domogik.system")) > 1


# What is known after an order


def detailed(manager, *more, name="cat", status="ON"):
    answers(
        manager,
        ("command", "detail"),
        ("type", "plugin"),
        ("plugin", name),
        ("technology", "animal"),
        ("status", status),
        ("version", "1.0"),
        ("host", "kitchen"),
        *more,
    )


def test_a_component_is_known_as_its_manager_says_it_is(manager):
    listed(manager, CAT)
    result = outcome(manager.hosts.look(plugin()))
    detailed(
        manager,
        ("state", "alive"),
        ("enabled", "yes"),
        ("pid", "4711"),
        ("since", "1800000000"),
        ("restarts", "2"),
        ("reason", "x\x1b"),
    )
    (cat,) = result
    assert manager.hosts.components("kitchen") == (cat,)
    assert (cat.state, cat.enabled, cat.pid, cat.since) == (State.ALIVE, True, 4711, 1800000000)
    assert (cat.restarts, cat.reason) == (2, "x?")
    # a list knows less, and says nothing against it; until the state is another one
    listed(manager, CAT)
    assert manager.hosts.components("kitchen") == (cat,)
    listed(manager, ("cat", "plugin", "animal", "OFF", "kitchen"))
    (cat,) = manager.hosts.components("kitchen")
    assert (cat.state, cat.pid, cat.restarts) == (State.STOPPED, None, 0)


def test_a_plugin_that_its_manager_calls_unknown_is_disabled(manager):
    listed(manager, CAT)
    result = outcome(manager.hosts.look(plugin()))
    error = "Component cat doesn't exists on kitchen"
    answers(
        manager, ("host", "kitchen"), ("command", "detail"), ("plugin", "cat"), ("error", error)
    )
    assert (result[0].state, result[0].enabled) == (State.DISABLED, False)
    assert manager.hosts.components("kitchen") == tuple(result)


@pytest.mark.parametrize("pairs", [[("pid", "x")], [("since", "9" * 400)], [("state", "?")], []])
def test_what_a_manager_says_in_words_of_its_own_is_read_as_far_as_it_goes(manager, pairs):
    result = outcome(manager.hosts.look(plugin()))
    detailed(manager, *pairs)
    assert (result[0].pid, result[0].since, result[0].restarts) == (None, 0, 0)
    assert result[0].state in (State.ALIVE, State.STOPPED)


def test_a_detail_is_read_completely(manager):
    result = outcome(manager.hosts.detail(plugin()))
    answers(
        manager,
        ("command", "detail"),
        ("cfg0-key", "startup-plugin"),
        ("cfg0-type", "boolean"),
        ("cfg0-desc", "Start"),
        ("cfg0-default", "False"),
        ("cfg0-int", "no"),
        ("cfg2-key", "unit"),
        ("cfg2-type", "enum"),
        ("cfg2-desc", " "),
        ("cfg2-default", "None"),
        ("cfg2-int", "yes"),
        ("cfg2-options", "mm,inch"),
        ("cfg2-opt", "yes"),
        ("type", "plugin"),
        ("plugin", "cat"),
        ("description0", "First\\nsec"),
        ("description1", "ond"),
        ("technology", "animal"),
        ("status", "ON"),
        ("release", "0.3"),
        ("documentation", "http://docs"),
        ("host", "kitchen"),
    )
    (detail,) = result
    assert detail.configuration == (
        ConfigurationKey(0, "startup-plugin", "boolean", "Start", "False"),
        ConfigurationKey(2, "unit", "enum", " ", None, ("mm", "inch"), True, True),
    )
    described = detail.component
    assert (described.state, described.version) == (State.ALIVE, "0.3")
    assert (described.description, described.technology) == ("First\nsecond", "animal")
    assert described.documentation == "http://docs"


def test_the_detail_of_a_member_is_asked_for_by_model_and_instance(manager):
    listed(manager, ("lamps", "external", "light", "ON", "hall"))
    result = outcome(manager.hosts.detail(manager.hosts.components()[0]))
    manager.network.turn()
    asked = manager.network.of("domogik.system")[-1]
    assert asked.body == (("command", "detail"), ("host", "hall"), ("plugin", "lamps"))
    answers(
        manager,
        ("command", "detail"),
        ("cfg0-id", "0"),
        ("cfg0-key", "colour"),
        ("cfg0-value", "red\x1b[2J"),
        ("type", "external"),
        ("plugin", "lamps"),
        ("status", "ON"),
        ("version", "n/a"),
        ("host", "hall"),
    )
    assert result[0].values == (("colour", "red?[2J"),)


def test_an_error_in_a_detail_is_said_as_the_original_said_it(manager):
    result = outcome(manager.hosts.detail(plugin()))
    error = "Component cat doesn't exists on kitchen"
    answers(
        manager, ("host", "kitchen"), ("command", "detail"), ("plugin", "cat"), ("error", error)
    )
    assert str(result[0]) == f"Error on detail request : {error}"


@pytest.mark.parametrize(
    "body",
    [
        [("cfg-key", "x"), ("cfg9999999999-key", "y"), ("cfgx-key", "z")],
        [("description0", "\x1b[2J"), ("version", "\x07"), ("cfg0-options", ",,,")],
        [],
    ],
)
def test_whatever_a_detail_holds_it_is_read(manager, body):
    result = outcome(manager.hosts.detail(plugin()))
    answers(manager, ("command", "detail"), *body, ("plugin", "cat"), ("host", "kitchen"))
    assert result[0].component.description.isprintable()
    assert result[0].component.version.isprintable()


def test_who_listens_no_more_learns_nothing(manager):
    beat(manager)
    manager.hosts.stop()
    beat(manager, "attic")
    listed(manager, CAT)
    manager.network.turn(7200)
    assert [one.id for one in manager.hosts.known()] == ["kitchen"]
    assert info(manager).on


# Daemons there


def with_daemon(manager, status="ON"):
    body = [
        ("command", "list"),
        ("host", "kitchen"),
        ("plugin0-name", "cache"),
        ("plugin0-type", "plugin"),
        ("plugin0-status", "OFF"),
        ("daemon0-name", "cache"),
        ("daemon0-techno", "redis"),
        ("daemon0-status", status),
    ]
    manager.network.hear(TRIG, "domogik-manager.kitchen", "domogik.system", body, address=REMOTE)


def test_daemons_of_another_host_stand_beside_its_plugins(manager):
    with_daemon(manager)
    plugin, daemon = sorted(
        manager.hosts.components("kitchen"), key=lambda one: one.id.kind.value, reverse=True
    )
    assert (str(plugin.id), plugin.state) == ("plugin:cache", State.STOPPED)
    assert (str(daemon.id), daemon.state, daemon.technology) == (
        "daemon:cache",
        State.ALIVE,
        "redis",
    )


def test_an_order_for_a_daemon_is_one_that_no_plugin_takes_for_its_own(manager):
    with_daemon(manager)
    daemon = manager.all_hosts.find("daemon:cache", "kitchen")
    result = outcome(manager.all_hosts.stop(daemon))
    manager.network.turn()
    asked = manager.network.of("domogik.system")[-1]
    assert asked.body == (
        ("command", "stop"),
        ("host", "kitchen"),
        ("type", "daemon"),
        ("plugin", "daemon:cache"),
    )
    answers(manager, ("host", "kitchen"), ("command", "stop"), ("plugin", "cache"))
    assert result == []
    answers(
        manager,
        ("host", "kitchen"),
        ("command", "stop"),
        ("type", "daemon"),
        ("plugin", "daemon:cache"),
    )
    manager.network.turn(3)
    assert result == [None]


def test_what_has_no_message_is_for_the_host_itself(manager):
    with_daemon(manager)
    daemon = manager.all_hosts.find("daemon:cache", "kitchen")
    for asked in (manager.all_hosts.backup(daemon), manager.all_hosts.restore(daemon, "one")):
        (error,) = outcome(asked)
        assert isinstance(error, NotPossible)
        assert str(error) == "Not available from another host"
    with pytest.raises(NotPossible, match="Not available from another host"):
        manager.all_hosts.credentials(daemon)
