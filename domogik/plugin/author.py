"""What the author of a plugin overrides and calls."""

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
    from domogik.plugin.life import Life
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
    """Mark a method that wants such messages, from the moment `started()` is done.

    What the words mean is said at `Plugin.listen`; several marks on one method add up.
    """

    def mark(method: Method) -> Method:
        wishes = getattr(method, "_listens", ())
        wish = {"schema": schema, "type": type, "source": source, "body": body}
        method._listens = (*wishes, wish)  # type: ignore[attr-defined]
        return method

    return mark


class Plugin:
    """A program of the house. Override what you need; there is no `__init__` to call.

    `log` is a `twisted.logger.Logger`: `self.log.info("{n} found", n=3)`. What happens to go wrong
    in a timer or in a message's handler is logged, and the plugin goes on. Unless said otherwise,
    methods are called in the reactor's thread.
    """

    #: what it is called when no manager says so; by default its script's name
    name: ClassVar[str] = ""
    log = Logger()
    _life: Life

    # What you write

    async def started(self) -> None:
        """The hub is found: read the configuration, set up timers and listeners.

        When it is done the plugin counts as alive. If it raises, the plugin ends with status 1.
        """

    async def stopping(self) -> None:
        """The plugin was told to stop: put away what must be put away, within 4 seconds.

        Timers and listeners are gone already; `send` still works.
        """

    def work(self) -> None:
        """Blocking code, in a thread of its own once `started()` is done.

        It ends soon after `sleep` answered False. It may return earlier: the plugin lives on. If
        it raises, the plugin ends with status 1.
        """

    # Who and where it is

    @property
    def id(self) -> str:
        """Its short name, such as `diskfree`."""
        return self._life.surroundings.name

    @property
    def host(self) -> str:
        """The host's name as xPL spells it."""
        return self._life.surroundings.host

    @property
    def source(self) -> str:
        """Its xPL address, `domogik-<id>.<host>`."""
        return self._life.identity.source

    @property
    def data(self) -> Path:
        """A private directory of its own, which survives updates; made when asked for."""
        path = self._life.surroundings.data
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def daemon(self, name: str) -> str:
        """Where the managed daemon of that name is: a URL with its password, a secret.

        For those that stand in this plugin's `needs` as `daemon:<name>`; each is ready before the
        plugin starts. Raises `LookupError` for any other.
        """
        url = self._life.surroundings.daemons.get(name.upper().replace("-", "_"))
        if url is None:
            raise LookupError(
                f"no daemon {name}: write needs = daemon:{name} in [component:plugin:{self.id}]"
            )
        return url

    @property
    def config(self) -> ConfigurationClient:
        """What a person has set: `await self.config.integer("interval", 60)`; see there."""
        return self._life.config

    @property
    def reactor(self) -> IReactor:
        """Twisted's, for endpoints, processes and whatever else it offers."""
        return self._life.reactor

    # What it can do

    def send(self, type: str, schema: str, body: Pairs, target: str = "*") -> None:
        """Send a message, from any thread; values become text.

        `body` is a mapping, or pairs where a name comes more than once. Raises `InvalidMessage`
        for what xPL cannot say.
        """
        pairs = body.items() if isinstance(body, Mapping) else body
        lines = tuple((name, str(value)) for name, value in pairs)
        # Checked in the caller's thread, so that the caller hears of it.
        encode(Message(type, self.source, target, schema, lines))
        self._life.in_reactor(lambda: self._life.send(type, schema, lines, target))

    def listen(
        self,
        handler: Callable[[Message], object],
        *,
        schema: str | None = None,
        type: str | None = None,
        source: str | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Subscription:
        """Call `handler(message)`, which may be `async`, for each message to everyone or to us.

        `schema` is exact or one class (`control.*`), `type` is `CMND`, `STAT` or `TRIG`, `source`
        may have wildcards (`domogik-*.vm`), `body` names values it must have. `.cancel()` the
        answer to hear no more. Anybody on the network can send a message, under any name: decide
        what you do for them.
        """
        return self._life.listen(handler, schema=schema, type=type, source=source, body=body)

    def every(
        self, seconds: float, function: Callable[..., object], *args: Any, now: bool = True
    ) -> LoopingCall:
        """Call `function`, which may be `async`, every so many seconds until `.stop()`.

        The first time at once unless `now` is False; never again before the last call is done.
        """
        return self._life.every(seconds, function, args, now)

    def later(self, seconds: float, function: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call `function`, which may be `async`, once; `.cancel()` the answer to drop it."""
        return self._life.later(seconds, function, args)

    def in_thread(
        self, function: Callable[..., T], *args: Any, timeout: float | None = None
    ) -> Deferred[T]:
        """Run blocking code elsewhere: `await self.in_thread(read_meter, port, timeout=5)`.

        After `timeout` seconds it fails with `TimeoutError`. The thread cannot be ended and keeps
        one of ten places until it ends by itself.
        """
        return self._life.threads.run_bounded(function, args, timeout)

    def sleep(self, seconds: float) -> bool:
        """In a thread: wait; True when the time is over, False as soon as the plugin stops."""
        return self._life.threads.sleep(seconds)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """In a thread: the result of something awaitable, `self.wait(self.config("colour"))`.

        Raises what it raises, and `Stopping` as soon as the plugin stops.
        """
        return self._life.threads.wait(awaitable)

    def tell(self, status: str) -> None:
        """Say in a few words what it does, for who started it (`STATUS=` of sd_notify)."""
        self._life.tell(" ".join(status.split()))

    def stop(self, status: int = 0) -> None:
        """End the plugin, from any thread; a `status` other than 0 counts as a failure."""
        self._life.in_reactor(lambda: self._life.stop(status))
