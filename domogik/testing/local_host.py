"""A manager on a fake clock, without processes and network, for tests of it and its interfaces.

Configuration and descriptors are real files; processes and messages exist only in memory::

    manager = FakeManager(directory)
    manager.install("clock").configure("[plugins]\\nclock = enabled\\n").begin()
    start = manager.order("start", "clock")
    manager.beat("clock")
    assert manager.answer() == {"host": "vm", "command": "start", "plugin": "clock"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from domogik.components.events import Event, EventStream
from domogik.components.model import Component, ComponentId, Kind
from domogik.config.load import load
from domogik.control.system import SystemControl
from domogik.manager.assembly import Assembly, ManagerTools, StatusChanged
from domogik.manager.components import ComponentList
from domogik.manager.configuration import ConfigurationInForce
from domogik.manager.core_parts import CoreParts
from domogik.manager.jobs import Jobs
from domogik.manager.kinds.base import ComponentKind
from domogik.manager.plugins.heartbeat_senders import HeartbeatSenders
from domogik.manager.plugins.plugin_launch import PluginLaunch
from domogik.manager.trust import Trust
from domogik.manager.units.enabled_apps import EnabledApps
from domogik.manager.units.units import SystemUnits
from domogik.packages.store.installed import Inventory, developed_packages
from domogik.supervisor.ports.listeners import Listener, Owner
from domogik.supervisor.service import Supervisor
from domogik.testing.processes import FakeProcess, FakeProcesses
from domogik.testing.supervisor import FakeSupervisor
from domogik.testing.units import FakeSystemd, fake_units
from domogik.threads import at_once
from domogik.xpl.codec.codec import decode
from domogik.xpl.codec.message import CMND, STAT, TRIG, Message
from domogik.xpl.node.bus import Bus, Origin
from domogik.xpl.node.datagrams import Address, Receiver
from domogik.xpl.node.identity import Identity
from domogik.xpl.node.port import NetworkSettings, Port

HOST = "vm"
#: the addresses from which programs of this host and of another one send
LOCAL = ("127.0.0.1", 50123)
REMOTE = ("192.0.2.7", 50123)
#: Unix time at the beginning of the clock
START_TIME = 1_800_000_000.0

DESCRIPTOR = """<package type="{type}">
  <id>{id}</id>
  <version>{version}</version>
  <description>{description}</description>
  <changelog>none</changelog>
  <documentation>http://localhost/{id}</documentation>
  <author>Nobody</author>
  <author-email>nobody@localhost</author-email>
  {member}
  <configuration-keys>{keys}</configuration-keys>
  <files/><dependencies/><udev-rules/>
  <device_technology><id>{technology}</id><name>T</name><description>x</description>
  </device_technology>
  <device_types/><device_feature_models/>
</package>
"""
KEYS = """
    <key><order-id>0</order-id><name>startup-plugin</name><type>boolean</type>
      <description>Start with the manager</description><default-value>False</default-value></key>
    <key><order-id>1</order-id><name>interval</name><type>number</type>
      <description>Minutes</description><default-value>5</default-value></key>
