"""Declared units in the manager: in the one list, switched with their plugins, and no others."""

from __future__ import annotations

import shutil

import pytest
from twisted.internet.defer import Deferred

from domogik.components.health import Result
from domogik.components.model import State
from domogik.errors import AmbiguousComponent, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.units.enabled_apps import EnabledApps
from domogik.testing.local_host import REMOTE, FakeManager
from domogik.units.systemd.backend import NoSystemd, Order
from domogik.xpl.codec.message import TRIG

HEAD = "[plugins]\nclock = enabled\n"
WEB = "[unit:web]\nunit = nginx\n"
SHARED = "[unit:{0}]\nunit = database\nrole = shared\napp = {0}\n"


@pytest.fixture
def manager(tmp_path):
    """systemd has `nginx` and `database`; the plugins are `clock`, which is enabled, and `lamp`."""
    made = FakeManager(tmp_path / "home")
    made.install("clock").install("lamp")
    made.systemd.add("nginx.service")
    made.systemd.add("database.service")
    return made.configure(HEAD + WEB).begin()


def later(manager, turns=20):
    """Turns of the reactor, a tenth of a second each."""
    for _ in range(turns):
        manager.network.turn(0.1)


def told(manager, text):
    """Another configuration, as the keeper takes it over."""
    manager.configure(text).read()
    later(manager)


def unit(manager, name="web"):
    return manager.all_hosts.find(f"unit:{name}")


def asked(manager, coroutine):
    """What an operation comes to, or its error."""
    results = []
    Deferred.fromCoroutine(coroutine).addCallbacks(
        results.append, lambda failure: results.append(failure.value)
    )
    later(manager)
    (result,) = results
    return result


def orders(manager):
    """What systemd was told since the last time it was asked."""
    given = [f"{order.value} {name.partition('.')[0]}" for order, name in manager.systemd.orders]
    manager.systemd.orders.clear()
    return given


# The list


def test_a_unit_is_in_the_list_as_systemd_has_it(manager):
    later(manager)
    web = unit(manager)
    assert (web.state, web.enabled, web.technology) == (State.DISABLED, False, "systemd")
    assert web.description == "The unit nginx.service"
    manager.systemd.change_state("nginx.service", "active", "running", main_pid=77)
    later(manager)
    assert (unit(manager).state, unit(manager).pid) == (State.RUNNING, 77)


@pytest.mark.parametrize(
    ("active", "sub", "state"),
    [
        ("activating", "start", State.STARTING),
        ("activating", "auto-restart", State.BACKOFF),
        ("deactivating", "stop-sigterm", State.STOPPING),
        ("failed", "failed", State.FAILED),
    ],
)
def test_its_states_are_those_of_everything(manager, active, sub, state):
    manager.systemd.change_state("nginx.service", active, sub)
    later(manager)
    assert unit(manager).state is state


def test_it_is_stopped_when_it_counts_as_enabled_and_disabled_when_not(manager):
    manager.systemd.units["nginx.service"].word = "static"
    told(manager, HEAD + WEB + "listen_ports = 80/tcp\n")
    assert (unit(manager).state, unit(manager).enabled) == (State.STOPPED, True)
    told(manager, HEAD + WEB + "strict_check = yes\n")
    assert (unit(manager).state, unit(manager).enabled) == (State.DISABLED, False)


def test_what_systemd_does_not_know_has_failed(manager):
    told(manager, HEAD + "[unit:ghost]\nunit = ghost\n")
    ghost = unit(manager, "ghost")
    assert (ghost.state, ghost.reason) == (State.FAILED, "Unit ghost.service not found.")
    with pytest.raises(UnknownComponent):
        unit(manager, "web")


def test_without_systemd_it_is_unknown_why(manager):
    manager.systemd.absent = "nothing here was booted by systemd"
    later(manager, 4000)
    web = unit(manager)
    assert (web.state, web.enabled, web.pid) == (State.UNKNOWN, None, None)
    assert web.reason == "nothing here was booted by systemd"
    manager.systemd.absent = ""
    later(manager, 300)
    assert (unit(manager).state, unit(manager).reason) == (State.DISABLED, "")


def test_who_declares_no_unit_asks_systemd_nothing(tmp_path):
    made = FakeManager(tmp_path / "home").configure("").begin()
    later(made, 1000)
    assert made.systemd.questions == []


# Names


@pytest.mark.parametrize(
    "name", ["web", "unit:web", "daemon-web", "unit:daemon-web", "unit:nginx", "nginx.service"]
)
def test_it_is_found_by_all_its_names(manager, name):
    assert str(manager.all_hosts.find(name).id) == "unit:web"


