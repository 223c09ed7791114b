"""What every managed daemon can do, whatever server stands behind it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from domogik.daemons.core.arguments import Callback, ErrorCallback
from domogik.daemons.core.parameters import Option


class IManagedDaemon(Interface):
    """One server with a working directory of its own.

    The directory holds `service.conf` (the server's own configuration), `service.json` (what the
    instance was configured with), its data, its log and, where the server writes one, a PID file.
    Every failure is the kind's own `ManagedDaemonError`; what waits fires with a sentence.
    """

    kind = Attribute("str: its name, such as `redis`; see `kinds`")
    url = Attribute("str: where it is reached, with its credentials")

    def configure(
        working_dir: str | PathLike[str],
        port: int | None = None,
        bind_host: str = "127.0.0.1",
        callback: Callback | str | None = None,
        error_callback: ErrorCallback | None = None,
        password: str | None = None,
        *,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """Make the instance, or change what it was configured with; its data stays.

        Without a port a free one is chosen and reserved. `run_as` names the user it belongs to,
        where this program is root. `options` are the kind's own. What the server has read already
        counts from its next start or `reload`.

        Here and below, `callback` is called with the sentence that the Deferred fires with, and
        `error_callback` with a sentence and the exception; the Deferred then fails no more.
        """

    def load_parameters(working_dir: str | PathLike[str]) -> None:
        """Know an instance that was configured before."""

    def save_parameters() -> None:
        """Write `service.json` in one step."""

    def start(
        callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """Fires when it answers in its own protocol. A start that is under way is joined.

        Fails at once when its process ends, and when it runs already.
        """

    def start_if_not_running(
        callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """`start`, unless it runs."""

    def stop(
        callback: Callback | None = None,
        error_callback: ErrorCallback | None = None,
        sig: int | None = None,
    ) -> Deferred[str]:
        """Fires when none of its processes is left; what does not run is no failure.

        With `sig`, the number of a signal, that is how it is asked, and nothing is saved before.
        """

    def reload(
        callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """Have it read its configuration again, without a restart where the server can."""

    def destroy(
        callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """End it without ceremony and remove its directory, if this program has made that."""

    def is_running(keyword: str | None = None) -> bool:
        """Whether its first process is there: that very process, not one that looks like it.

        With a `keyword` it has to be in that process's command line, too.
        """

    def get_client() -> object:
        """A client of it, made with the usual library, where that is installed: redis, rabbitmq."""

    def get_port() -> int:
        """The TCP port it was configured with."""

    def get_pid() -> int | None:
        """The number of its first process; None if it does not run."""

    def get_pid_path() -> Path:
        """The PID file that the server writes."""

    def get_configuration_path(working_dir: str | PathLike[str]) -> Path:
        """Where `service.conf` of an instance is."""

    def get_parameters_path(working_dir: str | PathLike[str]) -> Path:
        """Where `service.json` of an instance is."""

    def backup(target: str | PathLike[str]) -> Deferred[str]:
        """Write all its data into one new file, with the server's own tool."""

    def restore(source: str | PathLike[str]) -> Deferred[str]:
        """Put what `backup` wrote in place of its data."""
