"""What is said about `domogik.system`: texts that other programs compare, and always an answer."""

import pytest

from domogik.components.model import Component, ComponentId, Kind, State
from domogik.control.wording import LARGEST_VALUE, escape_value
from domogik.supervisor.interfaces import Exit
from domogik.testing.local_host import HOST, LOCAL, REMOTE, FakeManager
from domogik.xpl.codec.message import CMND


class _Changed:
    """Something with some of its methods replaced."""

    def __init__(self, original, **replaced):
        self._original = original
        self.__dict__.update(replaced)

    def __getattr__(self, name):
        return getattr(self._original, name)


STRANGE = "a\x01b\tc\x7fé\udcff"


def say(manager, *body, source="domogik-test.vm", target="*", address=LOCAL):
    manager.network.hear(CMND, source, "domogik.system", body, target, address)


# Start and stop


def test_a_start_is_answered_when_the_plugin_is_alive(manager):
    manager.order("start", "clock")
    assert manager.answers() == []
    manager.beat("clock")
    (answer,) = manager.answers()
    assert answer.body == (("host", "vm"), ("command", "start"), ("plugin", "clock"))
    assert (answer.source, answer.target) == ("domogik-manager.vm", "*")


def test_a_second_start_is_refused_with_the_known_text(manager):
    manager.start("clock")
    manager.order("start", "clock")
    assert manager.answer()["error"] == "Component clock is already running on vm"


def test_a_plugin_that_never_answers_fails_with_the_known_text(manager):
    manager.order("start", "clock")
    manager.network.turn(30)
    assert manager.answer() == {
        "host": "vm",
        "command": "start",
        "plugin": "clock",
        "error": "Component clock failed to start. Please look in this component log files",
    }


def test_a_plugin_that_ends_at_once_is_answered_too(manager):
    manager.order("start", "clock")
    manager.process("clock").ends(Exit(code=1))
    manager.network.turn()
    assert "failed to start" in manager.answer()["error"]


def test_a_plugin_whose_script_is_missing_is_answered_too(tmp_path):
    manager = FakeManager(tmp_path / "home").install("ghost", script=False)
    manager.configure("[plugins]\nghost = enabled\n").begin()
    manager.order("start", "ghost")
    assert "failed to start" in manager.answer()["error"]


def test_a_stop_is_answered_once_when_nothing_of_it_is_left(manager):
    manager.start("clock")
    manager.process("clock").ignores_signals = True
    manager.order("stop", "clock")
    manager.network.turn(9)
    assert manager.answers() == []
    manager.network.turn(1)
    (answer,) = manager.answers()
    assert answer.body == (("host", "vm"), ("command", "stop"), ("plugin", "clock"))
    assert manager.processes.living == []
    manager.network.turn(60)
    assert len(manager.answers()) == 1  # the original sent a false error 20 s later


def test_a_plugin_that_obeyed_by_itself_was_stopped_and_is_not_started_again(manager):
    manager.start("clock")
    process = manager.process("clock")
    manager.leave("clock")
    process.ends(Exit(code=0))
    manager.network.turn()
    manager.order("stop", "clock")
    assert manager.answer() == {"host": "vm", "command": "stop", "plugin": "clock"}
    manager.network.turn(600)
    assert manager.processes.living == []


def test_a_stop_long_after_the_plugin_left_is_an_error(manager):
    manager.start("clock")
    manager.leave("clock")
    manager.process("clock").ends(Exit(code=0))
    manager.network.turn(5.5)
    manager.order("stop", "clock")
    (answer,) = manager.answers()
    assert answer.body == (
        ("command", "stop"),
        ("host", "vm"),
        ("plugin", "clock"),
        ("error", "Component clock is not running on vm"),
    )


def test_stop_of_everything_stops_each_and_answers_for_each(manager):
    manager.configure("[plugins]\nclock = enabled\nlamp = enabled\n").read()
    manager.start("clock", "lamp")
    manager.order("stop", "*")
    manager.network.turn(1)
    assert [answer.get("plugin") for answer in manager.answers()] == ["clock", "lamp"]
    assert all(answer.get("error") is None for answer in manager.answers())
    assert manager.processes.living == []


