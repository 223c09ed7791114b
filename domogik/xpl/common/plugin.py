"""The base class of the plugins of Domogik 0.2 and 0.3, over `domogik.plugin`.

Those scripts do their work in the constructor of a class derived from `XplPlugin`, in threads of
their own, and ask dbmgr in between: the reactor runs in a thread beside them.
"""

from __future__ import annotations

import logging
import optparse
import sys
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from domogik.common.logger import Logger
from domogik.plugin import CMND, Message, Plugin, Stopping, run_beside
from domogik.xpl.common.xplconnector import Manager, XplTimer

#: seconds after which a script that never calls `enable_hbeat` counts as ready all the same: those
#: from before 0.2 do not know it, and some never leave their constructor
_READY_AT_LAST_S = 20.0


class XplResult:
    """A place in which one thread leaves a value for another."""

    def __init__(self) -> None:
        self.value: Any = None
        self.event = threading.Event()

    def set_value(self, value: object) -> None:
        """Leave the value."""
        self.value = value

    def get_value(self) -> Any:
        """Return what was left, None where nothing was."""
        return self.value

    def get_lock(self) -> threading.Event:
        """Return the event that says that a value is there."""
        return self.event


class _OldPlugin(Plugin):
    """The modern plugin behind an old script."""

    def __init__(self, script: XplPlugin, name: str) -> None:
        type(self).name = name
        self._script = script
        #: set when the hub is found, and when there is nothing to wait for any more
        self.may_go_on = threading.Event()
        self.exit_status: int | None = None
        self._ready: Deferred[None] = Deferred()

    async def started(self) -> None:
        self.listen(self._script.system_order, type=CMND, schema="domogik.system")
        self.later(_READY_AT_LAST_S, self.ready)
        self.may_go_on.set()
        await self._ready

    def ready(self) -> None:
        """Count as alive from now on; to be called in the reactor's thread, any number of times."""
        if not self._ready.called:
            self._ready.callback(None)

    async def stopping(self) -> None:
        self._script.get_stop().set()
        await self.in_thread(self._script.stop_all)

    def is_over(self, status: int) -> None:
        """The plugin has ended, with that exit status."""
        self.exit_status = status
        self.may_go_on.set()


class _Constructing(type):
    """Watches over the constructor in which an old script does its work.

    When it returns, the plugin is ready even if it has not said so; when it fails, or asks for the
    end of the process, the plugin ends with it instead of living on without its work.
    """

    def __call__(cls, *args: Any, **named: Any) -> Any:
        try:
            script = super().__call__(*args, **named)
        except Stopping:
            sys.exit(0)
        except BaseException as error:
            code = error.code if isinstance(error, SystemExit) else 1
            plugin = XplPlugin.running
            if plugin is not None:
                plugin.stop(code if isinstance(code, int) else int(code is not None))
            raise
        script.in_reactor(script.domogik_plugin.ready)
        return script


class XplPlugin(metaclass=_Constructing):
    """Derive from it, call its constructor first, do the work in your own constructor.

    `myxpl` is the network, `log` a `logging.Logger`, `options` and `args` what the command line
    said. The constructor returns when the hub is found, and never puts the process into the
    background, whatever `daemonize` says: its manager watches it.
    """

    running: Plugin | None = None

    def __init__(
        self,
        name: str,
        stop_cb: Callable[[], object] | None = None,
        is_manager: bool = False,
        reload_cb: Callable[[], object] | None = None,
        dump_cb: Callable[[], object] | None = None,
        parser: optparse.OptionParser | None = None,
        daemonize: bool = True,
    ) -> None:
        parser = parser if parser is not None else optparse.OptionParser()
        parser.add_option("-f", action="store_true", dest="run_in_foreground", default=False)
        self.options, self.args = parser.parse_args()
        self.is_daemon = False
        self.log: logging.Logger = Logger(name).get_logger()
        self._log = self.log
        self.__callbacks = {"reload": reload_cb, "dump": dump_cb}
        self.__stop = threading.Event()
        self.__stop_cb = [stop_cb] if stop_cb is not None else []
        self.__timers: list[XplTimer] = []
        self.myxpl = self._myxpl = Manager(self)
        plugin = _OldPlugin(self, name)
        self.domogik_plugin = plugin
        XplPlugin.running = plugin
        run_beside(plugin, plugin.is_over)
        self.log.warning(
            "%s is written for Domogik 0.2 or 0.3 (domogik.xpl.common); a new plugin uses "
            "domogik.plugin: docs/guide/write-a-plugin.md",
            name,
        )
        plugin.may_go_on.wait()
        if plugin.exit_status is not None:
            sys.exit(plugin.exit_status)

    def in_reactor(self, function: Callable[[], object]) -> None:
        """Call it in the reactor's thread, soon."""
        self.domogik_plugin.reactor.callFromThread(function)

    # What it is

    def get_plugin_name(self) -> str:
        """Return the plugin's id."""
        return self.domogik_plugin.id

    def get_sanitized_hostname(self) -> str:
        """Return the host's name as xPL has it."""
        return self.domogik_plugin.host

    def get_my_logger(self) -> logging.Logger:
        """Return the log."""
        return self.log

    def get_data_files_directory(self) -> str:
        """Return the path of a directory of its own, which survives updates."""
        return str(self.domogik_plugin.data)

    # How it lives

    def enable_hbeat(self, lock: bool = False) -> None:
        """Say that the plugin is ready; with `lock`, wait here until it is to stop."""
        self.in_reactor(self.domogik_plugin.ready)
        if lock:
            self.__stop.wait()

    def wait(self) -> None:
        """Wait until the plugin is to stop."""
        self.__stop.wait()

    def system_order(self, message: Message) -> object:
        """Call what the script has for `domogik.system` with `command=reload` or `dump`."""
        callback = self.__callbacks.get(message.get("command") or "")
        own = (self.get_sanitized_hostname(), self.get_plugin_name())
        if callback is None or (message.get("host"), message.get("plugin")) != own:
            return None
        return self.domogik_plugin.in_thread(callback)

    # How it ends

    def get_stop(self) -> threading.Event:
        """Return what is set when the plugin is to stop."""
        return self.__stop

    def should_stop(self) -> bool:
        """Return whether the plugin is to stop."""
        return self.__stop.is_set()

    def add_stop_cb(self, cb: Callable[[], object]) -> None:
        """Call that as well when the plugin is to stop."""
        self.__stop_cb.append(cb)

    def force_leave(self) -> None:
        """Stop the plugin; the process ends when the script's own threads have."""
        self.__stop.set()
        self.domogik_plugin.stop()

    def stop_all(self) -> None:
        """Stop the timers and call what is to be called at the end; blocks."""
        for timer in tuple(self.__timers):
            timer.stop()
        for callback in self.__stop_cb:
            try:
                callback()
            except Exception:
                self.log.exception("what is to be called at the end failed")

    def register_timer(self, timer: XplTimer) -> None:
        """Stop that one with the plugin."""
        self.__timers.append(timer)

    def unregister_timer(self, timer: XplTimer) -> None:
        """Stop that one no more."""
        if timer in self.__timers:
            self.__timers.remove(timer)

    def register_thread(self, thread: threading.Thread) -> None:
        """Do nothing: the process waits for the script's threads anyway."""

    def unregister_thread(self, thread: threading.Thread) -> None:
        """Do nothing."""
