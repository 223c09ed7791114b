"""`/components/{id}/logs`: the last lines of its output, and those to come."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence

import attrs
from twisted.web.http import Request

from domogik.api.http.exchange import Call, Reply, Stream
from domogik.api.http.streams import OpenStream, Streams, TooManyStreams
from domogik.api.v1.face import json_reply
from domogik.api.v1.served import JSON, Served
from domogik.components.model import Component
from domogik.manager.operations.answers import LOG
from domogik.manager.operations.parameters import Parameter, flag
from domogik.manager.operations.shape import INTEGER, TEXT
from domogik.manager.operations.table import BASE, COMPONENT, NAMING, Context, Operation, Order

PLAIN = "text/plain"
EVENTS = "text/event-stream"
DEFAULT_LINES = 100
MOST_LINES = 10_000

_LINES = Parameter(
    "lines",
    "How many of the last lines.",
    {**INTEGER.schema, "minimum": 0, "maximum": MOST_LINES, "default": DEFAULT_LINES},
)
LOGS = Operation(
    "component.logs",
    f"GET {BASE}/components/{{id}}/logs",
    LOG,
    "The last lines of its output, and with follow=true those to come",
    "getLogs",
    subject=COMPONENT,
    parameters=(_LINES, flag("follow", "Go on with every new line.")),
    errors=(*NAMING, TooManyStreams),
    text=(
        "A line of text each, or by `Accept` a JSON document; while following, text that goes on, "
        "or Server-Sent Events with a line each in `data`."
    ),
)


def log_paths(streams: Streams) -> Served:
    """Plain text unless `Accept` asks for JSON, or for events while following; oldest first."""

    async def get(call: Call, order: Order) -> Reply | Stream:
        count = order.values["lines"]
        context, component = order.context, order.found
        accept = call.request.getHeader(b"accept") or b""
        if order.values["follow"]:
            streams.check()
            tail = Tail(streams, EVENTS if EVENTS.encode() in accept else PLAIN)
            tail.forget = context.all_hosts.follow_log(component, tail.line)
            try:
                tail.begin_with(await _lines(context, component, count))
            except BaseException:
                tail.discard()
                raise
            return tail
        lines = await _lines(context, component, count)
        if JSON.encode() in accept:
            document = LOG.json({"id": component.id, "host": component.host, "lines": lines})
            return json_reply(json.dumps(document).encode("ascii"))
        body = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        return Reply(200, body, f"{PLAIN}; charset=utf-8", (("Cache-Control", "no-store"),))

    return Served(LOGS, get, {PLAIN: TEXT.schema, JSON: LOG.schema, EVENTS: TEXT.schema})


async def _lines(context: Context, component: Component, count: int) -> Sequence[str]:
    return await context.all_hosts.log_lines(component, count) if count else ()


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
