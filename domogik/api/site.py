"""REST, put together: everything that answers HTTP, given a house."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from domogik.api.access import Access
from domogik.api.http.counting import Requests
from domogik.api.http.listening import BadCertificate, RestPortTaken, listen
from domogik.api.http.root import Root
from domogik.api.http.streams import Streams
from domogik.api.http.uploads import Uploads
from domogik.api.http.wire import Site
from domogik.api.rinor.diagnose import DiagnosePaths
from domogik.api.rinor.domoweb import DomowebPaths
from domogik.api.rinor.events import EventPaths
from domogik.api.rinor.face import Rinor
from domogik.api.rinor.host import HostPaths
from domogik.api.rinor.kinds import kind_paths
from domogik.api.rinor.package import PackagePaths
from domogik.api.rinor.plugin import PluginPaths
from domogik.api.rinor.plugin_config import PluginConfigPaths
from domogik.api.rinor.status import StatusDocument
from domogik.api.v1.face import V1
from domogik.api.v1.feed import event_feed
from domogik.api.v1.logs import log_paths
from domogik.api.v1.metrics import Counters, metrics, no_counters
from domogik.api.v1.uploading import upload
from domogik.manager.interfaces import IAllHosts
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.table import Context
from domogik.manager.packages.interfaces import IPackages

__all__ = ["BadCertificate", "RestPortTaken", "Site", "listen", "make_site"]


def make_site(
    all_hosts: IAllHosts,
    access: Access,
    *,
    reactor: IReactorTime,
    version: str,
    use_ssl: bool = False,
    counters: Counters = no_counters,
    packages: IPackages | None = None,
    uploads: Path | None = None,
) -> Site:
    """Both faces over one house. `counters` gives figures of other rooms to `/metrics`.

    `packages` is None where no manager runs in this process. `uploads` is the directory where
    archives that are being uploaded lie, by default the system's for temporary files.

    When the site's last port is closed, open streams end and waiting questions are answered.
    """
    streams = Streams(reactor)
    requests = Requests()
    events = EventPaths(reactor, all_hosts.events)
    context = Context(all_hosts, packages)
    package_paths = PackagePaths(reactor, context)
    groups = (
        PluginPaths(reactor, context),
        PluginConfigPaths(all_hosts),
        DiagnosePaths(reactor, all_hosts),
        HostPaths(all_hosts),
        DomowebPaths(),
        package_paths,
        events,
    )
    rinor = Rinor(
        StatusDocument(all_hosts, events, version, use_ssl).show,
        (
            *kind_paths(context),
            *(route for group in groups for route in group.routes()),
        ),
    )
    v1 = V1(
        reactor,
        context,
        version=version,
        table=tuple(TABLE.values()),
        own=(
            log_paths(streams),
            upload(),
            event_feed(all_hosts.events, streams),
            metrics(all_hosts, requests, counters),
        ),
    )

    def stop() -> None:
        for part in (events, streams, package_paths, v1):
            part.stop()

    root = Root(access, rinor, v1)
    return Site(
        root, requests, Uploads(access, uploads), access=access, reactor=reactor, on_stop=stop
    )
