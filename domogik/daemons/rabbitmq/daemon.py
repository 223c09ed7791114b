"""RabbitMQ: one node, with an epmd of its own, all of it on loopback but AMQP itself."""

from __future__ import annotations

import base64
import functools
import hashlib
import inspect
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import attrs
from twisted.internet.defer import Deferred

from domogik.daemons.core.arguments import LOOPBACK, Callback, ErrorCallback
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import InvalidParameters, ManagedDaemonError
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.probing import exchange
from domogik.daemons.core.standalone import LOG
from domogik.daemons.rabbitmq import amqp
from domogik.supervisor.interfaces import Policy
from domogik.supervisor.ports.reservation import Reservation

#: before Debian's wrappers in /usr/sbin, which refuse everybody but root and rabbitmq
_PROGRAMS = (Path("/usr/lib/rabbitmq/bin"),)
_DATA = "data"
_DEFINITIONS = "definitions.json"
_COOKIE = ".erlang.cookie"
_LOOPBACK = "127.0.0.1"
_ON_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
_MORE_PORTS = ("dist_port", "epmd_port")
#: what stays as it was: data belong to the name of a node, and a user cannot be removed
_FIXED = ("user", "nodepurpose")
_UNQUOTABLE = re.compile(r"['\n]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_PURPOSE = 3  # its position in the arguments of `configure`
C = TypeVar("C", bound=Callable[..., Any])


def _purpose_by_name(configure: C) -> C:
    """Have `configure` refuse a text at the position of `nodepurpose`.

    It was the purpose in the original and a password elsewhere: the error names both keywords.
    """

    @functools.wraps(configure)
    def checked(self: RabbitMQDaemon, *args: Any, **named: Any) -> Deferred[str]:
        if len(args) <= _PURPOSE or not isinstance(args[_PURPOSE], str):
            done: Deferred[str] = configure(self, *args, **named)
            return done
        given = inspect.signature(configure).bind(self, *args, **named).arguments
        problem = f"which is {args[_PURPOSE]!r}? name it: nodepurpose= or password="
        callbacks = given.get("callback"), given.get("error_callback")
        return self._configured(given["working_dir"], *callbacks, None, {}, problem=problem)

    return checked  # type: ignore[return-value]


class RabbitMQDaemonError(ManagedDaemonError):
    """RabbitMQ was not configured, started, stopped, ..."""


@attrs.define(eq=False)
class RabbitMQDaemon(ManagedDaemon):
    """A RabbitMQ node with one user, who may do everything; `guest` does not exist."""

    kind: ClassVar[str] = "rabbitmq"
    title: ClassVar[str] = "RabbitMQ"
    error: ClassVar[type[ManagedDaemonError]] = RabbitMQDaemonError
    pid_file: ClassVar[str] = "rabbitmq.pid"
    policy: ClassVar[Policy] = Policy(start_timeout=120, stop_timeout=60, leader_first=True)
    defaults: ClassVar[Mapping[str, Option]] = {
        "binary": None,
        "user": "domogik",
        "nodepurpose": None,
        "dist_port": 0,
        "epmd_port": 0,
    }
    _more: dict[str, Reservation] = attrs.field(init=False, factory=dict)

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """With a password and two more ports; those of an instance stay unless others are named."""
        for name in _FIXED:
            value = wanted.options.get(name)
            is_name = isinstance(value, str) and _NAME.fullmatch(value) is not None
            if not is_name and (value is not None or name == "user"):
                raise InvalidParameters(f"{name}: {value!r} is not a name of letters and digits")
            if known is not None and known.is_initialised and known.options.get(name) != value:
                raise InvalidParameters(f"{name} stays {known.options.get(name)!r}: it has data")
        ports = self._ports(wanted, known)
        return attrs.evolve(wanted.protected(known), options={**wanted.options, **ports})

    def _ports(self, wanted: Parameters, known: Parameters | None) -> dict[str, int]:
        chosen: dict[str, int] = {}
        for name in _MORE_PORTS:
            port = wanted.options.get(name)
            if type(port) is not int or not 0 <= port <= 65535:
                raise InvalidParameters(f"{name}: {port!r} is not a port, and not 0 for any one")
            before = known.options.get(name) if known is not None and known.is_initialised else 0
            chosen[name] = port or (before if isinstance(before, int) else 0)
        named = [port for port in (wanted.port, *chosen.values()) if port]
        if len(set(named)) < len(named):
            raise InvalidParameters("port, dist_port and epmd_port are three different ones")
        return {
            name: port
            if known is not None and known.options.get(name) == port
            else self._reserve_more(name, port)
            for name, port in chosen.items()
        }

    def _reserve_more(self, name: str, port: int) -> int:
        held = self._more.get(name)
        if held is not None and port not in (0, held.port):
            held.release()
            held = None
        if held is None:
            held = self._more[name] = self.tools.ports.reserve(_LOOPBACK, port or None)
        return held.port

    def _release(self) -> None:
        for held in self._more.values():
            held.release()
        self._more.clear()

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """AMQP's, and those by which nodes and tools find and reach it."""
        more = tuple((_LOOPBACK, int(self.option(name))) for name in _MORE_PORTS)
        return (*super().addresses, *more)

    @property
    def nodename(self) -> str:
        """As Erlang knows it; two nodes of one name do not meet, each has an epmd of its own."""
        purpose = self.option("nodepurpose")
        return f"{f'{purpose}-' if purpose else ''}domogik@localhost"

    async def initialise(self) -> None:
        """Places for its data and log; and a cookie: who has it may do everything with the node."""
        self._refuse_path()
        for name in (_DATA, LOG):
            self.directory.subdirectory(name)
        self.directory.write(_COOKIE, secrets.token_hex(32))

    def _refuse_path(self) -> None:
        """Its scripts put paths between apostrophes, and hang for minutes over one in a path."""
        path = str(self.directory.path)
        if found := _UNQUOTABLE.search(path):
            raise InvalidParameters(
                f"RabbitMQ cannot live in {path!r}: its scripts have no quoting for {found[0]!r}"
            )

    def configuration(self) -> Mapping[str, str]:
        """Paths and secrets are not in `service.conf`, whose format has no quoting."""
        parameters = self.parameters
        definitions = self.directory / _DEFINITIONS
        return {
            CONFIGURATION: f"""\
listeners.tcp.1 = {parameters.host}:{parameters.port}
log.console = true
log.console.level = info
log.console.use_colors = off
log.file = false
# the watch logs in every few seconds
log.connection.level = warning
""",
            "advanced.config": f"[{{rabbit, [{{load_definitions, {_charlist(definitions)}}}]}}].\n",
            "enabled_plugins": "[].\n",
            _DEFINITIONS: _definitions(self.option("user"), self.password, secrets.token_bytes(4)),
        }

    def environment(self) -> Mapping[str, str]:
        """Its own and that of its tools; nothing of /etc/rabbitmq is read."""
        path = self.directory.path
        return {
            "HOME": str(path),  # where Erlang looks for the cookie
            # The script becomes the node instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self.nodename,
            "RABBITMQ_DIST_PORT": str(self.option("dist_port")),
            "ERL_EPMD_PORT": str(self.option("epmd_port")),
            "ERL_EPMD_ADDRESS": _LOOPBACK,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ON_LOOPBACK,
            "RABBITMQ_CTL_ERL_ARGS": _ON_LOOPBACK,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(path / CONFIGURATION).removesuffix(".conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(path / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(path / _DATA),
            "RABBITMQ_LOG_BASE": str(path / LOG),
            "RABBITMQ_PID_FILE": str(self.get_pid_path()),
            "ERL_CRASH_DUMP": str(path / LOG / "erl_crash.dump"),
        }

    def argv(self) -> tuple[str, ...]:
        """In the foreground; it crashes over a manager's socket that it may not write to."""
        env = self.tools.find("env")
        if env is None:
            raise self.error(f"{self.title} needs the program env, which is missing here")
        return (str(env), "-u", "NOTIFY_SOCKET", self._server)

    @property
    def _server(self) -> str:
        return self.binary("rabbitmq-server", directories=_PROGRAMS)

    async def probe(self) -> None:
        """A login; one that is refused does not get better by waiting."""
        parameters = self.parameters
        answer = await exchange(
            self.reactor,
            parameters.reachable_host,
            parameters.port,
            amqp.login(self.option("user"), self.password),
            amqp.is_over,
        )
        try:
            amqp.check(answer)
        except amqp.Refused as error:
            if error.code == amqp.ACCESS_REFUSED:
                raise self.error(f"{self.title} knows another password: {error.text}") from error
            raise
        self._release()  # from here on the server itself holds them

    async def add_virtual_host(self, name: str) -> None:
        """It serves: make a virtual host for its user; raises the kind's error."""
        user = self.option("user")
        await self._evaluate(
            f'User = <<"{user}">>, Name = <<"{name}">>, All = <<".*">>, '
            "ok = rabbit_vhost:add(Name, User), "
            "ok = rabbit_auth_backend_internal:set_permissions(User, Name, All, All, All, User)."
        )

    async def remove_virtual_host(self, name: str) -> None:
        """It serves: remove a virtual host and all that is in it; raises the kind's error."""
        await self._evaluate(
            f'ok = rabbit_vhost:delete(<<"{name}">>, <<"{self.option("user")}">>).'
        )

    async def _evaluate(self, expression: str) -> None:
        """By `erl_call`, a stranger each time (10 ms), or by `rabbitmqctl` (a second)."""
        tool = self.tools.find("erl_call")
        if tool is None:
            await self._tell("eval", expression)
            return
        node = f"{_LOOPBACK}:{self.option('dist_port')}"
        script = 'printf "%s\\n" "$1" | exec "$2" -r -address "$3" -e'
        done = await self.command(
            ("sh", "-c", script, "sh", expression, str(tool), node), "the node was not asked"
        )
        if not done.output.startswith(b"{ok, "):
            raise self.error(f"the node answers: {done.output.decode(errors='replace')}")

    async def _tell(self, *words: str) -> None:
        tool = str(Path(self._server).with_name("rabbitmqctl"))
        await self.command((tool, "-q", *words), f"{words[0]} failed")

    async def reread(self) -> None:
        """Its user's password, by `rabbitmqctl`; anything else counts from the next start."""
        await self._tell("import_definitions", str(self.directory / _DEFINITIONS))

    @property
    def url(self) -> str:
        """`amqp://<user>:<password>@<host>:<port>/%2F`."""
        parameters = self.parameters
        host = parameters.reachable_host
        where = f"{f'[{host}]' if ':' in host else host}:{parameters.port}"
        return f"amqp://{self.option('user')}:{quote(self.password, safe='')}@{where}/%2F"

    def get_client(self) -> Any:
        """Return a `pika.BlockingConnection`; raises the kind's error where pika is missing."""
        try:
            from pika import BlockingConnection, URLParameters
        except ImportError as error:
            raise self.error("a client needs the library pika: pip install pika") from error
        return BlockingConnection(URLParameters(self.url))

    @_purpose_by_name
    def configure(  # type: ignore[override]  # as the original has it
        self,
        working_dir: str | os.PathLike[str],
        port: int | None = None,
        bind_host: str = LOOPBACK,
        nodepurpose: str | None = None,
        callback: Callback | str | None = None,
        error_callback: ErrorCallback | None = None,
        password: str | None = None,
        *,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """See `IManagedDaemon`; `nodepurpose` has to be named, for a password stood there, too."""
        given = {"port": port, "bind_host": bind_host, "run_as": run_as, **options}
        given["nodepurpose"] = nodepurpose
        return self._configured(working_dir, callback, error_callback, password, given)

    async def _destroy(self) -> str:
        sentence = await super()._destroy()
        self._release()
        return sentence


#: its name in the documentation that this one follows
ManagedRabbitMQ = RabbitMQDaemon


def _charlist(path: Path) -> str:
    """As an Erlang term without any quoting: the list of its characters."""
    return f"[{','.join(str(ord(letter)) for letter in str(path))}]"


def _definitions(user: str, password: str, salt: bytes) -> str:
    """What the node imports at every start; the hash is rabbit_password_hashing_sha256's."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    content = {
        "users": [
            {
                "name": user,
                "password_hash": base64.b64encode(salt + digest).decode(),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"],
            }
        ],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": user, "vhost": "/", **everything}],
    }
    return json.dumps(content, indent=1) + "\n"
