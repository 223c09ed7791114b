"""The face for Domogik's own clients: their paths, and what is said where there is none.

A path that changes something accepts GET, as Domogik's clients do it, POST and PUT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.api.access import ForeignSite, TokenNeeded
from domogik.api.http.exchange import Call, Reply, Stream
from domogik.api.http.files import not_found
from domogik.api.rinor import envelope
from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.router import Asked, Handler, Path, Router
from domogik.components.model import Component
from domogik.errors import DomogikError, NoAnswer
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.table import Context, Right

_READ_METHODS = ("GET", "HEAD", "OPTIONS")
_CHANGE_METHODS = ("GET", "POST", "PUT", "OPTIONS")


class WrongMethod(RinorError):
    """The path is known and the method is not for it."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Method {method} is not for this path")
        self.allowed = allowed


@attrs.define(eq=False)
class Rinor:
    """The face for Domogik's own clients; every error ends in an envelope."""

    _root: Handler
    _routes: Sequence[Path]
    _log: Logger = Logger()
    _router: Router[Handler] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._router = Router(self._routes)

    async def answer(self, call: Call) -> Reply | Stream:
        """Never raises what a request can cause."""
        callback: str | None = None
        is_file = False
        try:
            if call.query_string and "callback" in call.query:
                call.access.check_script(call.caller)
                callback = envelope.check_callback(call.query["callback"])
            route, asked = self._find(call)
            methods = _CHANGE_METHODS if route.right is Right.CHANGE else _READ_METHODS
            if call.method not in methods:
                raise WrongMethod(call.method, methods)
            if call.method == "OPTIONS":
                return Reply(204, b"", "", (("Allow", ", ".join(methods)),))
            call.allow(route.right)  # before any text that an adapter has for a refusal
            is_file = route.is_file
            found = await route.handler(asked)
            if isinstance(found, RinorAnswer):
                found = found.encoded()
            return envelope.reply(found, callback) if isinstance(found, bytes) else found
        except Exception as error:  # noqa: BLE001 - the door: every request gets an answer
            return self._no_file(error) if is_file else self.failed(error, callback)

    def _no_file(self, error: Exception) -> Reply:
        if isinstance(error, DomogikError):
            self._log.info("there is no file to send: {why}", why=str(error))
            return not_found()
        self._log.failure("a file could not be sent", failure=Failure(error))
        return Reply(500, b"500 - Internal error", "text/plain", (("Cache-Control", "no-store"),))

    def failed(self, error: Exception, callback: str | None = None) -> Reply:
        """The one place where an error of these paths becomes an answer."""
        if isinstance(error, TokenNeeded):
            bearer = (("WWW-Authenticate", 'Bearer realm="domogik"'),)
            return envelope.reply(envelope.encode_error(str(error)), None, 401, bearer)
        if isinstance(error, ForeignSite):
            return envelope.reply(envelope.encode_error(str(error)), None, 403)
        if isinstance(error, WrongMethod):
            allow = (("Allow", ", ".join(error.allowed)),)
            return envelope.reply(envelope.encode_error(str(error)), None, 405, allow)
        if isinstance(error, RinorError):
            return envelope.reply(envelope.encode_error(str(error), error.type), callback)
        if isinstance(error, DomogikError):
            return envelope.reply(envelope.encode_error(str(error)), callback)
        self._log.failure("a RINOR path failed", failure=Failure(error))
        return envelope.reply(envelope.encode_error("Internal error, see the log"), callback)

    def _find(self, call: Call) -> tuple[Path, Asked]:
        if not call.parts:
            return Path("", self._root), Asked(call, {})
        first = call.parts[0].lower()
        parts = (first, *call.parts[1:])
        for found in self._router.find(call, parts):
            return found
        raise _no_such_path(parts, tuple(self._router.beginning(first)))


def identifier(text: str, what: str) -> str:
    """A name that stands in a path: no `/`, not too long; raises `RinorError`."""
    if not text or "/" in text or len(text) > 255:
        raise RinorError(f"Bad value for {what}")
    return text


def order(
    context: Context, kind: str, verb: str, last: str, find: Callable[[Asked], Component]
) -> Path:
    """`/<kind>/<verb>/<host>/<last>`: an operation on the component that `find` finds."""
    operation = TABLE[f"component.{verb}"]

    names = {one.name for one in operation.parameters}

    async def handler(asked: Asked) -> RinorAnswer:
        call = asked.call
        given = {name: text for name, text in call.query.items() if name in names}
        try:
            order = operation.order(call.acting_on(context), given, find=partial(find, asked))
            await order.begin()
        except NoAnswer as error:
            raise RinorError(f"No data or timeout on {verb} {kind} {asked[last]}") from error
        return RinorAnswer()

    return Path(f"{kind}/{verb}/<host>/<{last}>", handler, operation.right)


def _no_such_path(parts: tuple[str, ...], routes: Iterable[Path]) -> RinorError:
    """What Domogik said: too few parts, too many, or a word it does not know."""
    if not routes:
        return RinorError(f"Type [{parts[0]}] is not supported")
    if len(parts) == 1:
        return RinorError("Url too short")
    best: Path | None = None
    for route in routes:
        fixed = route.fixed
        if len(fixed) > 1 and parts[: len(fixed)] == fixed:
            best = route
            if len(parts) < len(route.words):
                return RinorError("Url too short")
    if best is not None:
        return RinorError(f"Wrong syntax for {best.fixed[-1]}")
    return RinorError(f"Bad operation for /{parts[0]}")
