"""Which RINOR path is which operation, and what is said where there is none?

The table is the grammar: a pattern is literal words and `<names>`; `<rest...>` takes what is left.
An operation that changes something accepts GET, as Domogik's clients do it, POST and PUT.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.api.access import ForeignSite, Need, TokenNeeded
from domogik.api.http.exchange import Call, Reply, Stream
from domogik.api.http.files import not_found
from domogik.api.rinor import envelope
from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.errors import DomogikError

_READ_METHODS = ("GET", "HEAD", "OPTIONS")
_CHANGE_METHODS = ("GET", "POST", "PUT", "OPTIONS")


@attrs.frozen
class Asked:
    """The names of the pattern with what stood in their place, and who asks."""

    call: Call
    values: Mapping[str, str]
    rest: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str:
        return self.values[name]


#: an operation answers, hands out an envelope that was encoded before, or a file
Handler = Callable[[Asked], Awaitable[RinorAnswer | bytes | Reply | Stream]]


@attrs.frozen
class Operation:
    """One line of the table; `pattern` such as `plugin/detail/<host>/<id>`.

    Where it gives a file (`is_file`), whatever cannot be given is a plain 404: who asks keeps what
    comes, and an envelope is no archive.
    """

    pattern: str
    handler: Handler
    need: Need = Need.READ
    is_file: bool = False
    words: tuple[str, ...] = attrs.field(init=False)

    @words.default
    def _words(self) -> tuple[str, ...]:
        return tuple(self.pattern.split("/"))

    @property
    def fixed(self) -> tuple[str, ...]:
        """The literal words before the first name."""
        words = []
        for word in self.words:
            if word.startswith("<"):
                break
            words.append(word)
        return tuple(words)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that this path accepts."""
        return _CHANGE_METHODS if self.need is Need.CHANGE else _READ_METHODS

    def match(self, call: Call, parts: Sequence[str]) -> Asked | None:
        """The call, where it is for this operation."""
        open_ended = self.words[-1] == "<rest...>"
        words = self.words[:-1] if open_ended else self.words
        if len(parts) < len(words) or (len(parts) > len(words) and not open_ended):
            return None
        values = {}
        for word, part in zip(words, parts, strict=False):
            if word.startswith("<"):
                values[word[1:-1]] = part
            elif word != part:
                return None
        return Asked(call, values, tuple(parts[len(words) :]))


class WrongMethod(RinorError):
    """The path is known and the method is not for it."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Method {method} is not for this path")
        self.allowed = allowed


@attrs.define(eq=False)
class Rinor:
    """The face for Domogik's own clients; every error ends in an envelope."""

    _root: Handler
    _operations: Sequence[Operation]
    _log: Logger = Logger()
    _by_first: dict[str, list[Operation]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        for operation in self._operations:
            self._by_first.setdefault(operation.words[0], []).append(operation)

    async def answer(self, call: Call) -> Reply | Stream:
        """Never raises what a request can cause."""
        callback: str | None = None
        is_file = False
        try:
            if call.query_string and "callback" in call.query:
                call.access.check_script(call.caller)
                callback = envelope.check_callback(call.query["callback"])
            asked, operation = self._find(call)
            if call.method not in operation.methods:
                raise WrongMethod(call.method, operation.methods)
            if call.method == "OPTIONS":
                return Reply(204, b"", "", (("Allow", ", ".join(operation.methods)),))
            call.allow(operation.need)
            is_file = operation.is_file
            found = await operation.handler(asked)
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

    def _find(self, call: Call) -> tuple[Asked, Operation]:
        if not call.parts:
            return Asked(call, {}), Operation("", self._root)
        first = call.parts[0].lower()
        operations = self._by_first.get(first)
        if operations is None:
            raise RinorError(f"Type [{first}] is not supported")
        parts = (first, *call.parts[1:])
        for operation in operations:
            asked = operation.match(call, parts)
            if asked is not None:
                return asked, operation
        raise _no_such_path(parts, operations)


def identifier(text: str, what: str) -> str:
    """A name that stands in a path: no `/`, not too long; raises `RinorError`."""
    if not text or "/" in text or len(text) > 255:
        raise RinorError(f"Bad value for {what}")
    return text


def _no_such_path(parts: tuple[str, ...], operations: Iterable[Operation]) -> RinorError:
    """What Domogik said: too few parts, too many, or a word it does not know."""
    if len(parts) == 1:
        return RinorError("Url too short")
    best: Operation | None = None
    for operation in operations:
        fixed = operation.fixed
        if len(fixed) > 1 and parts[: len(fixed)] == fixed:
            best = operation
            if len(parts) < len(operation.words):
                return RinorError("Url too short")
    if best is not None:
        return RinorError(f"Wrong syntax for {best.fixed[-1]}")
    return RinorError(f"Bad operation for /{parts[0]}")
