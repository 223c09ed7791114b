"""Apache: with a configuration of its own, down to the list of its modules."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
from twisted.internet.defer import Deferred

from domogik.daemons.core.arguments import LOOPBACK, Callback, ErrorCallback
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import InvalidParameters, ManagedDaemonError
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.standalone import LOG, tail
from domogik.daemons.web.media import MEDIA_TYPES, media_types
from domogik.daemons.web.server import (
    ACCESS_LOG,
    GRACE,
    TEMPORARY,
    WebDaemon,
    bracketed,
    whole_number,
)
from domogik.supervisor.interfaces import Policy

#: what is read beside `service.conf`: each `*.conf` in it
CONFIGURATIONS = "configuration"
_MODULES = tuple(
    map(
        Path,
        (
            "/usr/lib/apache2/modules",
            "/usr/lib64/httpd/modules",
            "/usr/lib/httpd/modules",
            "/usr/libexec/apache2",
        ),
    )
)
_MPMS = ("event", "worker", "prefork")
#: loaded where they are modules; elsewhere they are a part of the program
_USUAL = ("unixd", "authz_core", "dir", "mime", "log_config")
_THREADS = 25
_LARGEST_ERROR_LOG = 64 * 1024
_MODULE = re.compile(r"[a-z0-9_]+")
#: a wildcard, a variable, or the end of a line: there is no quoting for any of them
_UNSPEAKABLE = re.compile(r"[*?\[\]\x00-\x1f]|\$\{")


class ApacheDaemonError(ManagedDaemonError):
    """Apache was not configured, started, reloaded, ..."""


@attrs.define(eq=False)
class ApacheDaemon(WebDaemon):
    """An Apache httpd 2.4. It does not run as root: who is root names a user in `run_as`."""

    kind: ClassVar[str] = "apache"
    title: ClassVar[str] = "Apache"
    error: ClassVar[type[ManagedDaemonError]] = ApacheDaemonError
    pid_file: ClassVar[str] = "apache.pid"
    refuses_root: ClassVar[bool] = True
    policy: ClassVar[Policy] = Policy(
        start_timeout=30,
        stop_timeout=GRACE + 5,
        stop_signal="WINCH",
        last_signal="TERM",
        leader_first=True,
    )
    defaults: ClassVar[Mapping[str, Option]] = {
        **WebDaemon.defaults,
        "mpm": "event",
        "modules": [],
        "modules_directory": None,
        "workers": 100,
    }

    def configure(  # type: ignore[override]  # as the original has it
        self,
        working_dir: str | os.PathLike[str],
        port: int | None = None,
        callback: Callback | str | None = None,
        error_callback: ErrorCallback | None = None,
        *,
        bind_host: str = LOOPBACK,
        password: str | None = None,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """See `IManagedDaemon`; a text in the place of `callback` is the address."""
        if isinstance(callback, str):
            bind_host, callback = callback, None
        given = {"port": port, "bind_host": bind_host, "run_as": run_as, **options}
        return self._configured(working_dir, callback, error_callback, password, given)

    @property
    def configured_sentence(self) -> str:
        """What the original said."""
        return "Configured Apache."

    def graceful(  # the original's name
        self, callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """As `reload`: requests that are under way are finished."""
        return self._told(
            lambda: self.reload().addCallback(lambda _: "Successfully gracefulled."),
            callback,
            error_callback,
        )

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """What Apache cannot be told is refused before anything is made of it."""
        options = super().completed(wanted, known).options
        if options.get("mpm") not in _MPMS:
            raise InvalidParameters(f"mpm: {options.get('mpm')!r} is none of {', '.join(_MPMS)}")
        modules = options.get("modules")
        if not isinstance(modules, list) or not all(_MODULE.fullmatch(str(one)) for one in modules):
            raise InvalidParameters(f"modules: {modules!r} are not names such as rewrite")
        whole_number(options, "workers", 1, 20_000)
        return wanted

    async def initialise(self) -> None:
        """A place for more configuration, beside those of every web server."""
        self.directory.subdirectory(CONFIGURATIONS)
        await super().initialise()

    def get_config_dir(self) -> Path:
        """Where files named `*.conf` are read too, in the order of their names."""
        return self.directory / CONFIGURATIONS

    def get_error_log(self, limit_bytes: int = _LARGEST_ERROR_LOG) -> str:
        """The end of what it said. (Of one that a manager runs, that manager has the log.)"""
        return tail(self.directory / LOG / f"{self.kind}.log", limit_bytes)

    def configuration(self) -> Mapping[str, str]:
        """`service.conf`, and the media types."""
        types = "".join(f"{type} {' '.join(ends)}\n" for type, ends in media_types().items())
        return {CONFIGURATION: "".join(f"{line}\n" for line in self._lines()), MEDIA_TYPES: types}

    def _lines(self) -> list[str]:
        parameters, path = self.parameters, self.directory.path
        temporary = path / TEMPORARY
        return [
            f"ServerRoot {quoted(path)}",
            f"DefaultRuntimeDir {quoted(temporary)}",
            f"PidFile {quoted(self.get_pid_path())}",
            "ServerName localhost",
            f"Listen {bracketed(parameters.host)}:{parameters.port}",
            *self._module_lines(),
            f'Mutex "file:{quoted(temporary)[1:]} default',
            # Standard error may be another user's: by its name Apache could not open it again.
            f"ErrorLog {quoted(f'|{self._cat()}')}",
            "LogLevel warn",
            *self._process_lines(),
            f"GracefulShutdownTimeout {GRACE}",
            f"DocumentRoot {quoted(self.root)}",
            "<IfModule dir_module>",
            "    DirectoryIndex index.html",
            "</IfModule>",
            f"TypesConfig {quoted(path / MEDIA_TYPES)}",
            *self._access_log_lines(),
            f'IncludeOptional {quoted(self.get_config_dir())[:-1]}/*.conf"',
        ]

    def _module_lines(self) -> list[str]:
        directory = self._modules_directory()
        mpm = f"mpm_{self.option('mpm')}"
        lines = []
        for name in dict.fromkeys((mpm, *_USUAL, *self.option("modules"))):
            file = directory / f"mod_{name}.so"
            if file.exists():
                lines.append(f"LoadModule {name}_module {quoted(file)}")
            elif name in self.option("modules"):
                raise self.error(f"Apache has no module {name} in {directory}")
        return lines

    def _modules_directory(self) -> Path:
        given = self.option("modules_directory")
        for directory in (Path(given),) if given else _MODULES:
            if (directory / "mod_mime.so").exists():
                return directory
        where = given or ", ".join(map(str, _MODULES))
        raise self.error(
            f"the modules of Apache are not in {where}: name their place in modules_directory"
        )

    def _process_lines(self) -> list[str]:
        most = self.option("workers")
        if self.option("mpm") == "prefork":
            return [
                "StartServers 1",
                f"ServerLimit {most}",
                f"MaxRequestWorkers {most}",
                "MinSpareServers 1",
                "MaxSpareServers 5",
            ]
        threads = min(_THREADS, most)
        servers = -(-most // threads)
        return [
            "StartServers 1",
            # More than may be busy: the old ones of a graceful reload finish beside them.
            f"ServerLimit {servers + 8}",
            f"ThreadsPerChild {threads}",
            f"MaxRequestWorkers {servers * threads}",
            f"MinSpareThreads {min(threads, 5)}",
            f"MaxSpareThreads {2 * threads + 5}",
        ]

    def _access_log_lines(self) -> list[str]:
        if not self.option("access_log"):
            return []
        common = '"%h %l %u %t \\"%r\\" %>s %b"'
        log = quoted(self.directory / ACCESS_LOG)
        return ["<IfModule log_config_module>", f"    CustomLog {log} {common}", "</IfModule>"]

    def _cat(self) -> str:
        found = self.tools.find("cat")
        if found is None:
            raise self.error("Apache needs the program cat for its log, which is missing here")
        return str(found)

    def checker(self, configuration: Path) -> tuple[str, ...]:
        """httpd -t."""
        return (*self._command(configuration), "-t")

    def argv(self) -> tuple[str, ...]:
        """In the foreground, by its configuration."""
        return self._command(self.directory / CONFIGURATION)

    def _command(self, configuration: Path) -> tuple[str, ...]:
        return (self.binary("apache2", "httpd"), "-f", str(configuration), "-DFOREGROUND")

    async def reread(self) -> None:
        """USR1: new workers by the new configuration; the old ones finish what they do."""
        await self.reload_by("USR1")


def quoted(text: object) -> str:
    """`text` as one argument; raises `InvalidParameters` for what Apache would read otherwise."""
    found = _UNSPEAKABLE.search(str(text))
    if found:
        raise InvalidParameters(f"Apache cannot be told {str(text)!r}: {found[0]!r} has no quoting")
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
