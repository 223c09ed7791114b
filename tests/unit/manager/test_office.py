"""What a person can ask of this host, whatever kind of component it is about."""

import pytest
from twisted.internet.defer import Deferred

from domogik.components.model import Component, ComponentId, Kind
from domogik.errors import NotPossible, UnknownComponent


def outcome(coroutine):
    results = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def component(kind, name="thing"):
    return Component(ComponentId(kind, name), "vm")


@pytest.mark.parametrize(
    ("verb", "done"),
    [
        ("start", "started"),
        ("stop", "stopped"),
        ("restart", "restarted"),
        ("enable", "enabled"),
        ("disable", "disabled"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Kind.CORE, "it is a part of the manager"),
        (Kind.EXTERNAL, "it is only heard on the network"),
        (Kind.HOST, "its kind is not known here"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_reason(manager, verb, done, kind, why):
    (error,) = outcome(getattr(manager.all_hosts, verb)(component(kind)))
    assert isinstance(error, NotPossible)
    assert str(error) == f"{kind.value}:thing cannot be {done}: {why}"


def test_plugins_are_found_by_their_bare_name_and_nothing_else_is(manager):
    manager.components.put(component(Kind.CORE, "rest"))
    plugins = manager.kinds.get(Kind.PLUGIN)
    assert plugins.find("clock").name == "clock"
    for name in ("rest", "plugin:clock", "ghost", ""):
        with pytest.raises(UnknownComponent, match="doesn't exists on vm"):
            plugins.find(name)


def test_who_was_never_started_wrote_nothing(manager):
    assert outcome(manager.all_hosts.log_lines(component(Kind.CORE, "hub"), 5)) == [[]]


def test_a_plugin_started_by_hand_has_no_output_here_and_that_is_no_error(manager):
    manager.descriptor("lamp").unlink()
    manager.read()
    assert outcome(manager.all_hosts.log_lines(component(Kind.PLUGIN, "lamp"), 5)) == [[]]
    with pytest.raises(NotPossible, match="plugin:lamp has no output of its own"):
        manager.all_hosts.follow_log(component(Kind.PLUGIN, "lamp"), print)
