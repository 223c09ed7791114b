"""What goes wrong is said in words that help; what clients compare stays to the letter."""

import pytest
from twisted.internet.defer import Deferred

from domogik.errors import DomogikError, UnknownComponent, did_you_mean
from domogik.packages.repositories.index import Index, UnknownRelease
from domogik.packages.store.install import PackageRunning
from domogik.supervisor.interfaces import Exit
from domogik.testing.packages import offer


def refusal(work) -> DomogikError:
    """The error that an operation ends with."""
    raised: list[DomogikError] = []
    Deferred.fromCoroutine(work).addErrback(lambda failure: raised.append(failure.value))
    (error,) = raised
    return error


# Unknown names


@pytest.mark.parametrize(
    ("name", "known", "offered"),
    [
        ("diskfre", ["plugin:diskfree", "plugin:cpu"], " Did you mean diskfree?"),
        ("plugin:diskfre", ["plugin:diskfree"], " Did you mean plugin:diskfree?"),
        ("cpu", ["cpu1", "cpu2"], " Did you mean cpu2 or cpu1?"),
        ("weather", ["cpu"], ""),
        ("x" * 5000, ["x" * 5000], ""),
    ],
)
def test_the_nearest_known_names_are_offered(name, known, offered):
    assert did_you_mean(name, known) == offered


def test_a_name_with_a_slip_of_the_pen_finds_the_component_that_was_meant(manager):
    with pytest.raises(UnknownComponent) as caught:
        manager.all_hosts.find("clok")
    assert str(caught.value) == "Component clok doesn't exists on vm"
    assert caught.value.words == "There is no component clok on vm. Did you mean clock?"


def test_a_unit_that_is_not_declared_says_so_in_both_forms(manager):
    with pytest.raises(UnknownComponent) as caught:
        manager.all_hosts.find("unit:ssh.service")
    only = "only units that a [unit:<name>] section declares may be touched"
    assert str(caught.value) == f"Component unit:ssh.service doesn't exists on vm: {only}"
    assert caught.value.words.startswith("There is no component ssh.service on vm. Only units")


# Orders that are refused


def test_a_disabled_plugin_is_started_after_it_was_enabled(manager, printed):
    error = refusal(manager.plugins.start("lamp"))
    assert str(error) == "Plugin 'lamp' is disabled on vm. Enable it before starting it"
    assert error.words == "lamp is disabled; first: dmg_ctl enable lamp"
    assert printed(error.words) == ["dmg_ctl enable lamp"]


def test_a_plugin_that_runs_is_disabled_after_it_was_stopped(manager, printed):
    manager.start("clock")
    error = refusal(manager.plugins.disable("clock"))
    assert str(error) == "Component 'clock' is running. Please stop it before trying to disable"
    assert printed(error.words) == ["dmg_ctl stop clock"]


def test_a_package_whose_plugin_runs_is_touched_after_it_was_stopped(printed):
    error = PackageRunning("diskfree")
    assert str(error) == "Plugin 'diskfree' is running. Stop it before installing plugin."
    assert error.words == "diskfree is running; first: dmg_ctl stop diskfree"
    assert printed(error.words) == ["dmg_ctl stop diskfree"]


def test_a_plugin_that_did_not_start_says_why_and_where_to_read_more(manager, printed):
    failed: list[DomogikError] = []
    work = Deferred.fromCoroutine(manager.plugins.start("clock"))
    work.addErrback(lambda failure: failed.append(failure.value))
    manager.network.turn()
    manager.process("clock").ends(Exit(code=1))
    manager.network.turn()
    (error,) = failed
    assert str(error) == (
        "Component clock failed to start. Please look in this component log files"
    )
    assert error.words == (
        "clock ended before it was ready: exit status 1. More: dmg_ctl logs clock"
    )
    assert printed(error.words) == ["dmg_ctl logs clock"]


# Releases


def test_a_release_that_is_not_offered_names_those_that_are(printed):
    index = Index([offer("diskfree", "1.0.0"), offer("diskfree", "1.1.0")])
    with pytest.raises(UnknownRelease) as caught:
        index.find("plugin", "diskfree", "9.9")
    assert str(caught.value) == "No package corresponding to 'plugin-diskfree' in version '9.9'"
    assert caught.value.words == "diskfree 9.9 is not offered; offered are 1.1.0, 1.0.0"
    with pytest.raises(UnknownRelease) as caught:
        index.find("plugin", "diskfre")
    assert str(caught.value) == "No package corresponding to 'plugin-diskfre'"
    assert caught.value.words == "No repository offers diskfre. Did you mean diskfree?"
    with pytest.raises(UnknownRelease) as caught:
        Index().find("plugin", "diskfree")
    assert printed(caught.value.words) == ["dmg_pkgmgr update-cache"]
