"""Which programs of this computer get a copy of every message, and until when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum

import attrs

from domogik.errors import DomogikError

#: a hostile program can make up clients; each costs a copy of every datagram
MAX_CLIENTS = 256
#: of these, at one address that is not loopback
MAX_AT_ADDRESS = 192
#: seconds after its first heartbeat at which a client that is heard again has proven itself
PROVEN_AFTER = 60.0
#: devices of one program: a gateway to another bus may well have dozens
MAX_SOURCES = 64

#: minutes: what a heartbeat without a usable interval means (the protocol's default)
DEFAULT_INTERVAL = 5
#: minutes: the protocol's longest. Some Arduino code sends seconds, and must not stay for ever.
LONGEST_INTERVAL = 30


class Refusal(StrEnum):
    """Why a heartbeat made nobody a client."""

    STRANGER = "it was sent from another computer"
    NOT_HERE = "its remote-ip is not an address of this computer"
    BAD_PORT = "its port is not a number from 1 to 65535"
    OWN_PORT = "its port is the hub's own"
    NO_SOCKET = "no program of this computer has its port"
    TOO_MANY_CLIENTS = "there are too many clients"
    TOO_MANY_SOURCES = "there are too many sources at its port"


class PlaceRefused(DomogikError):
    """This heartbeat registers nobody."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@attrs.frozen
class HeardDevice:
    """A device heard at a client's port: `interval` in minutes, `last_heard` in Unix time."""

    name: str
    interval: int
    last_heard: float


@attrs.frozen
class HubClient:
    """A program that gets a copy of every message.

    `forwarded` and `errors` count datagrams since this hub started; `attached`: it lives in the
    hub's own process and is called instead of sent to.
    """

    address: str
    port: int
    sources: tuple[HeardDevice, ...]
    forwarded: int = 0
    errors: int = 0
    attached: bool = False

    @property
    def interval(self) -> int:
        """Minutes: the longest of its sources'."""
        return max(source.interval for source in self.sources)

    @property
    def last_heard(self) -> float:
        """Unix time of its last heartbeat."""
        return max(source.last_heard for source in self.sources)


@attrs.frozen
class PortHolder:
    """The process that has a client's port: its number, or another for each user whose processes
    may not be seen. `words` say which it is; `is_ours`: a child of the manager, or the manager."""

    process: int
    words: str
    is_ours: bool


@attrs.define(eq=False)
class Receiver:
    """A client as the hub works with it; `since` is when it was first heard."""

    address: tuple[str, int]
    since: float
    forwarded: int = 0
    errors: int = 0
    #: name -> (interval in minutes, when it was last heard on the table's clock)
    sources: dict[str, tuple[int, float]] = attrs.field(factory=dict)

    @property
    def is_proven(self) -> bool:
        """Whether it was heard again, and not only at once."""
        return any(heard - self.since >= PROVEN_AFTER for _, heard in self.sources.values())


def read_port(text: str | None) -> int:
    """The port of a heartbeat's body; raises `PlaceRefused`."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise PlaceRefused(Refusal.BAD_PORT)
    return int(text)


def read_interval(text: str | None) -> int:
    """Minutes between two heartbeats: 1 to 30, and 5 where the text says nothing sensible."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) == 0:
        return DEFAULT_INTERVAL
    return min(int(text), LONGEST_INTERVAL)


