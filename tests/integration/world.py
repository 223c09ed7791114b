"""A real manager in a real home, with plugins that are a few lines of Python, for tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil

from domogik.supervisor.ports.reservation import PortTable, default_directory
from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.codec.message import CMND, STAT, Message

#: how long anything may take before a test is given up; nothing waits this long when it works
PATIENCE = 60.0
HOST = "testhost"

DESCRIPTOR = """<package type="plugin">
  <id>{id}</id>
  <version>{version}</version>
  <description>Plugin {id} of a test</description>
  <changelog>none</changelog>
  <documentation>http://localhost/{id}</documentation>
  <author>Nobody</author>
  <author-email>nobody@localhost</author-email>
  <configuration-keys>
    <key><order-id>0</order-id><name>startup-plugin</name><type>boolean</type>
      <description>Start with the manager</description><default-value>False</default-value></key>
    <key><order-id>1</order-id><name>interval</name><type>number</type>
      <description>Minutes</description><default-value>5</default-value></key>
  </configuration-keys>
  <files/><dependencies/><udev-rules/>
  <device_technology><id>service</id><name>Service</name><description>x</description>
  </device_technology>
  <device_types/><device_feature_models/>
</package>
"""

#: a plugin without any of our code: it speaks xPL as another language would
PLUGIN = r"""
import os, select, signal, socket, sys, time
found, beat_at = False, 0
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sock.bind((os.environ["XPL_ADDRESS"], 0))
hub = (os.environ["XPL_BROADCAST"], int(os.environ["XPL_PORT"]))
source = os.environ["DOMOGIK_SOURCE"]
def say(schema, *body, to=hub):
    lines = "".join(f"{line}\n" for line in body)
    text = f"xpl-stat\n{{\nhop=1\nsource={source}\ntarget=*\n}}\n{schema}\n{{\n{lines}}}\n"
    sock.sendto(text.encode(), to)
def beat(to=hub):
    say("hbeat.app", "interval=5", f"port={sock.getsockname()[1]}",
        f"remote-ip={sock.getsockname()[0]}", "status=2", to=to)
def leave(*_):
    say("hbeat.end", "interval=5", f"port={sock.getsockname()[1]}",
        f"remote-ip={sock.getsockname()[0]}")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("plugin", os.environ["DOMOGIK_NAME"], "pid", os.getpid(), flush=True)
count = 0
deaf = os.path.join(os.environ["DOMOGIK_DATA"], "deaf")
while True:
    if not found and time.monotonic() > beat_at:
        beat_at = time.monotonic() + 3
        beat()
    if select.select([sock], [], [], 0.05)[0]:
        data, address = sock.recvfrom(65536)
        found = found or f"source={source}".encode() in data
        if b"hbeat.request" in data and not os.path.exists(deaf):
            beat(address)
            beat()
    count += 1
    print("line", count, flush=True)
