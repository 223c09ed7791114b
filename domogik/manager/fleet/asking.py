"""Questions to the managers of other hosts, ended early if the manager is not heard any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from domogik.errors import NoAnswer, OperationFailed
from domogik.xpl.codec.message import CMND, InvalidMessage, Message
from domogik.xpl.node.identity import Identity, NoReply
from domogik.xpl.node.presence import REQUEST

#: how often a manager is asked to speak before it counts as silent: a message can be lost
_CALLS = 3
#: seconds; what is left below them is nothing
_MOMENT = 0.01


@attrs.define(eq=False, repr=False)
class _Question:
    result: Deferred[Message]
    since: float
    #: why it was given up
    why: str = ""
    next_call: IDelayedCall | None = None

    def give_up(self, why: str) -> None:
        self.why = why
        self.result.cancel()


@attrs.define(eq=False, repr=False)
class Asking:
    """Questions and orders to managers of other hosts.

    A manager that said that it ends is not asked. One that is not heard for `patience_s` seconds
    while it is asked is given up; while it is heard, it has the time that the question allows.
    """

    _clock: IReactorTime
    _identity: Identity
    patience_s: float = 10.0
    _gone: set[str] = attrs.field(factory=set)
    _heard: dict[str, float] = attrs.field(factory=dict)
    _waiting: dict[str, list[_Question]] = attrs.field(factory=dict)

    def heard(self, host: str) -> None:
        """Record that the manager of that host was heard."""
        self._gone.discard(host)
        self._heard[host] = self._clock.seconds()

    def left(self, host: str) -> None:
        """Record that the manager of that host has ended and will not answer."""
        self._gone.add(host)
        for question in tuple(self._waiting.get(host, ())):
            question.give_up(f"the manager of {host} was stopped")

    def forget(self, host: str) -> None:
        """Remove everything that is known about that host."""
        self._gone.discard(host)
        self._heard.pop(host, None)

    async def ask(
        self,
        host: str,
        what: str,
        schema: str,
        body: Sequence[tuple[str, str]],
        answer: Callable[[Message], bool],
        *,
        timeout_s: float,
        repeat_s: float | None = None,
    ) -> Message:
        """Return the first message that is the `answer`.

        Raises `NoAnswer`, with `what` in its text, and `OperationFailed` for what xPL cannot carry.
        """
        silence = f"No data or timeout on {what}"
        if host in self._gone:
            raise NoAnswer(f"{silence}: the manager of {host} was stopped")
        asked = self._identity.request(
            schema, body, answer=answer, timeout=timeout_s, repeat=repeat_s
        )
        question = _Question(asked, self._clock.seconds())
        self._waiting.setdefault(host, []).append(question)
        if not asked.called:
            self._call(host, question)
        try:
            return await asked
        except InvalidMessage as error:
            raise OperationFailed(str(error)) from error
        except NoReply:
            raise NoAnswer(silence) from None
        except CancelledError:
            if not question.why:
                raise
            raise NoAnswer(f"{silence}: {question.why}") from None
        finally:
            self._waiting[host].remove(question)
            if not self._waiting[host]:
                del self._waiting[host]
            if question.next_call is not None and question.next_call.active():
                question.next_call.cancel()

    def _call(self, host: str, question: _Question) -> None:
        last = max(question.since, self._heard.get(host, question.since))
        left = last + self.patience_s - self._clock.seconds()
        if left < _MOMENT:
            question.give_up(f"{host} is not heard")
            return
        self._identity.send(CMND, "hbeat.request", REQUEST, target=f"domogik-manager.{host}")
        # the last look comes when patience ends, whenever it was heard last
        pause = max(_MOMENT, min(self.patience_s / _CALLS, left))
        question.next_call = self._clock.callLater(pause, self._call, host, question)
