"""Redis."""

from domogik.daemons.redis.daemon import RedisDaemon, RedisDaemonError

__all__ = ["RedisDaemon", "RedisDaemonError"]
