"""All hosts as one: this host is called directly, the others over xPL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import attrs
from zope.interface import implementer

from domogik.components.events import EventStream
from domogik.components.health import DiagnosticCheck
from domogik.components.model import (
    Backup,
    Component,
    ComponentId,
    ConfigValue,
    Detail,
    HostInfo,
    Kind,
)
from domogik.errors import NoAnswer, NotPossible, UnknownComponent
from domogik.manager.components import find
from domogik.manager.fleet.hosts import Hosts
from domogik.manager.health.centre import Health
from domogik.manager.interfaces import IAllHosts
from domogik.manager.jobs import Job, Jobs, Progress
from domogik.manager.local_host import LocalHost
from domogik.manager.plugins.values import Values
from domogik.manager.registry import IKind


@implementer(IAllHosts)
@attrs.define(eq=False, kw_only=True)
class AllHosts:
    """`IAllHosts` over this host (None if no manager runs in this process) and the others.

    `values` returns the stored values of plugins, None without a database.
    """

    host: str
    events: EventStream
    package_mode: bool
    _hosts: Hosts
    _jobs: Jobs
    _local_host: LocalHost | None = None
    _values: Callable[[], Values | None] = lambda: None

    @property
    def patience_s(self) -> float:
        return self._hosts.patience_s + 1

    def hosts(self) -> tuple[HostInfo, ...]:
        return self._hosts.known()

    def jobs(self) -> tuple[Job, ...]:
        return self._jobs.all()

    def components(self, host: str | None = None) -> tuple[Component, ...]:
        if self._local_host is None:
            return self._hosts.components(host)
        own = self._local_host.all() if host in (None, self.host) else ()
        if host == self.host:
            return own
        return own + tuple(
            component for component in self._hosts.components(host) if component.host != self.host
        )

    def find(self, name: str, host: str | None = None) -> Component:
        kind, colon, bare = name.partition(":")
        if colon and kind == Kind.HOST.value:
            return self._host_itself(bare, host)
        host = host or self.host
        if colon and bare and kind == Kind.REPOSITORY.value and self._is_known(host):
            return Component(ComponentId(Kind.REPOSITORY, bare), host)
        try:
            return find(self.components(host), name, host)
        except UnknownComponent:
            if self._local_host is not None and host == self.host:
                for one in self._local_host.kinds:
                    if one.knows(name):
                        return one.find(name)
                raise
        return self._unlisted(name, host)

    def _host_itself(self, name: str, host: str | None) -> Component:
        if host not in (None, name) or not self._is_known(name):
            raise UnknownComponent(f"No manager of a host {name} was ever heard")
        return Component(ComponentId(Kind.HOST, name), name)

    def _is_known(self, host: str) -> bool:
        return self._is_here(host) or self._hosts.is_known(host)

    def _unlisted(self, name: str, host: str) -> Component:
        """Return a plugin or unit of another host that is not in its list, as disabled.

        A host that was never heard is not asked, and an impossible name is not sent.
        """
        if not self._hosts.is_known(host):
            raise UnknownComponent(f"No manager of a host {host} was ever heard")
        word, colon, bare = name.partition(":")
        kind = Kind.of(word) if colon else Kind.PLUGIN
        bare = bare if colon else name
        if kind is None or kind.unlisted is None or not kind.unlisted.fullmatch(bare):
            listed = (str(one.id) for one in self.components(host))
            raise UnknownComponent.named(name, host, listed)
        return Component(ComponentId(kind, bare), host)

    async def detail(self, component: Component) -> Detail:
        kind = self._kind_of(component)
        return kind.detail(component) if kind else await self._hosts.detail(component)

    async def usage(self, component: Component) -> Component:
        local_host = self._local_host_of(component)
        return await local_host.usage(component) if local_host else component

    async def warnings(self, component: Component) -> tuple[str, ...]:
        kind = self._kind_of(component)
        return await kind.warnings(component.name) if kind else ()

    async def start(self, component: Component) -> None:
        kind = self._kind_of(component)
        await (kind.start(component.name) if kind else self._ask("start", component))

    async def stop(self, component: Component) -> None:
        kind = self._kind_of(component)
        await (kind.stop(component.name) if kind else self._ask("stop", component))

    async def restart(self, component: Component) -> None:
        kind = self._kind_of(component)
        await (kind.restart(component.name) if kind else self._ask("restart", component))

    async def enable(self, component: Component) -> None:
        kind = self._kind_of(component)
        await (kind.enable(component.name) if kind else self._ask("enable", component))

    async def disable(self, component: Component) -> None:
        kind = self._kind_of(component)
        await (kind.disable(component.name) if kind else self._ask("disable", component))

    async def reload(self, component: Component) -> None:
        await self._here(component).reload(component.name)

    async def diagnose(self, component: Component) -> tuple[DiagnosticCheck, ...]:
        local_host = self._local_host_of(component)
        if local_host is None:
            return await self._hosts.diagnose(component)
        return await local_host.health.diagnose(str(component.id))

    async def diagnose_all(self, host: str | None = None) -> tuple[DiagnosticCheck, ...]:
        where = self.find(f"{Kind.HOST.value}:{host or self.host}")
        local_host = self._local_host_of(where)
        if local_host is None:
            return await self._hosts.diagnose_all(where.host)
        return await local_host.health.diagnose()

    @property
    def health(self) -> Health | None:
        """The health centre of this host."""
        return self._local_host.health if self._local_host is not None else None

    def unit_rule(self, user: str | None = None) -> str:
        if self._local_host is None:
            raise NotPossible("There is no manager in this process")
        return self._local_host.units.rule(user)

    def credentials(self, component: Component) -> str:
        return self._here(component).credentials(component.name)

    async def backup(self, component: Component, file: str | None = None) -> Backup:
        return await self._here(component).backup(component.name, file)

    async def restore(self, component: Component, file: str) -> None:
        await self._here(component).restore(component.name, file)

    async def backups(self, component: Component) -> tuple[Backup, ...]:
        return await self._here(component).backups(component.name)

    async def log_lines(self, component: Component, lines: int) -> list[str]:
        return await self._here(component).log_lines(component.name, lines)

    def follow_log(
        self, component: Component, receive: Callable[[str], None]
    ) -> Callable[[], None]:
        return self._here(component).follow_log(component.name, receive)

    async def config_list(
        self, host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> list[ConfigValue]:
        return await self._stored().list(host, plugin, key)

    async def config_set(self, host: str, plugin: str, key: str, value: str) -> ConfigValue:
        return await self._stored().set(host, plugin, key, value)

    async def config_delete(
        self, host: str, plugin: str, key: str | None = None
    ) -> list[ConfigValue]:
        return await self._stored().delete(host, plugin, key)

    def upgrade(self) -> None:
        if self._local_host is None:
            raise NotPossible("There is no manager in this process")
        self._local_host.upgrade()

    async def _ask(self, command: str, component: Component) -> None:
        if not component.id.kind.orders:
            raise NotPossible(f"{component.id} on {component.host} can only be looked at from here")

        async def work(progress: Progress) -> None:
            await self._hosts.command(component.host, command, component.name, component.id.kind)
            with contextlib.suppress(NoAnswer):
                await self._hosts.look(component)

        subject = f"{component.id}@{component.host}"
        await self._jobs.run(command, subject, work, queue=f"{command} {subject}")

    def _is_here(self, host: str) -> bool:
        return self._local_host is not None and host == self.host

    def _local_host_of(self, component: Component) -> LocalHost | None:
        return self._local_host if component.host == self.host else None

    def _kind_of(self, component: Component) -> IKind | None:
        local_host = self._local_host_of(component)
        return local_host.kind_of(component) if local_host is not None else None

    def _here(self, component: Component) -> IKind:
        kind = self._kind_of(component)
        if kind is None:
            raise NotPossible("Not available from another host")
        return kind

    def _stored(self) -> Values:
        values = self._values()
        if values is None:
            raise NotPossible(self._no_database())
        return values

    def _no_database(self) -> str:
        id = ComponentId(Kind.CORE, "dbmgr")
        dbmgr = self._local_host.components.get(id) if self._local_host is not None else None
        if dbmgr is None:
            return "There is no database here: start the manager with -d"
        reason = f": {dbmgr.reason}" if dbmgr.reason else ""
        return f"There is no database here, dbmgr is {dbmgr.state.value}{reason}"
