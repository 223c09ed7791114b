"""Which computers of the house are on, and how to wake one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from domogik_packages.xpl.lib.ping import (
    address_of,
    answers_echo,
    answers_tcp,
    connects,
    mac_address,
    wake,
)
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessValue

from domogik.plugin import CMND, STAT, TRIG, InvalidMessage, Message, Plugin, listen, run

#: seconds in which a computer has to answer
PATIENCE_S = 3


@dataclass
class Computer:
    """What is watched. `is_on` is None until it was looked for once."""

    name: str
    address: str
    mac: bytes | None = None
    port: int | None = None
    is_on: bool | None = None


class Ping(Plugin):
    """Sends `sensor.basic` for each computer, and wakes one on `control.basic`."""

    name = "ping"

    async def started(self) -> None:
        """Read which computers there are, and look at once."""
        seconds = await self.config.number("interval", 60, minimum=1, maximum=86_400)
        self.wol_address = await self.config("wol-broadcast", "255.255.255.255")
        self.wol_port = await self.config.integer("wol-port", 9, minimum=1, maximum=65_535)
        found = await self.config.interfaces("address", "name", "mac", "port")
        self.computers = [self.computer(**interface) for interface in found]
        self.log.info("watching {count} computers", count=len(self.computers))
        self.every(seconds, self.look_everywhere)

    def computer(self, address: str, name: str, mac: str, port: str) -> Computer:
        """One interface of the configuration; what makes no sense in it is left out and logged."""
        computer = Computer(name or address, address)
        try:
            computer.mac = mac_address(mac) if mac else None
            computer.port = int(port) if port else None
        except ValueError as error:
            self.log.warn("{name}: {error}", name=computer.name, error=error)
        return computer

    async def look_everywhere(self) -> None:
        """All computers at the same time."""
        await gatherResults([Deferred.fromCoroutine(self.look(one)) for one in self.computers])

    async def look(self, computer: Computer) -> None:
        """Tell whether it is on: as `xpl-trig` when that has changed, else as `xpl-stat`."""
        try:
            is_on = await self.is_on(computer)
        except OSError as error:  # all places for threads are taken, or there is no network
            self.log.warn("{name}: {error}", name=computer.name, error=error)
            return
        kind = STAT if is_on == computer.is_on else TRIG
        computer.is_on = is_on
        body = {"device": computer.name, "type": "ping", "current": "high" if is_on else "low"}
        try:
            self.send(kind, "sensor.basic", body)
        except InvalidMessage as error:
            self.log.warn("{name}: {error}", name=computer.name, error=error)

    async def is_on(self, computer: Computer) -> bool:
        """By its port where one is set; else by echo, by the program `ping`, or by common ports."""
        limit = PATIENCE_S * 3
        ip = await self.in_thread(address_of, computer.address, timeout=limit)
        if ip is None:
            return False
        if computer.port:
            return await self.in_thread(connects, ip, computer.port, PATIENCE_S, timeout=limit)
        try:
            return await self.in_thread(answers_echo, ip, PATIENCE_S, timeout=limit)
        except PermissionError:
            program = shutil.which("ping")
        if program:
            options = ["-nqc1", f"-W{PATIENCE_S}", ip]
            return bool(await getProcessValue(program, options) == 0)
        return await self.in_thread(answers_tcp, ip, PATIENCE_S, timeout=limit)

    @listen(type=CMND, schema="control.basic", body={"type": "wakeonlan"})
    def wanted_awake(self, message: Message) -> None:
        """Wake `device`. Only computers of the configuration, with the MAC address set there."""
        name = message.get("device")
        known = {computer.name: computer.mac for computer in self.computers if computer.mac}
        if name not in known:
            self.log.info("no computer '{name}' to wake", name=name)
            return
        try:
            wake(known[name], self.wol_address, self.wol_port)
        except OSError as error:
            self.log.warn("{name} cannot be woken: {error}", name=name, error=error)
            return
        self.log.info("woke {name} for {source}", name=name, source=message.source)
        self.send(TRIG, "sensor.basic", {"device": name, "type": "wakeonlan", "current": "high"})


if __name__ == "__main__":
    run(Ping)
