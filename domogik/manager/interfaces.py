"""What a door may ask of the house, wherever the component lives."""

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
        """The hosts whose manager was heard; this one first."""

    def jobs() -> tuple[Job, ...]:
        """Those under way and the last that ended, newest first."""

    def components(host: str | None = None) -> tuple[Component, ...]:
        """Everything known, or that of one host, in a steady order."""

    def find(name: str, host: str | None = None) -> Component:
        """The component of that id or bare name on `host`, by default here.

        A host and a repository are in no list, and can be looked at: `host:vm` is that host,
        wherever, `repository:<url>` one of those of `host`. A declared unit is also found by its
        component id (`daemon-web`) and by what systemd calls it. Raises `UnknownComponent` or
        `AmbiguousComponent`.
        """

    async def detail(component: Component) -> Detail:
        """With its configuration keys; `OperationFailed`, `NoAnswer`."""

    async def usage(component: Component) -> Component:
        """The same with fresh CPU, memory and open files where it runs on this host."""

    async def warnings(component: Component) -> tuple[str, ...]:
        """A sentence with a command for each thing that a plugin of this host needs and lacks."""

    async def start(component: Component) -> None:
        """Until it is `alive` or `running`; `OperationFailed`, `NotPossible`, `NoAnswer`."""

    async def stop(component: Component) -> None:
        """Until no process of it is left; `OperationFailed`, `NotPossible`, `NoAnswer`."""

    async def restart(component: Component) -> None:
        """Stop if it runs, then start; `OperationFailed`, `NotPossible`, `NoAnswer`."""

    async def enable(component: Component) -> None:
        """A plugin with the units of its app; `OperationFailed`, `NotPossible`, `NoAnswer`."""

    async def disable(component: Component) -> None:
        """As `enable`; `OperationFailed` while a plugin runs."""

    async def reload(component: Component) -> None:
        """Have a daemon or unit read its configuration again; `OperationFailed`, `NotPossible`."""

    async def diagnose(component: Component) -> tuple[DiagnosticCheck, ...]:
        """Run every check of it; `UnknownComponent`, `OperationFailed`, `NoAnswer`."""

    async def diagnose_all(host: str | None = None) -> tuple[DiagnosticCheck, ...]:
        """Look at everything on `host`, by default here; raises as `diagnose`.

        Of another host as much as its answer holds: what did not pass comes first.
        """

    def unit_rule(user: str | None = None) -> str:
        """The polkit rule for the declared units of this host; `NotPossible`."""

    def credentials(component: Component) -> str:
        """A daemon's URL, which holds its password; `NotPossible` from another host."""

    async def backup(component: Component, file: str | None = None) -> Backup:
        """Write a daemon's data into that new file among the backups, as a job.

        Raises `InvalidFileName`, `OperationFailed`, `NotPossible`.
        """

    async def restore(component: Component, file: str) -> None:
        """Put what is in that file in place of a daemon's data, as a job; raises as `backup`."""

    async def backups(component: Component) -> tuple[Backup, ...]:
        """The files there are, whatever they are of; `NotPossible` from another host."""

    async def log_lines(component: Component, lines: int) -> list[str]:
        """Its last lines of output, oldest first; `NotPossible` from another host."""

    def follow_log(component: Component, receive: Callable[[str], None]) -> Callable[[], None]:
        """Hand every new line to `receive`; the answer ends that. `NotPossible`."""

    async def config_list(
        host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> list[ConfigValue]:
        """Stored values, sorted; `NotPossible` without a database."""

    async def config_set(host: str, plugin: str, key: str, value: str) -> ConfigValue:
        """Store one value; an empty one deletes. `NotPossible` without a database."""

    async def config_delete(host: str, plugin: str, key: str | None = None) -> list[ConfigValue]:
        """Delete one value, or all of a plugin; what was deleted."""

    def upgrade() -> None:
        """Execute the manager anew with its children kept; `NotPossible` elsewhere."""
