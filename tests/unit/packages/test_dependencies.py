"""check-dependencies: every key and every error text, whatever pip and Debian answer."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from domogik.errors import DomogikError
from domogik.packages.descriptor.package import Dependency
from domogik.packages.descriptor.requirements import Requirement
from domogik.packages.needs.dependencies import DependencyChecker, DependencyState, first_error
from domogik.packages.needs.environment import PythonEnvironment


@attrs.frozen
class Done:
    output: bytes
    succeeded: bool = True
    timed_out: bool = False


@attrs.define(eq=False)
class Host:
    """A host where commands answer what the test says; which were run is in `ran`."""

    installed: dict[str, str] = attrs.field(factory=dict)
    index: dict[str, list[str]] = attrs.field(factory=dict)
    debian: dict[str, str] = attrs.field(factory=dict)
    candidates: dict[str, str] = attrs.field(factory=dict)
    unreachable: bool = False
    plugins: dict[str, str] = attrs.field(factory=dict)
    offered: dict[str, str] = attrs.field(factory=dict)
    commands: set[str] = attrs.field(factory=lambda: {"dpkg-query", "apt-cache"})
    ran: list[list[str]] = attrs.field(factory=list)
    broken: bool = False
    hanging: bool = False

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        limit_bytes: int,
        environment: Mapping[str, str] | None = None,
    ) -> "Deferred[Done]":
        assert timeout > 0
        assert limit_bytes > 0
        self.ran.append(list(argv))
        if self.broken:
            raise DomogikError("No such file or directory")
        return succeed(self._answer(list(argv)))

    def _answer(self, argv: list[str]) -> Done:
        name = argv[-1]
        if argv[0] == "dpkg-query":
            found = self.debian.get(name)
            return Done(f"ii {found}\n".encode()) if found else Done(b"no packages", False)
        if argv[0] == "apt-cache":
            return Done(f"{name}:\n  Candidate: {self.candidates.get(name, '(none)')}\n".encode())
        if "index" in argv:
            if self.hanging:
                return Done(b"", False, timed_out=True)
            if self.unreachable:
                said = b"WARNING: Retrying (...) after connection broken by 'NewConnectionError'\n"
                return Done(said + b"ERROR: No matching distribution found for a", False)
            offered = self.index.get(name)
            if not offered:
                return Done(f"ERROR: No matching distribution found for {name}".encode(), False)
            return Done(f"{name} ({offered[0]})\nAvailable versions: {', '.join(offered)}".encode())
        start = argv.index("-c") + 2
        found = {name: self.installed[name] for name in argv[start:] if name in self.installed}
        return Done(b"a warning\n" + json.dumps(found).encode())

    def in_thread(self, call: Callable[..., object], *args: object) -> "Deferred[object]":
        if getattr(call, "__name__", "") == "which":
            return succeed(f"/usr/bin/{args[0]}" if args[0] in self.commands else None)
        return succeed(call(*args))

    def _offer(self, requirement: Requirement) -> str | None:
        found = self.offered.get(requirement.name)
        return found if found and requirement.fits(found) else None

    def check(
        self, *dependencies: tuple[str, str], **options: object
    ) -> "Deferred[tuple[DependencyState, ...]]":
        checker = DependencyChecker(self.run, self.in_thread, self.plugins.get, self._offer)
        asked = [Dependency(kind, text) for kind, text in dependencies]
        environment = PythonEnvironment(Path(sys.executable), self.run)
        return Deferred.fromCoroutine(checker.check(asked, environment, **options))


class PythonDependencies(SynchronousTestCase):
    def check(self, host: Host, *dependencies: tuple[str, str]) -> tuple[DependencyState, ...]:
        return self.successResultOf(host.check(*dependencies))

    def test_one_that_is_installed_says_its_release_and_asks_no_index(self) -> None:
        host = Host(installed={"six": "1.17.0"})
        (state,) = self.check(host, ("python", "six (>=1.0)"))
        assert state == DependencyState("python", "six (>=1.0)", installed=True, release="1.17.0")
        assert not any("pip" in argv for argv in host.ran)

    def test_a_project_of_a_similar_name_is_not_taken_for_it(self) -> None:
        (state,) = self.check(Host(installed={"sixpack": "1.0"}), ("python", "six"))
        assert not state.installed

    def test_one_that_is_too_old_says_so_and_what_to_type(self) -> None:
        host = Host(installed={"six": "1.9"}, index={"six": ["2.0", "1.17", "1.10"]})
        (state,) = self.check(host, ("python", "six (>=1.10, <2)"))
        assert (state.installed, state.release, state.candidate) == (False, "1.9", "1.17")
        assert state.cmd_line.startswith(shlex.quote(sys.executable))
        assert "install" in state.cmd_line
        assert state.cmd_line.endswith("six==1.17")

    def test_one_that_nobody_offers_has_the_seeds_error_and_hides_no_other(self) -> None:
        host = Host(installed={"b": "1"}, index={"c": ["3"]})
        states = self.check(host, ("python", "a"), ("python", "b"), ("python", "c (>=4)"))
        assert [state.installed for state in states] == [False, True, False]
        assert states[0].error == "No candidate to dependency 'a' installation found"
        assert states[0].reason == "ERROR: No matching distribution found for a"
        assert states[2].error == "No candidate to dependency 'c' installation found"
        assert first_error(states) == states[0].error

    def test_a_text_that_is_none_has_the_seeds_error_and_hides_no_other(self) -> None:
        host = Host(installed={"b": "1"})
        states = self.check(
            host, ("python", "b"), ("python", "a ("), ("python", "a (>=x)"), ("python", "b")
        )
        assert [state.installed for state in states] == [True, False, False, True]
        assert states[1].error == "Wrong version format for 'a (' : should be 'foo (...)'"
        assert states[2].error == "Irrational version for dependency a (>=x)"

    def test_one_that_another_python_needs_is_none_that_is_missing(self) -> None:
        (state,) = self.check(Host(), ("python", 'enum34; python_version < "3.4"'))
        assert state.installed

    def test_a_silent_index_ends_in_an_answer(self) -> None:
        (state,) = self.check(Host(hanging=True), ("python", "a"))
        assert state.error == "The index of Python packages cannot be reached"

    def test_an_index_that_cannot_be_reached_is_no_missing_candidate(self) -> None:
        (state,) = self.check(Host(unreachable=True), ("python", "a"))
        assert state.error == "The index of Python packages cannot be reached"
        assert (state.installed, state.candidate) == (False, "")

    def test_an_interpreter_that_does_not_start_ends_in_an_answer(self) -> None:
        (state,) = self.check(Host(broken=True), ("python", "a"))
        assert state.error == "No candidate to dependency 'a' installation found"
        assert "No such file" in state.reason

    def test_a_type_nobody_knows_is_looked_for_as_python(self) -> None:
        (state,) = self.check(Host(installed={"a": "1"}), ("perl", "a"))
        assert state.installed

    def test_pre_releases_are_asked_for_only_by_who_names_one(self) -> None:
        host = Host(index={"a": ["2.0b1"]})
        self.check(host, ("python", "a (>=1)"), ("python", "a (>=2.0b1)"))
        asked = [argv for argv in host.ran if "index" in argv]
        assert ["--pre" in argv for argv in asked] == [False, True]

    def test_a_name_with_a_command_in_it_is_never_run(self) -> None:
        host = Host()
        states = self.check(host, ("python", "a;touch x"), ("other", "$(reboot)"))
        assert [state.error[:20] for state in states] == ["Wrong version format"] * 2
        assert host.ran == []


class PluginDependencies(SynchronousTestCase):
    def check(self, host: Host, text: str) -> DependencyState:
        (state,) = self.successResultOf(host.check(("plugin", text)))
        return state

    def test_the_version_counts(self) -> None:
        host = Host(plugins={"xpl_time": "0.9"}, offered={"xpl_time": "0.10"})
        assert self.check(host, "xpl_time").installed
        state = self.check(host, "xpl_time (>=0.10)")
        assert (state.installed, state.release, state.candidate) == (False, "0.9", "0.10")
        assert state.cmd_line == "dmg_pkgmgr install xpl_time 0.10"

    def test_one_that_nobody_offers_is_named(self) -> None:
        state = self.check(Host(), "xpl_time")
        assert state.error == "No candidate to dependency 'xpl_time' installation found"
        assert state.cmd_line == ""


class OtherDependencies(SynchronousTestCase):
    def check(self, host: Host, text: str) -> DependencyState:
        (state,) = self.successResultOf(host.check(("other", text)))
        return state

    def test_a_command_on_the_path_is_there(self) -> None:
        assert self.check(Host(commands={"heyu"}), "heyu").installed

    def test_a_debian_package_says_its_release(self) -> None:
        state = self.check(Host(debian={"owfs": "1:2.10.1-4+b2"}), "owfs (>=2.8.4)")
        assert (state.installed, state.release) == (True, "2.10.1")

    def test_one_that_debian_has_says_what_to_type(self) -> None:
        state = self.check(Host(candidates={"owfs": "3.2p4-1"}), "owfs (>=2.8.4)")
        assert (state.installed, state.candidate) == (False, "3.2")
        assert state.cmd_line == "sudo apt-get install owfs"

    def test_a_command_without_a_package_does_not_tell_its_release(self) -> None:
        state = self.check(Host(commands={"heyu"}), "heyu (>=2)")
        assert not state.installed
        assert state.reason == "its command /usr/bin/heyu does not tell its version"

    def test_on_a_system_that_is_not_debian_nothing_of_it_is_asked(self) -> None:
        host = Host(commands=set())
        assert self.check(host, "owfs").error
        assert host.ran == []
