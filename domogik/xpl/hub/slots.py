"""Shares the slots of a full hub: which client is dropped for a new one."""

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

#: seconds between two examinations of the processes that own the clients' sockets
PAUSE = 1.0
#: clients that wait for one examination; each has a socket of its own
MOST_WAITING = 1024
#: seconds for which a hub that was full is reported as full
FULL_FOR = 600.0


class LocalSockets(Protocol):
    """The UDP sockets of this computer, as the kernel reports them."""

    def has(self, address: Address) -> bool:
        """Return whether a socket receives what is sent to `address`; must not block for long."""
        ...

    def holders(self, addresses: Collection[Address]) -> Awaitable[Mapping[Address, PortHolder]]:
        """Return the owners of the sockets; an address without a socket is left out."""
        ...


@attrs.frozen
class PendingClient:
    """A heartbeat that was refused because the table is full, and its bytes, to be echoed later."""

    source: str
    interval: int
    data: bytes


@attrs.define(eq=False, kw_only=True)
class ClientSlots:
    """Examines which processes own the clients, and registers pending ones that have fewer.

    `admit(address, pending)` registers one; `changed()` is called after each examination,
    `on_full()` when the first one is refused.
    """

    _clock: IReactorTime
    _table: ClientTable
    _sockets: LocalSockets
    _admit: Callable[[Address, PendingClient], None]
    _changed: Callable[[], None]
    _on_full: Callable[[], None]
    _waiting: dict[Address, PendingClient] = attrs.field(factory=dict)
    _is_looking: bool = False
    _is_stopped: bool = False
    _pause: IDelayedCall | None = None
    _full_at: float | None = None
    _largest_holder: str = ""

    @property
    def sentence(self) -> str:
        """A sentence if the hub was full lately, with the program that has most; else empty."""
        if self._full_at is None or self._clock.seconds() - self._full_at > FULL_FOR:
            return ""
        return f"all its places were taken, {self._largest_holder}"

    def wait(self, address: Address, pending: PendingClient) -> None:
        """Add a client that was refused because the table is full."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[address] = pending
        if not self._is_looking and self._pause is None:
            _ = Deferred.fromCoroutine(self._examine_holders())

    def stop(self) -> None:
        """Stop the examinations."""
        self._is_stopped = True
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    async def _examine_holders(self) -> None:
        self._is_looking = True
        try:
            waiting, self._waiting = self._waiting, {}
            places = [one.address for one in self._table]
            holders = await self._sockets.holders([*places, *waiting])
            if not self._is_stopped:
                self._reassign(waiting, holders, places)
        except Exception:  # noqa: BLE001 - the hub goes on with the clients it has
            log.failure("the owners of the hub's clients cannot be determined")
        finally:
            self._is_looking = False
            if not self._is_stopped:
                self._pause = self._clock.callLater(PAUSE, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if self._waiting:
            _ = Deferred.fromCoroutine(self._examine_holders())

    def _reassign(
        self,
        waiting: Mapping[Address, PendingClient],
        holders: Mapping[Address, PortHolder],
        examined: Collection[Address],
    ) -> None:
        newer = {one.address for one in self._table} - set(examined)
        for gone in self._table.retain({*holders, *newer}):
            log.info("{address} has no socket any more: dropped", address=gone.address)
        for address, pending in waiting.items():
            if address not in holders:
                continue
            if self._table.is_full(address[0]):
                self._report_full(holders)
                evicted = self._table.evict_for(address, holders)
                if evicted is None:
                    continue
                log.info("{old} is dropped for {new}", old=evicted.address, new=address)
            self._admit(address, pending)
        self._changed()

    def _report_full(self, holders: Mapping[Address, PortHolder]) -> None:
        """Record that the table is full, and which program has most clients."""
        words = (holders[one.address].words for one in self._table if one.address in holders)
        for most, count in Counter(words).most_common(1):
            self._largest_holder = f"{count} of them by {most}"
        was_reported = bool(self.sentence)
        self._full_at = self._clock.seconds()
        if not was_reported:
            log.warn("the xPL hub is full: {sentence}", sentence=self.sentence)
            self._on_full()
