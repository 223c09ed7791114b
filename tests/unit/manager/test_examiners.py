"""What is asked about plugins, members, core services, repositories and the host."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed

from domogik.app.parts.configuration import findings
from domogik.components.events import EventStream
from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import Component, ComponentId, Kind, State
from domogik.config.home import Home
from domogik.errors import NotPossible, OperationFailed, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.kinds.checkers import CoreChecker, RepositoryChecker
from domogik.manager.kinds.host_checks import HostChecker
from domogik.manager.kinds.plugin_checks import PluginChecker
from domogik.manager.packages.interfaces import RepositoryInfo
from domogik.manager.plugins.autostart_notice import AutostartNotice
from domogik.manager.registry import IChecked
from domogik.packages.needs.environment import ENVIRONMENT
from domogik.storage.database import BrokenDatabase
from domogik.supervisor.interfaces import Exit
from domogik.testing.local_host import START_TIME, FakeManager
from domogik.threads import at_once

DAY = 24 * 3600.0


def now(work: Awaitable[Any]) -> Any:
    """Its result, which is there at once."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addCallbacks(  # type: ignore[arg-type]
        results.append, lambda failure: results.append(failure.value)
    )
    (result,) = results
    if isinstance(result, Exception):
        raise result
    return result


def by_id(checks: Iterable[DiagnosticCheck]) -> dict[str, DiagnosticCheck]:
    return {check.check_id: check for check in checks}


def looked_at(checker: IChecked, component_id: str) -> dict[str, DiagnosticCheck]:
    checks = now(checker.examine(component_id))
    assert len(by_id(checks)) == len(checks), "two checks of one name"
    assert "?" not in "".join(check.filled for check in checks), "a parameter is missing"
    return by_id(checks)


# Plugins


def plugin_checks(manager: FakeManager, name: str = "clock") -> dict[str, DiagnosticCheck]:
    looking = manager.health.diagnose(f"plugin:{name}")
    manager.network.turn()
    return by_id(now(_result(looking)))


async def _result(deferred: Deferred[Any]) -> Any:
    return await deferred


def test_a_plugin_that_is_heard_is_well(manager: FakeManager) -> None:
    manager.start("clock")
    checks = plugin_checks(manager)
    assert {check.result for check in checks.values()} == {Result.PASSED}
    assert set(checks) == {
        "plugin-running",
        "plugin-alive",
        "plugin-restarts",
        "plugin-descriptor",
        "plugin-script",
        "plugin-dependencies",
        "plugin-disk-space",
    }


def test_a_plugin_that_was_stopped_is_as_it_is_wanted(manager: FakeManager) -> None:
    checks = plugin_checks(manager)
    assert checks["plugin-running"].result is Result.PASSED
    assert "it is stopped" in checks["plugin-running"].filled
    assert checks["plugin-alive"].result is Result.SKIPPED


def test_a_refused_section_is_no_reason_of_a_plugin_that_is_as_it_is_wanted(
    manager: FakeManager,
) -> None:
    manager.start("clock")
    manager.components.remark({"plugin:clock": "domogik.cfg:7: restart must be no"}, "vm")
    assert manager.plugin("clock").reason.startswith("domogik.cfg:7:")
    assert plugin_checks(manager)["plugin-running"].filled == "clock is as it should be"


def test_of_a_disabled_plugin_nobody_expects_anything(manager: FakeManager) -> None:
    assert plugin_checks(manager, "lamp")["plugin-running"].result is Result.SKIPPED


def test_a_plugin_that_does_not_answer_can_be_restarted(manager: FakeManager) -> None:
    manager.start("clock")
    manager.plugins.plugin("clock").silent()
    check = plugin_checks(manager)["plugin-alive"]
    assert check.result is Result.FAILED
    assert [one.action for one in check.suggestions if one.is_repairable] == ["restart"]
    before = manager.process("clock")
    repair = manager.health.repair(manager.health.issues()[0].id)
    manager.network.turn(1)
    manager.beat("clock")
    assert now(_result(repair)) is None
    assert manager.process("clock") is not before


