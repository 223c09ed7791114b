"""Orders about packages, through `/api/v1`: given, followed to their end, and what came of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from domogik.cli.client import CHANGE_TIMEOUT_S, EVENTS, EVENTS_TIMEOUT_S, BrokenOff, RequestRefused
from domogik.cli.operations import ENDED, finished
from domogik.cli.program import CommandFailed
from domogik.cli.progress import Counted, ProgressLine
from domogik.cli.session import Terminal

Document = dict[str, Any]
TYPES = ("plugin", "external")
#: bytes; as REST has it
LARGEST_ARCHIVE = 128 * 1024 * 1024


@attrs.frozen
class Name:
    """A package, as it is known now; `shown` is what `/packages/<fullname>` says."""

    type: str
    id: str
    shown: Document

    @property
    def fullname(self) -> str:
        """`plugin-diskfree`"""
        return f"{self.type}-{self.id}"

    def on(self, host: str) -> Document | None:
        """It as it is installed on a host, None where it is not."""
        return next((one for one in self.shown["installed"] if one["host"] == host), None)


@attrs.define(eq=False)
class Orders:
    """What a command of `dmg_pkgmgr` tells the manager."""

    terminal: Terminal
    progress: ProgressLine

    @property
    def host(self) -> str | None:
        """The host that was asked for, None for that of REST."""
        return self.terminal.options.host  # type: ignore[no-any-return]

    def find(self, text: str) -> Name:
        """`diskfree` or `plugin-diskfree`; raises `CommandFailed`."""
        type, dash, id = text.partition("-")
        if dash and type in TYPES:
            return Name(type, id, self._shown(type, id))
        found = []
        missing = None
        for type in TYPES:
            try:
                found.append(Name(type, text, self._shown(type, text)))
            except RequestRefused as error:
                if error.status != http.client.NOT_FOUND:
                    raise
                missing = missing or error
        if len(found) > 1:
            names = " or ".join(name.fullname for name in found)
            raise CommandFailed(f"'{text}' may be {names}: say which")
        if not found:
            raise CommandFailed(f"{missing} The list is made anew by: dmg_pkgmgr update-cache")
        return found[0]

    def do(self, verb: str, type: str, id: str, **query: str | None) -> Document:
        """The package as it is when the order is carried out; raises `CommandFailed`."""
        where = "/".join(quote(part, safe="", errors="surrogateescape") for part in (type, id))
        result = self.order(f"/packages/{where}/{verb}", host=self.host, **query)
        if "fullname" in result:
            return result
        shown = self.terminal.client.get("/packages", type=type, host=self.where())
        for package in shown["packages"]:
            if package["id"] == id:
                return package  # type: ignore[no-any-return]
        return {"fullname": f"{type}-{id}", "host": self.where(), "release": None}

    def needed_plugins(self, id: str, release: str | None) -> list[tuple[str, str]]:
        """Each plugin that a release needs, that is not installed and is offered; which release."""
        client = self.terminal.client
        if release is None:
            offers = self._shown("plugin", id)["offers"]
            release = next((one["release"] for one in offers if one["fits"]), None)
        path = f"/packages/plugin/{quote(id, safe='', errors='surrogateescape')}/dependencies"
        answer = client.begin("GET", path, CHANGE_TIMEOUT_S, host=self.host, release=release)
        return [
            (re.split(r"[\s(<>=!~\[;]", one["dependency"].strip(), maxsplit=1)[0], one["candidate"])
            for one in answer.document()["dependencies"]
            if one["type"] == "plugin" and not one["release"] and one["candidate"]
        ]

    def order(self, path: str, **query: str | None) -> Document:
        """What the answer says; on a terminal that of the job, which is shown as it goes on."""
        client = self.terminal.client
        if not self.progress.wanted:
            answer = client.begin("POST", path, CHANGE_TIMEOUT_S, **query)
            return finished(client, answer.document())  # type: ignore[no-any-return]
        # the events first: the job may be done before its number is known
        events = client.stream("/events", EVENTS, EVENTS_TIMEOUT_S)
        with contextlib.closing(events):  # type: ignore[type-var]  # it is a generator
            for line in events:
                if line.startswith("retry:"):
                    break
            answer = client.begin("POST", path, CHANGE_TIMEOUT_S, wait="no", **query)
            document: Document = answer.document()
            if "subject" not in document:
                return document
            try:
                return self._follow(document, events)
            finally:
                self.progress.clear()

    def upload(self, path: Path) -> Document:
        """What was in the archive; raises `CommandFailed` and `OSError`."""
        with path.open("rb") as file:
            size = path.stat().st_size
            if not 0 < size <= LARGEST_ARCHIVE:
                raise CommandFailed(f"{path} is no archive of a package: it has {size} bytes")
            counted = Counted(file, size, f"sending {path.name}", self.progress)
            try:
                return self.terminal.client.upload(  # type: ignore[no-any-return]
                    "/packages/upload", counted, size, CHANGE_TIMEOUT_S
                )
            except RequestRefused as error:
                raise CommandFailed(f"{path}: {error}") from None
            finally:
                self.progress.clear()

    def _follow(self, job: Document, events: Iterator[str]) -> Document:
        """Until it has ended; raises `CommandFailed` with what it failed of."""
        kind = ""
        while job["state"] not in ENDED:
            what = " ".join(filter(None, (job["kind"], job["subject"], job["stage"])))
            self.progress.show(what, job["percent"])
            try:
                line = next(events, None)
            except BrokenOff:
                line = None
            if line is None:
                raise CommandFailed("the manager ended while it worked; ask again what came of it")
            if line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                job = self._after(job, kind, line[5:])
        if job["state"] == "failed":
            raise CommandFailed(job["error"])
        return job

    def _after(self, job: Document, kind: str, data: str) -> Document:
        """The job after an event."""
        if kind == "resync":
            return self.terminal.client.get(f"/jobs/{job['id']}")  # type: ignore[no-any-return]
        if kind != "job.changed":
            return job
        changed: Document = json.loads(data)["data"]
        return changed if changed["id"] == job["id"] else job

    def _shown(self, type: str, id: str) -> Document:
        name = quote(f"{type}-{id}", safe="", errors="surrogateescape")
        return self.terminal.client.get(f"/packages/{name}")  # type: ignore[no-any-return]

    def where(self) -> str:
        """The host that is meant."""
        if self.host is not None:
            return self.host
        host: str = self.terminal.client.get("/hosts")["host"]
        return host
