"""What a tool says while the manager of its home does not answer yet."""

import subprocess
import time
from pathlib import Path

import pytest

from domogik.cli.client import ApiAddress, ManagerUnreachable
from domogik.config.home import Home


def test_a_manager_that_starts_is_not_said_to_be_missing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with pytest.raises(ManagerUnreachable, match="no manager runs in"):
        ApiAddress.of_home(home, (home.configuration,))
    lock = home.lock()
    try:
        with pytest.raises(
            ManagerUnreachable, match=r"\(pid \d+\) is starting, or stopping: try again"
        ):
            ApiAddress.of_home(home, (home.configuration,))
    finally:
        lock.release()
    with pytest.raises(ManagerUnreachable, match="no manager runs in"):
        ApiAddress.of_home(home, (home.configuration,))


def test_one_that_is_executed_anew_is_starting_though_it_has_no_lock(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.rest_port.write_text("1\n")  # of before a crash: the connection is refused
    process = subprocess.Popen(["dmg_manager", "1000"], executable="/bin/sleep")
    try:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.01)  # a moment of each exec
        (home.run / "manager.lock").write_text(f"{process.pid}\n")
        address = ApiAddress.of_home(home, (home.configuration,))
        assert f"(pid {process.pid}) is starting, or stopping: try again" in address.advice
        home.rest_port.unlink()
        with pytest.raises(ManagerUnreachable, match="is starting, or stopping"):
            ApiAddress.of_home(home, (home.configuration,))
    finally:
        process.kill()
        process.wait()
    with pytest.raises(ManagerUnreachable, match="no manager runs in"):
        ApiAddress.of_home(home, (home.configuration,))
