"""nginx: with a configuration made from options, or one that is given whole."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred

from domogik.config.files import read_bounded
from domogik.daemons.core.arguments import LOOPBACK, Callback, ErrorCallback
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import InvalidParameters, ManagedDaemonError
from domogik.daemons.core.parameters import Option, Parameters, is_address
from domogik.daemons.nginx.syntax import completed, directives, quoted
from domogik.daemons.web.media import MEDIA_TYPES, media_types
from domogik.daemons.web.server import (
    ACCESS_LOG,
    DOCUMENTS,
    GRACE,
    TEMPORARY,
    WebDaemon,
    bracketed,
    whole_number,
)
from domogik.supervisor.interfaces import Policy

_TEMPORARIES = ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
_TEXTS = ("config_file_string", "config_file", "server", "http")
_LARGEST = 2**20


class NginxDaemonError(ManagedDaemonError):
    """nginx was not configured, started, reloaded, ..."""

    reason = re.compile(r"\[emerg\] \S+ (.+?)(?: in /.*)?$", re.MULTILINE)


@attrs.define(eq=False)
class NginxDaemon(WebDaemon):
    """An nginx. As root without `run_as` its workers are root's too: its directory is private."""

    kind: ClassVar[str] = "nginx"
    title: ClassVar[str] = "nginx"
    error: ClassVar[type[ManagedDaemonError]] = NginxDaemonError
    pid_file: ClassVar[str] = "nginx.pid"
    needed_names: ClassVar[tuple[str, ...]] = ("nginx.pid", MEDIA_TYPES, DOCUMENTS, TEMPORARY)
    policy: ClassVar[Policy] = Policy(
        start_timeout=30,
        stop_timeout=GRACE + 5,
        stop_signal="QUIT",
        last_signal="TERM",
        leader_first=True,
    )
    defaults: ClassVar[Mapping[str, Option]] = {
        **WebDaemon.defaults,
        "config_file_string": None,
        "config_file": None,
        "http": "",
        "server": "",
        "workers": 1,
        "connections": 512,
    }

    def configure(  # type: ignore[override]  # as the original has it
        self,
        working_dir: str | os.PathLike[str],
        port_to_monitor: int | None = None,
        config_file_string: str | None = None,
        callback: Callback | None = None,
        error_callback: ErrorCallback | None = None,
        *,
        port: int | None = None,
        bind_host: str = LOOPBACK,
        password: str | None = None,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """See `IManagedDaemon`; `port_to_monitor` is the port.

        An address in the place of `config_file_string` is `bind_host`.
        """
        if is_address(config_file_string):
            config_file_string, bind_host = None, str(config_file_string)
        given: dict[str, Any] = {"port": port if port_to_monitor is None else port_to_monitor}
        given |= {"bind_host": bind_host, "run_as": run_as}
        given |= {"config_file_string": config_file_string, **options}
        twice = port is not None and given["port"] != port
        problem = "two ports were given: name one with port=" if twice else ""
        return self._configured(
            working_dir, callback, error_callback, password, given, problem=problem
        )

    @property
    def configured_sentence(self) -> str:
        """What the original said."""
        return "Configured."

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """What nginx cannot be told is refused before anything is made of it."""
        options = super().completed(wanted, known).options
        for name in _TEXTS:
            if not isinstance(options.get(name) or "", str):
                raise InvalidParameters(f"{name}: {options[name]!r} is not text")
        whole_number(options, "workers", 1, 1024)
        whole_number(options, "connections", 16, 1_000_000)
        if options.get("config_file_string") and options.get("config_file"):
            raise InvalidParameters("config_file_string and config_file exclude each other")
        _refuse_daemon(options.get("config_file_string"))
        return wanted

    def configuration(self) -> Mapping[str, str]:
        """`service.conf`, and the media types that it includes."""
        given = self._given
        text = self._default() if given is None else completed(given, self._main(), self._http())
        types = "".join(f"    {type} {' '.join(ends)};\n" for type, ends in media_types().items())
        return {CONFIGURATION: text, MEDIA_TYPES: f"types {{\n{types}}}\n"}

    @property
    def _given(self) -> str | None:
        """The whole configuration, if it is not made from options."""
        text: str | None = self.option("config_file_string")
        if (path := self.option("config_file")) is not None:
            text = read_bounded(self.directory / path, _LARGEST).decode("utf-8", "surrogateescape")
            _refuse_daemon(text)
        return text

    def _main(self) -> dict[str, str]:
        """What any configuration needs here; relative paths are relative to the directory."""
        needed = {
            "daemon": "daemon off;",
            "pid": f"pid {self.pid_file};",
            "error_log": "error_log stderr;",
            "worker_shutdown_timeout": f"worker_shutdown_timeout {GRACE}s;",
        }
        if self.user is None and os.geteuid() == 0:
            needed["user"] = "user root;"
        return needed

    def _http(self) -> dict[str, str]:
        log = ACCESS_LOG if self.option("access_log") else "off"
        return {
            "access_log": f"access_log {log};",
            **{f"{one}_temp_path": f"{one}_temp_path {TEMPORARY}/{one};" for one in _TEMPORARIES},
        }

    def _default(self) -> str:
        parameters = self.parameters
        if "$" in str(self.root):
            raise InvalidParameters(f"nginx cannot serve {self.root}: a $ means a variable to it")
        http = "\n".join(f"    {line}" for line in self._http().values())
        main = "\n".join(self._main().values())
        return f"""\
{main}
worker_processes {self.option("workers")};
events {{
    worker_connections {self.option("connections")};
}}
http {{
    include {MEDIA_TYPES};
    types_hash_max_size 4096;
    default_type application/octet-stream;
    server_tokens off;
    sendfile on;
{http}
{self.option("http")}
    server {{
        listen {bracketed(parameters.host)}:{parameters.port};
        root {quoted(str(self.root))};
{self.option("server")}
    }}
}}
"""

    def _command(self, configuration: Path) -> tuple[str, ...]:
        binary = self.binary("nginx")
        return (binary, "-p", str(self.directory.path), "-c", str(configuration), "-e", "stderr")

    def checker(self, configuration: Path) -> tuple[str, ...]:
        """nginx -t; it looks at everything but whether ports are free."""
        return (*self._command(configuration), "-t")

    def argv(self) -> tuple[str, ...]:
        """In the foreground, by its configuration."""
        return self._command(self.directory / CONFIGURATION)

    async def reread(self) -> None:
        """HUP: new workers by the new configuration; the old ones finish what they do."""
        await self.reload_by("HUP")

    def has_refused(self, words: str) -> bool:
        """By its last word at level `emerg`; a port that is taken it tries several times."""
        complaints = [line for line in words.splitlines() if "[emerg]" in line]
        return bool(complaints) and "bind() to" not in complaints[-1]


def _refuse_daemon(text: Option) -> None:
    if not isinstance(text, str):
        return
    for one in directives(text):
        if not one.within and one.name == "daemon" and one.words != ("daemon", "off"):
            raise InvalidParameters("its configuration says `daemon on`: it is watched instead")
