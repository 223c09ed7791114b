"""A real systemd for tests: PID 1 of namespaces of its own, over a copy in memory of this machine.

Nothing of the machine is changed or started. It needs root, and the packages systemd, dbus,
iproute2 and util-linux. It dies with the test run, however that ends; the control group which it
leaves behind then is removed by the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from world import PATIENCE

import domogik

_INSIDE = Path(__file__).with_suffix(".sh")
_SYSTEMD = Path("/lib/systemd/systemd")
_COMMANDS = (
    *("systemctl", "dbus-daemon", "ip", "mount"),
    *("unshare", "nsenter", "setpriv", "pivot_root"),
)
_GROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_NAME = "domogik-test-"
GiveUp = Callable[[str], NoReturn]
_numbers = itertools.count(1)


def give_up(sentence: str) -> NoReturn:
    """End the test, because it cannot be made here: as a failure on CI, skipped elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def need_systemd(give_up: GiveUp = give_up) -> None:
    """Return where a systemd of a test's own can be had."""
    if os.geteuid() != 0:
        give_up("a systemd of its own needs root")
    missing = [command for command in _COMMANDS if shutil.which(command) is None]
    if missing or not _SYSTEMD.exists():
        named = ", ".join(missing) or str(_SYSTEMD)
        give_up(f"{named} missing: apt-get install systemd dbus iproute2 util-linux")


class RealSystemd:
    """One that is running; `directory` is for its own use, on a file system that it may bind.

    Inside, the directories `shown` are where they are outside. `give_up` is told why it cannot be
    had, and raises.
    """

    def __init__(
        self, directory: Path, give_up: GiveUp = give_up, *, shown: tuple[Path, ...] = ()
    ) -> None:
        need_systemd(give_up)
        self._shown = tuple(map(str, shown))
        self._give_up = give_up
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._console = directory / "console.log"
        self._group = self._make_group()
        self._outer: subprocess.Popen[bytes] | None = None
        self.leader = 0
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    @property
    def prefix(self) -> tuple[str, ...]:
        """In front of a command that shall run inside, as root."""
        return ("nsenter", "--target", str(self.leader), "--all")

    @property
    def bus(self) -> Path:
        """The socket of its system bus, to be reached from outside."""
        return self.directory / "bus" / "system_bus_socket"

    @property
    def root(self) -> Path:
        """Its files, as seen from outside."""
        return Path(f"/proc/{self.leader}/root")

    def unit(self, name: str, content: str) -> None:
        """A unit file, which systemd has read when this returns."""
        self.file(name, content)
        self.run("systemctl", "daemon-reload")

    def file(self, name: str, content: str, directory: str = "etc/systemd/system") -> None:
        """A unit file, which systemd has not read."""
        (self.root / directory / name).write_text(content, encoding="utf-8")

    def run(self, *command: str, fine: bool = True) -> str:
        """What the command says inside; with `fine` it has to end well."""
        done = subprocess.run(
            (*self.prefix, *command), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert not fine or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def close(self) -> None:
        """Every process inside ends, and nothing is left."""
        if self._outer is not None:
            if self.leader:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.leader, signal.SIGKILL)
            else:
                self._outer.kill()
            self._outer.wait(PATIENCE)
        _remove_group(self._group)

    def _make_group(self) -> Path:
        root = next((group for group in _GROUPS if (group / "cgroup.procs").exists()), None)
        if root is None:
            self._give_up("control groups of version 2 are not mounted")
        for old in root.glob(f"{_NAME}*"):
            if not Path("/proc", old.name.split("-")[-2]).exists():
                _remove_group(old)
        group = root / f"{_NAME}{os.getpid()}-{next(_numbers)}"
        try:
            group.mkdir()
        except OSError as error:
            self._give_up(f"no control group can be made: {error}")
        return group

    def _boot(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            notify = self.directory / "notify"
            notify.unlink(missing_ok=True)
            ready.bind(str(notify))
            # who tells us that systemd is ready is systemd: its number outside comes with it
            ready.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with self._console.open("wb") as console:
                self._outer = subprocess.Popen(
                    self._command(notify),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    start_new_session=True,
                )
            self.leader = self._await(ready, self._outer)

    def _command(self, notify: Path) -> tuple[str, ...]:
        package = Path(domogik.__file__).parent.parent
        ours = (sys.prefix, sys.base_prefix, str(package), str(_INSIDE.parent))
        shown = dict.fromkeys((*ours, *self._shown))
        kinds = ("mount", "uts", "ipc", "net", "pid", "cgroup")
        return (
            # whoever kills us kills unshare, and that kills all inside
            *("setpriv", "--pdeathsig", "KILL"),
            *("sh", "-c", 'echo 0 > "$0" && exec "$@"', str(self._group / "cgroup.procs")),
            *("unshare", *(f"--{kind}" for kind in kinds)),
            *("--fork", "--kill-child", "--propagation", "private"),
            *("sh", str(_INSIDE), str(self.directory), str(notify), *shown),
        )

    def _await(self, ready: socket.socket, outer: subprocess.Popen[bytes]) -> int:
        end = os.pidfd_open(outer.pid)
        deadline = time.monotonic() + PATIENCE
        try:
            while (left := deadline - time.monotonic()) > 0:
                able, _, _ = select.select([ready, end], [], [], left)
                if ready in able:
                    said, extra, _, _ = ready.recvmsg(4096, socket.CMSG_SPACE(12))
                    if b"READY=1" in said.split(b"\n"):
                        return int(struct.unpack("iII", extra[0][2][:12])[0])
                elif able:
                    break
        finally:
            os.close(end)
        console = self._console.read_text(errors="replace")[-2000:]
        return self._give_up(f"a systemd of its own does not start in namespaces here: {console}")


def _remove_group(group: Path) -> None:
    """The groups that systemd made, and its own, when the kernel has let go of who was inside."""
    deadline = time.monotonic() + PATIENCE
    while group.exists():
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group} cannot be removed")
        time.sleep(0.01)
