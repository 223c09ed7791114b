"""`domogik.cfg` as plugins of Domogik 0.2 and 0.3 read it."""

import configparser
import os
import sys
from pathlib import Path


class Loader:
    """Reads the configuration file in force, and one section of it."""

    def __init__(self, part_name: str | None = None) -> None:
        self._part_name = part_name
        home = os.environ.get("DOMOGIK_HOME") or str(Path.home() / ".domogik")
        self._home = Path(home)
        self._file = os.environ.get("DOMOGIK_CONFIG") or str(self._home / "domogik.cfg")

    def load(self, refresh: bool = False) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """Return the section `[domogik]`, and the pairs of the section that was asked for.

        Keys that every file of 0.3 had are there even where the file is silent; `package_path` is
        always the directory in which this plugin's own `domogik_packages` is.
        """
        file = configparser.ConfigParser(interpolation=None, strict=False)
        file.read(["/etc/domogik/domogik.cfg", self._file], encoding="utf-8")
        main = {
            "log_dir_path": str(self._home / "log"),
            "pid_dir_path": str(self._home / "run"),
            "cache_path": str(self._home / "cache"),
            "bind_interface": os.environ.get("XPL_ADDRESS", "127.0.0.1"),
            "broadcast": os.environ.get("XPL_BROADCAST", "255.255.255.255"),
            "log_level": "info",
        }
        main.update(_section(file, "domogik"))
        main["package_path"] = _source_directory()
        if self._part_name is None or self._part_name == "domogik":
            return main, list(main.items())
        return main, list(_section(file, self._part_name).items())

    def get_config_files_path(self) -> list[str]:
        """Return the paths of the files that `load` reads."""
        return [self._file]


def _section(file: configparser.ConfigParser, name: str) -> dict[str, str]:
    return dict(file.items(name)) if file.has_section(name) else {}


def _source_directory() -> str:
    """`<package>/src` of the script `<package>/src/domogik_packages/xpl/bin/<id>.py`."""
    return str(Path(sys.argv[0]).absolute().parents[3])
