"""What every test may use."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `world` and its like are beside the integration tests, which are not a package
sys.path.insert(0, str(Path(__file__).parent / "integration"))

# how fast a machine is says nothing about a law, and the same commit is tested with the same
# examples everywhere; a nightly run looks for others
settings.register_profile(
    "house",
    deadline=None,
    derandomize=not os.environ.get("DOMOGIK_NIGHTLY"),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")


# a shell's background ignores Ctrl-C, and so would every program that a test ends with it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test stands in a directory of its own: trial's `mktemp` writes where one stands."""
    monkeypatch.chdir(tmp_path)