def test_stop_of_everything_where_nothing_runs_is_answered(manager):
    manager.order("stop", "*")
    assert manager.answer()["error"] == "Component * is not running on vm"


def test_a_restart_is_answered_when_it_is_alive_again(manager):
    manager.start("clock")
    first = manager.process("clock")
    manager.order("restart", "clock")
    manager.network.turn()
    manager.beat("clock", port="50002")
    assert manager.answer() == {"host": "vm", "command": "restart", "plugin": "clock"}
    assert manager.process("clock") is not first


# Enable and disable


def test_enable_and_disable_write_the_file_and_are_answered(manager):
    manager.order("enable", "lamp")
    assert "lamp = enabled" in manager.file.read_text()
    (answer,) = manager.answers()
    assert answer.body == (("command", "enable"), ("host", "vm"), ("plugin", "lamp"))
    manager.network.said.clear()
    manager.order("disable", "lamp")
    assert "lamp = disabled" in manager.file.read_text()
    assert manager.answer() == {"command": "disable", "host": "vm", "plugin": "lamp"}


def test_what_runs_is_not_disabled(manager):
    manager.start("clock")
    manager.order("disable", "clock")
    assert manager.answer()["error"] == (
        "Component 'clock' is running. Please stop it before trying to disable"
    )
    assert "clock = enabled" in manager.file.read_text()


def test_what_is_not_installed_cannot_be_enabled(manager):
    before = manager.file.read_text()
    for name in ("ghost", "x;touch y", "../x", "a b", "x]\n[plugins"):
        manager.network.said.clear()
        manager.order("enable", name.replace("\n", " "))
        assert manager.answer()["error"].endswith("doesn't exists on vm")
    assert manager.file.read_text() == before


def test_an_order_that_the_file_takes_and_the_reading_refuses_is_no_success(manager):
    manager.configure("[plugins]\n[supervision]\nrestart = sometimes\n")
    manager.order("enable", "lamp")
    assert "refused" in manager.answer()["error"]
    assert manager.plugin("lamp").enabled is False


# Who is meant


@pytest.mark.parametrize("command", ["start", "stop", "restart", "detail"])
def test_what_is_unknown_or_disabled_does_not_exist(manager, command):
    for name in ("ghost", "lamp"):
        manager.network.said.clear()
        manager.order(command, name)
        (answer,) = manager.answers()
        assert answer.body == (
            ("host", "vm"),
            ("command", command),
            ("plugin", name),
            ("error", f"Component {name} doesn't exists on vm"),
        )


def test_a_disabled_plugin_that_still_runs_can_be_stopped(manager):
    manager.start("clock")
    manager.configure("[plugins]\nclock = disabled\n").read()
    assert manager.processes.living
    manager.order("stop", "clock")
    manager.network.turn()
    assert "error" not in manager.answer()


@pytest.mark.parametrize("name", ["rest", "dbmgr", "manager", "*"])
def test_services_that_this_manager_does_not_have_do_not_exist(manager, name):
    manager.order("start", name)
    assert manager.answer()["error"] == f"Component {name} doesn't exists on vm"


@pytest.mark.parametrize("name", ["rest", "dbmgr"])
def test_our_own_services_are_components_that_exist(manager, name):
    manager.components.put(Component(ComponentId(Kind.CORE, name), HOST, State.RUNNING))
    manager.order("detail", name)
    answer = manager.answer()
    assert (answer["type"], answer["plugin"], answer["status"]) == ("core", name, "ON")


