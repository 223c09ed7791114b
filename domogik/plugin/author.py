"""The class that the author of a plugin derives from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from domogik.xpl.codec.codec import encode
from domogik.xpl.codec.message import Message
from domogik.xpl.node.bus import Subscription
from domogik.xpl.node.configuration import ConfigurationClient

if TYPE_CHECKING:
    from domogik.plugin.runtime import PluginRuntime
    from domogik.plugin.threads import IReactor

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., object])
Pairs = Mapping[str, object] | Iterable[tuple[str, object]]


def listen(
    *,
    schema: str | None = None,
    type: str | None = None,
    source: str | None = None,
    body: Mapping[str, str] | None = None,
) -> Callable[[Method], Method]:
    """Mark a method to be called for matching messages, once `started()` is done.

    `Plugin.listen` explains the parameters; several marks on one method add up.
    """

    def mark(method: Method) -> Method:
        wishes = getattr(method, "_listens", ())
        wish = {"schema": schema, "type": type, "source": source, "body": body}
        method._listens = (*wishes, wish)  # type: ignore[attr-defined]
        return method

    return mark


class Plugin:
    """The base class of plugins. Override what you need; there is no `__init__` to call.

    `log` is a `twisted.logger.Logger`: `self.log.info("{n} found", n=3)`. An error in a timer or a
    message handler is logged, and the plugin goes on. Unless said otherwise, methods are called in
    the reactor's thread.
    """

    #: the plugin's id if it is started without a manager; by default the script's name
    name: ClassVar[str] = ""
    log = Logger()
    _runtime: PluginRuntime

    # Methods to override

    async def started(self) -> None:
        """Read the configuration and set up timers and listeners; called when the hub is found.

        When it returns, the plugin is alive. If it raises, the plugin ends with status 1.
        """

    async def stopping(self) -> None:
        """Clean up within 4 seconds; called when the plugin was told to stop.

        Timers and listeners are cancelled already; `send` still works.
        """

    def work(self) -> None:
        """Run blocking code in a thread of its own; called once `started()` is done.

        It ends soon after `sleep` returned False, or earlier, in which case the plugin goes on. If
        it raises, the plugin ends with status 1.
        """

    # The plugin and its host

    @property
    def id(self) -> str:
        """The plugin's id, such as `diskfree`."""
        return self._runtime.environment.name

    @property
    def host(self) -> str:
        """The host's name on xPL."""
        return self._runtime.environment.host

    @property
    def source(self) -> str:
        """The plugin's xPL address, `domogik-<id>.<host>`."""
        return self._runtime.identity.source

    @property
    def data(self) -> Path:
        """The plugin's private directory, which survives updates; it is created when needed."""
        path = self._runtime.environment.data
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def daemon(self, name: str) -> str:
        """Return the URL of a managed daemon, with its password, which is a secret.

        The plugin's `needs` must list the daemon as `daemon:<name>`; it is ready before the plugin
        starts. Raises `LookupError` for any other.
        """
        url = self._runtime.environment.daemons.get(name.upper().replace("-", "_"))
        if url is None:
            raise LookupError(
                f"no daemon {name}: write needs = daemon:{name} in [component:plugin:{self.id}]"
            )
        return url

    @property
    def config(self) -> ConfigurationClient:
        """The plugin's settings: `await self.config.integer("interval", 60)`."""
        return self._runtime.config

    @property
    def reactor(self) -> IReactor:
        """Twisted's reactor, for endpoints, processes and the like."""
        return self._runtime.reactor

    # Actions

    def send(self, type: str, schema: str, body: Pairs, target: str = "*") -> None:
        """Send a message, from any thread; values are converted to text.

        `body` is a mapping, or pairs if a name is repeated. Raises `InvalidMessage` for what xPL
        does not allow.
        """
        pairs = body.items() if isinstance(body, Mapping) else body
        lines = tuple((name, str(value)) for name, value in pairs)
        # Checked in the caller's thread, so that the caller gets the error.
        encode(Message(type, self.source, target, schema, lines))
        self._runtime.run_in_reactor(lambda: self._runtime.send(type, schema, lines, target))

    def listen(
        self,
        handler: Callable[[Message], object],
        *,
        schema: str | None = None,
        type: str | None = None,
        source: str | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Subscription:
        """Call `handler(message)`, which may be `async`, for messages to everyone or to this
        plugin.

        `schema` is exact or a class (`control.*`), `type` is `CMND`, `STAT` or `TRIG`, `source` may
        have wildcards (`domogik-*.vm`), `body` names required values. The result's `.cancel()` ends
        it. Any program on the network can send a message under any name, so decide what you do for
        it.
        """
        return self._runtime.listen(handler, schema=schema, type=type, source=source, body=body)

    def every(
        self, seconds: float, function: Callable[..., object], *args: Any, now: bool = True
    ) -> LoopingCall:
        """Call `function`, which may be `async`, every `seconds` until `.stop()` of the result.

        The first call is immediate unless `now` is False; a call waits until the previous one is
        done.
        """
        return self._runtime.every(seconds, function, args, now)

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call `function`, which may be `async`, once; the result's `.cancel()` prevents it."""
        return self._runtime.later(seconds, function, args)

    def in_thread(
        self, function: Callable[..., T], *args: Any, timeout: float | None = None
    ) -> Deferred[T]:
        """Call blocking code in a thread: `await self.in_thread(read_meter, port, timeout=5)`.

        After `timeout` seconds it fails with `TimeoutError`. The thread cannot be ended and counts
        as one of at most ten until it ends by itself.
        """
        return self._runtime.threads.run_bounded(function, args, timeout)

    def sleep(self, seconds: float) -> bool:
        """Wait in a thread; return True after the time, False as soon as the plugin stops."""
        return self._runtime.threads.sleep(seconds)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Return the result of an awaitable in a thread: `self.wait(self.config("colour"))`.

        Raises what it raises, and `Stopping` as soon as the plugin stops.
        """
        return self._runtime.threads.wait(awaitable)

    def tell(self, status: str) -> None:
        """Report a short status to the manager (`STATUS=` of sd_notify)."""
        self._runtime.tell(" ".join(status.split()))

    def stop(self, status: int = 0) -> None:
        """Stop the plugin, from any thread; a `status` other than 0 counts as a failure."""
        self._runtime.run_in_reactor(lambda: self._runtime.stop(status))
