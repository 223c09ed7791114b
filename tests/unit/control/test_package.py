"""What is said about `domogik.package`: the messages of the specification, and always an answer."""

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from domogik.errors import FetchFailed
from domogik.packages.archive.tarball import BrokenArchive
from domogik.packages.http.response import Unreachable
from domogik.packages.store.changes import StoreFailed
from domogik.testing.local_host import HOST, REMOTE
from domogik.testing.package_access import FakePackageManager
from domogik.xpl.codec.message import CMND, STAT, TRIG

LAMP = {"type": "plugin", "id": "lamp"}
ORDER = {"source": "cache", **LAMP, "release": "1.0"}
URL = "http://192.0.2.9:40405/package/download/plugin/lamp/1.0"
RUNNING = "Plugin 'lamp' is running. Stop it before installing plugin."
MAIN = ("192.0.2.9", 50001)
MEMBER = "<vendor-id>acme</vendor-id><device-id>relay</device-id>"
NOT_INSTALLED = "Package 'plugin-lamp' is not installed on vm"


@pytest.fixture
def manager(tmp_path: Path) -> FakePackageManager:
    """Nothing is installed; `lamp` is offered in two releases."""
    made = FakePackageManager(tmp_path / "home")
    made.publish("lamp", "1.0")
    made.publish("lamp", "1.1")
    return made.begin()


@pytest.fixture
def lamp(manager: FakePackageManager) -> FakePackageManager:
    """`lamp` 1.0 is installed and enabled."""
    manager.configure("[plugins]\nlamp = enabled\n")
    manager.install_package(manager.publish("lamp2", "1.0"))
    manager.say("install", **ORDER, part="xpl")
    manager.network.said.clear()
    return manager


def entry(number, name, release, enabled):
    return {
        f"fullname{number}": f"plugin-{name}",
        f"name{number}": name,
        f"id{number}": name,
        f"type{number}": "plugin",
        f"version{number}": release,
        f"release{number}": release,
        f"enabled{number}": enabled,
    }


def listed(*entries):
    body = {"command": "installed-packages-list", "host": HOST}
    for one in entries:
        body |= one
    return body


# The list


def test_the_list_is_said_at_the_start(tmp_path):
    manager = FakePackageManager(tmp_path / "home")
    manager.package_control.start()
    manager.network.turn()
    assert manager.packages_said() == [listed()]


@pytest.mark.parametrize("host", [HOST, "*", None])
def test_the_list_is_answered(lamp, host):
    lamp.say("installed-packages-list", host=host)
    said = listed(entry(0, "lamp", "1.0", "yes"), entry(1, "lamp2", "1.0", "no"))
    assert lamp.packages_said() == [said]


def test_an_external_member_is_always_enabled(manager):
    manager.install_package(manager.publish("relay", "2.0", type="external", member=MEMBER))
    manager.say("installed-packages-list")
    assert manager.last_said()["fullname0"] == "external-relay"
    assert manager.last_said()["enabled0"] == "yes"


def test_the_list_is_said_when_a_plugin_is_enabled_or_disabled(lamp):
    lamp.order("disable", "lamp")
    lamp.order("enable", "lamp")
    assert [said["enabled0"] for said in lamp.packages_said()] == ["no", "yes"]


def test_a_long_list_still_has_an_answer(manager):
    for number in range(60):
        name = f"p{number}"
        (manager.home.plugins / f"{name}.xml").write_text(
            (manager.directory.parent / "source-plugin-lamp-1.0/src/share/domogik/plugins/lamp.xml")
            .read_text()
            .replace("lamp", name)
        )
    manager.read()
    manager.network.said.clear()
    manager.say("installed-packages-list")
    assert manager.last_said()["fullname59"] == "plugin-p9"


# Install


def test_an_installation_is_answered_with_what_was_asked(manager):
    manager.say("install", **ORDER, part="xpl")
    assert manager.packages_said() == [
        listed(entry(0, "lamp", "1.0", "no")),
        {"command": "install", "host": HOST, **ORDER, "version": "1.0", "part": "xpl"},
    ]
    assert manager.plugin("lamp").enabled is False


