"""A web server in a process of its own, lies included.

As a program: `webprocess.py DIRECTORY [LIES LOG]` serves the directory on a free port of loopback,
which it prints first. A file `<LIES>/<path with _ for />` says what is wrong with a path: `endless`
or `truncated`. What was asked for is a line each in LOG.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File


class WebProcess:
    """Who serves `directory` at `url` until `stop`; `lies` and `log` are as above."""

    def __init__(self, directory: Path, *arguments: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", __file__, *map(str, (directory, *arguments))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class Lying(Resource):
    """Serves the directory, but for the lies."""

    def __init__(self, directory: str, lies: Path, log: Path) -> None:
        super().__init__()
        self._files, self._lies, self._log = File(directory), lies, log

    def getChild(self, name: bytes, request: Request) -> Resource:
        path = request.path.decode()
        with self._log.open("a") as log:
            log.write(f"{path}\n")
        lie = self._lies / path.strip("/").replace("/", "_")
        if lie.is_file():
            file = Path(self._files.path, path.strip("/"))
            return Truncated(file) if lie.read_text() == "truncated" else Endless()
        return self._files.getChildWithDefault(name, request)


class Truncated(Resource):
    """Promises a file and gives half of it."""

    isLeaf = True

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def render_GET(self, request: Request) -> object:
        content = self._file.read_bytes()
        request.setHeader("Content-Length", str(len(content)))
        request.write(content[: len(content) // 2])
        request.channel.transport.loseConnection()
        return NOT_DONE_YET


class Endless(Resource):
    """Gives more as long as somebody takes it."""

    isLeaf = True

    def render_GET(self, request: Request) -> object:
        more = LoopingCall(request.write, b"[" * 65536)
        request.notifyFinish().addErrback(lambda _: more.stop())
        more.start(0.001)
        return NOT_DONE_YET


def main() -> None:
    directory, *more = sys.argv[1:]
    root = Lying(directory, *map(Path, more)) if more else File(directory)
    port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
    print(port.getHost().port)
    reactor.run()


if __name__ == "__main__":
    main()
