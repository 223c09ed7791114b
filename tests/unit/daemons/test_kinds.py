"""Kinds of daemon that other distributions bring."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from domogik.daemons import kinds
from domogik.daemons.mosquitto.daemon import MosquittoDaemon
from domogik.daemons.testing import clean
from domogik.errors import DomogikError

MODULE = """
from domogik.daemons.core.base import ManagedDaemon

class Gopher(ManagedDaemon):
    kind = "gopher"
    title = "Gopher"
    takes_password = False

class Other:
    pass
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another distribution, installed."""
    info = tmp_path / "gopher-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gopher\nVersion: 1.0\n")
    (tmp_path / "gopher_kind.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    kinds._others.cache_clear()
    yield info / "entry_points.txt"
    kinds._others.cache_clear()
    sys.modules.pop("gopher_kind", None)


def test_another_distribution_brings_a_kind(distribution: Path) -> None:
    distribution.write_text("[domogik.daemons]\ngopher = gopher_kind:Gopher\n")
    assert kinds.kinds()[-1] == "gopher"
    assert kinds.daemon_class("gopher").title == "Gopher"


def test_one_without_a_password_refuses_to_be_given_one(distribution: Path, tmp_path: Path) -> None:
    distribution.write_text("[domogik.daemons]\ngopher = gopher_kind:Gopher\n")
    daemon = kinds.daemon_class("gopher")(MemoryReactorClock())
    failed: list[Failure] = []
    daemon.configure(tmp_path / "it", password="secret").addErrback(failed.append)
    (refused,) = failed
    assert "Gopher has no password" in refused.getErrorMessage()
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize("kind", ["gopher", "nosuch"])
def test_a_kind_that_has_no_parts_says_what_there_is(distribution: Path, kind: str) -> None:
    distribution.write_text("[domogik.daemons]\ngopher = gopher_kind:Gopher\n")
    with pytest.raises(DomogikError) as refused, clean(kind):
        pass
    said = {"gopher": "gopher_daemon", "nosuch": "'nosuch' is none of redis,"}
    assert said[kind] in str(refused.value)


def test_one_that_cannot_be_used_says_why_and_disturbs_no_other(distribution: Path) -> None:
    distribution.write_text(
        "[domogik.daemons]\n"
        "gopher = gopher_kind:Other\nmissing = nowhere:Kind\nmosquitto = gopher_kind:Gopher\n"
    )
    with pytest.raises(kinds.UnknownKind, match="gopher_kind:Other is no daemon of that kind"):
        kinds.daemon_class("gopher")
    with pytest.raises(kinds.UnknownKind, match=r"'missing' cannot be used .*nowhere"):
        kinds.daemon_class("missing")
    assert kinds.daemon_class("mosquitto") is MosquittoDaemon


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(kinds.UnknownKind, match=r"redis, .*, mosquitto"):
        kinds.daemon_class("gopher")