def test_a_plugin_whose_script_is_gone_fails(manager: FakeManager) -> None:
    (manager.source / "domogik_packages" / "xpl" / "bin" / "clock.py").unlink()
    check = plugin_checks(manager)["plugin-script"]
    assert check.result is Result.FAILED
    assert check.filled.startswith("The script of clock is missing: /")
    assert check.filled.endswith("/clock.py")


def test_a_plugin_with_the_name_of_a_program_of_ours_has_an_issue(manager: FakeManager) -> None:
    manager.install("rest").configure("[plugins]\nrest = enabled\n").read()
    manager.network.turn()
    assert manager.plugin("rest").state is State.FAILED
    check = plugin_checks(manager, "rest")["plugin-id"]
    assert check.result is Result.FAILED
    assert "rest cannot run: 'rest' is the name of a program" in check.filled
    (advice,) = check.suggestions
    assert "dmg_pkgmgr uninstall rest" in advice.sentence


def test_a_descriptor_that_broke_meanwhile_is_told(manager: FakeManager) -> None:
    manager.descriptor("clock").write_text("<package")
    check = plugin_checks(manager)["plugin-descriptor"]
    assert check.result is Result.FAILED
    assert "clock.xml" in check.filled


def test_needs_that_are_not_met_are_told(
    manager: FakeManager, printed: Callable[[str], list[str]]
) -> None:
    text = manager.descriptor("clock").read_text()
    need = '<dependencies><dep id="no-such-project" type="python"/></dependencies>'
    manager.descriptor("clock").write_text(text.replace("<dependencies/>", need))
    manager.read()
    manager.network.turn()
    check = plugin_checks(manager)["plugin-dependencies"]
    assert check.result is Result.FAILED
    assert check.filled == "clock needs no-such-project, which is not installed"
    (advice,) = check.suggestions
    assert printed(advice.sentence) == ["dmg_pkgmgr install clock 1.0 --with-dependencies"]


def test_an_environment_that_was_never_finished_is_told(manager: FakeManager) -> None:
    installed = manager.plugins.installed("clock")
    assert installed is not None
    assert installed.directory is not None
    (installed.directory / ENVIRONMENT).mkdir()
    check = plugin_checks(manager)["plugin-environment"]
    assert check.result is Result.FAILED
    assert "never finished" in check.filled


@pytest.mark.parametrize(
    ("restarts", "seconds", "result"),
    [(2, 0, Result.PASSED), (3, 0, Result.WARNING), (3, 4000, Result.PASSED)],
)
def test_restarts_count_for_an_hour(
    manager: FakeManager, restarts: int, seconds: float, result: Result
) -> None:
    manager.start("clock")
    for _ in range(restarts):
        manager.process("clock").ends(Exit(code=1))
        manager.network.turn()
        manager.network.turn(30)
        manager.beat("clock")
    manager.network.turn(seconds)
    check = plugin_checks(manager)["plugin-restarts"]
    assert check.result is result
    count = 0 if seconds else restarts
    assert check.filled == f"clock was restarted {count} times in the last hour"


@pytest.mark.parametrize(
    ("state", "result", "action"),
    [(State.BACKOFF, Result.WARNING, "restart"), (State.FAILED, Result.FAILED, "start")],
)
def test_a_plugin_that_fails_says_why(
    manager: FakeManager, state: State, result: Result, action: str
) -> None:
    failed = attrs.evolve(manager.plugin("clock"), state=state, reason="exit status 3")
    manager.components.put(failed)
    check = plugin_checks(manager)["plugin-running"]
    assert (check.result, check.suggestions[0].action) == (result, action)
    assert check.filled == "clock should run and does not: exit status 3"