@pytest.mark.parametrize("name", ["unit:ssh", "unit:ssh.service", "unit:*", "unit:a b", "unit:"])
def test_no_other_unit_is_found(manager, name):
    with pytest.raises(UnknownComponent, match=r"only units that a .* section declares"):
        manager.all_hosts.find(name)


def test_a_name_of_systemd_that_two_sections_declare_is_answered_with_both(manager):
    told(manager, HEAD + SHARED.format("one") + SHARED.format("two"))
    with pytest.raises(AmbiguousComponent) as caught:
        unit(manager, "database.service")
    assert caught.value.candidates == ("unit:one", "unit:two")


def test_a_detail_has_what_was_declared_and_what_systemd_says(manager):
    told(manager, HEAD + WEB + "alias = httpd\nlisten_ports = 80/tcp, 53/udp\n")
    detail = asked(manager, manager.all_hosts.detail(unit(manager)))
    values = dict(detail.values)
    assert values["unit"] == "nginx"
    assert values["listen_ports"] == "80/tcp, 53/udp"
    assert (values["component_id"], values["role"]) == ("daemon-web", "daemon")
    assert values["enabled"] == "disabled: it is not enabled"
    assert values["active"] == "inactive (dead)"


# Orders


def test_orders_are_answered_with_how_it_is_then(manager):
    all_hosts = manager.all_hosts
    for verb, given, state in (
        ("start", ["start nginx"], State.RUNNING),
        ("restart", ["restart nginx"], State.RUNNING),
        ("stop", ["stop nginx"], State.DISABLED),
        ("enable", ["enable nginx", "start nginx"], State.RUNNING),
        ("disable", ["disable nginx", "stop nginx"], State.DISABLED),
    ):
        assert asked(manager, getattr(all_hosts, verb)(unit(manager))) is None
        assert orders(manager) == given
        assert unit(manager).state is state


def test_what_systemd_refuses_is_said_in_its_words(manager):
    manager.systemd.refuses = "Interactive authentication required."
    error = asked(manager, manager.all_hosts.stop(unit(manager)))
    assert isinstance(error, OperationFailed)
    assert str(error) == "systemctl stop nginx.service: Interactive authentication required."
    manager.systemd.absent = "there is none"
    error = asked(manager, manager.all_hosts.start(unit(manager)))
    assert isinstance(error, NoSystemd)


def test_a_start_that_comes_to_nothing_is_told_with_the_journal(manager):
    nginx = manager.systemd.units["nginx.service"]
    nginx.fails_after_start, nginx.log = "exit-code", ["no such luck"]
    error = asked(manager, manager.all_hosts.start(unit(manager)))
    assert str(error) == "nginx.service was started and does not run"
    assert "no such luck" in error.reason
    assert unit(manager).state is State.FAILED


def test_a_related_unit_is_started_and_never_enabled(manager):
    told(manager, HEAD + WEB + "role = related\n")
    assert asked(manager, manager.all_hosts.start(unit(manager))) is None
    error = asked(manager, manager.all_hosts.enable(unit(manager)))
    assert str(error) == "unit:web cannot be enabled: its role is related"
    assert orders(manager) == ["start nginx"]
    assert asked(manager, manager.all_hosts.diagnose(unit(manager))) == ()


def test_its_journal_is_its_log(manager):
    manager.systemd.units["nginx.service"].log = ["one", "two"]
    assert asked(manager, manager.all_hosts.log_lines(unit(manager), 1)) == ["two"]
    with pytest.raises(NotPossible, match=r"journalctl --follow --unit=nginx\.service"):
        manager.all_hosts.follow_log(unit(manager), print)


def test_the_rule_for_polkit_is_about_what_is_declared(manager):
    rule = manager.all_hosts.unit_rule("domogik")
    assert '"nginx.service"' in rule
    assert "database" not in rule
    with pytest.raises(NotPossible):
        manager.all_hosts.unit_rule("a b")


# With their plugins


def test_a_plugin_is_switched_with_its_units(manager):
    told(manager, HEAD + "[unit:web]\nunit = nginx\napp = lamp\n" + SHARED.format("lamp"))
    lamp = manager.all_hosts.find("plugin:lamp")
    asked(manager, manager.all_hosts.enable(lamp))
    assert orders(manager) == ["enable nginx", "start nginx", "enable database", "start database"]
    asked(manager, manager.all_hosts.disable(lamp))
    assert orders(manager) == ["disable database", "stop database", "disable nginx", "stop nginx"]