"""


def wait_until(what: Callable[[], Any], why: str, patience: float = PATIENCE) -> Any:
    """The first true answer of `what`."""
    end = time.monotonic() + patience
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"still not: {why}")
        time.sleep(0.02)


_ports = PortTable(default_directory(), Random())


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that is free, and that no other test is given before this process ends."""
    while True:
        port = _ports.reserve("0.0.0.0").port
        with socket.socket(socket.AF_INET, kind) as sock, contextlib.suppress(OSError):
            sock.bind(("0.0.0.0", port))
            return port


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has, even where nobody collects it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class World:
    """One home, its plugins, and the manager that is started in it."""

    #: what the manager is started by: a program that changes something and executes the rest
    prefix: tuple[str, ...] = ()
    #: whether enabled plugins start with the manager, as they do for users: otherwise they are
    #: enabled once it is ready, so that a test starts what it is about itself
    autostart = False
    _crashed = False

    def __init__(self, directory: Path, home: str = "home", **keys: str) -> None:
        self.home = directory / home
        self.source = directory / "packages"
        self.home.mkdir(mode=0o700)
        self.source.mkdir()
        self.manager: subprocess.Popen[bytes] | None = None
        self._output = directory / "manager.out"
        self.write_configuration(**keys)

    # files

    def write_configuration(self, text: str = "", **keys: str) -> None:
        domogik = {"xpl_port": "0", "hostname": HOST, "src_prefix": str(self.source)} | keys
        lines = "".join(f"{key} = {value}\n" for key, value in domogik.items())
        (self.home / "domogik.cfg").write_text(
            f"[domogik]\n{lines}[rest]\nrest_server_port = 0\n{text}"
        )

    def add_plugin(
        self, name: str, script: str = PLUGIN, version: str = "1.0", keys: str = ""
    ) -> None:
        """A plugin under development; `keys` are `key` elements that it declares beside ours."""
        src = self.source / name / "src"
        for part in ("share/domogik/plugins", "domogik_packages/xpl/bin"):
            (src / part).mkdir(parents=True, exist_ok=True)
        (src / "domogik_packages/xpl/bin" / f"{name}.py").write_text(script)
        (src / "share/domogik/plugins" / f"{name}.xml").write_text(
            DESCRIPTOR.format(id=name, version=version).replace(
                "</configuration-keys>", f"{keys}</configuration-keys>"
            )
        )

    # the manager

    def command(self, *arguments: str) -> list[str]:
        return self.daemon("manager", *arguments)

    def daemon(self, name: str, *arguments: str) -> list[str]:
        """The command of one of our daemons in this home."""
        program = [sys.executable, "-m", "domogik.app", name, "--home", str(self.home)]
        return [*self.prefix, *program, *arguments]

    def start(self, *arguments: str, command: list[str] | None = None) -> None:
        """Start a manager in the foreground and wait until it says that it is ready."""
        has_rest = command is None or "-r" in command
        with self._nothing_enabled(has_rest):
            self._start(*arguments, command=command)

    @contextlib.contextmanager
    def _nothing_enabled(self, has_rest: bool) -> Iterator[None]:
        """Until the manager is ready; not after a crash, for it has to go on with what ran."""
        file = self.home / "domogik.cfg"
        try:
            text = file.read_text()
        except (OSError, ValueError):
            text = ""
        names = re.findall(r"(?m)^([a-z0-9_-]+) = enabled$", text)
        if self.autostart or self._crashed or not names:
            self._crashed = False
            yield
            return
        file.write_text(re.sub(r"(?m) = enabled$", " = disabled", text))
        yield
        file.write_text(text)
        if file.is_symlink() and self.manager is not None:
            self.manager.send_signal(signal.SIGHUP)  # what changes elsewhere is not noticed
        if not (self.home / "run" / "rest.port").exists():
            return

        def all_enabled() -> bool:
            found = self.request("/api/v1/components?kind=plugin")[1]["components"]
            return all(one["enabled"] for one in found if one["id"].partition(":")[2] in names)

        if has_rest:
            wait_until(all_enabled, "enabled")

    def _start(self, *arguments: str, command: list[str] | None = None) -> None:
        ready = self.home.parent / "ready.sock"
        ready.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(ready))
            with self._output.open("ab") as output:
                self.manager = subprocess.Popen(
                    command or self.command("-f", "-r", *arguments),
                    env=dict(os.environ, NOTIFY_SOCKET=str(ready)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    cwd=self.home.parent,
                )
            sock.setblocking(False)

            def is_ready() -> bool:
                assert self.manager is not None
                if self.manager.poll() is not None:
                    raise AssertionError(f"it ended: {self.output()}")
                while select.select([sock], [], [], 0)[0]:
                    if sock.recv(4096) == b"READY=1":
                        return True
                return False

            wait_until(is_ready, f"ready: {self.output()}")

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Have it stop; its exit status."""
        assert self.manager is not None
        self.manager.send_signal(signum)
        status = self.manager.wait(PATIENCE)
        self.manager = None
        self._crashed = signum == signal.SIGKILL
        return status

    def kill(self) -> None:
        """As a crash would."""
        self.stop(signal.SIGKILL)

    def listens_anew(self) -> Callable[[], bool]:
        """Whether REST was announced again since this was called, however short it was away."""
        port = self.home / "run" / "rest.port"
        before = port.stat()

        def is_new() -> bool:
            with contextlib.suppress(FileNotFoundError):
                now = port.stat()
                return (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns)
            return False

        return is_new

    def silence(self, pid: int) -> None:
        """Stop a process (SIGSTOP), and wait until the manager has kept all that it said.

        What a manager has read and not yet written dies with it, and no test is about that.
        """
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "it is stopped")
        for _ in range(2):  # a turn of the reactor that begins after it, and is over
            self.request("/")

    def close(self) -> None:
        """Whatever is left of it goes, first who would start others again."""
        if self.manager is not None:
            self.manager.kill()
            self.manager.wait()
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def processes(self) -> list[psutil.Process]:
        """Everything that runs with this home in its environment, the manager left out.

        Or that works in the directory of a managed daemon: some servers overwrite their
        environment.
        """
        found = []
        daemons = self.home / "daemons"
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get("DOMOGIK_HOME") == str(self.home) or (
                    Path(process.cwd().removesuffix(" (deleted)")).is_relative_to(daemons)
                )
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    # REST

    @property
    def rest_port(self) -> int:
        return int((self.home / "run" / "rest.port").read_text())

    def connect(self) -> http.client.HTTPConnection:
        """To the manager's REST."""
        return http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=PATIENCE)

    def request(self, path: str, method: str = "GET", token: bool = True) -> tuple[int, Any]:
        connection = self.connect()
        headers = {}
        if token:
            secret = (self.home / "admin.token").read_text().strip()
            headers["Authorization"] = f"Bearer {secret}"
        try:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        return reply.status, json.loads(body) if body else None

    def component(self, name: str) -> dict[str, Any]:
        status, body = self.request(f"/api/v1/components/{name}")
        assert status == 200, body
        return dict(body)

    def post(self, path: str) -> dict[str, Any]:
        status, body = self.request(path, "POST")
        assert status < 300, body
        return dict(body or {})

    def wait_state(self, name: str, state: str) -> dict[str, Any]:
        return dict(
            wait_until(
                lambda: (found := self.component(name))["state"] == state and found,
                f"{name} {state}",
            )
        )


