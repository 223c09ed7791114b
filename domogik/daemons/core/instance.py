"""How an instance of a server is configured: its directory, its parameters, its port, its user."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs

from domogik.daemons.core.directory import PARAMETERS, WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters, UnknownUser
from domogik.daemons.core.parameters import Option, Parameters, address
from domogik.daemons.core.server import Server
from domogik.daemons.core.standalone import Keeper, end_marked
from domogik.daemons.core.users import Account
from domogik.supervisor.interfaces import User
from domogik.supervisor.ports.reservation import Reservation

#: stands for a port that is not chosen yet
_ANY_PORT = 1


#: type of a default -> the types that are taken in its place, and what they are called
_TYPES: Mapping[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    str: ((str, int), "text"),
    Path: ((str,), "the path of a program, as text"),
}


@attrs.define(eq=False)
class Instance(Server):
    """A server that can be configured."""

    _reservation: Reservation | None = attrs.field(init=False, default=None)
    _keeper: Keeper | None = attrs.field(init=False, default=None)

    async def _configure(
        self,
        path: Path,
        password: str | None,
        *,
        port: int | None,
        bind_host: str,
        run_as: str | None,
        **given: Option,
    ) -> str:
        options = {**self.defaults, **given}
        self._check_options(options)
        if password is not None and not self.takes_password:
            raise InvalidParameters(f"{self.title} has no password: leave it out")
        wanted = Parameters(
            self.kind, _ANY_PORT if port is None else port, address(bind_host), password, run_as
        )
        run_as = run_as or self._chosen_user(path)
        directory = WorkingDirectory(path, self.kind, self._user(run_as))
        await self.tools.in_thread(partial(directory.claim, beside=self.needed_names))
        with directory.lock():
            known = self._known(directory)
            parameters = attrs.evolve(
                wanted,
                port=self._reserve(wanted.host, port, known),
                run_as=run_as,
                is_initialised=known is not None and known.is_initialised,
                options=options,
            )
            await self._settle(directory, self.completed(parameters, known), known)
        return self.configured_sentence

    def _chosen_user(self, path: Path) -> str | None:
        """Return the usual user, or the one whom an instance in `path` has by now."""
        user = self.usual_user()
        if user is None:
            return None
        with contextlib.suppress(InvalidParameters):
            user = Parameters.load(WorkingDirectory(path, self.kind)).run_as or user
        self._log.info("{title} refuses root: it runs as {user}", title=self.title, user=user)
        return user

    @classmethod
    def usual_user(cls) -> str | None:
        """Return the user of a server that refuses root, if we are root and no user is given.

        That is its own user, such as `postgres`, or `nobody`; None elsewhere.
        """
        if os.geteuid() != 0 or not cls.refuses_root:
            return None
        for name in (cls.kind, "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name).pw_name
        return None

    async def _settle(
        self, directory: WorkingDirectory, parameters: Parameters, known: Parameters | None
    ) -> None:
        before = self._parameters, self._directory
        self._take(directory, parameters)
        try:
            await self.find_programs()
            if known is not None and known.is_initialised:
                await self.reconfigured(known)
            else:
                if known is not None:
                    await end_marked(self.reactor, directory.id)
                    await self.end_orphans()
                await self.tools.in_thread(self._remove_data)
                await self.tools.in_thread(parameters.save, directory)
                await self.tools.in_thread(self._check_place)
                await self.initialise()
            self._parameters = attrs.evolve(parameters, is_initialised=True)
            await self.tools.in_thread(self._parameters.save, directory)
        except BaseException:
            self._parameters, self._directory = before
            raise

    def _check_options(self, options: Mapping[str, Option]) -> None:
        unknown = sorted(options.keys() - self.defaults.keys())
        if unknown:
            raise InvalidParameters(f"{self.title} has no option {', '.join(unknown)}")
        for name, value in options.items():
            if value == self.defaults[name] and type(value) is type(self.defaults[name]):
                continue
            kind = Path if name == "binary" else type(self.defaults[name])
            types, words = _TYPES.get(kind, ((type(value),), ""))  # the kind looks at others
            if type(value) not in types:
                raise InvalidParameters(f"{name} is {words}, not {value!r}")

    def _user(self, run_as: str | None) -> User | None:
        if run_as is not None:
            account = Account.named(run_as)
            if account.user.uid == os.geteuid():
                return None
            if os.geteuid() != 0:
                raise UnknownUser(f"only root may run it as {run_as}")
            return account.user
        if self.refuses_root and os.geteuid() == 0:
            raise UnknownUser("it refuses to run as root: name an ordinary user in run_as")
        return None

    def _known(self, directory: WorkingDirectory) -> Parameters | None:
        """What was configured before; None where nothing was.

        Parameters are written before data: data without them belong to another program, and are
        not the rest of a `configure` that was killed.
        """
        if (directory / PARAMETERS).exists():
            return Parameters.load(directory)
        for name in self.data_names:
            if (directory / name).exists():
                raise InvalidParameters(
                    f"{directory / PARAMETERS} is missing, but there are data in "
                    f"{directory / name}: put it back, or move them away"
                )
        return None

    def _reserve(self, host: str, port: int | None, known: Parameters | None) -> int:
        if known is not None and port in (None, known.port) and known.is_initialised:
            return known.port
        if self._reservation is not None:
            if port in (None, self._reservation.port):
                return self._reservation.port
            self._reservation.release()
            self._reservation = None
        self._reservation = self.tools.ports.reserve(host, port)
        return self._reservation.port

    def _take(self, directory: WorkingDirectory, parameters: Parameters) -> None:
        lives = self._directory
        if self._keeper is not None and lives is not None and lives.path != directory.path:
            raise self.error(f"this {self.title} lives in {lives.path} already")
        user = directory.user or self._user(parameters.run_as)
        self._directory = attrs.evolve(directory, user=user)
        self._parameters = parameters

    def _check_place(self) -> None:
        run_as = self.parameters.run_as
        if self.user is not None and run_as is not None:
            Account.named(run_as).check_may_enter(self.directory.path)

    def _remove_data(self) -> None:
        for name in self.data_names:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.directory / name)

    def is_configured_as(
        self,
        port: int | None,
        bind_host: str,
        password: str | None,
        run_as: str | None,
        options: Mapping[str, Option],
    ) -> bool:
        """Whether `configure` with these would change nothing."""
        now = self._parameters
        if now is None or not now.is_initialised:
            return False
        wanted = attrs.evolve(
            now,
            port=now.port if port is None else port,
            host=address(bind_host),
            password=password,
            run_as=run_as or (now.run_as if self.refuses_root else None),
            options={**self.defaults, **options},
        )
        with contextlib.suppress(InvalidParameters):
            return self.completed(wanted, now) == now
        return False