def test_so_it_is_when_somebody_edits_the_file(manager):
    section = "[unit:web]\nunit = nginx\napp = lamp\n"
    told(manager, HEAD + section)
    assert orders(manager) == []
    told(manager, HEAD + "lamp = enabled\n" + section)
    assert orders(manager) == ["enable nginx", "start nginx"]
    told(manager, HEAD + "lamp = enabled\n" + section + "alias = httpd\n")
    assert orders(manager) == []


def test_a_start_of_the_manager_switches_nothing(manager):
    told(manager, HEAD + "[unit:web]\nunit = nginx\napp = clock\n")
    assert orders(manager) == []


def test_units_that_cannot_be_switched_are_told_and_the_plugin_is_enabled(manager):
    told(manager, HEAD + "[unit:web]\nunit = nginx\napp = lamp\n")
    manager.systemd.refuses = "Access denied"
    error = asked(manager, manager.all_hosts.enable(manager.all_hosts.find("plugin:lamp")))
    assert isinstance(error, OperationFailed)
    assert "not every unit of lamp could be enabled: systemctl enable nginx" in str(error)
    assert manager.plugin("lamp").enabled


def test_without_systemd_plugins_are_enabled_all_the_same(manager):
    told(manager, HEAD + "[unit:web]\nunit = nginx\napp = lamp\n")
    manager.systemd.absent = "there is none"
    assert asked(manager, manager.all_hosts.enable(manager.all_hosts.find("plugin:lamp"))) is None
    assert manager.plugin("lamp").enabled


def test_what_two_plugins_share_goes_with_the_last(manager):
    told(manager, HEAD + SHARED.format("clock") + SHARED.format("lamp"))
    all_hosts = manager.all_hosts
    asked(manager, all_hosts.enable(all_hosts.find("plugin:lamp")))
    orders(manager)
    error = asked(manager, all_hosts.disable(unit(manager, "clock")))
    assert str(error) == "unit:clock is left as it is: it is needed by lamp"
    asked(manager, all_hosts.disable(all_hosts.find("plugin:lamp")))
    assert orders(manager) == []
    asked(manager, all_hosts.disable(all_hosts.find("plugin:clock")))
    assert orders(manager) == ["disable database", "stop database"]


def test_a_plugin_that_is_gone_needs_nothing(manager):
    told(manager, HEAD + SHARED.format("clock") + SHARED.format("lamp"))
    all_hosts = manager.all_hosts
    asked(manager, all_hosts.enable(all_hosts.find("plugin:lamp")))
    manager.descriptor("clock").unlink()
    told(manager, HEAD + "lamp = enabled\n" + SHARED.format("clock") + SHARED.format("lamp"))
    orders(manager)
    asked(manager, all_hosts.disable(all_hosts.find("plugin:lamp")))
    assert orders(manager) == ["disable database", "stop database"]


def test_shared_units_of_no_plugin_are_apps_by_themselves(manager):
    told(manager, HEAD + SHARED.format("one") + SHARED.format("two"))
    all_hosts = manager.all_hosts
    for name in ("one", "two"):
        asked(manager, all_hosts.enable(unit(manager, name)))
    orders(manager)
    both = [
        Deferred.fromCoroutine(all_hosts.disable(unit(manager, name))) for name in ("one", "two")
    ]
    later(manager)
    assert [one.result for one in both] == [None, None]
    assert (Order.STOP, "database.service") in manager.systemd.orders


def after_a_restart(manager, text):
    """Another manager on the same home and the same systemd."""
    home = manager.directory.with_name(f"{manager.directory.name}-again")
    home.mkdir()
    if (manager.directory / "apps.json").exists():
        shutil.copy(manager.directory / "apps.json", home)
    again = FakeManager(home)
    again.install("clock").install("lamp")
    again.systemd.units.update(manager.systemd.units)
    again.configure(text).begin()
    later(again)
    return again


def test_who_shares_a_unit_is_known_after_a_restart(manager):
    text = HEAD + SHARED.format("one") + SHARED.format("two")
    told(manager, text)
    for name in ("one", "two"):
        asked(manager, manager.all_hosts.enable(unit(manager, name)))
    again = after_a_restart(manager, text)
    error = asked(again, again.all_hosts.disable(unit(again, "one")))
    assert str(error) == "unit:one is left as it is: it is needed by two"
    assert orders(again) == []
    once_more = after_a_restart(again, text)
    asked(once_more, once_more.all_hosts.disable(unit(once_more, "two")))
    assert orders(once_more) == ["disable database", "stop database"]


