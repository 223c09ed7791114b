"""Which port is a plugin's own, as the kernel sees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from domogik.manager.plugins.password_recipients import is_port_of

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    """A port that only the child has when it runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def _ask(bound: socket.socket, *arguments: str, source: str = "") -> bool:
    """Whether the port of a child is that of the plugin clock on vm."""
    address = bound.getsockname()
    environment = {**os.environ, "DOMOGIK_SOURCE": source} if source else dict(os.environ)
    if not source:
        environment.pop("DOMOGIK_SOURCE", None)
    child = subprocess.Popen(
        [sys.executable, "-c", SLEEP, *arguments], env=environment, pass_fds=[bound.fileno()]
    )
    bound.close()
    try:
        return is_port_of("clock", "vm", address)
    finally:
        child.kill()
        child.wait()


def test_what_a_manager_started_is_known_by_its_environment(bound: socket.socket) -> None:
    assert _ask(bound, source="domogik-clock.vm")


@pytest.mark.parametrize("source", ["domogik-lamp.vm", "domogik-clock.kitchen", "x"])
def test_another_plugin_is_not_it_whatever_it_is_called(bound: socket.socket, source: str) -> None:
    assert not _ask(bound, "clock.py", source=source)


def test_what_a_person_started_is_known_by_its_script(bound: socket.socket) -> None:
    # the command is cut after three words: this one is not the script
    assert not _ask(bound, "clock.py")


def test_a_script_that_is_run_by_hand(bound: socket.socket, tmp_path) -> None:
    script = tmp_path / "clock.py"
    script.write_text(SLEEP)
    address = bound.getsockname()
    child = subprocess.Popen([sys.executable, str(script)], pass_fds=[bound.fileno()])
    try:
        # we have it too
        assert not is_port_of("clock", "vm", address)
        bound.close()
        assert is_port_of("clock", "vm", address)
        assert not is_port_of("lamp", "vm", address)
    finally:
        child.kill()
        child.wait()


def test_a_port_that_nobody_has_is_nobodys(bound: socket.socket) -> None:
    address = bound.getsockname()
    bound.close()
    assert not is_port_of("clock", "vm", address)
    assert not is_port_of("clock", "vm", ("127.999", 1))
