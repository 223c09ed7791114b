"""The packages of the whole house: what other hosts say, orders to them, and the way back."""

import hashlib
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred

from domogik.errors import NoAnswer, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.packages.all_hosts import Packages
from domogik.manager.packages.archives import Archives
from domogik.manager.packages.interfaces import IPackages
from domogik.manager.packages.remote import (
    MAX_HOSTS,
    ORDER_AGAIN,
    ORDER_TIMEOUT,
    PackageHosts,
)
from domogik.manager.packages.repositories import Repositories
from domogik.packages.archive.unpacking import BrokenArchive
from domogik.packages.descriptor.package import Dependency
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.http.fetch import Fetcher
from domogik.packages.publish.repository import build_repository
from domogik.packages.repositories.cache import Cache
from domogik.packages.repositories.index import UnknownRelease
from domogik.packages.store.changes import StoreFailed
from domogik.testing.local_host import HOST
from domogik.testing.package_access import FakePackageManager
from domogik.threads import at_once
from domogik.xpl.codec.message import STAT, TRIG

KITCHEN = ("192.0.2.7", 50001)
BASE = "http://192.0.2.1:40405"
RUNNING = "Plugin 'lamp' is running. Stop it before installing plugin."


@attrs.define(eq=False)
class AllHosts:
    """This host's manager, its repository on the disk, and a host `kitchen` that can be heard."""

    manager: FakePackageManager
    repository: Path
    address: str = BASE
    refused: str = ""
    others: PackageHosts = attrs.field(init=False)
    repositories: Repositories = attrs.field(init=False)
    packages: Packages = attrs.field(init=False)
    fetcher: Fetcher = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        manager = self.manager
        home, clock = manager.home, manager.network.clock
        thread = at_once
        home.sources.write_text(f"500 {self.repository}\n")
        self.fetcher = Fetcher(clock, thread)
        self.repositories = Repositories(
            sources_path=home.sources,
            uploads=home.uploads,
            cache=Cache(home.cache, self.fetcher, thread, lambda: 1_800_000_000.0, home.trust),
            archives=Archives(home.cache / "archives", self.fetcher, thread),
            in_thread=thread,
            events=manager.events,
            today=lambda: "2026-11-21",
        )
        bus = manager.network.bus
        self.others = PackageHosts(
            manager.identity, bus, manager.events, manager.hosts.asking, HOST
        )
        self.packages = Packages(
            host=HOST,
            repositories=self.repositories,
            hosts=manager.hosts,
            others=self.others,
            jobs=manager.jobs,
            store=manager.store,
            in_thread=thread,
            address=self.address_for,
            local_host=manager.package_access,
        )
        self.others.start()
        manager.network.turn()
        manager.network.said.clear()

    def address_for(self, host):
        if self.refused:
            raise NotPossible(self.refused)
        return self.address

    def do(self, work):
        """Begin it, and let it go as far as it goes; what it ended with, once it has."""
        ended = []
        Deferred.fromCoroutine(work).addBoth(ended.append)
        self.manager.network.turn()
        return ended

    def failure(self, work):
        (found,) = self.do(work)
        return found.value

    def publish(self, *releases, name="lamp"):
        for release in releases:
            self.manager.publish(name, release)
        build_repository(self.manager.directory.parent, self.repository, generated="2026-11-21")
        (known,) = self.do(self.packages.refresh())
        self.manager.network.said.clear()
        return known

    def kitchen_beats(self):
        body = [("interval", "5"), ("port", "50001"), ("remote-ip", "192.0.2.7")]
        source = "domogik-manager.kitchen"
        self.manager.network.hear(STAT, source, "hbeat.app", body, address=KITCHEN)
        self.manager.network.said.clear()

    def kitchen_lives(self, seconds):
        """It speaks all the time."""
        body = [("interval", "5"), ("port", "50001"), ("remote-ip", "192.0.2.7")]
        for _ in range(int(seconds // 5)):
            source = "domogik-manager.kitchen"
            self.manager.network.hear(STAT, source, "hbeat.app", body, address=KITCHEN)
            self.manager.network.turn(5)

    def kitchen_says(self, schema="domogik.package", **pairs):
        body = {"host": "kitchen", **pairs}
        source = "domogik-manager.kitchen"
        self.manager.network.hear(TRIG, source, schema, body.items(), address=KITCHEN)

    def kitchen_lists(self, *releases, name="lamp"):
        body = {"command": "installed-packages-list"}
        for place, release in enumerate(releases):
            body |= {f"type{place}": "plugin", f"id{place}": name, f"version{place}": release}
        self.kitchen_says(**body)

    def asked(self, schema="domogik.package"):
        """The commands that other hosts were given."""
        return [
            dict(message.body)
            for message in self.manager.network.of(schema)
            if message.type == "xpl-cmnd"
        ]

    def orders(self):
        """What other hosts were told to change."""
        return [body for body in self.asked() if body["command"] != "installed-packages-list"]


@pytest.fixture
def all_hosts(tmp_path: Path) -> AllHosts:
    manager = FakePackageManager(tmp_path / "home").begin()
    made = AllHosts(manager, tmp_path / "repository")
    made.publish("1.0", "1.1")
    made.kitchen_beats()
    return made


def test_it_is_what_the_doors_are_promised(all_hosts):
    from zope.interface.verify import verifyObject

    verifyObject(IPackages, all_hosts.packages)


# Reading


def test_what_is_installed_anywhere_comes_from_memory_with_its_updates(all_hosts):
    all_hosts.kitchen_lists("1.0")
    (package,) = all_hosts.packages.installed("kitchen", "plugin")
    assert (package.host, str(package.ref), package.enabled) == ("kitchen", "plugin-lamp 1.0", True)
    assert [offer.package.release for offer in package.updates] == ["1.1"]
    assert all_hosts.packages.installed("nowhere") == ()
    assert all_hosts.packages.available("kitchen", "plugin") == ()
    assert len(all_hosts.packages.available(HOST, "plugin")) == 2


def test_only_a_hosts_own_manager_says_what_is_installed_there(all_hosts):
    body = {"command": "installed-packages-list", "host": "kitchen", "type0": "plugin"}
    body |= {"id0": "evil", "version0": "1.0"}
    all_hosts.manager.network.hear(TRIG, "acme-evil.here", "domogik.package", body.items())
    assert all_hosts.packages.installed("kitchen") == ()


def test_a_list_may_hold_anything(all_hosts):
    all_hosts.kitchen_says(
        command="installed-packages-list",
        type0="plugin", id0="../../x", version0="1.0",
        type1="plugin", name1="good", release1="1.0", enabled1="no",
        type2="plugin", id2="good", version2="2.0",
        type3="wine", id3="red", version3="1.0",
    )  # fmt: skip
    (package,) = all_hosts.packages.installed("kitchen")
    assert (str(package.ref), package.enabled) == ("plugin-good 1.0", False)


def test_more_hosts_than_a_house_has_are_not_remembered(all_hosts):
    for number in range(MAX_HOSTS + 5):
        host = f"h{number}"
        body = {"command": "installed-packages-list", "host": host, "type0": "plugin"}
        body |= {"id0": "x", "version0": "1"}
        source = f"domogik-manager.{host}"
        all_hosts.manager.network.hear(TRIG, source, "domogik.package", body.items())
    assert len(all_hosts.packages.installed()) == MAX_HOSTS


def test_a_host_that_comes_back_is_asked_for_its_list(all_hosts):
    all_hosts.manager.network.hear(
        STAT, "domogik-manager.cellar", "hbeat.app", [("interval", "5"), ("port", "1")]
    )
    asked = {"command": "installed-packages-list", "host": "cellar"}
    assert asked in all_hosts.asked()


def test_a_refresh_has_every_host_tell_its_list_again(all_hosts):
    (known,) = all_hosts.do(all_hosts.packages.refresh())
    assert all_hosts.asked() == [{"command": "installed-packages-list", "host": "*"}]
    assert [(one.packages, one.error) for one in known] == [(2, ""), (0, "")]
    assert known[0].priority == 500
    assert known[0].as_of == 1_800_000_000.0


# Here


def test_both_parts_are_one_job(all_hosts):
    assert all_hosts.do(all_hosts.packages.install(HOST, "plugin", "lamp")) == [
        PackageRef("plugin", "lamp", "1.1")
    ]
    store = all_hosts.manager.store
    assert store.present("plugin", "lamp") == store.served("plugin", "lamp")
    (job,) = [job for job in all_hosts.manager.jobs.all() if job.kind == "install"]
    assert job.state.value == "done"


def test_the_first_part_is_put_back_when_the_second_fails(all_hosts, monkeypatch):
    switch = type(all_hosts.manager.store).switch

    def refuse(store, ref, part="xpl", **more):
        if part == "rinor":
            raise StoreFailed("no link today")
        return switch(store, ref, part, **more)

    monkeypatch.setattr(type(all_hosts.manager.store), "switch", refuse)
    error = all_hosts.failure(all_hosts.packages.install(HOST, "plugin", "lamp", "1.0"))
    assert isinstance(error, OperationFailed)
    assert str(error) == "Error on 'rinor' part : no link today"
    assert all_hosts.packages.installed() == ()
    assert all_hosts.manager.plugins.names() == ()


def test_a_running_plugin_is_refused_with_the_known_text(all_hosts):
    all_hosts.do(all_hosts.packages.install(HOST, "plugin", "lamp", "1.0"))
    all_hosts.manager.order("enable", "lamp")
    all_hosts.manager.start("lamp")
    for work in (
        all_hosts.packages.install(HOST, "plugin", "lamp", "1.1"),
        all_hosts.packages.uninstall(HOST, "plugin", "lamp"),
    ):
        error = all_hosts.failure(work)
        assert isinstance(error, OperationFailed)
        assert str(error) == RUNNING


def test_an_update_without_a_newer_release_is_none(all_hosts):
    all_hosts.do(all_hosts.packages.install(HOST, "plugin", "lamp", "1.1"))
    assert all_hosts.do(all_hosts.packages.update(HOST, "plugin", "lamp")) == [
        PackageRef("plugin", "lamp", "1.1")
    ]
    assert [job.kind for job in all_hosts.manager.jobs.all()].count("update") == 0


def test_what_a_plugin_kept_stays_unless_it_is_asked_for(all_hosts):
    all_hosts.do(all_hosts.packages.install(HOST, "plugin", "lamp"))
    data = all_hosts.manager.home.plugin_data("lamp")
    data.mkdir(parents=True, exist_ok=True)
    (data / "history").write_text("precious")
    all_hosts.do(all_hosts.packages.uninstall(HOST, "plugin", "lamp"))
    assert (data / "history").read_text() == "precious"
    all_hosts.do(all_hosts.packages.install(HOST, "plugin", "lamp"))
    all_hosts.do(all_hosts.packages.uninstall(HOST, "plugin", "lamp", with_data=True))
    assert not data.exists()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ((HOST, "plugin", "ghost"), UnknownRelease),
        ((HOST, "plugin", "lamp", "9"), UnknownRelease),
        ((HOST, "wine", "lamp"), InvalidReference),
        ((HOST, "plugin", "../x"), InvalidReference),
        (("nowhere", "plugin", "lamp"), UnknownComponent),
    ],
)
def test_what_is_unknown_is_said_to_be_so(all_hosts, words, kind):
    assert isinstance(all_hosts.failure(all_hosts.packages.install(*words)), kind)


