"""Messages larger than a datagram: cut into parts, and put together again.

`fragment.basic` (W-frag): every part begins with `partid=<part>/<parts>:<id>`, the first one goes
on with `schema=<the message's schema>`, then come whole name=value pairs. The receiver joins them
by source and id, and asks with `fragment.request` for what is missing.

Domogik repeats `schema=` in every part, which nobody else does. It is taken out where each later
part begins with the very same one: a message of our own that this would damage is not cut at all.
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

#: seconds without a new part until the missing ones are asked for, and then until it is given up
ASK_AFTER = 3.0
GIVE_UP_AFTER = 5.0
#: seconds that the id of a whole message is ignored: a resent part goes to everybody
IGNORE_FOR = 60.0
#: seconds that sent parts are kept after they were last sent or asked for
KEEP_FOR = 20.0
#: seconds in which a part is sent again once at most: one broadcast serves all who miss it, and a
#: small request shall not buy a large answer as often as one likes
RESEND_PAUSE = 1.0

# What strangers may make us remember. `_weight` counts what Python needs for it.
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
    """The parts of a message too large for a datagram; of any other, itself alone.

    `identifier` is 0 or more and not used by this source a minute before. Raises `InvalidMessage`
    where a pair does not fit into a part, and for a message of more than 99 parts.
    """
    if len(encode(message, addressed=True)) <= LARGEST_PART_BYTES:
        return [message]
    largest = encode(_part(message, f"99/99:{identifier}", ()), addressed=True)
    room = LARGEST_PART_BYTES - len(largest)
    pages: list[list[Pair]] = [[]]
    left = room - _size(("schema", message.schema))
    for pair in message.body:
        size = _size(pair)
        if size > room:
            raise InvalidMessage(f"the value of {pair[0]} fits into no datagram: {size} bytes")
        if size > left:
            pages.append([])
            left = room
        pages[-1].append(pair)
        left -= size
    total = len(pages)
    if total > MOST_PARTS:
        raise InvalidMessage(f"the message would need {total} parts: at most {MOST_PARTS} may be")
    pages[0].insert(0, ("schema", message.schema))
    parts = [
        _part(message, f"{number}/{total}:{identifier}", page)
        for number, page in enumerate(pages, start=1)
    ]
    if _join([part.body for part in parts]) != (message.schema, message.body):
        raise InvalidMessage("values named schema would be lost when the message is cut")
    return parts


def request_body(identifier: str, missing: Sequence[int]) -> tuple[Pair, ...]:
    """The body of the `fragment.request` (an `xpl-cmnd`) for the parts `missing`."""
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
    """The schema and the body of the message whose parts these are, in order.

    Only the first `partid` of each part and the first `schema` of part 1 are not the message's own.
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
    """Bytes of memory, roughly."""
    return sum([_PAIR_OVERHEAD_BYTES + len(name) + len(value) for name, value in body])


@attrs.define(eq=False)
class _Alarm:
    """One timer for many deadlines: rings at the earliest, or before it."""

    _clock: IReactorTime
    _ring: Callable[[], None]
    _call: IDelayedCall | None = None

    def set(self, deadline: float | None) -> None:
        """Ring at `deadline` (of the clock's seconds) at the latest; None: not at all."""
        if self._call is not None:
            if deadline is not None and self._call.getTime() <= deadline:
                return
            self._call.cancel()
            self._call = None
        if deadline is not None:
            delay = max(0.0, deadline - self._clock.seconds())
            self._call = self._clock.callLater(delay, self._rings)

    def _rings(self) -> None:
        self._call = None
        self._ring()


@attrs.define
class FragmentCounters:
    """Since the start: messages put together (`whole`) and given up (`lost`); sets let go for want
    of room (`dropped`) or for another of the same id (`superseded`); parts that made no sense or
    no message (`refused`) and that were there already (`repeated`)."""

    whole: int = 0
    lost: int = 0
    dropped: int = 0
    superseded: int = 0
    refused: int = 0
    repeated: int = 0


