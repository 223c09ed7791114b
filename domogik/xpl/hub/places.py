"""A hub whose table is full: which client gets a place all the same, and which loses one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.xpl.hub.clients import ClientTable, PortHolder
from domogik.xpl.node.datagrams import Address

log = Logger()

#: seconds between two looks at which processes have the places
PAUSE = 1.0
#: newcomers that wait for one look; each has a socket of its own
MOST_WAITING = 1024
#: seconds for which a hub that was full is called full
TOLD_FOR = 600.0


class LocalSockets(Protocol):
    """What the kernel knows of this computer's UDP sockets."""

    def has(self, address: Address) -> bool:
        """Whether one gets what is sent to `address`; must not block for long."""
        ...

    def holders(self, addresses: Collection[Address]) -> Awaitable[Mapping[Address, PortHolder]]:
        """Whose they are; an address without a socket is left out."""
        ...


@attrs.frozen
class Newcomer:
    """A heartbeat that found no place: what it said, and its bytes, which are echoed later."""

    source: str
    interval: int
    data: bytes


@attrs.define(eq=False, kw_only=True)
class HubPlaces:
    """Looks whose the places are, and gives some of them to newcomers that have fewer.

    `admit(address, newcomer)` registers one; `changed()` is called after each look, `on_full()`
    when the first newcomer finds no place.
    """

    _clock: IReactorTime
    _table: ClientTable
    _sockets: LocalSockets
    _admit: Callable[[Address, Newcomer], None]
    _changed: Callable[[], None]
    _on_full: Callable[[], None]
    _waiting: dict[Address, Newcomer] = attrs.field(factory=dict)
    _is_looking: bool = False
    _is_stopped: bool = False
    _pause: IDelayedCall | None = None
    _full_at: float | None = None
    _by_whom: str = ""

    @property
    def sentence(self) -> str:
        """Say that the hub was full lately, and which program has most places; else empty."""
        if self._full_at is None or self._clock.seconds() - self._full_at > TOLD_FOR:
            return ""
        return f"all its places were taken, {self._by_whom}"

    def wait(self, address: Address, newcomer: Newcomer) -> None:
        """A newcomer found the table full."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[address] = newcomer
        if not self._is_looking and self._pause is None:
            _ = Deferred.fromCoroutine(self._look())

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    async def _look(self) -> None:
        self._is_looking = True
        try:
            waiting, self._waiting = self._waiting, {}
            places = [one.address for one in self._table]
            holders = await self._sockets.holders([*places, *waiting])
            if not self._is_stopped:
                self._settle(waiting, holders, places)
        except Exception:  # noqa: BLE001 - the hub goes on with the clients it has
            log.failure("which programs have the places of the hub cannot be seen")
        finally:
            self._is_looking = False
            if not self._is_stopped:
                self._pause = self._clock.callLater(PAUSE, self._again)

    def _again(self) -> None:
        self._pause = None
        if self._waiting:
            _ = Deferred.fromCoroutine(self._look())

    def _settle(
        self,
        waiting: Mapping[Address, Newcomer],
        holders: Mapping[Address, PortHolder],
        looked_at: Collection[Address],
    ) -> None:
        newer = {one.address for one in self._table} - set(looked_at)
        for gone in self._table.keep_only({*holders, *newer}):
            log.info("{address} has no socket any more: dropped", address=gone.address)
        for address, newcomer in waiting.items():
            if address not in holders:
                continue
            if self._table.is_full(address[0]):
                self._tell(holders)
                given_up = self._table.make_room(address, holders)
                if given_up is None:
                    continue
                log.info("{old} gives way to {new}", old=given_up.address, new=address)
            self._admit(address, newcomer)
        self._changed()

    def _tell(self, holders: Mapping[Address, PortHolder]) -> None:
        """Remember that it is full, and which program has most places."""
        words = (holders[one.address].words for one in self._table if one.address in holders)
        for most, count in Counter(words).most_common(1):
            self._by_whom = f"{count} of them by {most}"
        was_told = bool(self.sentence)
        self._full_at = self._clock.seconds()
        if not was_told:
            log.warn("the xPL hub is full: {sentence}", sentence=self.sentence)
            self._on_full()