def test_the_keys_come_in_the_order_of_the_specification(manager):
    manager.say("install", **{**ORDER, "source": "web"}, part="xpl")
    (message,) = manager.network.of("domogik.package")[-1:]
    names = [name for name, _ in message.body]
    assert names[:7] == ["command", "host", "error", "source", "type", "id", "release"]


def test_both_words_for_a_thing_are_understood(manager):
    manager.say("install", source="cache", type="plugin", name="lamp", version="1.0", part="xpl")
    assert manager.last_said() == {
        "command": "install",
        "host": HOST,
        **ORDER,
        "version": "1.0",
        "part": "xpl",
    }


def test_the_second_part_on_the_same_host_copies_nothing(manager):
    manager.say("install", **ORDER, part="xpl")
    manager.say("install", **ORDER, part="rinor")
    assert "error" not in manager.last_said()
    assert len(manager.fetched) == 1
    assert (manager.home.rinor / "plugin-lamp").readlink() == Path("../store/plugin-lamp/1.0")


def test_the_second_part_alone_installs_nothing(manager):
    manager.say("install", **ORDER, part="rinor")
    assert "error" not in manager.last_said()
    assert list(manager.home.plugins.iterdir()) == []
    assert manager.package_access.installed() == ()


def test_two_orders_for_one_installation_are_one_job_with_two_answers(manager):
    manager.held = Deferred()
    manager.say("install", **ORDER, part="xpl")
    manager.say("install", **ORDER, part="xpl")
    assert manager.packages_said() == []
    manager.held.callback(None)
    manager.network.turn()
    assert len(manager.fetched) == 1
    assert [said["command"] for said in manager.packages_said()] == [
        "installed-packages-list",
        "install",
        "install",
    ]
    assert len(manager.jobs.all()) == 1


def test_a_running_plugin_is_not_installed(lamp):
    lamp.start("lamp")
    lamp.say("install", **{**ORDER, "release": "1.1"}, part="xpl")
    assert lamp.last_said()["error"] == RUNNING
    assert lamp.plugin("lamp").version == "1.0"


@pytest.mark.parametrize("missing", ["source", "type", "id", "release", "part"])
def test_what_is_missing_is_said(manager, missing):
    body = {**ORDER, "part": "xpl"}
    del body[missing]
    manager.say("install", **body)
    said = manager.last_said()
    assert said["error"] == f"Missing key '{missing}'"
    assert said["command"] == "install"
    assert all(said[key] == value for key, value in body.items())


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ({"source": "web"}, "source 'web' not allowed"),
        ({"part": "all"}, "part 'all' is neither 'xpl' nor 'rinor'"),
        ({"id": "nothing"}, "No package corresponding to 'plugin-nothing' in version '1.0'"),
        ({"release": "9"}, "No package corresponding to 'plugin-lamp' in version '9'"),
        ({"id": "../x"}, "'../x' is no package's id: 1 to 8 of a-z, 0-9 and '_'"),
        ({"type": "core"}, "'core' is no type of package: plugin or external"),
        ({"sha256": "1234"}, "sha256 is 64 of 0-9 and a-f"),
    ],
)
def test_what_cannot_be_installed_is_answered(manager, pairs, error):
    manager.say("install", **{**ORDER, "part": "xpl", **pairs})
    assert manager.last_said()["error"] == error


def test_external_members_are_for_the_host_that_looks_for_them(tmp_path):
    manager = FakePackageManager(tmp_path / "home", handles_externals=False).begin()
    manager.publish("relay", "1.0", type="external", member=MEMBER)
    text = "This host doesn't handle external member packages. Please install it on main host"
    which = {"type": "external", "id": "relay"}
    manager.say("install", source="cache", **which, release="1.0", part="xpl")
    assert manager.last_said()["error"] == text
    manager.say("uninstall", **which)
    assert manager.last_said()["error"] == text


def test_in_development_mode_packages_are_listed_and_not_managed(tmp_path):
    manager = FakePackageManager(tmp_path / "home", managed=False)
    manager.install("demo").begin()
    manager.say("installed-packages-list")
    assert manager.last_said()["fullname0"] == "plugin-demo"
    manager.say("install", **ORDER, part="xpl")
    assert "development mode" in manager.last_said()["error"]
    manager.say("uninstall", type="plugin", id="demo")
    assert "development mode" in manager.last_said()["error"]


