"""Values that describe a component: what the manager starts, stops, watches or diagnoses."""

from __future__ import annotations

import enum
import re
from typing import ClassVar

import attrs

from domogik.errors import DomogikError


class InvalidId(DomogikError):
    """The text is not `<kind>:<name>`."""


_DECLARED: dict[str, Kind] = {}


@attrs.frozen(eq=False, repr=False)
class Kind:
    """A kind of component; its `value` is the first half of an id. Each kind is one object.

    `orders` are the commands that its components accept. Components of a kind with `has_own_list`
    are listed separately on xPL (`daemon0-name`) and have RINOR paths of their own
    (`/daemon/list`). `unlisted` matches names that are sent to another host even if its list does
    not contain them; None means that all names must be listed.
    """

    CORE: ClassVar[Kind]
    PLUGIN: ClassVar[Kind]
    DAEMON: ClassVar[Kind]
    UNIT: ClassVar[Kind]
    EXTERNAL: ClassVar[Kind]
    HOST: ClassVar[Kind]
    REPOSITORY: ClassVar[Kind]

    value: str
    orders: tuple[str, ...] = ()
    has_own_list: bool = False
    unlisted: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        return f"Kind({self.value!r})"

    @classmethod
    def declare(
        cls,
        value: str,
        orders: tuple[str, ...] = (),
        *,
        has_own_list: bool = True,
        unlisted: re.Pattern[str] | None = None,
    ) -> Kind:
        """Return the kind with this value; create it if it is not declared yet."""
        made = cls(value, orders, has_own_list, unlisted)
        return _DECLARED.setdefault(value, made)

    @classmethod
    def of(cls, value: str) -> Kind | None:
        """Return the declared kind with this value, or None."""
        return _DECLARED.get(value)

    @classmethod
    def all(cls) -> tuple[Kind, ...]:
        """Return every declared kind, in the order in which lists show them."""
        return tuple(_DECLARED.values())


_STARTED = ("start", "stop", "restart")
_SWITCHED = (*_STARTED, "enable", "disable")
Kind.CORE = Kind.declare("core", _STARTED, has_own_list=False, unlisted=re.compile("rest|dbmgr"))
#: the id of a plugin is half of an xPL address; some older ones are longer than the protocol has it
Kind.PLUGIN = Kind.declare(
    "plugin", _SWITCHED, has_own_list=False, unlisted=re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
)
Kind.DAEMON = Kind.declare("daemon", _STARTED)
#: a section's name or what systemd calls it
Kind.UNIT = Kind.declare(
    "unit",
    _SWITCHED,
    unlisted=re.compile(r"[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\@-]{0,254}", re.ASCII),
)
Kind.EXTERNAL = Kind.declare("external", has_own_list=False)
Kind.HOST = Kind.declare("host", has_own_list=False)
Kind.REPOSITORY = Kind.declare("repository", has_own_list=False)


class State(enum.Enum):
    """The state of a component, with the same word in every interface."""

    STARTING = "starting"
    RUNNING = "running"
    ALIVE = "alive"
    NOT_RESPONDING = "not-responding"
    STOPPING = "stopping"
    STOPPED = "stopped"
    BACKOFF = "backoff"
    FAILED = "failed"
    DISABLED = "disabled"
    UNKNOWN = "unknown"

    @property
    def is_on(self) -> bool:
        """Whether Domogik's clients show this state as ON."""
        return self in (State.ALIVE, State.RUNNING)


_ID = re.compile(r"([a-z]+):([^\s\x00-\x1f/]\S*)")


@attrs.frozen(order=True)
class ComponentId:
    """The id of a component, `<kind>:<name>`, for example `plugin:diskfree`."""

    kind: Kind = attrs.field(order=lambda kind: kind.value)
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> ComponentId:
        """Return the id that `text` spells; raise `InvalidId` if it spells none."""
        match = _ID.fullmatch(text)
        kind = Kind.of(match[1]) if match is not None else None
        if match is None or kind is None:
            raise InvalidId(f"'{text}' is not <kind>:<name>")
        return cls(kind, match[2])


@attrs.frozen
class Usage:
    """The resources that all processes of one component use together.

    `cpu_percent` is measured since the previous sample, 100 being one core; `memory_bytes` is
    resident memory.
    """

    cpu_percent: float
    memory_bytes: int
    open_files: int
    processes: int


@attrs.frozen
class Component:
    """The current state of one component.

    `since` is the Unix time in seconds of the last change of state, 0 if unknown. `enabled` is None
    for components that cannot be enabled (core services, external members). `reason` is a sentence
    for the user, or empty. `model` is what Domogik's clients call an external member: the id of its
    descriptor, else `vendor-device`; it is empty for other kinds.
    """

    id: ComponentId
    host: str
    state: State = State.UNKNOWN
    enabled: bool | None = None
    reason: str = ""
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    technology: str = ""
    version: str = ""
    description: str = ""
    documentation: str = ""
    usage: Usage | None = None
    model: str = ""

    @property
    def name(self) -> str:
        """The second half of the id, which Domogik's clients use as the plugin's id."""
        return self.id.name

    @property
    def name_and_host(self) -> tuple[str, str]:
        """The name and host that Domogik's clients know.

        Those of an external member are its model, until one is known its `vendor-device`, and the
        instance of its address.
        """
        if self.id.kind is not Kind.EXTERNAL:
            return self.name, self.host
        device, _, instance = self.name.partition(".")
        return self.model or device, instance or self.host

    def is_member(self, name: str, host: str) -> bool:
        """Return whether it is the external member of that name and host.

        It is recognised by its model and by the name that it had before a model was known.
        """
        if self.id.kind is not Kind.EXTERNAL:
            return False
        return self.name_and_host == (name, host) or self.name == f"{name}.{host}"


#: the first key of every plugin's configuration: stored as false, it keeps an enabled plugin from
#: starting with the manager
STARTUP_KEY = "startup-plugin"


@attrs.frozen
class ConfigurationKey:
    """A setting of a plugin, as its descriptor declares it.

    `id` is its position from 0 (`order-id`); `type` is the word of the descriptor (string, number,
    boolean, enum, password, ...); `default` is None if there is none; keys with `interface` belong
    together and may be given several times (`<key>-1`, `<key>-2`, ...).
    """

    id: int
    key: str
    type: str = "string"
    description: str = ""
    default: str | None = None
    options: tuple[str, ...] = ()
    interface: bool = False
    optional: bool = False


@attrs.frozen
class Detail:
    """A component with its settings.

    `values` are the pairs of an external member's heartbeat, in order; empty for other kinds.
    """

    component: Component
    configuration: tuple[ConfigurationKey, ...] = ()
    values: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Backup:
    """A backup file of a managed daemon; `written` is Unix time in seconds."""

    file: str
    size_bytes: int
    written: float


@attrs.frozen
class HostInfo:
    """A host, known by the heartbeat of its manager.

    `interval` is in seconds; `last_seen` is Unix time; `primary` marks the host that runs REST.
    """

    id: str
    on: bool
    primary: bool
    ip: str
    interval: float
    last_seen: float


@attrs.frozen
class ConfigValue:
    """One stored value of a plugin's configuration."""

    host: str
    plugin: str
    key: str
    value: str
