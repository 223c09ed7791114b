"""A manager without processes and network."""

from pathlib import Path

import pytest

from domogik.testing.local_host import FakeManager


@pytest.fixture
def manager(tmp_path: Path) -> FakeManager:
    """Two plugins are installed: `clock`, which is enabled, and `lamp`."""
    made = FakeManager(tmp_path / "home")
    made.install("clock").install("lamp")
    return made.configure("[plugins]\nclock = enabled\n").begin()