@pytest.mark.parametrize("managed", [True, False])
def test_every_command_is_answered_in_both_modes_whatever_else_is_installed(tmp_path, managed):
    """The original kept a lock for ever after one broken descriptor, and in one of the modes."""
    manager = FakePackageManager(tmp_path / "home", managed=managed)
    manager.install("demo").begin()
    broken = manager.home.plugins if managed else manager.descriptor("demo", "plugin").parent
    (broken / "broken.xml").write_text("<package type='plugin'><id>broken")
    for _ in range(3):
        for command, pairs in {
            "installed-packages-list": {},
            "get-dependencies": LAMP,
            "check-dependencies": {"dep0": "six"},
            "get-udev-rules": LAMP,
            "install": {**ORDER, "part": "xpl"},
            "uninstall": LAMP,
            "something": {},
        }.items():
            manager.network.said.clear()
            manager.say(command, **pairs)
            manager.network.turn()
            assert command in [said["command"] for said in manager.packages_said()]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (FetchFailed("http://x/a", "the answer is status 404"), "status 404"),
        (Unreachable("http://x/a", "no connection: refused"), "no connection: refused"),
        (BrokenArchive("'../x' is no path inside a package"), "'../x'"),
        (StoreFailed("/home/x: No space left on device"), "No space left on device"),
    ],
)
def test_an_error_says_its_cause_and_sends_nobody_to_a_log(manager, failure, words):
    async def fail(*arguments):
        raise failure

    manager.package_access._installer._fetch_archive = fail
    manager.say("install", **ORDER, part="xpl")
    error = manager.last_said()["error"]
    assert words in error
    assert "log" not in error.lower()


def test_a_download_of_many_minutes_is_answered_when_it_is_done(manager):
    """The original took twenty seconds for a failure."""
    manager.held = Deferred()
    manager.say("install", **ORDER, part="xpl")
    manager.network.turn(1800)
    assert "install" not in [said["command"] for said in manager.packages_said()]
    manager.held.callback(None)
    manager.network.turn()
    assert "error" not in manager.last_said()
    assert str(manager.store.present("plugin", "lamp")) == "plugin-lamp 1.0"


# Where the archive is


def rest_is_heard(manager, address="192.0.2.9", host="main"):
    body = [("interval", "5"), ("port", "50001"), ("remote-ip", address)]
    source = f"domogik-rest.{host}"
    manager.network.hear(STAT, source, "hbeat.app", body, address=(address, 50001))


def test_an_archive_comes_from_the_rest_that_was_heard(manager):
    rest_is_heard(manager)
    digest = "ab" * 32
    manager.say("install", **ORDER, part="xpl", url=URL, sha256=digest.upper())
    assert "error" not in manager.last_said()
    ((_, place),) = manager.fetched
    assert (place.url, place.sha256) == (URL, digest)


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("192.0.2.9", "192.0.2.10"),
        URL.replace("lamp/1.0", "lamp/1.1"),
        URL.replace("http:", "file:"),
        URL.replace("192.0.2.9", "192.0.2.9:1@evil.example"),
        f"{URL}?x=1",
        URL.replace("40405", "99999999"),
        "nonsense",
    ],
)
def test_an_order_may_name_no_other_address(manager, url):
    rest_is_heard(manager)
    manager.say("install", **ORDER, part="xpl", url=url)
    manager.network.turn(10)
    assert manager.last_said()["error"] == (
        f"url '{url}' not allowed: no domogik-rest was heard there"
    )
    assert manager.fetched == []


def test_a_rest_that_was_not_heard_yet_is_asked_to_speak(manager):
    manager.say("install", **ORDER, part="xpl", url=URL)
    assert [message.source for message in manager.network.of("hbeat.request")] == [
        "domogik-manager.vm"
    ]
    assert manager.packages_said() == []
    rest_is_heard(manager)
    assert "error" not in manager.last_said()
    assert len(manager.fetched) == 1


