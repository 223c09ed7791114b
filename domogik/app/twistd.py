"""The daemons as twistd commands; twistd brings the background, the pid file and its own log."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.application.service import IService, IServiceMaker
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IServiceMaker)
@attrs.frozen
class DomogikServiceMaker:
    """The command `twistd domogik-<name>`.

    Its modules are imported when it is used, since twistd loads every command for its list.
    """

    name: str
    description: str

    @property
    def tapname(self) -> str:
        return f"domogik-{self.name}"

    @property
    def options(self) -> type[Any]:
        from domogik.app.commands.daemons import KINDS

        return KINDS[self.name].options

    def makeService(self, options: Mapping[str, Any]) -> IService:
        from domogik.app.commands.daemons import KINDS, upgrade_command
        from domogik.app.commands.runner import DaemonRun
        from domogik.app.parts import logs
        from domogik.app.parts.foundation import CannotStart, Foundation
        from domogik.app.progress import StartProgress
        from domogik.app.reactor import steady_reactor

        reactor = steady_reactor()
        progress = StartProgress.from_environment(os.environ)
        try:
            foundation = Foundation.load(options, os.environ)
            logs.join(foundation.log_directory, self.name, foundation.settings.log_level)
            run = DaemonRun(reactor, progress, upgrade_command(self.name, options))
            return KINDS[self.name].make(options, run, foundation)
        except CannotStart as error:
            progress.failed(str(error))
            sys.stderr.write(f"{error}\n")
            raise SystemExit(1) from None
