"""Dependencies: whether they are installed, which release is available, and the command for it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from domogik.errors import DomogikError
from domogik.packages.commands import OUTPUT_BYTES
from domogik.packages.descriptor.package import Dependency
from domogik.packages.descriptor.requirements import (
    OTHER,
    PLUGIN,
    PYTHON,
    BadRequirement,
    Requirement,
    parse_requirement,
)
from domogik.packages.needs.environment import (
    EnvironmentFailed,
    IndexUnreachable,
    PythonEnvironment,
)
from domogik.supervisor.processes.command import RunCommand
from domogik.threads import Threads

#: pip is asked this often at a time: each is a process of 50 MB
_AT_A_TIME = 2
_DPKG_SECONDS = 10.0
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*")
#: a Debian package's name (Debian policy 5.6.1), which is no option of a command either
_DEBIAN = re.compile(r"[a-z0-9][a-z0-9.+-]+")


@attrs.frozen
class DependencyState:
    """The state of one dependency, as `check-dependencies` answers it; unknown texts are empty.

    `installed` says whether a suitable release is installed, `release` which one is, suitable or
    not. `candidate` is the release to install, `cmd_line` the command for it. `offer` is the newest
    suitable release of a plugin in the repositories, installed or not. `error` is one of the three
    texts of Domogik's messages, `reason` its cause.
    """

    kind: str
    dependency: str
    installed: bool = False
    release: str = ""
    candidate: str = ""
    cmd_line: str = ""
    error: str = ""
    reason: str = ""
    offer: str = ""


def first_error(states: Sequence[DependencyState]) -> str:
    """Return the error of the whole answer: that of the first dependency with one."""
    return next((state.error for state in states if state.error), "")


@attrs.define(eq=False)
class DependencyChecker:
    """Checks dependencies on this host.

    `installed_plugin` returns the release of an installed plugin, or None; `offered_plugin` the
    newest suitable one in the repositories, or None.
    """

    _run: RunCommand
    _in_thread: Threads
    _installed_plugin: Callable[[str], str | None]
    _offered_plugin: Callable[[Requirement], str | None]

    async def check(
        self,
        dependencies: Sequence[Dependency],
        environment: PythonEnvironment,
        *,
        wheels: Path | None = None,
        offline: bool = False,
    ) -> tuple[DependencyState, ...]:
        """Return the state of every dependency, in their order.

        `environment` is the one of the plugin. It takes at most about 30 s for every two missing
        Python projects.
        """
        parsed = [_parse(dependency) for dependency in dependencies]
        found, problem = await self._python_releases(parsed, environment)
        turns = DeferredSemaphore(_AT_A_TIME)

        async def one(requirement: Requirement | DependencyState) -> DependencyState:
            if isinstance(requirement, DependencyState):
                return requirement
            if requirement.kind == PLUGIN:
                return self._plugin(requirement)
            if requirement.kind == OTHER:
                return await self._other(requirement)
            release = found.get(requirement.name, "")
            if not requirement.applies or (release and requirement.fits(release)):
                return DependencyState(PYTHON, requirement.text, installed=True, release=release)
            return await turns.run(
                lambda: Deferred.fromCoroutine(
                    _python(
                        requirement,
                        release,
                        problem,
                        environment=environment,
                        wheels=wheels,
                        offline=offline,
                    )
                )
            )

        work = [Deferred.fromCoroutine(one(requirement)) for requirement in parsed]
        return tuple(await gatherResults(work, consumeErrors=True))

    async def _python_releases(
        self, parsed: Sequence[Requirement | DependencyState], environment: PythonEnvironment
    ) -> tuple[dict[str, str], str]:
        names = [one.name for one in parsed if isinstance(one, Requirement) and one.kind == PYTHON]
        if not names:
            return {}, ""
        try:
            return await environment.installed(names), ""
        except EnvironmentFailed as error:
            return {}, str(error)

    def _plugin(self, requirement: Requirement) -> DependencyState:
        release = self._installed_plugin(requirement.name) or ""
        offer = self._offered_plugin(requirement) or ""
        if release and requirement.fits(release):
            return DependencyState(
                PLUGIN, requirement.text, installed=True, release=release, offer=offer
            )
        state = _missing(requirement, release, offer)
        if not offer:
            return state
        command = f"dmg_pkgmgr install {requirement.name} {offer}"
        return attrs.evolve(state, cmd_line=command, offer=offer)

    async def _other(self, requirement: Requirement) -> DependencyState:
        """Return the state of a command on the search path, or a Debian package."""
        name = requirement.name
        command = await self._in_thread(shutil.which, name)
        release, candidate = "", ""
        if _DEBIAN.fullmatch(name):
            query = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}\\n", name]
            installed = await self._output_of(query)
            if installed.startswith("ii "):
                release = _upstream(installed[3:])
        fits = requirement.fits(release) if release else not str(requirement.specifier)
        if (release or command) and fits:
            return DependencyState(OTHER, requirement.text, installed=True, release=release)
        if _DEBIAN.fullmatch(name):
            candidate = _candidate(await self._output_of(["apt-cache", "policy", name]))
        if not candidate or not requirement.fits(_upstream(candidate)):
            is_unknown = bool(command) and not release
            reason = f"its command {command} does not tell its version" if is_unknown else ""
            return attrs.evolve(_missing(requirement, release, ""), reason=reason)
        return DependencyState(
            OTHER,
            requirement.text,
            release=release,
            candidate=_upstream(candidate),
            cmd_line=f"sudo apt-get install {name}",
        )

    async def _output_of(self, argv: Sequence[str]) -> str:
        """Return the output of a Debian command; empty if it does not exist."""
        if await self._in_thread(shutil.which, argv[0]) is None:
            return ""
        try:
            outcome = await self._run(
                argv,
                timeout=_DPKG_SECONDS,
                limit_bytes=OUTPUT_BYTES,
                environment={**os.environ, "LC_ALL": "C"},
            )
        except DomogikError:
            return ""
        return outcome.output.decode(errors="replace").strip() if outcome.succeeded else ""


def _parse(dependency: Dependency) -> Requirement | DependencyState:
    kind = dependency.type if dependency.type in (PLUGIN, OTHER) else PYTHON
    try:
        return parse_requirement(dependency.id, kind)
    except BadRequirement as error:
        return DependencyState(kind, dependency.id, error=str(error))


async def _python(
    requirement: Requirement,
    release: str,
    problem: str,
    *,
    environment: PythonEnvironment,
    wheels: Path | None,
    offline: bool,
) -> DependencyState:
    if problem:
        return attrs.evolve(_missing(requirement, "", ""), reason=problem)
    try:
        candidate, reason = await environment.candidate(requirement, wheels=wheels, offline=offline)
    except IndexUnreachable as error:
        return attrs.evolve(_missing(requirement, release, ""), error=str(error))
    except EnvironmentFailed as error:
        candidate, reason = "", str(error)
    state = _missing(requirement, release, candidate)
    if not candidate:
        return attrs.evolve(state, reason=reason)
    return attrs.evolve(state, cmd_line=environment.command_line(requirement, candidate))


def _missing(requirement: Requirement, release: str, candidate: str) -> DependencyState:
    error = (
        "" if candidate else f"No candidate to dependency '{requirement.name}' installation found"
    )
    return DependencyState(
        requirement.kind, requirement.text, release=release, candidate=candidate, error=error
    )


def _candidate(policy: str) -> str:
    """Return the release that `apt-cache policy` would install."""
    for line in policy.splitlines():
        head, _, rest = line.partition(":")
        if head.strip() == "Candidate" and rest.strip() != "(none)":
            return rest.strip()
    return ""


def _upstream(version: str) -> str:
    """Return the upstream part of a Debian version: `1:2.8.4-1+b2` is 2.8.4."""
    _, _, without_epoch = version.strip().rpartition(":")
    numbers = _NUMBERS.match(without_epoch)
    return numbers[0] if numbers else without_epoch
