"""What a person has set, as plugins of Domogik 0.2 and 0.3 ask for it."""

from __future__ import annotations

import logging

from domogik.plugin import CMND
from domogik.xpl.common.plugin import XplResult
from domogik.xpl.common.xplconnector import Manager

_NOT_SET = "None"


class Query:
    """Asks dbmgr for the plugin's own values, and waits for the answer.

    Where dbmgr is silent, what it said last counts.
    """

    def __init__(self, xpl: Manager, log: logging.Logger | None = None) -> None:
        self._plugin = xpl.p

    def query(self, technology: str, key: str, element: str | XplResult = "") -> str | None:
        """Return the value of `key`, None where nothing is set.

        The oldest plugins give an `XplResult` instead: its value becomes `{key: text}`, with the
        text `None` where nothing is set.
        """
        own = self._plugin.domogik_plugin
        text: str | None = None
        if technology == own.id:
            text = own.wait(own.config(key))
        else:
            self._plugin.log.error("the values of %s can be asked for by %s alone", technology, own)
        if isinstance(element, XplResult):
            element.set_value({key: _NOT_SET if text is None else text})
            element.get_lock().set()
        return text

    def set(self, technology: str, key: str, value: object) -> None:
        """Ask dbmgr to keep a value; nothing is answered."""
        own = self._plugin.domogik_plugin
        pairs = {"technology": technology, "hostname": own.host, "key": key, "value": value}
        own.send(CMND, "domogik.config", pairs)