ASKER = ("192.0.2.9", 50001)


def ask_for_lamp(manager, **more):
    manager.trust.update_settings(["192.0.2.9"])
    body = {"command": "install", "host": HOST, **ORDER, "part": "xpl", **more}
    manager.hear(body, address=ASKER)
    manager.network.turn()


def test_without_an_address_the_archive_is_asked_for_where_the_order_came_from(manager):
    ask_for_lamp(manager)
    assert "error" not in manager.last_said()
    ((_, place),) = manager.fetched
    assert (place.url, place.sha256) == (URL, None)


def test_an_order_may_say_at_which_port_rest_listens(manager):
    ask_for_lamp(manager, **{"rest-port": "8080"})
    assert manager.fetched[0][1].url == URL.replace("40405", "8080")
    for port in ("0", "x", "65536", "99999999999"):
        ask_for_lamp(manager, **{"rest-port": port})
        assert manager.last_said()["error"] == "rest-port is a number from 1 to 65535"


def test_an_archive_that_the_sender_has_not_is_taken_from_our_own_repositories(manager):
    async def only_ours(installation):
        if installation.place is not None:
            raise FetchFailed(installation.place.url, "refused")
        return await manager._fetch(installation)

    manager.package_access._installer._fetch_archive = only_ours
    ask_for_lamp(manager)
    assert "error" not in manager.last_said()
    ask_for_lamp(manager, release="7.0")
    error = manager.last_said()["error"]
    assert "refused" in error
    assert error.endswith("with the key url, or rest-port")


def test_what_this_host_orders_itself_comes_from_its_own_repositories(manager):
    manager.say("install", **ORDER, part="xpl")
    assert [place for _, place in manager.fetched] == [None]


# Uninstall


def test_an_uninstallation_is_answered_after_the_list(lamp):
    lamp.say("uninstall", **LAMP)
    assert lamp.packages_said() == [
        listed(entry(0, "lamp2", "1.0", "no")),
        {"command": "uninstall", "host": HOST, **LAMP},
    ]


def test_an_enabled_plugin_is_uninstalled_and_its_mark_goes(lamp):
    lamp.say("uninstall", **LAMP)
    assert "lamp" not in lamp.file.read_text()
    lamp.say("install", **ORDER, part="xpl")
    assert lamp.plugin("lamp").enabled is False


def test_a_running_plugin_is_not_uninstalled(lamp):
    lamp.start("lamp")
    lamp.say("uninstall", **LAMP)
    assert lamp.last_said()["error"] == RUNNING
    assert "lamp = enabled" in lamp.file.read_text()


def test_what_is_not_installed_is_said_to_be_so(manager):
    manager.say("uninstall", **LAMP)
    assert manager.last_said() == {
        "command": "uninstall",
        "host": HOST,
        "error": NOT_INSTALLED,
        **LAMP,
    }


# Reading


def test_dependencies_of_an_installed_package(manager):
    needs = "<dep type='python' id='pyserial (&gt;=2.5)'/><dep type='plugin' id='clock'/>"
    manager.install_package(manager.publish("wire", "1.0", dependencies=needs))
    manager.say("get-dependencies", type="plugin", id="wire")
    assert manager.last_said() == {
        "command": "get-dependencies",
        "host": HOST,
        "type": "plugin",
        "id": "wire",
        "dep0-id": "pyserial (>=2.5)",
        "dep0-type": "python",
        "dep1-id": "clock",
        "dep1-type": "plugin",
    }


def test_udev_rules_of_an_installed_package(manager):
    rules = (
        "<rule model='Key' description='A key' filename='key.rules'>"
        'SUBSYSTEM=="usb", ATTR{idVendor}=="1234"</rule>'
    )
    manager.install_package(manager.publish("wire", "1.0", udev_rules=rules))
    manager.say("get-udev-rules", type="plugin", id="wire")
    said = manager.last_said()
    assert (said["command"], said["id"], said["host"]) == ("get-udev-rules", "wire", HOST)
    assert {key: said[f"rule0-{key}"] for key in ("model", "desc", "filename", "rule")} == {
        "model": "Key",
        "desc": "A key",
        "filename": "key.rules",
        "rule": 'SUBSYSTEM=="usb", ATTR{idVendor}=="1234"',
    }


