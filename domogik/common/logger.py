"""The log of a plugin of Domogik 0.2 or 0.3: Python's `logging`, ending in the plugin's own log."""

import logging

from domogik.plugin import Plugin

_LEVELS = {"WARNING": "warn", "NOTSET": "debug"}


class _ToPluginLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on; a level that only the script knows counts as `info`."""
        level = _LEVELS.get(record.levelname, record.levelname.lower())
        say = getattr(Plugin.log, level, Plugin.log.info)
        say("{text}", text=self.format(record))


class Logger:
    """`Logger("diskfree").get_logger()` gives the `logging.Logger` of that name."""

    def __init__(self, component_name: str) -> None:
        self._logger = logging.getLogger(component_name)
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        if not self._logger.handlers:
            self._logger.addHandler(_ToPluginLog())

    def get_logger(self) -> logging.Logger:
        """Return what has `debug`, `info`, `warning`, `error`, `critical` and `exception`."""
        return self._logger
