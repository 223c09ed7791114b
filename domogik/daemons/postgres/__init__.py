"""PostgreSQL."""

from domogik.daemons.postgres.daemon import PostgresDaemon, PostgresDaemonError

__all__ = ["PostgresDaemon", "PostgresDaemonError"]
