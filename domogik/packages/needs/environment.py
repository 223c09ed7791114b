"""Python environments: what is installed and available, and new ones for plugins.

The environment of a plugin is in the directory of its release. It is created without pip (the
manager's pip installs into it, which saves seconds and 15 MB for each plugin), and a `.pth` file
appends the manager's packages: it always finds `domogik.plugin`, and its own versions of everything
else win. (With `--system-site-packages`, an environment created from a virtual environment would
not find the manager's packages.) It may be moved with its release, except for commands that pip put
into its `bin`.
"""

from __future__ import annotations

import json
import shlex
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
from packaging.version import InvalidVersion, Version
from twisted.logger import Logger

import domogik
from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError
from domogik.packages.commands import OUTPUT_BYTES, last_line
from domogik.packages.descriptor.requirements import Requirement
from domogik.supervisor.processes.command import Completed, RunCommand
from domogik.threads import Threads

#: where a release has its environment
ENVIRONMENT = "environment"
#: written last: without it an environment is the rest of one that was never finished
_MARKER = "domogik.json"
_MARKER_BYTES = 65536
_QUERY_SECONDS = 20.0
_INDEX_SECONDS = 25.0
_MAKE_SECONDS = 120.0
#: a wheel may have to be compiled on a small computer
_INSTALL_SECONDS = 1800.0
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color")
#: what pip says, some lines before it says that there is no such release
_UNREACHABLE_TEXTS = (b"connection broken by", b"Could not fetch URL", b"Max retries exceeded")
_RETRY_OPTIONS = ("--retries", "1", "--timeout", "10")

_INSTALLED = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        pass
print(json.dumps(found))
"""


class EnvironmentFailed(DomogikError):
    """A Python environment could not be examined or created; `str()` says why."""


class IndexUnreachable(EnvironmentFailed):
    """The package index did not answer."""


@attrs.define(eq=False)
class PythonEnvironment:
    """An interpreter and its packages: the manager's, or a plugin's."""

    python: Path
    _run: RunCommand

    @classmethod
    def own(cls, run: RunCommand) -> PythonEnvironment:
        """Return the manager's, which plugins without an environment use too."""
        return cls(Path(sys.executable), run)

    async def installed(self, names: Iterable[str]) -> dict[str, str]:
        """Return the installed releases of those projects; raises `EnvironmentFailed`."""
        argv = [str(self.python), "-P", "-c", _INSTALLED, *names]
        outcome = await _command(self._run, argv, _QUERY_SECONDS)
        if not outcome.succeeded:
            raise EnvironmentFailed(f"{self.python} cannot be asked: {last_line(outcome)}")
        try:
            found = json.loads(last_line(outcome))
            return {str(name): str(release) for name, release in found.items() if release}
        except (ValueError, AttributeError) as error:
            raise EnvironmentFailed(f"{self.python} answered nonsense") from error

    async def candidate(
        self, requirement: Requirement, *, wheels: Path | None = None, offline: bool = False
    ) -> tuple[str, str]:
        """Return the newest suitable release that pip would find, or '' with the reason.

        It queries the index of this host's pip configuration, and `wheels`; only the latter when
        `offline`. Raises `IndexUnreachable`.
        """
        before = ("--pre",) if requirement.specifier.prereleases else ()
        argv = [
            *self._pip("index", "versions", *before, *_RETRY_OPTIONS),
            *_source_options(wheels, offline),
            requirement.name,
        ]
        outcome = await _command(self._run, argv, _INDEX_SECONDS)
        if not outcome.succeeded:
            if outcome.timed_out or any(word in outcome.output for word in _UNREACHABLE_TEXTS):
                raise IndexUnreachable("The index of Python packages cannot be reached")
            return "", last_line(outcome)
        versions = list(requirement.specifier.filter(_available(outcome), prereleases=None))
        if not versions:
            return "", "no release that is offered fits"
        return str(max(versions)), ""

    async def install(
        self, requirements: Sequence[Requirement], *, wheels: Path | None, offline: bool
    ) -> None:
        """Install what is missing, the package's own wheels first; raises `EnvironmentFailed`."""
        wanted = [requirement.for_pip for requirement in requirements if requirement.applies]
        if not wanted:
            return
        # The wheels alone at first: pip would prefer a newer release of the index to them.
        tries = ([True] if wheels is not None or offline else []) + ([] if offline else [False])
        outcome = None
        for only_wheels in tries:
            argv = [
                *self._pip("install", *_RETRY_OPTIONS),
                *_source_options(wheels, only_wheels),
                *wanted,
            ]
            outcome = await _command(self._run, argv, _INSTALL_SECONDS)
            if outcome.succeeded:
                return
        assert outcome is not None
        raise EnvironmentFailed(f"{', '.join(wanted)} cannot be installed: {last_line(outcome)}")

    def command_line(self, requirement: Requirement, candidate: str) -> str:
        """Return the command that installs it here."""
        options = ("--break-system-packages",) if self._is_externally_managed else ()
        wanted = f"{requirement.name}=={candidate}"
        if not self._is_managers:
            argv = [sys.executable, "-m", "pip", "--python", str(self.python), "install", wanted]
        else:
            argv = [str(self.python), "-m", "pip", "install", *options, wanted]
        return shlex.join(argv)

    def _pip(self, *arguments: str) -> list[str]:
        target = () if self._is_managers else ("--python", str(self.python))
        return [sys.executable, *_PIP, *target, *arguments]

    @property
    def _is_managers(self) -> bool:
        return self.python == Path(sys.executable)

    @property
    def _is_externally_managed(self) -> bool:
        """Whether pip refuses to install there without an option (PEP 668)."""
        marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
        return self._is_managers and sys.prefix == sys.base_prefix and marker.exists()


