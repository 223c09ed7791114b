"""Plugins that misbehave, a few lines each, and what a test needs to look at what they leave."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from world import PLUGIN

#: starts programs of its own, each of which tries another way not to be found
FAMILY = (
    r"""
import os, subprocess, sys
program = [sys.executable, "-c", "import signal; signal.pause()", os.environ["DOMOGIK_HOME"]]
subprocess.Popen(program)
subprocess.Popen(program, start_new_session=True)
subprocess.Popen(program, start_new_session=True, env={})
again = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
subprocess.run([sys.executable, "-c", again, *program])
"""
    + PLUGIN
)
#: members of that family beside the plugin itself
FAMILY_SIZE = 4

#: the same without the one who, once its parent is dead, has nothing left that tells whose it is
MARKED_FAMILY = FAMILY.replace("subprocess.Popen(program, start_new_session=True, env={})\n", "")
MARKED_FAMILY_SIZE = 3

#: as daemons do it: the first process ends well, and the one that goes on never speaks
FORKS = r"""
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    open(os.path.join(os.environ["DOMOGIK_DATA"], "forked"), "w").close()
    signal.pause()
while not os.path.exists(os.path.join(os.environ["DOMOGIK_DATA"], "forked")):
    time.sleep(0.01)
"""

#: a plugin of 2012 that puts itself into the background
DAEMON = (
    r"""
import os
if os.fork(): os._exit(0)
os.chdir("/")
os.setsid()
if os.fork(): os._exit(0)
"""
    + PLUGIN
)

#: alive, but no signal that can be ignored ends it
DEAF = PLUGIN.replace(
    "signal.signal(signal.SIGTERM, leave)",
    "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
    "    signal.signal(number, signal.SIG_IGN)",
)

#: hears nothing of the end until there is a file `gone` beside its data directory
RELUCTANT = PLUGIN.replace(
    "signal.signal(signal.SIGTERM, leave)",
    "signal.signal(signal.SIGTERM, lambda *_: None)\n"
    'gone = os.path.join(os.environ["DOMOGIK_DATA"], "..", "gone")',
).replace("    count += 1", "    count += 1\n    if os.path.exists(gone): leave()")

EXITS_WITH_3 = "import sys\nprint('no such lamp', flush=True)\nsys.exit(3)\n"
RAISES = "import nothing_of_that_name\n"
NEVER_SPEAKS = "import signal\nsignal.pause()\n"
KILLS_ITSELF = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"

#: alive, then as much output as the file `much` in its data directory says, numbered, 64 bytes each
FLOOD = PLUGIN.replace(
    "count = 0\n",
    r"""
beat()
with open(os.path.join(os.environ["DOMOGIK_DATA"], "much")) as much:
    lines = int(much.read())
for first in range(0, lines, 1000):
    block = "".join(f"flood {number:057d}\n" for number in range(first, first + 1000))
    sys.stdout.write(block)
sys.stdout.flush()
open(os.path.join(os.environ["DOMOGIK_DATA"], "done"), "w").close()
count = 0
""",
)


def left_of(home: Path) -> list[str]:
    """The command lines of all processes that know this home by their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = process.cmdline()
            if str(home) in command or process.environ().get("DOMOGIK_HOME") == str(home):
                found.append(" ".join(command))
        except psutil.Error:
            continue
    return found


def mortal() -> tuple[str, ...]:
    """In front of a command: without root's right to read and write whatever it likes."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
