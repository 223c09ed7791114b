"""What a process says of itself by sd_notify is understood, and believed of itself only."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.supervisor.readiness import Notice, NotifySocket, notify_address


class FakeReactor:
    """Who reads; the test says when."""

    def __init__(self):
        self.readers = []

    def addReader(self, reader):
        self.readers.append(reader)

    def removeReader(self, reader):
        self.readers.remove(reader)


class Listener:
    def __init__(self, path):
        self.heard = []
        self.reactor = FakeReactor()
        self.socket = NotifySocket(self.reactor, path, lambda *said: self.heard.append(said))
        self.socket.open()

    def read(self):
        self.socket.doRead()
        return self.heard


@pytest.fixture()
def listener(tmp_path):
    listener = Listener(tmp_path / "n")
    yield listener
    listener.socket.close()


def say(address, data, descriptors=()):
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        socket.send_fds(sender, [data], list(descriptors))


def test_the_usual_words_are_understood():
    assert Notice.parse(b"READY=1\nSTATUS=Up since noon\n") == Notice(
        ready=True, status="Up since noon"
    )
    assert Notice.parse(b"WATCHDOG=1") == Notice(watchdog=True)
    assert Notice.parse(b"STOPPING=1") == Notice(stopping=True)


def test_other_words_say_nothing():
    assert Notice.parse(b"READY=0\nFDSTORE=1\nMAINPID=1\nnonsense\n=\n") == Notice()


def test_a_status_is_one_short_line_for_a_person():
    said = Notice.parse(b"STATUS=red \x1b[31m" + b"x" * 1000).status
    assert len(said) == 200
    assert said.startswith("red  [31mxx")


@given(st.binary(max_size=4096))
def test_any_bytes_are_a_notice(data):
    assert isinstance(Notice.parse(data), Notice)


def test_the_sender_is_who_the_kernel_says(listener):
    say(listener.socket.address, b"READY=1\nMAINPID=1")
    assert listener.read() == [(os.getpid(), Notice(ready=True))]


def test_a_message_that_is_not_understood_does_not_silence_the_next(tmp_path):
    heard = []

    def receive(pid, notice):
        heard.append(notice)
        if notice.ready:
            raise RuntimeError("a fault of ours")

    listening = NotifySocket(FakeReactor(), tmp_path / "n", receive)
    listening._log = type("Log", (), {"failure": lambda self, text, **fields: None})()
    listening.open()
    say(listening.address, b"READY=1")
    say(listening.address, b"WATCHDOG=1")
    listening.doRead()
    listening.close()
    assert heard == [Notice(ready=True), Notice(watchdog=True)]


def test_one_message_cannot_be_larger_than_it_should(listener):
    say(listener.socket.address, b"READY=1\nSTATUS=" + b"x" * 5000)
    assert listener.read() == []


def test_who_talks_without_end_leaves_others_their_turn(listener):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        sender.connect(listener.socket.address)
        sent = 0
        try:
            while True:
                sender.send(b"WATCHDOG=1")
                sent += 1
        except BlockingIOError:
            pass
    first = len(listener.read())
    assert first <= 32
    while len(listener.heard) < sent:
        listener.read()


def test_descriptors_sent_along_are_not_kept(listener):
    before = set(os.listdir("/proc/self/fd"))
    reading, writing = os.pipe()
    say(listener.socket.address, b"BARRIER=1\nFDSTORE=1", [writing])
    os.close(writing)
    assert listener.read() == [(os.getpid(), Notice())]
    assert os.read(reading, 1) == b""  # nobody holds the other end any more
    os.close(reading)
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_next_manager_listens_where_the_dead_one_did(tmp_path, listener):
    second = Listener(tmp_path / "n")
    say(second.socket.address, b"READY=1")
    assert second.read() == [(os.getpid(), Notice(ready=True))]
    second.socket.close()


def test_a_home_too_deep_for_the_kernel_has_a_socket_all_the_same(tmp_path):
    path = tmp_path / ("deep" * 30) / "notify.sock"
    assert notify_address(path) == notify_address(Path(str(path)))
    listener = Listener(path)
    say(listener.socket.address, b"READY=1")
    assert listener.read() == [(os.getpid(), Notice(ready=True))]
    listener.socket.close()


def test_a_socket_may_be_closed_twice(listener):
    listener.socket.close()
    listener.socket.close()
    assert listener.reactor.readers == []
