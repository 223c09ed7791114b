"""What `[rest]` says: where to listen, over what, and whom to believe."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from domogik.config.load import Configuration, Setting
from domogik.manager.packages.rest_servers import REST_PORT

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen
class RestSettings:
    """The frozen section. `port` 0 means any free one; `certificate` is one PEM file with key."""

    ip: str = "127.0.0.1"
    port: int = REST_PORT
    use_ssl: bool = False
    certificate: Path | None = None
    trusted_clients: tuple[Network, ...] = ()
    jsonp_origins: frozenset[str] = frozenset()

    @classmethod
    def from_configuration(cls, configuration: Configuration) -> RestSettings:
        """Raises `BrokenConfiguration`, which names file and line."""

        def setting(key: str) -> Setting | None:
            return configuration.get("rest", key)

        ip = setting("rest_server_ip")
        port = setting("rest_server_port")
        ssl = setting("rest_use_ssl")
        certificate = setting("rest_ssl_certificate")
        trusted = setting("trusted_clients")
        origins = setting("jsonp_origins")
        use_ssl = ssl is not None and ssl.boolean()
        pem = None if certificate is None else certificate.text()
        if ssl is not None and use_ssl and not pem:
            raise ssl.broken("needs rest_ssl_certificate, a PEM file")
        return cls(
            ip="127.0.0.1" if ip is None else _address(ip),
            port=REST_PORT if port is None else port.integer(0, 65535),
            use_ssl=use_ssl,
            certificate=Path(pem).expanduser() if pem else None,
            trusted_clients=() if trusted is None else _networks(trusted),
            jsonp_origins=frozenset() if origins is None else _origins(origins),
        )


def _address(setting: Setting) -> str:
    try:
        return str(ipaddress.ip_address(setting.text()))
    except ValueError:
        raise setting.broken("must be an IP address") from None


def _networks(setting: Setting) -> tuple[Network, ...]:
    networks = []
    for word in setting.words():
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise setting.broken("must be addresses and networks") from None
    return tuple(networks)


def origin_of(url: str) -> str | None:
    """`scheme://host[:port]` of a URL, lower case; None where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.scheme not in ("http", "https"):
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, usual) else f":{port}")


def _origins(setting: Setting) -> frozenset[str]:
    origins = set()
    for word in setting.words():
        origin = origin_of(word)
        if origin is None:
            raise setting.broken("must be origins such as http://page.example:8080")
        origins.add(origin)
    return frozenset(origins)
