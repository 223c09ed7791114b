"""A manager in package mode without processes, network and threads; its packages are real files.

The archives that `publish` makes are the packages of all repositories::

    manager = FakePackageManager(directory)
    manager.publish("lamp", "1.0")
    manager.begin()
    manager.say("install", source="cache", type="plugin", id="lamp", release="1.0", part="xpl")
    assert manager.packages_said()[-1]["command"] == "install"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from domogik.config.home import Home
from domogik.control.package import PackageControl
from domogik.manager.packages.local import LocalPackages
from domogik.manager.packages.offers import MainHostOffers
from domogik.manager.packages.remote import PackageHosts
from domogik.manager.packages.rest_servers import RestServers
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.descriptor.requirements import Requirement
from domogik.packages.needs.dependencies import DependencyChecker
from domogik.packages.needs.environment import EnvironmentMaker, PythonEnvironment
from domogik.packages.publish.build import create
from domogik.packages.repositories.index import UnknownRelease
from domogik.packages.store.changes import Store
from domogik.packages.store.installation import Installation, Place
from domogik.packages.store.installed import Inventory, find_packages
from domogik.supervisor.interfaces import Exit
from domogik.supervisor.processes.command import Completed
from domogik.testing.local_host import DESCRIPTOR, HOST, LOCAL, FakeManager
from domogik.threads import at_once
from domogik.xpl.codec.message import CMND, TRIG
from domogik.xpl.node.datagrams import Address

_FILE = "src/domogik_packages/xpl/bin/{id}.py"


@attrs.define(eq=False, repr=False)
class FakePackageManager(FakeManager):
    """`FakeManager` with a store of packages.

    `fetched` lists the packages that were fetched, with the place if the order named one; fetches
    wait for `held`. `pip` is the output of every command.
    """

    managed: bool = True
    handles_externals: bool = True
    fetched: list[tuple[PackageRef, Place | None]] = attrs.field(factory=list)
    held: Deferred[None] | None = None
    pip: bytes = b"{}"
    offered: str | None = None
    home: Home = attrs.field(init=False)
    store: Store = attrs.field(init=False)
    package_access: LocalPackages = attrs.field(init=False)
    package_control: PackageControl = attrs.field(init=False)
    rests: RestServers = attrs.field(init=False)
    _archives: dict[PackageRef, Path] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        FakeManager.__attrs_post_init__(self)
        self.home = Home(self.directory)
        self.home.create()
        self.store = Store(self.home)
        run, thread = self._run, at_once
        self.package_access = LocalPackages(
            host=HOST,
            managed=self.managed,
            handles_externals=self.handles_externals,
            configuration_file=self.file,
            plugins=self.plugins,
            store=self.store,
            fetch=self._fetch,
            updates_directory=self.home.run / "updates",
            jobs=self.jobs,
            own_environment=PythonEnvironment(Path("python"), run),
            environments=EnvironmentMaker(run, thread),
            make_checker=lambda release_of: DependencyChecker(run, thread, release_of, self._offer),
            in_thread=thread,
            reload=self.reload,
            events=self.events,
            clock=self.network.clock,
        )
        self.rests = RestServers(self.identity, self.network.bus)
        others = PackageHosts(self.identity, self.network.bus, self.events, self.hosts.asking, HOST)
        self.package_control = PackageControl(
            clock=self.network.clock,
            identity=self.identity,
            bus=self.network.bus,
            local_host=self.package_access,
            trust=self.trust,
            rests=self.rests,
            elsewhere=MainHostOffers(HOST, self.rests, others),
            events=self.events,
        )

    def _scan(self) -> Inventory:
        return find_packages(self.home, self.managed, [self.source])

    def _apply(self, inventory: Inventory, configuration: Any) -> None:
        FakeManager._apply(self, inventory, configuration)
        self.package_access.update_list(inventory)

    async def _fetch(self, installation: Installation) -> Path:
        ref = installation.ref
        self.fetched.append((ref, installation.place))
        if self.held is not None:
            await self.held
        if ref not in self._archives:
            raise UnknownRelease(ref.type, ref.id, ref.release)
        return self._archives[ref]

    async def _run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,  # noqa: ASYNC109 - the name is that of `RunCommand`
        limit_bytes: int,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        return Completed(Exit(code=0), self.pip, timed_out=False, truncated=False)

    def _offer(self, requirement: Requirement) -> str | None:
        return self.offered

    # Packages and orders

    def publish(
        self, name: str, release: str, *, type: str = "plugin", **fields: str
    ) -> PackageRef:
        """Offer a package; `fields` fill in `DESCRIPTOR` or are the content of its elements."""
        source = self.directory.parent / f"source-{type}-{name}-{release}"
        descriptor = source / f"src/share/domogik/{type}s/{name}.xml"
        script = source / _FILE.format(id=name)
        for path in (descriptor, script):
            path.parent.mkdir(parents=True)
        given = {"description": "x", "technology": "service", "member": "", "keys": ""}
        given |= {key: value for key, value in fields.items() if key in given}
        text = DESCRIPTOR.format(type=type, id=name, version=release, **given)
        files = f"<file path='{_FILE.format(id=name)}'/>" if type == "plugin" else ""
        for element in ("dependencies", "udev-rules"):
            inside = fields.get(element.replace("-", "_"), "")
            text = text.replace(f"<{element}/>", f"<{element}>{inside}</{element}>")
        descriptor.write_text(text.replace("<files/>", f"<files>{files}</files>"))
        script.write_text(f"# {release}\n")
        ref = PackageRef(type, name, release)
        self._archives[ref] = create(source, self.directory.parent)
        return ref

    def begin(self) -> FakePackageManager:
        """Read the files and start all parts."""
        FakeManager.begin(self)
        self.rests.start()
        self.package_control.start()
        self.network.turn()
        self.network.said.clear()
        self.published.clear()
        return self

    def say(self, command: str, *, host: str | None = HOST, **pairs: str) -> None:
        """Receive a command about packages from a program of this host."""
        body = {"command": command, **({} if host is None else {"host": host}), **pairs}
        self.hear(body)

    def hear(self, body: Mapping[str, str], *, target: str = "*", address: Address = LOCAL) -> None:
        """Receive a command about packages with any body."""
        self.network.hear(
            CMND, "domogik-test.vm", "domogik.package", body.items(), target=target, address=address
        )

    def install_package(self, ref: PackageRef, part: str = "xpl") -> None:
        """Install a package and forget the messages about it."""
        failed: list[Any] = []
        _ = Deferred.fromCoroutine(self.package_access.install(ref, part)).addErrback(failed.append)
        self.network.turn()
        assert failed == [], failed[0].getErrorMessage()
        self.network.said.clear()

    # Results

    def packages_said(self) -> list[dict[str, str]]:
        """Return the bodies of all answers about packages, the oldest first."""
        return [
            dict(message.body)
            for message in self.network.of("domogik.package")
            if message.type == TRIG
        ]

    def last_said(self) -> dict[str, str]:
        """Return the body of the last answer about packages."""
        return self.packages_said()[-1]
