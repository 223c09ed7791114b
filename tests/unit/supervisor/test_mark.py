"""A mark that an emptied environment does not take away."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

from domogik.supervisor.processes.cgroups import run_ids_of
from domogik.supervisor.processes.mark import can_mark, inherited_mark, label_of, read_label


def test_a_child_carries_the_mark_with_an_empty_environment() -> None:
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    with (
        inherited_mark("abc") as is_marked,
        subprocess.Popen(["/bin/sleep", "60"], env={}) as child,
    ):
        assert is_marked
        assert read_label(child.pid) == label_of("abc") != label_of("abd")
        child.kill()
    assert resource.getrlimit(resource.RLIMIT_RTTIME) == before
    assert can_mark()


def test_who_has_another_limit_or_none_carries_no_mark(tmp_path: Path) -> None:
    for pid, line in enumerate(("unlimited", "200000", "")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "limits").write_text(f"Max realtime timeout {line}")
        assert not read_label(pid, str(tmp_path))
    assert not read_label(99, str(tmp_path))


def test_who_is_in_the_group_of_a_start_belongs_to_it(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(
        "8:pids:/a.service/domogik-run-abc/inner\n1:name=systemd:/a.service\n0::/a.service\n"
    )
    assert run_ids_of(7, str(tmp_path)) == ["abc"]
    assert not run_ids_of(8, str(tmp_path))
