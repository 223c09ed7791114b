"""Packages are installed or not, whatever ends the change: a kill, a full disk, a power cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import packed
import pytest
from killed import CHANGES, Place
from namespaces import need_root

from domogik.packages.store.installed import installed_packages

HERE = Path(__file__).parent
TIDYING = {"rinor link removed", "set aside", "settled"}


def _state(place: Place) -> dict[str, str]:
    """All that is of packages in a home, and what the plugin keeps."""
    home = place.home
    return {**packed.tree(home.path / "packages"), **packed.tree(home.data)}


def _runs_whole(place: Place) -> str | None:
    """The release that a manager would find, None for none; it is there with all its files."""
    home = place.home
    found = installed_packages(home.plugins, home.externals, home.store, ())
    assert not [problem for problem in found.problems if "counts instead" not in problem]
    installed = found.plugins.get("demo")
    if installed is None:
        return None
    release = installed.package.release
    assert installed.script is not None
    assert installed.script.read_text() == f"print('{release}')\n"
    directory = home.store / "plugin-demo" / release
    names = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    form = "json" if (directory / "info.json").exists() else "xml"
    assert names == set(packed.content(release, form=form))
    return release


def _before_and_after(name: str, directory: Path) -> tuple[dict[str, str], dict[str, str]]:
    before, change = CHANGES[name]
    place = Place(directory).make()
    before(place)
    if name.startswith("undo"):
        old = _state(place)
        middle = Place(directory)
        middle.store.install(middle.store.stage(middle.archive("2.0")))
        return _state(middle), old
    old = _state(place)
    change(Place(directory))
    return old, _state(place)


@pytest.mark.parametrize("name", CHANGES)
def test_killed_at_any_step_it_is_the_old_or_the_new(name: str, tmp_path: Path) -> None:
    old, new = _before_and_after(name, tmp_path / "whole")
    command = [sys.executable, str(HERE / "killed.py"), name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > 4
    outcomes = []
    for number in range(1, steps + 1):
        place = Place(tmp_path / str(number))
        # that the one release changes its form needs two steps, which the start makes one
        found = None if name == "same-release-other-form" else _runs_whole(place)
        place.store.recover()
        state = _state(place)
        assert state in (old, new), number
        assert found is None or _runs_whole(place) == found, "the start changed the release"
        assert place.store.recover() == ()
        outcomes.append(state == new)
    assert outcomes == sorted(outcomes), "the new, once it is there, stays"
    assert outcomes[-1]


@pytest.mark.parametrize("name", CHANGES)
def test_an_error_at_any_step_leaves_the_old_or_the_new_at_once(name: str, tmp_path: Path) -> None:
    old, new = _before_and_after(name, tmp_path / "whole")
    before, change = CHANGES[name]
    for number in range(1, 200):
        place = Place(tmp_path / str(number)).make()
        before(place)
        place.steps.clear()
        failing = Failing(tmp_path / str(number), number)
        try:
            change(failing)
        except Refused:
            state = _state(place)
            place.store.recover()
            assert _state(place) in (old, new)
            # what an error in the tidying itself leaves is for the next start
            assert state in (old, new) or TIDYING & set(failing.steps)
        else:
            return
    pytest.fail("it never came to its end")


class Refused(Exception):
    """What a step raises here."""


class Failing(Place):
    """A home whose step of that number fails."""

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self.die_at:
            raise Refused(name)


def test_killed_while_a_start_recovers_the_next_start_does(tmp_path: Path) -> None:
    old, new = _before_and_after("uninstall-data", tmp_path / "whole")
    command = [sys.executable, str(HERE / "killed.py"), "uninstall-data", str(tmp_path)]
    steps = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for number in range(1, steps):
        for second in range(1, 6):
            copy = tmp_path / f"{number}-{second}"
            shutil.copytree(tmp_path / str(number), copy, symlinks=True)
            pid = os.fork()
            if pid == 0:
                try:
                    Place(copy, die_at=second).store.recover()
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            place = Place(copy)
            place.store.recover()
            assert _state(place) in (old, new)


POWER_CUT = """
import shutil, subprocess, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from killed import CHANGES, Place
from packed import tree

