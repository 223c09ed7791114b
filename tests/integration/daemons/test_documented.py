"""The documents' sequences of all kinds, as whom programs are run: root, `nobody`, whoever we are.

`DOMOGIK_SEQUENCES` says how often; once unless said otherwise, twenty times at night.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons.users import as_user

pytestmark = pytest.mark.integration

TIMES = int(os.environ.get("DOMOGIK_SEQUENCES", "1"))
PROGRAM = Path(__file__).with_name("documented.py")
KINDS = ("redis", "postgres", "mysql", "nginx", "apache", "rabbitmq", "mosquitto")


@pytest.fixture
def place() -> Iterator[Path]:
    """Where `nobody` may write, and where nothing is left."""
    place = Path(tempfile.mkdtemp(prefix="sequences-"))
    place.chmod(0o1777)
    shutil.copy(PROGRAM, place)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("user", ["self", "nobody"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", range(TIMES))
def test_the_documents_sequence_with_unittest(time: int, kind: str, user: str, place: Path) -> None:
    done = subprocess.run(
        (*as_user(user), sys.executable, "-W", "error", PROGRAM.name, f"Documented.test_{kind}"),
        cwd=place,
        env={**os.environ, "HOME": str(place), "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = [path.name for path in place.iterdir() if path.name != PROGRAM.name]
    assert [name for name in left if not name.startswith(".")] == []  # of the home
