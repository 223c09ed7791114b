"""What a command may be, and what is told of it."""

import sys
import time

import psutil
import pytest
from domogik_packages.xpl.bin.script import LINES, WIDTH, shown, words
from domogik_packages.xpl.lib.script import KEPT_BYTES, Command
from twisted.internet import reactor
from twisted.trial.unittest import TestCase


def test_arguments_are_quoted_as_in_a_shell() -> None:
    assert words("/bin/echo 'two words' $HOME") == ["/bin/echo", "two words", "$HOME"]


@pytest.mark.parametrize("command", ["", "echo hello", "../bin/echo", "/bin/echo 'open"])
def test_a_program_needs_its_full_path(command: str) -> None:
    with pytest.raises(ValueError, match=r"full path|quotation"):
        words(command)


def test_only_the_beginning_of_an_output_is_told() -> None:
    lines = shown("\x1b[31mred\n\n" + "x" * 500 + "\nline" * 50)
    assert lines[0] == ("output", "[31mred")
    assert (len(lines), len(lines[1][1])) == (LINES, WIDTH)


class Commands(TestCase):
    def python(self, source: str, timeout: float = 30) -> Command:
        return Command(reactor, [sys.executable, "-c", source], timeout)

    async def test_the_exit_status_is_known(self) -> None:
        self.assertEqual(await self.python("raise SystemExit(3)").ended, 3)

    async def test_a_flood_is_kept_in_bounds(self) -> None:
        command = self.python("print('x' * 10_000_000)")
        self.assertEqual(await command.ended, 0)
        self.assertEqual(len(command.output), KEPT_BYTES)

    async def test_a_slow_command_is_killed_with_what_it_started(self) -> None:
        command = self.python(
            "import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(600)",
            timeout=2,
        )
        self.assertEqual(await command.ended, -9)
        self.assertTrue(command.was_too_slow)
        self.assertFalse(is_running(int(command.output)))

    async def test_something_left_in_the_background_holds_nothing_up(self) -> None:
        command = self.python(
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "print(child.pid)"
        )
        began = time.monotonic()
        self.assertEqual(await command.ended, 0)
        self.assertLess(time.monotonic() - began, 300)
        psutil.Process(int(command.output)).kill()

    async def test_a_program_that_is_not_there_is_an_error(self) -> None:
        with pytest.raises(OSError, match="not there"):
            Command(reactor, ["/no/such/program"], 5)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