def test_a_plugin_that_ends_again_and_again_is_told_by_what_it_wrote_last(
    manager: FakeManager, printed: Callable[[str], list[str]]
) -> None:
    again = "started again in 8 s: ModuleNotFoundError: nothere (exit status 1)"
    backoff = attrs.evolve(manager.plugin("clock"), state=State.BACKOFF, reason=again)
    manager.components.put(backoff)
    check = plugin_checks(manager)["plugin-running"]
    assert check.filled == f"clock ended once and is {again}"
    assert printed(check.suggestions[1].sentence) == ["dmg_ctl logs clock"]
    often = "ended 3 times in 10 minutes, is tried again every 15 minutes: exit status 1"
    manager.components.put(attrs.evolve(backoff, state=State.FAILED, reason=often))
    assert plugin_checks(manager)["plugin-running"].filled == f"clock {often}"


def test_one_that_fails_after_an_update_can_go_back(
    manager: FakeManager, printed: Callable[[str], list[str]]
) -> None:
    # the clock of a fake manager stands at noon of a day of its own
    os.utime(manager.descriptor("clock"), (START_TIME - 60, START_TIME - 60))
    checker = PluginChecker(
        plugins=manager.plugins,
        components=manager.components,
        data=lambda name: manager.directory,
        wall_clock=lambda: START_TIME,
        in_thread=at_once,
        previous=lambda name: "1.0.1",
    )
    failed = attrs.evolve(manager.plugin("clock"), state=State.FAILED, reason="exit status 3")
    manager.components.put(failed)
    check = looked_at(checker, "plugin:clock")["plugin-running"]
    assert check.suggestions[0].action == "rollback"
    assert printed(check.suggestions[0].sentence) == ["dmg_pkgmgr rollback clock"]
    os.utime(manager.descriptor("clock"), (START_TIME - 4000, START_TIME - 4000))
    check = looked_at(checker, "plugin:clock")["plugin-running"]
    assert check.suggestions[0].action == "start"


# External members


def test_a_member_that_falls_silent_is_told_and_can_be_forgotten(manager: FakeManager) -> None:
    manager.member("maker-sensor.attic")
    looking = manager.health.diagnose("external:maker-sensor.attic")
    manager.network.turn()
    (heard,) = now(_result(looking))
    assert heard.result is Result.PASSED
    manager.network.turn(660)
    manager.health.diagnose("external:maker-sensor.attic")
    manager.network.turn()
    (issue,) = manager.health.issues()
    assert issue.check.result is Result.FAILED
    repair = manager.health.repair(issue.id, "forget")
    manager.network.turn()
    assert now(_result(repair)) is None
    assert manager.components.ids(Kind.EXTERNAL) == ()
    manager.member("maker-sensor.attic")
    assert manager.external("maker-sensor.attic").state is State.ALIVE


# Core services


class Core:
    """An examiner of core services over a list of them."""

    def __init__(self, directory: Path) -> None:
        self.components = ComponentList(EventStream(lambda: START_TIME))
        self.file = directory / "domogik.cfg"
        self.file.write_text("[domogik]\n")
        self.broken = self.rest_problem = ""
        self.checker = CoreChecker(
            components=self.components,
            findings=lambda: findings((self.file,), Home(directory)),
            rest_problem=lambda: self.rest_problem,
            check_database=self._check,
            open_database=self._open,
            notice=AutostartNotice(directory / "notice.json", lambda name: True),
            in_thread=at_once,
        )
        for name in ("manager", "hub", "dbmgr"):
            self.put(name, State.RUNNING)

    def put(self, name: str, state: State, reason: str = "") -> None:
        self.components.put(
            Component(ComponentId(Kind.CORE, name), "vm", state, reason=reason, description="Works")
        )

    async def _open(self) -> None:
        if not self.broken:
            self.put("dbmgr", State.RUNNING)

    def _check(self) -> Awaitable[None]:
        async def check() -> None:
            if self.broken:
                raise BrokenDatabase(self.broken)

        return check()


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(tmp_path)


