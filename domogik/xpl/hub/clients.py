"""The table of programs to which the hub forwards, and their expiry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum

import attrs

from domogik.errors import DomogikError

#: a hostile program can invent clients; each costs a copy of every datagram
MAX_CLIENTS = 256
#: of these, at one address that is not loopback
MAX_AT_ADDRESS = 192
#: seconds after its first heartbeat at which a client that is heard again has proven itself
PROVEN_AFTER = 60.0
#: devices of one program: a gateway to another bus may well have dozens
MAX_SOURCES = 64

#: minutes: for a heartbeat without a valid interval (the protocol's default)
DEFAULT_INTERVAL = 5
#: minutes: the protocol's maximum. Some Arduino code sends seconds and must expire nevertheless.
LONGEST_INTERVAL = 30


class Refusal(StrEnum):
    """The reason for which a heartbeat registers no client."""

    STRANGER = "it was sent from another computer"
    NOT_HERE = "its remote-ip is not an address of this computer"
    BAD_PORT = "its port is not a number from 1 to 65535"
    OWN_PORT = "its port is the hub's own"
    NO_SOCKET = "no program of this computer has its port"
    TOO_MANY_CLIENTS = "there are too many clients"
    TOO_MANY_SOURCES = "there are too many sources at its port"


class RegistrationRefused(DomogikError):
    """The heartbeat registers no client."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@attrs.frozen
class HeardDevice:
    """A device behind a client's port: `interval` in minutes, `last_heard` in Unix time."""

    name: str
    interval: int
    last_heard: float


@attrs.frozen
class HubClient:
    """A program to which every message is forwarded.

    `forwarded` and `errors` count datagrams since this hub started; an `attached` client is in the
    hub's own process and is called directly.
    """

    address: str
    port: int
    sources: tuple[HeardDevice, ...]
    forwarded: int = 0
    errors: int = 0
    attached: bool = False

    @property
    def interval(self) -> int:
        """The longest interval of its sources in minutes."""
        return max(source.interval for source in self.sources)

    @property
    def last_heard(self) -> float:
        """The Unix time of its last heartbeat."""
        return max(source.last_heard for source in self.sources)


@attrs.frozen
class PortHolder:
    """The process that owns a client's socket.

    `process` is its pid, or a number for the user whose processes cannot be seen. `words` describe
    it; `is_ours` is true for the manager and its children.
    """

    process: int
    words: str
    is_ours: bool


@attrs.define(eq=False)
class Receiver:
    """A client in the hub's table; `since` is the time of its first heartbeat."""

    address: tuple[str, int]
    since: float
    forwarded: int = 0
    errors: int = 0
    #: name -> (interval in minutes, when it was last heard on the table's clock)
    sources: dict[str, tuple[int, float]] = attrs.field(factory=dict)

    @property
    def is_proven(self) -> bool:
        """Whether it sent a heartbeat some time after its first one."""
        return any(heard - self.since >= PROVEN_AFTER for _, heard in self.sources.values())


def read_port(text: str | None) -> int:
    """Return the port of a heartbeat's body; raises `RegistrationRefused`."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise RegistrationRefused(Refusal.BAD_PORT)
    return int(text)


def read_interval(text: str | None) -> int:
    """Return the interval of a heartbeat in minutes, 1 to 30; 5 if the text is not valid."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) == 0:
        return DEFAULT_INTERVAL
    return min(int(text), LONGEST_INTERVAL)


@attrs.define(eq=False)
class ClientTable:
    """The clients of one hub, by address and port.

    A port belongs to one program, which may send for several devices: a client stays as long as one
    of its sources does. `clock` must be monotonic, so that setting the time expires no client.
    `is_held` returns whether a socket of this computer has an address and port; it is called for
    new sources.
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
        """Register a heartbeat of `source`, `age` seconds old; return whether the table has
        changed.

        Raises `RegistrationRefused`. `interval` is in minutes.
        """
        if port == self.own_port:  # it would be a loop (xpl-perl's hub never comes out of it)
            raise RegistrationRefused(Refusal.OWN_PORT)
        if not self._is_local(address):
            raise RegistrationRefused(Refusal.NOT_HERE)
        receiver = self._receivers.get((address, port))
        known = receiver.sources.get(source) if receiver is not None else None
        if known is None and not self._is_held((address, port)):
            raise RegistrationRefused(Refusal.NO_SOCKET)
        if receiver is None:
            if self.is_full(address):
                raise RegistrationRefused(Refusal.TOO_MANY_CLIENTS)
            since = self._clock() - age
            receiver = self._receivers[address, port] = Receiver((address, port), since)
        if known is None and len(receiver.sources) >= MAX_SOURCES:
            raise RegistrationRefused(Refusal.TOO_MANY_SOURCES)
        receiver.sources[source] = (interval, self._clock() - age)
        return known is None or known[0] != interval

    def leave(self, address: str, port: int, source: str) -> bool:
        """Remove `source`, and the client with its last source; return False if it is unknown."""
        receiver = self._receivers.get((address, port))
        if receiver is None or receiver.sources.pop(source, None) is None:
            return False
        if not receiver.sources:
            del self._receivers[address, port]
        return True

    def is_full(self, address: str) -> bool:
        """Return whether a new client at that address would exceed a limit.

        An address other than loopback has a lower limit than all together.
        """
        if len(self._receivers) >= MAX_CLIENTS:
            return True
        return (
            not address.startswith("127.")
            and sum(ip == address for ip, _ in self._receivers) >= MAX_AT_ADDRESS
        )

    def evict_for(
        self, address: tuple[str, int], holders: Mapping[tuple[str, int], PortHolder]
    ) -> Receiver | None:
        """Remove and return a client in favour of that at `address`; None if none may be removed.

        It is a client of the process with most clients, which must have more than that of
        `address`: one that is not proven before others, then the oldest. Clients of our processes
        are never removed.
        """
        places = Counter(holders[one.address].process for one in self if one.address in holders)
        is_full = len(self._receivers) >= MAX_CLIENTS

        def weight(one: Receiver) -> tuple[int, bool, float]:
            return (places[holders[one.address].process], not one.is_proven, -one.since)

        candidates = [
            one
            for one in self
            if one.address in holders
            and not holders[one.address].is_ours
            and (is_full or one.address[0] == address[0])
        ]
        last = max(candidates, key=weight, default=None)
        its = holders[address]
        if last is None or not (its.is_ours or places[its.process] < weight(last)[0]):
            return None
        return self._receivers.pop(last.address)

    def retain(self, addresses: Collection[tuple[str, int]]) -> list[Receiver]:
        """Remove and return the clients at all other addresses."""
        gone = [one for one in self if one.address not in addresses]
        for one in gone:
            del self._receivers[one.address]
        return gone

    def expire(self) -> list[tuple[tuple[str, int], str]]:
        """Remove sources that were silent for more than twice their interval and a minute.

        Returns their (address and port, source).
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
    """Return the seconds after which a client with that interval (minutes) is removed."""
    return 60.0 * (2 * interval + 1)
