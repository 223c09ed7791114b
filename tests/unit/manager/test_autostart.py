"""Which plugins start with the manager, whether dbmgr answers or not."""

import json

import pytest
from twisted.internet.defer import Deferred

from domogik.components.model import State
from domogik.manager.plugins.autostart import Autostart
from domogik.manager.plugins.autostart_notice import AutostartNotice
from domogik.manager.plugins.one_plugin import Plugin
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.supervisor.interfaces import Exit
from domogik.testing.local_host import START_TIME, FakeManager
from domogik.xpl.codec.message import CMND, STAT

NAMES = ("ant", "bee", "cat")


class Beginning:
    """A manager with three enabled plugins and one that is not, and a dbmgr that may be there."""

    def __init__(self, directory, values=None, provider=""):
        self.manager = FakeManager(directory / "home")
        for name in (*NAMES, "off"):
            self.manager.install(name)
        enabled = "".join(f"{name} = enabled\n" for name in NAMES)
        self.manager.configure(f"[plugins]\n{enabled}off = disabled\n").begin()
        self.values = values
        self.asked = []
        self.remembered = directory / "remembered"
        self.remembered.mkdir()
        self.network = self.manager.network
        self.network.bus.subscribe(self._ask, type=CMND, schema="domogik.config")
        self.autostart = Autostart(
            identity=self.manager.identity,
            host="vm",
            plugins=self.manager.plugins,
            remembered=self.remembered,
            now=lambda: START_TIME,
            timeout_s=10.0,
            provider=provider,
            notice=AutostartNotice(directory / "notice.json", self._is_autostart_off),
        )
        self.manager.plugins.on_enabled = self.autostart.look

    def _is_autostart_off(self, name):
        return self.manager.plugins.plugin(name).autostart_off

    def _ask(self, message, origin):
        name = message.get("technology")
        self.asked.append((name, message.get("hostname"), message.get("key"), message.target))
        if self.values is None:
            return
        body = [("technology", name), ("hostname", "vm")]
        body.append(("startup-plugin", self.values.get(name, "None")))
        text = "".join(f"{key}={value}\n" for key, value in body)
        head = "hop=1\nsource=domogik-dbmgr.vm\ntarget=*"
        data = f"{STAT}\n{{\n{head}\n}}\ndomogik.config\n{{\n{text}}}\n".encode()
        self.manager.network.clock.callLater(
            0, self.network.port.received, data, ("127.0.0.1", 50200)
        )

    def run(self, coroutine):
        results = []
        Deferred.fromCoroutine(coroutine).addBoth(results.append)
        self.network.turn()
        return results

    @property
    def running(self):
        return sorted(
            process.program.environment["DOMOGIK_NAME"] for process in self.manager.processes.living
        )


def test_every_enabled_plugin_starts_unless_a_stored_value_keeps_it_back(tmp_path):
    here = Beginning(tmp_path, {"ant": "True", "bee": "False", "cat": "None", "off": "True"})
    done = here.run(here.autostart.run())
    assert here.running == ["ant", "cat"]
    assert sorted(here.asked) == [(name, "vm", "startup-plugin", "*") for name in NAMES]
    assert done == []
    here.manager.beat("ant")
    here.manager.beat("cat")
    assert done == [None]
    assert here.manager.plugin("ant").state is State.ALIVE
    kept = here.manager.plugin("bee")
    assert (kept.state, kept.enabled) == (State.STOPPED, True)
    assert kept.reason == "it does not start with the manager: startup-plugin is False"


def test_what_runs_already_is_not_started(tmp_path):
    here = Beginning(tmp_path, dict.fromkeys(("bee", "cat"), "False"))
    here.manager.beat("ant")
    assert here.run(here.autostart.run()) == [None]
    assert here.running == []


def test_while_dbmgr_is_silent_the_last_known_value_counts(tmp_path):
    here = Beginning(tmp_path, {"ant": "True", "bee": "False"})
    here.run(here.autostart.run())
    assert json.loads((here.remembered / "ant.json").read_text())["startup-plugin"][0] == "True"
    again = Beginning(tmp_path / "again")
    for name in NAMES:
        (again.remembered / f"{name}.json").write_text(
            (here.remembered / f"{name}.json").read_text()
        )
    again.run(again.autostart.run())
    assert again.running == []
    for _ in range(10):
        again.network.turn(1)
    assert again.running == ["ant", "cat"]


def test_all_are_asked_at_once_so_a_silent_dbmgr_costs_its_time_out_once(tmp_path):
    here = Beginning(tmp_path)
    done = here.run(here.autostart.run())
    for _ in range(9):
        here.network.turn(1)
    assert (done, here.running) == ([], [])
    here.network.turn(1)
    assert here.running == list(NAMES)  # a home without a database runs what is enabled


def test_a_host_that_has_no_dbmgr_asks_that_of_its_provider(tmp_path):
    here = Beginning(tmp_path, provider="cellar")
    here.run(here.autostart.run())
    assert {target for *_, target in here.asked} == {"domogik-dbmgr.cellar"}


def test_what_a_crash_interrupted_starts_without_asking_anybody(tmp_path):
    here = Beginning(tmp_path)
    done = here.run(here.autostart.resume(["bee", "off", "ghost"]))
    assert here.running == ["bee"]
    assert here.asked == []
    here.manager.beat("bee")
    assert done == [None]