def test_in_development_mode_nothing_is_managed(tmp_path):
    manager = FakePackageManager(tmp_path / "home", managed=False).begin()
    all_hosts = AllHosts(manager, tmp_path / "repository")
    for work in (
        all_hosts.packages.install(HOST, "plugin", "lamp"),
        all_hosts.packages.uninstall(HOST, "plugin", "lamp"),
        all_hosts.packages.rollback(HOST, "plugin", "lamp"),
        all_hosts.packages.upload(tmp_path / "x"),
    ):
        assert isinstance(all_hosts.failure(work), NotPossible)


def test_an_upload_is_offered_at_once(all_hosts, tmp_path):
    ref = all_hosts.manager.publish("bell", "3.0")
    archive = tmp_path / f"{ref.file_stem}.tgz"
    assert all_hosts.do(all_hosts.packages.upload(archive)) == [ref]
    assert all_hosts.do(all_hosts.packages.install(HOST, "plugin", "bell")) == [ref]
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    assert isinstance(all_hosts.failure(all_hosts.packages.upload(junk)), BrokenArchive)


def test_an_upload_that_is_another_package_than_its_name_says_is_not_kept(all_hosts, tmp_path):
    ref = all_hosts.manager.publish("bell", "3.0")
    archive = tmp_path / f"{ref.file_stem}.tgz"
    error = all_hosts.failure(
        all_hosts.packages.upload(archive, PackageRef("plugin", "lamp", "9.0"))
    )
    assert str(error) == "The package in it is plugin-bell 3.0"
    assert not list((all_hosts.manager.home.uploads).glob("**/*.tgz"))
    assert not [one for one in all_hosts.packages.offers() if one.package.id == "bell"]


