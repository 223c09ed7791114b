"""Small files that may be lost."""

from pathlib import Path

import pytest
from twisted.logger import LogEvent, Logger

from domogik.config.json_file import read_json, write_json


@pytest.fixture
def said() -> list[LogEvent]:
    return []


@pytest.fixture
def log(said: list[LogEvent]) -> Logger:
    return Logger("files", observer=said.append)


def test_what_was_written_is_read(tmp_path: Path, log: Logger, said: list[LogEvent]) -> None:
    path = tmp_path / "names.json"
    write_json(path, log, ["lampe", "höhe"])
    assert read_json(path, log, tuple) == ("lampe", "höhe")
    assert said == []


def test_a_missing_file_is_nothing_to_tell(
    tmp_path: Path, log: Logger, said: list[LogEvent]
) -> None:
    assert read_json(tmp_path / "names.json", log, tuple) is None
    assert said == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"7", b" " * 2**21])
def test_what_cannot_be_understood_is_said(
    tmp_path: Path, log: Logger, said: list[LogEvent], content: bytes
) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(content)
    assert read_json(path, log, tuple) is None
    (event,) = said
    assert event["path"] == str(path)


def test_what_cannot_be_written_is_said(tmp_path: Path, log: Logger, said: list[LogEvent]) -> None:
    write_json(tmp_path / "gone" / "names.json", log, [])
    (event,) = said
    assert "No such file" in event["error"]