def test_in_a_home_of_before_a_shared_unit_that_is_enabled_is_needed_by_all(manager):
    text = HEAD + SHARED.format("one") + SHARED.format("two")
    told(manager, text)
    asked(manager, manager.all_hosts.enable(unit(manager, "one")))
    (manager.directory / "apps.json").unlink()
    again = after_a_restart(manager, text)
    error = asked(again, again.all_hosts.disable(unit(again, "one")))
    assert str(error) == "unit:one is left as it is: it is needed by two"


def killed_at_the_first_order(manager, text, operation):
    """The next manager of a home whose manager died when it had not yet switched anything."""
    manager.systemd.refuses = "killed"
    asked(manager, operation)
    assert len(manager.systemd.orders) >= 1
    manager.systemd.refuses = ""
    again = after_a_restart(manager, text)
    orders(again)
    return again


def test_who_was_being_disabled_when_the_manager_was_killed_needs_the_unit_no_more(manager):
    text = HEAD + SHARED.format("one") + SHARED.format("two")
    told(manager, text)
    asked(manager, manager.all_hosts.enable(unit(manager, "one")))
    asked(
        manager, manager.all_hosts.disable(unit(manager, "two"))
    )  # what nobody has said is unknown
    orders(manager)
    again = killed_at_the_first_order(
        manager, text, manager.all_hosts.disable(unit(manager, "one"))
    )
    for operation in (again.all_hosts.enable, again.all_hosts.disable):
        asked(again, operation(unit(again, "two")))
    assert orders(again)[-2:] == ["disable database", "stop database"]


def test_who_was_being_enabled_when_the_manager_was_killed_needs_the_unit(manager):
    text = HEAD + SHARED.format("one") + SHARED.format("two")
    told(manager, text)
    for operation in (manager.all_hosts.enable, manager.all_hosts.disable):
        asked(manager, operation(unit(manager, "one")))
    orders(manager)
    again = killed_at_the_first_order(manager, text, manager.all_hosts.enable(unit(manager, "one")))
    asked(again, again.all_hosts.enable(unit(again, "two")))
    orders(again)
    error = asked(again, again.all_hosts.disable(unit(again, "two")))
    assert str(error) == "unit:two is left as it is: it is needed by one"
    assert orders(again) == []


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"one": 1, "two": true}', b"[" * 9999])
def test_a_record_that_cannot_be_read_is_none(tmp_path, content):
    path = tmp_path / "apps.json"
    path.write_bytes(content)
    apps = EnabledApps(path)
    assert apps.get("one") is None
    apps.put("one", True)
    assert EnabledApps(path).get("one") is True


NEEDING = HEAD + WEB + "[component:plugin:clock]\nneeds = unit:web\n"


def test_a_unit_that_a_plugin_needs_is_started_before_it(manager):
    told(manager, NEEDING)
    manager.start("clock")
    later(manager)
    assert orders(manager) == ["start nginx"]
    manager.beat("clock")
    assert manager.plugin("clock").state is State.ALIVE
    manager.order("restart", "clock")
    later(manager)
    assert orders(manager) == []


def test_a_plugin_whose_unit_does_not_start_says_so(manager):
    told(manager, NEEDING)
    manager.systemd.refuses = "Access denied"
    asked(manager, manager.all_hosts.start(manager.all_hosts.find("plugin:clock")))
    reason = manager.plugin("clock").reason
    assert "unit:web: systemctl start nginx.service: Access denied" in reason


def test_without_systemd_a_plugin_starts_without_the_units_it_needs(manager):
    told(manager, NEEDING)
    manager.systemd.absent = "there is none"
    manager.order("start", "clock")
    later(manager)
    assert manager.process("clock")


# Health


def test_checks_have_the_component_ids_of_the_units(manager):
    manager.systemd.units["nginx.service"].start_fails = "exit-code"
    asked(manager, manager.all_hosts.start(unit(manager)))
    (check,) = asked(manager, manager.all_hosts.diagnose(unit(manager)))
    assert (check.check_id, check.component_id) == ("daemon-running-nginx", "daemon-web")
    assert check.result is Result.FAILED
    (issue,) = manager.health.issues()
    manager.systemd.units["nginx.service"].start_fails = ""

    async def repair():
        return await manager.health.repair(issue.id)

    assert asked(manager, repair()) is None
    assert unit(manager).state is State.RUNNING
    assert manager.health.issues() == ()


