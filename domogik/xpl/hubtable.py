"""Which programs of this computer get a copy of every message, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

import attrs

from domogik.errors import DomogikError

#: a hostile program can make up clients; each costs a copy of every datagram
MAX_CLIENTS = 256
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
    TOO_MANY_CLIENTS = "there are too many clients"
    TOO_MANY_SOURCES = "there are too many sources at its port"


class Refused(DomogikError):
    """This heartbeat registers nobody."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@attrs.frozen
class Source:
    """A device heard at a client's port: `interval` in minutes, `last_heard` in Unix time."""

    name: str
    interval: int
    last_heard: float


@attrs.frozen
class Client:
    """A program that gets a copy of every message.

    `forwarded` and `errors` count datagrams since this hub started; `attached`: it lives in the
    hub's own process and is called instead of sent to.
    """

    address: str
    port: int
    sources: tuple[Source, ...]
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


@attrs.define(eq=False)
class Receiver:
    """A client as the hub works with it."""

    address: tuple[str, int]
    forwarded: int = 0
    errors: int = 0
    #: name -> (interval in minutes, when it was last heard on the table's clock)
    sources: dict[str, tuple[int, float]] = attrs.field(factory=dict)


def read_port(text: str | None) -> int:
    """The port of a heartbeat's body; raises `Refused`."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise Refused(Refusal.BAD_PORT)
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
    time of day everybody would have been silent for hours.
    """

    _clock: Callable[[], float]
    _is_local: Callable[[str], bool]
    own_port: int = 0
    _receivers: dict[tuple[str, int], Receiver] = attrs.field(factory=dict)

    def __iter__(self) -> Iterator[Receiver]:
        return iter(self._receivers.values())

    def __len__(self) -> int:
        return len(self._receivers)

    def register(
        self, address: str, port: int, source: str, interval: int, age: float = 0.0
    ) -> bool:
        """A heartbeat of `source`, `age` seconds ago: True where the table has changed by it.

        Raises `Refused`. `interval` in minutes.
        """
        if port == self.own_port:  # it would be a loop (xpl-perl's hub never comes out of it)
            raise Refused(Refusal.OWN_PORT)
        if not self._is_local(address):
            raise Refused(Refusal.NOT_HERE)
        receiver = self._receivers.get((address, port))
        if receiver is None:
            if len(self._receivers) >= MAX_CLIENTS:
                raise Refused(Refusal.TOO_MANY_CLIENTS)
            receiver = self._receivers[address, port] = Receiver((address, port))
        known = receiver.sources.get(source)
        if known is None and len(receiver.sources) >= MAX_SOURCES:
            raise Refused(Refusal.TOO_MANY_SOURCES)
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
