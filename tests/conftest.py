"""What every test may use."""

import sys
from pathlib import Path

import pytest

# `world` and its like are beside the integration tests, which are not a package
sys.path.insert(0, str(Path(__file__).parent / "integration"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test stands in a directory of its own: trial's `mktemp` writes where one stands."""
    monkeypatch.chdir(tmp_path)