def test_messages_for_other_hosts_and_programs_are_ignored(manager):
    manager.start("clock")
    for host in ("kitchen", "VM2"):
        for command in ("start", "stop", "enable", "disable", "detail", "whatever"):
            manager.order(command, "clock", host=host)
    say(manager, ("command", "stop"), ("host", HOST), ("plugin", "clock"), target="domogik-x.y")
    say(manager, ("command", "list"), ("host", "kitchen"))
    manager.network.turn(1)
    assert manager.network.of("domogik.system") == []
    assert len(manager.processes.living) == 1


@pytest.mark.parametrize("command", ["start", "stop", "enable", "detail", "diagnose", "whatever"])
@pytest.mark.parametrize("host", [[("host", "*")], []])
def test_an_order_to_every_host_is_answered_and_not_obeyed(manager, command, host):
    manager.start("clock")
    say(manager, ("command", command), *host, ("plugin", "clock"))
    manager.network.turn(1)
    assert manager.answer() == {
        "command": command,
        "host": "vm",
        "plugin": "clock",
        "error": "host must be the name of one host",
    }
    assert len(manager.processes.living) == 1


@pytest.mark.parametrize("body", [[], [("host", HOST)], [("host", "*")], [("command", "")]])
def test_a_message_without_a_command_is_answered(manager, body):
    say(manager, *body, ("plugin", "clock"))
    assert manager.answer() == {"host": "vm", "plugin": "clock", "error": "No command given"}
    say(manager, ("host", "kitchen"), ("plugin", "clock"))
    assert len(manager.answers()) == 1


def test_the_list_that_an_order_changes_is_told_before_the_order_is_answered(manager):
    manager.order("enable", "lamp")
    listed, answer = manager.network.of("domogik.system")
    assert (listed.get("command"), listed.get("plugin1-name")) == ("list", "lamp")
    assert answer.get("command") == "enable"
    manager.network.turn(1)
    assert len(manager.lists()) == 1


def test_a_message_to_our_own_address_is_obeyed(manager):
    say(manager, ("command", "list"), ("host", HOST), target="domogik-manager.vm")
    assert len(manager.lists()) == 1


def test_what_this_manager_says_itself_is_no_order(manager):
    manager.beat("clock")  # somebody started it by hand
    manager.identity.send(
        CMND, "domogik.system", [("command", "stop"), ("host", HOST), ("plugin", "clock")]
    )
    manager.network.turn(1)
    assert manager.answers() == []


@pytest.mark.parametrize(
    "body",
    [
        [("command", "start"), ("host", HOST)],
        [("command", "detail"), ("host", HOST)],
        [("command", "fly"), ("host", HOST), ("plugin", "clock")],
        [("host", HOST), ("plugin", "clock")],
        [("command", "start"), ("host", HOST), ("plugin", "")],
        [("command", "start"), ("host", HOST), ("plugin", "x" * 60_000)],
        [("command", "start"), ("host", HOST), ("plugin", "clock"), ("type", "daemon")],
    ],
)
def test_whatever_is_missing_or_wrong_there_is_an_answer_with_an_error(manager, body):
    say(manager, *body)
    assert manager.answer()["error"]


@pytest.mark.parametrize("command", ["start", "stop", "enable", "disable", "detail", STRANGE])
def test_names_that_xpl_cannot_say_are_answered_too(manager, command):
    say(manager, ("command", command), ("host", HOST), ("plugin", STRANGE))
    manager.network.turn(1)
    assert manager.answer()["error"]


def test_a_fault_of_our_own_is_answered_too(manager):
    async def broken(name):
        raise RuntimeError("oops")

    manager.kinds.get(Kind.PLUGIN).plugins = _Changed(manager.plugins, start=broken)
    manager.order("start", "clock")
    assert manager.answer()["error"] == "start failed on vm: its log says why"


def test_a_file_that_cannot_be_written_is_said(manager):
    manager.file.unlink()
    manager.file.mkdir()
    manager.order("enable", "lamp")
    assert str(manager.file) in manager.answer()["error"]


@pytest.mark.parametrize("command", ["reload", "dump"])
def test_what_only_plugins_obey_is_not_answered(manager, command):
    manager.order(command, "clock")
    assert manager.answers() == []