def test_dependencies_of_what_is_offered_are_checked_here(all_hosts):
    all_hosts.manager.publish("wire", "1.0", dependencies="<dep type='plugin' id='lamp'/>")
    all_hosts.publish()
    (states,) = all_hosts.do(all_hosts.packages.dependencies(HOST, "plugin", "wire", "1.0"))
    (state,) = states
    assert (state.dependency, state.installed) == ("lamp", False)
    assert all_hosts.do(all_hosts.packages.dependencies(HOST, "plugin", "lamp", "1.0")) == [()]


# There


def install_there(all_hosts, release="1.1"):
    return all_hosts.do(all_hosts.packages.install("kitchen", "plugin", "lamp", release))


def test_another_host_is_told_where_the_archive_is_and_what_it_has_to_be(all_hosts):
    ended = install_there(all_hosts)
    (order,) = all_hosts.orders()
    archive = all_hosts.manager.directory.parent / "plugin-lamp-1.1.tgz"
    assert order == {
        "command": "install",
        "host": "kitchen",
        "source": "cache",
        "type": "plugin",
        "id": "lamp",
        "release": "1.1",
        "version": "1.1",
        "part": "xpl",
        "url": f"{BASE}/package/download/plugin/lamp/1.1",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }
    assert ended == []
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert ended == [PackageRef("plugin", "lamp", "1.1")]
    assert str(all_hosts.manager.store.served("plugin", "lamp")) == "plugin-lamp 1.1"
    assert all_hosts.packages.installed(HOST) == ()


