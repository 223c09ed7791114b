"""Which needs of a package are not met, as the disk says it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from domogik.packages.descriptor.package import Dependency
from domogik.packages.needs.unmet import Unmet, unmet


def python(text: str) -> Dependency:
    return Dependency("python", text)


def missing(
    *needs: Dependency, environment: Path | None = None, debian: Path = Path("/nonexistent")
) -> tuple[Unmet, ...]:
    return unmet(needs, environment, {"clock": "1.2"}.get, debian=debian)


@pytest.mark.parametrize("need", ["attrs", "attrs (>=1.0)", "attrs>=1.0", "ATTRS"])
def test_what_is_installed_is_met(need: str) -> None:
    assert missing(python(need)) == ()


def test_what_is_not_installed_is_told(tmp_path: Path) -> None:
    need = python("no-such-project (>=1.0)")
    assert missing(need) == (Unmet("python", need.id, "not installed"),)


def test_another_release_is_told() -> None:
    (one,) = missing(python("attrs (<1.0)"))
    assert one.reason == f"{attrs.__version__} is installed"
    assert str(one) == f"attrs (<1.0) ({attrs.__version__} is installed)"


def test_a_marker_that_does_not_mean_this_machine_asks_for_nothing() -> None:
    assert missing(python('no-such-project; sys_platform == "win32"')) == ()


def test_a_plugins_own_environment_wins(tmp_path: Path) -> None:
    place = tmp_path / "lib" / "python3.11" / "site-packages" / "attrs-99.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: attrs\nVersion: 99.0\n")
    assert missing(python("attrs (>=99)"), environment=tmp_path) == ()
    assert missing(python("twisted"), environment=tmp_path) == ()


def test_the_rest_of_a_removal_is_not_installed(tmp_path: Path) -> None:
    place = tmp_path / "lib" / "python3.11" / "site-packages" / "ghost-1.0.dist-info"
    place.mkdir(parents=True)
    (one,) = missing(python("ghost"), environment=tmp_path)
    assert one.reason == "not installed"


@pytest.mark.parametrize(
    ("need", "reason"),
    [("clock", ""), ("clock (>=1.0)", ""), ("clock (>=2)", "1.2 is installed")],
)
def test_plugins_are_judged_by_their_release(need: str, reason: str) -> None:
    assert [one.reason for one in missing(Dependency("plugin", need))] == [reason] * bool(reason)


def test_a_plugin_that_is_not_here_is_told() -> None:
    (one,) = missing(Dependency("plugin", "lamp"))
    assert one.reason == "not installed"


def test_a_command_or_a_package_of_debian_will_do(tmp_path: Path) -> None:
    (tmp_path / "libusb-1.0-0.list").touch()
    needs = [Dependency("other", name) for name in ("sh", "libusb-1.0-0", "no-such-thing")]
    (one,) = missing(*needs, debian=tmp_path)
    assert one.text == "no-such-thing"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "x" * 300])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    assert len(missing(Dependency("other", name), debian=tmp_path)) == 1


def test_what_cannot_be_meant_is_told_and_hides_nothing() -> None:
    first, second = missing(python("foo (bar"), python("no-such-project"))
    assert first.text == "foo (bar"
    assert second.reason == "not installed"