def test_core_services_that_run_are_well(core: Core) -> None:
    for id in core.checker.subjects():
        for check in looked_at(core.checker, id).values():
            assert check.result is Result.PASSED


def test_a_broken_configuration_is_told_with_its_line(core: Core) -> None:
    core.file.write_text("[domogik]\nnonsense\n")
    check = looked_at(core.checker, "core:manager")["core-configuration"]
    assert check.result is Result.FAILED
    assert f"{core.file}:2" in check.filled


def test_every_entry_that_is_refused_is_told_with_its_line(core: Core) -> None:
    core.file.write_text("[daemon:cache]\nkind = reddis\n[component:plugin:x]\nrestart = never\n")
    check = looked_at(core.checker, "core:manager")["core-configuration"]
    assert check.result is Result.FAILED
    assert f"{core.file}:2: kind in [daemon:cache] must be redis, " in check.filled
    assert f"{core.file}:4: restart in [component:plugin:x] must be " in check.filled


def test_where_rest_could_not_be_moved_to_is_told(core: Core) -> None:
    core.put("rest", State.RUNNING)
    core.rest_problem = "it listens on ..."
    check = looked_at(core.checker, "core:rest")["core-address"]
    assert check.result is Result.FAILED
    core.rest_problem = ""
    assert looked_at(core.checker, "core:rest")["core-address"].result is Result.PASSED


def test_a_key_that_nobody_knows_is_a_warning(core: Core) -> None:
    core.file.write_text("[domogik]\nhostnam = x\n")
    check = looked_at(core.checker, "core:manager")["core-configuration"]
    assert check.result is Result.WARNING
    assert "hostnam" in check.filled


def test_what_starts_since_this_version_is_told_until_it_was_read(core: Core) -> None:
    AutostartNotice(core.file.parent / "notice.json", lambda name: True).write(["lamp"], [])
    check = looked_at(core.checker, "core:manager")["core-startup"]
    assert check.result is Result.WARNING
    now(core.checker.repair("core:manager", check, "accept"))
    assert "core-startup" not in looked_at(core.checker, "core:manager")


def test_a_damaged_database_is_told(core: Core) -> None:
    core.broken = "the disk image is malformed"
    check = looked_at(core.checker, "core:dbmgr")["core-database"]
    assert check.result is Result.FAILED
    assert "malformed" in check.filled


def test_a_database_that_did_not_open_can_be_opened_again(core: Core) -> None:
    core.put("dbmgr", State.FAILED, "it is locked")
    (check,) = looked_at(core.checker, "core:dbmgr").values()
    assert check.result is Result.FAILED
    core.broken = "still"
    with pytest.raises(OperationFailed, match="it is locked"):
        now(core.checker.repair("core:dbmgr", check, "open-database"))
    core.broken = ""
    now(core.checker.repair("core:dbmgr", check, "open-database"))


def test_of_a_hub_that_is_away_the_host_tells(core: Core) -> None:
    core.put("hub", State.NOT_RESPONDING, "no hub answers")
    (check,) = looked_at(core.checker, "core:hub").values()
    assert check.result is Result.SKIPPED


# Repositories


URL = "http://packages.localhost"


def repository(refresh: Callable[[], Awaitable[object]] | None = None, **fields: Any) -> Any:
    given = {"as_of": START_TIME - DAY, **fields}
    infos = [RepositoryInfo(given.pop("url", URL), 10, **given)]
    return RepositoryChecker(lambda: infos, refresh or (lambda: succeed(None)), lambda: START_TIME)


def results(checker: Any, url: str = URL) -> dict[str, Result]:
    checks = now(checker.examine(f"repository:{url}"))
    return {check.check_id.removeprefix("repository-"): check.result for check in checks}


def test_a_signed_repository_that_was_reached_is_well() -> None:
    checker = repository(signed=True, expires=START_TIME + 30 * DAY)
    assert set(results(checker).values()) == {Result.PASSED}
    assert len(results(checker)) == 4