# Who may


def test_orders_from_strangers_are_refused_with_their_address_and_counted(manager):
    manager.start("clock")
    for command in ("start", "stop", "restart", "enable", "disable"):
        manager.network.said.clear()
        body = [("command", command), ("host", HOST), ("plugin", "clock")]
        say(manager, *body, address=REMOTE)
        assert manager.answer()["error"] == "Not allowed from 192.0.2.7"
    say(manager, ("command", "stop"), ("host", HOST), ("plugin", "*"), address=REMOTE)
    assert manager.trust.refused == 6
    assert len(manager.processes.living) == 1
    assert "clock = enabled" in manager.file.read_text()


def test_strangers_may_read(manager):
    say(manager, ("command", "list"), address=REMOTE)
    body = [("command", "detail"), ("host", HOST), ("plugin", "clock")]
    say(manager, *body, address=REMOTE)
    assert len(manager.lists()) == 1
    assert manager.answer()["version"] == "1.0"


# The list


def test_a_list_has_what_the_clients_read_in_their_order(manager):
    manager.member("acme-thing.kitchen")
    manager.network.turn(1)
    manager.network.said.clear()
    say(manager, ("command", "list"), ("host", "*"))
    (message,) = manager.network.of("domogik.system")
    assert message.body == (
        ("command", "list"),
        ("host", "vm"),
        ("plugin0-name", "clock"),
        ("plugin0-type", "plugin"),
        ("plugin0-techno", "service"),
        ("plugin0-status", "OFF"),
        ("plugin0-host", "vm"),
        ("plugin1-name", "acme-thing"),
        ("plugin1-type", "external"),
        ("plugin1-techno", "unknown"),
        ("plugin1-status", "ON"),
        ("plugin1-host", "kitchen"),
    )


def test_a_disabled_plugin_is_not_listed_unless_it_runs(manager):
    manager.start("clock")
    manager.configure("[plugins]\nclock = disabled\n").read()
    say(manager, ("command", "list"))
    assert manager.lists()[-1]["plugin0-name"] == "clock"
    manager.order("stop", "clock")
    manager.network.turn(1)
    assert manager.lists()[-1] == {"command": "list", "host": "vm"}


def test_the_list_is_sent_when_a_status_changes_and_changes_share_one(manager):
    manager.configure("[plugins]\nclock = enabled\nlamp = enabled\n").read()
    manager.network.turn(1)
    manager.network.said.clear()
    for name in ("clock", "lamp"):
        manager.beat(name)  # somebody started it by hand
    assert manager.lists() == []
    manager.network.turn(0.2)
    (sent,) = manager.lists()
    assert (sent["plugin0-status"], sent["plugin1-status"]) == ("ON", "ON")
    manager.network.turn(60)
    assert len(manager.lists()) == 1


def test_a_plugin_that_fell_and_came_back_at_once_is_told(manager):
    manager.configure(
        "[plugins]\nclock = enabled\n[component:plugin:clock]\nbackoff_first = 0\n"
    ).read()
    manager.start("clock")
    manager.process("clock").ends(Exit(signal=9))
    manager.network.turn()
    manager.beat("clock", port="50002")
    manager.network.turn(0.2)
    assert len(manager.lists()) == 1


def test_what_changes_no_line_of_the_list_sends_none(manager):
    manager.start("clock")
    manager.install("lamp", version="2.0").read()
    manager.network.turn(1)
    assert manager.lists() == []


def test_editing_the_configuration_resets_no_status(manager):
    manager.start("clock")
    manager.configure("[plugins]\nclock = enabled\nlamp = enabled\n").read()
    manager.network.turn(1)
    assert manager.lists()[-1]["plugin0-status"] == "ON"


def test_an_external_member_that_goes_is_told(manager):
    manager.member("acme-thing.kitchen")
    manager.network.turn(0.2)
    manager.member("acme-thing.kitchen", "hbeat.end")
    manager.network.turn(0.2)
    assert [entry["plugin1-status"] for entry in manager.lists()] == ["ON", "OFF"]


