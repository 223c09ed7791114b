"""The way back: which release a rollback leads to."""

from __future__ import annotations

from pathlib import Path

from domogik.packages.store.history import History, read_history, write_history

STORED = {"1", "2", "3", "4"}


def test_after_updates_the_way_back_leads_through_all_of_them() -> None:
    history = History().leaving("1", "2").leaving("2", "3")
    assert history.previous("3", STORED) == "2"
    assert history.previous("2", STORED) == "1"
    assert history.previous("1", STORED) is None


def test_releases_that_are_stored_no_more_are_passed_over() -> None:
    assert History(("1", "2")).previous("3", {"1", "3"}) == "1"


def test_after_a_way_back_an_update_starts_from_there() -> None:
    history = History(("1", "2")).leaving("2", "4")
    assert history.way == ("1", "2")
    assert history.previous("4", STORED) == "2"


def test_after_a_downgrade_the_way_back_is_the_higher_release() -> None:
    history = History().leaving("1", "2").leaving("2", "1")
    assert history.previous("1", STORED) == "2"


def test_a_way_written_before_a_switch_that_never_came_means_the_same() -> None:
    before = History(("1",))
    written = before.leaving("2", "3")
    assert written.previous("2", STORED) == before.previous("2", STORED)
    assert written.at("2") == before


def test_it_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "history"
    write_history(path, History(("1", "2"), held=True))
    assert read_history(path) == History(("1", "2"), held=True)


def test_nothing_to_remember_needs_no_file(tmp_path: Path) -> None:
    path = tmp_path / "history"
    write_history(path, History(("1",)))
    write_history(path, History())
    assert not path.exists()
    assert read_history(path) == History()


def test_a_damaged_memory_is_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "history"
    for text in ("", "[]", "{}", '{"way": 3, "held": true}', "[" * 10000, "null"):
        path.write_text(text)
        assert read_history(path) == History()
