"""Filling a snapshot from a list: nothing of it gets lost, in whatever order it arrives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from domogik.packages.http.fetch import FetchReply
from domogik.packages.http.response import FetchLimits
from domogik.packages.repositories.list_form import ListRepository
from domogik.packages.repositories.recognition import Entrance, Form, FoundRepository
from domogik.packages.repositories.snapshot import Listing

PNG = b"\x89PNG\r\n\x1a\n"
BASE = "http://repository.example/stable"
DESCRIPTOR = """<package type="plugin"><id>{id}</id><version>1.0</version>
<technology>service</technology></package>"""


class HeldBack:
    """A fetcher whose answers come when the test says so."""

    def __init__(self, connections: int) -> None:
        self.limits = FetchLimits(connections_per_host=connections)
        self.waiting: dict[str, Deferred[FetchReply]] = {}

    async def get(self, url: str, *, limit_bytes: int) -> FetchReply:
        self.waiting[url] = Deferred()
        return await self.waiting[url]

    def answer(self, kind: str, id: str, body: bytes) -> None:
        url = f"{BASE}/{kind}/plugin/{id}/1.0"
        self.waiting.pop(url).callback(FetchReply(200, body, None, None, url))


def at_once(work: Callable[..., object], *args: object) -> Deferred[object]:
    return succeed(work(*args))


class Lists(SynchronousTestCase):
    def test_a_package_whose_icon_comes_after_the_others_were_written_is_there(self) -> None:
        ids = [f"p{n}" for n in range(100)]
        fetcher = HeldBack(len(ids))
        directory = Path(self.mktemp())
        directory.mkdir()
        body = "\n".join(["Domogik Repository", *(f"plugin/{id}/1.0" for id in ids), ""]).encode()
        found = FoundRepository(Entrance(Form.LIST, f"{BASE}/", ""), BASE, body)
        told: list[tuple[int, int]] = []
        repository = ListRepository(
            fetcher, at_once, found, directory, lambda *counts: told.append(counts)
        )
        filling: Deferred[Listing] = Deferred.fromCoroutine(repository.fill(None))
        for id in ids:
            fetcher.answer("xml", id, DESCRIPTOR.format(id=id).encode())
        for id in reversed(ids):
            fetcher.answer("icon", id, PNG)
        listing = self.successResultOf(filling)
        self.assertEqual([entry.ref.id for entry in listing.entries], ids)
        self.assertEqual(told[-1], (100, 100))
        self.assertEqual(len(list(directory.glob("*.xml"))), 100)
        self.assertEqual(len(list(directory.glob("*.png"))), 100)
