"""The network, its listeners and timers, as plugins of Domogik 0.2 and 0.3 use them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from domogik.common.dmg_exceptions import XplMessageError
from domogik.plugin import InvalidMessage, Message
from domogik.xpl.common.xplmessage import XplMessage

if TYPE_CHECKING:
    from domogik.xpl.common.plugin import XplPlugin

__all__ = ["Listener", "Manager", "XPLException", "XplMessage", "XplTimer"]


class XPLException(Exception):
    """Something about xPL went wrong; kept because old plugins catch it."""

    def __init__(self, value: object) -> None:
        super().__init__(value)
        self.value = value


class Manager:
    """The network as `self.myxpl` offers it; `p` is the plugin."""

    def __init__(self, plugin: XplPlugin) -> None:
        self.p = plugin

    def send(self, message: XplMessage) -> None:
        """Send a message from the plugin's own address; one that xPL does not allow is logged."""
        own = self.p.domogik_plugin
        try:
            built = message.message(own.source)
            target = built.target if built.type == "xpl-cmnd" else "*"
            own.send(built.type, built.schema, built.body, target)
        except (InvalidMessage, XplMessageError) as error:
            self.p.log.error("not sent, since xPL does not allow it: %s: %s", error, message)

    def enable_hbeat(self, lock: bool = False) -> None:
        """See `XplPlugin.enable_hbeat`."""
        self.p.enable_hbeat(lock)

    def leave(self) -> None:
        """See `XplPlugin.force_leave`."""
        self.p.force_leave()


class Listener:
    """Calls `cb(message)`, in a thread, for messages that have all that `filter` names.

    `schema`, `xpltype`, `xplsource` and `xplinstance` are what their names say, any other key is a
    name of the body; a list stands for any one of its texts. Letters count alike in either case in
    the body. With `cb_params` the callback gets them as well.
    """

    def __init__(
        self,
        cb: Callable[..., object],
        manager: Manager,
        filter: dict[str, Any] | None = None,
        cb_params: dict[str, Any] | None = None,
    ) -> None:
        self._callback = cb
        self._manager = manager
        self._filter = dict(filter or {})
        self._params = cb_params or {}
        self._subscription: Any = None
        self._is_wanted = True
        manager.p.in_reactor(self._subscribe)

    def _subscribe(self) -> None:
        if self._is_wanted:
            self._subscription = self._manager.p.domogik_plugin.listen(self._received)

    def unregister(self) -> None:
        """Call it no more."""
        self._is_wanted = False
        self._manager.p.in_reactor(lambda: self._subscription and self._subscription.cancel())

    def _received(self, message: Message) -> object:
        own = self._manager.p.domogik_plugin
        if message.source == own.source:
            return None
        heard = XplMessage.of(message)
        if not all(self._fits(heard, key, wanted) for key, wanted in self._filter.items()):
            return None
        takes_params = self._params and len(inspect.signature(self._callback).parameters) > 1
        args = (heard, self._params) if takes_params else (heard,)
        return own.in_thread(self._callback, *args)

    @staticmethod
    def _fits(message: XplMessage, key: str, wanted: object) -> bool:
        if key in message.data:
            found = message.data[key]
            texts = wanted if isinstance(wanted, list) else [wanted]
            has = [one.lower() for one in (found if isinstance(found, list) else [found])]
            return any(str(text).lower() in has for text in texts)
        header = {
            "schema": message.schema,
            "xpltype": message.type,
            "xplsource": message.source,
            "xplinstance": message.source_instance_id,
        }
        return header.get(key) == wanted

    def get_filter(self) -> dict[str, Any]:
        """Return what a message must have."""
        return self._filter

    get_filter_list = get_filter

    def get_cb(self) -> Callable[..., object]:
        """Return the callback."""
        return self._callback

    def add_filter(self, key: str, value: object) -> None:
        """Ask for one thing more."""
        self._filter[key] = value

    def del_filter(self, key: str) -> None:
        """Ask for one thing less."""
        self._filter.pop(key, None)


class XplTimer:
    """Calls `cb()` in a thread of its own, at once and then `time` seconds after each call.

    What the callback raises is logged, and the timer goes on.
    """

    def __init__(self, time: float, cb: Callable[[], object], manager: Manager) -> None:
        self._seconds = float(time)
        self._callback = cb
        self._plugin = manager.p
        self._stop = threading.Event()
        self._timer = threading.Thread(target=self._run, name="timer", daemon=True)
        self._plugin.register_timer(self)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._callback()
            except Exception:
                self._plugin.log.exception("a timer's callback failed")
            self._stop.wait(self._seconds)

    def start(self) -> None:
        """Begin."""
        self._timer.start()

    def stop(self) -> None:
        """Call no more; waits for a call that is going on, unless that call stops it."""
        self._stop.set()
        if self._timer.is_alive() and self._timer is not threading.current_thread():
            self._timer.join(2)
        self._plugin.unregister_timer(self)

    def get_stop(self) -> threading.Event:
        """Return what is set when the timer is to stop."""
        return self._stop

    def get_timer(self) -> threading.Thread:
        """Return its thread."""
        return self._timer