@pytest.mark.parametrize("command", ["get-dependencies", "get-udev-rules"])
def test_reading_an_unknown_package_is_answered(manager, command):
    manager.say(command, **LAMP)
    assert manager.last_said() == {
        "command": command,
        "host": HOST,
        **LAMP,
        "error": NOT_INSTALLED,
    }
    manager.say(command, type="plugin")
    assert manager.last_said()["error"] == "Missing key 'id'"


def test_a_check_tells_everything_about_each_dependency(manager):
    manager.pip = b'{"six": "1.16"}'
    manager.offered = "2.0"
    manager.say(
        "check-dependencies",
        dep0="six (>=1.0)",
        dep1="Twisted",
        dep2="foo (what)",
        dep4="lamp (>=2.0)",
        **{"dep4-type": "plugin"},
    )
    error = "Irrational version for dependency foo (what)"
    said = manager.last_said()
    assert said["error"] == "No candidate to dependency 'Twisted' installation found"
    assert said["dep0"] == "six (>=1.0)"
    assert (said["dep0-installed"], said["dep0-release"], said["dep0-version"]) == (
        "yes",
        "1.16",
        "1.16",
    )
    assert (said["dep1-installed"], said["dep1-error"]) == ("no", said["error"])
    assert said["dep2-error"] == error
    assert (said["dep4-installed"], said["dep4-candidate"]) == ("no", "2.0")
    assert said["dep4-cmd-line"] == "dmg_pkgmgr install lamp 2.0"


def test_a_dependency_that_nobody_understands_is_the_error_of_the_answer(manager):
    manager.say("check-dependencies", dep0="/what/")
    error = "Wrong version format for '/what/' : should be 'foo (...)'"
    said = manager.last_said()
    assert (said["error"], said["dep0-error"], said["dep0-installed"]) == (error, error, "no")


# Who may, and who is meant


@pytest.mark.parametrize("body", [{**ORDER, "part": "xpl"}, LAMP])
def test_orders_from_elsewhere_are_refused_and_counted(lamp, body):
    command = "install" if "part" in body else "uninstall"
    before = lamp.trust.refused
    lamp.hear({"command": command, "host": HOST, **body}, address=REMOTE)
    assert lamp.last_said()["error"] == f"Not allowed from {REMOTE[0]}"
    assert lamp.trust.refused == before + 1
    lamp.hear({"command": "get-dependencies", "host": HOST, **LAMP}, address=REMOTE)
    assert "error" not in lamp.last_said()