@attrs.define(eq=False)
class EnvironmentMaker:
    """Creates and removes environments of plugins."""

    _run: RunCommand
    _in_thread: Threads
    _log: Logger = attrs.field(init=False, factory=Logger)

    async def make(
        self,
        directory: Path,
        requirements: Sequence[Requirement],
        *,
        wheels: Path | None = None,
        offline: bool = False,
    ) -> PythonEnvironment:
        """Create an environment at `directory` with the requirements installed, or nothing.

        An existing one is removed first. Raises `EnvironmentFailed`; after an error or when
        cancelled, what was created is removed.
        """
        try:
            await self._in_thread(_clear, directory)
            return await self._make(directory, requirements, wheels, offline)
        except OSError as error:
            await self.remove(directory)
            raise EnvironmentFailed(
                f"{directory} cannot be written: {error.strerror or error}"
            ) from error
        except Exception:
            await self.remove(directory)
            raise

    async def remove(self, directory: Path) -> None:
        """Remove an environment, complete or not."""
        try:
            await self._in_thread(_clear, directory)
        except OSError as error:
            # without its marker it does not count as an environment
            self._log.warn(
                "{directory} cannot be removed: {reason}",
                directory=directory,
                reason=error.strerror or error,
            )

    async def _make(
        self,
        directory: Path,
        requirements: Sequence[Requirement],
        wheels: Path | None,
        offline: bool,
    ) -> PythonEnvironment:
        argv = [sys.executable, "-I", "-m", "venv", "--without-pip", str(directory)]
        outcome = await _command(self._run, argv, _MAKE_SECONDS)
        if not outcome.succeeded:
            raise EnvironmentFailed(f"{directory} cannot be made: {last_line(outcome)}")
        await self._in_thread(_append_manager_packages, directory)
        environment = PythonEnvironment(_python(directory), self._run)
        await environment.install(requirements, wheels=wheels, offline=offline)
        argv = [str(environment.python), "-P", "-c", "import domogik.plugin"]
        outcome = await _command(self._run, argv, _QUERY_SECONDS)
        if not outcome.succeeded:
            raise EnvironmentFailed(
                f"the manager's domogik.plugin does not run with what is installed in {directory}: "
                f"{last_line(outcome)}"
            )
        wanted = [requirement.for_pip for requirement in requirements]
        await self._in_thread(_finish, directory, wanted)
        return environment


def interpreter(directory: Path) -> Path | None:
    """Return the interpreter of a complete environment, or None. Reads a small file."""
    try:
        json.loads(read_bounded(directory / _MARKER, _MARKER_BYTES))
    except (OSError, ValueError):
        return None
    return _python(directory)


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


def _clear(directory: Path) -> None:
    # the marker first, so that an interrupted removal leaves nothing that counts
    if directory.is_dir() and not directory.is_symlink():
        (directory / _MARKER).unlink(missing_ok=True)
        shutil.rmtree(directory)
    else:
        directory.unlink(missing_ok=True)


def _append_manager_packages(directory: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = directory / "lib" / version / "site-packages"
    lines = "".join(f"{path}\n" for path in _manager_paths())
    write_atomically(own / "domogik.pth", lines.encode(), durable=False)


def _manager_paths() -> list[str]:
    paths = [str(Path(domogik.__file__).resolve().parent.parent), *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        paths.append(site.getusersitepackages())
    return [path for path in dict.fromkeys(paths) if Path(path).is_dir()]


def _finish(directory: Path, wanted: Sequence[str]) -> None:
    content = json.dumps({"requirements": list(wanted)}).encode()
    write_atomically(directory / _MARKER, content)


def _source_options(wheels: Path | None, only_wheels: bool) -> list[str]:
    links = ["--find-links", str(wheels)] if wheels is not None else []
    return [*(["--no-index"] if only_wheels else []), *links]


def _available(outcome: Completed) -> list[Version]:
    """Return the versions in the output of `pip index versions`."""
    for line in outcome.output.decode(errors="replace").splitlines():
        head, _, rest = line.partition(":")
        if head.strip() == "Available versions":
            return [version for text in rest.split(",") if (version := _version(text))]
    return []


def _version(text: str) -> Version | None:
    try:
        return Version(text.strip())
    except InvalidVersion:
        return None


async def _command(run: RunCommand, argv: Sequence[str], seconds: float) -> Completed:
    try:
        return await run(argv, timeout=seconds, limit_bytes=OUTPUT_BYTES)
    except DomogikError as error:
        raise EnvironmentFailed(f"{argv[0]} cannot be run: {error}") from error
