"""An xPL network for the test of a plugin: hub, database manager, and the plugin's process.

It uses the loopback interface and any free port. A wait fails as soon as every plugin has ended,
with the last lines of their output::

    harness = PluginHarness(reactor, Path(self.mktemp()))
    harness.start()
    plugin = harness.run(script, "diskfree", {"path-1": "/"})
    message = await harness.heard(lambda message: message.schema == "sensor.basic")
    plugin.signal("TERM")
    assert await plugin.ended == 0
    await harness.stop()
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IProcessTransport,
    IReactorProcess,
    IReactorTime,
)
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

import domogik
from domogik.xpl.codec.message import CMND, STAT, Message
from domogik.xpl.hub.forwarding import Hub
from domogik.xpl.node.bus import Bus, Origin
from domogik.xpl.node.identity import Identity
from domogik.xpl.node.port import NetworkSettings, Port

HOST = "testhost"
#: the default limit of a wait in seconds
PATIENCE_S = 60.0
#: the seconds in which the last messages of a plugin arrive after its end
_LAST_MESSAGES_S = 0.5
_LINES = 20


class IHarnessReactor(IReactorTime, IReactorProcess):
    """The parts of a reactor that the harness needs."""


@attrs.define(eq=False)
class PluginProcess(ProcessProtocol):
    """The process of a plugin.

    `ended` fires with its exit status, or with minus the number of the signal that ended it.
    """

    name: str
    output: str = ""
    ended: Deferred[int] = attrs.field(factory=Deferred)
    transport: IProcessTransport = attrs.field(init=False)
    _waits: list[tuple[str, Deferred[None]]] = attrs.field(init=False, factory=list)
    #: is called after it has ended
    on_end: Callable[[], None] = attrs.field(default=lambda: None)
    status: int | None = attrs.field(init=False, default=None)

    @property
    def summary(self) -> str:
        """Whether it runs or how it ended, with the last lines of its output."""
        how = "runs" if self.status is None else f"ended with status {self.status}"
        lines = self.output.splitlines()[-_LINES:] or ["(nothing)"]
        return "\n  ".join((f"{self.name} {how}; what it wrote last:", *lines))

    def signal(self, name: str) -> None:
        """Send a signal such as `TERM` to the process, which must still run."""
        self.transport.signalProcess(name)

    def says(self, text: str) -> Deferred[None]:
        """Fire when `text` is in its output; fails with `AssertionError` if it ends before."""
        result: Deferred[None] = Deferred()
        self._waits.append((text, result))
        self._check_waits()
        return result

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output += data.decode("utf-8", "backslashreplace")
        self._check_waits()

    def _check_waits(self) -> None:
        for entry in tuple(self._waits):
            if entry[0] in self.output:
                self._waits.remove(entry)
                entry[1].callback(None)

    def processEnded(self, reason: Failure) -> None:
        for text, result in self._waits:
            result.errback(AssertionError(f"it ended without saying {text!r}: {self.output}"))
        error: Any = reason.value
        self.status = 0
        if not reason.check(ProcessDone):
            self.status = -error.signal if error.signal else error.exitCode
        self.on_end()
        self.ended.callback(self.status)


def _absolute(path: Path) -> Path:
    return path.absolute()


@attrs.define(eq=False)
class PluginHarness:
    """The network; `values` are those of the database manager, None if there is none."""

    _reactor: IHarnessReactor
    #: the home, configuration and data of the plugins; their working directory is the script's
    directory: Path = attrs.field(converter=_absolute)
    values: dict[str, str] | None = attrs.field(factory=dict)
    messages: list[Message] = attrs.field(init=False, factory=list)
    hub: Hub = attrs.field(init=False)
    #: the sender of the messages of `say`
    tester: Identity = attrs.field(init=False)
    _bus: Bus = attrs.field(init=False, factory=Bus)
    _port: Port = attrs.field(init=False)
    _dbmgr: Identity = attrs.field(init=False)
    _processes: list[PluginProcess] = attrs.field(init=False, factory=list)
    _check_later: IDelayedCall | None = attrs.field(init=False, default=None)
    _waits: list[tuple[Callable[[Message], bool], Deferred[Message]]] = attrs.field(
        init=False, factory=list
    )

    def start(self) -> None:
        """Open the hub on any free port of 127.0.0.1."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.hub = Hub(
            self._reactor,
            NetworkSettings(xpl_port=0),
            self.directory / "hub.json",
            self.directory / "invalid.log",
            wall_clock=time.time,
        )
        self.hub.start()
        self._port = Port(self._reactor, NetworkSettings(xpl_port=self.hub.port), self._bus)
        self._port.start()
        self._dbmgr = self._port.identity("dbmgr", HOST)
        self.tester = self._port.identity("tester", HOST)
        self._bus.subscribe(self._keep)
        self._bus.subscribe(self._answer_configuration, type=CMND, schema="domogik.config")
        self._dbmgr.presence.start()

    async def stop(self) -> None:
        """Kill the plugins that still run and close the network."""
        for process in self._processes:
            if not process.ended.called:
                process.signal("KILL")
                await process.ended
        for _, wait in tuple(self._waits):
            wait.cancel()
        if self._check_later is not None and self._check_later.active():
            self._check_later.cancel()
        await self._port.stop()
        await self.hub.stop()

    def run(
        self,
        script: Path,
        name: str,
        values: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> PluginProcess:
        """Start the plugin `name` as a manager does; `values` are added to the harness's."""
        if values:
            self.values = {**(self.values or {}), **values}
        if not script.is_file():
            raise AssertionError(f"there is no script {script.absolute()}")
        script = script.absolute()
        process = PluginProcess(name, on_end=self._check_all_ended)
        everything = {**self.environment(script, name), **(environment or {})}
        self._reactor.spawnProcess(
            process,
            sys.executable,
            [sys.executable, str(script)],
            env={key: value for key, value in everything.items() if value},
            path=str(script.parent),
        )
        self._processes.append(process)
        return process

    def environment(self, script: Path, name: str) -> dict[str, str]:
        """Return the environment that a manager gives to the plugin with that script."""
        source = script.parents[3] if len(script.parents) > 3 else script.parent
        ours = Path(domogik.__file__).parents[1]
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{source}{os.pathsep}{ours}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DOMOGIK_HOME": str(self.directory),
            "DOMOGIK_CONFIG": str(self.directory / "domogik.cfg"),
            "DOMOGIK_NAME": name,
            "DOMOGIK_HOST": HOST,
            "DOMOGIK_SOURCE": f"domogik-{name}.{HOST}",
            "DOMOGIK_DATA": str(self.directory / "data" / name),
            "DOMOGIK_RUN_ID": f"test-{name}",
            "XPL_ADDRESS": "127.0.0.1",
            "XPL_BROADCAST": "255.255.255.255",
            "XPL_PORT": str(self.hub.port),
        }

    def say(
        self, type: str, schema: str, body: Iterable[tuple[str, str]], target: str = "*"
    ) -> None:
        """Send a message from `tester`."""
        self.tester.send(type, schema, body, target=target)

    def heard(
        self, wanted: Callable[[Message], bool], timeout: float = PATIENCE_S
    ) -> Deferred[Message]:
        """Fire with the first message, received already or later, for which `wanted` is true."""
        for message in self.messages:
            if wanted(message):
                result: Deferred[Message] = Deferred()
                result.callback(message)
                return result
        return self.next(wanted, timeout)

    def next(
        self, wanted: Callable[[Message], bool], timeout: float = PATIENCE_S
    ) -> Deferred[Message]:
        """Fire with the first message from now on for which `wanted` is true."""
        result: Deferred[Message] = Deferred()
        entry = (wanted, result)
        self._waits.append(entry)
        self._check_all_ended()

        def timed_out(_: object, seconds: float) -> None:
            raise AssertionError(f"not heard within {seconds:g} s.{self._summaries()}")

        def over(answer: Any) -> Any:
            if entry in self._waits:
                self._waits.remove(entry)
            return answer

        return result.addTimeout(timeout, self._reactor, timed_out).addBoth(over)

    def _check_all_ended(self) -> None:
        waiting = self._check_later is not None and self._check_later.active()
        if self._all_ended() and not waiting:
            self._check_later = self._reactor.callLater(_LAST_MESSAGES_S, self._fail_waits)

    def _all_ended(self) -> bool:
        return bool(self._processes) and all(one.status is not None for one in self._processes)

    def _fail_waits(self) -> None:
        if self._all_ended():
            for _, result in tuple(self._waits):
                if not result.called:
                    result.errback(AssertionError(f"not heard.{self._summaries()}"))

    def _summaries(self) -> str:
        return "".join(f"\n{process.summary}" for process in self._processes)

    async def alive(self, process: PluginProcess) -> Message:
        """Return the heartbeat with which the plugin reports that it is ready."""
        source = f"domogik-{process.name}.{HOST}"
        return await self.heard(
            lambda message: (
                message.source == source
                and message.schema == "hbeat.app"
                and message.get("status") == "2"
            )
        )

    def said_by(self, process: PluginProcess, schema: str) -> list[Message]:
        """Return the messages of that schema that the plugin has sent."""
        source = f"domogik-{process.name}.{HOST}"
        return [m for m in self.messages if m.source == source and m.schema == schema]

    def _keep(self, message: Message, _: Origin) -> None:
        self.messages.append(message)
        for entry in tuple(self._waits):
            wanted, result = entry
            if not result.called and wanted(message):
                self._waits.remove(entry)
                result.callback(message)

    def _answer_configuration(self, message: Message, _: Origin) -> None:
        if self.values is None:
            return
        key = message.get("key", "")
        assert key is not None
        self._dbmgr.send(
            STAT,
            "domogik.config",
            (
                ("technology", message.get("technology") or ""),
                ("hostname", message.get("hostname") or ""),
                (key, self.values.get(key, "None")),
            ),
        )
