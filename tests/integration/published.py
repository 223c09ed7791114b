"""A signed repository that a web server in another process offers, lies included."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from webprocess import WebProcess

DAY = 86400


class Published:
    """Archives, their signed repository at `url`, and who serves it; `stop` ends that."""

    def __init__(self, directory: Path) -> None:
        self.archives = directory / "archives"
        self.path = directory / "site"
        self.keys = directory / "keys"
        self._sources = directory / "sources"
        self._lies = directory / "lies"
        self._log = directory / "log"
        for made in (self.archives, self.path, self._sources, self._lies):
            made.mkdir(parents=True)
        self._log.touch()
        self._server = WebProcess(self.path, self._lies, self._log)
        self.url = self._server.url
        self.stop = self._server.stop

    # what the publisher does

    def package(self, name: str, release: str = "1.0") -> Path:
        """An archive that is offered from the next `sign` or `build` on."""
        from world import DESCRIPTOR, PLUGIN

        from domogik.packages.publish.build import create

        source = self._sources / f"{name}-{release}"
        src = source / "src"
        for part in ("share/domogik/plugins", "domogik_packages/xpl/bin"):
            (src / part).mkdir(parents=True)
        (src / "domogik_packages/xpl/bin" / f"{name}.py").write_text(PLUGIN)
        file = f"<file path='src/domogik_packages/xpl/bin/{name}.py'/>"
        text = DESCRIPTOR.format(id=name, version=release)
        text = text.replace("<files/>", f"<files>{file}</files>")
        (src / "share/domogik/plugins" / f"{name}.xml").write_text(text)
        icon = src / f"share/domogik/design/plugin/{name}/icon.png"
        icon.parent.mkdir(parents=True)
        icon.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
        return create(source, self.archives)

    def sign(self, days: float = 0, keys: Path | None = None) -> None:
        """Publish what there is, signed as if so many days from now."""
        from domogik.packages.publish.signer import Signer

        at = time.time() + days * DAY
        self.build(Signer(keys or self.keys, lambda: at))

    def build(self, signer: object = None) -> None:
        """Publish what there is."""
        from domogik.packages.publish.repository import build_repository

        built = build_repository(self.archives, self.path, generated="today", signer=signer)
        assert built.problems == ()

    @property
    def root(self) -> Path:
        """The root file that clients may be given."""
        return self.path / "metadata/1.root.json"

    # what others do to it

    def save(self, name: str) -> Path:
        """A copy of all that is served, to come again later."""
        copy = self.path.with_name(name)
        shutil.copytree(self.path, copy, symlinks=True)
        return copy

    def restore(self, copy: Path, *paths: str) -> None:
        """Serve what was saved: those files of it, or all."""
        if not paths:
            shutil.rmtree(self.path)
            self.path.mkdir()
            shutil.copytree(copy, self.path, symlinks=True, dirs_exist_ok=True)
        for path in paths:
            shutil.copyfile(copy / path, self.path / path)

    def tamper(self, path: str) -> None:
        """Change a byte of a file, and nothing else about it."""
        file = self.path / path
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        # it may be a link to a file that is not to change
        file.unlink()
        file.write_bytes(content)

    def lie(self, path: str, lie: str) -> None:
        """What is wrong with it: `endless`, `truncated`."""
        (self._lies / path.replace("/", "_")).write_text(lie)

    def asked(self) -> list[str]:
        """The paths since the last time."""
        lines = self._log.read_text().split()
        self._log.write_text("")
        return lines
