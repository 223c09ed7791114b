"""An operation as HTTP serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs

from domogik.api.http.exchange import Call, Reply, Stream
from domogik.manager.operations.shape import Schema
from domogik.manager.operations.table import Operation, Order

JSON = "application/json"
Handler = Callable[[Call, Order], Awaitable[Reply | Stream]]


@attrs.frozen(eq=False)
class Served:
    """An operation that HTTP answers in its own way: `handler` gets the call and the order.

    `contents`: content type to schema, where the answer is not JSON only; `body_types` what a body
    can be sent as; `statuses` of errors beside those of the operation.
    """

    operation: Operation
    handler: Handler | None = None
    contents: Mapping[str, Schema] = attrs.field(factory=dict)
    body_types: tuple[str, ...] = (JSON,)
    statuses: tuple[int, ...] = ()

    @property
    def pattern(self) -> str:
        """Its path, as the router has it."""
        return self.operation.path[1:].replace("{", "<").replace("}", ">")
