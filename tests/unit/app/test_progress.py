"""Who waits for the start hears each step, once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from domogik.app.progress import StartProgress, notify_socket, pipe


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_what_is_done_and_that_it_is_ready(tmp_path: Path, abstract: bool) -> None:
    name = f"@domogik-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name[1:]}" if abstract else name)
        environment = {"NOTIFY_SOCKET": name}
        progress = StartProgress.from_environment(environment)
        assert environment == {}, "children must not find it"
        progress.status("plugins start")
        progress.ready()
        progress.stopping()
        said = [listening.recv(100) for _ in range(3)]
    assert said == [b"STATUS=plugins start", b"READY=1", b"STOPPING=1"]


def test_who_waits_at_a_pipe_hears_lines() -> None:
    reading, writing = os.pipe()
    progress = StartProgress([pipe(writing)])
    progress.status("one")
    progress.failed("the port is taken")
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert lines.read() == "STATUS=one\nERROR=the port is taken\n"


def test_a_listener_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    heard: list[str] = []
    progress = StartProgress([notify_socket(str(tmp_path / "nobody")), heard.append])
    progress.status("one")
    progress.status("two")
    assert heard == ["STATUS=one", "STATUS=two"]


def test_nobody_has_to_listen() -> None:
    called: list[str] = []
    progress = StartProgress.from_environment({})
    progress.on_ready.append(lambda: called.append("ready"))
    progress.ready()
    assert called == ["ready"]


def test_what_people_are_to_know_is_said_once_before_anything_else() -> None:
    heard: list[str] = []
    progress = StartProgress([heard.append], words=lambda: ("to stop: kill 7",))
    progress.status("one")
    progress.ready()
    assert heard == ["X_DOMOGIK=to stop: kill 7", "STATUS=one", "READY=1"]
