"""What a component is: anything the manager starts, stops, watches or diagnoses."""

from __future__ import annotations

import enum
import re
from typing import ClassVar

import attrs

from domogik.errors import DomogikError


class InvalidId(DomogikError):
    """Not `<kind>:<name>`."""


_DECLARED: dict[str, Kind] = {}


@attrs.frozen(eq=False, repr=False)
class Kind:
    """A kind of component; its `value` is the first half of an id. There is one object for each.

    `orders` are the orders that its components obey. With `has_own_list` they are listed apart on
    xPL (`daemon0-name`) and have RINOR paths of their own (`/daemon/list`). `unlisted` matches the
    names that are sent to another host although its list does not have them; None: none is.
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
        """Return the kind of that value, made where it was not declared before."""
        made = cls(value, orders, has_own_list, unlisted)
        return _DECLARED.setdefault(value, made)

    @classmethod
    def of(cls, value: str) -> Kind | None:
        """Return the declared kind of that value, None where there is none."""
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
    """The one word for how a component is, the same in every face."""

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
        """What Domogik's own clients call ON."""
        return self in (State.ALIVE, State.RUNNING)


_ID = re.compile(r"([a-z]+):([^\s\x00-\x1f/]\S*)")


@attrs.frozen(order=True)
class ComponentId:
    """`<kind>:<name>`, for example `plugin:diskfree`."""

    kind: Kind = attrs.field(order=lambda kind: kind.value)
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> ComponentId:
        """The id that `text` spells; raises `InvalidId`."""
        match = _ID.fullmatch(text)
        kind = Kind.of(match[1]) if match is not None else None
        if match is None or kind is None:
            raise InvalidId(f"'{text}' is not <kind>:<name>")
        return cls(kind, match[2])


@attrs.frozen
class Usage:
    """What the processes of one component use, all together.

    `cpu_percent` of one core since the last look; `memory_bytes` resident.
    """

    cpu_percent: float
    memory_bytes: int
    open_files: int
    processes: int


@attrs.frozen
class Component:
    """One component as it is now.

    `since` is the Unix time in seconds of the last change of state, 0 when unknown. `enabled` is
    None where the word has no meaning (core services, external members). `reason` is a sentence
    for a person, empty when there is nothing to say. `model` is what Domogik's clients call an
    external member: the id of its descriptor, else `vendor-device`; empty for everything else.
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
        """The second half of the id: what Domogik's own clients call the plugin's id."""
        return self.id.name


#: the first key of every plugin's configuration: stored as false, it keeps an enabled plugin from
#: starting with the manager
STARTUP_KEY = "startup-plugin"


@attrs.frozen
class ConfigurationKey:
    """One thing a person can set for a plugin, as its descriptor declares it.

    `id` is its place from 0 (`order-id`); `type` the word of the descriptor (string, number,
    boolean, enum, password, ...); `default` None when there is none; `interface` keys belong
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
    """A component with what its owner can configure.

    `values` are the heartbeat's pairs of an external member, in order; empty for others.
    """

    component: Component
    configuration: tuple[ConfigurationKey, ...] = ()
    values: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Backup:
    """A file with the data of a managed daemon; `written` is Unix time in seconds."""

    file: str
    size_bytes: int
    written: float


@attrs.frozen
class HostInfo:
    """A host of the house, known by its manager's heartbeat.

    `interval` in seconds; `last_seen` Unix time; `primary` is the host that REST runs on.
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
