"""Reaching a port, with a reactor that exists only here."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.health import Result
from domogik.units.checks.netcat import diagnose_netcat
from domogik.units.checks.ports import InvalidPort


class Transport(StringTransport):
    protocol = None

    def loseConnection(self):
        self.disconnecting = True

    def abortConnection(self):
        self.protocol.connectionLost(Failure(ConnectionRefusedError()))


class NetcatTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()

    def connect(self):
        self.reactor.advance(1)
        _, _, factory, _, _ = self.reactor.tcpClients[-1]
        self.protocol = factory.buildProtocol(None)
        self.transport = Transport()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def refuse(self):
        self.reactor.advance(1)
        _, _, factory, _, _ = self.reactor.tcpClients[-1]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def test_a_connection_that_is_made_passes_and_is_closed(self):
        result = diagnose_netcat(self.reactor, "127.0.0.1", 80, "QUIT\n")
        self.connect()
        self.assertEqual(self.transport.value(), b"QUIT\n")
        self.assertTrue(self.transport.disconnecting)
        self.assertNoResult(result)
        self.protocol.connectionLost(Failure(ConnectionRefusedError()))
        check = self.successResultOf(result)
        self.assertEqual(
            (check.check_id, check.filled, check.result, check.parameters),
            (
                "daemon-netcat-127.0.0.1-80",
                "Connect to 127.0.0.1:80",
                Result.PASSED,
                {"host": "127.0.0.1", "port": 80, "negate": False},
            ),
        )
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_one_that_is_refused_fails_with_the_reason(self):
        result = diagnose_netcat(self.reactor, "127.0.0.1", 80, component_id="daemon-x")
        self.refuse()
        check = self.successResultOf(result)
        self.assertEqual((check.result, check.component_id), (Result.FAILED, "daemon-x"))
        self.assertIn("refused", check.parameters["reason"])

    def test_what_shall_not_be_reachable_passes_when_it_is_not(self):
        result = diagnose_netcat(self.reactor, "127.0.0.1", 80, negate=True)
        self.refuse()
        check = self.successResultOf(result)
        self.assertEqual(
            (check.check_id, check.filled, check.result),
            (
                "daemon-netcat-negate-127.0.0.1-80",
                "Cannot connect to 127.0.0.1:80",
                Result.PASSED,
            ),
        )
        result = diagnose_netcat(self.reactor, "127.0.0.1", 80, negate=True)
        self.connect()
        self.protocol.connectionLost(Failure(ConnectionRefusedError()))
        self.assertEqual(self.successResultOf(result).result, Result.FAILED)

    def test_who_does_not_answer_is_waited_for_no_longer_than_said(self):
        result = diagnose_netcat(self.reactor, "127.0.0.1", 80, patience_s=5)
        self.reactor.advance(4.9)
        self.assertNoResult(result)
        self.reactor.advance(0.2)
        self.assertEqual(self.successResultOf(result).result, Result.FAILED)

    def test_who_does_not_read_is_left_after_a_while(self):
        result = diagnose_netcat(self.reactor, "127.0.0.1", 80, "text", patience_s=5)
        self.connect()
        self.assertNoResult(result)
        self.reactor.advance(5)
        self.assertEqual(self.successResultOf(result).result, Result.PASSED)

    def test_what_is_no_host_cannot_be_reached(self):
        for host in ("", "a b", "\x00", "x" * 300, "\ud800"):
            result = diagnose_netcat(self.reactor, host, 80)
            self.reactor.advance(60)
            self.assertEqual(self.successResultOf(result).result, Result.FAILED)

    def test_what_is_no_port_is_refused(self):
        self.failureResultOf(diagnose_netcat(self.reactor, "127.0.0.1", 0), InvalidPort)
