"""Splits messages that are larger than a datagram, and joins received parts.

`fragment.basic` (W-frag): every part begins with `partid=<part>/<parts>:<id>`, the first one
continues with `schema=<the message's schema>`, then whole name=value pairs follow. The receiver
joins them by source and id, and requests missing parts with `fragment.request`.

Domogik repeats `schema=` in every part, unlike other programs. It is removed where every later part
begins with the same one; a message of our own that this would damage is not split.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from domogik.xpl.codec.codec import encode, read_schema
from domogik.xpl.codec.message import CMND, Address, InvalidMessage, Message, Pair

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

SCHEMA: Final = "fragment.basic"
REQUEST_SCHEMA: Final = "fragment.request"

#: 1500 bytes of Ethernet less the headers of IP and UDP (W-frag)
LARGEST_PART_BYTES = 1472
MOST_PARTS = 99

#: seconds without a new part until the missing ones are requested, and then until it is dropped
ASK_AFTER = 3.0
GIVE_UP_AFTER = 5.0
#: seconds that the id of a complete message is ignored, since resent parts are broadcast
IGNORE_FOR = 60.0
#: seconds that sent parts are kept after they were last sent or requested
KEEP_FOR = 20.0
#: seconds in which a part is resent at most once: a broadcast serves all receivers, and small
#: requests must not cause an unlimited number of large answers
RESEND_PAUSE = 1.0

# Limits of what other programs can make us store. `_weight` estimates the memory for it.
MOST_SETS = 64
MOST_SETS_OF_A_SOURCE = 8
LARGEST_WEIGHT = 8 << 20
LARGEST_WEIGHT_OF_A_SOURCE = 4 << 20
MOST_DONE = 256
MOST_KEPT = 128

_IDENTIFIERS = 100_000
_PARTID = re.compile(r"([0-9]{1,2})/([0-9]{1,2}):([0-9]{1,10})")
_NUMBER = re.compile(r"[0-9]{1,2}")
_PAIR_OVERHEAD_BYTES = 160

Key = tuple[str, str]


def split(message: Message, identifier: int) -> list[Message]:
    """Return the parts of a message that is too large for a datagram, else the message alone.

    `identifier` is 0 or more and was not used by this source within a minute. Raises
    `InvalidMessage` if a pair does not fit into a part or the message has more than 99 parts.
    """
    if len(encode(message, addressed=True)) <= LARGEST_PART_BYTES:
        return [message]
    largest = encode(_part(message, f"99/99:{identifier}", ()), addressed=True)
    space = LARGEST_PART_BYTES - len(largest)
    chunks: list[list[Pair]] = [[]]
    left = space - _size(("schema", message.schema))
    for pair in message.body:
        size = _size(pair)
        if size > space:
            raise InvalidMessage(f"the value of {pair[0]} fits into no datagram: {size} bytes")
        if size > left:
            chunks.append([])
            left = space
        chunks[-1].append(pair)
        left -= size
    total = len(chunks)
    if total > MOST_PARTS:
        raise InvalidMessage(f"the message would need {total} parts: at most {MOST_PARTS} may be")
    chunks[0].insert(0, ("schema", message.schema))
    parts = [
        _part(message, f"{number}/{total}:{identifier}", chunk)
        for number, chunk in enumerate(chunks, start=1)
    ]
    if _join([part.body for part in parts]) != (message.schema, message.body):
        raise InvalidMessage("values named schema would be lost when the message is cut")
    return parts


def request_body(identifier: str, missing: Sequence[int]) -> tuple[Pair, ...]:
    """Return the body of the `fragment.request` (an `xpl-cmnd`) for the parts `missing`."""
    parts = tuple(("part", str(number)) for number in missing)
    return (("command", "resend"), ("message", identifier), *parts)


def _part(message: Message, partid: str, pairs: Sequence[Pair]) -> Message:
    body = (("partid", partid), *pairs)
    return Message(
        message.type, message.source, message.target, schema=SCHEMA, body=body, hop=message.hop
    )


def _size(pair: Pair) -> int:
    name, value = pair
    return len(name) + len(value.encode("utf-8", "surrogateescape")) + 2


def _join(bodies: Sequence[tuple[Pair, ...]]) -> tuple[str, tuple[Pair, ...]]:
    """Return schema and body of the message that these parts, in order, contain.

    Only the first `partid` of each part and the first `schema` of part 1 do not belong to the
    message.
    """
    first, *later = [_without_first("partid", body) for body in bodies]
    schema = next((value for name, value in first if name == "schema"), None)
    if schema is None:
        raise InvalidMessage("the first part has no schema")
    first = _without_first("schema", first)
    if all(body[:1] == (("schema", schema),) for body in later):
        later = [body[1:] for body in later]
    return schema, tuple([pair for body in (first, *later) for pair in body])


def _without_first(name: str, body: tuple[Pair, ...]) -> tuple[Pair, ...]:
    for place, pair in enumerate(body):
        if pair[0] == name:
            return body[:place] + body[place + 1 :]
    return body


def _weight(body: tuple[Pair, ...]) -> int:
    return sum([_PAIR_OVERHEAD_BYTES + len(name) + len(value) for name, value in body])


@attrs.define(eq=False)
class _DeadlineTimer:
    """One delayed call for many deadlines; it may call back before the earliest."""

    _clock: IReactorTime
    _callback: Callable[[], None]
    _call: IDelayedCall | None = None

    def set(self, deadline: float | None) -> None:
        """Call back by `deadline`, in seconds of the clock; None cancels."""
        if self._call is not None:
            if deadline is not None and self._call.getTime() <= deadline:
                return
            self._call.cancel()
            self._call = None
        if deadline is not None:
            delay = max(0.0, deadline - self._clock.seconds())
            self._call = self._clock.callLater(delay, self._fire)

    def _fire(self) -> None:
        self._call = None
        self._callback()


@attrs.define
class FragmentCounters:
    """Counts since the start: messages joined (`whole`) and given up (`lost`); partial messages
    dropped at a limit (`dropped`) or for another of the same id (`superseded`); parts that were
    invalid (`refused`) or received before (`repeated`)."""

    whole: int = 0
    lost: int = 0
    dropped: int = 0
    superseded: int = 0
    refused: int = 0
    repeated: int = 0


@attrs.define(eq=False)
class _PartialMessage:
    first: Message
    total: int
    deadline: float
    parts: dict[int, tuple[Pair, ...]] = attrs.field(factory=dict)
    weight: int = 0
    is_asked: bool = False

    def belongs(self, part: Message, total: int) -> bool:
        mine = (self.first.type, self.first.target, self.total)
        return mine == (part.type, part.target, total)

    def missing(self) -> tuple[int, ...]:
        return tuple(n for n in range(1, self.total + 1) if n not in self.parts)

    def joined(self) -> Message:
        schema, body = _join([self.parts[n] for n in range(1, self.total + 1)])
        schema = read_schema(schema)
        if schema in (SCHEMA, REQUEST_SCHEMA):
            raise InvalidMessage("fragments of fragments")
        of = self.first
        return Message(of.type, of.source, of.target, schema=schema, body=body, hop=of.hop)


@attrs.define(eq=False)
class Reassembler:
    """Joins the parts of received messages, in any order.

    `request(target, identifier, missing)` is called 3 s after the last new part of an incomplete
    message: it should send `request_body(identifier, missing)` to `target`. After 5 s more the
    message is dropped. Memory is limited for each source and in total; the message without a new
    part for the longest time is dropped first.
    """

    _clock: IReactorTime
    _request: Callable[[str, str, tuple[int, ...]], object]
    counters: FragmentCounters = attrs.field(init=False, factory=FragmentCounters)
    #: ordered by the time since the last new part, longest first
    _sets: dict[Key, _PartialMessage] = attrs.field(init=False, factory=dict)
    #: the number of parts, and when to forget it; oldest first
    _done: dict[Key, tuple[int, float]] = attrs.field(init=False, factory=dict)
    _timer: _DeadlineTimer = attrs.field(init=False)
    _is_stopped: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._timer = _DeadlineTimer(self._clock, self._check_deadlines)

    def add(self, part: Message) -> Message | None:
        """Add a `fragment.basic`; return the message if it is complete now, else None.

        Invalid parts are counted and ignored.
        """
        match = _PARTID.fullmatch(part.get("partid", "") or "")
        number, total = (int(match[1]), int(match[2])) if match else (0, 0)
        if match is None or self._is_stopped or not 1 <= number <= total:
            self.counters.refused += 1
            return None
        key = (part.source, match[3])
        if self._is_done(key, total):
            self.counters.repeated += 1
            return None
        found = self._partial_for(key, part, total)
        if number in found.parts:
            self.counters.repeated += 1
            return None
        found.parts[number] = part.body
        found.weight += _weight(part.body)
        if len(found.parts) == total:
            return self._finish(key, found)
        found.deadline = self._clock.seconds() + ASK_AFTER
        found.is_asked = False
        self._sets[key] = self._sets.pop(key)
        self._evict(part.source)
        self._reschedule()
        return None

    def stop(self) -> None:
        """Drop all partial messages and cancel the timer; later parts are refused."""
        self._is_stopped = True
        self._sets.clear()
        self._done.clear()
        self._timer.set(None)

    def _is_done(self, key: Key, total: int) -> bool:
        known, until = self._done.get(key, (0, 0.0))
        return known == total and self._clock.seconds() < until

    def _partial_for(self, key: Key, part: Message, total: int) -> _PartialMessage:
        """Return the partial message of this part. A restarted sender may use an id again."""
        found = self._sets.get(key)
        if found is not None and not found.belongs(part, total):
            self.counters.superseded += 1
            found = None
        if found is None:
            found = self._sets[key] = _PartialMessage(
                part, total, self._clock.seconds() + ASK_AFTER
            )
        return found

    def _finish(self, key: Key, found: _PartialMessage) -> Message | None:
        del self._sets[key]
        self._reschedule()
        self._done.pop(key, None)
        self._done[key] = (found.total, self._clock.seconds() + IGNORE_FOR)
        if len(self._done) > MOST_DONE:
            del self._done[next(iter(self._done))]
        try:
            whole = found.joined()
        except InvalidMessage:
            self.counters.refused += 1
            return None
        self.counters.whole += 1
        return whole

    def _evict(self, source: str) -> None:
        mine = [key for key in self._sets if key[0] == source]
        self._evict_from(mine, MOST_SETS_OF_A_SOURCE, LARGEST_WEIGHT_OF_A_SOURCE)
        self._evict_from(list(self._sets), MOST_SETS, LARGEST_WEIGHT)

    def _evict_from(self, keys: list[Key], most: int, largest: int) -> None:
        """Drop the first of `keys` until at most `most`, of `largest` weight together, remain."""
        weight = sum([self._sets[key].weight for key in keys])
        left = len(keys)
        for key in keys:
            if left <= most and weight <= largest:
                return
            weight -= self._sets.pop(key).weight
            left -= 1
            self.counters.dropped += 1

    def _reschedule(self) -> None:
        self._timer.set(min([found.deadline for found in self._sets.values()], default=None))

    def _check_deadlines(self) -> None:
        """Request the parts of one overdue message, or drop it."""
        now = self._clock.seconds()
        due = next((item for item in self._sets.items() if item[1].deadline <= now), None)
        if due is None:
            self._reschedule()
            return
        key, found = due
        if found.is_asked:
            del self._sets[key]
            self.counters.lost += 1
            self._reschedule()
            return
        found.is_asked = True
        found.deadline = now + GIVE_UP_AFTER
        self._reschedule()
        try:
            Address.parse(key[0])
        except InvalidMessage:
            return  # such a source is accepted but cannot be a target
        self._request(*key, found.missing())


@attrs.define(eq=False)
class _SentMessage:
    parts: list[Message]
    until: float
    weight: int
    #: when a part was last sent again
    resent: dict[int, float] = attrs.field(factory=dict)


@attrs.define(eq=False)
class SentFragments:
    """Splits sent messages, and keeps their parts for receivers that miss some."""

    _clock: IReactorTime
    _random: Random = attrs.field(factory=Random)
    #: Random at the start: receivers ignore repeated ids for a minute, also after a restart.
    _identifier: int = attrs.field(init=False)
    #: ordered by the time of removal
    _kept: dict[Key, _SentMessage] = attrs.field(init=False, factory=dict)
    _timer: _DeadlineTimer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._identifier = self._random.randrange(_IDENTIFIERS)
        self._timer = _DeadlineTimer(self._clock, self._forget)

    def split(self, message: Message) -> list[Message]:
        """Split like the function `split`, with a new id; raises `InvalidMessage`."""
        parts = split(message, self._identifier)
        if len(parts) > 1:
            weight = sum([_weight(part.body) for part in parts])
            until = self._clock.seconds() + KEEP_FOR
            key = (message.source, str(self._identifier))
            self._kept.pop(key, None)
            self._kept[key] = _SentMessage(parts, until, weight)
            self._identifier = (self._identifier + 1) % _IDENTIFIERS
            self._evict()
            self._reschedule()
        return parts

    def answer(self, request: Message) -> list[Message]:
        """Return the parts to resend for a `fragment.request` to one of our sources, else none.

        A request without `part` asks for all. A part is resent at most once a second.
        """
        key = (request.target, request.get("message") or "")
        kept = self._kept.get(key)
        is_request = request.type == CMND and request.schema == REQUEST_SCHEMA
        if kept is None or not is_request or request.get("command") != "resend":
            return []
        now = self._clock.seconds()
        kept.until = now + KEEP_FOR
        self._kept[key] = self._kept.pop(key)
        self._reschedule()
        wanted = _numbers(request.values("part"), len(kept.parts))
        due = [n for n in wanted if now - kept.resent.get(n, -RESEND_PAUSE) >= RESEND_PAUSE]
        kept.resent.update(dict.fromkeys(due, now))
        return [kept.parts[number - 1] for number in due]

    def stop(self) -> None:
        """Drop all parts and cancel the timer."""
        self._kept.clear()
        self._timer.set(None)

    def _evict(self) -> None:
        weight = sum([kept.weight for kept in self._kept.values()])
        while len(self._kept) > MOST_KEPT or (weight > LARGEST_WEIGHT and len(self._kept) > 1):
            weight -= self._kept.pop(next(iter(self._kept))).weight

    def _forget(self) -> None:
        now = self._clock.seconds()
        for key in [key for key, kept in self._kept.items() if kept.until <= now]:
            del self._kept[key]
        self._reschedule()

    def _reschedule(self) -> None:
        self._timer.set(min([kept.until for kept in self._kept.values()], default=None))


def _numbers(texts: tuple[str, ...], total: int) -> list[int]:
    """Return the requested part numbers, each once and in order; all if none is named."""
    if not texts:
        return list(range(1, total + 1))
    named = {int(text) for text in texts if _NUMBER.fullmatch(text)}
    return sorted(number for number in named if 1 <= number <= total)