def served_for_kitchen(all_hosts):
    install_there(all_hosts)
    all_hosts.kitchen_lists("1.1")
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert all_hosts.manager.store.served("plugin", "lamp") is not None


def test_what_is_served_of_a_package_goes_with_the_last_host_that_has_it(all_hosts):
    served_for_kitchen(all_hosts)
    ended = all_hosts.do(all_hosts.packages.uninstall("kitchen", "plugin", "lamp"))
    all_hosts.kitchen_lists()
    all_hosts.kitchen_says(command="uninstall", type="plugin", id="lamp")
    assert ended == [None]
    assert not all_hosts.manager.store.rinor_link("plugin", "lamp").is_symlink()
    assert all_hosts.packages.icon("plugin", "lamp") is None
    assert list(all_hosts.manager.home.store.iterdir()) == []


def test_what_a_host_uninstalled_by_itself_is_served_no_more(all_hosts):
    served_for_kitchen(all_hosts)
    all_hosts.kitchen_lists()
    all_hosts.manager.network.turn()
    assert all_hosts.manager.store.served("plugin", "lamp") is None


def test_what_another_host_still_has_is_served_when_this_one_uninstalls_it(all_hosts):
    served_for_kitchen(all_hosts)
    all_hosts.do(all_hosts.packages.install(HOST, "plugin", "lamp", "1.1"))
    assert all_hosts.do(all_hosts.packages.uninstall(HOST, "plugin", "lamp")) == [None]
    assert all_hosts.manager.store.present("plugin", "lamp") is None
    assert str(all_hosts.manager.store.served("plugin", "lamp")) == "plugin-lamp 1.1"
    all_hosts.kitchen_lists()
    all_hosts.manager.network.turn()
    assert list(all_hosts.manager.home.store.iterdir()) == []


def test_two_orders_for_one_host_are_one_message_with_two_ends(all_hosts):
    first, second = install_there(all_hosts), install_there(all_hosts)
    assert len(all_hosts.orders()) == 1
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert first == second == [PackageRef("plugin", "lamp", "1.1")]


def test_what_another_host_refuses_is_told_in_its_words(all_hosts):
    ended = install_there(all_hosts)
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl", error=RUNNING)
    assert str(ended[0].value) == RUNNING
    assert all_hosts.manager.store.served("plugin", "lamp") is None


def test_a_host_that_says_nothing_at_all_is_not_waited_for(all_hosts):
    ended = install_there(all_hosts)
    all_hosts.manager.network.turn(all_hosts.manager.hosts.patience_s / 2)
    assert ended == []
    all_hosts.manager.network.turn(all_hosts.manager.hosts.patience_s / 2)
    assert ended[0].check(NoAnswer)
    assert str(ended[0].value) == ("No data or timeout on installing package: kitchen is not heard")
    assert len(all_hosts.orders()) == 1


