"""What is published can be published: the sdist and the wheel, their metadata, an installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import domogik

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and with the wheel that was built from the sdist."""
    directory = tmp_path_factory.mktemp("distributions")
    source = directory / "source"
    # nothing that a build leaves is left in the clone, or taken from there
    leave_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=leave_out)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, source)
    shutil.rmtree(source)
    return directory


def test_an_index_accepts_and_shows_the_metadata(distributions: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *distributions.iterdir())


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    configuration = ROOT / "pyproject.toml"
    run(sys.executable, "-m", "check_wheel_contents", "--config", configuration, wheel)


def test_an_installation_from_the_sdist_runs(distributions: Path, tmp_path: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    # what it needs is in this environment, and is not asked for again
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-build-isolation", "--target", tmp_path, sdist)
    found = {"PYTHONPATH": str(tmp_path)}
    where = run(sys.executable, "-c", "import domogik; print(domogik.__file__)", **found)
    assert where.strip() == str(tmp_path / "domogik" / "__init__.py")
    assert run(tmp_path / "bin/dmg_manager", "--version", **found).strip() == domogik.__version__
