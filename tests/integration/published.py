"""A signed repository that a web server in another process offers, lies included.

As a program: `published.py DIRECTORY LIES LOG` serves the directory on a free port of loopback,
which it prints first. A file `<LIES>/<path with _ for />` says what is wrong with a path: `endless`
or `truncated`. What was asked for is a line each in LOG.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import subprocess
import sys
import time
from pathlib import Path

DAY = 86400


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the directory, but for the lies."""

    protocol_version = "HTTP/1.1"
    lies: Path
    log: Path

    def do_GET(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.path}\n")
        try:
            lie = (self.lies / self.path.strip("/").replace("/", "_")).read_text()
        except OSError:
            super().do_GET()
            return
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._lie(lie)

    def _lie(self, lie: str) -> None:
        self.send_response(200)
        if lie == "truncated":
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            return
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            self.wfile.write(b"[" * 65536)

    def log_message(self, format: str, *args: object) -> None:
        pass


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
        arguments = [str(one) for one in (self.path, self._lies, self._log)]
        self._server = subprocess.Popen(
            [sys.executable, "-u", __file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._server.stdout.readline())}"

    def stop(self) -> None:
        self._server.kill()
        self._server.communicate()

    # what the publisher does

    def package(self, name: str, release: str = "1.0") -> Path:
        """An archive that is offered from the next `sign` or `build` on."""
        from world import DESCRIPTOR, PLUGIN

        from domogik.packages.build import create

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
        from domogik.packages.signing import Signer

        at = time.time() + days * DAY
        self.build(Signer(keys or self.keys, lambda: at))

    def build(self, signer: object = None) -> None:
        """Publish what there is."""
        from domogik.packages.repository import build_repository

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


def main() -> None:
    directory, lies, log = sys.argv[1:]
    Handler.lies, Handler.log = Path(lies), Path(log)
    handler = functools.partial(Handler, directory=directory)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