def test_an_order_that_was_lost_is_given_again(all_hosts):
    ended = install_there(all_hosts)
    all_hosts.kitchen_lives(ORDER_AGAIN)
    first, second = all_hosts.orders()
    assert first == second
    assert ended == []
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert ended == [PackageRef("plugin", "lamp", "1.1")]
    all_hosts.manager.network.turn(ORDER_AGAIN)
    assert len(all_hosts.orders()) == 2


def test_a_host_that_goes_meanwhile_is_not_waited_for(all_hosts):
    ended = install_there(all_hosts)
    all_hosts.kitchen_lists("1.0")
    all_hosts.manager.network.hear(
        STAT,
        "domogik-manager.kitchen",
        "hbeat.end",
        [("interval", "5"), ("port", "50001"), ("remote-ip", "192.0.2.7")],
        address=KITCHEN,
    )
    assert ended[0].check(NoAnswer)


def test_a_host_that_downloads_for_minutes_has_not_failed(all_hosts):
    """The original took twenty seconds for a failure."""
    ended = install_there(all_hosts)
    all_hosts.kitchen_lives(14 * 60)
    assert not ended
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert ended == [PackageRef("plugin", "lamp", "1.1")]


def test_a_host_that_is_there_and_does_not_answer_is_given_up_one_day(all_hosts):
    ended = install_there(all_hosts)
    all_hosts.kitchen_lives(ORDER_TIMEOUT)
    assert ended[0].check(NoAnswer)
    assert str(ended[0].value) == "No data or timeout on installing package"


def test_the_part_there_is_put_back_when_the_part_here_fails(all_hosts, monkeypatch):
    all_hosts.kitchen_lists("1.0")

    def refuse(*arguments):
        raise StoreFailed("the disk is full")

    monkeypatch.setattr(type(all_hosts.manager.store), "install", refuse)
    ended = install_there(all_hosts)
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    all_hosts.manager.network.turn()
    back = all_hosts.asked()[-1]
    assert (back["command"], back["release"], back["part"]) == ("install", "1.0", "xpl")
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert str(ended[0].value) == "Error on 'rinor' part : the disk is full"


def test_a_first_installation_there_is_removed_when_the_part_here_fails(all_hosts, monkeypatch):
    def refuse(*arguments):
        raise StoreFailed("the disk is full")

    monkeypatch.setattr(type(all_hosts.manager.store), "install", refuse)
    ended = install_there(all_hosts)
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert all_hosts.asked()[-1]["command"] == "uninstall"
    all_hosts.kitchen_says(command="uninstall", type="plugin", id="lamp")
    assert str(ended[0].value) == "Error on 'rinor' part : the disk is full"


def test_where_rest_cannot_be_reached_nothing_is_sent(all_hosts):
    all_hosts.refused = "REST listens on 127.0.0.1: set rest_server_ip in [rest]"
    ended = install_there(all_hosts)
    assert str(ended[0].value) == all_hosts.refused
    assert all_hosts.asked() == []


def test_an_update_there_stops_and_starts_the_plugin(all_hosts):
    all_hosts.kitchen_lists("1.0")
    ended = all_hosts.do(all_hosts.packages.update("kitchen", "plugin", "lamp"))
    assert all_hosts.asked("domogik.system")[-1]["command"] == "detail"
    all_hosts.kitchen_says("domogik.system", command="detail", plugin="lamp", status="ON")
    assert all_hosts.asked("domogik.system")[-1]["command"] == "stop"
    all_hosts.kitchen_says("domogik.system", command="stop", plugin="lamp")
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    assert all_hosts.asked("domogik.system")[-1]["command"] == "start"
    all_hosts.kitchen_says("domogik.system", command="start", plugin="lamp", error="it failed")
    # it may be tried again there at any moment, and is not to be in the way of the old one
    assert all_hosts.asked("domogik.system")[-1]["command"] == "stop"
    assert all_hosts.asked()[-1]["release"] == "1.1"
    all_hosts.kitchen_says("domogik.system", command="stop", plugin="lamp", error="it does not run")
    assert all_hosts.asked()[-1]["release"] == "1.0"
    all_hosts.kitchen_says(command="install", type="plugin", id="lamp", part="xpl")
    all_hosts.kitchen_says("domogik.system", command="start", plugin="lamp")
    assert str(ended[0].value) == "plugin-lamp 1.1 was given up: it failed. 1.0 runs again"