"""


@attrs.define(eq=False, repr=False)
class FakeSocket:
    """A UDP socket without a network; `sent` has the messages and their addresses."""

    address: Address = ("127.0.0.1", 40999)
    sent: list[tuple[Message, Address]] = attrs.field(factory=list)

    def send(self, data: bytes, address: Address) -> None:
        self.sent.append((decode(data), address))

    def close(self) -> None:
        pass


@attrs.define(eq=False, repr=False)
class FakeNetwork:
    """An xPL port without a network; `said` has the messages that its identities sent."""

    clock: Clock = attrs.field(factory=Clock)
    bus: Bus = attrs.field(factory=Bus)
    socket: FakeSocket = attrs.field(factory=FakeSocket)
    said: list[Message] = attrs.field(factory=list)
    port: Port = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = Port(self.clock, NetworkSettings(), self.bus, Random(1), self._open)
        self.port.start()
        self.bus.subscribe(self._keep)

    def _open(self, reactor: IReactorTime, address: Address, receive: Receiver) -> FakeSocket:
        return self.socket

    def _keep(self, message: Message, origin: Origin) -> None:
        if origin.address is None:
            self.said.append(message)

    def turn(self, seconds: float = 0.0) -> None:
        """Advance the clock, then run calls until none is due."""
        self.clock.advance(seconds)
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def hear(
        self,
        type: str,
        source: str,
        schema: str,
        body: Iterable[tuple[str, str]],
        target: str = "*",
        address: Address = LOCAL,
    ) -> None:
        """Receive a datagram, which need not be a valid message."""
        lines = "".join(f"{name}={value}\n" for name, value in body)
        text = f"{type}\n{{\nhop=1\nsource={source}\ntarget={target}\n}}\n{schema}\n{{\n{lines}}}\n"
        self.port.received(text.encode("utf-8", "surrogateescape"), address)
        self.turn()

    def of(self, schema: str) -> list[Message]:
        """Return the messages of that schema that were sent, the oldest first."""
        return [message for message in self.said if message.schema == schema]


def checked_kind(kind: Kind, checks: Any, host: str = HOST) -> ComponentKind:
    """Return a kind of components that has only `checks`."""
    events = EventStream(lambda: START_TIME)
    nothing: Any = None
    return ComponentKind(
        kind=kind,
        components=ComponentList(events),
        supervisor=nothing,
        host=host,
        checks=checks,
    )


@attrs.define(eq=False, repr=False)
class FakeManager(Assembly):
    """A manager without processes, network and threads; all its other parts are the real ones."""

    directory: Path
    interfaces: dict[str, Any] = attrs.field(factory=dict)
    trusted: tuple[str, ...] = ()
    ping_timeout_s: float = 10.0
    ping_pause_s: float | None = None
    #: the UDP addresses that the processes of plugins have bound
    bound: dict[str, list[Address]] = attrs.field(factory=dict)
    #: UDP ports of other programs, and UDP ports of no program; all others are the plugins'
    foreign_ports: set[int] = attrs.field(factory=set)
    free_ports: set[int] = attrs.field(factory=set)
    hub_is_elsewhere: bool = False
    network: FakeNetwork = attrs.field(factory=FakeNetwork)
    systemd: FakeSystemd = attrs.field(factory=FakeSystemd)
    published: list[Event] = attrs.field(factory=list)
    upgrades: int = 0
    identity: Identity = attrs.field(init=False)
    file: Path = attrs.field(init=False)
    source: Path = attrs.field(init=False)
    processes: FakeProcesses = attrs.field(init=False)
    core: CoreParts = attrs.field(init=False)
    control: SystemControl = attrs.field(init=False)
    keeper: ConfigurationInForce = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        network, clock, bus = self.network, self.network.clock, self.network.bus
        self.identity = network.port.identity("manager", HOST)
        self.file = self.directory / "domogik.cfg"
        self.source = self.directory / "src"
        (self.source / "share" / "domogik" / "plugins").mkdir(parents=True, exist_ok=True)
        self.file.touch()
        self.processes = FakeProcesses(clock)
        reactor: Any = clock
        Assembly.__init__(
            self,
            ManagerTools(
                host=HOST,
                reactor=reactor,
                wall_clock=self._now,
                threads=at_once,
                bus=bus,
                trust=Trust("127.0.0.1", self.trusted, lambda: self.interfaces),
                make_supervisor=self._make_supervisor,
                make_units=self._make_units,
                launch=PluginLaunch(HOST, "python", self.file, {"PATH": "/bin"}, self._data),
                directory=self.directory,
                daemons=self.directory / "daemons",
                backups=self.directory / "backups",
                health_state=self.directory / "health.json",
            ),
        )
        self.events.subscribe(self.published.append)
        self.core = CoreParts(HOST, self.components)
        self.register_kinds(self.core, {})
        self.keeper = ConfigurationInForce(
            paths=(self.file,),
            current=load([self.file]),
            scan=self._scan,
            apply=self._apply,
            in_thread=at_once,
            events=self.events,
        )
        self._make_speaking_parts()

    def _make_speaking_parts(self) -> None:
        clock, bus = self.network.clock, self.network.bus
        self.connect(
            self.identity,
            patience_s=10.0,
            package_mode=False,
            heartbeat_senders=HeartbeatSenders(
                self.trust.is_own,
                lambda: self.hub_is_elsewhere,
                self._receivers,
                self._owners,
            ),
            find_addresses=self._find,
            ping_timeout_s=self.ping_timeout_s,
            ping_pause_s=self.ping_pause_s,
        )
        self.control = SystemControl(
            clock=clock,
            identity=self.identity,
            bus=bus,
            local_host=self.local_host,
            all_hosts=self.all_hosts,
            trust=self.trust,
            events=self.events,
        )

    def _make_supervisor(self, on_change: StatusChanged) -> Supervisor:
        reactor: Any = self.network.clock
        made = FakeSupervisor(
            reactor,
            self.directory / "run",
            self.directory / "log",
            on_change=on_change,
            wall_clock=self._now,
            random=lambda: 0.0,
        )
        made.use(self.processes)
        return made

    def _make_units(self, components: ComponentList, jobs: Jobs) -> SystemUnits:
        clock = self.network.clock
        units, apps = fake_units(self.systemd, clock, {}), EnabledApps(self.directory / "apps.json")
        return SystemUnits(
            host=HOST, units=units, components=components, jobs=jobs, clock=clock, enabled_apps=apps
        )

    async def _find(self, processes: Mapping[str, frozenset[int]]) -> dict[str, list[Address]]:
        return {name: self.bound[name] for name in processes if name in self.bound}

    def _receivers(self, ip: str, port: int) -> list[Listener]:
        return (
            []
            if port in self.free_ports
            else [Listener(kind="udp4", address=ip, port=port, inode=port, v6only=False, uid=0)]
        )

    def _owners(self, inodes: Iterable[int], among: Iterable[int]) -> dict[int, list[Owner]]:
        mine = [Owner(pid, "plugin", None) for pid in among]
        return {inode: [] if inode in self.foreign_ports else mine for inode in inodes}

    def _now(self) -> float:
        return START_TIME + self.network.clock.seconds()

    def upgrade(self) -> None:
        """Count the upgrade."""
        self.upgrades += 1

    def _data(self, name: str) -> Path:
        directory = self.directory / "data" / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _scan(self) -> Inventory:
        return developed_packages([self.source])

    def _apply(self, inventory: Inventory, configuration: Any) -> None:
        self.take_over(inventory, configuration)

    async def reload(self) -> None:
        """Read the files again."""
        await self.keeper.reload()

    # Files and orders

    def install(
        self, name: str, *, type: str = "plugin", script: bool = True, **fields: str
    ) -> FakeManager:
        """Write the descriptor and the script; `fields` fill in `DESCRIPTOR`."""
        given = {
            "version": "1.0",
            "description": f"Plugin {name}",
            "technology": "service",
            "member": "",
            "keys": KEYS if type == "plugin" else "",
            **fields,
        }
        descriptor = self.descriptor(name, type)
        descriptor.parent.mkdir(parents=True, exist_ok=True)
        descriptor.write_text(DESCRIPTOR.format(type=type, id=name, **given), encoding="utf-8")
        if script and type == "plugin":
            program = self.source / "domogik_packages" / "xpl" / "bin" / f"{name}.py"
            program.parent.mkdir(parents=True, exist_ok=True)
            program.touch()
        return self

    def descriptor(self, name: str, type: str = "plugin") -> Path:
        """Return the path of a package's descriptor."""
        return self.source / "share" / "domogik" / f"{type}s" / f"{name}.xml"

    def configure(self, text: str) -> FakeManager:
        """Write the configuration file."""
        self.file.write_text(text, encoding="utf-8")
        return self

    def begin(self) -> FakeManager:
        """Read the files and start all parts."""
        self.read()
        self.units.watch()
        for part in (self.control, self.pings, self.hosts, self.externals):
            part.start()
        self.network.turn()
        self.network.said.clear()
        self.published.clear()
        return self

    def read(self) -> FakeManager:
        """Read the files as after a change in the file system."""
        self.keeper.changed(set())
        return self

    def order(self, command: str, plugin: str, **more: str) -> None:
        """Receive an order on xPL from a program of this host."""
        body = {"command": command, "host": HOST, "plugin": plugin, **more}
        self.network.hear(CMND, "domogik-test.vm", "domogik.system", body.items())

    def start(self, *names: str) -> FakeManager:
        """Start plugins and receive their heartbeats."""
        for name in names:
            self.order("start", name)
            self.beat(name)
        self.network.turn(1.0)
        self.network.said.clear()
        self.published.clear()
        return self

    # Messages of plugins and external members

    def beat(
        self, name: str, status: str | None = "2", host: str = HOST, port: str = "50001"
    ) -> None:
        """Receive the heartbeat of a plugin."""
        body = [("interval", "5"), ("port", port), ("remote-ip", "127.0.0.1")]
        if status is not None:
            body.append(("status", status))
        self.network.hear(STAT, f"domogik-{name}.{host}", "hbeat.app", body)

    def leave(self, name: str) -> None:
        """Receive the `hbeat.end` of a plugin."""
        self.network.hear(STAT, f"domogik-{name}.{HOST}", "hbeat.end", [("interval", "5")])

    def member(
        self, source: str, schema: str = "hbeat.basic", body: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Receive a message of an external member."""
        self.network.hear(STAT, source, schema, body or [("interval", "5")])

    # Results

    def process(self, name: str) -> FakeProcess:
        """Return the running process of a plugin."""
        (found,) = [
            process
            for process in self.processes.living
            if process.program is not None
            and process.program.environment.get("DOMOGIK_NAME") == name
        ]
        return found

    def plugin(self, name: str) -> Component:
        """Return the plugin from the list of components."""
        component = self.components.get(ComponentId(Kind.PLUGIN, name))
        assert component is not None, f"{name} is not listed"
        return component

    def external(self, name: str) -> Component:
        """Return the external member from the list of components."""
        component = self.components.get(ComponentId(Kind.EXTERNAL, name))
        assert component is not None, f"{name} is not listed"
        return component

    def answers(self) -> list[Message]:
        """Return the answers sent so far, except lists."""
        return [
            message
            for message in self.network.of("domogik.system")
            if message.type == TRIG and message.get("command") != "list"
        ]

    def answer(self) -> dict[str, str]:
        """Return the body of the only answer."""
        (message,) = self.answers()
        return dict(message.body)

    def lists(self) -> list[dict[str, str]]:
        """Return the bodies of the lists that were sent."""
        return [
            dict(message.body)
            for message in self.network.of("domogik.system")
            if message.type == TRIG and message.get("command") == "list"
        ]