def test_nothing_is_expected_of_a_unit_that_is_disabled_unless_its_plugin_is_enabled(manager):
    (check,) = asked(manager, manager.all_hosts.diagnose(unit(manager)))
    assert (check.check_id, check.result) == ("unit-at-rest", Result.PASSED)
    assert check.component_id == "daemon-web"
    told(manager, HEAD + WEB + "app = clock\n")
    (check,) = asked(manager, manager.all_hosts.diagnose(unit(manager)))
    assert (check.check_id, check.result) == ("daemon-running-nginx", Result.FAILED)


def test_a_masked_unit_is_never_well(manager):
    manager.systemd.units["nginx.service"].word = "masked"
    told(manager, HEAD + WEB + "strict_check = yes\n")
    (check,) = asked(manager, manager.all_hosts.diagnose(unit(manager)))
    assert [one.action for one in check.suggestions] == ["unit-unmask"]


def test_without_systemd_ports_are_looked_at_and_what_asks_it_is_skipped(manager):
    told(manager, HEAD + WEB + "listen_ports = 80/tcp\n")
    manager.systemd.absent = "there is none"
    later(manager, 4000)
    checks = asked(manager, manager.all_hosts.diagnose(unit(manager)))
    assert [check.result for check in checks] == [Result.SKIPPED, Result.FAILED]


# xPL


def test_orders_come_over_xpl_with_their_type(manager):
    manager.order("start", "nginx.service", type="unit")
    later(manager)
    assert manager.answer() == {
        "command": "start",
        "host": "vm",
        "type": "unit",
        "plugin": "nginx.service",
    }
    assert orders(manager) == ["start nginx"]


@pytest.mark.parametrize("command", ["start", "disable", "detail", "diagnose"])
def test_what_is_not_declared_is_refused_over_xpl_too(manager, command):
    manager.order(command, "ssh", type="unit")
    later(manager)
    assert "only units that a [unit:<name>] section declares" in manager.answer()["error"]
    assert orders(manager) == []


def test_a_name_that_two_sections_declare_is_refused_over_xpl(manager):
    told(manager, HEAD + SHARED.format("one") + SHARED.format("two"))
    manager.network.said.clear()
    manager.order("detail", "database", type="unit")
    assert "unit:one, unit:two" in manager.answer()["error"]


def test_units_are_in_the_list_behind_the_plugins(manager):
    manager.order("start", "web", type="unit")
    later(manager)
    listed = manager.lists()[-1]
    assert listed["unit0-name"] == "web"
    assert (listed["unit0-techno"], listed["unit0-status"]) == ("systemd", "ON")
    assert "plugin1-name" not in listed


# Other hosts


def kitchen(manager, *body):
    manager.network.hear(TRIG, "domogik-manager.kitchen", "domogik.system", body, address=REMOTE)


def with_kitchen(manager):
    kitchen(
        manager,
        ("command", "list"),
        ("host", "kitchen"),
        ("unit0-name", "broker"),
        ("unit0-techno", "systemd"),
        ("unit0-status", "ON"),
    )
    manager.network.said.clear()


def test_units_of_other_hosts_are_listed(manager):
    with_kitchen(manager)
    broker = manager.all_hosts.find("broker", "kitchen")
    assert (str(broker.id), broker.state.is_on) == ("unit:broker", True)


@pytest.mark.parametrize("name", ["broker", "mosquitto.service"])
def test_orders_to_units_of_other_hosts_travel_with_their_type(manager, name):
    with_kitchen(manager)
    results = []
    stopping = manager.all_hosts.stop(manager.all_hosts.find(f"unit:{name}", "kitchen"))
    Deferred.fromCoroutine(stopping).addBoth(results.append)
    manager.network.turn()
    (asked_for,) = manager.network.of("domogik.system")
    body = (
        ("command", "stop"),
        ("host", "kitchen"),
        ("type", "unit"),
        ("plugin", f"unit:{name}"),
    )
    assert asked_for.body == body
    kitchen(manager, *body)
    manager.network.turn(3)
    assert results == [None]


@pytest.mark.parametrize("name", ["unit:", "unit:a b", "unit:a/b", "daemon:ghost"])
def test_what_no_unit_is_called_is_not_sent_to_other_hosts(manager, name):
    with_kitchen(manager)
    with pytest.raises(UnknownComponent):
        manager.all_hosts.find(name, "kitchen")
    assert manager.network.said == []