def test_an_uninstallation_there_is_answered_from_there(all_hosts):
    ended = all_hosts.do(all_hosts.packages.uninstall("kitchen", "plugin", "lamp"))
    assert all_hosts.asked() == [
        {"command": "uninstall", "host": "kitchen", "type": "plugin", "id": "lamp"}
    ]
    all_hosts.kitchen_says(command="uninstall", type="plugin", id="lamp")
    assert ended == [None]


def test_what_only_that_host_knows_is_not_available_from_here(all_hosts):
    for work in (
        all_hosts.packages.rollback("kitchen", "plugin", "lamp"),
        all_hosts.packages.hold("kitchen", "plugin", "lamp", held=True),
    ):
        assert str(all_hosts.failure(work)).startswith("Not available from another host: ")


def test_it_is_said_what_can_be_done_instead(all_hosts):
    back = all_hosts.failure(all_hosts.packages.rollback("kitchen", "plugin", "lamp"))
    assert str(back).endswith(
        ": update plugin-lamp on kitchen to the release that worked, or on kitchen itself: "
        "dmg_pkgmgr rollback lamp"
    )
    held = all_hosts.failure(all_hosts.packages.hold("kitchen", "plugin", "lamp", held=False))
    assert str(held).endswith(": on kitchen itself: dmg_pkgmgr unhold lamp")


def test_dependencies_are_checked_by_the_host_that_needs_them(all_hosts):
    ended = all_hosts.do(all_hosts.packages.dependencies("kitchen", "plugin", "lamp"))
    all_hosts.kitchen_says(
        **{"command": "get-dependencies", "type": "plugin", "id": "lamp",
           "dep0-id": "six (>=1)", "dep0-type": "python", "dep1-id": "bell", "dep1-type": "plugin"},
    )  # fmt: skip
    asked = all_hosts.asked()[-1]
    assert asked == {
        "command": "check-dependencies",
        "host": "kitchen",
        "dep0": "six (>=1)",
        "dep1": "bell",
        "dep1-type": "plugin",
    }
    all_hosts.kitchen_says(
        **{"command": "check-dependencies", "error": "Irrational version",
           "dep0": "six (>=1)", "dep0-installed": "yes", "dep0-version": "1.16", "dep1": "bell"},
    )  # fmt: skip
    ((six, bell),) = ended
    assert (six.installed, six.release, six.error) == (True, "1.16", "")
    assert (bell.dependency, bell.error) == ("bell", "Irrational version")


def test_a_plugin_that_a_host_lacks_is_offered_where_it_would_get_it_from(all_hosts):
    all_hosts.publish("2.0", name="bell")
    checked = all_hosts.do(all_hosts.packages.dependencies("kitchen", "plugin", "lamp"))
    all_hosts.kitchen_says(
        **{"command": "get-dependencies", "type": "plugin", "id": "lamp",
           "dep0-id": "bell (>=1)", "dep0-type": "plugin"},
    )  # fmt: skip
    error = "No candidate to dependency 'bell' installation found"
    all_hosts.kitchen_says(
        **{"command": "check-dependencies", "error": error, "dep0": "bell (>=1)",
           "dep0-installed": "no", "dep0-error": error},
    )  # fmt: skip
    ((bell,),) = checked
    assert (bell.installed, bell.candidate, bell.error) == (False, "2.0", "")
    assert bell.cmd_line == "dmg_pkgmgr install bell 2.0 --host kitchen"


def test_an_answer_to_another_question_is_no_answer(all_hosts):
    checked = all_hosts.do(all_hosts.others.check("kitchen", [Dependency("python", "six")]))
    all_hosts.kitchen_says(command="check-dependencies", dep0="foo")
    assert checked == []


def test_udev_rules_come_from_the_host_that_has_the_package(all_hosts):
    ended = all_hosts.do(all_hosts.packages.udev_rules("kitchen", "plugin", "lamp"))
    all_hosts.kitchen_says(
        **{"command": "get-udev-rules", "type": "plugin", "id": "lamp",
           "rule0-model": "Key", "rule0-desc": "x", "rule0-filename": "k", "rule0-rule": "a\\nb"},
    )  # fmt: skip
    ((rule,),) = ended
    assert (rule.model, rule.rule) == ("Key", "a\nb")
