"""The guide to writing a plugin, from nothing to a published one, as a reader would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from storerooms import package_world

from domogik.packages.publish.scaffold import scaffold

pytestmark = pytest.mark.integration

GUIDE = (Path(__file__).parents[2] / "docs/guide/write-a-plugin.md").read_text(encoding="utf-8")


def test_the_session_of_the_guide_leads_to_a_plugin_that_runs(tmp_path: Path) -> None:
    commands = re.findall(r"^    \$ (.+)$", GUIDE, re.MULTILINE)
    assert len(commands) > 10
    world = package_world(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(work), "LANG": "C.UTF-8", "LINES": "24"}
    world.start("-d", "-r")
    try:
        done = subprocess.run(
            ["bash", "-e", "-x", "-c", "\n".join(commands)],
            cwd=work,
            env={**environment, "DOMOGIK_HOME": str(world.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stdout + done.stderr
        assert re.search(r"/site\s.* until 2", done.stdout), done.stdout  # its signatures
        assert "alive" in done.stdout
        # its test has left nothing among what was packed
        packed = {path.name for path in (work / "hello/src").rglob("*") if path.is_file()}
        assert packed == {"hello.py", "hello.xml", "icon.png"}
        assert world.component("hello")["state"] == "alive"
    finally:
        world.close()


def test_the_guide_shows_what_new_writes(tmp_path: Path) -> None:
    package = scaffold("hello", tmp_path)
    shown = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    for name in ("src/domogik_packages/xpl/bin/hello.py", "tests/test_hello.py"):
        assert (package / name).read_text() in shown


def test_a_test_of_a_plugin_that_ends_fails_at_once_with_its_last_lines(tmp_path: Path) -> None:
    package = scaffold("hello", tmp_path)
    script = package / "src/domogik_packages/xpl/bin/hello.py"
    script.write_text(f"import nothere\n{script.read_text()}")
    done = subprocess.run(
        [sys.executable, "-m", "twisted.trial", "tests/test_hello.py"],
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode != 0
    assert "hello ended with status 1" in done.stdout
    assert "No module named 'nothere'" in done.stdout
    assert "TimeoutError" not in done.stdout
    assert len(done.stdout) < 5000