name, disk = sys.argv[1], Path("disk.img")
mounted = Path("mounted")
mounted.mkdir()

def mount(image):
    options = "loop,data=writeback,commit=600"
    subprocess.run(["mount", "-t", "ext4", "-o", options, image, mounted], check=True)

def umount():
    subprocess.run(["umount", mounted], check=True)

def state():
    return tree(Place(mounted / "1").home.path)

class Cut(Place):
    def _step(self, step):
        self.steps.append(step)
        # what the disk has at this moment; what the kernel still keeps to itself is lost
        shutil.copyfile(disk, f"cut{{len(self.steps)}}.img")

before, change = CHANGES[name]
with disk.open("wb") as file:
    file.truncate(24 * 1024 * 1024)
subprocess.run(["mkfs.ext4", "-q", disk], check=True)
mount(disk)
place = Place(mounted / "1").make()
place.archive("1.0"), place.archive("2.0"), place.archive("2.0", "json")
before(place)
umount()
mount(disk)
old = state()
cut = Cut(mounted / "1")
change(cut)
cut._step("answered")
new = state()
umount()
outcomes = []
for number in range(1, len(cut.steps) + 1):
    mount(f"cut{{number}}.img")
    place = Place(mounted / "1")
    place.store.recover()
    now = state()
    assert now in (old, new), (cut.steps[number - 1], now)
    outcomes.append(now == new)
    umount()
assert outcomes == sorted(outcomes), list(zip(cut.steps, outcomes))
assert outcomes[-1], "what was answered is on the disk"
"""


CUT = ("install", "update", "update-to-json", "same-release-other-content", "rollback", "rinor")


@pytest.mark.parametrize("name", (*CUT, "uninstall-data"))
def test_after_a_power_cut_it_is_the_old_or_the_new(name: str, tmp_path: Path) -> None:
    need_root("a file system of its own")
    script = tmp_path / "power.py"
    script.write_text(POWER_CUT.format(here=str(HERE)))
    command = ["unshare", "--mount", sys.executable, str(script), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


SMALL_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from killed import ONE, Place
from packed import tree
from domogik.packages.store.changes import RINOR, StoreFailed

place = Place(Path("."))
free = int(sys.argv[1])
before = tree(place.home.path / "packages")
filler = Path("filler")
with filler.open("wb") as file:
    import os
    status = os.statvfs(".")
    os.posix_fallocate(file.fileno(), 0, max(4096, (status.f_bavail - free) * status.f_bsize))
try:
    place.install("2.0")
    outcome = "installed"
except StoreFailed as error:
    assert "No space left on device" in str(error), error
    outcome = "full"
    assert tree(place.home.path / "packages") == before
assert place.store.present("plugin", "demo").release == ("2.0" if outcome == "installed" else "1.0")
if outcome == "full":
    place.store.uninstall("plugin", "demo")
    assert place.store.installed() == {{}}
    assert not list(place.home.store.iterdir())
print(outcome)
"""


def test_a_disk_that_fills_at_any_write_leaves_the_old_release(tmp_path: Path) -> None:
    need_root("a small file system of its own")
    place = Place(tmp_path / "made").make()
    place.install("1.0")
    place.archive("2.0")
    script = tmp_path / "small.py"
    script.write_text(SMALL_DISK.format(here=str(HERE)))
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    outcomes = []
    for free in range(40):
        shell = (
            f"mount -t tmpfs -o size=1m tmpfs {mounted} && cd {mounted} && "
            f"cp -a {tmp_path}/made/. . && exec {sys.executable} {script} {free}"
        )
        command = ["unshare", "--mount", "sh", "-c", shell]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (free, done.stderr)
        outcomes.append(done.stdout.strip())
        if outcomes[-1] == "installed":
            break
    assert outcomes[0] == "full"
    assert outcomes[-1] == "installed"
    assert len(outcomes) > 5
