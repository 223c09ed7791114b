"""Datagrams that somebody made to do harm, at a real manager.

`DOMOGIK_DATAGRAMS` is their number: 20,000 unless said otherwise, a million at night.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from world import PATIENCE, World, XplClient

DATAGRAMS = int(os.environ.get("DOMOGIK_DATAGRAMS", "20000"))

#: in bursts that a receive buffer holds, so that most of them are read
SENDER = r"""
import random, socket, sys, time
seeds = [
    b"xpl-stat\n{\nhop=1\nsource=domogik-manager.vm\ntarget=*\n}\nhbeat.app\n{\ninterval=5\nport=56607\n"
    b"remote-ip=127.0.0.1\nstatus=2\n}\n",
    b"xpl-trig\n{\nhop=1\nsource=domogik-manager.vm\ntarget=*\n}\nfragment.basic\n{\npartid=1/2:7\n"
    b"schema=domogik.system\ncommand=list\n}\n",
    b"xpl-cmnd\n{\nhop=1\nsource=a-b.c\ntarget=*\n}\nfragment.request\n{\ncommand=resend\nmessage=7\n}\n",
    b"xpl-cmnd\n{\nhop=1\nsource=a-b.c\ntarget=domogik-manager.vm\n}\ndomogik.system\n{\ncommand=detail\n"
    b"plugin=demo\nhost=vm\n}\n",
]
tokens = [b"\n", b"}", b"{", b"=", b"\0", b"\xff", b"hop=", b"part=9999999999", b"9" * 300]
chance = random.Random(int(sys.argv[3]))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for number in range(int(sys.argv[2])):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data) + 1)
            what = chance.randrange(4)
            if what == 0:
                data[at:at] = chance.choice(tokens)
            elif what == 1:
                data[at:at + 1] = bytes([chance.randrange(256)])
            elif what == 2:
                del data[at:at + chance.randrange(12)]
            else:
                data = data[:at]
        sender.sendto(data, ("127.0.0.1", int(sys.argv[1])))
        if number % 50 == 49:
            time.sleep(0.005)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_hostile_datagrams_harm_nobody(world: World) -> None:
    world.add_plugin("demo")
    world.write_configuration("[plugins]\ndemo = enabled\n")
    world.start()
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    assert world.manager is not None
    manager = psutil.Process(world.manager.pid)
    port = (world.home / "run" / "xpl.port").read_text().strip()

    def send(number: int) -> None:
        seed = random.Random(number).randrange(2**32)
        argv = [sys.executable, "-c", SENDER, port, str(number), str(seed)]
        subprocess.run(argv, timeout=PATIENCE + number / 1000, check=True)

    send(5_000)  # what is learned once is no growth
    before = manager.memory_info().rss
    send(DATAGRAMS)
    assert manager.memory_info().rss - before < 20 * 2**20
    assert world.wait_state("demo", "alive")["pid"] == pid
    logs = sum(path.stat().st_size for path in (world.home / "log").rglob("*") if path.is_file())
    assert logs < 20 * 2**20
    XplClient(world).sock.close()  # it is registered and hears itself
    assert world.stop() == 0
