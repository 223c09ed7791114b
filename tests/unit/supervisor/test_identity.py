"""Which process is it?"""

from __future__ import annotations

import json
import os

import attrs
import pytest

from domogik.supervisor.interfaces import Exit
from domogik.supervisor.processes.identity import (
    InvalidIdentity,
    NoSuchProcess,
    ProcessIdentity,
    current_boot,
    parse_stat,
)

LINE = (
    b"4242 (%s) %s 17 4242 4241 0 -1 4194304 120 0 0 0 5 6 0 0 20 0 %d 0 98765 "
    b"5000 600 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
)


@pytest.mark.parametrize("name", [b"sleep", b"a b", b"a) Z 1 (b", b"((", b"))", b") R 1 1 1"])
def test_a_process_may_call_itself_what_it_likes(name: bytes) -> None:
    stat = parse_stat(LINE % (name, b"S", 1))
    assert (stat.pid, stat.state, stat.parent, stat.group) == (4242, "S", 17, 4242)
    assert (stat.session, stat.threads, stat.start_ticks) == (4241, 1, 98765)
    assert not stat.is_kernel_thread


def test_a_zombie_counts_as_gone() -> None:
    assert parse_stat(LINE % (b"x", b"Z", 1)).is_gone


def test_a_process_that_lost_only_its_first_thread_is_not_gone() -> None:
    assert not parse_stat(LINE % (b"x", b"Z", 3)).is_gone


def test_this_process_is_running() -> None:
    assert ProcessIdentity.of(os.getpid()).is_running()


def test_a_number_that_was_used_again_is_another_process() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert not attrs.evolve(me, start_ticks=me.start_ticks - 1).is_running()


def test_nothing_survives_a_reboot() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert me.boot_id == current_boot()
    assert not attrs.evolve(me, boot_id="another boot").is_running()


def test_a_number_that_nobody_has_is_no_process() -> None:
    with pytest.raises(NoSuchProcess):
        ProcessIdentity.of(2**22 + 1)  # above the greatest pid the kernel gives


def test_an_identity_survives_being_written_down() -> None:
    me = ProcessIdentity.of(os.getpid())
    assert ProcessIdentity.from_dict(json.loads(json.dumps(me.to_dict()))) == me


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"pid": "1", "start_ticks": 2, "boot_id": "x"},
        {"pid": 1, "start_ticks": True, "boot_id": "x"},
        {"pid": 0, "start_ticks": 2, "boot_id": "x"},
        {"pid": -7, "start_ticks": 2, "boot_id": "x"},
        {"pid": 1, "start_ticks": 2, "boot_id": None},
    ],
)
def test_a_damaged_note_is_refused(data: object) -> None:
    with pytest.raises(InvalidIdentity):
        ProcessIdentity.from_dict(data)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Exit(code=3), "exit status 3"),
        (Exit(code=0), "exit status 0"),
        (Exit(signal=9), "killed by SIGKILL"),
        (Exit(signal=40), "killed by signal 40"),
        (Exit(), "ended; its status could not be read"),
    ],
)
def test_an_end_is_told_in_words(end: Exit, words: str) -> None:
    assert end.words == words
    assert end.unknown == (end == Exit())
