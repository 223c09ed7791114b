"""The preparation of a start, which can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Program, Specification
from domogik.supervisor.lifecycle.pacing import Pacing


@attrs.define(eq=False)
class Starting:
    """Prepares a component's next process, and spawns it in its turn.

    It calls `spawn(program)` or `failed(reason)`, never within `begin`. The next preparation waits
    for a cancelled one.
    """

    _log = Logger()

    _pacing: Pacing
    _spawn: Callable[[Program], None]
    _failed: Callable[[str], None]
    _ticket: object | None = attrs.field(init=False, default=None)
    _preparation: Deferred[None] | None = attrs.field(init=False, default=None)
    _lock: DeferredLock = attrs.field(init=False, factory=DeferredLock)

    def begin(self, specification: Specification) -> None:
        """Prepare the component, if it has a `prepare`, and spawn it in its turn."""
        if specification.prepare is None:
            self._spawn_in_turn(specification.program)
        else:
            # A preparation that fails at once must not fail within the caller's own step.
            self._ticket = self._pacing.ask(partial(self._prepare, specification))

    def cancel(self) -> None:
        """Cancel the preparation or the spawn, so that nothing is called."""
        self._pacing.cancel(self._ticket)
        self._ticket = None
        preparation, self._preparation = self._preparation, None
        if preparation is not None:
            preparation.cancel()

    def _spawn_in_turn(self, program: Program) -> None:
        self._ticket = self._pacing.ask(partial(self._spawn, program))

    def _prepare(self, specification: Specification) -> None:
        preparing = Deferred.fromCoroutine(self._prepared(specification))
        self._preparation = preparing.addCallbacks(
            self._spawn_in_turn, self._not_prepared, errbackArgs=(specification.id, self._ticket)
        )

    async def _prepared(self, specification: Specification) -> Program:
        assert specification.prepare is not None
        async with self._lock:
            return await specification.prepare(specification.program)

    def _not_prepared(self, failure: Failure, id: str, ticket: object) -> None:
        if failure.check(CancelledError) and ticket is not self._ticket:
            return
        if not failure.check(DomogikError):
            self._log.failure("{id} could not be prepared", failure, id=id)
        self._failed(failure.getErrorMessage())
