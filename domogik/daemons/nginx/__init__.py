"""nginx."""

from domogik.daemons.nginx.daemon import NginxDaemon, NginxDaemonError

__all__ = ["NginxDaemon", "NginxDaemonError"]
