"""The fixtures are there without a line in a conftest, and cost nothing where nobody asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import domogik

KINDS = ("redis", "postgres", "mysql", "rabbitmq", "nginx", "apache", "mosquitto")
FIXTURES = [
    *(f"{kind}_{what}" for kind in KINDS for what in ("daemon", "server")),
    "redis_keys", "postgres_database", "mysql_database", "rabbitmq_vhost", "nginx_root",
    "apache_root", "mosquitto_topics",
]  # fmt: skip
#: where the package under test is
OURS = str(Path(domogik.__path__[0]).parent)
#: an installed Domogik, as far as pytest sees it
METADATA = "Metadata-Version: 2.1\nName: a-domogik\nVersion: 1\n"
ENTRY_POINT = "domogik.daemons.fixtures = domogik.daemons.fixtures"
LINE = 'pytest_plugins = ["domogik.daemons.testing"]\n'


def run(place: Path, *argv: str, **environment: str) -> str:
    path = os.pathsep.join(filter(None, (str(place / "installed"), OURS, *sys.path)))
    done = subprocess.run(
        [sys.executable, *argv], cwd=place, text=True, check=False, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory of tests beside an installation with our entry point."""
    information = tmp_path / "installed" / "a_domogik-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(METADATA)
    (information / "entry_points.txt").write_text(f"[pytest11]\n{ENTRY_POINT}\n")
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    return tmp_path


def test_the_entry_point_of_setup_py_is_the_one_of_these_tests() -> None:
    setup = Path(__file__).parents[3] / "setup.py"
    assert f'"pytest11": ["{ENTRY_POINT}"]' in setup.read_text()


def names_of(listing: str) -> set[str]:
    """Those that do not begin with `_`: pytest does not list these."""
    _, _, ours = listing.partition("fixtures defined from domogik.daemons.fixtures")
    ours = ours.partition("fixtures defined from")[0]
    return {line.split()[0] for line in ours.splitlines() if " -- " in line}


#: without what the extras of our own tests and benchmarks bring along
QUICK = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis",
         "-p", "no:pytest_postgresql", "-p", "no:pytest_redis")  # fmt: skip


@pytest.mark.parametrize("conftest", ["", LINE], ids=["no line", "the documented line"])
@pytest.mark.parametrize("without", ["", "1"], ids=["by entry point", "entry points off"])
def test_every_fixture_is_there_once_with_or_without_the_line_in_a_conftest(
    project: Path, conftest: str, without: str
) -> None:
    (project / "conftest.py").write_text(conftest)
    listing = run(project, *QUICK, "--fixtures", PYTEST_DISABLE_PLUGIN_AUTOLOAD=without)
    assert names_of(listing) == (set(FIXTURES) if conftest or not without else set())
    assert "1 passed" in run(project, *QUICK, PYTEST_DISABLE_PLUGIN_AUTOLOAD=without)


def test_every_fixture_says_what_a_test_gets(project: Path) -> None:
    listing = run(project, *QUICK, "--fixtures")
    _, _, ours = listing.partition("fixtures defined from domogik.daemons.fixtures")
    assert "no docstring available" not in ours.partition("fixtures defined from")[0]
    assert "Give a new database on the shared postgres" in ours


def test_a_kind_of_another_distribution_has_its_two_fixtures(project: Path) -> None:
    information = project / "installed" / "gopher-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: gopher\nVersion: 1\n")
    kinds = "gopher = gopher:Gopher\ngo-pher = gopher:Gopher\n"
    (information / "entry_points.txt").write_text(f"[domogik.daemons]\n{kinds}")
    theirs = {f"{kind}_{what}" for kind in ("gopher", "go_pher") for what in ("daemon", "server")}
    assert names_of(run(project, *QUICK, "--fixtures")) == {*FIXTURES, *theirs}


def test_a_run_of_pytest_that_uses_no_fixture_loads_none_of_what_they_need(project: Path) -> None:
    program = "import sys, pytest; pytest.main(sys.argv[1:]); print('|', *sys.modules)"
    said = run(project, "-c", program, *QUICK[2:])
    loaded = said.rpartition("|")[2].split()
    assert "domogik.daemons.fixtures" in loaded
    heavy = {"twisted", "zope", "attr", "psutil", "tuf", "lxml", "treq", "domogik.daemons.testing"}
    assert not heavy & set(loaded)


def test_testing_brings_nothing_of_the_rest_of_domogik(project: Path) -> None:
    program = "import sys, domogik.daemons.testing; print(*sys.modules)"
    loaded = run(project, "-c", program).split()
    heavy = {"tuf", "securesystemslib", "lxml", "treq", "prometheus_client", "psutil", "pytest"}
    assert not heavy & set(loaded)
    ours = {name.split(".")[1] for name in loaded if name.startswith("domogik.")}
    assert not ours & {"packages", "storage", "manager", "control", "api", "app", "units", "xpl"}


def test_the_plugin_brings_nothing_but_pytest(project: Path) -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import domogik.daemons.fixtures; "
        "print(*set(sys.modules) - before)"
    )
    assert set(run(project, "-c", program).split()) <= {
        "domogik", "domogik.daemons", "domogik.daemons.fixtures", "domogik.daemons.kinds",
        "domogik.errors", "pkgutil", "importlib.util",
    }  # fmt: skip
