"""Several programs at one home: they exclude each other, and none of them loses anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from world import PATIENCE

from domogik.config.home import Home, HomeInUse
from domogik.config.load import load

pytestmark = pytest.mark.integration


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_programs_that_edit_at_the_same_time_do_not_lose_each_others_change(
    tmp_path: Path,
) -> None:
    path = tmp_path / "domogik.cfg"
    editor = (
        "import sys\nfrom pathlib import Path\n"
        "from domogik.config.edit import ConfigurationBusy, set_value\n"
        "def edit(name):\n"
        "    try:\n"
        "        set_value(Path(sys.argv[1]), 'plugins', name, 'enabled')\n"
        "    except ConfigurationBusy:  # a slow disk: nothing is done, and it is said\n"
        "        edit(name)\n"
        "sys.stdin.read()\n"
        "for turn in range(5):\n"
        "    edit(f'p{sys.argv[2]}-{turn}')\n"
    )
    reader, writer = os.pipe()
    editors = [
        subprocess.Popen(
            [sys.executable, "-c", editor, str(path), str(number)],
            stdin=reader,
            env=_environment(),
        )
        for number in range(3)
    ]
    os.close(reader)
    os.close(writer)  # now all of them begin
    assert [one.wait(PATIENCE) for one in editors] == [0, 0, 0]
    plugins = load([path]).section("plugins")
    assert {f"p{number}-{turn}" for number in range(3) for turn in range(5)} <= plugins.keys()


def test_a_killed_manager_leaves_the_home_free(tmp_path: Path) -> None:
    home = Home(tmp_path)
    manager = (
        "import sys\nfrom pathlib import Path\nfrom domogik.config.home import Home\n"
        "lock = Home(Path(sys.argv[1])).lock()\nprint('ours', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", manager, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
    ) as process:
        assert process.stdout.readline() == b"ours\n"
        with pytest.raises(HomeInUse) as caught:
            home.lock()
        process.kill()
    assert caught.value.pid == process.pid
    home.lock().release()
