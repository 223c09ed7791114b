"""The interface of all hosts, used by xPL, REST, the page and the terminal."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import Attribute, Interface

from domogik.components.health import DiagnosticCheck
from domogik.components.model import Backup, Component, ConfigValue, Detail, HostInfo
from domogik.manager.jobs import Job


class IAllHosts(Interface):
    """Every component of every host, as seen from this host.

    Reading never waits. What changes something is awaited to its end: another host is asked over
    xPL, by a job whose subject is `<id>@<host>`, this host directly. The texts of
    `OperationFailed` and `NoAnswer` are those that Domogik's
    clients know (`Component demo is not running on vm`).
    """

    host = Attribute("str: the name of this host")
    events = Attribute("EventStream: what happens here")
    package_mode = Attribute("bool: whether packages are managed, not only listed")
    patience_s = Attribute("float: seconds that an order to another host is waited for")
    health = Attribute("Health | None: checks and issues of this host, None without a manager")

    def hosts() -> tuple[HostInfo, ...]:
        """Return the hosts whose manager was heard, this one first."""

    def jobs() -> tuple[Job, ...]:
        """Return the jobs under way and the last that ended, newest first."""

    def components(host: str | None = None) -> tuple[Component, ...]:
        """Return the components of all hosts or of one, in a stable order."""

    def find(name: str, host: str | None = None) -> Component:
        """The component of that id or bare name on `host`, by default here.

        A host and a repository are in no list, and can be looked at: `host:vm` is that host,
        wherever, `repository:<url>` one of those of `host`. A declared unit is also found by its
        component id (`daemon-web`) and by what systemd calls it. Raises `UnknownComponent` or
        `AmbiguousComponent`.
        """

    async def detail(component: Component) -> Detail:
        """Return the component with its configuration keys; `OperationFailed`, `NoAnswer`."""

    async def usage(component: Component) -> Component:
        """Return it with its current CPU, memory and open files, if it runs on this host."""

    async def warnings(component: Component) -> tuple[str, ...]:
        """Return a sentence with a command for each unmet need of a plugin of this host."""

    async def start(component: Component) -> None:
        """Start it; returns when it is ready. `OperationFailed`, `NotPossible`, `NoAnswer`."""

    async def stop(component: Component) -> None:
        """Stop it; returns when no process is left.

        `OperationFailed`, `NotPossible`, `NoAnswer`.
        """

    async def restart(component: Component) -> None:
        """Stop it if it runs, then start it; `OperationFailed`, `NotPossible`, `NoAnswer`."""

    async def enable(component: Component) -> None:
        """Enable a plugin or unit; `OperationFailed`, `NotPossible`, `NoAnswer`.

        With a plugin the units of its app are enabled.
        """

    async def disable(component: Component) -> None:
        """Disable a plugin or unit; raises as `enable`, `OperationFailed` if a plugin runs."""

    async def reload(component: Component) -> None:
        """Make a daemon or unit read its configuration; `OperationFailed`, `NotPossible`."""

    async def diagnose(component: Component) -> tuple[DiagnosticCheck, ...]:
        """Run every check of it; `UnknownComponent`, `OperationFailed`, `NoAnswer`."""

    async def diagnose_all(host: str | None = None) -> tuple[DiagnosticCheck, ...]:
        """Look at everything on `host`, by default here; raises as `diagnose`.

        Of another host as much as its answer holds: what did not pass comes first.
        """

    def unit_rule(user: str | None = None) -> str:
        """Return the polkit rule for the declared units of this host; raises `NotPossible`."""

    def credentials(component: Component) -> str:
        """Return a daemon's URL with its password; `NotPossible` for another host."""

    async def backup(component: Component, file: str | None = None) -> Backup:
        """Write a daemon's data into that new file among the backups, as a job.

        Raises `InvalidFileName`, `OperationFailed`, `NotPossible`.
        """

    async def restore(component: Component, file: str) -> None:
        """Put what is in that file in place of a daemon's data, as a job; raises as `backup`."""

    async def backups(component: Component) -> tuple[Backup, ...]:
        """Return all backup files of this host; `NotPossible` for another host."""

    async def log_lines(component: Component, lines: int) -> list[str]:
        """Return the last lines of its output, oldest first; `NotPossible` for another host."""

    def follow_log(component: Component, receive: Callable[[str], None]) -> Callable[[], None]:
        """Call `receive` with every new line; return the function that ends it. `NotPossible`."""

    async def config_list(
        host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> list[ConfigValue]:
        """Return the stored values, sorted; `NotPossible` without a database."""

    async def config_set(host: str, plugin: str, key: str, value: str) -> ConfigValue:
        """Store one value, delete it if it is empty; `NotPossible` without a database."""

    async def config_delete(host: str, plugin: str, key: str | None = None) -> list[ConfigValue]:
        """Delete one value or all of a plugin; return what was deleted."""

    def upgrade() -> None:
        """Execute the manager again with its children kept; `NotPossible` without a manager."""
