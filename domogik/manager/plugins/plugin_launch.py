"""The program, the environment and the directories with which a plugin is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from domogik.packages.needs.environment import ENVIRONMENT, interpreter
from domogik.packages.store.installed import Installed
from domogik.supervisor.interfaces import Program
from domogik.supervisor.settings import Supervision


@attrs.frozen
class PluginLaunch:
    """How plugins are started; see CONTRACT "A plugin".

    `environment` is given to every plugin: the manager's own, `DOMOGIK_HOME`, `XPL_PORT`, ...
    """

    host: str
    interpreter: str
    configuration_file: Path
    environment: Mapping[str, str]
    data: Callable[[str], Path]

    def program(self, installed: Installed, supervision: Supervision) -> Program:
        """Return how the plugin of a package is run; the supervisor adds `DOMOGIK_RUN_ID`."""
        assert installed.script is not None
        assert installed.directory is not None
        name = installed.package.id
        own = interpreter(installed.directory / ENVIRONMENT)
        source = str(installed.source)
        inherited = self.environment.get("PYTHONPATH", "")
        return Program(
            argv=(str(own or self.interpreter), str(installed.script)),
            environment={
                **self.environment,
                "PYTHONPATH": f"{source}:{inherited}" if inherited else source,
                "PYTHONUNBUFFERED": "1",
                "DOMOGIK_NAME": name,
                "DOMOGIK_HOST": self.host,
                "DOMOGIK_SOURCE": f"domogik-{name}.{self.host}",
                "DOMOGIK_DATA": str(self.data(name)),
            },
            directory=installed.directory,
            memory_max=supervision.memory_max,
            open_files_max=supervision.open_files_max,
            nice=supervision.nice,
            memory_max_words=supervision.memory_max_words,
        )
