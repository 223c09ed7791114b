"""All hosts and their components in memory, for tests of the interfaces and of other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from domogik.components.events import EventStream
from domogik.components.health import DiagnosticCheck
from domogik.components.model import (
    Backup,
    Component,
    ComponentId,
    ConfigurationKey,
    ConfigValue,
    Detail,
    HostInfo,
    InvalidId,
    Kind,
    State,
    Usage,
)
from domogik.errors import (
    AmbiguousComponent,
    DomogikError,
    NotPossible,
    OperationFailed,
    UnknownComponent,
    already_running,
    does_not_exist,
    not_running,
)
from domogik.manager.health.centre import Health
from domogik.manager.interfaces import IAllHosts
from domogik.manager.jobs import Job, Jobs, Progress


def daemon(name: str, host: str = "vm", **fields: object) -> Component:
    """Return a managed daemon with that name."""
    given: dict[str, object] = {"technology": "redis", "description": "Redis on 127.0.0.1"}
    given.update(fields)
    return Component(ComponentId(Kind.DAEMON, name), host, **given)  # type: ignore[arg-type]


def plugin(name: str, host: str = "vm", **fields: object) -> Component:
    """Return a plugin with that name."""
    given: dict[str, object] = {"technology": "service", "version": "1.0", "enabled": True}
    given.update(fields)
    return Component(ComponentId(Kind.PLUGIN, name), host, **given)  # type: ignore[arg-type]


@implementer(IAllHosts)
@attrs.define(eq=False)
class FakeAllHosts:
    """Carries out all operations at once in memory.

    `failures` has the errors of operations by name of the operation and of the component; `held`
    has Deferreds that they wait for. `done` lists the operations in order, with host and component;
    `upgraded` counts upgrades.
    """

    host: str = "vm"
    package_mode: bool = True
    events: EventStream = attrs.field(factory=lambda: EventStream(lambda: 1000.0))
    others: list[HostInfo] = attrs.field(factory=list)
    keys: dict[str, tuple[ConfigurationKey, ...]] = attrs.field(factory=dict)
    member_values: dict[str, tuple[tuple[str, str], ...]] = attrs.field(factory=dict)
    logs: dict[str, list[str]] = attrs.field(factory=dict)
    failures: dict[tuple[str, str], Exception] = attrs.field(factory=dict)
    held: dict[tuple[str, str], Deferred[None]] = attrs.field(factory=dict)
    done: list[tuple[str, str, str]] = attrs.field(factory=list)
    upgraded: int = 0
    #: the results of `warnings` by name
    lacks: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    checks: dict[str, list[DiagnosticCheck]] = attrs.field(factory=dict)
    saved: list[Backup] = attrs.field(factory=list)
    health: Health | None = None
    patience_s: float = 11.0
    queue: Jobs = attrs.field(init=False)
    _components: dict[tuple[str, ComponentId], Component] = attrs.field(factory=dict)
    _values: dict[tuple[str, str, str], str] = attrs.field(factory=dict)
    _followers: dict[ComponentId, list[Callable[[str], None]]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.queue = Jobs(self.events, lambda: 1000.0)

    def put(self, *components: Component) -> FakeAllHosts:
        """Add or change components and publish the events."""
        for component in components:
            place = component.host, component.id
            before = self._components.get(place)
            self._components[place] = component
            if before is None:
                self.events.publish("component.added", id=str(component.id), host=component.host)
            elif before != component:
                self.events.publish(
                    "component.changed",
                    id=str(component.id),
                    host=component.host,
                    state=component.state.value,
                    previous=before.state.value,
                    enabled=component.enabled,
                    reason=component.reason,
                )
        return self

    def remove(self, component: Component) -> None:
        """Remove a component and publish the event."""
        del self._components[component.host, component.id]
        self.events.publish("component.removed", id=str(component.id), host=component.host)

    def say(self, name: str, line: str) -> None:
        """Add a line to the log of a component of this host."""
        component = self.find(name)
        self.logs.setdefault(component.name, []).append(line)
        for receive in tuple(self._followers.get(component.id, ())):
            receive(line)

    def hosts(self) -> tuple[HostInfo, ...]:
        here = HostInfo(
            self.host, True, primary=True, ip="127.0.0.1", interval=300.0, last_seen=1000.0
        )
        return (here, *self.others)

    def components(self, host: str | None = None) -> tuple[Component, ...]:
        return tuple(
            component
            for (where, _), component in self._components.items()
            if host is None or where == host
        )

    def jobs(self) -> tuple[Job, ...]:
        return self.queue.all()

    def find(self, name: str, host: str | None = None) -> Component:
        where = self.host if host is None else host
        if name.startswith("host:") and name[5:] in [info.id for info in self.hosts()]:
            return Component(ComponentId(Kind.HOST, name[5:]), name[5:])
        if name.startswith("repository:"):
            return Component(ComponentId.parse(name), where)
        try:
            wanted = ComponentId.parse(name)
        except InvalidId:
            wanted = None
        found = [
            component
            for component in self.components(where)
            if component.id == wanted or component.name == name
        ]
        if not found:
            raise UnknownComponent(does_not_exist(name, where))
        if len(found) > 1:
            raise AmbiguousComponent(name, tuple(str(component.id) for component in found))
        return found[0]

    async def detail(self, component: Component) -> Detail:
        await self._about("detail", component)
        return Detail(
            component,
            self.keys.get(component.name, ()),
            self.member_values.get(component.name, ()),
        )

    async def usage(self, component: Component) -> Component:
        await self._about("usage", component)
        if component.host != self.host or component.pid is None:
            return component
        return attrs.evolve(component, usage=Usage(1.5, 4096, 7, 1))

    async def warnings(self, component: Component) -> tuple[str, ...]:
        return self.lacks.get(component.name, ())

    async def start(self, component: Component) -> None:
        if component.state.is_on:
            raise OperationFailed(already_running(component.name, component.host))
        await self._do("start", component, state=State.ALIVE, pid=42)

    async def stop(self, component: Component) -> None:
        if not component.state.is_on:
            raise OperationFailed(not_running(component.name, component.host))
        await self._do("stop", component, state=State.STOPPED, pid=None)

    async def restart(self, component: Component) -> None:
        await self._do("restart", component, state=State.ALIVE, pid=43)

    async def enable(self, component: Component) -> None:
        await self._do("enable", component, enabled=True)

    async def disable(self, component: Component) -> None:
        if component.state.is_on:
            raise OperationFailed(
                f"Component '{component.name}' is running. Please stop it before trying to disable"
            )
        await self._do("disable", component, enabled=False)

    async def reload(self, component: Component) -> None:
        if component.id.kind is not Kind.UNIT:
            self._daemon(component)
        await self._do("reload", component)

    async def diagnose(self, component: Component) -> tuple[DiagnosticCheck, ...]:
        await self._about("diagnose", component)
        return tuple(self.checks.get(component.name, ()))

    async def diagnose_all(self, host: str | None = None) -> tuple[DiagnosticCheck, ...]:
        await self._about("diagnose", self.find(f"host:{host or self.host}"))
        if host in (None, self.host) and self.health is not None:
            return await self.health.diagnose()
        return tuple(check for checks in self.checks.values() for check in checks)

    def unit_rule(self, user: str | None = None) -> str:
        return f"// what {user or 'domogik'} may do with the units of {self.host}\n"

    def credentials(self, component: Component) -> str:
        self._daemon(component)
        return f"redis://:secret@127.0.0.1:6379/{component.name}"

    async def backup(self, component: Component, file: str | None = None) -> Backup:
        self._daemon(component)
        await self._do("backup", component)
        made = Backup(file or f"{component.name}.backup", 7, 1000.0)
        self.saved.append(made)
        return made

    async def restore(self, component: Component, file: str) -> None:
        self._daemon(component)
        if file not in [one.file for one in self.saved]:
            raise NotPossible(f"there is no backup {file}")
        await self._do("restore", component)

    async def backups(self, component: Component) -> tuple[Backup, ...]:
        self._daemon(component)
        return tuple(self.saved)

    async def log_lines(self, component: Component, lines: int) -> list[str]:
        self._here(component)
        await self._about("log_lines", component)
        return self.logs.get(component.name, [])[-lines:]

    def follow_log(
        self, component: Component, receive: Callable[[str], None]
    ) -> Callable[[], None]:
        self._here(component)
        followers = self._followers.setdefault(component.id, [])
        followers.append(receive)

        def forget() -> None:
            if receive in followers:
                followers.remove(receive)

        return forget

    def followers(self, name: str) -> int:
        """Return how many callers follow the log of that component."""
        return len(self._followers.get(self.find(name).id, ()))

    async def config_list(
        self, host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> list[ConfigValue]:
        return list(self._stored(host, plugin, key))

    async def config_set(self, host: str, plugin: str, key: str, value: str) -> ConfigValue:
        if value:
            self._values[host, plugin, key] = value
        else:
            self._values.pop((host, plugin, key), None)
        return ConfigValue(host, plugin, key, value)

    async def config_delete(
        self, host: str, plugin: str, key: str | None = None
    ) -> list[ConfigValue]:
        deleted = list(self._stored(host, plugin, key))
        for value in deleted:
            del self._values[value.host, value.plugin, value.key]
        return deleted

    def upgrade(self) -> None:
        failure = self.failures.get(("upgrade", ""))
        if failure is not None:
            raise failure
        self.upgraded += 1

    def _stored(
        self, host: str | None, plugin: str | None, key: str | None
    ) -> Iterable[ConfigValue]:
        for place, value in sorted(self._values.items()):
            if all(
                wanted in (None, is_)
                for wanted, is_ in zip((host, plugin, key), place, strict=True)
            ):
                yield ConfigValue(*place, value)

    def _daemon(self, component: Component) -> None:
        self._here(component)
        if component.id.kind is not Kind.DAEMON:
            raise NotPossible(f"{component.id} is no managed daemon")

    def _here(self, component: Component) -> None:
        if component.host != self.host:
            raise NotPossible("Not available from another host")

    async def _about(self, verb: str, component: Component) -> None:
        held = self.held.get((verb, component.name))
        if held is not None:
            await held
        failure = self.failures.get((verb, component.name))
        if failure is not None:
            raise failure

    async def _do(self, verb: str, component: Component, **changes: object) -> None:
        self.done.append((verb, component.host, component.name))

        async def work(progress: Progress) -> None:
            await self._about(verb, component)

        if component.host == self.host:
            await self._about(verb, component)
        else:
            await self.queue.run(verb, f"{component.id}@{component.host}", work)
        current = self._components.get((component.host, component.id))
        if current is None:
            raise DomogikError(f"{component.id} went away")
        self.put(attrs.evolve(current, **changes))  # type: ignore[arg-type]
