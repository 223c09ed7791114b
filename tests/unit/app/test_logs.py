"""The log of a manager says what its reader can use."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.logger import LogEvent, Logger, LogLevel

from domogik.app.parts.logs import OwnLog, _from_level, _text, set_level


@pytest.mark.parametrize("namespace", ["log_legacy", "twisted.internet.base"])
@pytest.mark.parametrize(("level", "is_there"), [("info", False), ("debug", True)])
def test_twisteds_own_chatter_is_for_developers(level: str, is_there: bool, namespace: str) -> None:
    seen: list[LogEvent] = []
    observer = _from_level(seen.append, level)
    chatter = {
        "log_namespace": namespace,
        "log_level": LogLevel.info,
        "log_format": "Main loop terminated.",
        "log_time": 0.0,
    }
    observer(chatter)
    assert (chatter in seen) is is_there
    assert _text(chatter).endswith(": Main loop terminated.\n")
    ours = {**chatter, "log_namespace": "domogik.app.parts.manager", "log_format": "it starts"}
    observer(ours)
    assert seen[-1] is ours


def test_a_level_that_is_changed_counts_at_once() -> None:
    seen: list[LogEvent] = []
    observer = _from_level(seen.append, "info")
    detail = {"log_namespace": "domogik.x", "log_level": LogLevel.debug, "log_time": 0.0}
    observer(detail)
    set_level("debug")
    observer(detail)
    set_level("error")
    observer(detail)
    assert seen == [detail]


def test_the_managers_own_log_is_read_again_and_followed(tmp_path: Path) -> None:
    set_level("info")
    file = tmp_path / "manager.log"
    file.write_text("one\ntwo\nthree\n")
    own = OwnLog(file, lambda work, *args: execute(work, *args))
    found: list[list[str]] = []
    Deferred.fromCoroutine(own.lines(2)).addCallback(found.append)
    assert found == [["two", "three"]]
    heard: list[str] = []
    forget = own.follow(heard.append)
    Logger("domogik.app.parts.manager").info("it is so")
    forget()
    Logger("domogik.app.parts.manager").info("and nobody hears it")
    assert [line.partition(" info  ")[2] for line in heard] == ["app.parts.manager: it is so"]
