"""Environments of plugins: real interpreters, real pip, wheels made here, no network."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from wheels import make_wheel

import domogik
from domogik.packages.descriptor.package import Dependency
from domogik.packages.descriptor.requirements import parse_requirement
from domogik.packages.needs.dependencies import DependencyChecker
from domogik.packages.needs.environment import (
    EnvironmentFailed,
    EnvironmentMaker,
    PythonEnvironment,
    interpreter,
)
from domogik.supervisor.processes.command import run

pytestmark = pytest.mark.integration


class Environments(TestCase):
    timeout = 300

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute()
        self.wheels = self.root / "wheels"
        self.directory = self.root / "store" / "plugin-a" / "1.0" / "environment"
        self.directory.parent.mkdir(parents=True)
        self.run_command = partial(run, reactor)
        self.maker = EnvironmentMaker(self.run_command, deferToThread)

    async def make(self, *texts: str, wheels: bool = True) -> PythonEnvironment:
        return await self.maker.make(
            self.directory,
            [parse_requirement(text) for text in texts],
            wheels=self.wheels if wheels else None,
            offline=True,
        )

    async def said(self, python: Path, program: str) -> str:
        done = await run(reactor, [str(python), "-c", program], timeout=60, limit_bytes=65536)
        assert done.succeeded, done.output
        return done.output.decode().strip()

    async def test_it_finds_domogik_and_what_the_package_brought(self) -> None:
        make_wheel(self.wheels, "dmgtesta", "1.5", requires=("dmgtestb",))
        make_wheel(self.wheels, "dmgtestb", "0.3")
        environment = await self.make("dmgtesta (>=1.0, <2)")
        assert interpreter(self.directory) == environment.python
        program = "import domogik.plugin, dmgtesta, dmgtestb, twisted, sys; print(dmgtesta.RELEASE)"
        assert await self.said(environment.python, program) == "1.5"
        found = await environment.installed(["dmgtesta", "dmgtestb", "Twisted", "dmgtestc"])
        assert found["dmgtesta"] == "1.5"
        assert found["dmgtestb"] == "0.3"
        assert "Twisted" in found
        assert "dmgtestc" not in found
        where = await self.said(environment.python, "import domogik; print(domogik.__file__)")
        assert where == domogik.__file__

    async def test_its_own_release_wins_over_the_managers_and_leaves_that_alone(self) -> None:
        # something the manager's interpreter has, since pytest needs it
        make_wheel(self.wheels, "iniconfig", "99.1")
        own = PythonEnvironment.own(self.run_command)
        before = await own.installed(["iniconfig"])
        environment = await self.make("iniconfig (>=99)")
        assert await environment.installed(["iniconfig"]) == {"iniconfig": "99.1"}
        program = "import iniconfig; print(iniconfig.RELEASE)"
        assert await self.said(environment.python, program) == "99.1"
        assert await own.installed(["iniconfig"]) == before != {}

    async def test_what_the_manager_has_already_is_not_installed_again(self) -> None:
        environment = await self.make("psutil (>=5)", wheels=False)
        where = await self.said(environment.python, "import psutil; print(psutil.__file__)")
        assert not where.startswith(str(self.directory))

    async def test_the_wheels_of_the_package_come_before_any_index(self) -> None:
        make_wheel(self.wheels, "dmgtesta", "1.0")
        project = self.root / "index" / "dmgtesta"
        wheel = make_wheel(project, "dmgtesta", "2.0")
        (project / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
        os.environ["PIP_INDEX_URL"] = project.parent.as_uri()
        self.addCleanup(os.environ.pop, "PIP_INDEX_URL")
        own = PythonEnvironment.own(self.run_command)
        assert await own.candidate(parse_requirement("dmgtesta")) == ("2.0", "")
        environment = await self.maker.make(
            self.directory, [parse_requirement("dmgtesta")], wheels=self.wheels
        )
        assert (await environment.installed(["dmgtesta"]))["dmgtesta"] == "1.0"

    async def test_what_cannot_be_installed_leaves_nothing(self) -> None:
        make_wheel(self.wheels, "dmgtesta", "1.0")
        with pytest.raises(EnvironmentFailed, match="dmgtestz"):
            await self.make("dmgtesta", "dmgtestz (>=1)")
        assert list(self.directory.parent.iterdir()) == []
        assert interpreter(self.directory) is None

    async def test_what_breaks_the_managers_own_library_is_refused(self) -> None:
        make_wheel(self.wheels, "twisted", "99.0")
        with pytest.raises(EnvironmentFailed, match=r"domogik\.plugin"):
            await self.make("twisted (>=99)")
        assert not self.directory.exists()

    async def test_the_rest_of_one_that_was_never_finished_is_replaced(self) -> None:
        (self.directory / "bin").mkdir(parents=True)
        (self.directory / "bin" / "python").write_text("half of it")
        assert interpreter(self.directory) is None
        environment = await self.make()
        assert interpreter(self.directory) == environment.python
        assert await self.said(environment.python, "print(1)") == "1"

    async def test_it_moves_with_its_release(self) -> None:
        make_wheel(self.wheels, "dmgtesta", "1.5")
        await self.make("dmgtesta")
        release = self.directory.parent.rename(self.root / "elsewhere")
        python = interpreter(release / "environment")
        assert python is not None
        assert python.is_relative_to(release)
        program = "import domogik.plugin, dmgtesta; print(dmgtesta.__file__)"
        assert Path(await self.said(python, program)).is_relative_to(release)

    async def test_one_that_is_given_up_half_way_leaves_nothing(self) -> None:
        work = defer.Deferred.fromCoroutine(self.make())
        work.addErrback(lambda failure: failure.trap(defer.CancelledError))
        reactor.callLater(0, work.cancel)
        await work
        assert not self.directory.exists()

    async def test_a_place_that_cannot_be_written_is_a_sentence(self) -> None:
        self.directory.parent.rmdir()
        self.directory.parent.write_text("a file")
        with pytest.raises(EnvironmentFailed, match="environment"):
            await self.make()


class RealDependencies(TestCase):
    timeout = 300

    async def test_what_the_wheels_offer_is_the_candidate(self) -> None:
        wheels = Path(self.mktemp()).absolute()
        for release in ("1.0", "1.9", "1.10", "2.0", "2.1b1"):
            make_wheel(wheels, "dmgtesta", release)
        environment = PythonEnvironment(Path(sys.executable), partial(run, reactor))
        checker = DependencyChecker(
            partial(run, reactor), deferToThread, lambda name: None, lambda wanted: None
        )
        asked = ["dmgtesta (>=1.0, <2)", "dmgtesta", "dmgtesta (>=3)", "psutil (>=5)", "a b"]
        states = await checker.check(
            [Dependency("python", text) for text in asked],
            environment,
            wheels=wheels,
            offline=True,
        )
        assert [state.candidate for state in states] == ["1.10", "2.0", "", "", ""]
        assert [state.installed for state in states] == [False, False, False, True, False]
        assert [bool(state.error) for state in states] == [False, False, True, False, True]

    async def test_the_command_line_installs_it(self) -> None:
        root = Path(self.mktemp()).absolute()
        make_wheel(root / "wheels", "dmgtesta", "1.2")
        maker = EnvironmentMaker(partial(run, reactor), deferToThread)
        environment = await maker.make(root / "environment", [])
        line = environment.command_line(parse_requirement("dmgtesta"), "1.2")
        argv = ["sh", "-c", f"{line} --no-index --find-links {root / 'wheels'}"]
        done = await run(reactor, argv, timeout=120, limit_bytes=65536)
        assert done.succeeded, done.output
        assert await environment.installed(["dmgtesta"]) == {"dmgtesta": "1.2"}

    async def test_a_command_of_this_machine_is_found(self) -> None:
        checker = DependencyChecker(
            partial(run, reactor), deferToThread, lambda name: None, lambda wanted: None
        )
        asked = [Dependency("other", "sh"), Dependency("other", "dmg-no-such-command")]
        environment = PythonEnvironment.own(partial(run, reactor))
        there, missing = await checker.check(asked, environment)
        assert there.installed
        assert missing.error == (
            "No candidate to dependency 'dmg-no-such-command' installation found"
        )
