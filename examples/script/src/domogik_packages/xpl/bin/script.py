"""Runs commands that a person has listed, when a message names one."""

from __future__ import annotations

import shlex
from pathlib import Path

from domogik_packages.xpl.lib.script import Command
from twisted.internet.defer import DeferredList

from domogik.plugin import CMND, TRIG, InvalidMessage, Message, Plugin, listen, run

SCHEMA = "exec.basic"
#: of the output, so many lines of so many characters are sent
LINES, WIDTH = 8, 100


def words(command: str) -> list[str]:
    """The program and its arguments, quoted as in a shell, which never sees them; `ValueError`."""
    argv = shlex.split(command)
    if not argv or not Path(argv[0]).is_absolute():
        raise ValueError("it must begin with the full path of a program")
    return argv


def shown(output: str) -> list[tuple[str, str]]:
    """The beginning of an output as pairs of a message: a line each, without control characters."""
    lines = ["".join(c for c in line if c.isprintable()) for line in output.splitlines()]
    return [("output", line[:WIDTH]) for line in lines if line.strip()][:LINES]


class Script(Plugin):
    """Obeys `exec.basic`: `program=<name>` is looked up in the configuration, nothing else runs."""

    name = "script"

    async def started(self) -> None:
        """Read what may be run."""
        self.timeout = await self.config.number("timeout", 60, minimum=1, maximum=86_400)
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, Command] = {}
        for interface in await self.config.interfaces("name", "command"):
            name, command = interface["name"], interface["command"]
            try:
                self.commands[name] = words(command)
            except ValueError as error:
                self.log.warn(
                    "'{command}' ({name}): {error}", name=name, command=command, error=error
                )
        self.log.info("may run: {names}", names=", ".join(self.commands) or "nothing")

    async def stopping(self) -> None:
        """Nothing stays behind."""
        running = tuple(self.running.values())
        for command in running:
            command.kill()
        await DeferredList([command.gone for command in running])

    @listen(type=CMND, schema=SCHEMA)
    async def ordered(self, message: Message) -> None:
        """Run it and answer with its exit status, or say why not."""
        name = message.get("program") or ""
        reason = self.reason_to_refuse(name, message)
        if reason:
            self.log.warn(
                "{source}: {name}: {reason}", source=message.source, name=name, reason=reason
            )
            self.answer(message, [("status", "refused"), ("error", reason)])
            return
        self.log.info("{source} starts {name}", source=message.source, name=name)
        try:
            command = Command(self.reactor, self.commands[name], self.timeout)
        except OSError as error:
            self.answer(message, [("status", "failed"), ("error", str(error))])
            return
        self.running[name] = command
        self.answer(message, [("status", "started")])
        try:
            status = await command.ended
        finally:
            del self.running[name]
        self.log.info("{name} ended with {status}", name=name, status=status)
        end = [("status", "finished"), ("return", str(status))]
        if command.was_too_slow:
            end = [("status", "killed"), ("error", f"not done within {self.timeout:g} s")]
        self.answer(message, [*end, *shown(command.output)])

    def reason_to_refuse(self, name: str, message: Message) -> str:
        """A sentence, empty when nothing speaks against it."""
        if name not in self.commands:
            return "not in the list of programs"
        if message.get("arg"):
            return "arguments are not taken from messages"
        if name in self.running:
            return "still running"
        return ""

    def answer(self, order: Message, body: list[tuple[str, str]]) -> None:
        """Say it with the program's name, and with the `pid` by which the order is told apart."""
        head = [(name, order.get(name)) for name in ("program", "pid") if order.get(name)]
        try:
            self.send(TRIG, SCHEMA, [*head, *body])
        except InvalidMessage as error:
            self.log.warn("no answer: {error}", error=error)


if __name__ == "__main__":
    run(Script)