class XplClient:
    """A program on the network: another socket, registered at the hub."""

    def __init__(
        self,
        world: World,
        source: str = "acme-test.here",
        sock: socket.socket | None = None,
        hub: str = "127.0.0.1",
    ) -> None:
        """`sock` is a bound one of another network, `hub` the address to send to there."""
        self.source = source
        self.sock = sock or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if sock is None:
            self.sock.bind(("127.0.0.1", 0))
        self.hub = (hub, int((world.home / "run" / "xpl.port").read_text()))
        ip, port = self.sock.getsockname()
        body = (("interval", "5"), ("port", str(port)), ("remote-ip", ip))
        self.send(Message(STAT, source, "*", schema="hbeat.app", body=body))
        self.expect(lambda message: message.source == source)

    def __enter__(self) -> XplClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, message: Message) -> None:
        self.sock.sendto(encode(message), self.hub)

    def order(self, command: str, plugin: str, host: str = HOST) -> None:
        body = (("command", command), ("host", host), ("plugin", plugin))
        self.send(Message(CMND, self.source, "*", schema="domogik.system", body=body))

    def expect(self, wanted: Callable[[Message], Any], patience: float = PATIENCE) -> Message:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if select.select([self.sock], [], [], 0.05)[0]:
                message = decode(self.sock.recv(65536))
                if wanted(message):
                    return message
        raise AssertionError("no such message came")

    def answer(self, command: str) -> dict[str, str]:
        message = self.expect(
            lambda message: (
                message.type == "xpl-trig"
                and message.schema == "domogik.system"
                and message.get("command") == command
            )
        )
        return dict(message.body)


_READING = "xpl-trig\n{\nhop=1\nsource=acme-test.here\ntarget=*\n}\nsensor.basic\n{\ncurrent=1\n}\n"


@contextlib.contextmanager
def sent_again_and_again(client: XplClient, text: str = _READING) -> Iterator[None]:
    """A message that whoever begins to listen meanwhile will hear, however long that takes."""
    done = threading.Event()

    def keep_sending() -> None:
        while not done.wait(0.05):
            client.sock.sendto(text.encode(), client.hub)

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()
