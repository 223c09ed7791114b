"""How components are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domogik.cli.ctl.components import sentence, table_of
from domogik.cli.terminal import Palette

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
PLAIN = Palette(False)


def document(**given: Any) -> dict[str, Any]:
    return {
        "id": "plugin:demo",
        "host": "attic",
        "state": "alive",
        "enabled": True,
        "pid": 4711,
        "since": "2026-01-01T11:57:00.000Z",
        "restarts": 2,
        "reason": "",
    } | given


def test_a_component_is_one_line_that_says_everything() -> None:
    assert table_of([document(reason="was killed")], NOW, PLAIN) == (
        "COMPONENT    STATE  ENABLED  PID   SINCE  RESTARTS  CPU  MEM  REASON\n"
        "plugin:demo  alive  yes      4711  3 min  2         -    -    was killed\n"
    )


def test_what_it_uses_has_columns_of_its_own_within_80() -> None:
    used = {"cpu_percent": 99.6, "memory_bytes": 1.5e9, "open_files": 3, "processes": 1}
    found = document(id="plugin:diskfree", state="not-responding", usage=used, reason="x" * 30)
    shown = table_of([found], NOW, Palette(False, 80))
    assert shown.splitlines()[1].split()[-2:] == ["100%", "1.5G"]
    assert shown.splitlines()[2] == "    " + "x" * 30
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_not_known_is_a_dash() -> None:
    shown = table_of([document(enabled=None, pid=None, since=None)], NOW, PLAIN)
    assert shown.splitlines()[1].split() == ["plugin:demo", "alive", "-", "-", "-", "2", "-", "-"]


def test_the_host_is_shown_where_there_are_several() -> None:
    shown = table_of([document(), document(host="cellar")], NOW, PLAIN)
    assert [line.split()[0] for line in shown.splitlines()] == ["HOST", "attic", "cellar"]


def test_states_have_the_colours_of_a_traffic_light() -> None:
    colours = Palette(True)
    assert "\x1b[32malive" in table_of([document()], NOW, colours)
    assert "\x1b[33mbackoff" in table_of([document(state="backoff")], NOW, colours)
    assert "\x1b[31mfailed" in table_of([document(state="failed")], NOW, colours)


def test_a_state_or_a_time_of_a_newer_manager_is_shown_all_the_same() -> None:
    shown = table_of([document(state="sleeping", since="yesterday")], NOW, PLAIN)
    assert shown.splitlines()[1].split()[1:5] == ["sleeping", "yes", "4711", "-"]


def test_an_order_is_answered_with_what_came_of_it() -> None:
    assert sentence(document(), PLAIN) == "plugin:demo: alive, enabled (pid 4711)"
    stopped = document(state="stopped", enabled=False, pid=None, reason="as asked")
    assert sentence(stopped, PLAIN) == "plugin:demo: stopped, not enabled: as asked"
    disabled = document(state="disabled", enabled=False, pid=None)
    assert sentence(disabled, PLAIN) == "plugin:demo: disabled"
