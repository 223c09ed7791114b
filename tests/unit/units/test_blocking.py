"""Units for programs that wait: what the documents promise, without a Deferred in sight."""

from __future__ import annotations

import inspect
import os
import socket
import threading

import pytest
from twisted.internet.defer import maybeDeferred

from domogik import units
from domogik.components.health import DiagnosticCheck
from domogik.supervisor.reactors import TurnedReactor
from domogik.testing.units import FakeSystemd
from domogik.units import blocking, blocking_apps
from domogik.units.blocking import App, Component, Daemon, RelatedDaemon, SharedDaemon, Units
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.backend import NoSystemd
from domogik.units.this_host import HostSystem


@pytest.fixture
def systemd(monkeypatch):
    """A systemd that exists only here."""
    fake = FakeSystemd()
    reactor = TurnedReactor()
    system = HostSystem(reactor.reactor, fake, PortOwners(reactor.reactor, maybeDeferred))
    hosts = {os.getpid(): blocking_apps.BlockingHost(reactor, system)}
    monkeypatch.setattr(blocking_apps, "_hosts", hosts)
    yield fake
    reactor.close()


def test_one_alone_answers_with_values(systemd):
    systemd.add("web.service", alias="old-web.service")
    daemon = Daemon("daemon-web", "web", alias="old-web")
    assert daemon.is_enabled() is False
    daemon.enable()
    assert daemon.is_enabled() is True
    assert daemon.is_running() is True
    (check,) = daemon.diagnose()
    assert isinstance(check, DiagnosticCheck)
    assert check.result == "passed"
    daemon.disable()
    assert daemon.is_running() is False
    with pytest.raises(KeyError):
        daemon.app  # noqa: B018


def test_a_block_in_which_it_runs_is_a_plain_one(systemd):
    systemd.add("db.service")
    daemon = Daemon("daemon-db", "db")
    with daemon.ensure_running() as ran_before:
        assert ran_before is False
        assert daemon.is_running()
    assert not daemon.is_running()
    with pytest.raises(ValueError, match="mine"):
        with daemon.ensure_running():
            raise ValueError("mine")
    assert not daemon.is_running()


def test_apps_are_switched_and_looked_at(systemd):
    for name in ("motion", "db"):
        systemd.add(f"{name}.service")
    registry = Units.on_this_host()
    shared = [SharedDaemon(f"shared-db-{app}", "db") for app in "ab"]
    camera = registry.add(App("a", [Daemon("daemon-motion", "motion"), shared[0]]))
    other = registry.add(App("b", [shared[1], RelatedDaemon("related-daemon-x", "motion")]))
    camera.enable()
    other.enable()
    assert camera.is_enabled() is True
    assert [check.result for check in camera.diagnose()] == ["passed", "passed"]
    assert shared[0].needed_by() == ["b"]
    camera.disable()
    assert (camera.is_enabled(), shared[1].is_running()) == (False, True)
    other.disable()
    assert shared[1].is_running() is False
    assert blocking.app_is_running(other) is False
    assert camera.get_component("shared-db-a") is shared[0]
    assert list(camera.get_components_of_type(Daemon)) == list(camera.components.values())
    assert camera.remove("shared-db-a") is shared[0]
    assert [len(one.lines) for one in camera.get_logs()] == [0]
    registry.remove("a")
    assert list(registry.apps) == ["b"]


def test_components_and_apps_of_somebody_else_return_what_they_come_to(systemd):
    """They may ask others while they are asked themselves."""
    systemd.add("web.service")
    seen = []

    class Mine(Component):
        def enable(self):
            seen.append(self.app.get_component("daemon-web").is_enabled())

        def diagnose(self):
            return [DiagnosticCheck("mine", "All is well")]

    class Web(Daemon):
        def diagnose(self):
            return [*super().diagnose(), DiagnosticCheck("more", "More")]

    class Whole(App):
        def diagnose(self):
            return [*super().diagnose(), DiagnosticCheck("whole", "Whole")]

    app = Whole("web", [Web("daemon-web", "web"), Mine("mine")])
    app.enable()
    assert seen == [True]
    ids = [check.check_id for check in app.diagnose()]
    assert ids == ["daemon-running-web", "more", "mine", "whole"]
    assert app.repair([DiagnosticCheck("x", "X", component_id="mine")]) is True


def test_reprs_are_those_of_the_documented_classes(systemd):
    class Mine(Component):
        pass

    for one in (Daemon("a", "x"), SharedDaemon("a", "x"), RelatedDaemon("a", "x"), Component("a")):
        assert repr(one) == f"<{type(one).__name__} a>"
    assert repr(Mine("a")) == "<Mine a>"
    assert repr(App("a")) == "<App a>"


def test_what_is_no_component_or_app_is_refused(systemd):
    for other in (3, None, units.Daemon("daemon-web", "web"), App("b")):
        with pytest.raises(TypeError, match=r"is not a component of domogik\.units\.blocking"):
            App("a").add(other)
    for other in (3, units.App("a"), Daemon("daemon-web", "web")):
        with pytest.raises(TypeError, match=r"is not an app of domogik\.units\.blocking"):
            Units.on_this_host().add(other)


def test_errors_are_those_of_the_deferreds(systemd):
    systemd.absent = "there is no systemd here"
    daemon = Daemon("daemon-web", "web")
    with pytest.raises(NoSystemd, match="there is no systemd here"):
        daemon.is_enabled()
    assert daemon.diagnose()[0].result == "skipped"


def test_threads_take_turns(systemd):
    systemd.add("web.service", "enabled")
    daemon = Daemon("daemon-web", "web")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.extend(daemon.is_enabled() for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 200


def test_ports_of_this_host_are_looked_at_without_an_app():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        daemon = Daemon("daemon-x", "no-such-unit", listen_ports=[(port, "tcp4")])
        assert daemon.diagnose()[1].result == "passed"
        assert blocking.diagnose_port_listening(port, "tcp", "127.0.0.1").result == "passed"
        assert blocking.diagnose_netcat("localhost", port).result == "passed"
    assert blocking.diagnose_port_listening(port).result == "failed"
    assert blocking.diagnose_netcat("127.0.0.1", port, negate=True).result == "passed"


def test_every_method_has_the_arguments_of_the_one_that_returns_a_deferred():
    import domogik.units

    for name in (
        "App",
        "Component",
        "FollowerComponent",
        "Daemon",
        "RelatedDaemon",
        "SharedDaemon",
    ):
        ours, theirs = getattr(blocking, name), getattr(domogik.units, name)
        for method, function in inspect.getmembers(theirs, inspect.isfunction):
            if method.startswith("_") and method != "__init__":
                continue
            if method == "belongs_to" or (method == "has_diagnostics" and name != "Component"):
                continue
            found = inspect.signature(getattr(ours, method)).parameters
            assert [*found] == [*inspect.signature(function).parameters], (name, method)