@pytest.mark.parametrize(
    ("fields", "check", "result"),
    [
        ({"error": "refused"}, "reachable", Result.FAILED),
        ({"as_of": None}, "reachable", Result.SKIPPED),
        ({"as_of": None}, "signed", Result.SKIPPED),
        ({"as_of": START_TIME - 31 * DAY}, "recent", Result.WARNING),
        ({}, "signed", Result.WARNING),
        ({"accepted": True}, "signed", Result.SKIPPED),
        ({"signed": True, "expires": START_TIME + DAY}, "signatures", Result.WARNING),
        ({"signed": True, "expires": START_TIME - DAY}, "signatures", Result.FAILED),
        ({"signed": True}, "signatures", Result.PASSED),
    ],
)
def test_what_is_not_well_with_a_repository(
    fields: dict[str, Any], check: str, result: Result
) -> None:
    assert results(repository(**fields))[check] is result


def test_a_directory_of_this_host_needs_no_signatures() -> None:
    url = "file:///srv/packages"
    assert results(repository(url=url), url)["signed"] is Result.SKIPPED


def test_a_repository_that_is_not_there_any_more_is_unknown() -> None:
    with pytest.raises(UnknownComponent):
        results(repository(), "http://other.localhost")


def test_a_refresh_that_fails_again_says_why() -> None:
    checker = repository(error="connection refused")
    (check, *_) = now(checker.examine(f"repository:{URL}"))
    with pytest.raises(OperationFailed, match="connection refused"):
        now(checker.repair(f"repository:{URL}", check, "refresh"))
    with pytest.raises(NotPossible):
        now(checker.repair(f"repository:{URL}", check, "dance"))


# The host


