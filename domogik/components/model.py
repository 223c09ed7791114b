"""What a component is: anything the manager starts, stops, watches or diagnoses."""

from __future__ import annotations

import enum
import re

import attrs

from domogik.errors import DomogikError


class InvalidId(DomogikError):
    """Not `<kind>:<name>`."""


class Kind(enum.Enum):
    """What sort of thing a component is; the first half of its id."""

    CORE = "core"
    PLUGIN = "plugin"
    DAEMON = "daemon"
    UNIT = "unit"
    EXTERNAL = "external"
    HOST = "host"
    REPOSITORY = "repository"


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


_ID = re.compile(r"(core|plugin|daemon|unit|external|host|repository):([^\s\x00-\x1f/]\S*)")


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
        if match is None:
            raise InvalidId(f"'{text}' is not <kind>:<name>")
        return cls(Kind(match[1]), match[2])


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
