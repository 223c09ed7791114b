"""Package directories, archives and repositories for tests, made by the program itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webprocess import WebProcess
from world import DESCRIPTOR, PLUGIN, World

from domogik.packages.publish.build import create
from domogik.packages.publish.repository import build_repository

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BROKEN = "raise SystemExit('this release is broken')\n"
_FILES = "<files><file path='src/domogik_packages/xpl/bin/{id}.py'/></files>"


class Repository:
    """A directory of archives and the repository that is built from it, again and again."""

    def __init__(self, directory: Path) -> None:
        self.archives = directory / "archives"
        self.path = directory / "repository"
        self.sources = directory / "sources"
        for made in (directory, self.archives, self.sources):
            made.mkdir(exist_ok=True)
        self._built = 0

    def publish(self, name: str, release: str, script: str = PLUGIN, needs: str = "") -> Path:
        """Offer a plugin that is a few lines of Python."""
        source = self.sources / f"{name}-{release}"
        src = source / "src"
        for part in ("share/domogik/plugins", "domogik_packages/xpl/bin"):
            (src / part).mkdir(parents=True)
        (src / "domogik_packages/xpl/bin" / f"{name}.py").write_text(script)
        text = DESCRIPTOR.format(id=name, version=release)
        text = text.replace("<files/>", _FILES.format(id=name))
        text = text.replace("<dependencies/>", f"<dependencies>{needs}</dependencies>")
        (src / "share/domogik/plugins" / f"{name}.xml").write_text(text)
        return self._offer(source)

    def publish_example(self, name: str, release: str, script: str | None = None) -> Path:
        """Offer one of the examples under that release, with another script if one is given."""
        source = self.sources / f"{name}-{release}"
        shutil.copytree(EXAMPLES / name, source)
        descriptor = source / "src/share/domogik/plugins" / f"{name}.xml"
        text = descriptor.read_text()
        version = text.split("<version>")[1].split("</version>")[0]
        descriptor.write_text(text.replace(f"<version>{version}<", f"<version>{release}<"))
        if script is not None:
            (source / "src/domogik_packages/xpl/bin" / f"{name}.py").write_text(script)
        return self._offer(source)

    def _offer(self, source: Path) -> Path:
        archive = create(source, self.archives)
        self._built += 1
        built = build_repository(self.archives, self.path, generated=f"2026-11-{self._built:02}")
        assert built.problems == ()
        return archive


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The address at which a web server in another process offers the directory."""
    server = WebProcess(directory)
    try:
        yield server.url
    finally:
        server.stop()


def package_world(directory: Path, *sources: str, text: str = "", **keys: str) -> World:
    """A home in package mode whose repositories are those."""
    world = World(directory, package_path=str(directory / "home"), **keys)
    if "[supervision]" not in text:
        text = f"[supervision]\nupdate_probation = 1\n{text}"
    world.write_configuration(text, package_path=str(directory / "home"), **keys)
    lines = "".join(f"{500 - place} {source}\n" for place, source in enumerate(sources))
    (world.home / "sources.list").write_text(lines)
    return world


def tree(directory: Path) -> dict[str, str]:
    """Everything below a directory: what a link says, else what kind of thing it is."""
    return {
        str(path.relative_to(directory)): str(path.readlink())
        if path.is_symlink()
        else "directory"
        if path.is_dir()
        else path.read_bytes().hex()
        for path in sorted(directory.rglob("*"))
    }