class AllHosts:
    """An examiner of this host, which is as the test says."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home")
        self.home.create()
        self.memory = directory / "meminfo"
        self.hub = ""
        self.time = START_TIME
        self.known = START_TIME - DAY
        self.packages: list[str] = []
        self.archives = self.home.cache / "archives"
        self.has(100, 50)
        self.checker = HostChecker(
            host="vm",
            home=self.home,
            directories=(self.home.log, directory / "not" / "there"),
            archives=self.archives,
            hub_problem=lambda: self.hub,
            last_known=lambda: self.known,
            broken_packages=lambda: self.packages,
            wall_clock=lambda: self.time,
            in_thread=at_once,
            memory=self.memory,
        )

    def has(self, total: int, available: int) -> None:
        """Memory, in kilobytes."""
        self.memory.write_text(
            f"MemTotal: {total} kB\nMemAvailable: {available} kB\nHugePages: 0\n"
        )

    def checks(self) -> dict[str, DiagnosticCheck]:
        found = looked_at(self.checker, "host:vm")
        return {id.removeprefix("host-"): check for id, check in found.items()}

    def disk(self) -> DiagnosticCheck:
        (check,) = [one for id, one in self.checks().items() if id.startswith("disk-space:")]
        return check


@pytest.fixture
def all_hosts(tmp_path: Path) -> AllHosts:
    return AllHosts(tmp_path)


@attrs.frozen
class Disk:
    """What `statvfs` says of one, in blocks of a megabyte."""

    f_bavail: int
    f_blocks: int = 100_000
    f_frsize: int = 10**6
    f_files: int = 1000
    f_favail: int = 500


@pytest.mark.parametrize(
    ("disk", "result"),
    [
        (Disk(50_000), Result.PASSED),
        (Disk(2000), Result.PASSED),
        (Disk(500), Result.WARNING),
        (Disk(500, 2000), Result.PASSED),
        (Disk(50), Result.FAILED),
        (Disk(50_000, f_favail=5), Result.FAILED),
        (Disk(50_000, f_files=0, f_favail=0), Result.PASSED),
    ],
)
def test_room_on_the_disk(
    all_hosts: AllHosts, monkeypatch: pytest.MonkeyPatch, disk: Disk, result: Result
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    assert all_hosts.disk().result is result


def test_one_file_system_is_looked_at_once(all_hosts: AllHosts) -> None:
    assert all_hosts.disk().parameters["path"] == str(all_hosts.home.path)


def test_archives_that_can_be_fetched_again_make_room(
    all_hosts: AllHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: Disk(50))
    assert [one.action for one in all_hosts.disk().suggestions] == ["free-disk"]
    all_hosts.archives.mkdir()
    (all_hosts.archives / "plugin-lamp-1.0.abc.tgz").touch()
    (all_hosts.archives / ".partial.tgz").touch()
    check = all_hosts.disk()
    assert check.suggestions[0].is_repairable
    now(all_hosts.checker.repair("host:vm", check, check.suggestions[0].action))
    assert [path.name for path in all_hosts.archives.iterdir()] == [".partial.tgz"]


@pytest.mark.parametrize(
    ("available", "result"),
    [(11, Result.PASSED), (10, Result.WARNING), (4, Result.WARNING), (2, Result.FAILED)],
)
def test_memory(all_hosts: AllHosts, available: int, result: Result) -> None:
    all_hosts.has(100, available)
    assert all_hosts.checks()["memory"].result is result


def test_a_kernel_that_does_not_say_has_enough_memory(all_hosts: AllHosts) -> None:
    all_hosts.memory.write_text("MemTotal: 100 kB\n")
    assert "memory" not in all_hosts.checks()


@pytest.mark.parametrize(
    ("time", "known", "result"),
    [
        (START_TIME, 0.0, Result.PASSED),
        (START_TIME, START_TIME + 30, Result.PASSED),
        (START_TIME, START_TIME + 90, Result.FAILED),
        (1000.0, 0.0, Result.FAILED),
    ],
)
def test_the_clock(all_hosts: AllHosts, time: float, known: float, result: Result) -> None:
    all_hosts.time, all_hosts.known = time, known
    assert all_hosts.checks()["clock"].result is result


@pytest.mark.parametrize(("load", "result"), [(0.1, Result.PASSED), (9999.0, Result.WARNING)])
def test_the_load(
    all_hosts: AllHosts, monkeypatch: pytest.MonkeyPatch, load: float, result: Result
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, load))
    assert all_hosts.checks()["load"].result is result


def test_a_hub_that_is_away(all_hosts: AllHosts) -> None:
    assert all_hosts.checks()["hub"].result is Result.PASSED
    all_hosts.hub = "no hub answers on port 3865"
    assert all_hosts.checks()["hub"].filled.endswith("no hub answers on port 3865")


def test_descriptors_that_cannot_be_read(all_hosts: AllHosts) -> None:
    all_hosts.packages = ["lamp.xml:1: no element found"]
    assert all_hosts.checks()["packages"].result is Result.WARNING


def test_who_may_read_the_token_is_told_and_shut_out(all_hosts: AllHosts) -> None:
    assert all_hosts.checks()["permissions"].result is Result.PASSED
    all_hosts.home.token.chmod(0o644)
    all_hosts.home.path.chmod(0o777)
    check = all_hosts.checks()["permissions"]
    assert check.result is Result.FAILED
    assert str(all_hosts.home.token) in check.filled
    now(all_hosts.checker.repair("host:vm", check, "make-private"))
    assert all_hosts.home.token.stat().st_mode & 0o777 == 0o600
    # who may only pass through still may: a daemon that runs as another user has to
    assert all_hosts.home.path.stat().st_mode & 0o777 == 0o755
    assert all_hosts.checks()["permissions"].result is Result.PASSED


def test_nobody_knows_how_to_do_anything_else(all_hosts: AllHosts) -> None:
    with pytest.raises(NotPossible):
        now(all_hosts.checker.repair("host:vm", all_hosts.checks()["hub"], "dance"))
