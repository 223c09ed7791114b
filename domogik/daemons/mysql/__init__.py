"""MariaDB and MySQL."""

from domogik.daemons.mysql.daemon import MySQLDaemon, MySQLDaemonError

__all__ = ["MySQLDaemon", "MySQLDaemonError"]
