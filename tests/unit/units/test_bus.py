"""The bus: what is on its wire, and who listens there."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import MessageType
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from domogik.units.systemd.bus import Changes, system_bus
from domogik.units.systemd.dbus import InvalidStream, Message, call, take, unit_of


def message(kind, fields, body=b"", order="<"):
    """A message as a bus sends it; fields are (code, type, value)."""
    data = b""
    for code, type_, value in fields:
        data += b"\0" * (-len(data) % 8) + bytes((code, len(type_))) + type_.encode() + b"\0"
        if type_ == "u":
            data += b"\0" * (-len(data) % 4) + struct.pack(f"{order}I", value)
        elif type_ == "g":
            data += bytes((len(value),)) + value.encode() + b"\0"
        else:
            data += b"\0" * (-len(data) % 4) + struct.pack(f"{order}I", len(value))
            data += value.encode() + b"\0"
    mark = b"l" if order == "<" else b"B"
    head = struct.pack(f"{order}cBBBIII", mark, kind.value, 0, 1, len(body), 7, len(data)) + data
    return head + b"\0" * (-len(head) % 8) + body


def reply(serial):
    fields = [(5, "u", serial), (7, "s", "org.freedesktop.DBus")]
    return message(MessageType.method_return, fields)


def refusal(serial, words):
    body = struct.pack("<I", len(words)) + words.encode() + b"\0"
    fields = [(4, "s", "org.x.Denied"), (5, "u", serial), (8, "g", "s")]
    return message(MessageType.error, fields, body)


def changed(path, interface="org.freedesktop.DBus.Properties", member="PropertiesChanged"):
    fields = [(1, "o", path), (2, "s", interface), (3, "s", member)]
    return message(MessageType.signal, fields, b"whatever it is" * 9)


def all_of(data):
    buffer, found = bytearray(data), []
    while (one := take(buffer)) is not None:
        found.append(one)
    return found, bytes(buffer)


class TestWire:
    def test_a_call_is_read_back(self):
        data = call(3, "a.b", "/c", "d.e", "F", "one", "three")
        ((found,), rest) = all_of(data + b"l")
        assert (found.kind, found.path, found.interface, found.member) == (1, "/c", "d.e", "F")
        assert rest == b"l"
        body = struct.unpack_from("<I", data, 4)[0]
        assert data[-body:] == b"\3\0\0\0one\0\5\0\0\0three\0"

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_messages_of_both_orders_of_bytes_are_read(self, order):
        fields = [(1, "o", "/unit/x"), (5, "u", 258), (8, "g", "sa{sv}as"), (99, "s", "new")]
        (found,), _ = all_of(message(MessageType.signal, fields, b"body", order))
        assert found == Message(MessageType.signal.value, path="/unit/x", reply_serial=258)

    def test_an_error_has_its_words_and_its_name(self):
        (found,), _ = all_of(refusal(4, "no, not you"))
        assert (found.reply_serial, found.words) == (4, "no, not you (org.x.Denied)")

    @given(st.lists(st.integers(0, 300), max_size=8))
    def test_messages_come_in_pieces(self, cuts):
        data = call(1, "a.b", "/c", "d.e", "F") + changed("/x") + reply(9)
        whole, _ = all_of(data)
        buffer, found, last = bytearray(), [], 0
        for cut in [*sorted(cuts), len(data)]:
            buffer += data[last:cut]
            last = max(cut, last)
            while (one := take(buffer)) is not None:
                found.append(one)
        assert found == whole

    @given(st.binary(max_size=200))
    def test_any_bytes_are_messages_or_refused(self, data):
        for start in (b"", b"l\4\0\1", changed("/x")[:40]):
            with contextlib.suppress(InvalidStream):
                all_of(start + data)

    @given(st.data())
    def test_a_message_with_a_wrong_byte_is_read_or_refused(self, data):
        whole = bytearray(refusal(4, "no"))
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(InvalidStream):
            all_of(whole)

    @pytest.mark.parametrize("kind", ["a()", "v", "as"])
    def test_a_field_of_another_type_than_fields_have_is_refused_unread(self, kind):
        with pytest.raises(InvalidStream, match="field of type"):
            take(bytearray(message(MessageType.signal, [(99, kind, "x" * 90)])))

    def test_a_field_that_runs_into_the_body_is_refused(self):
        whole = bytearray(message(MessageType.signal, [(1, "o", "/u")], b"\0" * 40))
        whole[20] = 30
        with pytest.raises(InvalidStream, match="longer than it says"):
            take(whole)

    def test_one_that_is_too_large_is_refused_before_it_has_come(self):
        with pytest.raises(InvalidStream, match="is too large"):
            take(bytearray(struct.pack("<cBBBIII", b"l", 4, 0, 1, 2**26, 1, 0)))


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "/run/dbus/system_bus_socket"),
        ({"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/a%20b,guid=0"}, "/a b"),
        ({"DBUS_SYSTEM_BUS_ADDRESS": "tcp:host=h,port=1;unix:path=/a"}, "/a"),
        ({"DBUS_SYSTEM_BUS_ADDRESS": "tcp:host=h,port=1"}, None),
        ({"DBUS_SYSTEM_BUS_ADDRESS": "what"}, None),
    ],
)
def test_where_the_bus_is(environment, path):
    assert system_bus(environment) == path


def test_a_path_names_its_unit():
    assert unit_of("/org/freedesktop/systemd1/unit/old_2dweb_40a_2eservice") == "old-web@a.service"


def test_a_program_that_does_not_listen_loads_nothing_for_it():
    program = "import sys, domogik.units, domogik.units.this_host; print('jeepney' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout == b"False\n"


class Transport(StringTransport):
    protocol = None

    def abortConnection(self):
        if not self.disconnected:
            self.disconnected = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Endpoint:
    def __init__(self):
        self.attempts = 0
        self.refuses = False
        self.silent = False

    def connect(self, factory):
        self.attempts += 1
        if self.silent:
            return Deferred()
        if self.refuses:
            return fail(ConnectionRefusedError())
        self.protocol = factory.buildProtocol(None)
        self.transport = Transport()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)


class ChangesTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.changes = Changes(self.clock, self.endpoint)
        self.told = []
        self.unsubscribe = self.changes.subscribe(self.told.append)

    def receive(self, data):
        self.endpoint.protocol.dataReceived(data)

    def listen(self):
        self.changes.startService()
        self.receive(b"OK 123\r\n" + b"".join(map(reply, range(1, 6))))
        self.assertTrue(self.changes.is_listening)
        self.assertEqual(self.told, [None])
        del self.told[:]

    def stop(self):
        self.successResultOf(self.changes.stopService())
        self.assertFalse(self.changes.is_listening)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_introduces_itself_and_subscribes(self):
        self.changes.startService()
        transport = self.endpoint.transport
        self.assertTrue(transport.value().startswith(b"\0AUTH EXTERNAL 3"))
        transport.clear()
        self.receive(b"OK 12")
        self.receive(b"3\r\n")
        begin, _, calls = transport.value().partition(b"\r\n")
        self.assertEqual(begin, b"BEGIN")
        members = [one.member for one in all_of(calls)[0]]
        self.assertEqual(members, ["Hello", "AddMatch", "AddMatch", "AddMatch", "Subscribe"])
        self.assertFalse(self.changes.is_listening)
        self.stop()

    def test_changes_of_units_are_told_by_their_names(self):
        self.listen()
        self.receive(changed("/org/freedesktop/systemd1/unit/web_2eservice"))
        manager = "org.freedesktop.systemd1.Manager"
        self.receive(changed("/org/freedesktop/systemd1", manager, "UnitFilesChanged"))
        self.receive(changed("/other", "org.other", "Signal"))
        self.assertEqual(self.told, ["web.service", None])
        self.unsubscribe()
        self.unsubscribe()
        self.receive(changed("/org/freedesktop/systemd1/unit/web_2eservice"))
        self.assertEqual(self.told, ["web.service", None])
        self.stop()

    def test_a_receiver_that_raises_silences_nobody(self):
        def raises(name):
            raise ValueError(name)

        self.unsubscribe()
        self.changes.subscribe(raises)
        self.changes.subscribe(self.told.append)
        self.changes.startService()
        self.receive(b"OK 123\r\n" + b"".join(map(reply, range(1, 6))))
        self.assertEqual(self.told, [None])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.unsubscribe()
        self.changes._receivers.clear()
        self.stop()

    def test_it_comes_back_when_it_was_cut_off_and_says_that_something_was_missed(self):
        self.listen()
        self.endpoint.transport.abortConnection()
        self.assertFalse(self.changes.is_listening)
        self.assertEqual(self.told, [None])
        del self.told[:]
        self.clock.advance(1)
        self.assertEqual(self.endpoint.attempts, 2)
        self.receive(b"OK 123\r\n" + b"".join(map(reply, range(1, 6))))
        self.assertEqual((self.told, self.changes.is_listening), ([None], True))
        self.stop()

    def test_who_refuses_is_asked_ever_less_often(self):
        for refuse in (
            lambda: self.receive(b"REJECTED EXTERNAL\r\n"),
            lambda: self.receive(b"x" * 5000),
            lambda: self.receive(b"OK 1\r\n" + refusal(2, "no")),
            lambda: self.receive(b"OK 1\r\n" + b"no message at all"),
            lambda: self.clock.advance(20),
        ):
            self.setUp()
            self.changes.startService()
            waits = []
            for _ in range(9):
                refuse()
                self.assertFalse(self.changes.is_listening)
                (retry,) = self.clock.getDelayedCalls()
                waits.append(retry.getTime() - self.clock.seconds())
                self.clock.advance(waits[-1])
            self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60])
            self.stop()

    def test_where_there_is_no_bus_nobody_is_told_anything(self):
        self.endpoint.refuses = True
        self.changes.startService()
        self.clock.pump([1, 2, 4])
        self.assertEqual((self.endpoint.attempts, self.told), (4, []))
        self.stop()

    def test_it_stops_at_any_time(self):
        self.endpoint.silent = True
        self.changes.startService()
        self.stop()
        self.stop()
        self.endpoint.silent = False
        self.listen()
        self.stop()
        self.assertTrue(self.endpoint.transport.disconnected)
