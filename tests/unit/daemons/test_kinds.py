"""Kinds of daemon that other distributions bring."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domogik.daemons import kinds
from domogik.daemons.mosquitto.daemon import MosquittoDaemon

MODULE = """
from domogik.daemons.core.base import ManagedDaemon

class Gopher(ManagedDaemon):
    kind = "gopher"
    title = "Gopher"

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
