"""The known sections and keys of configuration files; others are reported and ignored.

The package that reads a key knows its values; docs/reference/configuration.md describes them, and a
test compares the three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SUPERVISION = _keys(
    """
    restart backoff_first backoff_max start_limit start_limit_window slow_retry
    update_probation start_timeout stop_signal stop_timeout restart_after_misses watchdog
    needs memory_max open_files_max nice log_max_size log_files
    """
)
_DOMOGIK = _keys(
    """
    package_path src_prefix cache_path log_dir_path pid_dir_path log_level hostname home
    bind_interface broadcast xpl_port hub xpl_trusted config_provider query_xpl_timeout
    """
)
_REST = _keys(
    """
    rest_server_ip rest_server_port rest_use_ssl rest_ssl_certificate trusted_clients
    jsonp_origins
    """
)

#: section, or the beginning of its name with a colon, -> its keys; None: any key
KNOWN: Mapping[str, Collection[str] | None] = MappingProxyType(
    {
        "domogik": _DOMOGIK,
        "rest": _REST,
        "database": frozenset({"url"}),
        "plugins": None,
        "daemon:": None,
        "unit:": _keys("unit listen_ports alias strict_check role app"),
        "supervision": _SUPERVISION,
        "component:": _SUPERVISION,
    }
)
