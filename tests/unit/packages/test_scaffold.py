"""What `dmg_pkgmgr new` writes is a whole package."""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.errors import NotPossible
from domogik.packages.publish.build import create
from domogik.packages.publish.check import check
from domogik.packages.publish.scaffold import scaffold


@pytest.mark.parametrize("id", ["hello", "a_b", "z9", "_x_", "none"])
def test_what_is_new_passes_the_check_without_a_warning_and_is_packed(
    tmp_path: Path, id: str
) -> None:
    package = scaffold(id, tmp_path)
    archive = create(package, tmp_path)
    for path in (package, archive):
        checked = check(path)
        assert (checked.errors, checked.warnings) == ((), ())
        assert str(checked.ref) == f"plugin-{id} 0.1.0"
    compile((package / f"tests/test_{id}.py").read_text(), "test", "exec")


@pytest.mark.parametrize("id", ["", "Hello", "too_long_by_far", "a-b", "../x", "123", "dbmgr"])
def test_a_name_that_no_plugin_can_have_is_refused(tmp_path: Path, id: str) -> None:
    with pytest.raises(NotPossible, match=r"cannot be the id|name of a program"):
        scaffold(id, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    with pytest.raises(NotPossible, match="is there already"):
        scaffold("hello", tmp_path)
