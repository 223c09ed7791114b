"""What a tool says while the manager of its home does not answer yet."""

from pathlib import Path

import pytest

from domogik.cli.client import Address, Unreachable
from domogik.config.home import Home


def test_a_manager_that_starts_is_not_said_to_be_missing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with pytest.raises(Unreachable, match="no manager runs in"):
        Address.of_home(home, (home.configuration,))
    lock = home.lock()
    try:
        with pytest.raises(Unreachable, match=r"\(pid \d+\) is starting, or stopping: try again"):
            Address.of_home(home, (home.configuration,))
    finally:
        lock.release()
    with pytest.raises(Unreachable, match="no manager runs in"):
        Address.of_home(home, (home.configuration,))
