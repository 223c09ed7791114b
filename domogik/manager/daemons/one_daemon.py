"""One managed daemon of this host: its section and its directory."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.probing import Watch
from domogik.daemons.settings import DaemonSettings
from domogik.errors import DomogikError, OperationFailed
from domogik.supervisor.interfaces import Specification, Status

_PASSWORD_BYTES = 24


@attrs.define(eq=False)
class DeclaredDaemon:
    """`in_work` says what is being done to its data; `is_leaving` that its section is gone.

    `directory` is where it lives, or will live.
    """

    _log = Logger()

    settings: DaemonSettings
    daemon: ManagedDaemon
    watch: Watch
    specification: Specification
    directory: Path
    in_work: str = ""
    is_leaving: bool = False
    _noted: int | None = None

    @property
    def id(self) -> str:
        """`daemon:<name>`."""
        return self.specification.id

    @property
    def is_known(self) -> bool:
        """Whether it was ever configured, so that it has an address and may have data."""
        return self.daemon.port is not None

    @property
    def description(self) -> str:
        """What it is and where it listens, in one sentence."""
        port = self.daemon.port or self.settings.port
        return f"{self.daemon.title} on {self.settings.bind}" + (f" port {port}" if port else "")

    def values(self) -> tuple[tuple[str, str], ...]:
        """Its configuration, without secrets."""
        settings = self.settings
        values = {
            "kind": settings.kind,
            "port": self.daemon.port or settings.port or "",
            "bind": settings.bind,
            "password": "set" if self._password else "none",
            "run_as": settings.run_as or "",
            "keep_running": "yes" if settings.keep_running else "no",
            "directory": self.directory,
            **settings.options,
        }
        return tuple((key, str(value)) for key, value in values.items())

    @property
    def _password(self) -> str | None:
        """The password of its section, else the one that was generated."""
        if self.settings.password is not None or not self.daemon.has_password:
            return self.settings.password
        return self.daemon.parameters.password

    @property
    def is_current(self) -> bool:
        """Whether it was configured with the current content of its section."""
        settings, password = self.settings, self._password
        if settings.has_password and password is None:
            return False
        return self.daemon.is_configured_as(
            settings.port, settings.bind, password, settings.run_as, settings.options
        )

    async def configure(self) -> None:
        """Configure it from its section; raises `ManagedDaemonError`."""
        if self.is_current:
            return
        settings = self.settings
        password = self._password or secrets.token_urlsafe(_PASSWORD_BYTES)
        options: dict[str, Any] = dict(settings.options)
        await self.daemon.configure(
            self.directory,
            port=settings.port,
            bind_host=settings.bind,
            password=password if settings.has_password else None,
            run_as=settings.run_as,
            **options,
        )

    def refuse_to_move(self) -> None:
        """Raises `OperationFailed` where its section says what only another process can do."""
        settings, now = self.settings, self.daemon.parameters
        changed = [
            key
            for key, is_other in (
                ("port", settings.port not in (None, now.port)),
                ("bind", settings.bind != now.host),
                ("run_as", settings.run_as != now.run_as),
            )
            if is_other
        ]
        if changed:
            raise OperationFailed(
                f"{self.id} takes over another {' and '.join(changed)} when it is restarted"
            )

    def note(self, status: Status) -> None:
        """Keep the record in its directory up to date; what cannot be written is logged."""
        if status.pid == self._noted or not self.is_known:
            return
        self._noted = status.pid
        try:
            self.daemon.note(status.pid, status.run_id, status.since)
        except (DomogikError, OSError) as error:
            self._log.error(
                "{id} will not be found by its directory: {error}", id=self.id, error=str(error)
            )

    def failed(self, error: ManagedDaemonError) -> OperationFailed:
        """Return the error in one line; the log has the daemon's whole output."""
        password = self._password

        def masked(text: str) -> str:
            return text.replace(password, "***") if password else text

        self._log.error("{id}: {error}", id=self.id, error=masked(str(error)))
        said = masked(error.line)
        return OperationFailed(said, masked(str(error)), plain=said)
