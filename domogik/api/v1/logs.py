"""`/components/{id}/logs`: the last lines of its output, and those to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import attrs
from twisted.web.http import Request

from domogik.api.http.exchange import Reply, Stream
from domogik.api.http.streams import OpenStream, Streams
from domogik.api.v1.components import HOST, NAMING, ONE, find
from domogik.api.v1.routes import FLAG, JSON, Asked, Parameter, Route, json_reply
from domogik.api.v1.shapes.components import INTEGER, TEXT, named
from domogik.components.model import Component
from domogik.manager.interfaces import IAllHosts

PLAIN = "text/plain"
EVENTS = "text/event-stream"
DEFAULT_LINES = 100
MOST_LINES = 10_000

_QUERY = (
    HOST,
    Parameter(
        "lines",
        "How many of the last lines.",
        {**INTEGER, "minimum": 0, "maximum": MOST_LINES, "default": DEFAULT_LINES},
    ),
    Parameter("follow", "Go on with every new line.", {**FLAG, "default": False}),
)


@attrs.define(eq=False)
class LogRoutes:
    """Plain text unless `Accept` asks for JSON, or for events while following."""

    _all_hosts: IAllHosts
    _streams: Streams

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                f"{ONE}/logs",
                "getLogs",
                "The last lines of its output, and with follow=true those to come",
                self.get,
                {PLAIN: TEXT, JSON: named("Log"), EVENTS: TEXT},
                query=_QUERY,
                errors=(*NAMING, 503),
                description=(
                    "A line of text each, or by `Accept` a JSON document; while following, "
                    "text that goes on, or Server-Sent Events with a line each in `data`."
                ),
            ),
        )

    async def get(self, asked: Asked) -> Reply | Stream:
        """Oldest first."""
        component = find(self._all_hosts, asked)
        count = asked.integer("lines", DEFAULT_LINES)
        follow = asked.flag("follow")
        accept = asked.call.request.getHeader(b"accept") or b""
        if follow:
            self._streams.check()
            tail = Tail(self._streams, EVENTS if EVENTS.encode() in accept else PLAIN)
            tail.forget = self._all_hosts.follow_log(component, tail.line)
            try:
                tail.begin_with(await self._lines(component, count))
            except BaseException:
                tail.discard()
                raise
            return tail
        lines = await self._lines(component, count)
        if JSON.encode() in accept:
            return json_reply(
                {"id": str(component.id), "host": component.host, "lines": list(lines)}
            )
        body = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        return Reply(200, body, f"{PLAIN}; charset=utf-8", (("Cache-Control", "no-store"),))

    async def _lines(self, component: Component, count: int) -> Sequence[str]:
        if count == 0:
            return ()
        return await self._all_hosts.log_lines(component, count)


def _nothing() -> None:
    """What there is to forget before anything was begun."""


@attrs.define(eq=False)
class Tail:
    """A log that goes on. Lines that come while the file is read are neither lost nor doubled."""

    _streams: Streams
    _content_type: str
    forget: Callable[[], None] = _nothing
    _early: deque[str] = attrs.field(factory=lambda: deque(maxlen=MOST_LINES))
    _open: OpenStream | None = None

    def line(self, line: str) -> None:
        """One more."""
        if self._open is None:
            self._early.append(line)
        else:
            self._open.write(self._spelled(line))

    def begin_with(self, lines: Sequence[str]) -> None:
        """What was read from the file, part of which may have come as new lines meanwhile."""
        early = list(self._early)
        both = _overlap(lines, early)
        self._early = deque([*lines, *early[both:]])

    def start(self, request: Request) -> None:
        alive = b": \n\n" if self._content_type == EVENTS else b""
        self._open = self._streams.open(
            request, f"{self._content_type}; charset=utf-8", self.forget, alive
        )
        first, self._early = b"".join(map(self._spelled, self._early)), deque()
        self._open.write(first)

    def discard(self) -> None:
        self.forget()

    def _spelled(self, line: str) -> bytes:
        if self._content_type == EVENTS:
            spelled = "".join(f"data: {part}\n" for part in line.splitlines() or [""]) + "\n"
        else:
            spelled = f"{line}\n"
        return spelled.encode("utf-8", "replace")


def _overlap(before: Sequence[str], after: Sequence[str]) -> int:
    """How many of the first lines of `after` are the last of `before`."""
    for size in range(min(len(before), len(after)), 0, -1):
        if list(before[-size:]) == list(after[:size]):
            return size
    return 0
