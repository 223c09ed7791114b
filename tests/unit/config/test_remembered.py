"""Values last received outlive the process, and a damaged memory is no memory."""

import os
from pathlib import Path

import pytest

from domogik.config.remembered import LastKnown, Remembered


def test_a_value_is_there_after_a_restart_with_the_time_it_was_received(tmp_path: Path) -> None:
    memory = Remembered(tmp_path / "configuration.json")
    memory.put("interval", "60", 1000.5)
    memory.put("device", None, 1001.0)
    again = Remembered(tmp_path / "configuration.json")
    assert again.get("interval") == LastKnown("60", 1000.5) == ("60", 1000.5)
    assert again.get("device") == LastKnown(None, 1001.0)


def test_what_was_never_received_is_not_known(tmp_path: Path) -> None:
    assert Remembered(tmp_path / "configuration.json").get("interval") is None


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[1", b"[]", b"7", b'{"interval": "60"}', b"[" * 100_000]
)
def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "configuration.json"
    path.write_bytes(content)
    memory = Remembered(path)
    assert memory.get("interval") is None
    memory.put("interval", "60", 1.0)
    assert Remembered(path).get("interval") == ("60", 1.0)


def test_of_a_file_that_is_partly_damaged_the_rest_is_known(tmp_path: Path) -> None:
    path = tmp_path / "configuration.json"
    path.write_text('{"a": ["1", 2], "b": ["1"], "c": [1, 2], "d": ["1", true, 3]}')
    memory = Remembered(path)
    assert memory.get("a") == ("1", 2.0)
    assert [memory.get(key) for key in "bcd"] == [None] * 3


def test_a_directory_that_is_gone_costs_the_file_and_not_the_value(tmp_path: Path) -> None:
    memory = Remembered(tmp_path / "gone" / "configuration.json")
    memory.put("interval", "60", 1.0)
    assert memory.get("interval") == ("60", 1.0)


def test_nothing_else_is_left_in_the_directory(tmp_path: Path) -> None:
    Remembered(tmp_path / "configuration.json").put("interval", "60", 1.0)
    assert os.listdir(tmp_path) == ["configuration.json"]
