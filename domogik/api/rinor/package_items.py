"""How do packages look on the RINOR paths?

Clients of two generations read them: `version` and `release`, `category` and `techno` are the same
thing, and each item has both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from domogik.components.events import Event, EventStream
from domogik.errors import NotPossible
from domogik.manager.packages.interfaces import InstalledPackage
from domogik.packages.descriptor.package import UdevRule
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.repositories.index import Offer

Item = dict[str, object]

#: how many are encoded in one turn of the reactor; one takes some 30 us
AT_A_TIME = 100
#: what is said to who cannot type a command: Domogik's own words
_FROM_THE_PAGE = "Install from Domogik Administration"


@attrs.define(eq=False)
class Encoded:
    """Offers as JSON, each encoded once: the repositories offer thousands, and rarely others.

    `current` tells which offers there are; what is not among them any more is forgotten. When
    `events` say that they have changed they are encoded before anybody asks, a few in each turn of
    the reactor.
    """

    _clock: IReactorTime
    _item: Callable[[Offer], Item]
    _current: Callable[[], Sequence[Offer]]
    _events: EventStream
    #: by identity: to compare two offers takes longer than to encode one
    _known: dict[int, tuple[Offer, bytes]] = attrs.field(factory=dict, init=False)
    _preparing: Deferred[None] | None = attrs.field(default=None, init=False)
    _unsubscribe: Callable[[], None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._unsubscribe = self._events.subscribe(self._happened)

    def stop(self) -> None:
        """Encode nothing more before it is asked for."""
        self._unsubscribe()
        if self._preparing is not None:
            self._preparing.cancel()

    async def array(self, offers: Sequence[Offer]) -> bytes:
        """The JSON array of them, in their order; whoever else waits has turns in between."""
        return b"[%s]" % b", ".join(await self._each(offers))

    async def _each(self, offers: Sequence[Offer]) -> list[bytes]:
        parts = []
        new = 0
        for offer in offers:
            known = self._known.get(id(offer))
            if known is None:
                new += 1
                if not new % AT_A_TIME:
                    await deferLater(self._clock, 0)
                known = offer, json.dumps(self._item(offer)).encode("ascii")
                self._known[id(offer)] = known
            parts.append(known[1])
        if new:
            there = {id(offer) for offer in self._current()}
            self._known = {key: known for key, known in self._known.items() if key in there}
        return parts

    def _happened(self, event: Event) -> None:
        if event.type == "repositories.changed":
            if self._preparing is not None:
                self._preparing.cancel()
            self._preparing = Deferred.fromCoroutine(self._prepare())
            _ = self._preparing.addErrback(_given_up)

    async def _prepare(self) -> None:
        try:
            await self._each(self._current())
        except NotPossible:
            """Nobody will ask where no packages are managed."""


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)


def offer_item(offer: Offer) -> Item:
    """A release that is available; nothing in it is a boolean or null."""
    package = offer.package
    return {
        "type": package.type,
        "id": package.id,
        "name": package.id,
        "fullname": package.full_name,
        "version": package.release,
        "release": package.release,
        "generated": package.generated,
        "category": package.technology,
        "techno": package.technology,
        "documentation": package.documentation,
        "doc": package.documentation,
        "description": package.description,
        "desc": package.description,
        "changelog": package.changelog,
        "author": package.author,
        "author_email": package.author_email,
        "email": package.author_email,
        "domogik_min_version": package.min_version,
        "domogik_min_release": package.min_version,
        "priority": str(offer.source.priority),
        "source": offer.source.url,
        "signed": str(offer.signed),
        "archive_url": offer.url,
        "package_url": offer.url,
        "dependencies": [{"id": one.id, "type": one.type} for one in package.dependencies],
    }


def installed_item(installed: InstalledPackage) -> Item:
    """A package of a host, with what is newer."""
    ref = installed.ref
    return {
        "fullname": ref.fullname,
        "id": ref.id,
        "version": ref.release,
        "release": ref.release,
        "type": ref.type,
        "enabled": installed.enabled,
        "updates": [
            {
                "type": offer.package.type,
                "id": offer.package.id,
                "version": offer.package.release,
                "release": offer.package.release,
                "priority": str(offer.source.priority),
                "changelog": offer.package.changelog,
            }
            for offer in installed.updates
        ],
    }


def dependency_items(states: Iterable[DependencyState]) -> list[Item]:
    """Plugins first, the rest in the order of the descriptor."""
    ordered = sorted(states, key=lambda state: state.kind != "plugin")
    return [_dependency_item(state) for state in ordered]


def _dependency_item(state: DependencyState) -> Item:
    by_page = state.kind == "plugin" and not state.installed
    return {
        "type": state.kind,
        "id": state.dependency,
        "installed": state.installed,
        "version": state.release,
        "release": state.release,
        "candidate": state.candidate,
        "cmd_line": _FROM_THE_PAGE if by_page else state.cmd_line,
        "error": state.error,
    }


def rule_item(rule: UdevRule) -> Item:
    """A rule that a person may install."""
    return {
        "model": rule.model,
        "description": rule.description,
        "filename": rule.filename,
        "rule": rule.rule,
    }
