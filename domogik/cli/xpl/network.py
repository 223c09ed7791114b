"""Where is xPL for a command of this host? As the configuration of a home has it."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from pathlib import Path

import attrs

from domogik.cli.program import CommandFailed, warn
from domogik.config.home import Home, sanitised_host
from domogik.config.load import Configuration, Setting, load

XPL_PORT = 3865
LOOPBACK = "127.0.0.1"
_ANY = "0.0.0.0"  # noqa: S104 - who binds it has said so in the configuration


class NoHubKnown(CommandFailed):
    """Nothing says on which port the hub is."""


@attrs.frozen
class Network:
    """`host` is ours as xPL's instance; `bind` the address to bind, `port` 0 where the hub chose.

    `run_port` is the file that says which port it chose.
    """

    host: str
    bind: str
    broadcast: str
    port: int
    run_port: Path

    @classmethod
    def of_home(cls, home: Home, files: tuple[Path, ...]) -> Network:
        """A line that cannot be read is warned of; a wrong value raises `BrokenConfiguration`."""
        configuration = load(files, warn)

        def setting(key: str) -> Setting | None:
            return configuration.get("domogik", key)

        hostname, port = setting("hostname"), setting("xpl_port")
        named = hostname.text() if hostname is not None else ""
        return cls(
            sanitised_host(named or socket.gethostname()),
            _address(configuration, "bind_interface", LOOPBACK),
            _address(configuration, "broadcast", "255.255.255.255"),
            XPL_PORT if port is None else port.integer(0, 65535),
            home.run / "xpl.port",
        )

    @property
    def is_loopback(self) -> bool:
        """Whether nothing leaves this computer."""
        return self.bind.startswith("127.")

    def hub(self) -> tuple[str, int]:
        """Where to send, as it is now; raises `NoHubKnown`."""
        return LOOPBACK if self.is_loopback else self.broadcast, self.port or self._chosen()

    def _chosen(self) -> int:
        try:
            port = int(self.run_port.read_text(encoding="ascii"))
        except (OSError, ValueError):
            port = 0
        if not 0 < port < 2**16:
            raise NoHubKnown(
                f"xpl_port is 0 and {self.run_port} names no port: start the manager (dmg_manager)"
            )
        return port

    def open_socket(self) -> socket.socket:
        """A socket of our own that may broadcast; raises `CommandFailed`."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            made.bind((self.bind, 0))
        except OSError as error:
            made.close()
            raise CommandFailed(
                f"{self.bind} cannot be bound ({error.strerror}): see bind_interface in [domogik]"
            ) from None
        return made

    def announced(self, own: socket.socket) -> tuple[str, int]:
        """What a heartbeat says of `own`: of a socket on every interface, the one it sends by."""
        ip, port = own.getsockname()
        if ip == _ANY:
            ip = self._towards_broadcast()
        return ip, port

    def _towards_broadcast(self) -> str:
        """Asks the routing table; nothing is sent."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            try:
                probe.connect((self.broadcast, self.port or XPL_PORT))
            except OSError:
                return LOOPBACK
            return str(probe.getsockname()[0])


def _address(configuration: Configuration, key: str, default: str) -> str:
    setting = configuration.get("domogik", key)
    if setting is None:
        return default
    try:
        return str(IPv4Address(setting.text()))
    except ValueError:
        raise setting.broken("must be an IPv4 address") from None