def test_one_whose_remains_are_still_being_ended_starts_after_that(tmp_path):
    here = Beginning(tmp_path)
    here.manager.processes.on_spawn = lambda process: setattr(process, "ignores_signals", True)
    here.manager.start("bee")
    first = here.manager.processes.living[0]
    here.run(here.manager.plugins.stop("bee"))
    assert here.manager.plugin("bee").state is State.STOPPING
    here.manager.plugins.stopped.clear()
    done = here.run(here.autostart.resume(["bee"]))
    here.network.clock.pump([1] * 20)
    assert not first.lives
    assert here.running == ["bee"]
    here.manager.beat("bee")
    assert done == [None]


def test_one_that_fails_keeps_no_other_from_starting(tmp_path):
    here = Beginning(tmp_path, dict.fromkeys(NAMES, "True"))
    here.manager.processes.on_spawn = lambda process: (
        here.network.clock.callLater(0, process.ends, Exit(code=1))
        if process.program.environment["DOMOGIK_NAME"] == "ant"
        else None
    )
    done = here.run(here.autostart.run())
    assert here.running == ["bee", "cat"]
    here.manager.beat("bee")
    here.manager.beat("cat")
    assert done == [None]
    assert here.manager.plugin("ant").state is State.BACKOFF


@pytest.mark.parametrize("error", [RuntimeError("oops"), OSError("disk")])
@pytest.mark.parametrize("call", ["refresh", "is_there"])
def test_one_that_cannot_even_be_asked_about_keeps_no_other_from_starting(
    tmp_path, monkeypatch, call, error
):
    here = Beginning(tmp_path, dict.fromkeys(NAMES, "True"))
    found = getattr(Plugin, call)
    is_property = isinstance(found, property)

    def broken(plugin):
        if plugin.name == "ant":
            raise error
        return (found.fget if is_property else found)(plugin)

    monkeypatch.setattr(Plugin, call, property(broken) if is_property else broken)
    done = here.run(here.autostart.run())
    assert here.running == ["bee", "cat"]
    here.manager.beat("bee")
    here.manager.beat("cat")
    assert done == [None]


def test_what_a_person_has_stopped_stays_so_over_a_crash_and_not_over_a_plain_stop(tmp_path):
    here = Beginning(tmp_path, {})
    file = tmp_path / "stopped.json"
    here.manager.plugins.stopped = StoppedByHand(file)
    here.manager.start("bee")
    here.run(here.manager.plugins.stop("bee"))
    here.network.clock.pump([1] * 15)
    assert "bee" in StoppedByHand(file)  # what the next manager will read
    here.run(here.autostart.resume(["bee"]))
    here.run(here.autostart.run())
    assert here.running == ["ant", "cat"]
    here.manager.plugins.stopped.clear()
    assert "bee" not in StoppedByHand(file)
    here.run(here.autostart.run())
    assert here.running == list(NAMES)


def test_a_restart_is_no_wish_to_stop(tmp_path):
    here = Beginning(tmp_path, {})
    here.manager.start("bee")
    here.manager.beat("bee")
    here.run(here.manager.plugins.restart("bee"))
    assert "bee" not in here.manager.plugins.stopped


@pytest.mark.parametrize("text", ["False", "false", "no", "0"])
def test_a_stored_no_keeps_it_back_in_any_spelling(tmp_path, text):
    here = Beginning(tmp_path, dict.fromkeys(NAMES, text))
    assert here.run(here.autostart.run()) == [None]
    assert here.running == []
    assert here.manager.plugin("ant").reason.endswith(f"startup-plugin is {text}")


def test_enable_says_what_keeps_it_from_starting_and_so_does_a_value_that_changes(tmp_path):
    here = Beginning(tmp_path, {"off": "False"})
    assert here.run(here.manager.plugins.enable("off")) == [None]
    assert "startup-plugin is False" in here.manager.plugin("off").reason
    here.values["off"] = "None"
    here.autostart.value_changed("vm", "off", "startup-plugin")
    here.network.turn()
    assert here.manager.plugin("off").reason == ""
    here.values["off"] = "no"
    here.autostart.value_changed("vm", "off", "interval")
    here.autostart.value_changed("kitchen", "off", "startup-plugin")
    here.network.turn()
    assert here.manager.plugin("off").reason == ""


def test_the_first_start_of_this_version_tells_once_what_starts_and_what_is_kept_back(tmp_path):
    here = Beginning(tmp_path, {"ant": "True", "bee": "False"})
    here.run(here.autostart.run())
    autostart_off = ["bee"]
    notice = AutostartNotice(tmp_path / "notice.json", autostart_off.__contains__)
    (check,) = notice.checks("core:manager")
    assert check.filled == (
        "Since this version every enabled plugin starts with the manager: start now: cat; "
        "kept back by a stored startup-plugin: bee"
    )
    assert [one.sentence for one in check.suggestions] == [
        "dmg_ctl stop cat; dmg_ctl disable cat",
        "dmg_ctl config bee unset startup-plugin",
        "Leave it so",
    ]
    autostart_off.clear()  # its value was unset
    (check,) = notice.checks("core:manager")
    assert check.filled.endswith("start now: cat")
    notice.accept()
    assert notice.checks("core:manager") == []
    here.run(here.autostart.run())
    assert notice.checks("core:manager") == []
