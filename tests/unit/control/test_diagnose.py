"""`domogik.system` with `command=diagnose`, and what the host that asked makes of the answer."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import Component, ComponentId, Kind
from domogik.control.wording import LARGEST_LIST, checks_body
from domogik.errors import NoAnswer, OperationFailed, UnknownComponent
from domogik.manager.fleet.answers import read_checks
from domogik.testing.local_host import REMOTE
from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.codec.message import CMND, STAT, TRIG, Message


def ask(manager, **body):
    pairs = {"command": "diagnose", "host": "vm", **body}
    manager.network.hear(CMND, "domogik-test.vm", "domogik.system", pairs.items())
    (message,) = manager.answers()
    return message


def test_a_plugin_is_diagnosed(manager):
    manager.start("clock")
    message = ask(manager, plugin="clock")
    assert message.body[:3] == (("command", "diagnose"), ("host", "vm"), ("plugin", "clock"))
    assert message.get("checks") == "7"
    assert {check.result for check in read_checks(message)} == {Result.PASSED}


@pytest.mark.parametrize("body", [{}, {"plugin": "*"}, {"type": "host", "plugin": "host:*"}])
def test_without_a_name_it_is_everything(manager, body):
    manager.member("maker-sensor.attic")
    found = {check.component_id for check in read_checks(ask(manager, **body))}
    assert found == {"plugin:clock", "plugin:lamp", "external:maker-sensor.attic"}


def test_another_kind_is_named_by_type_or_by_its_id(manager):
    manager.member("maker-sensor.attic")
    for name in ("maker-sensor.attic", "external:maker-sensor.attic"):
        manager.network.said.clear()
        message = ask(manager, type="external", plugin=name)
        assert message.get("type") == "external"
        assert message.get("plugin") == name
        assert len(read_checks(message)) == 1


@pytest.mark.parametrize(
    "body", [{"plugin": "ghost"}, {"type": "dance", "plugin": "x"}, {"type": "unit", "plugin": "x"}]
)
def test_there_is_always_an_answer(manager, body):
    message = ask(manager, **body)
    assert message.get("error")
    assert message.get("plugin") == body["plugin"]


def test_for_another_host_nothing_is_said(manager):
    pairs = [("command", "diagnose"), ("host", "kitchen"), ("plugin", "clock")]
    manager.network.hear(CMND, "domogik-test.vm", "domogik.system", pairs)
    assert manager.answers() == []


def test_anybody_may_ask(manager):
    pairs = [("command", "diagnose"), ("host", "vm"), ("plugin", "clock")]
    manager.network.hear(CMND, "domogik-test.x", "domogik.system", pairs, address=REMOTE)
    assert manager.answers()[0].get("error") is None


def check(n, result=Result.PASSED, description="d"):
    advice = [Suggestion("start", "Start it")]
    return DiagnosticCheck(
        f"c{n}", description, result, parameters={}, component_id=f"plugin:p{n}", suggestions=advice
    )


def test_what_did_not_pass_comes_first():
    body = checks_body([check(1), check(2, Result.WARNING), check(3, Result.FAILED)])
    message = Message(TRIG, "domogik-manager.vm", "*", schema="domogik.system", body=tuple(body))
    assert [one.check_id for one in read_checks(message)] == ["c3", "c2", "c1"]
    assert [len(one.suggestions) for one in read_checks(message)] == [1, 1, 0]


def test_an_answer_has_an_end_and_can_be_sent():
    body = checks_body([check(n, description="x\n{y} \x00 é" * 300) for n in range(2000)])
    assert sum(len(name) + len(value.encode()) + 2 for name, value in body) < LARGEST_LIST + 100
    assert dict(body)["checks"] == "2000"
    message = Message(
        TRIG, "domogik-manager.vm", "*", schema="domogik.system", body=tuple(body[:6])
    )
    assert decode(encode(message)) == message


# The other side


KITCHEN = Component(ComponentId(Kind.DAEMON, "cache"), "kitchen")


def known(manager):
    """The kitchen's manager was heard."""
    pairs = [("interval", "5"), ("port", "50001"), ("remote-ip", "192.0.2.7")]
    manager.network.hear(STAT, "domogik-manager.kitchen", "hbeat.app", pairs, address=REMOTE)
    manager.network.said.clear()


def outcome(coroutine):
    results = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    return results


def answer(manager, *body):
    manager.network.hear(TRIG, "domogik-manager.kitchen", "domogik.system", body, address=REMOTE)


def test_a_component_of_another_host_is_asked_for_there(manager):
    known(manager)
    results = outcome(manager.all_hosts.diagnose(KITCHEN))
    manager.network.turn()
    (question,) = manager.network.of("domogik.system")
    assert dict(question.body) == {
        "command": "diagnose",
        "host": "kitchen",
        "type": "daemon",
        "plugin": "daemon:cache",
    }
    answer(
        manager,
        *question.body,
        ("check0-id", "daemon-ready"),
        ("check0-comp", "daemon:cache"),
        ("check0-result", "failed"),
        ("check0-desc", "It answers {not}"),
        ("check0-do", "Restart it"),
        ("check1-id", "odd"),
        ("check1-result", "dance"),
        ("check2-id", "daemon-port"),
        ("check2-result", "passed"),
    )
    ((first, second),) = results
    assert (first.filled, first.result) == ("It answers {not}", Result.FAILED)
    assert [one.is_repairable for one in first.suggestions] == [False]
    assert second.filled == "daemon-port"


def test_a_whole_host_is_asked(manager):
    known(manager)
    results = outcome(manager.all_hosts.diagnose_all("kitchen"))
    manager.network.turn()
    (question,) = manager.network.of("domogik.system")
    answer(manager, *question.body, ("checks", "0"))
    assert results == [()]


def test_its_error_comes_back_in_its_own_words(manager):
    known(manager)
    results = outcome(manager.all_hosts.diagnose(KITCHEN))
    manager.network.turn()
    (question,) = manager.network.of("domogik.system")
    answer(manager, *question.body, ("error", "no such thing"))
    assert isinstance(results[0], OperationFailed)


def test_a_silent_host_is_given_up(manager):
    known(manager)
    results = outcome(manager.all_hosts.diagnose_all("kitchen"))
    manager.network.turn(60)
    assert isinstance(results[0], NoAnswer)


@pytest.mark.parametrize("host", ["attic", "x/y"])
def test_nobody_who_was_never_heard_is_asked(manager, host):
    (error,) = outcome(manager.all_hosts.diagnose_all(host))
    assert isinstance(error, UnknownComponent)
    assert manager.network.of("domogik.system") == []


def test_a_host_and_a_repository_can_be_named(manager):
    assert str(manager.all_hosts.find("host:vm").id) == "host:vm"
    url = "repository:http://packages.localhost/x"
    assert str(manager.all_hosts.find(url).id) == url
    for name in ("host:attic", "host:", "repository:"):
        with pytest.raises(UnknownComponent):
            manager.all_hosts.find(name)
