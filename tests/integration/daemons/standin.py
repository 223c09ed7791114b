#!/usr/bin/env python3
"""In place of MySQL's programs, which Debian does not have: writes down how it was called.

Its name says which program it is. The server listens, greets as MySQL does, and ends at TERM; the
client answers nothing. `<name>.calls` beside it has a line of JSON a call: arguments, names of its
environment, and the files that its arguments name, as they were then.
"""

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

ME = Path(sys.argv[0])


def named(argv: list[str]) -> dict[str, dict[str, object]]:
    found = {}
    for argument in argv:
        path = Path(argument.partition("=")[2])
        if argument.startswith("--") and path.is_file():
            mode = oct(path.stat().st_mode & 0o777)
            found[argument.partition("=")[0]] = {"mode": mode, "text": path.read_text()}
    return found


def note() -> dict[str, dict[str, object]]:
    files = named(sys.argv[1:])
    call = {"argv": sys.argv[1:], "environment": sorted(os.environ), "files": files}
    with open(ME.with_name(f"{ME.name}.calls"), "a") as calls:
        calls.write(json.dumps(call) + "\n")
    return files


def serve(configuration: str) -> None:
    port = int(re.search(r'^port="(\d+)"$', configuration, re.MULTILINE)[1])
    greeting = b"\x0a8.0.36\0" + bytes(4) + b"12345678\0" + b"\xff\xf7\x2d\2\0\xff\xdf\x15"
    greeting += bytes(10) + b"123456789012\0caching_sha2_password\0"
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            with server.accept()[0] as connection:
                connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)


def main() -> None:
    if "--version" in sys.argv:
        print(f"{ME}  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)")
        return
    files = note()
    if ME.name != "mysqld" or "--validate-config" in sys.argv:
        return
    configuration = files["--defaults-file"]["text"]
    if "--initialize-insecure" in sys.argv:
        data = re.search(r'^datadir="(.*)"$', configuration, re.MULTILINE)[1]
        (Path(data) / "ibdata1").write_text("data")
        return
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    serve(configuration)


if __name__ == "__main__":
    main()