@attrs.define(eq=False)
class ClientTable:
    """The clients of one hub, keyed by address and port.

    Two programs never share a port, but one program may speak for several devices: a client stays
    as long as one of its sources does. `clock` must be one that nobody sets: after a jump of the
    time of day everybody would have been silent for hours. `is_held` says whether a socket of this
    computer gets what is sent to an address and port; it is asked about what is new.
    """

    _clock: Callable[[], float]
    _is_local: Callable[[str], bool]
    own_port: int = 0
    _is_held: Callable[[tuple[str, int]], bool] = lambda address: True
    _receivers: dict[tuple[str, int], Receiver] = attrs.field(factory=dict)

    def __iter__(self) -> Iterator[Receiver]:
        return iter(self._receivers.values())

    def __len__(self) -> int:
        return len(self._receivers)

    def register(
        self, address: str, port: int, source: str, interval: int, age: float = 0.0
    ) -> bool:
        """A heartbeat of `source`, `age` seconds ago: True where the table has changed by it.

        Raises `PlaceRefused`. `interval` in minutes.
        """
        if port == self.own_port:  # it would be a loop (xpl-perl's hub never comes out of it)
            raise PlaceRefused(Refusal.OWN_PORT)
        if not self._is_local(address):
            raise PlaceRefused(Refusal.NOT_HERE)
        receiver = self._receivers.get((address, port))
        known = receiver.sources.get(source) if receiver is not None else None
        if known is None and not self._is_held((address, port)):
            raise PlaceRefused(Refusal.NO_SOCKET)
        if receiver is None:
            if self.is_full(address):
                raise PlaceRefused(Refusal.TOO_MANY_CLIENTS)
            since = self._clock() - age
            receiver = self._receivers[address, port] = Receiver((address, port), since)
        if known is None and len(receiver.sources) >= MAX_SOURCES:
            raise PlaceRefused(Refusal.TOO_MANY_SOURCES)
        receiver.sources[source] = (interval, self._clock() - age)
        return known is None or known[0] != interval

    def leave(self, address: str, port: int, source: str) -> bool:
        """`source` has ended; the client goes with its last source. False: it was not known."""
        receiver = self._receivers.get((address, port))
        if receiver is None or receiver.sources.pop(source, None) is None:
            return False
        if not receiver.sources:
            del self._receivers[address, port]
        return True

    def is_full(self, address: str) -> bool:
        """Whether a new client at that address finds no place.

        Where others than loopback ones are heard, they do not get all places.
        """
        if len(self._receivers) >= MAX_CLIENTS:
            return True
        return (
            not address.startswith("127.")
            and sum(ip == address for ip, _ in self._receivers) >= MAX_AT_ADDRESS
        )

    def make_room(
        self, newcomer: tuple[str, int], holders: Mapping[tuple[str, int], PortHolder]
    ) -> Receiver | None:
        """Drop a client for a newcomer; None where those that are there have the better right.

        A process gives way that has more places than the newcomer's has, the one with most of all;
        of its clients those that have not proven themselves, the oldest first. Ours never do.
        """
        places = Counter(holders[one.address].process for one in self if one.address in holders)
        is_full = len(self._receivers) >= MAX_CLIENTS

        def weight(one: Receiver) -> tuple[int, bool, float]:
            return (places[holders[one.address].process], not one.is_proven, -one.since)

        yielding = [
            one
            for one in self
            if one.address in holders
            and not holders[one.address].is_ours
            and (is_full or one.address[0] == newcomer[0])
        ]
        last = max(yielding, key=weight, default=None)
        its = holders[newcomer]
        if last is None or not (its.is_ours or places[its.process] < weight(last)[0]):
            return None
        return self._receivers.pop(last.address)

    def keep_only(self, addresses: Collection[tuple[str, int]]) -> list[Receiver]:
        """Drop the clients at all other addresses; the answer is which they were."""
        gone = [one for one in self if one.address not in addresses]
        for one in gone:
            del self._receivers[one.address]
        return gone

    def expire(self) -> list[tuple[tuple[str, int], str]]:
        """Drop every source silent for more than twice its interval and a minute.

        The answer is what was dropped: (address and port, source).
        """
        now = self._clock()
        silent = [
            (receiver.address, name)
            for receiver in self
            for name, (interval, heard) in receiver.sources.items()
            if now - heard > allowed_silence(interval)
        ]
        for (address, port), name in silent:
            self.leave(address, port, name)
        return silent


def allowed_silence(interval: int) -> float:
    """Seconds after which a client with that interval (minutes) counts as dead."""
    return 60.0 * (2 * interval + 1)
