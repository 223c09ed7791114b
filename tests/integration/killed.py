"""Changes of a store that end in the middle: what each does, and a process that dies at a step.

    python killed.py <change> <directory>

makes `<directory>/1`, `/2`, ...: homes in which the change was killed (kill -9) at its first,
second, ... step, until one is not killed because it came to its end; its number is printed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from packed import package

from domogik.config.home import Home
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.store.changes import RINOR, XPL, Store

ONE, TWO = PackageRef("plugin", "demo", "1.0"), PackageRef("plugin", "demo", "2.0")


class Place:
    """A home with a store, whose steps are counted."""

    def __init__(self, path: Path, die_at: int = 0) -> None:
        self.steps: list[str] = []
        self.die_at = die_at
        self.home = Home(path / "home")
        self.archives = path / "archives"
        self.store = Store(self.home, self._step)

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def make(self) -> Place:
        self.archives.mkdir(parents=True)
        self.home.create()
        self.home.plugin_data("demo").mkdir(parents=True)
        (self.home.plugin_data("demo") / "kept").write_text("what the plugin keeps")
        return self

    def archive(self, release: str, form: str = "xml") -> Path:
        path = self.archives / f"plugin-demo-{release}-{form}.tgz"
        return path if path.exists() else package(path, release, form=form)

    def install(self, release: str, part: str = XPL, form: str = "xml") -> None:
        self.store.install(self.store.stage(self.archive(release, form)), part)


def _changed_content(place: Place) -> None:
    place.archive("1.0").unlink()
    package(place.archives / "plugin-demo-1.0-xml.tgz", "1.0", minimum="0.2")
    place.install("1.0")


def _undo(place: Place) -> None:
    """An update that is taken back, as when its other part failed; only that part may be killed."""
    die_at, place.die_at = place.die_at, 0
    change = place.store.install(place.store.stage(place.archive("2.0")), XPL)
    place.steps.clear()
    place.die_at = die_at
    place.store.undo(change)


def _both(place: Place) -> None:
    place.install("1.0")
    place.install("1.0", RINOR)


def _update(place: Place) -> None:
    place.install("1.0")
    place.install("2.0")


#: name -> (what was before, the change)
CHANGES: dict[str, tuple[Callable[[Place], object], Callable[[Place], object]]] = {
    "install": (lambda place: None, lambda place: place.install("1.0")),
    "update": (_both, lambda place: place.install("2.0")),
    "update-to-json": (_both, lambda place: place.install("2.0", form="json")),
    "update-from-json": (
        lambda place: place.install("1.0", form="json"),
        lambda place: place.install("2.0"),
    ),
    "same-release-other-content": (_both, _changed_content),
    "same-release-other-form": (_both, lambda place: place.install("1.0", form="json")),
    "downgrade": (lambda place: place.install("2.0"), lambda place: place.install("1.0")),
    "rinor": (lambda place: place.install("1.0"), lambda place: place.install("1.0", RINOR)),
    "rinor-alone": (lambda place: None, lambda place: place.install("1.0", RINOR)),
    "rollback": (_update, lambda place: place.store.switch(ONE, back=True)),
    "undo-install": (lambda place: None, _undo),
    "undo-update": (_both, _undo),
    "uninstall": (_update, lambda place: place.store.uninstall("plugin", "demo")),
    "uninstall-both": (_both, lambda place: place.store.uninstall("plugin", "demo")),
    "uninstall-data": (
        _both,
        lambda place: place.store.uninstall("plugin", "demo", with_data=True),
    ),
}


def kill_at_every_step(name: str, directory: Path) -> int:
    """The number of the home in which nobody was killed."""
    before, change = CHANGES[name]
    number = 0
    while True:
        number += 1
        before(Place(directory / str(number)).make())
        pid = os.fork()
        if pid == 0:
            change(Place(directory / str(number), die_at=number))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return number


if __name__ == "__main__":
    print(kill_at_every_step(sys.argv[1], Path(sys.argv[2])))