def test_a_thousand_members_with_long_names_leave_a_list_that_can_be_sent(manager):
    for number in range(1000):
        manager.member(f"acme-{'x' * 50}{number}.{'y' * 60}")
    manager.network.turn(1)
    last = manager.lists()[-1]
    assert last["plugin0-name"] == "clock"  # our own come first
    assert 200 < len(last) < 5002


def test_what_waits_to_be_told_is_told_when_the_door_closes(manager):
    manager.order("start", "clock")
    manager.beat("clock")
    manager.control.stop()
    manager.network.turn()
    assert len(manager.lists()) == 1
    manager.order("stop", "clock")
    assert len(manager.answers()) == 1


# Detail


def test_a_detail_has_what_the_clients_read_in_their_order(manager):
    manager.order("detail", "clock")
    (message,) = manager.answers()
    assert message.body == (
        ("command", "detail"),
        ("cfg0-key", "startup-plugin"),
        ("cfg0-type", "boolean"),
        ("cfg0-desc", "Start with the manager"),
        ("cfg0-default", "False"),
        ("cfg0-int", "no"),
        ("cfg1-key", "interval"),
        ("cfg1-type", "number"),
        ("cfg1-desc", "Minutes"),
        ("cfg1-default", "5"),
        ("cfg1-int", "no"),
        ("type", "plugin"),
        ("plugin", "clock"),
        ("description0", "Plugin clock"),
        ("technology", "service"),
        ("status", "OFF"),
        ("version", "1.0"),
        ("release", "1.0"),
        ("documentation", "http://localhost/clock"),
        ("host", "vm"),
        ("state", "stopped"),
        ("enabled", "yes"),
        ("since", "1800000000"),
        ("restarts", "0"),
    )


def test_options_and_optional_keys_are_said_where_they_are(tmp_path):
    keys = (
        "<key><order-id>0</order-id><name>unit</name><type>enum</type><description/>"
        "<default-value/><interface>yes</interface><optionnal>yes</optionnal>"
        "<options><option>mm</option><option>inch</option></options></key>"
    )
    manager = FakeManager(tmp_path / "home").install("rain", keys=keys)
    manager.configure("[plugins]\nrain = enabled\n").begin()
    manager.order("detail", "rain")
    answer = manager.answer()
    assert answer["cfg0-options"] == "mm,inch"
    assert answer["cfg0-opt"] == answer["cfg0-int"] == "yes"
    assert answer["cfg0-default"] == "None"
    assert answer["cfg0-desc"] == " "


@pytest.mark.parametrize("letter", ["x", "é", "名", "🙂"])
def test_a_description_is_cut_and_put_together_again(manager, letter):
    text = f"first\nsecond {letter * 1800} end"
    manager.install("clock", description=text).read()
    manager.order("detail", "clock")
    answer = manager.answer()
    pieces = [
        answer[f"description{place}"] for place in range(99) if f"description{place}" in answer
    ]
    assert "".join(pieces).replace("\\n", "\n") == text
    assert max(len(piece) for piece in pieces) <= 500


def test_a_huge_description_is_cut_short_and_the_rest_still_said(manager):
    manager.install("clock", description="x" * 500_000).read()
    manager.order("detail", "clock")
    assert manager.answer()["host"] == "vm"


def test_the_detail_of_a_member_is_given_for_its_own_host(manager):
    body = [("interval", "5"), ("port", "50002"), ("remote-ip", "192.0.2.9"), ("colour", "red")]
    manager.member("acme-thing.kitchen", "hbeat.app", body)
    manager.order("detail", "acme-thing", host="kitchen")
    (message,) = manager.answers()
    assert message.body == (
        ("command", "detail"),
        ("cfg0-id", "0"),
        ("cfg0-key", "port"),
        ("cfg0-value", "50002"),
        ("cfg1-id", "1"),
        ("cfg1-key", "remote-ip"),
        ("cfg1-value", "192.0.2.9"),
        ("cfg2-id", "2"),
        ("cfg2-key", "colour"),
        ("cfg2-value", "red"),
        ("type", "external"),
        ("plugin", "acme-thing"),
        ("description0", " "),
        ("technology", "unknown"),
        ("status", "ON"),
        ("version", "n/a"),
        ("release", "n/a"),
        ("documentation", "#"),
        ("host", "kitchen"),
        ("state", "alive"),
        ("since", "1800000000"),
        ("restarts", "0"),
    )


