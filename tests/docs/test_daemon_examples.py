"""The examples of the guide to managed daemons, as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = "".join(
    (ROOT / "docs/guide" / name).read_text(encoding="utf-8")
    for name in ("daemons.md", "fixtures.md")
)
#: what an installed package does by its entry point
CONFTEST = 'pytest_plugins = ["domogik.daemons.testing"]\n'
EXAMPLES = re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_does_what_it_says(number: int, tmp_path: Path) -> None:
    how, code = EXAMPLES[number]
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_example.py").write_text(code)
    argv = [sys.executable, "test_example.py"]
    if how == "pytest":
        argv[1:] = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples_for_all() -> None:
    assert len(EXAMPLES) >= 4
