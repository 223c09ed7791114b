"""What an instance was configured with: `service.json`, and the password in a file of its own."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Mapping
from typing import Any

import attrs

from domogik.config.files import read_bounded
from domogik.daemons.core.directory import PARAMETERS, PASSWORD, WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters

FORMAT = 1
_LARGEST = 2**20
_LONGEST_PASSWORD = 1024
Option = str | int | float | bool | None | list[str]
_NAMES = {"localhost": "127.0.0.1", "*": "0.0.0.0"}  # noqa: S104 - only where it was asked for


def address(bind: str) -> str:
    """Return the address that `localhost` and `*` stand for; anything else as it is."""
    found: object = bind
    return _NAMES.get(bind, bind) if isinstance(found, str) else bind


def is_address(value: object) -> bool:
    """Return whether that is where something can listen: an IP address, `localhost` or `*`."""
    try:
        ipaddress.ip_address(address(value) if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _valid_port(_instance: object, _attribute: Any, port: Any) -> None:
    if type(port) is not int or not 1 <= port <= 65535:
        raise InvalidParameters(f"{port!r} is not a port (1 to 65535)")


def _valid_host(_instance: object, _attribute: Any, host: Any) -> None:
    if not is_address(host) or host in _NAMES:
        raise InvalidParameters(f"{host!r} is not an address to listen on")


def _valid_password(_instance: object, _attribute: Any, password: Any) -> None:
    if password is None:
        return
    if not isinstance(password, str):
        raise InvalidParameters(f"a password is text, not of type {type(password).__name__}")
    if not password:
        raise InvalidParameters("an empty password is none: leave it out")
    if len(password) > _LONGEST_PASSWORD:
        raise InvalidParameters(f"a password has at most {_LONGEST_PASSWORD} characters")
    if any(letter in "\0\r\n" or "\ud800" <= letter <= "\udfff" for letter in password):
        raise InvalidParameters("a password is one line of letters, without zero bytes")


def _valid_user(_instance: object, _attribute: Any, user: Any) -> None:
    if not isinstance(user, str) or not user:
        raise InvalidParameters(f"run_as: {user!r} is not the name of a user")


@attrs.frozen
class Parameters:
    """Always valid: raises `InvalidParameters`.

    `is_initialised` is false from the beginning of the first `configure` to its end: what a crash
    left of it is not data. `options` are the kind's own, as JSON can carry them.
    """

    kind: str
    port: int = attrs.field(validator=_valid_port)
    host: str = attrs.field(default="127.0.0.1", validator=_valid_host)
    password: str | None = attrs.field(default=None, validator=_valid_password, repr=False)
    run_as: str | None = attrs.field(default=None, validator=attrs.validators.optional(_valid_user))
    is_initialised: bool = False
    options: Mapping[str, Option] = attrs.field(factory=dict)

    @property
    def reachable_host(self) -> str:
        """The address at which this host reaches it, also where it listens on all."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    def protected(self, known: Parameters | None) -> Parameters:
        """With a password: the one given, else that of `known`, else a random one."""
        password = self.password
        if password is None and known is not None:
            password = known.password
        if password is None:
            password = secrets.token_urlsafe(24)
        return attrs.evolve(self, password=password)

    def save(self, directory: WorkingDirectory) -> None:
        """Raises `OSError`."""
        own = attrs.evolve(directory, user=None)  # the server has no business with these two
        if self.password is None:
            (directory / PASSWORD).unlink(missing_ok=True)
        else:
            own.write(PASSWORD, self.password)
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "working_dir": str(directory.path),
            "port": self.port,
            "host": self.host,
            "run_as": self.run_as,
            "initialised": self.is_initialised,
            "options": dict(self.options),
        }
        own.write(PARAMETERS, json.dumps(content, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, directory: WorkingDirectory) -> Parameters:
        """Raises `InvalidParameters`, which names the file; nothing else.

        Where a tree was moved the directory it is in counts, not the one that is written there.
        """
        path = directory / PARAMETERS
        try:
            return cls._of(json.loads(read_bounded(path, _LARGEST)), directory)
        except FileNotFoundError:
            raise InvalidParameters(f"{path} is missing: the instance is not configured") from None
        except OSError as error:
            raise InvalidParameters(f"{path} cannot be read: {error.strerror}") from error
        except RecursionError:
            raise InvalidParameters(f"{path} does not hold parameters: nested too deep") from None
        except ValueError as error:
            raise InvalidParameters(f"{path} does not hold parameters: {error}") from None
        except InvalidParameters as error:
            raise InvalidParameters(f"{path} does not hold parameters: {error}") from None

    @classmethod
    def _of(cls, content: Any, directory: WorkingDirectory) -> Parameters:
        if not isinstance(content, dict):
            raise InvalidParameters("not an object")
        if content.get("format") != FORMAT:
            raise InvalidParameters(f"format {content.get('format')!r} is not {FORMAT}")
        if content.get("kind") != directory.kind:
            raise InvalidParameters(f"kind {content.get('kind')!r} is not {directory.kind}")
        run_as, options = content.get("run_as"), content.get("options", {})
        if not (run_as is None or isinstance(run_as, str)) or not isinstance(options, dict):
            raise InvalidParameters("run_as or options are of the wrong type")
        return cls(
            kind=directory.kind,
            port=content.get("port"),  # type: ignore[arg-type]  # its validator's business
            host=content.get("host"),  # type: ignore[arg-type]
            password=_read_password(directory),
            run_as=run_as,
            is_initialised=content.get("initialised") is True,
            options=options,
        )


def _read_password(directory: WorkingDirectory) -> str | None:
    try:
        return read_bounded(directory / PASSWORD, 4 * _LONGEST_PASSWORD).decode()
    except FileNotFoundError:
        return None
