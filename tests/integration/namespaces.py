"""Networks of a test's own: namespaces joined by wires, with `ip` of iproute2 and root's rights.

Inside one, ports 3865 and 40405 are free whatever runs on this computer, and nothing that is sent
leaves it. Where they cannot be had, a test is skipped by its name, and on CI fails.
"""

from __future__ import annotations

import ctypes
import http.client
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from world import PATIENCE, World

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count(1)
_T = TypeVar("_T")


def need_root(what: str) -> None:
    """End the test where we may not do `what`: as a failure on CI, skipped elsewhere."""
    if os.geteuid() == 0 and shutil.which("ip") and shutil.which("unshare"):
        return
    sentence = f"{what} needs root, iproute2 and util-linux"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def _ip(*arguments: str) -> None:
    done = subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    sentence = f"ip {' '.join(arguments)}: {done.stderr.strip()}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


class Namespace:
    """A network with a loopback interface of its own."""

    def __init__(self) -> None:
        need_root("a network namespace")
        self.name = f"dmg{os.getpid()}n{next(_numbers)}"
        _ip("netns", "add", self.name)
        try:
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @property
    def prefix(self) -> tuple[str, ...]:
        """In front of a command that shall run here; its process id is that of the command."""
        return ("ip", "netns", "exec", self.name)

    def ip(self, *arguments: str) -> None:
        """Change something here."""
        _ip("-n", self.name, *arguments)

    def do(self, action: Callable[[], _T]) -> _T:
        """Call it in a thread that is here; the sockets it makes stay here."""

        def here() -> _T:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/run/netns/{self.name}").open() as file:
                if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            return action()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(here).result()

    def udp(self, address: str, port: int = 0) -> socket.socket:
        """A bound socket that may broadcast."""

        def make() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind((address, port))
            return sock

        return self.do(make)

    def http(self, address: str, port: int) -> http.client.HTTPConnection:
        """A connection that is made."""
        connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
        self.do(connection.connect)
        return connection

    def close(self) -> None:
        """The namespace goes, with its interfaces."""
        subprocess.run(("ip", "netns", "del", self.name), capture_output=True, check=False)


@contextmanager
def namespaces(number: int) -> Iterator[list[Namespace]]:
    """So many of them, not joined yet."""
    made: list[Namespace] = []
    try:
        for _ in range(number):
            made.append(Namespace())
        yield made
    finally:
        for one in made:
            one.close()


def join(one: Namespace, its: str, other: Namespace, others: str) -> None:
    """A wire between two, their ends with these addresses (`10.1.0.1/24`), and broadcast."""
    number = next(_numbers)
    ends = f"d{os.getpid()}a{number}", f"d{os.getpid()}b{number}"
    _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for namespace, end, address in ((one, ends[0], its), (other, ends[1], others)):
        _ip("link", "set", end, "netns", namespace.name)
        namespace.ip("address", "add", address, "broadcast", "+", "dev", end)
        namespace.ip("link", "set", end, "up")


class DistantWorld(World):
    """A home whose manager runs in a namespace, with the ports that everybody uses."""

    def __init__(
        self, directory: Path, namespace: Namespace, address: str = "127.0.0.1", **keys: str
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.namespace = namespace
        self.prefix = namespace.prefix
        self.address = address
        super().__init__(directory, **keys)

    def connect(self) -> http.client.HTTPConnection:
        return self.namespace.http(self.address, self.rest_port)