@attrs.define(eq=False)
class _Set:
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
    """Puts the parts of other programs' messages together, in whatever order they come.

    `request(target, identifier, missing)` is called 3 s after the last new part of a message that
    is not whole: it should send `request_body(identifier, missing)` to `target`. 5 s later the
    message is given up. What is remembered is bounded, for each source and for all together; the
    message that has waited longest is let go first.
    """

    _clock: IReactorTime
    _request: Callable[[str, str, tuple[int, ...]], object]
    counters: FragmentCounters = attrs.field(init=False, factory=FragmentCounters)
    #: the one that has waited longest for a new part comes first
    _sets: dict[Key, _Set] = attrs.field(init=False, factory=dict)
    #: how many parts it had, and when to forget that; oldest first
    _done: dict[Key, tuple[int, float]] = attrs.field(init=False, factory=dict)
    _alarm: _Alarm = attrs.field(init=False)
    _is_stopped: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._alarm = _Alarm(self._clock, self._look)

    def add(self, part: Message) -> Message | None:
        """Take a `fragment.basic`; the message that it makes whole, else None.

        Raises nothing: what makes no sense is counted and forgotten.
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
        found = self._set_of(key, part, total)
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
        self._make_room(part.source)
        self._reschedule()
        return None

    def stop(self) -> None:
        """Forget everything and let go of the timer; later parts are refused."""
        self._is_stopped = True
        self._sets.clear()
        self._done.clear()
        self._alarm.set(None)

    def _is_done(self, key: Key, total: int) -> bool:
        known, until = self._done.get(key, (0, 0.0))
        return known == total and self._clock.seconds() < until

    def _set_of(self, key: Key, part: Message, total: int) -> _Set:
        """The set that the part belongs to. A sender that starts again may use an id again."""
        found = self._sets.get(key)
        if found is not None and not found.belongs(part, total):
            self.counters.superseded += 1
            found = None
        if found is None:
            found = self._sets[key] = _Set(part, total, self._clock.seconds() + ASK_AFTER)
        return found

    def _finish(self, key: Key, found: _Set) -> Message | None:
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

    def _make_room(self, source: str) -> None:
        mine = [key for key in self._sets if key[0] == source]
        self._drop(mine, MOST_SETS_OF_A_SOURCE, LARGEST_WEIGHT_OF_A_SOURCE)
        self._drop(list(self._sets), MOST_SETS, LARGEST_WEIGHT)

    def _drop(self, keys: list[Key], most: int, largest: int) -> None:
        """Let the first of `keys` go until there are `most`, of `largest` weight together."""
        weight = sum([self._sets[key].weight for key in keys])
        left = len(keys)
        for key in keys:
            if left <= most and weight <= largest:
                return
            weight -= self._sets.pop(key).weight
            left -= 1
            self.counters.dropped += 1

    def _reschedule(self) -> None:
        self._alarm.set(min([found.deadline for found in self._sets.values()], default=None))

    def _look(self) -> None:
        """Ask for, or give up, one message whose time is out; the next one has its own turn."""
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
            return  # we take messages from such a source, but may not send to it
        self._request(*key, found.missing())


@attrs.define(eq=False)
class _Kept:
    parts: list[Message]
    until: float
    weight: int
    #: when a part was last sent again
    resent: dict[int, float] = attrs.field(factory=dict)


@attrs.define(eq=False)
class SentFragments:
    """Cuts what this process sends, and keeps the parts for those who miss some."""

    _clock: IReactorTime
    _random: Random = attrs.field(factory=Random)
    #: Not from a fixed number: receivers ignore for a minute what they take for a repetition, also
    #: when it is the first message of a program that was started again.
    _identifier: int = attrs.field(init=False)
    #: the one that will be forgotten first comes first
    _kept: dict[Key, _Kept] = attrs.field(init=False, factory=dict)
    _alarm: _Alarm = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._identifier = self._random.randrange(_IDENTIFIERS)
        self._alarm = _Alarm(self._clock, self._forget)

    def split(self, message: Message) -> list[Message]:
        """As the function `split`, with an id of its own choice; raises `InvalidMessage`."""
        parts = split(message, self._identifier)
        if len(parts) > 1:
            weight = sum([_weight(part.body) for part in parts])
            until = self._clock.seconds() + KEEP_FOR
            key = (message.source, str(self._identifier))
            self._kept.pop(key, None)
            self._kept[key] = _Kept(parts, until, weight)
            self._identifier = (self._identifier + 1) % _IDENTIFIERS
            self._make_room()
            self._reschedule()
        return parts

    def answer(self, request: Message) -> list[Message]:
        """The parts to send again for a `fragment.request` to one of our sources; none for others.

        A request without `part` asks for all. A part is sent again once a second at most.
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
        """Forget everything and let go of the timer."""
        self._kept.clear()
        self._alarm.set(None)

    def _make_room(self) -> None:
        weight = sum([kept.weight for kept in self._kept.values()])
        while len(self._kept) > MOST_KEPT or (weight > LARGEST_WEIGHT and len(self._kept) > 1):
            weight -= self._kept.pop(next(iter(self._kept))).weight

    def _forget(self) -> None:
        now = self._clock.seconds()
        for key in [key for key, kept in self._kept.items() if kept.until <= now]:
            del self._kept[key]
        self._reschedule()

    def _reschedule(self) -> None:
        self._alarm.set(min([kept.until for kept in self._kept.values()], default=None))


def _numbers(texts: tuple[str, ...], total: int) -> list[int]:
    """The part numbers that a request names, each once and in order; all, where it names none."""
    if not texts:
        return list(range(1, total + 1))
    named = {int(text) for text in texts if _NUMBER.fullmatch(text)}
    return sorted(number for number in named if 1 <= number <= total)
