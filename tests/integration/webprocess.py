"""A web server in a process of its own: `webprocess.py DIRECTORY` says its port and serves it."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.web.server import Site
from twisted.web.static import File


def main() -> None:
    port = reactor.listenTCP(0, Site(File(sys.argv[1])), interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
