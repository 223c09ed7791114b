"""sendmmsg and recvmmsg by ctypes: a sender and a sink that cost little."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import time

libc = ctypes.CDLL(None, use_errno=True)
BATCH = 64
MSG_DONTWAIT = 0x40


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class _Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", _Msghdr), ("len", ctypes.c_uint32)]


class Batch:
    """BATCH message headers over buffers that all hold `content`."""

    def __init__(self, content: bytes) -> None:
        size = len(content)
        self._buffers = [ctypes.create_string_buffer(content, size) for _ in range(BATCH)]
        self._iovecs = (_Iovec * BATCH)()
        self.headers = (_Mmsghdr * BATCH)()
        for index, buffer in enumerate(self._buffers):
            self._iovecs[index] = _Iovec(ctypes.addressof(buffer), size)
            self.headers[index].hdr.iov = ctypes.pointer(self._iovecs[index])
            self.headers[index].hdr.iovlen = 1


class Sender:
    """Sends one datagram again and again to a loopback port, at an even pace."""

    def __init__(self, port: int, datagram: bytes) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", port))
        self._batch = Batch(datagram)

    def run(self, rate: float, seconds: float) -> tuple[int, float]:
        """Datagrams sent, and the rate that was kept."""
        burst = max(1, min(BATCH, int(rate * 0.0005)))
        wait = burst / rate
        sent, fd = 0, self.sock.fileno()
        started = due = time.perf_counter()
        end = started + seconds
        while due < end:
            done = libc.sendmmsg(fd, self._batch.headers, burst, 0)
            if done < 0:
                error = ctypes.get_errno()
                if error != errno.ECONNREFUSED:  # that of an earlier one
                    raise OSError(error, os.strerror(error))
                continue
            sent += done
            due += wait
            left = due - time.perf_counter()
            if left > 0.00015:
                time.sleep(left - 0.0001)
            while time.perf_counter() < due:
                pass
        return sent, sent / (time.perf_counter() - started)


def drain(sock: socket.socket, batch: Batch) -> int:
    """Take what waits at a socket; how many datagrams that was."""
    total = 0
    while True:
        done = libc.recvmmsg(sock.fileno(), batch.headers, BATCH, MSG_DONTWAIT, None)
        if done <= 0:
            return total
        total += done
        if done < BATCH:
            return total