def test_a_member_that_says_what_it_should_not_has_a_detail_all_the_same(manager):
    body = [(f"Key {n}", f"\x1b[31m{'z' * 3000}\udcff") for n in range(18)]
    manager.member("acme-thing.hall", body=body)
    manager.order("detail", "acme-thing", host="hall")
    answer = manager.answer()
    assert answer["cfg0-value"].startswith(" [31mzzz")
    assert len(answer["cfg0-value"]) == LARGEST_VALUE


def test_both_faces_call_a_member_by_its_model(manager):
    member = "<vendor-id>acme</vendor-id><device-id>thing</device-id>"
    manager.member("acme-thing.kitchen")
    manager.install("things", type="external", member=member, technology="light").read()
    manager.network.turn(1)
    entry = manager.lists()[-1]
    assert (entry["plugin1-name"], entry["plugin1-host"]) == ("things", "kitchen")
    assert manager.external("acme-thing.kitchen").model == "things"
    for name in ("things", "acme-thing"):
        manager.network.said.clear()
        manager.order("detail", name, host="kitchen")
        answer = manager.answer()
        assert (answer["technology"], answer["plugin"]) == ("light", name)
    manager.descriptor("things", "external").unlink()
    manager.read()
    manager.network.turn(1)
    assert manager.lists()[-1]["plugin1-name"] == "acme-thing"


def test_values_are_made_sayable():
    assert escape_value("") == "None"
    assert escape_value("", " ") == " "
    assert escape_value("a\r\nb\nc\rd\te") == "a\\nb\\nc d e"
    assert escape_value("x" * 2000) == "x" * LARGEST_VALUE
    assert len(escape_value("é" * 2000).encode()) == LARGEST_VALUE
    assert escape_value("\ud800") == "?"


# Daemons


def of_daemon(manager, command, name="cache", **more):
    say(
        manager,
        ("command", command),
        ("host", HOST),
        ("type", "daemon"),
        ("plugin", name),
        *more.items(),
    )


def with_daemon(manager, state=State.ALIVE, name="cache"):
    component = Component(ComponentId(Kind.DAEMON, name), HOST, state, technology="redis")
    manager.components.put(component)
    return component


def test_daemons_are_listed_where_old_clients_do_not_look(manager):
    with_daemon(manager)
    say(manager, ("command", "list"), ("host", HOST))
    listed = manager.network.of("domogik.system")[-1]
    assert listed.body[-3:] == (
        ("daemon0-name", "cache"),
        ("daemon0-techno", "redis"),
        ("daemon0-status", "ON"),
    )
    assert listed.get("plugin0-name") == "clock"
    assert listed.get("plugin1-name") is None


def test_a_daemon_that_is_not_here_is_answered_with_its_type(manager):
    for name in ("ghost", "daemon:ghost"):
        of_daemon(manager, "start", name)
        answer = manager.network.of("domogik.system")[-1]
        assert (answer.get("type"), answer.get("plugin")) == ("daemon", name)
        assert "doesn't exists on vm" in answer.get("error")


def test_to_stop_every_plugin_stops_no_daemon(manager):
    manager.start("clock")
    of_daemon(manager, "stop", "*")
    assert "doesn't exists" in manager.answer()["error"]
    assert manager.processes.living


def test_a_daemon_is_no_matter_of_enabling(manager):
    with_daemon(manager)
    of_daemon(manager, "disable")
    assert "cannot be disabled" in manager.answer()["error"]