COMMANDS = [
    "install",
    "uninstall",
    "get-dependencies",
    "check-dependencies",
    "get-udev-rules",
    "dance",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_for_another_host_is_ignored(lamp, command):
    lamp.say(command, host="kitchen", **ORDER, part="xpl")
    assert lamp.packages_said() == []
    assert lamp.plugin("lamp").version == "1.0"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("host", ["*", None])
def test_a_command_to_every_host_is_answered_and_not_obeyed(lamp, host, command):
    lamp.say(command, host=host, **ORDER, part="xpl")
    assert lamp.packages_said() == [
        {"command": command, "host": HOST, "error": "host must be the name of one host"}
    ]
    assert lamp.plugin("lamp").version == "1.0"


@pytest.mark.parametrize("host", ["*", None, HOST])
def test_a_message_without_a_command_is_answered(lamp, host):
    lamp.hear({"host": host} if host else {"type": "plugin"})
    assert lamp.packages_said() == [{"host": HOST, "error": "No command given"}]


def test_a_list_for_another_host_is_not_answered(manager):
    manager.say("installed-packages-list", host="kitchen")
    assert manager.packages_said() == []


def test_a_change_without_a_host_is_refused_by_whom_it_is_addressed_to(manager):
    body = {"command": "install", **ORDER, "part": "xpl"}
    manager.hear(body, target="domogik-manager.vm")
    assert manager.last_said()["error"] == "Missing key 'host'"
    assert manager.fetched == []


def test_a_command_that_nobody_knows_is_answered(manager):
    manager.say("dance")
    assert manager.last_said() == {
        "command": "dance",
        "host": HOST,
        "error": "Unknown command 'dance'",
    }


def test_a_fault_of_ours_is_answered_too(manager, monkeypatch):
    monkeypatch.setattr(manager.store.__class__, "stage", lambda *_: 1 / 0)
    manager.say("install", **ORDER, part="xpl")
    assert manager.last_said()["error"] == "install failed on vm: its log says why"


# A plugin that only the main host can offer

BELL = {"dep0": "bell (>=1)", "dep0-type": "plugin"}
NO_BELL = "No candidate to dependency 'bell' installation found"


def asked_of(manager, host):
    return [
        dict(message.body)
        for message in manager.network.of("domogik.package")
        if message.type == CMND and message.get("host") == host
    ]


def main_host_says(manager, **pairs):
    body = {"command": "check-dependencies", "host": "main", **BELL, **pairs}
    manager.network.hear(TRIG, "domogik-manager.main", "domogik.package", body.items(), "*", MAIN)
    manager.network.turn()


def test_a_secondary_offers_what_the_main_host_has(manager):
    rest_is_heard(manager)
    manager.say("check-dependencies", **BELL)
    (asked,) = asked_of(manager, "main")
    assert asked == {"command": "check-dependencies", "host": "main", **BELL}
    assert manager.packages_said() == []
    main_host_says(manager, **{"dep0-installed": "yes", "dep0-release": "1.0", "dep0-offer": "2.0"})
    assert manager.last_said() == {
        "command": "check-dependencies",
        "host": HOST,
        "dep0": "bell (>=1)",
        "dep0-installed": "no",
        "dep0-candidate": "2.0",
        "dep0-cmd-line": f"dmg_pkgmgr install bell 2.0 --host {HOST}",
        "dep0-offer": "2.0",
    }


@pytest.mark.parametrize("offer", [{}, {"dep0-offer": "../2"}, {"dep0-error": NO_BELL}])
def test_what_the_main_host_does_not_offer_has_no_candidate(manager, offer):
    rest_is_heard(manager)
    manager.say("check-dependencies", **BELL)
    main_host_says(manager, **{"dep0-installed": "no", **offer})
    assert manager.last_said()["dep0-error"] == NO_BELL


def test_a_main_host_that_was_not_heard_yet_is_asked_to_speak(manager):
    manager.say("check-dependencies", **BELL)
    assert manager.packages_said() == []
    rest_is_heard(manager)
    assert len(asked_of(manager, "main")) == 1


def test_where_there_is_no_main_host_only_the_first_answer_waits_for_it(manager):
    manager.say("check-dependencies", **BELL)
    manager.network.turn(10)
    assert manager.last_said()["error"] == NO_BELL
    manager.say("check-dependencies", **BELL)
    assert len(manager.packages_said()) == 2


def test_a_main_host_that_is_silent_delays_the_answer_and_no_more(manager):
    rest_is_heard(manager)
    manager.say("check-dependencies", **BELL)
    manager.network.turn(30)
    assert manager.last_said()["error"] == NO_BELL


def test_who_asks_for_a_host_is_not_asked_by_it(manager):
    rest_is_heard(manager)
    body = {"command": "check-dependencies", "host": HOST, **BELL}
    manager.network.hear(CMND, "domogik-manager.main", "domogik.package", body.items(), "*", MAIN)
    assert asked_of(manager, "main") == []
    assert manager.last_said()["error"] == NO_BELL


def test_the_host_that_has_rest_asks_nobody(manager):
    rest_is_heard(manager, host=HOST)
    rest_is_heard(manager)
    manager.say("check-dependencies", **BELL)
    assert asked_of(manager, "main") == []
    assert manager.last_said()["error"] == NO_BELL


def test_what_is_installed_is_offered_too(manager):
    manager.install_package(manager.publish("bell", "1.0"))
    manager.offered = "2.0"
    manager.say("check-dependencies", **BELL)
    said = manager.last_said()
    assert (said["dep0-installed"], said["dep0-offer"]) == ("yes", "2.0")
    assert "dep0-candidate" not in said
