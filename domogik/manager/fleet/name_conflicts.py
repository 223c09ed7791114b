"""Conflicts of names: other programs with a name of this host, other hosts with its roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.manager.plugins.heartbeat_senders import announced
from domogik.xpl.codec.message import STAT, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.presence import Presence

#: seconds between two looks whether they are still there
LOOK_AGAIN = 60.0
#: the most conflicts that are kept
MOST = 16
#: which roles only the main host has, and the option that gives them
OPTIONS = {"dbmgr": "-d", "rest": "-r"}


@attrs.define(eq=False)
class NameConflicts:
    """Each is known from its first heartbeat until it has been silent for a minute.

    `ask(source)` asks every program of that name for a heartbeat; `changed()` is called when one
    is heard for the first time, and when one is gone.
    """

    _host: str
    _clock: IReactorTime
    _ask: Callable[[str], None]
    _changed: Callable[[], None]
    _log: Logger = Logger()
    #: source and place -> whether it was heard since the last look
    _heard: dict[tuple[str, str], bool] = attrs.field(factory=dict)
    _watched: list[Presence] = attrs.field(factory=list)
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    _next: IDelayedCall | None = None

    @property
    def sentence(self) -> str:
        """Say which names of ours are used from where; empty where none is."""
        return "; ".join(
            f"{source} speaks from {where} too"
            for source, where in self._heard
            if source.endswith(f".{self._host}")
        )

    @property
    def roles(self) -> str:
        """Say which roles of ours another host has; empty where none has."""
        return "; ".join(
            f"{source} speaks from {where} and is here too: only the main host has {option}"
            for source, where in self._heard
            for role, option in OPTIONS.items()
            if source.startswith(f"domogik-{role}.") and not source.endswith(f".{self._host}")
        )

    def watch_roles(self, bus: Bus, roles: Iterable[str]) -> None:
        """Report other hosts with one of these `OPTIONS` from now on."""
        for role in roles:
            self._subscriptions.append(
                bus.subscribe(
                    self._other_host, type=STAT, schema="hbeat.app", source=f"domogik-{role}.*"
                )
            )

    def _other_host(self, message: Message, origin: Origin) -> None:
        if message.instance != self._host:
            self.heard(message, origin)

    def watch(self, presence: Presence) -> None:
        """Report other programs with the name of that presence from now on."""
        if presence not in self._watched:
            self._watched.append(presence)
            presence.on_name_conflict(self.heard)

    def heard(self, message: Message, origin: Origin) -> None:
        """Handle a heartbeat of a program with a name of this host."""
        key = message.source, _where(message, origin)
        if key not in self._heard:
            if len(self._heard) >= MOST:
                return
            self._log.error("{source} speaks from {where} too", source=key[0], where=key[1])
            self._changed()
        self._heard[key] = True
        if self._next is None:
            self._next = self._clock.callLater(LOOK_AGAIN, self._look)

    def stop(self) -> None:
        """Cancel all subscriptions and timers."""
        for subscription in self._subscriptions:
            subscription.cancel()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        before = len(self._heard)
        self._heard = {key: False for key, was_heard in self._heard.items() if was_heard}
        self._next = self._clock.callLater(LOOK_AGAIN, self._look) if self._heard else None
        for source in sorted({source for source, _ in self._heard}):
            self._ask(source)
        if len(self._heard) < before:
            self._changed()


def _where(message: Message, origin: Origin) -> str:
    """Where it says that it listens, and where that was sent from if that is another address."""
    place = announced(message)
    if place is None:
        return origin.ip or "an unknown address"
    said = "{}:{}".format(*place)
    return said if origin.ip in (None, place[0]) else f"{said} (sent from {origin.ip})"
