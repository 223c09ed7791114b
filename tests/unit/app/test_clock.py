"""A reactor of ours waits as long as it should, whatever happens to the wall clock."""

from __future__ import annotations

from twisted.internet.selectreactor import SelectReactor

from domogik.clock import use_monotonic_clock


def test_what_waits_already_waits_as_long_as_it_would_have() -> None:
    reactor = SelectReactor()
    wall = [1_700_000_000.0]
    reactor.seconds = lambda: wall[0]
    calls = []
    soon = reactor.callLater(0, calls.append, "soon")
    reactor.callLater(3600, calls.append, "late")
    use_monotonic_clock(reactor)
    use_monotonic_clock(reactor)  # a second time changes nothing
    reactor.callLater(0, calls.append, "after")
    wall[0] -= 86_400
    while len(calls) < 2:
        reactor.runUntilCurrent()
    assert calls == ["soon", "after"]
    assert not soon.active()
    (late,) = reactor.getDelayedCalls()
    assert 3590 < late.getTime() - reactor.seconds() <= 3600
    late.cancel()
