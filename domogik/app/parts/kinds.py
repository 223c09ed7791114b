"""The checkers of the kinds of component that a manager's host has."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import attrs

from domogik.app.parts.configuration import findings
from domogik.app.parts.core import CoreServices
from domogik.app.parts.foundation import Foundation
from domogik.app.parts.packages import PackageServices, cache_directory
from domogik.app.parts.xpl_node import XplNode
from domogik.app.reactor import IWholeReactor
from domogik.app.roles import ManagerRoles
from domogik.components.model import Kind
from domogik.manager.fleet.hosts import Hosts
from domogik.manager.kinds.checkers import (
    CoreChecker,
    RepositoryChecker,
)
from domogik.manager.kinds.escape_checks import escape_check
from domogik.manager.kinds.host_checks import HostChecker
from domogik.manager.kinds.network_checks import NetworkChecks
from domogik.manager.local_host import LocalHost
from domogik.manager.plugins.autostart_notice import AutostartNotice
from domogik.manager.registry import IChecked
from domogik.packages.store.changes import Store
from domogik.threads import threads_of
from domogik.xpl.node.presence import Presence


@attrs.frozen(kw_only=True)
class Checkers:
    """Makes the checkers; `broken_packages()` returns sentences about unreadable descriptors."""

    reactor: IWholeReactor
    foundation: Foundation
    xpl_node: XplNode
    presence: Presence
    local_host: LocalHost
    core: CoreServices
    package_access: PackageServices
    hosts: Hosts
    roles: ManagerRoles
    notice: AutostartNotice
    broken_packages: Callable[[], Sequence[str]]

    def made(self) -> dict[Kind, IChecked]:
        """Return the checkers of core services, of the host and of the repositories."""
        thread, local_host = threads_of(self.reactor), self.local_host
        components = local_host.components
        home = self.foundation.home
        made: dict[Kind, IChecked] = {
            Kind.CORE: CoreChecker(
                components=components,
                findings=partial(findings, self.foundation.files, home),
                rest_problem=lambda: self.core.rest_problem,
                check_database=self.core.check_database,
                open_database=self.core.open_database,
                notice=self.notice,
                in_thread=thread,
            ),
            Kind.HOST: self._host(),
        }
        if self.foundation.settings.package_mode:
            packages = self.package_access.packages
            made[Kind.REPOSITORY] = RepositoryChecker(
                packages.repositories, packages.refresh, time.time
            )
        return made

    def _host(self) -> HostChecker:
        foundation = self.foundation
        cache = cache_directory(foundation)
        host = foundation.settings.hostname
        network = NetworkChecks(
            host, self._fullness, lambda: self.core.namesakes.sentence, self._second_roles
        )
        kept_by = self.local_host.supervisor.confinement.in_force
        return HostChecker(
            host=host,
            home=foundation.home,
            directories=(foundation.log_directory, foundation.pid_file.parent, cache),
            archives=cache / "archives",
            hub_problem=self._hub_problem,
            last_known=lambda: self.local_host.health.last_known_time,
            broken_packages=self.broken_packages,
            wall_clock=time.time,
            in_thread=threads_of(self.reactor),
            more=lambda: [*network(), escape_check(host, *kept_by())],
        )

    def _second_roles(self) -> str:
        others = {one.host for one in self.hosts.components() if one.id.kind is Kind.EXTERNAL}
        sentences = [
            f"{host} watches external members too: only the main host has -E"
            for host in sorted(others)
            if self.roles.external
        ]
        return "; ".join(filter(None, [self.core.namesakes.roles, *sentences]))

    def previous(self, plugin: str) -> str | None:
        """Return the release before the installed one; None if there is none. Blocks."""
        if not self.foundation.settings.package_mode:
            return None
        found = Store(self.foundation.home).previous("plugin", plugin)
        return found.release if found is not None else None

    def _fullness(self) -> str:
        return self.xpl_node.hub.fullness if self.xpl_node.hub is not None else ""

    def _hub_problem(self) -> str:
        if self.presence.hub_found:
            return ""
        port = self.xpl_node.network.xpl_port
        echo = self.presence.last_echo
        if echo is None:
            return f"no hub answers on port {port}"
        ago = self.reactor.seconds() - echo
        return f"no hub answers on port {port} any more, for {ago:.0f} s"
