"""Subscriptions of this process to messages, and delivery to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from fnmatch import translate
from operator import attrgetter

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.xpl.codec.message import Message

#: called with the message and its origin; it may be `async def`
Handler = Callable[[Message, "Origin"], object]


@attrs.frozen
class Origin:
    """The origin of a message: the sender's (ip, port), or None for this process."""

    address: tuple[str, int] | None = None

    @property
    def ip(self) -> str | None:
        """The sender's address as text, or None for this process."""
        return self.address[0] if self.address is not None else None


@attrs.define(eq=False)
class Subscription:
    """A handler with the messages it gets, until `cancel`."""

    _bus: Bus
    _number: int
    _handler: Handler
    schema: str | None
    _type: str | None
    _source: Callable[[str], object] | None
    _body: tuple[tuple[str, str], ...]
    active: bool = True

    def cancel(self) -> None:
        """Stop, also for a message that is being delivered; may be called twice."""
        if self.active:
            self.active = False
            self._bus._forget(self)

    def _matches(self, message: Message) -> bool:
        return (
            (self._type is None or message.type == self._type)
            and (self._source is None or bool(self._source(message.source)))
            and all(_has(message, name, wanted) for name, wanted in self._body)
        )


@attrs.define(eq=False)
class Bus:
    """Delivers each message to the matching subscriptions, in the order of subscription.

    Subscriptions are looked up by schema, so that a message without subscribers costs three
    look-ups.
    """

    _log: Logger = Logger()
    _count: int = 0
    #: by "class.type", by "class.*", and under None those that take any schema
    _by_schema: dict[str | None, list[Subscription]] = attrs.field(init=False, factory=dict)

    def subscribe(
        self,
        handler: Handler,
        *,
        type: str | None = None,
        schema: str | None = None,
        source: str | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Subscription:
        """Call `handler(message, origin)` for every later message that matches all conditions.

        `schema` is exact or a class (`hbeat.*`); `source` is exact or has wildcards
        (`domogik-*.vm`); each name in `body` must have that value, in any case, at least once. The
        target is not compared: see `Identity.is_for_me`.

        An error of a handler, its coroutine or Deferred is logged, and other handlers are still
        called. Handlers may subscribe and cancel; a new subscription gets the next message.
        """
        self._count += 1
        subscription = Subscription(
            bus=self,
            number=self._count,
            handler=handler,
            schema=schema.lower() if schema is not None else None,
            type=type,
            source=_source_matcher(source),
            body=tuple((name.lower(), value.casefold()) for name, value in (body or {}).items()),
        )
        self._by_schema.setdefault(subscription.schema, []).append(subscription)
        return subscription

    def deliver(self, message: Message, origin: Origin) -> None:
        """Deliver `message` to the matching subscriptions; raises nothing."""
        for subscription in self._candidates(message.schema):
            if subscription.active and subscription._matches(message):
                self._call(subscription._handler, message, origin)

    def _candidates(self, schema: str) -> list[Subscription]:
        """Return a copy of the subscriptions for the schema, since handlers may change them."""
        found = [
            subscriptions
            for key in (schema, schema.partition(".")[0] + ".*", None)
            if (subscriptions := self._by_schema.get(key))
        ]
        if len(found) == 1:
            return found[0].copy()
        return sorted((one for some in found for one in some), key=attrgetter("_number"))

    def _call(self, handler: Handler, message: Message, origin: Origin) -> None:
        try:
            result = handler(message, origin)
        except Exception:  # noqa: BLE001 - other handlers are still called
            self._log.failure("a handler of {message.schema} raised", message=message)
            return
        if isinstance(result, Coroutine):
            result = Deferred.fromCoroutine(result)
        if isinstance(result, Deferred):
            _ = result.addErrback(self._failed, message)

    def _failed(self, failure: Failure, message: Message) -> None:
        self._log.failure("a handler of {message.schema} failed", failure, message=message)

    def _forget(self, subscription: Subscription) -> None:
        remaining = self._by_schema[subscription.schema]
        remaining.remove(subscription)
        if not remaining:
            del self._by_schema[subscription.schema]


def _source_matcher(source: str | None) -> Callable[[str], object] | None:
    if source is None:
        return None
    source = source.lower()
    return re.compile(translate(source)).match if "*" in source else source.__eq__


def _has(message: Message, name: str, wanted: str) -> bool:
    return any(value.casefold() == wanted for value in message.values(name))
