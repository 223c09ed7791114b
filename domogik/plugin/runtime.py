"""Runs a plugin from its start to its stop."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from domogik.config.plugin_environment import PluginEnvironment
from domogik.config.remembered import Remembered
from domogik.errors import DomogikError
from domogik.plugin.threads import IReactor, PluginThreads, Stopping, limited, name_of
from domogik.xpl.codec.message import CMND, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.configuration import ConfigurationClient
from domogik.xpl.node.heartbeats import Body
from domogik.xpl.node.identity import Identity
from domogik.xpl.node.port import Port

#: seconds that `stopping()` and `work()`, in parallel, have to end
STOPPING_TIMEOUT_S = 4.0
#: seconds from the stop to the exit, even if something hangs; the manager waits 10 before it kills
EXIT_TIMEOUT_S = 7


class IRunnablePlugin(Protocol):
    """The methods of a plugin that its runtime calls; `Plugin` describes them."""

    _runtime: PluginRuntime

    async def started(self) -> None: ...

    async def stopping(self) -> None: ...

    def work(self) -> None: ...


@attrs.define(eq=False)
class PluginRuntime:
    """Runs a plugin from its start to its stop, and implements the methods of `Plugin`.

    `has_work`: the plugin overrides `work`, which is then called in a thread.
    `now` returns Unix time; `alarm` is called with the number of seconds after which the process
    has to be gone, even if something hangs.
    """

    plugin: IRunnablePlugin
    has_work: bool
    environment: PluginEnvironment
    reactor: IReactor
    _bus: Bus
    _port: Port
    _now: Callable[[], float]
    _alarm: Callable[[int], object]
    exit_status: int = 0
    identity: Identity = attrs.field(init=False)
    config: ConfigurationClient = attrs.field(init=False)
    threads: PluginThreads = attrs.field(init=False)
    _log: Logger = Logger()
    _is_ending: bool = attrs.field(init=False, default=False)
    _has_left: bool = attrs.field(init=False, default=False)
    _starting: Deferred[None] | None = attrs.field(init=False, default=None)
    _worker: Deferred[None] | None = attrs.field(init=False, default=None)
    _subscriptions: list[Subscription] = attrs.field(init=False, factory=list)
    _timers: list[LoopingCall] = attrs.field(init=False, factory=list)
    _calls: set[IDelayedCall] = attrs.field(init=False, factory=set)
    _status_is_ours: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        name, host = self.environment.name, self.environment.host
        self.threads = PluginThreads(self.reactor)
        self.identity = self._port.identity(name, host)
        self.config = ConfigurationClient(
            identity=self.identity,
            technology=name,
            hostname=host,
            remembered=Remembered(self.environment.data / "configuration.json"),
            now=self._now,
            timeout=self.environment.query_timeout,
            provider=self.environment.config_provider,
        )
        self.plugin._runtime = self

    # Starting

    def start(self) -> None:
        """Open the port and look for the hub; `started()` is called when the hub answers."""
        if self.environment.complaint:
            self._log.warn("{complaint}", complaint=self.environment.complaint)
        try:
            self._port.start()
        except (DomogikError, OSError) as error:
            self._log.critical("{id} cannot start: {error}", id=self.environment.name, error=error)
            self.exit_status = 1
            self.reactor.stop()
            return
        self._bus.subscribe(
            self._on_stop_command, type=CMND, schema="domogik.system", body={"command": "stop"}
        )
        self.tell("looking for the hub", ours=True)
        self._log.info(
            "{source} listens at {address} and is looking for the hub",
            source=self.identity.source,
            address="{}:{}".format(*self._port.address),
        )
        self.identity.presence.on_hub(self._begin)
        self.identity.presence.start()

    def _begin(self) -> None:
        if not self._is_ending:
            self.tell("configuring", ours=True)
            starting = Deferred.fromCoroutine(self._started())
            self._starting = starting.addErrback(self._failed, "started")

    async def _started(self) -> None:
        await self.plugin.started()
        if self._is_ending:
            return
        self._subscribe_marked()
        if self.has_work:
            self._worker = self._start_work()
        self.identity.presence.ready()
        self.notify("READY=1\nSTATUS=" if self._status_is_ours else "READY=1")
        self._log.info("{source} is ready", source=self.identity.source)

    def _start_work(self) -> Deferred[None]:
        """Call `work()` in a thread; the Deferred fires when it has ended, also with an error."""
        over: Deferred[None] = Deferred()
        worked = self.threads.run(self.plugin.work).addErrback(self._failed, "work")
        _ = worked.addBoth(lambda _: over.callback(None))
        return over

    def _failed(self, failure: Failure, where: str) -> None:
        if self._is_ending and failure.check(CancelledError, Stopping):
            return
        self._log.failure("{where}() failed", failure, LogLevel.critical, where=where)
        self.stop(1)

    def _subscribe_marked(self) -> None:
        for name in dir(type(self.plugin)):
            for wish in getattr(getattr(type(self.plugin), name), "_listens", ()):
                self.listen(getattr(self.plugin, name), **wish)

    # Running

    def run_in_reactor(self, function: Callable[[], None]) -> None:
        """Call the function now, or in the reactor if this is another thread."""
        if self.threads.in_reactor:
            function()
        else:
            self.reactor.callFromThread(function)

    def send(self, type: str, schema: str, body: Body, target: str) -> None:
        """Send a message; after `hbeat.end` it is dropped."""
        if not self._has_left:
            self.identity.send(type, schema, body, target)

    def listen(self, handler: Callable[[Message], object], **wish: Any) -> Subscription:
        def receive(message: Message, _: Origin) -> object:
            return handler(message) if self.identity.is_for_me(message) else None

        subscription = self._bus.subscribe(receive, **wish)
        active = [one for one in self._subscriptions if one.active]
        self._subscriptions = [*active, subscription]
        return subscription

    def every(
        self, seconds: float, function: Callable[..., object], args: tuple[Any, ...], now: bool
    ) -> LoopingCall:
        timer = LoopingCall(self._guarded, function, args)
        timer.clock = self.reactor
        self._timers = [*(one for one in self._timers if one.running), timer]
        _ = timer.start(seconds, now)  # what it calls never fails
        return timer

    def later(
        self, seconds: float, function: Callable[..., object], args: tuple[Any, ...]
    ) -> IDelayedCall:
        def due() -> None:
            self._calls.discard(call)
            _ = self._guarded(function, args)

        self._calls = {call for call in self._calls if call.active()}
        call = self.reactor.callLater(seconds, due)
        self._calls.add(call)
        return call

    def _guarded(self, function: Callable[..., object], args: tuple[Any, ...]) -> Deferred[None]:
        """Call the function and wait for its result; an error is logged."""

        async def call() -> None:
            try:
                result = function(*args)
                if isinstance(result, Awaitable):
                    await result
            except Exception:  # noqa: BLE001 - errors of callbacks are logged
                self._log.failure("{function} failed", function=name_of(function))

        return Deferred.fromCoroutine(call())

    def tell(self, status: str, *, ours: bool = False) -> None:
        """Set the status; `ours` marks one that `READY=1` clears."""
        self._status_is_ours = ours
        self.notify(f"STATUS={status}")

    def notify(self, text: str) -> None:
        """Send lines such as READY=1 to the datagram socket in `NOTIFY_SOCKET` (sd_notify)."""
        address = self.environment.notify_socket
        if not address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(text.encode(), _socket_address(address))
            except OSError as error:
                self._log.debug(
                    "nothing listens at {address}: {error}", address=address, error=error
                )

    # Stopping

    def _on_stop_command(self, message: Message, _: Origin) -> None:
        """Obey `domogik.system` with `command=stop`; the manager is the one that answers it."""
        name, host = self.environment.name, self.environment.host
        if (
            self.identity.is_for_me(message)
            and message.get("host") == host
            and message.get("plugin") in (name, "*")
            and message.get("type", "plugin") == "plugin"
        ):
            self._log.info("{source} says stop", source=message.source)
            self.stop()

    def stop(self, status: int = 0) -> None:
        """Stop the plugin, send `hbeat.end` and stop the reactor; further calls have no effect."""
        if self._is_ending:
            return
        self._is_ending = True
        self.exit_status = status
        self._alarm(EXIT_TIMEOUT_S)
        self.notify("STOPPING=1")
        if self._starting is not None:
            self._starting.cancel()
        for subscription in self._subscriptions:
            subscription.cancel()
        for timer in self._timers:
            if timer.running:
                timer.stop()
        for call in self._calls:
            if call.active():
                call.cancel()
        self.threads.stop()
        end = Deferred.fromCoroutine(self._leave())
        end = end.addErrback(lambda failure: self._log.failure("leaving", failure))
        _ = end.addBoth(lambda _: self.reactor.stop())

    async def _leave(self) -> None:
        stopping = self._with_timeout("stopping()", Deferred.fromCoroutine(self.plugin.stopping()))
        worker = self._with_timeout("work()", self._worker) if self._worker is not None else None
        await stopping
        if worker is not None:
            await worker
        self._has_left = True
        self.identity.presence.leave()
        await self._with_timeout("closing the network", ensureDeferred(self._port.stop()))

    def _with_timeout(self, what: str, deferred: Deferred[None]) -> Deferred[None]:
        """Limit the Deferred to `STOPPING_TIMEOUT_S`, and log its failure."""

        def failed(failure: Failure) -> None:
            if failure.check(TimeoutError):
                self._log.warn("{what} is not done in time", what=what)
            elif not failure.check(Stopping):
                self._log.failure("{what} failed", failure, what=what)

        return limited(deferred, STOPPING_TIMEOUT_S, self.reactor).addErrback(failed)


def _socket_address(address: str) -> str:
    """Return the address for the kernel, where NUL stands for `@` in abstract ones."""
    return "\0" + address[1:] if address.startswith("@") else address
